"""What a student uses between two checks knows user programs, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checker.desk import console, editor, lint
from checker.engine import build, grading, submission
from checker.model import Lab
from vm.kernel import Kernel

pytestmark = pytest.mark.vm


def test_lint_tells_of_programs(fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> None:
    """The compiler's remarks name the program's file and line; it need not be linked."""
    shutil.copytree(fixture_lab.solution, tmp_path / "student")
    source = tmp_path / "student/user/greet.c"
    source.write_text(source.read_text().replace("int main(", "static int unused;\n\nint mian("))
    said = lint.remarks(
        fixture_lab, submission.read(fixture_lab, tmp_path / "student"), stock_kernel
    )
    assert ("user/greet.c", "gcc") in {(r.file, r.tool) for r in said}
    assert any("unused" in remark.text for remark in said)


def test_lint_asks_no_program_for_what_the_kernel_has_alone(
    fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """Not for u32, which modules are asked for; other style is told of both."""
    shutil.copytree(fixture_lab.solution, tmp_path / "student")
    for name in ("user/greet.c", "kernel/toll.c"):
        source = tmp_path / "student" / name
        source.write_text(source.read_text() + "\nstatic uint32_t seen;\nstatic int f( int i);\n")
    given = submission.read(fixture_lab, tmp_path / "student")
    said = {
        (r.file, word)
        for r in lint.remarks(fixture_lab, given, stock_kernel)
        if r.tool == "checkpatch"
        for word in ("u32", "space prohibited")
        if word in r.text
    }
    assert said == {
        ("user/greet.c", "space prohibited"),
        ("kernel/toll.c", "space prohibited"),
        ("kernel/toll.c", "u32"),
    }


def test_an_editor_knows_how_programs_are_compiled(
    fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """Each source has an entry, with the folder of the lab's headers."""
    found = editor.compile_commands(fixture_lab, stock_kernel, tmp_path)
    commands = {Path(str(c["file"])).name: c["arguments"] for c in found}
    assert commands.keys() == {"greet.c", "ring.c", "toll.c", "gate.c", "ask.c"}
    assert {"-Wall", "-Iuser"} <= set(commands["greet.c"])
    assert "-Iuser" not in commands["ring.c"]


def test_a_guest_with_a_person_has_programs_and_their_libraries(
    fixture_lab: Lab, stock_kernel: Kernel
) -> None:
    """The plain ones, executable, where their sources lie."""
    given = submission.read(fixture_lab, fixture_lab.solution)
    made = build.build(fixture_lab, given, stock_kernel, jobs=1)
    files = grading.built_files(fixture_lab, made)
    programs = {"user/greet", "user/ring", "user/ask"}
    assert {name for name, file in files.items() if file.executable} == programs
    assert "kernel/toll.ko" in files
    assert "lib/libc.so.6" in grading.program_libraries(fixture_lab, stock_kernel)


def test_a_lab_without_programs_has_no_libraries(lab: Lab, stock_kernel: Kernel) -> None:
    """Its guests, and their templates, are as they were."""
    assert grading.program_libraries(lab, stock_kernel) == {}


def test_what_is_built_and_how_a_program_is_started_is_said(fixture_lab: Lab, lab: Lab) -> None:
    """A lab of modules alone is told of modules alone."""
    assert build.doing(fixture_lab.builds) == "building the modules and programs"
    assert build.doing([fixture_lab.target("greet")]) == "building the programs"
    assert build.doing(lab.builds) == "building the modules"
    assert console.by_path(fixture_lab.builds).endswith("by its path, for example user/greet")
    assert console.by_path(lab.builds) == ""
