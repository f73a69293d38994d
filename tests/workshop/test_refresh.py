"""knetlab mutants: what no longer fits an edited solution, and how it follows the edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT

from checker import cli
from checker.errors import LabError
from checker.workshop import mutants, refresh
from checker.workshop.refresh import Refreshed, renamed
from vm.errors import MissingTool

SOURCE = """#include <linux/init.h>

static int first(int value)
{
	int err = check(value);

	if (err)
		return err;
	return 0;
}

static int second(void)
{
	pr_info("%d\\n", 17);
	return -ENOTTY;
}

static void third(void)
{
	stop();
}
"""

ROWS = """# what is wrong with m.c

[1-not-checked]
exercise = 1
check = "1.a"
# students forget it
why = "does not look at err"
file = "m.c"
old = '''
	if (err)
		return err;
'''
new = ""

[1-other-error]
exercise = 1
check = "1.a"
why = "another error"
file = "m.c"
old = '-ENOTTY'
new = '-EINVAL'
"""

PATCH = """Exercise: 1
Check: 1.a
Why: says more
--- a/m.c
+++ b/m.c
@@ -5,2 +5,3 @@
 \tint err = check(value);
+\tpr_info("%d\\n", err);
$
""".replace("$", " ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lab's mutants: two rows and a patch, with their base; the solution lies beside."""
    (tmp_path / "solution").mkdir()
    (tmp_path / "solution" / "m.c").write_text(SOURCE)
    found = tmp_path / "mutants"
    (found / "1").mkdir(parents=True)
    (found / "1.toml").write_text(ROWS)
    (found / "1" / "1-talks.patch").write_text(PATCH)
    assert again(found).left == []
    return found


def again(folder: Path) -> Refreshed:
    """Refresh the mutants of *folder*."""
    return refresh.refresh(folder, mutants.load(folder), folder.parent / "solution")


def edit(folder: Path, old: str, new: str) -> None:
    """Edit the solution."""
    path = folder.parent / "solution" / "m.c"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def yields(folder: Path, name: str) -> str:
    """Return what the mutant *name* makes of the solution."""
    (mutant,) = (mutant for mutant in mutants.load(folder) if mutant.name == name)
    copy = folder.parent / "copy" / name
    mutants.apply(mutant, folder.parent / "solution", copy)
    return (copy / "m.c").read_text()


def status(arguments: list[str]) -> object:
    """Give knetlab's command line; return the exit status."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


def everything(folder: Path) -> dict[str, str]:
    """Return the files below *folder*."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_base_is_kept(folder: Path) -> None:
    """The first refresh changes no mutant, and keeps the solution as their base."""
    assert everything(folder) == {
        "1.toml": ROWS,
        "1/1-talks.patch": PATCH,
        "bases/m.c": SOURCE,
    }


def test_name_is_renamed_in_what_is_new_too(folder: Path) -> None:
    """A variable that has another name everywhere has it in rows and patches, which stay short."""
    edit(folder, "err", "ret")
    result = again(folder)
    assert [mutant.name for mutant in result.rewritten] == ["1-not-checked", "1-talks"]
    assert result.left == []
    assert (folder / "1.toml").read_text().splitlines() == [
        line.replace("(err)", "(ret)").replace("return err", "return ret")
        for line in ROWS.splitlines()
    ]
    assert 'pr_info("%d\\n", ret);' in yields(folder, "1-talks")
    assert (folder / "bases" / "m.c").read_text() == SOURCE.replace("err", "ret")


def test_patch_follows_a_line_that_is_new_beside_it(folder: Path) -> None:
    """A comment between the lines of a patch's context does not matter any more."""
    edit(folder, "check(value);\n", "check(value);\n\t/* x */\n")
    assert refresh.misfits(mutants.load(folder), folder.parent / "solution")
    assert [mutant.name for mutant in again(folder).rewritten] == ["1-talks"]
    now = (folder.parent / "solution" / "m.c").read_text()
    said = '\tpr_info("%d\\n", err);\n'
    assert yields(folder, "1-talks") == now.replace("check(value);\n", f"check(value);\n{said}")
    assert (folder / "1" / "1-talks.patch").read_text().startswith(PATCH.partition("---")[0])


def test_function_that_moved(folder: Path) -> None:
    """What a mutant replaces is found where it is now, if it is there once."""
    start, end = SOURCE.index("static int first"), SOURCE.index("static void third")
    first, second = SOURCE[start:end].split("static int second")
    moved = SOURCE[:start] + "static int second" + second + first + SOURCE[end:]
    (folder.parent / "solution" / "m.c").write_text(moved)
    assert again(folder).left == []
    assert yields(folder, "1-not-checked") == moved.replace("\tif (err)\n\t\treturn err;\n", "")
    assert yields(folder, "1-other-error") == moved.replace("ENOTTY", "EINVAL")
    assert 'pr_info("%d\\n", err);' in yields(folder, "1-talks")


def test_conflict_is_told_with_its_line_and_both_sides(folder: Path) -> None:
    """A mutant of a line that the solution has changed stays, and keeps its base."""
    edit(folder, "if (err)\n", "if (err < 0)\n")
    result = again(folder)
    (left,) = result.left
    assert left.mutant.name == "1-not-checked"
    (conflict,) = left.conflicts
    assert (conflict.file, conflict.line) == ("m.c", 7)
    assert conflict.solution == "\tif (err < 0)\n\t\treturn err;\n"
    assert conflict.mutant == ""
    files = everything(folder)
    (old,) = (name for name in files if name.startswith("bases/m.c."))
    assert files[old] == SOURCE
    mark = f'base = ["{old.removeprefix("bases/m.c.")}"]\n'
    assert files["1.toml"].replace(mark, "") == ROWS
    assert files["1.toml"].count(mark) == 1


def test_conflict_ends_when_the_row_is_corrected(folder: Path) -> None:
    """Then its mark goes, and the old base with it."""
    edit(folder, "if (err)\n", "if (err < 0)\n")
    again(folder)
    path = folder / "1.toml"
    path.write_text(path.read_text().replace("if (err)", "if (err < 0)"))
    assert again(folder) == Refreshed(3)
    assert path.read_text() == ROWS.replace("if (err)", "if (err < 0)")
    assert sorted(everything(folder)) == ["1.toml", "1/1-talks.patch", "bases/m.c"]


def test_conflict_ends_when_the_solution_is_put_right(folder: Path) -> None:
    """A mutant that was left behind is merged from its own base, not from the newest."""
    edit(folder, "if (err)\n", "if (err < 0)\n")
    again(folder)
    edit(folder, "if (err < 0)\n", "if (err)\n")
    edit(folder, "err", "ret")
    result = again(folder)
    assert result.left == []
    assert "if (" not in yields(folder, "1-not-checked")
    assert "base" not in (folder / "1.toml").read_text()


def test_patch_in_conflict_keeps_its_base(folder: Path) -> None:
    """A patch says so in a line Base, which goes when the conflict does."""
    edit(folder, "\tint err = check(value);\n\n", "\tint err;\n\n\terr = check(value);\n")
    (left,) = again(folder).left
    assert left.mutant.name == "1-talks"
    text = (folder / "1" / "1-talks.patch").read_text()
    base, _, rest = text.partition("\n")
    assert base.startswith("Base: ")
    assert rest == PATCH
    (folder.parent / "solution" / "m.c").write_text(SOURCE)
    assert again(folder).left == []
    assert everything(folder)["1/1-talks.patch"] == PATCH


def test_mutant_without_a_base(folder: Path) -> None:
    """One that fits nothing is left with the words to write it again; the others go on."""
    path = folder / "1.toml"
    path.write_text(path.read_text().replace("old = '-ENOTTY'", "old = '-ENOTHING'"))
    before = everything(folder)
    (left,) = again(folder).left
    assert (left.mutant.name, left.conflicts) == ("1-other-error", ())
    assert "write it again" in left.why
    assert everything(folder) == before


def test_file_that_the_solution_has_no_more(folder: Path) -> None:
    """Its mutants are left, with the file's name."""
    (folder.parent / "solution" / "m.c").rename(folder.parent / "solution" / "n.c")
    left = again(folder).left
    assert len(left) == 3
    assert all("no file m.c" in one.why for one in left)
    (folder.parent / "solution" / "n.c").rename(folder.parent / "solution" / "m.c")
    assert again(folder).left == []
    assert everything(folder)["1.toml"] == ROWS


def test_without_git_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has no git is told so before a file changes."""
    edit(folder, "if (err)\n", "if (err < 0)\n")
    before = everything(folder)
    programs = folder.parent / "bin"
    programs.mkdir()
    (programs / "patch").symlink_to("/usr/bin/patch")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(MissingTool, match="git"):
        again(folder)
    assert everything(folder) == before


def test_name_of_one_function_alone(folder: Path) -> None:
    """A variable that is renamed in one function is renamed there, and nowhere else."""
    start, end = SOURCE.index("static int first"), SOURCE.index("static int second")
    first = SOURCE[start:end]
    now = first + first.replace("first", "zeroth").replace("err", "result")
    assert refresh.follow_names(
        first.replace("if (err)", "if (err > 0)") + first.replace("first", "zeroth"),
        first + first.replace("first", "zeroth"),
        now,
    ) == now.replace("if (err)", "if (err > 0)")


def test_words_that_are_no_names_are_not_renamed() -> None:
    """A word of a comment, a number, and a name that is still there stay."""
    assert renamed("int a; a = 1; /* once */\n", "int b; b = 2; /* twice */\n") == {"a": "b"}
    assert renamed("f(a); g(a);\n", "f(b); g(a);\n") == {}
    assert renamed("f(a); g(a); b;\n", "f(b); g(b); b;\n") == {}


def test_patch_that_would_land_in_the_wrong_place(folder: Path) -> None:
    """One that applies all the same, beside lines that look alike, is found and used no more."""
    solution = folder.parent / "solution"
    call = "\tint err = check(value);\n\n"
    new = f"static int zeroth(int value)\n{{\n{call}\treturn err;\n}}\n\n"
    edit(folder, "static int second(void)\n", new + "static int second(void)\n")
    edit(folder, f"{{\n{call}\tif", "{\n\tint err = check(value);\n\t/* x */\n\n\tif")
    found = mutants.load(folder)
    assert refresh.edited(folder, found, solution) == ["m.c"]
    assert refresh.misfits(found, solution) == []
    assert yields(folder, "1-talks").index("err);") > (solution / "m.c").read_text().index("zeroth")
    assert [left.mutant.name for left in again(folder).left] == ["1-talks"]
    assert refresh.edited(folder, found, solution) == []
    with pytest.raises(LabError, match=r"1-talks was left in conflict.*mutants .* --refresh"):
        yields(folder, "1-talks")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists, tells what does not fit and refreshes; exit status 1 where something is left."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    solution = ROOT / "labs/networking/solution"
    file = "5-udp-sock/udp_sock.c"
    row = f"[{{}}]\nwhy = 'so'\nfile = '{file}'\nold = '{{}}'\nnew = ''\n"
    (folder / "1.toml").write_text(
        row.format("fits", "PF_INET, SOCK_DGRAM") + row.format("fits-not", "AF_IN7")
    )
    arguments = ["mutants", "networking", "--folder", str(folder)]
    assert status(arguments) == 1
    said = capsys.readouterr().out
    assert f"{folder}: 2 rows and 0 patches, 1 of which no longer applies:\n" in said
    assert f"{folder}/1.toml:9: fits-not: its old text stands nowhere in {solution / file}" in said
    assert status([*arguments, "--refresh"]) == 1
    assert "2 in all, 0 rewritten, 1 left as they were.\n" in capsys.readouterr().out
    (folder / "1.toml").write_text(row.format("fits", "PF_INET, SOCK_DGRAM"))
    assert status([*arguments, "--refresh"]) == 0
    assert status(arguments) == 0
    assert "1 row and 0 patches, all of which apply." in capsys.readouterr().out
    assert [path.name for path in (folder / "bases").iterdir()] == ["5-udp-sock"]
