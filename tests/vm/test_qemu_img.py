"""qemu-img: images are made, described and checked by the real one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vm import qemu_img, tools
from vm.errors import MissingTool, NoSpace, VMError

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A qcow2 image of 8 MiB, one of which holds something."""
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as f:
        f.write(b"knetlab " * (MIB // 8))
        f.truncate(8 * MIB)
    qemu_img.convert(raw, tmp_path / "disk.qcow2")
    return tmp_path / "disk.qcow2"


def test_create_makes_an_empty_image(tmp_path: Path) -> None:
    """A new image is qcow2, as large as asked for, and takes next to no room."""
    qemu_img.create(tmp_path / "new", 64 * MIB)
    found = qemu_img.info(tmp_path / "new")
    assert (found.format, found.virtual_size, found.backing_file) == ("qcow2", 64 * MIB, None)
    assert found.actual_size < MIB


def test_convert_keeps_the_bytes(disk: Path, tmp_path: Path) -> None:
    """What went in as raw comes out as raw."""
    tools.run(["qemu-img", "convert", "-O", "raw", str(disk), str(tmp_path / "back")])
    back = (tmp_path / "back").read_bytes()
    assert back == b"knetlab " * (MIB // 8) + bytes(7 * MIB)


def test_convert_can_compress(disk: Path, tmp_path: Path) -> None:
    """Compressed images are smaller and hold the same."""
    qemu_img.convert(tmp_path / "disk.raw", tmp_path / "small", compress=True)
    assert (tmp_path / "small").stat().st_size < disk.stat().st_size
    tools.run(["qemu-img", "compare", str(disk), str(tmp_path / "small")])


def test_an_overlay_shows_its_backing_image(disk: Path, tmp_path: Path) -> None:
    """An overlay is as large as asked for and names the image below it."""
    qemu_img.overlay(tmp_path / "over", str(disk), 8 * MIB)
    found = qemu_img.info(tmp_path / "over")
    assert (found.format, found.virtual_size) == ("qcow2", 8 * MIB)
    assert found.backing_file == str(disk)
    tools.run(["qemu-img", "compare", str(disk), str(tmp_path / "over")])


def test_an_overlay_needs_no_backing_image_yet(tmp_path: Path) -> None:
    """The backing path is as the sandbox will see it: it need not exist here."""
    qemu_img.overlay(tmp_path / "over", "/nowhere/root.qcow2", 8 * MIB)
    assert qemu_img.info(tmp_path / "over").backing_file == "/nowhere/root.qcow2"


def test_a_path_with_odd_characters_is_one_path(tmp_path: Path) -> None:
    """Spaces, commas, colons and accents in a path are nothing special."""
    path = tmp_path / "Übung 1, a:b=c.qcow2"
    qemu_img.create(path, MIB)
    assert qemu_img.info(path).virtual_size == MIB


def test_check_passes_a_sound_image(disk: Path) -> None:
    """An image just made is free of errors."""
    assert qemu_img.check(disk)


def test_check_fails_a_damaged_image(disk: Path) -> None:
    """Reference counts overwritten with zeros are noticed."""
    with disk.open("r+b") as f:
        f.seek(2 << 16)  # the refcount block, the image's third cluster
        f.write(bytes(4096))
    assert not qemu_img.check(disk)


def test_check_fails_a_cut_image(disk: Path) -> None:
    """An image cut behind its header is not sound."""
    os.truncate(disk, 4096)
    assert not qemu_img.check(disk)


def test_check_fails_what_is_no_image(tmp_path: Path) -> None:
    """A text is not a qcow2 image."""
    (tmp_path / "text").write_text("hello")
    assert not qemu_img.check(tmp_path / "text")


def test_info_on_a_missing_image_names_it(tmp_path: Path) -> None:
    """The error holds the path and qemu-img's reason."""
    with pytest.raises(VMError, match=r"missing\.qcow2.*No such file or directory"):
        qemu_img.info(tmp_path / "missing.qcow2")


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", json.dumps({"format": "qcow2"})])
def test_an_unknown_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """A qemu-img that answers in another form is told of, not tripped over."""
    monkeypatch.setattr(tools, "run", lambda _: answer)
    with pytest.raises(VMError, match="answered in a form not known here"):
        qemu_img.info(Path("disk"))


def test_a_full_disk_is_said(disk: Path) -> None:
    """A conversion that finds no room says so."""
    with pytest.raises(NoSpace, match=r"no space is left on the disk\. Free some space"):
        qemu_img.convert(disk, Path("/dev/full"))


def test_a_failed_command_holds_qemu_imgs_words(disk: Path, tmp_path: Path) -> None:
    """The error has the command line, the exit status and the reason."""
    with pytest.raises(VMError, match=r"qemu-img convert.*exit status 1: .*No such file"):
        qemu_img.convert(disk, tmp_path / "none" / "target")


def test_without_qemu_img_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install."""
    which = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(tools.shutil, "which", lambda name, **_: which.get(name))
    with pytest.raises(MissingTool, match="apt install qemu-utils"):
        qemu_img.create(tmp_path / "new", MIB)
