"""What changed between two runs, on the terminal.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.classroom.diff import Change, CheckChange, Diff
from checker.model import Mark
from checker.report.text import count, one_line, plain, points


def render(diff: Diff, console: Console) -> None:
    """Print a row for each student whose grade changed, and what the runs were made with."""
    if diff.changes:
        console.print(_table(diff))
    for sentence in diff.made:
        console.print(Text(one_line(plain(sentence)), "dim"))
    console.print(Text(verdict(diff), "bold"))


def verdict(diff: Diff) -> str:
    """Return the sentence that counts."""
    kinds = [change.kind for change in diff.changes]
    words = [f"{count(kinds.count('changed'), 'student')} changed", f"{diff.same} the same"]
    words += [f"{kinds.count(k)} {k}" for k in ("appeared", "vanished") if k in kinds]
    return f"{', '.join(words)}."


def rows(diff: Diff) -> list[tuple[str, str, str, str]]:
    """Return for each change the student, the mark before and after, and why; plain text."""
    return [
        (_who(change), _mark(change.before), _mark(change.after), "\n".join(_why(change)))
        for change in diff.changes
    ]


def _table(diff: Diff) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Student", overflow="fold")
    table.add_column("Before", justify="right")
    table.add_column("After", justify="right")
    table.add_column("Why", overflow="fold")
    for row in rows(diff):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _who(change: Change) -> str:
    student = change.student
    name = f" ({student.name})" if student.name and student.name != student.key else ""
    return one_line(plain(f"{student.key}{name}"))


def _mark(mark: Mark | None) -> str:
    return points(mark.final) if mark else "none"


def _why(change: Change) -> list[str]:
    return [*(one_line(plain(word)) for word in change.why), *map(_check, change.checks)]


def _check(change: CheckChange) -> str:
    before, after = (status or "not there" for status in (change.before, change.after))
    gained = f" ({change.points:+g})" if change.points else ""
    return one_line(plain(f"{change.id}: {before} -> {after}{gained}"))
