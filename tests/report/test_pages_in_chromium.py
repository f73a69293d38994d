"""The pages in a real browser: sorted, searched, on a phone, in the dark, on paper, scriptless."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from chromium import PHONE, Browser
from classes import entry
from pages import contrast
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_class_page import EVIL, class_of

from checker.model import Student
from checker.report import class_page, student_page

pytestmark = pytest.mark.browser

SOURCES = {"3-4-tcp-sock/tcp_sock.c": "\tif (a_function_with_a_long_name(x, y))\n" * 99}


def the_class(number: int = 42) -> str:
    """Return the page of a made class."""
    given = class_of(number)
    links = {e.student.key: student_page.file_name(e.student.key) for e in given}
    return class_page.render("Networking", given, links, runs={"student-002": 2})


def a_student(name: str = "crash") -> str:
    """Return the page of one student, with source and mark."""
    given = entry("ada", name, penalty=2)
    return student_page.render(given, lab="networking", sources=SOURCES)


def with_ways() -> str:
    """Return the page of one whose failed checks have ways of packets, over three hosts."""
    return student_page.render(entry("ada", "ways"), lab="networking")


PAGES = pytest.mark.parametrize("page", [the_class, a_student, with_ways])


# --- the table ------------------------------------------------------------------------


def test_table_is_sorted_by_numbers(browser: Browser) -> None:
    """A click sorts by value, not by letters; another turns it; what is empty stays last."""
    browser.show(the_class())
    before = browser.column(1)
    button = browser.one("#students th:nth-child(2) button")
    button.click()
    found = browser.column(1)
    filled = [float(text) for text in found if text]
    assert filled == sorted(filled)
    assert len(set(filled)) > 3
    assert found[len(filled) :] == [""] * (len(found) - len(filled))
    assert sorted(found) == sorted(before)
    button.click()
    assert browser.column(1) == [
        *sorted((text for text in found if text), key=float, reverse=True),
        *found[len(filled) :],
    ]


def test_sorting_is_told(browser: Browser) -> None:
    """The sorted column alone has aria-sort, and a live region says the same in words."""
    browser.show(the_class())
    assert not browser.driver.find_elements(By.CSS_SELECTOR, "[aria-sort]")
    browser.one("#students th:nth-child(4) button").click()
    browser.one("#students th:nth-child(1) button").click()
    (header,) = browser.driver.find_elements(By.CSS_SELECTOR, "[aria-sort]")
    assert header.get_attribute("aria-sort") == "ascending"
    assert header.text.startswith("Student")
    told = browser.one("[role=status]").text
    assert told == "42 of 42 students shown, sorted by Student, ascending."


def test_a_tie_keeps_the_sorting_before(browser: Browser) -> None:
    """Sorted by name and then by score, those with one score stand by name."""
    browser.show(the_class())
    name = browser.one("#students th:nth-child(1) button")
    name.click()
    name.click()
    browser.one("#students th:nth-child(2) button").click()
    full = [
        int(who.split()[1])
        for who, score in zip(browser.column(0), browser.column(1), strict=True)
        if score == "100"
    ]
    assert len(full) > 3
    assert full == sorted(full, reverse=True)


def test_table_is_used_by_keyboard(browser: Browser) -> None:
    """From the search field, Tab leads over the table to its buttons, and Enter sorts."""
    browser.show(the_class())
    browser.one("#search").click()
    keys = browser.driver.switch_to.active_element
    keys.send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "scroll"
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert focused.tag_name == "button"
    assert focused.text.startswith("Final")
    assert browser.run("return getComputedStyle(arguments[0]).outlineStyle", focused) == "solid"
    focused.send_keys(Keys.ENTER)
    assert browser.one("[aria-sort]").text.startswith("Final")


def test_table_is_searched(browser: Browser) -> None:
    """All words must be a row's, in any case and accents; ids that are not shown count."""
    given = [
        entry("ada", name="Ada Lovelace"),
        entry("zoe", name="Zoë O'Néill"),
        entry("al", "crash", name="Al"),
    ]
    browser.show(class_page.render("Networking", given, {}))
    field = browser.one("#search")
    assert browser.one("label[for=search]").is_displayed()
    for wanted, found in {
        "zoe NEILL": ["Zoë O'Néill"],
        "lace": ["Ada Lovelace"],
        "s-al": ["Al"],
        "ada zoë": [],
        "57": [],
        ".*": [],
        "": ["Ada Lovelace", "Zoë O'Néill", "Al"],
    }.items():
        field.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, wanted)
        assert browser.column(0) == found, wanted
        assert browser.one("[role=status]").text == f"{len(found)} of 3 students shown."


def test_search_and_sort_work_together(browser: Browser) -> None:
    """Sorting keeps hidden what the search has hidden."""
    browser.show(the_class())
    browser.one("#search").send_keys("handed")
    absent = browser.column(0)
    assert absent == ["Student-019", "Student-039"]
    button = browser.one("#students th:nth-child(1) button")
    button.click()
    button.click()
    assert browser.column(0) == absent[::-1]


def test_three_hundred_stay_usable(browser: Browser) -> None:
    """With 300 students the page opens, sorts and searches without a wait."""
    started = time.monotonic()
    browser.show(the_class(300))
    assert time.monotonic() - started < 20
    spent = browser.run(
        "const start = performance.now();"
        "document.querySelector('#students th:nth-child(2) button').click();"
        "const field = document.querySelector('#search'); field.value = 'STUDENT-1';"
        "field.dispatchEvent(new Event('input'));"
        "document.body.getBoundingClientRect();"
        "return performance.now() - start;"
    )
    assert spent < 2000
    assert len(browser.column(0)) == 100


def test_without_scripts_the_table_stands(browser: Browser) -> None:
    """Without JavaScript there is the whole table, and no control that does nothing."""
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.show(the_class())
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
    assert len(browser.column(0)) == 42
    assert not browser.driver.find_elements(By.CSS_SELECTOR, "button")
    assert not browser.one("#search").is_displayed()


# --- what the eye sees ----------------------------------------------------------------


@PAGES
@pytest.mark.parametrize("width", [PHONE, 768, 1280])
def test_nothing_runs_over_the_side(browser: Browser, page: Callable[[], str], width: int) -> None:
    """The page itself never scrolls sideways; a wide table does in its own place."""
    browser.show(page(), width=width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    hidden = browser.run(
        "const wide = document.documentElement.clientWidth;"
        "return [...document.querySelectorAll('body *')]"
        ".filter(e => !e.closest('.scroll') && e.checkVisibility())"
        ".filter(e => e.getBoundingClientRect().right > wide + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert hidden == []


def test_pages_have_one_width(browser: Browser) -> None:
    """The class's page is as wide as a student's, and its table is whole without scrolling."""
    edges = []
    for page in (the_class(), a_student()):
        browser.show(page)
        edges.append(
            browser.run("const r = document.body.getBoundingClientRect(); return [r.x, r.width]")
        )
    assert edges[0] == edges[1]
    browser.show(the_class())
    assert (
        browser.run(
            "const s = document.querySelector('.scroll'); return s.scrollWidth - s.clientWidth"
        )
        <= 0
    )


def hex_colour(text: str) -> str:
    """Return "rgb(1, 2, 3)" as #rrggbb."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", text)[:3])


@PAGES
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_can_be_read(browser: Browser, page: Callable[[], str], scheme: str) -> None:
    """The page follows the scheme that is preferred, its plots as well, with enough contrast."""
    browser.show(page(), scheme=scheme)
    ground = hex_colour(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert (contrast(ground, "#000000") < 2) == (scheme == "dark")
    for selector, style, least in (
        ("body, .id, .status, .quiet, a", "color", 4.5),
        ("svg text", "fill", 4.5),
        ("svg .part", "fill", 3),
    ):
        found = browser.run(
            "return [...document.querySelectorAll(arguments[0])]"
            ".map(e => getComputedStyle(e)[arguments[1]])",
            selector,
            style,
        )
        assert all(contrast(hex_colour(colour), ground) >= least for colour in found), selector


def test_plot_has_readable_labels(browser: Browser) -> None:
    """On a phone too the plot's words are no smaller than 11 pixels and no two touch."""
    browser.show(the_class(), width=PHONE)
    sizes = browser.run(
        "return [...document.querySelectorAll('svg text')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 11
    edges = browser.run(
        "return [...document.querySelectorAll('svg .edge')]"
        ".map(e => e.getBoundingClientRect()).map(r => [r.left, r.right])"
    )
    assert len(edges) == 11
    assert all(left[1] < right[0] for left, right in pairwise(edges))


def test_marked_line_is_told_without_colour(browser: Browser) -> None:
    """The line of source has a sign before its number, heavier letters, and its tabs."""
    browser.show(a_student())
    line = browser.one(".source .marked")
    assert line.text.split("\n")[0] == "> 58"
    weight = browser.run(
        "return getComputedStyle(arguments[0].querySelector('mark')).fontWeight", line
    )
    assert int(weight) >= 700
    assert browser.run("return arguments[0].querySelector('mark').textContent[0]", line) == "\t"


def test_paper_has_all_and_no_controls(browser: Browser) -> None:
    """Printed, what was folded is open, the search field is gone, and words are dark on white."""
    browser.show(a_student(), media="print", scheme="dark")
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser.run(
        "return [...document.querySelectorAll('details:not([open]) pre')]"
        ".every(e => e.checkVisibility({contentVisibilityAuto: true}))"
    )
    browser.show(the_class(), media="print", scheme="dark")
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not browser.one("#search").is_displayed()
    assert browser.one("svg .part").is_displayed()


@PAGES
def test_pages_are_printed(browser: Browser, page: Callable[[], str]) -> None:
    """A PDF comes of each, with as many sheets as its rows need and no more."""
    browser.show(page())
    printed = browser.pdf()
    assert printed.startswith(b"%PDF-")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 15


# --- what must not happen -------------------------------------------------------------


@PAGES
def test_browser_has_nothing_to_complain_of(browser: Browser, page: Callable[[], str]) -> None:
    """The policy lets style and script through, and nothing is asked of the network."""
    browser.errors()
    browser.show(page())
    assert browser.errors() == []
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return getComputedStyle(document.body).boxSizing") == "border-box"


def test_evil_text_runs_nothing(browser: Browser) -> None:
    """Markup from a student is shown and does nothing, in names, notes and findings."""
    tag = "<img src=x onerror='document.title=\"evil\"'><script>document.title='evil'</script>"
    student = Student(key=EVIL + tag, name=tag, login=tag)
    given = entry("ada", "evil").model_copy(update={"student": student})
    for page in (
        class_page.render(tag, [given], {student.key: "javascript:document.title='evil'"}),
        student_page.render(given, lab=tag, sources={"filter.c": (tag + "\n") * 99}),
    ):
        browser.errors()
        browser.show(page)
        assert browser.driver.title != "evil"
        assert tag in browser.one("body").text
        assert not browser.driver.find_elements(By.CSS_SELECTOR, "img")
        assert browser.errors() == []


def test_policy_stops_what_escaping_missed(browser: Browser) -> None:
    """Were a tag to get into the page unescaped, the browser would not run it."""
    page = the_class().replace("</main>", "<script>document.title = 'evil'</script></main>")
    browser.errors()
    browser.show(page)
    assert browser.driver.title != "evil"
    assert any("Content Security Policy" in message for message in browser.errors())


def test_what_gcc_marks_stands_below_it_on_a_phone(browser: Browser) -> None:
    """Its lines are not wrapped: they scroll in their place, and the page does not."""
    browser.show(a_student("compile-error"), width=PHONE)
    assert browser.run("return document.documentElement.scrollWidth") <= PHONE
    wraps = browser.run(
        "const p = document.querySelector('pre.whole');"
        "return [p.scrollWidth > p.clientWidth, getComputedStyle(p).whiteSpace]"
    )
    assert wraps == [True, "pre"]
