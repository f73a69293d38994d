"""Exercise 1: outgoing TCP connections, and nothing else, are logged with their source."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import diagnose
import pytest
from networking import PROBE, Filter, Route, connect, logged, netcat

from checker.engine import endurance
from checker.engine.testbed import Module, Picks, Unmet, errno_name
from checker.kit.trace import Packet
from vm.guest import Guest
from vm.pcap import tcp_segments

# the guest's other hosts, see vm/init/rc
LEFT, RIGHT, THIS_LEFT = "10.0.3.2", "10.0.4.2", "10.0.3.1"
FIN, SYN, RST = "01", "02", "04"
"""Flags of a TCP header, RFC 9293."""


@pytest.mark.points(4)
def check_outgoing_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host opens is logged once, with its own address and port."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    token = picks.token()
    arrived = netcat(guest, route, token)
    lines = logged(syn_filter.module, mark)
    # a line for the listener's answer is the business of only-syn
    if [line for line in lines if line != route.server] != [route.client]:
        syn_filter.require_lines(
            [route.client],
            f"netcat connected from {route.client} to {route.server}, and the log does not say so.",
            mark,
            lambda found: diagnose.connection(
                *route.ends, found, log=syn_filter.module.kernel_says(), arrived=arrived == token
            ),
            route.packet(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_several_connections(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """Several connections in a row give one line each."""
    address = picks.loopback()
    first, second = picks.port(), picks.port()
    ports = (first, first, second, second)
    routes = [Route(picks.loopback(), picks.port(), address, port) for port in ports]
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    for route in routes:
        connect(guest, route, picks.token())
    answers = {route.server for route in routes}
    found = [line for line in logged(syn_filter.module, mark) if line not in answers]
    expected = [route.client for route in routes]
    if found != expected:
        syn_filter.require_lines(
            expected,
            "Four connections were opened, and the log does not have one line for each.",
            mark,
            lambda found: diagnose.again(expected, found),
            next((r for r in routes if found.count(r.client) != 1), routes[0]).packet(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_leaves_the_guest(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection to another host is logged: one line for each SYN on the wire."""
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
            f"netcat connected to {address}, and no SYN left this host: every packet must go on.",
            expected="the hook returns NF_ACCEPT",
            actual="the packet that opens the connection is gone",
            hint=diagnose.ACCEPT,
            packets=[route.packet()],
        )
    expected = [route.client] * len(seen)
    syn_filter.require_lines(
        expected,
        f"{len(seen)} SYN from {route.client} to {route.server} left this host.",
        mark,
        lambda found: diagnose.again(expected, found) if found else diagnose.LEFT_UNSEEN,
        route.packet(),
    )


@pytest.mark.points(2)
@pytest.mark.after("1.outgoing-syn")
def check_only_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """The listener's answer (SYN with ACK), data, FIN and RST are not logged."""
    address = picks.loopback()  # both ends have it, so that the answer goes there, too
    route = Route(address, picks.port(), address, picks.port())
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    connect(guest, route, picks.token())
    answered = route.server in logged(syn_filter.module, mark)
    syn_filter.require_lines(
        [route.client],
        "Of a whole connection only the packet that opens it is to be logged.",
        mark,
        lambda found: (
            diagnose.again([route.client], found) or diagnose.more_lines(*route.ends, found)
        ),
        route.answer() if answered else route.packet("ACK"),
    )
    # in a connection all but the first packet has ACK; these have neither that nor SYN
    mark = syn_filter.module.mark()
    loose = {flags: Route(address, picks.port(), address, picks.port()) for flags in (FIN, RST)}
    for flags, each in loose.items():
        _send(guest, each, flags)
    lines = logged(syn_filter.module, mark)
    syn_filter.require_lines(
        [],
        "A FIN and a RST, both without ACK, left this host, and no SYN.",
        mark,
        lambda found: diagnose.SYN if found else "",
        loose[RST].packet("RST") if loose[RST].client in lines else loose[FIN].packet("FIN"),
    )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_any_header(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A SYN is logged with a header of 20 bytes, behind IP options, and in two pieces."""
    # a log of ten lines in five seconds, as net_info_ratelimited() has it, may be full by now
    guest.run(["/sbin/tool", "sleep", "6"])
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
            [route.client],
            f"A SYN from {route.client} left this host, {what}.",
            mark,
            lambda _, hint=hint: hint,
            route.packet(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_no_header(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A packet that is too short for a TCP header does no harm, nor is a later fragment logged."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    _send(guest, route, SYN, "short")
    # tcp_hdr() does not say that the header's last byte, which nobody needs, is missing
    if logged(syn_filter.module, mark) != [route.client]:
        syn_filter.require_lines(
            [],
            "A packet left this host that ends within its TCP header.",
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
        "A fragment that is not the first of its packet was taken for a SYN.",
        mark,
        lambda _: diagnose.FRAGMENT,
        Packet("tcp", THIS_LEFT, address=LEFT, later=True),
    )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_not_udp(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A UDP datagram is not logged, even if its bytes look like a SYN."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    # behind the UDP header's 8 bytes: where TCP has its flags, 0x50 0x02 says SYN
    bytes_like_syn = "000000005002ffff0000000000000000"
    sent = guest.run([PROBE, "datagram", *(str(part) for part in route), bytes_like_syn])
    packet = Packet("udp", *route)
    _require_arrival(sent.text, [packet], bytes_like_syn)
    said = "A UDP datagram was taken for a TCP connection."
    syn_filter.require_lines([], said, mark, lambda _: diagnose.UDP, packet)


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_not_received(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that another host opens to this one is not logged."""
    for address in (LEFT, THIS_LEFT):
        route = Route(LEFT, picks.port(), THIS_LEFT, picks.port())
        syn_filter.aim(address)
        mark = syn_filter.module.mark()
        _require_arrival(connect(guest, route, picks.token(), client_in="left"), route.packets())
        answered = route.server in logged(syn_filter.module, mark)
        syn_filter.require_lines(
            [],
            "A connection that only arrives here was logged.",
            mark,
            lambda found, route=route: diagnose.received(*route.ends, found),
            route.answer() if answered else route.packet(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
@pytest.mark.usefixtures("forwarding")
def check_not_forwarded(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host only forwards is not logged."""
    route = Route(LEFT, picks.port(), RIGHT, picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    arrived = connect(guest, route, picks.token(), client_in="left", server_in="right")
    _require_arrival(arrived, route.packets())
    said = "A connection that is only forwarded was logged."
    syn_filter.require_lines([], said, mark, lambda _: diagnose.FORWARDED, route.packet())


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_traffic_passes(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """What a connection carries arrives while the module is loaded."""
    address = picks.loopback()
    syn_filter.aim(address)
    _require_traffic(guest, picks, address)


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_unload(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """After rmmod nothing is logged, connections work, and the module can be loaded again."""
    syn_filter.module.unload()
    mark = syn_filter.module.mark()
    _require_traffic(guest, picks)
    syn_filter.require_lines(
        [], "The module is gone, and it still logs.", mark, lambda _: diagnose.UNDO_HOOK
    )
    syn_filter.module.load()


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_major_taken(module: Module, guest: Guest, picks: Picks) -> None:
    """With the major number already taken, insmod fails with EBUSY and leaves nothing behind."""
    with endurance.major_held(module, 42):
        result = module.try_load()
        loaded = module.loaded
    if result.value != errno.EBUSY or loaded:
        raise Unmet(
            "Another module had the major number 42 before this one was loaded.",
            expected=f"insmod fails with {errno_name(errno.EBUSY)}",
            actual=f"insmod fails with {errno_name(result.value)}"
            if result.value
            else "insmod succeeds",
            log=module.kernel_says(),
            hint=diagnose.major_taken(errno.errorcode.get(result.value, "")),
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


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_clean_reload(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """Neither connections nor being loaded and unloaded 20 times in a row leave anything."""
    module, address = syn_filter.module, picks.loopback()
    syn_filter.aim(address)
    _require_clean_use(module, Route(picks.loopback(), picks.port(), address, picks.port()))
    module.unload()
    endurance.reload(module)
    _require_traffic(guest, picks)


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module, guest: Guest, picks: Picks) -> None:
    """Whichever allocation in init fails, insmod fails cleanly or works, and nothing is left."""
    endurance.error_paths(module)
    _require_traffic(guest, picks)


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


def _require_arrival(arrived: str, packets: Sequence[Packet], token: str = "") -> None:
    if not arrived or (token and arrived != token):
        raise Unmet(
            "What is sent does not arrive: does the hook return NF_ACCEPT for every packet?",
            expected=token or "what the client sent",
            actual=arrived or "nothing arrived",
            hint=diagnose.ACCEPT,
            packets=packets,
        )
