"""Work in processes: what comes back, and what becomes of a process that dies or is stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, all_end

from checker.engine import pool
from checker.errors import InputError
from vm.tools import descendants

METHODS = pytest.mark.parametrize("method", ["spawn", "fork"])


def _square(number: int) -> int:
    if number == 13:
        raise InputError("unlucky")
    if number == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


class _Deadly:
    """Work whose process ends while it still gets ready, with its item unread."""

    def __call__(self, _: int) -> None:
        """Do nothing: nobody comes as far."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def _process(_: int) -> int:
    return os.getpid()


def _aloud(number: int) -> int:
    pool.tell(("begins", number))
    return _square(number)


def _pause(number: int) -> None:
    if number:
        signal.pause()


def run(method: pool.Method) -> None:
    """Be the parent of the last test: say when one process is at work for ever."""
    with contextlib.closing(pool.each(_pause, [0, 1, 1], 2, method=method)) as running:
        for _ in running:
            sys.stdout.write("ready\n")
            sys.stdout.flush()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_comes_back(jobs: int) -> None:
    """Each item is yielded once with its result, however many processes there are."""
    done = dict(pool.each(_square, range(9), jobs))
    assert done == {n: n * n for n in range(9)}


@METHODS
def test_what_work_tells_is_heard(method: pool.Method) -> None:
    """Every message reaches the parent, and the results are the same."""
    heard: list[object] = []
    done = dict(pool.each(_aloud, [3, 1, 2], 2, hear=heard.append, method=method))
    assert done == {1: 1, 2: 4, 3: 9}
    assert sorted(map(str, heard)) == ["('begins', 1)", "('begins', 2)", "('begins', 3)"]


def test_forked_work_needs_no_pickling() -> None:
    """A forked process has what its parent has: a function made there, and all it knows."""
    offset = 40
    assert [r for _, r in pool.each(lambda n: n + offset, [2], 1, method="fork")] == [42]


def test_forked_process_prints_nothing_of_its_parents() -> None:
    """What the parent has in its buffers is printed once."""
    program = """
import sys
from checker.engine import pool
sys.stdout.write("once ")
list(pool.each(abs, [1, 2], 2, method="fork"))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "once "


def test_processes_are_used_again() -> None:
    """One job is one process for all items, and it is not this one."""
    (pid,) = {result for _, result in pool.each(_process, range(4), 1)}
    assert pid != os.getpid()


def test_what_work_raises_comes_back() -> None:
    """An exception is the item's result, and the others are done all the same."""
    done = dict(pool.each(_square, [12, 13, 14], 1))
    assert (done[12], done[14]) == (144, 196)
    assert isinstance(done[13], InputError)
    assert str(done[13]) == "unlucky"


@METHODS
@pytest.mark.parametrize("jobs", [1, 2])
def test_process_that_dies_costs_its_item_only(jobs: int, method: pool.Method) -> None:
    """When a process is killed, its item says so and another process goes on."""
    done = dict(pool.each(_square, [16, 17, 18, 19], jobs, method=method))
    assert (done[16], done[18], done[19]) == (256, 324, 361)
    assert isinstance(done[17], pool.WorkerDied)
    assert "Killed" in str(done[17])


def test_process_that_never_got_ready_costs_its_item_only() -> None:
    """A process that ends before it has read its item is told of, not raised."""
    done = dict(pool.each(_Deadly(), [1, 2], 1))
    assert [str(result) for result in done.values()] == [
        "The process that was at it died (exit status 3); is there memory?"
    ] * 2


@METHODS
def test_late_item_costs_itself_only(method: pool.Method) -> None:
    """An item that goes on for too long is stopped, says so, and the others are done."""
    done = dict(pool.each(_pause, [1, 0], 1, method=method, seconds=5))
    assert done[0] is None
    assert str(done[1]) == "It was not done within 5 s."
    assert isinstance(done[1], pool.TookTooLong)
    assert multiprocessing.active_children() == []


@METHODS
def test_closing_ends_what_still_runs(method: pool.Method) -> None:
    """Closed early, it leaves no process behind and does not wait for their work."""
    with contextlib.closing(pool.each(_pause, [0, 1, 1], 2, method=method)) as running:
        assert next(running)[0] == 0
        assert multiprocessing.active_children()
    assert multiprocessing.active_children() == []


@METHODS
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_their_parent(how: signal.Signals, method: pool.Method) -> None:
    """A parent that is interrupted or killed leaves no process behind."""
    program = f"from test_pool import run; run({method!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    below = [os.pidfd_open(pid) for pid in descendants(parent.pid)]
    assert len(below) >= 2
    parent.send_signal(how)
    assert parent.wait(30) != 0
    parent.stdout.close()
    assert all_end(below)
