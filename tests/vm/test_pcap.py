"""The capture: what is read from a pcap file, whole or cut, sane or not."""

from __future__ import annotations

import pytest
from packets import ACK, FIN, HEADER, PSH, RST, SYN, ethernet, ipv4, record, tcp

from vm import pcap


def test_a_segment_is_read_field_by_field() -> None:
    """Time, addresses, ports and flags come out as they went in."""
    capture = HEADER + record(12, 500000, ethernet(ipv4(tcp(SYN))))
    (segment,) = pcap.tcp_segments(capture)
    assert segment == pcap.Segment(12.5, "10.0.2.15", 40000, "10.0.2.2", 80, SYN)


@pytest.mark.parametrize(
    ("flags", "opens"),
    [
        *((SYN, True), (SYN | PSH, True), (SYN | 0xC0, True)),  # 0xC0: it asks for ECN
        *((SYN | ACK, False), (ACK, False), (FIN | ACK, False), (RST, False), (0, False)),
    ],
)
def test_syn_without_ack_opens_a_connection(flags: int, opens: bool) -> None:
    """Only the two flags count, whatever else is set."""
    (segment,) = pcap.tcp_segments(HEADER + record(0, 0, ethernet(ipv4(tcp(flags)))))
    assert segment.syn is opens


def test_options_of_the_ip_header_are_skipped() -> None:
    """The TCP header is where the IP header's length says."""
    capture = HEADER + record(0, 0, ethernet(ipv4(tcp(SYN, 1234), options=b"\1" * 8)))
    assert [s.source_port for s in pcap.tcp_segments(capture)] == [1234]


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(ipv4(tcp(SYN), protocol=17)),
        ethernet(ipv4(tcp(SYN)), kind=0x0806),
        ethernet(ipv4(tcp(SYN)), kind=0x86DD),
        ethernet(ipv4(tcp(SYN)[:10])),
        ethernet(ipv4(b"")),
        ethernet(b""),
        b"",
    ],
    ids=["udp", "arp", "ipv6", "half a header", "no header", "no packet", "nothing"],
)
def test_what_is_not_tcp_is_left_out(frame: bytes) -> None:
    """Other protocols and broken packets are skipped, and what follows is still read."""
    capture = HEADER + record(0, 0, frame) + record(0, 0, ethernet(ipv4(tcp(SYN, 7))))
    assert [s.source_port for s in pcap.tcp_segments(capture)] == [7]


def test_the_order_is_kept() -> None:
    """Segments come in the order of the capture."""
    frames = [record(i, 0, ethernet(ipv4(tcp(SYN, 1000 + i)))) for i in range(5)]
    found = pcap.tcp_segments(HEADER + b"".join(frames))
    assert [(s.seconds, s.source_port) for s in found] == [(i, 1000 + i) for i in range(5)]


def test_a_capture_still_being_written_is_read_up_to_its_last_whole_frame() -> None:
    """Cut anywhere, a capture gives the frames that are whole."""
    one = record(0, 0, ethernet(ipv4(tcp(SYN, 1))))
    two = record(0, 0, ethernet(ipv4(tcp(SYN, 2))))
    whole = HEADER + one + two
    for size in range(len(whole) + 1):
        found = [s.source_port for s in pcap.tcp_segments(whole[:size])]
        before = (size >= len(HEADER + one)) + (size >= len(whole))
        assert found == [1, 2][:before]


def test_no_capture_is_no_segments() -> None:
    """An empty file, or one with its header alone, has no segments."""
    assert pcap.tcp_segments(b"") == []
    assert pcap.tcp_segments(HEADER) == []
