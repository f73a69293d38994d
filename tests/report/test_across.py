"""One submission on several kernels: what counts as a difference, and how it is told."""

from __future__ import annotations

import dataclasses
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import words
from rich.console import Console
from support import ROOT, SOLUTION

from checker import cli
from checker.engine import grading
from checker.model import (
    NEEDS_A_KERNEL,
    CheckResult,
    Exercise,
    ExerciseResult,
    Finding,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Target,
)
from checker.report import across
from checker.report import kernels as report
from checker.report.across import Run
from checker.workshop import selftest
from vm import kernel
from vm.kernel import Kernel

LAB = Lab(
    name="small",
    title="Two exercises",
    format=2,
    builds=tuple(
        Target(kind="module", name=n, folder=n, sources=(f"{n}.c",)) for n in ("one", "two")
    ),
    exercises=tuple(
        Exercise(number=n, title=f"Exercise {m}", builds=(m,), points=11, health=1, hint="h")
        for n, m in ((1, "one"), (2, "two"))
    ),
    root=Path("small"),
)
"""A lab of two modules and two exercises: the checks N.a and N.b, 5 points each, and N.healthy."""

LEAK = Finding(kind="memory-leak", summary="It leaks", location="one.c:7", check="1.a", hint="Free")


def run(
    name: str,
    *,
    findings: tuple[Finding, ...] = (),
    unbuilt: tuple[str, ...] = (),
    status: str = "graded",
    **but: str,
) -> Run:
    """Make the run on a kernel; every check passes but for ``_1a="fail"``.

    "unable" is a check that needs an option, "waits" one that waits for the exercise's first.
    """
    exercises = []
    for exercise in LAB.exercises:
        number = exercise.number
        whole = tuple(
            _check(f"{number}.{x}", but.pop(f"_{number}{x[0]}", "pass"))
            for x in ("a", "b", "healthy")
        )
        if not set(exercise.builds).isdisjoint(unbuilt):
            whole = tuple(
                c.model_copy(
                    update={
                        "status": "fail",
                        "points": 0.0,
                        "message": "A semicolon is missing.",
                        "log": "one.c:3:1: error: expected ';'",
                        "hint": "Mend one.c:3 first.",
                    }
                )
                for c in whole
            )
        exercises.append(
            ExerciseResult(
                number=number,
                title=exercise.title,
                score=sum(c.points for c in whole),
                max_score=sum(c.max_points for c in whole),
                checks=whole,
            )
        )
    assert not but
    release, kind = name.split()
    grade = Grade.model_validate(
        {
            "lab": "small",
            "submission": "mine",
            "status": status,
            "message": "QEMU is gone" if status == "error" else "",
            "kernel": KernelInfo(name=kind, release=release),
            "score": sum(e.score for e in exercises),
            "max_score": sum(e.max_score for e in exercises),
            "exercises": exercises,
            "findings": findings,
            "provenance": Provenance(seed=1, lab="", checker="", image="", seconds=1),
        }
    )
    return Run(name, grade, "13", unbuilt)


def _check(id_: str, status: str) -> CheckResult:
    messages = {
        "pass": "",
        "unable": f"{NEEDS_A_KERNEL} KASAN",
        "waits": f"{id_[0]}.a did not pass",
    }
    worth = 1.0 if id_.endswith("healthy") else 5.0
    return CheckResult.model_validate(
        {
            "id": id_,
            "title": f"What {id_} says",
            "status": "skip" if status in ("unable", "waits") else status,
            "points": worth if status == "pass" else 0.0,
            "max_points": 0.0 if status == "unable" else worth,
            "message": messages.get(status, f"why {id_}"),
            "hint": "" if status == "pass" else f"mend {id_}",
        }
    )


def shown(*runs: Run, verbose: bool = False, width: int = 80) -> str:
    """Return what is printed where it is not a terminal."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, _environ={})
    report.render(across.compare(LAB, runs), console, verbose=verbose)
    return out.getvalue()


# --- what differs --------------------------------------------------------------------


def test_the_same_on_all_is_no_difference() -> None:
    """Neither what all pass nor what all fail in the same way."""
    found = across.compare(LAB, [run("6.1 stock", _2a="fail"), run("6.12 stock", _2a="fail")])
    assert not found.differs
    assert not found.full
    assert across.compare(LAB, [run("6.1 stock"), run("6.12 stock")]).full


def test_a_check_that_fails_on_some_differs() -> None:
    """It has the kernels of each status, and the words of the first that it did not pass on."""
    found = across.compare(
        LAB,
        [run("6.1 stock"), run("6.12 stock", _1b="fail"), run("7.2 stock", _1b="crash")],
    )
    (check,) = found.checks
    assert (check.check.id, check.kernel) == ("1.b", "6.12 stock")
    assert check.where == {
        "pass": ("6.1 stock",),
        "fail": ("6.12 stock",),
        "crash": ("7.2 stock",),
    }


@pytest.mark.parametrize("status", ["unable", "error"])
def test_a_kernel_that_could_not_try_it_says_nothing(status: str) -> None:
    """For want of an option, or by the grader's own failure; others may still differ."""
    lacks = run("6.1 stock", _1b=status)
    assert not across.compare(LAB, [lacks, run("6.1 debug")]).differs
    (check,) = across.compare(LAB, [lacks, run("6.1 debug"), run("7.2 debug", _1b="fail")]).checks
    assert check.where == {"pass": ("6.1 debug",), "fail": ("7.2 debug",)}


def test_what_waits_for_a_failure_is_counted_with_it() -> None:
    """One mistake is one difference, however many checks were not tried for it."""
    found = across.compare(
        LAB, [run("6.1 stock"), run("7.2 stock", _1a="fail", _1b="waits", _1h="waits")]
    )
    (check,) = found.checks
    assert (check.check.id, check.waiting) == ("1.a", 2)


def test_what_only_some_kernels_report_differs() -> None:
    """A report is the same if its kind and place are; the points that it costs are told with it."""
    later = LEAK.model_copy(update={"check": "1.b", "summary": "It leaks more"})
    both = [run("6.1 debug", findings=(LEAK,)), run("7.2 debug", findings=(later, later))]
    assert not across.compare(LAB, both).differs
    sick = run("6.1 debug", findings=(LEAK,), _1h="fail")
    health = sick.grade.exercises[0].checks[-1]
    told = health.model_copy(update={"message": f"one.c:7: {LEAK.summary}"})
    exercise = sick.grade.exercises[0].model_copy(
        update={"checks": (*sick.grade.exercises[0].checks[:-1], told)}
    )
    grade = sick.grade.model_copy(update={"exercises": (exercise, sick.grade.exercises[1])})
    found = across.compare(LAB, [Run("6.1 debug", grade), run("6.1 stock")])
    assert found.checks == ()
    (finding,) = found.findings
    assert (finding.finding, finding.kernels) == (LEAK, ("6.1 debug",))
    # a kernel that reported nothing and lost the points all the same
    assert across.compare(LAB, [run("6.1 stock", _1h="fail"), run("6.1 debug")]).checks


def test_a_module_that_does_not_compile_on_one_is_one_difference() -> None:
    """Its checks and reports are compared between the kernels that have it."""
    without = run("7.2 stock", unbuilt=("one",))
    found = across.compare(LAB, [run("6.1 stock"), without])
    assert (found.checks, found.findings) == ((), ())
    (module,) = found.builds
    assert (module.build, module.kernels) == ("one", ("7.2 stock",))
    assert module.check.message == "A semicolon is missing."
    assert not across.compare(LAB, [run("6.1 debug", findings=(LEAK,)), without]).findings
    more = across.compare(LAB, [run("6.1 stock", _1b="fail"), run("6.12 stock"), without])
    assert [check.check.id for check in more.checks] == ["1.b"]


def test_a_module_that_compiles_nowhere_does_not_differ() -> None:
    """It is a mistake, and not one of some kernels."""
    assert not across.compare(
        LAB, [run(name, unbuilt=("one",)) for name in ("6.1 stock", "7.2 stock")]
    ).differs


# --- names ---------------------------------------------------------------------------


def made(name: str, release: str, debian: str) -> Kernel:
    """Return a kernel that nothing is run on."""
    return Kernel(name, release, release + name, Path("/none"), "/b", {}, (), debian=debian)


def test_kernels_have_short_names() -> None:
    """Series and kind; where two would have the same name, the release of Debian, too."""
    kernels = [
        made("stock", "6.1.0-56-cloud-amd64", "12"),
        made("debug", "6.1.192", "12"),
        made("stock", "7.3.4+deb13-cloud-amd64", "13-backports"),
        made("stock", "7.3.5+deb14-cloud-amd64", "sid"),
    ]
    names = across.names(kernels)
    assert list(names) == [
        *("6.1 stock", "6.1 debug"),
        *("7.3 stock (13-backports)", "7.3 stock (sid)"),
    ]
    assert list(names.values()) == kernels


# --- what is shown -------------------------------------------------------------------


def test_a_column_a_kernel() -> None:
    """A row an exercise and one for all, and one sentence when nothing differs."""
    text = shown(run("6.1 stock", _1b="unable"), run("6.12 debug"))
    assert "6 of 6" in words(text)
    assert "17 of 17 22 of 22" in words(text)
    assert words(text).endswith("The results on the 2 kernels are the same. Full marks.")


def test_a_check_that_differs_is_told_with_its_next_step() -> None:
    """Id, title, which kernels pass and which do not, message and next step; what waits."""
    bad = run("7.2 stock", _1a="fail", _1b="waits", _1h="waits")
    text = words(shown(run("6.1 stock"), run("6.12 stock"), bad))
    assert "1.a, 5 points: What 1.a says" in text
    assert "passed on 6.1 stock and 6.12 stock; failed on 7.2 stock." in text
    assert "On 7.2 stock: why 1.a 2 more checks wait for this one. Next: mend 1.a" in text
    assert "1 difference between the 3 kernels." in text
    assert "`knetlab check small --kernel stock --release 13`" in text


def test_reports_and_compilers_words_are_told() -> None:
    """Who reports what and where; who cannot compile what, and why."""
    text = words(shown(run("6.1 debug", findings=(LEAK,)), run("7.2 stock", unbuilt=("two",))))
    assert "Only 6.1 debug reports memory-leak: one.c:7: It leaks, during 1.a. Next: Free" in text
    assert "two does not compile for 7.2 stock. A semicolon is missing." in text
    assert "one.c:3:1: error: expected ';' Next: Mend one.c:3 first." in text


@pytest.mark.parametrize("verbose", [False, True])
def test_what_gcc_marks_stands_below_it_here_too(verbose: bool) -> None:
    """However narrow the terminal, each line of the compiler's stays in one piece."""
    lines = (
        "one.c:3:1: error: " + "a long word of the compiler's " * 4 + "ends",
        "    3 |         " + "some_function_of_a_long_name(with, many, arguments, " * 2 + "all);",
        "      |         " + " " * 70 + "^~~~",
    )
    bad = run("7.2 stock", unbuilt=("two",))
    exercises = tuple(
        e.model_copy(
            update={
                "checks": tuple(c.model_copy(update={"log": "\n".join(lines)}) for c in e.checks)
            }
        )
        if e.number == 2
        else e
        for e in bad.grade.exercises
    )
    grade = bad.grade.model_copy(update={"exercises": exercises})
    text = shown(run("6.1 debug"), dataclasses.replace(bad, grade=grade), verbose=verbose)
    for line in lines:
        assert f"\n  {line}\n" in text


def test_the_only_kernel_says_how_to_get_another() -> None:
    """The next release's; there is nothing to compare with it yet."""
    one = run("6.1 stock", _1a="fail")
    text = words(shown(Run("6.1 stock", one.grade, "12")))
    assert "Only 6.1 stock is in the cache, so there is nothing to compare it with." in text
    assert "`knetlab check` shows what is missing." in text
    assert "`knetlab kernel stock --release 13` downloads another one." in text


def test_a_grader_error_is_no_verdict() -> None:
    """It is told with its kernel and its reason, and the cell has no points."""
    text = words(shown(run("6.1 stock"), run("7.2 stock", status="error")))
    assert "7.2 stock: grader error: QEMU is gone" in text
    assert "Total 22 of 22 grader error" in text
    assert "The grader itself failed on 7.2 stock." in text


@pytest.mark.parametrize("number", [1, 4, 6, 8])
def test_lines_are_no_longer_than_the_terminal(number: int) -> None:
    """However many kernels there are, and whatever a module has written."""
    names = [f"6.{n} {kind}" for n in range(1, 5) for kind in ("stock", "debug")][:number]
    evil = LEAK.model_copy(update={"summary": "[red]x[/red] \x1b[31m" + 99 * "y"})
    runs = [run(name, _1a="fail", findings=(evil,)) for name in names[:1]]
    text = shown(*runs, *(run(name) for name in names[1:]))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert all(text.count(name.split()[0]) for name in names)
    if number > 1:
        assert "[red]x[/red]" in text


# --- the command ---------------------------------------------------------------------


@pytest.fixture
def knetlab(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int | None]]]:
    """Grade on nothing: three kernels, of which 7.2 fails 5.datagram; return kernels and seeds."""
    asked: list[tuple[str, int | None]] = []
    kernels = [
        made("stock", "6.1.0", "12"),
        made("debug", "6.1.0", "12"),
        made("stock", "7.2.0", "sid"),
    ]

    def grade(_: Lab, __: object, on: Kernel, options: grading.Options) -> Grade:
        asked.append((on.key, options.seed))
        fails = on.debian == "sid" and options.exercises != {1}
        return run(f"{on.release} {on.name}", _2a="fail" if fails else "pass").grade

    monkeypatch.setattr(kernel, "at_hand", lambda: kernels)
    monkeypatch.setattr(grading, "grade_submission", grade)
    monkeypatch.setattr(selftest, "unbuilt", lambda *_: [])
    yield asked


def check(*arguments: str) -> object:
    """Run ``knetlab check --all-kernels``; return its exit status."""
    submission = ("networking", "--submission", str(SOLUTION))
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", *submission, "--all-kernels", *arguments])
    return exit_.value.code


def test_each_kernel_at_hand_grades_once_with_one_seed(
    knetlab: list[tuple[str, int | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """One after another; the status tells whether all give full marks."""
    assert check() == 1
    assert [key for key, _ in knetlab] == ["6.1.0stock", "6.1.0debug", "7.2.0stock"]
    assert len({seed for _, seed in knetlab}) == 1
    said = words(capsys.readouterr().out)
    assert "passed on 6.1 stock and 6.1 debug; failed on 7.2 stock." in said
    assert check("--exercise", "1", "--seed", "5") == 0
    assert knetlab[-1] == ("7.2.0stock", 5)


def test_an_empty_cache_has_the_stock_kernel_made(
    knetlab: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plain check does it."""
    monkeypatch.setattr(kernel, "at_hand", list)
    monkeypatch.setattr(kernel, "stock", lambda: made("stock", "6.12.0", "13"))
    assert check() == 0
    assert [key for key, _ in knetlab] == ["6.12.0stock"]


def test_a_grader_error_on_one_is_the_status(
    knetlab: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3, whatever the others say."""
    monkeypatch.setattr(
        grading, "grade_submission", lambda *_: run("6.1 stock", status="error").grade
    )
    assert check() == 3


@pytest.mark.parametrize(
    "other",
    [
        *(("--kernel", "stock"), ("--release", "12"), ("--kernel-image", "x")),
        *(("--json", "x"), ("--junit", "x"), ("--html", "x"), ("--keep", ".")),
    ],
)
def test_all_kernels_goes_alone(
    other: tuple[str, str],
    knetlab: list[tuple[str, int | None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What chooses one kernel or writes one grade is refused, before anything is graded."""
    assert check(*other) == 2
    said = capsys.readouterr().err
    assert f"--all-kernels and {other[0]} cannot be used together: leave out one of them." in said
    assert knetlab == []


def test_make_has_a_variable_for_it() -> None:
    """`make check ALL_KERNELS=1`, and without it one kernel."""

    def would_run(*arguments: str) -> str:
        argv = ["make", "--dry-run", "check", *arguments]
        return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "--all-kernels" in would_run("ALL_KERNELS=1")
    assert "--all-kernels" not in would_run()
