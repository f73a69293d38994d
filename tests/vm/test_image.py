"""The root file system: packages that a lab asks for, and what is said of those that are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vm import apt, debian, image, qemu_img
from vm.debian import Archive, Package
from vm.errors import NoPackage, VMError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["-o=Dir::Cache=/tmp", "a", "Nftables", "nftables=1.0", "a b", ""])
def test_what_is_no_name_of_a_package_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked of apt, for which it might be an option."""
    monkeypatch.setattr(apt, "candidate", lambda _: pytest.fail("apt was asked"))
    with pytest.raises(NoPackage, match="is not the name of a package") as error:
        image.root(["nftables", name])
    assert error.value.package == name


@pytest.mark.vm
@pytest.mark.parametrize(
    "packages", [apt, Archive("13", {"dash": Package("dash", "1", "", "", ())})]
)
def test_a_package_that_is_not_there_is_named(
    packages: debian.Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the host's apt and by a release's list alike, and nothing is fetched."""
    tools = SimpleNamespace(packages=packages, name="t")
    monkeypatch.setattr(image, "tools", lambda: tools)
    with pytest.raises(NoPackage) as error:
        image.root(["no-such-package"])
    assert error.value.package == "no-such-package"
    assert "no-such-package" in str(error.value)


class Made:
    """Packages that are made up: *files* of each, and the libraries below them."""

    def __init__(self, files: dict[str, dict[str, bytes]]) -> None:
        self.files = files

    def candidate(self, package: str) -> str:
        """Return a version."""
        return "1"

    def libraries(self, packages: Iterable[str]) -> list[str]:
        """Return the library package of each."""
        return [f"lib{name}" for name in packages if f"lib{name}" in self.files]

    def unpack(self, packages: Iterable[str], folder: Path) -> dict[str, str]:
        """Write the packages' files."""
        names = list(packages)
        for name in names:
            for path, content in self.files[name].items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
        return dict.fromkeys(names, "1")


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Root file systems that are made meanwhile, as folders; nothing is compiled."""
    kept: list[Path] = []

    def keep(source: Path, target: Path, size: int) -> None:
        kept.append(source.rename(tmp_path / f"root-{len(kept)}"))
        source.mkdir()
        target.touch()

    monkeypatch.setattr(image, "make_ext2", keep)
    monkeypatch.setattr(qemu_img, "convert", lambda raw, to: to.touch())
    monkeypatch.setattr(image, "_compile_agent", lambda target: target.touch())
    monkeypatch.setattr(image, "_copy_with_libraries", lambda *_: None)
    yield kept


def base() -> dict[str, dict[str, bytes]]:
    """The packages of every root file system, of which nothing is copied but the loader."""
    files: dict[str, dict[str, bytes]] = {name: {} for name in image.PACKAGES}
    files["dash"] = {f"usr/{image._LOADER}": b"ld", "usr/bin/busybox": b"#!"}
    return files


def test_a_package_brings_its_files_and_no_manual(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs and data are where the package has them; what is there already stays."""
    own = {
        "usr/sbin/mine": b"#!/bin/sh",
        "usr/share/mine/data": b"1",
        "etc/mine.conf": b"2",
        "etc/passwd": b"of the package",
        "usr/share/man/man8/mine.8": b"3",
        "usr/share/doc/mine/copyright": b"4",
    }
    packages = Made({**base(), "mine": own})
    tools = SimpleNamespace(packages=packages, name="t", run=lambda *_, **__: "ls sh")
    monkeypatch.setattr(image, "tools", lambda: tools)
    assert image.root(["mine"]).key == image.root(["mine", "mine"]).key != image.root().key
    (root, without) = roots
    for path in ("usr/sbin/mine", "usr/share/mine/data", "etc/mine.conf"):
        assert (root / path).read_bytes() == own[path]
        assert not (without / path).exists()
    assert not (root / "usr/share/man").exists()
    assert not (root / "usr/share/doc").exists()
    assert (root / "etc/passwd").read_text().startswith("root:")


def test_packages_that_are_too_large_are_refused(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their size and the room there is: a guest has its root file system in memory."""
    packages = Made({**base(), "mine": {"usr/lib/mine": bytes(5000)}})
    tools = SimpleNamespace(packages=packages, name="t", run=lambda *_, **__: "ls sh")
    monkeypatch.setattr(image, "tools", lambda: tools)
    monkeypatch.setattr(image, "ROOM", 4000)
    with pytest.raises(NoPackage, match=r"With mine a guest's root file system has \d+ MiB"):
        image.root(["mine"])
    assert roots == []


def test_a_program_without_its_library_is_refused(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is named; a plugin that lacks one is left out, since nothing else needs it."""
    monkeypatch.setattr(image, "needed", lambda _: ["libnone.so.1"])
    elf = b"\x7fELF"
    packages = Made({**base(), "mine": {"usr/lib/mine/plugin.so": elf, "usr/bin/mine": elf}})
    tools = SimpleNamespace(packages=packages, name="t", run=lambda *_, **__: "ls sh")
    monkeypatch.setattr(image, "tools", lambda: tools)
    with pytest.raises(VMError, match=r"usr/bin/mine needs the library libnone\.so\.1"):
        image.root(["mine"])
    del packages.files["mine"]["usr/bin/mine"]
    image.root(["mine"])
    assert not (roots[0] / "usr/lib/mine/plugin.so").exists()
