"""The command knetlab: parses, calls, prints. The only module that exits.

A command reads what it needs when it is given, so that `knetlab check` starts the sooner.

Exit status of check: 0 full marks, 1 not full marks, 2 bad usage or bad
input, 3 the grader itself failed, 130 stopped by Ctrl-C. Of selftest likewise:
0 all as it should be, 1 not so.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from checker.commands import classroom as class_commands
from checker.commands import desk as desk_commands
from checker.commands import workshop as workshop_commands
from checker.commands.exits import BAD_INPUT, FULL, GRADER_FAILED, PARTIAL, STOPPED
from checker.errors import InputError
from vm import debian, debug_kernel, reaper
from vm import kernel as kernels
from vm.errors import BadKit, VMError
from vm.kernel import Kernel

if TYPE_CHECKING:
    from checker.model import Grade, Lab, Submission


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="knetlab",
        description="Build, test and grade students' kernel modules and programs in a guest.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="grade one submission (default: skels/LAB)")
    check.add_argument(
        "lab", nargs="?", metavar="LAB", help="default: the lab that you edited last"
    )
    check.add_argument(
        "--submission",
        type=Path,
        metavar="PATH",
        help="a folder with the same structure as skels/LAB",
    )
    check.add_argument(
        "--exercise",
        type=int,
        action="append",
        metavar="N",
        help="only this exercise; may be repeated",
    )
    _kernel_options(check)
    check.add_argument(
        "--all-kernels",
        action="store_true",
        help="check on every kernel in the cache, and show where the results differ",
    )
    check.add_argument(
        "--fresh",
        action="store_true",
        help="run every check; default: an exercise in which nothing changed keeps its last result",
    )
    check.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="use the seed from an earlier result to repeat that run; implies --fresh",
    )
    check.add_argument(
        "--json", type=Path, metavar="FILE", help="write the grade as knetlab/grade/v1"
    )
    check.add_argument("--junit", type=Path, metavar="FILE", help="write the grade as JUnit XML")
    check.add_argument("--html", type=Path, metavar="FILE", help="write the grade as one HTML page")
    check.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the console log and the capture of each guest in this folder",
    )
    check.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show every check, also those that passed, and every failure in full",
    )
    check.set_defaults(run=_check)

    verify = commands.add_parser(
        "verify",
        help="make a grade again, and say whether it is the same result; or check who signed it",
    )
    verify.add_argument(
        "file", type=Path, metavar="FILE.json", help="a grade that check --json wrote"
    )
    verify.add_argument(
        "--submission",
        type=Path,
        metavar="PATH",
        help="grade this folder again, with the seed, the lab and the kernel of the file",
    )
    verify.add_argument(
        "--signed-by",
        type=Path,
        metavar="KEYS",
        help="FILE.json.asc must be a signature by one of these public keys (OpenPGP)",
    )
    _own_kernel_options(verify)
    verify.set_defaults(run=_verify)

    skel = commands.add_parser(
        "skeleton", help="write the files that a student starts from to skels/LAB"
    )
    skel.add_argument("lab", metavar="LAB", help="its name")
    skel.add_argument(
        "--step", type=int, default=1, metavar="N", help="with the exercises before N solved"
    )
    skel.add_argument(
        "--force", action="store_true", help="replace edited files, and keep a backup of them"
    )
    skel.add_argument("--output", type=Path, metavar="DIR", help="default: skels/LAB")
    skel.set_defaults(run=_skeleton)

    own = commands.add_parser(
        "selftest",
        help="grade a lab's solution, skeletons and mutants to test whether its checks are right",
    )
    own.add_argument("lab", metavar="LAB", help="its name")
    own.add_argument(
        "--kernel",
        choices=["stock", "debug", "all"],
        default="all",
        help="all: every kernel in the cache",
    )
    _release_option(own)
    own.add_argument(
        "--all-kernels",
        action="store_true",
        help="the kernels of every release that are in the cache",
    )
    _own_kernel_options(own)
    chosen = own.add_mutually_exclusive_group()
    chosen.add_argument(
        "--sample",
        nargs="?",
        type=_number,
        const=0,
        metavar="N",
        help="one mutant for each check, and the solution; with --auto: N mutants, always the "
        "same ones",
    )
    chosen.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only this mutant or idiom, or skeleton-N, or solution; may be repeated",
    )
    own.add_argument(
        "--repeat",
        type=_number,
        default=1,
        metavar="N",
        help="grade the solution N times; all results must be the same",
    )
    own.add_argument(
        "--auto",
        action="store_true",
        help="generate mutants instead: every small mistake that can be made in the solution; "
        "each mutant that no check detects needs a reason in the lab's survivors.toml",
    )
    own.add_argument(
        "--jobs", type=_number, metavar="N", help="run N in parallel; default: the number of cores"
    )
    own.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    own.add_argument(
        "--points",
        nargs="?",
        const="",
        metavar="FILE",
        help="show what each mutant earned, the lowest first; with a FILE that --json wrote, "
        "show its results and run nothing",
    )
    own.add_argument("-v", "--verbose", action="store_true", help="show all results")
    own.set_defaults(run=_selftest)

    shell = commands.add_parser("console", help="open a shell in a guest that has your modules")
    shell.add_argument(
        "lab", nargs="?", metavar="LAB", help="default: the lab that you edited last"
    )
    shell.add_argument("--submission", type=Path, metavar="PATH", help="default: skels/LAB")
    shell.add_argument(
        "--gdb",
        action="store_true",
        help="print the command that connects gdb to the guest, its modules and programs",
    )
    shell.add_argument(
        "--at-failure",
        nargs="?",
        const="",
        metavar="CHECK",
        help="the guest in the state in which the first check of the report failed, or CHECK",
    )
    _kernel_options(shell)
    shell.set_defaults(run=_console)

    fetch = commands.add_parser("kernel", help="download or build a kernel for the guests")
    fetch.add_argument(
        "name",
        choices=["stock", "debug"],
        metavar="NAME",
        help="stock: Debian's cloud kernel; debug: a kernel built from Debian's source that "
        "reports memory errors, leaks, deadlocks and sleeping in the wrong place",
    )
    _release_option(fetch)
    fetch.add_argument("--update", action="store_true", help="look for a newer version")
    fetch.set_defaults(run=_kernel)

    pack = commands.add_parser(
        "kit",
        help="pack kernels, compiler and Python packages into one file for use without network",
    )
    pack.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    _release_option(pack)
    pack.set_defaults(run=_kit)

    desk_commands.add(commands, _number, _kernel_options, _release_option, lambda: _announce(_note))
    class_commands.add(
        commands, _number, _release_option, lambda release: _build_debug(release, update=False)
    )
    workshop_commands.add(commands, _release_option, lambda: _announce(_note))

    host = commands.add_parser("doctor", help="say what this computer has and what is missing")
    host.add_argument("--time", action="store_true", help="also start a guest and measure the time")
    host.set_defaults(run=_doctor)
    return top


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _kernel_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kernel",
        choices=["stock", "debug", "auto"],
        default="auto",
        help="auto: debug if you have built it, else stock",
    )
    _release_option(command)
    _own_kernel_options(command)
    command.add_argument(
        "--accel",
        choices=["tcg", "kvm"],
        default="tcg",
        help="kvm is faster, but then guest time is real time",
    )


def _own_kernel_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kernel-image", type=Path, metavar="FILE", help="a bzImage or vmlinux of your own"
    )
    command.add_argument(
        "--kernel-build", type=Path, metavar="DIR", help="the build tree that belongs to it"
    )


def _release_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--release",
        choices=list(debian.SUITES),
        default="",
        help="use the kernel of this release of Debian; default: that of this host, else "
        f"{debian.DEFAULT}",
    )


def _chosen_kernel(arguments: argparse.Namespace) -> Kernel:
    if own := _own_kernel(arguments):
        return own
    release: str = arguments.release
    if arguments.kernel == "stock":
        return kernels.stock(release)
    found = kernels.debug_if_built(release)
    if found is None and arguments.kernel == "debug":
        return _build_debug(release, update=False)
    return found or kernels.stock(release)


def _own_kernel(arguments: argparse.Namespace) -> Kernel | None:
    """Return the user's own kernel, None when none is given."""
    if bool(arguments.kernel_image) != bool(arguments.kernel_build):
        raise InputError("--kernel-image and --kernel-build belong together: give both or neither.")
    if not arguments.kernel_image:
        return None
    try:
        return kernels.custom(arguments.kernel_image, arguments.kernel_build)
    except VMError as error:
        raise InputError(str(error)) from error


def _alone(arguments: argparse.Namespace, option: str, others: Sequence[str]) -> None:
    """Refuse *option* together with any of *others* that was given."""
    given = [o for o in others if getattr(arguments, o.removeprefix("--").replace("-", "_"))]
    if given:
        raise InputError(f"{option} and {given[0]} cannot be used together: leave out one of them.")


def _build_debug(release: str = "", *, update: bool) -> Kernel:
    """Build the debug kernel, if need be, and show how far it is."""
    with _building() as progress:
        return kernels.debug(release, update=update, progress=progress)


@contextlib.contextmanager
def _building() -> Iterator[debug_kernel.Progress]:
    """Yield what shows how far a kernel is: a progress bar on a terminal, lines elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        _announce(bar.console.print)
        task = bar.add_task("building the debug kernel", total=None)
        told = 0

        def progress(done: int, total: int) -> None:
            nonlocal told
            bar.update(task, completed=done, total=total)
            if not bar.console.is_terminal and 10 * done // total > told:
                told = 10 * done // total
                bar.console.print(f"building the debug kernel: {told}0 %")

        yield progress


def _kit(arguments: argparse.Namespace) -> int:
    from checker import lab
    from vm import kit

    _require_folder(arguments.out)
    release = arguments.release or debian.default_release()
    with _building() as progress:
        packages = {lab.load(name).guest.packages for name in lab.names()}
        kit.make(arguments.out, release, lab.ROOT / "pyproject.toml", progress, sorted(packages))
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: a kit of Debian {release}'s kernels, {size / 1e6:.0f} MB")
    return FULL


def _check(arguments: argparse.Namespace) -> int:
    from checker.desk import last_run, unread, work
    from checker.desk import progress as reached
    from checker.engine import grading, submission
    from checker.report import terminal

    if arguments.all_kernels:
        return _check_on_all(arguments)
    the_lab = work.lab(arguments.lab, arguments.submission)
    for number in arguments.exercise or ():
        work.exercise(the_lab, number)
    for target in (arguments.json, arguments.junit, arguments.html):
        _require_folder(target)
    if arguments.keep and not arguments.keep.is_dir():
        raise InputError(f"--keep {arguments.keep} is not a folder.")
    path = arguments.submission or work.SKELS / the_lab.name
    given = submission.read(the_lab, path)
    console = Console(highlight=False)
    fresh = arguments.fresh or arguments.seed is not None
    earlier = {} if fresh else last_run.results(the_lab, path)
    with (
        terminal.Progress(Console(stderr=True, highlight=False)) as progress,
        last_run.keeping(path) as kept,
    ):
        _announce(progress.stage, progress.note)
        grade = grading.grade_submission(
            the_lab,
            given,
            _chosen_kernel(arguments),
            grading.Options(
                exercises=frozenset(arguments.exercise or ()),
                seed=arguments.seed,
                accel=arguments.accel,
                reuse=True,
                keep=kept,
                earlier=earlier,
                on_checked=lambda one: last_run.save_result(kept, one),
                on_stage=progress.stage,
                on_result=progress.check_done,
            ),
        )
        last_run.save_sources(kept, given)
        last_run.save(kept, grade)
        losses = reached.note(the_lab, given, grade)
        last_run.carry(kept, path, [e.number for e in grade.exercises if e.reused])
        if arguments.keep:
            shutil.copytree(kept, arguments.keep, dirs_exist_ok=True)
        tried = {e.number for e in grade.exercises}
        last_run.carry(kept, path, [e.number for e in the_lab.exercises if e.number not in tried])
    terminal.render(
        grade,
        console,
        verbose=arguments.verbose,
        folder=work.shown(path),
        notes=[*map(str, losses), *unread.notes(the_lab, path)],
        then=work.comes_next(reached.at(the_lab, path)),
    )
    if hidden := sum(the_lab.exercise(e.number).hidden for e in grade.exercises):
        console.print(f"{hidden:g} more points are for checks that only your instructor has.")
    _write(arguments, grade, given)
    if grade.status == "error":
        return GRADER_FAILED
    return FULL if grade.score == grade.max_score else PARTIAL


def _check_on_all(arguments: argparse.Namespace) -> int:
    from checker.desk import work
    from checker.engine import grading, submission
    from checker.report import across, story, terminal
    from checker.report import kernels as report
    from checker.workshop import selftest

    _alone(
        arguments,
        "--all-kernels",
        ("--release", "--kernel-image", "--kernel-build", "--json", "--junit", "--html", "--keep"),
    )
    if arguments.kernel != "auto":
        raise InputError(
            "--all-kernels and --kernel cannot be used together: leave out one of them."
        )
    the_lab = work.lab(arguments.lab, arguments.submission)
    for number in arguments.exercise or ():
        work.exercise(the_lab, number)
    given = submission.read(the_lab, arguments.submission or work.SKELS / the_lab.name)
    options = grading.Options(
        exercises=frozenset(arguments.exercise or ()),
        # what the kernels differ in is not to come of other ports and addresses
        seed=secrets.randbelow(1 << 32) if arguments.seed is None else arguments.seed,
        accel=arguments.accel,
        reuse=True,
    )
    runs = []
    _announce(_note)
    for name, kernel in across.names(kernels.at_hand() or [kernels.stock()]).items():
        with terminal.Progress(Console(stderr=True, highlight=False)) as progress:
            _announce(progress.stage, progress.note)
            told = dataclasses.replace(
                options, on_stage=progress.stage, on_result=progress.check_done
            )
            grade = grading.grade_submission(the_lab, given, kernel, told)
            unbuilt = selftest.unbuilt(grade, the_lab, given, kernel)
            runs.append(across.Run(name, grade, kernel.debian, tuple(unbuilt)))
            progress.note(f"{name}: {story.score(grade)} points")
    found = across.compare(the_lab, runs)
    report.render(found, Console(highlight=False), verbose=arguments.verbose)
    if found.errors:
        return GRADER_FAILED
    return FULL if found.full else PARTIAL


def _verify(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.classroom import verify
    from checker.classroom.export import entries, sheet
    from checker.engine import submission
    from checker.report import terminal
    from checker.report import verify as report

    if not (arguments.submission or arguments.signed_by):
        raise InputError(
            "Say what to verify: --submission PATH grades again, --signed-by KEYS looks at the "
            "signature."
        )
    name = str(arguments.file)
    if not arguments.file.is_file():
        raise InputError(f"There is no file {name}; knetlab check --json {name} writes one.")
    entry = entries.from_grade(sheet.decode(arguments.file.read_bytes(), name), name)
    stored = entry.attempt.grade if entry.attempt else None
    assert stored
    if arguments.signed_by:
        print(f"{name} was signed by {verify.signer(arguments.file, arguments.signed_by)}.")
    if not arguments.submission:
        return FULL
    the_lab = lab.load(stored.lab)
    given = submission.read(the_lab, arguments.submission)
    on = _own_kernel(arguments) or verify.kernel_of(stored)
    with terminal.Progress(Console(stderr=True, highlight=False)) as progress:
        _announce(progress.stage, progress.note)
        new = verify.again(
            stored, the_lab, given, on, on_stage=progress.stage, on_result=progress.check_done
        )
    if new.status == "error":
        print(f"knetlab: the grader failed this time: {new.message}", file=sys.stderr)
        return GRADER_FAILED
    verdict = verify.compare(stored, new)
    report.render(verdict, new, Console(highlight=False))
    return PARTIAL if verdict.differs else FULL


def _require_folder(target: Path | None) -> None:
    if target is not None and not target.resolve().parent.is_dir():
        raise InputError(
            f"{target} cannot be written: there is no folder {target.resolve().parent}."
        )


def _selftest(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.engine import collector, guests
    from checker.report import selftest as report
    from checker.report.progress import Progress
    from checker.workshop import points, selftest

    if arguments.all_kernels:
        _alone(arguments, "--all-kernels", ("--release", "--kernel-image", "--kernel-build"))
    the_lab = lab.load(arguments.lab)
    lab.require_solution(the_lab, "knetlab selftest")
    _require_folder(arguments.json)
    if arguments.points:
        _alone(arguments, "--points FILE", ("--only", "--sample", "--auto", "--json"))
        file = Path(arguments.points)
        report.points(points.rows(points.read(file, the_lab), the_lab), Console(highlight=False))
        return FULL
    collector.prove(the_lab)  # what is wrong with it is told before a kernel is fetched
    if arguments.auto:
        if arguments.points is not None:
            raise InputError(
                "--auto and --points do not go together: mutants of --auto have no reason to show."
            )
        return _auto(arguments, the_lab)
    if arguments.sample:
        raise InputError("--sample N is for --auto: leave out the number, or add --auto.")
    trials = selftest.plan(
        the_lab,
        sample=arguments.sample is not None,
        only=arguments.only or (),
        repeat=arguments.repeat,
    )
    with Progress(Console(stderr=True, highlight=False)) as progress:
        _announce(progress.stage, progress.note)
        chosen = _kernels_of(arguments)
        for on in chosen.values():  # before any trial, and once
            guests.config(the_lab, on)
        progress.begin(len(trials) * len(chosen))
        done = selftest.run(
            the_lab,
            chosen,
            trials,
            jobs=arguments.jobs or len(os.sched_getaffinity(0)),
            on_done=lambda outcome: progress.done(
                report.line(outcome), always=outcome.verdict in selftest.TROUBLES
            ),
        )
    if arguments.points is not None:
        report.points(points.rows(done, the_lab), Console(highlight=False))
    report.render(done, Console(highlight=False), verbose=arguments.verbose)
    if arguments.json:
        arguments.json.write_text(done.to_json(), encoding="utf-8")
    if any(outcome.verdict == "error" for outcome in done.outcomes):
        return GRADER_FAILED
    return PARTIAL if done.troubles or done.disagreements else FULL


def _auto(arguments: argparse.Namespace, the_lab: Lab) -> int:
    from checker.engine import guests
    from checker.report import auto as report
    from checker.report.progress import Progress
    from checker.workshop import auto

    if arguments.only or arguments.repeat != 1 or arguments.verbose:
        raise InputError("--auto cannot be used together with --only, --repeat or --verbose.")
    if arguments.sample == 0:
        raise InputError("With --auto, --sample needs the number of mutants.")
    possible = auto.make(the_lab)  # what is wrong with it is told before a kernel is fetched
    with Progress(Console(stderr=True, highlight=False)) as progress:
        _announce(progress.stage, progress.note)
        chosen = _kernels_of(arguments)
        for on in chosen.values():  # before any trial, and once
            guests.config(the_lab, on)

        def stage(text: str, number: int) -> None:
            progress.stage(text)
            progress.begin(number, text)

        def on_done(outcome: auto.Outcome | None) -> None:
            if outcome:
                progress.done(report.line(outcome), always=outcome.verdict != "caught")
            else:
                progress.count()

        done = auto.run(
            the_lab,
            chosen,
            possible,
            number=arguments.sample,
            jobs=arguments.jobs or len(os.sched_getaffinity(0)),
            stage=stage,
            on_done=on_done,
        )
    print(report.render(done, the_lab.solution))
    if arguments.json:
        arguments.json.write_text(done.to_json(), encoding="utf-8")
    if done.count("error"):
        return GRADER_FAILED
    return PARTIAL if done.survivors or done.stale else FULL


def _kernels_of(arguments: argparse.Namespace) -> dict[str, Kernel]:
    """Return the kernels of a selftest by name: "stock", or "6.12 stock" if of several releases."""
    from checker.report import across

    if own := _own_kernel(arguments):
        return {own.name: own}
    release: str = arguments.release
    if arguments.all_kernels:
        found = [k for k in kernels.at_hand() if arguments.kernel in ("all", k.name)]
        if not found:
            name = "stock" if arguments.kernel == "all" else arguments.kernel
            raise InputError(
                f"The cache has no such kernel of any release. `knetlab kernel {name}` gets one."
            )
    elif arguments.kernel == "all":
        debug = kernels.debug_if_built(release)
        found = [kernels.stock(release), *([debug] if debug else [])]
    else:
        maker = kernels.stock if arguments.kernel == "stock" else kernels.debug
        found = [maker(release)]
    if len({kernel.debian for kernel in found}) == 1:
        return {kernel.name: kernel for kernel in found}
    return across.names(found)


def _announce(say: Callable[[str], None], warn: Callable[[str], None] | None = None) -> None:
    """Let what vm says of its long work reach the user; *warn* has what is to stay in sight."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell = warn if warn and record.levelno >= logging.WARNING else say
            tell(record.getMessage())

    logger = logging.getLogger("knetlab")
    logger.handlers = [Handler()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _write(arguments: argparse.Namespace, grade: Grade, given: Submission) -> None:
    if arguments.json:
        arguments.json.write_text(grade.to_json(), encoding="utf-8")
    if arguments.junit:
        from checker.classroom.export import junit

        made = datetime.now(UTC)
        arguments.junit.write_text(junit.render([grade], made), encoding="utf-8")
    if arguments.html:
        from checker.report import html, source

        arguments.html.write_text(html.render(grade, sources=source.texts(given)), encoding="utf-8")


def _console(arguments: argparse.Namespace) -> int:
    from checker.desk import at_failure, console, work

    the_lab = work.lab(arguments.lab, arguments.submission)
    path = arguments.submission or work.SKELS / the_lab.name
    _announce(_note)
    if arguments.at_failure is None:
        kernel = _chosen_kernel(arguments)
        return console.run(the_lab, path, kernel, accel=arguments.accel, gdb=arguments.gdb)

    own = _own_kernel(arguments)
    return at_failure.run(
        the_lab, path, own, wanted=arguments.at_failure or None, gdb=arguments.gdb
    )


def _skeleton(arguments: argparse.Namespace) -> int:
    from checker import lab
    from checker.desk.work import SKELS
    from checker.report.text import count
    from checker.workshop import skeleton

    the_lab = lab.load(arguments.lab)
    files = skeleton.of(the_lab, arguments.step)
    target = arguments.output or SKELS / arguments.lab
    report = skeleton.write(files, target, force=arguments.force)
    for old, new in report.backups:
        print(f"your {old} is kept as {new}")
    written = count(len(report.written), "file")
    print(f"{target}: {written} written, {len(report.unchanged)} not changed")
    return FULL


def _kernel(arguments: argparse.Namespace) -> int:
    if arguments.name == "debug":
        found = _build_debug(arguments.release, update=arguments.update)
    else:
        _announce(print)
        found = kernels.stock(arguments.release, update=arguments.update)
    print(f"{found.name}: Linux {found.release}, {found.image}")
    return FULL


def _doctor(arguments: argparse.Namespace) -> int:
    from checker.desk import doctor

    _announce(print)
    fit = doctor.report(Console(highlight=False), timed=arguments.time)
    return FULL if fit else BAD_INPUT


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; a number that stands where no number goes is told how to write."""
    top = parser()
    arguments, more = top.parse_known_args(argv)
    lab = getattr(arguments, "lab", None)
    words = [lab, *more] if isinstance(lab, str) else more
    number = next((word for word in words if word.isdigit()), "")
    if number and hasattr(arguments, "exercise"):
        from checker import lab as labs

        command = ["knetlab", arguments.command]
        command += [lab] if isinstance(lab, str) and lab != number else []
        if number not in labs.names():
            top.error(f"to name exercise {number}, write: {' '.join(command)} --exercise {number}")
    if more:
        top.error(f"unrecognized arguments: {' '.join(more)}")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status; errors are one sentence on stderr."""
    arguments = _parsed(argv)
    try:
        with reaper.run():
            if path := os.environ.get("KNETLAB_KIT"):
                from vm import kit

                _announce(_note)
                kit.use(Path(path))
            status = arguments.run(arguments)
    except (BadKit, InputError) as error:
        status = _say(error, BAD_INPUT)
    except VMError as error:  # what this host lacks, too: no verdict about anybody's work
        status = _say(error, GRADER_FAILED)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"{error.filename}: " if error.filename else ""
        said = (
            "no space is left on the disk; free some space and run the command again"
            if full
            else error.strerror
        )
        status = _say(f"{what}{said}.", GRADER_FAILED)
    except KeyboardInterrupt:
        status = _say("stopped.", STOPPED)
    sys.exit(status)


def _say(error: object, status: int) -> int:
    print(f"knetlab: {error}", file=sys.stderr)
    return status
