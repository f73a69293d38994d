"""Single keys from a terminal, without Enter; the terminal is always given back as it was.

Ctrl-Z gives it back, too: a shell takes it as it finds it, and what `fg` gives is set anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def cbreak() -> Iterator[int | None]:
    """Let keys come at once and unseen; yield the descriptor to read them from.

    That is None where standard input is no terminal. Ctrl-C stays a signal, and Ctrl-Z stops
    the process with the terminal as it was; both are for the main thread.
    """
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def stop(_: int, __: FrameType | None) -> None:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        os.kill(os.getpid(), signal.SIGSTOP)

    def go_on(_: int, __: FrameType | None) -> None:
        # after `bg` this stops the process again (SIGTTOU) until `fg`: it needs the terminal, and
        # a shell sends no SIGCONT to what runs already
        with contextlib.suppress(termios.error):  # nobody is there to say fg
            tty.setcbreak(fd, termios.TCSANOW)

    handlers = {signal.SIGTSTP: stop, signal.SIGCONT: go_on}
    found = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        yield fd
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
