"""Pure: what the kernel's own words say happened. Text in, excerpt and headline out."""

from __future__ import annotations

import re
from collections.abc import Callable

from checker.model import Finding

_STAMPS = re.compile(r"^(?:\[ *\d+\.\d+\] ?){1,2}(?:\[ *[TC]\d+\] ?)?")
_BEGIN = re.compile(
    r"BUG: |Oops: |general protection fault|Kernel panic|WARNING: |kernel BUG at|"
    r"watchdog: |rcu: INFO|Unable to handle|NMI: |unchecked MSR|invalid opcode|divide error|"
    r"stack segment|double fault|INFO: task|Uhhuh"
)
_END = re.compile(r"---\[ end (trace|Kernel panic)")
_NOISE = re.compile(
    r"^(Modules linked in|Hardware name|CPU: |Code: |R(?!IP)[A-Z0-9]{2}: |[CD]R\d: |FS: |CS: |"
    r"PKRU|EFLAGS|note: |Call Trace:$|#PF: |PGD |Kernel Offset|Shutting down|Rebooting| \? |"
    r"RIP: 0033)"
)
_PLACE = re.compile(
    r"RIP: 0010:(?P<function>[\w.]+)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+(?: \[(?P<module>\w+)\])?"
)
_FRAME = re.compile(r"^ (?P<function>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+ \[(?P<module>\w+)\]")

LINES = 30
"""Lines of the kernel's report that are kept."""


def plain_lines(text: str) -> list[str]:
    """Return a log's lines without their time stamps, and the student's paths as they are."""
    return [_STAMPS.sub("", line).replace("/build/", "").rstrip() for line in text.splitlines()]


def report(text: str) -> str:
    """Return the first report (oops, panic, warning) in *text*, trimmed; empty if there is none."""
    kept: list[str] = []
    for line in plain_lines(text):
        if not kept and not _BEGIN.search(line):
            continue
        if not _NOISE.match(line) and line and (not kept or line != kept[-1]):
            kept.append(line)
        if len(kept) >= LINES or _END.search(line):
            break
    return "\n".join(kept)


def headline(text: str, module: str) -> str:
    """Return what the first report in *text* is, and where in *module*; no full stop."""
    first = next((line for line in plain_lines(text) if _BEGIN.search(line)), "")
    if not first:
        return ""
    return first.strip().rstrip(".:!") + place(text, module)


def place(text: str, module: str) -> str:
    """Return ", in FUNCTION() of MODULE" for the topmost frame of *module*, empty if none is."""
    lines = plain_lines(text)
    top = next((m for line in lines if (m := _PLACE.search(line))), None)
    if top is None or top["module"] != module:
        frames = (m for line in lines if (m := _FRAME.match(line)))
        top = next((m for m in frames if m["module"] == module), None)
    return f", in {top['function']}() of {module}" if top else ""


Locate = Callable[[str, int], str]


def nowhere(function: str, offset: int) -> str:
    return ""


def findings(text: str, module: str, locate: Locate = nowhere) -> list[Finding]:
    said = report(text)
    if not said:
        return []
    top = next(
        (
            m
            for line in plain_lines(text)
            if (m := _FRAME.match(line) or _PLACE.search(line)) and m["module"] == module
        ),
        None,
    )
    offset = int(top["offset"], 16) if top and "offset" in top.groupdict() else 0
    where = locate(top["function"], offset) if top else ""
    return [Finding(kind="warning", summary=headline(text, module), location=where, report=said)]


def injected(text: str, module: str) -> list[tuple[str, str, int]]:
    """Return where fault injection struck: the function called by *module*, then its own frame.

    One (called, function, offset) for each "FAULT_INJECTION: forcing a failure", in order;
    the offset is that of the call. ("", "", 0) when no frame is the module's.
    """
    found: list[tuple[str, str, int]] = []
    above, looking = "", False
    for line in plain_lines(text):
        if "FAULT_INJECTION: forcing a failure" in line:
            found.append(("", "", 0))
            above, looking = "", True
        elif looking and (frame := _STACK_FRAME.match(line)):
            if frame["module"] == module:
                found[-1] = (above, frame["function"], int(frame["offset"], 16) - 1)
                looking = False
            above = frame["function"]
    return found


_STACK_FRAME = re.compile(
    r"^ +(?P<function>[\w.]+)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+(?: \[(?P<module>\w+)\])?$"
)
