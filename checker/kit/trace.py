"""What passes in a guest: trace events of its kernel, and packets caught on a device.

Events are named and filtered as Documentation/trace/events.rst has it::

    with trace.events(guest, "skb:kfree_skb", filters="protocol == 0x0800") as seen:
        ...
    reasons = [record["reason"] for record in seen.records]

Packets are caught on a device of a host, and come as scapy's::

    with trace.capture(guest, netns="left", interface="eth0") as caught:
        ...
    ports = [packet["UDP"].dport for packet in caught.packets if "UDP" in packet]

Both are bounded, end with the block, and leave nothing behind; only then are ``records``
and ``packets`` there. Ring 0 is the student's: what a trace says explains a result and is
never the reason for one. A capture sees what a device sees, which is evidence, where the
device is of a host that the module has no business with.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from checker.engine.testbed import Late, Unmet
from checker.engine.way import Packet
from checker.lab import GRADERS_OWN
from vm import cache, image, snapshot
from vm.errors import GuestError, VMError
from vm.guest import Guest, Process
from vm.image import PayloadFile
from vm.tracefs import Probe, Record, Trace

if TYPE_CHECKING:
    from scapy.packet import Packet as Frame

__all__ = ["Captured", "Packet", "Probe", "Record", "Trace", "capture", "events"]

_PROGRAM = GRADERS_OWN[0]
_SECONDS = 10.0
_LOOKS = 1000


@contextlib.contextmanager
def events(
    guest: Guest, *names: str, filters: str = "", probes: Sequence[Probe] = ()
) -> Iterator[Trace]:
    """Trace events of the guest's kernel during a block; one block at a time in a guest.

    *names* are SYSTEM:EVENT, all with the same *filters*; *probes* make events of their own
    (Probe). Raises VMError where the kernel does not have them, Unmet where the module keeps
    it from that. At the end *records* has what came first, *lost* how many events had no room
    any more.
    """
    try:
        trace = Trace.start(guest, names, filters, probes)
    except GuestError:
        raise
    except VMError as error:
        with snapshot.guest(guest.machine.config, {}) as fresh:  # else its own error is raised
            Trace.start(fresh, names, filters, probes)
        raise Unmet(
            "The module keeps the kernel from being traced.",
            expected=f"{', '.join(names)} can be switched on, as without the module",
            actual=str(error),
        ) from error
    try:
        yield trace
        trace.read()
    finally:
        if not guest.dead:
            trace.stop()


@dataclass
class Captured:
    """What a capture has caught: *data* is the pcap file; both are empty before its end."""

    data: bytes = b""
    packets: list[Frame] = field(default_factory=list)


@contextlib.contextmanager
def capture(guest: Guest, *, interface: str, netns: str = "") -> Iterator[Captured]:
    """Catch the packets that pass *interface* in the namespace *netns* during a block.

    Each on lo is caught twice, as it goes and as it comes. Raises VMError where there is no
    such device, Unmet where the module keeps packets from being caught, Late where the program
    does not come to its end.
    """
    try:
        process = _begin(guest, interface, netns)
    except GuestError:
        raise
    except VMError as error:
        raise _refused(guest, interface, netns, error) from error
    caught = Captured()
    try:
        yield caught
    except BaseException:
        if not guest.dead:
            process.kill()
        raise
    process.write(b"")
    done = process.wait(_SECONDS)
    if done.how == "timeout":
        raise Late(f"The capture on {interface} does not come to its end.")
    if not done.ok:
        said = done.err.decode(errors="replace").strip()
        raise Unmet(
            f"The capture on {interface} was ended.",
            expected="packets can be caught, as without the module",
            actual=said or f"the program that captures {done.how}, {done.value}",
        )
    caught.data = done.out
    caught.packets = dissect(done.out)


def dissect(data: bytes) -> list[Frame]:
    """Return the packets of a pcap file, taken apart by scapy."""
    from scapy.layers import inet  # noqa: F401 - scapy knows the protocols that were read
    from scapy.utils import rdpcap

    return list(rdpcap(io.BytesIO(data))) if data else []


def _unpack(guest: Guest) -> None:
    """Put the program into the guest, if it is not there."""
    if _PROGRAM in guest.files:
        return
    source = Path(image.__file__).parent / "probe" / "capture.c"
    key = cache.digest(_PROGRAM, source, image.tools().name)
    entry = cache.entry("program", key, lambda f: image.compile_static(source, f / "program"))
    content = (entry / "program").read_bytes()
    guest.unpack({_PROGRAM: PayloadFile(content, executable=True)})


def _begin(guest: Guest, interface: str, netns: str) -> Process:
    """Start the program that captures, and let the guest run until its socket is open."""
    _unpack(guest)
    process = guest.start([f"/lab/{_PROGRAM}", interface], netns=netns, stdin=True)
    _await_header(process)
    return process


def _refused(guest: Guest, interface: str, netns: str, error: VMError) -> VMError | Unmet:
    """Return what to raise where no capture begins: *error* where that is not the module's doing.

    A guest without it tells. What a check has made, as a namespace, is not in there; then it is
    enough that packets can be caught at all.
    """
    with snapshot.guest(guest.machine.config, {}) as fresh:
        there = fresh.run(["/bin/ls", "/sys/class/net"], netns=netns)
        where = (interface, netns) if there.ok else ("lo", "")
        try:
            _begin(fresh, *where).kill()
        except GuestError:
            raise
        except VMError:
            return error  # it fails without the module, too
    return Unmet(
        "The module keeps packets from being caught.",
        expected=f"a capture on {interface} begins, as without the module",
        actual=str(error),
    )


def _await_header(process: Process) -> None:
    """Let the guest run until the program says that its socket is open."""
    for _ in range(_LOOKS):
        if process.out:
            return
        if process.result is not None:
            said = process.result.err.decode(errors="replace").strip()
            raise VMError(f"`{' '.join(process.argv)}` fails in the guest: {said}")
        process.guest.sync()
    process.kill()
    raise Late("The program that captures does not start.")
