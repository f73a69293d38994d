"""Made packets for the tests: a pcap file's header and records, Ethernet, IPv4, TCP."""

from __future__ import annotations

import ipaddress
import struct

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)

SYN, ACK, FIN, RST, PSH = 0x02, 0x10, 0x01, 0x04, 0x08


def record(seconds: int, microseconds: int, frame: bytes) -> bytes:
    """One frame as pcap stores it."""
    return struct.pack("<IIII", seconds, microseconds, len(frame), len(frame)) + frame


def ethernet(packet: bytes, kind: int = 0x0800) -> bytes:
    """An Ethernet frame."""
    return b"\x52\x55\x0a\0\2\2" + b"\x52\x54\0\x12\x34\x56" + struct.pack(">H", kind) + packet


def ipv4(payload: bytes, protocol: int = 6, options: bytes = b"") -> bytes:
    """An IPv4 packet from 10.0.2.15 to 10.0.2.2."""
    words = 5 + len(options) // 4
    length = words * 4 + len(payload)
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, length, 1, 0, 64, protocol, 0)
    addresses = (ipaddress.IPv4Address(a).packed for a in ("10.0.2.15", "10.0.2.2"))
    return head + b"".join(addresses) + options + payload


def tcp(flags: int, source: int = 40000, port: int = 80) -> bytes:
    """A TCP header."""
    return struct.pack(">HHIIBBHHH", source, port, 1, 0, 5 << 4, flags, 1000, 0, 0)
