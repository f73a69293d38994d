"""Work spread over processes, where a process that dies costs only the item it was at.

concurrent.futures gives up all that is left when one of its processes dies;
here another takes its place, and work may tell of its progress on the way; what it
says through the logger ``knetlab`` is said by the parent. The guests of a process end
with it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Literal, NoReturn, TypeVar

from vm.errors import VMError

TIDY_SECONDS = 20
"""What a process has to put its things away in when the run is stopped; then it is killed."""

Method = Literal["spawn", "fork"]

T = TypeVar("T")
R = TypeVar("R")


class WorkerDied(VMError):
    """A process ended in the middle of an item: it was killed, for want of memory perhaps."""


class TookTooLong(VMError):
    """An item was not done within its time; its process was stopped."""


log = logging.getLogger("knetlab")

_parent: Connection
"""In a process of the pool: the way to each()."""


def tell(message: object) -> None:
    """Send *message*, which is pickled, to each()'s *hear*; for work to call."""
    _parent.send((False, message))


class _Tell(logging.Handler):
    """Sends what is logged to each(): a terminal is the parent's."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send it, its words made of its parts."""
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        tell(record)


def each(
    work: Callable[[T], R],
    items: Sequence[T],
    jobs: int,
    *,
    hear: Callable[[object], None] = lambda _: None,
    method: Method = "spawn",
    seconds: float = math.inf,
) -> Generator[tuple[T, R | Exception], None, None]:
    """Yield each of *items* with what *work* returned or raised, in the order in which they end.

    Items and results are pickled, with *method* spawn *work* too; a forked
    process has all that its parent has read, and so costs next to nothing to start.
    At most *jobs* processes live at a time. An item has *seconds* of wall time; after
    them its process is stopped and TookTooLong stands for the result. Close the generator
    (``contextlib.closing``) to stop what still runs, guests included.
    """
    context: ForkContext | SpawnContext = multiprocessing.get_context("spawn")
    if method == "fork":
        context = multiprocessing.get_context("fork")
    waiting = list(reversed(items))
    idle: list[tuple[Connection, BaseProcess]] = []
    busy: dict[Connection, tuple[T, BaseProcess, float]] = {}
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
                busy[pipe] = (waiting.pop(), process, time.monotonic() + seconds)
                with contextlib.suppress(ConnectionError):  # it died: the next read tells
                    pipe.send(busy[pipe][0])
            first = min(deadline for _, _, deadline in busy.values()) - time.monotonic()
            ready = connection.wait(list(busy), None if first == math.inf else max(first, 0))
            late = [pipe for pipe, (_, _, end) in busy.items() if end < time.monotonic()]
            for pipe in [pipe for pipe in busy if pipe in ready or pipe in late]:
                item, process, _ = busy[pipe]
                if pipe not in ready:
                    _stop_all([process])
                    del busy[pipe]
                    yield item, TookTooLong(f"It was not done within {seconds:.0f} s.")
                    continue
                try:
                    ended, result = pipe.recv()
                    if isinstance(result, logging.LogRecord):
                        log.handle(result)
                        continue
                    if not ended:
                        hear(result)
                        continue
                    idle.append((pipe, process))
                except (EOFError, ConnectionError):  # reset: it died with the item unread
                    process.join()
                    result = WorkerDied(
                        f"The process that was at it died ({_end(process)}); is there memory?"
                    )
                del busy[pipe]
                yield item, result
    finally:
        _stop_all(
            [*(process for _, process in idle), *(process for _, process, _ in busy.values())]
        )


def _stop_all(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(TIDY_SECONDS)
        process.kill()


def _end(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return signal.strsignal(-code) or str(code) if code < 0 else f"exit status {code}"


def _serve(pipe: Connection, work: Callable[[T], R]) -> None:
    """Be one of the processes: take items until there are no more, or until told to stop."""
    global _parent  # noqa: PLW0603 - one process has one parent
    _parent = pipe
    log.handlers, log.propagate = [_Tell()], False
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches all; the parent says what to do
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, KeyboardInterrupt, ConnectionError):
        while True:
            item = pipe.recv()
            try:
                result: R | Exception = work(item)
            except Exception as error:
                result = error
            pipe.send((True, result))
    os._exit(0)  # a fork must not flush what its parent had not printed yet


def _stop(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End at once when the parent is gone, however it went; guests end with this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
