"""Pure: results x points -> Grade."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from checker.model import (
    CheckResult,
    Exercise,
    ExerciseResult,
    Finding,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Status,
    Submission,
)

HEALTHY = "While the module is loaded, used and unloaded, the kernel has nothing to report."


@dataclass(frozen=True)
class Checked:
    """What the checks of one exercise came to, and what the kernel reported meanwhile."""

    exercise: Exercise
    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...] = ()


def judge(checked: Iterable[Checked]) -> list[Checked]:
    """Return the same with each exercise's check ``N.healthy``, which no guest runs.

    It costs its points when the kernel reported something during a check of the
    exercise. A mistake costs once: what was reported at the same place of the
    same module in an earlier exercise is not counted again.
    """
    charged: set[tuple[str, str, str]] = set()
    judged = []
    for one in checked:
        keys = {_key(one.exercise, finding): finding for finding in reversed(one.findings)}
        new = [finding for key, finding in reversed(keys.items()) if key not in charged]
        charged |= keys.keys()
        if one.exercise.health:
            one = replace(one, results=(*one.results, _healthy(one, new)))  # noqa: PLW2901
        judged.append(one)
    return judged


def _key(exercise: Exercise, finding: Finding) -> tuple[str, str, str]:
    return exercise.module, finding.kind, finding.location or finding.summary


def _healthy(checked: Checked, findings: list[Finding]) -> CheckResult:
    """Judge the exercise's health; it earns nothing unless its first check passed."""
    exercise, first = checked.exercise, checked.results[:1]
    status: Status = "pass"
    message = log = ""
    if findings:
        status = "fail"
        told = [f"{f.location}: {f.summary}" if f.location else f.summary for f in findings]
        message = "\n".join(told)
        log = findings[0].report
    elif not first or first[0].status != "pass":
        status = "skip"
        message = f"{first[0].id} did not pass" if first else "nothing was checked"
    return CheckResult(
        id=f"{exercise.number}.healthy",
        title=HEALTHY,
        status=status,
        points=exercise.health if status == "pass" else 0.0,
        max_points=exercise.health,
        message=message,
        log=log,
    )


def grade(
    lab: Lab,
    submission: Submission,
    checked: Iterable[Checked],
    *,
    kernel: KernelInfo,
    provenance: Provenance,
) -> Grade:
    """Sum up the exercises that were checked.

    The status is ``error`` when a check is an ``error`` itself; its message says why.
    """
    checked = list(checked)
    exercises = tuple(
        ExerciseResult(
            number=one.exercise.number,
            title=one.exercise.title,
            score=sum(c.points for c in one.results),
            max_score=sum(c.max_points for c in one.results),
            checks=one.results,
            hint=one.exercise.hint,
        )
        for one in checked
    )
    errors = [c for e in exercises for c in e.checks if c.status == "error"]
    return Grade(
        lab=lab.name,
        submission=submission.name,
        status="error" if errors else "graded",
        message=errors[0].message if errors else "",
        kernel=kernel,
        score=sum(e.score for e in exercises),
        max_score=sum(e.max_score for e in exercises),
        exercises=exercises,
        findings=tuple(finding for one in checked for finding in one.findings),
        provenance=provenance,
    )
