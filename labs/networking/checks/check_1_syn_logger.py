"""Exercise 1: outgoing TCP connections, and nothing else, are logged with their source."""

from __future__ import annotations

import errno

import pytest
from networking import PROBE, Filter, Route, connect, logged, netcat

from checker import endurance
from checker.testbed import Module, Picks, Unmet, errno_name
from vm.guest import Guest
from vm.pcap import tcp_segments


@pytest.mark.points(4)
def check_outgoing_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host opens is logged once, with its own address and port."""
    route = Route(picks.loopback(), picks.port(), picks.loopback(), picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    netcat(guest, route, picks.token())
    lines = logged(syn_filter.module, mark)
    # a line for the listener's answer is the business of only-syn
    if [line for line in lines if line != route.server] != [route.client]:
        syn_filter.require_lines(
            [route.client],
            f"netcat connected from {route.client} to {route.server}, and the log does not say so.",
            mark,
        )


@pytest.mark.points(2)
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
    if [line for line in logged(syn_filter.module, mark) if line not in answers] != [
        route.client for route in routes
    ]:
        syn_filter.require_lines(
            [route.client for route in routes],
            "Four connections were opened, and the log does not have one line for each.",
            mark,
        )


@pytest.mark.points(2)
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
        )
    syn_filter.require_lines(
        [route.client] * len(seen),
        f"{len(seen)} SYN from {route.client} to {route.server} left this host.",
        mark,
    )


@pytest.mark.points(2)
@pytest.mark.after("1.outgoing-syn")
def check_only_syn(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """The listener's answer (SYN with ACK), data and FIN are not logged."""
    address = picks.loopback()  # both ends have it, so that the answer goes there, too
    route = Route(address, picks.port(), address, picks.port())
    syn_filter.aim(address)
    mark = syn_filter.module.mark()
    connect(guest, route, picks.token())
    syn_filter.require_lines(
        [route.client], "Of a whole connection only the packet that opens it is to be logged.", mark
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
    _require_arrival(sent.text, bytes_like_syn)
    syn_filter.require_lines([], "A UDP datagram was taken for a TCP connection.", mark)


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_not_received(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that another host opens to this one is not logged."""
    net = picks.number(16, 250)
    _add_neighbour(guest, "peer", net)
    route = Route(f"10.{net}.0.2", picks.port(), f"10.{net}.0.1", picks.port())
    for address in (route.source, route.address):
        syn_filter.aim(address)
        mark = syn_filter.module.mark()
        arrived = connect(guest, route, picks.token(), client_in="peer")
        _require_arrival(arrived)
        syn_filter.require_lines([], "A connection that only arrives here was logged.", mark)
        route = route._replace(source_port=picks.port())
    guest.run(["/bin/ip", "netns", "del", "peer"])


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_not_forwarded(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A connection that this host only forwards is not logged."""
    first, second = picks.number(16, 120), picks.number(121, 250)
    _add_neighbour(guest, "left", first)
    _add_neighbour(guest, "right", second)
    guest.run(["/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    route = Route(f"10.{first}.0.2", picks.port(), f"10.{second}.0.2", picks.port())
    syn_filter.aim(route.address)
    mark = syn_filter.module.mark()
    arrived = connect(guest, route, picks.token(), client_in="left", server_in="right")
    _require_arrival(arrived)
    syn_filter.require_lines([], "A connection that is only forwarded was logged.", mark)
    for name in ("left", "right"):
        guest.run(["/bin/ip", "netns", "del", name])


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
    syn_filter.require_lines([], "The module is gone, and it still logs.", mark)
    syn_filter.module.load()


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_major_taken(module: Module, guest: Guest, picks: Picks) -> None:
    """With the major number already taken, insmod fails with EBUSY and leaves nothing behind."""
    endurance.stand_in_the_way(module, "major=42")
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
        )
    _require_traffic(guest, picks)
    if logged(module):
        raise Unmet(
            "insmod failed, and the hook that it had registered is still called.",
            expected="init unregisters the hook before it returns the error",
            actual="the hook of a module that is not loaded runs",
            log=module.kernel_says(),
        )


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
def check_clean_reload(module: Module, guest: Guest, picks: Picks) -> None:
    """Loaded and unloaded 20 times in a row, the module leaves nothing behind."""
    endurance.reload(module)
    _require_traffic(guest, picks)


@pytest.mark.points(1)
@pytest.mark.after("1.outgoing-syn")
@pytest.mark.needs("FAILSLAB", "KPROBES", "SLUB_DEBUG")
def check_error_paths(module: Module, guest: Guest, picks: Picks) -> None:
    """Whichever allocation in init fails, insmod fails cleanly or works, and nothing is left."""
    endurance.error_paths(module)
    _require_traffic(guest, picks)


def _require_traffic(guest: Guest, picks: Picks, address: str = "") -> None:
    route = Route(picks.loopback(), picks.port(), address or picks.loopback(), picks.port())
    token = picks.token()
    _require_arrival(connect(guest, route, token), token)


def _require_arrival(arrived: str, token: str = "") -> None:
    if not arrived or (token and arrived != token):
        raise Unmet(
            "What is sent does not arrive: does the hook return NF_ACCEPT for every packet?",
            expected=token or "what the client sent",
            actual=arrived or "nothing arrived",
        )


def _add_neighbour(guest: Guest, name: str, net: int) -> None:
    """Make another host: a network namespace 10.NET.0.2 behind a veth pair, this end 10.NET.0.1."""
    here = f"""netns add {name}
        link add {name}0 type veth peer name eth0 netns {name}
        addr add 10.{net}.0.1/24 dev {name}0
        link set {name}0 up"""
    there = f"""addr add 10.{net}.0.2/24 dev eth0
        link set eth0 up
        route add default via 10.{net}.0.1"""
    script = f"echo '{here}' | ip -batch - && echo '{there}' | ip -n {name} -batch -"
    made = guest.run(["/bin/sh", "-c", script])
    if not made.ok:
        raise RuntimeError(f"the network namespace {name} cannot be made: {made.err.decode()}")
