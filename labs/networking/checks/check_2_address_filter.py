"""Exercise 2: an ioctl chooses the one destination whose connections are logged."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable

import better
import diagnose
import headlines
import pytest
from networking import DEVICE, PROBE, Answer, Filter, Route, connect, ioctl

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
    answer = syn_filter.answer(route)
    return len([x for x in syn_filter.logged(mark) if x != answer])


def _require(
    syn_filter: Filter,
    route: Route,
    done: str,
    expected: int,
    actual: int,
    *,
    why: Callable[[], str],
) -> None:
    if expected != actual:
        seen = headlines.count(actual, "line") if actual else "no line"
        raise Unmet(
            f"{done}, and {headlines.logged(actual)}.",
            expected="one line" if expected else "no line",
            actual=seen,
            log=syn_filter.module.kernel_says(),
            hint=why(),
            packets=[route.packet()],
        )


def _set(syn_filter: Filter, address: str, taken: Callable[[], bool] = lambda: False) -> None:
    """Set *address*; *taken* says, where that fails, if it is in force all the same.

    Where the module turns the bytes of an address, it gets one that is turned round.
    """
    error = syn_filter.set_address(diagnose.turned(address) if syn_filter.turns else address)
    if error:
        raise Unmet(
            f"MY_IOCTL_FILTER_ADDRESS with the address {address} failed.",
            expected="the ioctl returns 0",
            actual=f"it fails with {errno_name(error)}",
            log=syn_filter.module.kernel_says(),
            hint=diagnose.set_fails(errno.errorcode.get(error, ""), taken=taken()),
        )


@pytest.mark.points(2)
def check_takes_address(syn_filter: Filter, picks: Picks) -> None:
    """MY_IOCTL_FILTER_ADDRESS with an address does not fail."""
    address = picks.loopback()
    _set(syn_filter, address, lambda: _is_in_force(syn_filter, picks, address))


@pytest.mark.points(1)
@pytest.mark.after("2.takes-address")
def check_chooses(syn_filter: Filter, picks: Picks, seen: dict[str, bool]) -> None:
    """After an address was set, a connection to it is logged, in either byte order."""
    address = picks.loopback()
    _set(syn_filter, address)
    route = _route(picks, address)
    if _lines_for(syn_filter, picks, route):
        return
    _set(syn_filter, diagnose.turned(address))
    turned = _lines_for(syn_filter, picks, _route(picks, address))
    others = _lines_for(syn_filter, picks, _route(picks, picks.loopback()))
    seen["turns"] = turned > 0 == others
    if not seen["turns"]:
        _set(syn_filter, address)
        why = functools.partial(_why_not_seen, syn_filter, picks, address)
        _require(syn_filter, route, _was_set(address, address), 1, 0, why=why)


def _was_set(address: str, to: str, source: str = "") -> str:
    """Say what was done: the first half of a sentence."""
    origin = f"from {source} to" if source else "to"
    return f"The address {address} was set, a connection {origin} {to} was opened"


@pytest.mark.points(3)
@pytest.mark.after("2.chooses")
def check_address_set(syn_filter: Filter, picks: Picks) -> None:
    """A connection to the address that was set is logged."""
    address = picks.loopback()
    _set(syn_filter, address)
    route = _route(picks, address)
    actual = _lines_for(syn_filter, picks, route)
    why = functools.partial(_why_not_seen, syn_filter, picks, address)
    _require(syn_filter, route, _was_set(address, address), 1, min(actual, 1), why=why)


# These two try more, for the hint alone, when a check has failed: what goes wrong in them is
# not told.


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


@pytest.mark.points(3)
@pytest.mark.after("2.chooses")
def check_other_address(chosen: Filter, picks: Picks) -> None:
    """A connection to another address is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(chosen, address)
    route = _route(picks, other)
    found = _lines_for(chosen, picks, route, must_work=True)
    _require(chosen, route, _was_set(address, other), 0, found, why=lambda: diagnose.OTHER_LOGGED)


@pytest.mark.points(2)
@pytest.mark.after("2.chooses", "2.other-address")
def check_replaced(chosen: Filter, picks: Picks) -> None:
    """A second address takes the place of the first."""
    first, second = picks.loopback(), picks.loopback()
    _set(chosen, first)
    _set(chosen, second)
    said = f"The address {first} was set, then {second}, and a connection was opened to"
    for address, expected in ((first, 0), (second, 1)):
        route = _route(picks, address)
        found = min(_lines_for(chosen, picks, route), 1)
        _require(chosen, route, f"{said} {address}", expected, found, why=lambda: diagnose.REPLACED)


@pytest.mark.points(2)
@pytest.mark.after("2.chooses")
def check_source_ignored(chosen: Filter, picks: Picks) -> None:
    """A connection that comes from the address that was set, and goes elsewhere, is not logged."""
    address, other = picks.loopback(), picks.loopback()
    _set(chosen, address)
    said = _was_set(address, other, source=address)
    route = _route(picks, other, address)
    found = _lines_for(chosen, picks, route)
    _require(chosen, route, said, 0, found, why=lambda: diagnose.SOURCE_LOGGED)


@pytest.mark.points(1)
@pytest.mark.after("2.takes-address")
def check_returns_zero(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """When the address was taken the ioctl returns 0."""
    answer = ioctl(guest, "set", picks.loopback())
    if answer != (0, 0):
        raise Unmet(
            headlines.ioctl(
                "The ioctl got an address", errno.errorcode.get(answer.errno, ""), answer.value
            ),
            expected="the ioctl returns 0",
            actual=f"it fails with {errno_name(answer.errno)}"
            if answer.errno
            else f"it returns {answer.value}",
            hint=diagnose.RETURNS_ZERO,
        )


@pytest.mark.points(2)
@pytest.mark.after("2.takes-address")
def check_efault(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """A bad pointer gets EFAULT."""
    for pointer in (0, picks.number(1, 4000), 0xFFFF888000000000 + 4096 * picks.number(1, 4000)):
        answer = ioctl(guest, "pointer", hex(pointer))
        done = f"The ioctl got the bad pointer {pointer:#x}"
        _require_errno(done, errno.EFAULT, answer, diagnose.bad_pointer)
    if _is_cleared(syn_filter, picks):
        syn_filter.module.remark(better.CLEARED)


def _is_cleared(syn_filter: Filter, picks: Picks) -> bool:
    """Tell whether a bad pointer changes the address that was set before."""
    address, other = picks.loopback(), picks.loopback()
    try:
        _set(syn_filter, address)
        if _lines_for(syn_filter, picks, _route(picks, other)) or not _lines_for(
            syn_filter, picks, _route(picks, address)
        ):
            return False  # the address does not choose: that is another check's business
        ioctl(syn_filter.module.guest, "pointer", "0")
        return bool(
            _lines_for(syn_filter, picks, _route(picks, other))
            or not _lines_for(syn_filter, picks, _route(picks, address))
        )
    except (GuestError, Unmet):
        return False


@pytest.mark.points(1)
@pytest.mark.after("2.takes-address")
def check_enotty(syn_filter: Filter, guest: Guest, picks: Picks) -> None:
    """An unknown command gets ENOTTY."""
    # _IOW of other letters and numbers: 0x40046b01 is the lab's own
    for command in (0x40046B00 + picks.number(2, 255), 0x40044101 + 256 * picks.number(0, 20)):
        answer = ioctl(guest, "command", hex(command))
        done = f"The ioctl got the unknown command {command:#x}"
        _require_errno(done, errno.ENOTTY, answer, diagnose.unknown_command)


@pytest.mark.points(1)
@pytest.mark.after("2.takes-address")
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
                hint=diagnose.in_a_row(done.err.decode(errors="replace")),
                packets=route.packets(),
            )

    what = (
        "The ioctl got an address, a bad pointer and an unknown command, and a connection was "
        "opened"
    )
    endurance.use(syn_filter.module, work, what, times)


def _require_errno(
    done: str, expected: int, answer: Answer, why: Callable[[str, int], str]
) -> None:
    actual = answer.errno
    if expected != actual:
        raise Unmet(
            headlines.ioctl(done, errno.errorcode.get(actual, ""), answer.value),
            expected=f"it fails with {errno_name(expected)}",
            actual=f"it fails with {errno_name(actual)}"
            if actual
            else f"it returns {answer.value}",
            hint=why(errno.errorcode.get(actual, ""), answer.value),
        )
