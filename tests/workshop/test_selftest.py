"""What a selftest tries, and what it makes of the grades that come of it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support import ROOT, all_end

from checker import cli
from checker import lab as labs
from checker.errors import InputError, LabError
from checker.model import (
    CheckResult,
    Exercise,
    ExerciseResult,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Status,
    Target,
)
from checker.report import selftest as shown
from checker.workshop import mutants, selftest
from checker.workshop.mutants import Mutant
from checker.workshop.selftest import Outcome, Report, Trial
from vm import kernel
from vm.kernel import Kernel
from vm.tools import descendants

LAB = Lab(
    name="small",
    title="Two exercises",
    format=2,
    builds=(Target(kind="module", name="m", folder="m", sources=("m.c",)),),
    exercises=tuple(
        Exercise(number=n, title="t", builds=("m",), points=10, hint="h") for n in (1, 2)
    ),
    root=Path("small"),
)
"""A lab of two exercises with two checks each: 1.a, 1.b, 2.a, 2.b, worth 5 points."""


def grade(*, seed: int = 1, status: str = "graded", **but: str) -> Grade:
    """Make a grade of LAB in which every check passes but for ``_1a="fail"``.

    "unable" is a check that is skipped because the kernel lacks a feature.
    """
    exercises = []
    for number in (1, 2):
        checks = [_check(f"{number}.{x}", but.pop(f"_{number}{x}", "pass")) for x in "ab"]
        exercises.append(
            ExerciseResult(
                number=number,
                title="t",
                score=sum(c.points for c in checks),
                max_score=sum(c.max_points for c in checks),
                checks=tuple(checks),
            )
        )
    assert not but
    return Grade.model_validate(
        {
            "lab": "small",
            "submission": "s",
            "status": status,
            "message": "QEMU is gone" if status == "error" else "",
            "kernel": KernelInfo(name="stock", release="6.1.0"),
            "score": sum(e.score for e in exercises),
            "max_score": sum(e.max_score for e in exercises),
            "exercises": exercises,
            "provenance": Provenance(seed=seed, lab="", checker="", image="", seconds=1),
        }
    )


def _check(id_: str, status: str) -> CheckResult:
    unable = status == "unable"
    real: Status = "skip" if unable else status  # type: ignore[assignment]
    return CheckResult(
        id=id_,
        title="t",
        status=real,
        points=5.0 if real == "pass" else 0.0,
        max_points=0.0 if unable else 5.0,
        message="" if real == "pass" else f"why {id_}",
    )


def mutant(*checks: str, exercises: tuple[int, ...] = (1,), needs: tuple[str, ...] = ()) -> Trial:
    """Make the trial of a mutant that *checks* must catch."""
    patch = Mutant(name="1-x", exercises=exercises, checks=checks, why="w", needs=needs, patch="p")
    return Trial(name="1-x", kind="mutant", mutant=patch)


def judge(
    trial: Trial, of: Grade, features: tuple[str, ...] = (), unbuilt: tuple[str, ...] = ()
) -> Outcome:
    """Judge a grade of LAB."""
    return selftest.judge(trial, of, LAB, features, unbuilt)


# --- mutants -------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["fail", "crash", "timeout"])
def test_mutant_is_caught(status: str) -> None:
    """A mutant whose check does not pass, while the other exercise keeps its points, is caught."""
    assert judge(mutant("1.a"), grade(_1a=status, _1b="skip")).verdict == "caught"


@pytest.mark.parametrize("status", ["pass", "skip", "unable"])
def test_mutant_survives_a_check_that_did_not_fail(status: str) -> None:
    """A check that passed or was not tried caught nothing, whatever another check said."""
    outcome = judge(mutant("1.a"), grade(_1a=status, _1b="fail"))
    assert outcome.verdict == "survived"
    assert outcome.expected == "caught by 1.a"
    assert "1.b fail: why 1.b" in outcome.what


def test_survivor_says_what_each_check_of_its_exercise_said() -> None:
    """The row of a survivor has every check of its exercise and none of the other."""
    outcome = judge(mutant("1.a"), grade())
    assert outcome.what == "pass: 1.a, 1.b"


def test_every_check_named_must_catch() -> None:
    """Of two checks named both must fail."""
    assert judge(mutant("1.a", "1.b"), grade(_1a="fail")).verdict == "survived"
    assert judge(mutant("1.a", "1.b"), grade(_1a="fail", _1b="fail")).verdict == "caught"


def test_check_that_the_lab_does_not_have() -> None:
    """A check that is not in the grade caught nothing, and is named."""
    outcome = judge(mutant("1.c"), grade(_1a="fail"))
    assert outcome.verdict == "survived"
    assert "the lab has no check 1.c" in outcome.what


def test_mutant_that_another_exercise_sees() -> None:
    """Points lost in an exercise that the mutant does not name are trouble."""
    outcome = judge(mutant("1.a"), grade(_1a="fail", _2b="fail"))
    assert outcome.verdict == "elsewhere"
    assert "exercise 2" in outcome.what
    assert "2.b fail: why 2.b" in outcome.what
    assert judge(mutant("1.a", exercises=(1, 2)), grade(_1a="fail", _2b="fail")).verdict == "caught"


def test_check_that_the_kernel_cannot_do_is_not_lost() -> None:
    """A check of the other exercise that needs a feature loses nothing."""
    assert judge(mutant("1.a"), grade(_1a="fail", _2b="unable")).verdict == "caught"


def test_mutant_is_unseen_where_the_kernel_lacks_what_it_needs() -> None:
    """A mutant that needs a feature passes everything without it, and is caught with it."""
    trial = mutant("1.a", needs=("KASAN", "FAILSLAB"))
    outcome = judge(trial, grade(_1a="unable"), ("KASAN",))
    assert outcome.verdict == "unseen"
    assert "needs FAILSLAB" in outcome.what
    assert judge(trial, grade(_1a="fail"), ("KASAN", "FAILSLAB")).verdict == "caught"
    assert judge(trial, grade(), ("KASAN", "FAILSLAB")).verdict == "survived"


@pytest.mark.parametrize("lost", [{"_1a": "fail"}, {"_1b": "crash"}, {"_2a": "fail"}])
def test_needs_is_wrong_when_it_is_seen_all_the_same(lost: dict[str, str]) -> None:
    """A mutant that is seen without what it says it needs is trouble, and Needs is named."""
    outcome = judge(mutant("1.a", needs=("KASAN",)), grade(**lost))
    assert outcome.verdict == "seen"
    assert "the line Needs is wrong" in outcome.what


def test_mutant_that_does_not_compile() -> None:
    """A mutant that the compiler refuses is caught by nobody, unless it is one of that kind."""
    trial = mutant("1.a")
    refused = grade(_1a="fail", _1b="fail")
    assert judge(trial, refused, unbuilt=("m",)).verdict == "unbuilt"
    assert trial.mutant
    kind = trial.mutant.model_copy(update={"builds": False})
    assert judge(trial.model_copy(update={"mutant": kind}), refused).verdict == "caught"


# --- what is right -------------------------------------------------------------------

SOLUTION = Trial(name="solution", kind="solution")


def test_solution_earns_everything() -> None:
    """The solution passes every check; one that the kernel cannot do may be skipped."""
    assert judge(SOLUTION, grade()).verdict == "right"
    assert judge(SOLUTION, grade(_1b="unable")).verdict == "right"


@pytest.mark.parametrize("status", ["fail", "skip", "crash", "timeout"])
def test_solution_that_loses_a_check(status: str) -> None:
    """A check of the solution that does not pass is trouble, and says why."""
    outcome = judge(SOLUTION, grade(_2a=status))
    assert outcome.verdict == "wrong"
    assert f"2.a {status}: why 2.a" in outcome.what
    assert "exercise 2 earns 5, not 10" in outcome.what


@pytest.mark.parametrize(
    ("lost", "verdict"),
    [
        ({"_2a": "fail", "_2b": "skip"}, "right"),
        ({"_2a": "fail"}, "wrong"),
        ({"_1b": "fail", "_2a": "fail", "_2b": "skip"}, "wrong"),
        ({}, "wrong"),
    ],
)
def test_skeleton_earns_what_is_solved(lost: dict[str, str], verdict: str) -> None:
    """The skeleton of step 2 has all of exercise 1 and nothing of exercise 2."""
    step = Trial(name="skeleton-2", kind="skeleton", step=2)
    assert judge(step, grade(**lost)).verdict == verdict


def test_skeleton_that_does_not_compile() -> None:
    """A skeleton earns 0 in its own way, not because the compiler refuses it."""
    step = Trial(name="skeleton-1", kind="skeleton", step=1)
    nothing = grade(_1a="fail", _1b="fail", _2a="fail", _2b="fail")
    assert judge(step, nothing).verdict == "right"
    assert judge(step, nothing, unbuilt=("m",)).verdict == "unbuilt"


@pytest.mark.parametrize(
    ("earns", "lost", "verdict"),
    [
        ({}, {}, "right"),
        ({}, {"_1a": "fail"}, "wrong"),
        ({1: 10, 2: 0}, {"_2a": "fail", "_2b": "skip"}, "right"),
        ({1: 10, 2: 0}, {}, "wrong"),
        ({1: 10, 2: 0}, {"_1a": "unable", "_2a": "fail", "_2b": "unable"}, "right"),
    ],
)
def test_idiom_earns_what_it_says(
    earns: dict[int, float], lost: dict[str, str], verdict: str
) -> None:
    """An idiom earns full marks or what its patch says; full is what this kernel can tell."""
    patch = Mutant(name="x", why="w", earns=earns, patch="p")
    assert judge(Trial(name="x", kind="idiom", mutant=patch), grade(**lost)).verdict == verdict


@pytest.mark.parametrize("trial", [SOLUTION, mutant("1.a")], ids=["solution", "mutant"])
def test_grader_error_is_no_verdict(trial: Trial) -> None:
    """A grade that is an error proves nothing, whatever its checks say."""
    outcome = judge(trial, grade(status="error", _1a="fail"))
    assert (outcome.verdict, outcome.what) == ("error", "QEMU is gone")


# --- runs that disagree --------------------------------------------------------------


def test_runs_that_agree() -> None:
    """The same status in every run is no disagreement, nor is another kernel's."""
    runs = [judge(SOLUTION, grade(seed=n)) for n in (1, 2)]
    other = runs[0].model_copy(update={"kernel": "debug", "checks": {"1.a": "skip"}})
    assert selftest.disagreements([*runs, other]) == []


def test_runs_that_disagree() -> None:
    """A check whose status differs between runs is told with the seeds of each."""
    runs = [judge(SOLUTION, grade(seed=n)) for n in (1, 2)]
    runs.append(judge(SOLUTION, grade(seed=3, _2b="timeout")))
    (found,) = selftest.disagreements(runs)
    assert (found.check, found.kernel) == ("2.b", "stock")
    assert found.seeds == {"pass": (1, 2), "timeout": (3,)}


# --- which kernels -------------------------------------------------------------------


def of_release(name: str, release: str, debian: str) -> Kernel:
    """Return a kernel that nothing is run on."""
    return Kernel(name, release, "key", Path("/none"), "/b", {}, (), debian=debian)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12 has both kernels, 13 stock alone."""

    def stock(release: str) -> Kernel:
        series = "6.12.1" if release == "13" else "6.1.0"
        return of_release("stock", series, release or "12")

    def debug(release: str) -> Kernel | None:
        return None if release == "13" else of_release("debug", "6.1.192", "12")

    everything = [stock("12"), debug("12"), stock("13")]
    monkeypatch.setattr(kernel, "stock", stock)
    monkeypatch.setattr(kernel, "debug", debug)
    monkeypatch.setattr(kernel, "debug_if_built", debug)
    monkeypatch.setattr(kernel, "at_hand", lambda: everything)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], {"stock": "6.1.0", "debug": "6.1.192"}),
        (["--kernel", "debug"], {"debug": "6.1.192"}),
        (["--release", "13"], {"stock": "6.12.1"}),
        (
            ["--all-kernels"],
            {"6.1 stock": "6.1.0", "6.1 debug": "6.1.192", "6.12 stock": "6.12.1"},
        ),
        (
            ["--all-kernels", "--kernel", "stock"],
            {"6.1 stock": "6.1.0", "6.12 stock": "6.12.1"},
        ),
        (["--all-kernels", "--kernel", "debug"], {"debug": "6.1.192"}),
    ],
)
@pytest.mark.usefixtures("kernels")
def test_kernels_have_names_that_tell_them_apart(options: list[str], names: dict[str, str]) -> None:
    """Of one release they are stock and debug; of several the series stands before that."""
    arguments = cli.parser().parse_args(["selftest", "networking", *options])
    assert {n: k.release for n, k in cli._kernels_of(arguments).items()} == names


def test_no_kernel_at_hand_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what gets one."""
    monkeypatch.setattr(kernel, "at_hand", list)
    arguments = ["selftest", "networking", "--all-kernels", "--kernel", "debug"]
    with pytest.raises(InputError, match="`knetlab kernel debug` gets one"):
        cli._kernels_of(cli.parser().parse_args(arguments))


def test_a_kernel_of_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the one that is tried; half of it is refused, as a release beside it is."""
    own = of_release("custom", "7.5.0-mine", "")
    monkeypatch.setattr(kernel, "custom", lambda *_: own)
    parse = cli.parser().parse_args
    image, build = ("--kernel-image", str(tmp_path)), ("--kernel-build", str(tmp_path))
    assert cli._kernels_of(parse(["selftest", "x", *image, *build])) == {"custom": own}
    with pytest.raises(InputError, match="belong together"):
        cli._kernels_of(parse(["selftest", "x", *image]))


@pytest.mark.parametrize("other", [("--release", "13"), ("--kernel-image", "x")])
def test_all_kernels_and_one_do_not_go_together(
    other: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything is graded."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["selftest", "networking", "--all-kernels", *other])
    assert exit_.value.code == 2
    assert f"--all-kernels and {other[0]} cannot be used together" in capsys.readouterr().err


def test_outcomes_have_the_names_of_their_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kernels that are both called stock are told apart, in the record and in the table."""
    monkeypatch.setattr(selftest, "attempt", lambda trial, *_: judge(trial, grade()))
    made = {
        "6.1 stock": of_release("stock", "6.1.0", "12"),
        "6.12 stock": of_release("stock", "6.12.1", "13"),
    }
    outcomes = [selftest._try(LAB, made, (SOLUTION, name)) for name in made]
    assert [outcome.kernel for outcome in outcomes] == list(made)
    text = _shown(
        Report(
            lab="small",
            kernels=tuple(KernelInfo(name=n, release=k.release) for n, k in made.items()),
            outcomes=tuple(outcomes),
            disagreements=(),
            seconds=3,
        )
    )
    assert text.count("1 of 1") == 2
    assert "6.12 stock is Linux 6.12.1" in text


# --- the plan ------------------------------------------------------------------------


def test_plan_has_everything(lab: Lab) -> None:
    """All mutants and idioms are in the plan, a skeleton of each step, the solution N times."""
    names = [trial.name for trial in selftest.plan(lab, repeat=3)]
    patches = [m.name for kind in ("mutants", "idioms") for m in mutants.load(lab.root / kind)]
    steps = [f"skeleton-{n}" for n in range(1, 7)]
    assert sorted(names) == sorted(["solution"] * 3 + steps + patches)


def test_plan_of_a_lab_without_patches(lab: Lab, tmp_path: Path) -> None:
    """A lab that has no mutants and no idioms yet can be tried all the same."""
    names = [trial.name for trial in selftest.plan(lab.model_copy(update={"root": tmp_path}))]
    assert names == ["solution"] + [f"skeleton-{n}" for n in range(1, 7)]


def test_sample_has_a_mutant_for_each_check(lab: Lab) -> None:
    """A sample is smaller, and no check, no usual idiom and no kind is left out of it."""
    whole, sample = selftest.plan(lab), selftest.plan(lab, sample=True)
    assert len(sample) < len(whole) / 2

    def checks(trials: list[Trial]) -> set[str]:
        return {check for trial in trials if trial.mutant for check in trial.mutant.checks}

    assert checks(sample) == checks(whole)
    usual = {t.name for t in whole if t.mutant and t.mutant.usual}
    assert usual
    assert usual == {trial.name for trial in sample if trial.kind == "idiom"}
    assert {trial.kind for trial in sample} == {trial.kind for trial in whole}


def test_only_what_was_named(lab: Lab) -> None:
    """Names pick trials; one that is unknown is refused with its near matches."""
    trials = selftest.plan(lab, only=["solution", "skeleton-2", "1-every-port"])
    assert [trial.name for trial in trials] == ["solution", "skeleton-2", "1-every-port"]
    with pytest.raises(InputError, match="did you mean 1-every-port"):
        selftest.plan(lab, only=["1-every-prot"])


def _copy(lab: Lab, folder: Path, name: str, patch: str) -> Lab:
    """Copy *lab* to *folder*, with the one mutant *patch*."""
    shutil.copytree(lab.root, folder / lab.name)
    shutil.rmtree(folder / lab.name / "mutants")
    (folder / lab.name / "mutants").mkdir()
    (folder / lab.name / "mutants" / f"{name}.patch").write_text(patch)
    return labs.load(lab.name, folder)


ROTTEN = """Exercise: 5
Check: 5.datagram
Why: nobody would
--- a/5-udp-sock/udp_sock.c
+++ b/5-udp-sock/udp_sock.c
@@ -1,2 +1,2 @@
 nothing like this
-stands there
+is there
"""


def test_patch_that_does_not_fit_is_told_before_anything_is_graded(
    lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """A patch that does not apply is an error of the lab that names it."""
    rotten = _copy(lab, tmp_path, "5-rotten", ROTTEN)
    trials = selftest.plan(rotten, only=["solution", "5-rotten"])
    done: list[Outcome] = []
    with pytest.raises(LabError, match=r"5-rotten\.patch does not apply"):
        selftest.run(rotten, {"stock": stock_kernel}, trials, jobs=1, on_done=done.append)
    assert done == []


# --- what is shown -------------------------------------------------------------------


def _shown(report: Report, *, verbose: bool = False) -> str:
    console = Console(file=io.StringIO(), width=160)
    shown.render(report, console, verbose=verbose)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _report(*outcomes: Outcome) -> Report:
    return Report(
        lab="small",
        kernels=(KernelInfo(name="stock", release="6.1.0"),),
        outcomes=outcomes,
        disagreements=tuple(selftest.disagreements(outcomes)),
        seconds=3,
    )


def test_survivor_is_in_the_table() -> None:
    """The table has the survivor, its check and what came; what was caught only if asked for."""
    survivor = judge(mutant("1.a"), grade())
    caught = judge(mutant("1.b"), grade(_1b="fail")).model_copy(update={"name": "1-other"})
    text = _shown(_report(survivor, caught))
    assert "1-x" in text
    assert "caught by 1.a" in text
    assert "pass: 1.a, 1.b" in text
    assert "1-other" not in text
    assert "1 of 2" in text
    assert "1 trial with an unexpected result" in text
    assert "1-other" in _shown(_report(survivor, caught), verbose=True)


def test_clean_run_is_short() -> None:
    """When all is as it should be there is a count for each kernel and no table of troubles."""
    trial = mutant("1.a", needs=("KASAN",))
    text = _shown(_report(judge(SOLUTION, grade()), judge(trial, grade(_1a="unable"))))
    assert "2 trials in 3 seconds: all results are as expected." in text
    assert "1-x" not in text


def test_disagreement_is_shown() -> None:
    """A check that did not say the same in every run is shown with a seed of each kind."""
    runs = [judge(SOLUTION, grade(seed=11)), judge(SOLUTION, grade(seed=12, _1a="fail"))]
    text = _shown(_report(*runs))
    assert "pass in 1 run, seed 11" in text
    assert "fail in 1 run, seed 12" in text


# --- the command ---------------------------------------------------------------------

HARMLESS = """Exercise: 5
Check: 5.datagram
Why: thinks that a comment makes a difference
--- a/5-udp-sock/udp_sock.c
+++ b/5-udp-sock/udp_sock.c
@@ -2,3 +2,3 @@
 /*
- * Send a UDP datagram from the kernel.
+ * Send an UDP datagram from the kernel.
  *
"""


@pytest.mark.vm
def test_mutant_that_nothing_catches_is_named(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mutant that changes only a comment survives: exit status 1, its name, and its check."""
    _copy(lab, tmp_path, "5-harmless", HARMLESS)
    monkeypatch.setattr(labs.load, "__defaults__", (tmp_path,))
    monkeypatch.setattr(labs.names, "__defaults__", (tmp_path,))
    written = tmp_path / "out.json"
    arguments = ["--kernel", "stock", "--only", "5-harmless", "--json", str(written)]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["selftest", lab.name, *arguments])
    assert exit_.value.code == 1
    said = capsys.readouterr()
    assert "5-harmless: survived" in said.err
    assert "5-harmless" in said.out
    (outcome,) = json.loads(written.read_text())["outcomes"]
    assert (outcome["name"], outcome["verdict"]) == ("5-harmless", "survived")
    assert outcome["checks"]["5.datagram"] == "pass"


@pytest.mark.vm
def test_patch_that_breaks_the_build_catches_nothing(lab: Lab, stock_kernel: Kernel) -> None:
    """A mutant that no compiler takes fails every check, and is told from one that is caught."""
    (trial,) = selftest.plan(lab, only=["5-socket-by-value"])
    assert trial.mutant
    assert selftest.attempt(trial, lab, stock_kernel).verdict == "caught"
    ours = trial.model_copy(update={"mutant": trial.mutant.model_copy(update={"builds": True})})
    outcome = selftest.attempt(ours, lab, stock_kernel)
    assert (outcome.verdict, outcome.what) == ("unbuilt", "udp_sock does not compile")


@pytest.mark.vm
def test_stopped_selftest_leaves_no_process_behind() -> None:
    """Ctrl-C in the middle of a trial ends the guests and the processes that had them."""
    command = [sys.executable, "-m", "checker", "selftest", "networking"]
    running = subprocess.Popen(
        [*command, "--kernel", "stock", "--only", "solution", "--repeat", "9", "--jobs", "2"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr
    assert "solution: right" in next(line for line in running.stderr if "solution" in line)
    below = [os.pidfd_open(pid) for pid in descendants(running.pid)]
    assert len(below) > 2
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    assert all_end(below)
    running.stderr.close()
