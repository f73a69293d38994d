"""What a batch knows, in one SQLite file: students, attempts, their sources, grades as they end.

Each change is one transaction, so a run that is killed at any moment has lost
nothing that had ended. A grade is kept under the key of what it was made of
(checker/classroom/batch.py); an attempt names the grade that stands for it, which is an
earlier one while there is no newer.

One run at a time writes. Who only reads takes a copy of what is there, in a moment, so that
neither waits for the other.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from checker.errors import InputError
from checker.model import GRADER_FAILED, Attempt, Grade, Student
from vm.cache import digest

FILE = "grades.sqlite"
VERSION = 1

_SECONDS = 60
"""How long a run waits for a reader, which takes its copy in less."""

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE students (key TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE attempts (
    student TEXT NOT NULL REFERENCES students,
    label TEXT NOT NULL,
    submitted TEXT,
    late INTEGER,
    problem TEXT NOT NULL,
    sources TEXT NOT NULL,  -- hash of the files; empty: there are none
    wanted TEXT NOT NULL,   -- key of the grade it should have; empty: none
    graded TEXT REFERENCES grades,
    git TEXT NOT NULL DEFAULT '',  -- which commit it is
    listing TEXT NOT NULL DEFAULT '[]',  -- what was handed in, where nothing could be graded
    source TEXT NOT NULL DEFAULT '',  -- where it came from
    PRIMARY KEY (student, label)
);
CREATE TABLE sources (
    hash TEXT NOT NULL, path TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (hash, path)
);
CREATE TABLE grades (
    key TEXT PRIMARY KEY, record TEXT NOT NULL, tries INTEGER NOT NULL, finished TEXT NOT NULL
);
CREATE TABLE errors (
    key TEXT PRIMARY KEY, message TEXT NOT NULL, tries INTEGER NOT NULL, finished TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Trouble:
    """A submission whose grading failed, by the grader's fault: how often, and what it said."""

    student: str
    label: str
    message: str
    tries: int


class Store:
    """The file ``grades.sqlite`` in a folder; use it as a context manager.

    Raises InputError when the folder cannot be made, the file is none of ours,
    is of another lab, or another run is at it. With *reads* it is a copy of what is there
    now, whoever is at it; then *running* tells whether somebody is.
    """

    def __init__(self, folder: Path, lab: str = "", *, reads: bool = False) -> None:
        self.folder = folder
        self.lab = lab
        self.running = False
        self._reads = reads
        self._cleanup = contextlib.ExitStack()
        self._lock = FileLock(folder / f".{FILE}.lock")

    def __enter__(self) -> Self:
        if not self.lab and not (self.folder / FILE).is_file():
            raise InputError(f"{self.folder} has no {FILE}: `knetlab grade` makes it.")
        if self._reads:
            self._copy()
            return self
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made: {error.strerror}.") from error
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._exclusive())
            self._open()
            self._cleanup = undo.pop_all()
        return self

    def _copy(self) -> None:
        """Copy the file into memory: a reader that takes its time would keep a run from writing."""
        path = self.folder / FILE
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self.running = True
        else:
            self._lock.release()
        with contextlib.ExitStack() as undo:
            self._db = undo.enter_context(contextlib.closing(sqlite3.connect(":memory:")))
            try:
                self._copy_from(f"{path.absolute().as_uri()}?mode=ro")
            except sqlite3.OperationalError:  # what a killed run left half done is to be put right
                with self._exclusive():
                    self._copy_from(path.absolute().as_uri())
            except sqlite3.DatabaseError as error:
                raise InputError(
                    f"{path} is damaged, or was not made by knetlab: {error}."
                ) from error
            if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise InputError(f"{path} has nothing yet: wait until the run has begun.")
            self._begin(path)
            undo.pop_all()

    def _copy_from(self, uri: str) -> None:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_SECONDS)) as source:
            source.backup(self._db)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Be the one run that is at the folder."""
        try:
            # not at once: whoever reads looks for a moment whether somebody is at it
            self._lock.acquire(timeout=1)
        except Timeout as error:
            raise InputError(
                f"Another run of knetlab is at {self.folder}: wait for it, or stop it."
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    def _open(self) -> None:
        path = self.folder / FILE
        with contextlib.ExitStack() as undo:
            self._db = undo.enter_context(
                contextlib.closing(sqlite3.connect(path, timeout=_SECONDS))
            )
            self._begin(path)
            undo.pop_all()

    def _begin(self, path: Path) -> None:
        try:
            if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                with self._db:
                    self._db.executescript(f"BEGIN; {_SCHEMA}")
                    self._set({"version": str(VERSION), "lab": self.lab})
            about = dict(self._db.execute("SELECT name, value FROM about"))
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged, or was not made by knetlab: {error}.") from error
        columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(attempts)")}
        for name, default in (("git", "''"), ("listing", "'[]'"), ("source", "''")):
            if columns and name not in columns:  # a file that was made before there was the column
                column = f"{name} TEXT NOT NULL DEFAULT {default}"
                with self._db:
                    self._db.execute(f"ALTER TABLE attempts ADD COLUMN {column}")
        if about.get("version") != str(VERSION):
            raise InputError(f"{path} was made by another version of knetlab; use another folder.")
        if self.lab and about["lab"] != self.lab:
            raise InputError(
                f"{path} holds grades of the lab {about['lab']}, not {self.lab}; "
                "use another folder."
            )
        self.lab = about["lab"]

    def _set(self, values: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._db.close()
        self._cleanup.close()

    # -- what was handed in -----------------------------------------------------------

    def add(
        self, student: Student, attempt: Attempt, sources: Mapping[str, bytes], wanted: str
    ) -> None:
        """Note an attempt of *student* and the key of the grade it should have, "" for none.

        What an earlier run noted of the same attempt is replaced, but for its grade
        and, where this one has none, the time it was submitted.
        """
        hashed = source_hash(sources) if sources else ""
        submitted = attempt.submitted.isoformat() if attempt.submitted else None
        with self._db:
            self._put(student)
            if hashed:
                self._db.executemany(
                    "INSERT OR IGNORE INTO sources VALUES (?, ?, ?)",
                    [(hashed, path, content) for path, content in sources.items()],
                )
            self._db.execute(
                "INSERT INTO attempts (student, label, submitted, late, problem, sources, wanted, "
                "git, listing, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET submitted = coalesce(excluded.submitted, submitted), "
                "late = coalesce(excluded.late, late), problem = excluded.problem, "
                "sources = excluded.sources, wanted = excluded.wanted, git = excluded.git, "
                "listing = excluded.listing, source = excluded.source",
                (
                    student.key,
                    attempt.label,
                    submitted,
                    attempt.late,
                    attempt.problem,
                    hashed,
                    wanted,
                    attempt.commit,
                    json.dumps(attempt.listing),
                    attempt.source,
                ),
            )
            self._point(wanted)

    def add_student(self, student: Student) -> None:
        """Note a student who handed in nothing."""
        with self._db:
            self._put(student)

    def _put(self, student: Student) -> None:
        self._db.execute(
            "INSERT INTO students VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
            (student.key, student.model_dump_json()),
        )

    def _point(self, key: str) -> None:
        """Let every attempt that should have the grade *key* have it, once it is there."""
        self._db.execute(
            "UPDATE attempts SET graded = wanted WHERE wanted = ? "
            "AND EXISTS (SELECT 1 FROM grades WHERE key = wanted)",
            (key,),
        )

    # -- grades -------------------------------------------------------------------------

    def save(self, key: str, grade: Grade) -> None:
        """Keep the grade *key*; a grader's error is for fail()."""
        assert grade.status == "graded"
        tries = self.tries(key) + 1
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO grades VALUES (?, ?, ?, ?)",
                (key, grade.model_dump_json(by_alias=True), tries, _now()),
            )
            self._db.execute("DELETE FROM errors WHERE key = ?", (key,))
            self._point(key)

    def fail(self, key: str, message: str) -> int:
        """Note that the grade *key* could not be made; return how often it was tried.

        No grade is touched: what an attempt had before stands.
        """
        with self._db:
            self._db.execute(
                "INSERT INTO errors VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
                "message = excluded.message, tries = tries + 1, finished = excluded.finished",
                (key, message, _now()),
            )
        return self.tries(key)

    def tries(self, key: str) -> int:
        """Return how often the grade *key* was tried in vain; 0 when it is there, or new."""
        row = self._db.execute("SELECT tries FROM errors WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def forget_errors(self, keys: Iterable[str]) -> None:
        """Let *keys* be tried anew, as if the grader had not failed at them."""
        with self._db:
            self._db.executemany("DELETE FROM errors WHERE key = ?", [(key,) for key in keys])

    def has(self, key: str) -> bool:
        """Tell whether the grade *key* is there."""
        return bool(self._db.execute("SELECT 1 FROM grades WHERE key = ?", (key,)).fetchone())

    # -- all of it ------------------------------------------------------------------------

    def students(self) -> list[Student]:
        """Return the students, by key."""
        rows = self._db.execute("SELECT record FROM students ORDER BY key")
        return [Student.model_validate_json(record) for (record,) in rows]

    def attempts(self) -> list[Attempt]:
        """Return the attempts with the grades that stand for them, as they were added."""
        rows = self._db.execute(
            "SELECT student, label, submitted, late, problem, sources, wanted, graded, "
            "grades.record, errors.message, git, listing, attempts.source FROM attempts "
            "LEFT JOIN grades ON grades.key = graded LEFT JOIN errors ON errors.key = wanted "
            "ORDER BY attempts.rowid"
        )
        found = []
        for (
            student,
            label,
            submitted,
            late,
            problem,
            sources,
            wanted,
            graded,
            record,
            error,
            commit,
            listing,
            source,
        ) in rows:
            grade = Grade.model_validate_json(record) if record else None
            doubt = grade.doubt if grade else ""
            grade = None if doubt else grade
            said = problem
            if not said and graded != wanted:
                said = f"{GRADER_FAILED}: {error}" if error else doubt or "It was not graded yet."
            said = said or doubt
            found.append(
                Attempt(
                    student=student,
                    label=label,
                    submitted=datetime.fromisoformat(submitted) if submitted else None,
                    late=None if late is None else bool(late),
                    # equal submissions share a grade, each under its own name
                    grade=grade and grade.model_copy(update={"submission": student}),
                    problem=said,
                    sources=sources,
                    commit=commit,
                    listing=tuple(json.loads(listing)),
                    source=source,
                )
            )
        return found

    def sources(self, student: str, label: str) -> dict[str, str]:
        """Return what was handed in at an attempt: path -> text."""
        rows = self._db.execute(
            "SELECT path, content FROM sources JOIN attempts ON hash = attempts.sources "
            "WHERE student = ? AND label = ? ORDER BY path",
            (student, label),
        )
        return {path: content.decode(errors="replace") for path, content in rows}

    def troubles(self) -> list[Trouble]:
        """Return the attempts that the grader failed at."""
        rows = self._db.execute(
            "SELECT student, label, message, tries FROM attempts "
            "JOIN errors ON errors.key = wanted ORDER BY student, label"
        )
        return [Trouble(*row) for row in rows]

    def wanted(self) -> dict[str, list[str]]:
        """Return key of a grade -> the students whose attempts should have it."""
        found: dict[str, list[str]] = {}
        rows = self._db.execute("SELECT DISTINCT wanted, student FROM attempts WHERE wanted != ''")
        for key, student in rows:
            found.setdefault(key, []).append(student)
        return found

    def progress(self) -> tuple[int, int]:
        """Return how many attempts have the grade that they should have, and how many should."""
        row = self._db.execute(
            "SELECT count(*) FILTER (WHERE graded = wanted), count(*) FROM attempts "
            "WHERE wanted != ''"
        ).fetchone()
        return int(row[0]), int(row[1])

    def tried(self) -> dict[str, int]:
        """Return how often the grader had to try, by student: of each the most."""
        rows = self._db.execute(
            "SELECT student, max(tries) FROM attempts JOIN grades ON grades.key = graded "
            "GROUP BY student"
        )
        return dict(rows)


def source_hash(sources: Mapping[str, bytes]) -> str:
    """Return what stands for *sources*, whichever order they come in."""
    parts: Iterable[str | bytes] = (p for path in sorted(sources) for p in (path, sources[path]))
    return digest(*parts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
