"""qemu-img: create, convert, info and check, with its own JSON read into records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vm import tools
from vm.errors import VMError


@dataclass(frozen=True)
class Info:
    """What ``qemu-img info`` says of an image; sizes in bytes."""

    format: str
    virtual_size: int
    actual_size: int
    backing_file: str | None


def create(path: Path, size: int) -> None:
    """Make an empty qcow2 image of *size* bytes at *path*."""
    tools.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(size)])


def overlay(path: Path, backing: str, size: int) -> None:
    """Make a qcow2 overlay at *path* over the qcow2 image *backing* of *size* bytes.

    *backing* is a path as the reader of the overlay will see it; it need not
    exist here.
    """
    form = ["-f", "qcow2", "-F", "qcow2", "-u", "-b", backing]
    tools.run(["qemu-img", "create", "-q", *form, str(path), str(size)])


def convert(source: Path, target: Path, *, compress: bool = False) -> None:
    """Convert the raw image *source* to a qcow2 image *target*."""
    flags = ["-c"] if compress else []
    tools.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *flags, str(source), str(target)])


def info(path: Path) -> Info:
    """Read what kind of image *path* is; VMError if qemu-img cannot tell."""
    text = tools.run(["qemu-img", "info", "--output=json", str(path)])
    try:
        data = json.loads(text)
        return Info(
            format=data["format"],
            virtual_size=data["virtual-size"],
            actual_size=data["actual-size"],
            backing_file=data.get("backing-filename"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise VMError(f"`qemu-img info {path}` answered in a form not known here.") from error


def check(path: Path) -> bool:
    """Tell whether the qcow2 image *path* is free of errors and leaks."""
    try:
        data = json.loads(
            tools.run(["qemu-img", "check", "--output=json", "-f", "qcow2", str(path)])
        )
    except (VMError, ValueError):
        return False
    return not (data.get("check-errors") or data.get("corruptions") or data.get("leaks"))
