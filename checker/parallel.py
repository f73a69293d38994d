"""Run pieces of work in processes of their own, some at a time, and hear from them as they go.

A forked process has all that its parent has imported and read, so that it costs
next to nothing to start; one that dies takes nothing with it but its piece.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Message = TypeVar("Message")
Outcome = TypeVar("Outcome")

Work = Callable[[Item, Callable[[Message], None]], Outcome]
"""Does one piece, and may send messages on the way."""

_PR_SET_PDEATHSIG = 1

END_SECONDS = 20
"""What a process has to end its guests when the run is stopped."""


class Died(RuntimeError):
    """A process ended without a word: killed, most likely for want of memory."""


class _Team(Generic[Item, Message, Outcome]):
    def __init__(self, work: Work[Item, Message, Outcome], hear: Callable[[Message], None]) -> None:
        self.work = work
        self.hear = hear
        self.running: dict[Connection, tuple[int, ForkProcess]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def start(self, number: int, item: Item) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(self.work, item, theirs, os.getpid()))
        process.start()
        theirs.close()
        self.running[ours] = (number, process)

    def listen(self) -> None:
        """Wait for news, and take it."""
        for connection in wait(list(self.running)):
            assert isinstance(connection, Connection)
            number, process = self.running[connection]
            try:
                kind, value = connection.recv()
            except EOFError:
                kind, value = "error", Died("A process of the grader was killed; is there memory?")
            if kind == "message":
                self.hear(value)
                continue
            del self.running[connection]
            connection.close()
            process.join()
            if kind == "error":
                raise value
            self.outcomes[number] = value

    def close(self) -> None:
        """End what still runs: politely, so that it can remove its folders."""
        for _, process in self.running.values():
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)
        for connection, (_, process) in self.running.items():
            process.join(END_SECONDS)
            process.kill()
            process.join()
            connection.close()


def each(
    work: Work[Item, Message, Outcome],
    items: Sequence[Item],
    *,
    jobs: int,
    hear: Callable[[Message], None],
) -> list[Outcome]:
    """Return what *work* makes of each item, in order; at most *jobs* of them at a time.

    With one job no process is made. What *work* raises is raised here, after
    the others were ended; Died when a process was killed.
    """
    if jobs <= 1 or len(items) <= 1:
        return [work(item, hear) for item in items]
    team = _Team(work, hear)
    try:
        waiting = list(enumerate(items))
        while waiting or team.running:
            while waiting and len(team.running) < jobs:
                team.start(*waiting.pop(0))
            team.listen()
    finally:
        team.close()
    return [team.outcomes[number] for number in range(len(items))]


def _child(work: Work[Item, Any, Any], item: Item, connection: Connection, parent: int) -> None:
    """Do one piece in a process that does not outlive its parent."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        outcome: tuple[str, object] = (
            "outcome",
            work(item, lambda m: connection.send(("message", m))),
        )
    except BaseException as error:  # all of them are the parent's to judge
        outcome = ("error", error)
    with contextlib.suppress(BrokenPipeError):
        connection.send(outcome)
