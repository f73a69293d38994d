"""The kit's eyes in a guest: events as records, packets of a device, and nothing left of either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from packets import HEADER, ethernet, ipv4, record, tcp

from checker.engine.testbed import Unmet
from checker.kit import trace
from checker.kit.trace import Probe
from vm import image, snapshot
from vm.errors import VMError
from vm.guest import Guest
from vm.kernel import Kernel
from vm.machine import Config
from vm.tracefs import FOLDER, Format

NC = "/bin/nc"


@pytest.fixture(scope="module")
def guest(at_hand: Kernel) -> Iterator[Guest]:
    """One guest a kernel; each test leaves it as it was."""
    config = Config(at_hand, image.initramfs(at_hand), image.root())
    with snapshot.guest(config, {}) as fresh:
        yield fresh


def send(guest: Guest, to: str, port: int, netns: str = "") -> None:
    """Send a datagram that nobody waits for."""
    line = f"echo hello | {NC} -n -u -w 1 {to} {port}"
    guest.run(["/bin/sh", "-c", line], netns=netns)


def state(guest: Guest) -> str:
    """Return what is switched on of tracing."""
    files = [f"{FOLDER}/{name}" for name in ("set_event", "kprobe_events", "options/overwrite")]
    filters = f"{FOLDER}/events/skb/kfree_skb/filter"
    return "|".join(guest.read(path).strip() for path in (*files, filters))


OFF = "||1|none"


@pytest.mark.vm
def test_events_are_records_and_are_off_afterwards(guest: Guest) -> None:
    """What the filter lets through, with numbers and names; then all is as before."""
    with trace.events(guest, "skb:kfree_skb", filters="protocol == 0x0800") as seen:
        send(guest, "127.0.0.1", 9)
    (record, *_) = [r for r in seen.records if r["reason"] == "NO_SOCKET"]
    assert (record.name, record["protocol"], seen.lost) == ("kfree_skb", 0x0800, 0)
    assert record.number("skbaddr") > 0  # also of the first pointer that the kernel prints
    assert {r["protocol"] for r in seen.records} == {0x0800}
    assert state(guest) == OFF


@pytest.mark.vm
def test_probes_are_events(guest: Guest) -> None:
    """At the start of a function, and at its end; they are gone when the block is left."""
    probes = [
        Probe("asked", "tcp_v4_connect", "length=$arg3:s32"),
        Probe("told", "tcp_v4_connect", "result=$retval:s32", returns=True),
    ]
    with trace.events(guest, probes=probes) as seen, pytest.raises(ZeroDivisionError):
        guest.run([NC, "-n", "-w", "1", "127.0.0.1", "9"])
        assert [(r.name, r.number("length"), r.number("result")) for r in seen.read()] == [
            ("asked", 16, 0),
            ("told", 0, 0),
        ]
        raise ZeroDivisionError
    assert state(guest) == OFF


@pytest.mark.vm
def test_a_trace_is_bounded(guest: Guest) -> None:
    """Its beginning is kept, the rest is counted."""
    with trace.events(guest, "kmem:kmem_cache_alloc", "kmem:kmem_cache_free") as seen:
        guest.run(["/bin/sh", "-c", "ls -lR /sys/kernel /sys/module > /dev/null"])
    assert seen.lost > 0
    assert 500 < len(seen.records) < 20000


@pytest.mark.vm
@pytest.mark.parametrize(
    ("names", "filters", "said"),
    [
        (("skb:no_such",), "", "cannot trace skb:no_such"),
        (("skb:kfree_skb",), "nonsense == 1", "cannot trace skb:kfree_skb"),
        (("kfree_skb",), "", "'kfree_skb' names no event"),
    ],
)
def test_what_the_kernel_does_not_know_is_told(
    guest: Guest, names: tuple[str, ...], filters: str, said: str
) -> None:
    """The event and the reason; and nothing stays on."""
    with pytest.raises(VMError, match=said), trace.events(guest, *names, filters=filters):
        pass
    with trace.events(guest, "skb:kfree_skb"):
        pass
    assert state(guest) == OFF


@pytest.mark.vm
def test_capture_has_every_packet_of_a_device(guest: Guest) -> None:
    """In the namespace that is named: all that was sent within the block and no more."""
    send(guest, "10.0.3.2", 4001)
    with trace.capture(guest, netns="left", interface="eth0") as caught:
        for port in range(4100, 4105):
            send(guest, "10.0.3.2", port)
    send(guest, "10.0.3.2", 4002)
    sent = [p["UDP"] for p in caught.packets if "UDP" in p and p["IP"].src == "10.0.3.1"]
    assert [(p.dport, bytes(p.payload)) for p in sent] == [
        (port, b"hello\n") for port in range(4100, 4105)
    ]


@pytest.mark.vm
def test_capture_on_no_device(guest: Guest) -> None:
    """It is told that there is none."""
    with pytest.raises(VMError, match="nosuch"), trace.capture(guest, interface="nosuch"):
        pass


# --- without a guest ------------------------------------------------------------------


@pytest.mark.vm
def test_a_capture_that_is_refused_in_this_guest_alone_is_unmet(guest: Guest) -> None:
    """A module may refuse sockets for packets: the check fails, and the grader is not to blame.

    Where a namespace is one that the check has made, a capture elsewhere tells.
    """
    guest.run(["/bin/sh", "-c", "ip netns add own && ip -n own link set lo up"])
    with trace.capture(guest, interface="lo"):
        pass
    guest.run(["/bin/sh", "-c", "mount --bind /bin/false /lab/checks/capture"])
    try:
        for netns in ("", "left", "own"):
            with (
                pytest.raises(Unmet, match="keeps packets from being caught"),
                trace.capture(guest, interface="lo", netns=netns),
            ):
                pass
    finally:
        guest.run(["/bin/sh", "-c", "umount /lab/checks/capture; ip netns del own"])


@pytest.mark.vm
def test_a_capture_that_is_ended_is_unmet(guest: Guest) -> None:
    """What was killed has caught nothing that counts."""
    with (
        pytest.raises(Unmet, match="The capture on lo was ended"),
        trace.capture(guest, interface="lo"),
    ):
        guest.run(["/bin/sh", "-c", "kill -9 $(pidof capture)"])


def test_packets_are_taken_apart() -> None:
    """A pcap file as packets with layers; of an empty one there are none."""
    data = HEADER + record(0, 0, ethernet(ipv4(tcp(2))))
    (packet,) = trace.dissect(data)
    assert packet["TCP"].flags == "S"
    assert trace.dissect(b"") == []


def test_scapy_is_read_by_whom_needs_it_alone() -> None:
    """It takes a quarter of a second, which no other check pays."""
    code = "import sys; import checker.kit.trace; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("printed", "text", "fields"),
    [
        ('"dev=%s len=%u", __get_str(name), REC->len', "dev=lo len=31", {"name": "lo", "len": 31}),
        ('"%d%% of %#lx", REC->part, REC->whole', "-5% of 0xff", {"part": -5, "whole": 255}),
        (
            '"to %s (%s)", __print_symbolic(REC->to, { 1, "a, b" }), REC->x ? "y" : "n"',
            "to a, b (n)",
            {"to": "a, b", "x": "n"},
        ),
        ('"id: %u, id: %u", REC->id, REC->id', "id: 1, id: 2", {"id": 1, "field_2": 2}),
        ('"at %p", REC->ptr', "at (null)", {"ptr": 0}),
        ('"%8s|%-4d|", REC->a, REC->b', "       x|4   |", {"a": "x", "b": 4}),
        ('"n=%u", REC->n', "what nobody knows", {"text": "what nobody knows"}),
    ],
)
def test_fields_of_what_an_event_prints(
    printed: str, text: str, fields: dict[str, int | str]
) -> None:
    """Their names come of the format's arguments, their types of its conversions."""
    form = Format.read(f"name: e\nID: 1\nformat:\n\nprint fmt: {printed}\n")
    assert form.fields(text) == fields
