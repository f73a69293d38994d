"""Everybody can use the pages: axe-core and html-validate have nothing to say of any of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from chromium import PHONE, Browser
from classes import SUBMITTED, absent, entry
from test_class_page import class_of
from test_student_page import SOURCES

from checker import lab as labs
from checker.classroom.similar import Match, Pair, Side
from checker.classroom.twins import Same
from checker.model import Attempt, Entry, Student
from checker.report import class_page, similar, student_page

HTML_VALIDATE = "html-validate@10.17.0"


def the_class() -> str:
    """Return the page of a class with all of its parts."""
    given = class_of(30)
    links = {e.student.key: student_page.file_name(e.student.key) for e in given}
    return class_page.render(
        "Networking",
        given,
        links,
        runs={"student-002": 2},
        hidden={"1.outgoing-syn": "never"},
        twins={"student-003": "The same filter.c as Bob."},
    )


def of_nobody() -> str:
    """Return the page of a class without students."""
    return class_page.render("Networking", [], {})


def without_grade() -> str:
    """Return the page of a student whose work could not be graded."""
    attempt = Attempt(
        student="eve", submitted=SUBMITTED, problem="None is there.", listing=("a.txt",)
    )
    lost = Entry(student=Student(key="eve"), attempt=attempt)
    return student_page.render(lost, lab="Networking", now=SUBMITTED)


def of_absent() -> str:
    """Return the page of a student who handed in nothing."""
    return student_page.render(absent("eve"), lab="Networking", now=SUBMITTED)


def alike() -> str:
    """Return the page of similar submissions, with both of its parts."""
    side = Side(text="int a;\nint b;\nint c;\n", shared=((7, 14),))
    matches = tuple(Match(path=path, first=side, second=side) for path in ("a.c", "b.c"))
    pairs = [
        Pair(first="ada", second=other, score=0.9, length=99, matches=matches)
        for other in ("bob", "eve")
    ]
    return similar.page(labs.load("networking"), pairs, [Same(("ada", "bob"), ("a.c", "b.c"))])


def not_alike() -> str:
    """Return the page of a class where nothing is similar."""
    return similar.page(labs.load("networking"), [])


def graded(name: str) -> Callable[[], str]:
    """Return what makes the page of the recorded grade *name*, with source and mark."""

    def page() -> str:
        given = entry("ada", name, penalty=2)
        return student_page.render(given, lab="Networking", sources=SOURCES)

    page.__name__ = name
    return page


RECORDED = ("full", "skeleton", "crash", "timeout", "compile-error", "check-error", "evil", "ways")
ALL = [the_class, of_nobody, without_grade, of_absent, alike, not_alike, *map(graded, RECORDED)]


@pytest.mark.browser
@pytest.mark.parametrize("width", [PHONE, 1280])
@pytest.mark.parametrize("page", ALL, ids=lambda page: page.__name__)
def test_axe_finds_no_fault(browser: Browser, page: Callable[[], str], width: int) -> None:
    """No rule of axe-core is broken: names, landmarks, order of headings, contrast, and so on."""
    browser.show(page(), width=width)
    assert faults(browser) == []


@pytest.mark.browser
def test_axe_would_tell(browser: Browser) -> None:
    """Two landmarks of one name, as the class's page once had, are a fault."""
    page = the_class().replace("<section>", '<section aria-labelledby="students-heading">')
    browser.show(page)
    assert [fault.partition(":")[0] for fault in faults(browser)] == ["landmark-unique"]


def faults(browser: Browser) -> list[str]:
    """Return what axe-core has to say of the page that is shown, a rule each."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    browser.run(f"{axe}; window.axe = axe;")
    found: list[str] = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run({resultTypes: ['violations']}).then(r => done(r.violations.map("
        "v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 200)).join(' | ')}`)))"
    )
    return found


@pytest.mark.slow
def test_html_is_valid(tmp_path: Path) -> None:
    """html-validate, which npm fetches, has no error with its recommended rules."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("there is no npx on this host")
    for page in ALL:
        (tmp_path / f"{page.__name__}.html").write_text(page(), encoding="utf-8")
    done = subprocess.run(
        [npx, "--yes", HTML_VALIDATE, "--preset", "recommended", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
