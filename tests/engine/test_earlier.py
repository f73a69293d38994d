"""Results of an earlier run: taken where all that they depend on is the same, else never."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import SOURCES, Student

from checker.engine import earlier, grading, submission
from checker.engine.earlier import Earlier
from checker.engine.grade import Checked
from checker.model import Build, CheckResult, Exercise, Finding, Grade, Lab, ModuleBuild, Status
from checker.words import advice
from vm.kernel import Kernel

FILTER, TCP, UDP = SOURCES


class Desk:
    """A folder that is checked with *say* in place of guests; *ran* has what each check ran."""

    def __init__(self, lab: Lab, kernel: Kernel, path: Path) -> None:
        self.lab = lab
        self.kernel = kernel
        self.path = path
        self.ran: list[list[int]] = []
        self.kept: dict[int, Earlier] = {}
        self.status: Status = "pass"
        self.findings: dict[int, tuple[Finding, ...]] = {}

    def run(self, exercises: Sequence[Exercise]) -> tuple[list[Checked], Build]:
        """Stand for builds and guests: each exercise has one check, with this status."""
        self.ran.append([exercise.number for exercise in exercises])
        checked = [
            Checked(
                exercise,
                (
                    CheckResult(
                        id=f"{exercise.number}.x",
                        title="x",
                        status=self.status,
                        points=10 if self.status == "pass" else 0,
                        max_points=10,
                    ),
                ),
                self.findings.get(exercise.number, ()),
            )
            for exercise in exercises
        ]
        warned = "1-2-netfilter/kernel/filter.c:3:5: warning: unused\n"
        builds = [
            ModuleBuild(name=t.name, ko=b"", warnings=warned if FILTER in t.files else "")
            for t in self.lab.builds
        ]
        return checked, Build(targets=tuple(builds))

    def check(self, *, exercises: Sequence[int] = (), seed: int | None = None) -> Grade:
        """Check as the command does, with what is kept."""
        options = grading.Options(
            exercises=frozenset(exercises),
            seed=seed,
            earlier=dict(self.kept) if seed is None else {},
            on_checked=lambda one: self.kept.update({one.number: one}),
        )
        return grading.grade_submission(
            self.lab, submission.read(self.lab, self.path), self.kernel, options
        )


@pytest.fixture
def desk(lab: Lab, stock_kernel: Kernel, student: Any, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with a copy of the solution, whose guests are not started."""
    made = Desk(lab, stock_kernel, student().path)
    monkeypatch.setattr(grading, "_run", lambda *given, seed: made.run(given[3]))
    return made


def reused(grade: Grade) -> list[int]:
    """Return the exercises that were not run."""
    return [exercise.number for exercise in grade.exercises if exercise.reused]


def test_nothing_is_run_that_did_not_change(desk: Desk) -> None:
    """The second grade is the first one, and says of which run and seed it is."""
    first, second = desk.check(), desk.check()
    assert desk.ran == [[1, 2, 3, 4, 5]]
    assert reused(first) == []
    assert reused(second) == [1, 2, 3, 4, 5]
    assert (second.score, second.warnings) == (first.score, first.warnings)
    assert {second.seed_of(e) for e in second.exercises} == {first.provenance.seed}


def test_exercises_whose_file_was_edited_are_run(desk: Desk) -> None:
    """Those that share the file all are, and the others are not."""
    desk.check()
    Student(desk.path).file("tcp_sock.c").write_text("int x;\n")
    grade = desk.check()
    assert desk.ran[1:] == [[3, 4]]
    assert reused(grade) == [1, 2, 5]
    assert grade.warnings == ("1-2-netfilter/kernel/filter.c:3: unused",)


@pytest.mark.parametrize(
    "part", ["tree_hash", "code_hash", "qemu_version"], ids=["lab", "knetlab", "QEMU"]
)
def test_another_lab_knetlab_or_qemu_runs_everything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """What the result was made by counts as much as what it was made of."""
    desk.check()
    monkeypatch.setattr(earlier, part, lambda *_: "another")
    assert reused(desk.check()) == []


def test_another_kernel_runs_everything(desk: Desk) -> None:
    """A result of one kernel says nothing of another."""
    desk.check()
    desk.kernel = Kernel(**{**vars(desk.kernel), "key": "another"})
    assert reused(desk.check()) == []


@pytest.mark.parametrize("status", ["error", "crash", "timeout"])
def test_what_may_be_chance_is_run_again(desk: Desk, status: Status) -> None:
    """The grader's trouble, a crash or a hang is no result to go on with."""
    desk.status = status
    desk.check()
    assert reused(desk.check()) == []


def test_a_failure_is_a_result(desk: Desk) -> None:
    """What failed is told again without a run."""
    desk.status = "fail"
    desk.check()
    grade = desk.check()
    assert reused(grade) == [1, 2, 3, 4, 5]
    assert grade.score == 0


def test_a_run_with_a_seed_is_run_and_not_reused(desk: Desk) -> None:
    """It repeats an experiment: it takes no earlier result, and none later takes it."""
    desk.check()
    assert reused(desk.check(seed=1)) == []
    assert reused(desk.check()) == []
    assert reused(desk.check()) == [1, 2, 3, 4, 5]


def test_old_and_new_results_are_judged_together(desk: Desk) -> None:
    """What the kernel reported in an exercise that is reused costs the one whose line it is."""
    line = next(
        number
        for number, text in enumerate((desk.path / FILTER).read_text().splitlines(), 1)
        if "copy_from_user(" in text
    )
    module = desk.lab.targets(desk.lab.exercises[0])[0].name
    found = Finding(
        kind="oops", summary="x", location=f"filter.c:{line}", check="1.x", build=module
    )
    desk.findings = {1: (found,)}
    whole = desk.check()
    again = desk.check()
    health = {check.id: check.status for e in whole.exercises for check in e.checks}
    assert (health["1.healthy"], health["2.healthy"]) == ("pass", "fail")
    assert {c.id: c.status for e in again.exercises for c in e.checks} == health


def test_the_sentences_that_all_labs_share_are_part_of_knetlab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told of a compiler error is not kept when labs/common says it in another way."""
    shared = tmp_path / advice.FILE
    monkeypatch.setattr(advice, "COMMON", shared)
    shared.write_text("one\n")
    before = earlier.code_hash()
    assert earlier.code_hash() == before
    shared.write_text("two\n")
    assert earlier.code_hash() != before
