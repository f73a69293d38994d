"""Exercise 2: an ioctl chooses the one destination whose connections are logged."""

from __future__ import annotations

import errno

import pytest
from networking import DEVICE, PROBE, Filter, Route, connect, ioctl, logged

from checker import endurance
from checker.testbed import Picks, Unmet, errno_name
from vm.guest import Guest


def _lines_for(
    syn_filter: Filter,
    picks: Picks,
    address: str,
    *,
    source: str = "127.0.0.1",
    must_work: bool = False,
) -> int:
    """Connect to *address* and count the lines that the module logs for that."""
    mark = syn_filter.module.mark()
    route = Route(source, picks.port(), address, picks.port())
    arrived = connect(syn_filter.module.guest, route, picks.token())
    if must_work and not arrived:
        raise Unmet(
            f"A connection to {address}, which is not the address that was set, does not work.",
            expected="the hook returns NF_ACCEPT for it, too",
            actual="nothing arrived",
        )
    # what the listener sends back is exercise 1's business
    return len([x for x in logged(syn_filter.module, mark) if x != route.server])


def _require(syn_filter: Filter, message: str, expected: int, actual: int) -> None:
    if expected != actual:
        raise Unmet(
            message,
            expected="one line" if expected else "no line",
            actual=f"{actual} lines" if actual else "no line",
            log=syn_filter.module.kernel_says(),
        )


def _set(syn_filter: Filter, address: str) -> None:
    error = syn_filter.set_address(address)
    if error:
        raise Unmet(
            f"MY_IOCTL_FILTER_ADDRESS with the address {address} does not work.",
            expected="the ioctl returns 0",
            actual=f"it fails with {errno_name(error)}",
            log=syn_filter.module.kernel_says(),
        )


@pytest.mark.points(5)
def check_address_set(syn_filter: Filter, picks: Picks) -> None:
    """A connection to the address that was set is logged."""
    address = picks.loopback()
    _set(syn_filter, address)
    actual = _lines_for(syn_filter, picks, address)
    message = f"The address {address} was set, then a connection to it was opened."
    _require(syn_filter, message, 1, min(actual, 1))


@pytest.mark.points(4)
@pytest.mark.after("2.address-set")
def check_other_address(syn_filter: Filter, picks: Picks) -> None:
    """A connection to another address is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(syn_filter, address)
    message = f"The address {address} was set, then a connection to {other} was opened."
    _require(syn_filter, message, 0, _lines_for(syn_filter, picks, other, must_work=True))


@pytest.mark.points(3)
@pytest.mark.after("2.address-set", "2.other-address")
def check_replaced(syn_filter: Filter, picks: Picks) -> None:
    """A second address takes the place of the first."""
    first, second = picks.loopback(), picks.loopback()
    _set(syn_filter, first)
    _set(syn_filter, second)
    said = f"The address {first} was set, then {second}, then a connection was opened to"
    _require(syn_filter, f"{said} {first}.", 0, _lines_for(syn_filter, picks, first))
    _require(syn_filter, f"{said} {second}.", 1, min(_lines_for(syn_filter, picks, second), 1))


@pytest.mark.points(2)
@pytest.mark.after("2.address-set")
def check_source_ignored(syn_filter: Filter, picks: Picks) -> None:
    """A connection that comes from the address that was set, and goes elsewhere, is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(syn_filter, address)
    message = f"The address {address} was set, then a connection from it to {other} was opened."
    _require(syn_filter, message, 0, _lines_for(syn_filter, picks, other, source=address))


@pytest.mark.points(2)
@pytest.mark.after("2.address-set")
def check_efault(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A bad pointer gets EFAULT."""
    for pointer in (0, picks.number(1, 4000), 0xFFFF888000000000 + 4096 * picks.number(1, 4000)):
        error = ioctl(guest, "pointer", hex(pointer))
        _require_errno(f"The ioctl got the bad pointer {pointer:#x}.", errno.EFAULT, error)


@pytest.mark.points(1)
@pytest.mark.after("2.address-set")
def check_enotty(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """An unknown command gets ENOTTY."""
    # _IOW of other letters and numbers: 0x40046b01 is the lab's own
    for command in (0x40046B00 + picks.number(2, 255), 0x40044101 + 256 * picks.number(0, 20)):
        error = ioctl(guest, "command", hex(command))
        _require_errno(f"The ioctl got the unknown command {command:#x}.", errno.ENOTTY, error)


@pytest.mark.points(1)
@pytest.mark.after("2.address-set")
@pytest.mark.needs("TRACEPOINTS")
def check_clean_use(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """However often an address is set and a connection is opened, nothing is left of it."""
    address, times = picks.loopback(), 20
    route = Route(picks.loopback(), picks.port(), address, picks.port())

    def work() -> None:
        argv = [PROBE, "work", DEVICE, str(times), *(str(part) for part in route)]
        done = guest.run(argv, deadline=60)
        if not done.ok:
            raise Unmet(
                f"An address cannot be set, and a connection be made, {times} times in a row.",
                expected=f"{times} times the ioctl returns 0 and the connection works",
                actual=done.err.decode(errors="replace").strip() or "it does not come to an end",
            )

    what = "An address was set and a connection to it was opened"
    endurance.use(syn_filter.module, work, what, times)


def _require_errno(message: str, expected: int, actual: int) -> None:
    if expected != actual:
        raise Unmet(
            message,
            expected=f"it fails with {errno_name(expected)}",
            actual=f"it fails with {errno_name(actual)}" if actual else "it returns 0",
        )
