"""What a lab's wrong solutions earn: whether its points follow the mistakes, for a teacher to see.

The outcomes of a selftest (selftest.py) have the status of each check; the checks say what they
are worth. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from checker.engine import collector
from checker.errors import InputError
from checker.model import Lab
from checker.workshop import mutants
from checker.workshop.selftest import Outcome, Report


class Part(NamedTuple):
    """What a mutant earned in one exercise, and what a right solution earns there."""

    exercise: int
    earned: float
    due: float


class Row(NamedTuple):
    """What a mutant earned on one kernel, in the exercises that it may cost points."""

    kernel: str
    name: str
    why: str
    parts: tuple[Part, ...]

    @property
    def share(self) -> float:
        """Return the part of the points that it earned, from 0 to 1."""
        due = sum(part.due for part in self.parts)
        return sum(part.earned for part in self.parts) / due if due else 0.0


def read(file: Path, lab: Lab) -> Report:
    """Read what `selftest --json` wrote to *file*; InputError when it is none, or another lab's."""
    try:
        report = Report.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{file} cannot be read: {why}.") from error
    except ValidationError as error:
        raise InputError(
            f"{file} is not what `knetlab selftest {lab.name} --json FILE` writes."
        ) from error
    if report.lab != lab.name:
        raise InputError(f"{file} is of the lab {report.lab}, not {lab.name}.")
    return report


def rows(report: Report, lab: Lab) -> list[Row]:
    """Return what each mutant of *report* earned, the least first.

    A mutant that a kernel cannot see has no row for it. Raises InputError where the report's
    checks are not those that *lab* has now, and LabError when those cannot be read.
    """
    specs = collector.specs(lab)
    worth = {spec.id: spec.points for spec in specs}
    worth |= {f"{e.number}.healthy": e.health for e in lab.exercises if e.health}
    needs = {spec.id: spec.needs for spec in specs}
    features = {kernel.name: set(kernel.features) for kernel in report.kernels}
    known = {mutant.name: mutant for mutant in mutants.load(lab.root / "mutants")}
    found = []
    for outcome in report.outcomes:
        if outcome.kind != "mutant" or not outcome.checks or outcome.verdict == "unseen":
            continue
        if (mutant := known.get(outcome.name)) is None:
            raise InputError(f"The lab {lab.name} has no mutant {outcome.name} any more: {_AGAIN}")
        _same(outcome, set(worth))
        have = features.get(outcome.kernel) or set().union(*needs.values())
        due = {i: 0.0 if set(needs.get(i, ())) - have else points for i, points in worth.items()}
        parts = tuple(_part(outcome, number, due) for number in sorted(mutant.exercises))
        found.append(Row(outcome.kernel, outcome.name, mutant.why, parts))
    return sorted(found, key=lambda row: (row.share, row.name, row.kernel))


_AGAIN = "run the selftest again."


def _same(outcome: Outcome, now: set[str]) -> None:
    """Raise InputError unless the exercises of *outcome* have the checks that the lab has *now*."""
    numbers = {check.partition(".")[0] for check in outcome.checks}
    due = {check for check in now if check.partition(".")[0] in numbers}
    if other := sorted(due ^ set(outcome.checks)):
        raise InputError(
            f"The lab's checks are not those of that selftest, by {', '.join(other[:3])}: {_AGAIN}"
        )


def _part(outcome: Outcome, number: int, due: dict[str, float]) -> Part:
    own: Sequence[str] = [i for i in due if i.partition(".")[0] == str(number)]
    earned = sum(due[i] for i in own if outcome.checks.get(i) == "pass")
    return Part(number, earned, sum(due[i] for i in own))
