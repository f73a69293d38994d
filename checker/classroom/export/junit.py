"""Grades as JUnit XML: a test suite a submission, a test case a check.

Valid by the schema of Jenkins's xUnit plugin (junit-10.xsd) and by that of Ant's tasks
(JUnit.xsd of windyroad/JUnit-Schema). The second asks for more: package, id, hostname and a time
without a zone on each suite, a time on each case, and system-out and system-err at the end. Neither
knows ``disabled``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from datetime import UTC, datetime

from checker.model import CheckResult, Finding, Grade
from checker.points import told
from checker.report.story import WORDS
from checker.report.text import clean, fold, one_line

LINES, WIDTH = 200, 2000

_RESULTS = {
    "fail": "failure",
    "crash": "failure",
    "timeout": "failure",
    "error": "error",
    "skip": "skipped",
}
_NOT_KNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def render(grades: Iterable[Grade], made: datetime = _NOT_KNOWN) -> str:
    """Return *grades* as one JUnit document, UTF-8 when written.

    A class is ``LAB.SUBMISSION.exercise-N``, a case the check's id and title; both are told
    apart by a number where two would be the same, as CI systems merge those. *made* is when they
    were graded, which the schema wants and a grade does not say.
    """
    used: set[str] = set()
    root = ET.Element("testsuites")
    for number, grade in enumerate(grades):
        root.append(_suite(clean(grade), used, number, made))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(grade: Grade, used: set[str], number: int, made: datetime) -> ET.Element:
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
        case = _element("testcase", name="grader", classname=prefix, time="0.000")
        message = one_line(grade.message) or WORDS["error"]
        case.append(_element("error", message=message, type="error"))
        cases.append(case)
    results = [child.tag for case in cases for child in case]
    seconds = sum(float(case.attrib["time"]) for case in cases)
    suite = _element(
        "testsuite",
        name=prefix,
        package=prefix,
        id=str(number),
        timestamp=f"{made.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        hostname="localhost",
        tests=str(len(cases)),
        failures=str(results.count("failure")),
        errors=str(results.count("error")),
        skipped=str(results.count("skipped")),
        time=f"{seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(grade).items():
        properties.append(_element("property", name=name, value=value))
    suite.extend(cases)
    out = ET.SubElement(suite, "system-out")
    out.text = "\n\n".join(_finding(finding) for finding in grade.findings)
    ET.SubElement(suite, "system-err").text = ""
    return suite


def _element(tag: str, **attributes: str) -> ET.Element:
    return ET.Element(tag, attributes)


def _unique(name: str, used: set[str]) -> str:
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}-{number}"
    used.add(candidate)
    return candidate


def _case(check: CheckResult, classname: str, names: set[str]) -> ET.Element:
    name = _unique(one_line(f"{check.id} {check.title}"), names)
    case = _element("testcase", name=name, classname=classname, time=f"{check.seconds:.3f}")
    if tag := _RESULTS.get(check.status):
        # An attribute is one line.
        result = _element(tag, message=one_line(check.message) or WORDS[check.status])
        if tag != "skipped":
            result.set("type", check.status)
            result.text = _evidence(check)
        case.append(result)
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
