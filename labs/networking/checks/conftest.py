"""Fixtures of the networking lab: each module loaded and ready, and a receiver of datagrams.

The two hooks name the mistake where it is insmod or rmmod that fails, in whichever check.
"""

from __future__ import annotations

from collections.abc import Iterator

import better
import diagnose
import lines
import pytest
from networking import (
    DEVICE,
    PROBE,
    Filter,
    Receiver,
    Route,
    Server,
    Socket,
    connect,
)

from checker.engine.testbed import Module, Picks, Unmet
from checker.kit import net
from vm.guest import Guest


@pytest.fixture(scope="session")
def readings() -> dict[Guest, tuple[bool, lines.Style]]:
    """Whether the module needs an address before it logs, and how, by guest: asked once each."""
    return {}


@pytest.fixture(scope="session")
def seen() -> dict[str, bool]:
    """What an earlier check of the exercise has seen of the module, for those that follow."""
    return {}


@pytest.fixture
def syn_filter(
    request: pytest.FixtureRequest,
    module: Module,
    readings: dict[Guest, tuple[bool, lines.Style]],
    picks: Picks,
) -> Filter:
    """The filter module, loaded, with its device node made."""
    guest = module.guest
    # taken in any case, so that a check's own are the same in each of its guests
    ways = [Route(picks.loopback(), picks.port(), picks.loopback(), picks.port()) for _ in "12"]
    token = picks.token()
    if guest not in readings:
        guest.run(["/sbin/tool", "mknod", DEVICE, "42"])
    module.load()
    the_filter = Filter(module)
    # a second guest has the same module, and its check none that has run before
    if guest not in readings and readings:
        readings[guest] = next(iter(readings.values()))
    if guest not in readings:
        said = _said(module, ways[0], token)
        needs_address = not lines.known(said, *ways[0].ends)
        # exercise 2's checks are the first to set an address
        if needs_address and request.path.stem.startswith("check_1_"):
            the_filter.set_address(ways[1].address)
            said, ways[0] = _said(module, ways[1], token), ways[1]
        readings[guest] = needs_address, lines.style(said, *ways[0].ends)
    the_filter.needs_address, the_filter.style = readings[guest]
    return the_filter


def _said(module: Module, route: Route, token: str) -> list[str]:
    """Connect over *route*; return what the kernel logs meanwhile."""
    mark = module.mark()
    connect(module.guest, route, token)
    return [record.text for record in module.log(mark)]


@pytest.fixture
def chosen(syn_filter: Filter, seen: dict[str, bool]) -> Filter:
    """The filter, to be set as it takes an address: 2.address-set is about the right way."""
    syn_filter.turns = seen.get("turns", False)
    return syn_filter


@pytest.fixture
def forwarding(syn_filter: Filter, guest: Guest) -> Iterator[None]:
    """The guest, with the filter loaded, forwards packets from one other host to the other."""
    with net.sysctl(guest, "net.ipv4.ip_forward", "1"):
        yield


@pytest.fixture(scope="session")
def place() -> dict[str, Socket]:
    """Where the module listens, right or wrong, once 3.listens has seen it."""
    return {}


@pytest.fixture
def server(module: Module) -> Server:
    """The tcp_sock module with insmod started, and its listening socket awaited."""
    return Server.started(module)


@pytest.fixture
def listening_server(server: Server) -> Server:
    """The same, for checks that need a client to get in."""
    if server.socket is None:
        pytest.skip("nothing listens, so no client can connect: see 3.listens")
    return server


@pytest.fixture
def receiver(guest: Guest) -> Receiver:
    """A receiver that is ready."""
    process = guest.start([PROBE, "receive", "127.0.0.1", "60001"])
    guest.run(["/sbin/tool", "await", "udp", "127.0.0.1", "60001"])
    return Receiver(guest, process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Give a hint to what fails in a check's fixtures."""
    return (yield from _hinted(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Give a hint to what fails in a check; where one of each exercise passes, the remarks."""
    result = yield from _hinted(item)
    module = getattr(item, "funcargs", {}).get("module")
    if isinstance(module, Module) and item.name in _WITH_REMARKS:
        better.remark(module, int(item.path.stem.split("_")[1]))
    return result


_WITH_REMARKS = ("check_clean_reload", "check_efault")
"""The checks that tell what is known of the module's file: one of each exercise."""


def _hinted(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    except Unmet as unmet:
        exercise = int(item.path.stem.split("_")[1])
        again = item.get_closest_marker("after") is not None
        unmet.hint = unmet.hint or diagnose.said_by_tools(exercise, unmet.actual, again=again)
        raise
