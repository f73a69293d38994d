"""Who is in the class: a roster CSV -> students, and which of them handed something in.

Also the keys that name students: the same in every run, unique in a class, safe
as file names.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from checker.classroom.intake import moodle
from checker.classroom.intake.names import printable, slug
from checker.errors import InputError
from checker.model import Student


@dataclass(frozen=True)
class Person:
    """Who handed something in, as far as a download or a folder's name tells."""

    name: str = ""
    id: str = ""
    sis_id: str = ""
    login: str = ""
    email: str = ""
    lms: str = ""
    """Whose number the id is: moodle, canvas, blackboard, gradescope; empty for a plain folder,
    whose name may be anything: a name, a login, an id."""

    @property
    def shown(self) -> str:
        """What to call them in a sentence."""
        return self.name or self.login or self.email or self.sis_id or self.id

    @property
    def identity(self) -> tuple[str, ...]:
        """What two downloads have in common when they mean the same person.

        Moodle's number counts only with the name: it is given anew for each assignment.
        """
        for which in ("sis_id", "login", "email"):
            if not self.id and getattr(self, which):
                return self.lms, which, getattr(self, which)
        return self.lms, self.id, self.name


# --- the CSV file --------------------------------------------------------------------

_HEADERS = {
    "name": ("name", "student", "full name", "fullname", "student name"),
    "first": ("first name", "firstname", "given name"),
    "last": ("last name", "lastname", "surname", "family name"),
    "id": ("id", "identifier", "user id", "canvas user id"),
    "sis_id": (
        *("sis_id", "sis id", "sis user id", "sid", "student id", "student number"),
        *("id number", "idnumber"),
    ),
    "login": ("login", "login id", "sis login id", "username", "user name"),
    "email": ("email", "e-mail", "email address", "e-mail address", "mail"),
    "key": ("key",),
    "submitted": ("submitted",),
    "group": ("group", "team"),
}
"""Column -> how it is called, in lower case: by us, and in the exports of Canvas (Student, ID,
SIS User ID, SIS Login ID), Moodle (Full name, First name, Surname, Email address, ID number,
Identifier; moodle.py has other languages), Blackboard (Last Name, First Name, Username, Student
ID) and Gradescope (SID)."""

_DELIMITERS = ",;\t|"
_IDS = ("key", "id", "sis_id", "login", "email")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Match:
    """Whom of the roster a person is: one of them, or nobody and perhaps a sentence why."""

    student: Student | None = None
    certain: bool = True
    why_not: str = ""


@dataclass(frozen=True)
class Said:
    """What the roster says of what one student handed in."""

    submitted: datetime | None = None
    """When; without a time zone where the roster has none."""
    late: bool | None = None
    note: str = ""
    """A sentence for whoever grades; empty: nothing is amiss."""


class Roster:
    """The students of a class, and how to know them again."""

    def __init__(
        self,
        students: Iterable[Student],
        said: Mapping[str, Said] | None = None,
        notes: Iterable[str] = (),
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Take *students*, *said* (key -> what is known of their work), and sentences on all.

        *groups* has the keys of each group's members.
        """
        self.students = tuple(students)
        self.groups = {name: tuple(keys) for name, keys in (groups or {}).items()}
        self.said = dict(said or {})
        self.notes = tuple(notes)
        self._by: dict[tuple[str, str], list[Student]] = {}
        for student in self.students:
            for which in _IDS:
                if value := getattr(student, which):
                    self._by.setdefault((which, value.casefold()), []).append(student)
            for name in _spellings(student.name):
                self._by.setdefault(("name", name), []).append(student)

    def match(self, person: Person) -> Match:
        """Find *person*: by what identifies them, else by a name that only one student has.

        An id that contradicts the name is not believed: Moodle numbers users anew for
        each assignment, and another system's numbers may look the same.
        """
        for which in ("sis_id", "login", "email", "id"):
            value = getattr(person, which)
            found = self._by.get((which, value.casefold()), []) if value else []
            if found and which == "id" and not _compatible(person, found[0]):
                why = (
                    f"{person.shown} has the id {value}, which is {found[0].name}'s in the "
                    "roster; they are kept apart."
                )
                return Match(why_not=why)
            if found:
                return Match(found[0])
        found = self._by.get(("name", _squeezed(person.name)), []) if person.name else []
        if not person.lms:  # a folder, which may be called by anything
            found = [
                *found,
                *(s for which in _IDS for s in self._by.get((which, person.name.casefold()), [])),
            ]
        keys = sorted({student.key for student in found})
        if len(keys) > 1:
            why = (
                f"{person.shown} could be {' or '.join(keys)} of the roster and was taken for "
                "neither; a column with their ids would tell."
            )
            return Match(why_not=why)
        if keys:
            return Match(found[0], certain=False)
        return Match(why_not=f"{person.shown} is not in the roster.")

    def group(self, name: str) -> tuple[str, ...]:
        """Return the keys of those in the group *name*; of none if a student is called so."""
        wanted = _squeezed(name)
        if not wanted or ("name", wanted) in self._by:
            return ()
        found = [keys for group, keys in self.groups.items() if _squeezed(group) == wanted]
        return found[0] if len(found) == 1 else ()

    def with_groups(self, path: Path) -> Roster:
        """Return this roster with the groups of the CSV *path*, whose rows are students of it.

        Raises InputError when the file has no groups, or somebody who is not in the roster.
        """
        other = load_groups(path)
        keys: dict[str, str] = {}
        for student in other.students:
            person = Person(
                name=student.name or student.key,
                **{which: getattr(student, which) for which in ("id", "sis_id", "login", "email")},
            )
            match = self.match(person)
            if match.student is None:
                raise InputError(f"{path}: {match.why_not} Fix one of the two files.")
            keys[student.key] = match.student.key
        groups = {name: [keys[key] for key in members] for name, members in other.groups.items()}
        return Roster(self.students, self.said, self.notes, groups)


def load_groups(path: Path) -> Roster:
    """Read the roster CSV *path*, which must have a column ``group``."""
    roster = load(path)
    if not roster.groups:
        raise InputError(
            f"{path} has no groups: it must have a column group, and one that tells who is who."
        )
    return roster


def load(path: Path) -> Roster:
    """Read the roster CSV *path*: commas, semicolons or tabs; UTF-8, or as Excel saves.

    Moodle's grading worksheet is one: it tells when each student handed in, and what was late.
    Raises InputError naming the file and the line when it cannot be read, has no
    column that identifies a student, two students who cannot be told apart, or a
    time that is none.
    """
    students: dict[str, Student] = {}
    said: dict[str, Said] = {}
    lines: dict[tuple[str, str], int] = {}
    table = _read(path)
    keys = make_keys([_person(row) for _, row in table.rows if not row["key"]])
    unread: list[str] = []
    groups: dict[str, dict[str, None]] = {}
    for line, row in table.rows:
        key = row["key"] or keys[_person(row)]
        if not _KEY.fullmatch(key):
            raise InputError(
                f"{path}, line {line}: the key {key!r} cannot name a file; use letters, digits, "
                "dots, dashes and underscores."
            )
        if row["group"] not in ("", "-"):
            groups.setdefault(row["group"], {})[key] = None
        of_work = _said(table, path, line, row, unread)
        student = Student(key=key, **{which: row[which] for which in ("name", *_IDS[1:])})
        identified = any(row[which] for which in _IDS)
        if identified and students.get(key) == student and said.get(key, Said()) == of_work:
            continue  # in two sections
        for which in _IDS:
            value = (which, getattr(student, which).casefold())
            first = lines.setdefault(value, line) if value[1] else line
            if first != line:
                raise InputError(
                    f"{path}: lines {first} and {line} have the same "
                    f"{which if row[which] else 'name and nothing else'}, so that two students "
                    "cannot be told apart; fix this, or add a column with their ids."
                )
        students[key] = student
        if of_work != Said():
            said[key] = of_work
    if not students:
        raise InputError(f"{path} has no students: there is no row below the header.")
    return Roster(students.values(), said, _notes(table, path, unread), groups)


@dataclass(frozen=True)
class _Table:
    """A roster's file: the line number and the known columns of each student's row."""

    rows: list[tuple[int, dict[str, str]]]
    language: moodle.Language | None
    worksheet: bool
    """Whether it is Moodle's, which writes times in words."""


def _read(path: Path) -> _Table:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"The roster {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # Excel's on Windows
    lines = text.splitlines(keepends=True)
    skip = 1 if lines and re.fullmatch(r"sep=.\s*", lines[0]) else 0
    reader = csv.reader(lines[skip:], delimiter=_delimiter(lines[skip:]))
    try:
        header = next(reader, [])
        body = [(reader.line_num + skip, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num + skip}: {error}.") from error
    language = moodle.language(header)
    columns = [_column(title) or (language.column(title) if language else "") for title in header]
    worksheet = columns[:1] in ([""], ["id"]) and moodle.is_worksheet(
        header, [cells for _, cells in body]
    )
    if worksheet:
        columns[0] = "id"
        if not {"name", "first", "last"} & set(columns) and _are_names(body):
            columns[1] = "name"  # Moodle puts them there in every language
    if not {*_IDS, "name", "first", "last"} & set(columns):
        raise InputError(
            f"{path} has no column that tells who is who; its first line should have some of "
            "name, id, sis_id, login, email, key, or be that of an LMS."
        )
    rows = [(line, _row(columns, cells, worksheet=worksheet)) for line, cells in body]
    known = [
        (line, row)
        for line, row in rows
        if any(row[which] for which in (*_IDS, "name")) and not _no_student(row["name"])
    ]
    return _Table(known, language, worksheet)


def _delimiter(lines: Sequence[str]) -> str:
    """Return what parts the cells: tried, and taken where most titles are known."""

    def known(delimiter: str) -> tuple[int, int]:
        try:
            header = next(csv.reader(lines, delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        language = moodle.language(header)
        columns = [_column(t) or (language.column(t) if language else "") for t in header]
        return sum(map(bool, columns)), len(header)

    return max(_DELIMITERS, key=known)


def _row(columns: Sequence[str], cells: Sequence[str], *, worksheet: bool) -> dict[str, str]:
    row = dict.fromkeys((*_HEADERS, "status", *columns, ""), "")
    for column, cell in zip(columns, cells, strict=False):
        row[column] = row[column] or " ".join(cell.split())
    row["name"] = row["name"] or f"{row['first']} {row['last']}".strip()
    if worksheet and (found := moodle.PARTICIPANT.fullmatch(row["id"])):
        row["id"] = found[2]
    elif found := re.fullmatch(r"\D*\s(\d+)", row["id"]):  # Moodle: Participant 123
        row["id"] = found[1]
    return {column: printable(text) for column, text in row.items()}


def _are_names(body: Sequence[tuple[int, Sequence[str]]]) -> bool:
    """Say whether the second cells look like names: all different, and without a digit."""
    seconds = [cells[1].strip() if len(cells) > 1 else "" for _, cells in body]
    return len(set(seconds)) == len(seconds) and all(
        text and not re.search(r"[\d@]", text) for text in seconds
    )


def _column(title: str) -> str:
    wanted = " ".join(title.casefold().split())
    for column, titles in _HEADERS.items():
        if wanted in titles:
            return column
    return ""


def _no_student(name: str) -> bool:
    """Say whether a row of Canvas's gradebook is none of a student."""
    return name.casefold().startswith("points possible") or name == "Student, Test"


def _said(table: _Table, path: Path, line: int, row: Mapping[str, str], unread: list[str]) -> Said:
    """Return what *row* says of the student's work; times that cannot be read go to *unread*."""
    text, language = row["submitted"], table.language
    if not table.worksheet or language is None:
        return Said(_iso(path, line, text) if text else None)
    when = None
    if text not in ("", "-"):
        # with digits alone nobody can tell 3 April from 4 March; Moodle names the month
        when = language.time(text) if any(map(str.isalpha, text)) else None
        if when is None:
            unread.append(text)
    status = row["status"]
    draft = status.startswith(language.draft)
    return Said(
        when,
        late=bool(language.late.search(status)) if status else None,
        note=f"Moodle's worksheet has it as {language.draft!r}." if draft else "",
    )


def _iso(path: Path, line: int, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{path}, line {line}: submitted is {text!r}, which is no time like "
            "2026-11-20T21:30:00+01:00 or 2026-11-20T21:30:00."
        ) from error


def _notes(table: _Table, path: Path, unread: Sequence[str]) -> list[str]:
    if not table.worksheet:
        return []
    if table.language is None:
        return [
            f"{path} is a worksheet of Moodle in a language that is not known here: its times "
            "were not read. Change your language in Moodle to English and download it again."
        ]
    if not unread:
        return []
    return [
        f"{path}: of the times of submission {len(unread)} could not be read, such as "
        f"{unread[0]!r}. "
        "Download the worksheet again, and do not save it in a spreadsheet program."
    ]


def _person(row: Mapping[str, str]) -> Person:
    return Person(**{k: row[k] for k in ("name", "id", "sis_id", "login", "email")}, lms="roster")


# --- names ---------------------------------------------------------------------------


def _squeezed(name: str) -> str:
    """Return *name* as Canvas writes it: lower case, and letters and digits only."""
    return re.sub(r"\W", "", unicodedata.normalize("NFC", name).lower())


def _spellings(name: str) -> set[str]:
    """Return *name* squeezed, whichever of its parts comes first; Canvas begins with the last."""
    last, comma, first = name.partition(",")
    words = f"{first} {last}".split() if comma else name.split()
    turned = (words[n:] + words[:n] for n in range(len(words)))
    return {_squeezed("".join(spelling)) for spelling in turned} - {""}


def _compatible(person: Person, student: Student) -> bool:
    """Say whether the two names can be one person's: they share a word, or there is no name."""
    words = {_squeezed(word) for word in student.name.split()} - {""}
    whole = _squeezed(person.name)
    return not whole or not words or any(word in whole for word in words)


# --- keys ----------------------------------------------------------------------------


def make_keys(persons: Iterable[Person], taken: Iterable[str] = ()) -> dict[Person, str]:
    """Return a key for each of *persons*: of their name and their number, none of *taken*.

    It depends on the person alone, except where two come to the same key: then
    those whose name is not just the key get a piece of a hash. In lower case, so
    that file systems which ignore case keep them apart.
    """
    keys = {person: _key(person) for person in persons}
    for exact in (True, False):  # whoever is called just so keeps the key
        used = Counter(keys.values())
        used.update(taken)
        for person, key in keys.items():
            if used[key] > 1 and (not exact or person.name != key):
                keys[person] = f"{key[:60]}-{_hash(person)}"
    return keys


def _key(person: Person) -> str:
    name, number = slug(person.name), person.id or person.sis_id
    if number:
        key = f"{name or person.lms or 'student'}-{slug(number)}"
        lost = slug(number) != number.lower()
    else:
        text = person.login or person.email or person.name
        key = slug(text)
        lost = not key or len(text) > 60
    return f"{key or 'student'}-{_hash(person)}" if lost else key


def _hash(person: Person) -> str:
    parts = (person.lms, person.id, person.sis_id, person.login, person.email, person.name)
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:8]
