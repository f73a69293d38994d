"""Points into the gradebook that Canvas exported, as CSV, for its import.

The format is that of GradebookExporter and GradebookImporter in Canvas's source: a header row
(Student or LastName, FirstName; then ID, SIS User ID, SIS Login ID, ..., Section), maybe a row
of posting policies, a row that begins with "Points Possible", and a row a student, the test
student's last. Columns of which that row says "(read only)" are worked out by Canvas.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from checker.classroom.export import sheet
from checker.classroom.export.gradebook import Filled, Keyed, Row
from checker.classroom.export.gradebook import fill as fill_rows
from checker.classroom.export.sheet import Sheet
from checker.errors import InputError
from checker.model import Entry

KEYS = ("ID", "SIS User ID", "SIS Login ID")
POINTS = "Points Possible"
TEST_STUDENT = "Student, Test"

_TOTALS = re.compile(r"(Current|Final) (Score|Points|Grade)|Override (Score|Grade|Status)")
_RESERVED = {
    "EX": "The gradebook says EX: the student is excused.",
    "N/A": "The gradebook says N/A: the assignment is not this student's.",
}


def fill(entries: Sequence[Entry], text: str, column: str, name: str = "the gradebook") -> Filled:
    """Return the gradebook *text* with the entries' points in the assignment's *column*.

    *text* is the file's own, with its byte order mark and line ends (see export/sheet.py,
    decode). *column* is the assignment's title, with or without Canvas's number behind it, or
    the number. Students are matched by ID, SIS User ID and SIS Login ID; of the keys
    that are known none may contradict. Raises InputError, with *name*, when the file is not
    Canvas's or the column is not an assignment's.
    """
    book = sheet.read(text, name)
    header = [cell.text.strip() for cell in book.rows[0]] if book.rows else []
    at = _columns(header, name)
    possible = [n for n in range(1, len(book.rows)) if POINTS in book.get(n, 0)]
    if not possible:
        raise InputError(f"{name} has no row {POINTS}; export the gradebook from Canvas again.")
    chosen = _assignment(book, header, column, possible, name)
    said = [book.get(row, chosen) for row in possible]
    maximum = next((text for text in said if sheet.number(text)), "")
    if not maximum:
        raise InputError(
            f"{name}: the column {header[chosen]} has no number in the row {POINTS}, so points "
            "cannot be scaled to it; give the assignment points in Canvas and export again."
        )
    rows = [
        Row(number=n, student=book.get(n, 0), keys=_keys(book, n, at), maximum=maximum)
        for n in range(possible[0] + 1, len(book.rows))  # above stand policies, and no student
        if n not in possible and book.get(n, 0) not in ("", TEST_STUDENT)
    ]
    own = [
        Keyed(entry=e, keys=(e.student.id, e.student.sis_id, e.student.login.casefold()))
        for e in entries
    ]
    return fill_rows(book, rows, own, chosen, titles=KEYS, reserved=_RESERVED)


def _columns(header: Sequence[str], name: str) -> dict[str, int]:
    student = header[:1] == ["Student"] or header[:2] == ["LastName", "FirstName"]
    if not student or not {"ID", "Section"} <= set(header):
        raise InputError(
            f"{name} is not a gradebook that Canvas exported: its first row must begin with "
            "Student, ID and have the columns SIS Login ID and Section."
        )
    return {title: header.index(title) for title in KEYS if title in header}


def _keys(book: Sheet, row: int, at: dict[str, int]) -> tuple[str, ...]:
    keys = [book.get(row, at[title]) if title in at else "" for title in KEYS]
    return (*keys[:2], keys[2].casefold())


def _assignment(
    book: Sheet, header: Sequence[str], column: str, possible: Sequence[int], name: str
) -> int:
    first = header.index("Section") + 1
    titles = {
        n: header[n]
        for n in range(first, len(header))
        if not _TOTALS.search(header[n])
        and not any("read only" in book.get(row, n).lower() for row in possible)
    }
    wanted = column.strip()
    exact = [n for n, title in titles.items() if title == wanted]
    found = exact or [n for n, title in titles.items() if wanted in _names(title)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(titles[n] for n in found)
        raise InputError(f"{name} has several columns {wanted}: {several}. Name one in full.")
    for title in header[first:]:
        if (total := _TOTALS.search(title)) and wanted in (title, *_names(title)):
            cause = (
                f"Canvas takes each title that holds {total[0]!r} for a total of its own, and "
                "leaves the column out of the import"
            )
            raise InputError(
                f"{name}: the column {title} cannot be filled: {cause}. Give the assignment "
                "another name in Canvas and export the gradebook again."
                if _names(title)
                else f"{name}: the column {title} is a total that Canvas works out itself; name "
                "an assignment with --column."
            )
    if wanted in header:
        raise InputError(f"{name}: the column {wanted} is not an assignment's; Canvas ignores it.")
    near = difflib.get_close_matches(wanted, titles.values(), n=1) or list(titles.values())[:5]
    raise InputError(
        f"{name} has no assignment {wanted!r}; "
        + (f"it has {', '.join(near)}." if near else "it has none at all.")
    )


def _names(title: str) -> tuple[str, ...]:
    """Return the title and the number of ``SYN logger (12345)``."""
    parts = re.fullmatch(r"(.*?)\s*\((\d+)\)", title)
    return parts.groups() if parts else ()
