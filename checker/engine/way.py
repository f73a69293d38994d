"""The way of a packet: which of netfilter's places it came to, what hooks said there, its end.

A check that is about a packet names it (``Unmet(..., packet=Packet("tcp", ...))``). Where it
fails the engine runs it once more in a new guest, with vm/way loaded and trace events on, and
what was seen of that packet stands in the report. Checks that pass cost nothing.

Ring 0 is the student's, who can make a trace say anything. A way explains a result
and is never the reason for one.
"""

from __future__ import annotations

import errno
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from checker.model import Outcome, Step, Way
from vm import witness
from vm.errors import VMError
from vm.guest import Guest
from vm.tracefs import Record, Trace

PLACES = ("PRE_ROUTING", "LOCAL_IN", "FORWARD", "LOCAL_OUT", "POST_ROUTING")
"""Netfilter's places by their numbers (include/uapi/linux/netfilter.h)."""

_LEAVING = ("LOCAL_OUT", "POST_ROUTING")
_EVENTS = ("way:place", "way:verdict", "way:socket", "skb:kfree_skb", "printk:console")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
_NAMES = {number: name.upper() for name, number in _PROTOCOLS.items()}
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")  # from bit 0 on (RFC 9293, 3.1)
_VERDICTS = ("NF_DROP", "NF_ACCEPT", "NF_STOLEN", "NF_QUEUE", "NF_REPEAT", "NF_STOP")
_FULL = ("SOCKET_RCVBUFF", "PROTO_MEM")
"""Why a socket that a packet came to did not take it."""

_REASONS = {
    "NETFILTER_DROP": "by a netfilter hook",
    "NO_SOCKET": "no socket has this port",
    "SOCKET_RCVBUFF": "the socket's receive buffer is full",
    "TCP_CSUM": "its TCP checksum is wrong",
    "UDP_CSUM": "its UDP checksum is wrong",
    "IP_CSUM": "its IP checksum is wrong",
    "IP_INHDR": "its IP header is wrong",
    "IP_RPFILTER": "no packet may come from that source on that link",
    "OTHERHOST": "it is for another host",
    "NEIGH_FAILED": "nobody answers to that address on the link",
}
"""What some of the kernel's drop reasons mean (include/net/dropreason-core.h)."""

_MOST_OTHERS = 3


@dataclass(frozen=True)
class Packet:
    """Which packet a check is about: the first that fits. What is empty or 0 fits any.

    *flags* are TCP's, all that are set: "SYN", "SYN ACK". *later*: a fragment, not the first.
    """

    protocol: Literal["tcp", "udp", "icmp"]
    source: str = ""
    source_port: int = 0
    address: str = ""
    port: int = 0
    flags: str = ""
    later: bool = False

    def fits(self, seen: Record) -> bool:
        """Tell whether it is the one that came to a place."""
        wanted = (
            (_number(self.source), seen.number("source")),
            (self.source_port, seen.number("source_port")),
            (_number(self.address), seen.number("destination")),
            (self.port, seen.number("destination_port")),
            (_bits(self.flags), seen.number("flags")),
        )
        return (
            seen.number("protocol") == _PROTOCOLS[self.protocol]
            and (seen.number("fragment") > 0) == self.later
            and all(not want or want == have for want, have in wanted)
        )

    def __str__(self) -> str:
        """Write it as a report does."""
        if not (self.source or self.source_port or self.address or self.port):
            return f"any {self.protocol.upper()} packet"
        ends = [
            f"{address or 'any address'}{f':{port}' if port else ''}"
            for address, port in ((self.source, self.source_port), (self.address, self.port))
        ]
        return f"{self.protocol.upper()} {' -> '.join(ends)}{self.flags and f', {self.flags}'}"


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address)) if address else 0


def _bits(flags: str) -> int:
    return sum(1 << _FLAGS.index(flag) for flag in flags.split())


class Recording:
    """All packets in a guest from now on, until it is read; the guest is to be thrown away."""

    def __init__(self, guest: Guest) -> None:
        """Load way.ko, before the guest has code of a submission; VMError where that fails."""
        guest.unpack(witness.way(guest.machine.config.kernel))
        loaded = guest.run(["/sbin/tool", "insmod", f"/lab/{witness.WAY}"])
        if not loaded.ok:
            raise VMError(f"way.ko cannot be loaded: {loaded.err.decode(errors='replace')}")
        names = guest.run(["/bin/sh", "-c", "ls -1iL /proc/self/ns/net /run/netns/*"]).text
        self.hosts = hosts(names)
        self._trace = Trace.start(guest, _EVENTS)

    def way(self, packets: Sequence[Packet], module: str) -> Way | None:
        """Return the way of the first of *packets* that was lost, or of the first of all.

        *module* is the student's. None where the guest went.
        """
        if self._trace.guest.dead:
            return None
        records = [r for r in self._trace.read() if "text" not in r.fields]  # that is none of way's
        ways = [way(records, packet, module, self.hosts) for packet in packets]
        return next((w for w in ways if w.outcome in ("dropped", "held", "unseen")), ways[0])


def hosts(listing: str) -> dict[int, str]:
    """Return the names of network namespaces by their numbers; "" is this host.

    *listing* is what ls -1i prints of a process's own and of those in /run/netns.
    """
    found = re.findall(r"^\s*(\d+) (/\S+)$", listing, re.MULTILINE)
    return {
        int(number): "" if path.startswith("/proc") else path.rpartition("/")[2]
        for number, path in found
    }


# --- what a trace tells ---------------------------------------------------------------


def way(records: Sequence[Record], packet: Packet, module: str, names: Mapping[int, str]) -> Way:
    """Return the way of the first packet in a trace that *packet* fits.

    *module* is the student's module, *names* those of hosts by namespace.
    """
    first = next((i for i, seen in enumerate(records) if _comes(seen) and packet.fits(seen)), None)
    if first is None:
        return _never(records, packet)
    head = records[first]
    followed = _Followed(names, module, skb=head["skbaddr"])
    for seen in records[first:]:
        if not followed.note(head, seen):
            break
    found = followed.way(head)
    elsewhere = _places_of(records, module)
    if elsewhere and not any(step.yours for step in found.steps):
        note = f"Your hook is called at {' and '.join(elsewhere)}, to which it did not come here."
        return found.model_copy(update={"note": note})
    return found


def _places_of(records: Sequence[Record], module: str) -> list[str]:
    """Return the places at which hooks of the student's were called."""
    called = {
        seen.number("place")
        for seen in records
        if seen.name == "verdict" and seen.text("function").endswith(f" [{module}]")
    }
    return [PLACES[place] for place in sorted(called)]


def _comes(seen: Record) -> bool:
    return seen.name == "place" and not seen.number("through")


def _same(head: Record, seen: Record) -> bool:
    """Tell whether a packet is that of *head*; NAT may have changed an end of one with an id."""
    alike = ("protocol", "id", "fragment", "flags")
    ends = (("source", "source_port"), ("destination", "destination_port"))
    kept = [all(head[name] == seen[name] for name in end) for end in ends]
    enough = any if head.number("id") else all
    return enough(kept) and all(head[name] == seen[name] for name in alike)


@dataclass
class _Followed:
    """What is known of a packet's way while a trace is read."""

    names: Mapping[int, str]
    module: str
    skb: int | str
    steps: list[Step] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    out: str = ""
    through: bool = False
    outcome: Outcome | None = None
    end: str = ""

    def note(self, head: Record, seen: Record) -> bool:
        """Take in an event; return False when nothing of this packet comes any more."""
        if seen.name == "console":
            self.logged.append(seen.text("msg"))
            return True
        if seen.name == "place" and _same(head, seen):
            self.skb = seen["skbaddr"]
            return self._place(seen)
        if seen.fields.get("skbaddr") != self.skb:
            return True
        if seen.name == "verdict" and self.steps:
            self._called(seen)
            return self.outcome is None
        if self.outcome == "dropped" or seen.name == "place":
            return False  # the memory is another packet's by now
        if seen.name == "socket":
            self.outcome, self.end = "delivered", f"delivered to port {seen['port']}"
        if seen.name == "kfree_skb" and (self.outcome is None or seen.text("reason") in _FULL):
            self._dropped(seen.text("reason"))
        return True

    def _place(self, seen: Record) -> bool:
        """It comes to a place; return False when it was there before: it is sent once more."""
        place, host = PLACES[seen.number("place")], self.names.get(seen.number("host"), "another")
        through, out = seen.number("through") == 1, seen.text("out")
        if not through and any((step.host, step.place) == (host, place) for step in self.steps):
            return False
        self.through, self.out = through, out
        if not through:
            self.logged = []
            link = out if place in _LEAVING else seen.text("in")
            self.steps.append(Step(place=place, host=host, link=link))
        return True

    def _called(self, seen: Record) -> None:
        """A hook function has returned."""
        name, _, owner = seen.text("function").partition(" ")
        step = self.steps[-1]
        yours = owner == f"[{self.module}]"
        told = step.model_copy(
            update={
                "function": name,
                "yours": yours,
                "verdict": verdict(seen.number("verdict")),
                "logged": tuple(self.logged) if yours else (),
            }
        )
        self.steps[-1:] = [step, told] if step.function else [told]
        self.logged = []

    def _dropped(self, reason: str) -> None:
        known = _REASONS.get(reason, "")
        self.outcome = "dropped"
        self.end = f"dropped: {known} ({reason})" if known else f"dropped ({reason})"

    def way(self, head: Record) -> Way:
        """Return it, when the trace is over."""
        last = self.steps[-1]
        whose = "your hook" if last.yours else last.function or "a hook"
        if last.verdict.startswith("NF_STOLEN"):
            self.outcome, self.end = "held", f"kept by {whose}, which has to free it (NF_STOLEN)"
        elif last.verdict.startswith("NF_QUEUE") and self.outcome is None:
            self.outcome, self.end = "held", f"queued by {whose} for a program (NF_QUEUE)"
        elif last.verdict.startswith("NF_DROP") and self.outcome != "delivered":
            self.outcome, self.end = "dropped", f"dropped by {whose}"
        elif self.outcome is None and self.through and last.place == "POST_ROUTING":
            self.outcome, self.end = "sent", f"sent on {self.out}"
        elif self.outcome is None and self.through and last.place == "LOCAL_IN":
            protocol = _NAMES.get(head.number("protocol"), "its protocol")
            self.outcome, self.end = "delivered", f"given to {protocol}"
        elif self.outcome is None:
            self.outcome, self.end = "unseen", "not seen any more after that"
        return Way(packet=_told(head), steps=tuple(self.steps), outcome=self.outcome, end=self.end)


def verdict(value: int) -> str:
    """Return what a hook returned, as include/uapi/linux/netfilter.h names it."""
    low, high = value & 0xFF, value >> 16
    if low >= len(_VERDICTS) or (value & 0xFF00 and _VERDICTS[low] != "NF_QUEUE"):
        return f"{value:#x}, which is no verdict"
    name = _VERDICTS[low]
    if high and name == "NF_QUEUE":
        return f"{name}, number {high}"
    if high and name == "NF_DROP":
        return f"{name} with {errno.errorcode.get(-(value >> 16) & 0xFFFF, 'an error')}"
    return name


def _told(seen: Record) -> str:
    """Write a packet that came to a place as a report does."""
    number = seen.number("protocol")
    name = _NAMES.get(number, f"IP protocol {number}")
    ends = []
    for address, port in (("source", "source_port"), ("destination", "destination_port")):
        at = f":{seen.number(port)}" if seen.number(port) else ""
        ends.append(f"{ipaddress.IPv4Address(seen.number(address))}{at}")
    flags = [flag for bit, flag in enumerate(_FLAGS) if seen.number("flags") >> bit & 1]
    fragment = ["a later fragment"] if seen.number("fragment") else []
    return ", ".join([f"{name} {' -> '.join(ends)}", *([" ".join(flags)] if flags else fragment)])


def _never(records: Sequence[Record], packet: Packet) -> Way:
    """Return the way of a packet that came to no place, and which ones of its protocol did."""
    others = [
        _told(seen)
        for seen in records
        if _comes(seen) and seen.number("protocol") == _PROTOCOLS[packet.protocol]
    ]
    distinct = list(dict.fromkeys(others))[:_MOST_OTHERS]
    instead = f"; what was sent is {' and '.join(distinct)}" if distinct else ""
    return Way(packet=str(packet), outcome="never", end=f"no such packet was sent{instead}")
