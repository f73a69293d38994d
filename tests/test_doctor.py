"""knetlab doctor: what is missing is named with the command that mends it."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable

import pytest
from rich.console import Console

from checker import doctor
from vm import kernel, sandbox, tools
from vm.errors import NoSandbox


@pytest.fixture
def examine() -> Callable[[], tuple[bool, str]]:
    """Run the doctor; return its verdict and its words."""

    def run() -> tuple[bool, str]:
        console = Console(file=io.StringIO(), width=200)
        fit = doctor.report(console)
        assert isinstance(console.file, io.StringIO)
        return fit, console.file.getvalue()

    return run


def test_a_host_that_runs_these_tests_is_fit(examine: Callable[[], tuple[bool, str]]) -> None:
    """Nothing is missing here, and every program is listed with its path."""
    fit, said = examine()
    assert fit
    assert "MISSING" not in said
    assert all(program in said for program in tools.PACKAGES)
    assert shutil.which("qemu-img") in said


@pytest.mark.parametrize("program", tools.PACKAGES)
def test_a_missing_program_is_named_with_its_package(
    program: str, examine: Callable[[], tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
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
    examine: Callable[[], tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bubblewrap fails its words are shown."""

    def fail() -> None:
        raise NoSandbox("The sandbox does not work on this host: no namespaces for you.")

    monkeypatch.setattr(sandbox, "prove", fail)
    fit, said = examine()
    assert not fit
    assert "no namespaces for you" in said


def test_a_full_disk_is_told_of(
    examine: Callable[[], tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room for the cache is a reason not to be fit."""
    usage = shutil.disk_usage("/")._replace(free=100 << 20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    fit, said = examine()
    assert not fit
    assert "100 MiB free, 1024 needed" in said


def test_a_cache_that_cannot_be_made_is_told_of(
    examine: Callable[[], tuple[bool, str]],
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


def test_kvm_is_not_needed(
    examine: Callable[[], tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host without /dev/kvm is as fit as one with it."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, m: p != "/dev/kvm" and access(p, m))
    fit, said = examine()
    assert fit
    assert "not usable, and not needed" in said


def test_a_debug_kernel_that_is_not_built_is_no_fault(
    examine: Callable[[], tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the host is fit, and the command that builds it is named."""
    monkeypatch.setattr(kernel, "debug_if_built", lambda: None)
    fit, said = examine()
    assert fit
    assert "make kernel NAME=debug" in said
