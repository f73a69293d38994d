"""What checks work with: guests for one submission's modules, and the module in one of them."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from checker.model import Build, Exercise, Lab
from vm import snapshot
from vm.errors import GuestError, VMError
from vm.guest import Guest, LogRecord, Process, Result
from vm.image import PayloadFile
from vm.machine import Config

LOAD_SECONDS = 10.0
"""Guest seconds insmod and rmmod have."""

TAINTS = {1 << 7: "died (oops)", 1 << 9: "warned", 1 << 14: "locked up"}
"""Taint bits a module must not cause (Documentation/admin-guide/tainted-kernels.rst)."""


class Unmet(AssertionError):
    """What a check raises when the module did not do what it should.

    *expected* and *actual* are short texts that stand side by side in reports,
    *log* the kernel's lines that show it.
    """

    def __init__(
        self, message: str, *, expected: str = "", actual: str = "", log: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.actual = actual
        self.log = log


class Late(Unmet):
    """Something of the student's did not end within its guest seconds."""


class Picks:
    """Ports, addresses and bytes that a check chose afresh, repeatable from the seed."""

    def __init__(self, seed: int, check: str) -> None:
        self._random = random.Random(f"{seed}/{check}")  # noqa: S311
        self._ports: set[int] = set()

    def port(self) -> int:
        """Return a port not picked before, outside the lab's own and the ephemeral ones."""
        while (port := self._random.randint(20000, 32000)) in self._ports:
            pass
        self._ports.add(port)
        return port

    def loopback(self) -> str:
        """Return an address of 127.0.0.0/8 other than 127.0.0.1, no two of its bytes alike."""
        a, b, c = self._random.sample(range(2, 254), 3)
        return f"127.{a}.{b}.{c}"

    def number(self, low: int, high: int) -> int:
        """Return a whole number from *low* to *high*, both included."""
        return self._random.randint(low, high)

    def token(self, length: int = 12) -> str:
        """Return *length* random lower-case letters."""
        return "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz", k=length))


@dataclass(frozen=True)
class Traces:
    """What a guest's kernel holds that a module could have left there."""

    taint: int
    modules: frozenset[str]
    rest: frozenset[str]

    @classmethod
    def read(cls, guest: Guest) -> Self:
        """Read the taint, the loaded modules, and the lines for majors and open sockets."""
        sections: dict[str, list[str]] = {}
        name = ""
        for line in guest.run(["/bin/head", "-n", "2000", *_TRACES]).text.splitlines():
            if match := re.fullmatch(r"==> (\S+) <==", line):
                name = match[1]
            elif line:
                sections.setdefault(name, []).append(line)
        tainted, modules, devices, *sockets = (sections.get(path, []) for path in _TRACES)
        rows = [row.split()[:4] for table in sockets for row in table[1:]]
        return cls(
            taint=int(tainted[0]) if tainted and tainted[0].isdigit() else 0,
            modules=frozenset(row.split(" ")[0] for row in modules),
            rest=frozenset(devices)
            | {" ".join(row[1:]) for row in rows if len(row) == 4 and row[3] != _TIME_WAIT},
        )


_TRACES = (
    "/proc/sys/kernel/tainted",
    "/proc/modules",
    "/proc/devices",
    "/proc/net/tcp",
    "/proc/net/udp",
)
_TIME_WAIT = "06"

_TAINT_NOTICE = re.compile(r"(loading out-of-tree module|module verification failed).*taint")
"""What the kernel says of every module that is not its own."""


class Module:
    """The module under test, in a guest of its own; one object per check."""

    def __init__(self, guest: Guest, name: str, path: str) -> None:
        self.guest = guest
        self.name = name
        self.path = path
        self.loading: Process | None = None
        self._mark = len(guest.records)
        self._console_mark = len(guest.machine.console())
        self.before = Traces.read(guest)

    # -- loading ----------------------------------------------------------------------

    def try_load(self) -> Result:
        """Run insmod to its end and return its result: *value* is 0 or the errno."""
        result = self.guest.run(["/sbin/tool", "insmod", self.path], deadline=LOAD_SECONDS)
        if result.how == "timeout":
            raise Late(
                f"insmod did not come back within {LOAD_SECONDS:.0f} seconds.",
                expected="the module's init function returns",
                actual="it is still running, or waiting for something",
                log=self.kernel_says(),
            )
        return result

    def load(self) -> None:
        """Load the module; Unmet when insmod fails."""
        result = self.try_load()
        if not result.ok:
            raise Unmet(
                f"The module {self.name} cannot be loaded.",
                expected="insmod succeeds",
                actual=f"insmod fails with {errno_name(result.value)}",
                log=self.kernel_says(),
            )

    def start_load(self) -> Process:
        """Start insmod and do not wait for it: init may block until a client comes."""
        self.loading = self.guest.start(["/sbin/tool", "insmod", self.path])
        return self.loading

    def unload(self) -> None:
        """Remove the module; Unmet when rmmod fails."""
        result = self.guest.run(["/sbin/tool", "rmmod", self.name], deadline=LOAD_SECONDS)
        if not result.ok:
            self._cannot_unload(result)

    def _cannot_unload(self, result: Result) -> NoReturn:
        if result.how == "timeout":
            raise Late(f"rmmod {self.name} did not come back within {LOAD_SECONDS:.0f} seconds.")
        raise Unmet(
            f"The module {self.name} cannot be unloaded.",
            expected="rmmod succeeds",
            actual=f"rmmod fails with {errno_name(result.value)}",
            log=self.kernel_says(),
        )

    @property
    def loaded(self) -> bool:
        """Whether the kernel lists the module, half-loaded ones included."""
        return self.name in Traces.read(self.guest).modules

    def unload_if_loaded(self) -> None:
        """Remove the module if it is there; Unmet when it will not go."""
        result = self.guest.run(["/sbin/tool", "rmmod", self.name], deadline=LOAD_SECONDS)
        if not result.ok and result.value != errno.ENOENT:
            self._cannot_unload(result)

    # -- what it said -----------------------------------------------------------------

    def mark(self) -> int:
        """Return a mark in the kernel log; what is logged later comes after it."""
        self.guest.sync()
        return len(self.guest.records)

    def log(self, since: int | None = None) -> list[LogRecord]:
        """Return what the kernel logged since *since* (else since the check began)."""
        self.guest.sync()
        return self.guest.records[self._mark if since is None else since :]

    def lines(self, text: str, since: int | None = None) -> list[str]:
        """Return the log lines that contain *text*."""
        return [record.text for record in self.log(since) if text in record.text]

    def kernel_says(self, limit: int = 15) -> str:
        """Return the last lines of the log since the check began, as a student would see them."""
        with contextlib.suppress(GuestError):
            self.guest.sync()
        records = self.guest.records[self._mark :]
        records = [r for r in records if not _TAINT_NOTICE.search(r.text)][-limit:]
        return "\n".join(f"[{r.seconds:12.6f}] {r.text}" for r in records)

    def console(self) -> str:
        """Return what came on the serial console since the check began."""
        return self.guest.machine.console()[self._console_mark :]


def errno_name(number: int) -> str:
    """Return an errno as the kernel writes it, with its meaning: EADDRINUSE (Address …)."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


class Testbed:
    """Guests for the exercises of one submission: one each, replaced when it is spoilt."""

    __test__ = False  # not a test class, whatever its name says to pytest

    def __init__(
        self,
        lab: Lab,
        build: Build,
        config: Config,
        files: Mapping[str, PayloadFile],
        *,
        jobs: int = 2,
        keep: Path | None = None,
    ) -> None:
        self.lab = lab
        self.build = build
        self.config = config
        self._files = files
        self._keep = keep
        self._kept = 0
        self._guests: dict[int, Future[tuple[Guest, contextlib.ExitStack]]] = {}
        # its threads live as long as the guests: bubblewrap dies with the thread that made it
        self._pool = ThreadPoolExecutor(jobs)
        self._closed = threading.Event()

    def prepare(self, exercise: Exercise) -> None:
        """Begin to start a guest for *exercise* in the background."""
        if exercise.number not in self._guests:
            self._guests[exercise.number] = self._pool.submit(self._start, exercise.module)

    def _start(self, name: str) -> tuple[Guest, contextlib.ExitStack]:
        module = self.lab.module(name)
        ko = self.build.module(name).ko
        assert ko is not None
        payload = {**self._files, f"{module.folder}/{name}.ko": PayloadFile(ko)}
        with contextlib.ExitStack() as stack:
            if self._closed.is_set():
                raise VMError("The run was stopped.")
            guest = stack.enter_context(snapshot.guest(self.config, payload))
            return guest, stack.pop_all()

    def module(self, exercise: Exercise) -> Module:
        """Return the module of *exercise* in a living guest; VMError when none can be had."""
        self.prepare(exercise)
        guest, _ = self._guests[exercise.number].result()
        module = self.lab.module(exercise.module)
        return Module(guest, module.name, f"/lab/{module.folder}/{module.name}.ko")

    def spoil(self, number: int) -> None:
        """Throw the guest of exercise *number* away; the next check gets a fresh one."""
        future = self._guests.pop(number, None)
        if future is not None and not future.cancel():
            with contextlib.suppress(Exception):  # it was told when the guest was asked for
                guest, stack = future.result()
                with stack:
                    self._keep_evidence(number, guest)

    def _keep_evidence(self, number: int, guest: Guest) -> None:
        """Write the guest's console and capture to the folder that was asked for."""
        if self._keep is None:
            return
        self._kept += 1
        name = f"exercise-{number}-guest-{self._kept}"
        (self._keep / f"{name}-console.log").write_text(guest.machine.console())
        (self._keep / f"{name}.pcap").write_bytes(guest.machine.capture())

    def close(self) -> None:
        """End all guests."""
        self._closed.set()
        for number in list(self._guests):
            self.spoil(number)
        self._pool.shutdown()
