"""Two runs over a class, compared: whose mark changed, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from checker.model import CheckResult, Entry, Grade, Mark, Record, Status, Student
from checker.points import rounded, told

Kind = Literal["changed", "appeared", "vanished"]


class CheckChange(Record):
    """A check that did not come to the same; None where a run has no such check."""

    id: str
    before: Status | None
    after: Status | None
    points: float = Field(description="gained, or lost when below zero")


class Change(Record):
    """One student whose entry is not the same in both runs."""

    student: Student
    kind: Kind
    before: Mark | None = None
    after: Mark | None = None
    why: tuple[str, ...] = Field(default=(), description="sentences")
    checks: tuple[CheckChange, ...] = ()


class Diff(Record):
    """All that changed from one run to another."""

    changes: tuple[Change, ...]
    same: int = Field(description="students of both runs for whom nothing changed")
    made: tuple[str, ...] = Field(
        default=(), description="sentences: what the two runs were made with, where it differs"
    )


def compare(before: Iterable[Entry], after: Iterable[Entry]) -> Diff:
    """Return what changed for whom from the run *before* to the run *after*.

    Students are the same when their keys are. An entry has changed when its mark
    has, whether it has one, or what became of a check; who differs only in time,
    place or seed of grading is the same.
    """
    old = {entry.student.key: entry for entry in before}
    new = {entry.student.key: entry for entry in after}
    both = [(old[key], new[key]) for key in new if key in old]
    changes = [change for pair in both if (change := _change(*pair))]
    same = len(both) - len(changes)
    changes += [_alone(entry, "appeared") for key, entry in new.items() if key not in old]
    changes += [_alone(entry, "vanished") for key, entry in old.items() if key not in new]
    return Diff(changes=tuple(changes), same=same, made=tuple(_made(both)))


def _alone(entry: Entry, kind: Kind) -> Change:
    side = "after" if kind == "appeared" else "before"
    only = "The second" if kind == "appeared" else "The first"
    why = f"{only} run alone has this student."
    return Change(student=entry.student, kind=kind, why=(why,), **{side: entry.mark})


def _change(old: Entry, new: Entry) -> Change | None:
    grades = [entry.attempt.grade if entry.attempt else None for entry in (old, new)]
    changed = checks(*grades)
    if _numbers(old.mark) == _numbers(new.mark) and not changed and _fate(old) == _fate(new):
        return None
    why = [*_attempts(old, new), *_marks(old.mark, new.mark)]
    differ = [what for what, first, second in provenance(*grades) if first != second]
    if differ:
        why.append(f"It was graded with another {_listed(differ)}.")
    files = [entry.attempt.sources if entry.attempt else "" for entry in (old, new)]
    if all(files) and files[0] != files[1]:
        why.append("Other files were handed in.")
    elif changed and all(grades) and not differ:
        why.append(
            "Files, kernel, lab, grader and image are the same: the checks do not always say the "
            "same of it. Please report that."
            if all(files)
            else "Kernel, lab, grader and image are the same: what was handed in is not, or the "
            "checks do not always say the same."
        )
    return Change(
        student=new.student,
        kind="changed",
        before=old.mark,
        after=new.mark,
        why=tuple(why),
        checks=tuple(changed),
    )


def _numbers(mark: Mark | None) -> tuple[float, ...]:
    return (mark.raw, mark.penalty, mark.final, mark.max_score) if mark else ()


def _fate(entry: Entry) -> str:
    """Return what became of an entry in general: handed in, graded or neither."""
    if entry.attempt is None:
        return "nothing was handed in"
    if entry.attempt.grade is None:
        return "there was no grade"
    return "graded" if entry.attempt.grade.status == "graded" else "the grader failed"


def _attempts(old: Entry, new: Entry) -> Iterable[str]:
    """Yield sentences on the attempts that count, where they are not the same."""
    if _fate(old) != _fate(new):
        yield f"Before, {_fate(old)}; now, {_fate(new)}."
    problem = new.attempt.problem if new.attempt else ""
    if problem and problem != (old.attempt.problem if old.attempt else ""):
        yield " ".join(problem.split())
    if not (old.attempt and new.attempt):
        return
    if (old.attempt.label, old.attempt.submitted) != (new.attempt.label, new.attempt.submitted):
        names = [
            a.label or str(a.submitted or "one without a time") for a in (old.attempt, new.attempt)
        ]
        if names[0] == names[1]:
            names = [str(a.submitted or "no time") for a in (old.attempt, new.attempt)]
        yield f"Another attempt counts: {names[0]} before, {names[1]} now."


def _marks(old: Mark | None, new: Mark | None) -> Iterable[str]:
    """Yield sentences on the parts of the mark that are not the same."""
    if not (old and new):
        return
    for what, first, second in (
        ("raw score", old.raw, new.raw),
        ("penalty", old.penalty, new.penalty),
        ("maximum", old.max_score, new.max_score),
    ):
        if first != second:
            yield f"The {what} was {told(first)} and is {told(second)}."
    yield from (note for note in new.notes if note not in old.notes)


def checks(old: Grade | None, new: Grade | None) -> list[CheckChange]:
    """Return the checks whose status or points differ; none unless both runs have a grade."""
    if not (old and new):
        return []
    befores, afters = (
        {check.id: check for exercise in grade.exercises for check in exercise.checks}
        for grade in (old, new)
    )
    return [
        CheckChange(
            id=id_,
            before=first.status if first else None,
            after=second.status if second else None,
            points=rounded(_points(second) - _points(first)),
        )
        for id_ in {**befores, **afters}
        for first, second in [(befores.get(id_), afters.get(id_))]
        if (first and (first.status, first.points)) != (second and (second.status, second.points))
    ]


def _points(check: CheckResult | None) -> float:
    return check.points if check else 0.0


def provenance(old: Grade | None, new: Grade | None) -> list[tuple[str, str, str]]:
    """Return what can change a grade besides what was handed in, before and after."""
    if not (old and new):
        return []
    (first, second) = (
        {
            "kernel": f"{grade.kernel.name} {grade.kernel.release}",
            "lab": grade.provenance.lab,
            "grader": grade.provenance.checker,
            "image": grade.provenance.image,
            "accelerator": grade.provenance.accel,
            "QEMU": grade.provenance.qemu,
            "processor": grade.provenance.cpu,
        }
        for grade in (old, new)
    )
    # older records have neither of the last two, which says nothing
    return [(what, first[what], second[what]) for what in first if first[what] and second[what]]


def _made(both: Sequence[tuple[Entry, Entry]]) -> Iterable[str]:
    """Yield a sentence for each pair of kernels, labs, ... and how many students it is for."""
    counts: dict[tuple[str, str, str], int] = {}
    for pair in both:
        old, new = (entry.attempt.grade if entry.attempt else None for entry in pair)
        for what, first, second in provenance(old, new):
            if first != second:
                key = (what, short(first), short(second))
                counts[key] = counts.get(key, 0) + 1
    for (what, first, second), number in counts.items():
        students = "1 student" if number == 1 else f"{number} students"
        yield f"The {what} was {first} and is {second}, for {students}."


def short(text: str) -> str:
    """Return as much of a hash as tells it from others; what is no hash stays."""
    return text[:12] if re.fullmatch("[0-9a-f]{40,}", text) else text


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
