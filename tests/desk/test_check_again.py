"""`knetlab check` again: what is not run, what is kept of it, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, SOURCES, Student

from checker.desk import last_run, unread, work
from checker.model import Lab
from checker.workshop import skeleton

FILTER, TCP, UDP = SOURCES


@pytest.fixture
def check(student: Callable[..., Student], tmp_path: Path) -> Callable[..., Any]:
    """Run the command on a copy of the solution, and return what it printed and its grade."""

    def run(*options: str) -> tuple[str, Any]:
        out = tmp_path / "grade.json"
        folder = tmp_path / "student"
        argv = [sys.executable, "-m", "checker", "check", "networking", "--kernel", "stock"]
        argv += ["--submission", str(folder), "--json", str(out), *options]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout, json.loads(out.read_text())

    student()
    return run


@pytest.mark.vm
def test_what_did_not_change_is_not_run_again(
    check: Callable[..., Any], lab: Lab, tmp_path: Path
) -> None:
    """The result, its captures and its logs stay, and --fresh runs it."""
    mine = tmp_path / "student"
    said, first = check("--exercise", "5")
    assert "unchanged" not in said
    captures = [path.name for path in last_run.captures(mine)]
    assert captures

    (tmp_path / "kept").mkdir()
    said, again = check("--exercise", "5", "--keep", str(tmp_path / "kept"))
    assert "passed, 1 not tried, unchanged since " in said
    (exercise,) = again["exercises"]
    assert exercise["reused"]["seed"] == first["provenance"]["seed"]
    assert exercise["checks"] == first["exercises"][0]["checks"]
    assert [path.name for path in sorted((tmp_path / "kept").glob("*.pcap"))] == captures

    student = Student(mine)
    student.replace("tcp_sock.c", "MODULE_LICENSE", "not C\nMODULE_LICENSE")
    said, other = check("--exercise", "4")  # does not compile
    assert "0 of 19" in said
    assert [path.name for path in last_run.captures(mine)] == captures
    assert set(last_run.results(lab, mine)) == {4, 5}

    _, both = check("--exercise", "4", "--exercise", "5")
    assert [bool(e["reused"]) for e in both["exercises"]] == [True, True]
    assert both["exercises"][0]["checks"] == other["exercises"][0]["checks"]
    _, fresh = check("--exercise", "5", "--fresh")
    assert fresh["exercises"][0]["reused"] is None


def test_a_broken_file_of_results_is_as_good_as_none(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older knetlab wrote, or half a file, is not read and in nobody's way."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = last_run.folder(tmp_path)
    there.mkdir(parents=True)
    (there / "exercise-1.json").write_text("{")
    (there / "exercise-2.json").write_text('{"number": 2}')
    assert last_run.results(lab, tmp_path) == {}


def test_files_that_count_for_nothing_are_told(lab: Lab, tmp_path: Path) -> None:
    """A given file that was edited, and code that the lab does not know; what is built is not."""
    mine = tmp_path / "mine"
    skeleton.write(work.handed_out(lab), mine)
    assert unread.notes(lab, mine) == []
    header, extra = mine / "1-2-netfilter/include/filter.h", mine / "1-2-netfilter/kernel/filter2.c"
    header.write_text(header.read_text() + "/* mine */\n")
    extra.write_text("int x;\n")
    for built in ("filter.mod.c", "filter.o", "filter.c.orig", ".filter.c.swp", "Module.symvers"):
        (extra.parent / built).write_text("x")
    assert unread.notes(lab, mine) == [
        f"{header} was edited, but knetlab uses the lab's own copy.",
        f"{extra} is not read: put its code into filter.c.",
        f"knetlab reads only your {FILTER}, {TCP} and {UDP}.",
    ]
    for number in range(9):
        (mine / f"{number}.c").write_text("int x;\n")
    assert "The same is true for 6 more files." in unread.notes(lab, mine)


def test_a_solution_of_an_earlier_step_is_not_told(lab: Lab, tmp_path: Path) -> None:
    """What was handed out for another step is as given, and a folder without it too."""
    skeleton.write(skeleton.of(lab, 3), tmp_path / "mine")
    (tmp_path / "mine/1-2-netfilter/include/filter.h").unlink()
    assert unread.notes(lab, tmp_path / "mine") == []
