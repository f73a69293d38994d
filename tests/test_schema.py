"""knetlab/grade/v1 as JSON Schema: it is current, and what knetlab writes is what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import ROOT, SOLUTION

from checker import cli
from tools import reference

SCHEMA = ROOT / "docs" / "reference" / "grade-v1.schema.json"
PAGE = SCHEMA.with_name("grade-v1.md")
RECORDED = sorted((ROOT / "tests" / "data" / "grades").glob("*.json"))


def wrong(grade: Any) -> list[str]:
    """Return what the published schema has to say against *grade*."""
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return [f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema).iter_errors(grade)]


def test_schema_is_current() -> None:
    """The published schema is the one of the record that knetlab writes today."""
    assert SCHEMA.read_text() == reference.grade_schema(), "run python -m tools.reference"


@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
def test_recorded_grade_is_valid(path: Path) -> None:
    """Every kind of grade, with crashes, timeouts and errors, is one by the schema."""
    assert wrong(json.loads(path.read_text())) == []


def test_example_of_the_page_is_valid() -> None:
    """The grade that the page shows is one by the schema."""
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert wrong(json.loads(example)) == []


@pytest.mark.vm
def test_grade_that_check_writes_is_valid(tmp_path: Path) -> None:
    """What `knetlab check --json` writes today is one by the schema."""
    out = tmp_path / "grade.json"
    options = ["--kernel", "stock", "--exercise", "5", "--json", str(out)]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", "networking", "--submission", str(SOLUTION), *options])
    assert exit_.value.code == 0
    assert wrong(json.loads(out.read_text())) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "knetlab/grade/v2"}, "$.schema"),
        ({"status": "fine"}, "$.status"),
        ({"score": "full"}, "$.score"),
        ({"colour": "red"}, "'colour' was unexpected"),
    ],
)
def test_what_is_no_grade_is_refused(change: dict[str, object], words: str) -> None:
    """The schema tells a grade from what looks like one."""
    (said,) = wrong(json.loads(RECORDED[0].read_text()) | change)
    assert words in said
