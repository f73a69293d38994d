"""The commands of a student's desk: hint, reset, list, labs, watch, pcap, source.

They call and print. All but labs and source work on the lab that is being worked on unless one
is named (checker/desk/work.py), in skels/LAB or the folder that --submission names.
"""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from checker.model import Exercise, Lab

DONE = 0
"""Exit status of all of them; what a student could not be given is an InputError."""


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    number: Callable[[str], int],
    kernel_options: Callable[[argparse.ArgumentParser], None],
    release_option: Callable[[argparse.ArgumentParser], None],
    announce: Callable[[], None],
) -> None:
    """Add the parsers; *number* reads a number from 1 on, the other two add options of check's.

    *announce* lets what takes long be told.
    """
    listed = commands.add_parser(
        "list",
        help="list the exercises (or the labs, if there are several) with your points",
    )
    listed.add_argument(
        "lab", nargs="?", metavar="LAB", help="default: all labs, if there are several"
    )
    listed.add_argument("--submission", type=Path, metavar="PATH", help="default: skels/LAB")
    listed.set_defaults(run=_list)

    there = commands.add_parser("labs", help="list all labs in the order of the course")
    there.set_defaults(run=_labs)

    hint = _command(commands, "hint", "show the next hint for an exercise")
    _exercise(hint, number, "default: the first one without full marks")
    hint.add_argument("--restart", action="store_true", help="begin again with the first hint")
    hint.set_defaults(run=_hint)

    reset = _command(
        commands, "reset", "restore an exercise to what you were given, and keep a backup"
    )
    reset.add_argument(
        "--exercise",
        type=number,
        action="append",
        required=True,
        metavar="N",
        help="may be repeated",
    )
    reset.set_defaults(run=_reset)

    watch = _command(commands, "watch", "build and check each time you save a file")
    _exercise(watch, number, "begin with this one; default: the first one without full marks")
    kernel_options(watch)
    watch.set_defaults(run=_watch)

    pcap = _command(
        commands, "pcap", "show the packets of the last run, and save the capture files"
    )
    _exercise(pcap, number, "default: all exercises of the last run")
    pcap.set_defaults(run=_pcap)

    source = commands.add_parser(
        "source", help="show where the kernel's own source defines a function, struct or macro"
    )
    source.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help="such as kernel_bind, or a file such as net/socket.c; default: print the folder",
    )
    release_option(source)
    source.set_defaults(run=functools.partial(_announced, announce, _source))


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about)
    command.add_argument(
        "lab", nargs="?", metavar="LAB", help="default: the lab that you edited last"
    )
    command.add_argument("--submission", type=Path, metavar="PATH", help="default: skels/LAB")
    return command


def _exercise(command: argparse.ArgumentParser, number: Callable[[str], int], about: str) -> None:
    command.add_argument("--exercise", type=number, metavar="N", help=about)


def _at_hand(arguments: argparse.Namespace) -> tuple[Lab, Path]:
    """Return the lab and the student's folder; an exercise that is not the lab's is refused."""
    from checker.desk import work

    the_lab = work.lab(arguments.lab, arguments.submission)
    given = getattr(arguments, "exercise", None)
    for number in given if isinstance(given, list) else [given] if given else []:
        work.exercise(the_lab, number)
    return the_lab, work.folder(the_lab, arguments.submission)


# --- list, hint, reset, pcap ---------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.desk import overview

    console = Console(highlight=False)
    if arguments.lab is None and arguments.submission is None and len(lab.names()) > 1:
        overview.course(lab.in_order(), console)
    else:
        overview.show(*_at_hand(arguments), console)
    return DONE


def _labs(_: argparse.Namespace) -> int:
    from checker import lab
    from checker.desk import overview
    from checker.errors import InputError

    if not (there := lab.in_order()):
        raise InputError(f"There is no lab in {lab.LABS}: `knetlab new LAB` makes one.")
    overview.catalogue(there, Console(highlight=False))
    return DONE


def _hint(arguments: argparse.Namespace) -> int:
    from checker.desk import hints, progress, work

    the_lab, folder = _at_hand(arguments)
    exercise: Exercise | None = progress.at(the_lab, folder)
    if arguments.exercise:
        exercise = work.exercise(the_lab, arguments.exercise)
    console = Console(highlight=False)
    if exercise is None:
        console.print("All exercises are solved. There are no more hints.")
    else:
        hint = hints.next_one(the_lab, folder, exercise, anew=arguments.restart)
        console.print(hints.told(exercise, hint))
    return DONE


def _reset(arguments: argparse.Namespace) -> int:
    from checker.desk import progress, reset

    the_lab, folder = _at_hand(arguments)
    report = reset.reset(the_lab, folder, arguments.exercise)
    if report.written:
        progress.forget(the_lab, folder, [*arguments.exercise, *report.anew])
    console = Console(highlight=False, soft_wrap=True)
    for name, kept in report.backups:
        console.print(Text(f"{folder / name} was reset. Your version is kept as {folder / kept}"))
    for name in report.written:
        if name not in dict(report.backups):
            console.print(
                Text(f"{folder / name} was missing. It was written as it was given to you")
            )
    if not report.written:
        console.print("There was nothing to reset: the file is as it was given to you.")
        return DONE
    for number in report.anew:
        console.print(f"Exercise {number} is in the same file and was reset, too.")
    for number in report.stay:
        console.print(
            f"Exercise {number} is in the same file and stays as you wrote it. If it uses code "
            "that was reset, it compiles again when you have written that code."
        )
    return DONE


def _pcap(arguments: argparse.Namespace) -> int:
    from checker.desk import packets

    the_lab, folder = _at_hand(arguments)
    packets.show(the_lab, folder, arguments.exercise, Console(highlight=False))
    return DONE


def _announced(
    announce: Callable[[], None],
    run: Callable[[argparse.Namespace], int],
    arguments: argparse.Namespace,
) -> int:
    announce()
    return run(arguments)


def _source(arguments: argparse.Namespace) -> int:
    from checker.desk import kernel_source
    from checker.errors import InputError
    from vm import kernel as kernels
    from vm import source as source_files

    version, folder = kernels.source(arguments.release)
    name: str = arguments.name
    if not name:
        print(
            f"{folder}: the source of Linux {version}. `make source NAME=kernel_bind` shows one "
            "function."
        )
    elif re.search(r"[/.]", name):
        path = folder / name
        if not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
            kept = ", ".join((*source_files.FOLDERS, *source_files.ALONE))
            raise InputError(f"There is no {name} here. These folders are kept: {kept}.")
        print(path)
    elif not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise InputError(
            f"{name!r} is no name of a function, a struct or a macro: write it as in C, for "
            "example kernel_bind."
        )
    elif found := kernel_source.find(folder, name):
        print(f"Linux {version}, in {folder}\n\n{kernel_source.shown(found)}")
    else:
        raise InputError(
            f"Linux {version} defines no {name} in {folder}. Check how it is written; "
            "upper and lower case differ."
        )
    return DONE


# --- watch ---------------------------------------------------------------------------


def _watch(arguments: argparse.Namespace) -> int:
    from checker.desk import watch, work

    the_lab, folder = _at_hand(arguments)
    first = work.exercise(the_lab, arguments.exercise) if arguments.exercise else None
    options = ["--kernel", arguments.kernel, "--accel", arguments.accel]
    for name in ("release", "kernel_image", "kernel_build"):
        if value := getattr(arguments, name):
            options += [f"--{name.replace('_', '-')}", str(value)]
    watch.watch(the_lab, folder, Console(highlight=False), first, options)
    return DONE
