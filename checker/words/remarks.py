"""Pure: what gcc and sparse print -> what it says of the student's own lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Remark:
    """What one *tool* says of a *line* of a *file* of the submission; line 0 is the whole file."""

    file: str
    line: int
    tool: str = field(compare=False)
    text: str


_LINE = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+):\d+: (?P<kind>\w[\w ]*): ?(?P<text>.*)")
_MORE = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+):\d+: {2,}(?P<text>\S.*)")
"""How sparse goes on with what was expected and what it got."""
_LINKED = re.compile(r"ERROR: modpost: (?P<text>.*)")


def parse(output: str, tool: str) -> list[Remark]:
    """Return the remarks in the compiler's or sparse's *output*, with paths from the submission's.

    What is found inside a macro of the kernel's is told of the line that uses it; all else
    in the kernel's own files, which have other paths, is left out.
    """
    found: list[Remark] = []
    in_kernel = ""
    for line in output.splitlines():
        if match := _LINE.match(line):
            own = not is_kernels(match["file"])
            text, serious = match["text"].strip(), match["kind"] != "note"
            if serious:
                in_kernel = "" if own else text
            elif own and in_kernel and _IN_MACRO.match(text):
                text, in_kernel, serious = in_kernel, "", True
            if own and serious:
                found.append(Remark(match["file"], int(match["line"]), tool, text))
        elif match := _MORE.match(line):
            if found and (found[-1].file, found[-1].line) == (match["file"], int(match["line"])):
                text = f"{found[-1].text}; {' '.join(match['text'].split())}"
                found[-1] = Remark(match["file"], int(match["line"]), tool, text)
        elif match := _LINKED.match(line):
            found.append(Remark("", 0, tool, match["text"]))
    return found


_IN_MACRO = re.compile(r"in (expansion|definition) of macro")
_OF_GCC = re.compile(
    r"\S+:\d+:(?:\d+:)? note: "
    r"(?:\W?-Wmisleading-indentation\W? is disabled from|adding \W?-flarge-source-files)"
)
"""What helps nobody: what gcc says of itself once it has lost the columns, as where a bracket is
never closed."""
_HEADERS = re.compile(
    r"\S+:\d+:(?:\d+:)? note: "
    r"(?:include \W?<[\w/]+\.h>\W? or provide a declaration of"
    r"|\W?\w+\W? is defined in header \W?<[\w/]+\.h>\W?; did you forget to)"
)
"""Which header of the C library has printf(): the kernel has none of them, a program has."""

_SOURCE = re.compile(r" *(?:\d*|\+{3}) \|")
"""A line of source below what gcc says, one of marks, or one that gcc would add."""
_CHAIN = re.compile(r"(?:In file included|\s+) from (?P<place>[^\s:]+:\d+)[:,]$")


def shorten(output: str, *, of_program: bool = False) -> str:
    """Return the compiler's *output* without the ways through the kernel's own headers.

    Those are how one of them came to be included, but for the student's line it began
    with, and the macros that a macro in the student's line is made of. gcc's notes on
    itself are left out, too, and those on headers of the C library but for a program.
    """
    kept: list[str] = []
    inside = False
    for line in output.splitlines():
        if chain := _CHAIN.match(line):
            if not is_kernels(chain["place"]):
                kept.append(f"In file included from {chain['place']}:")
        elif inside and _SOURCE.match(line):
            continue  # it belongs to what was left out
        elif (
            _OF_GCC.match(line)
            or (not of_program and _HEADERS.match(line))
            or (
                (note := _LINE.match(line))
                and is_kernels(note["file"])
                and _IN_MACRO.match(note["text"])
            )
        ):
            inside = True
            continue
        else:
            kept.append(line)
        inside = False
    return "\n".join(kept)


def is_kernels(path: str) -> bool:
    """Tell whether gcc's *path* is one of the kernel's or the system's files."""
    return path.startswith(("/", "./"))
