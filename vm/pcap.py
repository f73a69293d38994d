"""Read the capture that QEMU's filter-dump writes: classic pcap, Ethernet, IPv4 and what is in it.

tcp_segments() is for checks, packets() for people.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_FILE_HEADER = 24
_RECORD_HEADER = struct.Struct("<IIII")
_ETHERTYPE_IPV4 = b"\x08\x00"
_PROTOCOL_TCP = 6


@dataclass(frozen=True)
class Segment:
    """One TCP segment on the wire; *seconds* is guest time."""

    seconds: float
    source: str
    source_port: int
    address: str
    port: int
    flags: int

    @property
    def syn(self) -> bool:
        """Whether it opens a connection: SYN set, ACK clear (RFC 9293, 3.1)."""
        return self.flags & 0x12 == 0x02


def frames(capture: bytes) -> Iterator[tuple[float, bytes]]:
    """Yield each whole frame of a pcap file with its time in seconds."""
    at = _FILE_HEADER
    while at + _RECORD_HEADER.size <= len(capture):
        seconds, microseconds, size, _ = _RECORD_HEADER.unpack_from(capture, at)
        at += _RECORD_HEADER.size
        if at + size > len(capture):
            return
        yield seconds + microseconds / 1e6, capture[at : at + size]
        at += size


def tcp_segments(capture: bytes) -> list[Segment]:
    """Return the TCP segments over IPv4 in *capture*, in order."""
    found = []
    for seconds, frame in frames(capture):
        packet = frame[14:]
        header = (packet[0] & 15) * 4 if packet else 0
        if frame[12:14] != _ETHERTYPE_IPV4 or packet[9:10] != bytes([_PROTOCOL_TCP]):
            continue
        tcp = packet[header:]
        if len(tcp) < 14:
            continue
        source_port, port = struct.unpack_from(">HH", tcp)
        source, address = (str(ipaddress.IPv4Address(packet[i : i + 4])) for i in (12, 16))
        found.append(Segment(seconds, source, source_port, address, port, tcp[13]))
    return found


@dataclass(frozen=True)
class Packet:
    """One frame as a person reads it; *seconds* is guest time, *length* bytes of the frame.

    *source* and *destination* are 10.0.2.15:40000 where there are ports, else an address,
    else that of the hardware; *info* says TCP's flags, or what ICMP or ARP want.
    """

    seconds: float
    source: str
    destination: str
    protocol: str
    info: str
    length: int
    announcement: bool = False
    """Whether it only tells switches where the guest is, as after it was restored."""


_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")  # from bit 0 on (RFC 9293, 3.1)
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP"}
_ETHERTYPES = {0x0806: "ARP", 0x8035: "RARP", 0x86DD: "IPv6"}
_ICMP = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}


def packets(capture: bytes) -> list[Packet]:
    """Return every frame in *capture*, in order; one that is not IPv4 has hardware addresses."""
    return [_packet(seconds, frame) for seconds, frame in frames(capture)]


def _packet(seconds: float, frame: bytes) -> Packet:
    to, by, kind = frame[:6].hex(":"), frame[6:12].hex(":"), int.from_bytes(frame[12:14])
    packet = frame[14:]
    if kind == 0x0800 and len(packet) >= 20:
        return _ipv4(seconds, packet, len(frame))
    info, announcement = "", kind == 0x8035
    if kind == 0x0806 and len(packet) >= 28:
        sender, target = (str(ipaddress.IPv4Address(packet[i : i + 4])) for i in (14, 24))
        announcement = sender == target
        info = f"{sender} is here" if packet[7] == 2 or announcement else f"who has {target}"
    name = _ETHERTYPES.get(kind, f"{kind:#06x}")
    return Packet(seconds, by, to, name, info, len(frame), announcement)


def _ipv4(seconds: float, packet: bytes, length: int) -> Packet:
    source, destination = (str(ipaddress.IPv4Address(packet[i : i + 4])) for i in (12, 16))
    protocol = _PROTOCOLS.get(packet[9], f"IP {packet[9]}")
    payload = packet[(packet[0] & 15) * 4 :]
    info = ""
    if int.from_bytes(packet[6:8]) & 0x1FFF:
        payload, info = b"", "fragment"
    if protocol in ("TCP", "UDP") and len(payload) >= 4:
        ports = struct.unpack_from(">HH", payload)
        source, destination = f"{source}:{ports[0]}", f"{destination}:{ports[1]}"
    if protocol == "TCP" and len(payload) >= 14:
        info = " ".join(name for bit, name in enumerate(_FLAGS) if payload[13] >> bit & 1)
    if protocol == "ICMP" and payload:
        info = _ICMP.get(payload[0], f"type {payload[0]}")
    return Packet(seconds, source, destination, protocol, info, length)
