"""Topologies: what is made, when it is ready, and that it is gone when its block ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support import FINDERS

from checker.engine.testbed import Traces, Unmet
from checker.kit import topology
from checker.kit.topology import HERE, End, Plan, Route, Topology, Wire
from vm import debian, image, snapshot
from vm.guest import Guest
from vm.machine import Config


class Recorder:
    """In place of a guest: keeps what is to be run in it, and fails what *fails* says."""

    def __init__(self, standing: str = "", *, fails: bool = False) -> None:
        self.machine = SimpleNamespace(config=SimpleNamespace(topology=standing))
        self.dead = None
        self.ran: list[str] = []
        self.fails = fails

    def run(self, argv: list[str], netns: str = "") -> Any:
        """Note the command's last word, its script."""
        self.ran.append(argv[-1])
        return SimpleNamespace(ok=not self.fails, how="exited", value=1, err=b"no", out=b"")

    def setting(self, path: str, netns: str = "") -> str:
        """Return what a sysctl holds: nothing is switched on."""
        return "0\n"


def recorder(standing: str = "", *, fails: bool = False) -> Guest:
    """A guest in which nothing runs."""
    return cast(Guest, Recorder(standing, fails=fails))


# --- plans -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(topology.STANDING))
def test_every_host_of_a_plan_is_made_and_unmade(name: str) -> None:
    """Each has its namespace, its addresses and its links, which are waited for."""
    plan = topology.STANDING[name]()
    made, unmade = plan.make(), plan.unmake()
    for host in plan.hosts:
        if host != HERE:
            assert f"netns add {host}\n" in made
            assert f"netns del {host}\n" in unmade
    for end in plan.ends:
        assert all(f"addr add {address} dev {end.interface}\n" in made for address in end.addresses)
    (ready,) = (line for line in made.splitlines() if " ready " in line)
    assert ready.count("/eth0") + ready.count(" left") + ready.count(" right") >= len(plan.ends)


def test_hosts_know_their_neighbours_hardware_addresses() -> None:
    """Each end has those of all addresses of the other one, and they are the other one's."""
    plan = topology.many_addresses_plan()
    here, left = plan.ends
    lines = plan.restored(left)
    assert lines == [
        f"neigh replace {address} lladdr {here.mac} dev eth0 nud permanent" for address in here.bare
    ]
    assert here.mac == "02:00:0a:00:03:01"
    assert f"address {here.mac} " in plan.make()


def test_what_goes_with_a_link_comes_back_with_it() -> None:
    """The routes over it, and no others."""
    plan = topology.router_plan()
    left = next(end for end in plan.ends if end.host == "left")
    here = next(end for end in plan.ends if end.interface == "left")
    assert plan.restored(left)[0] == "route replace default via 10.0.3.1"
    assert not any("route" in line for line in plan.restored(here))


def test_a_link_is_made_where_its_name_is_free() -> None:
    """Not on the guest's own host, which has an eth0: the kernel would refuse a second one."""
    script = topology.pair_plan().make()
    link = script.index("link add eth0")
    own, others = (script.rindex(f"/bin/ip {n}-batch", 0, link) for n in ("", "-n left "))
    assert own < others


def test_a_plan_of_ones_own_has_hosts_in_any_order() -> None:
    """Every link is there before its second host needs it."""

    def end(host: str, interface: str, number: int) -> End:
        return End(host, interface, (f"10.7.{number}.{1 + (interface == 'b')}/24",))

    wires = (
        Wire("one", (end("a", "a", 1), end("b", "b", 1))),
        Wire("other", (end("c", "a", 2), end("a", "b", 2))),
    )
    script = Plan(wires, (Route("c", "default", "10.7.2.2"),)).make()
    assert script.index("link add b ") < script.index("/bin/ip -n c -batch")
    assert "route replace default via 10.7.2.2\n" in script


def test_two_that_take_the_same_are_refused() -> None:
    """Names or networks: nothing is run for the second one, nor for one like the guest's own."""
    guest = recorder("router")
    with topology.pair(guest) as net, pytest.raises(ValueError, match=r"t-left, t-right, .*prefix"):
        before = len(cast(Recorder, guest).ran)
        with topology.pair(guest):
            pass
    assert net.left.address == "10.1.5.1"
    assert len(cast(Recorder, guest).ran) == before + 1  # the first one's end
    with pytest.raises(ValueError, match=r"10\.0\.3\.0/24"), topology.router(guest, base="10.0"):
        pass
    with topology.pair(guest), topology.pair(guest, base="10.2", prefix="u-") as other:
        assert other.right.netns == "u-right"


def test_a_topology_that_cannot_be_made_is_told_in_short() -> None:
    """With its hosts, not with the script."""
    words = r"^Making or removing the hosts left, right fails in the guest\.$"
    with pytest.raises(Unmet, match=words), topology.pair(recorder(fails=True)):
        pass


def test_a_standing_topology_is_the_one_that_lab_toml_names() -> None:
    """Hosts have the addresses and links that boot has made."""
    net = topology.of(recorder("router"))
    assert (net.left.address, net.right.address) == ("10.0.3.2", "10.0.4.2")
    assert net.here.addresses == ("10.0.3.1", "10.0.4.1")
    assert (net.here.netns, net.left.netns) == ("", "left")
    assert net.left.link is net.links["left"]
    assert topology.of(recorder()).left.address == "10.0.3.2"
    assert topology.of(recorder("pair")).link.mtu == 1500
    assert len(topology.of(recorder("many-addresses")).here.addresses) == 4


def test_one_link_of_several_is_asked_for_by_its_name() -> None:
    """The error names those that there are, of a topology and of a host."""
    net = topology.of(recorder("router"))
    for of_two in (net, net.here):
        with pytest.raises(ValueError, match=r"there are links\['left'\], links\['right'\]\."):
            of_two.link  # noqa: B018


# --- in a guest ------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["stock", "debug"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest without a topology of its own, on each of the host's kernels."""
    on = FINDERS[request.param](debian.default_release())
    if on is None:
        pytest.skip(f"the {request.param} kernel is not in the cache")
    with snapshot.guest(Config(on, image.initramfs(on), image.root()), {}) as fresh:
        yield fresh


def pings(net: Topology, count: int = 1) -> bool:
    """Tell whether the first packets from left to right all come back."""
    argv = ["ping", "-c", str(count), "-W", "1", net.right.address]
    return net.left.run(argv).ok


@contextlib.contextmanager
def nothing_left(guest: Guest) -> Iterator[None]:
    """Prove that the guest is as before when the block ends."""
    before = Traces.of(guest)
    yield
    assert Traces.of(guest) == before


@pytest.mark.vm
@pytest.mark.parametrize("make", [topology.pair, topology.router])
def test_the_first_packet_of_a_made_topology_arrives(
    guest: Guest, make: Callable[[Guest], contextlib.AbstractContextManager[Topology]]
) -> None:
    """It is ready, nobody has to ask for a hardware address, and nothing of it stays."""
    with nothing_left(guest), pytest.raises(ZeroDivisionError), make(guest) as net:
        before = received(net)
        assert pings(net)
        assert received(net) == before + 1
        raise ZeroDivisionError


def received(net: Topology) -> int:
    """Return how many packets have come to right."""
    return int(net.right.read("/proc/net/dev").split("eth0:")[1].split()[1])


@pytest.mark.vm
def test_a_link_goes_down_and_comes_back_with_its_routes(guest: Guest) -> None:
    """Also the one from a host whose way to the other is a route through it."""
    with nothing_left(guest), topology.router(guest) as net:
        for link in net.links.values():
            before = Traces.of(guest)
            with link.down():
                assert not pings(net)
            assert pings(net)
            assert Traces.of(guest) == before
        with net.left.route("10.9.0.0/16", net.here.address):
            assert "10.9.0.0" in net.left.run(["ip", "route"]).text


@pytest.mark.vm
def test_a_link_has_another_mtu_for_a_block(guest: Guest) -> None:
    """At both ends, and a packet that is longer goes in pieces."""
    with nothing_left(guest), topology.pair(guest) as net:
        with net.link.with_mtu(600):
            assert net.link.mtu == 600
            for host in (net.left, net.right):
                assert " mtu 600 " in host.run(["ip", "link", "show", "eth0"]).text
            assert net.left.run(["ping", "-c1", "-s", "1000", net.right.address]).ok
            frags = net.left.read("/proc/net/snmp").splitlines()
            names, values = (line.split() for line in frags if line.startswith("Ip:"))
            assert values[names.index("FragCreates")] == "2"
        assert net.link.mtu == 1500


@pytest.mark.vm
def test_checksums_are_there_without_offloads_alone(guest: Guest) -> None:
    """As tcpdump sees a datagram where it arrives: with them it has none."""
    with nothing_left(guest), topology.pair(guest) as net:
        assert "bad udp cksum" in seen(net)
        with net.link.without_offloads():
            assert "udp sum ok" in seen(net)
        assert "bad udp cksum" in seen(net)


def seen(net: Topology) -> str:
    """Send a datagram from left to right; return what tcpdump says of it there."""
    argv = ["tcpdump", "-n", "-vv", "-c", "1", "-i", "eth0", "udp"]
    taking = net.right.start(argv)
    while len(net.right.read("/proc/net/packet").splitlines()) < 2:
        pass  # each look lets the guest run
    send = f"echo hello | nc -u -w1 {net.right.address} 5000"
    assert net.left.run(["sh", "-c", send]).how == "exited"
    return taking.wait(5).text


@pytest.mark.vm
def test_a_topology_that_fails_half_way_leaves_nothing(guest: Guest) -> None:
    """A route that the kernel does not take: what was made before it is gone."""
    good = topology.pair_plan(base="10.1", prefix="t-")
    bad = Plan(good.wires, (Route("right", "10.9.0.1/16", "10.1.5.1"),), prefix="t-")
    with (
        nothing_left(guest),
        pytest.raises(Unmet, match="hosts left, right") as unmet,
        topology.made(guest, bad),
    ):
        pass
    assert "Invalid prefix" in unmet.value.actual


@pytest.mark.vm
@pytest.mark.parametrize("name", sorted(topology.STANDING))
def test_a_standing_topology_is_ready_at_once(guest: Guest, name: str) -> None:
    """A guest has it from the template on: the first packet arrives, and it is no change."""
    on = guest.machine.config.kernel
    setup = topology.setup(name)
    config = Config(on, image.initramfs(on, (), setup), image.root(), topology=name)
    with snapshot.guest(config, {}) as standing:
        net = topology.of(standing)
        assert standing.read("net") == ""
        target = net.here.addresses[-1] if name == "many-addresses" else net.right.address
        assert net.left.run(["ping", "-c1", "-W1", target]).ok
        forwards = standing.read("/proc/sys/net/ipv4/ip_forward")
        assert forwards == ("1\n" if name == "router" else "0\n")
