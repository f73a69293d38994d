"""What the formats ask of an entry: its grade, its points, and what a student may see of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError

from checker.errors import InputError
from checker.model import Attempt, Entry, Grade, Student
from checker.report import story

Visibility = Literal["after_due_date", "never"]

Hidden = Mapping[str, Visibility]
"""Check id -> when a student may see it; a check that is not in it is shown at once."""


def from_grade(text: str, name: str = "the grade") -> Entry:
    """Return the entry of one grade as ``knetlab check --json`` wrote it; it has no mark.

    Raises InputError, with *name*, when *text* is not knetlab/grade/v1.
    """
    try:
        grade = Grade.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(
            f"{name} is not a grade (knetlab/grade/v1){f', see its {where}' if where else ''}; "
            "knetlab check --json FILE writes one."
        ) from error
    key = grade.submission or "submission"
    return Entry(student=Student(key=key, name=key), attempt=Attempt(student=key, grade=grade))


def graded(entry: Entry) -> Grade | None:
    """Return the entry's grade; None when there is none, or the grader failed."""
    grade = entry.attempt.grade if entry.attempt else None
    return grade if grade is not None and grade.status == "graded" else None


def result(entry: Entry) -> tuple[float, float] | None:
    """Return the entry's points and of how many, penalties taken off; None: there are none.

    A grade that is an error, or missing, is never a zero: without one only a mark
    above zero counts, which somebody gave by hand, or the one that the rules have for
    who handed in nothing.
    """
    grade, mark = graded(entry), entry.mark
    if mark and (grade or mark.final > 0 or mark.missing):
        return mark.final, mark.max_score
    return (grade.score, grade.max_score) if grade and not mark else None


def reason(entry: Entry) -> str:
    """Return a sentence that says why result() is None."""
    attempt = entry.attempt
    if attempt is None:
        return "Nothing was handed in."
    if attempt.grade is not None and attempt.grade.status == "error":
        return f"The grader itself failed: {attempt.grade.message or 'it did not say why.'}"
    if attempt.grade is not None:
        return "The rules of the course gave no mark."
    return attempt.problem or "It was not graded."


def name(entry: Entry) -> str:
    """Return what people call the student."""
    return entry.student.name or entry.student.key


def who(entry: Entry) -> str:
    """Return the student's name and, in brackets, what tells them from others of that name."""
    key = entry.student.key
    return f"{name(entry)} ({key})" if name(entry) != key else key


def for_students(grade: Grade, hidden: Hidden) -> Grade:
    """Return *grade* without its hidden checks and what was found in them; scores stay.

    An exercise's health is made of what was found in its checks; hidden, it takes that along.
    """
    healths = {check.partition(".")[0] for check in hidden if check.endswith(".healthy")}
    seen = story.shown(grade, hidden)
    findings = (f for f in seen.findings if f.check.partition(".")[0] not in healths)
    return seen.model_copy(update={"findings": tuple(findings)})
