"""What a student is at: which lab when none is named, which exercise, what was handed out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt

from checker import lab as labs
from checker.errors import InputError
from checker.model import Exercise, Lab
from checker.workshop import skeleton
from checker.workshop.skeleton import SkeletonFile

SKELS = Path("skels")


def lab(name: str | None, folder: Path | None = None) -> Lab:
    """Return the lab called *name*; without a name, the one that is being worked on.

    That is, of several, the one in whose folder skels/LAB a student's source was edited last;
    a source that is as it was handed out does not count. With *folder*, a submission, it is
    one whose sources lie in there. Where nothing tells, a terminal is asked; else InputError
    names the labs.
    """
    names = labs.names()
    if not names:
        raise InputError(f"There is no lab in {labs.LABS}: `knetlab new LAB` makes one.")
    if name or len(names) == 1:
        return labs.load(name or names[0])
    last = last_edited(labs.in_order(), folder)
    return last[0] if len(last) == 1 else labs.load(_ask([one.name for one in last] or names))


def last_edited(among: Sequence[Lab], folder: Path | None = None) -> list[Lab]:
    """Return that of the labs *among* whose sources a student edited last, as lab() does.

    Those, if several were at the same time; none where nothing was edited.
    """
    times = {each.name: _edited(each, folder) for each in among}
    last = max(times.values(), default=0)
    return [each for each in among if last and times[each.name] == last]


def _edited(the_lab: Lab, folder: Path | None) -> int:
    """Return when the newest of a student's sources was edited, in ns since 1970; 0: none was."""
    times = [0]
    for source in the_lab.sources:
        mine = (folder or SKELS / the_lab.name) / source
        if mine.is_file() and (folder or _is_edited(the_lab, source, mine)):
            times.append(mine.stat().st_mtime_ns)
    return max(times)


def _is_edited(the_lab: Lab, source: str, mine: Path) -> bool:
    return mine.read_bytes() not in handed_out(the_lab)[source].versions


def _ask(names: list[str]) -> str:
    listed = ", ".join(names)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        command = typed(f"make check LAB={names[0]}", f"knetlab check {names[0]}")
        raise InputError(f"Name the lab, for example `{command}`. There are: {listed}.")
    try:
        return Prompt.ask("Which lab?", choices=names, console=Console(stderr=True))
    except EOFError:
        raise InputError(f"Name the lab. There are: {listed}.") from None


def handed_out(the_lab: Lab) -> dict[str, SkeletonFile]:
    """Return the files of *the_lab* as students get them, by their path in the skeleton."""
    return skeleton.of(the_lab)


def exercise(the_lab: Lab, number: int) -> Exercise:
    """Return exercise *number*; InputError when the lab has none of that number."""
    try:
        return the_lab.exercise(number)
    except KeyError:
        numbers = ", ".join(str(exercise.number) for exercise in the_lab.exercises)
        raise InputError(
            f"The lab {the_lab.name} has no exercise {number}. Its exercises are {numbers}."
        ) from None


def comes_next(at: Exercise | None) -> str:
    """Return a sentence on the exercise *at*, which comes next; "" when there is none."""
    if at is None:
        return ""
    command = typed(f"make check EX={at.number}", f"knetlab check --exercise {at.number}")
    return f"Next is exercise {at.number}, {at.title}: `{command}` checks it."


def typed(make: str, knetlab: str) -> str:
    """Return the command to name: *make* where there is a Makefile for it, else *knetlab*."""
    return make if Path("Makefile").is_file() else knetlab


def folder(the_lab: Lab, submission: Path | None) -> Path:
    """Return the student's folder, skels/LAB unless *submission* is another; it must be there."""
    path = submission or SKELS / the_lab.name
    if not path.is_dir():
        raise InputError(
            f"There is no folder {path}. "
            f"`{typed('make skels', f'knetlab skeleton {the_lab.name}')}` makes it."
            if submission is None
            else f"{path} is not a folder with the structure of {SKELS / the_lab.name}."
        )
    return path


def shown(path: Path) -> str:
    """Return *path* as a student would type it: relative to the working folder if below it."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
