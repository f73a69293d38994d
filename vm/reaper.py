"""A run leaves nothing behind: its processes and scratch files go with it, also by SIGKILL."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SCRIPT = Path(__file__).with_name("reaper.sh")

PREFIX = "knetlab-"
"""How the name of a run's folder begins."""


@contextlib.contextmanager
def run() -> Iterator[None]:
    """Have all scratch files in one folder that goes, with what still runs, when this process ends.

    The folder is TMPDIR, of this process and of those it starts; a process in a session of
    its own, which no signal to this one reaches, waits for the end.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX)
    before = os.environ.get("TMPDIR")
    watcher = subprocess.Popen(
        [_SCRIPT, folder], stdin=subprocess.PIPE, start_new_session=True, stderr=subprocess.DEVNULL
    )
    assert watcher.stdin
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        with contextlib.suppress(BrokenPipeError), watcher.stdin:
            watcher.stdin.write(b"done\n")
        watcher.wait()
