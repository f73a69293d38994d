"""One grade as Gradescope's results.json, and the two scripts that make one in its container.

The format is that of Gradescope's autograder specification ("Output format", "Controlling test
case visibility", "Leaderboards").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from checker.classroom.export.entries import Hidden, for_students, graded, reason, result
from checker.errors import InputError
from checker.model import CheckResult, Entry
from checker.points import rounded
from checker.report.story import WORDS, checks
from checker.report.text import clean, count, fold, one_line, points

LINES, WIDTH = 200, 2000

_VISIBILITY = {"after_due_date": "after_due_date", "never": "hidden"}


def scripts() -> Mapping[str, str]:
    """Return the scripts for the root of an autograder's zip file: name -> text."""
    here = resources.files(__package__)
    return {
        name: here.joinpath(name).read_text(encoding="utf-8")
        for name in ("setup.sh", "run_autograder")
    }


def render(entry: Entry, hidden: Hidden | None = None, *, leaderboard: bool = False) -> str:
    """Return the entry as results.json; *hidden* checks get the visibility that they have.

    The score is the entry's, penalties taken off; Gradescope takes it in place of the sum of
    the tests. A check of which no points could be earned is no test. Raises InputError when
    there is no grade: without a results.json Gradescope says that the autograder failed,
    and no zero stands in its gradebook.
    """
    grade, marked = graded(entry), result(entry)
    if grade is None or marked is None:
        raise InputError(f"{entry.student.key} has no grade for Gradescope: {reason(entry)}")
    hidden = hidden or {}
    grade = clean(grade)
    shown = {check.id: check for check in checks(for_students(grade, hidden))}
    tests = [check for check in checks(grade) if check.max_points or check.status == "pass"]
    said = list(entry.mark.notes) if entry.mark else []
    if left_out := len(checks(grade)) - len(tests):
        said.append(f"{count(left_out, 'check')} could not be tried and cost nothing.")
    results: dict[str, Any] = {
        "score": rounded(marked[0]),
        "execution_time": round(grade.provenance.seconds),
        "output": "\n".join(one_line(line) for line in said),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "stdout_visibility": "hidden",
        "tests": [_test(shown.get(check.id, check), hidden) for check in tests],
    }
    if leaderboard:
        results["leaderboard"] = [{"name": "Points", "value": rounded(marked[0]), "order": "desc"}]
    return json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _test(check: CheckResult, hidden: Hidden) -> dict[str, Any]:
    visibility = hidden.get(check.id)
    return {
        "number": check.id,
        "name": one_line(check.title),
        "name_format": "text",
        "status": "passed" if check.status == "pass" else "failed",
        "score": rounded(check.points),
        "max_score": rounded(check.max_points),
        "visibility": _VISIBILITY[visibility] if visibility else "visible",
        "output": _output(check),
        "output_format": "text",
    }


def _output(check: CheckResult) -> str:
    said = {"expected": check.expected, "actual": check.actual, "log": check.log}
    said["next"] = check.hint
    head = f"{WORDS[check.status]}, {points(check.points)} of {points(check.max_points)}"
    parts = [head, fold(check.message, LINES, WIDTH)]
    parts += [f"{key}:\n{fold(text, LINES, WIDTH)}" for key, text in said.items() if text]
    return "\n".join(part for part in parts if part)
