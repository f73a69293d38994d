"""The way of a packet in a report: a line of text, and a drawing on the page."""

from __future__ import annotations

import re

import pytest
from pages import Page
from test_report import load, report

from checker.model import CheckResult, Grade, Outcome, Step, Way
from checker.report import html, way

DROPPED = Way(
    packet="UDP 127.0.0.1:4000 -> 127.0.0.1:5000",
    steps=(
        Step(
            place="LOCAL_OUT",
            link="lo",
            function="my_hook",
            yours=True,
            verdict="NF_DROP",
            logged=("one", "two", "three"),
        ),
    ),
    outcome="dropped",
    end="dropped by your hook",
)
FORWARDED = Way(
    packet="TCP 10.0.3.2:4000 -> 10.0.4.2:5000, SYN",
    steps=(
        Step(place="LOCAL_OUT", host="left", link="eth0"),
        Step(place="PRE_ROUTING", link="left", function="nf_first", verdict="NF_ACCEPT"),
        Step(place="PRE_ROUTING", link="left", function="mine", yours=True, verdict="NF_ACCEPT"),
        Step(place="FORWARD", link="left"),
        Step(place="LOCAL_IN", host="right", link="eth0"),
    ),
    outcome="delivered",
    end="delivered to port 5000",
)
NEVER = Way(
    packet="UDP any address -> 127.0.0.1:5000", outcome="never", end="no such packet was sent"
)


def failed(shown: Way) -> Grade:
    """Return a grade whose first failed check has this way."""
    grade = load("ways")
    exercise = grade.exercises[0]
    checks = [c.model_copy(update={"way": None}) for c in exercise.checks]
    at = next(i for i, c in enumerate(checks) if c.status == "fail")
    checks[at] = checks[at].model_copy(update={"way": shown})
    return grade.model_copy(
        update={"exercises": (exercise.model_copy(update={"checks": tuple(checks)}),)}
    )


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (DROPPED, "LOCAL_OUT (your hook: NF_DROP, 3 lines logged) -> dropped by your hook"),
        (
            FORWARDED,
            "left: LOCAL_OUT -> this host: PRE_ROUTING (nf_first: NF_ACCEPT; your hook: "
            "NF_ACCEPT) -> FORWARD -> right: LOCAL_IN -> delivered to port 5000",
        ),
        (NEVER, "no such packet was sent"),
        (
            NEVER.model_copy(update={"note": "Your hook is called at LOCAL_IN."}),
            "no such packet was sent. Your hook is called at LOCAL_IN.",
        ),
    ],
)
def test_line(shown: Way, line: str) -> None:
    """Places in order, hooks where they were called, hosts where there are several, the end."""
    assert way.line(shown) == line


def test_terminal_has_the_line() -> None:
    """Below the failure, with the packet and where it comes from; on 80 columns."""
    said = report(failed(DROPPED))
    assert f"way of {DROPPED.packet}, {way.ORIGIN}" in " ".join(said.split())
    line = "LOCAL_OUT (your hook: NF_DROP, 3 lines logged) -> dropped by your hook"
    assert re.search(rf"^ +{re.escape(line)} *$", said, re.MULTILINE)


@pytest.mark.parametrize("shown", [DROPPED, FORWARDED, NEVER])
def test_drawing_fits(shown: Way) -> None:
    """Boxes do not overlap, words are within their boxes, arrows join them."""
    drawn = way.drawing(shown)
    bottom = 0
    for at, box in enumerate(drawn.boxes):
        assert box.y > bottom
        assert all(box.y < words.y < box.y + box.height for words in box.words)
        assert all(len(words.text) <= way.COLUMNS for words in box.words)
        assert box.arrow == (bottom if at else None)
        bottom = box.y + box.height
    assert bottom < drawn.height
    assert drawn.text == way.line(shown)


def test_drawing_wraps_and_cuts() -> None:
    """A long sentence goes over several lines, a long word and a long log line are cut."""
    step = DROPPED.steps[0].model_copy(update={"function": "f" * 90, "logged": ("x" * 90,)})
    shown = DROPPED.model_copy(update={"steps": (step,), "end": "why " * 30})
    drawn = way.drawing(shown)
    texts = [words.text for box in drawn.boxes for words in box.words]
    assert all(len(text) <= way.COLUMNS for text in texts)
    assert next(text for text in texts if text.endswith("...")).startswith("f")
    assert " ".join(t for t in texts if t.startswith("why")) == ("why " * 30).strip()


@pytest.mark.parametrize(
    ("outcome", "style"),
    [
        ("delivered", "good"),
        ("sent", "good"),
        ("dropped", "bad"),
        ("held", "bad"),
        ("never", "bad"),
    ],
)
def test_drawing_shows_how_it_ends(outcome: Outcome, style: str) -> None:
    """The last box is that of a good or of a bad end."""
    drawn = way.drawing(DROPPED.model_copy(update={"outcome": outcome}))
    assert drawn.boxes[-1].style == style


def test_page_has_the_drawing_and_says_it_in_words() -> None:
    """An image with its line as the name, no style of its own, so that the policy holds."""
    page = html.render(failed(FORWARDED))
    (svg,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert 'role="img"' in svg
    assert 'aria-label="left: LOCAL_OUT -&gt; this host: PRE_ROUTING' in svg
    assert "style=" not in svg
    assert svg.count("<rect") == 5
    Page(page)


def test_page_shows_evil_names_as_text() -> None:
    """A module names its functions and lines as it likes; none becomes markup."""
    evil = '"><script>alert(1)</script>\x1b[31m'
    step = DROPPED.steps[0].model_copy(update={"function": evil, "logged": (evil,), "host": evil})
    shown = Way(packet=evil, steps=(step,), outcome="dropped", end=evil, note=evil)
    page = html.render(failed(shown))
    assert "<script" not in page
    assert "\x1b" not in page + report(failed(shown))


def test_a_grade_without_ways_is_read(tmp_path: object) -> None:
    """One that an older knetlab wrote."""
    check = CheckResult.model_validate(
        {"id": "1.x", "title": "t", "status": "fail", "points": 0, "max_points": 1}
    )
    assert check.way is None
