"""One grade as PrairieLearn's results.json, for /grade/results in an external grader.

The format is that of PrairieLearn's page "External Grading", section "Grading results": a score
from 0 to 1, tests as the element pl-external-grader-results shows them, at most 1 MB, and
``gradable`` false with ``format_errors`` when there is nothing to grade, which costs nobody a try.
"""

from __future__ import annotations

import json
import re
from typing import Any

from checker.classroom.export.entries import Hidden, for_students, graded, reason, result
from checker.model import CheckResult, Entry, ExerciseResult
from checker.points import rounded
from checker.report.story import WORDS, checks, next_step
from checker.report.text import clean, fold, one_line

BYTES = 1_000_000
LINES, WIDTH = 200, 2000

# A line of the compiler or of modpost; the kernel's begin with a time stamp.
_COMPILER = re.compile(r"^([^\s:\[]+:\d+:(\d+:)? (fatal )?error:|ERROR: modpost:)", re.MULTILINE)


def render(entry: Entry, hidden: Hidden | None = None) -> str:
    """Return the entry as results.json, without its hidden checks, which still count.

    It is not gradable when no module could be built, and when there is no grade.
    """
    grade, marked = graded(entry), result(entry)
    if grade is None or marked is None:
        return _ungradable(reason(entry))
    grade = clean(grade)
    if all(unbuilt(exercise) for exercise in grade.exercises):
        said = dict.fromkeys(_output(check) for e in grade.exercises for check in _tried(e))
        return _ungradable(*said)
    shown = for_students(grade, hidden or {})
    notes = entry.mark.notes if entry.mark else ()
    results: dict[str, Any] = {
        "gradable": True,
        "score": min(1.0, max(0.0, rounded(marked[0]) / marked[1])) if marked[1] else 0.0,
        "message": "\n".join(map(one_line, (*notes, next_step(shown)))),
    }
    tests = [_test(check) for check in checks(shown)]
    text = _json({**results, "tests": tests})
    if len(text.encode()) > BYTES:
        for test in tests:
            test["output"] = ""
        text = _json({**results, "tests": tests})
    return text


def unbuilt(exercise: ExerciseResult) -> bool:
    """Say whether all that was tried of *exercise* failed for one reason: no module was made."""
    tried = _tried(exercise)
    reasons = {(c.status, c.message, c.expected, c.actual, c.log) for c in tried}
    if len(reasons) != 1:
        return False
    status, _, expected, actual, log = reasons.pop()
    # without the compiler's words a file is missing, which stops more than one check
    told = _COMPILER.search(log) if log else len(tried) > 1
    return status == "fail" and not expected and not actual and bool(told)


def _tried(exercise: ExerciseResult) -> list[CheckResult]:
    return [check for check in exercise.checks if check.status != "skip"]


def _ungradable(*errors: str) -> str:
    return _json({"gradable": False, "format_errors": [fold(e, LINES, WIDTH) for e in errors]})


def _test(check: CheckResult) -> dict[str, Any]:
    return {
        "name": one_line(f"{check.id} {check.title}"),
        "points": rounded(check.points),
        "max_points": rounded(check.max_points),
        "message": fold(check.message, LINES, WIDTH) or WORDS[check.status],
        "output": _output(check.model_copy(update={"message": ""})),
    }


def _output(check: CheckResult) -> str:
    said = {"expected": check.expected, "actual": check.actual, "log": check.log}
    said["next"] = check.hint
    parts = [f"{key}:\n{fold(text, LINES, WIDTH)}" for key, text in said.items() if text]
    return "\n".join(filter(None, (fold(check.message, LINES, WIDTH), *parts)))


def _json(results: dict[str, Any]) -> str:
    text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")
