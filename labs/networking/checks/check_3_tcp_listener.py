"""Exercise 3: a kernel socket listens on 127.0.0.1:60000, and is released."""

from __future__ import annotations

import errno
import re

import diagnose
import pytest
from networking import LISTEN, NC, Server, Socket, listed, listeners, tcp_sockets

from checker.engine import endurance
from checker.engine.testbed import Late, Module, Unmet, errno_name
from vm.guest import Guest

RIGHT = Socket("127.0.0.1", 60000, LISTEN)


@pytest.mark.points(6)
def check_listening(server: Server, guest: Guest) -> None:
    """The module listens on 127.0.0.1, port 60000."""
    found = listeners(guest)
    if RIGHT not in found:
        raise Unmet(
            "After insmod nothing listens where it should.",
            expected=f"a listening socket on {RIGHT}",
            actual=f"listening: {listed(found)}{_failed(server)}",
            log=server.module.kernel_says(),
            hint=diagnose.listening(
                [diagnose.End(s.address, s.port) for s in found],
                server.insmod_error,
                loaded=server.insmod.result is not None,
            ),
        )
    client = guest.run([NC, "-n", "-z", "-w", "3", RIGHT.address, str(RIGHT.port)])
    if not client.ok:
        raise Unmet(f"{RIGHT} is said to listen, and netcat cannot connect to it.")
    server.require_loaded()


@pytest.mark.points(3)
@pytest.mark.after("3.listening")
def check_nowhere_else(server: Server, guest: Guest) -> None:
    """It listens there and nowhere else."""
    server.finish_load()
    found = listeners(guest)
    if found != [RIGHT]:
        raise Unmet(
            "The module listens where nobody asked it to.",
            expected=f"listening: {RIGHT}",
            actual=f"listening: {listed(found)}",
            hint=diagnose.NOWHERE_ELSE,
        )


@pytest.mark.points(2)
@pytest.mark.after("3.listening")
def check_backlog(server: Server, guest: Guest) -> None:
    """Its backlog is LISTEN_BACKLOG, 5."""
    text = guest.run(["/bin/ss", "-Hltn", "sport = :60000"]).text
    # State Recv-Q Send-Q Local:Port; of a listening socket Send-Q is the backlog (ss(8))
    backlogs = re.findall(r"^LISTEN\s+\d+\s+(\d+)", text, re.MULTILINE)
    server.finish_load()
    if backlogs != ["5"]:
        raise Unmet(
            "The listening socket's backlog is wrong.",
            expected="5",
            actual=", ".join(backlogs) or "none",
            hint=diagnose.BACKLOG,
        )


@pytest.mark.points(3)
@pytest.mark.after("3.listening")
def check_released(server: Server, guest: Guest) -> None:
    """After rmmod nothing listens any more."""
    server.finish_load()
    server.module.unload()
    found = listeners(guest)
    if found:
        raise Unmet(
            "The module is gone, and its socket is not: release it in the exit function.",
            expected="listening: nothing",
            actual=f"listening: {listed(found)}",
            hint=diagnose.RELEASE_SOCKET,
        )


@pytest.mark.points(2)
@pytest.mark.after("3.listening")
def check_port_taken(module: Module, guest: Guest) -> None:
    """With the port already taken, insmod fails with EADDRINUSE and leaves nothing behind."""
    before = tcp_sockets(guest)
    holder = guest.start([NC, "-n", "-d", "-l", RIGHT.address, str(RIGHT.port)])
    guest.run(["/sbin/tool", "await", "tcp", RIGHT.address, str(RIGHT.port)])
    try:
        result = module.try_load()
    except Late as late:
        late.hint = diagnose.PORT_NOT_AWAITED
        raise
    loaded = module.loaded
    holder.kill()
    if result.value != errno.EADDRINUSE or loaded:
        raise Unmet(
            "netcat had the port before the module was loaded.",
            expected=f"insmod fails with {errno_name(errno.EADDRINUSE)}",
            actual=f"insmod fails with {errno_name(result.value)}"
            if result.value
            else "insmod succeeds",
            log=module.kernel_says(),
            hint=diagnose.port_taken(errno.errorcode.get(result.value, "")),
        )
    after = tcp_sockets(guest)
    if after > before:
        raise Unmet(
            "When bind fails, the socket that was created before is not released.",
            expected=f"{before} TCP sockets, as before insmod",
            actual=f"{after} TCP sockets",
            hint=diagnose.RELEASE_ON_ERROR,
        )


@pytest.mark.points(1)
@pytest.mark.after("3.listening")
def check_clean_reload(module: Module) -> None:
    """Loaded 20 times in a row, and interrupted (Ctrl-C) where it waits, it leaves nothing."""
    endurance.reload(module, waiting="interrupt")


@pytest.mark.points(1)
@pytest.mark.after("3.listening")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation before accept fails, insmod fails cleanly or works; nothing is left."""
    endurance.error_paths(module, waiting="interrupt", leave="accept")


def _failed(server: Server) -> str:
    """Return what is said of an insmod that failed."""
    return f"; insmod fails with {server.insmod_error}" if server.insmod_error else ""
