"""Exercise 5: loading the module sends one datagram, and nothing is left of it."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import diagnose
import headlines
import pytest
from networking import MESSAGE, NC, Receiver, Socket, listed, not_refused, sockets, traffic

from checker.engine import endurance
from checker.engine.testbed import Late, Module, Unmet, errno_name
from checker.kit import net
from checker.kit.trace import Packet
from vm.guest import Guest

DATAGRAM = Packet("udp")
"""The one that a report tells the way of: the first of all, wherever it goes."""


@pytest.mark.points(3)
def check_sends(module: Module, guest: Guest) -> None:
    """Loading the module sends a datagram, wherever that goes."""
    got = _Got.by_loading(module, guest)
    if not got.traffic.sent:
        raise got.unmet(module)


@pytest.mark.points(2)
@pytest.mark.after("5.sends")
def check_arrives(module: Module, guest: Guest) -> None:
    """A netcat on 127.0.0.1, port 60001, gets something."""
    got = _Got.by_loading(module, guest)
    if not got.data:
        raise got.unmet(module)


@pytest.mark.points(3)
@pytest.mark.after("5.sends", "5.arrives")
def check_datagram(module: Module, guest: Guest) -> None:
    """What netcat gets is the message, byte for byte."""
    got = _Got.by_loading(module, guest)
    # how often it comes is the business of exactly-one
    if not re.fullmatch(rb"(%s\0?)+" % re.escape(MESSAGE), got.data):
        raise got.unmet(module)


@dataclass(frozen=True)
class _Got:
    """What netcat got while the module was loaded, and what was sent; *left*: to another host."""

    data: bytes
    traffic: diagnose.Traffic
    left: bool

    @classmethod
    def by_loading(cls, module: Module, guest: Guest) -> Self:
        """Load the module while a netcat waits where the datagram should go."""
        netcat = guest.start([NC, "-n", "-u", "-d", "-l", "127.0.0.1", "60001"])
        guest.run(["/sbin/tool", "await", "udp", "127.0.0.1", "60001"])
        before, captured = traffic(guest), len(guest.machine.capture())
        module.load()
        data = netcat.kill().out
        pairs = zip(before, traffic(guest), strict=True)
        left = MESSAGE in guest.machine.capture()[captured:]
        return cls(data, diagnose.Traffic(*(b - a for a, b in pairs)), left)

    def unmet(self, module: Module) -> Unmet:
        """Return what to raise where that is not the message."""
        return Unmet(
            headlines.datagram(self.data, self.traffic.sent, MESSAGE),
            expected=repr(MESSAGE.decode()),
            actual=repr(self.data[:200].decode(errors="replace")) if self.data else "nothing",
            log=module.kernel_says(),
            hint=diagnose.datagram(self.data, self.traffic, left=self.left),
            packets=[DATAGRAM],
        )


@pytest.mark.points(2)
@pytest.mark.after("5.sends")
def check_exactly_one(module: Module, guest: Guest, receiver: Receiver) -> None:
    """Loading the module sends one datagram, and no more."""
    before = traffic(guest).sent
    module.load()
    sent = traffic(guest).sent - before
    got = receiver.datagrams()
    # whether it comes where it should is the business of arrives
    if sent != 1 or len(got) > 1:
        raise Unmet(
            f"Loading the module sent {headlines.count(sent, 'datagram')}.",
            expected="1 sent",
            actual=f"{sent} sent, {len(got)} received",
            hint=diagnose.ONE_DATAGRAM,
            packets=[DATAGRAM],
        )


def _require_none_left(guest: Guest, before: list[Socket], said: str, hint: str) -> None:
    """Raise Unmet, which says *said*, when there are UDP sockets that were not there *before*."""
    if left := [s for s in sockets(guest, "udp") if s not in before]:
        raise Unmet(said, expected="no socket in /proc/net/udp", actual=listed(left), hint=hint)


@pytest.mark.points(3)
@pytest.mark.after("5.sends")
def check_released(module: Module, guest: Guest) -> None:
    """After rmmod no UDP socket is left."""
    before = sockets(guest, "udp")
    module.load()
    module.unload()
    said = "The module is gone, and its socket is not."
    _require_none_left(guest, before, said, diagnose.RELEASE_SOCKET)


@pytest.mark.points(1)
@pytest.mark.after("5.sends")
def check_twice(module: Module, guest: Guest) -> None:
    """Loaded, unloaded and loaded again, the module sends each time."""
    sent = []
    for _ in range(2):
        before = traffic(guest).sent
        module.load()
        sent.append(traffic(guest).sent - before)
        module.unload()
    if not all(sent):
        raise Unmet(
            "The module was loaded, unloaded and loaded again, and the second time nothing was "
            "sent.",
            expected="each time a datagram is sent",
            actual=f"sent the first time: {sent[0]}, the second time: {sent[-1]}",
            packets=[DATAGRAM],
        )


@pytest.mark.points(1)
@pytest.mark.after("5.sends", "5.arrives")
def check_send_fails(module: Module, guest: Guest) -> None:
    """When nothing can be sent to port 60001, insmod fails with that error; nothing is left."""
    before = sockets(guest, "udp")
    with _nothing_to_60001(guest):
        result = module.try_load()
    loaded = module.loaded
    if result.value != errno.EACCES or loaded:
        done = "A rule forbade to send to port 60001"
        raise not_refused(
            module,
            result,
            errno.EACCES,
            done,
            lambda _: diagnose.SEND_FAILED,
            packets=[DATAGRAM],
        )
    said = "Nothing could be sent, insmod failed, and a socket is left."
    _require_none_left(guest, before, said, diagnose.RELEASE_ON_ERROR)


@contextlib.contextmanager
def _nothing_to_60001(guest: Guest) -> Iterator[None]:
    """Let the guest's routing forbid what goes to that port: sending fails, bind does not."""
    rule = ["/bin/ip", "rule"]
    forbid = ["pref", "1", "ipproto", "17", "dport", "60001", "prohibit"]
    with contextlib.ExitStack() as rules:
        # the rule for local addresses is the first of all: it has to make room
        for do, undo, what in (
            ("add", "del", ["pref", "2", "lookup", "local"]),
            ("del", "add", ["pref", "0", "lookup", "local"]),
            ("add", "del", forbid),
        ):
            rules.enter_context(net.changed(guest, [*rule, do, *what], [*rule, undo, *what]))
        yield


@pytest.mark.points(1)
@pytest.mark.after("5.sends")
@pytest.mark.needs("TRACEPOINTS")
def check_port_taken(module: Module, guest: Guest) -> None:
    """With port 60000 taken, insmod fails with EADDRINUSE, or needs no port; nothing is left."""
    times = 3  # what is left once may be a cache that filled itself
    before = sockets(guest, "udp")
    module.load()
    binds = any(s.port == 60000 for s in sockets(guest, "udp"))
    module.unload()
    said = "The module was loaded and unloaded, and its socket is still there."
    _require_none_left(guest, before, said, diagnose.RELEASE_SOCKET)
    holder = guest.start([NC, "-n", "-u", "-d", "-l", "127.0.0.1", "60000"])
    guest.run(["/sbin/tool", "await", "udp", "127.0.0.1", "60000"])

    def load() -> None:
        for _ in range(times):
            _load_or_fail(module, binds=binds)

    what = "With port 60000 taken, insmod was run"
    endurance.use(module, load, what, times, where="Where init fails")
    holder.kill()
    said = "The module was loaded while its port was taken, and a socket is left."
    _require_none_left(guest, before, said, diagnose.RELEASE_ON_ERROR)


def _load_or_fail(module: Module, *, binds: bool) -> None:
    """Load and unload *module* while its port is taken; Unmet when that ends as it must not.

    *binds*: it has the port where that is free.
    """
    try:
        result = module.try_load()
    except Late as late:
        late.hint = diagnose.PORT_NOT_AWAITED
        raise
    if result.ok and not binds:  # it needs no port of its own
        module.unload()
        return
    error = "" if result.how == "signalled" else errno.errorcode.get(result.value, "")
    if error != "EADDRINUSE" or module.loaded:
        raise Unmet(
            headlines.insmod(
                "netcat had the port 60000 before the module was loaded",
                error,
                signal=result.value if result.how == "signalled" else 0,
            ),
            expected=f"insmod fails with {errno_name(errno.EADDRINUSE)}, as bind does"
            if binds
            else f"insmod succeeds, or fails with {errno_name(errno.EADDRINUSE)}",
            actual="insmod succeeds"
            if result.ok
            else f"insmod fails with {errno_name(result.value)}"
            if result.how == "exited"
            else f"insmod is killed by signal {result.value}",
            log=module.kernel_says(),
            hint="" if result.how == "signalled" else diagnose.port_taken(error),
        )


@pytest.mark.points(1)
@pytest.mark.after("5.sends")
def check_clean_reload(module: Module) -> None:
    """Loaded and unloaded 20 times in a row, the module leaves nothing behind."""
    endurance.reload(module)


@pytest.mark.points(1)
@pytest.mark.after("5.sends")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation in init fails, insmod fails cleanly or works, and nothing is left."""
    endurance.error_paths(module)
