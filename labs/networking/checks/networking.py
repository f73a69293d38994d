"""What the checks of the networking lab share: connections in the guest, sockets, datagrams."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import diagnose
import headlines
import lines
from diagnose import End, Traffic
from lines import RIGHT, SYN_LINE, Style

from checker.engine.testbed import Late, Module, Unmet, errno_name
from checker.kit.trace import Packet
from vm.guest import Guest, Process, Result

NC = "/bin/nc"
PROBE = "/lab/checks/probe"
DEVICE = "/dev/filter"
PEER_LINE = "connection established to"

LISTEN, TIME_WAIT = 0x0A, 0x06
"""Socket states as /proc/net/tcp writes them (include/net/tcp_states.h)."""


class Route(NamedTuple):
    """A TCP connection to make: from where to where."""

    source: str
    source_port: int
    address: str
    port: int

    @property
    def client(self) -> str:
        """The client's address and port as the lab's log lines write them."""
        return f"{self.source}:{self.source_port}"

    @property
    def server(self) -> str:
        """The listener's address and port, written likewise."""
        return f"{self.address}:{self.port}"

    @property
    def ends(self) -> tuple[End, End]:
        """The client's end and the listener's."""
        return End(self.source, self.source_port), End(self.address, self.port)

    def packet(self, flags: str = "SYN") -> Packet:
        """The first packet with these TCP flags, for a report to tell the way of."""
        return Packet("tcp", *self, flags)

    def packets(self) -> list[Packet]:
        """The packet that opens the connection, and the answer to it."""
        return [self.packet(), self.answer()]

    def answer(self) -> Packet:
        """The listener's first answer, likewise."""
        return Packet("tcp", self.address, self.port, self.source, self.source_port, "SYN ACK")


def connect(
    guest: Guest, route: Route, message: str, *, client_in: str = "-", server_in: str = "-"
) -> str:
    """Send *message* over *route* to a listener made for it; return what arrived there.

    *client_in* and *server_in* name network namespaces of the guest.
    """
    numbers = [str(part) for part in route]
    sent = guest.run([PROBE, "connect", *numbers, message, client_in, server_in], deadline=20)
    return sent.text


def netcat(guest: Guest, route: Route, message: str) -> str:
    """Do what connect() does with two netcats, as a student would."""
    script = f"""
        {NC} -d -n -l {route.address} {route.port} & server=$!
        /sbin/tool await tcp {route.address} {route.port} > /dev/null
        echo {message} | {NC} -n -N -w 5 -s {route.source} -p {route.source_port} \
            {route.address} {route.port} || kill $server
        wait $server
    """
    return guest.run(["/bin/sh", "-c", script], deadline=20).text.strip()


def logged(module: Module, since: int | None = None, words: str = SYN_LINE) -> list[str]:
    """Return what the module logged as sources of connections: A.B.C.D:PORT each."""
    return lines.fields(module.lines(words, since), words)


def peers(module: Module) -> list[str]:
    """Return what the module logged as clients: A.B.C.D:PORT each."""
    return lines.fields(module.lines(PEER_LINE), PEER_LINE)


class Answer(NamedTuple):
    """What came of an ioctl: its errno, 0 if it worked, and then what it returned."""

    errno: int
    value: int


def ioctl(guest: Guest, what: str, argument: str) -> Answer:
    """Let the lab's probe do an ioctl on the device; return what came of it."""
    result = guest.run([PROBE, what, DEVICE, argument])
    if result.how == "timeout":
        raise Late("The ioctl did not come back.", expected="it returns", actual="it still waits")
    if result.how == "signalled":
        raise Unmet(
            "The ioctl did not come back.", actual=f"signal {result.value} killed its caller"
        )
    said = result.text.strip()
    return Answer(result.value, int(said) if re.fullmatch(r"[0-9]{1,10}", said) else 0)


@dataclass
class Filter:
    """The filter module, loaded. *needs_address*: it logs nothing before an address is set.

    *style* is how it writes the ends of a connection, right or wrong. *turns*: it takes an
    address with its bytes turned round, as check_2 has seen.
    """

    module: Module
    needs_address: bool = False
    style: Style = RIGHT
    turns: bool = False

    def set_address(self, address: str) -> int:
        """Send MY_IOCTL_FILTER_ADDRESS; return the errno, 0 if the module took it."""
        return ioctl(self.module.guest, "set", address).errno

    def aim(self, address: str) -> None:
        """Make sure that connections to *address* are to be logged, whichever way it was read."""
        if self.needs_address:
            self.set_address(address)

    def logged(self, since: int) -> list[str]:
        """Return what it logged since the mark *since* as sources of connections, in its style."""
        return logged(self.module, since, self.style.words)

    def line(self, route: Route) -> str:
        """Return what this module logs of the packet that opens a connection over *route*."""
        return self.style.field(*route.ends)

    def answer(self, route: Route) -> str:
        """Return what it logs of the listener's answer, if it does."""
        return self.style.field(*reversed(route.ends))

    def require_lines(
        self,
        expected: list[str],
        done: str,
        since: int,
        why: Callable[[list[str]], str],
        packet: Packet | None = None,
        *,
        exact: bool = False,
    ) -> None:
        """Compare what was logged since the mark *since* with *expected*; Unmet if it differs.

        *done* is what the check did, the first half of the sentence that is told
        (headlines.py). *why* makes the hint of what was logged. *packet* is the one that it
        is about. *exact*: the exercise's own words are wanted, whatever the module's are.
        """
        words = SYN_LINE if exact else self.style.words
        actual = logged(self.module, since, words)
        if actual != expected:
            # a record without its newline is held back until the kernel logs something else
            self.module.guest.run(["/bin/sh", "-c", "echo > /dev/kmsg"])
            late = set(logged(self.module, since, words))
            hint = why(actual)
            log = self.module.kernel_says()
            message = headlines.lines(done, expected, actual, log, words)
            if not set(expected) <= set(actual) and set(expected) <= late:
                message = rf"{done}, and the line came late: it does not end with \n."
                hint = r"End the line with \n: without it the kernel holds the line back."
            raise Unmet(
                message,
                expected=_as_lines(expected, words),
                actual=_as_lines(actual, words),
                log=log,
                hint=hint,
                packets=[packet] if packet else [],
            )


def _as_lines(sources: list[str], words: str) -> str:
    shown = [f"{words} {source}" for source in sources[:8]]
    if len(sources) > 8:
        shown.append(f"… and {len(sources) - 8} lines more")
    return "\n".join(shown) or "no line"


# --- sockets as the guest's kernel lists them ----------------------------------------


class Socket(NamedTuple):
    """A local socket of /proc/net/tcp or udp."""

    address: str
    port: int
    state: int

    def __str__(self) -> str:
        """Write it as address:port."""
        return f"{self.address}:{self.port}"


_SOCKET = re.compile(r" *[0-9]+: ([0-9A-F]{8}):([0-9A-F]{4}) [0-9A-F:]{13} ([0-9A-F]{2})\b")
"""A line of /proc/net/tcp or udp: number, address, port, the other side, state; all in hex."""


def sockets(guest: Guest, protocol: str = "tcp") -> list[Socket]:
    """Return the sockets that /proc/net/*protocol* lists."""
    path = f"/proc/net/{protocol}"
    return parse_sockets(path, guest.read(path))


def parse_sockets(path: str, text: str) -> list[Socket]:
    """Read the text of /proc/net/tcp or udp; Unmet when no kernel wrote it."""
    found = []
    for line in text.splitlines()[1:]:
        fields = _SOCKET.match(line)
        if fields is None:
            raise _unreadable(path, line)
        octets = reversed(bytes.fromhex(fields[1]))
        found.append(Socket(".".join(map(str, octets)), int(fields[2], 16), int(fields[3], 16)))
    return found


def _unreadable(path: str, text: str) -> Unmet:
    """Return what is said of a module that makes the kernel's tables unreadable."""
    return Unmet(f"{path} in the guest holds what no kernel writes there.", actual=repr(text[:200]))


def tcp_sockets(guest: Guest) -> int:
    """Return how many TCP sockets exist, bound or not (alloc of /proc/net/sockstat)."""
    text = guest.read("/proc/net/sockstat")
    match = re.search(r"^TCP:.* alloc (\d{1,9})\b", text, re.MULTILINE)
    return int(match[1]) if match else 0


def listeners(guest: Guest) -> list[Socket]:
    """Return the listening TCP sockets."""
    return [s for s in sockets(guest) if s.state == LISTEN]


def await_listeners(guest: Guest) -> list[Socket]:
    """Wait until something listens, for at most 3 guest seconds; return the listening sockets."""
    waited = guest.run(["/sbin/tool", "await", "tcp", "any", "0"], deadline=3)
    table = waited.text.partition("<==\n")[2]
    return [s for s in parse_sockets("/proc/net/tcp", table) if s.state == LISTEN]


def listed(found: list[Socket]) -> str:
    """Write sockets for a student to read."""
    return ", ".join(map(str, found)) or "nothing"


def not_refused(
    module: Module,
    result: Result,
    wanted: int,
    done: str,
    hint: Callable[[str], str],
    *,
    packets: Sequence[Packet] = (),
) -> Unmet:
    """Return what is said where insmod should have failed with the errno *wanted*.

    *done* is what the check did before, the first half of a sentence; *hint* gets the name of the
    error that insmod failed with instead, "" if there was none.
    """
    killed = result.how == "signalled"
    error = "" if killed else errno.errorcode.get(result.value, "")
    if killed:
        actual = f"insmod is killed by signal {result.value}"
    else:
        failed = f"insmod fails with {errno_name(result.value)}"
        actual = failed if result.value else "insmod succeeds"
    return Unmet(
        headlines.insmod(done, error, signal=result.value if killed else 0),
        expected=f"insmod fails with {errno_name(wanted)}",
        actual=actual,
        log=module.kernel_says(),
        hint=hint(error),
        packets=packets,
    )


@dataclass
class Server:
    """The tcp_sock module, whose insmod was started; *socket* is where it listens, if it does."""

    module: Module
    insmod: Process
    socket: Socket | None

    @classmethod
    def started(cls, module: Module) -> Self:
        """Start insmod and wait until something listens."""
        insmod = module.start_load()
        found = await_listeners(module.guest)
        right = [s for s in found if s.port == 60000]
        return cls(module, insmod, next(iter(right or found), None))

    @property
    def insmod_error(self) -> str:
        """The name of insmod's error; empty when it has none, or has not come back."""
        result = self.insmod.result
        failed = result is not None and result.how == "exited" and result.value
        return errno.errorcode.get(result.value, "") if result and failed else ""

    def waits(self) -> bool:
        """Tell whether init waits, as for a client, a guest second from now."""
        if self.insmod.result is None:
            self.module.guest.run(["/sbin/tool", "sleep", "1"])
        return self.insmod.result is None

    def let_go(self) -> None:
        """End the wait of an init that waits: by a client, or else by a signal.

        What comes of the client is exercise 4's business, and is not judged here. Unmet where
        insmod has failed without one.
        """
        if not self.waits():
            self.require_loaded()
            return
        with self.module.business_of(4):
            if self.socket:
                target = [self.socket.address, str(self.socket.port)]
                self.module.guest.run(["/sbin/tool", "meet", *target])
            self.insmod.wait(5)  # kills it then

    def require_loaded(self, done: str = "The module was loaded") -> None:
        """Wait for insmod; Unmet when it does not end, or fails. *done* is what led to it."""
        result = self.insmod.wait(5)
        if not result.ok:
            late = result.how == "timeout"
            raise Unmet(
                f"{done}, and insmod still waits."
                if late
                else headlines.insmod(
                    done,
                    self.insmod_error,
                    signal=result.value if result.how == "signalled" else 0,
                ),
                expected="insmod succeeds",
                actual="it still waits"
                if late
                else f"insmod fails with {errno_name(result.value)}",
                log=self.module.kernel_says(),
                hint=diagnose.not_coming_back(self.insmod_error),
            )


# --- datagrams -----------------------------------------------------------------------

MESSAGE = diagnose.MESSAGE


@dataclass
class Receiver:
    """A program of the lab's that takes datagrams on 127.0.0.1:60001."""

    guest: Guest
    process: Process

    def datagrams(self) -> list[bytes]:
        """End the receiver and return the datagrams it got."""
        text = self.process.kill().text
        return [bytes.fromhex(m[1]) for m in re.finditer(r"^\S+ ([0-9a-f]*)$", text, re.MULTILINE)]


def traffic(guest: Guest) -> Traffic:
    """Return what UDP has done in the guest since it started (/proc/net/snmp)."""
    path = "/proc/net/snmp"
    text = guest.read(path)
    values = re.search(
        r"^Udp:.* OutDatagrams .*\nUdp: (\d{1,18}) (\d{1,18}) \d+ (\d{1,18}) ",
        text,
        re.MULTILINE,
    )
    if values is None:
        raise _unreadable(path, text)
    received, refused, sent = map(int, values.groups())
    return Traffic(sent, received, refused)
