"""One QEMU process: its command line, QMP, console, life and death.

A machine is a context manager. Everything it writes lies in one run folder
that goes with it. QEMU runs in the sandbox (vm/sandbox.py), under its own
seccomp filter, and connects to sockets that this side listens on, so that
nothing is polled. A machine starts stopped: ``cont`` lets it run.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from qemu.qmp import QMPClient, QMPError
from qemu.qmp.protocol import Runstate

from vm import tools
from vm.errors import NoSpace, VMError
from vm.image import Image, PayloadFile
from vm.kernel import Kernel
from vm.pulse import Sample, read_registers
from vm.sandbox import Limits, Sandbox

T = TypeVar("T")

Accel = Literal["tcg", "kvm"]

CONSOLE_LIMIT = 4 << 20
"""Bytes of console output that are kept; what a module floods beyond is dropped."""

LIMITS = Limits(memory=4 << 30, file_size=128 << 20)
"""Of QEMU: its address space, most of which it only reserves, and each disk or capture."""

CONSOLE_PIPE = 1 << 20
"""Bytes of console output that wait for this side; beyond them the guest waits, and is idle.

More than one command may print, so that how fast this side reads changes nothing. QEMU
writes byte by byte, and a socket holds no more than some 300 such writes.
"""

MAX_EVENTS = 100
"""QMP events a guest may cause; one that causes more does so on purpose, and is ended."""

CONNECT_SECONDS = 30
"""Wall seconds QEMU has to start and to connect its sockets."""

INSIDE = "/run/knetlab"
"""Where QEMU sees the run folder."""

ICOUNT_SHIFT = 3
"""An instruction of a guest with virtual time takes 2 to the power of this nanoseconds."""

_MIGRATION = f"unix:{INSIDE}/migration"

CPU: Mapping[Accel, str] = {"tcg": "max,-erms,-fsrm,-cx16", "kvm": "host"}
"""The guest's processor, as QEMU's -cpu takes it.

-erms, -fsrm: without "rep movsb is fast" the kernel moves words, an eighth of the steps
under TCG. -cx16: before version 8.0, QEMU leaves rubbish in the flags behind cmpxchg16b
where an addition stands just before it: target/i386/tcg/mem_helper.c works them out before
the translator has stored which operation set them (tools/qemu_flags.py). An
interrupt that comes there saves the rubbish, and the kernel crashes some time later.
kmalloc() of Linux 6.5 and newer is such code. Without cx16 the kernel has another way, which
takes no longer; every QEMU gets the same guest, so that a grade does not depend on it.
"""

# mitigations=off: no secrets live here, and their detours cost an emulated processor dearly;
# kmemleak=off: it makes all else twice as slow, and vm/witness knows sooner what leaks;
# thash_entries: /proc/net/tcp is read often, and walks all of that table;
# psi, cgroup_disable, lsm: accounting and checks in every path of the kernel that nobody here asks;
# console= comes last so that /dev/console is the serial port; a panic resets at
# once, which -no-reboot turns into an end that QMP announces.
COMMAND_LINE = (
    "root=/dev/vda ro panic=-1 oops=panic unknown_nmi_panic=1 softlockup_panic=1 "
    "mitigations=off kmemleak=off thash_entries=64 "
    "psi=0 cgroup_disable=memory lsm= loglevel=4 net.ifnames=0 ipv6.disable=1 "
    "no_timer_check tsc=reliable console=ttyS0"
)


@dataclass(frozen=True)
class Config:
    """What a machine is made of; memory in MiB.

    *files* are at /lab from the start, and those of them that *modules* names
    are loaded, before anything else is there. *real_time* is for a guest with
    a person in it: its clock goes on while it is idle, as fast as ours. *topology* is the
    name of what its initramfs sets up of other hosts, for those who ask the guest.
    """

    kernel: Kernel
    initramfs: Path
    image: Image
    accel: Accel = "tcg"
    memory: int = 256
    files: Mapping[str, PayloadFile] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    real_time: bool = False
    topology: str = ""

    @property
    def virtual_time(self) -> bool:
        """Whether the guest's clock counts its own instructions."""
        return self.accel == "tcg" and not self.real_time


@dataclass(frozen=True)
class Frozen:
    """A guest that was frozen: the file that holds its RAM, and its devices' state.

    With *state* None the machine boots and leaves its RAM in the file; with a
    state it goes on from there, and what it writes to the RAM stays its own.
    """

    ram: Path
    state: Path | None = None


@functools.cache
def qemu_version() -> str:
    """Return the version of this host's QEMU, as 7.2.22; VMError when it tells none."""
    said = tools.run(["qemu-system-x86_64", "--version"], timeout=60)
    if (match := re.search(r"version (\S+)", said)) is None:
        raise VMError(f"qemu-system-x86_64 --version names no version: {said.strip()}")
    return match[1]


def command_line(config: Config, frozen: Frozen | None = None) -> list[str]:
    """Return the arguments of a QEMU driven from here; paths are those inside the sandbox.

    Guest time is virtual under TCG: -icount counts instructions, and sleep=off
    lets an idle guest jump to its next timer (docs/devel/icount in QEMU).
    """
    machine = "q35,usb=off,vmport=off,hpet=off"
    memory: list[str] = []
    if frozen:
        share = "on" if frozen.state is None else "off"
        size = f"size={config.memory}M,share={share}"
        memory = ["-object", f"memory-backend-file,id=ram,mem-path=/vm/ram,{size}"]
        memory += [] if frozen.state is None else ["-incoming", "defer"]
        machine += ",memory-backend=ram"
    icount = ["-icount", f"shift={ICOUNT_SHIFT},sleep=off"] if config.virtual_time else []
    return [
        *_start(config, machine),
        # a clone has its kernel in its memory, is quicker to start without a second one, and
        # runs when it has its state
        *([] if frozen and frozen.state else ["-S", *_boot(COMMAND_LINE, config)]),
        *("-global", "migration.store-global-state=off"),
        *("-action", "panic=none", *icount, *memory),
        *("-chardev", f"socket,id=qmp,path={INSIDE}/qmp", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"pipe,id=console,path={INSIDE}/console", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=agent,path={INSIDE}/agent"),
        *_devices(),
        *("-object", f"filter-dump,id=capture,netdev=net,file={INSIDE}/capture.pcap"),
    ]


def _boot(append: str, config: Config) -> list[str]:
    if not config.real_time:  # a connection that has ended keeps no port: nobody waits it out
        append = f"sysctl.net.ipv4.tcp_max_tw_buckets=0 {append}"
    if config.virtual_time:  # no busy host delays it: 4 s are a soft lockup, not 20
        append = f"watchdog_thresh=2 {append}"
    return ["-kernel", "/vm/kernel", "-initrd", "/vm/initramfs", "-append", append]


def _start(config: Config, machine: str) -> list[str]:
    sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    accel = {"tcg": "tcg,thread=single", "kvm": "kvm"}[config.accel]
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-sandbox", sandbox, "-no-reboot", "-machine", machine, "-accel", accel),
        *("-cpu", CPU[config.accel], "-m", str(config.memory), "-smp", "1"),
    ]


def _devices() -> list[str]:
    disk = "if=none,cache=unsafe"
    return [
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=knetlab"),
        # the agent copies it into memory: nothing is ever written to it
        *("-drive", f"{disk},id=root,format=qcow2,readonly=on,file=/vm/root.qcow2"),
        *("-device", "virtio-blk-pci,drive=root"),
        *("-netdev", "user,id=net,restrict=on"),
        *("-device", "virtio-net-pci,netdev=net,romfile=,guest_announce=off"),
        *("-device", "pvpanic-pci"),
    ]


def prepare(config: Config, run: Path, frozen: Frozen | None = None) -> Sandbox:
    """Make the run folder *run* of a machine; return the sandbox for its QEMU."""
    run.mkdir()
    sandbox = Sandbox(
        read_only={
            config.kernel.image: "/vm/kernel",
            config.initramfs: "/vm/initramfs",
            config.image.root: "/vm/root.qcow2",
        },
        writable={run: INSIDE} | ({frozen.ram: "/vm/ram"} if frozen else {}),
        devices=(Path("/dev/kvm"),) if config.accel == "kvm" else (),
        limits=LIMITS,
    )
    sandbox.own(run)
    return sandbox


class Machine:
    """A QEMU process and the sockets to it.

    Attributes after start: *agent* (the virtio-serial stream), *folder* (the
    run folder), *events* (QMP events seen so far, by name). *on_console*, if
    set, is called with what comes on the console, in any thread.
    """

    def __init__(
        self,
        config: Config,
        frozen: Frozen | None = None,
    ) -> None:
        self.config = config
        self.frozen = frozen
        # the path of a socket has at most 107 bytes (unix(7))
        short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 70 else "/tmp"  # noqa: S108
        self.folder = Path(tempfile.mkdtemp(prefix="knetlab-", dir=short))
        self.events: list[str] = []
        self.console_bytes = 0  # printed so far, dropped ones included
        self.on_console: Callable[[bytes], None] | None = None
        self._console = bytearray()
        self._console_dropped = False
        self._output: FileIO | None = None  # the console's pipe
        self._reading = threading.Lock()
        self._keys: asyncio.WriteTransport | None = None
        self._qemu: int | None = None  # QEMU's own process, once it was held
        self._held = False
        self._running = False
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp = QMPClient("knetlab")
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []  # the loop itself holds them but weakly
        self._thread = threading.Thread(target=self._run_loop, daemon=True)
        self._started = time.monotonic()
        self.agent: socket.socket

    # -- life and death ---------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            said = self.qemu_log() or error or type(error).__name__
            self.close()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(
                    f"No space is left in {self.folder.parent}. Free some space and try again."
                ) from error
            raise VMError(f"QEMU did not start: {said}.") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._thread.start()
        run = self.folder / "run"
        sandbox = prepare(self.config, run, self.frozen)
        qmp, agent = (self._listen(run / name, sandbox) for name in ("qmp", "agent"))
        self._output = self._make_console(run, sandbox)
        self._loop.call_soon_threadsafe(self._loop.add_reader, self._output, self._read_console)
        self._started = time.monotonic()
        log = (self.folder / "qemu.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                sandbox.argv(command_line(self.config, self.frozen)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.agent = self._accept(agent)
        self._await(self._open_qmp(self._accept(qmp)))
        self._await(self._open_keys(run / "console.in"))
        if self.frozen and self.frozen.state:
            self._await(self._restore(self.frozen.state.read_bytes()))

    @staticmethod
    def _make_console(run: Path, sandbox: Sandbox) -> FileIO:
        """Make the two pipes that QEMU opens as the serial line; return the one it writes."""
        for path in (run / "console.in", run / "console.out"):
            os.mkfifo(path, 0o600)
            sandbox.own(path)
        # open for both, so that it has no end before QEMU opens it
        output = FileIO(os.open(run / "console.out", os.O_RDWR | os.O_NONBLOCK), "r+")
        with contextlib.suppress(PermissionError):  # the user has many: this one stays small
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, CONSOLE_PIPE)
        return output

    @staticmethod
    def _listen(path: Path, sandbox: Sandbox) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        sandbox.own(path)
        listener.listen(1)
        listener.settimeout(0.1)
        return listener

    def _accept(self, listener: socket.socket) -> socket.socket:
        """Wait for QEMU to connect; VMError with its own words if it ended instead."""
        deadline = time.monotonic() + CONNECT_SECONDS
        with listener:
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    connection = listener.accept()[0]
                    connection.setblocking(True)
                    return connection
                if not self.alive:
                    break
        raise VMError(f"QEMU did not start: {self.qemu_log() or 'it said nothing'}.")

    def close(self) -> None:
        """End QEMU and remove the run folder; harmless when called twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # bwrap's end takes QEMU's whole process namespace with it
        if self._process is not None:
            self._process.wait()
        if self._thread.is_alive():
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                self._await(self._qmp.disconnect(), timeout=5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        with self._reading:
            if self._output is not None:
                self._output.close()
                self._output = None
        if hasattr(self, "agent"):
            self.agent.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run_loop(self) -> None:
        """Run the loop until it is stopped; its thread's own: no other one sees all its tasks."""
        self._loop.run_forever()
        self._loop.run_until_complete(self._cancel_tasks())
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
        if self._keys is not None and not self._keys.is_closing():
            self._keys.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # closed transports need one more turn of the loop

    @property
    def pid(self) -> int | None:
        """The process below which QEMU runs; None before it was started."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the QEMU process is still there."""
        return self._process is not None and self._process.poll() is None

    def wait_end(self, seconds: float) -> bool:
        """Wait up to *seconds* of wall time for QEMU to end; tell whether it did."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end_status(self, seconds: float) -> int | None:
        """Wait up to *seconds* for QEMU to end and its last events to come; return its status."""
        if not self.wait_end(seconds):
            return None
        with contextlib.suppress(TimeoutError):
            self._await(self._disconnected(), timeout=5)
        assert self._process is not None
        return self._process.returncode

    async def _disconnected(self) -> None:
        while self._qmp.runstate == Runstate.RUNNING:
            await self._qmp.runstate_changed()
        for _ in range(2):  # the task that notes events is woken, then has its turn
            while not self._qmp.events.empty():
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    # -- QMP --------------------------------------------------------------------------

    def _await(self, work: Coroutine[Any, Any, T], timeout: float = CONNECT_SECONDS) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    async def _open_qmp(self, connection: socket.socket) -> None:
        await self._qmp.connect(connection)
        self._tasks.append(self._loop.create_task(self._watch_events()))

    async def _watch_events(self) -> None:
        async for event in self._qmp.events:
            if (name := str(event["event"])) not in ("STOP", "RESUME"):  # those are ours
                self.events.append(name)
            if len(self.events) == MAX_EVENTS and self._process is not None:
                self._process.terminate()  # not by SIGKILL, which means: not by us

    # -- freezing and going on --------------------------------------------------------

    async def _set_capabilities(self, *names: str) -> None:
        wanted = [{"capability": name, "state": True} for name in names]
        await self._qmp.execute("migrate-set-capabilities", {"capabilities": wanted})

    async def _migrate(self, received: Coroutine[Any, Any, None]) -> None:
        """Migrate to the socket, with RAM left where it is, until the other side has *received*."""
        await self._set_capabilities("x-ignore-shared", "events")
        with self._qmp.listener("MIGRATION") as listener:
            await self._qmp.execute("migrate", {"uri": _MIGRATION})
            await received
            async for event in listener:
                data = event["data"]
                assert isinstance(data, dict)
                if data["status"] == "completed":
                    return
                if data["status"] == "failed":
                    break
        raise VMError(f"QEMU's migrate failed: {self.qemu_log()}")

    def freeze(self, target: Path) -> None:
        """Write the state of the stopped guest's devices to *target*; its RAM is in its file."""
        self._let_go()
        path = self.folder / "run" / "migration"
        received = asyncio.run_coroutine_threadsafe(self._receive(path), self._loop)
        listening, data = received.result(CONNECT_SECONDS)
        Sandbox().own(path)
        self._await(self._migrate(self._closed(listening)))
        target.write_bytes(data)

    async def _receive(self, path: Path) -> tuple[asyncio.Server, bytearray]:
        data = bytearray()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while part := await reader.read(1 << 20):
                data.extend(part)
            writer.close()
            self._stream_done.set()

        self._stream_done = asyncio.Event()
        return await asyncio.start_unix_server(take, str(path)), data

    async def _closed(self, server: asyncio.Server) -> None:
        await self._stream_done.wait()
        server.close()

    async def _restore(self, state: bytes) -> None:
        """Have QEMU read its devices' *state*; the guest runs then, or QEMU ends."""
        await self._set_capabilities("x-ignore-shared")
        await self._qmp.execute("migrate-incoming", {"uri": _MIGRATION})
        _, writer = await asyncio.open_unix_connection(str(self.folder / "run" / "migration"))
        writer.write(state)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        self._running = True

    def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """Run one QMP command and return what it returns; VMError if QEMU is gone or refuses."""
        self._let_go()
        try:
            return self._await(self._qmp.execute(command, arguments))
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            raise VMError(f"QMP {command}: {error or type(error).__name__}.") from error

    def cont(self) -> None:
        """Let the guest run, if it does not."""
        if self._held:
            self._signal(signal.SIGCONT)
            self._held = False
        elif not self._running:
            self.execute("cont")
        self._running = True

    def stop(self) -> None:
        """Stop the guest, and with it its clock.

        Where its clock counts instructions QEMU's whole process is held: that takes no
        time, where QEMU reads QMP a byte at a time (chardev/char-fe.c, monitor_can_read).
        """
        self._running = False
        if not self.config.virtual_time:
            self.execute("stop")
            return
        self._find_qemu()
        self._signal(signal.SIGSTOP)
        self._held = True

    def _find_qemu(self) -> int | None:
        """Return QEMU's own process; None when there is none."""
        if self._qemu is None and self.pid is not None:
            found = tools.descendants(self.pid).items()
            self._qemu = next((pid for pid, name in found if name.startswith("qemu-system")), None)
        return self._qemu if self.alive else None

    def _signal(self, number: signal.Signals) -> None:
        if self._qemu is not None and self.alive:  # its namespace ends with it
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._qemu, number)

    def _let_go(self) -> None:
        """Let a QEMU that is held answer again, with its guest stopped."""
        if self._held:
            self._held = False
            self._signal(signal.SIGCONT)
            self.execute("stop")

    # -- what is seen from outside ----------------------------------------------------

    async def _open_keys(self, path: Path) -> None:
        """Open the pipe for what is typed, which QEMU reads by now."""
        keys = FileIO(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w")
        self._keys, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, keys)

    def _copy_console(self, data: bytes) -> None:
        at_start = self.console_bytes == 0 or self._console.endswith(b"\n")
        self.console_bytes += len(data)
        if self.on_console:
            self.on_console(data)
        stamp = b"[%9.3f] " % (time.monotonic() - self._started)
        for line in data.replace(b"\r", b"").splitlines(keepends=True):
            if len(self._console) > CONSOLE_LIMIT:
                self._console_dropped = True
                break
            self._console += stamp + line if at_start else line
            at_start = line.endswith(b"\n")

    def _read_console(self) -> None:
        """Copy what the guest has printed, in whatever thread; a bound, if it runs on."""
        with self._reading:
            for _ in range(CONSOLE_PIPE >> 16):
                if self._output is None or not (data := self._output.read(1 << 16)):
                    break
                self._copy_console(data)

    def printed(self) -> int:
        """Return how many bytes the guest has printed, those included that nobody had read yet."""
        self._read_console()
        return self.console_bytes

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that QEMU itself has used; 0 when it is gone."""
        with contextlib.suppress(OSError):
            if (pid := self._find_qemu()) is not None:
                return tools.cpu_seconds(pid)
        return 0.0

    def asleep(self) -> bool:
        """Tell whether no thread of QEMU has anything to do; False when it is gone."""
        with contextlib.suppress(OSError):
            if (pid := self._find_qemu()) is not None:
                return tools.asleep(pid)
        return False

    def sample(self) -> Sample:
        """Return how the processor of a guest with virtual time stands; VMError as execute()."""
        replay = self.execute("query-replay")
        said = self.execute("human-monitor-command", {"command-line": "info registers"})
        if not isinstance(replay, dict) or not isinstance(said, str):
            raise VMError(f"QMP query-replay answers {replay!r}, info registers {said!r}.")
        seconds = int(replay["icount"]) * 2**ICOUNT_SHIFT / 1e9
        return Sample(self.cpu_seconds(), seconds, *read_registers(said))

    def type(self, keys: bytes) -> None:
        """Send *keys* to the guest's serial line, as a person would type them."""
        assert self._keys is not None
        self._loop.call_soon_threadsafe(self._keys.write, keys)

    def console(self) -> str:
        """Return the console's text so far; each line begins with host seconds since start."""
        self._read_console()
        text = self._console.decode(errors="replace")
        return text + ("\n[the rest was dropped]\n" if self._console_dropped else "")

    def capture(self) -> bytes:
        """Return the packets that left or reached the guest, as QEMU wrote them (pcap)."""
        path = self.folder / "run" / "capture.pcap"
        return path.read_bytes() if path.exists() else b""

    def qemu_log(self) -> str:
        """Return what QEMU and the sandbox themselves printed."""
        path = self.folder / "qemu.log"
        return path.read_text(errors="replace").strip() if path.exists() else ""
