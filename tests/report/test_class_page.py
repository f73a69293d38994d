"""The page of a class: its numbers, its table, its links, and evil names in it."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from datetime import timedelta

import pytest
from classes import SUBMITTED, absent, entry
from pages import Page, words

from checker.model import Attempt, Entry, Mark, Student
from checker.report import class_page, class_story, student_page

EVIL = "</script><script>alert(1)</script>\"'<b>{{ 7 * 7 }}\x1b[2J\u202e"


def marked(final: float, max_score: float = 100) -> Entry:
    """Return an entry with this final score, and nothing else."""
    mark = Mark(raw=final, penalty=0, final=final, max_score=max_score)
    return Entry(student=Student(key=f"s{final}-{max_score}"), mark=mark)


def slow(key: str, seconds: float) -> Entry:
    """Return an entry whose run took *seconds*."""
    given = entry(key)
    assert given.attempt
    assert given.attempt.grade
    made = given.attempt.grade.provenance.model_copy(update={"seconds": seconds})
    grade = given.attempt.grade.model_copy(update={"provenance": made})
    return given.model_copy(update={"attempt": given.attempt.model_copy(update={"grade": grade})})


def class_of(number: int) -> list[Entry]:
    """Return a made class of *number* students: all sorts of grades, and some with none."""
    kinds = ("full", "skeleton", "crash", "timeout", "compile-error", "grader-error", "evil")
    made = [entry(f"student-{n:03}", kinds[n % 7], name=f"Name {n}") for n in range(number)]
    return [absent(e.student.key) if n % 20 == 19 else e for n, e in enumerate(made)]


def render(*entries: Entry, links: dict[str, str] | None = None, **more: object) -> str:
    """Return the page of *entries*."""
    return class_page.render("Networking", entries, links or {}, **more)  # type: ignore[arg-type]


# --- the numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("final", "bin_"),
    [(0, 0), (9.99, 0), (10, 1), (55, 5), (99.9, 9), (100, 9), (120, 9), (-5, 0)],
)
def test_histogram_has_edges(final: float, bin_: int) -> None:
    """A score on an edge counts above it; full marks, a bonus and less than nothing fit in."""
    counts = class_story.histogram([marked(final)])
    assert counts == [int(n == bin_) for n in range(10)]


def test_histogram_compares_percents() -> None:
    """Twenty of 80 and 25 of 100 are the same; of nothing there is no percent."""
    counts = class_story.histogram([marked(20, 80), marked(25), marked(0, 0), absent("eve")])
    assert counts[2] == 2
    assert sum(counts) == 2


def test_figures() -> None:
    """Students, marks, full marks, mean and median; without a mark there are no averages."""
    found = class_story.figures([marked(100), marked(50), marked(0), absent("eve")])
    assert found == class_story.Figures(students=4, marked=3, full=1, mean=50, median=50)
    assert class_story.figures([absent("eve")]).mean is None


def test_rates_count_those_for_whom_it_counts() -> None:
    """A check that was not tried is not passed; grader errors and a kernel's lack say nothing."""
    given = [entry("ada"), entry("bob", "skeleton"), entry("eve", "grader-error"), absent("al")]
    rates = {rate.check.id: rate for rate in class_story.rates(given)}
    assert (rates["1.leaves-the-guest"].passed, rates["1.leaves-the-guest"].percent) == (1, 50)
    lacking = {rate.check.id for rate in class_story.rates([entry("erin", "check-error")])}
    assert "5.no-leak" not in lacking
    assert "2.address-set" not in lacking
    assert "1.outgoing-syn" in lacking


def test_rates_stand_by_exercise() -> None:
    """Checks stay in the lab's order, though the first grade has but one exercise."""
    given = entry("ada")
    assert given.attempt
    assert given.attempt.grade
    last = given.attempt.grade.model_copy(update={"exercises": given.attempt.grade.exercises[4:]})
    first = given.model_copy(update={"attempt": given.attempt.model_copy(update={"grade": last})})
    ids = [rate.check.id for rate in class_story.rates([first, entry("bob")])]
    assert ids == [rate.check.id for rate in class_story.rates([entry("bob")])]


def test_findings_count_students() -> None:
    """Who has the same finding twice counts once; the most common stands first."""
    given = [entry("ada", "timeout"), entry("bob", "crash"), entry("eve", "crash")]
    found = [(c.kind, len(c.entries)) for c in class_story.common_findings(given)]
    assert found == [("oops", 2), ("hang", 1)]


def test_slowest_and_retried() -> None:
    """The slowest stands first, at most ten; who was run once is not among the retried."""
    given = [slow(f"s{n}", n) for n in range(15)]
    assert [seconds for _, seconds in class_story.slowest(given)] == list(range(14, 4, -1))
    again = class_story.retried(given, {"s3": 2, "s4": 3, "s5": 1, "gone": 9})
    assert [(e.student.key, times) for e, times in again] == [("s4", 3), ("s3", 2)]
    said = words(Page(render(*given, runs={"s3": 2})).said)
    assert "S3: 2 times" in said


def test_who_has_no_grade_is_listed_with_the_reason() -> None:
    """An error, a broken archive and nothing handed in are told apart, and before the rest."""
    broken = Entry(
        student=Student(key="bob"), attempt=Attempt(student="bob", problem="bob.zip is broken.")
    )
    page = render(entry("ada"), broken, absent("eve"), entry("al", "grader-error"))
    said = words(Page(page).said)
    said = said[said.index("Without a grade") : said.index("Pass rate")]
    assert "bob: bob.zip is broken." in said
    assert "Eve: Nothing was handed in." in said
    assert "Al: Grader error: There is no disk space left" in said
    assert "Ada" not in said


# --- the table and its links ----------------------------------------------------------


def cells(page: str, row: int) -> list[str]:
    """Return what stands in the cells of one row of the table of students."""
    table = page[page.index('<table id="students">') : page.index("</table>\n</section>")]
    found = re.findall(r"<tr.*?</tr>", table, re.DOTALL)[row + 1]
    return [words(Page(c).said) for c in re.findall(r"<t[dh].*?</t[dh]>", found, re.DOTALL)]


def test_table_has_the_mark_and_the_exercises() -> None:
    """A row has final, raw and penalty, each exercise's points, the state and when it came."""
    page = render(entry("ada", "crash", penalty=5), absent("eve"))
    head = ["Adaada", "52", "57", "5", "17", "20", "0", "0", "20", "graded"]
    assert cells(page, 0) == [*head, "2026-11-20 21:30 UTC"]
    assert cells(page, 1) == ["Eveeve", *[""] * 8, "Nothing was handed in.", ""]
    assert re.search(r"Most points\s*100", Page(page).said)


def test_time_is_sorted_by_the_clock() -> None:
    """Times of several zones have the same measure."""
    given = entry("ada")
    assert given.attempt
    later = SUBMITTED + timedelta(hours=1)
    other = given.model_copy(
        update={"attempt": given.attempt.model_copy(update={"submitted": later})}
    )
    found = re.findall(r'class="when" data-value="([\d.]+)"', render(given, other))
    assert float(found[1]) - float(found[0]) == 3600


@pytest.mark.parametrize(
    ("link", "href"),
    [
        ("pages/ada.html", "./pages/ada.html"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("//example.org/x", ".///example.org/x"),
        ('a"b#c?d.html', "./a%22b%23c%3Fd.html"),
    ],
)
def test_links_stay_below_the_page(link: str, href: str) -> None:
    """Whatever a link holds, it leads to a file beside the page."""
    page = Page(render(entry("ada"), links={"ada": link}))
    assert {str(a["href"]) for a in page.all("a") if not str(a["href"]).startswith("#")} == {href}


def test_who_has_no_link_is_still_named() -> None:
    """A student without a page has a name and no link."""
    page = Page(render(entry("ada")))
    assert all(str(a["href"]).startswith("#") for a in page.all("a"))
    assert "Ada" in page.said


def test_evil_key_keeps_its_link() -> None:
    """A key with characters that are written out is still the one that was linked."""
    page = render(entry("a\x1bda"), links={"a\x1bda": "x.html"}, runs={"a\x1bda": 2})
    assert 'href="./x.html"' in page
    assert "2 times" in Page(page).said


# --- what stands where ----------------------------------------------------------------


def test_students_stand_first() -> None:
    """The table of students is the first part, and the rows of the checks come after it."""
    page = Page(render(*class_of(30)))
    parts = [str(a["id"]) for name, a in page.elements if name == "h2"]
    assert parts == ["students-heading", "without", "distribution", "rates", "findings", "runs"]


def test_hidden_checks_are_told_of_at_the_top() -> None:
    """The page says that it is the teacher's, and which checks students do not see, until when."""
    hidden = {"1.outgoing-syn": "never", "5.<b>": "after_due_date"}
    page = render(entry("ada"), hidden=hidden)
    said = words(Page(page[page.index("<header>") : page.index("<main>")]).said)
    assert (
        "This page is for the teacher. It shows checks that are hidden from students now: "
        "1.outgoing-syn (always), 5.<b> (until the last deadline is over)."
    ) in said
    assert "for the teacher" not in render(entry("ada"))


def test_titles_are_alike() -> None:
    """Each page's title and headline begin with the lab's title, and who it is about comes next."""
    lost = Entry(student=Student(key="bob"), attempt=Attempt(student="bob", problem="Broken."))
    for page, title, headline in (
        (render(entry("ada")), "Networking: 1 student", "Networking: 1 student"),
        (
            student_page.render(entry("ada"), lab="Networking"),
            "Networking: Ada, 100 of 100",
            "Networking: Ada",
        ),
        (
            student_page.render(lost, lab="Networking"),
            "Networking: bob, no grade",
            "Networking: bob",
        ),
    ):
        assert f"<title>{title}</title>" in page
        (found,) = re.findall("<h1>.*?</h1>", page)
        assert Page(found).said == headline


# --- the page as a whole --------------------------------------------------------------


def test_page_is_whole() -> None:
    """It is well-formed, ids are unique and met by what names them, headers have a scope."""
    page = Page(render(*class_of(30), links={"student-003": "x.html"}))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = {
        name
        for _, a in page.elements
        for key in ("aria-labelledby", "aria-describedby", "for")
        for name in str(a.get(key) or "").split()
    }
    named |= {str(a["href"])[1:] for a in page.all("a") if str(a["href"]).startswith("#")}
    assert named <= set(ids)
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    assert not any(
        key in ("src", "style") or key.startswith("on") for _, a in page.elements for key in a
    )
    assert len(page.all("script")) == 1


def test_policy_allows_this_style_and_this_script() -> None:
    """The policy names the hashes of the two, so that nothing else runs."""
    source = render(entry("ada"))
    (policy,) = [
        str(a["content"])
        for a in Page(source).all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_evil_text_is_text() -> None:
    """Names, ids, sentences and the title are words on the page, wherever they stand."""
    student = Student(key=EVIL, name=EVIL, id=EVIL, sis_id=EVIL, login=EVIL, email=EVIL)
    mark = Mark(raw=1, penalty=0, final=1, max_score=2, notes=(EVIL,))
    given = Entry(student=student, attempt=Attempt(student=EVIL, problem=EVIL), mark=mark)
    page = Page(class_page.render(EVIL, [given, entry("ada", "evil")], {EVIL: "x.html"}))
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert page.said.count("<script>alert(1)</script>") >= 5
    assert "{{ 7 * 7 }}" in page.said
    assert "\x1b" not in page.said
    assert "\u202e" not in page.said


@pytest.mark.parametrize("given", [[], [absent("eve")], [entry("al", "grader-error")]])
def test_page_of_nothing(given: list[Entry]) -> None:
    """A class without a single mark has a page with a table and no plot."""
    page = Page(render(*given))
    assert "Distribution" not in page.said
    assert "Pass rate" not in page.said
    assert len([a for a in page.all("table") if a.get("id") == "students"]) == 1


def test_plot_says_its_numbers() -> None:
    """The plot's words hold each bar's number, for who does not see it."""
    (words_,) = re.findall(r"<desc.*?>(.*?)</desc>", render(marked(5), marked(7), marked(100)))
    assert "0 to 10 percent: 2 students." in words_
    assert "10 to 20 percent: 0 students." in words_
    assert "90 to 100 percent: 1 student." in words_


def test_three_hundred_are_rendered_fast() -> None:
    """A class of 300 is a page of less than a megabyte, in seconds; each has a row."""
    given = class_of(300)
    links = {e.student.key: student_page.file_name(e.student.key) for e in given}
    started = time.process_time()
    page = class_page.render("Networking", given, links)
    assert time.process_time() - started < 10
    assert len(page.encode()) < 1 << 20
    assert page.count("<tr data-search=") == 300
