"""Pure: what the compiler, the linker or modpost print -> mistakes, each with its place.

What several errors say of one line is one mistake. A place is always in the student's own
files: of what gcc says in a header of the kernel's, it is the line that leads there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from checker.words.remarks import is_kernels

_BEGINS = re.compile(
    r"(?:(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? |cc1: )?(?P<kind>(?:fatal )?error|warning): "
)
_LINKED = re.compile(
    r"ERROR: modpost: |(?:(?P<file>[^\s:]+):(?P<line>\d+): |.*: )?"
    r"(?:undefined reference to|multiple definition of) "
)
_CONTEXT = re.compile(
    r"In file included from |  +from |(?:\S+: )?(?:In|At) (?:function|top level)|  +inlined from "
)
"""Lines that stand before what they belong to."""

_LEADS = (
    re.compile(r"inlined from \S+ at (?P<file>[^\s:]+):(?P<line>\d+)"),
    re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? note: in expansion of", re.MULTILINE),
    re.compile(r"(?:included|  +) from (?P<file>[^\s:]+):(?P<line>\d+)"),
)
"""How gcc names the lines that lead to one of a header's, the most telling first."""


@dataclass
class Mistake:
    """What is said of one line: the *text*, the *place* in the student's files, "" for none.

    *serious*: at least one of it is an error, and not a warning.
    """

    text: str
    place: str
    serious: bool


def mistakes(output: str) -> list[Mistake]:
    """Return what *output* says, in its order; errors and warnings of one line are together."""
    found: list[Mistake] = []
    context: list[str] = []
    for line in output.splitlines():
        begins = _BEGINS.match(line) or _LINKED.match(line)
        if begins is None:
            if _CONTEXT.match(line):
                context.append(line)
            elif found:
                found[-1].text += "\n".join(["", *context, line])
                context = []
            continue
        serious = begins.groupdict().get("kind") != "warning"
        found.append(Mistake("\n".join([*context, line]), "", serious))
        context = []
    for one in found:
        one.place = _place(one.text)
    return _together(found)


def first(output: str) -> str:
    """Return the place of the first error in *output* that has one; "" where none has."""
    return next((one.place for one in mistakes(output) if one.serious and one.place), "")


def holding(output: str, words: str) -> str:
    """Return the place of the mistake in whose text *words* stand; "" where there is none."""
    return next((one.place for one in mistakes(output) if words in one.text), "")


def _place(text: str) -> str:
    begins = next(
        (m for line in text.splitlines() if (m := _BEGINS.match(line) or _LINKED.match(line))), None
    )
    if begins and begins["file"] and not is_kernels(begins["file"]):
        return f"{begins['file']}:{begins['line']}"
    for lead in _LEADS:
        for match in lead.finditer(text):
            if not is_kernels(match["file"]):
                return f"{match['file']}:{match['line']}"
    return ""


def _together(found: list[Mistake]) -> list[Mistake]:
    """Return them with those of one place put together, at the first one's."""
    by_place: dict[str, Mistake] = {}
    done: list[Mistake] = []
    for one in found:
        if one.place and (before := by_place.get(one.place)):
            before.text += f"\n{one.text}"
            before.serious |= one.serious
        else:
            done.append(one)
            if one.place:
                by_place[one.place] = one
    return done


# --- places that only the source tells ------------------------------------------------


# each of them may lack its end: what has begun is not looked for again from a later place
_NOT_CODE = re.compile(
    r"/\*(?:.*?\*/|.*)|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?", re.DOTALL
)


def code(source: str) -> str:
    """Return *source* with comments and strings blanked out; the lines stay."""
    return _NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)


_FUNCTION = re.compile(r"\b(?P<name>\w+)\s*\(")


def never_closed(sources: Mapping[str, str]) -> tuple[str, str]:
    """Return place and name of the function that is never closed; ("", "") where none is seen.

    One is when another function begins, at the first column, before its last } has come.
    """
    for path, source in sources.items():
        depth, begun, head = 0, ("", ""), ("", "")
        for number, line in enumerate(code(source).splitlines(), 1):
            top = re.match(r"[A-Za-z_].*\(", line) and not re.search(r";\s*$", line)
            if top:
                name = _FUNCTION.search(line)
                if depth and begun[0]:
                    return begun
                head = (f"{path}:{number}", name["name"] if name else "")
            if "{" in line and depth == 0:
                begun = head
            depth += line.count("{") - line.count("}")
            if depth <= 0:
                depth, begun = 0, ("", "")
        if depth and begun[0]:
            return begun
    return "", ""


def used(sources: Mapping[str, str], name: str) -> str:
    """Return where *name* is called inside a function of *sources*; "" where it is nowhere."""
    for path, source in sources.items():
        for number, line in enumerate(code(source).splitlines(), 1):
            if re.match(rf"\s.*(?<!\w){re.escape(name)}(?!\w)", line):
                return f"{path}:{number}"
    return ""
