"""Guests: real ones, under QEMU, with the distribution's kernel."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT, all_end

from vm import guest as guests
from vm import snapshot
from vm.errors import GuestCrashed, GuestError, GuestFlooded
from vm.guest import Guest
from vm.image import PayloadFile
from vm.machine import Config
from vm.tools import descendants

pytestmark = pytest.mark.vm

PAYLOAD = {
    "folder/script.sh": PayloadFile(b"#!/bin/sh\necho from the payload\n", executable=True),
    "data": PayloadFile(bytes(range(256))),
}


@pytest.fixture(scope="module")
def shared(config: Config) -> Iterator[Callable[[], Guest]]:
    """One guest for all tests that leave it as it was, replaced when one of them did not."""
    with contextlib.ExitStack() as stack:
        guest = stack.enter_context(snapshot.guest(config, PAYLOAD))

        def living() -> Guest:
            nonlocal guest
            if guest.dead:
                guest = stack.enter_context(snapshot.guest(config, PAYLOAD))
            return guest

        yield living


@pytest.fixture
def guest(shared: Callable[[], Guest]) -> Guest:
    """A guest to be left as it was."""
    return shared()


@pytest.fixture
def victim(config: Config) -> Iterator[Guest]:
    """A guest of the test's own, to be brought down."""
    with snapshot.guest(config, {}) as fresh:
        yield fresh


def sh(guest: Guest, script: str, deadline: float = 10.0) -> guests.Result:
    """Run a shell script in *guest*."""
    return guest.run(["/bin/sh", "-c", script], deadline=deadline)


# --- commands ------------------------------------------------------------------------


def test_a_command_runs(guest: Guest) -> None:
    """Output, errors and exit status come back, each where it belongs."""
    result = sh(guest, "echo out; echo err >&2; exit 7")
    assert (result.how, result.value) == ("exited", 7)
    assert (result.out, result.err) == (b"out\n", b"err\n")
    assert not result.ok


def test_bytes_come_back_as_they_are(guest: Guest) -> None:
    """Zeros, newlines and bytes that are no text pass through."""
    assert guest.run(["/bin/cat", "/lab/data"]).out == bytes(range(256))


def test_words_are_not_split(guest: Guest) -> None:
    """Spaces, quotes, accents and empty words reach the command as they were given."""
    words = ["a b", "", "$HOME", "'\"", "größe", "new\nline"]
    result = guest.run(["/bin/printf", "<%s>", *words])
    assert result.text == "".join(f"<{word}>" for word in words)


def test_no_word_is_left_out(guest: Guest) -> None:
    """A command of a thousand words has them all; one of more than the agent takes is refused."""
    words = [str(number) for number in range(1000)]
    assert guest.run(["/bin/echo", *words]).text.split() == words
    refused = guest.run(["/bin/true", *["x"] * 5000])
    assert (refused.ok, refused.value) == (False, 126)
    assert b"Argument list too long" in refused.err


def test_a_signal_is_told_from_an_exit(guest: Guest) -> None:
    """A command killed by a signal says which."""
    result = sh(guest, "kill -SEGV $$")
    assert (result.how, result.value, result.ok) == ("signalled", 11, False)


def test_a_program_that_is_not_there_exits_with_127(guest: Guest) -> None:
    """The name of the program stands on standard error."""
    result = guest.run(["/bin/nothing"])
    assert (result.how, result.value) == ("exited", 127)
    assert b"/bin/nothing: No such file" in result.err


def test_the_payload_lies_below_lab(guest: Guest) -> None:
    """Files of the payload are there, executable where they were said to be."""
    assert guest.run(["/lab/folder/script.sh"]).text == "from the payload\n"
    assert guest.run(["/bin/test", "-x", "/lab/data"]).value == 1
    assert sh(guest, "cd /lab; find . -type f | sort").text == "./data\n./folder/script.sh\n"


@pytest.mark.parametrize("path", ["/bin/nc", "/sbin/tool", "/lab/data", "/new", "/lab/new"])
def test_programs_and_payload_cannot_be_written(guest: Guest, path: str) -> None:
    """Nobody in the guest changes what the host runs there, root and the kernel included."""
    assert "Read-only file system" in sh(guest, f"echo x >>{path}").err.decode()


def test_the_kernel_finds_nothing_to_run(guest: Guest) -> None:
    """A program that the kernel is told to start by itself is not there."""
    core = "/proc/sys/kernel/core_pattern"
    crash = f"echo '|/bin/touch /tmp/started' >{core}; sh -c 'ulimit -c 9; kill -11 $$'"
    sh(guest, f"{crash}; echo core >{core}; sleep 1")
    assert not sh(guest, "test -e /tmp/started").ok


def test_a_background_child_does_not_hold_the_result(guest: Guest) -> None:
    """A result does not wait for a grandchild that keeps the output open."""
    result = sh(guest, "sleep 1000 & echo $!", deadline=5)
    assert result.ok
    sh(guest, f"kill {result.text}")


def test_the_processor_has_nothing_that_qemu_emulates_wrong(guest: Guest) -> None:
    """No guest uses cmpxchg16b: behind it, QEMU 7.2 saves wrong flags when it is interrupted."""
    flags = sh(guest, "sed -n 's/^flags.*: //p' /proc/cpuinfo").text.split()
    assert "cx8" in flags
    assert "cx16" not in flags


# --- time ----------------------------------------------------------------------------


def test_a_minute_of_guest_time_passes(guest: Guest) -> None:
    """A sleep of 60 seconds ends well, and the guest's clock has gone on by as much."""
    before = guest.run(["/bin/true"]).guest_seconds
    result = guest.run(["/bin/sleep", "60"], deadline=100)
    assert result.ok
    assert 60 <= result.guest_seconds - before < 65


def test_a_deadline_is_in_guest_seconds(guest: Guest) -> None:
    """A sleep beyond its deadline is killed there, and said to be late."""
    before = guest.run(["/bin/true"]).guest_seconds
    result = guest.run(["/bin/sleep", "1000"], deadline=30)
    assert (result.how, result.stuck, result.ok) == ("timeout", False, False)
    assert 30 <= result.guest_seconds - before < 35


def test_a_busy_command_is_late_too(guest: Guest) -> None:
    """A command that computes for ever is killed at its deadline, with its children."""
    result = sh(guest, "sleep 5000 & echo started; while :; do :; done", deadline=0.5)
    assert (result.how, result.out) == ("timeout", b"started\n")
    assert "sleep 5000" not in guest.run(["/bin/ps", "-o", "args"]).text


def test_a_command_that_ignores_signals_is_late_too(guest: Guest) -> None:
    """SIGKILL is what a deadline sends."""
    result = sh(guest, "trap '' TERM INT HUP; while :; do sleep 1; done", deadline=3)
    assert result.how == "timeout"


def test_the_clock_stands_still_between_commands(guest: Guest) -> None:
    """While the host thinks the guest does not run: not even a tenth of a second passes."""
    first = guest.run(["/bin/true"]).guest_seconds
    subprocess.run(["/bin/sleep", "1"], check=True)  # the host's time, on purpose
    assert guest.run(["/bin/true"]).guest_seconds - first < 0.5


# --- processes -----------------------------------------------------------------------


def test_a_started_process_goes_on_beside_others(guest: Guest) -> None:
    """A process that was started is waited for later, its output kept."""
    process = guest.start(["/bin/sh", "-c", "echo one; sleep 5; echo two"])
    assert guest.run(["/bin/true"]).ok
    assert process.result is None
    result = process.wait(10)
    assert (result.ok, result.text) == (True, "one\ntwo\n")
    assert process.wait() == result


def test_standard_input_is_written_and_closed(guest: Guest) -> None:
    """What is written arrives in order; writing nothing closes it."""
    process = guest.start(["/bin/cat"], stdin=True)
    process.write(b"one\n")
    process.write(bytes(range(256)))
    process.write(b"")
    result = process.wait()
    assert (result.ok, result.out) == (True, b"one\n" + bytes(range(256)))


def test_standard_input_may_be_long(guest: Guest) -> None:
    """As much as a pipe holds passes through a command that echoes it."""
    data = os.urandom(60_000)
    process = guest.start(["/bin/cat"], stdin=True)
    process.write(data)
    process.write(b"")
    assert process.wait().out == data


def test_without_stdin_a_command_reads_nothing(guest: Guest) -> None:
    """Standard input is empty where nobody asked for it."""
    assert guest.run(["/bin/cat"]).out == b""


def test_a_process_can_be_killed(guest: Guest) -> None:
    """Killing says how it ended, and what it had printed."""
    process = guest.start(["/bin/sh", "-c", "echo up; exec sleep 1000"])
    result = process.kill()
    assert (result.how, result.value) == ("signalled", 9)


def test_what_was_not_waited_for_can_be_ended(guest: Guest) -> None:
    """All that was started and forgotten is gone afterwards."""
    for seconds in ("4001", "4002"):
        guest.start(["/bin/sleep", seconds])
    guest.end_processes()
    assert "sleep 400" not in guest.run(["/bin/ps", "-o", "args"]).text


def test_more_processes_than_the_agent_keeps_are_refused(guest: Guest) -> None:
    """A process that cannot be started says so in its result, and the guest goes on."""
    started = [guest.start(["/bin/sleep", "5000"]) for _ in range(70)]
    refused = guest.run(["/bin/true"])
    assert (refused.how, refused.value) == ("exited", 126)
    assert refused.err == b"cannot be started: Resource temporarily unavailable\n"
    assert started[0].result is None
    assert started[-1].wait().value == 126
    guest.end_processes()
    assert guest.run(["/bin/true"]).ok


def test_output_is_bounded(guest: Guest) -> None:
    """A command that prints without end gives a few MiB at most, and the guest goes on."""
    result = sh(guest, "yes", deadline=0.5)
    assert result.how == "timeout"
    assert 100_000 < len(result.out) < 2 << 20
    assert guest.run(["/bin/true"]).ok


def test_a_background_child_that_prints_without_end_does_not_hold_the_result(guest: Guest) -> None:
    """A result comes though a grandchild goes on printing; with its reader gone it ends."""
    assert sh(guest, "yes & echo done", deadline=5).ok
    assert "yes" not in guest.run(["/bin/ps", "-o", "comm"]).text.split()


# --- files, network ------------------------------------------------------------------


def test_a_file_can_be_put(guest: Guest) -> None:
    """A file has the bytes and the mode that were given, whatever it had before."""
    content = bytes(range(256)) * 200
    guest.put("/tmp/file with a space", b"long before" * 5000, 0o600)
    guest.put("/tmp/file with a space", content, 0o755)
    assert guest.run(["/bin/cat", "/tmp/file with a space"]).out == content
    assert guest.run(["/bin/stat", "-c", "%a", "/tmp/file with a space"]).text == "755\n"


def test_a_file_that_cannot_be_put_is_named(guest: Guest) -> None:
    """The error has the path and the reason, and the guest goes on."""
    with pytest.raises(GuestError, match=r"/no/such/file cannot be written.*No such file"):
        guest.put("/no/such/file", b"x")
    assert guest.run(["/bin/true"]).ok


def test_a_command_can_run_in_another_namespace(guest: Guest) -> None:
    """The namespace is the one that was named, and the others do not see its address."""
    sh(guest, "ip netns add blue; ip -n blue addr add 10.9.8.7/24 dev lo")
    show = ["/bin/ip", "-4", "-o", "addr"]
    assert "10.9.8.7" in guest.run(show, netns="blue").text
    assert "10.9.8.7" not in guest.run(show).text
    sh(guest, "ip netns del blue")


def test_a_missing_namespace_is_named(guest: Guest) -> None:
    """The command does not run somewhere else instead."""
    result = guest.run(["/bin/echo", "here"], netns="green")
    assert (result.value, result.out) == (126, b"")
    assert b"network namespace green" in result.err


def test_the_lab_has_its_programs(guest: Guest) -> None:
    """netcat, ip, ss and tcpdump start, and netcat is OpenBSD's, with -u and -N."""
    for argv in (["/bin/ip", "-V"], ["/bin/ss", "-V"], ["/usr/bin/tcpdump", "--version"]):
        assert guest.run(argv).ok, argv
    assert b"OpenBSD netcat" in guest.run(["/bin/nc", "-h"]).err
    addresses = guest.run(["/bin/ip", "-o", "addr"]).text
    assert "127.0.0.1/8" in addresses
    assert "10.0.2.15/24" in addresses


# --- the kernel log ------------------------------------------------------------------


def test_kernel_log_records_arrive(guest: Guest) -> None:
    """Records come in order with level and time, and each once."""
    mark = len(guest.records)
    result = sh(guest, "echo '<4>first' >/dev/kmsg; echo '<6>second' >/dev/kmsg")
    guest.sync()
    found = guest.records[mark:]
    assert [(r.level, r.text) for r in found] == [(4, "first"), (6, "second")]
    assert found[1].sequence == found[0].sequence + 1
    assert abs(result.guest_seconds - found[0].seconds) < 2


def test_unusual_bytes_in_the_log_arrive(guest: Guest) -> None:
    """Control characters, backslashes and UTF-8 are what the module wrote."""
    mark = len(guest.records)
    text = "bell\a tab\t back\\slash \\x41 größe €"
    guest.put("/tmp/text", text.encode())
    sh(guest, "cat /tmp/text >/dev/kmsg; printf 'no \\377 text\\n' >/dev/kmsg")
    assert [r.text for r in guest.records[mark:]] == [text, "no \ufffd text"]


def test_a_log_that_overflows_is_noticed(victim: Guest) -> None:
    """When the kernel's buffer is overwritten before it was read, records are known to be lost."""
    sh(victim, "echo on >/proc/sys/kernel/printk_devkmsg; echo 1 >/proc/sys/kernel/printk")
    assert not victim.lost_log
    line = "x" * 900
    sh(victim, f"i=0; while [ $i -lt 600 ]; do echo {line} >/dev/kmsg; i=$((i+1)); done")
    assert victim.lost_log
    assert sum(len(r.text) for r in victim.records) < 1 << 20


def test_a_flooded_console_ends_the_guest(victim: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest whose console never stops is given up at its bound."""
    monkeypatch.setattr(guests, "MAX_CONSOLE_PER_COMMAND", 20_000)
    with pytest.raises(GuestFlooded):
        sh(victim, "yes knetlab >/dev/console", deadline=60)
    assert 20_000 < len(victim.machine.console()) < 1 << 20


def test_a_console_that_nobody_reads_does_not_hold_the_guest(
    victim: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command prints waits for the host, so that the guest's clock does not jump on."""
    machine = victim.machine
    machine._loop.call_soon_threadsafe(machine._loop.remove_reader, machine._output)
    monkeypatch.setattr(machine, "_read_console", lambda: None)
    text = "x" * 999 + "\\n"
    ended = sh(victim, f"yes {text} | head -c 100000 >/dev/console", deadline=20)
    assert ended.ok
    monkeypatch.undo()
    assert machine.console().count("x") >= 99_000


def test_a_guest_costs_nothing_between_commands(guest: Guest) -> None:
    """While the host thinks QEMU is stopped as a process; it runs for the next command."""
    guest.run(["/bin/true"])
    assert guest.machine.pid is not None
    (qemu,) = [p for p, name in descendants(guest.machine.pid).items() if name.startswith("qemu")]
    status = Path(f"/proc/{qemu}/stat")
    deadline = time.monotonic() + 10
    while status.read_text().rpartition(")")[2].split()[0] != "T":  # each thread stops by itself
        assert time.monotonic() < deadline
    assert guest.run(["/bin/echo", "on"]).text == "on\n"


def test_qmp_answers_between_commands(guest: Guest) -> None:
    """A QMP command finds the guest paused, whatever its process is, and the guest goes on."""
    before = float(sh(guest, "cut -d' ' -f1 /proc/uptime").text)
    said = guest.machine.execute("query-status")
    assert (said["running"], said["status"]) == (False, "paused")
    assert 0 <= float(sh(guest, "cut -d' ' -f1 /proc/uptime").text) - before < 1


def test_what_the_console_said_is_there_at_once(guest: Guest) -> None:
    """All that the kernel printed during a command stands in the console's text after it."""
    for number in range(20):
        sh(guest, f"echo '<1>line {number}' >/dev/kmsg")
        assert f"line {number}" in guest.machine.console()


def test_a_connection_that_ended_keeps_no_port(guest: Guest) -> None:
    """A guest of a check has no TIME_WAIT: the end that closes first may listen again at once."""
    script = (
        "echo bye | /bin/nc -N -l 127.0.0.1 7001 & sleep 1; /bin/nc 127.0.0.1 7001 </dev/null;"
        "wait; cat /proc/net/tcp"
    )
    said = sh(guest, script).text
    assert "bye" in said
    assert ":1B59" not in said


# --- how a guest goes ----------------------------------------------------------------


def test_a_panic_is_a_crash(victim: Guest) -> None:
    """The error says panic, the console holds the kernel's words, and the guest stays dead."""
    with pytest.raises(GuestCrashed, match="panicked") as caught:
        sh(victim, "echo c >/proc/sysrq-trigger")
    assert "Kernel panic - not syncing: sysrq triggered crash" in victim.machine.console()
    with pytest.raises(GuestCrashed) as again:
        victim.run(["/bin/true"])
    assert again.value is caught.value


@pytest.mark.parametrize("command", ["reboot", "poweroff"])
def test_a_guest_that_goes_down_is_a_crash(victim: Guest, command: str) -> None:
    """A reboot is not mistaken for a panic, nor for an answer."""
    with pytest.raises(GuestCrashed, match="reset or shut down"):
        victim.run(["/bin/busybox", command, "-f"])


def test_process_1_cannot_be_killed(guest: Guest) -> None:
    """The agent is not to be brought down by a signal."""
    sh(guest, "kill -9 1; kill -SEGV 1; kill -TERM 1; kill -STOP 1")
    assert guest.run(["/bin/true"]).ok


def test_the_port_is_the_agents_alone(guest: Guest) -> None:
    """No other process can open the port to the host."""
    done = sh(guest, "ls /dev/vport*; echo rubbish >$(ls /dev/vport*)")
    assert done.out.startswith(b"/dev/vport")
    assert b"busy" in done.err
    assert guest.run(["/bin/true"]).ok


# --- clones --------------------------------------------------------------------------

IDENTITY = "cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1; date +%s"


def test_clones_are_no_twins(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clones have other random bytes, another boot_id, and each the host's time."""
    seen = []
    for now in (1_900_000_000, 1_900_000_500):
        monkeypatch.setattr(guests.time, "time", lambda now=now: now)
        with snapshot.guest(config, {}) as clone:
            assert clone.machine.frozen is not None
            boot_id, random, seconds = sh(clone, IDENTITY).text.splitlines()
            btime = int(sh(clone, "sed -n 's/^btime //p' /proc/stat").text)
            assert 0 <= int(seconds) - now < 5
            seen.append((boot_id, random, btime))
    assert all(one != other for one, other in zip(*seen, strict=True))


def test_clones_do_not_see_each_other(config: Config) -> None:
    """What one clone writes in memory and on its disks is not there for the next."""
    for _ in range(2):
        with snapshot.guest(config, {}) as clone:
            done = sh(clone, "test ! -e /tmp/mark -a ! -e /dev/mark && touch /tmp/mark /dev/mark")
            assert done.ok


def test_two_clones_run_side_by_side(config: Config) -> None:
    """One template serves several guests at once."""
    with snapshot.guest(config, {}) as one, snapshot.guest(config, {}) as two:
        assert sh(one, "echo 1 >/tmp/n; cat /tmp/n").text == "1\n"
        assert sh(two, "echo 2 >/tmp/n; cat /tmp/n").text == "2\n"
        assert sh(one, "cat /tmp/n").text == "1\n"


def test_a_guest_can_be_booted_cold(config: Config) -> None:
    """Without a template a guest boots, and has its payload."""
    with Guest.boot(config, PAYLOAD) as cold:
        assert cold.machine.frozen is None
        assert cold.run(["/lab/folder/script.sh"]).text == "from the payload\n"
        assert cold.run(["/bin/uname", "-r"]).text.strip() == config.kernel.release


# --- nothing is left -----------------------------------------------------------------


def test_nothing_is_left_of_a_guest(config: Config, run_folders: Path) -> None:
    """After the with block there is no process and no folder of it."""
    before = set(descendants(os.getpid()))
    with snapshot.guest(config, {}) as fresh:
        assert fresh.run(["/bin/true"]).ok
        assert list(run_folders.iterdir()) == [fresh.machine.folder]
        added = descendants(os.getpid()).keys() - before
        assert any("qemu" in name for name in descendants(os.getpid()).values())
    assert not added & descendants(os.getpid()).keys()
    assert list(run_folders.iterdir()) == []


def test_nothing_is_left_when_the_test_fails(config: Config, run_folders: Path) -> None:
    """An exception in the with block ends the guest as well."""
    before = set(descendants(os.getpid()))
    with pytest.raises(ZeroDivisionError), snapshot.guest(config, {}):
        raise ZeroDivisionError
    assert descendants(os.getpid()).keys() <= before
    assert list(run_folders.iterdir()) == []


def test_nothing_is_left_of_a_crashed_guest(config: Config, run_folders: Path) -> None:
    """A guest that panicked leaves no more than one that did not."""
    before = set(descendants(os.getpid()))
    with snapshot.guest(config, {}) as fresh, pytest.raises(GuestCrashed):
        sh(fresh, "echo c >/proc/sysrq-trigger")
    assert descendants(os.getpid()).keys() <= before
    assert list(run_folders.iterdir()) == []


_HOLDER = """
import sys
from vm import image, kernel, snapshot
from vm.machine import Config
stock = kernel.stock()
with snapshot.guest(Config(stock, image.initramfs(stock), image.root()), {}) as guest:
    guest.start(["/bin/sleep", "1000"])
    guest.machine.cont()
    print("up", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_no_qemu(run_folders: Path) -> None:
    """SIGKILL to the process that holds a running guest ends QEMU, too."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": tempfile.gettempdir()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        below = descendants(holder.pid)
        assert any("qemu" in name for name in below.values())
        pidfds = [os.pidfd_open(pid) for pid in below]
        holder.kill()
    assert all_end(pidfds)
