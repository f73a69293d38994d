"""knetlab new: a lab from nothing, whose selftest is as it should be at once.

What is copied stands in new/, a folder for each of KINDS: a small lab that works as it is,
so that its C and its checks are linted and tried like those of any lab.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from checker.errors import InputError

KINDS = ("module", "program")
"""What students write in a new lab."""

TEMPLATES = Path(__file__).parent / "new"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_TITLED = ("lab.toml", "handout.md")
"""The files in which the lab's title stands, as TITLE."""


def make(name: str, kind: str, labs: Path) -> Path:
    """Write a lab called *name* below *labs*, and return its folder.

    Raises InputError, and nothing is written, for a name that no lab can have and where
    something of that name is there.
    """
    target = labs / name
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a lab: it has small letters, digits, _ and -, at most 40, "
            "and begins with a letter."
        )
    if name == "common":
        raise InputError("'common' is no name for a lab: labs/common has what all labs share.")
    if not TEMPLATES.is_dir():
        raise InputError(
            "knetlab new needs the labs that it copies, and this copy of knetlab, made for "
            "students, has none."
        )
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} is there already: choose another name, or move it away.")
    title = name.replace("_", " ").replace("-", " ").capitalize()
    labs.mkdir(parents=True, exist_ok=True)
    # whole or not at all; without a lab.toml one level below labs/ nobody takes it for a lab
    with tempfile.TemporaryDirectory(dir=labs, prefix=".new-") as scratch:
        fresh = Path(scratch) / "lab"
        shutil.copytree(TEMPLATES / kind, fresh, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (fresh / file for file in _TITLED):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace("TITLE", title), encoding="utf-8")
        fresh.rename(target)
    return target
