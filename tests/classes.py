"""Made classes for the tests: entries as a batch would have them, from recorded grades."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from checker.model import Attempt, Entry, Grade, Mark, Student

GRADES = Path(__file__).parent / "data" / "grades"
SUBMITTED = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)


def grade(name: str) -> Grade:
    """Return the recorded grade *name*: full, skeleton, crash, evil, timeout, ..."""
    return Grade.model_validate_json((GRADES / f"{name}.json").read_text())


def entry(key: str, recorded: str = "full", *, name: str = "", penalty: float = 0.0) -> Entry:
    """Return a student's entry with a recorded grade and *penalty* points taken off."""
    got = grade(recorded)
    mark = None
    if got.status == "graded":
        mark = Mark(
            raw=got.score, penalty=penalty, final=got.score - penalty, max_score=got.max_score
        )
    return Entry(
        student=Student(
            key=key,
            name=name or key.title(),
            id=str(1000 + sum(key.encode())),
            sis_id=f"s-{key}",
            login=key,
            email=f"{key}@example.org",
        ),
        attempt=Attempt(student=key, submitted=SUBMITTED, grade=got),
        mark=mark,
    )


def absent(key: str) -> Entry:
    """Return a student who handed in nothing."""
    return Entry(student=Student(key=key, name=key.title()))
