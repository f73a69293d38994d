"""lab.toml: the real one loads, and a wrong one is told of by file and key."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support import ROOT, SOURCES

from checker import lab as labs
from checker.engine import collector
from checker.errors import InputError, LabError
from checker.model import Lab
from vm.kernel import Kernel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of labs with a copy of the networking lab in it."""
    shutil.copytree(ROOT / "labs" / "networking", tmp_path / "networking")
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    """Replace *old*, which must be there, in the copy's lab.toml."""
    path = folder / "networking" / "lab.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --- the real one --------------------------------------------------------------------


def test_the_networking_lab_is_worth_100_points(lab: Lab) -> None:
    """Five exercises, 20 points each."""
    assert [(e.number, e.points) for e in lab.exercises] == [(n, 20) for n in range(1, 6)]
    assert lab.max_score == 100


def test_a_lab_knows_its_modules_and_files(lab: Lab) -> None:
    """The sources of all modules are what a student hands in."""
    assert [m.name for m in lab.modules] == ["filter", "tcp_sock", "udp_sock"]
    assert tuple(f"{m.folder}/{s}" for m in lab.modules for s in m.sources) == SOURCES
    assert lab.target("tcp_sock").folder == "3-4-tcp-sock"
    with pytest.raises(KeyError):
        lab.target("nothing")


def test_every_lab_that_is_there_loads() -> None:
    """No lab of the project is broken."""
    assert labs.names()
    for name in labs.names():
        assert labs.load(name).name == name


def test_the_readme_has_the_labs_in_their_order() -> None:
    """Each lab of the project has a place in the course, and a row of the README's table."""
    there = labs.in_order()
    assert [lab.order for lab in there] == list(range(1, len(there) + 1))
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (\d+)\. \[(\w+)\]\(labs/\2/", readme, re.MULTILINE)
    assert rows == [(str(lab.order), lab.name) for lab in there]


def test_the_readme_shows_what_the_solution_earns(lab: Lab, stock_kernel: Kernel) -> None:
    """Its table has the points and the number of checks that the lab has, health included."""
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r"^ (\d)   (.*?) +(\d+) of (\d+)   (\d+) passed$", readme, re.MULTILINE)
    specs = collector.specs(lab)
    wanted = []
    for exercise in lab.exercises:
        checks = sum(spec.exercise.number == exercise.number for spec in specs) + 1
        points = f"{exercise.points:g}"
        wanted.append((str(exercise.number), exercise.title, points, points, str(checks)))
    assert shown == wanted
    needing = [spec for spec in specs if set(spec.needs) - stock_kernel.features]
    (told,) = re.findall(
        r"There (\w+) checks are not tried, and you can\s+reach (\d+(?:\.\d+)?)", readme
    )
    numbers = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    left = lab.max_score - sum(spec.points for spec in needing)
    assert told == (numbers[len(needing)], f"{left:g}")


def test_a_copy_loads(folder: Path) -> None:
    """A lab may lie anywhere."""
    assert labs.load("networking", folder).root == folder / "networking"


# --- wrong ones ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "nothing", "Networking", "../networking", "networking/", "."])
def test_no_such_lab_lists_those_there_are(name: str) -> None:
    """The error has what was asked for, and the names to choose from."""
    with pytest.raises(InputError) as caught:
        labs.load(name)
    assert f"There is no lab {name!r}" in str(caught.value)
    assert "networking" in str(caught.value).split(";")[1]


WRONG = [
    ('title = "Networking', 'titel = "Networking', ["title"]),
    ('title = "Networking in the kernel"', "title = 5", ["title"]),
    ("order = 1", "order = 0", ["order"]),
    ('title = "Networking in the kernel"', 'title = " "', ["`title`"]),
    ("points = 20", "points = 1e308", ["`points` of the 1st [[exercises]]", "10000"]),
    ("format = 2", 'format = 2\nguest = {drivers = ["tun", "tun"]}', ["guest.drivers", "twice"]),
    (
        'headers = ["1-2-netfilter/include/filter.h"]',
        'headers = ["1-2-netfilter/include/filter.h", "1-2-netfilter/include/filter.h"]',
        ["`headers` of the 1st [[builds]]", "twice"],
    ),
    (
        'path = "checks/probe"',
        'path = "checks/capture"',
        ["`path` of the 2nd [[programs]]", "knetlab's own"],
    ),
    ('title = "Networking in the kernel"', 'title = "x"\ncolour = "red"', ["colour"]),
    ("points = 20", 'points = "twenty"', ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "points = 0", ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "points = -5", ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "points = nan", ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "points = inf", ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "pionts = 20", ["the 1st [[exercises]]"]),
    ("number = 1", "number = 0", ["`number` of the 1st [[exercises]]"]),
    ("number = 1", "number = 1.5", ["`number` of the 1st [[exercises]]"]),
    ("number = 2", "number = 1", ["same number", "1, 1, 3"]),
    (
        'builds = ["udp_sock"]',
        'builds = ["udp"]',
        ["`builds` of the 5th [[exercises]]", "'udp'", "udp_sock"],
    ),
    ('builds = ["udp_sock"]', "builds = []", ["`builds` of the 5th [[exercises]]"]),
    (
        'builds = ["udp_sock"]',
        'builds = ["udp_sock", "udp_sock"]',
        ["the 5th [[exercises]]", "twice"],
    ),
    ('builds = ["udp_sock"]', 'builds = ["filter", "udp_sock"]', ["2 modules", "one at most"]),
    ('kind = "module"', 'kind = "modul"', ["`kind` of the 1st [[builds]]"]),
    (
        'kind = "module"',
        'kind = "module"\nlibraries = ["m"]',
        ["`libraries` of the 1st [[builds]]", "filter"],
    ),
    ("format = 2", "format = 3", ["format 3", "format = 2"]),
    ("format = 2", 'format = 2\nguest = {drivers = ["tun.ko"]}', ["guest.drivers", "without .ko"]),
    ("format = 2", 'format = 2\nguest = {packages = ["-o"]}', ["guest.packages", "'-o'"]),
    ("format = 2", 'format = 2\nguest = {needs = ["CONFIG_TUN"]}', ["guest.needs", "CONFIG_TUN"]),
    ("format = 2", "", ["no key 'format'", "format = 2"]),
    ('name = "filter"', 'name = "my-filter"', ["`name` of the 1st [[builds]]"]),
    ('name = "filter"', 'name = "../filter"', ["`name` of the 1st [[builds]]"]),
    ('sources = ["filter.c"]', "sources = []", ["`sources` of the 1st [[builds]]"]),
    ('sources = ["filter.c"]', 'sources = "filter.c"', ["`sources` of the 1st [[builds]]"]),
    ('"1-2-netfilter/include/filter.h"', '"include/none.h"', ["include/none.h", "not there"]),
    ('folder = "5-udp-sock"', 'folder = "6"', ["6/Kbuild", "not there"]),
    ('"5-udp-sock/test-5.sh"', '"5-udp-sock/test-6.sh"', ["test-6.sh", "not there"]),
    ('"checks/probe.c"', '"checks/prob.c"', ["checks/prob.c", "not there"]),
    (
        'folder = "5-udp-sock"',
        'folder = "../5-udp-sock"',
        ["`folder` of the 3rd [[builds]]", "'../5-udp-sock'"],
    ),
    (
        'folder = "5-udp-sock"',
        'folder = "/etc"',
        ["`folder` of the 3rd [[builds]]", "'/etc'", "relative"],
    ),
    (
        'folder = "5-udp-sock"',
        'folder = "5-udp-sock/"',
        ["`folder` of the 3rd [[builds]]", "'5-udp-sock/'"],
    ),
    (
        'folder = "5-udp-sock"',
        'folder = "$(id) x"',
        ["`folder` of the 3rd [[builds]]", "'$(id) x'"],
    ),
    (
        'folder = "5-udp-sock"',
        'folder = "checks/x"',
        ["`folder` of the 3rd [[builds]]", "knetlab's own"],
    ),
    (
        '["udp_sock.c"]',
        '["../5-udp-sock/udp_sock.c"]',
        ["`sources` of the 3rd [[builds]]", "without `..`"],
    ),
    ('["udp_sock.c"]', '["-ludp_sock.c"]', ["`sources` of the 3rd [[builds]]", "'-ludp_sock.c'"]),
    (
        '["udp_sock.c"]',
        '["udp_sock.o"]',
        ["`sources` of the 3rd [[builds]]", "does not end in .c, .h or .S"],
    ),
    ('["udp_sock.c"]', '["none.c"]', ["5-udp-sock/none.c", "not there"]),
    ('["udp_sock.c"]', '["udp_sock.c", "udp_sock.c"]', ["builds.sources", "twice"]),
    (
        '"1-2-netfilter/include/filter.h"',
        '"../lab.toml"',
        ["`headers` of the 1st [[builds]]", "'../lab.toml'"],
    ),
    (
        '"1-2-netfilter/include/filter.h"',
        '"5-udp-sock/Kbuild"',
        ["`headers` of the 1st [[builds]]", "end in .h"],
    ),
    ('"5-udp-sock/test-5.sh"', '"/etc/passwd"', ["scripts", "'/etc/passwd'"]),
    (
        'path = "checks/probe"',
        'path = "../probe"',
        ["`path` of the 2nd [[programs]]", "'../probe'"],
    ),
    ('path = "checks/probe"', 'path = "5-udp-sock/udp_sock.ko"', ["two files", "udp_sock.ko"]),
    (
        'path = "checks/probe"',
        'path = "lib/libc.so.6"',
        ["`path` of the 2nd [[programs]]", "knetlab's own"],
    ),
    ('"checks/probe.c"', '"../probe.c"', ["`source` of the 2nd [[programs]]", "'../probe.c'"]),
    ("points = 20", "points = true", ["`points` of the 1st [[exercises]]"]),
    ("points = 20", "points = 20\nhidden = inf", ["`hidden` of the 1st [[exercises]]"]),
    (
        "points = 20",
        "points = 20\nhidden = 20",
        ["`points` of the 1st [[exercises]]", "more than that"],
    ),
    (
        "points = 20",
        'points = 20\ncapability = "net_raw"',
        ["`capability` of the 1st [[exercises]]", "none"],
    ),
    (
        "points = 20",
        'points = 20\ncapability = "root"',
        ["`capability` of the 1st [[exercises]]", "net_raw"],
    ),
    ("[[exercises]]", "[[exercises", ["not TOML", "line"]),
    ('title = "Networking', 'title = "x"\ntitle = "Networking', ["not TOML", "line"]),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG, ids=[w[1] for w in WRONG])
def test_a_wrong_lab_is_told_of_by_file_and_key(
    folder: Path, old: str, new: str, words: list[str]
) -> None:
    """The error is one line that has the path of lab.toml and what is wrong in it."""
    change(folder, old, new)
    with pytest.raises(LabError) as caught:
        labs.load("networking", folder)
    text = str(caught.value)
    assert str(folder / "networking" / "lab.toml") in text
    assert "\n" not in text
    assert [w for w in words if w not in text] == []


def test_a_source_that_the_solution_lacks_is_told_of(folder: Path) -> None:
    """Before anything is built, or a skeleton without it is handed out."""
    change(folder, 'sources = ["filter.c"]', 'sources = ["filter.c", "fliter.c"]')
    with pytest.raises(LabError, match=r"solution/\S+/fliter\.c, which is not there"):
        labs.load("networking", folder)


def test_two_modules_of_one_name_are_refused(folder: Path) -> None:
    """The second of them could never be meant."""
    change(folder, 'name = "udp_sock"', 'name = "tcp_sock"')
    change(folder, 'builds = ["udp_sock"]', 'builds = ["tcp_sock"]')
    with pytest.raises(LabError, match=r"lab\.toml: two of the builds.*tcp_sock"):
        labs.load("networking", folder)


def test_two_modules_in_one_folder_are_refused(folder: Path) -> None:
    """A folder has one Kbuild, and make would build one of them for both."""
    change(folder, 'folder = "5-udp-sock"', 'folder = "3-4-tcp-sock"')
    with pytest.raises(LabError, match=r"lab\.toml: two modules have the folder 3-4-tcp-sock"):
        labs.load("networking", folder)


def test_a_lab_of_format_1_is_told_what_to_write(folder: Path) -> None:
    """An instructor who wrote one for an older knetlab finds each change in the message."""
    path = folder / "networking" / "lab.toml"
    text = path.read_text(encoding="utf-8").replace("format = 2\n", "")
    path.write_text(text.replace("[[builds]]", "[[modules]]"), encoding="utf-8")
    with pytest.raises(LabError) as caught:
        labs.load("networking", folder)
    for words in (str(path), "format = 2", "[[builds]]", 'kind = "module"', 'builds = ["NAME"]'):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lab_in_another_encoding_is_told_of_by_file(folder: Path) -> None:
    """Bytes that are no UTF-8 are named as such."""
    with (folder / "networking" / "lab.toml").open("ab") as f:
        f.write(b"# gr\xfc\xdfe\n")
    with pytest.raises(LabError, match=r"lab\.toml"):
        labs.load("networking", folder)


def test_a_sanitizer_is_no_library_of_a_program(folder: Path, fixture_lab: Lab) -> None:
    """A program that is linked with a sanitizer as it is would judge itself."""
    shutil.copytree(fixture_lab.root, folder / "fixture")
    path = folder / "fixture/lab.toml"
    kind = 'kind = "program"'
    for name in ("asan", "ubsan", "lsan"):
        text = (fixture_lab.root / "lab.toml").read_text()
        path.write_text(text.replace(kind, f'{kind}\nlibraries = ["{name}"]', 1))
        with pytest.raises(LabError, match=rf"has '{name}', a sanitizer's own: leave it out"):
            labs.load("fixture", folder)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("exercises", 0, "points"), "`points` of the 1st [[exercises]]"),
        (("builds", 1, "sources", 2), "`sources`, item 3, of the 2nd [[builds]]"),
        (("exercises", 10), "the 11th [[exercises]]"),
        (("exercises", 21, "title"), "`title` of the 22nd [[exercises]]"),
        (("guest", "drivers"), "`guest.drivers`"),
    ],
)
def test_keys_are_counted_as_people_count(parts: tuple[str | int, ...], words: str) -> None:
    """The first of a list is the 1st."""
    assert labs._key(*parts) == words


def test_a_library_is_named_as_behind_its_option(folder: Path, fixture_lab: Lab) -> None:
    """An option of the linker's, a path or two words are none, and nothing of it is built."""
    shutil.copytree(fixture_lab.root, folder / "fixture")
    path = folder / "fixture/lab.toml"
    for name in ("-Wl,x", "../x", "a b", ""):
        text = (fixture_lab.root / "lab.toml").read_text()
        kind = 'kind = "program"'
        path.write_text(text.replace(kind, f'{kind}\nlibraries = ["{name}"]', 1))
        with pytest.raises(
            LabError, match=r"`libraries` of the 1st \[\[builds\]\] has .*behind -l"
        ):
            labs.load("fixture", folder)
