"""What checks work with: guests for one submission, a check's session with one, its module."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Self

from checker.engine.owner import owner
from checker.engine.way import Packet, Recording
from checker.model import Build, Exercise, Lab, ModuleBuild, Names, ProgramBuild
from checker.words import kernel_log
from checker.words.kernel_reports import is_noise
from checker.words.symbols import Symbols
from vm import snapshot
from vm.errors import GuestError
from vm.guest import Guest, LogRecord, Process, Result
from vm.image import PayloadFile
from vm.machine import Config

LOAD_SECONDS = 10.0
"""Guest seconds insmod and rmmod have."""

TAINTS = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14
"""Taint a module must not cause: bad page, oops, warning, lock-up.

Documentation/admin-guide/tainted-kernels.rst has the bits.
"""


SANITIZED = ".sanitized"
"""What a program's file is called besides, in a guest, where it was built with sanitizers."""


class Unmet(AssertionError):
    """What a check raises when the module did not do what it should.

    *expected* and *actual* are short texts that stand side by side in reports,
    *log* the kernel's lines that show it. *hint* is the next step, with the likely
    mistake where the evidence names it; without one the exercise's own stands.
    *packets* are those it is about: the way of the first that was lost is then told, or of
    the first (checker/engine/way.py).
    """

    def __init__(
        self,
        message: str,
        *,
        expected: str = "",
        actual: str = "",
        log: str = "",
        hint: str = "",
        packets: Sequence[Packet] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.actual = actual
        self.log = log
        self.hint = hint
        self.packets = tuple(packets)


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
    awake: frozenset[str]
    rest: frozenset[str]

    @classmethod
    def of(cls, guest: Guest) -> Self:
        """Return what the kernel of *guest* holds now."""
        return cls.read(guest.run(["/sbin/tool", "traces", *_TRACES]).text)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the taint, the loaded modules, what watches, and the rest.

        That is the majors, the open sockets, and what is set up of the network: links,
        addresses, routes, nft tables.

        *text* is what `tool traces` prints: files, each behind a line ==> PATH <==.
        """
        sections: dict[str, list[str]] = {}
        name = ""
        for line in text.splitlines():
            if match := re.fullmatch(r"==> (\S+) <==", line):
                name = match[1]
            elif line:
                sections.setdefault(name, []).append(line)
        found = (sections.get(path, []) for path in _TRACES)
        tainted, modules, awake, devices, net, *sockets = found
        rows = [row.split()[:4] for table in sockets for row in table[1:]]
        return cls(
            taint=int(tainted[0]) if tainted and re.fullmatch(r"[0-9]{1,9}", tainted[0]) else 0,
            modules=frozenset(row.split(" ")[0] for row in modules),
            awake=frozenset(" ".join(awake).split()),
            rest=frozenset(devices)
            | frozenset(net)
            | {" ".join(row[1:]) for row in rows if len(row) == 4 and row[3] != _TIME_WAIT},
        )


_TRACES = (
    "/proc/sys/kernel/tainted",
    "/proc/modules",
    "/sys/module/witness/parameters/awake",
    "/proc/devices",
    "net",
    "/proc/net/tcp",
    "/proc/net/udp",
)
_TIME_WAIT = "06"

_TAINT_NOTICE = re.compile(r"(loading out-of-tree module|module verification failed).*taint")
"""What the kernel says of every module that is not its own."""


class Session:
    """One check's use of a guest: what the kernel says during it, and what must be left of it.

    *files* are those of the submission's builds, by their paths below /lab. Each is put into
    the guest when its path is first asked for: a guest that goes before that has no code of
    the submission's in it. *before* is what the guest's kernel held when it was fresh.
    *has_run*: whether a program of the student's was started. *remarks* are what remark() got.
    *whose*: see business_of().
    """

    def __init__(self, guest: Guest, before: Traces, files: Mapping[str, PayloadFile]) -> None:
        self.guest = guest
        self.before = before
        self.files = files
        self.has_run = False
        self.whose = 0
        self.remarks: list[str] = []
        self._mark = len(guest.records)
        self._console_mark = len(guest.machine.console())

    @property
    def has_code(self) -> bool:
        """Whether the guest has code of the submission's: what it does now may be its doing."""
        return not self.files.keys().isdisjoint(self.guest.files)

    def remark(self, text: str) -> None:
        """Tell the student of something that works, and would be better otherwise.

        *text* is a sentence or two: what was seen, and what to write instead. It costs no
        point, and is told where the check passes, and only there.
        """
        if text and text not in self.remarks:
            self.remarks.append(text)

    def put(self, file: str) -> str:
        """Put *file*, one of the session's, into the guest if it is not there; return its path."""
        if file not in self.guest.files:
            self.guest.unpack({file: self.files[file]})
        return f"/lab/{file}"

    def tidy(self) -> Traces:
        """Return what was left in the guest; a sysctl that was changed is told among the rest."""
        return self._left(Traces.of(self.guest))

    def _left(self, left: Traces) -> Traces:
        settings = self.guest.settings
        for (netns, path), before in list(settings.items()):
            if self.guest.read(path, netns) == before:  # later checks need not look again
                del settings[netns, path]
        changed = frozenset(f"sysctl {netns or '-'} {path}" for netns, path in settings)
        return replace(left, rest=left.rest | changed)

    def sweep(self) -> tuple[str, str]:
        """End what nobody runs in the guest and remove nobody's files.

        Return what sanitizers have reported, and lines on what is left all the same.
        """
        if not self.has_run:
            return "", ""
        reports = self.guest.run(["/sbin/tool", "reports"])
        left = self.guest.run(["/sbin/tool", "sweep"])
        return reports.text, left.text if left.ok else f"{left.text}sweep {left.how}\n"

    # -- what the kernel said ---------------------------------------------------------

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
        told = (
            r
            for r in records
            if r.text and not _TAINT_NOTICE.search(r.text) and not is_noise(r.text)
        )
        records = list(told)[-limit:]
        return "\n".join(f"[{r.seconds:12.6f}] {r.text}" for r in records)

    def logged(self) -> str:
        """Return what is known of the log since the check began, as text."""
        return "\n".join(record.text for record in self.guest.records[self._mark :])

    def console(self) -> str:
        """Return what came on the serial console since the check began."""
        return self.guest.machine.console()[self._console_mark :]

    @contextlib.contextmanager
    def business_of(self, exercise: int) -> Iterator[None]:
        """Do what another exercise is about: what the kernel reports then is that one's business.

        Of a report that lies in a function of one exercise (lab.toml), that one pays in any
        case. What was reported before the block is in another check of this exercise, too.
        """
        self.whose = exercise
        yield
        self.guest.sync()
        names = Names({})
        if not kernel_log.findings(self.console(), kernel_log.NO_MODULE, kernel_log.nowhere, names):
            self.whose = 0


_STACKS = "for process in /proc/[0-9]*; do echo; cat $process/stack; done"
"""Prints the stacks of all processes in the guest, with a blank line before each."""

_FRAME = re.compile(
    r"(?P<function>[\w.]+)\+0x(?P<offset>[0-9a-f]{1,8})/0x[0-9a-f]+ \[(?P<module>\w+)[^\]]*\]"
)


def _at(place: str) -> str:
    return f": it is at {place}" if place else ""


class Module(Session):
    """The module under test, called *name*, whose file is *file*; one object per check.

    *is_ours* tells of a line ("filter.c:41") whether it is in a function of the exercise
    that is checked, or of another one; None where it is in nobody's. *hung*: whether a guest
    hung with the module in an earlier check, or kept it. *release* is that of the guest's
    kernel. *sources* are the student's files that it is made of, path -> text.
    """

    def __init__(
        self,
        guest: Guest,
        before: Traces,
        files: Mapping[str, PayloadFile],
        name: str,
        file: str,
        *,
        symbols: Symbols | None = None,
        is_ours: Callable[[str], bool | None] = lambda _: None,
        hung: bool = False,
        release: str = "",
        sources: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(guest, before, files)
        self.name = name
        self.file = file
        self.symbols = symbols
        self.is_ours = is_ours
        self.loading: Process | None = None
        self.hung = hung
        self.release = release
        self.sources = sources or {}

    @property
    def path(self) -> str:
        """Where the module's file lies in the guest, which has it from now on."""
        return self.put(self.file)

    # -- loading ----------------------------------------------------------------------

    def try_load(self, parameters: str = "") -> Result:
        """Run insmod to its end and return its result: *value* is 0 or the errno.

        *parameters* are the module's, as insmod takes them: "port=5353 limit=3".
        """
        argv = ["/sbin/tool", "insmod", self.path, parameters]
        result = self.guest.run(argv, deadline=LOAD_SECONDS)
        if result.how == "timeout":
            place = self._place()
            raise Late(
                f"insmod did not come back within {LOAD_SECONDS:.0f} seconds{_at(place)}.",
                expected="the module's init function returns",
                actual=place or "it is still running or waiting",
                log=self.kernel_says(),
            )
        return result

    def load(self, parameters: str = "") -> None:
        """Load the module; Unmet when insmod fails."""
        result = self.try_load(parameters)
        if not result.ok:
            raise Unmet(
                f"The module {self.name} cannot be loaded.",
                expected="insmod succeeds",
                actual=f"insmod is killed by signal {result.value}"
                if result.how == "signalled"
                else f"insmod fails with {errno_name(result.value)}",
                log=self.kernel_says(),
            )

    def start_load(self, parameters: str = "") -> Process:
        """Start insmod and do not wait for it: init may block until a client comes."""
        self.loading = self.guest.start(["/sbin/tool", "insmod", self.path, parameters])
        return self.loading

    def unload(self) -> None:
        """Remove the module; Unmet when rmmod fails."""
        result = self.guest.run(["/sbin/tool", "rmmod", self.name], deadline=LOAD_SECONDS)
        if not result.ok:
            self._cannot_unload(result)

    def _cannot_unload(self, result: Result) -> NoReturn:
        if result.how == "timeout":
            place = _at(self._place())
            raise Late(
                f"rmmod {self.name} did not come back within {LOAD_SECONDS:.0f} seconds{place}."
            )
        raise Unmet(
            f"The module {self.name} cannot be unloaded.",
            expected="rmmod succeeds",
            actual=f"rmmod fails with {errno_name(result.value)}",
            log=self.kernel_says(),
        )

    def _place(self) -> str:
        """Return where in the module insmod or rmmod is now, as the kernel has its stack, or "".

        Kernels from 6.13 on take the processor from code of the kernel that loops: the guest
        goes on, and nobody reports a lockup.
        """
        if self.guest.dead:
            return ""
        stacks = self.guest.run(["/bin/sh", "-c", _STACKS]).text.split("\n\n")
        loading = next((s for s in stacks if "do_init_module" in s or "delete_module" in s), "")
        for frame in _FRAME.finditer(loading):
            if frame["module"] == self.name:
                function, offset = frame["function"], int(frame["offset"], 16)
                line = self.symbols.locate(function, max(offset - 1, 0)) if self.symbols else ""
                return f"{line}, in {function}()" if line else f"{function}()"
        return ""

    @property
    def loaded(self) -> bool:
        """Whether the kernel lists the module, half-loaded ones included."""
        return self.name in Traces.of(self.guest).modules

    def tidy(self) -> Traces:
        """Remove the module if it is there, and return what it left; Unmet when it will not go.

        A sysctl that was changed and not put back is told among the rest.
        """
        argv = ["/sbin/tool", "tidy", self.name, *_TRACES]
        result = self.guest.run(argv, deadline=LOAD_SECONDS)
        if not result.ok and result.value != errno.ENOENT:
            self._cannot_unload(result)
        return self._left(Traces.read(result.text))


def errno_name(number: int) -> str:
    """Return an errno as the kernel writes it, with its meaning: EADDRINUSE (Address …)."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


class Testbed:
    """The guest of one exercise of a submission, replaced when it is spoilt.

    While *records* is set a new guest has its packets recorded, from before it has any code
    of the submission.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    def __init__(
        self,
        lab: Lab,
        exercise: Exercise,
        build: Build,
        config: Config,
        *,
        sources: Mapping[str, str] | None = None,
        keep: Path | None = None,
    ) -> None:
        self.lab = lab
        self.exercise = exercise
        self.build = build
        self.config = config
        self.hung = False
        self.records = False
        self.recording: Recording | None = None
        self._sources = sources or {}
        self.names = Names(self._sources)
        self._keep = keep
        self._kept = 0
        self._stack = contextlib.ExitStack()
        self._guest: Guest | None = None
        self._before: Traces | None = None
        self.symbols = self._symbols()

    def _symbols(self) -> Symbols | None:
        """Return the debug information of the exercise's module, if it has one that is built."""
        module = self.lab.module(self.exercise)
        debug = self.build.module(module.name).debug if module else None
        return Symbols(debug, self.config.kernel.tools.system, self.names) if debug else None

    def session(self) -> Session:
        """Return a session with a living guest; VMError when none can be had.

        It is a Module where the exercise is about one.
        """
        if self._guest is None:
            self._guest = self._stack.enter_context(snapshot.guest(self.config, {}))
            self.recording = Recording(self._guest) if self.records else None
        if self._before is None:
            self._before = Traces.of(self._guest)
        files = self._files()
        module = self.lab.module(self.exercise)
        if module is None:
            return Session(self._guest, self._before, files)
        return Module(
            self._guest,
            self._before,
            files,
            module.name,
            module.file,
            symbols=self.symbols,
            is_ours=functools.partial(self._is_ours, module.name),
            hung=self.hung,
            release=self.config.kernel.release,
            sources={path: self._sources.get(path, "") for path in module.files},
        )

    def _files(self) -> dict[str, PayloadFile]:
        """Return what was built for the exercise, by its path below /lab."""
        files = {}
        for target in self.lab.targets(self.exercise):
            made = self.build.target(target.name)
            content = made.ko if isinstance(made, ModuleBuild) else made.plain
            assert content is not None
            files[target.file] = PayloadFile(content, executable=target.kind == "program")
            if isinstance(made, ProgramBuild) and made.sanitized:
                files[target.file + SANITIZED] = PayloadFile(made.sanitized, executable=True)
        return files

    def _is_ours(self, build: str, location: str) -> bool | None:
        whose = owner(self.lab.exercises, build, location, self._sources)
        return None if whose is None else whose == self.exercise.number

    def spoil(self) -> None:
        """Throw the guest away; the next check gets a fresh one."""
        if self._guest is not None and self._keep is not None and self.recording is None:
            self._kept += 1
            name = f"exercise-{self.exercise.number}-guest-{self._kept}"
            (self._keep / f"{name}-console.log").write_text(self._guest.machine.console())
            (self._keep / f"{name}.pcap").write_bytes(self._guest.machine.capture())
        self._guest = self._before = self.recording = None
        self._stack.close()
