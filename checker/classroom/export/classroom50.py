"""One grade as the result.json of Classroom 50: classroom50/result/v1.

The format is that of its wiki's page "Advanced Autograding", section "The result.json contract",
and of validate_result in its collect_scores.py: all scores are whole numbers, who handed in
stands in environment variables of its runner, and lateness is worked out from ``datetime``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from checker.classroom.export.entries import Hidden, graded, reason
from checker.errors import InputError
from checker.model import CheckResult, Entry
from checker.points import rounded
from checker.report.story import checks
from checker.report.text import clean, one_line

VARIABLES = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}
"""Field of result.json -> the runner's environment variable that says it."""

HUNDREDTHS = 100


def render(entry: Entry, environment: Mapping[str, str], hidden: Hidden | None = None) -> str:
    """Return the entry as result.json, in the runner's *environment*.

    Scores are those of the checks, without penalties. Where one of them is no whole
    number all are counted in hundredths, so that none is rounded. *hidden* checks become one test.
    Raises InputError when there is no grade (the runner then makes a result whose
    status is error), no time of submission, or a variable is missing.
    """
    grade = graded(entry)
    if grade is None:
        raise InputError(f"{entry.student.key} has no grade for Classroom 50: {reason(entry)}")
    submitted = entry.attempt.submitted if entry.attempt else None
    if submitted is None:
        raise InputError(
            f"{entry.student.key}: Classroom 50 wants the time of the graded commit, which is "
            "not known; grade a git checkout."
        )
    values = {
        **environment,
        "REVIEW_URL": environment.get("REVIEW_URL") or environment.get("COMMIT_URL", ""),
    }
    missing = [variable for variable in VARIABLES.values() if not values.get(variable)]
    if missing:
        raise InputError(
            f"The environment has no {', '.join(missing)}; Classroom 50's runner sets them."
        )
    tests = _tests([c for c in checks(clean(grade)) if c.max_points], hidden or {})
    results: dict[str, Any] = {
        "schema": "classroom50/result/v1",
        **{field: values[variable] for field, variable in VARIABLES.items()},
        "datetime": submitted.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }
    owner = environment.get("OWNER") or environment.get("USERNAME")
    kind = environment.get("ASSIGNMENT_TYPE")
    results |= {"owner": owner} if owner else {}
    results |= {"assignment_type": kind} if kind else {}
    return json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _tests(graded: list[CheckResult], hidden: Hidden) -> list[dict[str, Any]]:
    worth = [value for check in graded for value in (check.points, check.max_points)]
    factor = 1 if all(value.is_integer() for value in worth) else HUNDREDTHS

    def test(title: str, parts: list[CheckResult]) -> dict[str, Any]:
        return {
            "test-name": title,
            "passed": all(check.status == "pass" for check in parts),
            "score": sum(round(rounded(check.points) * factor) for check in parts),
            "max-score": sum(round(rounded(check.max_points) * factor) for check in parts),
        }

    shown = [c for c in graded if c.id not in hidden]
    kept = [c for c in graded if c.id in hidden]
    tests = [test(one_line(f"{check.id} {check.title}"), [check]) for check in shown]
    return [*tests, test("hidden checks", kept)] if kept else tests
