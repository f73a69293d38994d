"""Exercise 1: outgoing TCP connections, and nothing else, are logged with their source.

What can be seen apart is a check of its own: that a line comes, the place of the hook, the
address in the line, the port in it. The other checks compare with what this module makes of the
two ends (lines.Style), so that a wrong port costs what is about the port and no more.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

import diagnose
import headlines
import pytest
from networking import PROBE, Filter, Route, connect, logged, netcat, not_refused

from checker.engine import endurance
from checker.engine.testbed import Module, Picks, Unmet
from checker.kit.trace import Packet
from vm.guest import Guest
from vm.pcap import tcp_segments

# the guest's other hosts, see vm/init/rc
LEFT, RIGHT, THIS_LEFT = "10.0.3.2", "10.0.4.2", "10.0.3.1"
FIN, SYN, RST = "01", "02", "04"
"""Flags of a TCP header, RFC 9293."""


@pytest.mark.points(0.5)
def check_any_line(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host opens puts a line into the log."""
    mark, route, arrived = _by_netcat(syn_filter, guest, picks)
    if not syn_filter.logged(mark):
        _require_line(syn_filter, mark, route, arrived=arrived)


@pytest.mark.points(1.5)
@pytest.mark.after("1.any-line")
def check_leaves_the_guest(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection to another host is logged: a line for each SYN on the wire."""
    address = f"198.51.100.{picks.number(1, 254)}"  # TEST-NET-2 of RFC 5737: nobody answers
    route = Route("10.0.2.15", picks.port(), address, picks.port())
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    source = ["-s", route.source, "-p", str(route.source_port)]
    guest.run(["/bin/nc", "-n", "-w", "2", *source, address, str(route.port)])
    seen = [
        segment
        for segment in tcp_segments(guest.machine.capture())
        if (segment.source, segment.source_port, segment.address, segment.port) == route
        and segment.syn
    ]
    if not seen:
        raise Unmet(
            f"netcat tried to connect to {address}, and no SYN left this host.",
            expected="the hook returns NF_ACCEPT",
            actual="the packet that opens the connection is gone",
            hint=diagnose.ACCEPT,
            packets=[route.packet()],
        )
    expected = [syn_filter.line(route)] * len(seen)
    lines = syn_filter.logged(mark)
    # more than one line each is the business of outgoing-syn
    if len(lines) < len(seen) or set(lines) != set(expected):
        syn_filter.require_lines(
            expected,
            f"{len(seen)} SYN from {route.client} to {route.server} left this host",
            mark,
            lambda found: diagnose.left_this_host(
                expected, found, *route.ends, log=syn_filter.module.kernel_says()
            ),
            route.packet(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.any-line", "1.leaves-the-guest")
def check_source_address(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """The line has the address that the connection comes from."""
    mark, route, arrived = _by_netcat(syn_filter, guest, picks)
    address = (syn_filter.logged(mark) or [""])[0].rpartition(":")[0]
    if address != route.source:
        _require_part(syn_filter, mark, route, ("address", route.source, address), arrived=arrived)


@pytest.mark.points(1)
@pytest.mark.after("1.any-line", "1.leaves-the-guest")
def check_source_port(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """The line has the port that the connection comes from."""
    mark, route, arrived = _by_netcat(syn_filter, guest, picks)
    port = (syn_filter.logged(mark) or [""])[0].rpartition(":")[2]
    if port != str(route.source_port):
        part = "port", str(route.source_port), port
        _require_part(syn_filter, mark, route, part, arrived=arrived)


@pytest.mark.points(4)
@pytest.mark.after("1.any-line", "1.leaves-the-guest")
def check_outgoing_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host opens is logged once, with its own address and port."""
    mark, route, arrived = _by_netcat(syn_filter, guest, picks)
    lines = logged(syn_filter.module, mark)
    # a line for the listener's answer is the business of only-syn
    if [line for line in lines if line != route.server] != [route.client]:
        _require_line(syn_filter, mark, route, arrived=arrived)


def _by_netcat(syn_filter: Filter, guest: Guest, picks: Picks) -> tuple[int, Route, bool]:
    """Connect as a student would; return a mark from before, over what, and if it worked."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    token = picks.token()
    return mark, route, netcat(guest, route, token) == token


def _require_line(syn_filter: Filter, mark: int, route: Route, *, arrived: bool) -> None:
    """Raise Unmet unless the log has the one line for *route*, to the letter."""
    syn_filter.require_lines(
        [route.client],
        headlines.connection(route.client, route.server, arrived=arrived),
        mark,
        lambda found: diagnose.connection(
            *route.ends, found, log=syn_filter.module.kernel_says(), arrived=arrived
        ),
        route.packet(),
        exact=True,
    )


def _require_part(
    syn_filter: Filter, mark: int, route: Route, part: tuple[str, str, str], *, arrived: bool
) -> None:
    """Raise Unmet for the *part* of a line: what it is, what it should be, and what it was."""
    name, right, found = part
    lines = syn_filter.logged(mark)
    log = syn_filter.module.kernel_says()
    done = headlines.connection(route.client, route.server, arrived=arrived)
    raise Unmet(
        headlines.part(done, name, found, right),
        expected=right,
        actual=found or "none",
        log=log,
        hint=diagnose.connection(*route.ends, lines, log=log, arrived=arrived),
        packets=[route.packet()],
    )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_several_connections(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """Several connections in a row give one line each."""
    _open_the_rate_limit(guest)
    address = picks.loopback()
    first, second = picks.port(), picks.port()
    ports = (first, first, second, second)
    routes = [Route(picks.loopback(), picks.port(), address, port) for port in ports]
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    for route in routes:
        connect(guest, route, picks.token())
    answers = {syn_filter.answer(route) for route in routes}
    found = [line for line in syn_filter.logged(mark) if line not in answers]
    expected = [syn_filter.line(route) for route in routes]
    if found != expected:
        syn_filter.require_lines(
            expected,
            "Four connections were opened",
            mark,
            lambda found: diagnose.again(expected, found),
            next((r for r in routes if found.count(syn_filter.line(r)) != 1), routes[0]).packet(),
        )


@pytest.mark.points(2.5)
@pytest.mark.after("1.any-line", "1.leaves-the-guest")
def check_only_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """The listener's answer (SYN with ACK), data, FIN and RST are not logged."""
    address = picks.loopback()  # both ends have it, so that the answer goes there, too
    route = Route(address, picks.port(), address, picks.port())
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    connect(guest, route, picks.token())
    answered = syn_filter.answer(route) in syn_filter.logged(mark)
    mine, other = syn_filter.line(route), syn_filter.answer(route)
    syn_filter.require_lines(
        [mine],
        f"A connection was opened from {route.client} to {route.server}",
        mark,
        lambda found: diagnose.again([mine], found) or diagnose.more_lines(mine, other, found),
        route.answer() if answered else route.packet("ACK"),
    )
    # in a connection all but the first packet has ACK; these have neither that nor SYN
    mark = syn_filter.module.mark()
    loose = {flags: Route(address, picks.port(), address, picks.port()) for flags in (FIN, RST)}
    for flags, each in loose.items():
        _send(guest, each, flags)
    lines = syn_filter.logged(mark)
    reset = syn_filter.line(loose[RST]) in lines
    syn_filter.require_lines(
        [],
        "A FIN and a RST, both without ACK, left this host",
        mark,
        lambda found: diagnose.SYN if found else "",
        loose[RST].packet("RST") if reset else loose[FIN].packet("FIN"),
    )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_any_header(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A SYN is logged with a header of 20 bytes, behind IP options, and in two pieces."""
    _open_the_rate_limit(guest)
    address = picks.loopback()
    syn_filter.aim(address)
    for kind, what, hint in (
        ("plain", "whose TCP header has 20 bytes, no options and no data", diagnose.HEADER_SIZE),
        ("options", "whose IP header has 4 bytes of options", diagnose.HEADER_PLACE),
        ("pieces", "the last byte of whose TCP header lies in another page", diagnose.PIECES),
    ):
        route = Route(picks.loopback(), picks.port(), address, picks.port())
        mark = syn_filter.module.mark()
        _send(guest, route, SYN, kind)
        syn_filter.require_lines(
            [syn_filter.line(route)],
            f"A SYN from {route.client} was sent, {what}",
            mark,
            lambda found, hint=hint: "" if found else hint,
            route.packet(),
        )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_no_header(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A packet too short for a TCP header does no harm, and a later fragment is not logged."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    _send(guest, route, SYN, "short")
    # tcp_hdr() does not say that the header's last byte, which nobody needs, is missing
    if syn_filter.logged(mark) != [syn_filter.line(route)]:
        syn_filter.require_lines(
            [],
            "A packet was sent that ends within its TCP header",
            mark,
            lambda _: diagnose.SHORT,
            route.packet(flags=""),
        )
    fragment = Route(THIS_LEFT, picks.port(), LEFT, picks.port())
    syn_filter.aim(LEFT)
    mark = syn_filter.module.mark()
    _send(guest, fragment, SYN, "later")
    syn_filter.require_lines(
        [],
        "A fragment was sent that is not the first of its packet",
        mark,
        lambda _: diagnose.FRAGMENT,
        Packet("tcp", THIS_LEFT, address=LEFT, later=True),
    )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_not_udp(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A UDP datagram is not logged, even if its bytes look like a SYN."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    # behind the UDP header's 8 bytes: where TCP has its flags, 0x50 0x02 says SYN
    bytes_like_syn = "000000005002ffff0000000000000000"
    sent = guest.run([PROBE, "datagram", *(str(part) for part in route), bytes_like_syn])
    packet = Packet("udp", *route)
    _require_arrival(
        sent.text, [packet], bytes_like_syn, what="in a UDP datagram", hint=diagnose.DATAGRAM_LOST
    )
    said = f"A UDP datagram was sent from {route.client}"
    syn_filter.require_lines([], said, mark, lambda _: diagnose.UDP, packet)


@pytest.mark.points(2)
@pytest.mark.after("1.any-line")
def check_not_received(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that another host opens to this one is not logged."""
    for address in (LEFT, THIS_LEFT):
        route = Route(LEFT, picks.port(), THIS_LEFT, picks.port())
        syn_filter.aim(address)
        mark = syn_filter.module.mark()
        connect(guest, route, picks.token(), client_in="left")
        mine, other = syn_filter.line(route), syn_filter.answer(route)
        # a line for this host's answer is the business of only-syn
        if any(line != other for line in syn_filter.logged(mark)):
            syn_filter.require_lines(
                [],
                f"The host {LEFT} opened a connection to this one",
                mark,
                lambda found, mine=mine, other=other: diagnose.received(mine, other, found),
                route.packet(),
            )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
@pytest.mark.usefixtures("forwarding")
def check_not_forwarded(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host only forwards is not logged."""
    route = Route(LEFT, picks.port(), RIGHT, picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    arrived = connect(guest, route, picks.token(), client_in="left", server_in="right")
    _require_arrival(arrived, route.packets(), what="over a connection that this host forwards")
    said = f"This host forwarded a connection from {LEFT} to {RIGHT}"
    syn_filter.require_lines([], said, mark, lambda _: diagnose.FORWARDED, route.packet())


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_traffic_passes(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """What a connection carries arrives while the module is loaded, in both directions."""
    address = picks.loopback()
    syn_filter.aim(address)
    _require_traffic(guest, picks, address)
    route, token = Route(LEFT, picks.port(), THIS_LEFT, picks.port()), picks.token()
    arrived = connect(guest, route, token, client_in="left")
    _require_arrival(arrived, route.packets(), token, what=f"over a connection from {LEFT}")


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_unload(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """After rmmod nothing is logged, connections work, and the module can be loaded again."""
    syn_filter.module.unload()
    mark = syn_filter.module.mark()
    _require_traffic(guest, picks)
    syn_filter.require_lines(
        [], "The module was unloaded, a connection opened", mark, lambda _: diagnose.UNDO_HOOK
    )
    syn_filter.module.load()


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_major_taken(module: Module, guest: Guest, picks: Picks) -> None:
    """With the major number already taken, insmod fails with EBUSY and leaves all as it was."""
    holds = " 42 "
    with endurance.major_held(module, 42):
        result = module.try_load()
        loaded = module.loaded
        held = any(line.startswith(holds) for line in guest.read("/proc/devices").splitlines())
    if result.value != errno.EBUSY or loaded:
        done = "Another module had the major number 42 before this one was loaded"
        raise not_refused(module, result, errno.EBUSY, done, diagnose.major_taken)
    if not held:
        raise Unmet(
            "Another module had the major number 42; insmod failed with EBUSY, and then the number "
            "was free: it was taken from its owner.",
            expected="/proc/devices has 42 as before",
            actual="42 is gone",
            log=module.kernel_says(),
            hint=diagnose.NOT_YOURS,
        )
    _require_traffic(guest, picks)
    if logged(module):
        raise Unmet(
            "insmod failed, and the hook that it had registered is still called.",
            expected="init unregisters the hook before it returns the error",
            actual="the hook of a module that is not loaded runs",
            log=module.kernel_says(),
            hint=diagnose.DEVICE_FIRST,
        )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
@pytest.mark.needs("KPROBES")
def check_hook_refused(module: Module, guest: Guest) -> None:
    """When nf_register_net_hook() fails, insmod fails with its error, and 42 is free again."""
    with endurance.refused(module, "nf_register_net_hook", "nf_register_net_hooks"):
        result = module.try_load()
        loaded = module.loaded
    if result.value != errno.ENOBUFS or loaded:
        done = "nf_register_net_hook() was made to fail with ENOBUFS"
        raise not_refused(module, result, errno.ENOBUFS, done, lambda _: diagnose.HOOK_REFUSED)
    if any(line.startswith(" 42 ") for line in guest.read("/proc/devices").splitlines()):
        raise Unmet(
            "nf_register_net_hook() was made to fail, insmod failed, and the major number 42 is "
            "still taken.",
            expected="42 is free",
            actual="/proc/devices has 42",
            hint=diagnose.DEVICE_LEFT,
        )


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
def check_clean_reload(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """Neither connections nor being loaded and unloaded 20 times in a row leave anything."""
    module, address = syn_filter.module, picks.loopback()
    syn_filter.aim(address)
    _require_clean_use(module, Route(picks.loopback(), picks.port(), address, picks.port()))
    module.unload()
    endurance.reload(module)
    _require_traffic(guest, picks)


@pytest.mark.points(0.5)
@pytest.mark.after("1.any-line")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module, guest: Guest, picks: Picks) -> None:
    """Whichever allocation in init fails, insmod fails cleanly or works, and nothing is left."""
    endurance.error_paths(module)
    _require_traffic(guest, picks)


def _open_the_rate_limit(guest: Guest) -> None:
    """Let the time pass in which net_info_ratelimited() logs ten lines: five seconds."""
    guest.run(["/sbin/tool", "sleep", "6"])


def _send(guest: Guest, route: Route, flags: str, kind: str = "plain") -> None:
    """Send one segment; Unmet where the module kills who sends it, or keeps the packet back."""
    sent = guest.run([PROBE, "segment", *map(str, route), flags, kind])
    if not sent.ok:
        raise Unmet(
            "A packet cannot be sent while the module is loaded.",
            expected="it is sent",
            actual=f"its sender is killed by signal {sent.value}"
            if sent.how == "signalled"
            else sent.err.decode(errors="replace").strip() or "it does not come to an end",
            hint=diagnose.ACCEPT if sent.how == "exited" else "",
            packets=[route.packet(flags="")],
        )


def _require_clean_use(module: Module, route: Route, times: int = 5) -> None:
    def work() -> None:
        done = module.guest.run([PROBE, "work", "-", str(times), *map(str, route)], deadline=60)
        if not done.ok:
            raise Unmet(
                f"Connections cannot be made {times} times in a row.",
                expected="each works",
                actual=done.err.decode(errors="replace").strip() or "it does not come to an end",
                hint=diagnose.ACCEPT,
                packets=route.packets(),
            )

    endurance.use(module, work, "A connection was opened", times)


def _require_traffic(guest: Guest, picks: Picks, address: str = "") -> None:
    route = Route(picks.loopback(), picks.port(), address or picks.loopback(), picks.port())
    token = picks.token()
    _require_arrival(connect(guest, route, token), route.packets(), token)


def _require_arrival(
    arrived: str,
    packets: Sequence[Packet],
    token: str = "",
    *,
    what: str = "over a connection",
    hint: str = diagnose.ACCEPT,
) -> None:
    """Raise Unmet unless what was sent has *arrived*: *token*, or anything; *what* says how."""
    if not arrived or (token and arrived != token):
        raise Unmet(
            headlines.arrival(what, arrived),
            expected=token or "what the client sent",
            actual=arrived or "nothing arrived",
            hint=hint,
            packets=packets,
        )
