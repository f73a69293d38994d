"""Hostile submissions: none gains a point, costs another exercise, or makes the grader fail.

A patch in tests/hostile makes one out of the solution: its line ``Why`` says
what it tries, ``Earns`` the most that it may have in the end, in the exercises
that are graded; what it says of 20 points are full marks, not less. SAYS has a
word of what it is told, so that none can pass by not even compiling. ``make
test`` grades one of each kind, ``make test ARGS='-m slow'`` the others.

What the reader of a folder, the compiler's sandbox and the protocol do with
rubbish is in test_submission, test_build and test_guest_protocol; modules that
log too much or too little are among the lab's mutants.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ENDLESS, ROOT, SOLUTION, Student, all_end

from checker.classroom.export import junit
from checker.engine import grading, submission, testbed
from checker.model import Lab
from checker.report import html
from checker.workshop import mutants
from checker.workshop.mutants import Mutant
from vm import machine
from vm.kernel import Kernel
from vm.sandbox import Limits
from vm.tools import descendants

pytestmark = pytest.mark.vm

Make = Callable[..., Student]

HOSTILE = mutants.load(ROOT / "tests/hostile")

SAYS = {
    # the guest goes, or hangs
    "agent-overwritten": "Attempted to kill init",
    "all-memory": "deadlocked on memory",
    "exit-sleeps": "rmmod udp_sock did not come back",
    "halt": "hangs and answers nothing any more at udp_sock.c",
    "packet-flood": "insmod did not come back",
    "panic-device": "the guest's kernel panicked",
    "power-off": "reset or shut down",
    "quiet-flood": "the guest's kernel panicked",
    "spin": "hangs and answers nothing any more at udp_sock.c",
    "spins-at-the-tenth-load": "hangs and answers nothing any more at udp_sock.c",
    "suspend": "the guest put itself to sleep",
    "threads": "cannot be loaded",
    "triple-fault": "reset or shut down",
    # what it says, or has others say
    "command-channel": "wrote on the host's command channel",
    "frames-in-the-log": "Nothing was sent, and netcat got nothing",
    "helper-listens": "insmod .*, and nothing listens on 127.0.0.1:60000",
    "helper-sends": "Nothing was sent, and netcat got nothing",
    "oops-silenced": "writes through a NULL pointer",
    "proc-forged": "ss knows of no such socket",
    "proc-garbage": "holds what no kernel writes there",
    "programs-rewritten": "insmod .*, and nothing listens on 127.0.0.1:60000",
    "scripts-rewritten": "Nothing was sent, and netcat got nothing",
    # whom it blinds
    "kasan-off": "has kasan_disable_current, which keeps the kernel from watching",
    "kprobes-off": "turned kprobes off",
    "lockdep-off": "turned lockdep off",
    "error-paths-forged": "filter.c:.* leaks memory",
    "error-paths-silenced": "filter.c:.* leaks memory",
    "lockdep-off-for-itself": "has lockdep_off, which keeps the kernel from watching",
    "not-sanitized": "has __no_sanitize_address, which keeps the kernel from watching",
    # what it keeps from others
    "ioctl-sleeps": "The ioctl did not come back",
    "network-locked": "insmod did not come back",
    # the compiler, and the loader
    "assembler-includes": "as: out of memory",
    "assembler-repeats": r"as: out of memory|excessive count \d+ for REPT",  # binutils 2.46
    "include-device": "cc1: out of memory",
    "include-itself": "#include nested depth",
    "large-memory": "insmod fails with ENOMEM",
    "large-module": "The module has 20 MiB",
    "other-name": "insmod fails with ENOENT",
    "too-large-module": "File size limit exceeded",
    "warnings": "#pragma message: again",
}
"""What the first check that is lost says, as a pattern; the others lose nothing."""

DEBUG = {"lockdep-off", "error-paths-forged", "error-paths-silenced"}
"""What needs a debug kernel to be anything at all."""

SLOW = {
    *("all-memory", "halt", "packet-flood", "quiet-flood", "suspend", "threads", "triple-fault"),
    *("helpers-for-ever", "network-locked", "scripts-rewritten", "signals-for-the-agent"),
    *("agent-overwritten", "exit-sleeps", "clock"),
    *("assembler-includes", "include-itself", "large-memory", "too-large-module"),
}
"""What is much like another, or takes its time."""


@pytest.mark.parametrize(
    "hostile",
    [pytest.param(m, id=m.name, marks=pytest.mark.slow if m.name in SLOW else ()) for m in HOSTILE],
)
def test_hostile_submission_hurts_itself_alone(
    hostile: Mutant, lab: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It is graded, with the points and the words that are due, and every report can be made."""
    kernel = request.getfixturevalue("debug_kernel" if hostile.name in DEBUG else "stock_kernel")
    mutants.apply(hostile, lab.solution, tmp_path / "student")
    options = grading.Options(exercises=frozenset(hostile.earns), seed=1, jobs=1)
    given = submission.read(lab, tmp_path / "student")
    grade = grading.grade_submission(lab, given, kernel, options)
    lost = [c for e in grade.exercises for c in e.checks if c.status not in ("pass", "skip")]
    told = [f"{c.id} {c.status}: {c.message} {c.expected} {c.actual} {c.log}" for c in lost]
    assert grade.status == "graded", told
    for e, full in ((e, lab.exercises[e.number - 1].points) for e in grade.exercises):
        due = hostile.earns[e.number]
        assert e.score == e.max_score if due == full else e.score <= due, told
    assert re.search(SAYS.get(hostile.name, ""), "".join(told[:1]))
    assert bool(told) == (hostile.name in SAYS)
    assert len(grade.to_json()) < 1 << 20
    assert json.loads(grade.to_json())["status"] == "graded"
    assert junit.render([grade])
    assert html.render(grade)


def test_every_word_belongs_to_a_hostile_submission() -> None:
    """No line of the tables is left over from a patch that is gone."""
    assert SAYS.keys() | DEBUG | SLOW <= {m.name for m in HOSTILE}


def test_files_that_are_no_source_cost_their_exercises_alone(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """A link to the solution and 100 MB, handed in as sources, earn nothing; the rest does."""
    mallory = student("mallory")
    mallory.file("filter.c").unlink()
    mallory.file("filter.c").symlink_to(SOLUTION / "1-2-netfilter/kernel/filter.c")
    with mallory.file("tcp_sock.c").open("ab") as f:
        f.truncate(100_000_000)
    given = submission.read(lab, mallory.path)
    grade = grading.grade_submission(
        lab, given, stock_kernel, grading.Options(exercises=frozenset({1, 3, 5}))
    )
    assert [e.score for e in grade.exercises] == [0, 0, grade.exercises[2].max_score]
    assert [e.checks[0].message for e in grade.exercises[:2]] == [
        "1-2-netfilter/kernel/filter.c is a link, not a regular file; hand in the file itself.",
        "3-4-tcp-sock/tcp_sock.c is larger than 1 MiB, which no source file of this lab is.",
    ]


def test_capture_is_bounded(
    lab: Lab, stock_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that sends without end fills no more of the host's disk than it may."""
    bound = 20 << 20
    monkeypatch.setattr(machine, "LIMITS", Limits(file_size=bound))
    monkeypatch.setattr(testbed, "LOAD_SECONDS", 4.0)  # more than enough for that much
    (flood,) = (m for m in HOSTILE if m.name == "packet-flood")
    mutants.apply(flood, lab.solution, tmp_path / "student")
    given = submission.read(lab, tmp_path / "student")
    options = grading.Options(exercises=frozenset({5}), keep=tmp_path)
    assert grading.grade_submission(lab, given, stock_kernel, options).status == "graded"
    (capture,) = tmp_path.glob("*.pcap")
    assert bound - (1 << 20) < capture.stat().st_size <= bound


# --- nothing outlives knetlab --------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "headers", "call"),
    [
        ("cc1", ENDLESS, ""),
        ("qemu-system-x86", "", "	local_irq_disable();\n	for (;;)\n		cpu_relax();\n"),
    ],
    ids=["compiling", "in the guest"],
)
def test_killed_command_leaves_no_process(
    program: str, headers: str, call: str, student: Make, run_folders: Path
) -> None:
    """SIGKILL to `knetlab check` ends the compiler, or the guest, with it."""
    trent = student("trent")
    trent.replace("udp_sock.c", "#include <linux/in.h>", f"#include <linux/in.h>\n{headers}")
    trent.replace("udp_sock.c", "	err = my_udp_bind();", f"{call}	err = my_udp_bind();")
    command = ["check", "--submission", str(trent.path), "--exercise", "5"]
    with subprocess.Popen(
        [sys.executable, "-m", "checker", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(run_folders)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        pidfds = []
        try:
            for pid in _wait_for(running, program):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    pidfds.append(os.pidfd_open(pid))
        finally:
            running.kill()
    assert len(pidfds) >= 2  # bubblewrap twice: all that runs inside ends with the second
    assert all_end(pidfds)


@pytest.mark.vm
def test_command_killed_as_its_sandbox_starts_leaves_nothing(
    student: Make, run_folders: Path
) -> None:
    """SIGKILL while bubblewrap is at its own beginning leaves no process and no file."""
    command = [sys.executable, "-m", "checker", "check", "--submission", str(student("oscar").path)]
    for _ in range(5):
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(run_folders)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as running:
            try:
                _wait_for(running, "bwrap")
            finally:
                running.kill()
        deadline = time.monotonic() + 20
        while left := [*run_folders.iterdir(), *_with_tmpdir(run_folders)]:
            assert time.monotonic() < deadline, left


def _with_tmpdir(folder: Path) -> list[str]:
    """Return the command lines of the processes that have *folder*, or one in it, as TMPDIR."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended
            if f"TMPDIR={folder}/".encode() in environ.read_bytes():
                found.append(environ.with_name("cmdline").read_text().replace("\0", " "))
    return found


def _wait_for(running: subprocess.Popen[bytes], program: str) -> dict[int, str]:
    """Wait until *program* runs below *running*; return all that runs there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        below = descendants(running.pid)
        if program in below.values():
            return below
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
            break
    raise AssertionError(f"{program} did not run: {below}")
