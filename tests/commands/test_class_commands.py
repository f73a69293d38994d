"""The commands for a class: grading survives SIGKILL, and every format is written and read."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from classes import SUBMITTED, grade
from support import ROOT, SOLUTION, SOURCES, all_end

from checker import cli
from checker.classroom.export import classroom50
from checker.classroom.export.formats import FORMATS, Document, Gradebook, Result
from checker.classroom.store import Store
from checker.commands import class_work
from checker.errors import InputError
from checker.model import Attempt, Student
from vm import debian, toolchain
from vm import kernel as kernels
from vm.errors import VMError
from vm.tools import descendants

Run = Callable[..., int]


@pytest.fixture
def knetlab() -> Run:
    """Call the command line here, and return its exit status."""

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    """A folder of grades with four students: one in full, one hostile, one lost, one absent."""
    folder = tmp_path / "grades"
    with Store(folder, "networking") as store:
        for number, (key, recorded) in enumerate([("alice", "full"), ("mallory", "evil")]):
            student = Student(key=key, name=key.title(), id=str(100 + number), login=key)
            attempt = Attempt(student=key, label="1", submitted=SUBMITTED)
            source = (SOLUTION / SOURCES[0]).read_bytes()
            store.add(student, attempt, {SOURCES[0]: source}, key)
            store.save(key, grade(recorded))
        lost = Attempt(student="dan", label="1", problem="dan.zip is damaged.")
        store.add(Student(key="dan", name="Dan"), lost, {}, "")
        store.add_student(Student(key="eve", name="Eve"))
    return folder


# --- what is stored -------------------------------------------------------------------


CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Lab (7),Current Score
Points Possible,,,,,100,(read only)
"Alice",100,,alice,A,,
"Dan",104,,dan,A,55,
"Student, Test",9,,,A,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum grade,Last modified (grade)
Participant 100,Alice,a@example.org,Submitted,,100.00,-
Participant 104,Dan,d@example.org,Submitted,55.00,100.00,-
"""


def test_every_format_is_written_and_read_back(knetlab: Run, graded: Path, tmp_path: Path) -> None:
    """Each document says of Alice what is stored; who has no grade is no zero in any."""
    readers: dict[str, Callable[[str], bool]] = {
        "json": lambda t: json.loads(t)["entries"][0]["mark"]["final"] == 100,
        "csv": lambda t: next(csv.DictReader(io.StringIO(t)))["final"] == "100",
        "junit": lambda t: len(ElementTree.fromstring(t).findall("testsuite")) == 2,  # noqa: S314
        "markdown": lambda t: "Alice: 100 of 100" in t,
        "github": lambda t: all(line.startswith("::") for line in t.splitlines()),
    }
    documents = {name for name, f in FORMATS.items() if isinstance(f, Document)}
    assert readers.keys() == documents
    for name, right in readers.items():
        target = tmp_path / name
        assert knetlab("export", name, "--from", graded, "--out", target) == 0
        assert right(target.read_text()), name


@pytest.mark.parametrize("name", [name for name, f in FORMATS.items() if isinstance(f, Result)])
def test_every_platform_has_a_file_a_student(
    name: str, knetlab: Run, graded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alice's result has all her points, and Eve, who handed in nothing, gets no zero."""
    for variable in classroom50.VARIABLES.values():
        monkeypatch.setenv(variable, "https://example.org/1")
    assert knetlab("export", name, "--from", graded, "--out", tmp_path / name) == 0
    (alice,) = (tmp_path / name).glob("alice-*/*")
    said = json.loads(alice.read_text())
    full = sum(said["scores"].values()) if "scores" in said else said["score"]
    assert full == (1.0 if name == "prairielearn" else 100)
    for eve in (tmp_path / name).glob("eve-*/*"):
        said = json.loads(eve.read_text())
        assert not said.get("score")
        assert said.get("gradable") is False or said.get("scores") == {}


@pytest.mark.parametrize(("name", "text"), [("canvas", CANVAS), ("moodle", MOODLE)])
def test_gradebook_is_filled_and_the_download_kept(
    name: str, text: str, knetlab: Run, graded: Path, tmp_path: Path
) -> None:
    """A dry run writes nothing; the real one gives Alice her points and leaves Dan his."""
    book, filled = tmp_path / "book.csv", tmp_path / "filled.csv"
    book.write_text(text)
    gradebook = FORMATS[name]
    assert isinstance(gradebook, Gradebook)
    column = ["--column", "Lab"] if gradebook.column else []
    options = ["export", name, "--from", graded, "--into", book, *column]
    assert knetlab(*options, "--dry-run") == 0
    assert sorted(p.name for p in tmp_path.glob("*.csv")) == ["book.csv"]
    assert knetlab(*options, "--out", filled) == 0
    assert book.read_text() == text
    was, now = text.splitlines(), filled.read_text().splitlines()
    changed = [line for old, line in zip(was, now, strict=True) if old != line]
    assert len(changed) == 1
    assert "Alice" in changed[0]
    assert ",100," in changed[0]


def test_pages_go_back_in_a_zip(
    knetlab: Run, graded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who handed in has a page there, without hidden checks; who has none is named."""
    (graded / "course.toml").write_text('[visible]\n"1.outgoing-syn" = "never"\n')
    download, out = tmp_path / "submissions.zip", tmp_path / "feedback.zip"
    with zipfile.ZipFile(download, "w") as packed:
        packed.writestr("alice_100_7_filter.c", "")
    for name in ("moodle-feedback", "canvas-feedback"):
        options = ["--into", download] if name == "canvas-feedback" else []
        assert knetlab("export", name, "--from", graded, "--out", out, *options) == 0
        with zipfile.ZipFile(out) as made:
            pages = {entry: made.read(entry).decode() for entry in made.namelist()}
        (alice,) = (page for entry, page in pages.items() if "alice" in entry.lower())
        assert "1.outgoing-syn" not in alice
        assert "1.not-syn-ack" in alice
        assert len(pages) == (2 if name == "moodle-feedback" else 1)
        told = capsys.readouterr().out
        assert "Dan (dan): left out, as" in told
        assert "Eve" not in told


def test_the_lms_own_file_is_not_written_over(
    knetlab: Run, graded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--out that is --into, by whatever name, is refused; with --force it is filled in."""
    book, link = tmp_path / "book.csv", tmp_path / "link.csv"
    book.write_text(MOODLE)
    link.symlink_to(book)
    options = ["export", "moodle", "--from", graded, "--into", book]
    for out in (book, link, tmp_path / "." / "book.csv"):
        assert knetlab(*options, "--out", out) == 2
        assert "choose another name, or give --force" in capsys.readouterr().err
        assert book.read_text() == MOODLE
    assert knetlab(*options, "--out", book, "--force") == 0
    assert ",100," in book.read_text()


def test_gradebook_is_written_though_nobody_reads_on(graded: Path, tmp_path: Path) -> None:
    """`knetlab export moodle ... | head -1` fills the file in like any other."""
    book, filled = tmp_path / "book.csv", tmp_path / "filled.csv"
    book.write_text(MOODLE)
    argv = [sys.executable, "-m", "checker", "export", "moodle", "--from", str(graded)]
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as gone:
        subprocess.run(
            [*argv, "--into", str(book), "--out", str(filled)],
            cwd=ROOT,
            check=False,
            stdout=gone,
            stderr=subprocess.DEVNULL,
        )
    assert ",100," in filled.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "canvas", "--column", "Lab"), "name its file with --into"),
        (("export", "canvas", "--into", "x.csv", "--out", "y.csv"), "needs --column"),
        (("export", "moodle", "--into", "x.csv"), "gradebook with --out"),
        (("export", "csv", "--dry-run"), "csv is not a gradebook"),
        (("export", "gradescope"), "name a folder for them with --out"),
        (("export", "canvas-feedback", "--out", "y.csv"), "--into says which download"),
        (("export", "moodle-feedback"), "--out says where the zip goes"),
        (
            ("export", "classroom50", "--out", "y.csv"),
            "Nothing was written: of 4 students none has",
        ),
        (
            ("export", "canvas-feedback", "--into", "no.zip", "--out", "y.csv"),
            "no.zip cannot be read",
        ),
    ],
)
def test_option_that_is_missing_is_named(
    arguments: tuple[str, ...],
    said: str,
    knetlab: Run,
    graded: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command that cannot be meant says which option is wrong, and writes nothing."""
    assert knetlab(*arguments, "--from", graded) == 2
    assert said in capsys.readouterr().err
    assert not Path("y.csv").exists()


def test_folder_without_grades_is_said(
    knetlab: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder of grades is no traceback, and none is made."""
    assert knetlab("export", "csv", "--from", tmp_path / "none") == 2
    assert "knetlab grade" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_rules_make_new_marks_of_stored_grades(knetlab: Run, graded: Path, tmp_path: Path) -> None:
    """A deadline in course.toml costs Alice points, and without it she has them; no guest runs."""
    rules = graded / "course.toml"
    rules.write_text('due = 2026-11-20T12:00:00Z\n[late]\nper = "day"\npercent = 10\n')
    assert knetlab("export", "csv", "--from", graded, "--out", tmp_path / "late") == 0
    rules.unlink()
    assert knetlab("export", "csv", "--from", graded, "--out", tmp_path / "free") == 0
    late, free = (
        next(csv.DictReader(io.StringIO((tmp_path / name).read_text())))["final"]
        for name in ("late", "free")
    )
    assert (late, free) == ("90", "100")


def test_pages_are_written_from_what_is_stored(knetlab: Run, graded: Path) -> None:
    """The class's page links to a page of each student, and the old ones go."""
    students = graded / "report" / "students"
    students.mkdir(parents=True)
    (students / "gone.html").write_text("old")
    assert knetlab("report", "--from", graded) == 0
    index = (graded / "report" / "index.html").read_text()
    links = set(re.findall(r'href="\./(students/[^"]+)"', index))
    assert len(links) == 4
    assert links == {f"students/{path.name}" for path in students.iterdir()}


def test_hidden_check_is_not_on_a_students_page(knetlab: Run, graded: Path) -> None:
    """What course.toml hides is on no student's page, and stays on the instructor's."""
    (graded / "course.toml").write_text('[visible]\n"1.no-such" = "never"\n')
    assert knetlab("report", "--from", graded) == 2
    (graded / "course.toml").write_text('[visible]\n"1.outgoing-syn" = "never"\n')
    assert knetlab("report", "--from", graded) == 0
    (alice,) = (graded / "report" / "students").glob("alice-*")
    assert "1.outgoing-syn" not in alice.read_text()
    index = (graded / "report" / "index.html").read_text()
    head = index[index.index("<header>") : index.index("</header>")]
    assert "This page is for the teacher." in head
    assert "<code>1.outgoing-syn</code> (always)" in head


def test_who_has_the_same_file_is_named(
    knetlab: Run, graded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A twin stands in the student's row of the class's page, and first in `similar`."""
    pytest.importorskip("copydetect")
    own = {SOURCES[0]: (SOLUTION / SOURCES[0]).read_bytes()}
    with Store(graded, "networking") as store:
        for key, source in (("tom", "tom.zip"), ("kim", "kim.zip")):
            attempt = Attempt(student=key, label="1", submitted=SUBMITTED, source=source)
            store.add(Student(key=key, name=key.title()), attempt, own, key)
    assert knetlab("report", "--from", graded) == 0
    index = (graded / "report" / "index.html").read_text()
    name = Path(SOURCES[0]).name
    assert f"The same {name} as Alice, Kim and Mallory." in index
    assert [
        p for p in (graded / "report" / "students").iterdir() if "The same" in p.read_text()
    ] == []
    capsys.readouterr()
    assert knetlab("similar", "networking", "--from", graded, "--html", tmp_path / "s.html") == 0
    said = capsys.readouterr().out
    assert said.index("byte for byte") < said.index("kim") < said.index("similar code is not")
    assert "byte for byte" in (tmp_path / "s.html").read_text()


def test_the_graders_words_do_not_tell_of_a_hidden_check(knetlab: Run, graded: Path) -> None:
    """What the grader said when it failed is on no student's page while a check is hidden."""
    with Store(graded, "networking") as store:
        attempt = Attempt(student="dan", label="2", submitted=SUBMITTED)
        store.add(Student(key="dan", name="Dan"), attempt, {SOURCES[0]: b"int x;\n"}, "new")
        store.fail("new", "1.outgoing-syn: QEMU ended.")
    pages = graded / "report" / "students"
    assert knetlab("report", "--from", graded) == 0
    (dan,) = pages.glob("dan-*")
    assert "The grader failed: 1.outgoing-syn: QEMU ended." in dan.read_text()
    (graded / "course.toml").write_text('[visible]\n"1.outgoing-syn" = "never"\n')
    assert knetlab("report", "--from", graded) == 0
    assert "The grader failed, which costs no points." in dan.read_text()
    assert not [p for p in pages.iterdir() if "outgoing-syn" in p.read_text()]


def test_a_name_in_the_rules_that_is_nobodys_is_an_error(
    knetlab: Run, graded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After grading all students are known: a name that fits none is told with the near ones."""
    (graded / "course.toml").write_text("students.alcie.late_days = 2\n")
    assert knetlab("report", "--from", graded) == 2
    said = capsys.readouterr().err
    assert (
        "the key 'students.alcie' is wrong: there is no student 'alcie'; did you mean alice?"
        in said
    )


def test_commands_that_read_work_while_a_run_is_at_it(
    knetlab: Run, graded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """report, export, diff and similar do it with what is there, and say so beside their output."""
    other = tmp_path / "other"
    shutil.copytree(graded, other)
    with Store(graded) as run:
        run.add(Student(key="zed"), Attempt(student="zed", label="1"), {}, "not yet")
        for command in (
            ("report", "--from", graded),
            ("export", "csv", "--from", graded),
            ("diff", other, graded),
            ("similar", "networking", "--from", graded),
        ):
            assert knetlab(*command) in {0, 1}, command
            told = capsys.readouterr()
            assert "this is what is there now, 2 of 3 graded." in told.err, command
            assert "this is what" not in told.out
    assert knetlab("export", "csv", "--from", graded) == 0
    assert "this is what" not in capsys.readouterr().err


def test_watched_pages_follow_the_grades(
    knetlab: Run, graded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --watch each change of the grades or the rules makes new pages; a wrong rule is told."""
    index, rules = graded / "report" / "index.html", graded / "course.toml"
    seen: list[bool] = []

    def changes(folder: Path, **options: Any) -> Iterator[object]:
        wanted = options["watch_filter"]
        assert wanted(1, str(folder / "grades.sqlite"))
        assert wanted(1, str(folder / "course.toml"))
        assert not wanted(1, str(folder / "grades.sqlite-journal"))
        for text in ("deu = 1", 'students.dan.override = { score = 77, reason = "x" }'):
            rules.write_text(text)
            yield set()
            seen.append(">77<" in index.read_text())

    monkeypatch.setattr(class_work.watchfiles, "watch", changes)
    assert knetlab("report", "--from", graded, "--watch") == 0
    assert seen == [False, True]
    assert "there is no key 'deu'" in capsys.readouterr().out
    assert not [path for path in (graded / "report").rglob("*") if path.name.startswith(".")]


def test_diff_names_whose_mark_changed(
    knetlab: Run, graded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two equal runs have no difference; a grade that changed is told with its check."""
    other = tmp_path / "other"
    shutil.copytree(graded, other)
    assert knetlab("diff", graded, other) == 0
    with Store(other) as store:
        store.save("alice", grade("skeleton"))
    capsys.readouterr()
    assert knetlab("diff", graded, other) == 1
    assert "Alice" in capsys.readouterr().out


# --- grading --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        (("nowhere",), "There is no nowhere"),
        ((".", "--out", "out"), "--out out lies in ."),
        (("class", "--executor", "dask"), "belong together"),
        (("class", "--course", "wrong.toml"), "wrong.toml"),
        (("class", "--only", "zed"), "--only zed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_graded(
    case: tuple[tuple[str, ...], str],
    handed_in: Path,
    knetlab: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sentence names the option or the path, and nothing is stored."""
    arguments, said = case
    monkeypatch.chdir(handed_in.parent)
    Path("wrong.toml").write_text("deu = 2026-11-20\n")
    assert knetlab("grade", "networking", "--out", "grades", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not list(Path().glob("grades/report"))


@pytest.fixture
def handed_in(tmp_path: Path) -> Path:
    """Four students: two of them handed in the same, one a broken archive; quick to grade."""
    folder = tmp_path / "class"
    for key, number in (("ada", 1), ("bob", 2), ("cy", 1), ("di", 3)):
        for source in SOURCES:
            target = folder / key / "lab" / source
            target.parent.mkdir(parents=True)
            broken = f"#error {number}\n".encode()
            right = "udp" in source and number < 3
            target.write_bytes((SOLUTION / source).read_bytes() if right else broken)
    shutil.rmtree(folder / "di")
    (folder / "di").mkdir()
    (folder / "di" / "work.zip").write_bytes(b"PK\x03\x04 cut off")
    return folder


def test_groups_that_nobody_knows_are_asked_for(
    handed_in: Path, knetlab: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """group_work without groups is an error that says how to name them; with a file it goes on."""
    rules = handed_in.parent / "rules.toml"
    rules.write_text("group_work = true\n")
    groups = handed_in.parent / "groups.csv"
    groups.write_text("group,key\nA,ada\nA,eve\nB,bob\nB,cy\nB,di\n")
    options = ["--out", handed_in.parent / "out", "--course", rules, "--dry-run"]
    assert knetlab("grade", "networking", handed_in, *options) == 2
    assert "the key 'group_work' needs to know the groups: --groups" in capsys.readouterr().err
    assert knetlab("grade", "networking", handed_in, *options, "--groups", groups) == 0
    assert "each member has the same one" in capsys.readouterr().out


def command(handed_in: Path, out: Path, *more: str) -> list[str]:
    """Return the command line that grades the class on the stock kernel."""
    arguments = ["grade", "networking", str(handed_in), "--out", str(out), "--kernel", "stock"]
    return [sys.executable, "-m", "checker", *arguments, "--jobs", "1", *more]


def points(folder: Path) -> list[tuple[str, float | None, str]]:
    """Return what is stored of each student: key, score, problem."""
    with Store(folder) as store:
        return [
            (a.student, a.grade.score if a.grade else None, a.problem) for a in store.attempts()
        ]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([], "debug"),
        (["--kernel", "debug"], "debug"),
        (["--kernel", "stock"], "stock"),
        (["--release", "13"], "debug13"),
        (["--kernel", "stock", "--release", "13"], "stock13"),
    ],
)
@pytest.mark.parametrize("built", [True, False])
def test_grades_are_given_on_the_debug_kernel(  # noqa: PLR0917
    options: list[str],
    chosen: str,
    built: bool,
    handed_in: Path,
    knetlab: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Unless stock is asked for; where it is not built yet that is said, and it is built.

    The compiler is the release's own, which is looked for first.
    """
    used: list[object] = []
    compilers: list[tuple[str, str]] = []

    def run(_: object, __: object, on: object, *___: object, **____: object) -> None:
        used.append(on)
        raise InputError("that will do.")

    monkeypatch.delenv(toolchain.SETTING, raising=False)
    monkeypatch.setattr(toolchain, "if_there", lambda _: toolchain.host())
    monkeypatch.setattr(toolchain, "of", lambda r: compilers.append((r, toolchain.setting())))
    monkeypatch.setattr(kernels, "debug_if_built", lambda r: f"debug{r}" if built else None)
    monkeypatch.setattr(kernels, "debug", lambda release, **_: f"debug{release}")
    monkeypatch.setattr(kernels, "stock", lambda release: f"stock{release}")
    monkeypatch.setattr(class_work, "_run", run)
    out = handed_in.parent / "out"
    assert knetlab("grade", "networking", handed_in, "--out", out, *options) == 2
    assert used == [chosen]
    assert compilers == [("13" if "13" in chosen else debian.default_release(), "own")]
    told = "It is built first" in "".join(capsys.readouterr())
    assert told == (chosen.startswith("debug") and not built)


def test_a_compiler_that_cannot_be_fetched_has_another_way_out(
    handed_in: Path,
    knetlab: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said what was tried to be fetched and why, and the setting for the host's own."""

    def fail(_: str) -> None:
        raise VMError("https://mirror.example/debian cannot be fetched: no route.")

    monkeypatch.setattr(toolchain, "if_there", lambda _: None)
    monkeypatch.setattr(toolchain, "of", fail)
    out = handed_in.parent / "out"
    assert knetlab("grade", "networking", handed_in, "--out", out, "--release", "13") == 2
    said = capsys.readouterr()
    assert "the compiler of Debian 13" in said.out
    assert "cannot be fetched: no route." in said.err
    assert "KNETLAB_TOOLCHAIN=host" in said.err
    assert not out.exists()


@pytest.mark.vm
def test_batch_killed_three_times_comes_out_the_same(handed_in: Path, tmp_path: Path) -> None:
    """SIGKILL at any moment loses no grade, nothing is done twice, and no process is left."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told: list[str] = []
    for moment in ("building", "graded", "graded"):
        with subprocess.Popen(
            command(handed_in, tmp_path / "out"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as batch:
            assert batch.stderr is not None
            if moment == "graded":
                graded = (line for line in batch.stderr if re.match(r"\[\d+/\d+\] ", line))
                told += [line for line in (next(graded, None),) if line]
            below = [os.pidfd_open(pid) for pid in descendants(batch.pid)]
            batch.send_signal(signal.SIGKILL)
        assert all_end(below)
    done = subprocess.run(
        command(handed_in, tmp_path / "out"),
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr  # di has no grade
    told += [line for line in done.stderr.splitlines() if re.match(r"\[\d+/\d+\] ", line)]
    assert len(told) == 2, told  # two different submissions, each graded once
    assert done.stdout.count("work.zip") >= 1
    whole = subprocess.run(
        command(handed_in, tmp_path / "whole"), env=environment, check=False, capture_output=True
    )
    assert whole.returncode == 1
    assert points(tmp_path / "out") == points(tmp_path / "whole")
    ada, bob, cy, di = points(tmp_path / "out")
    assert ada[1] == bob[1] == cy[1] == 19
    assert di[1] is None
    assert "work.zip" in di[2]
