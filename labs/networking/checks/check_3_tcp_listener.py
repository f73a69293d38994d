"""Exercise 3: a kernel socket listens on 127.0.0.1:60000, and is released.

What comes of a client is exercise 4's business: no check here is lost by it, as long as insmod
waited for one.
"""

from __future__ import annotations

import errno
import re

import diagnose
import headlines
import pytest
from networking import (
    LISTEN,
    NC,
    Server,
    Socket,
    listed,
    listeners,
    not_refused,
    tcp_sockets,
)

from checker.engine import endurance
from checker.engine.testbed import Late, Module, Unmet
from vm.guest import Guest

RIGHT = Socket("127.0.0.1", 60000, LISTEN)


@pytest.mark.points(2)
def check_listens(server: Server, guest: Guest, place: dict[str, Socket]) -> None:
    """After insmod a TCP socket listens, wherever that is."""
    if not (found := listeners(guest)):
        raise _nothing_there(server, found)
    if not _backlogs(guest, found[0].port):
        raise Unmet(
            f"/proc/net/tcp says that {found[0]} listens, and ss knows of no such socket.",
            expected="ss lists the socket, too",
            actual="the kernel has no socket that listens there",
        )
    place["here"] = next((s for s in found if s == RIGHT), found[0])


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
def check_address(server: Server, guest: Guest) -> None:
    """It listens on 127.0.0.1."""
    found = listeners(guest)
    if all(s.address != RIGHT.address for s in found):
        raise _nothing_there(server, found)


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
def check_port(server: Server, guest: Guest) -> None:
    """It listens on port 60000."""
    found = listeners(guest)
    if all(s.port != RIGHT.port for s in found):
        raise _nothing_there(server, found)


@pytest.mark.points(2)
@pytest.mark.after("3.listens")
def check_nowhere_else(server: Server, guest: Guest) -> None:
    """One socket listens, and no other one."""
    server.waits()
    found = listeners(guest)
    if not found and server.insmod_error:
        raise _nothing_there(server, found)
    if len(found) != 1:
        raise Unmet(
            headlines.only(str(RIGHT), [str(s) for s in found]),
            expected="one socket that listens",
            actual=f"listening: {listed(found)}",
            hint=diagnose.NOWHERE_ELSE if found else "",
        )


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
def check_backlog(server: Server, guest: Guest) -> None:
    """Its backlog is LISTEN_BACKLOG, 5."""
    if server.socket is None:  # it listened when the module was loaded for an earlier check
        raise _nothing_there(server, listeners(guest))
    backlogs = _backlogs(guest, server.socket.port)
    if backlogs != ["5"]:
        raise Unmet(
            f"The backlog of the socket on {server.socket} is {', '.join(backlogs) or 'unknown'}.",
            expected="5",
            actual=", ".join(backlogs) or "none",
            hint=diagnose.BACKLOG,
        )


@pytest.mark.points(3)
@pytest.mark.after("3.listens")
def check_listening(server: Server, guest: Guest) -> None:
    """The module listens on 127.0.0.1, port 60000, and netcat can connect."""
    found = listeners(guest)
    if RIGHT not in found:
        raise _nothing_there(server, found)
    waits = server.waits()
    with server.module.business_of(4):
        client = guest.run([NC, "-n", "-z", "-w", "3", RIGHT.address, str(RIGHT.port)])
    if not client.ok:
        raise Unmet(
            f"/proc/net/tcp says that {RIGHT} listens, and netcat cannot connect to it.",
            expected="netcat connects",
            actual=client.err.decode(errors="replace").strip() or "it gets no answer",
        )
    if not waits:
        server.require_loaded()


@pytest.mark.points(3)
@pytest.mark.after("3.listens")
def check_released(server: Server, guest: Guest) -> None:
    """After rmmod, or where insmod has failed, nothing listens any more."""
    server.let_go()
    if server.module.loaded:
        server.module.unload()
    found = listeners(guest)
    if found:
        raise Unmet(
            f"The module is gone, and its socket on {listed(found)} still listens.",
            expected="listening: nothing",
            actual=f"listening: {listed(found)}",
            hint=diagnose.RELEASE_SOCKET,
        )


@pytest.mark.points(2)
@pytest.mark.after("3.listens")
def check_port_taken(module: Module, guest: Guest, place: dict[str, Socket]) -> None:
    """With the port already taken, insmod fails with EADDRINUSE and leaves nothing behind."""
    taken = place.get("here", RIGHT)
    before = tcp_sockets(guest)
    holder = guest.start([NC, "-n", "-d", "-l", taken.address, str(taken.port)])
    guest.run(["/sbin/tool", "await", "tcp", taken.address, str(taken.port)])
    try:
        result = module.try_load()
    except Late as late:
        late.hint = diagnose.PORT_NOT_AWAITED
        raise
    loaded = module.loaded
    holder.kill()
    if result.value != errno.EADDRINUSE or loaded:
        done = f"netcat had {taken} before the module was loaded"
        raise not_refused(
            module, result, errno.EADDRINUSE, done, lambda e: diagnose.port_taken(e, taken.port)
        )
    after = tcp_sockets(guest)
    if after > before:
        raise Unmet(
            f"insmod failed with EADDRINUSE, and left {headlines.count(after - before, 'socket')}.",
            expected=f"{before} TCP sockets, as before insmod",
            actual=f"{after} TCP sockets",
            hint=diagnose.RELEASE_ON_ERROR,
        )


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
@pytest.mark.needs("KPROBES")
def check_listen_refused(module: Module, guest: Guest) -> None:
    """When kernel_listen() fails, insmod fails with its error, and no socket is left."""
    before = tcp_sockets(guest)
    with endurance.refused(module, "inet_listen"):
        try:
            result = module.try_load()
        except Late as late:
            late.hint = diagnose.LISTEN_REFUSED
            raise
        loaded = module.loaded
    if result.value != errno.ENOBUFS or loaded:
        done = "kernel_listen() was made to fail with ENOBUFS"
        raise not_refused(module, result, errno.ENOBUFS, done, diagnose.listen_refused)
    if (left := tcp_sockets(guest) - before) > 0:
        raise Unmet(
            f"kernel_listen() was made to fail, insmod failed, and "
            f"{headlines.count(left, 'socket')} more than before {headlines.verb(left)} there.",
            expected="no socket is left",
            actual=headlines.count(left, "socket"),
            hint=diagnose.RELEASE_ON_ERROR,
        )


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
def check_clean_reload(module: Module) -> None:
    """Loaded 20 times in a row, and interrupted (Ctrl-C) where it waits, it leaves nothing."""
    endurance.reload(module, waiting="interrupt")


@pytest.mark.points(1)
@pytest.mark.after("3.listens")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation before accept fails, insmod fails cleanly or works; nothing is left."""
    endurance.error_paths(module, waiting="interrupt", leave="accept")


def _backlogs(guest: Guest, port: int) -> list[str]:
    """Return the backlogs of the sockets that listen on *port*, as the kernel's netlink has them.

    A module that replaces /proc/net/tcp does not change these.
    """
    text = guest.run(["/bin/ss", "-Hltn", f"sport = :{port}"]).text
    # State Recv-Q Send-Q Local:Port; of a listening socket Send-Q is the backlog (ss(8))
    return re.findall(r"^LISTEN\s+\d+\s+(\d+)", text, re.MULTILINE)


def _nothing_there(server: Server, found: list[Socket]) -> Unmet:
    """Return what to raise where something is wrong with what listens."""
    loaded = server.insmod.result is not None
    error = server.insmod_error
    return Unmet(
        headlines.listening(str(RIGHT), [str(s) for s in found], error, loaded=loaded),
        expected=f"a listening socket on {RIGHT}",
        actual=f"listening: {listed(found)}" + (f"; insmod fails with {error}" if error else ""),
        log=server.module.kernel_says(),
        hint=diagnose.listening(
            [diagnose.End(s.address, s.port) for s in found], error, loaded=loaded
        ),
    )
