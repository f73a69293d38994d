"""watch at a real terminal: saves, keys, the order of exercises, and how it is left."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import SOLUTION, SOURCES, Student
from terminal import SECONDS, Terminal

from checker import cli
from checker.desk import progress, watch, work
from checker.engine import submission
from checker.model import Lab
from checker.workshop import skeleton
from vm.tools import descendants

FILTER, TCP, UDP = SOURCES


class Watching(Terminal):
    """`knetlab watch` on a terminal, wide enough for its sentences."""

    def __init__(self, *arguments: str, keyboard: bool = True) -> None:
        super().__init__("watch", "--kernel", "stock", *arguments, columns=200, keyboard=keyboard)

    def runs(self) -> list[int]:
        """Return the processes of checks that run now."""
        below = descendants(self.pid)
        mine = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        # the other child is vm/reaper.sh
        children = [int(pid) for pid in mine.read_text().split()]
        return [pid for pid in children if below.get(pid, "").startswith("python")]


@pytest.fixture
def watching() -> Iterator[Callable[..., Watching]]:
    """Start watch; it is ended with the test."""
    started: list[Watching] = []

    def start(*arguments: str, keyboard: bool = True) -> Watching:
        started.append(Watching(*arguments, keyboard=keyboard))
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
    seen.until("Exercise 1, SYN logger: 0 of 19.5 points")
    seen.until("failed: A connection that this host opens puts a line into the log.")
    seen.until(f"Waiting for a save ({watch.KEYS})")
    os.write(seen.child_fd, b"\xffx")  # keys that mean nothing
    seen.type("h")
    seen.until("Exercise 1, SYN logger, hint 1 of 6")
    seen.type("h")
    seen.until("hint 2 of 6")
    seen.type("l")
    seen.until("networking, submission mine")
    seen.until("everything that the guest printed")
    solve(skels, FILTER)
    seen.until("Exercise 1, SYN logger: 19.5 of 19.5 points, solved")
    seen.until("Exercise 2, Address filter: 20 of 20 points, solved")
    seen.until("Exercise 3, TCP listener: 0 of 19 points")
    seen.until("Waiting for a save")
    assert progress.load(lab, skels.path).hints == {}
    # another file: the exercise that is about it
    solve(skels, UDP)
    seen.until("Exercise 5, UDP sender: 19 of 19 points, solved")
    seen.until("Exercise 3, TCP listener: 0 of 19 points")
    seen.until("Waiting for a save")
    seen.type("n")
    seen.until("Exercise 4, Accept: 0 of 19 points")
    solve(skels, TCP)
    seen.until("Exercise 4, Accept: 19 of 19 points, solved")
    seen.until("Exercise 3, TCP listener: 19 of 19 points, solved")
    seen.until("All exercises are solved.")
    seen.type("q")
    assert seen.ends() == 0
    assert seen.settings() == seen.found


@pytest.mark.vm
def test_a_save_during_a_run_is_what_is_checked(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """The run is stopped, one begins with what was saved last, and only that is told."""
    seen = watching("--submission", str(skels.path))
    seen.until("running the checks")
    (first,) = seen.runs()
    end = os.pidfd_open(first)
    skels.replace("filter.c", "\treturn true;\n}", "\treturn not_declared;\n}")
    # the first run has ended before the second begins
    assert select.select([end], [], [], SECONDS)[0]
    os.close(end)
    said = seen.until("not_declared")
    assert "0 of 19.5 points" in said
    assert "netcat connected" not in said
    assert len(seen.runs()) <= 1
    seen.until("Waiting for a save")
    assert seen.runs() == []


def reached(lab: Lab, skels: Student, **scores: float) -> None:
    """Keep that the exercises have these scores, of the files as they are: ``e1=19``."""
    given = submission.read(lab, skels.path)
    known = {
        number: progress.Reached(
            score=score,
            max_score={1: 19.5, 2: 20}.get(number, 19),
            sources=progress.fingerprint(lab, lab.exercise(number), given),
        )
        for name, score in scores.items()
        for number in [int(name[1])]
    }
    progress._save(lab, skels.path, progress.Progress(reached=known))


@pytest.mark.vm
def test_what_a_save_breaks_elsewhere_is_told(
    watching: Callable[..., Watching], skels: Student, lab: Lab
) -> None:
    """Exercise 2, which was full, is checked after 1, its loss is told, and it is worked on."""
    solve(skels, FILTER)
    reached(lab, skels, e1=19.5, e2=20, e3=0)
    seen = watching("--submission", str(skels.path))
    seen.until("Exercise 3, TCP listener: 0 of 19 points")
    seen.until("Waiting for a save")
    text = skels.file("filter.c").read_text()
    skels.replace("filter.c", "daddr == wanted;", "daddr != wanted;")
    seen.until("Exercise 1, SYN logger: 19.5 of 19.5 points, solved")
    seen.until("Exercise 2 had 20, has ")
    seen.until(f"{skels.path}/{FILTER}")
    seen.until("Waiting for a save")
    at = progress.at(lab, skels.path)
    assert at
    assert at.number == 2
    # mended, it is checked first, then what shares its file, and watch is at 3 again
    skels.file("filter.c").write_text(text)
    seen.until("Exercise 2, Address filter: 20 of 20 points, solved")
    seen.until("Exercise 1, SYN logger: 19.5 of 19.5 points")
    seen.until("Exercise 3, TCP listener: 0 of 19 points, unchanged since ")
    seen.until("Waiting for a save")
    seen.type("v")
    seen.until("(3.listens, 0/")
    seen.until("not tried: ")
    seen.type("r")
    seen.until("running the checks")
    seen.type("l")
    seen.until("This is an earlier run. Exercise 3 is being checked now.")


@pytest.mark.vm
def test_after_ctrl_z_the_keys_work_again(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """Stopped, the terminal is as it was; going on, keys need no Enter."""
    seen = watching("--submission", str(skels.path), "--exercise", "5")
    seen.until("Waiting for a save")
    seen.type("\x1a")
    os.waitpid(seen.pid, os.WUNTRACED)
    assert seen.settings() == seen.found
    seen.kill(signal.SIGCONT)
    seen.type("h")
    seen.until("hint 1 of ")
    seen.type("q")
    assert seen.ends() == 0
    assert seen.settings() == seen.found


@pytest.mark.vm
@pytest.mark.parametrize("when", ["running the checks", "Waiting for a save"])
def test_ctrl_c_leaves_nothing_behind(
    watching: Callable[..., Watching], skels: Student, when: str
) -> None:
    """In a run or between runs: one word, exit status 130, the terminal as before, no process."""
    seen = watching("--submission", str(skels.path))
    seen.until(when)
    runs = [os.pidfd_open(pid) for pid in seen.runs()]
    seen.type("\x03")
    seen.until("knetlab: stopped.")
    assert seen.ends() == 130
    assert seen.settings() == seen.found
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
    seen.until("running the checks")
    seen.kill(signal.SIGTERM)
    assert seen.ends() == 0
    assert seen.settings() == seen.found


@pytest.mark.vm
def test_without_a_terminal_there_are_no_keys(
    watching: Callable[..., Watching], skels: Student
) -> None:
    """Saves are checked all the same, and it says how to end it."""
    seen = watching("--submission", str(skels.path), "--exercise", "5", keyboard=False)
    seen.until("checking exercise 5, UDP sender")
    seen.until("Waiting for a save (Ctrl-C ends)")
    skels.replace("udp_sock.c", "static int __init my_udp_bind(void)", "static int bind(void)")
    seen.until("checking exercise 5, UDP sender")
    seen.until("my_udp_bind")
    seen.kill(signal.SIGINT)
    assert seen.ends() == 130


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
