"""Students' pages in a zip: the names are those by which Moodle's and Canvas's importers go."""

from __future__ import annotations

import io
import zipfile

import pytest
from classes import entry

from checker.classroom.export import feedback
from checker.classroom.export.feedback import Page, Zipped
from checker.classroom.intake import lms
from checker.model import Entry, Student


def called(key: str, name: str, number: str) -> Entry:
    """Return an entry of a student with this name and number."""
    student = Student(key=key, name=name, id=number)
    return entry(key).model_copy(update={"student": student})


def contents(made: Zipped) -> dict[str, str]:
    """Return name -> page."""
    with zipfile.ZipFile(io.BytesIO(made.data)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def moodles_participant(path: str) -> int | None:
    """Return whose file *path* is, as is_valid_filename_for_import in Moodle finds it."""
    for part in path.split("/"):
        info = part.split("_", 4)
        if len(info) >= 4 and info[1].isdecimal() and info[2:4] == ["assignsubmission", "file"]:
            return int(info[1])
    return None


def canvas_ids(name: str) -> tuple[str, ...]:
    """Return user and attachment, as infer_comment_context_from_filename in Canvas finds them."""
    parts = [part for part in name.split("_") if part != "LATE"]
    if parts[0] == "anon":
        return tuple(parts[1:3])
    return tuple(part for part in parts if part.isdecimal())[:2]


@pytest.mark.parametrize("name", ["Ada Lovelace", "Ada_7_Lovelace", "a/b\\c", "Zoë", ""])
def test_moodle_finds_whose_page_it_is(name: str) -> None:
    """Whatever a student is called, the number in the page's name is theirs."""
    made = feedback.moodle([Page(called("ada", name, "12345"), "<p>page</p>")])
    ((path, page),) = contents(made).items()
    assert (moodles_participant(path), page) == (12345, "<p>page</p>")
    assert path.count("/") == 1
    piece = lms.moodle(path.partition("/")[0], True)
    assert piece is not None
    assert piece.person.id == "12345"


def test_moodle_leaves_out_who_has_no_number() -> None:
    """Without a participant's number there is no name for the page; who it is is told."""
    made = feedback.moodle(
        [Page(called("ada", "Ada", ""), ""), Page(called("bob", "Bob", "7"), "")]
    )
    assert made.pages == 1
    assert [left.student for left in made.left] == ["Ada (ada)"]
    assert "`grade --roster`" in made.left[0].why


DOWNLOAD = [
    "lovelaceada_4711_815_filter.c",
    "lovelaceada_4711_816_udp_sock-1.c",
    "smithbob_LATE_4712_817_lab_2.tar.gz",
    "jonescy_4713_text.html",
    "anon_Xy3z9_818_filter.c",
]


def test_canvas_takes_the_names_of_its_download() -> None:
    """User and attachment are those of a file that the student handed in; all else is left out."""
    numbers = {"ada": "4711", "bob": "4712", "cy": "4713", "di": "anon_Xy3z9", "eve": "4799"}
    pages = [Page(called(key, key.title(), n), key) for key, n in numbers.items()]
    made = feedback.canvas(pages, [f"submissions/{name}" for name in DOWNLOAD])
    found = {canvas_ids(name): page for name, page in contents(made).items()}
    assert found == {("4711", "815"): "ada", ("4712", "817"): "bob", ("Xy3z9", "818"): "di"}
    assert all(name.endswith(".html") for name in contents(made))
    assert [left.student for left in made.left] == ["Cy (cy)", "Eve (eve)"]


def test_the_same_pages_make_the_same_bytes() -> None:
    """A zip has no time of its own."""
    pages = [Page(called(key, key, n), key) for key, n in (("ada", "1"), ("bob", "2"))]
    assert feedback.moodle(pages).data == feedback.moodle(pages[::-1]).data
