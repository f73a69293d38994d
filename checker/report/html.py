"""A grade as one page that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checker.model import Grade
from checker.report import story, text

# A page of many megabytes opens nowhere; the stored grade keeps every line.
LINES, WIDTH = 200, 2000

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.globals.update(
    words=story.WORDS, tally=story.tally, score=story.score, points=text.points, count=text.count
)
_PAGES.filters.update(one_line=text.one_line, fold=lambda log: text.fold(log, LINES, WIDTH))


def render(grade: Grade) -> str:
    """Return *grade* as an HTML page, UTF-8 when written."""
    grade = text.clean(grade)
    first = {check.id: group[0] for group in story.reasons(grade) for check in group[1:]}
    page = _PAGES.get_template("page.html.j2")
    return page.render(
        grade=grade,
        next_step=story.next_step(grade),
        unseen=story.unseen(grade),
        same_as=first,
        waits=story.waiting(grade),
        anchors={check.id: f"check-{n}" for n, check in enumerate(story.checks(grade), 1)},
        incomplete={e.number for e in grade.exercises if story.mistakes(e)},
    )
