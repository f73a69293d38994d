"""Grading on a real Dask cluster of two worker processes, one of which is killed half-way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from distributed import Client
from support import ROOT, SOLUTION, all_end

from checker.classroom import batch, cluster
from checker.classroom.batch import Done, Received
from checker.classroom.store import Store
from checker.engine import submission
from checker.errors import InputError
from checker.model import Attempt, Grade, Lab, Student, Submission
from vm.kernel import Kernel
from vm.tools import descendants


def start(stack: ExitStack, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a program of Dask's that ends with *stack*, and wait until it is connected."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stderr is not None
    stack.callback(process.stderr.close)
    for line in process.stderr:
        if re.search(r"Scheduler at:|Registered to:", line):
            return process
    raise AssertionError(f"dask {arguments[0]} did not start")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler's address and two workers with one thread each, the second with a nanny."""
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        start(stack, tmp_path, "scheduler", "--port", "0", "--scheduler-file", str(file))
        options = ("--nthreads", "1", "--scheduler-file", str(file))
        # a nanny's worker is a daemonic process: multiprocessing lets it have no children
        pair = [start(stack, tmp_path, "worker", *options, n) for n in ("--no-nanny", "--nanny")]
        found = re.search(r"tcp://[\d.:]+", file.read_text())
        assert found
        yield found[0], pair


def plain(grade: Grade) -> str:
    """Return a grade's JSON without its times, those in the kernel's log among them."""
    text = re.sub(r'"seconds": [\d.e-]+', '"seconds": 0', grade.to_json())
    return re.sub(r"\[ *\d+\.\d{6}\]", "[time]", text)


@pytest.mark.vm
def test_killed_worker_costs_nothing(
    tmp_path: Path,
    lab: Lab,
    stock_kernel: Kernel,
    workers: tuple[str, list[subprocess.Popen[str]]],
) -> None:
    """All is graded though a worker dies, which leaves nothing, and comes out as on this host."""
    address, (victim, _) = workers
    solution = submission.read(lab, SOLUTION)
    handed = [
        Received(Student(key=str(n)), Attempt(student=str(n)), broken(solution, n))
        for n in range(4)
    ]
    done: list[Done] = []
    below: list[int] = []

    def kill_one(what: Done) -> None:
        for pid in descendants(victim.pid):
            with suppress(ProcessLookupError):
                below.append(os.pidfd_open(pid))
        victim.send_signal(signal.SIGKILL)
        done.append(what)

    with Store(tmp_path / "there", lab.name) as store:
        tasks = batch.take(store, lab, stock_kernel, handed)
        batch.run(store, tasks, cluster.runner(address), kill_one)
        assert store.troubles() == []
        there = [a.grade for a in store.attempts()]
    with Store(tmp_path / "here", lab.name) as store:
        batch.run(store, batch.take(store, lab, stock_kernel, handed), batch.local(2), print)
        here = [a.grade for a in store.attempts()]
    assert len(done) == 4
    assert all_end(below)
    assert list(tmp_path.glob("knetlab-*")) == []
    assert [plain(g) for g in there if g] == [plain(g) for g in here if g]
    assert len({g.score for g in here if g}) == 1


@pytest.mark.vm
def test_late_task_costs_its_worker_only(
    tmp_path: Path,
    lab: Lab,
    stock_kernel: Kernel,
    workers: tuple[str, list[subprocess.Popen[str]]],
) -> None:
    """A worker that is at a task for too long ends, and the one after it has the grade."""
    address, (other, _) = workers
    other.kill()
    other.wait()
    with Client(address) as client:
        (first,) = client.run(os.getpid).values()
        client.run(setattr, batch, "SECONDS", 0)
    solution = submission.read(lab, SOLUTION)
    handed = [Received(Student(key="1"), Attempt(student="1"), broken(solution, 1))]
    with Store(tmp_path / "there", lab.name) as store:
        tasks = batch.take(store, lab, stock_kernel, handed)
        batch.run(store, tasks, cluster.runner(address), lambda _: None)
        assert store.troubles() == []
        assert [a.grade is not None for a in store.attempts()] == [True]
    with Client(address) as client:
        assert set(client.run(os.getpid).values()) != {first}


def broken(solution: Submission, number: int) -> Submission:
    """Return the solution with two of its modules broken, so that grading it is quick."""
    files = [
        file.model_copy(update={"content": b"#error %d\n" % number})
        if "udp" not in file.path
        else file
        for file in solution.files
    ]
    return solution.model_copy(update={"files": tuple(files)})


def test_scheduler_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the address."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:1"):
        cluster.runner("tcp://127.0.0.1:1")
