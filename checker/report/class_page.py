"""A class as one page: how the scores lie, what was hard, and a table of all students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from checker.model import Entry
from checker.report import class_story, html, templates, text

NO_RUNS: Mapping[str, int] = {}
NONE_HIDDEN: Mapping[str, str] = {}
NO_TWINS: Mapping[str, str] = {}


def render(
    title: str,
    entries: Sequence[Entry],
    links: Mapping[str, str],
    *,
    runs: Mapping[str, int] = NO_RUNS,
    hidden: Mapping[str, str] = NONE_HIDDEN,
    twins: Mapping[str, str] = NO_TWINS,
) -> str:
    """Return the page of a class, UTF-8 when written.

    *entries* stand in the table in their order. *links* maps a student's key to the file of
    their page, relative to this one (student_page.file_name); who is not in it has no link.
    *runs* maps a key to how many times the submission was run, where that is more than once.
    *hidden* are the checks that students do not see, with "never" or "after_due_date": they are
    on this page, which is the teacher's, and it says so at its top. *twins* maps a key to a
    sentence on who has the same files.
    """
    # by position: in a key a character may have been written out
    keys = [entry.student.key for entry in entries]
    entries = [text.clean(entry) for entry in entries]
    cleaned = dict(zip(keys, (entry.student.key for entry in entries), strict=True))
    counts = class_story.histogram(entries)
    slow = class_story.slowest(entries)
    return templates.render(
        "class.html.j2",
        styles=("page.css", "class.css"),
        scripts=("class.js",),
        title=text.plain(title),
        entries=entries,
        links={cleaned[key]: _relative(link) for key, link in links.items() if key in cleaned},
        figures=class_story.figures(entries),
        counts=counts,
        tallest=max(counts),
        rates=class_story.rates(entries),
        findings=class_story.common_findings(entries),
        slowest=slow,
        longest=max((seconds for _, seconds in slow), default=0) or 1,
        retried=class_story.retried(
            entries, {cleaned[key]: times for key, times in runs.items() if key in cleaned}
        ),
        without_grade=class_story.without_grade(entries),
        kernels=class_story.kernels(entries),
        hidden=hidden,
        twins={cleaned[key]: text.plain(said) for key, said in twins.items() if key in cleaned},
        maximum=class_story.maximum(entries),
        exercises=sorted(
            {
                exercise.number: exercise.title
                for entry in entries
                if (grade := class_story.grade_of(entry))
                for exercise in grade.exercises
            }.items()
        ),
        scores=class_story.scores,
        state=class_story.state,
        moment=html.moment,
        width=_width,
    )


def _relative(link: str) -> str:
    """Return *link* as a URL that leads to a file below this page's folder, whatever it holds."""
    return "./" + quote(link)


def _width(part: float, whole: float) -> str:
    """Return "41.7%", the length of a bar."""
    return f"{100 * part / whole:.1f}%"
