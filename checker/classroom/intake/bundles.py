"""What belongs to whom: a PATH as an LMS or an instructor made it -> bundles, one an attempt.

Only names and the LMS's own files are read here; what students wrote is looked into
later. No link is followed.
"""

from __future__ import annotations

import os
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from checker.classroom.intake import archive, layout, lms
from checker.classroom.intake.lms import Piece
from checker.classroom.intake.names import shown
from checker.classroom.intake.roster import Person
from checker.model import Lab

METADATA = "submission_metadata.yml"
_MAX_METADATA = 64 << 20
_MAX_NOTE = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """What belongs to one attempt of one person, before it is looked into."""

    person: Person
    source: str
    """Where it came from, for people: the PATH's name and what is in it."""
    label: str
    pieces: tuple[tuple[str, Path], ...] = ()
    """Files by the names their student gave, folders without one."""
    submitted: datetime | None = None
    late: bool | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""
    path: str = ""
    """The PATH it came from, as it was given."""
    member: str = ""
    """The key of the student who has it as one of a group; empty: the person says whose it is."""


@dataclass(frozen=True)
class Seen:
    """All that was found in the PATHs; look() adds to it."""

    bundles: list[Bundle] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences: how a PATH was read, and what in it is nobody's."""


def look(lab: Lab, path: Path, folder: Path, one_of_many: bool, seen: Seen) -> None:
    """Add to *seen* what the PATH *path* has, which lies in *folder*."""
    name = path.resolve().name
    source = shown(name)
    label = archive.stem(name) if path.is_file() else name
    here = folder
    for _ in range(4):  # downloads are often wrapped in a folder
        if _look_into_download(here, source, label, seen):
            return
        entries = _entries(here)
        if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
            break
        here = Path(entries[0].path)
    if _is_one(lab, path, folder, one_of_many):
        seen.bundles.append(Bundle(called(label), source, label, (("", folder),)))
        return
    _look_into_students(here if path.is_file() else folder, source, label, seen)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        entries = [e for e in found if not layout.ignored(e.name) and not e.name.startswith(".")]
    return sorted(entries, key=lambda entry: entry.name)


def _is_one(lab: Lab, path: Path, folder: Path, one_of_many: bool) -> bool:
    """Say whether a PATH is what one student handed in.

    It is when the lab's files lie in it itself, when it is a checkout, and, given with
    others or as an archive, when not two of its entries have files of the lab.
    """
    if layout.is_laid_out(lab, folder) or os.path.lexists(folder / ".git"):
        return True
    if path.is_file() and one_of_many:
        return True
    if not path.is_file() and not one_of_many:
        return False
    here = folder
    while len(entries := _entries(here)) == 1 and entries[0].is_dir(follow_symlinks=False):
        here = Path(entries[0].path)
    names = {parts[-1] for parts in layout.wanted(lab).values()}
    return sum(_has_any(Path(entry.path), names) for entry in entries) < 2 or layout.is_laid_out(
        lab, here
    )


def _has_any(path: Path, names: set[str]) -> bool:
    """Say whether *path* is an archive, or a folder with a file called one of *names*."""
    if path.is_symlink():
        return False
    if path.is_file():
        return archive.is_archive(path)
    return any(
        names.intersection(files) or any(file.lower().endswith(archive.SUFFIXES) for file in files)
        for _, _, files in os.walk(path)
    )


def called(name: str) -> Person:
    """Return whoever a folder or an archive is named after."""
    return Person(name=unicodedata.normalize("NFC", name))  # macOS takes letters apart


def is_download(path: Path) -> bool:
    """Say whether the archive *path* is an LMS's download, by the names in it. All make zips."""
    try:
        with zipfile.ZipFile(path) as download:
            names = download.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    if any(name.rpartition("/")[2] == METADATA for name in names):
        return True
    return bool(lms.read_names({name.partition("/")[0]: "/" in name for name in names}))


def _look_into_students(folder: Path, source: str, label: str, seen: Seen) -> None:
    """Take each folder and each archive in *folder* for a student's."""
    for entry in _entries(folder):
        where = f"{source}/{shown(entry.name)}"
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            seen.bundles.append(Bundle(called(entry.name), where, label, (("", path),)))
        elif entry.is_file(follow_symlinks=False) and archive.is_archive(path):
            person = called(archive.stem(entry.name))
            seen.bundles.append(Bundle(person, where, label, ((entry.name, path),)))
        else:
            what = "a link" if entry.is_symlink() else "neither a folder nor an archive"
            seen.notes.append(f"{where} is {what}, and was left out.")


def _look_into_download(folder: Path, source: str, label: str, seen: Seen) -> bool:
    """Add to *seen* what an LMS's download in *folder* has; False if it is none."""
    metadata = folder / METADATA
    if metadata.is_file() and not metadata.is_symlink():
        _look_into_export(folder, source, seen)
        return True
    entries = {entry.name: entry for entry in _entries(folder)}
    folders = {name: entry.is_dir(follow_symlinks=False) for name, entry in entries.items()}
    pieces = lms.read_names(folders)
    if not pieces:
        return False
    groups: dict[tuple[Person, str], dict[str, Piece]] = defaultdict(dict)
    for name, piece in pieces.items():
        groups[piece.person, piece.attempt][name] = piece
    for (person, attempt), group in groups.items():
        seen.bundles.append(_bundle(folder, source, person, attempt or label, group))
    kind = next(iter(pieces.values())).person.lms.title()
    seen.notes.append(f"{source} was read as a download of {kind}'s: {len(groups)} submissions.")
    for name in sorted(entries.keys() - pieces.keys()):
        seen.notes.append(f"{source}/{shown(name)} is not named like the others, and was left out.")
    return True


def _bundle(
    folder: Path, source: str, person: Person, label: str, group: Mapping[str, Piece]
) -> Bundle:
    notes = []
    originals: dict[str, str] = {}
    for name in [name for name, piece in group.items() if piece.note]:
        prefix = name.partition("_attempt_")[0]
        text = _text(folder / name, _MAX_NOTE)
        said, originals = lms.blackboard_note(text, prefix, group)
        person = said if said.login else person
    files = []
    for name, piece in group.items():
        if piece.text:
            notes.append("Something was typed in online, which is not graded.")
        elif not piece.note:
            # a name and no path, whatever a student called it
            given = re.split(r"[/\\]", originals.get(name, piece.file))[-1]
            files.append((given if given not in ("", ".", "..") else piece.file, folder / name))
    some = next(iter(group.values()))
    late = any(piece.late for piece in group.values()) if some.late is not None else None
    first = shown(min(group))
    return Bundle(
        person,
        f"{source}/{first}" + (f" and {len(group) - 1} more" if len(group) > 1 else ""),
        label,
        tuple(files),
        some.submitted,
        late,
        tuple(notes),
    )


def _look_into_export(folder: Path, source: str, seen: Seen) -> None:
    """Add what a Gradescope export has: a folder for each submission, of one or of a group."""
    exports = lms.gradescope(_text(folder / METADATA, _MAX_METADATA))
    entries = {entry.name: entry for entry in _entries(folder) if entry.name != METADATA}
    seen.notes.append(f"{source} was read as an export of Gradescope's.")
    for name in sorted(entries.keys() | exports.keys()):
        where = f"{source}/{shown(name)}"
        export = exports.get(name)
        if not export or not export.persons:
            seen.notes.append(f"{where} is nobody's by {METADATA}, and was left out.")
            continue
        entry = entries.get(name)
        path = Path(entry.path) if entry and not entry.is_symlink() else None
        given = name if path and path.is_file() else ""
        group = len(export.persons) > 1
        notes = (f"It was handed in by a group of {len(export.persons)}.",) if group else ()
        for person in export.persons:
            seen.bundles.append(
                Bundle(
                    person,
                    where,
                    name,
                    ((given, path),) if path else (),
                    export.submitted,
                    notes=notes,
                    problem="" if path else f"{where} is not in the export.",
                )
            )


def _text(path: Path, size: int) -> str:
    """Return what the LMS wrote to *path*; no more than *size* bytes, no link followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as f:
        return f.read(size).decode("utf-8-sig", "replace")
