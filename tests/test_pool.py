"""Work in processes: what comes back, and what becomes of a process that dies or is stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from support import ROOT, all_end

from checker import pool
from checker.errors import InputError
from vm.tools import descendants


def _square(number: int) -> int:
    if number == 13:
        raise InputError("unlucky")
    if number == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _process(_: int) -> int:
    return os.getpid()


def _pause(number: int) -> None:
    if number:
        signal.pause()


def run() -> None:
    """Be the parent of the last test: say when one process is at work for ever."""
    with contextlib.closing(pool.each(_pause, [0, 1, 1], 2)) as running:
        for _ in running:
            sys.stdout.write("ready\n")
            sys.stdout.flush()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_comes_back(jobs: int) -> None:
    """Each item is yielded once with its result, however many processes there are."""
    done = dict(pool.each(_square, range(9), jobs))
    assert done == {n: n * n for n in range(9)}


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


@pytest.mark.parametrize("jobs", [1, 2])
def test_process_that_dies_costs_its_item_only(jobs: int) -> None:
    """When a process is killed, its item says so and another process goes on."""
    done = dict(pool.each(_square, [16, 17, 18, 19], jobs))
    assert (done[16], done[18], done[19]) == (256, 324, 361)
    assert isinstance(done[17], pool.WorkerDied)
    assert "Killed" in str(done[17])


def test_closing_ends_what_still_runs() -> None:
    """Closed early, it leaves no process behind and does not wait for their work."""
    with contextlib.closing(pool.each(_pause, [0, 1, 1], 2)) as running:
        assert next(running)[0] == 0
        assert multiprocessing.active_children()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_their_parent(how: signal.Signals) -> None:
    """A parent that is interrupted or killed leaves no process behind."""
    program = "from test_pool import run; run()"
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
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
