"""Work in several processes: order, messages, errors, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from support import all_end

from checker import parallel

Tell = Callable[[object], None]


def square(number: int, tell: Tell) -> int:
    """Say that it begins, and return the square."""
    tell(("begins", number))
    return number * number


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_outcomes_come_in_the_order_of_the_items(jobs: int) -> None:
    """However many run at a time, the results are the same, and every message is heard."""
    heard: list[object] = []
    assert parallel.each(square, [3, 1, 2], jobs=jobs, hear=heard.append) == [9, 1, 4]
    assert sorted(map(str, heard)) == ["('begins', 1)", "('begins', 2)", "('begins', 3)"]


def test_two_jobs_are_two_processes() -> None:
    """Each item has a process of its own, which is not this one."""
    pids = parallel.each(lambda _, tell: os.getpid(), [1, 2], jobs=2, hear=print)
    assert len({*pids, os.getpid()}) == 3


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_is_raised_here(error: BaseException) -> None:
    """What a piece of work raises reaches the caller, Ctrl-C too."""

    def work(number: int, tell: Tell) -> None:
        if number == 2:
            raise error

    with pytest.raises(type(error)):
        parallel.each(work, [1, 2, 3], jobs=2, hear=print)


def test_a_process_that_is_killed_is_an_error() -> None:
    """Nobody waits for ever for one that the kernel has killed."""

    def work(number: int, tell: Tell) -> None:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(parallel.Died, match="killed"):
        parallel.each(work, [1, 2], jobs=2, hear=print)


PARENT = """
import os, signal
from checker import parallel

def work(number, tell):
    tell(os.getpid())
    signal.pause()

parallel.each(work, [1, 2], jobs=2, hear=lambda pid: print(pid, flush=True))
"""


def test_processes_die_with_their_parent() -> None:
    """Killed by SIGKILL, the parent leaves none behind."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [os.pidfd_open(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
    assert all_end(children)
