"""The commands new, dist, mutants, editor and lint: what goes round the checks.

They call and print.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from checker.commands.exits import FULL, PARTIAL
from checker.errors import InputError
from checker.workshop import new
from vm import kernel as kernels
from vm import tools


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    release_option: Callable[[argparse.ArgumentParser], None],
    announce: Callable[[], None],
) -> None:
    """Add the parsers; *release_option* adds check's, *announce* lets what takes long be told."""
    fresh = commands.add_parser("new", help="make a new lab that works at once, for you to change")
    fresh.add_argument("lab", metavar="LAB", help="the name of the lab and of its folder")
    fresh.add_argument(
        "--kind",
        choices=new.KINDS,
        default=new.KINDS[0],
        help="what students write: a kernel module or a program",
    )
    fresh.set_defaults(run=_new)

    archive = commands.add_parser(
        "dist", help="make the archive for students, without solutions and hidden checks"
    )
    archive.add_argument("labs", nargs="*", metavar="LAB", help="default: all labs")
    archive.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="the .tar.gz file, or a folder for it",
    )
    archive.add_argument(
        "--course",
        type=Path,
        metavar="FILE",
        help="a course.toml: leave out the checks that it hides (key visible)",
    )
    archive.add_argument(
        "--kit", type=Path, metavar="FILE", help="add this kit, for students without network"
    )
    archive.set_defaults(run=_dist)

    wrong = commands.add_parser(
        "mutants", help="list a lab's mutants and idioms, and those that no longer fit its solution"
    )
    wrong.add_argument("lab", metavar="LAB", help="its name")
    wrong.add_argument(
        "--folder",
        type=Path,
        action="append",
        metavar="PATH",
        help="a folder with other changes of the solution, instead of the lab's mutants and "
        "idioms; may be repeated",
    )
    wrong.add_argument(
        "--refresh",
        action="store_true",
        help="update them after an edit of the solution, and list the conflicts",
    )
    wrong.set_defaults(run=_mutants)

    commands_file = commands.add_parser(
        "editor", help="write compile_commands.json, so that clangd finds the kernel's headers"
    )
    own = commands.add_parser(
        "lint", help="show what gcc W=1, sparse and checkpatch say about a student's files"
    )

    def announced(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
        announce()
        return run(arguments)

    for parser, run in ((commands_file, _editor), (own, _lint)):
        parser.set_defaults(run=functools.partial(announced, run))
        parser.add_argument(
            "lab", nargs="?", metavar="LAB", help="default: the lab that you edited last"
        )
        parser.add_argument("--submission", type=Path, metavar="PATH", help="default: skels/LAB")
    release_option(commands_file)


def _new(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.desk import work

    folder = new.make(arguments.lab, arguments.kind, lab.LABS)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    print(f"{work.shown(folder)}: a lab with one exercise")
    for path in files:
        print(f"    {path.relative_to(folder)}")
    print(f"`knetlab selftest {arguments.lab}` tests all of it. Then change it into your own lab.")
    return FULL


def _dist(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.classroom import course
    from checker.workshop import dist

    labs = [lab.load(name) for name in arguments.labs or lab.names()]
    if arguments.course and len(labs) != 1:
        raise InputError("--course has the rules of one lab. Name that lab: knetlab dist LAB.")
    hidden = course.load(arguments.course, labs[0]).visible if arguments.course else {}
    # the points for health are no check's, so there is nothing to leave out
    shown = [id_ for id_ in hidden if not id_.endswith(".healthy")]
    archive = dist.collect(labs, shown, arguments.kit)
    out: Path = arguments.out
    if out.is_dir():
        out /= f"{archive.name}.tar.gz"
    elif not out.resolve().parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.resolve().parent}.")
    out.write_bytes(archive.pack())
    print(f"{out}: {len(archive.files)} files, {out.stat().st_size >> 10} KiB")
    return FULL


def _mutants(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.report import mutants as report
    from checker.workshop import mutants, refresh

    the_lab = lab.load(arguments.lab)
    lab.require_solution(the_lab, "knetlab mutants")
    own = [the_lab.root / "mutants", the_lab.root / "idioms"]
    folders = arguments.folder or [folder for folder in own if folder.is_dir()]
    if not folders:
        raise InputError(
            f"{the_lab.root} has neither mutants/ nor idioms/, so there is nothing to list."
        )
    loaded = {folder: mutants.load(folder) for folder in folders}  # before any is written
    bad = 0
    for folder, found in loaded.items():
        if arguments.refresh:
            result = refresh.refresh(folder, found, the_lab.solution)
            bad += len(result.left)
            print(report.refreshed(folder, the_lab.solution, result))
        else:
            misfits = refresh.misfits(found, the_lab.solution)
            bad += len(misfits)
            print(report.listed(folder, found, misfits))
            if names := refresh.edited(folder, found, the_lab.solution):
                print(f"{', '.join(names)}: edited since the last --refresh of {folder}.")
    return PARTIAL if bad else FULL


def _editor(arguments: argparse.Namespace) -> int:
    from checker.desk import editor, work

    the_lab = work.lab(arguments.lab, arguments.submission)
    folder = arguments.submission or work.SKELS / the_lab.name
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. `make skels LAB={the_lab.name}` makes it.")
    kernel = kernels.debug_if_built(arguments.release) or kernels.stock(arguments.release)
    target = editor.write(the_lab, kernel, folder)
    print(f"{target}: the commands that compile your files for Linux {kernel.release}")
    if shutil.which("clangd") is None:
        print(f"Your editor needs clangd to use it: {tools.install('clangd')}")
    return FULL


def _lint(arguments: argparse.Namespace) -> int:
    from checker.desk import lint, work
    from checker.engine import submission

    the_lab = work.lab(arguments.lab, arguments.submission)
    folder = arguments.submission or work.SKELS / the_lab.name
    given = submission.read(the_lab, folder)
    kernel = kernels.stock()
    found = lint.remarks(the_lab, given, kernel)
    for remark in found:
        where = f"{folder / remark.file}:{remark.line}" if remark.line else folder
        print(f"{where}: {remark.text} [{remark.tool}]")
    number = "1 remark" if len(found) == 1 else f"{len(found) or 'no'} remarks"
    note = f"checkpatch.pl is {lint.checkpatch()}"
    by = "gcc, sparse and checkpatch"
    if not lint.has_sparse(kernel):
        by = "gcc and checkpatch"
        note += "; sparse runs only if the compiler is the host's own"
    print(f"{number} of {by} ({note})", file=sys.stderr)
    return PARTIAL if found else FULL
