"""How the downloads of an LMS name what students handed in. Pure: names -> who, when, which file.

The names of files are the students' own and may hold anything, so a name is read from
its beginning, where the LMS writes, and the first place that fits counts.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from checker.classroom.intake.roster import Person
from checker.errors import InputError


@dataclass(frozen=True)
class Piece:
    """What the name of one file or folder of a download says.

    *attempt* tells a student's attempts apart; *file* is the name that the student
    gave, empty for a folder. A *note* is the LMS's own file on an attempt; *text* is
    what was typed in instead of handed in. *submitted* has no time zone.
    """

    person: Person
    attempt: str = ""
    file: str = ""
    submitted: datetime | None = None
    late: bool | None = None
    note: bool = False
    text: bool = False


Scheme = Callable[[str, bool], Piece | None]

_MOODLE = re.compile(
    r"(?P<name>.+?)(?:_(?P<id>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?", re.DOTALL
)


def moodle(name: str, folder: bool) -> Piece | None:
    """Read ``Full name_12345_assignsubmission_file_``: a folder, or the beginning of a file's.

    So Moodle's mod_assign writes it, with blanks for the underscores of a name; a team
    has its own name and number, the default team none.
    """
    found = _MOODLE.fullmatch(name)
    if not found or (not folder and not found["file"]):
        return None
    person = Person(name=found["name"], id=found["id"] or "", lms="moodle")
    text = found["kind"] != "file"
    return Piece(person, file="" if folder else found["file"], text=text)


_CANVAS = re.compile(
    r"(?:(?P<late>LATE_)?anon_(?P<anonymous>[A-Za-z0-9]{5})"
    r"|(?P<name>\w+?)_(?P<named_late>LATE_)?(?P<id>\d+))"
    r"_(?:(?P<number>\d+)_(?P<file>.+)|(?P<text>text|link)\.html)",
    re.DOTALL,
)


def canvas(name: str, folder: bool) -> Piece | None:
    """Read ``lovelaceada_LATE_4711_815_filter.c``, or ``anon_Xy3z9_815_filter.c``.

    So Canvas's content zipper writes it: the sortable name without punctuation, LATE
    when it was, the number of the user, or their anonymous id, that of the attachment,
    and the file's name; text and links are ``..._text.html`` and ``..._link.html``.
    """
    found = None if folder else _CANVAS.fullmatch(name)
    if not found:
        return None
    number = f"anon_{found['anonymous']}" if found["anonymous"] else found["id"]
    return Piece(
        Person(name=found["name"] or "", id=number, lms="canvas"),
        file=found["file"] or f"{found['text']}.html",
        late=bool(found["late"] or found["named_late"]),
        text=bool(found["text"]),
    )


_BLACKBOARD = re.compile(
    r".+?_(?P<login>[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|(?P<note>\.txt))",
    re.DOTALL,
)


def blackboard(name: str, folder: bool) -> Piece | None:
    """Read ``Lab 1_alovelace_attempt_2026-11-20-21-30-00_filter.c``, or its ``.txt``.

    The time is the school's. A login may have underscores, which this name cannot
    tell from those of the assignment; blackboard_note() does.
    """
    found = None if folder else _BLACKBOARD.fullmatch(name)
    if not found:
        return None
    try:
        when = datetime.strptime(found["time"], "%Y-%m-%d-%H-%M-%S")
    except ValueError:
        return None
    return Piece(
        Person(login=found["login"], lms="blackboard"),
        attempt=found["time"],
        file=found["file"] or "",
        submitted=when,
        note=bool(found["note"]),
    )


SCHEMES: tuple[Scheme, ...] = (moodle, canvas, blackboard)


def read_names(names: Mapping[str, bool]) -> dict[str, Piece]:
    """Read *names* (name -> whether it is a folder) as those of an LMS's download.

    Returns what each that fits says; nothing unless at least half of them do: one
    strange name makes no download of a folder.
    """
    best: dict[str, Piece] = {}
    for scheme in SCHEMES:
        found = {}
        for name, folder in names.items():
            if piece := scheme(unicodedata.normalize("NFC", name), folder):  # macOS takes apart
                found[name] = piece
        if len(found) > len(best):
            best = found
    return _without_names(best) if 2 * len(best) >= len(names) else {}


def _without_names(pieces: dict[str, Piece]) -> dict[str, Piece]:
    """Take the names from a blind Moodle download: all are called Participant, in its language."""
    people = {piece.person for piece in pieces.values()}
    names = {person.name for person in people}
    blind = len(names) == 1 and (len(people) > 1 or names == {"Participant"})
    if not blind or not all(person.lms == "moodle" and person.id for person in people):
        return pieces
    return {
        name: Piece(Person(id=piece.person.id, lms="moodle"), file=piece.file, text=piece.text)
        for name, piece in pieces.items()
    }


def blackboard_note(text: str, prefix: str, files: Iterable[str]) -> tuple[Person, dict[str, str]]:
    """Read Blackboard's note on an attempt: who, and the names that *files* had.

    It says, in the language of the school, ``Name: Ada Lovelace (alovelace)`` first, and
    at its end ``Original filename:`` and ``Filename:`` for each file. *prefix* is what
    its own name has before ``_attempt_``. The person has no login where it says nothing.
    """
    lines = [line.strip() for line in text.splitlines()]
    person = Person(lms="blackboard")
    if lines and (found := re.fullmatch(r"[^:]+:\s*(.*?)\s*\(([^()]+)\)", lines[0])):
        name, login = found[1], found[2]
        if prefix.endswith(f"_{login}"):
            person = Person(name=name, login=login, lms="blackboard")
    originals = {}
    values = [line.partition(":")[2].strip() for line in lines]
    for before, value in itertools.pairwise(values):
        if before and value in set(files):
            originals[value] = before
    return person, originals


# --- Gradescope ----------------------------------------------------------------------


@dataclass(frozen=True)
class Export:
    """What submission_metadata.yml says of one folder."""

    persons: tuple[Person, ...]
    submitted: datetime | None


class _Loader(yaml.SafeLoader):
    """Reads plain data only; what Ruby marks as its own objects, too.

    Not libyaml's, which is faster, and which a file nested deeply enough ends with a crash.
    """


def _plain(loader: Any, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!ruby/", _plain)


def gradescope(text: str) -> dict[str, Export]:
    """Read a Gradescope export's submission_metadata.yml: folder -> whose it is, and when.

    A folder has ``:submitters`` with ``:name``, ``:sid`` and ``:email``, one for each of a
    group, and ``:created_at``, a time of Ruby's. Raises InputError when it is not like that.
    """
    wrong = "submission_metadata.yml is not as Gradescope writes it"
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())[:200]
        raise InputError(f"{wrong}: {first}. Download the export again.") from error
    if not isinstance(data, dict):
        raise InputError(f"{wrong}: it lists no submissions. Download the export again.")
    exports = {}
    for folder, entry in data.items():
        submitters = entry.get(":submitters") if isinstance(entry, dict) else None
        if not isinstance(submitters, list) or not all(isinstance(s, dict) for s in submitters):
            raise InputError(f"{wrong}: {folder!r} has no :submitters. Download the export again.")
        persons = tuple(
            Person(
                name=str(s.get(":name") or ""),
                sis_id=str(s.get(":sid") or ""),
                email=str(s.get(":email") or ""),
                lms="gradescope",
            )
            for s in submitters
        )
        when = entry.get(":created_at")
        if isinstance(when, dict):  # ActiveSupport::TimeWithZone
            when = when.get("utc")
        exports[str(folder)] = Export(persons, when if isinstance(when, datetime) else None)
    return exports
