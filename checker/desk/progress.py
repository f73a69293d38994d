"""What a student has reached in a folder, and which hints were shown: kept in the cache.

The last run (last_run.py) may have been of one exercise only; here stands for each exercise
what it earned when it was tried last, and of which sources.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, Field

from checker.engine import earlier, submission
from checker.model import Exercise, Grade, Lab, Record, Submission
from checker.report.text import points
from vm import cache


class Reached(Record):
    """What an exercise earned when it was tried last."""

    score: float
    max_score: float
    sources: str
    at: AwareDatetime | None = Field(default=None, description="when it was run")
    made: str = Field(default="", description="of which lab and knetlab: made_of()")

    @property
    def full(self) -> bool:
        """Whether there was nothing left to earn."""
        return self.score == self.max_score


class Progress(Record):
    """All that is kept of one folder; exercises by number."""

    reached: dict[int, Reached] = Field(default={})
    hints: dict[int, int] = Field(default={}, description="how many were shown")


def load(lab: Lab, folder: Path) -> Progress:
    """Return what is kept of *folder*; nothing where it was never checked."""
    with contextlib.suppress(OSError, ValueError):
        return Progress.model_validate_json(_file(lab, folder).read_text(encoding="utf-8"))
    return Progress()


@dataclass(frozen=True)
class Loss:
    """An exercise that earned more before."""

    exercise: Exercise
    had: float
    has: float

    def __str__(self) -> str:
        """Say so in a sentence."""
        return f"Exercise {self.exercise.number} had {points(self.had)}, has {points(self.has)}."


def note(lab: Lab, given: Submission, grade: Grade) -> list[Loss]:
    """Keep what *grade* says of each of its exercises; return those that earned more before.

    A solved one starts its hints anew. An exercise at which the grader itself failed is left
    as it was.
    """
    before = load(lab, given.path)
    exercises = {exercise.number: exercise for exercise in lab.exercises}
    now = {
        result.number: Reached(
            score=result.score,
            max_score=result.max_score,
            sources=fingerprint(lab, exercises[result.number], given),
            at=result.reused.at if result.reused else datetime.now(UTC),
            made=made_of(grade.provenance.lab, grade.provenance.checker),
        )
        for result in grade.exercises
        if all(check.status != "error" for check in result.checks)
    }
    solved = {number for number, one in now.items() if one.full}
    hints = {number: shown for number, shown in before.hints.items() if number not in solved}
    _save(lab, given.path, Progress(reached=before.reached | now, hints=hints))
    return [
        Loss(exercises[number], was.score, now[number].score)
        for number, was in before.reached.items()
        if number in now and now[number].score < was.score
    ]


def forget(lab: Lab, folder: Path, numbers: Collection[int]) -> None:
    """Forget what the exercises *numbers* came to, since they are begun anew."""
    before = load(lab, folder)
    reached = {number: one for number, one in before.reached.items() if number not in numbers}
    _save(lab, folder, before.model_copy(update={"reached": reached}))


def set_hints(lab: Lab, folder: Path, number: int, shown: int) -> None:
    """Keep that so many hints of exercise *number* were shown."""
    before = load(lab, folder)
    _save(lab, folder, before.model_copy(update={"hints": before.hints | {number: shown}}))


def fingerprint(lab: Lab, exercise: Exercise, given: Submission) -> str:
    """Return a hash of the sources that *exercise* is about."""
    names = lab.files(exercise)
    return cache.digest(*(file.content or b"" for file in given.files if file.path in names))


def made_of(lab: str, code: str) -> str:
    """Return what stands for the lab and the knetlab of which these are the hashes."""
    return f"{lab} {code}"


def made_now(lab: Lab) -> str:
    """Return made_of() as it is now."""
    return made_of(earlier.tree_hash(lab.root), earlier.code_hash())


def stale(lab: Lab, folder: Path, progress: Progress) -> set[int]:
    """Return the exercises whose sources were edited since they were tried last."""
    given = submission.read(lab, folder)
    return {
        exercise.number
        for exercise in lab.exercises
        if (reached := progress.reached.get(exercise.number))
        and reached.sources != fingerprint(lab, exercise, given)
    }


def at(lab: Lab, folder: Path, among: Sequence[Exercise] | None = None) -> Exercise | None:
    """Return the exercise that is being worked on: of *among*, else all, the first not full.

    When all were, it is the first whose sources were edited since; None when there is none.
    """
    exercises = lab.exercises if among is None else among
    progress = load(lab, folder)
    full = {number for number, reached in progress.reached.items() if reached.full}
    edited = stale(lab, folder, progress)
    waiting = [e for e in exercises if e.number not in full]
    return next(iter(waiting or [e for e in exercises if e.number in edited]), None)


def _file(lab: Lab, folder: Path) -> Path:
    return cache.root() / "progress" / f"{cache.digest(lab.name, str(folder.resolve()))}.json"


def _save(lab: Lab, folder: Path, progress: Progress) -> None:
    file = _file(lab, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(progress.model_dump_json(), encoding="utf-8")
    fresh.replace(file)
