"""A kit: what is packed comes out as it was; what is no whole kit of this knetlab is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from vm import cache, debian, image, kernel, kit, toolchain
from vm.errors import BadKit

MAGIC = b"\x28\xb5\x2f\xfd"
"""What a packed entry begins with (zstd)."""


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kit of small entries; the cache is another one then, and empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    for setting in (toolchain.SETTING, debian.RELEASE):
        monkeypatch.setenv(setting, "")

    def entry(kind: str, name: str = "") -> SimpleNamespace:
        def make(folder: Path) -> None:
            (folder / "usr/bin").mkdir(parents=True)
            (folder / "usr/bin/program").write_text(kind)
            (folder / "usr/bin/program").chmod(0o755)
            (folder / "bin").symlink_to("usr/bin")
            (folder / "usr/bin/sh").symlink_to("/usr/bin/program")

        cache.entry(kind, key := f"{kind}{name}+recipe", make)
        return SimpleNamespace(key=key, name="stock")

    def download(project: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "rich-1.whl").write_bytes(b"a wheel")

    monkeypatch.setattr(toolchain, "own", lambda release: entry("toolchain"))
    monkeypatch.setattr(kernel, "stock", lambda release: entry("kernel"))
    monkeypatch.setattr(kernel, "debug", lambda release, progress: entry("kernel"))
    monkeypatch.setattr(image, "root", lambda packages: entry("image", "".join(packages)))
    monkeypatch.setattr(kit, "_download", download)
    target = tmp_path / "knetlab.kit"
    project = tmp_path / "pyproject.toml"
    kit.make(target, "12", project, lambda done, total: None, [(), ("nftables",)])
    for setting in (toolchain.SETTING, debian.RELEASE):
        monkeypatch.setenv(setting, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    return target


def test_what_was_packed_comes_out_as_it_was(packed: Path) -> None:
    """Files, modes and links are the same, and the names that stand for an entry find it."""
    kit.use(packed)
    folder = cache.find("toolchain", "toolchain+recipe")
    assert folder is not None
    assert (folder / "usr/bin/program").read_text() == "toolchain"
    assert os.access(folder / "usr/bin/program", os.X_OK)
    assert (folder / "bin").readlink() == Path("usr/bin")
    assert (folder / "usr/bin/sh").readlink() == Path("/usr/bin/program")
    assert cache.newest("toolchain", "12-modules", "recipe") == "toolchain+recipe"
    assert cache.newest("kernel", "stock-12", "recipe") == "kernel+recipe"
    assert cache.find("image", "image+recipe")
    assert cache.find("image", "imagenftables+recipe")  # for the labs that ask for a package


def test_a_kit_that_is_used_chooses_release_and_compiler(packed: Path) -> None:
    """A host of another release compiles with the kit's compiler for the kit's kernels."""
    kit.use(packed)
    assert debian.default_release() == "12"
    assert not toolchain.is_host("12")


def test_what_is_there_is_not_unpacked_again(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second check with a kit has nothing to wait for."""
    kit.use(packed)
    monkeypatch.setattr(kit, "_unpack", lambda *_: pytest.fail("it was unpacked again"))
    kit.use(packed)


def test_a_broken_entry_of_the_cache_is_taken_from_the_kit_again(packed: Path) -> None:
    """The cache is never trusted, whoever filled it."""
    kit.use(packed)
    program = cache.root() / "kernel/kernel+recipe/usr/bin/program"
    program.write_text("spoilt")
    kit.use(packed)
    assert program.read_text() == "kernel"


def test_the_wheels_lie_in_it_as_files(packed: Path) -> None:
    """tools/setup.sh takes them out with tar alone, before there is any Python package."""
    with tarfile.open(packed, "r:") as tar:
        assert "wheels/rich-1.whl" in tar.getnames()


# --- what is refused -------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Write the kit's index anew."""
    with tarfile.open(path, "r:") as tar:
        files = {m.name: tar.extractfile(m) for m in tar}
        contents = {name: file.read() for name, file in files.items() if file}
    index = json.loads(contents["kit.json"])
    change(index)
    contents["kit.json"] = json.dumps(index).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def of_another(path: Path) -> None:
    """Let another knetlab have made it."""
    rewrite(path, lambda index: index.update(made_by="0"))


def of_the_future(path: Path) -> None:
    """Let it have another form."""
    rewrite(path, lambda index: index.update(schema="knetlab/kit/v9"))


def with_a_path(path: Path) -> None:
    """Let an entry be somewhere else in the file system."""
    rewrite(path, lambda index: index["entries"][0].update(key="../../x"))  # type: ignore[index]


def without_index(path: Path) -> None:
    """Take the index away."""
    with tarfile.open(path, "w"):
        pass


def cut(path: Path) -> None:
    """Cut it in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(MAGIC) + 20])


def with_other_bytes(path: Path) -> None:
    """Change a byte of a packed entry."""
    data = bytearray(path.read_bytes())
    data[data.rindex(MAGIC) + 20] ^= 1
    path.write_bytes(data)


def a_page(path: Path) -> None:
    """Save the page that leads to it in its place."""
    path.write_text("<html>")


def nothing(path: Path) -> None:
    """Have no such file."""
    path.unlink()


WRONG = {
    of_another: "made by another version of knetlab",
    of_the_future: r"does not know: knetlab/kit/v9",
    with_a_path: "does not know",
    without_index: "not a kit of knetlab",
    cut: "kit",
    with_other_bytes: r"is damaged: its part entries/\S+ has changed",
    a_page: "not a complete kit",
    nothing: "There is no kit",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_what_is_no_kit_of_this_knetlab_is_refused(
    packed: Path, wrong: Callable[[Path], None]
) -> None:
    """The reason names the file; release and compiler stay as they were."""
    wrong(packed)
    with pytest.raises(BadKit, match=WRONG[wrong]) as caught:
        kit.use(packed)
    assert str(packed) in str(caught.value)
    assert os.environ[debian.RELEASE] == ""
    assert not list(cache.root().glob("image/[!.]*"))
