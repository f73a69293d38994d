"""What an intake has to say before grading starts. Pure: Intake -> rows and sentences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from checker.classroom.intake import Handed, Intake
from checker.model import Student
from checker.report.text import count

State = Literal["complete", "incomplete", "unusable", "nothing"]
"""What an attempt has: all the lab's files, some, none that can be graded; or there is none."""


@dataclass(frozen=True)
class Row:
    """One attempt, or a student without any, as a table shows it."""

    student: str
    key: str
    attempt: str
    state: State
    submitted: str
    files: str
    source: str
    remarks: tuple[str, ...]
    """Sentences: what was odd, missing, or wrong."""


def rows(intake: Intake) -> list[Row]:
    """Return a row for each attempt, and for each student who handed in nothing."""
    found: list[Row] = []
    for student in intake.students:
        attempts = intake.of(student.key)
        found += [_row(student, attempt) for attempt in attempts]
        if not attempts:
            found.append(Row(called(student), student.key, "", "nothing", "", "", "", ()))
    return found


def state(attempt: Handed) -> State:
    """Return what *attempt* has."""
    if attempt.problem:
        return "unusable"
    return "incomplete" if attempt.missing else "complete"


def called(student: Student) -> str:
    """Return what to call *student*: the name, or whatever else is known."""
    return student.name or student.login or student.email or student.sis_id or student.key


def _row(student: Student, attempt: Handed) -> Row:
    remarks = [*attempt.notes]
    if attempt.missing and not attempt.problem:
        remarks.append(f"Missing: {', '.join(attempt.missing)}.")
    if attempt.problem:
        remarks.append(attempt.problem)
    asked = len(attempt.found) + len(attempt.missing)
    when = f"{attempt.submitted:%Y-%m-%d %H:%M:%S %z}" if attempt.submitted else ""
    return Row(
        student=called(student),
        key=student.key,
        attempt=attempt.label,
        state=state(attempt),
        submitted=f"{when} late".strip() if attempt.late else when,
        files=f"{len(attempt.found)} of {asked}" if asked else "",
        source=attempt.source,
        remarks=tuple(remarks),
    )


def summary(intake: Intake) -> list[str]:
    """Return sentences on the whole: how many of what, and what concerns no single student."""
    states = Counter(row.state for row in rows(intake))
    several = sum(len(intake.of(student.key)) > 1 for student in intake.students)
    untimed = sum(a.submitted is None and not a.problem for a in intake.attempts)
    parts = [f"{states['complete']} with all files of the lab"]
    parts += [f"{states['incomplete']} with some missing"] * bool(states["incomplete"])
    parts += [f"{states['unusable']} with nothing to grade"] * bool(states["unusable"])
    told = [
        f"{count(len(intake.students), 'student')}, {count(len(intake.attempts), 'submission')}: "
        f"{', '.join(parts)}."
    ]
    if states["nothing"]:
        told.append(f"{count(states['nothing'], 'student')} handed in nothing.")
    if several:
        told.append(f"{count(several, 'student')} handed in more than once.")
    if untimed:
        told.append(f"{count(untimed, 'submission')} without a time.")
    return [*told, *intake.notes]
