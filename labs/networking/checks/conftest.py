"""Fixtures of the networking lab: each module loaded and ready, and a receiver of datagrams.

The two hooks name the mistake where it is insmod or rmmod that fails, in whichever check.
"""

from __future__ import annotations

from collections.abc import Iterator

import diagnose
import pytest
from networking import (
    DEVICE,
    PROBE,
    Filter,
    Receiver,
    Route,
    Server,
    connect,
    logged,
)

from checker.engine.testbed import Module, Picks, Unmet
from checker.kit import net
from vm.guest import Guest


@pytest.fixture(scope="session")
def readings() -> dict[Guest, bool]:
    """Whether the module needs an address before it logs, by guest: asked once each."""
    return {}


@pytest.fixture
def syn_filter(module: Module, readings: dict[Guest, bool], picks: Picks) -> Filter:
    """The filter module, loaded, with its device node made."""
    guest = module.guest
    # taken in any case, so that a check's own are the same in each of its guests
    ports, token = (picks.port(), picks.port()), picks.token()
    if guest not in readings:
        guest.run(["/sbin/tool", "mknod", DEVICE, "42"])
    module.load()
    the_filter = Filter(module)
    if guest not in readings:
        mark = module.mark()
        connect(guest, Route("127.0.0.1", ports[0], "127.0.0.1", ports[1]), token)
        readings[guest] = not logged(module, mark)
    the_filter.needs_address = readings[guest]
    return the_filter


@pytest.fixture
def forwarding(syn_filter: Filter, guest: Guest) -> Iterator[None]:
    """The guest, with the filter loaded, forwards packets from one other host to the other."""
    with net.sysctl(guest, "net.ipv4.ip_forward", "1"):
        yield


@pytest.fixture
def server(module: Module) -> Server:
    """The tcp_sock module with insmod started, and its listening socket awaited."""
    return Server.started(module)


@pytest.fixture
def listening_server(server: Server) -> Server:
    """The same, for checks that need a client to get in."""
    if server.socket is None:
        pytest.skip("nothing listens, so no client can connect: see 3.listening")
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
    """Give a hint to what fails in a check."""
    return (yield from _hinted(item))


def _hinted(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    except Unmet as unmet:
        exercise = int(item.path.stem.split("_")[1])
        unmet.hint = unmet.hint or diagnose.said_by_tools(exercise, unmet.actual)
        raise
