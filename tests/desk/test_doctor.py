"""knetlab doctor: what is missing is named with the command that mends it."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from checker.desk import doctor, last_run
from checker.model import ExerciseResult, Grade, KernelInfo, Provenance, Reused
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
    assert f"all {len(doctor.needed())} are installed" in said
    (row,) = (line.split() for line in said.splitlines() if line.split()[1:2] == ["QEMU"])
    assert f"version {row[2]}" in tools.run(["qemu-system-x86_64", "--version"])


Hide = Callable[..., None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Take programs from this host; ``also`` are there, wherever they are not."""
    which = shutil.which

    def hidden(*programs: str, also: str = "") -> None:
        def found(name: str, *, path: str | None = None) -> str | None:
            return None if name in programs else which("true" if name == also else name, path=path)

        monkeypatch.setattr(shutil, "which", found)

    return hidden


@pytest.mark.parametrize("program", doctor.needed())
def test_a_missing_program_is_named_with_its_package(
    program: str, examine: Examine, hide: Hide
) -> None:
    """One program less, and the host is not fit; the others are still found."""
    hide(program)
    fit, said = examine()
    if program == "apt-get":  # then the compiler is knetlab's own, and so is what fetches it
        assert program not in said
        return
    assert not fit
    (line,) = (x for x in said.splitlines() if x.split()[1:2] == [program])
    assert line.startswith("MISSING")
    assert f"apt install {tools.PACKAGES[program]}" in line


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("dnf", "dnf install qemu-img"),
        ("pacman", "pacman -S qemu-img"),
        ("emerge", "install qemu-img"),
    ],
)
def test_without_apt_nobody_is_told_to_run_it(
    manager: str, command: str, examine: Examine, hide: Hide
) -> None:
    """The command is that of the package manager that is there, and so is the package's name."""
    hide("apt-get", "apt-cache", "qemu-img", "clangd", also=manager)
    fit, said = examine()
    assert not fit
    assert f"  {command}" in said.splitlines()
    assert "apt install" not in said


def test_a_fetched_compiler_needs_none_of_the_host(
    examine: Examine, hide: Hide, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without gcc, apt and the like, and with a mirror named, nothing is missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KNETLAB_TOOLCHAIN", "own")
    monkeypatch.setenv("KNETLAB_MIRROR", "https://mirror.example/debian")
    hide("gcc", "addr2line", "mke2fs", "apt-get", "apt-cache")
    fit, said = examine()
    assert fit, said
    assert "compiler" in rows(said, "note")
    assert "static libc" not in said


def test_without_a_mirror_both_ways_out_are_named(
    examine: Examine, hide: Hide, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where compiler and kernel would have to be fetched and nobody knows where from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KNETLAB_MIRROR", raising=False)
    hide("apt-get", "apt-cache")
    fit, said = examine(width=80)
    assert not fit
    assert "  export KNETLAB_MIRROR=URL, or make check KIT=FILE" in said.splitlines()


def test_a_wrong_setting_is_told_of(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """KNETLAB_TOOLCHAIN is own or host; the doctor goes on to the end."""
    monkeypatch.setenv("KNETLAB_TOOLCHAIN", "mine")
    fit, said = examine()
    assert not fit
    assert "KNETLAB_TOOLCHAIN=mine is wrong: set it to own or host, or do not set it." in said
    assert "/dev/kvm" in said


def test_what_only_developers_need_is_no_fault(examine: Examine, hide: Hide) -> None:
    """Patch and git are notes, each with what it is for, and the host is fit."""
    hide("patch", "git")
    fit, said = examine()
    assert fit
    assert {"patch", "git"} <= set(rows(said, "note"))


@pytest.mark.parametrize(
    ("version", "fit"), [("6.2.0 (Debian 1:6.2)", False), ("7.2.22", True), ("11.0.1", True)]
)
def test_a_qemu_that_is_too_old_is_told_of(
    version: str, fit: bool, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7.2 is the oldest that knetlab was tried with; numbers are compared as numbers."""
    monkeypatch.setattr(tools, "run", lambda *_, **__: f"QEMU emulator version {version}\n")
    done, said = examine()
    assert done == fit
    assert ("7.2 or newer is needed" in said) != fit


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
    coming = {"stock kernel", "debug kernel", "saved guests", "a check takes"}
    assert coming <= set(rows(said, "note"))
    assert not list((tmp_path / "knetlab").iterdir())


def test_a_check_that_ran_nothing_says_nothing_of_the_time(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where all results are of an earlier run, its time is no time of a check."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = grade(0.1)
    old = made.exercises[0].model_copy(
        update={"reused": Reused(at=datetime(2026, 11, 20, tzinfo=UTC), seed=1)}
    )
    with last_run.keeping(tmp_path) as kept:
        last_run.save(kept, made.model_copy(update={"exercises": (old,)}))
    _, said = examine()
    assert "unknown: the last check ran nothing, because nothing had changed" in said


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
    assert re.search(r"a guest takes +\d+\.\d\d s, restored from a saved guest", said)
