"""`knetlab list` and `knetlab labs`: what there is to do, and what was reached of it.

That is of one lab its exercises, of a course of several its labs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from checker import lab as lab_files
from checker.desk import progress, work
from checker.desk.progress import Progress, Reached
from checker.model import Exercise, Lab
from checker.report.story import listed
from checker.report.text import clock, points, unchanged


def show(lab: Lab, folder: Path, console: Console) -> None:
    """Print the exercises of *lab* with what they earned when they were tried last in *folder*."""
    kept = progress.load(lab, folder)
    stale = progress.stale(lab, folder, kept)
    at = progress.at(lab, folder)
    made = progress.made_now(lab)
    console.print(Text.assemble((lab.name, "bold"), f": {lab.title}"))
    table = _table("", "Exercise", "Points", "State")
    for exercise in lab.exercises:
        reached = kept.reached.get(exercise.number)
        table.add_row(
            str(exercise.number),
            Text(exercise.title, "bold" if exercise == at else ""),
            f"{points(reached.score if reached else 0)} of "
            f"{points(reached.max_score if reached else exercise.points)}",
            _state(exercise, kept, edited=exercise.number in stale, made=made),
        )
    console.print(table)
    for path in lab.sources:
        numbers = [str(e.number) for e in lab.exercises if path in lab.files(e)]
        whose = f"Exercise{'s' if len(numbers) > 1 else ''} {listed(numbers)}"
        console.print(Text(f"{whose}: {work.shown(folder / path)}"), soft_wrap=True)
    console.print(_bar(*_reached(lab, kept), console))
    console.print(_next(at))
    for other in lab_files.in_order():
        if other.name != lab.name:
            console.print(Text(f"LAB={other.name}: {other.title}"))


def course(labs: Sequence[Lab], console: Console) -> None:
    """Print *labs* with what was reached in each, in its folder skels/LAB."""
    table = _table("", "Lab", "Title", "Points", "State")
    kept = {lab.name: progress.load(lab, work.SKELS / lab.name) for lab in labs}
    waiting = [lab for lab in labs if not _full(lab, kept[lab.name])]
    at = next(iter(work.last_edited(labs) or waiting), None)
    for number, lab in enumerate(labs, 1):
        score, most = _reached(lab, kept[lab.name])
        table.add_row(
            str(number),
            Text(lab.name, "bold" if lab == at else ""),
            Text(lab.title),
            f"{points(score)} of {points(most)}",
            _state_of_lab(lab, kept[lab.name]),
        )
    console.print(table)
    sums = [_reached(lab, kept[lab.name]) for lab in labs]
    console.print(_bar(sum(score for score, _ in sums), sum(most for _, most in sums), console))
    console.print(_next_lab(at))


def catalogue(labs: Sequence[Lab], console: Console) -> None:
    """Print what *labs* there are: name, title, exercises, points."""
    table = _table("Lab", "Title", "Exercises", "Points")
    for lab in labs:
        row = (lab.name, lab.title, str(len(lab.exercises)), points(lab.max_score))
        table.add_row(*map(Text, row))
    console.print(table)


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        number = name in ("", "Points", "Exercises")
        table.add_column(
            name,
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=name in ("Points", "Lab"),
        )
    return table


def _full(lab: Lab, kept: Progress) -> bool:
    reached = kept.reached
    return all(e.number in reached and reached[e.number].full for e in lab.exercises)


def _state_of_lab(lab: Lab, kept: Progress) -> Text:
    folder = work.SKELS / lab.name
    full = sum(one.full for one in kept.reached.values())
    if not kept.reached:
        state = Text("not tried yet", "dim")
    elif _full(lab, kept):
        state = Text("full", "green")
    else:
        state = Text(f"{full} of {len(lab.exercises)} full")
    if folder.is_dir() and progress.stale(lab, folder, kept):
        state.append(", edited since", "yellow")
    return state


def _next_lab(at: Lab | None) -> Text:
    if at is None:
        return Text("All labs are solved.", "bold")
    if not (work.SKELS / at.name).is_dir():
        write = work.typed(f"make skels LAB={at.name}", f"knetlab skeleton {at.name}")
        return Text(f"Next is {at.name}: `{write}` writes the files that you start from.")
    show = work.typed(f"make list LAB={at.name}", f"knetlab list {at.name}")
    return Text(f"You are working on {at.name}: `{show}` shows its exercises.")


def _state(exercise: Exercise, kept: Progress, *, edited: bool, made: str) -> Text:
    reached = kept.reached.get(exercise.number)
    if reached is None:
        state = Text("not tried yet", "dim")
    elif reached.full:
        state = Text("full", "green")
    else:
        state = Text("begun" if reached.score else "open")
    if reached and edited:
        state.append(f", edited since{_at(reached)}", "yellow")
    elif reached and reached.made and reached.made != made:
        state.append(f", lab or knetlab changed since{_at(reached)}", "yellow")
    elif reached and reached.at:
        state.append(f", {unchanged(reached.at)}", "dim")
    if shown := kept.hints.get(exercise.number):
        state.append(f", hint {shown} of {len(exercise.hints) + 1} seen", "dim")
    return state


def _reached(lab: Lab, kept: Progress) -> tuple[float, float]:
    """Return the points, and how many there are; what a kernel could not try is in neither."""
    most = sum(
        kept.reached[e.number].max_score if e.number in kept.reached else e.points
        for e in lab.exercises
    )
    return sum(reached.score for reached in kept.reached.values()), most


def _bar(score: float, most: float, console: Console) -> Table:
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
    check = work.typed(f"make check EX={number}", f"knetlab check --exercise {number}")
    hint, watch = (work.typed(f"make {name}", f"knetlab {name}") for name in ("hint", "watch"))
    return Text(
        f"You are working on exercise {number}. `{check}` checks it, `{hint}` gives a hint, "
        f"and `{watch}` checks it each time you save."
    )


def _at(reached: Reached) -> str:
    return f" {clock(reached.at)}" if reached.at else ""
