"""What an installed knetlab has: all that it grades with, be it Python or not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

pytest.importorskip("setuptools")


def test_package_has_every_file_of_the_engine(tmp_path: Path) -> None:
    """The kernel's fragment, the witness, pages' templates: without one of them it grades nothing.

    It is what setuptools puts into a wheel, built in a copy of what git knows.
    """
    said = subprocess.run(
        ["git", "ls-files", "checker", "vm"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    known = set(said.stdout.split())
    assert {
        "vm/debug.config",
        "vm/witness/witness.c",
        "vm/way/way.c",
        "vm/probe/capture.c",
        "checker/workshop/dist.md",
    } <= known
    for name in (*known, "pyproject.toml"):
        copy = tmp_path / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    built = tmp_path / "built"
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()"]
    subprocess.run(
        [*setup, "-q", "build_py", "--build-lib", str(built)],
        cwd=tmp_path / "source",
        check=True,
        capture_output=True,
    )
    assert {str(p.relative_to(built)) for p in built.rglob("*") if p.is_file()} == known
