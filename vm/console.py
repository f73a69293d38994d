"""A person at a guest: its shell on this terminal, or a script's commands where there is none.

Unlike the guest of a check this one runs on while the host waits. Its shell has
the serial line, where the kernel's log appears as well. Two pipes of the shell,
8 and 9, lead to the host through the agent: a command of the guest can ask the
host for something, a line each way.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from vm.errors import GuestError, GuestTimeout
from vm.guest import Guest, Process
from vm.machine import Machine

ESCAPE = 1
"""Ctrl-A: then X leaves, A or Ctrl-A sends one, and any other key goes with it."""

ANSWER_SECONDS = 20
"""Wall seconds a guest has to take a file."""

MAX_OUTPUT = 1 << 20
"""Bytes that the agent (vm/init/agent.c) passes on of what one command prints."""

# the agent leaves /lab read-only, for modules under test; a person may write there
_START = "mount -o remount,rw /lab; cd /lab"

_RC = "/run/console"
_TTY = "/dev/ttyS0"

# busybox's shell has a line editor, and applets of its own where the real programs are wanted
_PROFILE = """\
alias nc=/bin/nc ip=/bin/ip
PS1='guest:\\w# '
knetlab_asked=0
ask_host() {
	knetlab_asked=$((knetlab_asked + 1))
	echo "$knetlab_asked $*" >&9
	while read -r knetlab_number knetlab_answer <&8; do
		[ "$knetlab_number" != "$knetlab_asked" ] || return 0
	done
	return 1
}
"""


def sleeps(machine: Machine) -> bool:
    """Tell whether a guest may sleep while nobody types: where its clock is not virtual."""
    return not machine.config.virtual_time


def start_shell(
    guest: Guest, profile: str = "", *, rows: int, columns: int, term: str = "vt100"
) -> Process:
    """Start a shell on the serial line of *guest*; it reads *profile* first."""
    guest.put(_RC, (_PROFILE + profile).encode())
    start = (
        # the first terminal that it opens is its own, since the agent gives it a session
        f"exec 8<&0 9>&1 <{_TTY} >{_TTY} 2>&1; stty rows {rows} cols {columns}; {_START}; "
        f"ENV={_RC} TERM={shlex.quote(term)} exec /bin/busybox sh"
    )
    return guest.begin(["/bin/sh", "-c", start], idle=sleeps(guest.machine))


class Keys:
    """What is typed, with Ctrl-A X taken out."""

    def __init__(self) -> None:
        self.left = False
        self._escaped = False

    def typed(self, data: bytes) -> bytes:
        """Return what of *data* is for the guest; *left* is set when it ends with Ctrl-A X."""
        keys = bytearray()
        for key in data:
            if self._escaped:
                self._escaped = False
                if key in b"xX":
                    self.left = True
                    break
                keys += bytes([ESCAPE]) if key in (ESCAPE, *b"aA") else bytes([ESCAPE, key])
            elif key == ESCAPE:
                self._escaped = True
            else:
                keys.append(key)
        return bytes(keys)


class Session:
    """A shell in *guest*, which runs from here on.

    *profile* is read by the shell when it starts; commands there call ``ask_host
    WORDS``, for which *answer* is called with the session and the words. The line
    it returns is in ``$knetlab_answer`` then.
    """

    def __init__(self, guest: Guest, profile: str, answer: Callable[[Session, str], str]) -> None:
        self.guest = guest
        self._profile = profile
        self._answer = answer
        self._idle = sleeps(guest.machine)
        self._asked = bytearray()
        self._done: dict[int, bytes] = {}

    def run(self) -> None:
        """Give the terminal to the guest until its shell ends, the guest dies, or Ctrl-A X.

        Raises GuestCrashed when the guest dies.
        """
        guest = self.guest
        rows, columns = _size()
        term = os.environ.get("TERM", "vt100")
        shell = start_shell(guest, self._profile, rows=rows, columns=columns, term=term)
        keys = Keys()
        with _raw(), _resized() as resized:
            guest.machine.on_console = lambda data: _write(sys.stdout.fileno(), data)
            guest.machine.cont()
            while shell.result is None and not keys.left:
                ready, _, _ = select.select([sys.stdin, guest.machine.agent, resized], [], [])
                if guest.machine.agent in ready:
                    self._receive()
                if resized in ready:
                    os.read(resized, 4096)
                    rows, columns = _size()
                    size = ["rows", str(rows), "cols", str(columns)]
                    guest.begin(["/bin/stty", "-F", _TTY, *size], idle=self._idle)
                if sys.stdin in ready:
                    data = os.read(sys.stdin.fileno(), 4096)
                    keys.left = not data  # the terminal is gone
                    guest.machine.type(keys.typed(data))
                self._asked += shell.out
                shell.out.clear()
                while b"\n" in self._asked:
                    line, _, rest = bytes(self._asked).partition(b"\n")
                    self._asked[:] = rest
                    number, _, words = line.decode(errors="replace").partition(" ")
                    shell.write(f"{number} {self._answer(self, words)}\n".encode())
            # whatever ran there: no colour, and a cursor
            self.say("\033[0m\033[?25h\n")

    def say(self, text: str) -> None:
        """Print *text* on the terminal, which is the guest's now."""
        _write(sys.stdout.fileno(), text.replace("\n", "\r\n").encode(errors="replace"))

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file in the guest while it runs; GuestError when it cannot be written."""
        number = self.guest.send_file(path, content, mode)
        while number not in self._done:
            if not select.select([self.guest.machine.agent], [], [], ANSWER_SECONDS)[0]:
                raise GuestTimeout(f"{path} cannot be written in the guest: it does not answer")
            self._receive()
        if error := int(self._done.pop(number)):
            raise GuestError(f"{path} cannot be written in the guest: {os.strerror(error)}")

    def _receive(self) -> None:
        for kind, number, data in self.guest.receive():
            if kind == "done" and data.isdigit():
                self._done[number] = data


def run_script(guest: Guest, script: bytes) -> int:
    """Run the commands *script* in *guest*, below /lab, and return their exit status.

    Their outputs go to ours as they come, and what the kernel logs to stderr.
    Raises GuestCrashed when the guest dies, GuestError when they are more than
    vm.guest.MAX_SENT bytes.
    """
    guest.put(_RC, script)
    process = guest.begin(["/bin/sh", "-c", f"{_START}; exec sh {_RC}"], idle=True)
    process.write(b"")
    guest.machine.on_console = lambda data: _write(sys.stderr.fileno(), data.replace(b"\r", b""))
    guest.machine.cont()
    printed = 0
    while process.result is None:
        guest.receive()
        printed += len(process.out) + len(process.err)
        _write(sys.stdout.fileno(), bytes(process.out))
        _write(sys.stderr.fileno(), bytes(process.err))
        process.out.clear()
        process.err.clear()
    if printed >= MAX_OUTPUT:
        _write(sys.stderr.fileno(), b"\nThey printed more than 1 MiB; the rest is left out.\n")
    guest.machine.stop()
    guest.machine.console()  # what it has said by then is written
    return process.result.value + (128 if process.result.how == "signalled" else 0)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _size() -> tuple[int, int]:
    """Return rows and columns of the terminal, whatever LINES and COLUMNS say."""
    rows, columns = termios.tcgetwinsize(sys.stdin.fileno())
    return rows or 24, columns or 80


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Pass on every key as it is typed; the terminal is as it was afterwards, come what may."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    stops = (signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.signal(stop, signal.default_int_handler) for stop in stops]
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        for stop, handler in zip(stops, handlers, strict=True):
            signal.signal(stop, handler)


@contextlib.contextmanager
def _resized() -> Iterator[int]:
    """Give a file that can be read when the terminal's window has another size."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        yield reading
    finally:
        signal.signal(signal.SIGWINCH, handler)
        signal.set_wakeup_fd(woken)
        os.close(reading)
        os.close(writing)
