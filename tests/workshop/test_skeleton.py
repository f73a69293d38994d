"""The skeleton: what becomes of markers, and of a student's files."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from support import ROOT

from checker.desk import editor
from checker.workshop.skeleton import (
    EditedFilesError,
    SkeletonError,
    SkeletonFile,
    generate,
    regions,
    render,
    write,
)

SOLUTION = ROOT / "labs" / "networking" / "solution"
SKELETON = ROOT / "skels" / "networking"
EXERCISES = 5

SOURCE = """\
int init(void)
{
    int err;

    /*
     * TODO 1 begin: say hello. Look up
     * pr_info().
     */
    err = hello();
    if (err)
        return err;
    /* TODO 1 end */

    /* TODO 2 begin: count the caller. */
    count++;
    /* TODO 2 end */

    return 0;
}
"""


def is_executable(path: Path) -> bool:
    """Whether the owner may execute *path*."""
    return bool(path.stat().st_mode & 0o100)


def code_of(text: str) -> str:
    """C without its comments and blank lines."""
    bare = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in bare.splitlines() if line.strip())


@pytest.fixture
def solution(tmp_path: Path) -> Path:
    """A small solution with two exercises and a script."""
    folder = tmp_path / "solution"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "a.c").write_text(SOURCE)
    (folder / "part" / "Kbuild").write_text("obj-m := a.o\n")
    (folder / "part" / "test.sh").write_text("#!/bin/sh\n")
    (folder / "part" / "test.sh").chmod(0o755)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a student works; not there yet."""
    return tmp_path / "skels" / "lab"


# --- the networking lab --------------------------------------------------------------


def test_committed_skeleton_is_the_generated_one() -> None:
    """skels/networking equals what is generated from the solution."""
    generated = generate(SOLUTION)
    committed = {
        path.relative_to(SKELETON).as_posix(): (path.read_bytes(), is_executable(path))
        for path in SKELETON.rglob("*")
        if path.is_file() and path.name != editor.FILE  # which git does not know
    }
    assert committed == {name: (file.content, file.executable) for name, file in generated.items()}


@pytest.mark.parametrize("step", range(1, EXERCISES + 2))
def test_step_opens_its_exercise_and_all_later_ones(step: int) -> None:
    """The skeleton of step N has the TODOs N to 5 and no other, and no marker."""
    text = "".join(
        file.content.decode()
        for name, file in generate(SOLUTION, step).items()
        if name.endswith((".c", ".h"))
    )
    assert {int(number) for number in re.findall(r"TODO (\d+): ", text)} == set(
        range(step, EXERCISES + 1)
    )
    assert not re.search(r"TODO \d+ (begin|end|skeleton)", text)


def test_last_step_is_the_solution_itself() -> None:
    """With all exercises solved, the skeleton's code is the solution's."""
    for name, file in generate(SOLUTION, EXERCISES + 1).items():
        solved = (SOLUTION / name).read_text()
        assert code_of(file.content.decode()) == code_of(solved)


def test_first_step_gives_no_answer_away() -> None:
    """No call that a student has to find stands in the code of the first skeleton."""
    code = "".join(
        code_of(file.content.decode())
        for name, file in generate(SOLUTION).items()
        if name.endswith(("k.c", "filter.c"))
    )
    answers = (
        "nf_register_net_hook",
        "nf_unregister_net_hook",
        "NF_INET_LOCAL_OUT",
        "copy_from_user",
        "sock_create_kern",
        "kernel_bind",
        "kernel_listen",
        "kernel_accept",
        "kernel_sendmsg",
        "sock_release",
    )
    assert "module_init" in code
    assert [answer for answer in answers if answer in code] == []


def test_skeleton_reads_as_written_by_hand() -> None:
    """No step leaves doubled blank lines, or blank ones at the edge of a block."""
    for step in range(1, EXERCISES + 2):
        for name, file in generate(SOLUTION, step).items():
            if name.endswith((".c", ".h")):
                text = file.content.decode()
                assert "\n\n\n" not in text, (step, name)
                assert "{\n\n" not in text, (step, name)
                assert not re.search(r"\n\n\t*}", text), (step, name)


# --- markers -------------------------------------------------------------------------


def test_open_region_becomes_its_text() -> None:
    """An open region is replaced by its text, at its indentation."""
    assert render(SOURCE, 1, "a.c") == dedent("""\
        int init(void)
        {
            int err;

            /*
             * TODO 1: say hello. Look up
             * pr_info().
             */

            /* TODO 2: count the caller. */

            return 0;
        }
        """)


def test_solved_region_stands_without_markers() -> None:
    """A region of an earlier step stands solved, and the later one is open."""
    assert render(SOURCE, 2, "a.c") == dedent("""\
        int init(void)
        {
            int err;

            err = hello();
            if (err)
                return err;

            /* TODO 2: count the caller. */

            return 0;
        }
        """)


def test_region_without_text_goes_without_a_trace() -> None:
    """A region whose begin has no text leaves neither comment nor blank lines."""
    source = "a();\n\n/* TODO 1 begin */\nb();\n/* TODO 1 end */\n\nc();\n"
    assert render(source, 1, "a.c") == "a();\n\nc();\n"
    assert render(source, 2, "a.c") == "a();\n\nb();\n\nc();\n"


def test_lines_of_regions() -> None:
    """Each line from a region's begin to its end has its number, others have none."""
    text = (
        "a\n/* TODO 1 begin: x */\nb\n/* TODO 1 end */\nc\n/* TODO 2 begin */\n/* TODO 2 end */\n"
    )
    assert regions(text, "f.c") == {2: 1, 3: 1, 4: 1, 6: 2, 7: 2}


def test_region_at_the_edge_of_a_block_leaves_no_blank_line() -> None:
    """Blank lines around a region go when only a brace is left beside them."""
    source = (
        "f() {\n/* TODO 1 begin */\na();\n/* TODO 1 end */\n\nb();\n\n"
        "/* TODO 1 begin */\nc();\n/* TODO 1 end */\n}\n"
    )
    assert render(source, 1, "a.c") == "f() {\nb();\n}\n"
    assert render(source, 2, "a.c") == "f() {\na();\n\nb();\n\nc();\n}\n"


def test_only_a_newline_ends_a_line() -> None:
    """A form feed, which Python takes for the end of a line, stays where it is."""
    assert render("/* TODO 1 skeleton: a; */\nb;\fc;\n", 1, "a.c") == "a;\nb;\fc;\n"


def test_skeleton_line_stands_only_while_open() -> None:
    """A skeleton line is code at the marker's indentation until the exercise is solved."""
    source = (
        "{\n\t/* TODO 1 begin: x */\n\treturn f();\n\t/* TODO 1 end */\n"
        "\t/* TODO 1 skeleton: return 0; */\n}\n"
    )
    assert render(source, 1, "a.c") == "{\n\t/* TODO 1: x */\n\treturn 0;\n}\n"
    assert render(source, 2, "a.c") == "{\n\treturn f();\n}\n"


def test_skeleton_lines_keep_their_own_indentation() -> None:
    """A skeleton of several lines keeps the indentation that they have in the comment."""
    source = "\t/*\n\t * TODO 1 skeleton:\n\t * if (x)\n\t *\treturn;\n\t *\n\t * y();\n\t */\n"
    assert render(source, 1, "a.c") == "\tif (x)\n\t\treturn;\n\n\ty();\n"
    assert render(source, 2, "a.c") == ""


def test_steps_count_from_one() -> None:
    """There is no step 0 of a text."""
    with pytest.raises(SkeletonError, match="1 or more, and 0 is not"):
        render(SOURCE, 0, "a.c")


def test_text_without_markers_is_left_alone() -> None:
    """A file with no marker comes back byte for byte, blank lines and all."""
    text = "\n\n/* a\n * comment */\nint a;\n\n\nint b; "
    assert render(text, 1, "a.c") == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a;\n/* TODO 1 end */\n", "a.c:2: TODO 1 ends here but never began."),
        ("a;\n/* TODO 1 begin */\nb;\n", "a.c:2: TODO 1 begins here and never ends."),
        (
            "/* TODO 1 begin */\n/* TODO 2 begin */\n/* TODO 2 end */\n/* TODO 1 end */\n",
            "a.c:2: TODO 2 begin stands inside the region of TODO 1, which began in line 1.",
        ),
        (
            "/* TODO 1 begin */\n/* TODO 1 skeleton: a; */\n/* TODO 1 end */\n",
            "a.c:2: TODO 1 skeleton stands inside the region of TODO 1, which began in line 1.",
        ),
        (
            "/* TODO 1 begin */\n/* TODO 2 end */\n",
            "a.c:2: TODO 2 ends here, but it was TODO 1 that began in line 1.",
        ),
        ("/*\n * TODO 1 start: a\n */\n", "a.c:2: a TODO marker reads"),
        ("/* TODO 0 begin */\n", "a.c:1: a TODO marker reads"),
        ("/* TODO: write this */\n", "a.c:1: a TODO marker reads"),
        ("/* TODO 1 begin: */\n", "a.c:1: TODO 1 begin takes a colon and a text"),
        ("/* TODO 1 begin do it */\n", "a.c:1: TODO 1 begin takes a colon and a text"),
        ("/* TODO 1 end: here */\n", "a.c:1: TODO 1 end takes no text."),
        ("/* TODO 1 skeleton */\n", "a.c:1: TODO 1 skeleton takes a colon and one line"),
        ("x; /* TODO 1 begin */\n", "a.c:1: this TODO is no marker"),
        ("// TODO 1 begin\n", "a.c:1: this TODO is no marker"),
        ("/* TODO 1 begin: a\n * b\n */\n", "a.c:1: this TODO is no marker"),
        ("/*\n * TODO 1 begin: a\n", "a.c:2: this TODO is no marker"),
    ],
)
def test_wrong_marker_is_an_error_with_file_and_line(source: str, message: str) -> None:
    """A marker that is wrong, misplaced or only nearly one is named with file and line."""
    with pytest.raises(SkeletonError) as error:
        render(source, 1, "a.c")
    assert str(error.value).startswith(message)


# --- a folder ------------------------------------------------------------------------


def test_what_a_build_leaves_is_not_taken(solution: Path) -> None:
    """Objects, generated C, hidden files and programs are no part of a skeleton."""
    for name in ("a.o", "a.ko", "a.mod", "a.mod.c", ".a.o.cmd", ".hidden.c", "modules.order", "a"):
        (solution / "part" / name).write_bytes(b"\xff\x7fELF")
    assert list(generate(solution)) == ["part/Kbuild", "part/a.c", "part/test.sh"]


@pytest.mark.parametrize("step", [0, 4, -1])
def test_step_that_does_not_exist(solution: Path, step: int) -> None:
    """A step before the first or more than one past the last exercise is refused."""
    with pytest.raises(SkeletonError, match=f"no step {step}: the steps go from 1 to 3"):
        generate(solution, step)


def test_wrong_marker_in_a_folder_names_the_file(solution: Path) -> None:
    """The error of a marker names the file by its path in the solution."""
    (solution / "part" / "b.h").write_text("/* TODO 1 end */\n")
    with pytest.raises(SkeletonError, match=r"^part/b\.h:1: "):
        generate(solution)


def test_no_solution_there(tmp_path: Path) -> None:
    """A folder that is missing, or has no sources, is an error that names it."""
    with pytest.raises(SkeletonError, match="nowhere is not a folder with sources"):
        generate(tmp_path / "nowhere")


def test_link_in_a_solution_is_refused(solution: Path) -> None:
    """A link in the solution is an error: what it shows may lie anywhere."""
    (solution / "part" / "b.c").symlink_to("a.c")
    with pytest.raises(SkeletonError, match=r"part/b\.c is a link"):
        generate(solution)


def test_source_that_is_not_text(solution: Path) -> None:
    """A source that is not UTF-8 is an error that names it."""
    (solution / "part" / "b.c").write_bytes(b"\xff\xfe")
    with pytest.raises(SkeletonError, match=r"part/b\.c is not UTF-8"):
        generate(solution)


# --- to the disk ---------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below *folder*, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_first_write_makes_folders_files_and_modes(solution: Path, target: Path) -> None:
    """Into nothing, all files are written, scripts executable and sources not."""
    files = generate(solution)
    report = write(files, target)
    assert report.written == ("part/Kbuild", "part/a.c", "part/test.sh")
    assert (report.unchanged, report.backups) == ((), ())
    assert contents(target) == {name: file.content for name, file in files.items()}
    assert is_executable(target / "part" / "test.sh")
    assert not is_executable(target / "part" / "a.c")


def test_second_write_changes_nothing(solution: Path, target: Path) -> None:
    """A file that is already right is not written again."""
    write(generate(solution), target)
    before = (target / "part" / "a.c").stat()
    report = write(generate(solution), target)
    assert report.written == ()
    assert report.unchanged == ("part/Kbuild", "part/a.c", "part/test.sh")
    assert (target / "part" / "a.c").stat().st_ino == before.st_ino


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 1)])
def test_untouched_files_change_step(solution: Path, target: Path, old: int, new: int) -> None:
    """Files of another step that nobody edited are replaced, with no backup."""
    write(generate(solution, old), target)
    report = write(generate(solution, new), target)
    assert report.written == ("part/a.c",)
    assert report.backups == ()
    assert (target / "part" / "a.c").read_text() == render(SOURCE, new, "a.c")
    assert len(contents(target)) == 3


def test_edited_file_stops_everything(solution: Path, target: Path) -> None:
    """One edited file, and nothing is written: not even the files that are missing."""
    write(generate(solution), target)
    (target / "part" / "a.c").write_text("my work\n")
    (target / "part" / "Kbuild").unlink()
    before = contents(target)
    with pytest.raises(EditedFilesError) as error:
        write(generate(solution, 2), target)
    assert error.value.files == ("part/a.c",)
    assert "part/a.c" in str(error.value)
    assert "--force" in str(error.value)
    assert contents(target) == before


def test_force_keeps_each_edited_version(solution: Path, target: Path) -> None:
    """With force, edited files are kept as .orig, .orig.1, and what is there stays."""
    write(generate(solution), target)
    for work in ("first\n", "second\n", "third\n"):
        (target / "part" / "a.c").write_text(work)
        report = write(generate(solution), target, force=True)
    assert report.written == ("part/a.c",)
    assert report.backups == (("part/a.c", "part/a.c.orig.2"),)
    assert (target / "part" / "a.c").read_text() == render(SOURCE, 1, "a.c")
    kept = {name: text for name, text in contents(target).items() if ".orig" in name}
    assert kept == {
        "part/a.c.orig": b"first\n",
        "part/a.c.orig.1": b"second\n",
        "part/a.c.orig.2": b"third\n",
    }


def test_files_of_the_student_are_left_alone(solution: Path, target: Path) -> None:
    """A file that the skeleton does not have is neither an obstacle nor touched."""
    (target / "part").mkdir(parents=True)
    (target / "part" / "notes.txt").write_text("mine\n")
    write(generate(solution), target)
    assert (target / "part" / "notes.txt").read_text() == "mine\n"


def test_lost_executable_bit_comes_back(solution: Path, target: Path) -> None:
    """A script that lost its executable bit is written again."""
    write(generate(solution), target)
    (target / "part" / "test.sh").chmod(0o644)
    assert write(generate(solution), target).written == ("part/test.sh",)
    assert is_executable(target / "part" / "test.sh")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("where", "link"),
    [
        ("", True),
        ("part", True),
        ("part/a.c", True),
        ("", False),
        ("part", False),
        ("part/a.c", False),
    ],
)
def test_obstacle_is_named_and_nothing_is_written(
    solution: Path, target: Path, *, where: str, link: bool, force: bool
) -> None:
    """A link, a file for a folder or a folder for a file stops all, force or not."""
    elsewhere = solution.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "a.c").write_text("not the student's\n")
    path = target / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if link:
        path.symlink_to(elsewhere / "a.c" if where == "part/a.c" else elsewhere)
    elif where == "part/a.c":
        path.mkdir()
    else:
        path.write_text("in the way\n")
    before = contents(elsewhere), contents(target)
    with pytest.raises(SkeletonError, match=re.escape(str(path))):
        write(generate(solution), target, force=force)
    assert (contents(elsewhere), contents(target)) == before


def test_failed_write_leaves_the_old_file(
    solution: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full, the old file stands as it was and no half of a new one."""
    write(generate(solution), target)
    before = contents(target)

    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write(generate(solution, 2), target)
    assert contents(target) == before


def test_file_knows_its_other_steps(solution: Path) -> None:
    """A file carries its content at every step, so that write can tell an edit."""
    file: SkeletonFile = generate(solution, 2)["part/a.c"]
    assert file.versions == {render(SOURCE, step, "a.c").encode() for step in (1, 2, 3)}
