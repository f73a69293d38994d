"""The lines of a student's own source that a check, the compiler or the kernel speaks of. Pure.

A place is ``filter.c:41`` or ``1-2-netfilter/kernel/filter.c:41``; sources come as a
mapping from the path in the submission to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from checker.model import Names, Submission
from checker.report.text import plain

AROUND = 3
"""So many lines are shown before and after the one that is meant."""

PLACES = 5
"""So many places are shown of one text; a compiler that lost its way names hundreds."""

WIDTH = 400
"""Characters of a line that are shown."""

_PLACE = re.compile(r"(?<![\w./+-])(/?(?:[\w.+-]+/)*[\w.+-]+\.[ch]):([1-9]\d{0,6})(?!\d)")
_BUILT_IN = "/build/"
"""Where modules are compiled; BUG() and WARN() name their file with it."""

Place = tuple[str, int]
"""A path in the submission, and a line's number, from 1."""


@dataclass(frozen=True)
class Line:
    """One line of source, as it is shown."""

    number: int
    text: str
    marked: bool
    skipped: bool
    """Lines before it were left out."""


@dataclass(frozen=True)
class Excerpt:
    """The lines of one file around the places that are meant."""

    path: str
    lines: tuple[Line, ...]

    @property
    def caption(self) -> str:
        """Return "filter.c, line 41" or "filter.c, lines 41 and 63", with the path."""
        *most, last = [str(line.number) for line in self.lines if line.marked]
        return f"{self.path}, " + (
            f"lines {', '.join(most)} and {last}" if most else f"line {last}"
        )


def texts(submission: Submission) -> dict[str, str]:
    """Return the files of *submission* that could be read, path -> text, as excerpts() wants."""
    return {
        file.path: file.content.decode(errors="replace")
        for file in submission.files
        if file.content is not None
    }


def places(said: Iterable[str], sources: Mapping[str, str]) -> list[Place]:
    """Return the first few places in *sources* that the texts *said* name, each once.

    Lines that hold "error:" come first, as a compiler's warnings and notes are not what
    stopped it. A name that fits no file, or more than one, is no place.
    """
    found: dict[Place, None] = {}
    names = Names(sources)
    for text in said:
        lines = sorted(text.splitlines(), key=lambda line: "error:" not in line)
        for match in _PLACE.finditer("\n".join(lines)):
            if path := names.path(match[1].removeprefix(_BUILT_IN)):
                found[path, int(match[2])] = None
    return list(found)[:PLACES]


def excerpts(said: Iterable[str], sources: Mapping[str, str]) -> list[Excerpt]:
    """Return the lines of *sources* that *said* names, with some around them, by file.

    A line beyond the end of its file is left out: the sources may not be those that
    were graded.
    """
    marked: dict[str, set[int]] = {}
    for path, number in places(said, sources):
        marked.setdefault(path, set()).add(number)
    found = (_excerpt(path, sources[path], numbers) for path, numbers in marked.items())
    return [excerpt for excerpt in found if excerpt.lines]


def _excerpt(path: str, source: str, marked: set[int]) -> Excerpt:
    # By newlines alone, as the compiler counts: a form feed ends no line.
    lines = plain(source).removesuffix("\n").split("\n")
    marked = {number for number in marked if number <= len(lines)}
    near = {n + by for n in marked for by in range(-AROUND, AROUND + 1)}
    numbers = sorted(n for n in near if 1 <= n <= len(lines))
    return Excerpt(
        path=plain(path),
        lines=tuple(
            Line(
                number=number,
                text=_cut(lines[number - 1]),
                marked=number in marked,
                skipped=bool(before) and number > before + 1,
            )
            for before, number in zip([0, *numbers], numbers, strict=False)
        ),
    )


def _cut(line: str) -> str:
    more = len(line) - WIDTH
    return f"{line[:WIDTH]} ... ({more} more characters)" if more > 0 else line
