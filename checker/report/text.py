"""Text that a student's module may have written, made fit to print."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from checker.model import Record
from checker.points import told

_Record = TypeVar("_Record", bound=Record)

# What a terminal, a page or an XML reader would act on or choke on: C0 but newline and
# tab, DEL, C1, what turns the direction of writing, other line ends, lone surrogates and
# the two code points XML leaves out.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# "[    7.412209] " and, on kernels that print the caller, "[    7.412209][  T231] "
_STAMP = re.compile(r"^\[ *\d+\.\d+\](\[ *[TC]\d+\])? ?")
_TAIL = 5
_MARGIN = re.compile(r"^ +(?:\d+ )?\| ", re.MULTILINE)
"""gcc's margin, before a line of source or the marks below it."""


def plain(text: str) -> str:
    r"""Return *text* with every character that is not for printing written as C writes it.

    Nothing is dropped: a student who printed an escape should see ``\x1b``. Newlines and tabs
    stay, a CR before a newline goes.
    """
    return _UNFIT.sub(_escaped, text.replace("\r\n", "\n"))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def clean(record: _Record, encoding: str = "utf-8") -> _Record:
    """Return *record* with every string in it plain, and printable in *encoding*.

    Each report begins with this, so that no field can be forgotten later.
    """

    def walk(value: Any) -> Any:
        match value:
            case str():
                return plain(value).encode(encoding, "replace").decode(encoding)
            case dict():
                return {key: walk(item) for key, item in value.items()}
            case list() | tuple():
                return [walk(item) for item in value]
        return value

    return type(record).model_validate(walk(record.model_dump()))


def one_line(text: str) -> str:
    """Return *text* as one line: every run of white space is one blank."""
    return " ".join(text.split())


def fold(text: str, lines: int | None = None, width: int | None = None) -> str:
    """Return log *text*, shorter.

    Lines that repeat, but for the kernel's time stamp, become one and a count. Of more than
    *lines* lines the middle is left out; what is beyond *width* characters of a line, too.
    """
    folded = []
    for _, run in groupby(text.strip("\n").splitlines(), key=lambda line: _STAMP.sub("", line)):
        first, *more = (line.rstrip() for line in run)
        if width is not None and len(first) > width:
            first = f"{first[:width]} ... ({len(first) - width} more characters)"
        if more and first:  # of blank lines one is enough, uncounted
            first += f" (repeated {len(more) + 1} times)"
        folded.append(first)
    if lines is not None and len(folded) > lines:
        left_out = f"... {len(folded) - lines} lines left out ..."
        folded[lines - _TAIL : -_TAIL] = [left_out]
    return "\n".join(folded)


def has_marks(log: str) -> bool:
    """Tell whether gcc marks places in *log*, whose lines then must not be wrapped."""
    return bool(_MARGIN.search(log))


def points(value: float) -> str:
    """Return *value* without needless zeros: 20, 2.5, 3.33."""
    return told(value)


def count(number: int, noun: str) -> str:
    """Return "1 check", "2 checks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock(when: datetime) -> str:
    """Return *when* on this host's clock: 14:02, with the date if that is not today."""
    local, now = when.astimezone(), datetime.now().astimezone()
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M}"


def unchanged(when: datetime) -> str:
    """Return the words for a result that was made at *when* and still holds."""
    return f"unchanged since {clock(when)}"
