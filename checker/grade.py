"""Pure: results x points -> Grade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from checker.model import (
    CheckResult,
    ExerciseResult,
    Finding,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Submission,
)


def grade(
    lab: Lab,
    submission: Submission,
    results: Mapping[int, Iterable[CheckResult]],
    *,
    kernel: KernelInfo,
    provenance: Provenance,
    findings: Iterable[Finding] = (),
    message: str = "",
) -> Grade:
    """Sum up *results*, which maps an exercise's number to its checks.

    The status is ``error`` when *message* says why the grader failed, or when
    a check is an ``error`` itself.
    """
    exercises = []
    for exercise in lab.exercises:
        if exercise.number not in results:
            continue
        checks = tuple(results[exercise.number])
        exercises.append(
            ExerciseResult(
                number=exercise.number,
                title=exercise.title,
                score=sum(c.points for c in checks),
                max_score=sum(c.max_points for c in checks),
                checks=checks,
                hint=exercise.hint,
            )
        )
    failed = message or any(c.status == "error" for e in exercises for c in e.checks)
    return Grade(
        lab=lab.name,
        submission=submission.name,
        status="error" if failed else "graded",
        message=message,
        kernel=kernel,
        score=sum(e.score for e in exercises),
        max_score=sum(e.max_score for e in exercises),
        exercises=tuple(exercises),
        findings=tuple(findings),
        provenance=provenance,
    )
