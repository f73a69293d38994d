"""A run leaves neither a process nor a file behind, whichever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, all_end

_RUN = """
import os, pathlib, subprocess, sys, tempfile
from vm import reaper
with reaper.run():
    pathlib.Path(tempfile.mkdtemp(), "file").write_text("x")
    # as bubblewrap's child does that was not told in time: it outlives its parent, whatever happens
    waiting = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(tempfile.gettempdir(), waiting.pid, flush=True)
    sys.stdin.read()
print("TMPDIR" in os.environ, tempfile.gettempdir())
"""


@pytest.mark.parametrize("end", ["well", signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_leaves_nothing_behind(end: signal.Signals | str, tmp_path: Path) -> None:
    """What a run has started and written is gone after it ended, was stopped, or was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _RUN],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout
        folder, pid = run.stdout.readline().split()
        waiting = os.pidfd_open(int(pid))
        assert Path(folder).parent == tmp_path
        if isinstance(end, signal.Signals):
            run.send_signal(end)
        said, _ = run.communicate()
    if end == "well":
        assert said == f"True {tmp_path}\n"
    assert all_end([waiting])
    # the reaper has ended when nothing holds its folder any more
    reapers = [p for p in Path("/proc").glob("[0-9]*/cmdline") if folder in _words(p)]
    assert all_end([fd for p in reapers for fd in _open(p)])
    assert list(tmp_path.iterdir()) == []


def _words(cmdline: Path) -> list[str]:
    try:
        return cmdline.read_text().split("\0")
    except OSError:  # it has just ended
        return []


def _open(cmdline: Path) -> list[int]:
    try:
        return [os.pidfd_open(int(cmdline.parent.name))]
    except OSError:
        return []


def test_other_runs_are_left_alone(tmp_path: Path) -> None:
    """The end of one run does nothing to another that is at work at the same time."""
    command = [sys.executable, "-c", _RUN]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as other,
        subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as run,
    ):
        assert other.stdout
        assert run.stdout
        folder, pid = other.stdout.readline().split()
        run.communicate()
        assert Path(folder).is_dir()
        os.kill(int(pid), 0)  # raises when it is gone
        assert other.poll() is None
        other.communicate()
