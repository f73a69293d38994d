"""The kit's console: a shell in a guest is typed at, in the guest's own time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from checker.engine.testbed import Late, Unmet
from checker.kit import console
from vm import snapshot
from vm.errors import GuestCrashed, GuestFlooded
from vm.guest import Guest
from vm.machine import Config


@pytest.fixture
def guest(config: Config) -> Iterator[Guest]:
    """A guest of checks, in virtual time."""
    with snapshot.guest(config, {}) as fresh:
        yield fresh


def jobs(guest: Guest) -> int:
    """Return how many `sleep 1000` run in *guest*."""
    return guest.run(["/bin/ps"]).text.count("sleep 1000")


@pytest.mark.vm
def test_what_is_printed_comes_without_echo_and_prompt(guest: Guest) -> None:
    """Each command's own lines, on a real terminal, and the shell keeps its folder."""
    with console.opened(guest) as shell:
        assert shell.run("tty; pwd") == "/dev/ttyS0\n/lab\n"
        assert shell.run("cd /proc/sys/net/ipv4") == ""
        assert shell.run("pwd; printf 'no end of line'") == "/proc/sys/net/ipv4\nno end of line"
        assert shell.run(f"echo {'long ' * 60}; echo ä") == f"{'long ' * 59}long\nä\n"
        assert guest.run(["/bin/echo", "beside it"]).text == "beside it\n"
        assert shell.run("ls /nonesuch; echo $?").endswith("No such file or directory\n1\n")
        with pytest.raises(ValueError, match=r"keys that do more than write: use type\(\)"):
            shell.run("ls\tx")


@pytest.mark.vm
def test_a_deadline_is_in_guest_seconds(guest: Guest) -> None:
    """What does not come by then is Late, with what came; Ctrl-C ends it and nothing is lost."""
    with console.opened(guest) as shell:
        before = float(shell.run("cut -d ' ' -f 1 /proc/uptime"))
        with pytest.raises(
            Late, match=r"'echo begun; sleep 1000' was typed, the prompt did not"
        ) as e:
            shell.run("echo begun; sleep 1000", deadline=2)
        assert "within 2 s of the guest's time" in e.value.message
        assert e.value.message.endswith("\nbegun\n")
        shell.type("\x03")
        assert shell.expect(console.PROMPT).endswith("\nbegun\n^C\n")
        passed = float(shell.run("cut -d ' ' -f 1 /proc/uptime")) - before
        assert 2 <= passed < 10


@pytest.mark.vm
def test_keys_are_answered_one_by_one(guest: Guest) -> None:
    """A program that asks gets what is typed, and its own words are found by a pattern."""
    with console.opened(guest) as shell:
        shell.type("read -p 'which port? ' port; echo you said $port\r")
        shell.expect(r"which port\? $")
        shell.type("60000\r")
        shell.expect("you said 60000\r\n")
        shell.expect(console.PROMPT)
        shell.type("exit\r")
        with pytest.raises(Unmet, match="the prompt did not come: the shell has ended"):
            shell.expect(console.PROMPT)


@pytest.mark.vm
def test_the_kernels_log_is_on_the_line_unless_it_is_quiet(guest: Guest) -> None:
    """A quiet line leaves the log to dmesg, and the level is as it was afterwards."""
    level = guest.run(["/bin/cat", "/proc/sys/kernel/printk"]).text
    logged = re.compile(r"\[ *\d+\.\d+\] from a test\n")
    with console.opened(guest) as shell:
        assert logged.search(shell.run("echo from a test >/dev/kmsg"))
    with console.opened(guest, quiet=True) as shell:
        assert shell.run("echo from a test >/dev/kmsg") == ""
        assert logged.fullmatch(shell.run("dmesg | tail -n 1"))
    assert guest.run(["/bin/cat", "/proc/sys/kernel/printk"]).text == level


@pytest.mark.vm
def test_nothing_that_was_started_is_left(guest: Guest) -> None:
    """Jobs in the background go with the shell, also when it has ended before."""
    with console.opened(guest) as shell:
        shell.run("sleep 1000 & (sleep 1000 >/lab/out &)")
        assert jobs(guest) == 2
    assert jobs(guest) == 0
    assert b"Read-only file system" in guest.run(["/bin/touch", "/lab/out"]).err
    with console.opened(guest) as shell:
        shell.run("sleep 1000 &")
        shell.type("exit\r")
    assert jobs(guest) == 0
    with console.opened(guest) as shell:
        assert shell.run("echo again") == "again\n"


@pytest.mark.vm
def test_a_guest_that_goes_is_told_as_that(guest: Guest) -> None:
    """A kernel that panics under a command is no timeout."""
    with pytest.raises(GuestCrashed, match="panicked"), console.opened(guest) as shell:
        shell.run("echo c >/proc/sysrq-trigger")


@pytest.mark.vm
def test_a_line_that_is_flooded_ends_the_guest(guest: Guest) -> None:
    """A program that prints without end is not listened to until its deadline."""
    with pytest.raises(GuestFlooded), console.opened(guest) as shell:
        shell.run("yes 'the same line again and again and again and again'", deadline=600)


def test_lines_that_look_like_commands_are_those_that_print_them() -> None:
    """How many lines a command prints says where the next one stands; a difference ends it."""
    shown = "# ./test\n# insmod it\nok\n# ls\na\n"
    outputs = {"./test": "# insmod it\nok\n", "ls": "a\n"}
    assert console.replay(shown, outputs.__getitem__) == shown
    assert console.replay(shown, (outputs | {"ls": "b\n"}).__getitem__) == shown[:-2] + "b\n"
    fewer = outputs | {"./test": "# insmod it\n"}
    assert console.replay(shown, fewer.__getitem__) == "# ./test\n# insmod it\n"
