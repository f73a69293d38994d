"""Exercise 2: an ioctl chooses the one destination whose connections are logged."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable

import diagnose
import pytest
from networking import DEVICE, PROBE, Answer, Filter, Route, connect, ioctl, logged

from checker.engine import endurance
from checker.engine.testbed import Picks, Unmet, errno_name
from vm.errors import GuestError
from vm.guest import Guest


def _route(picks: Picks, address: str, source: str = "127.0.0.1") -> Route:
    return Route(source, picks.port(), address, picks.port())


def _lines_for(syn_filter: Filter, picks: Picks, route: Route, *, must_work: bool = False) -> int:
    """Connect over *route* and count the lines that the module logs for that."""
    mark = syn_filter.module.mark()
    arrived = connect(syn_filter.module.guest, route, picks.token())
    if must_work and not arrived:
        raise Unmet(
            f"A connection to {route.address}, which is not the address that was set, "
            "does not work.",
            expected="the hook returns NF_ACCEPT for it, too",
            actual="nothing arrived",
            hint=diagnose.OTHER_DROPPED,
            packets=[route.packet()],
        )
    # what the listener sends back is exercise 1's business
    return len([x for x in logged(syn_filter.module, mark) if x != route.server])


def _require(
    syn_filter: Filter,
    route: Route,
    message: str,
    expected: int,
    actual: int,
    *,
    why: Callable[[], str],
) -> None:
    if expected != actual:
        raise Unmet(
            message,
            expected="one line" if expected else "no line",
            actual=f"{actual} lines" if actual else "no line",
            log=syn_filter.module.kernel_says(),
            hint=why(),
            packets=[route.packet()],
        )


def _set(syn_filter: Filter, address: str, taken: Callable[[], bool] = lambda: False) -> None:
    """Set *address*; *taken* says, where that fails, if it is in force all the same."""
    error = syn_filter.set_address(address)
    if error:
        raise Unmet(
            f"MY_IOCTL_FILTER_ADDRESS with the address {address} does not work.",
            expected="the ioctl returns 0",
            actual=f"it fails with {errno_name(error)}",
            log=syn_filter.module.kernel_says(),
            hint=diagnose.set_fails(errno.errorcode.get(error, ""), taken=taken()),
        )


@pytest.mark.points(5)
def check_address_set(syn_filter: Filter, picks: Picks) -> None:
    """A connection to the address that was set is logged."""
    address = picks.loopback()
    _set(syn_filter, address, lambda: _is_in_force(syn_filter, picks, address))
    route = _route(picks, address)
    actual = _lines_for(syn_filter, picks, route)
    message = f"The address {address} was set, then a connection to it was opened."
    why = functools.partial(_why_not_seen, syn_filter, picks, address)
    _require(syn_filter, route, message, 1, min(actual, 1), why=why)


# These two try more, for the hint alone, when address-set has failed and nothing is left to
# lose in the exercise: what goes wrong in them is not told.


def _is_in_force(syn_filter: Filter, picks: Picks, address: str) -> bool:
    """Tell whether connections to *address* are logged, and others are not."""
    try:
        return (
            _lines_for(syn_filter, picks, _route(picks, address))
            > 0
            == _lines_for(syn_filter, picks, _route(picks, picks.loopback()))
        )
    except (GuestError, Unmet):
        return False


def _why_not_seen(syn_filter: Filter, picks: Picks, address: str) -> str:
    """Return the hint for *address*, which was set without effect on connections to it."""
    other = picks.loopback()
    try:
        others = _lines_for(syn_filter, picks, _route(picks, other)) > 0
        from_it = _lines_for(syn_filter, picks, _route(picks, other, address)) > 0
        syn_filter.set_address(diagnose.turned(address))
        to_turned = _lines_for(syn_filter, picks, _route(picks, address)) > 0
    except (GuestError, Unmet):
        return ""
    return diagnose.address_not_seen(others=others, from_it=from_it, to_turned=to_turned)


@pytest.mark.points(4)
@pytest.mark.after("2.address-set")
def check_other_address(syn_filter: Filter, picks: Picks) -> None:
    """A connection to another address is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(syn_filter, address)
    message = f"The address {address} was set, then a connection to {other} was opened."
    route = _route(picks, other)
    seen = _lines_for(syn_filter, picks, route, must_work=True)
    _require(syn_filter, route, message, 0, seen, why=lambda: diagnose.OTHER_LOGGED)


@pytest.mark.points(2)
@pytest.mark.after("2.address-set", "2.other-address")
def check_replaced(syn_filter: Filter, picks: Picks) -> None:
    """A second address takes the place of the first."""
    first, second = picks.loopback(), picks.loopback()
    _set(syn_filter, first)
    _set(syn_filter, second)
    said = f"The address {first} was set, then {second}, then a connection was opened to"
    for address, expected in ((first, 0), (second, 1)):
        route = _route(picks, address)
        seen = min(_lines_for(syn_filter, picks, route), 1)
        _require(
            syn_filter, route, f"{said} {address}.", expected, seen, why=lambda: diagnose.REPLACED
        )


@pytest.mark.points(2)
@pytest.mark.after("2.address-set")
def check_source_ignored(syn_filter: Filter, picks: Picks) -> None:
    """A connection that comes from the address that was set, and goes elsewhere, is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(syn_filter, address)
    message = f"The address {address} was set, then a connection from it to {other} was opened."
    route = _route(picks, other, address)
    seen = _lines_for(syn_filter, picks, route)
    _require(syn_filter, route, message, 0, seen, why=lambda: diagnose.SOURCE_LOGGED)


@pytest.mark.points(1)
@pytest.mark.after("2.address-set")
def check_returns_zero(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """When the address was taken the ioctl returns 0."""
    answer = ioctl(guest, "set", picks.loopback())
    if answer != (0, 0):
        raise Unmet(
            "An address was set.",
            expected="the ioctl returns 0",
            actual=f"it fails with {errno_name(answer.errno)}"
            if answer.errno
            else f"it returns {answer.value}",
            hint=diagnose.RETURNS_ZERO,
        )


@pytest.mark.points(2)
@pytest.mark.after("2.address-set")
def check_efault(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A bad pointer gets EFAULT."""
    for pointer in (0, picks.number(1, 4000), 0xFFFF888000000000 + 4096 * picks.number(1, 4000)):
        answer = ioctl(guest, "pointer", hex(pointer))
        message = f"The ioctl got the bad pointer {pointer:#x}."
        _require_errno(message, errno.EFAULT, answer, diagnose.bad_pointer)


@pytest.mark.points(1)
@pytest.mark.after("2.address-set")
def check_enotty(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """An unknown command gets ENOTTY."""
    # _IOW of other letters and numbers: 0x40046b01 is the lab's own
    for command in (0x40046B00 + picks.number(2, 255), 0x40044101 + 256 * picks.number(0, 20)):
        answer = ioctl(guest, "command", hex(command))
        message = f"The ioctl got the unknown command {command:#x}."
        _require_errno(message, errno.ENOTTY, answer, diagnose.unknown_command)


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
                packets=route.packets(),
            )

    what = "An address was set and a connection to it was opened"
    endurance.use(syn_filter.module, work, what, times)


def _require_errno(
    message: str, expected: int, answer: Answer, why: Callable[[str, int], str]
) -> None:
    actual = answer.errno
    if expected != actual:
        raise Unmet(
            message,
            expected=f"it fails with {errno_name(expected)}",
            actual=f"it fails with {errno_name(actual)}"
            if actual
            else f"it returns {answer.value}",
            hint=why(errno.errorcode.get(actual, ""), answer.value),
        )
