"""A running guest: commands with deadlines in guest seconds, files in, the kernel's log.

The agent in the guest (vm/init/agent.c) is spoken to in frames. Between
commands the guest is stopped, so that its clock stands still while the host
thinks. Whatever a guest says may be forged by the module under test: results
are evidence for the caller to compare with what it chose, never verdicts.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import select
import signal
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from vm.errors import (
    GuestCrashed,
    GuestError,
    GuestFlooded,
    GuestLost,
    GuestSpins,
    GuestTimeout,
    GuestUnready,
    VMError,
)
from vm.image import PayloadFile, archive
from vm.machine import Config, Machine
from vm.pulse import Pulse

BOOT_WALL_SECONDS = 120.0
"""Wall seconds a cold boot may take on a slow and busy host."""

KVM_BOOT_WALL_SECONDS = 20.0
"""The same under KVM, which on nested hosts opens, runs a little, and hangs."""

BACKSTOP_SECONDS = 20.0
"""CPU seconds of QEMU that a command may cost beyond what its guest seconds can."""

PER_GUEST_SECOND = 6.0
"""CPU seconds of QEMU that one guest second may cost under TCG, mdelay() and the like included."""

STARVED = 5
"""So many wall seconds count as a CPU second of QEMU, should it get less; without TCG, one does."""

LOOK_SECONDS = 0.2
"""Wall seconds after which a guest that says nothing is looked at."""

STEPS = 5
"""A command that works in steps has at most so many times the CPU time that one of them has."""

MAX_FRAME = 8 << 20

MAX_SENT = 64 << 10
"""Bytes that can be sent to a guest at once."""

MAX_BYTES_PER_COMMAND = 16 << 20

MAX_CONSOLE_PER_COMMAND = 512 << 10
"""Bytes of console output, about 8000 lines, after which a guest is given up as flooding."""

SYSCTLS = "/proc/sys/"
"""Where a guest has its sysctls."""

_FORGED = "the module wrote on the host's command channel"

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How bubblewrap ends when it, or the QEMU inside it, was killed."""

How = Literal["exited", "signalled", "timeout"]


@dataclass(frozen=True)
class Result:
    """How a command in the guest ended: *value* is its exit status or its signal."""

    argv: tuple[str, ...]
    how: How
    value: int
    out: bytes
    err: bytes
    guest_seconds: float

    @property
    def ok(self) -> bool:
        """Whether it exited with status 0."""
        return self.how == "exited" and self.value == 0

    @property
    def text(self) -> str:
        """What it printed on standard output, as text."""
        return self.out.decode(errors="replace")

    @property
    def stuck(self) -> bool:
        """Whether it was killed at its deadline and did not even die of that."""
        return self.how == "timeout" and self.value == 1


@dataclass(frozen=True)
class LogRecord:
    """One record of the kernel log (Documentation/ABI/testing/dev-kmsg); seconds since boot."""

    level: int
    sequence: int
    seconds: float
    text: str


def parse_kmsg(record: str) -> LogRecord | None:
    """Read one /dev/kmsg record, bytes that it escapes (all but plain ASCII) as UTF-8.

    None if it is not one.
    """
    head, _, rest = record.partition(";")
    fields = head.split(",")
    try:
        priority, sequence, microseconds = (int(f) for f in fields[:3])
    except ValueError:
        return None
    text = rest.split("\n", 1)[0]
    raw = re.sub(
        rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode(errors="replace")
    )
    return LogRecord(priority & 7, sequence, microseconds / 1e6, raw.decode(errors="replace"))


@dataclass
class Process:
    """A command that was started and not waited for."""

    guest: Guest
    id: int
    argv: tuple[str, ...]
    pid: int = 0  # once start() has returned; 0: there is none
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    result: Result | None = None

    def wait(self, deadline: float = 10.0) -> Result:
        """Let the guest run until this process ends, for at most *deadline* guest seconds."""
        return self.guest._wait(self, deadline)

    def write(self, data: bytes) -> None:
        """Send *data* to its standard input; no data closes it."""
        self.guest._send("stdin", self.id, data)

    def more(self, seconds: float, seen: int) -> tuple[int, float]:
        """Let the guest run until this process has printed more than *seen* bytes, or ends.

        Or until *seconds* of the guest are over. Return how many bytes it has printed by then,
        on both of its outputs, and how many seconds that took.
        """
        return self.guest._more(self, seconds, seen)

    def signal(self, number: int) -> None:
        """Send the process itself a signal, and nothing to those that it started."""
        self.guest._send("signal", self.id, str(number).encode())

    def kill(self, deadline: float = 5.0) -> Result:
        """Kill it and return how it ended."""
        self.guest._send("kill", self.id, b"9")
        return self.wait(deadline)


class _Clock:
    """How long a guest has taken: CPU seconds of the QEMU of *machine*; wall seconds without one.

    They are looked at five times a second, so that a command that ends at once costs no look.
    """

    def __init__(self, machine: Machine | None) -> None:
        self._machine = machine
        self._started = self._looked = time.monotonic()
        self._used: float | None = None
        self._spent = 0.0

    def spent(self) -> float:
        """Return the seconds so far, as of the last look."""
        now = time.monotonic()
        if self._machine is None:
            return now - self._started
        if now >= self._looked + LOOK_SECONDS:
            self._looked = now
            cpu = self._machine.cpu_seconds()
            self._used = cpu if self._used is None else self._used
            self._spent = max(cpu - self._used, (now - self._started) / STARVED)
        return self._spent


class Guest:
    """A guest that answers. Use it as a context manager: ``with Guest.boot(config) as guest:``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.records: list[LogRecord] = []
        self.lost_log = False
        self.dead: GuestError | None = None
        self.files: set[str] = set()  # at /lab, by unpack()
        self.settings: dict[tuple[str, str], str] = {}  # by setting()
        self._nonce = "0"
        self._buffer = bytearray()
        self._next_id = 1
        self._processes: dict[int, Process] = {}
        self._clock_ms = 0
        self._log_is_whole = False  # nothing ran since the log was fetched

    @classmethod
    @contextlib.contextmanager
    def boot(cls, config: Config, payload: Mapping[str, PayloadFile]) -> Iterator[Self]:
        """Boot a guest cold, with *payload* unpacked at /lab, and yield it stopped.

        Raises VMError when QEMU does not start, GuestUnready when the guest does not come up.
        """
        with Machine(config) as machine:
            guest = cls.greet(machine, {**config.files, **payload})
            guest.load_modules()
            yield guest

    @classmethod
    def greet(cls, machine: Machine, payload: Mapping[str, PayloadFile]) -> Self:
        """Return the guest in *machine*, once it answers and has *payload* at /lab."""
        guest = cls(machine)
        guest.hello()
        if payload:
            try:
                guest.unpack(payload)
            except GuestError as error:
                raise GuestUnready(f"The guest does not take its files: {error}.") from error
        return guest

    def hello(self) -> None:
        """Give the guest its nonce, clock and entropy, before any code of a submission runs."""
        self._nonce = secrets.token_hex(16)
        payload = str(int(time.time())).encode() + b"\0" + os.urandom(64)
        kvm = self.machine.config.accel == "kvm"
        try:
            self._send("hello", 0, payload)
            seconds = KVM_BOOT_WALL_SECONDS if kvm else BOOT_WALL_SECONDS
            self._ask("ready", 0, seconds, boots=True)
        except GuestError as error:
            tail = "\n".join(self.machine.console().splitlines()[-15:])
            raise GuestUnready(f"The guest did not start: {error}.\n{tail}") from error

    def unpack(self, files: Mapping[str, PayloadFile]) -> None:
        """Put *files* below /lab; VMError when they are too many, GuestError when it dies.

        A submission's code may run in it already, and is then what ends it.
        """
        packed = archive(files)
        if len(packed) > MAX_FRAME:
            raise VMError(f"The guest's files are {len(packed)} bytes; it takes {MAX_FRAME}.")
        if self.dead:
            raise self.dead
        self.machine.cont()  # so that it reads: they are more than the socket holds
        self.machine.agent.settimeout(BOOT_WALL_SECONDS)
        self._send_whole("payload", 0, packed)
        self.machine.agent.settimeout(None)
        self._ask("done", 0, BOOT_WALL_SECONDS, boots=True)
        self.files |= files.keys()

    def load_modules(self) -> None:
        """Load what the machine's configuration names; GuestUnready when the kernel refuses it."""
        for path in self.machine.config.modules:
            loaded = self.run(["/sbin/tool", "insmod", f"/lab/{path}"])
            if not loaded.ok:
                raise GuestUnready(f"{path} cannot be loaded in the guest: {loaded.err.decode()}")

    # -- frames -----------------------------------------------------------------------

    def _send(self, kind: str, number: int, data: bytes) -> None:
        if self.dead:
            raise self.dead
        if len(data) > MAX_SENT:  # more would wait for a guest that is stopped
            raise GuestError(f"{len(data)} bytes are too much to send at once.")
        self._send_whole(kind, number, data)

    def _send_whole(self, kind: str, number: int, data: bytes) -> None:
        try:
            self.machine.agent.sendall(
                f"{self._nonce} {kind} {number} {len(data)}\n".encode() + data
            )
        except TimeoutError as error:
            seconds = self.machine.agent.gettimeout()
            self.dead = GuestTimeout(f"it did not read them within {seconds:.0f} s of this host")
            raise self.dead from error
        except OSError as error:
            raise self._crashed() from error

    def _crashed(self, why: str = "") -> GuestError:
        """Return how the guest went; raises GuestLost when something outside ended its QEMU."""
        if self.machine.end_status(5) in _KILLED:
            self.dead = GuestCrashed("its QEMU was killed by another process")
            raise GuestLost("QEMU was killed by another process. Is there enough memory?")
        events = self.machine.events
        if "GUEST_PANICKED" in events:
            why = "the guest's kernel panicked"
        elif "SHUTDOWN" in events or "RESET" in events:
            why = "the guest was reset or shut down"
        self.dead = GuestCrashed(why or "the guest's QEMU process ended")
        return self.dead

    def _frames(
        self, seconds: float, step: float, also: int | None = None, *, boots: bool = False
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield frames as they come, GuestCrashed at the end.

        GuestTimeout after *seconds*, when none comes for *step* seconds, or when the guest
        hangs (vm/pulse.py). The seconds are CPU seconds of QEMU; wall seconds if the guest
        *boots*, or has no virtual time. A frame of no kind says that the file *also* can be read.
        """
        files = [self.machine.agent.fileno(), *([] if also is None else [also])]
        taken = 0
        printed = self.machine.printed()
        watched = self.machine.config.virtual_time and not boots
        pulse = Pulse(self.machine) if watched else None
        clock = _Clock(self.machine if watched else None)
        until = min(seconds, step)
        while True:
            if self.machine.printed() - printed > MAX_CONSOLE_PER_COMMAND:
                self.dead = GuestFlooded("the kernel log is flooded")
                raise self.dead
            for frame in self._whole_frames():
                until = min(seconds, clock.spent() + step)
                yield frame
            left = until - clock.spent()
            if left <= 0:
                raise self._hung(pulse)
            ready, _, _ = select.select(files, [], [], min(LOOK_SECONDS, left))
            if ready and pulse:
                pulse.moved()
            if also in ready:
                yield "", 0, b""
            if files[0] in ready:
                taken += self._fill()
                if taken > MAX_BYTES_PER_COMMAND:
                    raise self._crashed("the guest sent more than a command can answer")
            elif "GUEST_PANICKED" in self.machine.events and self.machine.wait_end(5):
                raise self._crashed()
            elif "SUSPEND" in self.machine.events:
                raise self._crashed("the guest put itself to sleep")
            elif not ready and pulse and pulse.stopped():
                raise self._hung(pulse)

    def _fill(self) -> int:
        """Wait for bytes from the guest and return how many came; GuestCrashed at its end."""
        try:
            data = self.machine.agent.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            raise self._crashed()
        self._buffer += data
        return len(data)

    def _whole_frames(self) -> Iterator[tuple[str, int, bytes]]:
        """Take the frames out of the buffer that are there to their last byte."""
        while (eol := self._buffer.find(b"\n", 0, 128)) >= 0:
            head = bytes(self._buffer[:eol]).split(b" ")
            whole = self._length(head)
            if whole is None:
                raise self._crashed(_FORGED)
            if len(self._buffer) < eol + 1 + whole:
                return
            data = bytes(self._buffer[eol + 1 : eol + 1 + whole])
            del self._buffer[: eol + 1 + whole]
            yield head[1].decode(), int(head[2]), data
        if len(self._buffer) > 128:
            raise self._crashed(_FORGED)

    def _length(self, head: list[bytes]) -> int | None:
        """Return the payload length that a frame's head announces, None if it is not a head."""
        right = len(head) == 4 and head[0] == self._nonce.encode() and head[1].isalpha()
        if not right or not head[2].isdigit() or not head[3].isdigit():
            return None
        length = int(head[3])
        return length if length <= MAX_FRAME else None

    def _hung(self, pulse: Pulse | None) -> GuestError:
        """Ask by NMI where the guest's processor is, unless in a program; give the guest up."""
        if pulse and pulse.in_program:
            self.dead = GuestSpins("a program in the guest runs forever")
            return self.dead
        with contextlib.suppress(VMError):
            self.machine.execute("inject-nmi")
            self.machine.wait_end(10)
        self.dead = GuestTimeout("the guest's kernel hangs and does not answer")
        return self.dead

    def _ask(
        self,
        answer: str,
        number: int,
        seconds: float,
        step: float | None = None,
        *,
        boots: bool = False,
    ) -> bytes:
        """Let the guest run until the frame *answer* for *number* comes, and return it.

        *step*: seconds that may pass without any frame, if not all of them. They are as in _frames.
        """
        if self.dead:
            raise self.dead
        try:
            self.machine.cont()
            step = seconds if step is None else step
            for kind, ident, data in self._frames(seconds, step, boots=boots):
                self._note(kind, ident, data)
                if kind == answer and ident == number:
                    break
            self.machine.stop()
            self._log_is_whole = answer == "exit"  # the agent sends the log before it
        except VMError as error:
            if isinstance(error, GuestError):
                raise
            raise self._crashed() from error
        return data

    def _note(self, kind: str, number: int, data: bytes) -> None:
        process = self._processes.get(number)
        if kind == "log":
            for text in data.split(b"\0"):
                if record := parse_kmsg(text.decode(errors="replace")):
                    self.records.append(record)
        elif kind == "lost":
            self.lost_log = True
        elif process and kind == "out":
            process.out += data
        elif process and kind == "err":
            process.err += data
        elif process and kind == "exit":
            self._finish(process, data)

    def _finish(self, process: Process, data: bytes) -> None:
        ended = re.fullmatch(rb"(exited|signalled|timeout) (\d{1,3}) (\d{1,15})", data)
        if ended is None:
            raise self._crashed(_FORGED)
        hows: dict[bytes, How] = {b"exited": "exited", b"signalled": "signalled"}
        value, milliseconds = int(ended[2]), int(ended[3])
        out, err = bytes(process.out), bytes(process.err)
        how = hows.get(ended[1], "timeout")
        process.result = Result(process.argv, how, value, out, err, milliseconds / 1000)
        del self._processes[process.id]

    # -- commands ---------------------------------------------------------------------

    def _spawn(self, argv: Sequence[str], flags: str, deadline: float, netns: str) -> Process:
        process = Process(self, self._next_id, tuple(argv))
        self._next_id += 1
        parts = [str(int(deadline * 1000)), netns, flags, *argv]
        self._processes[process.id] = process
        self._send("spawn", process.id, b"".join(p.encode() + b"\0" for p in parts))
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: float = 10.0,
        step: float | None = None,
        netns: str = "",
    ) -> Result:
        """Run a command for at most *deadline* guest seconds and return how it ended.

        *step* is for a command that prints something at the end of each of its
        steps: the guest seconds that one of them may cost, so that a guest that
        hangs in one of many is not waited for as long as all might take.
        *netns* names a network namespace of the guest. Raises GuestCrashed or
        GuestTimeout when the guest itself goes.
        """
        process = self._spawn(argv, "w", deadline, netns)
        return self._result(process, deadline, step)

    def start(self, argv: Sequence[str], *, netns: str = "", stdin: bool = False) -> Process:
        """Start a command and return at once; *stdin* keeps its standard input open."""
        process = self._spawn(argv, "i" if stdin else "", 0, netns)
        pid = self._ask("done", process.id, BACKSTOP_SECONDS)
        if not re.fullmatch(rb"\d{1,7}", pid):
            raise self._crashed(_FORGED)
        process.pid = int(pid)
        return process

    def _more(self, process: Process, seconds: float, seen: int) -> tuple[int, float]:
        self._send("more", process.id, f"{math.ceil(seconds * 1000)} {seen}".encode())
        said = self._ask("more", process.id, _most(seconds))
        answer = re.fullmatch(rb"(\d{1,15}) (\d{1,15})", said)
        if answer is None:
            raise self._crashed(_FORGED)
        return int(answer[1]), int(answer[2]) / 1000

    def _wait(self, process: Process, deadline: float) -> Result:
        if process.result is None:
            self._send("wait", process.id, str(int(deadline * 1000)).encode())
            return self._result(process, deadline)
        return process.result

    def _result(self, process: Process, deadline: float, step: float | None = None) -> Result:
        if step is None:
            self._ask("exit", process.id, _most(deadline))
        else:
            self._ask("exit", process.id, min(_most(deadline), STEPS * _most(step)), _most(step))
        assert process.result is not None
        return process.result

    def end_processes(self) -> None:
        """Kill what was started and never waited for."""
        for process in list(self._processes.values()):
            process.kill()

    def read(self, path: str, netns: str = "") -> str:
        """Return what a file of the guest's /proc or /sys says; "" where there is none."""
        return self.run(["/sbin/tool", "traces", path], netns=netns).text.partition("<==\n")[2]

    def setting(self, path: str, netns: str = "") -> str:
        """Return what a sysctl holds, by its path below SYSCTLS, that is about to be changed.

        *settings* keeps, by namespace and path, what each held when it was asked for first.
        """
        now = self.read(path, netns)
        self.settings.setdefault((netns, path), now)
        return now

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a small file (at most 64 KiB) in the guest."""
        if path.startswith(SYSCTLS):
            self.setting(path)
        self._send("put", 0, f"{mode:o}".encode() + b"\0" + path.encode() + b"\0" + content)
        answer = self._ask("done", 0, BACKSTOP_SECONDS)
        if not re.fullmatch(rb"\d{1,4}", answer):
            raise self._crashed(_FORGED)
        if errno := int(answer):
            raise GuestError(f"{path} cannot be written in the guest: {os.strerror(errno)}")

    def sync(self) -> None:
        """Fetch what the kernel has logged up to now."""
        waiting = select.select([self.machine.agent], [], [], 0)[0] if not self.dead else []
        if self._log_is_whole and not (self.dead or self._buffer or waiting):
            return
        self._send("sync", 0, b"")
        self._ask("done", 0, BACKSTOP_SECONDS)

    def attend(
        self, file: int, deadline: float, *processes: Process
    ) -> Generator[bool, None, None]:
        """Let the guest run, and yield True whenever *file* can be read.

        The end comes with that of one of *processes*, and the guest is stopped. Raises
        GuestTimeout when that takes more of QEMU's time than *deadline* guest seconds can cost.
        """
        if self.dead:
            raise self.dead
        most = _most(deadline)
        self.machine.cont()
        try:
            for kind, number, data in self._frames(most, most, file):
                self._note(kind, number, data)
                if any(process.result for process in processes):
                    break
                if not kind:
                    yield True
        finally:
            self._log_is_whole = False
            if not self.dead:
                self.machine.stop()

    # -- left running, for a person (vm/console.py) -----------------------------------

    def begin(self, argv: Sequence[str], *, idle: bool) -> Process:
        """Start a command with open standard input and wait for nothing.

        While it lasts the guest sleeps when there is nothing to do, as suits
        real time, if *idle*; else it spins, so that virtual time goes slowly.
        """
        return self._spawn(argv, "iw" if idle else "i", 0, "")

    def send_file(self, path: str, content: bytes, mode: int = 0o644) -> int:
        """Send a file to a guest that runs; the frame ``done`` of the returned number answers."""
        number = self._next_id
        self._next_id += 1
        head = f"{mode:o}".encode() + b"\0" + path.encode() + b"\0"
        self._send_whole("put", number, head + content)
        return number

    def receive(self) -> list[tuple[str, int, bytes]]:
        """Wait for something from a guest that runs, and return the frames that are whole by then.

        Raises GuestCrashed at its end.
        """
        self._fill()
        frames = list(self._whole_frames())
        for frame in frames:
            self._note(*frame)
        return frames


def _most(guest_seconds: float) -> float:
    """Return the CPU seconds of QEMU after which what has so many guest seconds is given up."""
    return BACKSTOP_SECONDS + PER_GUEST_SECOND * guest_seconds
