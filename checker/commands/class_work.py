"""What the commands for a class do: grade, report, export, diff, similar. They call and print.

A folder of grades holds what `grade` has stored (checker/classroom/store.py), the rules of the
course in course.toml, and the pages for people below report/. All but `grade` work on
what is stored and boot nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import watchfiles
from filelock import FileLock
from rich.console import Console
from rich.text import Text

from checker import lab
from checker.classroom import RULES, batch, cluster, course, diff, intake, similar, twins
from checker.classroom.course import Course
from checker.classroom.export import entries, github, sheet
from checker.classroom.export.entries import Hidden
from checker.classroom.export.feedback import Page
from checker.classroom.export.formats import (
    FORMATS,
    Document,
    Feedback,
    Gradebook,
    Options,
    Result,
)
from checker.classroom.intake import Intake, roster
from checker.classroom.intake.roster import Roster
from checker.classroom.store import FILE, Store, Trouble
from checker.commands.exits import FULL, GRADER_FAILED, PARTIAL
from checker.engine import guests, submission
from checker.errors import InputError
from checker.model import Attempt, Entry, Lab
from checker.report import batch as told
from checker.report import class_page, student_page
from checker.report import diff as diff_report
from checker.report import similar as similar_report
from checker.report.progress import Progress
from checker.report.text import count, plain
from vm import debian, toolchain
from vm import kernel as kernels
from vm.errors import MissingTool, NoSpace, VMError
from vm.kernel import Kernel

WATCH_MILLISECONDS = 2000
"""Grades that end so close together are told at once."""

# --- grade ---------------------------------------------------------------------------


def _grade(arguments: argparse.Namespace) -> int:
    the_lab = lab.load(arguments.lab)
    rules = _rules(arguments.course or arguments.out / RULES, the_lab, must=arguments.course)
    known = _roster(arguments)
    if rules.group_work and not (known and known.groups):
        raise InputError(
            f"{rules.path}: the key 'group_work' needs to know the groups: --groups CSV, or a "
            "column group in the roster, says who is in which."
        )
    if (arguments.executor == "dask") != bool(arguments.scheduler):
        raise InputError("--executor dask and --scheduler ADDRESS belong together: give both.")
    for path in arguments.paths:
        if arguments.out.resolve().is_relative_to(path.resolve()):
            raise InputError(
                f"--out {arguments.out} lies in {path}; choose a folder outside of it."
            )
    jobs = arguments.jobs or batch.jobs_here()
    console = Console(highlight=False)
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="knetlab-intake-"))
        zone = ZoneInfo(rules.timezone) if rules.timezone else None
        found = intake.read(
            the_lab,
            arguments.paths,
            Path(scratch),
            known,
            zone=zone,
            jobs=jobs,
            group_work=rules.group_work,
            commits=functools.partial(course.commits, rules),
        )
        course.own_rules(rules, found.students, roster=known is not None)
        told.intake(found, console)
        if arguments.dry_run:
            return FULL
        batch.only(
            found.students, arguments.only
        )  # a wrong name is told before all that takes long
        runner = cluster.runner(arguments.scheduler) if arguments.scheduler else batch.local(jobs)
        debug, release = arguments.kernel == "debug", arguments.release
        stack.enter_context(toolchain.own_by_default())
        _fetch_compiler(release or debian.default_release())
        if debug and kernels.debug_if_built(release) is None:
            _print(
                "Grades are made on the debug kernel. It is built first, which takes some minutes. "
                "To grade at once without the checks that need it, use Ctrl-C and --kernel stock."
            )
        on = arguments.debug(release) if debug else kernels.stock(release)
        guests.drivers(the_lab, on)  # a kernel that will not do is told before all else
        store = stack.enter_context(Store(arguments.out, the_lab.name))
        if arguments.course and arguments.course.resolve() != (arguments.out / RULES).resolve():
            shutil.copyfile(arguments.course, arguments.out / RULES)
        progress = stack.enter_context(Progress(Console(stderr=True, highlight=False)))
        _run(store, the_lab, on, found, runner=runner, progress=progress, which=arguments)
        troubles = store.troubles()
        finished = _write_pages(store, rules, the_lab)
    _tell(arguments.out, finished, troubles)
    if troubles:
        return GRADER_FAILED
    return FULL if all(e.attempt is None or e.attempt.grade for e in finished) else PARTIAL


def _roster(arguments: argparse.Namespace) -> Roster | None:
    """Return who is in the class, and in which group, as far as files say so."""
    if arguments.roster:
        known = roster.load(arguments.roster)
        return known.with_groups(arguments.groups) if arguments.groups else known
    return roster.load_groups(arguments.groups) if arguments.groups else None


def _fetch_compiler(release: str) -> None:
    """Have the compiler that grades are made with at hand, or say how to do without it."""
    if toolchain.if_there(release) is None:
        _print(
            f"Grades are made with the compiler of Debian {release}, so that they are the same on "
            "every computer. It is downloaded first, 70 MB."
        )
    try:
        toolchain.of(release)
    except (MissingTool, NoSpace):
        raise
    except VMError as error:
        raise InputError(
            f"{error} If you cannot fix this, set KNETLAB_TOOLCHAIN=host to use this computer's "
            "own compiler."
        ) from error


def _run(
    store: Store,
    the_lab: Lab,
    on: Kernel,
    found: Intake,
    *,
    runner: batch.Runner,
    progress: Progress,
    which: argparse.Namespace,
) -> None:
    """Note what was handed in, and grade of it what *which* asks for."""
    chosen = batch.only(found.students, which.only)
    for student in found.students:
        store.add_student(student)
    tasks = batch.take(store, the_lab, on, _received(the_lab, found))
    names = store.wanted()
    mine = [task for task in tasks if chosen & set(names[task.key])]
    waiting = batch.waiting(store, mine, force=which.force, failed=which.failed)
    graded = len(mine) - len(waiting)
    if graded and not which.failed:
        progress.stage(f"{graded} of {len(mine)} different submissions are graded already")
    progress.begin(len(waiting))
    batch.run(store, waiting, runner, lambda d: progress.done(told.line(d, names[d.task.key])))


def _received(the_lab: Lab, found: Intake) -> list[batch.Received]:
    students = {student.key: student for student in found.students}
    received = []
    for one in found.attempts:
        given, problem = None, one.problem
        if one.files is not None:
            try:
                given = submission.read(the_lab, one.files)
            except InputError as error:
                problem = str(error)
        attempt = Attempt(
            student=one.student,
            label=one.label,
            submitted=one.submitted,
            late=one.late,
            problem=problem,
            commit=one.commit,
            source=one.source,
            listing=one.listing,
        )
        received.append(batch.Received(students[one.student], attempt, given))
    return received


# --- what is stored ------------------------------------------------------------------


def _rules(path: Path, the_lab: Lab, *, must: object = False) -> Course:
    """Read the rules at *path*; without *must* there may be none."""
    return course.load(path, the_lab) if must or path.exists() else Course()


def _entries(store: Store, rules: Course, the_lab: Lab) -> list[Entry]:
    # all are known who will ever be: a name in the rules that is nobody's is a mistake
    return course.settle(rules, the_lab, store.students(), store.attempts(), roster=True)


def _stored(folder: Path) -> tuple[Lab, Course, list[Entry]]:
    """Return what a folder of grades holds; its lab has to be at hand."""
    with _reading(folder) as store:
        the_lab = lab.load(store.lab)
        rules = _rules(folder / RULES, the_lab)
        return the_lab, rules, _entries(store, rules, the_lab)


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[Store]:
    """Open what is stored in *folder*, and say so when a run is at it."""
    with Store(folder, reads=True) as store:
        if store.running:
            done, all_ = store.progress()
            said = f"knetlab is at {folder}: this is what is there now, {done} of {all_} graded."
            Console(stderr=True, highlight=False, soft_wrap=True).print(Text(plain(said)))
        yield store


def _report(arguments: argparse.Namespace) -> int:
    _report_once(arguments.folder)
    if arguments.watch:
        names = {FILE, RULES}
        _print("The pages are written again when a grade ends. Ctrl-C ends this.")
        for _ in watchfiles.watch(
            arguments.folder,
            watch_filter=lambda _, path: Path(path).name in names,
            recursive=False,
            debounce=WATCH_MILLISECONDS,
            raise_interrupt=False,
        ):
            try:
                _report_once(arguments.folder)
            except InputError as error:  # course.toml is being edited
                _print(str(error))
    return FULL


def _report_once(folder: Path) -> None:
    with _reading(folder) as store:
        the_lab = lab.load(store.lab)
        finished = _write_pages(store, _rules(folder / RULES, the_lab), the_lab)
        troubles = store.troubles()
    _tell(folder, finished, troubles)


def _tell(folder: Path, finished: Sequence[Entry], troubles: Sequence[Trouble]) -> None:
    """Print what a class came to, and where its pages are."""
    console = Console(highlight=False)
    told.summary(finished, troubles, console)
    console.print(Text(f"Pages: {folder / 'report' / 'index.html'}"))


def _write_pages(store: Store, rules: Course, the_lab: Lab) -> list[Entry]:
    """Write report/index.html and a page for each student; what was there before goes.

    Each file is there at any moment, as a browser or another command may be reading it.
    """
    with FileLock(store.folder / ".report.lock"):
        return _write_pages_alone(store, rules, the_lab)


def _write_pages_alone(store: Store, rules: Course, the_lab: Lab) -> list[Entry]:
    finished = _entries(store, rules, the_lab)
    folder = store.folder / "report"
    (folder / "students").mkdir(parents=True, exist_ok=True)
    links = {}
    for page in _pages(store, rules, the_lab, finished):
        key = page.entry.student.key
        links[key] = f"students/{student_page.file_name(key)}"
        _replace(folder / links[key], page.html)
    index = class_page.render(
        the_lab.title,
        finished,
        links,
        runs=store.tried(),
        hidden=_hidden(rules),
        twins=_twins(store, the_lab, finished),
    )
    _replace(folder / "index.html", index)
    for old in set((folder / "students").iterdir()) - {folder / link for link in links.values()}:
        old.unlink(missing_ok=True)
    return finished


def _twins(store: Store, the_lab: Lab, finished: Sequence[Entry]) -> dict[str, str]:
    """Return key -> a sentence on who has the same files, of those attempts that count."""
    attempts = [entry.attempt for entry in finished if entry.attempt]
    files = {a.student: store.sources(a.student, a.label) for a in attempts}
    same = twins.find(the_lab, files, {a.student: a.source for a in attempts})
    names = {entry.student.key: entry.student.name or entry.student.key for entry in finished}
    return twins.sentences(same, names)


def _replace(path: Path, text: str) -> None:
    """Write *path* whole, or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _pages(store: Store, rules: Course, the_lab: Lab, finished: Sequence[Entry]) -> Iterator[Page]:
    """Yield each student's page, without what must not be seen at their own deadline."""
    own = course.own_rules(rules, [entry.student for entry in finished])
    now = datetime.now(UTC)
    for entry in finished:
        key = entry.student.key
        due = course.deadline(rules, own.get(key))
        page = student_page.render(
            entry,
            lab=the_lab.title,
            sources=store.sources(key, entry.attempt.label) if entry.attempt else {},
            hidden=course.hidden(rules, now, due),
            now=now,
        )
        yield Page(entry, page)


# --- export --------------------------------------------------------------------------


def _export(arguments: argparse.Namespace) -> int:
    format_ = FORMATS[arguments.format]
    if isinstance(format_, Gradebook):
        return _fill(arguments, format_)
    if isinstance(format_, Feedback):
        return _zip_pages(arguments, format_)
    if arguments.into or arguments.column or arguments.dry_run:
        raise InputError(
            f"--into, --column and --dry-run are only for gradebooks, and {arguments.format} is "
            "not a gradebook."
        )
    options, found = _exportable(arguments)
    if isinstance(format_, Document):
        _put(arguments.out, format_.render(found, options))
    elif len(found) == 1:
        _put(arguments.out, format_.render(found[0], options))
    else:
        _put_each(arguments, format_, found, options)
    return FULL


def _exportable(arguments: argparse.Namespace) -> tuple[Options, list[Entry]]:
    """Return the entries to export: of a folder of grades, or the one of a grade's file."""
    if arguments.folder.is_file():
        text = sheet.decode(arguments.folder.read_bytes(), str(arguments.folder))
        entry = entries.from_grade(text, str(arguments.folder))
        assert entry.attempt
        assert entry.attempt.grade
        the_lab, rules, found = lab.load(entry.attempt.grade.lab), Course(), [entry]
    else:
        the_lab, rules, found = _stored(arguments.folder)
    options = Options(
        hidden=_hidden(rules),
        paths=github.paths(the_lab, arguments.submission),
        environment=os.environ,
    )
    return options, found


def _hidden(rules: Course) -> Hidden:
    """Return the checks that students must not see now, with when they may."""
    seen = course.hidden(rules, datetime.now(UTC))
    return {check: when for check, when in rules.visible.items() if check in seen}


def _put_each(
    arguments: argparse.Namespace,
    format_: Result,
    found: Sequence[Entry],
    options: Options,
) -> None:
    """Write a file for each entry that has something to write; say which have not."""
    if arguments.out is None:
        raise InputError(f"There are {len(found)} students: name a folder for them with --out.")
    written = 0
    for entry in found:
        try:
            text = format_.render(entry, options)
        except InputError as error:
            _print(f"{entry.student.key}: left out. {error}")
            continue
        name = Path(student_page.file_name(entry.student.key)).stem
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / format_.file).write_text(text, encoding="utf-8")
        written += 1
    if not written:
        raise InputError(
            f"Nothing was written: of {count(len(found), 'student')} none has what "
            f"{arguments.format} needs; why stands above."
        )


def _spare(arguments: argparse.Namespace) -> None:
    """Refuse to write over the LMS's own file, which may be the only one, without --force."""
    into, out = arguments.into, arguments.out
    if into and out and not arguments.force and out.exists() and out.samefile(into):
        raise InputError(
            f"--out {out} is the file that --into names: choose another name, or give --force to "
            "write over it."
        )


def _fill(arguments: argparse.Namespace, format_: Gradebook) -> int:
    """Fill a gradebook in; the file that was downloaded stays as it is."""
    if arguments.into is None:
        raise InputError(f"{arguments.format} fills in a gradebook: name its file with --into.")
    if format_.column and not arguments.column:
        raise InputError(
            f"{arguments.format} needs --column, the name of the assignment in the gradebook."
        )
    if not arguments.dry_run and arguments.out is None:
        raise InputError(
            "Name the file for the filled gradebook with --out, or use --dry-run, which writes "
            "nothing."
        )
    _spare(arguments)
    name = str(arguments.into)
    text = sheet.decode(arguments.into.read_bytes(), name)
    _, rules, found = _stored(arguments.folder)
    filled = format_.fill(found, text, arguments.column, name, _hidden(rules))
    if not arguments.dry_run:  # first: who reads the lines may go away, as head does
        arguments.out.write_bytes(filled.text.encode("utf-8"))
    for line in filled.lines():
        _print(line)
    return FULL


def _zip_pages(arguments: argparse.Namespace, format_: Feedback) -> int:
    """Write a zip with the page of each student who handed something in."""
    if arguments.column or arguments.dry_run:
        raise InputError(f"--column and --dry-run are not for {arguments.format}: leave them out.")
    if format_.download and arguments.into is None:
        raise InputError(
            f"{arguments.format} names the pages after the files of the download: --into says "
            "which download."
        )
    if arguments.out is None:
        raise InputError("--out says where the zip goes.")
    _spare(arguments)
    names = _names(arguments.into) if format_.download else []
    with _reading(arguments.folder) as store:
        the_lab = lab.load(store.lab)
        rules = _rules(arguments.folder / RULES, the_lab)
        handed_in = [entry for entry in _entries(store, rules, the_lab) if entry.attempt]
        made = format_.render(list(_pages(store, rules, the_lab, handed_in)), names)
    arguments.out.write_bytes(made.data)
    _print(f"{count(made.pages, 'page')} in {arguments.out}.")
    for left in made.left:
        _print(f"{left.student}: left out, as {left.why}.")
    return FULL


def _names(download: Path) -> list[str]:
    """Return the names of the files in an LMS's download, packed or unpacked."""
    try:
        if download.is_dir():
            return [path.name for path in download.rglob("*") if path.is_file()]
        with zipfile.ZipFile(download) as packed:
            return packed.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{download} cannot be read as a download: {error}.") from error


def _put(target: Path | None, text: str) -> None:
    if target is None:
        sys.stdout.write(text)
    else:
        target.write_text(text, encoding="utf-8")


def _print(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(Text(plain(line)))


# --- diff ----------------------------------------------------------------------------


def _diff(arguments: argparse.Namespace) -> int:
    for folder in (arguments.before, arguments.after):
        if not (folder / FILE).is_file():
            raise InputError(f"{folder} has no {FILE}: `knetlab grade` makes it.")
    (_, _, before), (_, _, after) = _stored(arguments.before), _stored(arguments.after)
    found = diff.compare(before, after)
    diff_report.render(found, Console(highlight=False))
    return PARTIAL if found.changes else FULL


# --- similar -------------------------------------------------------------------------


def _similar(arguments: argparse.Namespace) -> int:
    the_lab = lab.load(arguments.lab)
    with _reading(arguments.folder) as store:
        if store.lab != the_lab.name:
            raise InputError(f"{arguments.folder} holds grades of {store.lab}, not {the_lab.name}.")
        # of several attempts the last
        last = {attempt.student: attempt for attempt in store.attempts()}
        sources = {student: store.sources(student, a.label) for student, a in last.items()}
    same = twins.find(the_lab, sources, {student: a.source for student, a in last.items()})
    console = Console(highlight=False)
    similar_report.render_same(same, console)
    pairs = similar.find(the_lab, {student: files for student, files in sources.items() if files})
    similar_report.render(pairs, console)
    if arguments.html:
        page = similar_report.page(the_lab, pairs, same)
        arguments.html.write_text(page, encoding="utf-8")
    return FULL


COMMANDS = {
    "grade": _grade,
    "report": _report,
    "export": _export,
    "diff": _diff,
    "similar": _similar,
}
