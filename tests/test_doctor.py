"""knetlab doctor: what is missing is named with the command that mends it."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from checker import doctor
from checker.desk import last_run
from checker.model import ExerciseResult, Grade, KernelInfo, Provenance
from vm import kernel, sandbox, tools
from vm.errors import NoSandbox

Examine = Callable[..., tuple[bool, str]]


@pytest.fixture
def examine() -> Examine:
    """Run the doctor; return its verdict and its words."""

    def run(*, width: int = 200, timed: bool = False) -> tuple[bool, str]:
        console = Console(file=io.StringIO(), width=width)
        fit = doctor.report(console, timed=timed)
        assert isinstance(console.file, io.StringIO)
        return fit, console.file.getvalue()

    return run


def rows(said: str, state: str) -> list[str]:
    """Return what the rows with *state* are about."""
    found = (line.split("  ") for line in said.splitlines() if line.startswith(state))
    return [[word.strip() for word in row if word.strip()][1] for row in found]


def grade(seconds: float) -> Grade:
    """Return a grade of one exercise that took so long."""
    exercise = ExerciseResult(number=1, title="", score=0, max_score=1, checks=(), hint="")
    return Grade(
        lab="networking",
        submission="alice",
        status="graded",
        kernel=KernelInfo(name="stock", release="6.1.0"),
        score=0,
        max_score=1,
        exercises=(exercise,),
        findings=(),
        provenance=Provenance(seed=1, lab="", checker="", image="", seconds=seconds),
    )


def test_a_host_that_runs_these_tests_is_fit(examine: Examine) -> None:
    """Nothing is missing here, and QEMU's version is the one that it says itself."""
    fit, said = examine()
    assert fit
    assert "MISSING" not in said
    assert f"all {len(tools.PACKAGES)} are here" in said
    (row,) = (line.split() for line in said.splitlines() if line.split()[1:2] == ["QEMU"])
    assert f"version {row[2]}" in tools.run(["qemu-system-x86_64", "--version"])


@pytest.mark.parametrize("program", tools.PACKAGES)
def test_a_missing_program_is_named_with_its_package(
    program: str, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One program less, and the host is not fit; the others are still found."""
    which = shutil.which

    def without(name: str, *, path: str | None = None) -> str | None:
        return None if name == program else which(name, path=path)

    monkeypatch.setattr(tools.shutil, "which", without)
    fit, said = examine()
    assert not fit
    (line,) = (x for x in said.splitlines() if x.split()[1:2] == [program])
    assert line.startswith("MISSING")
    assert f"apt install {tools.PACKAGES[program]}" in line


def test_a_sandbox_that_does_not_start_is_told_of(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bubblewrap fails its words are shown."""

    def fail() -> None:
        raise NoSandbox("The sandbox does not work on this host: no namespaces for you.")

    monkeypatch.setattr(sandbox, "prove", fail)
    fit, said = examine()
    assert not fit
    assert "no namespaces for you" in said


def test_a_full_disk_is_told_of(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room for the cache is a reason not to be fit."""
    usage = shutil.disk_usage("/")._replace(free=100 << 20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    fit, said = examine()
    assert not fit
    assert "100 MiB free, 1 GiB needed" in said


def test_a_cache_that_cannot_be_made_is_told_of(
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The doctor goes on to the end, and says which folder it is about."""
    file = tmp_path_factory.mktemp("cache") / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    fit, said = examine()
    assert not fit
    assert "XDG_CACHE_HOME" in said
    assert "/dev/kvm" in said


def test_kvm_is_not_needed(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without /dev/kvm is as fit as one with it."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, m: p != "/dev/kvm" and access(p, m))
    fit, said = examine()
    assert fit
    assert "not usable, and not needed" in said


def test_a_debug_kernel_that_is_not_built_is_no_fault(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the host is fit, and the command that builds it is named."""
    monkeypatch.setattr(kernel, "debug_if_built", lambda: None)
    fit, said = examine()
    assert fit
    assert "make kernel NAME=debug" in said


def test_an_empty_cache_is_no_fault_and_says_what_comes(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the first check nothing is fetched: kernels, guests and times are notes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fit, said = examine()
    assert fit
    coming = {"stock kernel", "debug kernel", "frozen guests", "a check takes"}
    assert coming <= set(rows(said, "note"))
    assert not list((tmp_path / "knetlab").iterdir())


def test_what_a_check_costs_is_known_from_the_last_one(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the runs that are kept, the newest has its seconds shown."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for seconds in (90.0, 12.4):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        with last_run.keeping(folder) as kept:
            last_run.save(kept, grade(seconds))
        os.utime(last_run.folder(folder) / "grade.json", (1, 200 - seconds))
    assert "12 s: 1 exercise, stock kernel" in examine()[1]


def test_nothing_is_wider_than_a_terminal_and_no_command_is_lost(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At 80 columns, with much to say, every line fits and the commands stand whole."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernel, "debug_if_built", lambda: None)
    _, said = examine(width=80)
    assert max(map(len, said.splitlines())) <= 80
    assert "make kernel NAME=debug" in said
    assert "…" not in said


@pytest.mark.parametrize(
    "setting",
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_a_setting_that_forbids_namespaces_is_named_with_its_command(
    setting: tuple[str, str, str],
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Which of the kernel's settings stands in bubblewrap's way is looked up."""
    file, value, command = setting
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(f"{value}\n")
    monkeypatch.setattr(doctor, "SETTINGS", tmp_path)

    def fail() -> None:
        raise NoSandbox("The sandbox does not work on this host.")

    monkeypatch.setattr(sandbox, "prove", fail)
    assert f"  sudo sysctl -w {command}" in examine(width=80)[1].splitlines()


@pytest.mark.vm
def test_a_guest_can_be_timed(examine: Examine) -> None:
    """Asked to, the doctor restores a guest and says how long it took."""
    fit, said = examine(timed=True)
    assert fit
    assert re.search(r"a guest takes +\d+\.\d\d s, restored from a frozen one", said)
