"""The command lines for a class: grade, report, export, diff, similar.

What they do stands in class_work.py, which is read only when one of them is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from checker.classroom import RULES, export
from vm.kernel import Kernel


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    number: Callable[[str], int],
    release_option: Callable[[argparse.ArgumentParser], None],
    debug: Callable[[str], Kernel],
) -> None:
    """Add the parsers; *number* reads a number from 1 on, *release_option* adds check's.

    *debug* returns the debug kernel of a release, built.
    """
    grade = commands.add_parser("grade", help="grade the submissions of a class")
    grade.add_argument("lab", metavar="LAB", help="its name")
    grade.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="the download from an LMS, or a folder of folders, archives or git checkouts",
    )
    grade.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the folder for the grades"
    )
    grade.add_argument(
        "--jobs",
        type=number,
        metavar="N",
        help="run N in parallel; default: as many as cores and memory allow",
    )
    grade.add_argument(
        "--kernel",
        choices=["stock", "debug"],
        default="debug",
        help="debug is built first if it is missing",
    )
    release_option(grade)
    grade.add_argument(
        "--roster", type=Path, metavar="CSV", help="the list of the students in the class"
    )
    grade.add_argument("--groups", type=Path, metavar="CSV", help="which student is in which group")
    grade.add_argument(
        "--course",
        type=Path,
        metavar="TOML",
        help=f"the rules of the course; a copy is kept as DIR/{RULES}",
    )
    grade.add_argument(
        "--dry-run", action="store_true", help="only show what was handed in; grade nothing"
    )
    which = grade.add_mutually_exclusive_group()
    which.add_argument(
        "--force", action="store_true", help="also grade again what is already graded"
    )
    which.add_argument(
        "--failed", action="store_true", help="grade only what the grader itself failed at"
    )
    grade.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="grade only this student; may be repeated",
    )
    grade.add_argument(
        "--executor",
        choices=["local", "dask"],
        default="local",
        help="local: use this computer; dask: use the workers of a Dask cluster",
    )
    grade.add_argument("--scheduler", metavar="ADDRESS", help="the address of the Dask cluster")
    grade.set_defaults(run=_run, debug=debug)

    report = commands.add_parser("report", help="write the pages of a class again")
    _folder_option(report)
    report.add_argument(
        "--watch", action="store_true", help="and again whenever a grade ends, until Ctrl-C"
    )
    report.set_defaults(run=_run)

    out = commands.add_parser(
        "export",
        help="write stored grades in the format of a gradebook or a CI system",
        epilog="; ".join(f"{name}: {about}" for name, about in export.ABOUT.items()),
    )
    out.add_argument("format", choices=list(export.ABOUT), metavar="FORMAT")
    _folder_option(out, "PATH", "the folder of the grades, or one grade that check --json wrote")
    out.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the file to write, or a folder if there are several",
    )
    out.add_argument(
        "--into", type=Path, metavar="CSV", help="the gradebook to fill in, or a download"
    )
    out.add_argument(
        "--force", action="store_true", help="write over the gradebook that --into names"
    )
    out.add_argument(
        "--column", default="", metavar="NAME", help="the name of the assignment in the gradebook"
    )
    out.add_argument(
        "--dry-run", action="store_true", help="only show what would change; write nothing"
    )
    out.add_argument(
        "--submission",
        default="",
        metavar="FOLDER",
        help="the folder of the sources in the repository; default: skels/LAB",
    )
    out.set_defaults(run=_run)

    compared = commands.add_parser(
        "diff", help="show whose grade changed between two runs, and why"
    )
    compared.add_argument(
        "before", type=Path, metavar="DIR_A", help="the folder of the first run's grades"
    )
    compared.add_argument(
        "after", type=Path, metavar="DIR_B", help="the folder of the second run's grades"
    )
    compared.set_defaults(run=_run)

    alike = commands.add_parser(
        "similar", help="list pairs of students who share code that few others have"
    )
    alike.add_argument("lab", metavar="LAB", help="its name")
    _folder_option(alike)
    alike.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page that shows the pairs side by side"
    )
    alike.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from checker.commands import class_work

    return class_work.COMMANDS[arguments.command](arguments)


def _folder_option(
    parser: argparse.ArgumentParser,
    metavar: str = "DIR",
    what: str = "the folder of the grades",
) -> None:
    parser.add_argument(
        "--from", dest="folder", type=Path, required=True, metavar=metavar, help=what
    )
