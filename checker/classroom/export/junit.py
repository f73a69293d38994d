"""Grades as JUnit XML: a test suite a submission, a test case a check."""

from __future__ import annotations

import re
from collections.abc import Iterable

from junit_xml import TestCase, TestSuite, to_xml_report_string

from checker.model import CheckResult, Finding, Grade
from checker.points import told
from checker.report.story import WORDS
from checker.report.text import clean, fold, one_line

LINES, WIDTH = 200, 2000


def render(grades: Iterable[Grade]) -> str:
    """Return *grades* as one JUnit document, UTF-8 when written.

    A class is ``LAB.SUBMISSION.exercise-N``, a case the check's id and title; both are told
    apart by a number where two would be the same, as CI systems merge those.
    """
    used: set[str] = set()
    suites = [_suite(clean(grade), used) for grade in grades]
    return str(to_xml_report_string(suites, encoding="utf-8"))


def _suite(grade: Grade, used: set[str]) -> TestSuite:
    # Dots part packages from classes, so a name keeps none of its own.
    parts = (re.sub(r"[^\w-]+", "_", part) for part in (grade.lab, grade.submission))
    prefix = _unique(".".join(parts), used)
    names: set[str] = set()
    cases = [
        _case(check, f"{prefix}.exercise-{exercise.number}", names)
        for exercise in grade.exercises
        for check in exercise.checks
    ]
    if grade.status == "error":
        # Without a case that errs, a run that graded nothing would look green.
        case = TestCase("grader", prefix)
        case.add_error_info(one_line(grade.message) or WORDS["error"], error_type="error")
        cases.append(case)
    return TestSuite(
        prefix,
        cases,
        properties=_properties(grade),
        stdout="\n\n".join(_finding(finding) for finding in grade.findings),
    )


def _unique(name: str, used: set[str]) -> str:
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}-{number}"
    used.add(candidate)
    return candidate


def _case(check: CheckResult, classname: str, names: set[str]) -> TestCase:
    name = _unique(one_line(f"{check.id} {check.title}"), names)
    # Milliseconds: the package would write a tiny number with an exponent.
    case = TestCase(name, classname, round(check.seconds, 3))
    # An attribute is one line, and without a message the package would drop the element.
    message = one_line(check.message) or WORDS[check.status]
    if check.status in ("fail", "crash", "timeout"):
        case.add_failure_info(message, _evidence(check), check.status)
    elif check.status == "error":
        case.add_error_info(message, _evidence(check), "error")
    elif check.status == "skip":
        case.add_skipped_info(message)
    return case


def _evidence(check: CheckResult) -> str:
    said = {
        "message": check.message,
        "expected": check.expected,
        "actual": check.actual,
        "log": check.log,
        "next": check.hint,
    }
    return "\n".join(f"{key}:\n{fold(text, LINES, WIDTH)}" for key, text in said.items() if text)


def _properties(grade: Grade) -> dict[str, str]:
    return {
        "lab": grade.lab,
        "submission": grade.submission,
        "score": told(grade.score),
        "max_score": told(grade.max_score),
        "kernel": f"{grade.kernel.name} {grade.kernel.release}",
        "seed": str(grade.provenance.seed),
        "lab_hash": grade.provenance.lab,
        "checker_hash": grade.provenance.checker,
        "image_hash": grade.provenance.image,
        **{
            f"exercise-{exercise.number}": f"run at {exercise.reused.at.isoformat()} with the seed "
            f"{exercise.reused.seed}"
            for exercise in grade.exercises
            if exercise.reused
        },
    }


def _finding(finding: Finding) -> str:
    head = one_line(f"{finding.check} {finding.kind}: {finding.summary} {finding.location}")
    return f"{head}\n{fold(finding.report, LINES, WIDTH)}".strip()
