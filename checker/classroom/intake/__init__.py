"""What was handed in: PATH... as an LMS gave them -> students and their attempts, laid out.

A PATH is an LMS's download (folder or archive), a folder of students' folders,
archives or checkouts, or what one student handed in. Nothing in it is trusted:
no link is followed, no name is used as it is, archives are unpacked in a process
of their own with bounded memory. Nothing is graded here.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import resource
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime, tzinfo
from pathlib import Path

from pydantic import AwareDatetime, Field

from checker.classroom.intake import archive, bundles, layout
from checker.classroom.intake.archive import ArchiveError
from checker.classroom.intake.bundles import Bundle, Seen
from checker.classroom.intake.commit import Checkout, Commit, Rule, blob
from checker.classroom.intake.names import printable, shown, slug
from checker.classroom.intake.roster import Match, Person, Roster, make_keys
from checker.engine import pool
from checker.errors import InputError
from checker.model import Lab, Record, Student
from vm.errors import NoSpace

MEMORY = 1 << 30
"""Bytes that unpacking may take beyond what the process had."""

SECONDS = 60
"""Seconds of a processor that one submission may take before grading."""

LISTED = 20
"""So many files are listed of a submission that has nothing to grade."""

_TEMPORARY = ".unpacked-"


class Handed(Record):
    """One attempt as it was handed in: where its files are, or why there is nothing to grade."""

    student: str = Field(description="the student's key")
    label: str = Field(description="which of a student's: safe as a file name")
    source: str = Field(description="where it came from, for people")
    submitted: AwareDatetime | None = None
    late: bool | None = Field(default=None, description="what the LMS says, where it does")
    commit: str = Field(default="", description="which commit it is, of a checkout")
    files: Path | None = Field(default=None, description="folder for submission.read()")
    found: dict[str, str] = Field(default={}, description="file of the lab -> where it was")
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="sentences")
    problem: str = Field(default="", description="a sentence when there is nothing to grade")
    listing: tuple[str, ...] = Field(default=(), description="what was found, with a problem")


Commits = Callable[[Sequence[Student]], Mapping[str, Rule]]
"""The class -> which commit of a student's checkout is graded, by key."""


class Intake(Record):
    """A class: its students, those who handed in nothing too, and all attempts."""

    lab: str
    students: tuple[Student, ...]
    attempts: tuple[Handed, ...]
    notes: tuple[str, ...] = Field(default=(), description="sentences on the whole")

    def of(self, student: str) -> tuple[Handed, ...]:
        """Return the attempts of the student with this key."""
        return tuple(attempt for attempt in self.attempts if attempt.student == student)


def read(
    lab: Lab,
    paths: Sequence[Path],
    scratch: Path,
    roster: Roster | None = None,
    *,
    zone: tzinfo | None = None,
    jobs: int = 2,
    group_work: bool = False,
    commits: Commits | None = None,
) -> Intake:
    """Find what was handed in for *lab* in *paths*, laid out in *scratch*/key/label.

    What a group of the *roster* handed in is an attempt of each member; with *group_work* what
    one member handed in is, too. Of checkouts the files are taken as they lie there, or those of
    the commit that *commits* chooses. *zone* is that of times which an LMS writes without one
    (Blackboard's); None: the host's. At most *jobs* submissions are looked into at a time. One
    bad submission is a problem of its attempt. Raises InputError when a PATH is none, holds
    nothing that could be a submission, or *scratch* lies in it; then nothing is laid out.

    A PATH is one student's when the lab's files lie in it, when it is a checkout, and,
    where several are given, when it is an archive or has one folder with any of the
    lab's files. What an LMS made is known by its names, and is read as such in any case.
    """
    _check(paths, scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    for left in scratch.glob(f"{_TEMPORARY}*"):  # by a run that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_TEMPORARY) as temporary:
        seen = Seen()
        opened = _open(paths, Path(temporary), jobs)
        for path in paths:
            folder, before = opened[path], len(seen.bundles)
            if isinstance(folder, ArchiveError):
                if len(paths) == 1:
                    raise folder
                problem = str(folder)
                label = archive.stem(_name(path))
                person = bundles.called(label)
                seen.bundles.append(Bundle(person, _shown(path), label, problem=problem))
            else:
                bundles.look(lab, path, folder, len(paths) > 1, seen)
            seen.bundles[before:] = [replace(b, path=str(path)) for b in seen.bundles[before:]]
        if not seen.bundles:
            names = " and ".join(map(str, paths))
            raise InputError(
                f"{names} has no submissions: there is no folder and no archive of a student."
            )
        students, attempts, found, notes = _assemble(
            lab, seen, roster, zone=zone, together=group_work
        )
        rules = commits(students) if commits else {}
        attempts = _staged(lab, attempts, found, scratch, jobs=jobs, rules=rules)
        attempts, more = _timed(attempts, roster, zone)
        order = {student.key: number for number, student in enumerate(students)}
        attempts.sort(key=lambda a: (order[a.student], *_age(a), a.label))
        return Intake(
            lab=lab.name,
            students=tuple(students),
            attempts=tuple(attempts),
            notes=(*seen.notes, *(roster.notes if roster else ()), *notes, *more),
        )


def _check(paths: Sequence[Path], scratch: Path) -> None:
    if not paths:
        raise InputError("There is no PATH; give the folder or the archive with the submissions.")
    resolved: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no {path}.")
        if not path.is_dir() and not (path.is_file() and archive.is_archive(path)):
            raise InputError(f"{path} is neither a folder nor an archive.")
        real = path.resolve()
        if real in resolved:
            raise InputError(f"{path} is given twice.")
        if scratch.resolve().is_relative_to(real):
            raise InputError(f"{scratch} lies in {path}; choose a folder outside of it.")
        resolved.add(real)


def _name(path: Path) -> str:
    return path.resolve().name


def _shown(path: Path) -> str:
    return shown(_name(path))


# --- work in a process with bounds ---------------------------------------------------


def _open(paths: Sequence[Path], temporary: Path, jobs: int) -> dict[Path, Path | ArchiveError]:
    """Unpack the archives of *paths*; return each path's folder, or why there is none."""
    opened: dict[Path, Path | ArchiveError] = {path: path for path in paths if path.is_dir()}
    items = [(path, temporary / f"path-{n}") for n, path in enumerate(paths) if not path.is_dir()]
    work = functools.partial(_unpack_path, len(paths) == 1)
    with contextlib.closing(pool.each(work, items, jobs, method="fork")) as results:
        for (path, folder), result in results:
            opened[path] = folder
            if isinstance(result, ArchiveError):
                opened[path] = result
            elif isinstance(result, pool.WorkerDied | MemoryError):
                opened[path] = ArchiveError(_too_much(_shown(path)))
            elif isinstance(result, Exception):
                raise _trouble(result, temporary)
    return opened


def _unpack_path(alone: bool, item: tuple[Path, Path]) -> None:
    """Unpack a PATH: a whole class where it is the only one, or named as an LMS does."""
    path, folder = item
    whole = alone or bundles.is_download(path)
    _bound(SECONDS * 60 if whole else SECONDS)
    archive.unpack(path, folder, archive.DOWNLOAD if whole else None)


def _bound(seconds: int) -> None:
    """Bound this process, one of the pool's: what takes more is ended, and costs one item."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, most))
    soft, most = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, most))


def _trouble(error: Exception, folder: Path) -> Exception:
    """Return *error*, which is ours, as whoever runs this should read it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"The disk that {folder} is on is full; make room, or use another --out.")
    return error


def _too_much(name: str) -> str:
    return (
        f"{name} took too much to look into, more than {MEMORY >> 20} MiB of memory or {SECONDS} "
        "seconds of a processor; hand in the files of the lab only."
    )


# --- the class -----------------------------------------------------------------------


def _assemble(
    lab: Lab, seen: Seen, roster: Roster | None, *, zone: tzinfo | None, together: bool
) -> tuple[list[Student], list[Handed], list[Bundle], list[str]]:
    """Return the students, their attempts with the bundles they are of, and sentences on all."""
    handed_in = list(_of_groups(_one_each(seen.bundles), roster))
    alone = [bundle for bundle in handed_in if not bundle.member]
    people = list(dict.fromkeys(bundle.person for bundle in alone))
    known, notes = _known(alone, roster)
    if roster and together:
        handed_in += _shared(alone, known, roster)
    if shared := len({bundle.source for bundle in handed_in if bundle.member}):
        notes.append(
            f"{shared} submissions are of groups: each member has the same one."
            if shared > 1
            else "1 submission is of a group: each member has the same one."
        )
    keys = make_keys(
        [person for person in people if person not in known],
        taken=[student.key for student in roster.students] if roster else [],
    )
    students = {s.key: s for s in roster.students} if roster else {}
    for person, student in known.items():
        keys[person] = student.key
        students[student.key] = _filled(students[student.key], person)
    for person in sorted(set(people) - known.keys(), key=keys.__getitem__):
        students[keys[person]] = _filled(Student(key=keys[person]), person)
    handed = list(_labelled(handed_in, keys))
    attempts = [
        Handed(
            student=bundle.member or keys[bundle.person],
            label=label,
            source=bundle.source,
            submitted=_with_zone(bundle.submitted, zone),
            late=bundle.late,
            notes=bundle.notes,
            problem=bundle.problem,
        )
        for label, bundle in handed
    ]
    times = [b.submitted for b in handed_in]
    times += [said.submitted for said in roster.said.values()] if roster else []
    if any(when and not when.tzinfo for when in times):
        where = f"those of {zone}" if zone else "this computer's"
        notes.append(f"Times without a time zone were read as {where}.")
    return list(students.values()), attempts, [bundle for _, bundle in handed], notes


def _age(attempt: Handed) -> tuple[bool, float]:
    """Return what attempts are sorted by: the time, those without one last."""
    when = attempt.submitted
    return when is None, when.timestamp() if when else 0.0


def _one_each(found: Iterable[Bundle]) -> list[Bundle]:
    """Return *found* with one Person for each: an LMS says not always all it knows of one."""
    found = list(found)
    best: dict[tuple[str, ...], Person] = {}
    for person in sorted((bundle.person for bundle in found), key=astuple):
        known = best.get(person.identity)
        if known is None or astuple(person).count("") < astuple(known).count(""):
            best[person.identity] = person
    return [replace(bundle, person=best[bundle.person.identity]) for bundle in found]


def _of_groups(found: Iterable[Bundle], roster: Roster | None) -> Iterator[Bundle]:
    """Yield *found*, with one for each member in place of what is called like a group."""
    for bundle in found:
        members = roster.group(bundle.person.name) if roster else ()
        if members:
            yield from (replace(bundle, member=key) for key in members)
        else:
            yield bundle


def _shared(
    found: Iterable[Bundle], known: Mapping[Person, Student], roster: Roster
) -> Iterator[Bundle]:
    """Yield what one of a group handed in for each other member."""
    for bundle in found:
        student = known.get(bundle.person)
        others = {
            key: None
            for members in roster.groups.values()
            if student and student.key in members
            for key in members
            if key != student.key
        }
        yield from (replace(bundle, member=key) for key in others)


def _known(
    found: Sequence[Bundle], roster: Roster | None
) -> tuple[dict[Person, Student], list[str]]:
    """Return who is whom in the roster, and what is to be said of the others."""
    if not roster:
        return {}, []
    matches: dict[Person, Match] = {b.person: roster.match(b.person) for b in found}
    notes = [printable(match.why_not) for match in matches.values() if match.why_not]
    known = {person: match.student for person, match in matches.items() if match.student}
    claims: dict[tuple[str, str, str], set[Person]] = defaultdict(set)
    for bundle in found:
        if bundle.person in known:
            key = known[bundle.person].key
            claims[key, bundle.person.lms, bundle.path].add(bundle.person)
    for (key, kind, _), people in claims.items():
        uncertain = [person for person in people if not matches[person].certain]
        if kind and len(people) > 1 and uncertain:
            ids = " and ".join(sorted(p.id or p.sis_id or p.login or p.name for p in people))
            notes.append(
                printable(
                    f"{ids} have the name of {key} in the roster and are not the same person; "
                    "who has no id in the roster was taken for nobody there."
                )
            )
            for person in uncertain:
                known.pop(person, None)
    return known, notes


def _filled(student: Student, person: Person) -> Student:
    """Return *student* with what *person* tells beyond it, fit to print."""
    new = {
        which: shown(getattr(person, which))
        for which in ("name", "id", "sis_id", "login", "email")
        if not getattr(student, which) and getattr(person, which)
    }
    return student.model_copy(update=new)


def _labelled(found: Iterable[Bundle], keys: Mapping[Person, str]) -> Iterator[tuple[str, Bundle]]:
    """Yield each of *found* with a label that no other of its student has."""
    used: set[tuple[str, str]] = set()
    for bundle in found:
        label = base = slug(bundle.label) or "attempt"
        number = 1
        key = bundle.member or keys[bundle.person]
        while (key, label) in used:
            number += 1
            label = f"{base}-{number}"
        used.add((key, label))
        yield label, bundle


def _with_zone(when: datetime | None, zone: tzinfo | None) -> datetime | None:
    if when is None or when.tzinfo:
        return when
    return when.replace(tzinfo=zone) if zone else when.astimezone()


def _timed(
    attempts: list[Handed], roster: Roster | None, zone: tzinfo | None
) -> tuple[list[Handed], list[str]]:
    """Give *attempts* what the roster says of them: times above all, the instructor's word."""
    if not roster:
        return attempts, []
    of = defaultdict(list)
    for attempt in attempts:
        of[attempt.student].append(attempt)
    notes, timed = [], []
    for attempt in attempts:
        said = roster.said.get(attempt.student)
        if said and len(of[attempt.student]) == 1:
            new = {
                "submitted": _with_zone(said.submitted, zone) or attempt.submitted,
                "late": said.late if attempt.late is None else attempt.late,
                "notes": (*attempt.notes, said.note) if said.note else attempt.notes,
            }
            timed.append(attempt.model_copy(update=new))
        else:
            timed.append(attempt)
    for key, several in of.items():
        if key in roster.said and roster.said[key].submitted and len(several) > 1:
            notes.append(
                f"{key} has {len(several)} attempts and one time in the roster, which was not used."
            )
    return timed, notes


# --- what is in it -------------------------------------------------------------------


def _staged(
    lab: Lab,
    attempts: Sequence[Handed],
    found: Sequence[Bundle],
    scratch: Path,
    *,
    jobs: int,
    rules: Mapping[str, Rule],
) -> list[Handed]:
    """Look into each attempt, several at a time, and lay its files out."""
    staged = list(attempts)
    items = [
        (number, attempt, bundle)
        for number, (attempt, bundle) in enumerate(zip(attempts, found, strict=True))
        if not attempt.problem
    ]
    work = functools.partial(_stage, lab, scratch, rules)
    with contextlib.closing(pool.each(work, items, jobs, method="fork")) as results:
        for (number, attempt, bundle), result in results:
            if isinstance(result, Handed):
                staged[number] = result
                continue
            if isinstance(result, InputError):
                problem = str(result)
            elif isinstance(result, pool.WorkerDied | MemoryError):
                problem = _too_much(attempt.source)
            else:
                raise _trouble(result, scratch)
            listing = _listing(shown(name or path.name) for name, path in bundle.pieces)
            staged[number] = attempt.model_copy(update={"problem": problem, "listing": listing})
    return staged


def _listing(paths: Iterable[str]) -> tuple[str, ...]:
    """Return *paths* in order, the first of many."""
    found = sorted(paths)
    more = len(found) - LISTED
    return (*found[:LISTED], f"and {more} more") if more > 0 else tuple(found)


def _stage(
    lab: Lab, scratch: Path, rules: Mapping[str, Rule], item: tuple[int, Handed, Bundle]
) -> Handed:
    """Look into one attempt: unpack, choose, copy. In a process of the pool."""
    _, attempt, bundle = item
    _bound(SECONDS)
    notes = list(attempt.notes)
    target = scratch / attempt.student / attempt.label
    if target.exists():
        shutil.rmtree(target)
    rule = rules.get(attempt.student)
    checkouts = [path for name, path in bundle.pieces if not name and (path / ".git").exists()]
    with (
        tempfile.TemporaryDirectory(dir=scratch, prefix=_TEMPORARY) as temporary,
        Checkout(checkouts[0]) if checkouts else contextlib.nullcontext() as checkout,
    ):
        commit = None
        if checkout and rule:
            commit = checkout.chosen(rule)
            laid = Path(temporary) / "commit"
            checkout.lay_out(commit, {Path(name).suffix for name in lab.sources}, laid)
            bundle = replace(bundle, pieces=(("", laid),))
        sources = list(_sources(lab, bundle, Path(temporary), notes))
        found = layout.choose(lab, sources)
        if checkout and not rule:
            commit = checkout.head
            notes += _as_it_lies(checkout, found)
        if not found.problem:
            part = Path(temporary) / "laid-out"
            layout.lay_out(found, part)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.rename(target)
        said = _about(checkout, commit) if checkout and commit else ""
    return attempt.model_copy(
        update={
            "submitted": attempt.submitted or (commit.when if commit else None),
            "commit": said,
            "files": None if found.problem else target,
            "found": {name: source.shown for name, source in found.files.items()},
            "missing": found.missing,
            "notes": (*dict.fromkeys((*notes, *found.notes)),),
            "problem": found.problem,
            "listing": _listing(source.shown for source in sources) if found.problem else (),
        }
    )


def _about(checkout: Checkout, commit: Commit) -> str:
    """Return which commit it is, and where HEAD and the tags are seen from it."""
    said = f"{commit.short} of {commit.when:%Y-%m-%d %H:%M %z}"
    ahead = checkout.ahead(commit)
    if ahead:
        said += f", {abs(ahead)} {'before' if ahead > 0 else 'after'} HEAD"
    return said


def _as_it_lies(checkout: Checkout, found: layout.Found) -> list[str]:
    """Return what is to be said of a checkout that is taken as it lies there."""
    head = checkout.head
    if head is None:
        return ["It is a checkout, and has no commit that tells a time."]
    notes = []
    with contextlib.suppress(InputError):
        known = checkout.files(head)
        changed = [
            source.shown
            for source in found.files.values()
            if not source.origin
            and blob(layout.read(source.path), head.hash) != known.get("/".join(source.parts))
        ]
        if changed:
            notes.append(
                f"Its last commit, {head.short}, does not have {' and '.join(changed)} so; the "
                "files in the folder were taken."
            )
        for name in sorted(checkout.tags())[:20]:
            tagged = checkout.tag(name)
            ahead = checkout.ahead(tagged) if tagged else None
            if tagged and ahead:
                where = f"{abs(ahead)} {'before' if ahead > 0 else 'after'} the last commit"
                notes.append(
                    f"The tag {name} is at {tagged.short}, {where}, {head.short}, which was taken; "
                    f'commit = "tag:{name}" in course.toml takes the tag\'s.'
                )
    return notes


def _sources(
    lab: Lab, bundle: Bundle, temporary: Path, notes: list[str]
) -> Iterator[layout.Source]:
    """Yield all regular files of *bundle*, those in its archives as well, if not in theirs.

    Raises ArchiveError for a bad archive when there is nothing else.
    """
    files: list[layout.Source] = []
    for name, path in bundle.pieces:
        if name:
            files.append(layout.Source((name,), path))
        else:
            files += layout.walk(path, notes)
    names = {parts[-1] for parts in layout.wanted(lab).values()}
    errors = []
    others = False
    for number, file in enumerate(files):
        if file.parts[-1] in names or not archive.is_archive(file.path):
            others = True
            yield file
            continue
        folder = temporary / str(number)
        try:
            notes += archive.unpack(file.path, folder)
        except ArchiveError as error:
            errors.append(str(error))
            continue
        for inner in layout.walk(folder, notes):
            others = True
            if archive.is_archive(inner.path) and inner.parts[-1] not in names:
                notes.append(f"{inner.shown} in {file.shown} is an archive, and stays packed.")
            yield replace(inner, origin=file.shown)
    if errors and not others:
        raise ArchiveError(" ".join(errors))
    notes += errors
