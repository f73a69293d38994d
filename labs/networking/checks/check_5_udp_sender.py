"""Exercise 5: loading the module sends one datagram, and nothing is left of it."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

import diagnose
import pytest
from networking import MESSAGE, NC, Receiver, Socket, listed, sockets, traffic

from checker.engine import endurance
from checker.engine.testbed import Late, Module, Unmet, errno_name
from checker.kit import net
from checker.kit.trace import Packet
from vm.errors import GuestError
from vm.guest import Guest

DATAGRAM = Packet("udp")
"""The one that a report tells the way of: the first of all, wherever it goes."""


@pytest.mark.points(6)
def check_datagram(module: Module, guest: Guest) -> None:
    """A netcat on 127.0.0.1, port 60001, gets the message, byte for byte."""
    netcat = guest.start([NC, "-n", "-u", "-d", "-l", "127.0.0.1", "60001"])
    guest.run(["/sbin/tool", "await", "udp", "127.0.0.1", "60001"])
    before, captured = traffic(guest), len(guest.machine.capture())
    module.load()
    got = netcat.kill().out
    # how often it comes is the business of exactly-one
    if not re.fullmatch(rb"(%s\0?)+" % re.escape(MESSAGE), got):
        raise Unmet(
            "netcat did not get the message.",
            expected=repr(MESSAGE.decode()),
            actual=repr(got[:200].decode(errors="replace")) if got else "nothing",
            log=module.kernel_says(),
            hint=_why_not_got(guest, got, before, captured),
            packets=[DATAGRAM],
        )


def _why_not_got(guest: Guest, got: bytes, before: diagnose.Traffic, captured: int) -> str:
    """Return the hint for a message that netcat did not get, from what was sent since *before*."""
    try:
        pairs = zip(before, traffic(guest), strict=True)
    except (GuestError, Unmet):  # it has failed already, and that is what is told
        return ""
    left = MESSAGE in guest.machine.capture()[captured:]
    return diagnose.datagram(got, diagnose.Traffic(*(b - a for a, b in pairs)), left=left)


@pytest.mark.points(2)
@pytest.mark.after("5.datagram")
def check_exactly_one(module: Module, guest: Guest, receiver: Receiver) -> None:
    """It is exactly one datagram, with nothing sent anywhere else."""
    before = traffic(guest).sent
    module.load()
    sent = traffic(guest).sent - before
    got = receiver.datagrams()
    if sent != 1 or len(got) != 1:
        raise Unmet(
            "Loading the module sends one datagram.",
            expected="1 sent, 1 received",
            actual=f"{sent} sent, {len(got)} received",
            hint=diagnose.ONE_DATAGRAM,
            packets=[DATAGRAM],
        )


def _require_none_left(guest: Guest, before: list[Socket], said: str, hint: str) -> None:
    """Raise Unmet, which says *said*, when there are UDP sockets that were not there *before*."""
    if left := [s for s in sockets(guest, "udp") if s not in before]:
        raise Unmet(said, expected="no socket in /proc/net/udp", actual=listed(left), hint=hint)


@pytest.mark.points(3)
@pytest.mark.after("5.datagram")
def check_released(module: Module, guest: Guest) -> None:
    """After rmmod no UDP socket is left."""
    before = sockets(guest, "udp")
    module.load()
    module.unload()
    said = "The module is gone, and its socket is not: release it in the exit function."
    _require_none_left(guest, before, said, diagnose.RELEASE_SOCKET)


@pytest.mark.points(3)
@pytest.mark.after("5.datagram")
def check_twice(module: Module, receiver: Receiver) -> None:
    """Loading it twice sends two datagrams."""
    module.load()
    module.unload()
    module.load()
    got = receiver.datagrams()
    if len(got) != 2:
        raise Unmet(
            "The module was loaded, unloaded and loaded again.",
            expected="2 datagrams",
            actual=f"{len(got)} received",
            packets=[DATAGRAM],
        )


@pytest.mark.points(1)
@pytest.mark.after("5.datagram")
def check_send_fails(module: Module, guest: Guest) -> None:
    """When nothing can be sent to port 60001, insmod fails with that error; nothing is left."""
    before = sockets(guest, "udp")
    with _nothing_to_60001(guest):
        result = module.try_load()
    loaded = module.loaded
    if result.value != errno.EACCES or loaded:
        raise Unmet(
            "A rule forbade to send to port 60001, and the module was loaded.",
            expected=f"insmod fails with {errno_name(errno.EACCES)}, as sending does",
            actual=f"insmod fails with {errno_name(result.value)}"
            if result.value
            else "insmod succeeds",
            log=module.kernel_says(),
            hint=diagnose.SEND_FAILED,
            packets=[DATAGRAM],
        )
    said = "Nothing could be sent, and a socket is left."
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
@pytest.mark.after("5.datagram")
@pytest.mark.needs("TRACEPOINTS")
def check_port_taken(module: Module, guest: Guest) -> None:
    """With port 60000 taken, insmod fails with EADDRINUSE, or needs no port; nothing is left."""
    times = 3  # what is left once may be a cache that filled itself
    before = sockets(guest, "udp")
    module.load()
    binds = any(s.port == 60000 for s in sockets(guest, "udp"))
    module.unload()
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
            "netcat had the port 60000 before the module was loaded.",
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
@pytest.mark.after("5.datagram")
def check_clean_reload(module: Module) -> None:
    """Loaded and unloaded 20 times in a row, the module leaves nothing behind."""
    endurance.reload(module)


@pytest.mark.points(1)
@pytest.mark.after("5.datagram")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation in init fails, insmod fails cleanly or works, and nothing is left."""
    endurance.error_paths(module)
