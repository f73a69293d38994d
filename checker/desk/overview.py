"""`knetlab list`: a lab's exercises, what was reached at each, and the other labs there are."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from checker import lab as labs
from checker.desk import progress, work
from checker.desk.progress import Progress
from checker.model import Exercise, Lab, Names
from checker.report.text import points


def show(lab: Lab, folder: Path, console: Console) -> None:
    """Print the exercises of *lab* with what they earned when they were tried last in *folder*."""
    kept = progress.load(lab, folder)
    stale = progress.stale(lab, folder, kept)
    at = progress.at(lab, folder)
    console.print(Text.assemble((lab.name, "bold"), f": {lab.title}, in {work.shown(folder)}"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("Exercise", overflow="fold")
    table.add_column("File", overflow="fold")
    table.add_column("Points", justify="right", no_wrap=True)
    table.add_column("State", overflow="fold")
    for exercise in lab.exercises:
        reached = kept.reached.get(exercise.number)
        table.add_row(
            str(exercise.number),
            Text(exercise.title, "bold" if exercise == at else ""),
            Text(_files(lab, exercise)),
            f"{points(reached.score if reached else 0)} of "
            f"{points(reached.max_score if reached else exercise.points)}",
            _state(exercise, kept, edited=exercise.number in stale),
        )
    console.print(table)
    console.print(_total(lab, kept, console))
    console.print(_next(at))
    others = [name for name in labs.names() if name != lab.name]
    for name in others:
        console.print(Text(f"LAB={name}: {labs.load(name).title}"))


def _state(exercise: Exercise, kept: Progress, *, edited: bool) -> Text:
    reached = kept.reached.get(exercise.number)
    if reached is None:
        state = Text("not tried yet", "dim")
    elif reached.full:
        state = Text("full", "green")
    else:
        state = Text("begun" if reached.score else "open")
    if edited:
        state.append(", edited since", "yellow")
    if shown := kept.hints.get(exercise.number):
        state.append(f", hint {shown} of {len(exercise.hints) + 1} seen", "dim")
    return state


def _total(lab: Lab, kept: Progress, console: Console) -> Table:
    """Return the bar; what a kernel could not try counts on neither side."""
    most = sum(
        kept.reached[e.number].max_score if e.number in kept.reached else e.points
        for e in lab.exercises
    )
    score = sum(reached.score for reached in kept.reached.values())
    line = Table.grid(padding=(0, 2, 0, 0))
    said = f"{points(score)} of {points(most)} points"
    if console.is_terminal:
        line.add_row(ProgressBar(total=most, completed=score, width=40), said)
    else:
        done = round(40 * score / most)
        line.add_row("#" * done + "-" * (40 - done), said)
    return line


def _next(at: Exercise | None) -> Text:
    if at is None:
        return Text("All exercises are solved.", "bold")
    number = at.number
    return Text(
        f"You are at exercise {number}: `make check EX={number}` tries it, `make hint` helps, "
        "`make watch` tries it at each save."
    )


def _files(lab: Lab, exercise: Exercise) -> str:
    """Return the files of *exercise*: by their names alone where that says enough."""
    paths = [path for target in lab.targets(exercise) for path in target.files]
    names = Names(lab.sources)
    return ", ".join(names.shown(path) for path in paths)
