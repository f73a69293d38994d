"""knetlab new writes a lab that works, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from checker import lab as labs
from checker.engine import collector
from checker.errors import InputError
from checker.workshop import mutants, new, skeleton


def knetlab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in *folder*, in whose labs/ the labs lie."""
    return subprocess.run(
        [sys.executable, "-m", "checker", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "KNETLAB_LABS": str(folder / "labs")},
    )


@pytest.mark.parametrize("kind", new.KINDS)
def test_a_new_lab_is_whole(tmp_path: Path, kind: str) -> None:
    """It loads, its checks are worth its points, and it has a skeleton, hints and a mutant."""
    folder = new.make("my-first_lab", kind, tmp_path / "labs")
    the_lab = labs.load("my-first_lab", tmp_path / "labs")
    assert (folder, the_lab.title) == (the_lab.root, "My first lab")
    assert (folder / "handout.md").read_text().startswith("# My first lab\n")

    (exercise,) = the_lab.exercises
    assert exercise.hints
    specs = collector.specs(the_lab)
    assert sum(spec.points for spec in specs) + exercise.health == exercise.points

    begun = [file.content for file in skeleton.of(the_lab).values()]
    assert any(b"TODO 1: " in content for content in begun)
    assert not any(b"TODO 1 begin" in content for content in begun)
    (mutant,) = mutants.load(folder / "mutants")
    assert set(mutant.checks) <= {spec.id for spec in specs}


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    """Each file is named, and the command that tries the lab; skeleton and list work at once."""
    said = knetlab(tmp_path, "new", "firewall").stdout
    assert said.startswith("labs/firewall: a lab with one exercise\n    checks/check_1_word.py\n")
    assert "`knetlab selftest firewall` tests all of it." in said
    assert knetlab(tmp_path, "skeleton", "firewall").returncode == 0
    assert "0 of 10 points" in knetlab(tmp_path, "list").stdout


def test_make_passes_the_kind_on() -> None:
    """Without KIND= it is the command that chooses."""
    for given, wanted in ([], "new 'wall'"), (["KIND=program"], "new 'wall' --kind program"):
        argv = ["make", "-n", "new", "LAB=wall", *given]
        done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
        assert done.stdout.rstrip().endswith(f"knetlab {wanted}")


@pytest.mark.parametrize("command", ["labs", "list", "check", "hint"])
def test_where_there_is_no_lab_new_is_named(tmp_path: Path, command: str) -> None:
    """A folder that was named and has nothing in it yet is no error of knetlab's."""
    done = knetlab(tmp_path, command)
    assert (done.returncode, done.stdout) == (2, "")
    there = tmp_path / "labs"
    assert done.stderr == f"knetlab: There is no lab in {there}: `knetlab new LAB` makes one.\n"


@pytest.mark.parametrize(
    "name", ["", "Firewall", "1st", "../firewall", "a/b", "a b", "-x", "x" * 41, "common"]
)
def test_a_bad_name_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    """The error has the name, and says which names are good."""
    with pytest.raises(InputError, match="is no name for a lab"):
        new.make(name, "module", tmp_path / "labs")
    assert not list(tmp_path.iterdir())


def test_a_lab_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """A folder of that name is refused, be it a lab or not, and nothing in it is changed."""
    mine = tmp_path / "labs" / "firewall" / "lab.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = knetlab(tmp_path, "new", "firewall")
    assert done.returncode == 2
    assert "labs/firewall is there already: choose another name, or move it away." in done.stderr
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_a_lab_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it cannot be written to its end, no part of it stays."""

    def fails(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(OSError, match="No space"):
        new.make("firewall", "module", tmp_path)
    assert not list(tmp_path.iterdir())
