"""Grades written for other programs: one module a format, each a pure function of entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from checker.export import (
    autolab,
    canvas,
    classroom50,
    document,
    github,
    gradescope,
    junit,
    markdown,
    moodle,
    prairielearn,
    table,
)
from checker.export.entries import Hidden, for_students
from checker.export.gradebook import Filled
from checker.model import Entry


@dataclass(frozen=True)
class Options:
    """What some formats ask for besides the entries.

    *hidden* says which checks students do not see, *paths* where a source file lies in
    the repository (checker.export.github), *environment* is the process's.
    """

    hidden: Hidden = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A format with one text for a whole class."""

    about: str
    render: Callable[[Sequence[Entry], Options], str]


@dataclass(frozen=True)
class Result:
    """A format with one text for each student, in the file *file*."""

    about: str
    file: str
    render: Callable[[Entry, Options], str]


@dataclass(frozen=True)
class Gradebook:
    """A format that is filled in: entries, the file's text, the column's name, the file's name.

    With *column* the column has to be named; otherwise it may be empty.
    """

    about: str
    column: bool
    fill: Callable[[Sequence[Entry], str, str, str], Filled]


Format = Document | Result | Gradebook


def _junit(entries: Sequence[Entry], options: Options) -> str:
    grades = [e.attempt.grade for e in entries if e.attempt and e.attempt.grade]
    return junit.render(for_students(grade, options.hidden) for grade in grades)


FORMATS: Mapping[str, Format] = {
    "json": Document("all that is stored, knetlab/class/v1", lambda e, o: document.render(e)),
    "csv": Document("a row a student, a column an exercise", lambda e, o: table.render(e)),
    "junit": Document("a test suite a submission, for CI systems", _junit),
    "markdown": Document("the summary of a CI job", lambda e, o: markdown.render(e, o.hidden)),
    "github": Document(
        "annotations at file and line, to be printed in a step of GitHub Actions",
        lambda e, o: github.render(e, o.paths, o.hidden),
    ),
    "canvas": Gradebook("fills the gradebook that Canvas exported", True, canvas.fill),
    "moodle": Gradebook("fills the offline grading worksheet of Moodle", False, moodle.fill),
    "gradescope": Result(
        "results.json of a Gradescope autograder",
        "results.json",
        lambda e, o: gradescope.render(e, o.hidden),
    ),
    "prairielearn": Result(
        "results.json of a PrairieLearn external grader",
        "results.json",
        lambda e, o: prairielearn.render(e, o.hidden),
    ),
    "autolab": Result(
        "the last line of an Autolab autograder", "autoresult", lambda e, o: autolab.render(e)
    ),
    "classroom50": Result(
        "result.json of a Classroom 50 autograder",
        "result.json",
        lambda e, o: classroom50.render(e, o.environment, o.hidden),
    ),
}
"""Name on the command line -> the format."""
