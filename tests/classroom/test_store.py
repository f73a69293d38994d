"""What a batch keeps: nothing that had ended is lost, and an error overwrites no grade."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from classes import grade
from support import ROOT

from checker.classroom.store import FILE, Store, source_hash
from checker.errors import InputError
from checker.model import Attempt, Grade, Student

ALICE = Student(key="alice", name="Alice")
MONDAY = datetime(2026, 11, 16, 12, tzinfo=UTC)


def attempt(**fields: object) -> Attempt:
    """Return an attempt of Alice's."""
    return Attempt.model_validate({"student": "alice", "label": "1", **fields})


def test_grade_is_there_when_opened_again(tmp_path: Path) -> None:
    """What was saved is read back whole, with the sources it was made of."""
    with Store(tmp_path / "out", "networking") as store:
        store.add(ALICE, attempt(submitted=MONDAY), {"a/filter.c": b"int x;\n"}, "k1")
        store.save("k1", grade("full"))
    with Store(tmp_path / "out") as store:
        (found,) = store.attempts()
        assert found.submitted == MONDAY
        assert found.grade is not None
        assert found.grade.score == grade("full").score
        assert found.grade.submission == "alice"
        assert store.sources("alice", "1") == {"a/filter.c": "int x;\n"}
        assert found.sources == source_hash({"a/filter.c": b"int x;\n"})
        assert store.students() == [ALICE]
        assert store.tried() == {"alice": 1}


def made_on(release: str, **provenance: str) -> Grade:
    """Return a grade with full marks, made on Linux *release*."""
    got = grade("full")
    return got.model_copy(
        update={
            "kernel": got.kernel.model_copy(update={"release": release}),
            "provenance": got.provenance.model_copy(update=provenance),
        }
    )


@pytest.mark.parametrize(
    ("stored", "counts"),
    [
        (made_on("6.12.117+deb13-cloud-amd64"), False),
        (made_on("7.2.13+deb14-cloud-amd64"), False),
        (made_on("6.12.117+deb13-cloud-amd64", cpu="max,-cx16"), True),
        (made_on("6.12.117+deb13-cloud-amd64", accel="kvm"), True),
        (made_on("6.1.0-56-cloud-amd64"), True),
    ],
)
def test_grade_of_guests_that_qemu_could_crash_does_not_count(
    tmp_path: Path, stored: Grade, counts: bool
) -> None:
    """An older knetlab made it on a kernel that QEMU 7.2 crashes: it is no mark, and no zero."""
    with Store(tmp_path, "networking") as store:
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "k1")
        store.save("k1", stored)
        (found,) = store.attempts()
        assert (found.grade is not None) == counts
        assert ("run `knetlab grade` again" in found.problem) == (not counts)
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "k2")
        store.fail("k2", "No space.")
        assert store.attempts()[0].problem == "The grader failed: No space."
        store.save("k2", made_on("6.12.117+deb13-cloud-amd64", cpu="max,-cx16"))
        (found,) = store.attempts()
        assert (found.grade is not None, found.problem) == (True, "")


def test_error_does_not_overwrite_an_earlier_grade(tmp_path: Path) -> None:
    """A grade stands while the newer one cannot be made, and it is said that it is earlier."""
    with Store(tmp_path, "networking") as store:
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "old")
        store.save("old", grade("full"))
        store.add(ALICE, attempt(), {"filter.c": b"2"}, "new")
        assert store.fail("new", "QEMU was killed.") == 1
        assert store.fail("new", "QEMU was killed again.") == 2
        (found,) = store.attempts()
        assert found.grade is not None
        assert "QEMU was killed again." in found.problem
        assert [t.message for t in store.troubles()] == ["QEMU was killed again."]
        store.save("new", grade("skeleton"))
        (found,) = store.attempts()
        assert found.grade is not None
        assert found.grade.score == 0
        assert (found.problem, store.troubles()) == ("", [])
        assert store.tried() == {"alice": 3}


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    """The paths of what could not be graded are read back, and go with the next attempt's."""
    with Store(tmp_path, "networking") as store:
        store.add(ALICE, attempt(problem="None.", listing=("a/x.c", "b.txt")), {}, "")
        assert store.attempts()[0].listing == ("a/x.c", "b.txt")
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "k")
        assert store.attempts()[0].listing == ()


def test_regrading_keeps_the_time_of_submission(tmp_path: Path) -> None:
    """A later run that knows no time takes none away."""
    with Store(tmp_path, "networking") as store:
        store.add(ALICE, attempt(submitted=MONDAY, late=False), {"filter.c": b"1"}, "k")
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "k")
        (found,) = store.attempts()
        assert (found.submitted, found.late) == (MONDAY, False)


def test_equal_submissions_share_a_grade(tmp_path: Path) -> None:
    """A grade belongs to all who handed in the same, each under their own name."""
    with Store(tmp_path, "networking") as store:
        store.add(ALICE, attempt(), {"filter.c": b"1"}, "k")
        store.save("k", grade("full"))
        bob = Student(key="bob")
        store.add(bob, Attempt(student="bob"), {"filter.c": b"1"}, "k")
        names = [a.grade.submission for a in store.attempts() if a.grade]
        assert names == ["alice", "bob"]


def test_two_runs_cannot_have_the_same_folder(tmp_path: Path) -> None:
    """The second run is told that there is another."""
    with (
        Store(tmp_path, "networking"),
        pytest.raises(InputError, match="Another run"),
        Store(tmp_path, "networking"),
    ):
        pass


def test_folder_of_another_lab_is_refused(tmp_path: Path) -> None:
    """Grades of two labs do not mix."""
    with Store(tmp_path, "networking"):
        pass
    with pytest.raises(InputError, match="of the lab networking"), Store(tmp_path, "netlink"):
        pass


def test_store_that_is_refused_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is left for the garbage collector, which Python 3.13 warns of."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda path, **options: opened.append(connect(path, **options)) or opened[-1],
    )
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="damaged"), Store(tmp_path):
        pass
    (db,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


@pytest.mark.parametrize("content", [b"PK\x03\x04 no database" * 100, b""])
def test_file_that_is_no_store_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    """Rubbish by that name is said to be so, and not changed; an empty folder has no grades."""
    if content:
        (tmp_path / FILE).write_bytes(content)
    with (
        pytest.raises(InputError, match="damaged" if content else "knetlab grade"),
        Store(tmp_path),
    ):
        pass
    if content:
        assert (tmp_path / FILE).read_bytes() == content


def test_store_of_another_version_is_refused(tmp_path: Path) -> None:
    """A file with another layout is left alone."""
    with Store(tmp_path, "networking"):
        pass
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE about SET value = '99' WHERE name = 'version'")
    db.close()
    with pytest.raises(InputError, match="another version"), Store(tmp_path):
        pass


WRITER = """
import sys
from pathlib import Path
from classes import grade
from checker.model import Attempt, Grade, Student
from checker.classroom.store import Store

with Store(Path(sys.argv[1]), "networking") as store:
    for n in range(10_000):
        student = Student(key=f"s{n:05}")
        store.add(student, Attempt(student=student.key), {"filter.c": b"%d" % n}, f"k{n}")
        store.save(f"k{n}", grade("full"))
        print(n, flush=True)
"""


def test_sigkill_loses_nothing_that_had_ended(tmp_path: Path) -> None:
    """After a kill in the middle of writing, every grade that was told of is there and whole."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split(b"\n") if line]
    with Store(tmp_path) as store:
        kept = [a for a in store.attempts() if a.grade]
        assert len(kept) >= len(told)
        assert {f"s{n:05}" for n in told} <= {a.student for a in kept}


def test_a_file_without_commits_is_read(tmp_path: Path) -> None:
    """What an earlier knetlab stored, which knew of no commits, goes on."""
    with Store(tmp_path, "networking") as store:
        store.add(Student(key="ada"), Attempt(student="ada", label="1"), {}, "")
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("ALTER TABLE attempts DROP COLUMN git")
    db.close()
    with Store(tmp_path) as store:
        attempt = Attempt(student="bob", label="1", commit="1a2b3c4 of then")
        store.add(Student(key="bob"), attempt, {}, "")
        assert [one.commit for one in store.attempts()] == ["", "1a2b3c4 of then"]


def test_reading_goes_on_while_a_run_writes(tmp_path: Path) -> None:
    """A reader has what is there in that moment and says that a run is at it; neither waits."""
    with Store(tmp_path, "networking") as run:
        run.add(ALICE, attempt(), {"a.c": b"x"}, "key")
        with Store(tmp_path, reads=True) as reader:
            assert (reader.running, reader.lab, reader.progress()) == (True, "networking", (0, 1))
            run.save("key", grade("full"))
            assert reader.progress() == (0, 1)
        with Store(tmp_path, reads=True) as reader:
            assert reader.progress() == (1, 1)
            assert reader.attempts()[0].grade is not None
        with pytest.raises(InputError, match="Another run of knetlab is at"), Store(tmp_path):
            pass
    with Store(tmp_path, reads=True) as reader:
        assert not reader.running
        with Store(tmp_path) as run:  # a reader keeps no run from beginning
            assert run.progress() == (1, 1)


def test_reading_what_a_killed_run_left_half_done(tmp_path: Path) -> None:
    """A change that was cut off is undone by whoever comes first, a reader too."""
    with Store(tmp_path, "networking") as run:
        run.add(ALICE, attempt(), {}, "")
    script = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute(\"UPDATE students SET record = 'rubbish'\")\n"
        "db.executemany('INSERT INTO sources VALUES (?, ?, ?)',\n"
        "               [(str(n), 'a.c', b'x' * 5000) for n in range(500)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / FILE)], check=False)
    assert (tmp_path / f"{FILE}-journal").exists()
    with Store(tmp_path, reads=True) as reader:
        assert reader.students() == [ALICE]


def test_reading_before_anything_is_there(tmp_path: Path) -> None:
    """A folder without grades, an empty file and another program's are told apart."""
    with pytest.raises(InputError, match="`knetlab grade` makes it"), Store(tmp_path, reads=True):
        pass
    (tmp_path / FILE).touch()
    with pytest.raises(InputError, match="has nothing yet"), Store(tmp_path, reads=True):
        pass
    (tmp_path / FILE).write_bytes(b"rubbish" * 1000)
    with pytest.raises(InputError, match="is damaged"), Store(tmp_path, reads=True):
        pass
