"""Points into the offline grading worksheet that Moodle made, as CSV, for its upload.

The worksheet is that of assign_grading_table and assignfeedback_offline_grade_importer in
Moodle's source. Its columns are Identifier ("Participant 12345"), Full name unless marking is
blind, more about the user, Status, Grade, Maximum grade, Last modified ... and feedback, with
titles in the language of whoever downloaded it (checker/classroom/intake/moodle.py). Moodle finds
its columns by those titles and its users by the number in the identifier, so that none can be
made up.

What its importer (process_import_grades in mod/assign/feedback/offline/locallib.php) does with a
row, by its source from 4.x to the main branch of October 2025 (2025100600):

- It replaces the decimal mark of the uploader's language by a point and casts (unformat_float), so
  a point is right in every language, and a comma is right in some: 87,5 becomes 87 in English.
- It skips a row whose grade is locked, and one that was graded after the time in the column "Last
  modified (grade)". That time goes through PHP's strtotime(), which knows English alone: in other
  languages each row that has been graded before is skipped, unless the uploader ticks the box.
- The main branch takes a grade of 0 for none (``$grademodified = ($record->grade && ...)``) and
  does not say so.
- A comment is HTML (set_editor_text), its length is not bounded, and it is written even where the
  grade is locked. PHP's fgetcsv() takes a backslash before a quote for an escape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from checker.classroom.export import comment, sheet
from checker.classroom.export.entries import Hidden
from checker.classroom.export.gradebook import Comments, Filled, Keyed, Row
from checker.classroom.export.gradebook import fill as fill_rows
from checker.classroom.export.sheet import Sheet
from checker.classroom.intake import moodle
from checker.errors import InputError
from checker.model import Entry
from checker.report.story import listed

IDENTIFIER = moodle.titles("id")
GRADE = moodle.titles("grade")
MAXIMUM = moodle.titles("maximum")
KEYS = ("identifier", "email address", "full name")

_PARTICIPANT = re.compile(r"(\D*)(\d+)")


def fill(
    entries: Sequence[Entry],
    text: str,
    column: str = "",
    name: str = "the worksheet",
    hidden: Hidden | None = None,
) -> Filled:
    """Return the worksheet *text* with the entries' points as grades.

    *text* is the file's own, with its byte order mark and line ends (see export/sheet.py,
    decode). *column* names the column of grades where it is not to be found. Students are
    matched by the number of the identifier, which submissions are downloaded with, by
    the email address and by the full name; of the keys that are known none may contradict.
    Numbers have a point. A comment without *hidden* checks goes where there is a column of
    feedback and nobody has written in it. Raises InputError, with *name*, when the file is no
    worksheet or its columns are not certain.
    """
    book = sheet.read(text, name)
    if len(book.rows) < 2:
        raise InputError(f"{name} has no row of a participant; download the worksheet from Moodle.")
    header = [cell.text.strip() for cell in book.rows[0]]
    body = [n for n in range(1, len(book.rows)) if any(c.text.strip() for c in book.rows[n])]
    identifier = _identifier(book, header, body, name)
    grade, maximum = _grade(book, header, body, column, name)
    emails = _emails(book, header, body)
    language = moodle.language(header)
    where = {language.column(title): n for n, title in enumerate(header)} if language else {}
    rows = []
    for n in body:
        number = _PARTICIPANT.fullmatch(book.get(n, identifier))
        full = book.get(n, identifier + 1)
        rows.append(
            Row(
                number=n,
                student=f"{book.get(n, identifier)} ({full})",
                keys=(
                    number[2] if number else "",
                    book.get(n, emails).casefold() if emails is not None else "",
                    _plain(full),
                ),
                maximum=book.get(n, maximum),
                locked=_locked(book, n, where, language),
            )
        )
    own = [
        Keyed(
            entry=entry,
            keys=(
                entry.student.id,
                entry.student.email.casefold(),
                _plain(entry.student.name),
            ),
        )
        for entry in entries
    ]
    at = where.get("comments")
    comments = (
        None
        if at is None
        else Comments(at, lambda entry: comment.render(entry, hidden), comment.BEGIN)
    )
    filled = fill_rows(
        book, rows, own, grade, titles=KEYS, reserved={}, point=True, comments=comments
    )
    return filled.model_copy(update={"notes": _notes(filled, book, rows, language, where)})


def _locked(
    book: Sheet, row: int, where: Mapping[str, int], language: moodle.Language | None
) -> str:
    """Return why Moodle would skip *row*; empty as far as one can tell from the worksheet."""
    at = where.get("changeable")
    if language and at is not None and book.get(row, at) == language.no:
        return "The grade is locked in Moodle, which would skip the row: unlock it there first."
    return ""


def _notes(
    filled: Filled,
    book: Sheet,
    rows: Sequence[Row],
    language: moodle.Language | None,
    where: Mapping[str, int],
) -> tuple[str, ...]:
    """Return what to choose in Moodle's form, and what to look at after the upload."""
    mark = {",": "comma (,)", ";": "semicolon (;)", "\t": "tab"}[book.delimiter]
    said = language.name if language else "the language of the titles"
    notes = [
        f"In Moodle's form for the upload choose the separator {mark} and the encoding UTF-8. Set "
        f"your language in Moodle to {said}: it finds the columns by their titles."
    ]
    graded = where.get("graded")
    before = [
        row.student
        for row in rows
        if graded is not None and book.get(row.number, graded) not in ("", "-")
    ]
    if before and language and language.code == "en":
        notes.append(
            "Moodle skips rows that were graded there after this worksheet was downloaded."
        )
    elif before:
        notes.append(
            "Moodle reads the time of the last grade in English only, and skips each row that has "
            f"one: {listed(before)}. Tick the box that allows updating records which were modified "
            "more recently in Moodle than in the spreadsheet, or download the worksheet in English."
        )
    if filled.zero:
        notes.append(
            f"These get 0 points: {listed(filled.zero)}. Versions of Moodle after 5.1 do not "
            "import a 0, and do not say so: look at these grades after the upload, and enter them "
            "by hand where they are missing."
        )
    return tuple(notes)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _identifier(book: Sheet, header: Sequence[str], body: Sequence[int], name: str) -> int:
    """Return the column of identifiers: by its title, or the first if it looks like them."""
    titled = _titled(header, IDENTIFIER)
    candidates = titled if len(titled) == 1 else [0]
    found = [_PARTICIPANT.fullmatch(book.get(n, candidates[0])) for n in body]
    words = {match[1] for match in found if match}
    if not all(found) or len(words) != 1:
        raise InputError(
            f"{name} is not a worksheet of Moodle: its first column must say Participant and a "
            "number in each row. Turn on Offline grading worksheet and download it from the "
            "assignment."
        )
    return candidates[0]


def _grade(
    book: Sheet, header: Sequence[str], body: Sequence[int], column: str, name: str
) -> tuple[int, int]:
    """Return the columns of grades and of their maximum, which stands behind them."""
    if column:
        grades = [n for n, title in enumerate(header) if title == column.strip()]
        if len(grades) != 1:
            raise InputError(f"{name} has {len(grades)} columns {column!r}; it must have one.")
    else:
        grades = _titled(header, GRADE)
    maxima = _titled(header, MAXIMUM)
    if len(grades) == 1:
        maxima = maxima if len(maxima) == 1 else [grades[0] + 1]
    elif len(maxima) == 1:
        grades = [maxima[0] - 1]
    else:
        pairs = [n for n in range(len(header) - 1) if _looks_like_grades(book, body, n)]
        if len(pairs) != 1:
            raise InputError(
                f"{name}: which column takes the grades is not certain; name it with --column. "
                f"There are {', '.join(header)}."
            )
        grades, maxima = pairs, [pairs[0] + 1]
    if not _is_maximum(book, body, maxima[0]):
        raise InputError(
            f"{name}: behind the column {header[grades[0]]} there is none with the maximum grade, "
            "the same number in each row; an assignment that is graded by a scale takes no points."
        )
    return grades[0], maxima[0]


def _titled(header: Sequence[str], titles: Sequence[str]) -> list[int]:
    known = {title.casefold() for title in titles}
    return [n for n, title in enumerate(header) if title.casefold() in known]


def _is_maximum(book: Sheet, body: Sequence[int], column: int) -> bool:
    said = {book.get(n, column) for n in body}
    return len(said) == 1 and (sheet.number(said.pop()) or 0) > 0


def _looks_like_grades(book: Sheet, body: Sequence[int], column: int) -> bool:
    """Say whether *column* is empty or numbers, with their maximum, a decimal, behind it."""
    if not _is_maximum(book, body, column + 1):
        return False
    said = book.get(body[0], column + 1)
    top = sheet.number(said) or 0
    cells = [book.get(n, column) for n in body]
    numbers = [sheet.number(cell) for cell in cells if cell]
    fits = all(value is not None and 0 <= value <= top for value in numbers)
    return fits and bool(re.search(r"[.,]\d+$", said))


def _emails(book: Sheet, header: Sequence[str], body: Sequence[int]) -> int | None:
    """Return the one column that has nothing but addresses, None if there is no such one."""
    found = []
    for column in range(len(header)):
        cells = [cell for n in body if (cell := book.get(n, column))]
        if cells and all(re.fullmatch(r"[^@\s]+@[^@\s]+", cell) for cell in cells):
            found.append(column)
    return found[0] if len(found) == 1 else None
