"""A grade as one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from checker.model import Grade, Mark
from checker.report import source, story, templates, text

STYLES = ("page.css", "grade.css")
NO_SOURCES: Mapping[str, str] = {}


def render(
    grade: Grade,
    *,
    sources: Mapping[str, str] = NO_SOURCES,
    mark: Mark | None = None,
    hidden: frozenset[str] = frozenset(),
    name: str = "",
    lab: str = "",
    submitted: datetime | None = None,
) -> str:
    """Return *grade* as an HTML page, UTF-8 when written.

    *sources* are the student's files, path -> text (source.texts); the lines that a check,
    the compiler or the kernel speaks of are shown from them. *mark* is what the course makes
    of the score. The checks with the ids in *hidden* are not on the page, neither their names
    nor their findings; it says how many there are, and their points. *name* stands in
    place of the submission's, and *lab*, a title, in place of the lab's name.
    """
    whole = text.clean(grade)
    grade = story.shown(whole, hidden)
    withheld = {
        exercise.number: [check for check in exercise.checks if check.id in hidden]
        for exercise in whole.exercises
    }
    first = {check.id: group[0] for group in story.reasons(grade) for check in group[1:]}
    troubles = [check for exercise in grade.exercises for check in story.troubles(exercise)]
    return templates.render(
        "grade.html.j2",
        styles=STYLES,
        grade=grade,
        mark=text.clean(mark) if mark else None,
        lab=text.plain(lab) or grade.lab,
        name=text.plain(name) or grade.submission,
        submitted=moment(submitted),
        withheld=withheld,
        next_step=story.next_step(grade, [c for checks in withheld.values() for c in checks]),
        unseen=story.unseen(grade),
        reported=story.reported(grade),
        same_as=first,
        waits=story.waiting(grade),
        files=story.files(grade),
        moment=moment,
        has_marks=text.has_marks,
        anchors={check.id: f"check-{n}" for n, check in enumerate(story.checks(grade), 1)},
        lines_of={c.id: source.excerpts((c.message, c.log), sources) for c in troubles},
        lines_at=lambda location: source.excerpts((location,), sources),
    )


def moment(when: datetime | None) -> str:
    """Return "2026-11-20 21:30 UTC", in the time zone that *when* has; empty for None."""
    return f"{when:%Y-%m-%d %H:%M %Z}" if when else ""
