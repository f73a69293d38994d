"""A class as CSV: a row a student, a column an exercise."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from checker.classroom.export.entries import graded
from checker.classroom.export.harmless import cell
from checker.model import Entry
from checker.report.text import points

WHO = ("student", "name", "id", "sis_id", "login", "email", "submitted")
MARK = ("raw", "penalty", "final", "max", "status", "notes")


def render(entries: Sequence[Entry]) -> str:
    """Return *entries* as CSV (RFC 4180), UTF-8 when written.

    All cells are quoted, and text begins with nothing that a spreadsheet calculates. A cell for
    which there is no grade is empty, never 0. The status is ``graded``, ``error`` (the
    grader's), ``problem`` (nothing could be graded) or ``missing``.
    """
    numbers = sorted(
        {e.number for entry in entries if (grade := graded(entry)) for e in grade.exercises}
    )
    out = io.StringIO()
    rows = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    rows.writerow((*WHO, *(f"exercise {number}" for number in numbers), *MARK))
    for entry in entries:
        rows.writerow(_row(entry, numbers))
    return out.getvalue()


def _row(entry: Entry, numbers: Sequence[int]) -> list[str]:
    student, mark, grade = entry.student, entry.mark, graded(entry)
    submitted = entry.attempt.submitted if entry.attempt else None
    scores = {e.number: points(e.score) for e in grade.exercises} if grade else {}
    values = (mark.raw, mark.penalty, mark.final, mark.max_score) if mark else (None,) * 4
    return [
        *map(cell, (student.key, student.name, student.id, student.sis_id, student.login)),
        cell(student.email),
        submitted.isoformat() if submitted else "",
        *(scores.get(number, "") for number in numbers),
        *("" if value is None else points(value) for value in values),
        _status(entry),
        cell(" ".join((*(mark.notes if mark else ()), _why(entry)))),
    ]


def _status(entry: Entry) -> str:
    if entry.attempt is None:
        return "missing"
    grade = entry.attempt.grade
    return "problem" if grade is None else grade.status


def _why(entry: Entry) -> str:
    attempt = entry.attempt
    if attempt is None:
        return ""
    return attempt.grade.message if attempt.grade else attempt.problem
