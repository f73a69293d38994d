"""Pure: what the kernel's own words say happened. Text in, excerpt and headline out."""

from __future__ import annotations

import re

_STAMPS = re.compile(r"^(?:\[ *\d+\.\d+\] ?){1,2}(?:\[ *[TC]\d+\] ?)?")
_BEGIN = re.compile(
    r"BUG: |Oops: |general protection fault|Kernel panic|WARNING: |kernel BUG at|"
    r"watchdog: |rcu: INFO|Unable to handle|NMI: |unchecked MSR|invalid opcode|divide error|"
    r"stack segment|double fault|INFO: task|Uhhuh"
)
_END = re.compile(r"---\[ end (trace|Kernel panic)")
_NOISE = re.compile(
    r"^(Modules linked in|Hardware name|CPU: |Code: |R[A-Z0-9]{2}: |CR2: |FS: |CS: |PKRU|DR\d: |"
    r"RSP: |EFLAGS|RAX: |RBP: |R10: |R13: |note: |Call Trace:$|#PF: |PGD |Kernel Offset|"
    r"Shutting down|Rebooting| \? |RIP: 0033)"
)
_PLACE = re.compile(
    r"RIP: 0010:(?P<function>[\w.]+)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+(?: \[(?P<module>\w+)\])?"
)
_FRAME = re.compile(r"^ (?P<function>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+ \[(?P<module>\w+)\]")

LINES = 30
"""Lines of the kernel's report that are kept."""


def plain_lines(text: str) -> list[str]:
    """Return the lines of a console or kernel log without their time stamps."""
    return [_STAMPS.sub("", line).rstrip() for line in text.splitlines()]


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
    lines = plain_lines(text)
    first = next((line for line in lines if _BEGIN.search(line)), "")
    if not first:
        return ""
    place = next((m for line in lines if (m := _PLACE.search(line))), None)
    inside = place if place and place["module"] == module else None
    inside = inside or next(
        (m for line in lines if (m := _FRAME.match(line)) and m["module"] == module), None
    )
    where = f", in {inside['function']}() of {module}" if inside else ""
    return f"{first.strip().rstrip('.')}{where}"
