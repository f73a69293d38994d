"""Helpers of the tests: the lab's paths, a student's folder, an eye on processes."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vm import debian, kernel
from vm.kernel import Kernel

ROOT = Path(__file__).parents[1]
SOLUTION = ROOT / "labs" / "networking" / "solution"
SOURCES = (
    "1-2-netfilter/kernel/filter.c",
    "3-4-tcp-sock/tcp_sock.c",
    "5-udp-sock/udp_sock.c",
)
"""What a student of the networking lab hands in."""


ENDLESS = (
    "#define M0 int x;\n"
    + "".join(f"#define M{n} {f'M{n - 1} ' * 10}\n" for n in range(1, 10))
    + "M9\n"
)
"""C that keeps the compiler for as long as it has memory: 10^9 declarations."""


FINDERS = {"stock": kernel.stock_if_there, "debug": kernel.debug_if_built}


def _cases() -> Iterator[Any]:
    """Yield each kernel's name; slow are all but the host's own two and the newest one."""
    for release in debian.SUITES:
        for kind in FINDERS:
            fast = release == debian.default_release() or (release, kind) == ("sid", "stock")
            marks = () if fast else pytest.mark.slow
            yield pytest.param(f"{kind} {release}", marks=marks, id=f"{release}-{kind}")


KERNELS = list(_cases())
"""The kernels that a test may be run on if they are in the cache: ``-m slow`` for most."""


def in_the_cache(name: str) -> Kernel:
    """Return the kernel that KERNELS calls *name*; the test is skipped if it is not there."""
    kind, release = name.split()
    on = FINDERS[kind](release)
    if on is None:
        pytest.skip(f"the {kind} kernel of Debian {release} is not in the cache")
    return on


class Student:
    """A folder with a copy of the solution's sources, to be spoilt by a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """Return the one source file called *name*, with its folder or without."""
        (source,) = (s for s in SOURCES if f"/{s}".endswith(f"/{name}"))
        return self.path / source

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace *old*, which must stand there once, in the source file *name*."""
        path = self.file(name)
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))


def all_end(pidfds: list[int], seconds: float = 20) -> bool:
    """Wait until the processes behind *pidfds* have ended; tell whether they did in time."""
    deadline = time.monotonic() + seconds
    waiting = set(pidfds)
    while waiting and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(list(waiting), [], [], left)
        waiting -= set(ready)
    for fd in pidfds:
        os.close(fd)
    return not waiting
