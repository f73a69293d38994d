"""Pure: results x points -> Grade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from checker.engine.owner import owner
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
from checker.words import next_step

HEALTHY = "While the module is loaded, used and unloaded, the kernel has nothing to report."


@dataclass(frozen=True)
class Checked:
    """What the checks of one exercise came to, and what the kernel reported meanwhile."""

    exercise: Exercise
    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...] = ()


def judge(checked: Iterable[Checked], sources: Mapping[str, str] | None = None) -> list[Checked]:
    """Return the same with each exercise's check ``N.healthy``, which no guest runs.

    It costs its points when the kernel reported something that is the
    exercise's. Where exercises share a module, that is what lies in one of its
    ``functions``, as *sources* (file name -> text) tell, in whichever
    exercise's checks it came; all else is where it came first. A mistake costs once.
    """
    checked = list(checked)
    exercises = [one.exercise for one in checked]
    charged: set[tuple[str, str, str]] = set()
    bills: dict[int, list[Finding]] = {one.exercise.number: [] for one in checked}
    for one in checked:
        for finding in one.findings:
            key = one.exercise.module, finding.kind, finding.location or finding.summary
            if key not in charged:
                charged.add(key)
                whose = owner(exercises, one.exercise.module, finding.location, sources or {})
                bills[whose or one.exercise.number].append(finding)
    return [
        replace(one, results=(*one.results, _healthy(one, bills[one.exercise.number])))
        if one.exercise.health
        else one
        for one in checked
    ]


def _healthy(checked: Checked, findings: list[Finding]) -> CheckResult:
    """Judge the exercise's health; it earns nothing unless its first check passed."""
    exercise, first = checked.exercise, checked.results[:1]
    status: Status = "pass"
    message = log = hint = ""
    if findings:
        status = "fail"
        told = [f"{f.location}: {f.summary}" if f.location else f.summary for f in findings]
        message = "\n".join(told)
        log, hint = findings[0].report, next_step.of_finding(findings[0])
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
        hint=hint,
    )


def grade(
    lab: Lab,
    submission: Submission,
    checked: Iterable[Checked],
    *,
    kernel: KernelInfo,
    provenance: Provenance,
    warnings: tuple[str, ...] = (),
) -> Grade:
    """Sum up the exercises that were checked; every failure gets its next step here.

    The status is ``error`` when a check is an ``error`` itself; its message says why.
    """
    checked = list(checked)
    findings = tuple(
        f.model_copy(update={"hint": next_step.of_finding(f)})
        for one in checked
        for f in one.findings
    )
    by_id = {check.id: check for one in checked for check in one.results}
    exercises = tuple(
        ExerciseResult(
            number=one.exercise.number,
            title=one.exercise.title,
            score=sum(c.points for c in one.results),
            max_score=sum(c.max_points for c in one.results),
            checks=tuple(
                c.model_copy(update={"hint": next_step.of(c, one.exercise.hint, findings, by_id)})
                for c in one.results
            ),
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
        findings=findings,
        warnings=warnings,
        provenance=provenance,
    )
