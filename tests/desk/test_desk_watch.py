"""watch at a real terminal: saves, keys, the order of exercises, and how it is left."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT, SOLUTION, SOURCES, Student

from checker import cli
from checker.desk import progress, watch, work
from checker.model import Lab
from checker.workshop import skeleton
from vm.tools import descendants

FILTER, TCP, UDP = SOURCES
SECONDS = 120
"""Wall seconds until a test gives up on what it waits for; a check takes some."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Watching:
    """`knetlab watch` on a pseudo terminal, and all that it printed."""

    def __init__(self, *arguments: str, terminal: bool = True) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.raw = b""
        self.printed = ""
        self.seen = 0
        command = [sys.executable, "-m", "checker", "watch", "--kernel", "stock", *arguments]
        # a controlling terminal makes Ctrl-C a signal
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command] if terminal else command,
            stdin=self.theirs if terminal else subprocess.DEVNULL,
            stdout=self.theirs,
            stderr=self.theirs,
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "200", "TERM": "xterm" if terminal else "dumb"},
        )

    def expect(self, text: str) -> str:
        """Wait until *text* is printed, after what was waited for last; return what came."""
        deadline = time.monotonic() + SECONDS
        while (at := self.printed.find(text, self.seen)) < 0:
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come after:\n{self.printed[self.seen :][-3000:]}"
            self.raw += os.read(self.ours, 65536)
            self.printed = _ESCAPES.sub("", self.raw.decode(errors="replace"))
        since, self.seen = self.printed[self.seen : at], at + len(text)
        return since

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.ours, keys.encode())

    def runs(self) -> list[int]:
        """Return the processes of checks that run now."""
        below = descendants(self.process.pid)
        mine = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        # the other child is vm/reaper.sh
        children = [int(pid) for pid in mine.read_text().split()]
        return [pid for pid in children if below.get(pid, "").startswith("python")]

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def watching() -> Iterator[Callable[..., Watching]]:
    """Start watch; it is ended with the test."""
    started: list[Watching] = []

    def start(*arguments: str, terminal: bool = True) -> Watching:
        started.append(Watching(*arguments, terminal=terminal))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def skels(tmp_path: Path, lab: Lab) -> Student:
    """A student's folder as it was handed out."""
    skeleton.write(work.handed_out(lab), tmp_path / "mine")
    return Student(tmp_path / "mine")


def solve(skels: Student, source: str) -> None:
    """Save the solution of one source, as editors do: a new file takes the old one's place."""
    fresh = (skels.path / source).with_suffix(".new")
    fresh.write_bytes((SOLUTION / source).read_bytes())
    fresh.replace(skels.path / source)


@pytest.mark.vm
def test_a_save_is_checked_and_the_next_exercise_follows(
    watching: Callable[..., Watching], skels: Student, lab: Lab
) -> None:
    """From the first failure over a save to the exercise that is still open, keys on the way."""
    seen = watching("--submission", str(skels.path))
    seen.expect("Exercise 1, SYN logger: 0 of 19 points")
    seen.expect("failed: A connection that this host opens is logged once")
    seen.expect("Waiting for a save (h hint, n next exercise, l full log, q quit)")
    os.write(seen.ours, b"\xffx")  # keys that mean nothing
    seen.press("h")
    seen.expect("Exercise 1, SYN logger, hint 1 of 6")
    seen.press("h")
    seen.expect("hint 2 of 6")
    seen.press("l")
    seen.expect("networking, submission mine")
    seen.expect("exercise-1-guest-1-console.log")
    solve(skels, FILTER)
    seen.expect("Exercise 1, SYN logger: 19 of 19 points, solved")
    seen.expect("Exercise 2, Address filter: 20 of 20 points, solved")
    seen.expect("Exercise 3, TCP listener: 0 of 19 points")
    seen.expect("Waiting for a save")
    assert progress.load(lab, skels.path).hints == {}
    # another file: the exercise that is about it
    solve(skels, UDP)
    seen.expect("Exercise 5, UDP sender: 19 of 19 points, solved")
    seen.expect("Exercise 3, TCP listener: 0 of 19 points")
    seen.expect("Waiting for a save")
    seen.press("n")
    seen.expect("Exercise 4, Accept: 0 of 19 points")
    solve(skels, TCP)
    seen.expect("Exercise 4, Accept: 19 of 19 points, solved")
    seen.expect("Exercise 3, TCP listener: 19 of 19 points, solved")
    seen.expect("All exercises are solved.")
    seen.press("q")
    assert seen.end() == 0
    assert termios.tcgetattr(seen.theirs) == seen.before


@pytest.mark.vm
def test_a_save_during_a_run_is_what_is_checked(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """The run is stopped, one begins with what was saved last, and only that is told."""
    seen = watching("--submission", str(skels.path))
    seen.expect("running the checks")
    (first,) = seen.runs()
    end = os.pidfd_open(first)
    skels.replace("filter.c", "\treturn true;\n}", "\treturn not_declared;\n}")
    # the first run has ended before the second begins
    assert select.select([end], [], [], SECONDS)[0]
    os.close(end)
    said = seen.expect("not_declared")
    assert "0 of 19 points" in said
    assert "netcat connected" not in said
    assert len(seen.runs()) <= 1
    seen.expect("Waiting for a save")
    assert seen.runs() == []


@pytest.mark.vm
@pytest.mark.parametrize("when", ["running the checks", "Waiting for a save"])
def test_ctrl_c_leaves_nothing_behind(
    watching: Callable[..., Watching], skels: Student, when: str
) -> None:
    """In a run or between runs: one word, exit status 130, the terminal as before, no process."""
    seen = watching("--submission", str(skels.path))
    seen.expect(when)
    runs = [os.pidfd_open(pid) for pid in seen.runs()]
    seen.press("\x03")
    seen.expect("knetlab: stopped.")
    assert seen.end() == 130
    assert termios.tcgetattr(seen.theirs) == seen.before
    assert "Traceback" not in seen.printed
    for run in runs:
        assert select.select([run], [], [], 0)[0]
        os.close(run)


@pytest.mark.vm
def test_being_terminated_gives_the_terminal_back(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """SIGTERM ends it as q does."""
    seen = watching("--submission", str(skels.path))
    seen.expect("running the checks")
    seen.process.send_signal(signal.SIGTERM)
    assert seen.end() == 0
    assert termios.tcgetattr(seen.theirs) == seen.before


@pytest.mark.vm
def test_without_a_terminal_there_are_no_keys(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """Saves are checked all the same, and it says how to end it."""
    seen = watching("--submission", str(skels.path), "--exercise", "5", terminal=False)
    seen.expect("checking exercise 5, UDP sender")
    seen.expect("Waiting for a save (Ctrl-C ends)")
    skels.replace("udp_sock.c", "static int __init my_udp_bind(void)", "static int bind(void)")
    seen.expect("checking exercise 5, UDP sender")
    seen.expect("my_udp_bind")
    seen.process.send_signal(signal.SIGINT)
    assert seen.end() == 130


def test_the_checks_are_on_the_kernel_that_watch_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which kernel, and of which release, is passed on to each `check`."""
    given: list[str] = []
    monkeypatch.setattr(watch, "watch", lambda *arguments: given.extend(arguments[-1]))
    chosen = ["--kernel", "stock", "--accel", "tcg", "--release", "13"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["watch", "networking", "--submission", str(SOLUTION), *chosen])
    assert exit_.value.code == 0
    assert given == chosen
