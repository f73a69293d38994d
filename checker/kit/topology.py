"""Other hosts for a check: network namespaces of the guest, links between them, addresses, routes.

A lab that names one in lab.toml (``topology = "router"``) has it in every guest, from the
template on, and of() returns it. A check may also make one, which goes with the block::

    with topology.pair(guest) as net:
        net.right.start(["/bin/nc", "-u", "-l", net.right.address, "5000"])
        net.left.run(["/lab/checks/send", net.right.address, "5000"])
        with net.link.down():
            ...

Once it is there every link carries packets, and each host knows its neighbours' hardware
addresses: nothing has to be waited for, and there is no ARP request among the packets.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from checker.kit import net
from vm.guest import SYSCTLS, Guest, Process, Result

HERE = "here"
"""The name of the guest's own host, the one that is no namespace."""

_IP = "/bin/ip"
_TOOL = "/sbin/tool"


# --- plans -----------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """One end of a link: the host, its interface there, and the addresses it has on it.

    An address has the length of its network behind it, as in "10.0.3.1/24".
    """

    host: str
    interface: str
    addresses: tuple[str, ...]

    @property
    def bare(self) -> tuple[str, ...]:
        """Its addresses without the lengths."""
        return tuple(address.partition("/")[0] for address in self.addresses)

    @property
    def mac(self) -> str:
        """Its hardware address, made of its first IP address."""
        octets = ipaddress.IPv4Address(self.bare[0]).packed
        return ":".join(f"{octet:02x}" for octet in (2, 0, *octets))


@dataclass(frozen=True)
class Wire:
    """A link between two hosts, a pair of veth interfaces. Its name is for Topology.links."""

    name: str
    ends: tuple[End, End]
    mtu: int = 1500

    def other(self, end: End) -> End:
        """Return the end that is not *end*."""
        return self.ends[1] if end == self.ends[0] else self.ends[0]


@dataclass(frozen=True)
class Route:
    """A route of a *host*: *to* a network ("10.0.4.0/24", "default"), *via* an address."""

    host: str
    to: str
    via: str


@dataclass(frozen=True)
class Plan:
    """A topology that can be made.

    *sysctls* says what holds on which host: ("here", "net.ipv4.ip_forward", "1"). *prefix*
    stands before the names of the namespaces. Without *arp* hosts know their neighbours'
    hardware addresses; with it they ask for them.
    """

    wires: tuple[Wire, ...]
    routes: tuple[Route, ...] = ()
    sysctls: tuple[tuple[str, str, str], ...] = ()
    prefix: str = ""
    arp: bool = False

    @property
    def ends(self) -> tuple[End, ...]:
        """Both ends of every link."""
        return tuple(end for wire in self.wires for end in wire.ends)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its hosts; the guest's own is the first of them if a link ends there."""
        names = dict.fromkeys(end.host for end in self.ends)
        return tuple(sorted(names, key=lambda name: name != HERE))

    @property
    def names(self) -> frozenset[str]:
        """What it takes for itself in a guest: namespaces, and interfaces of the guest's own."""
        own = (end.interface for end in self.ends if end.host == HERE)
        return frozenset(own) | {self.netns(host) for host in self.hosts if host != HERE}

    @property
    def networks(self) -> frozenset[ipaddress.IPv4Network]:
        """The networks of its addresses."""
        addresses = (address for end in self.ends for address in end.addresses)
        return frozenset(ipaddress.IPv4Interface(address).network for address in addresses)

    def netns(self, host: str) -> str:
        """Return the network namespace that *host* is; "" for the guest's own."""
        return "" if host == HERE else f"{self.prefix}{host}"

    def make(self) -> str:
        """Return the shell script that makes it, and ends when every link carries packets.

        The sysctls are not in it: settings() has them.
        """
        order = self.hosts
        lines: dict[str, list[str]] = {host: [] for host in (HERE, *order)}
        lines[HERE] = [f"netns add {self.netns(host)}" for host in order if host != HERE]
        for wire in self.wires:  # by the host that comes first: there must be no such name there
            one, other = sorted(wire.ends, key=lambda end: order.index(end.host))
            lines[one.host].append(
                f"link add {_veth(one, wire)} type veth peer name {_veth(other, wire)} "
                f"netns {self.netns(other.host)}"
            )
        for host in order:
            lines[host] += [] if host == HERE else ["link set lo up"]
            for end in self._ends_of(host):
                lines[host] += [f"addr add {a} dev {end.interface}" for a in end.addresses]
                lines[host].append(f"link set {end.interface} up")
            for end in self._ends_of(host):
                lines[host] += self.restored(end)
        script = "".join(_batch(self.netns(host), words) for host, words in lines.items())
        return script + self.ready(self.ends)

    def settings(self) -> str:
        """Return the shell script that sets its sysctls."""
        return "".join(
            f"{_tool(self.netns(host))} put {_path(name)} {value} &&\n"
            for host, name, value in self.sysctls
        )

    def unmake(self, *, rest: bool = False) -> str:
        """Return the shell script that takes away what make() has made, or what of it is there."""
        lines = [f"link del {end.interface}" for end in self.ends if end.host == HERE]
        lines += [f"netns del {self.netns(host)}" for host in self.hosts if host != HERE]
        return _batch("", lines, "-force " if rest else "")

    def restored(self, end: End) -> list[str]:
        """Return the commands of ip(8) for what a host loses when the link at *end* goes down."""
        (wire,) = (wire for wire in self.wires if end in wire.ends)
        near = [ipaddress.IPv4Interface(address).network for address in end.addresses]
        lines = [
            f"route replace {route.to} via {route.via}"
            for route in self.routes
            if route.host == end.host and any(ipaddress.IPv4Address(route.via) in n for n in near)
        ]
        other = wire.other(end)
        permanent = f"lladdr {other.mac} dev {end.interface} nud permanent"
        return lines + [f"neigh replace {a} {permanent}" for a in other.bare if not self.arp]

    def ready(self, ends: Sequence[End]) -> str:
        """Return the part of a script that waits until the links at *ends* carry packets."""
        places = sorted((self.netns(end.host), end.interface) for end in ends)
        words = (f"{netns}/{interface}" if netns else interface for netns, interface in places)
        return f"{_TOOL} ready {' '.join(words)} &&\n"

    def tool(self, end: End) -> str:
        """Return the command that runs vm/init/tool.c where *end* is."""
        return _tool(self.netns(end.host))

    def _ends_of(self, host: str) -> list[End]:
        return [end for end in self.ends if end.host == host]


def _veth(end: End, wire: Wire) -> str:
    return f"{end.interface} address {end.mac} mtu {wire.mtu}"


def _batch(netns: str, lines: Sequence[str], option: str = "") -> str:
    """Return a part of a script: commands of ip(8), all by one process."""
    inside = f"-n {netns} " if netns else ""
    return (
        f"{_IP} {inside}{option}-batch - <<'END' &&\n" + "".join(f"{n}\n" for n in lines) + "END\n"
    )


def _tool(netns: str) -> str:
    return f"{_TOOL} -n {netns}" if netns else _TOOL


def _path(name: str) -> str:
    return f"{SYSCTLS}{name if '/' in name else name.replace('.', '/')}"


def router_plan(*, base: str = "10.0", prefix: str = "", arp: bool = False) -> Plan:
    """Return left - here - right: two hosts, and this one between them, which forwards."""
    wires = tuple(
        Wire(
            name,
            (
                End(HERE, f"{prefix}{name}", (f"{base}.{number}.1/24",)),
                End(name, "eth0", (f"{base}.{number}.2/24",)),
            ),
        )
        for name, number in (("left", 3), ("right", 4))
    )
    routes = (Route("left", "default", f"{base}.3.1"), Route("right", "default", f"{base}.4.1"))
    return Plan(wires, routes, ((HERE, "net.ipv4.ip_forward", "1"),), prefix, arp)


def pair_plan(*, base: str = "10.0", prefix: str = "", mtu: int = 1500) -> Plan:
    """Return left - right: two hosts and the link between them; this one has no part in it."""
    ends = (
        End("left", "eth0", (f"{base}.5.1/24",)),
        End("right", "eth0", (f"{base}.5.2/24",)),
    )
    return Plan((Wire("link", ends, mtu),), prefix=prefix)


def many_addresses_plan(*, base: str = "10.0", prefix: str = "") -> Plan:
    """Return here - left, where this host has four addresses."""
    numbers = (1, 11, 12, 13)
    here = End(HERE, f"{prefix}left", tuple(f"{base}.3.{number}/24" for number in numbers))
    return Plan((Wire("left", (here, End("left", "eth0", (f"{base}.3.2/24",)))),), prefix=prefix)


STANDING: Mapping[str, Callable[[], Plan]] = {
    "router": router_plan,
    "pair": pair_plan,
    "many-addresses": many_addresses_plan,
}
"""What ``topology`` in lab.toml may name."""


def standing_plan(name: str) -> Plan:
    """Return the plan of what a guest has from the start; "" is what vm/init/rc makes itself."""
    if name:
        return STANDING[name]()
    plan = router_plan(arp=True)
    return Plan(plan.wires, plan.routes, arp=True)


def setup(name: str) -> str:
    """Return the script that makes the topology *name* at boot, for vm.image.initramfs."""
    plan = standing_plan(name)
    return f"{{\n{plan.make()}{plan.settings()}true\n}} || exit 1\n" if name else ""


# --- topologies ------------------------------------------------------------------------


@dataclass
class Link:
    """A link of a topology in a guest. What its methods change lasts as long as their block."""

    guest: Guest
    plan: Plan
    wire: Wire
    mtu: int

    def down(self) -> AbstractContextManager[None]:
        """Take the link down; its hosts' routes through it are back at the end, too."""
        end = self.wire.ends[0]
        netns = self.plan.netns(end.host)
        up = _batch(netns, [f"link set {end.interface} up", *self.plan.restored(end)])
        up += self.plan.ready(self.wire.ends)
        return self._changed(_batch(netns, [f"link set {end.interface} down"]), up)

    @contextlib.contextmanager
    def with_mtu(self, mtu: int) -> Iterator[None]:
        """Give both ends another MTU."""
        before = self.mtu
        with self._changed(self._set(f"mtu {mtu}"), self._set(f"mtu {before}")):
            self.mtu = mtu
            try:
                yield
            finally:
                self.mtu = before

    def without_offloads(self) -> AbstractContextManager[None]:
        """Let both hosts do themselves what they leave to the link else, as to a good network card.

        With offloads a packet comes without a checksum (CHECKSUM_PARTIAL) and longer than the MTU
        (GSO); without them it has its checksum, and is as long as on a wire.
        """
        return self._changed(self._offloads("off", 1), self._offloads("on", 65535))

    def netem(self, what: str) -> AbstractContextManager[None]:
        """Delay or lose packets in both directions: "delay 20ms", "loss 10%", see tc-netem(8).

        It takes the package iproute2 and the driver sch_netem.
        """
        return self._changed(self._tc("add", f"netem {what}"), self._tc("del", ""))

    def _tc(self, verb: str, what: str) -> str:
        places = [(self.plan.netns(end.host), end.interface) for end in self.wire.ends]
        return "".join(
            f"tc {f'-n {netns} ' if netns else ''}qdisc {verb} dev {interface} root {what} &&\n"
            for netns, interface in places
        )

    def _set(self, what: str) -> str:
        return "".join(
            _batch(self.plan.netns(end.host), [f"link set {end.interface} {what}"])
            for end in self.wire.ends
        )

    def _offloads(self, switch: str, segments: int) -> str:
        tools = (
            f"{self.plan.tool(e)} offloads {e.interface} {switch} &&\n" for e in self.wire.ends
        )
        return "".join(tools) + self._set(f"gso_max_segs {segments}")

    def _changed(self, change: str, undo: str) -> AbstractContextManager[None]:
        what = f"A change of the link {self.wire.name}"
        return net.changed(self.guest, _shell(change), _shell(undo), what=what)


@dataclass
class Host:
    """A host of a topology; *netns* is the network namespace that it is, "" for the guest's own."""

    guest: Guest
    name: str
    netns: str
    addresses: tuple[str, ...]
    links: tuple[Link, ...]

    @property
    def address(self) -> str:
        """Its first address."""
        return self.addresses[0]

    @property
    def link(self) -> Link:
        """Its link, where it has one alone."""
        return _only(self.links)

    def run(self, argv: Sequence[str], *, deadline: float = 10.0) -> Result:
        """Run a command on this host, as Guest.run() does."""
        return self.guest.run(argv, deadline=deadline, netns=self.netns)

    def start(self, argv: Sequence[str], *, stdin: bool = False) -> Process:
        """Start a command on this host, as Guest.start() does."""
        return self.guest.start(argv, netns=self.netns, stdin=stdin)

    def read(self, path: str) -> str:
        """Return what a file of its /proc says."""
        return self.guest.read(path, self.netns)

    def sysctl(self, name: str, value: str) -> AbstractContextManager[None]:
        """Give a sysctl of this host another value until the block ends."""
        return net.sysctl(self.guest, name, value, netns=self.netns)

    def route(self, to: str, via: str) -> AbstractContextManager[None]:
        """Have a route more until the block ends: *to* a network, *via* an address."""
        return self.ip(f"route add {to} via {via}", f"route del {to} via {via}")

    def with_address(self, address: str) -> AbstractContextManager[None]:
        """Have an address more until the block ends, "10.0.3.9/24", on the host's one link."""
        (end,) = (end for end in self.link.wire.ends if end.host == self.name)
        where = f"{address} dev {end.interface}"
        return self.ip(f"addr add {where}", f"addr del {where}")

    def ip(self, change: str, undo: str) -> AbstractContextManager[None]:
        """Let the program ip do *change* on this host, and *undo* when the block ends."""
        commands = ([_IP, *change.split()], [_IP, *undo.split()])
        return net.changed(self.guest, *commands, netns=self.netns)


@dataclass
class Topology:
    """A topology in a guest: its hosts and links by their names."""

    guest: Guest
    plan: Plan
    hosts: dict[str, Host] = field(init=False)
    links: dict[str, Link] = field(init=False)

    def __post_init__(self) -> None:
        """Make a host and a link of each of the plan's."""
        self.links = {w.name: Link(self.guest, self.plan, w, w.mtu) for w in self.plan.wires}
        self.hosts = {}
        for name in self.plan.hosts:
            ends = [end for end in self.plan.ends if end.host == name]
            links = tuple(k for k in self.links.values() if any(e in ends for e in k.wire.ends))
            addresses = tuple(address for end in ends for address in end.bare)
            self.hosts[name] = Host(self.guest, name, self.plan.netns(name), addresses, links)

    @property
    def left(self) -> Host:
        """The host left."""
        return self.hosts["left"]

    @property
    def right(self) -> Host:
        """The host right."""
        return self.hosts["right"]

    @property
    def here(self) -> Host:
        """The guest's own host, in a topology that has a link to it."""
        return self.hosts[HERE]

    @property
    def link(self) -> Link:
        """The link, where there is one alone."""
        return _only(self.links.values())


def _only(links: Collection[Link]) -> Link:
    if len(links) != 1:
        names = ", ".join(f"links[{link.wire.name!r}]" for link in links) or "none"
        raise ValueError(f"It has not one link alone: there are {names}.")
    return next(iter(links))


_made: WeakKeyDictionary[Guest, list[Plan]] = WeakKeyDictionary()
"""What checks have made in a guest and not taken away yet."""


def of(guest: Guest) -> Topology:
    """Return the topology that *guest* has from the start: what its lab.toml names.

    Without a name that is left and right of the networking lab; this host does not forward, and
    all ask for hardware addresses by ARP.
    """
    return Topology(guest, standing_plan(guest.machine.config.topology))


@contextlib.contextmanager
def made(guest: Guest, plan: Plan) -> Iterator[Topology]:
    """Make the topology *plan* in *guest*, and take it away at the end.

    Raises ValueError where the guest has one with the same names or addresses, Unmet when the
    kernel does not let it be made.
    """
    live = _made.setdefault(guest, [])
    for other in (standing_plan(guest.machine.config.topology), *live):
        same = sorted(plan.names & other.names)
        same += [str(n) for n in plan.networks if any(n.overlaps(m) for m in other.networks)]
        if same:
            raise ValueError(
                f"The guest has a topology with {', '.join(same)} already: give this one another "
                "prefix and other networks."
            )
    make = f"{plan.make()}exit 0\n{{\n{plan.unmake(rest=True)}true\n}} 2> /dev/null\nexit 1\n"
    with contextlib.ExitStack() as stack:
        commands = (_shell(make), _shell(plan.unmake()))
        what = f"Making or removing the hosts {', '.join(h for h in plan.hosts if h != HERE)}"
        stack.enter_context(net.changed(guest, *commands, what=what))
        live.append(plan)
        stack.callback(live.remove, plan)
        for host, name, value in plan.sysctls:
            stack.enter_context(net.sysctl(guest, name, value, netns=plan.netns(host)))
        yield Topology(guest, plan)


def router(
    guest: Guest, *, base: str = "10.1", prefix: str = "t-"
) -> AbstractContextManager[Topology]:
    """Make left - here - right in *guest* until the block ends; this host forwards."""
    return made(guest, router_plan(base=base, prefix=prefix))


def pair(
    guest: Guest, *, base: str = "10.1", prefix: str = "t-", mtu: int = 1500
) -> AbstractContextManager[Topology]:
    """Make left - right in *guest* until the block ends."""
    return made(guest, pair_plan(base=base, prefix=prefix, mtu=mtu))


def many_addresses(
    guest: Guest, *, base: str = "10.1", prefix: str = "t-"
) -> AbstractContextManager[Topology]:
    """Make here - left in *guest* until the block ends; this host has four addresses there."""
    return made(guest, many_addresses_plan(base=base, prefix=prefix))


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", f"{script}true"]
