"""Many submissions: what is graded, what is graded once, and what the grader's failures do."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from classes import grade
from support import ROOT, SOLUTION

from checker.classroom import batch
from checker.classroom.batch import Done, Received, Results, Task
from checker.classroom.store import Store
from checker.engine import grading, submission
from checker.errors import InputError
from checker.model import Attempt, Grade, Lab, Student, Submission
from vm import image, kernel, toolchain
from vm.errors import NoSpace
from vm.kernel import Kernel
from vm.machine import CPU, qemu_version


@pytest.fixture
def on() -> Kernel:
    """A kernel that nothing is run on."""
    return Kernel("stock", "6.1", "key", Path("/none"), "/build", {}, ())


@pytest.fixture
def given(lab: Lab) -> Submission:
    """The lab's solution."""
    return submission.read(lab, SOLUTION)


def changed(given: Submission, text: bytes) -> Submission:
    """Return *given* with *text* behind its first file."""
    first, *rest = given.files
    assert first.content is not None
    first = first.model_copy(update={"content": first.content + text})
    return given.model_copy(update={"files": (first, *rest)})


def handed(key: str, given: Submission | None) -> Received:
    """Return an attempt of the student *key*."""
    return Received(Student(key=key), Attempt(student=key), given)


class Fake:
    """A runner that says what it was told to, and notes what it was asked."""

    def __init__(self, *results: Grade | Exception) -> None:
        self.results = list(results)
        self.asked: list[str] = []

    def __call__(self, tasks: Iterable[Task]) -> Results:
        """Yield the next result for each task."""
        for task in tasks:
            self.asked.append(task.key)
            yield task, self.results.pop(0)


def test_equal_submissions_are_one_task(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """Who handed it in is no part of the key; what was handed in is."""
    with Store(tmp_path, lab.name) as store:
        other = given.model_copy(update={"name": "other"})
        mine = [handed("a", given), handed("b", other), handed("c", changed(given, b"\n"))]
        tasks = batch.take(store, lab, on, mine)
    assert len(tasks) == 2
    assert "a" not in {task.submission.name for task in tasks}


@pytest.mark.parametrize("field", ["files", "kernel", "name"])
def test_key_changes_with_what_a_grade_is_made_of(
    field: str, lab: Lab, on: Kernel, given: Submission
) -> None:
    """Other files, another kernel, or one by another name: another grade."""
    others = {
        "files": (changed(given, b"x"), on),
        "kernel": (given, Kernel("stock", "6.1", "other", Path("/none"), "/build", {}, ())),
        "name": (given, Kernel("debug", "6.1", "key", Path("/none"), "/build", {}, ())),
    }
    assert batch.key_of(lab, *others[field]) != batch.key_of(lab, given, on)


def test_grade_made_with_another_processor_is_made_again(
    lab: Lab, on: Kernel, given: Submission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What QEMU is told of the guest's processor is part of the key, since it is in the code."""
    before = batch.key_of(lab, given, on)
    shutil.copytree(ROOT / "vm", tmp_path / "vm")
    monkeypatch.setattr(image, "__file__", str(tmp_path / "vm" / "image.py"))
    batch._ours.cache_clear()
    assert batch.key_of(lab, given, on) == before
    source = tmp_path / "vm" / "machine.py"
    text = source.read_text()
    assert text.count('"max,-erms,-fsrm,-cx16"') == 1
    source.write_text(text.replace('"max,-erms,-fsrm,-cx16"', '"max,-erms,-fsrm"'))
    batch._ours.cache_clear()
    assert batch.key_of(lab, given, on) != before
    batch._ours.cache_clear()


def test_key_tells_missing_from_too_large(lab: Lab, on: Kernel, given: Submission) -> None:
    """Two reasons for a file not to be there are two grades: their messages differ."""
    first, *rest = given.files
    keys = set()
    for problem in ("filter.c is missing.", "filter.c is larger than 1 MiB."):
        gone = first.model_copy(update={"content": None, "problem": problem})
        keys.add(batch.key_of(lab, given.model_copy(update={"files": (gone, *rest)}), on))
    assert len(keys) == 2


def test_what_is_graded_is_not_graded_again(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """A second run has nothing to do, but with force."""
    with Store(tmp_path, lab.name) as store:
        tasks = batch.take(store, lab, on, [handed("a", given)])
        batch.run(store, batch.waiting(store, tasks), Fake(grade("full")), lambda _: None)
        assert batch.waiting(store, tasks) == []
        assert batch.waiting(store, tasks, failed=True) == []
        assert batch.waiting(store, tasks, force=True) == tasks


def test_grader_that_fails_is_tried_once_more(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """When the second try works nobody hears of the first."""
    done: list[Done] = []
    with Store(tmp_path, lab.name) as store:
        tasks = batch.take(store, lab, on, [handed("a", given)])
        fake = Fake(grade("grader-error"), grade("full"))
        batch.run(store, tasks, fake, done.append)
        assert len(fake.asked) == 2
        assert [d.problem for d in done] == [""]
        assert store.troubles() == []


def test_grader_that_fails_twice_is_an_error_and_no_zero(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """It is listed, has no grade, and is left alone until somebody asks for it."""
    done: list[Done] = []
    with Store(tmp_path, lab.name) as store:
        tasks = batch.take(store, lab, on, [handed("a", given), handed("b", changed(given, b"\n"))])
        fake = Fake(OSError("no"), grade("full"), OSError("no, again"))
        batch.run(store, tasks, fake, done.append)
        assert [d.problem for d in done] == ["", "OSError: no, again"]
        assert [t.student for t in store.troubles()] == ["a"]
        a, b = store.attempts()
        assert (a.grade, bool(b.grade)) == (None, True)
        assert batch.waiting(store, tasks) == []
        assert [t.key for t in batch.waiting(store, tasks, failed=True)] == [tasks[0].key]


def test_regrading_that_fails_keeps_the_grade(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """--force and two failures: the earlier grade stands, and the trouble is listed."""
    with Store(tmp_path, lab.name) as store:
        tasks = batch.take(store, lab, on, [handed("a", given)])
        batch.run(store, tasks, Fake(grade("full")), lambda _: None)
        again = batch.waiting(store, tasks, force=True)
        batch.run(store, again, Fake(OSError("a"), OSError("b")), lambda _: None)
        (found,) = store.attempts()
        assert found.grade is not None
        assert len(store.troubles()) == 1


def test_what_stops_every_grade_stops_the_batch(
    tmp_path: Path, lab: Lab, on: Kernel, given: Submission
) -> None:
    """A full disk is nobody's error, and is counted as none."""
    with Store(tmp_path, lab.name) as store:
        tasks = batch.take(store, lab, on, [handed("a", given)])
        with pytest.raises(NoSpace):
            batch.run(store, tasks, Fake(NoSpace("The disk is full.")), lambda _: None)
        assert store.troubles() == []
        assert batch.waiting(store, tasks) == tasks


def test_nothing_to_grade_is_said(tmp_path: Path, lab: Lab, on: Kernel) -> None:
    """An attempt without a submission has its problem, and no task."""
    with Store(tmp_path, lab.name) as store:
        lost = Attempt(student="a", problem="a.zip is damaged.")
        assert batch.take(store, lab, on, [Received(Student(key="a"), lost, None)]) == []
        (found,) = store.attempts()
        assert found.problem == "a.zip is damaged."


def test_only_knows_keys_names_and_ids() -> None:
    """--only finds a student by any name they have, and refuses one that nobody has."""
    students = [Student(key="ada", name="Ada L", id="7"), Student(key="bob")]
    assert batch.only(students, ["7"]) == {"ada"}
    assert batch.only(students, ["Ada L", "bob"]) == {"ada", "bob"}
    assert batch.only(students, []) == {"ada", "bob"}
    with pytest.raises(InputError, match="carol"):
        batch.only(students, ["carol"])


@pytest.mark.vm
def test_grades_of_processes_are_those_of_here(
    tmp_path: Path, lab: Lab, stock_kernel: Kernel, given: Submission
) -> None:
    """Two submissions graded at a time get what they should, and the same seed anywhere."""
    broken = changed(given, b"\n#error no\n")
    with Store(tmp_path, lab.name) as store:
        mine = [handed("a", given), handed("b", broken)]
        tasks = batch.take(store, lab, stock_kernel, mine)
        batch.run(store, tasks, batch.local(2), lambda _: None)
        a, b = store.attempts()
    assert a.grade is not None
    assert b.grade is not None
    assert a.grade.score == a.grade.max_score
    assert 0 < b.grade.score < b.grade.max_score
    made = a.grade.provenance
    assert made.seed == int(tasks[0].key[:8], 16)
    assert (made.qemu, made.cpu) == (qemu_version(), CPU["tcg"])


def test_worker_with_another_lab_is_found_out(lab: Lab, on: Kernel, given: Submission) -> None:
    """A task whose key does not fit what is here is refused, not graded."""
    task = Task(key="0" * 16, lab=lab.name, kernel="stock", release="", submission=given)
    with pytest.raises(batch.Mismatch, match="install the same"):
        batch.grade(task)


def test_a_task_is_done_on_the_kernel_of_its_release(
    tmp_path: Path, lab: Lab, given: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its compiler, too, where the host is of another one, as a cluster's may be."""
    settings: list[str] = []

    def stock(release: str) -> Kernel:
        settings.append(toolchain.setting())
        key = f"key-{release}"
        return Kernel("stock", "6.12", key, Path("/none"), "/b", {}, (), debian=release)

    monkeypatch.delenv(toolchain.SETTING, raising=False)
    monkeypatch.setattr(kernel, "stock", stock)
    monkeypatch.setattr(grading, "grade_submission", lambda _, __, on, ___: on.debian)
    with Store(tmp_path, lab.name) as store:
        (task,) = batch.take(store, lab, stock("13"), [handed("a", given)])
    batch._at_hand.cache_clear()
    assert batch.grade(task) == "13"
    assert settings == ["", "own"]
    batch._at_hand.cache_clear()
