"""The JUnit export, on the sample grades of tests/data/grades."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta, timezone

import junitparser
import pytest
from support import ROOT

from checker.classroom.export.junit import render
from checker.model import Grade

GRADES = ROOT / "tests/data/grades"
NAMES = sorted(path.stem for path in GRADES.glob("*.json"))


def load(name: str) -> Grade:
    """Read the sample grade called *name*."""
    return Grade.model_validate_json((GRADES / f"{name}.json").read_text(encoding="utf-8"))


def parse(*grades: Grade) -> ET.Element:
    """Export *grades* and read the document back."""
    return ET.fromstring(render(grades).encode())  # noqa: S314 - our own text


def kinds(case: ET.Element) -> list[str]:
    """Return the tags of a case's outcomes; none when it passed."""
    return [child.tag for child in case]


def find(root: ET.Element, check: str) -> ET.Element:
    """Return the one case of the check with id *check*."""
    (case,) = [c for c in root.iter("testcase") if c.attrib["name"].split()[0] == check]
    return case


@pytest.mark.parametrize("name", NAMES)
def test_suite_counts_what_it_holds(name: str) -> None:
    """A suite's totals are those of its cases, and no case has two outcomes."""
    root = parse(load(name))
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    cases = suite.findall("testcase")
    assert all(len(case) <= 1 for case in cases)
    assert int(suite.attrib["tests"]) == len(cases) > 0
    for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[total]) == len(list(suite.iter(tag)))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "grader-error"])
def test_one_case_a_check(name: str) -> None:
    """Each check is one case, failed, erred, skipped or passed as the check was."""
    grade, root = load(name), parse(load(name))
    expected = {
        "pass": [],
        "fail": ["failure"],
        "crash": ["failure"],
        "timeout": ["failure"],
        "error": ["error"],
        "skip": ["skipped"],
    }
    checks = [check for exercise in grade.exercises for check in exercise.checks]
    assert len(checks) == len(list(root.iter("testcase")))
    for check in checks:
        case = find(root, check.id)
        assert case.attrib["name"] == f"{check.id} {' '.join(check.title.split())}"
        assert kinds(case) == expected[check.status]
        assert float(case.attrib.get("time", 0)) == pytest.approx(check.seconds, abs=0.001)


def test_failure_types_are_kept_apart() -> None:
    """A crash and a timeout are failures of their own type."""
    root = parse(load("evil"))
    types = [failure.attrib["type"] for failure in root.iter("failure")]
    assert types == ["fail", "fail", "crash", "timeout"]


def test_failure_explains_itself() -> None:
    """A failure's text holds message, expected, actual and the log with repeats folded."""
    failure = find(parse(load("crash")), "1.not-syn-ack").find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "3 lines were logged for one connection."
    assert failure.text is not None
    assert "expected:\n1 line, for 127.0.0.1:44120\n" in failure.text
    assert "actual:\n3 lines, for" in failure.text
    assert "(repeated 40 times)" in failure.text


def test_failure_without_a_word_is_still_one() -> None:
    """A check that failed and said nothing is not taken for passed."""
    grade = load("skeleton")
    first = grade.exercises[0]
    silent = first.checks[0].model_copy(
        update={"message": "", "expected": "", "actual": "", "log": ""}
    )
    first = first.model_copy(update={"checks": (silent,)})
    root = parse(grade.model_copy(update={"exercises": (first,)}))
    assert kinds(find(root, "1.outgoing-syn")) == ["failure"]


def test_names_are_unique() -> None:
    """No two cases share class and name, though a submission comes twice or looks alike."""
    alike = load("full").model_copy(update={"submission": "so lution"})
    again = load("full").model_copy(update={"submission": "so.lution"})
    root = parse(load("full"), load("full"), alike, again, *map(load, NAMES))
    names = [(c.attrib["classname"], c.attrib["name"]) for c in root.iter("testcase")]
    assert len(names) == len(set(names))
    suites = [suite.attrib["name"] for suite in root]
    assert len(suites) == len(set(suites)) == len(NAMES) + 4


def test_same_check_twice_gets_two_names() -> None:
    """Two checks with one id and title in one grade stay two cases."""
    grade = load("full")
    first = grade.exercises[0]
    first = first.model_copy(update={"checks": first.checks[:1] * 2})
    root = parse(grade.model_copy(update={"exercises": (first,)}))
    assert len({case.attrib["name"] for case in root.iter("testcase")}) == 2


@pytest.mark.parametrize("name", NAMES)
def test_class_is_lab_submission_exercise(name: str) -> None:
    """A class name has three parts parted by dots, whatever the submission is called."""
    for case in parse(load(name)).iter("testcase"):
        pattern = r"networking\.[\w-]+(\.exercise-\d)?"
        assert re.fullmatch(pattern, case.attrib["classname"])


def test_controls_are_gone() -> None:
    """What XML forbids is written out, and names that are not ASCII survive."""
    text = render([load("evil")])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]|&#", text)
    assert r"\x1b[2J" in text
    (suite,) = parse(load("evil"))
    assert "王小明" in suite.attrib["name"]


# What Jenkins's junit-10.xsd and Ant's JUnit.xsd have in common, element by element: the attributes
# that must be there, with their form, those that may, and the children in their order.
NUMBER, TIME, TOKEN, ANY = r"\d+", r"\d+\.\d{3}", r"\S(.*\S)?", r"(?s).*"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
SUITE = {
    **dict.fromkeys(("name", "package", "hostname"), TOKEN),
    **dict.fromkeys(("id", "tests", "failures", "errors", "skipped"), NUMBER),
    "time": TIME,
    "timestamp": STAMP,
}
SCHEMA: dict[str, tuple[dict[str, str], str]] = {
    "testsuites": ({}, "(testsuite )*"),
    "testsuite": (SUITE, "properties (testcase )*system-out system-err "),
    "properties": ({}, "(property )*"),
    "property": ({"name": TOKEN, "value": ANY}, ""),
    "testcase": ({"name": TOKEN, "classname": TOKEN, "time": TIME}, "((failure|error|skipped) )?"),
    "failure": ({"message": ANY, "type": TOKEN}, ""),
    "error": ({"message": ANY, "type": TOKEN}, ""),
    "skipped": ({"message": ANY}, ""),
    "system-out": ({}, ""),
    "system-err": ({}, ""),
}


def assert_valid(root: ET.Element) -> None:
    """Check each element against SCHEMA."""
    for element in root.iter():
        attributes, children = SCHEMA[element.tag]
        assert element.attrib.keys() == attributes.keys(), element.tag
        for name, form in attributes.items():
            assert re.fullmatch(form, element.attrib[name]), (element.tag, name)
        assert re.fullmatch(children, "".join(f"{child.tag} " for child in element)), element.tag


def test_both_schemas_hold() -> None:
    """Jenkins's and Ant's: no `disabled`, times with three decimals, all that Ant asks for."""
    made = datetime(2026, 11, 20, 22, 30, tzinfo=timezone(timedelta(hours=1)))
    root = ET.fromstring(render(map(load, NAMES), made).encode())  # noqa: S314 - our own text
    assert_valid(root)
    assert [suite.attrib["id"] for suite in root] == [str(n) for n in range(len(NAMES))]
    assert {suite.attrib["timestamp"] for suite in root} == {"2026-11-20T21:30:00"}
    assert_valid(parse())


@pytest.mark.parametrize("name", NAMES)
def test_other_readers_count_the_same(name: str) -> None:
    """junitparser, which others read such files with, finds what was written."""
    (suite,) = junitparser.JUnitXml.fromstring(render([load(name)]).encode())
    results = [type(result).__name__ for case in suite for result in case.result]
    wanted = {"Failure": suite.failures, "Error": suite.errors, "Skipped": suite.skipped}
    assert {kind: results.count(kind) for kind in wanted} == wanted
    assert suite.tests == len(list(suite))
    assert suite.time == pytest.approx(sum(case.time for case in suite), abs=0.001)


UNFIT = "a\x00b\x1bc\ufffed\uffffe\ud800f\udfffg"


def test_what_xml_has_no_place_for_is_written_out() -> None:
    """Controls, half surrogates and U+FFFE, wherever a module or a file's name brought them."""

    def walk(value: object) -> object:
        match value:
            case str():
                return UNFIT
            case dict():
                kept = ("schema", "schema_", "status", "number", "at")
                return {k: v if k in kept else walk(v) for k, v in value.items()}
            case list() | tuple():
                return [walk(item) for item in value]
        return value

    grade = load("evil").model_copy(update={"exercises": load("evil").exercises[:1]})
    dirty = Grade.model_validate(walk(grade.model_copy(update={"findings": ()}).model_dump()))
    text = render([dirty])
    root = ET.fromstring(text.encode())  # noqa: S314 - our own text
    assert_valid(root)
    assert not re.search("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]", text)
    assert r"a\x00b\x1bc\ufffed\uffffe\ud800f\udfffg" in text


def test_grader_failure_is_an_error() -> None:
    """A run that graded nothing is red, as the grader's error and not as a failure."""
    root = parse(load("grader-error"))
    (case,) = root.iter("testcase")
    assert kinds(case) == ["error"]
    assert "no disk space" in case[0].attrib["message"]


def test_suite_says_how_it_was_made() -> None:
    """Seed, kernel and hashes are properties of the suite."""
    grade = load("full")
    properties = {p.attrib["name"]: p.attrib["value"] for p in parse(grade).iter("property")}
    assert properties["seed"] == str(grade.provenance.seed)
    assert properties["lab_hash"] == grade.provenance.lab
    assert grade.kernel.release in properties["kernel"]


def test_findings_stand_in_the_output() -> None:
    """What the kernel reported is the suite's output, check and place included."""
    output = parse(load("timeout")).findtext("testsuite/system-out")
    assert output is not None
    assert "5.one-datagram hang: soft lockup" in output
    assert "udp_sock.c:47" in output


def test_no_grades_are_an_empty_document() -> None:
    """No grade at all is still a document that parses."""
    assert len(parse()) == 0
