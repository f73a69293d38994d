"""Single keys from a terminal, without Enter; the terminal is always given back as it was."""

from __future__ import annotations

import contextlib
import sys
import termios
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def cbreak() -> Iterator[int | None]:
    """Let keys come at once and unseen; yield the descriptor to read them from.

    That is None where standard input is no terminal. Ctrl-C stays a signal.
    """
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
