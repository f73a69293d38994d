"""Places in an object file -> lines of the student's own C files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from checker.model import Names
from checker.words import symbols
from checker.words.symbols import Symbols

HEADER = """\
static inline int first(const int *numbers)
{
	return numbers[0];
}
"""

SOURCE = """\
#include "kernel.h"
#include "filter.h"
int table[4];
__attribute__((noipa)) static int check(int *numbers)
{
	return first(numbers) + second(numbers);
}
__attribute__((section(".init.text"))) int start(void)
{
	return check(table) + 1;
}
int stop(void)
{
	return check(table) + 2;
}
"""

OTHER = "static int twin(void) { return %d; }\nint (*%s)(void) = twin;\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Objects as a module's are: relocatable, compiled in /build, with line numbers."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "kernel").mkdir()
    (folder / "own").mkdir()
    (folder / "kernel/kernel.h").write_text(HEADER)
    (folder / "own/filter.h").write_text(HEADER.replace("first", "second").replace("0", "1"))
    (folder / "own/filter.c").write_text(SOURCE)
    for name, number in (("one", 1), ("two", 2)):
        (folder / f"own/{name}.c").write_text(OTHER % (number, name))
    for name in ("filter", "one", "two"):
        argv = ["gcc", "-O2", "-g1", "-c", f"{name}.c", "-o", f"../{name}.o", "-I../kernel"]
        maps = [f"-fdebug-prefix-map={folder}/own=/build/1-2/kernel"]
        subprocess.run([*argv, *maps], cwd=folder / "own", check=True)
    subprocess.run(["ld", "-r", "-o", "twins.o", "one.o", "two.o"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def filter_o(folder: Path) -> Symbols:
    """The symbols of filter.c, which is the only file of its name."""
    return Symbols((folder / "filter.o").read_bytes(), names=Names(["1-2/kernel/filter.c"]))


def line(text: str) -> str:
    """Return the place of the line of filter.c that holds *text*."""
    (number,) = (n for n, x in enumerate(SOURCE.splitlines(), 1) if text in x)
    return f"filter.c:{number}"


def test_functions_of_every_section_are_known(filter_o: Symbols) -> None:
    """A function in .init.text, one in .text and a static one: each has its own lines."""
    places = filter_o.locate_all([("start", 4), ("stop", 4), ("check", 0)])
    assert places[0] in {line("int start"), "filter.c:9", line("+ 1")}
    assert places[1] in {line("int stop"), "filter.c:13", line("+ 2")}
    assert places[2] in {line("static int check"), "filter.c:5", line("first(numbers)")}


def test_inlined_headers_stand_for_the_line_that_used_them(filter_o: Symbols) -> None:
    """Code that came of a header, the kernel's or the lab's, is shown where it was called."""
    lines = {filter_o.locate("check", offset) for offset in range(16)}
    assert line("first(numbers)") in lines
    assert all(place.startswith("filter.c:") or place == "" for place in lines)


def test_sections_have_places_too(filter_o: Symbols) -> None:
    """A section and an offset, as they are known of code that was unloaded."""
    assert filter_o.place(".init.text", 0) == filter_o.locate("start", 0) != ""
    assert filter_o.places([(".text", 0), (".init.text", 0)]) == [
        filter_o.place(".text", 0),
        filter_o.place(".init.text", 0),
    ]


def test_addresses_are_found_by_where_the_module_was(filter_o: Symbols) -> None:
    """An address belongs to the section that lies nearest below it."""
    locate = filter_o.locator({".text": 0xFFFFFFFFC0280000, ".init.text": 0xFFFFFFFFC0290000})
    assert locate("", 0xFFFFFFFFC0290001) == filter_o.place(".init.text", 1) != ""
    assert locate("", 0xFFFFFFFFC0280001) == filter_o.place(".text", 1) != ""
    assert locate("", 0x1000) == ""
    assert locate("stop", 4) == filter_o.locate("stop", 4)


@pytest.mark.parametrize(
    ("function", "offset"), [("nosuch", 0), ("stop", 1 << 20), ("stop", -1), ("stop", 1 << 80)]
)
def test_what_is_not_there_has_no_place(filter_o: Symbols, function: str, offset: int) -> None:
    """Neither an unknown function nor an offset beyond one has a line."""
    assert filter_o.locate(function, offset) == ""


def test_no_place_is_better_than_a_wrong_one(folder: Path) -> None:
    """Of two static functions with one name nobody knows which the kernel meant."""
    twins = Symbols((folder / "twins.o").read_bytes())
    assert twins.locate("twin", 0) == ""
    assert Symbols((folder / "one.o").read_bytes()).locate("twin", 0) == "1-2/kernel/one.c:1"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Each place has the folders that its file's name needs to be the only one."""
    maps = f"-fdebug-prefix-map={tmp_path}=/build/1-2"
    for side in ("kernel", "user"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "main.c").write_text(f"\nint in_{side}(void) {{ return 1; }}\n")
        argv = ["gcc", "-O2", "-g1", "-c", f"{side}/main.c", "-o", f"{side}.o", maps]
        subprocess.run(argv, cwd=tmp_path, check=True)
    subprocess.run(["ld", "-r", "-o", "both.o", "kernel.o", "user.o"], cwd=tmp_path, check=True)
    both = (tmp_path / "both.o").read_bytes()
    names = Names(["1-2/kernel/main.c", "1-2/user/main.c"])
    places = Symbols(both, names=names).locate_all([("in_kernel", 0), ("in_user", 0)])
    assert places == ["kernel/main.c:2", "user/main.c:2"]


def test_without_debug_information_there_are_no_places(folder: Path) -> None:
    """A stripped object is no error."""
    subprocess.run(["strip", "-g", "-o", "bare.o", "filter.o"], cwd=folder, check=True)
    assert Symbols((folder / "bare.o").read_bytes()).locate("stop", 0) == ""


@pytest.mark.parametrize("junk", [b"", b"\x7fELF", bytes(4096), b"\x7fELF\x02\x01\x01" * 500])
def test_no_bytes_are_an_error(junk: bytes) -> None:
    """Whatever came of a student's source, asking for a place does not raise."""
    assert Symbols(junk).locate("stop", 4) == ""
    assert Symbols(junk).place(".text", 4) == ""


def test_a_program_that_never_ends_gives_no_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the wall time the places are unknown."""
    monkeypatch.setattr(symbols, "WALL_SECONDS", 0)
    assert Symbols((folder / "filter.o").read_bytes()).locate("stop", 4) == ""


def test_many_places_cost_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is asked for at once, and what is known is not asked for again."""
    runs: list[object] = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **options: (runs.append(args), run(*args, **options))[1]
    )
    asked = Symbols((folder / "filter.o").read_bytes())
    wanted = [(".text", offset) for offset in range(8)] + [(".init.text", 0)]
    first = asked.places(wanted)
    assert asked.places(wanted) == first
    assert len(runs) == 1
