"""A batch on the terminal: what was handed in, a line for each that ended, what it came to.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.classroom.batch import Done
from checker.classroom.intake import Intake
from checker.classroom.store import Trouble
from checker.model import Entry
from checker.report import intake as intake_rows
from checker.report import story
from checker.report.text import count, one_line, plain, points


def intake(found: Intake, console: Console) -> None:
    """Print who has nothing that can be graded, then what else is odd, then how much is what."""
    rows = intake_rows.rows(found)
    stuck = [row for row in rows if row.state == "unusable"]
    odd = [row for row in rows if row.state in ("complete", "incomplete") and row.remarks]
    absent = [row.student for row in rows if row.state == "nothing"]
    if stuck:
        console.print(Text("These cannot be graded:", "bold red"))
        console.print(_table(stuck))
    if odd:
        console.print(Text("These can be graded, but read the notes:", "bold"))
        console.print(_table(odd))
    if absent:
        names = ", ".join(one_line(plain(name)) for name in absent)
        console.print(Text(f"Handed in nothing: {names}."))
    for sentence in intake_rows.summary(found):
        console.print(Text(plain(sentence)))


def _table(rows: Sequence[intake_rows.Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Student", "Attempt", "Files", "Remarks"):
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = (row.student, row.attempt, row.files, " ".join(row.remarks))
        table.add_row(*(Text(one_line(plain(cell))) for cell in cells))
    return table


def line(done: Done, names: Collection[str]) -> Text:
    """Return what is said of a submission that ended; *names* handed it in."""
    who = one_line(plain(", ".join(sorted(names))))
    if done.grade is None:
        return Text.assemble(
            f"{who}: ", ("grader error", "bold red"), f": {one_line(done.problem)}"
        )
    return Text.assemble(
        f"{who}: {points(done.grade.score)} of {points(done.grade.max_score)}",
        (f"  {story.tally(story.checks(done.grade))}, {done.seconds:.0f} s", "dim"),
    )


def summary(entries: Sequence[Entry], troubles: Sequence[Trouble], console: Console) -> None:
    """Print how many have which kind of result, and each that the grader failed at."""
    marks = [entry.mark for entry in entries if entry.mark and not entry.mark.missing]
    absent = sum(entry.attempt is None for entry in entries)
    full = sum(mark.final >= mark.max_score for mark in marks)
    late = sum(mark.penalty > 0 for mark in marks)
    words = [f"{len(marks)} of {count(len(entries), 'student')} graded", f"{full} with full marks"]
    words += [f"{late} with a penalty"] if late else []
    words += [f"{absent} handed in nothing"] if absent else []
    console.print(Text(", ".join(words) + ".", "bold"))
    problems = [e for e in entries if e.attempt and e.attempt.problem]
    if troubles or problems:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("Student", "Problem"):
            table.add_column(name, overflow="fold")
        for trouble in troubles:
            said = f"grader error, tried {count(trouble.tries, 'time')}: {trouble.message}"
            table.add_row(Text(plain(trouble.student)), Text(one_line(plain(said)), "red"))
        failed = {trouble.student for trouble in troubles}
        for entry in problems:
            if entry.attempt and entry.student.key not in failed:
                said = one_line(plain(entry.attempt.problem))
                table.add_row(Text(plain(entry.student.key)), Text(said))
        console.print(table)
