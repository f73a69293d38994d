r"""A student's program in the guest: start it, feed it, expect lines of it, and see how it ends.

A check judges in a line::

    program.start("10.0.3.2", port).feed("hello\n").expect("sent 6 bytes").exits(0)

Each step lets the guest run until what it waits for is there, for at most *within* seconds of the
guest's, and raises Unmet or Late with what the program did instead. The program runs as nobody,
in /tmp, with no capability but the exercise's own; what it could use up is bounded
(vm/init/program.c). Its standard input is open until eof(), and what it prints arrives line by
line, as on a terminal.

A check is run twice: with the plain program, which decides what it earns, and then with the one
that has sanitizers, of which only the reports count. So a check that raises in the second run
fails nothing, and the second is left out where the first one was late, where the check has
``@pytest.mark.plain``, and where it has its program watched.
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Callable, Mapping
from typing import NoReturn, Self, TypeVar

import pytest

from checker.engine.testbed import Late, Session, Unmet
from vm.guest import Process, Result

T = TypeVar("T")

CAPABILITIES = {"net_bind_service": 10, "net_admin": 12, "net_raw": 13}
"""What an exercise may give its programs, and the kernel's numbers of them."""

WITHIN = 5.0
"""Guest seconds in which what is expected of a program has to come."""

_MOMENT = 0.05

_EAGER = 500
"""Times that what a program printed is looked at as it comes; then each moment. One that prints
byte by byte without end would cost minutes."""

SLOWER = 5
"""So many times that long has a program with sanitizers."""

_PIECE = 32 << 10

MAX_INPUT = 1 << 20
"""Bytes that wait for a program to read them (MAX_QUEUE of vm/init/agent.c)."""

MAX_OUTPUT = 1 << 20
"""Bytes of a program's output that are read (MAX_OUTPUT of vm/init/agent.c)."""

MAX_WORDS = 100
"""Words of a command line that starts a program (MAX_ARGS of vm/init/agent.c)."""

_SHOWN = 12
"""Lines of its output that a report shows."""

_BY_SIGNAL = {
    signals.SIGSEGV: "it follows a pointer that leads nowhere",
    signals.SIGBUS: "it follows a pointer to where nothing is",
    signals.SIGFPE: "it divides by zero",
    signals.SIGABRT: "the C library found its memory spoilt, or an assert() failed",
    signals.SIGPIPE: "it writes where nobody reads any more",
    signals.SIGSYS: "it made a system call that is not allowed",
    signals.SIGKILL: "the kernel had no more memory, or it was killed",
    signals.SIGXFSZ: "it writes a file of more than 16 MiB",
}


def end_of(result: Result) -> str:
    """Return how a program ended, to stand behind "it": "ends with exit status 1"."""
    if result.how == "exited":
        return f"ends with exit status {result.value}"
    if result.how == "timeout":
        return "does not end"
    why = _BY_SIGNAL.get(signals.Signals(result.value), "") if result.value < 32 else ""
    return f"is killed by {signal_name(result.value)}{f': {why}' if why else ''}"


def signal_name(number: int) -> str:
    """Return a signal's name, as SIGTERM."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Program:
    """A program of the exercise's, called *name*, that checks start as often as they like.

    *file* is what the session has of it; *sanitized*: that it was built with sanitizers.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        file: str,
        *,
        capability: str = "",
        sanitized: bool = False,
    ) -> None:
        self.session = session
        self.name = name
        self.file = file
        self.sanitized = sanitized
        self._capability = CAPABILITIES[capability] if capability else -1

    def start(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        netns: str = "",
        watch: bool = False,
    ) -> Running:
        """Start it in the network namespace *netns*, and return at once.

        With *watch* its system calls are counted, and what it has open when it ends is noted.
        """
        if watch and self.sanitized:
            pytest.skip("a program with sanitizers makes system calls of its own")
        words = [str(argument) for argument in arguments]
        how = ("" if self.sanitized else "l") + ("w" if watch else "") or "-"
        argv = [
            *("/sbin/tool", "program", how, str(self._capability)),
            *(f"{name}={value}" for name, value in (env or {}).items()),
            *(self.session.put(self.file), *words),
        ]
        if len(argv) > MAX_WORDS:
            raise ValueError(f"{self.name} is given {len(words)} arguments, which are too many.")
        self.session.has_run = True
        process = self.session.guest.start(argv, netns=netns, stdin=True)
        return Running(self, process, " ".join([self.name, *words]))


class Running:
    """A program that was started; each step returns it, so that one follows the other."""

    def __init__(self, program: Program, process: Process, command: str) -> None:
        self.process = process
        self.command = command
        self._program = program
        self._guest = program.session.guest
        self._seen = self._looks = 0
        self._read = 0
        self._noted: str | None = None

    # -- what it gets -----------------------------------------------------------------

    def feed(self, text: str | bytes) -> Self:
        """Let *text* be on its standard input, whenever it reads that."""
        data = text.encode() if isinstance(text, str) else text
        if len(data) > MAX_INPUT:
            raise ValueError(f"{len(data)} bytes are too many to feed; at most {MAX_INPUT} are.")
        for at in range(0, len(data), _PIECE):
            self.process.write(data[at : at + _PIECE])
            if at:  # let the guest take it: it is stopped
                self._seen, _ = self.process.more(0, self._seen)
        return self

    def eof(self) -> Self:
        """Let its standard input end."""
        self.process.write(b"")
        return self

    def signal(self, number: int) -> Self:
        """Send a signal to it, and not to what it has started.

        It has a moment before, to wait for what comes next: the signal ends that wait, and would
        be lost on a program that has just printed a line and does not wait yet.
        """
        self._wait_for(lambda: None, _MOMENT)
        self.process.signal(number)
        return self

    # -- what it says -----------------------------------------------------------------

    @property
    def out(self) -> str:
        """What it has printed on standard output so far."""
        return self.process.out.decode(errors="replace")

    @property
    def err(self) -> str:
        """What it has printed on standard error so far."""
        return self.process.err.decode(errors="replace")

    def expect(self, what: str | re.Pattern[str], *, within: float = WITHIN) -> Self:
        """Wait for a line that is *what*, or in which a pattern is found; those before are passed.

        The last line counts without its end, too, once the program has ended.
        """
        self.match(what, within=within)
        return self

    def match(self, what: str | re.Pattern[str], *, within: float = WITHIN) -> re.Match[str]:
        """Do as expect(), and return what was found."""
        pattern = re.compile(rf"{re.escape(what)}\s*\Z") if isinstance(what, str) else what
        find = pattern.match if isinstance(what, str) else pattern.search

        def line() -> re.Match[str] | None:
            text = self.out
            whole = len(text) if self.process.result else text.rfind("\n") + 1
            while self._read < whole:
                end = text.find("\n", self._read, whole)
                said = text[self._read : end if end >= 0 else whole]
                self._read = end + 1 if end >= 0 else whole
                if found := find(said):
                    return found
            return None

        if found := self._wait_for(line, within):
            return found
        shown = what if isinstance(what, str) else f"a line with /{what.pattern}/"
        if self.process.result:
            how = end_of(self.process.result)
            self._unmet(f"`{self.command}` {how} and has not printed: {shown}", shown)
        raise Late(
            f"`{self.command}` does not print within {within:g} seconds: {shown}",
            expected=shown,
            actual=self._last(),
            log=self._said(),
        )

    def silent(self, seconds: float) -> Self:
        """Let the guest run for so long, in which the program prints no line and does not end."""
        before = self.out
        self._wait_for(lambda: self.out != before or None, seconds)
        if self.out != before:
            self._unmet(f"`{self.command}` prints what it should not.", "nothing more")
        if self.process.result:
            how = end_of(self.process.result)
            self._unmet(f"`{self.command}` {how} and should go on.", "it goes on")
        return self

    # -- its end ----------------------------------------------------------------------

    def exits(self, status: int = 0, *, within: float = WITHIN) -> Self:
        """Wait for its end; Unmet when it is not by itself, with exit status *status*."""
        result = self.wait(within=within)
        if (result.how, result.value) != ("exited", status):
            self._unmet(f"`{self.command}` {end_of(result)}.", f"it ends with exit status {status}")
        return self

    def dies(self, number: int, *, within: float = WITHIN) -> Self:
        """Wait for its end; Unmet when that is not by the signal *number*."""
        result = self.wait(within=within)
        if (result.how, result.value) != ("signalled", number):
            self._unmet(
                f"`{self.command}` {end_of(result)}.", f"it is killed by {signal_name(number)}"
            )
        return self

    def wait(self, *, within: float = WITHIN) -> Result:
        """Wait for its end and return how that was; Late, and it is killed, when it does not come.

        So it does for one that prints without end.
        """
        result = self.process.wait(within * self._patience)
        if result.how == "timeout":
            raise Late(
                f"`{self.command}` does not end within {within:g} seconds.",
                expected="it ends",
                actual="it is still running, or waiting for something",
                log=self._said(),
            )
        return result

    # -- what it does -----------------------------------------------------------------

    def open(self) -> dict[int, str]:
        """Return what it has open: descriptor -> what that is, as /proc has it.

        Where it runs that is now; where it was watched and has ended, at its end.
        """
        if self.process.result:
            return self._opened(self._note())
        return self._opened(self._guest.run(["/sbin/tool", "open", str(self.process.pid)]).text)

    def calls(self) -> dict[str, int]:
        """Return how often it did which system call, once it was watched and has ended.

        Those of its threads and children are among them; a name that is not known is a number.
        """
        found = re.findall(r"^call (\w+) (\d+)$", self._note(), re.MULTILINE)
        return {name: int(times) for name, times in found}

    def _opened(self, text: str) -> dict[int, str]:
        found = re.findall(r"^open (\d+) (.*)$", text, re.MULTILINE)
        return {int(number): what for number, what in found}

    def _note(self) -> str:
        if self._noted is None:
            self._noted = self._guest.read(f"/run/program.{self.process.pid}")
        if not self._noted:
            raise ValueError(f"`{self.command}` was not started with watch=True, or goes on.")
        return self._noted

    # -- waiting and telling ----------------------------------------------------------

    @property
    def _patience(self) -> float:
        return SLOWER if self._program.sanitized else 1

    def _wait_for(self, found: Callable[[], T | None], within: float) -> T | None:
        """Let the guest run until *found* returns something, the end comes, or time is over."""
        left = within * self._patience
        while True:
            if (hit := found()) is not None or self.process.result or left <= 0:
                return hit
            self._looks += 1
            if self._looks <= _EAGER:
                self._seen, took = self.process.more(left, self._seen)
            else:
                self._seen, took = self.process.more(min(left, _MOMENT), MAX_OUTPUT)
            left -= took
            if self._seen > MAX_OUTPUT:
                self._unmet(f"`{self.command}` prints without end.", "some lines")

    def _last(self) -> str:
        lines = [line for line in (self.out or self.err).splitlines() if line.strip()]
        return f"its last line is: {lines[-1][:200]}" if lines else "it has printed nothing"

    def _said(self) -> str:
        """Return the end of what it printed, standard error behind standard output."""
        said = []
        for text, mark in ((self.out, ""), (self.err, "stderr: ")):
            said += [f"{mark}{line[:200]}" for line in text[-16384:].splitlines()[-_SHOWN:]]
        return "\n".join(said)

    def _unmet(self, message: str, expected: str) -> NoReturn:
        result = self.process.result
        actual = f"it {end_of(result)}" if result and "status" in expected else self._last()
        raise Unmet(message, expected=expected, actual=actual, log=self._said())
