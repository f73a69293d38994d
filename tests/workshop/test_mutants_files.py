"""The networking lab's wrong and other right solutions: their files, without building them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

from checker.errors import LabError
from checker.workshop import mutants
from checker.workshop.mutants import Mutant

LAB = ROOT / "labs/networking"
SOLUTION = LAB / "solution"
WRONG = mutants.load(LAB / "mutants")
RIGHT = mutants.load(LAB / "idioms")
DIFF = """--- a/file
+++ b/file
@@ -1,2 +1,2 @@
 one
-two
+2
"""


def names(found: list[Mutant]) -> list[str]:
    """Return the names, for pytest's own."""
    return [mutant.name for mutant in found]


def write(folder: Path, preamble: str, diff: str = DIFF) -> Path:
    """Write the one patch x.patch into *folder*."""
    path = folder / "x.patch"
    path.write_text(preamble + diff, encoding="utf-8")
    return path


def sources(folder: Path) -> dict[str, str]:
    """Return the files below *folder* by relative path."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(folder: Path, text: str) -> Path:
    """Write *text* as the file 1.toml of *folder*."""
    path = folder / "1.toml"
    path.write_text(text, encoding="utf-8")
    return path


def small(folder: Path, text: str = "one\ntwo\n") -> Path:
    """Write a solution of the one file, "file"."""
    solution = folder / "solution"
    solution.mkdir()
    (solution / "file").write_text(text)
    return solution


ROW = """# small ones
[1-x]
exercise = [1, 2]
check = ["1.a", "2.b-c"]
why = "because: so"
kernel = "< 6.10"
needs = "KASAN"
builds = false
file = "file"
old = '''
two
old = three
'''
new = "2\\n"

[1-y]  # another
why = "so"
usual = true
earns = "1=20"
[[1-y.edit]]
file = "file"
old = 'one'
new = 'un'
[[1-y.edit]]
file = "file"
old = 'two'
new = ''
"""


@pytest.mark.parametrize("mutant", WRONG + RIGHT, ids=names(WRONG + RIGHT))
def test_every_patch_applies(mutant: Mutant, tmp_path: Path) -> None:
    """Each patch fits the solution as it is now, and changes C sources only."""
    mutants.apply(mutant, SOLUTION, tmp_path / "copy")
    before, after = sources(SOLUTION), sources(tmp_path / "copy")
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name] != after[name]]
    assert changed
    assert all(name.endswith(".c") and "/user/" not in name for name in changed)


@pytest.mark.parametrize("mutant", WRONG, ids=names(WRONG))
def test_wrong_ones_say_what_they_break(mutant: Mutant) -> None:
    """A mutant names an exercise of the lab and checks of it, and is named for it."""
    assert mutant.exercises
    assert set(mutant.exercises) <= {1, 2, 3, 4, 5}
    assert mutant.checks
    assert not mutant.earns
    assert mutant.name.startswith(f"{mutant.checks[0].split('.')[0]}-")


@pytest.mark.parametrize("folder", ["mutants", "idioms"])
def test_bases_are_the_solution(folder: str) -> None:
    """What the mutants were made against is kept, so that they can follow the next edit."""
    for mutant in mutants.load(LAB / folder):
        assert not mutant.base
        for name in mutant.files:
            kept = (LAB / folder / "bases" / name).read_bytes()
            assert kept == (SOLUTION / name).read_bytes(), "knetlab mutants networking --refresh"


@pytest.mark.parametrize("mutant", WRONG, ids=names(WRONG))
def test_wrong_ones_lie_with_their_exercise(mutant: Mutant) -> None:
    """A row stands in the file of its exercise, a patch in the folder."""
    number = mutant.name.split("-")[0]
    place = mutant.path.relative_to(LAB / "mutants")
    assert str(place) == (f"{number}.toml" if mutant.edits else f"{number}/{mutant.name}.patch")


@pytest.mark.parametrize("mutant", WRONG, ids=names(WRONG))
def test_checks_are_the_labs_own(mutant: Mutant) -> None:
    """Each check that a mutant names is a function in the lab's checks of that exercise, or health.

    The health of an exercise is what the kernel reports meanwhile (checker/engine/grade.py).
    """
    for check in mutant.checks:
        number, name = check.split(".")
        if name == "healthy":
            continue
        (file,) = (LAB / "checks").glob(f"check_{number}_*.py")
        function = f"check_{name.replace('-', '_')}"
        assert re.search(rf"^def {function}\(", file.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("mutant", RIGHT, ids=names(RIGHT))
def test_right_ones_break_nothing(mutant: Mutant) -> None:
    """An idiom names no check; what it earns, if not everything, is said for each exercise."""
    assert not mutant.exercises
    assert not mutant.checks
    assert not mutant.earns or set(mutant.earns) == {1, 2, 3, 4, 5}


def test_there_are_enough() -> None:
    """At least 60 mutants, some for each exercise, and at least 5 idioms at full marks."""
    assert len(WRONG) >= 60
    only_debug = {"KASAN", "DEBUG_ATOMIC_SLEEP", "PROVE_LOCKING", "PROVE_RCU", "FAILSLAB"}
    assert sum(bool(only_debug & set(mutant.needs)) for mutant in WRONG) >= 15
    for number in range(1, 6):
        assert sum(mutant.exercises == (number,) for mutant in WRONG) >= 5
    assert sum(not mutant.earns for mutant in RIGHT) >= 5


def test_every_check_has_a_mutant() -> None:
    """No check of the lab, and no exercise's health, is without a mutant that it must catch."""
    wanted = {check for mutant in WRONG for check in mutant.checks}
    assert {f"{number}.healthy" for number in range(1, 6)} <= wanted
    for file in (LAB / "checks").glob("check_*.py"):
        number = file.name.split("_")[1]
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"^def check_(\w+)\(", text, re.MULTILINE):
            assert f"{number}.{name.replace('_', '-')}" in wanted


def test_preamble_is_read(tmp_path: Path) -> None:
    """Every key of a preamble ends up in the record, and the diff begins at its first file."""
    write(tmp_path, "Exercise: 1, 2\nCheck: 1.a, 2.b-c\nWhy: because: so\nKernel: <6.10\n")
    (mutant,) = mutants.load(tmp_path)
    assert (mutant.name, mutant.exercises, mutant.checks) == ("x", (1, 2), ("1.a", "2.b-c"))
    assert (mutant.why, mutant.kernel, mutant.patch) == ("because: so", "< 6.10", DIFF)


def test_what_a_mutant_needs_is_read(tmp_path: Path) -> None:
    """Needs names features of a kernel, and Builds says that the compiler may refuse it."""
    preamble = "Exercise: 1\nCheck: 1.a\nWhy: so\n"
    write(tmp_path, f"{preamble}Needs: KASAN, FAILSLAB\nBuilds: no\n")
    (mutant,) = mutants.load(tmp_path)
    assert (mutant.needs, mutant.builds) == (("KASAN", "FAILSLAB"), False)
    write(tmp_path, preamble)
    (mutant,) = mutants.load(tmp_path)
    assert (mutant.needs, mutant.builds) == ((), True)


@pytest.mark.parametrize(("line", "usual"), [("Usual: yes\n", True), ("", False)])
def test_usual_idioms_are_marked(tmp_path: Path, line: str, *, usual: bool) -> None:
    """Usual: yes marks an idiom for the sample."""
    write(tmp_path, f"Why: so\n{line}")
    (mutant,) = mutants.load(tmp_path)
    assert mutant.usual is usual


def test_earnings_are_read(tmp_path: Path) -> None:
    """Earns gives points for each exercise."""
    write(tmp_path, "Why: half of it\nEarns: 1=20 4=2.5\n")
    (mutant,) = mutants.load(tmp_path)
    assert mutant.earns == {1: 20, 4: 2.5}


@pytest.mark.parametrize(
    ("bound", "release", "fits"),
    [
        ("< 6.10", "6.1.0-13-cloud-amd64", True),
        ("< 6.10", "6.9.12", True),
        ("< 6.10", "6.10.0", False),
        (">= 6.10", "6.12.5+bpo-amd64", True),
        (">= 6.10", "6.1.0", False),
    ],
)
def test_kernel_bound(tmp_path: Path, bound: str, release: str, *, fits: bool) -> None:
    """A bound is compared as numbers, not as text; without one every kernel fits."""
    write(tmp_path, f"Why: so\nKernel: {bound}\n")
    (mutant,) = mutants.load(tmp_path)
    assert mutant.fits(release) is fits
    assert mutant.model_copy(update={"kernel": ""}).fits(release)


@pytest.mark.parametrize(
    ("preamble", "line", "words"),
    [
        ("Exercise: 1\nCheck: 1.a\n", 1, "no line Why"),
        ("Why: so\nExercise: 1\n", 2, "Exercise needs a line Check"),
        ("Why: so\nCheck: 1.a\n", 2, "Check needs a line Exercise"),
        ("Why: so\nWhat: 1\n", 2, "not 'What: 1'"),
        ("Why: so\n\n", 2, "a preamble line is one of"),
        ("Why: so\nWhy: so\n", 2, "for the second time"),
        ("Why:\n", 1, "Why is empty"),
        ("Why: so\nExercise: one\nCheck: 1.a\n", 2, "not 'one'"),
        ("Why: so\nExercise: 1,\nCheck: 1.a\n", 2, "not ''"),
        ("Why: so\nExercise: 1\nCheck: outgoing\n", 3, "not 'outgoing'"),
        ("Why: so\nExercise: 1\nCheck: 2.a\n", 3, "2.a belongs to none"),
        ("Why: so\nKernel: 6.10\n", 2, "not '6.10'"),
        ("Why: so\nKernel: < 6.10, >= 6.1\n", 2, "one bound"),
        ("Why: so\nEarns: 1:20\n", 2, "not '1:20'"),
        ("Why: so\nExercise: 1\nCheck: 1.a\nEarns: 1=20\n", 4, "Earns is for right solutions"),
        ("Why: so\nExercise: 1\nCheck: 1.a\nUsual: yes\n", 4, "Usual is for right solutions"),
        ("Why: so\nNeeds: KASAN\n", 2, "Needs is for wrong solutions"),
        ("Why: so\nBuilds: no\n", 2, "Builds is for wrong solutions"),
        ("Why: so\nExercise: 1\nCheck: 1.a\nBuilds: yes\n", 4, "Builds is no, or not there"),
        ("Why: so\nExercise: 1\nCheck: 1.a\nNeeds: ASAN\n", 4, "not 'ASAN'"),
        ("Why: so\nUsual: no\n", 2, "Usual is yes, or not there"),
    ],
)
def test_bad_preamble_names_file_and_line(
    tmp_path: Path, preamble: str, line: int, words: str
) -> None:
    """A preamble that is wrong is an error with the file, the line and what is wrong."""
    path = write(tmp_path, preamble)
    with pytest.raises(LabError) as error:
        mutants.load(tmp_path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert words in str(error.value)


def test_lines_that_diff_and_git_write_are_no_preamble(tmp_path: Path) -> None:
    """The output of diff -r or git diff can stand behind the preamble as it comes."""
    write(tmp_path, "Why: so\ndiff --git a/file b/file\nindex 12a3c..9fd01 100644\n")
    (mutant,) = mutants.load(tmp_path)
    assert mutant.why == "so"


def test_preamble_without_a_diff(tmp_path: Path) -> None:
    """A file that changes nothing is an error that names it."""
    path = write(tmp_path, "Why: so\n", diff="")
    with pytest.raises(LabError, match="the diff is missing") as error:
        mutants.load(tmp_path)
    assert str(path) in str(error.value)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A lab without the folder is an error that names it."""
    with pytest.raises(LabError, match="nothing-here cannot be read"):
        mutants.load(tmp_path / "nothing-here")


def test_patch_that_does_not_fit(tmp_path: Path) -> None:
    """Context that differs, or a change that is there already, is an error that names the patch."""
    write(tmp_path, "Why: so\n")
    (mutant,) = mutants.load(tmp_path)
    for number, text in enumerate(("uno\ntwo\n", "one\n2\n")):
        solution = tmp_path / f"solution-{number}"
        solution.mkdir()
        (solution / "file").write_text(text)
        with pytest.raises(LabError, match=r"x\.patch does not apply"):
            mutants.apply(mutant, solution, tmp_path / f"copy-{number}")


def test_patch_that_fits_further_down(tmp_path: Path) -> None:
    """Lines that moved are found; the solution itself stays as it is, and nothing else is left."""
    write(tmp_path, "Why: so\n")
    (mutant,) = mutants.load(tmp_path)
    solution = tmp_path / "solution"
    solution.mkdir()
    (solution / "file").write_text("zero\none\ntwo\n")
    mutants.apply(mutant, solution, tmp_path / "copy")
    assert sources(tmp_path / "copy") == {"file": "zero\none\n2\n"}
    assert sources(solution) == {"file": "zero\none\ntwo\n"}


# --- rows ----------------------------------------------------------------------------


def test_rows_are_read(tmp_path: Path) -> None:
    """A row has the keys of a patch, in TOML's types, and one or several replacements."""
    path = rows(tmp_path, ROW)
    x, y = mutants.load(tmp_path)
    assert (x.name, x.exercises, x.checks, x.why) == (
        "1-x",
        (1, 2),
        ("1.a", "2.b-c"),
        "because: so",
    )
    assert (x.kernel, x.needs, x.builds) == ("< 6.10", ("KASAN",), False)
    assert [(e.file, e.old, e.new, e.line) for e in x.edits] == [
        ("file", "two\nold = three\n", "2\n", 10)
    ]
    assert (y.name, y.usual, y.earns, y.place) == ("1-y", True, {1: 20}, f"{path}:16")
    assert [(e.old, e.new, e.line) for e in y.edits] == [("one", "un", 22), ("two", "", 26)]


def test_rows_are_applied(tmp_path: Path) -> None:
    """All replacements are made; the solution stays as it is."""
    rows(tmp_path, ROW)
    solution = small(tmp_path)
    mutants.apply(mutants.load(tmp_path)[1], solution, tmp_path / "copy")
    assert sources(tmp_path / "copy") == {"file": "un\n\n"}
    assert sources(solution) == {"file": "one\ntwo\n"}


@pytest.mark.parametrize(("text", "often"), [("one\n", "nowhere"), ("one\ntwo two\n", "2 times")])
def test_old_text_that_is_not_there_once(tmp_path: Path, text: str, often: str) -> None:
    """It is refused with the line of the old text, and with what to do."""
    path = rows(tmp_path, ROW)
    with pytest.raises(LabError) as error:
        mutants.apply(mutants.load(tmp_path)[1], small(tmp_path, text), tmp_path / "copy")
    assert str(error.value).startswith(f"{path}:26: 1-y: its old text stands {often} in ")
    assert "--refresh" in str(error.value)


def test_old_text_that_overlaps_itself_is_there_twice(tmp_path: Path) -> None:
    """Places that overlap are counted, too: which one is meant cannot be told."""
    rows(tmp_path, "[1-x]\nwhy = 'so'\nfile = 'file'\nold = 'aa'\nnew = 'b'\n")
    with pytest.raises(LabError, match="2 times"):
        mutants.apply(mutants.load(tmp_path)[0], small(tmp_path, "aaa\n"), tmp_path / "copy")


def test_replacements_that_overlap(tmp_path: Path) -> None:
    """Two replacements of the same text are refused."""
    edit = "[[1-x.edit]]\nfile = 'file'\nold = '{}'\nnew = 'b'\n"
    rows(tmp_path, "[1-x]\nwhy = 'so'\n" + edit.format("one") + edit.format("e"))
    with pytest.raises(LabError, match=r"1\.toml:\d+: 1-x: its old text"):
        mutants.apply(mutants.load(tmp_path)[0], small(tmp_path), tmp_path / "copy")


def test_row_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named with the row's line."""
    path = rows(tmp_path, ROW)
    (tmp_path / "solution").mkdir()
    with pytest.raises(LabError, match="there is no file file in") as error:
        mutants.apply(mutants.load(tmp_path)[0], tmp_path / "solution", tmp_path / "copy")
    assert str(error.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\n", 1, "a row is a table"),
        ("\n[x]\nwhy = 'so'\n", 2, "it replaces nothing"),
        ("[x]\nfile = 'f'\nold = 'a'\nnew = 'b'\n", 1, "x has no key why"),
        ("[x]\nwhy = 'so'\nfile = 'f'\nold = 'a'\n", 1, "needs the key new"),
        ("[x]\nwhy = 'so'\nfile = 'f'\nold = 1\nnew = 'b'\n", 4, "needs the key old"),
        ("[x]\nwhy = 'so'\nfile = 'f'\nold = ''\nnew = 'b'\n", 4, "old is empty"),
        ("[x]\nwhat = 1\nfile = 'f'\nold = 'a'\nnew = 'b'\n", 2, "not 'what'"),
        ("[x]\nedit = 1\n", 1, "is a table [[x.edit]]"),
        ("[x]\n[[x.edit]]\nline = 1\n", 3, "not line"),
        (
            "[x]\nexercise = 1\ncheck = 'a'\nwhy = 'so'\nfile = 'f'\nold = 'a'\nnew = 'b'\n",
            3,
            "'a'",
        ),
    ],
)
def test_bad_row_names_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    """A row that is wrong is an error with the file, the line and what is wrong."""
    path = rows(tmp_path, text)
    with pytest.raises(LabError) as error:
        mutants.load(tmp_path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert words in str(error.value)


def test_file_that_is_not_toml(tmp_path: Path) -> None:
    """It is named, with the place that tomllib gives."""
    path = rows(tmp_path, "[x]\nwhy = \n")
    with pytest.raises(LabError, match=r"is not TOML.*line 2") as error:
        mutants.load(tmp_path)
    assert str(path) in str(error.value)


def test_name_that_is_there_twice(tmp_path: Path) -> None:
    """A row and a patch of the same name are refused, wherever they stand."""
    rows(tmp_path, ROW)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "1-x.patch").write_text(f"Why: so\n{DIFF}")
    with pytest.raises(LabError, match=r"1-x\.patch: .*1\.toml:2 has the name 1-x, too"):
        mutants.load(tmp_path)
