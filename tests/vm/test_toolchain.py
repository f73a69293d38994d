"""The compiler: the host's where it is of the kernel's release, else packages in the cache."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from vm import apt, cache, debian, toolchain
from vm.errors import VMError


@pytest.fixture
def host_12(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with Debian 12, its apt, and no settings."""
    monkeypatch.delenv(toolchain.SETTING, raising=False)
    monkeypatch.setattr(debian, "host_release", lambda: "12")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    ("setting", "release", "is_host"),
    [
        ("", "12", True),
        ("", "13", False),
        ("", "sid", False),
        ("own", "12", False),
        ("host", "13", True),
    ],
)
@pytest.mark.usefixtures("host_12")
def test_the_hosts_compiler_is_for_its_own_release(
    setting: str, release: str, is_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other releases' modules are compiled by their own, and a setting overrules it."""
    monkeypatch.setenv(toolchain.SETTING, setting)
    assert toolchain.is_host(release) is is_host


@pytest.mark.usefixtures("host_12")
def test_without_apt_the_hosts_compiler_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gcc such a host has, the verdict does not depend on it."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not toolchain.is_host("12")


@pytest.mark.usefixtures("host_12")
def test_packages_of_another_release_do_not_come_from_apt(tmp_path: Path) -> None:
    """The host's apt knows its own release alone."""
    assert toolchain.host("12").packages is apt
    assert toolchain.host("13").packages == debian.archive("13")


def test_a_setting_with_a_typo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can stand there is told."""
    monkeypatch.setenv(toolchain.SETTING, "mine")
    with pytest.raises(VMError, match=r"KNETLAB_TOOLCHAIN=mine is wrong: set it to own or host"):
        toolchain.is_host("12")


@pytest.mark.usefixtures("host_12")
def test_looking_for_a_toolchain_fetches_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty cache has none, and stays empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert toolchain.if_there("13") is None
    assert list(cache.root().iterdir()) == []


@pytest.mark.usefixtures("host_12")
def test_grades_have_the_own_compiler_unless_a_setting_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While they are made, and no longer."""
    with toolchain.own_by_default():
        assert not toolchain.is_host("12")
        monkeypatch.setenv(toolchain.SETTING, "host")
        assert toolchain.is_host("12")
        monkeypatch.delenv(toolchain.SETTING)
    assert toolchain.is_host("12")


@pytest.mark.parametrize("release", ["12", "13", ""])
@pytest.mark.usefixtures("host_12")
def test_a_toolchain_goes_to_another_process(release: str) -> None:
    """With its kernel, as `selftest` sends it, and it has the same packages there."""
    found = toolchain.host(release)
    there = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert there == found
    assert there.packages == found.packages
