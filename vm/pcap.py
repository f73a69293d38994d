"""Read the capture that QEMU's filter-dump writes: classic pcap, Ethernet, IPv4, TCP."""

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
