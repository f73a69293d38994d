"""Work spread over processes, where a process that dies costs only the item it was at.

concurrent.futures gives up all that is left when one of its processes dies;
here another takes its place. The guests of a process end with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn, TypeVar

TIDY_SECONDS = 20
"""What a process has to put its things away in when the run is stopped; then it is killed."""

T = TypeVar("T")
R = TypeVar("R")


class WorkerDied(Exception):
    """A process ended in the middle of an item: it was killed, for want of memory perhaps."""


def each(
    work: Callable[[T], R], items: Sequence[T], jobs: int
) -> Generator[tuple[T, R | Exception], None, None]:
    """Yield each of *items* with what *work* returned or raised, in the order in which they end.

    *work*, items and results are pickled; at most *jobs* processes live at a time. Close
    the generator (``contextlib.closing``) to stop what still runs, guests included.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks
    waiting = list(reversed(items))
    idle: list[tuple[Connection, BaseProcess]] = []
    busy: dict[Connection, tuple[T, BaseProcess]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                if not idle:
                    ours, theirs = context.Pipe()
                    process: BaseProcess = context.Process(target=_serve, args=(theirs, work))
                    process.start()
                    theirs.close()  # so that its end is seen
                    idle.append((ours, process))
                pipe, process = idle.pop()
                busy[pipe] = (waiting.pop(), process)
                with contextlib.suppress(BrokenPipeError):  # it died: the next read tells
                    pipe.send(busy[pipe][0])
            ready = connection.wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                item, process = busy.pop(pipe)
                try:
                    result = pipe.recv()
                    idle.append((pipe, process))
                except EOFError:
                    process.join()
                    result = WorkerDied(f"The process that was at it died ({_end(process)}).")
                yield item, result
    finally:
        for pipe, _ in idle:
            pipe.close()
        for _, process in busy.values():
            process.terminate()
        for process in [p for _, p in idle] + [p for _, p in busy.values()]:
            process.join(TIDY_SECONDS)
            process.kill()


def _end(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return signal.strsignal(-code) or str(code) if code < 0 else f"exit status {code}"


def _serve(pipe: Connection, work: Callable[[T], R]) -> None:
    """Be one of the processes: take items until there are no more, or until told to stop."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches all; the parent says what to do
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            item = pipe.recv()
            try:
                result: R | Exception = work(item)
            except Exception as error:
                result = error
            pipe.send(result)


def _stop(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End at once when the parent is gone, however it went; guests end with this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
