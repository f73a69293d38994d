"""How each format is written: its name on the command line -> what renders it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from checker.classroom.export import (
    autolab,
    canvas,
    classroom50,
    document,
    feedback,
    github,
    gradescope,
    junit,
    markdown,
    moodle,
    prairielearn,
    table,
)
from checker.classroom.export.entries import Hidden, for_students
from checker.classroom.export.feedback import Page, Zipped
from checker.classroom.export.gradebook import Filled
from checker.model import Entry


@dataclass(frozen=True)
class Options:
    """What some formats ask for besides the entries.

    *hidden* says which checks students do not see, *paths* where a source file lies in
    the repository (checker.classroom.export.github), *environment* is the process's.
    """

    hidden: Hidden = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A format with one text for a whole class."""

    render: Callable[[Sequence[Entry], Options], str]


@dataclass(frozen=True)
class Result:
    """A format with one text for each student, in the file *file*."""

    file: str
    render: Callable[[Entry, Options], str]


@dataclass(frozen=True)
class Gradebook:
    """A format that is filled in: entries, the file's text, the column, the file's name, hidden.

    With *column* the column has to be named; otherwise it may be empty.
    """

    column: bool
    fill: Callable[[Sequence[Entry], str, str, str, Hidden], Filled]


@dataclass(frozen=True)
class Feedback:
    """A format with each student's page in a zip: pages, and names of the LMS's download.

    With *download* the download has to be at hand.
    """

    download: bool
    render: Callable[[Sequence[Page], Sequence[str]], Zipped]


Format = Document | Result | Gradebook | Feedback


def _junit(entries: Sequence[Entry], options: Options) -> str:
    grades = [e.attempt.grade for e in entries if e.attempt and e.attempt.grade]
    return junit.render(for_students(grade, options.hidden) for grade in grades)


FORMATS: Mapping[str, Format] = {
    "json": Document(lambda e, o: document.render(e)),
    "csv": Document(lambda e, o: table.render(e)),
    "junit": Document(_junit),
    "markdown": Document(lambda e, o: markdown.render(e, o.hidden)),
    "github": Document(lambda e, o: github.render(e, o.paths, o.hidden)),
    "canvas": Gradebook(True, lambda e, text, column, name, _: canvas.fill(e, text, column, name)),
    "moodle": Gradebook(False, moodle.fill),
    "moodle-feedback": Feedback(False, feedback.moodle),
    "canvas-feedback": Feedback(True, feedback.canvas),
    "gradescope": Result("results.json", lambda e, o: gradescope.render(e, o.hidden)),
    "prairielearn": Result("results.json", lambda e, o: prairielearn.render(e, o.hidden)),
    "autolab": Result("autoresult", lambda e, o: autolab.render(e)),
    "classroom50": Result(
        "result.json", lambda e, o: classroom50.render(e, o.environment, o.hidden)
    ),
}
"""Name on the command line -> the format."""
