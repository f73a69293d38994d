"""A class of sixty, as three LMS's give it, from the download to the gradebook and back.

No guest runs: each submission's first line names the grade that it gets.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from classes import grade
from support import SOURCES

from checker import cli
from checker.classroom import batch
from checker.classroom.batch import Task
from checker.commands import class_work
from checker.model import Grade
from vm import kernel as kernels
from vm import toolchain
from vm.kernel import Kernel

CLASS = 60
RECORDED = ("full", "skeleton", "crash", "timeout", "compile-error")
POINTS = {name: grade(name).score / grade(name).max_score * 100 for name in RECORDED}
LAYOUTS = ("moodle", "canvas", "folders")


def name_of(n: int) -> str:
    """Return a student's name; no two are alike, and some have marks on them."""
    return f"{('Zoë', 'Ada', 'Jörg')[n % 3]} {chr(ord('A') + n % 26)}{'bcdfgh'[n // 10]}son"


def recorded(n: int) -> str:
    """Return which grade a student's work gets."""
    return RECORDED[n % len(RECORDED)]


def files(n: int) -> dict[str, bytes]:
    """Return the three files, without folders, as students upload them."""
    return {
        Path(source).name: f"/* {recorded(n)} */\n/* {n} {source} */\n".encode()
        for source in SOURCES
    }


def made(layout: str, folder: Path) -> tuple[Path, list[str]]:
    """Make the class's download, and return it with what `grade` is told besides.

    Number 58 handed in a broken archive, number 59 nothing.
    """
    download = folder / ("class" if layout == "folders" else "download.zip")
    entries: dict[str, bytes] = {}
    for n in range(CLASS - 1):
        work = files(n) if n < CLASS - 2 else {"work.zip": b"PK\x03\x04 cut off"}
        for at, (file, text) in enumerate(work.items()):
            if layout == "moodle":
                entries[f"{name_of(n)}_{1000 + n}_assignsubmission_file/{file}"] = text
            elif layout == "canvas":
                squeezed = "".join(reversed(name_of(n).split())).lower()
                late = "LATE_" if n % 10 == 3 else ""
                entries[f"{squeezed}_{late}{1000 + n}_{5000 + 10 * n + at}_{file}"] = text
            else:
                entries[f"s{1000 + n}/{file}"] = text
    if layout == "folders":
        for name, text in entries.items():
            (download / name).parent.mkdir(parents=True, exist_ok=True)
            (download / name).write_bytes(text)
    else:
        with zipfile.ZipFile(download, "w") as packed:
            for name, text in entries.items():
                packed.writestr(name, text)
    book = folder / "book.csv"
    book.write_text(gradebook(layout), encoding="utf-8")
    return download, ["--roster", str(book)]


def gradebook(layout: str) -> str:
    """Return the LMS's gradebook, or a list of one's own."""
    rows = []
    for n in range(CLASS):
        # handed in on the 20th at 21:30, each tenth a day and a bit later
        late = n % 10 == 3
        if layout == "moodle":
            when = (
                "Sunday, 22 November 2020, 1:05 AM" if late else "Friday, 20 November 2020, 9:30 PM"
            )
            when = f'"{when}"' if n < CLASS - 1 else "-"
            status = "Submitted for grading" + (" - 1 day late" if late else "")
            who = f"Participant {1000 + n},{name_of(n)},s{1000 + n}@x.org"
            rows.append(f"{who},{status},,100.00,Yes,{when},-,")
        elif layout == "canvas":
            last, first = name_of(n).split()[::-1]
            rows.append(f'"{last}, {first}",{1000 + n},,s{1000 + n},Main,')
        else:
            when = "2020-11-22T01:05:00" if late else "2020-11-20T21:30:00"
            rows.append(f"s{1000 + n},{name_of(n)},{when if n < CLASS - 1 else ''}")
    head = {
        "moodle": "Identifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be "
        "changed,Last modified (submission),Last modified (grade),Feedback comments",
        "canvas": "Student,ID,SIS User ID,SIS Login ID,Section,Lab (7)\n"
        "    Points Possible,,,,,100.00",
        "folders": "login,name,submitted",
    }[layout]
    return "\n".join((head, *rows, ""))


Run = Callable[..., str]


@pytest.fixture
def knetlab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line here, graded as the files say; return what it printed."""

    def runner(_: int) -> batch.Runner:
        def run(tasks: Sequence[Task]) -> Generator[tuple[Task, Grade | Exception], None, None]:
            for task in tasks:
                text = task.submission.files[0].content or b""
                yield task, grade(text.split()[1].decode())

        return run

    on = Kernel("stock", "6.1", "key", Path("image"), "/build", {}, ())
    monkeypatch.setattr(toolchain, "if_there", lambda _: toolchain.host())
    monkeypatch.setattr(toolchain, "of", lambda _: None)
    monkeypatch.setattr(kernels, "stock", lambda _: on)
    monkeypatch.setattr(class_work.guests, "drivers", lambda *_: None)
    monkeypatch.setattr(batch, "local", runner)
    monkeypatch.setenv("COLUMNS", "200")

    def call(status: int, *arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert ended.value.code == status, told.err
        return told.out

    return call


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_the_download_to_the_gradebook(layout: str, knetlab: Run, tmp_path: Path) -> None:
    """Every student's points and penalty are right in the pages, the CSV and the gradebook."""
    download, roster = made(layout, tmp_path)
    out = tmp_path / "grades"
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'timezone = "Europe/Berlin"\ndue = 2020-11-21T00:00:00\nmissing = 0\nlate.percent = 10\n'
    )
    grading = ["grade", "networking", download, "--out", out, *roster, "--course", rules]
    told = knetlab(0, *grading, "--dry-run")
    assert told.count(".c") == 0  # three files at the top level are no news
    assert "These cannot be graded:" in told
    assert f"Handed in nothing: {name_of(59)}." in told or layout == "canvas"
    assert "60 students, 59 submissions: 58 with all files of the lab, 1 with nothing" in told
    told = knetlab(1, *grading, "--kernel", "stock")
    assert "58 of 60 students graded, 12 with full marks" in told
    assert "1 handed in nothing" in told
    knetlab(0, "export", "csv", "--from", out, "--out", tmp_path / "class.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "class.csv").read_text())))
    assert len(rows) == CLASS
    by_number = {int(re.findall(r"\d{4}", row["student"] + row["login"])[0]): row for row in rows}
    expected: dict[int, float] = {}
    for n in range(CLASS - 2):
        points = POINTS[recorded(n)]
        # the second day has begun; late without a time costs nothing: the teacher knows more
        off = 20 if n % 10 == 3 and layout != "canvas" else 0
        expected[n] = max(0.0, round(points, 2) - off)
        assert float(by_number[1000 + n]["final"]) == pytest.approx(expected[n], abs=0.006), n
    assert by_number[1058]["final"] == ""
    assert by_number[1059]["final"] == "0"
    pages = list((out / "report" / "students").iterdir())
    assert len(pages) == CLASS
    if layout == "folders":
        return
    column = ["--column", "Lab"] if layout == "canvas" else []
    filled, pages_back = tmp_path / "filled.csv", tmp_path / "feedback.zip"
    told = knetlab(
        0,
        "export",
        layout,
        "--from",
        out,
        "--into",
        tmp_path / "book.csv",
        "--out",
        filled,
        *column,
    )
    assert "59 cells changed:" in told
    assert "No points to write, the cell stays as it was: 1" in told
    cell = {"moodle": 4, "canvas": 5}[layout]
    at = {"moodle": 0, "canvas": 1}[layout]
    lines = list(csv.reader(io.StringIO(filled.read_text(encoding="utf-8"))))
    written = {re.sub(r"\D", "", line[at]): line[cell] for line in lines[1:]}
    for n, points in expected.items():
        assert float(written[str(1000 + n)]) == pytest.approx(points, abs=0.006)
    assert (written["1058"], written["1059"]) == ("", "0")
    into = ["--into", download] if layout == "canvas" else []
    told = knetlab(0, "export", f"{layout}-feedback", "--from", out, "--out", pages_back, *into)
    assert told.startswith("59 pages in ")
    with zipfile.ZipFile(pages_back) as packed:
        numbers = [re.search(r"_(?:LATE_)?(1\d{3})_", name) for name in packed.namelist()]
    assert {found[1] for found in numbers if found} == {str(1000 + n) for n in range(CLASS - 1)}
