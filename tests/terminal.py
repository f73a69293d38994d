"""knetlab on a terminal of its own, driven with pexpect as a person would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any

import pexpect
from support import ROOT

from checker.kit import console

if TYPE_CHECKING:
    _Spawn = pexpect.spawn[str]  # so say its stubs; at run time it is no generic class
else:
    _Spawn = pexpect.spawn

SECONDS = 120
"""What a guest on a busy host has for a word; a test that waits so long has failed."""

_ESCAPE = r"(?:\x1b\[[0-9;?]*[A-Za-z])"


class Terminal(_Spawn):
    """A command of knetlab's on a terminal; without *keyboard*, its standard input is none."""

    def __init__(self, *arguments: str, rows: int = 30, columns: int = 100, keyboard: bool = True):
        command = [sys.executable, "-m", "checker", *arguments]
        if not keyboard:
            command = ["sh", "-c", 'exec "$@" </dev/null', "sh", *command]
        super().__init__(
            command[0],
            command[1:],
            timeout=SECONDS,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm" if keyboard else "dumb"},
            dimensions=(rows, columns),
            encoding="utf-8",
            codec_errors="replace",
        )
        self.delaybeforesend = None  # it sleeps 50 ms before each key otherwise
        self.printed = ""
        self.found = self.settings()

    def settings(self) -> list[Any]:
        """Return how the terminal is set; found is how it was before anything ran."""
        return termios.tcgetattr(self.child_fd)

    def until(self, text: str) -> str:
        """Wait until *text* comes, whatever its colours are; return what came before it."""
        return self._until(f"{_ESCAPE}*".join(map(re.escape, text)))

    def _until(self, pattern: str) -> str:
        try:
            self.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            why = "did not come" if isinstance(error, pexpect.TIMEOUT) else "is missing at the end"
            raise AssertionError(f"{pattern!r} {why}:\n{self.printed}{self.before}") from None
        self.printed += f"{self.before}{self.after}"
        return re.sub(rf"{_ESCAPE}|\r", "", self.before or "")

    def type(self, keys: str) -> None:
        """Type *keys*."""
        self.send(keys)

    def run(self, command: str) -> str:
        """Run *command* in the guest, whose prompt was seen, and return what it printed."""
        self.type(f"{command}\r")
        return self.until_prompt().partition("\n")[2]

    def until_prompt(self) -> str:
        """Wait for the guest's prompt, in whatever folder; return what came before it."""
        return self._until(console.PROMPT.pattern)

    def ends(self) -> int | None:
        """Wait for the command's end and return its status; None if a signal ended it."""
        # not close(), which sends signals to what is about to end by itself
        self.expect(pexpect.EOF)
        self.printed += self.before or ""
        self.wait()
        return self.exitstatus

    def close(self, force: bool = True) -> None:
        """End the command if it still runs: pexpect alone would kill it after 0.3 seconds."""
        if not self.closed and self.isalive():
            self.kill(signal.SIGTERM)
            with contextlib.suppress(pexpect.TIMEOUT):
                self.expect(pexpect.EOF, timeout=30)
        super().close(force)
