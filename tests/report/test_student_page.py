"""A student's page: the mark, their own source lines, what is not shown, and no grade at all."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from classes import SUBMITTED, absent, entry, grade
from pages import Page, words
from support import ROOT, Student

from checker.engine import submission
from checker.model import Attempt, Entry, Grade, Lab, Mark
from checker.model import Student as Person
from checker.report import html, source, story, student_page

TCP = "3-4-tcp-sock/tcp_sock.c"
FILTER = "1-2-netfilter/kernel/filter.c"
SOURCES = {
    TCP: "".join(f"\ttcp line {n};\n" for n in range(1, 100)),
    FILTER: "".join(f"\tfilter line {n};\n" for n in range(1, 100)),
}
ALL = sorted(path.stem for path in (ROOT / "tests/data/grades").glob("*.json"))


def marked(page: str) -> list[str]:
    """Return the lines of source that are marked, as they are read: with a sign and a number."""
    found = re.findall(r'<li class="marked"><span class="at">(.*?)</code>', page, re.DOTALL)
    return [unescape(words(re.sub(r"<.*?>", " ", line))) for line in found]


# --- the mark -------------------------------------------------------------------------


def test_mark_stands_in_three_parts() -> None:
    """Raw score, penalty and final score are told apart, with the sentences that say why."""
    given = entry("ada", "crash", penalty=5)
    assert given.mark
    mark = given.mark.model_copy(update={"notes": ("Handed in <26> hours late.",)})
    page = student_page.render(given.model_copy(update={"mark": mark}), lab="networking")
    said = words(Page(page).said)
    assert "Raw score 57 Late penalty \u22125 Final score 52" in words(
        re.sub(r"<.*?>", " ", page[page.index('<dl class="mark">') :])
    )
    assert "52 of 100 points" in said
    assert "Handed in <26> hours late." in said
    assert "Handed in 2026-11-20 21:30 UTC" in said
    assert "<title>networking: Ada, 52 of 100</title>" in page


def test_no_penalty_has_no_sign() -> None:
    """Who was in time loses 0 points, not minus 0."""
    page = student_page.render(entry("ada"), lab="networking")
    assert "<dt>Late penalty</dt><dd>0</dd>" in page


def test_page_without_mark_is_as_before() -> None:
    """`check --html` knows of no course: no mark, no date, the submission's own name."""
    said = words(Page(html.render(grade("crash"))).said)
    assert "57 of 100 points" in said
    assert "Late penalty" not in said
    assert "Handed in" not in said
    assert "networking: carol" in said


# --- source lines ---------------------------------------------------------------------


def test_crash_shows_the_line() -> None:
    """The line that crashed is marked by a sign, three lines stand before and after it."""
    page = html.render(grade("crash"), sources=SOURCES)
    assert set(marked(page)) == {"> 58 tcp line 58;"}
    said = words(Page(page).said)
    assert f"{TCP}, line 58" in said
    assert all(f"tcp line {n};" in said for n in range(55, 62))
    assert "tcp line 54;" not in said
    assert "tcp line 62;" not in said


def test_finding_shows_the_line() -> None:
    """A finding has its line even where no check's words name it."""
    given = grade("crash")
    given = given.model_copy(update={"exercises": ()})
    assert len(marked(html.render(given, sources=SOURCES))) == len(given.findings)


def test_compiler_error_shows_both_lines() -> None:
    """All errors of one file are marked in one excerpt, and told once."""
    page = html.render(grade("compile-error"), sources=SOURCES)
    assert marked(page) == ["> 63 filter line 63;", "> 88 filter line 88;"]
    assert f"{FILTER}, lines 63 and 88" in Page(page).said
    assert page.count('class="gap"') == 1


def test_passed_checks_show_no_lines() -> None:
    """What is right is not shown."""
    assert "<figure" not in html.render(grade("full"), sources=SOURCES)


def test_source_is_text() -> None:
    """Tags and controls in a student's source are words on the page, at the right line."""
    sources = {"filter.c": "\n" * 40 + "\x1b[2J<script>alert(1)</script>{{ 7 * 7 }}\n"}
    page = html.render(grade("evil"), sources=sources)
    assert r"\x1b[2J<script>alert(1)</script>{{ 7 * 7 }}" in Page(page).said
    assert not Page(page).all("script")


@pytest.mark.parametrize(
    ("said", "sources"),
    [
        ("a/filter.c:2", {"b/filter.c": "1\n2\n"}),  # another folder
        ("filter.c:2", {"a/filter.c": "1\n2\n", "b/filter.c": "1\n2\n"}),  # which one?
        ("filter.c:2", {"myfilter.c": "1\n2\n"}),  # another name
        ("net/socket.c:2", {"a/socket.c": "1\n2\n"}),  # the kernel's own
        ("filter.c:3", {"filter.c": "1\n2\n"}),  # beyond the end
        ("filter.c:0", {"filter.c": "1\n2\n"}),
        (f"filter.c:{'9' * 5000}", {"filter.c": "1\n2\n"}),
        ("filter.c:2", {}),
    ],
)
def test_no_line_rather_than_a_wrong_one(said: str, sources: dict[str, str]) -> None:
    """A place that is not in exactly one of the files shows nothing."""
    assert source.excerpts([said], sources) == []


@pytest.mark.parametrize(
    "said", ["filter.c:2", "k/filter.c:2:19: error: no", "BUG at /build/k/filter.c:2!"]
)
def test_place_is_found_in_other_words(said: str) -> None:
    """A finding, a compiler and the kernel write the same place differently."""
    (excerpt,) = source.excerpts([said], {"k/filter.c": "one\ntwo\nthree"})
    assert [(line.number, line.marked) for line in excerpt.lines] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert excerpt.caption == "k/filter.c, line 2"


def test_lines_are_counted_as_the_compiler_does() -> None:
    """A form feed and other separators of Unicode end no line; CR LF ends one."""
    (excerpt,) = source.excerpts(["f.c:3"], {"f.c": "a\fb\u2028c\x1cd\r\ntwo\r\nthree\r\n"})
    assert [line.text for line in excerpt.lines if line.marked] == ["three"]


def test_excerpts_are_bounded() -> None:
    """Of a thousand errors five are shown, errors before notes, and a long line is cut."""
    sources = {"f.c": "x" * 5000 + "\n" + "y\n" * 2000}
    said = "".join(f"f.c:{n}:1: note: n\n" for n in range(100, 1100)) + "f.c:1:1: error: e\n"
    (excerpt,) = source.excerpts([said], sources)
    assert [line.number for line in excerpt.lines if line.marked] == [1, 100, 101, 102, 103]
    assert len(excerpt.lines[0].text) < 500


def test_texts_are_what_was_read(student: Callable[..., Student], lab: Lab) -> None:
    """The files of a submission go in as they are; what could not be read is left out."""
    given = student("ada")
    given.file("udp_sock.c").unlink()
    given.file("filter.c").write_bytes(b"caf\xe9\n")
    found = source.texts(submission.read(lab, given.path))
    assert set(found) == {FILTER, TCP}
    assert found[FILTER] == "caf\ufffd\n"


# --- what is not shown ----------------------------------------------------------------


def hide(recorded: str | Grade, *checks: str) -> str:
    """Return what a page says with *checks* hidden."""
    given = grade(recorded) if isinstance(recorded, str) else recorded
    return words(Page(html.render(given, sources=SOURCES, hidden=frozenset(checks))).said)


def test_hidden_check_leaves_no_trace() -> None:
    """A hidden check's name, sentence, evidence and finding are not on the page; its points are."""
    given = grade("crash")
    check = next(c for c in story.checks(given) if c.id == "3.listens")
    said = hide("crash", "3.listens", "4.insmod-returns")
    for secret in (check.id, check.title, check.message, "7.412209", "9.412209", "tcp line 58;"):
        assert secret not in said
    assert "What the kernel reported" not in said
    assert f"1 check is not shown: 0 of {check.max_points:g} points." in said
    assert "57 of 100 points" in said


def test_waiting_for_a_hidden_check_names_none() -> None:
    """A check that was not tried for want of a hidden one does not tell its name."""
    given = grade("skeleton")
    said = hide("skeleton", "3.listens")
    assert any("3.listens" in c.message for c in story.checks(given))
    assert "3.listens" not in said
    shown = story.shown(given, {"3.listens"})
    assert [c.message for c in shown.exercises[2].checks] == [
        "a check that is not shown did not pass"
    ] * 3


def test_id_within_another_stays() -> None:
    """Only whole ids are struck out."""
    given = grade("skeleton")
    first = given.exercises[0]
    short = first.checks[0].model_copy(update={"id": "1.out"})
    first = first.model_copy(update={"checks": (short, *first.checks)})
    given = given.model_copy(update={"exercises": (first,)})
    messages = [c.message for c in story.checks(story.shown(given, {"1.out"}))]
    assert "1.outgoing-syn did not pass" in messages


def test_next_step_when_only_hidden_checks_fail() -> None:
    """Who has passed all that is shown is told where the missing points are, and no hint."""
    said = hide("crash", "1.not-syn-ack", "3.listens", "4.insmod-returns")
    assert "No check that you can see failed" in said
    assert "Next:" not in said


def test_hidden_grader_error_says_nothing_of_the_check() -> None:
    """The message of a grade that a hidden check made an error is not shown."""
    given = grade("check-error")
    message = next(c.message for c in story.checks(given) if c.status == "error")
    given = given.model_copy(update={"status": "error", "message": message})
    assert message in words(Page(html.render(given)).said)
    assert message not in hide(given, "2.address-set")


def test_nothing_hidden_changes_nothing() -> None:
    """An id that no check has hides nothing."""
    given = grade("crash")
    assert html.render(given, hidden=frozenset({"9.none"})) == html.render(given)


# --- no grade -------------------------------------------------------------------------


def test_broken_archive_is_said() -> None:
    """Who handed in what could not be read has a page with the reason, as text."""
    broken = Entry(
        student=Person(key="eve", name="Eve <b>"),
        attempt=Attempt(student="eve", problem="eve.zip is <no> archive.\x1b"),
        mark=Mark(raw=0, penalty=0, final=40, max_score=100, notes=("Set by hand.",)),
    )
    said = words(Page(student_page.render(broken, lab="networking")).said)
    assert r"There is no grade. eve.zip is <no> archive.\x1b" in said
    assert "networking: Eve <b>" in said
    assert "40 of 100 points" in said
    assert "Set by hand." in said


def test_page_without_a_grade_says_what_was_found_and_when() -> None:
    """It has the date it was made, when the work came, and the paths that were in it, as text."""
    given = Attempt(
        student="eve",
        submitted=SUBMITTED,
        problem="None of the lab's files is there.",
        listing=("work/<b>.c", "and 3 more"),
    )
    lost = Entry(student=Person(key="eve"), attempt=given)
    page = Page(student_page.render(lost, lab="networking", now=SUBMITTED + timedelta(days=1)))
    said = words(page.said)
    assert "Handed in 2026-11-20 21:30 UTC As of 2026-11-21 21:30 UTC" in said
    assert "What was found work/<b>.c and 3 more" in said
    assert not page.all("b")
    assert "What was found" not in student_page.render(absent("eve"), lab="networking")


def test_absent_and_waiting_are_told_apart() -> None:
    """Nothing handed in is not the same as not graded yet."""
    assert "Nothing was handed in." in student_page.render(absent("eve"), lab="networking")
    waiting = Entry(student=Person(key="eve"), attempt=Attempt(student="eve"))
    assert "has not been graded yet" in student_page.render(waiting, lab="networking")


# --- the page as a whole --------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_page_is_whole(name: str) -> None:
    """Every recorded grade makes a page that is well-formed, scriptless and has unique ids."""
    given = entry("zoë", name, name='Zoë "<script>alert(1)</script>')
    page = Page(student_page.render(given, lab="networking", sources=SOURCES))
    assert not page.all("script")
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert 'Zoë "<script>alert(1)</script>' in page.said


def test_policy_allows_the_style_alone() -> None:
    """The policy names the hash of the page's one style, and nothing that is inline besides."""
    page = student_page.render(entry("ada"), lab="networking")
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        str(a["content"])
        for a in Page(page).all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.endswith(f"style-src 'sha256-{digest}'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_file_names_are_safe_and_apart() -> None:
    """A key of any characters gives a name that is safe, its own, and the same every time."""
    keys = [
        "ada",
        "Ada",
        "ÄDA",
        "../../etc/passwd",
        "王小明",
        "王小红",
        "",
        "con",
        "a" * 500,
        "\udcff",
    ]
    names = [student_page.file_name(key) for key in keys]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}\.html", name) for name in names)
    assert len({name.lower() for name in names}) == len(keys)
    assert names == [student_page.file_name(key) for key in keys]
    assert names[0].startswith("ada-")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("main.c:2", [("main.c", 2)]),
        ("user/main.c:2", [("user/main.c", 2)]),
        ("/build/user/main.c:2", [("user/main.c", 2)]),
        ("other.c:2", []),
    ],
)
def test_a_file_beside_one_of_its_name_is_found(said: str, found: list[source.Place]) -> None:
    """A name that is a whole path is that file's; of others the end has to be one file's alone."""
    files = ("main.c", "user/main.c", "a/other.c", "b/other.c")
    assert source.places([said], dict.fromkeys(files, "1\n2\n")) == found
