"""Many submissions: which of them are still to be graded, and grading them, some at a time.

Grading one is a function from what was handed in to a grade, so that it can be
mapped over processes of this host or over the workers of a Dask cluster.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from checker import lab as labs
from checker.classroom.store import Store, source_hash
from checker.engine import earlier, grading, pool
from checker.errors import InputError
from checker.model import Attempt, Grade, Lab, Record, Student, Submission
from vm import cache, kernel, toolchain
from vm.errors import MissingTool, NoSandbox, NoSpace, VMError
from vm.kernel import Kernel

MEMORY = 1 << 30
"""Bytes that grading one submission takes at most: a guest, QEMU, the compiler, Python."""

SECONDS = 900
"""Of wall time that one submission has on this host: 60 times what the solution takes."""

TRIES = 2
"""So often a submission is tried at which the grader fails."""


@dataclass(frozen=True)
class Received:
    """One attempt, read: *submission* is None where nothing in it can be graded."""

    student: Student
    attempt: Attempt
    submission: Submission | None


class Task(Record):
    """One grade to be made, with all that it is made of but the lab and the kernel.

    Those are known by name where the task is done, the kernel by its *release* of Debian,
    too, which may not be that host's; *key* says whether they are the same there.
    """

    key: str
    lab: str
    kernel: Literal["stock", "debug"]
    release: str
    submission: Submission


@dataclass(frozen=True)
class Done:
    """What became of a task: a grade, or why there is none."""

    task: Task
    grade: Grade | None
    problem: str
    seconds: float


class Mismatch(VMError):
    """Where a task was to be done, the lab, the kernel or knetlab itself is another one."""


Results = Generator[tuple[Task, Grade | Exception], None, None]
"""Tasks with what came of them, as they end; closed, it stops what still runs."""

Runner = Callable[[Sequence[Task]], Results]


# --- one -----------------------------------------------------------------------------


def key_of(lab: Lab, given: Submission, on: Kernel) -> str:
    """Return what stands for a grade: the files, the lab with its checks, kernel and grader."""
    files = [(f.path, source_hash({f.path: f.content or b""}), f.problem) for f in given.files]
    parts = [part for file in sorted(files) for part in file]
    return cache.digest(*_ours(lab.root), on.key, on.name, *parts)


@lru_cache
def _ours(lab: Path) -> tuple[str, str]:
    """Return hashes of the lab in that folder and of the code, as this process has them."""
    return earlier.tree_hash(lab), earlier.code_hash()


def sources_of(given: Submission) -> dict[str, bytes]:
    """Return the files of *given* that could be read: path -> content."""
    return {file.path: file.content for file in given.files if file.content is not None}


@lru_cache
def _at_hand(lab: str, name: str, release: str) -> tuple[Lab, Kernel]:
    return labs.load(lab), kernel.debug(release) if name == "debug" else kernel.stock(release)


@toolchain.own_by_default()
def grade(task: Task) -> Grade:
    """Make one grade; its seed comes of its key, so that it comes out the same anywhere.

    The compiler is that of the kernel's release, unless this host's settings say otherwise.
    Raises Mismatch when lab, kernel or code here are not those of the key, and what
    grading.grade_submission() raises.
    """
    lab, on = _at_hand(task.lab, task.kernel, task.release)
    if key_of(lab, task.submission, on) != task.key:
        raise Mismatch(
            f"The lab {task.lab}, the kernel {on.release} or knetlab itself is another one here: "
            "install the same on every worker."
        )
    # each way costs what some ten checks do; the student's own `check` tells it
    options = grading.Options(seed=int(task.key[:8], 16), jobs=1, ways=False)
    return grading.grade_submission(lab, task.submission, on, options)


# --- many ------------------------------------------------------------------------------


def local(jobs: int) -> Runner:
    """Return a runner that has *jobs* processes of this host."""
    return lambda tasks: pool.each(grade, tasks, jobs, seconds=SECONDS)


def jobs_here() -> int:
    """Return how many submissions this host grades at a time: its cores, as memory allows."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = int(next(line for line in lines if "MemAvailable" in line).split()[1]) << 10
    return max(1, min(len(os.sched_getaffinity(0)), free // MEMORY))


def take(store: Store, lab: Lab, on: Kernel, handed: Iterable[Received]) -> list[Task]:
    """Note what was handed in; return a task for each grade it comes to, equal ones once."""
    tasks: dict[str, Task] = {}
    for one in handed:
        wanted, sources = "", {}
        if one.submission is not None:
            wanted = key_of(lab, one.submission, on)
            sources = sources_of(one.submission)
            tasks.setdefault(wanted, _task(wanted, lab, on, one.submission))
        store.add(one.student, one.attempt, sources, wanted)
    return list(tasks.values())


def _task(key: str, lab: Lab, on: Kernel, given: Submission) -> Task:
    # who handed it in is no part of it: others may have handed in the same
    return Task(
        key=key,
        lab=lab.name,
        kernel="debug" if on.name == "debug" else "stock",
        release=on.debian,
        submission=given.model_copy(update={"name": key}),
    )


def waiting(
    store: Store, tasks: Iterable[Task], *, force: bool = False, failed: bool = False
) -> list[Task]:
    """Return which of *tasks* are still to be done.

    *force* are all of them, *failed* those that the grader failed at; else what
    has no grade yet and was not given up.
    """
    tasks = list(tasks)
    if force or failed:
        chosen = tasks if force else [task for task in tasks if store.tries(task.key)]
        store.forget_errors(task.key for task in chosen)
        return chosen
    return [t for t in tasks if not store.has(t.key) and store.tries(t.key) < TRIES]


def run(
    store: Store, tasks: Sequence[Task], runner: Runner, on_done: Callable[[Done], None]
) -> None:
    """Do *tasks*, keep each grade as it ends, and try those again, once, that the grader fails at.

    Raises what makes every grade impossible: InputError, MissingTool, NoSandbox,
    NoSpace, Mismatch.
    """
    again = _round(store, tasks, runner, on_done, last=False)
    if again:
        _round(store, again, runner, on_done, last=True)


def _round(
    store: Store,
    tasks: Sequence[Task],
    runner: Runner,
    on_done: Callable[[Done], None],
    *,
    last: bool,
) -> list[Task]:
    """Do *tasks* once; return those at which the grader failed and that may be tried again."""
    again = []
    started = time.monotonic()
    with contextlib.closing(runner(tasks)) as done:
        for task, result in done:
            if isinstance(result, InputError | MissingTool | NoSandbox | NoSpace | Mismatch):
                raise result
            if isinstance(result, Grade) and result.status == "graded":
                store.save(task.key, result)
                on_done(Done(task, result, "", result.provenance.seconds))
                continue
            problem = result.message if isinstance(result, Grade) else _sentence(result)
            if store.fail(task.key, problem) < TRIES and not last:
                again.append(task)
            else:
                on_done(Done(task, None, problem, time.monotonic() - started))
    return again


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, VMError) else f"{type(error).__name__}: {error}"


def only(students: Iterable[Student], names: Collection[str]) -> set[str]:
    """Return the keys of those of *students* that *names* name: by key, name, login, id, email.

    Without names it is all of them. Raises InputError for a name that nobody has.
    """
    students = list(students)
    for name in names:
        if not any(name in _names(student) for student in students):
            raise InputError(f"--only {name}: nobody in the class is called so.")
    return {s.key for s in students if not names or _names(s) & set(names)}


def _names(student: Student) -> set[str]:
    fields = (student.key, student.name, student.login, student.id, student.sis_id, student.email)
    return {text for text in fields if text}
