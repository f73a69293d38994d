"""An entry as a comment of a gradebook, in HTML: the score of each check, and what to do next."""

from __future__ import annotations

import html
from collections.abc import Iterator

from checker.classroom.export.entries import Hidden, for_students, graded, result
from checker.model import CheckResult, Entry, ExerciseResult, Grade
from checker.report.story import WORDS, next_step, reasons, score
from checker.report.text import clean, count, fold, one_line, points

BEGIN = "<p>knetlab: "
"""What every comment begins with, by which it is known again."""

REASONS, LINES, WIDTH = 10, 4, 300


def render(entry: Entry, hidden: Hidden | None = None) -> str:
    """Return the comment, one line without quotes and backslashes, without *hidden* checks.

    It has at most REASONS reasons of why checks failed, so that it can be read in a table.
    """
    grade, marked = graded(entry), result(entry)
    if marked is None:
        return ""
    parts = [f"{BEGIN}{points(marked[0])} of {points(marked[1])} points.</p>"]
    notes = entry.mark.notes if entry.mark else ()
    parts += [f"<p>{_text(note)}</p>" for note in notes]
    if grade:
        full = clean(grade)
        seen = for_students(full, hidden or {})
        parts += _list(map(_exercise, seen.exercises))
        withheld = [
            check
            for exercise in full.exercises
            for check in exercise.checks
            if check.id in (hidden or {})
        ]
        parts.append(f"<p>{_text(next_step(seen, withheld))}</p>")
        parts += _reasons(seen)
    return "".join(parts)


def _exercise(exercise: ExerciseResult) -> str:
    checks = ", ".join(
        f"{check.id} {points(check.points)} of {points(check.max_points)}"
        for check in exercise.checks
        if check.max_points
    )
    return _text(f"Exercise {exercise.number}: {score(exercise)} points: {checks}")


def _reasons(grade: Grade) -> Iterator[str]:
    groups = [group for group in reasons(grade) if group[0].status != "error"]
    yield from _list(map(_reason, groups[:REASONS]))
    if more := groups[REASONS:]:
        yield f"<p>{count(len(more), 'more reason')} on your page.</p>"


def _reason(group: list[CheckResult]) -> str:
    check = group[0]
    others = f" and {len(group) - 1} more" if len(group) > 1 else ""
    said = [f"{check.id}{others} {WORDS[check.status]}: {one_line(check.title)}", check.message]
    said += [f"Next: {check.hint}"] if check.hint else []
    return "<br>".join(_text(fold(text, LINES, WIDTH)) for text in said if text)


def _list(items: Iterator[str] | map[str]) -> Iterator[str]:
    if found := "".join(f"<li>{item}</li>" for item in items):
        yield f"<ul>{found}</ul>"


def _text(text: str) -> str:
    """Return *text* as HTML, without what PHP's reader of CSV takes for more than a character."""
    escaped = html.escape(text).replace("\\", "&#92;")
    return "<br>".join(escaped.splitlines())
