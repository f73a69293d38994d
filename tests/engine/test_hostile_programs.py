"""Hostile user programs: none gains a point, costs another exercise, or makes the grader fail.

A file in tests/hostile/programs stands for the program of exercise 1 of the fixture lab. Its line
``Why`` says what it tries, ``Earns`` the most that exercise may have; most of them answer
rightly only if what they try has worked. Exercise 2 always keeps its full marks. ``make test``
grades one of each kind, ``make test ARGS='-m slow'`` the others.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support import ROOT

from checker.engine import grading, submission
from checker.model import Lab
from vm.kernel import Kernel

pytestmark = pytest.mark.vm

HOSTILE = sorted((ROOT / "tests/hostile/programs").glob("*.c"))

SAYS = {
    "descriptors": "does not print",
    "disk": "ends with exit status 1",
    "escape": "ends with exit status 1",
    "fork-bomb": "does not print",
    "memory": "`greet`",
    "output-flood": "prints without end",
    "ptrace": "ends with exit status 1",
    "secrets": "ends with exit status 1",
    "shared-memory": "ends with exit status 7",
    "signals": "ends with exit status 1",
    "spin": "does not print",
    "stdin-closed": "does not print",
    "stdout-replaced": "does not print",
    "writes": "ends with exit status 1",
}
"""What the first check that is lost says; the others lose none of those that they are run in."""

SLOW = {"descriptors", "memory", "spin", "signals", "stdout-replaced", "secrets", "leaves", "keys"}
"""What is much like another, or takes its time."""


@pytest.mark.parametrize(
    "source",
    [pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem in SLOW else ()) for p in HOSTILE],
)
def test_hostile_program_hurts_its_exercise_alone(
    source: Path, fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """It is graded, with the points and words that are due, and exercise 2 has all of its own."""
    shutil.copytree(fixture_lab.solution, tmp_path / "mallory")
    shutil.copy(source, tmp_path / "mallory/user/greet.c")
    given = submission.read(fixture_lab, tmp_path / "mallory")
    select = "greets or answers or bye or counts or why"
    both = frozenset({1, 2})
    options = grading.Options(exercises=both, seed=1, jobs=1, select=select)
    grade = grading.grade_submission(fixture_lab, given, stock_kernel, options)
    first, second = grade.exercises
    told = [
        f"{c.id} {c.status}: {c.message}" for c in first.checks if c.status not in ("pass", "skip")
    ]
    assert grade.status == "graded", told
    due = re.search(r"Earns: (\d)", source.read_text())
    assert due is not None
    assert first.score == int(due[1]), told
    assert second.score == second.max_score, [c.message for c in second.checks]
    assert SAYS.get(source.stem, "") in "".join(told[:1])
    assert bool(told) == (source.stem in SAYS)
    assert len(grade.to_json()) < 1 << 20


def test_every_word_belongs_to_a_hostile_program() -> None:
    """No line of the tables is left over from a program that is gone."""
    assert SAYS.keys() | SLOW <= {source.stem for source in HOSTILE}
