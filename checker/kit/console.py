r"""A student's shell in a guest: what is typed on its serial line, and what comes of it.

    with console.opened(guest) as shell:
        assert shell.run("./test-1.sh", deadline=60).endswith("test-1: ok\n")

pexpect looks for what is expected; all time here is the guest's. The guest runs while
something is expected and is stopped otherwise, as between commands of Guest.run(), which
can be used beside it. It does not jump over the time in which all wait, since it cannot
tell a shell that waits for keys from one that has nothing to do: a `sleep 6` that is typed
costs what six seconds of work cost, one in Guest.run() nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pexpect
from pexpect.spawnbase import SpawnBase

from checker.engine.testbed import Late, Unmet
from vm import console
from vm.guest import Guest, Process

if TYPE_CHECKING:
    _Base = SpawnBase[str]  # so say its stubs; at run time it is no generic class
else:
    _Base = SpawnBase

PROMPT = re.compile(r"guest:[^\s#]*# ")

COLUMNS = 1000
"""The line is so wide that the shell's editor never breaks what is typed."""

_SHOWN = 2000
"""Characters of what came that a failure shows."""

# a job in the background has a process group of its own; the session is the shell's.
# busybox's awk ends at the first file that is gone, cat goes on
_END = """\
left() {{ cat /proc/[0-9]*/stat | awk '{{ sub(/\\(.*\\)/, "") }} $5 == {} {{ print $1 }}'; }}
while pids=$(left) && [ "$pids" ]; do
	kill -KILL $pids
	sleep 0.1
done
until mount -o remount,ro /lab; do sleep 0.1; done
"""

_LOG_LEVEL = "/proc/sys/kernel/printk"


class _Line(_Base):
    """The serial line of a guest as pexpect reads it, within running().

    pexpect itself is given no timeout: it would count seconds of this host.
    """

    def __init__(self, guest: Guest, shell: Process) -> None:
        super().__init__(encoding="utf-8", codec_errors="replace")
        self.delayafterread = None  # not to sleep 0.1 ms after each read
        self.guest = guest
        self.shell = shell
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lock = threading.Lock()
        self._heard = bytearray()
        # a pipe could be full, and whoever writes to it then waits in the machine's own thread
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._going: Iterator[bool] = iter(())
        guest.machine.on_console = self._hear

    def _hear(self, data: bytes) -> None:
        with self._lock:
            self._heard += data
            os.eventfd_write(self._bell, 1)

    def _take(self) -> str:
        with self._lock:
            data = bytes(self._heard)
            self._heard.clear()
            if data:
                os.eventfd_read(self._bell)
        return self._decoder.decode(data)

    @contextlib.contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """Let the guest run while something is read, for at most *seconds* of its time."""
        idle = console.sleeps(self.guest.machine)
        clock = self.guest.begin(["/sbin/tool", "sleep", str(math.ceil(seconds))], idle=idle)
        try:
            with contextlib.closing(
                self.guest.attend(self._bell, seconds, clock, self.shell)
            ) as self._going:
                yield
        finally:
            self._going = iter(())
            if not self.guest.dead and clock.result is None:
                clock.kill()

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """Return what came, once something has; TIMEOUT at the clock's end, EOF at the shell's."""
        while not (text := self._take()):
            if next(self._going, False):
                continue
            self.guest.machine.console()  # what it had printed by then is heard
            if text := self._take():
                return text
            if self.shell.result is None:
                raise pexpect.TIMEOUT("")
            raise pexpect.EOF("")
        return text

    def close(self) -> None:
        """Hear no more of it."""
        self.guest.machine.on_console = None
        os.close(self._bell)


class Console:
    """The shell that `knetlab console` gives to a student, in *guest*; see opened()."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        shell = console.start_shell(guest, "echo $$ >&9\n", rows=24, columns=COLUMNS)
        self._line = _Line(guest, shell)
        self._typed = "nothing"

    def type(self, keys: str) -> None:
        r"""Type *keys*: Enter is ``\r``, Ctrl-C ``\x03``."""
        self._typed = repr(keys)
        self._guest.machine.type(keys.encode())

    def expect(self, pattern: str | re.Pattern[str], deadline: float = 10.0) -> str:
        r"""Wait for *pattern*, at most *deadline* guest seconds; return what came before it.

        A text is a regular expression, too, in which . also stands for an end of line, and
        lines end with \r\n. A pattern that can match more or less of what comes matches
        what is there by then: let it end with something fixed. Raises Late when
        it does not come in time, Unmet when the shell ends before that, GuestError when the
        guest goes.
        """
        line = self._line
        try:
            with line.running(deadline):
                line.expect(pattern, timeout=None)
        except pexpect.TIMEOUT:
            what = f"did not come within {deadline:g} s of the guest's time"
            raise Late(self._missing(pattern, what)) from None
        except pexpect.EOF:
            raise Unmet(self._missing(pattern, "did not come: the shell has ended")) from None
        return _plain(line.before or "")

    def _missing(self, pattern: str | re.Pattern[str], what: str) -> str:
        text = pattern if isinstance(pattern, str) else pattern.pattern
        wanted = "the prompt" if pattern is PROMPT else repr(text)
        seen = _plain(self._line.before or "")[-_SHOWN:]
        return f"After {self._typed} was typed, {wanted} {what}. What came:\n{seen}"

    def run(self, command: str, deadline: float = 10.0) -> str:
        """Type *command* and Enter, and wait for the prompt; return what was printed.

        What a command in the background printed since the last prompt is in it.
        """
        if re.search(r"[\x00-\x1f]", command):
            raise ValueError(f"{command!r} has keys that do more than write: use type()")
        self.type(f"{command}\r")
        self._typed = repr(command)
        before, echo, after = self.expect(PROMPT, deadline).partition(f"{command}\n")
        return before + after if echo else before

    def close(self) -> None:
        """End the shell and all that was started in it; /lab is read-only again."""
        shell = self._line.shell
        try:
            if self._guest.dead:
                return
            if re.fullmatch(rb"\d+\n", shell.out):
                self._guest.run(["/bin/sh", "-c", _END.format(int(shell.out))])
            if shell.result is None:
                shell.kill()
        finally:
            self._line.close()


@contextlib.contextmanager
def opened(guest: Guest, *, quiet: bool = False) -> Iterator[Console]:
    """Yield a shell on the serial line of *guest*, at /lab.

    The kernel's log comes on the same line, in between. With *quiet* it does not, so that a
    command's output can be compared; what the kernel reports meanwhile is no finding then.
    """
    with contextlib.ExitStack() as stack:
        if quiet:
            stack.enter_context(_without_log(guest))
        shell = Console(guest)
        stack.callback(shell.close)
        shell.expect(PROMPT)
        yield shell


@contextlib.contextmanager
def _without_log(guest: Guest) -> Iterator[None]:
    level = guest.run(["/bin/cat", _LOG_LEVEL]).text.split()[0]
    guest.run(["/sbin/tool", "put", _LOG_LEVEL, "1"])
    try:
        yield
    finally:
        if not guest.dead:
            guest.run(["/sbin/tool", "put", _LOG_LEVEL, level])


def replay(transcript: str, run: Callable[[str], str]) -> str:
    """Run the commands of *transcript*, each by *run*; return the text that it has now.

    Commands stand behind "# ". So may lines that they print: how many lines are a
    command's own is told by how many it prints now. Where it prints more or fewer than the
    transcript shows, the text ends.
    """
    left = transcript.splitlines()
    now = []
    while left and left[0].startswith("# "):
        command = left.pop(0)
        said = run(command.removeprefix("# ")).splitlines()
        now += [command, *said]
        del left[: len(said)]
    return "".join(f"{line}\n" for line in now)


def _plain(text: str) -> str:
    """Return *text* with plain ends of lines, without the editor's question for the cursor."""
    return text.replace("\x1b[6n", "").replace("\r\n", "\n")
