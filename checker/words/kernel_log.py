"""Pure: what the kernel's own words say happened. Text in, findings out.

``findings`` cuts the text into the kernel's reports (kernel_reports.py) and
makes of each a sentence (kernel_kinds.py), a place in the student's source and
an excerpt.
"""

from __future__ import annotations

import re

from checker.model import Finding, Names
from checker.words.kernel_kinds import KINDS
from checker.words.kernel_reports import INSIDE, LINES, Locate, Story, read, reports

__all__ = ["LINES", "Locate", "findings", "injected", "nowhere", "plain_lines"]


def nowhere(function: str, offset: int) -> str:
    """Be a Locate that knows no place."""
    return ""


def plain_lines(text: str) -> list[str]:
    """Return a log's lines without their time stamps, and the student's paths as they are."""
    return [line.replace(INSIDE, "") for line in read(text)]


NO_MODULE = "-"
"""A name that no module has: for findings() where the kernel has none of a student's."""


def findings(
    text: str,
    module: str,
    locate: Locate = nowhere,
    names: Names = Names(),  # noqa: B008
) -> list[Finding]:
    """Return what the kernel reports in *text*, in order, each matter once.

    A place is one in *module*: the topmost of its functions in the report. Its file is called
    what *names* has for it, as *locate* does.
    """
    found: dict[tuple[str, str, str], Finding] = {}
    before: tuple[str, str, str] = ("", "", "")
    unplaced: tuple[str, str, str] | None = None  # a timer of a module that is gone, just told
    for report_ in reports(text, KINDS):
        story = Story(report_, module, locate, names)
        kind, location, summary = story.kind, story.location, story.summary()
        earlier, *where = before
        what = report_.row.kind
        before = (kind, location, story.who)
        gone = story.spot is None or not story.spot.function  # it has no place, nor a name
        same = where == [location, story.who] or gone
        if (earlier, what) in _AFTERMATH or (same and (earlier, what) in _TWICE):
            continue
        if unplaced and what == "debug-objects":
            del found[unplaced]  # this is the same, and has a place
        excerpt = report_.excerpt()
        finding = Finding(kind=kind, summary=summary, location=location, report=excerpt)
        key = (kind, location, summary)
        unplaced = key if story.timer and key not in found else None
        found.setdefault(key, finding)
    return list(found.values())


_TWICE = {
    ("kasan", "oops"),
    ("ubsan", "oops"),
    ("ubsan", "kasan"),
    ("overflow", "bug"),  # from 6.10 on fortify warns, with the sizes, before it stops
    ("rcu", "stall"),
    ("debug-objects", "oops"),  # a timer of a module that is gone
    ("rcu", "atomic-sleep"),
    ("atomic-sleep", "lockdep"),
}
"""What is said of one mistake in one place: a check sees it, then another or the processor."""

_AFTERMATH = {
    ("atomic-sleep", "lock-kept"),
    ("debug-objects", "lockdep"),
    ("hang", "lockdep"),  # the NMI that asked for the place panics, and takes locks for that
}
"""What follows from a mistake: the kernel's own counts are wrong after it."""


def injected(text: str, module: str) -> list[tuple[str, str, int]]:
    """Return where fault injection struck: the function called by *module*, then its own frame.

    One (called, function, offset) for each allocation that vm/witness let fail, in order, or
    where it said nothing, for each "FAULT_INJECTION: forcing a failure"; the offset is that of
    the call. ("", "", 0) when no frame is the module's, or the kernel did not tell of it, as it
    does not where the caller asked for silence (__GFP_NOWARN).
    """
    found: list[tuple[str, str, int]] = []
    above, looking, announced = "", False, False
    for line in plain_lines(text):
        if _TO_FAIL.match(line):
            found.append(("", "", 0))
            looking, announced = False, True
        elif "FAULT_INJECTION: forcing a failure" in line:
            if not announced:
                found.append(("", "", 0))
            above, looking, announced = "", True, False
        elif looking and (frame := _STACK_FRAME.match(line)):
            if frame["module"] == module:
                found[-1] = (above, frame["function"], int(frame["offset"], 16) - 1)
                looking = False
            above = frame["function"]
    return found


_TO_FAIL = re.compile(r"witness: allocation \d+ of \w+ is to fail$")
_STACK_FRAME = re.compile(
    r"^ +(?P<function>[\w.]+)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+(?: \[(?P<module>\w+)\])?$"
)
