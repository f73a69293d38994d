"""Grades as Markdown, for a CI job's summary.

The dialect is GitHub Flavored Markdown: a fence ends only at one as long as itself, an escaped
punctuation mark is itself, and a summary has at most 1 MiB ("Workflow commands for GitHub
Actions", adding a job summary).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from checker.classroom.export.entries import Hidden, for_students, graded, name, reason
from checker.classroom.export.harmless import workflow
from checker.model import CheckResult, Entry, ExerciseResult, Grade, Mark
from checker.report.story import (
    WORDS,
    next_step,
    reasons,
    reported,
    score,
    stops,
    tally,
    unseen,
)
from checker.report.text import clean, count, fold, one_line, plain, points

LINES, WIDTH = 40, 400
BYTES = 1_000_000
CUT = "The summary ends here, as it is as long as a CI system shows it; the JSON has all.\n"


def render(entries: Iterable[Entry], hidden: Hidden | None = None) -> str:
    """Return *entries* as Markdown, UTF-8 when written, without hidden checks.

    What a student may have written stands in code, or has its marks escaped, and no line is a
    command of a CI system's runner.
    """
    parts: list[str] = []
    size = 0
    for part in (part for entry in entries for part in _entry(entry, hidden or {})):
        block = workflow(part).rstrip("\n") + "\n\n"
        size += len(block.encode("utf-8", "replace"))
        if size > BYTES:
            parts.append(CUT)
            break
        parts.append(block)
    return "".join(parts).rstrip("\n") + "\n"


def _entry(entry: Entry, hidden: Hidden) -> Iterator[str]:
    grade = graded(entry)
    if grade is None:
        yield f"## {_inline(name(entry))}"
        yield f"No grade. {_inline(reason(entry))}"
        return
    full = clean(grade)
    grade = for_students(full, hidden)
    yield f"## {_inline(grade.lab)}, {_inline(name(entry))}: {_points(grade, entry.mark)}"
    if entry.mark and entry.mark.notes:
        yield "\n".join(f"- {_inline(note)}" for note in entry.mark.notes)
    yield _table(grade, full)
    if left := unseen(grade):
        yield _inline(left)
    yield f"**{_inline(next_step(grade))}**"
    for group in reasons(grade):
        yield from _reason(grade, group)
    findings = dict.fromkeys((f.kind, f.summary, f.location) for f in grade.findings)
    if findings:
        yield f"### {reported(grade)}"
        yield "\n".join(
            f"- {_code(kind)} {_inline(summary)} {_code(place)}".rstrip()
            for kind, summary, place in findings
        )


def _points(grade: Grade, mark: Mark | None) -> str:
    if mark is None:
        return f"{score(grade)} points"
    return f"{points(mark.final)} of {points(mark.max_score)} points"


def _table(grade: Grade, full: Grade) -> str:
    rows = ["| | Exercise | Points | Checks |", "|--:|:--|--:|:--|"]
    for exercise, whole in zip(grade.exercises, full.exercises, strict=True):
        cells = (_inline(exercise.title), score(exercise), _tally(exercise, whole))
        rows.append(f"| {exercise.number} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _tally(exercise: ExerciseResult, whole: ExerciseResult) -> str:
    left_out = len(whole.checks) - len(exercise.checks)
    more = f"{count(left_out, 'hidden check')}" if left_out else ""
    return ", ".join(filter(None, (tally(exercise.checks), more)))


def _reason(grade: Grade, group: list[CheckResult]) -> Iterator[str]:
    check = group[0]
    stopped = [str(e.number) for e in grade.exercises if stops(group, e)]
    if stopped:
        what = f"every check of exercise {', '.join(stopped)}"
    else:
        what = f"{_inline(check.title)} ({_code(check.id)})"
    yield f"### {WORDS[check.status]}: {what}"
    said = {
        "message": check.message,
        "expected": check.expected,
        "actual": check.actual,
        "log": check.log,
    }
    for key, text in said.items():
        if folded := fold(text, LINES, WIDTH):
            yield f"{key}:\n\n{_block(folded)}"
    if len(group) > 1 and not stopped:
        yield f"The same holds for {count(len(group) - 1, 'more check')}."
    if check.hint:
        yield f"**Next:** {_inline(check.hint)}"


def _inline(text: str) -> str:
    # An at sign as an entity, and no bare address: GitHub turns both into links after Markdown.
    line = re.sub(r"([!#$&*+\-.:<>@\[\\\]^_`{|}~])", r"\\\1", one_line(plain(text)))
    return line.replace("\\@", "&#64;").replace("\\://", "\\:&#8203;//")


def _code(text: str) -> str:
    line = one_line(plain(text))
    if not line:
        return ""
    fence = "`" * (_longest(line) + 1)
    return f"{fence} {line} {fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, _longest(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
