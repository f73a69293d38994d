"""The whole way from a folder to a grade, on the real kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from checker.engine import grading, submission
from checker.engine.grade import Checked
from checker.engine.grade import grade as sum_up
from checker.model import CheckResult, Exercise, Grade, KernelInfo, Lab, Provenance, Submission
from checker.workshop import skeleton
from vm import snapshot
from vm.kernel import Kernel


def _grade(lab: Lab, kernel: Kernel, folder: Path, *exercises: int, seed: int = 1) -> Grade:
    options = grading.Options(exercises=frozenset(exercises), seed=seed)
    return grading.grade_submission(lab, submission.read(lab, folder), kernel, options)


STOCK = {1: 19.5, 2: 20.0, 3: 19.0, 4: 19.0, 5: 19.0}
"""What can be earned on the stock kernel, which has no fault injection."""


def _scores(grade: Grade) -> dict[int, float]:
    return {e.number: e.score for e in grade.exercises}


@pytest.mark.vm
def test_solution_earns_everything(lab: Lab, stock_kernel: Kernel) -> None:
    """The reference solution has full marks in every exercise."""
    grade = _grade(lab, stock_kernel, lab.solution)
    assert _scores(grade) == STOCK
    assert (grade.score, grade.max_score, grade.status) == (96.5, 96.5, "graded")


@pytest.mark.vm
def test_solution_earns_a_hundred_points_on_the_debug_kernel(
    lab: Lab, debug_kernel: Kernel
) -> None:
    """There every check is tried, and the kernel has nothing to report."""
    grade = _grade(lab, debug_kernel, lab.solution)
    assert (grade.score, grade.max_score, grade.status) == (100, 100, "graded")
    assert grade.findings == ()


@pytest.mark.vm
def test_grade_is_the_same_where_guests_are_booted(
    lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without templates each guest boots, which takes longer and costs no point."""
    monkeypatch.setattr(snapshot, "template", lambda _: None)
    grade = _grade(lab, stock_kernel, lab.solution, 1, 5)
    assert _scores(grade) == {1: STOCK[1], 5: STOCK[5]}
    assert grade.findings == ()


@pytest.mark.vm
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_skeleton_earns_nothing_for_what_is_open(
    step: int, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """A skeleton of step N has the points of the exercises before N and no others."""
    skeleton.write(skeleton.generate(lab.solution, step), tmp_path / "s", force=False)
    grade = _grade(lab, stock_kernel, tmp_path / "s")
    assert _scores(grade) == {n: STOCK[n] if n < step else 0.0 for n in STOCK}
    assert grade.findings == ()


@pytest.mark.vm
def test_same_seed_picks_the_same_values(lab: Lab, stock_kernel: Kernel) -> None:
    """A run that is repeated with its seed chooses the same ports and addresses."""
    skels = Path("skels") / lab.name
    runs = [_grade(lab, stock_kernel, skels, 1, seed=seed) for seed in (3, 3, 4)]
    expected = [g.exercises[0].checks[0].expected for g in runs]
    assert re.search(r"from 127\.\d+\.\d+\.\d+:\d+", expected[0])
    assert expected[0] == expected[1] != expected[2]


@pytest.mark.vm
def test_crash_costs_its_module_and_nothing_else(
    lab: Lab, stock_kernel: Kernel, student, tmp_path: Path
) -> None:
    """A module that panics in init loses its exercises; the rest is graded."""
    alice = student("alice")
    alice.replace("udp_sock.c", "	err = my_udp_bind();", '	panic("boom");')
    grade = _grade(lab, stock_kernel, alice.path, 3, 5)
    assert _scores(grade) == {3: STOCK[3], 5: 0.0}
    first = grade.exercises[1].checks[0]
    assert first.status == "crash"
    assert "Kernel panic - not syncing: boom" in first.message + first.log
    assert [(f.kind, f.check) for f in grade.findings] == [("panic", first.id)]


@pytest.mark.vm
def test_hang_in_init_times_out(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A module whose init never comes back is stopped at its deadline in guest seconds."""
    bob = student("bob")
    bob.replace(
        "udp_sock.c",
        "	err = my_udp_bind();",
        "	schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);",
    )
    grade = _grade(lab, stock_kernel, bob.path, 5)
    assert grade.exercises[0].checks[0].status == "timeout"
    assert grade.score == 0
    assert grade.status == "graded"


@pytest.mark.vm
def test_spinning_in_init_is_stopped_by_the_kernel(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A module that spins for ever is named: by the kernel, or by insmod's stack from 6.13 on."""
    carol = student("carol")
    carol.replace("udp_sock.c", "	err = my_udp_bind();", "	for (;;)\n		barrier();")
    grade = _grade(lab, stock_kernel, carol.path, 5)
    first = grade.exercises[0].checks[0]
    assert first.status in ("crash", "timeout")
    assert "udp_sock" in first.message
    assert grade.score == 0


@pytest.mark.vm
def test_reboot_is_a_crash(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A module that reboots the machine crashes its guest and nothing more."""
    dave = student("dave")
    dave.replace("udp_sock.c", "	err = my_udp_bind();", "	emergency_restart();")
    dave.replace(
        "udp_sock.c",
        "#include <linux/in.h>",
        "#include <linux/in.h>\n#include <linux/reboot.h>",
    )
    grade = _grade(lab, stock_kernel, dave.path, 5)
    assert grade.exercises[0].checks[0].status == "crash"
    assert "reset" in grade.exercises[0].checks[0].message


@pytest.mark.vm
def test_log_flood_is_cut(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A module that floods the log fails, and its guest is given up."""
    eve = student("eve")
    eve.replace(
        "udp_sock.c",
        "	err = my_udp_bind();",
        '	for (err = 0; err < 1000000; err++)\n		pr_info("flood %d\\n", err);',
    )
    grade = _grade(lab, stock_kernel, eve.path, 5)
    first = grade.exercises[0].checks[0]
    assert (first.status, grade.score) == ("fail", 0)
    assert "floods the kernel log" in first.message
    assert len(first.log) < 2000


@pytest.mark.vm
def test_compile_error_costs_its_module_only(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A module that does not compile fails its exercises with gcc's words and the right line."""
    frank = student("frank")
    frank.replace("tcp_sock.c", "kernel_listen(sock,", "kernel_lissten(sock,")
    grade = _grade(lab, stock_kernel, frank.path, 3, 4, 5)
    assert _scores(grade) == {3: 0.0, 4: 0.0, 5: STOCK[5]}
    check = grade.exercises[0].checks[0]
    assert check.status == "fail"
    assert re.search(r"3-4-tcp-sock/tcp_sock\.c:\d+:\d+: error: implicit declaration", check.log)


@pytest.mark.vm
def test_missing_file_costs_its_module_only(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A source that is not there fails its exercises with the reason, and the others count."""
    grace = student("grace")
    (grace.path / "5-udp-sock/udp_sock.c").unlink()
    grade = _grade(lab, stock_kernel, grace.path, 3, 5)
    assert _scores(grade) == {3: STOCK[3], 5: 0.0}
    assert grade.exercises[1].checks[0].message == "5-udp-sock/udp_sock.c is missing."


READING = """
import sys
from pathlib import Path
from types import SimpleNamespace
from checker import lab
from checker.engine import build, grading
from checker.model import Submission

def compile(*_, meanwhile, **__):
    print("pytest" in sys.modules)
    meanwhile()
    print("pytest" in sys.modules, "checker.engine.plugin" in sys.modules)
    sys.exit()

build.build = compile
grading.prove_lab = lambda *_: None  # it is done once, when a lab is new
grading.machine = lambda *_: SimpleNamespace(kernel=None)
grading.earlier.key = lambda *_: ""
grading.sandbox.prove = lambda: None
grading.snapshot.template = lambda _: None
given = Submission(name="s", path=Path(), files=())
grading.grade_submission(lab.load("networking"), given, None, grading.Options())
"""


def test_pytest_is_read_while_the_compiler_works() -> None:
    """Not before, as most commands need none, and not after, when nothing else is to do."""
    done = subprocess.run(
        [sys.executable, "-c", READING], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "True", "True"]


def test_who_reuses_nothing_computes_no_keys(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A class and a selftest read no file for what nobody asks; check does, to keep its results."""
    asked: list[int] = []

    def key(_: str, exercise: Exercise, *__: object) -> str:
        asked.append(exercise.number)
        return "key"

    def no_more(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(grading.earlier, "key", key)
    monkeypatch.setattr(grading, "prove_lab", lambda *_: None)
    monkeypatch.setattr(grading, "machine", lambda *_: None)
    monkeypatch.setattr(grading, "_run", no_more)
    given = Submission(name="s", path=tmp_path, files=())
    on: Any = None
    for options, numbers in (
        (grading.Options(), []),
        (grading.Options(on_checked=asked.append), [1, 2, 3, 4, 5]),
    ):
        asked.clear()
        with pytest.raises(InterruptedError):
            grading.grade_submission(lab, given, on, options)
        assert asked == numbers


def _result(identity: str, status: str, points: float, most: float) -> CheckResult:
    return CheckResult.model_validate(
        {"id": identity, "title": "t", "status": status, "points": points, "max_points": most}
    )


def _sum(lab: Lab, *results: CheckResult) -> Grade:
    provenance = Provenance(seed=1, lab="", checker="", image="", seconds=0)
    given = Submission(name="s", path=Path(), files=())
    info = KernelInfo(name="stock", release="6.1.0")
    checked = [Checked(lab.exercises[0], results)]
    return sum_up(lab, given, checked, kernel=info, provenance=provenance)


def test_grader_error_is_not_a_grade(lab: Lab) -> None:
    """One check that the grader could not run makes the whole grade an error."""
    grade = _sum(lab, _result("1.a", "pass", 5, 5), _result("1.b", "error", 0, 5))
    assert grade.status == "error"


def test_json_has_the_fields_that_others_rely_on(lab: Lab) -> None:
    """The JSON names are those of knetlab/grade/v1."""
    data = json.loads(_sum(lab, _result("1.a", "pass", 5, 5)).to_json())
    assert data["schema"] == "knetlab/grade/v1"
    top = {"schema", "lab", "submission", "status", "kernel", "score", "max_score", "exercises"}
    assert top | {"findings"} <= data.keys()
    assert {"number", "title", "score", "max_score", "checks"} <= data["exercises"][0].keys()
    check = data["exercises"][0]["checks"][0]
    assert {"id", "title", "status", "points", "max_points", "message", "seconds"} <= check.keys()
    assert (
        Grade.model_validate(data).to_json()
        == json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    )
