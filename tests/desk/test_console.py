"""The console: a real guest behind a real terminal, and behind a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from classes import grade
from support import ROOT, SOLUTION, Student, all_end
from terminal import Terminal

from checker.desk import at_failure, console, debugger, last_run
from checker.errors import InputError
from checker.model import Finding, KernelInfo, Lab
from checker.report import story
from vm import kernel, machine, snapshot
from vm.console import Keys
from vm.kernel import Kernel
from vm.machine import Config
from vm.tools import descendants

FILTER, TCP = "1-2-netfilter/kernel/filter.ko", "3-4-tcp-sock/tcp_sock.ko"


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Open a console on a terminal: ``terminal("--submission", "alice")``."""
    with contextlib.ExitStack() as stack:

        def opened(*arguments: str) -> Terminal:
            new = Terminal("console", "networking", "--kernel", "stock", *arguments)
            stack.callback(new.close)
            return new

        yield opened


def piped(commands: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the console with *commands* on its standard input, which is no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "checker", "console", "--kernel", "stock", *arguments],
        check=False,
        input=commands,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


# --- keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "sent", "left"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"ab\x01xcd"], b"ab", True),
        ([b"\x01", b"X"], b"", True),
        ([b"\x01\x01x"], b"\x01x", False),
        ([b"\x01a"], b"\x01", False),
        ([b"\x01k"], b"\x01k", False),
        ([b"\x03\xc3\xa9"], b"\x03\xc3\xa9", False),
    ],
)
def test_ctrl_a_x_alone_leaves(typed: list[bytes], sent: bytes, left: bool) -> None:
    """Ctrl-A X leaves, however it comes in; Ctrl-A twice is one, all else is the guest's."""
    keys = Keys()
    assert b"".join(keys.typed(part) for part in typed) == sent
    assert keys.left is left


# --- on a terminal -------------------------------------------------------------------


@pytest.mark.vm
def test_a_shell_with_modules_and_scripts(
    terminal: Callable[..., Terminal], student: Callable[..., Student]
) -> None:
    """The greeting is true, the kernel's log is there, Ctrl-A X leaves the terminal as it was."""
    at = terminal("--submission", str(student().path))
    greeting = at.until_prompt()
    assert "update " in greeting and "Ctrl-A X" in greeting
    for folder, name in (("1-2-netfilter/kernel", "filter.ko"), ("3-4-tcp-sock", "test-4.sh")):
        assert re.search(rf"^  {folder} .*\b{re.escape(name)}\b", greeting, re.MULTILINE)
        assert f"{folder}/{name}" in at.run(f"ls {folder}/{name}")
    assert at.run("stty size") == "30 100\n"
    at.type("1-2-netfilter/user/test-1.sh\r")
    logged = r"\[ *\d+\.\d+\] TCP connection initiated from 127.0.0.1:\d+"
    assert re.search(logged, at.until("test-1: ok"))
    at.until_prompt()
    # a person may keep files there
    assert at.run("cp */*.ko . && ls *.ko") == "tcp_sock.ko  udp_sock.ko\n"
    running = [os.pidfd_open(pid) for pid in descendants(at.pid)]
    assert running
    at.type("\x01x")
    assert at.ends() == 0
    assert at.settings() == at.found
    assert all_end(running)


@pytest.mark.vm
def test_the_guest_follows_the_window(terminal: Callable[..., Terminal]) -> None:
    """A window that is made larger is larger for the programs of the guest; exit leaves, too."""
    at = terminal("--submission", str(SOLUTION))
    at.until_prompt()
    at.type("trap 'echo now: $(stty size)' WINCH\r")
    at.until_prompt()
    at.setwinsize(41, 133)
    at.until_prompt()  # the line is drawn anew, or the trap has run
    at.type("while [ \"$(stty size)\" != '41 133' ]; do sleep 0.1; done; echo it\\ is so\r")
    at.until("it is so")
    at.until_prompt()
    at.type("exit\r")
    assert at.ends() == 0
    assert at.settings() == at.found


@pytest.mark.vm
def test_edits_are_built_and_copied_in(
    terminal: Callable[..., Terminal], student: Callable[..., Student]
) -> None:
    """Update builds what was edited; a mistake is told in the compiler's words and is no end."""
    alice = student()
    at = terminal("--submission", str(alice.path))
    at.until_prompt()
    assert "has changed" in at.run("update")
    at.run(f"insmod {FILTER}")

    alice.replace("filter.c", '("TCP connection initiated', '("A connection was made')
    said = at.run("update; echo status $?")
    assert f"new: {FILTER}\n" in said and "status 0" in said
    assert TCP not in said
    assert "The old filter is still loaded: rmmod filter" in said
    at.run("rmmod filter")
    at.run(f"insmod {FILTER}; nc -z 127.0.0.1 1")
    assert "A connection was made from" in at.run("dmesg | tail -n 3")

    alice.replace("tcp_sock.c", "static struct socket *sock;", "static struct socket *sock")
    said = at.run("update; echo status $?")
    assert "tcp_sock was not built." in said and "status 1" in said
    assert re.search(r"3-4-tcp-sock/tcp_sock\.c:\d+:\d+: error: expected", said)
    alice.replace("tcp_sock.c", "static struct socket *sock", "static struct socket *sock;")
    assert f"new: {TCP}\n" in at.run("update")
    alice.file("tcp_sock.c").unlink()
    (alice.file("tcp_sock.c").parent / "mine.c").write_text("int x;\n")
    said = at.run("update")
    assert "tcp_sock.c is missing." in said
    assert "mine.c is not read" in said


@pytest.mark.vm
def test_what_does_not_compile_is_told_before_the_prompt(
    terminal: Callable[..., Terminal], student: Callable[..., Student]
) -> None:
    """The compiler's words come first; the other modules are there."""
    alice = student()
    alice.replace("udp_sock.c", "static struct socket *sock;", "static struct socket *sock")
    at = terminal("--submission", str(alice.path))
    greeting = at.until_prompt()
    assert "udp_sock was not built." in greeting and "5-udp-sock/udp_sock.c:" in greeting
    assert "udp_sock.ko" not in greeting.partition("This guest runs")[2]
    assert "filter.ko" in at.run("ls 1-2-netfilter/kernel")


@pytest.mark.vm
def test_a_guest_that_panics_is_told(terminal: Callable[..., Terminal]) -> None:
    """The kernel's last words are on the terminal, which is as it was; so it is after SIGTERM."""
    at = terminal("--submission", str(SOLUTION))
    at.until_prompt()
    at.type("echo c >/proc/sysrq-trigger\r")
    at.until("sysrq triggered crash")
    at.until("The guest has ended: the guest's kernel panicked")
    assert at.ends() == 0
    assert "The kernel says: " in at.printed
    assert at.settings() == at.found

    at = terminal("--submission", str(SOLUTION))
    at.until_prompt()
    at.kill(signal.SIGTERM)
    assert at.ends() == 130
    assert at.settings() == at.found


# --- without one ---------------------------------------------------------------------


@pytest.mark.vm
def test_commands_from_a_pipe() -> None:
    """Outputs stay apart, the kernel's log is on stderr, the status is that of the last command."""
    done = piped(
        f"ls {FILTER}\ninsmod {FILTER}\necho to err >&2\ncat\nrmmod filter\nexit 7\n",
        *("--submission", str(SOLUTION)),
    )
    assert (done.returncode, done.stdout) == (7, f"{FILTER}\n"), done
    assert "to err\n" in done.stderr
    assert "filter: loading out-of-tree module taints kernel.\n" in done.stderr
    assert "Ctrl-A" not in done.stderr


@pytest.mark.vm
def test_a_pipe_with_nothing_in_it_and_one_that_kills_the_guest() -> None:
    """No commands are no error, and it is said; a guest that dies is one."""
    done = piped("", "--submission", str(SOLUTION))
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing was run" in done.stderr
    done = piped("echo c >/proc/sysrq-trigger; sleep 60", "--submission", str(SOLUTION))
    assert done.returncode == 1
    assert "The guest has ended" in done.stderr


@pytest.mark.vm
def test_a_module_that_takes_the_guest_down_is_told_as_check_does(
    student: Callable[..., Student],
) -> None:
    """With the sentence, the line and how the report begins, which has scrolled by."""
    alice = student()
    alice.replace("udp_sock.c", "static int __init my_udp_sock_init(void)\n{", _PANICKING)
    lines = alice.file("udp_sock.c").read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if "*(volatile int *)NULL" in line)
    done = piped("insmod 5-udp-sock/udp_sock.ko", "--submission", str(alice.path))
    assert done.returncode == 1
    said = done.stderr.partition("The guest has ended")[2]
    assert f"udp_sock took the kernel down (udp_sock.c:{number}): " in said
    assert "NULL" in said
    begins = said.partition("The report begins:\n")[2].splitlines()
    assert "BUG: kernel NULL pointer dereference" in begins[0]


@pytest.mark.vm
def test_a_host_that_cannot_restore_boots_cold(
    lab: Lab,
    stock_kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a template the console is the same, only later."""
    monkeypatch.setattr(snapshot, "template", lambda config: None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ls */*.ko; exit 3")))
    assert console.run(lab, SOLUTION, stock_kernel, accel="tcg", gdb=False) == 3
    assert "3-4-tcp-sock/tcp_sock.ko" in capfd.readouterr().out


def test_only_time_is_another_than_in_checks(config: Config) -> None:
    """A console's QEMU is that of a check, in real time, which TIME_WAIT and soft lockups go by."""
    checks = machine.command_line(Config(config.kernel, config.initramfs, config.image))
    person = machine.command_line(
        Config(config.kernel, config.initramfs, config.image, real_time=True)
    )
    at = checks.index("-icount")
    virtual = "watchdog_thresh=2 sysctl.net.ipv4.tcp_max_tw_buckets=0 root="
    assert [*checks[:at], *checks[at + 2 :]] == [
        word.replace("root=", virtual, word.startswith("root=")) for word in person
    ]


# --- gdb -----------------------------------------------------------------------------


def debugged(line: str, script: Path, ready: str, then: Callable[[], None]) -> str:
    """Run gdb's *script* by the *line* that starts gdb; do *then* once it has said *ready*."""
    with subprocess.Popen(
        [*line.split(), "-q", "-nx", "-batch", "-x", str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as gdb:
        assert gdb.stdout is not None
        said = ""
        while ready not in said:
            more = gdb.stdout.readline()
            assert more, said
            said += more
        then()
        return said + gdb.stdout.read()


def test_gdb_moves_sections_that_have_an_address(tmp_path: Path) -> None:
    """Modules since Linux 6.2 have such sections, and gdb then leaves all where they are."""
    made = tmp_path / "made.o"
    code = '__attribute__((section(".init.text"))) int twice(int n) { return 2 * n; }\n'
    (tmp_path / "made.c").write_text("int many = 1;\n" + code)
    for argv in (
        ["gcc", "-g", "-c", "made.c"],
        ["objcopy", "--change-section-address", ".data=0x28", "made.o"],
    ):
        subprocess.run(argv, cwd=tmp_path, check=True)

    def asked() -> str:
        told = ["-ex", f"add-symbol-file {made} -s .init.text 0x5000", "-ex", "info line twice"]
        return subprocess.run(
            ["gdb", "-q", "-nx", "-batch", *told], check=True, capture_output=True, text=True
        ).stdout

    assert "starts at address 0x0 " in asked()
    made.write_bytes(debugger.without_addresses(made.read_bytes()))
    assert "starts at address 0x5000 " in asked()


@pytest.mark.vm
def test_gdb_stops_in_a_function_of_init(
    terminal: Callable[..., Terminal], student: Callable[..., Student], tmp_path: Path
) -> None:
    """The line that is printed starts a gdb that knows modules that are loaded later."""
    assert shutil.which("gdb"), "install gdb for this test"
    alice = student()
    at = terminal("--submission", str(alice.path), "--gdb")
    (line,) = re.findall(r"^  (gdb -x \S+)$", at.until_prompt(), re.MULTILINE)
    at.run(f"insmod {FILTER}")
    script = tmp_path / "commands"
    script.write_text(
        "info address my_nf_hookfn\nbreak my_listen\ncontinue\nbacktrace 2\ninfo source\n"
        "info line inet_bind\nkill\n"
    )
    said = debugged(line, script, "my_listen) pending", lambda: at.type(f"insmod {TCP}\r"))
    assert 'Symbol "my_nf_hookfn" is a function at address 0xffffffff' in said
    assert "symbols of tcp_sock loaded" in said
    assert re.search(r"#0 +my_listen \(\) at .*tcp_sock\.c:\d+", said)
    assert re.search(r"#1 .*my_tcp_sock_init \(\) at .*tcp_sock\.c:\d+", said)
    assert f"Located in {alice.file('tcp_sock.c')}" in said
    assert "inet_bind" in said


@pytest.mark.vm
def test_gdb_steps_through_a_program(
    fixture_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It stops in main() of the program that is started, steps over calls, knows variables.

    Each program stops at its own lines, and at those that an update has brought.
    """
    monkeypatch.setenv("KNETLAB_LABS", str(fixture_lab.root.parent))
    ann = tmp_path / "ann"
    shutil.copytree(fixture_lab.solution, ann)
    source = ann / "user/greet.c"
    lines = source.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "sigaction(SIGTERM" in line)
    script = tmp_path / "commands"
    script.write_text(
        f"break main\ncontinue\nbacktrace 1\ntbreak greet.c:{number}\ncontinue\n"
        "next\nnext\nprint name[0]\nprint argv[1]\ninfo source\ncontinue\nbacktrace 1\n"
        "delete\ntbreak later\ncontinue\nnext\nprint twice\nkill\n"
    )
    at = Terminal("console", "fixture", "--kernel", "stock", "--submission", str(ann), "--gdb")
    try:
        (line,) = re.findall(r"^  (gdb -x \S+)$", at.until_prompt(), re.MULTILINE)
        code = source.read_text().replace("int main(", _LATER)
        source.write_text(code.replace("free(name);", 'free(name);\n\tprintf("%d\\n", later(21));'))
        typed = (
            "echo ann | user/greet '!'; user/ring </dev/null; cat /dev/null; "
            "update; echo ann | user/greet\r"
        )
        said = debugged(line, script, "(main) pending", lambda: at.type(typed))
    finally:
        at.close()
    assert "symbols of greet loaded" in said
    assert re.search(r"#0 +main \(argc=2, argv=0x\w+\) at \S*user/greet\.c:\d+", said)
    assert re.search(r"print.* = 97 'a'|\$1 = 97 'a'", said)
    assert re.search(r"\$2 = 0x\w+ \"!\"", said)
    assert f"Located in {source}" in said
    assert re.search(r"#0 +main \(.*\) at \S*user/ring\.c:\d+", said)
    assert "later (n=21)" in said, said
    assert "$3 = 42" in said, said


_LATER = """\
int later(int n);

int later(int n)
{
	int twice = 2 * n;

	return twice;
}

int main("""


@pytest.mark.vm
def test_gdb_session_of_the_book(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    """What docs/students/debugging.md shows of gdb comes again, but for addresses and numbers."""
    page = (ROOT / "docs/students/debugging.md").read_text()
    shown = "".join(re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    shown = shown.replace(",\n  ", ", ")
    typed = re.findall(r"^\(gdb\) (.*)$", shown, re.MULTILINE)
    assert "break log_new_connection" in typed
    script = tmp_path / "commands"
    lines = [f"echo (gdb) {command}\\n\n{command}\n" for command in typed[:-1]]  # not to go on
    script.write_text("set print pretty off\nset width 0\n" + "".join(lines) + "kill\n")

    at = terminal("--submission", str(SOLUTION), "--gdb")
    (line,) = re.findall(r"^  (gdb -x \S+)$", at.until_prompt(), re.MULTILINE)
    keys = f"insmod {FILTER}; ping -c 1 127.0.0.1\r"
    said = debugged(line, script, "(gdb) continue", lambda: at.type(keys))
    told = [_comparable(line) for line in said.splitlines()]
    for line in shown.splitlines()[:-1]:
        wanted = _comparable(line.removesuffix(" ..."))
        while told and not told[0].startswith(wanted):
            told.pop(0)
        assert told, f"{line!r} did not come, or not in its turn:\n{said}"


def _comparable(line: str) -> str:
    """Take addresses and what differs between packets out of a line of gdb's."""
    line = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", line)
    return re.sub(r"(id|check) = \d+", r"\1 = N", line)


# --- at the failure ------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test out of the user's cache; for those that need no guest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("own_cache")
def test_nothing_to_go_back_to_is_said(tmp_path: Path) -> None:
    """No run, a run without a failure, a check that did not fail: a sentence each."""
    with pytest.raises(
        InputError, match=r"There is no earlier run of .*: run `make check` first\."
    ):
        at_failure.last_failure(tmp_path, None)
    with last_run.keeping(tmp_path) as kept:
        last_run.save(kept, grade("full"))
    with pytest.raises(InputError, match="Nothing failed in the last run"):
        at_failure.last_failure(tmp_path, None)
    with last_run.keeping(tmp_path) as kept:
        last_run.save(kept, grade("skeleton"))
    with pytest.raises(InputError, match=r"'1\.nonesuch' did not fail .*These checks failed: 1\."):
        at_failure.last_failure(tmp_path, "1.nonesuch")


@pytest.mark.usefixtures("own_cache")
def test_the_failure_that_the_report_begins_with_is_taken(tmp_path: Path) -> None:
    """Skipped checks and those that no guest runs (N.healthy) are no failures to go back to."""
    kept_grade = grade("skeleton")
    with last_run.keeping(tmp_path) as kept:
        last_run.save(kept, kept_grade)
    _, first, failed = at_failure.last_failure(tmp_path, None)
    assert first == failed[0] == story.reasons(kept_grade)[0][0]
    assert {check.status for check in failed} <= {"fail", "crash", "timeout"}
    assert not any(check.id.endswith(".healthy") for check in failed)
    assert at_failure.last_failure(tmp_path, failed[-1].id)[1] == failed[-1]


def test_what_failed_comes_before_what_only_was_reported() -> None:
    """A check that passed while the kernel reported something stands behind those that failed."""
    made = grade("skeleton")
    exercise = made.exercises[0]
    first, second, *rest = exercise.checks
    checks = (first.model_copy(update={"status": "pass"}), second, *rest)
    finding = Finding(kind="kasan", summary="It writes beyond the end.", check=first.id)
    exercises = (exercise.model_copy(update={"checks": checks}), *made.exercises[1:])
    changed = made.model_copy(update={"exercises": exercises, "findings": (finding,)})
    own = [check.id for check in at_failure.failing(changed) if check in checks]
    assert own[-1] == first.id
    assert len(own) > 1


def test_the_greeting_at_a_failure_has_what_a_person_starts(fixture_lab: Lab) -> None:
    """It says where files lie, and that a program is started by its path."""
    check = grade("skeleton").exercises[0].checks[0]
    said = at_failure.greeting(
        check, "It is silent.", fixture_lab.targets(fixture_lab.exercise(1)), ["user/greet"]
    )
    assert "In /lab, where you start a program by its path, for example user/greet:\n" in said
    assert "  user   greet\n" in said


@pytest.mark.vm
def test_the_guest_of_a_programs_failure_has_no_other_programs(
    fixture_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one with sanitizers, which checks alone start, is not among them.

    The program is the one that failed: that gdb cannot follow it is said.
    """
    monkeypatch.setenv("KNETLAB_LABS", str(fixture_lab.root.parent))
    ann = tmp_path / "ann"
    shutil.copytree(fixture_lab.solution, ann)
    source = ann / "user/greet.c"
    source.write_text(source.read_text().replace("%s %s%s", "%s, %s%s"))
    command = [sys.executable, "-m", "checker", "check", "fixture", "--kernel", "stock"]
    command += ["--submission", str(ann), "--exercise", "1"]
    assert subprocess.run(command, check=False, capture_output=True, cwd=ROOT).returncode == 1
    done = subprocess.run(
        [*command[:3], "console", "fixture", "--submission", str(ann), "--at-failure", "--gdb"],
        check=False,
        input="ls user",
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (0, "greet\n"), done
    assert "Here gdb knows modules and no programs" in done.stderr


def test_a_check_that_the_lab_has_no_more_is_not_repeated(lab: Lab) -> None:
    """The lab may have been edited since the run; else it is run with those before it."""
    exercise = lab.exercise(3)
    assert at_failure._up_to("3.nonesuch", lab, exercise) == []
    ids = at_failure._up_to("3.nowhere-else", lab, exercise)
    assert ids[0] == "3.listens"
    assert ids[-1] == "3.nowhere-else"


def test_a_failure_is_repeated_on_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the run, by name and release; one that is not here any more is named."""

    def made(name: str, release: str) -> Kernel:
        return Kernel(name, release, "key", Path("/none"), "/b", {}, ())

    here = [made("stock", "6.1.0"), made("debug", "6.1.192"), made("stock", "6.12.1")]
    monkeypatch.setattr(kernel, "at_hand", lambda: here)
    assert at_failure.kernel_of(KernelInfo(name="stock", release="6.12.1")) == here[2]
    assert at_failure.kernel_of(KernelInfo(name="debug", release="6.1.192")) == here[1]
    with pytest.raises(InputError, match=r"stock kernel 6\.12\.0, which is no longer in the cache"):
        at_failure.kernel_of(KernelInfo(name="stock", release="6.12.0"))
    with pytest.raises(InputError, match="a kernel of your own: give --kernel-image"):
        at_failure.kernel_of(KernelInfo(name="custom", release="7.5"))


def checked(student: Student, exercise: int) -> None:
    """Run ``knetlab check`` on one exercise, which must not earn all."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "checker", "check", "networking", "--kernel", "stock"),
            *("--submission", str(student.path), "--exercise", str(exercise)),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1, done


@pytest.mark.vm
def test_the_guest_of_the_failure(
    terminal: Callable[..., Terminal], student: Callable[..., Student]
) -> None:
    """Module and connection are as the check had them, whatever was edited since."""
    alice = student()
    right, wrong = "&addr->sin_addr, ntohs(addr->sin_port)", "&addr->sin_addr, addr->sin_port"
    alice.replace("tcp_sock.c", right, wrong)
    checked(alice, 4)
    alice.replace("tcp_sock.c", wrong, right)
    grade = last_run.grade(alice.path)
    assert grade is not None
    failed = at_failure.failing(grade)[0]
    (client,) = re.findall(r"A client connected from ([\d.:]+\d)", failed.message)

    at = terminal("--submission", str(alice.path), "--at-failure")
    greeting = at.until_prompt()
    assert f"{failed.id} failed here" in greeting and failed.message in greeting
    assert "tcp_sock " in at.run("lsmod")
    assert re.search(rf"ESTAB .* 127\.0\.0\.1:60000 +{re.escape(client)}", at.run("ss -tan"))
    assert "connection established to" in at.run("dmesg | tail")
    assert "test-4.sh" in at.run("ls 3-4-tcp-sock")
    # the mistake is mended already: what was edited since can be tried here as well
    assert f"new: {TCP}\n" in at.run("update")
    at.type("\x01x")
    assert at.ends() == 0


@pytest.mark.vm
def test_a_failure_that_took_the_guest_down(student: Callable[..., Student]) -> None:
    """There is no guest to look at then, and the kernel's words are shown instead."""
    alice = student()
    alice.replace("udp_sock.c", "static int __init my_udp_sock_init(void)\n{", _PANICKING)
    checked(alice, 5)
    done = piped("lsmod", "--submission", str(alice.path), "--at-failure", "5.sends")
    assert done.returncode == 2
    assert "crashes the guest" in done.stderr
    assert "NULL pointer dereference" in done.stderr
    assert "Traceback" not in done.stderr


_PANICKING = """\
static int __init my_udp_sock_init(void)
{
	*(volatile int *)NULL = 1;"""


@pytest.mark.vm
def test_a_failure_to_compile_had_no_guest(student: Callable[..., Student]) -> None:
    """It is said, with the compiler's words."""
    alice = student()
    alice.replace("udp_sock.c", "static struct socket *sock;", "static struct socket *sock")
    checked(alice, 5)
    done = piped("lsmod", "--submission", str(alice.path), "--at-failure")
    assert done.returncode == 2
    assert "udp_sock does not compile, so there was no guest" in done.stderr
    assert "5-udp-sock/udp_sock.c:" in done.stderr
