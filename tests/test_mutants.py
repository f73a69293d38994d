"""Wrong solutions fail the check that must catch them; right ones in other idioms pass.

``make test`` grades a sample: a wrong solution for each check, and the most usual
right ones; ``make test ARGS='-m slow'`` grades the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from checker import grading, mutants, submission
from checker.lab import load
from checker.model import Grade, Lab
from checker.mutants import Mutant
from vm.kernel import Kernel

pytestmark = pytest.mark.vm

LAB = load("networking")
MUTANTS = mutants.load(LAB.root / "mutants")
IDIOMS = mutants.load(LAB.root / "idioms")


def _sample() -> set[str]:
    """One mutant for each check."""
    first: dict[str, str] = {}
    for mutant in MUTANTS:
        for check in mutant.checks:
            first.setdefault(check, mutant.name)
    return set(first.values())


SAMPLE = _sample()

USUAL = {
    *("socket-operations", "connection-closed-at-once", "exercise-3-only", "tcp-hdr"),
    *("silent-until-set", "cdev", "old-lab-layout", "udp-not-bound", "udp-with-nul"),
}
"""The idioms that most students who differ from the solution write."""


def _grade(mutant: Mutant, lab: Lab, kernel: Kernel, folder: Path) -> Grade:
    """Grade what the patch makes, in the exercises whose module it touches."""
    if not mutant.fits(kernel.release):
        pytest.skip(f"for Linux {mutant.kernel}")
    mutants.apply(mutant, lab.solution, folder / "student")
    touched = [m.name for m in lab.modules if f"a/{m.folder}/" in mutant.patch]
    numbers = frozenset(e.number for e in lab.exercises if e.module in touched)
    given = submission.read(lab, folder / "student")
    return grading.grade_submission(lab, given, kernel, grading.Options(exercises=numbers, jobs=1))


def _lost(grade: Grade) -> dict[str, str]:
    return {
        c.id: f"{c.status}: {c.message}"
        for e in grade.exercises
        for c in e.checks
        if c.status != "pass"
    }


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(m, id=m.name, marks=() if m.name in SAMPLE else pytest.mark.slow)
        for m in MUTANTS
    ],
)
def test_wrong_solution_fails_its_exercise_and_no_other(
    mutant: Mutant, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """The check that is named catches the mutant, and other exercises keep their points."""
    grade = _grade(mutant, lab, stock_kernel, tmp_path)
    lost = _lost(grade)
    assert grade.status == "graded", lost
    assert set(mutant.checks) <= lost.keys()
    others = [e for e in grade.exercises if e.number not in mutant.exercises]
    assert [e.number for e in others if e.score != e.max_score] == [], lost


@pytest.mark.parametrize(
    "idiom",
    [pytest.param(m, id=m.name, marks=() if m.name in USUAL else pytest.mark.slow) for m in IDIOMS],
)
def test_right_solution_in_another_idiom_earns_its_points(
    idiom: Mutant, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """A right solution is right however it is written."""
    grade = _grade(idiom, lab, stock_kernel, tmp_path)
    earned = {e.number: e.score for e in grade.exercises}
    due = {e.number: idiom.earns.get(e.number, e.max_score) for e in grade.exercises}
    assert earned == due, _lost(grade)


def test_every_check_has_a_mutant() -> None:
    """No check of the lab is without a wrong solution that it must catch."""
    source = "".join(p.read_text() for p in (LAB.root / "checks").glob("check_*.py"))
    caught = {check for m in MUTANTS for check in m.checks}
    assert len(caught) == source.count("\ndef check_")
