"""Grading on a Dask cluster: the same function, mapped over its workers.

The cluster may stand on Slurm (dask-jobqueue), Kubernetes (dask-kubernetes) or
SSH; each worker has knetlab installed as it is here, and one thread, since a
guest wants a core of its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from checker.classroom import batch
from checker.classroom.batch import Results, Runner, Task
from checker.errors import InputError
from checker.model import Grade
from vm import reaper

CONNECT_SECONDS = 30


def runner(scheduler: str) -> Runner:
    """Return a runner whose tasks are done by the workers of the Dask scheduler at *scheduler*.

    What a worker was at that is lost is done again by another (Dask's own
    ``distributed.scheduler.allowed-failures``). Raises InputError when there is no
    Dask here, or no scheduler there.
    """
    with _connected(scheduler):
        pass

    def run(tasks: Sequence[Task]) -> Results:
        from distributed import as_completed  # noqa: PLC0415 - an extra

        with _connected(scheduler) as client:
            of = {client.submit(_grade, task, pure=False): task for task in tasks}
            try:
                for future in as_completed(list(of)):
                    error = future.exception()
                    yield of.pop(future), error if error is not None else future.result()
            finally:
                client.cancel(list(of), force=True)

    return run


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """Yield Dask's client of *scheduler*."""
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError("--executor dask needs it: pip install 'knetlab[cluster]'.") from error
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"There is no Dask scheduler at {scheduler}: {error}.") from error
    with client:
        yield client


_ONE_AT_A_TIME = threading.Lock()
"""A worker's process has one folder of scratch files: its further threads wait."""


def _grade(task: Task) -> Grade | Exception:
    """Do a task on a worker; what it raises is no reason for Dask to try again.

    A task that is not done in time ends its worker, guests included: nothing less ends
    a thread. Dask then has it done by another, or by the one that the nanny starts.
    However a worker ends, its scratch files go.
    """
    with _ONE_AT_A_TIME, reaper.run():
        watchdog = threading.Timer(batch.SECONDS, os._exit, [1])
        watchdog.start()
        try:
            return batch.grade(task)
        except Exception as error:
            return error
        finally:
            watchdog.cancel()
