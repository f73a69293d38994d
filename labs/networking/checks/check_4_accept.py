"""Exercise 4: init accepts one connection, says who came, and everything is released."""

from __future__ import annotations

import errno

import diagnose
import headlines
import pytest
from networking import (
    LISTEN,
    NC,
    PEER_LINE,
    PROBE,
    Server,
    listed,
    listeners,
    peers,
    sockets,
    tcp_sockets,
)

from checker.engine import endurance
from checker.engine.testbed import Module, Picks, Unmet, errno_name
from vm.guest import Guest, Process


def _client(server: Server, picks: Picks, *, netcat: bool = False) -> tuple[str, Process]:
    """Connect a client that keeps its connection open; return its address:port and itself."""
    assert server.socket is not None
    guest = server.module.guest
    source, port = picks.loopback(), str(picks.port())
    target = [server.socket.address, str(server.socket.port)]
    argv = [NC, "-n", "-N", "-s", source, "-p", port, *target]
    if not netcat:
        argv = [PROBE, "hold", source, port, *target]
    client = guest.start(argv, stdin=True)
    guest.run(["/sbin/tool", "await", "connection", source, port], deadline=5)
    return f"{source}:{port}", client


@pytest.mark.points(3)
def check_waits(listening_server: Server, guest: Guest) -> None:
    """Insmod does not come back before a client has connected."""
    server = listening_server
    guest.run(["/sbin/tool", "sleep", "2"])
    if server.insmod.result is not None:
        raise Unmet(
            "insmod came back before any client had connected.",
            expected="init waits in accept",
            actual="init returned at once"
            + (f", with {server.insmod_error}" if server.insmod_error else ""),
            log=server.module.kernel_says(),
            hint=diagnose.not_waiting(server.insmod_error),
        )


@pytest.mark.points(2)
@pytest.mark.after("4.waits")
def check_comes_back(listening_server: Server, picks: Picks) -> None:
    """Insmod succeeds when a client has connected."""
    _client(listening_server, picks, netcat=True)
    listening_server.require_loaded("netcat connected")


@pytest.mark.points(1)
@pytest.mark.after("4.comes-back")
def check_peer_address(listening_server: Server, picks: Picks) -> None:
    """A line in the log has the client's address."""
    peer, told = _told(listening_server, picks)
    found, right = (one.rpartition(":")[0] for one in ((told or [""])[0], peer))
    if found != right:
        raise _not_told(listening_server, peer, told, ("address", right, found))


@pytest.mark.points(1)
@pytest.mark.after("4.comes-back")
def check_peer_port(listening_server: Server, picks: Picks) -> None:
    """A line in the log has the client's port."""
    peer, told = _told(listening_server, picks)
    found, right = (one.rpartition(":")[2] for one in ((told or [""])[0], peer))
    if found != right:
        raise _not_told(listening_server, peer, told, ("port", right, found))


@pytest.mark.points(3)
@pytest.mark.after("4.comes-back")
def check_peer_logged(listening_server: Server, picks: Picks) -> None:
    """The log says which client came, once: its own address and port."""
    peer, told = _told(listening_server, picks)
    if told != [peer]:
        raise _not_told(listening_server, peer, told)


def _told(server: Server, picks: Picks) -> tuple[str, list[str]]:
    """Let a client connect; return its address:port, and the ends that were logged."""
    peer, _ = _client(server, picks)
    server.require_loaded(f"A client connected from {peer}")
    return peer, peers(server.module)


def _not_told(
    server: Server, peer: str, told: list[str], part: tuple[str, str, str] | None = None
) -> Unmet:
    """Return what to raise where *peer* is not what was *told*, or a *part* of it is not."""
    assert server.socket is not None
    address, _, port = peer.rpartition(":")
    ends = diagnose.End(address, int(port)), diagnose.End(*server.socket[:2])
    log = server.module.kernel_says()
    message = headlines.peer(peer, told, log)
    if part:
        name, right, found = part
        message = headlines.part(f"A client connected from {peer}", name, found, right)
    return Unmet(
        message,
        expected=f"{PEER_LINE} {peer}",
        actual="\n".join(server.module.lines(PEER_LINE)[:8]) or "no such line",
        log=log,
        hint=diagnose.peer(*ends, told),
    )


@pytest.mark.points(2)
@pytest.mark.after("4.comes-back")
def check_client_served(listening_server: Server, picks: Picks) -> None:
    """The client is not left hanging: its connection is closed at the latest by rmmod."""
    server = listening_server
    peer, client = _client(server, picks)
    server.require_loaded(f"A client connected from {peer}")
    server.module.unload()
    client.write(b"")
    if client.wait(10).how == "timeout":
        raise Unmet(
            f"The module is gone, and the client {peer} still waits for its end of the connection.",
            expected="the connection is closed when the module is unloaded",
            actual="it stays open",
            hint=diagnose.RELEASE_BOTH,
        )


@pytest.mark.points(3)
@pytest.mark.after("4.comes-back")
def check_released(listening_server: Server, guest: Guest, picks: Picks) -> None:
    """After rmmod nothing is left of the connection."""
    server = listening_server
    assert server.socket is not None
    peer, client = _client(server, picks)
    server.require_loaded(f"A client connected from {peer}")
    client.write(b"")
    server.module.unload()
    client.kill()
    # TIME_WAIT is no leak and lasts 60 seconds (TCP_TIMEWAIT_LEN): guest time, so it costs nothing
    guest.run(["/sbin/tool", "sleep", "65"], deadline=70)
    left = [s for s in sockets(guest) if s.port == server.socket.port and s.state != LISTEN]
    if left:
        raise Unmet(
            f"The module is gone, and the connection with {peer} is not.",
            expected="no connection in /proc/net/tcp",
            actual=listed(left),
            hint=diagnose.RELEASE_BOTH,
        )


def not_listening(guest: Guest) -> int:
    """Return how many TCP sockets there are; one that listens is exercise 3's business."""
    return tcp_sockets(guest) - len(listeners(guest))


@pytest.mark.points(1)
@pytest.mark.after("4.comes-back")
def check_client_resets(module: Module, guest: Guest, picks: Picks) -> None:
    """A client that is gone before init can ask for its name makes insmod fail, or is named."""
    before = not_listening(guest)
    server = Server.started(module)
    if server.socket is None:
        pytest.skip("nothing listens, so no client can connect: see 3.listens")
    source, port = picks.loopback(), str(picks.port())
    target = [server.socket.address, str(server.socket.port)]
    done = guest.run([PROBE, "reset", source, port, *target])
    if not done.ok:
        raise Unmet(
            "A client cannot connect and reset its connection.",
            actual=done.err.decode(errors="replace").strip(),
        )
    result = server.insmod.wait(5)
    told = peers(module)
    if result.ok and told == [f"{source}:{port}"]:
        module.unload()  # it has the name from elsewhere
    elif server.insmod_error != "ENOTCONN" or told or module.loaded:
        late = result.how == "timeout"
        failed = f"insmod fails with {errno_name(result.value)}"
        raise Unmet(
            f"The client {source}:{port} reset its connection before init could ask for its name.",
            expected=f"insmod fails with {errno_name(errno.ENOTCONN)}, and no client is logged",
            actual="insmod still waits"
            if late
            else "\n".join(
                ["insmod succeeds" if result.ok else failed, *module.lines(PEER_LINE)[:8]]
            ),
            log=module.kernel_says(),
            hint=diagnose.PEER_GONE,
        )
    after = not_listening(guest)
    if after > before:
        raise Unmet(
            f"The client {source}:{port} reset its connection, the module is gone, and "
            f"{headlines.count(after - before, 'socket')} is left.",
            expected=f"{before} TCP sockets, as before insmod",
            actual=f"{after} TCP sockets",
            hint=diagnose.PEER_GONE,
        )


# the socket that listens is exercise 3's business
LISTENER = r"sock_create|bind|listen"


@pytest.mark.points(1)
@pytest.mark.after("4.comes-back")
def check_clean_reload(module: Module, guest: Guest) -> None:
    """With a client, or interrupted (Ctrl-C), 20 loads in a row leave nothing of accept behind."""
    before = not_listening(guest)
    endurance.reload(module, waiting="client", ignore=LISTENER)
    left = not_listening(guest) - before
    # in code of both exercises a socket that was made and does not listen is this one's
    if left >= endurance.ROUNDS:
        raise Unmet(
            f"The module was loaded and unloaded {endurance.ROUNDS} times, and "
            f"{headlines.count(left, 'TCP socket')} that do not listen are left.",
            expected="no socket is left",
            actual=headlines.count(left, "TCP socket"),
            hint=diagnose.SOCKET_LOST,
        )
    endurance.interrupted(module)


@pytest.mark.points(1)
@pytest.mark.after("4.comes-back")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation from accept on fails, insmod fails cleanly or works; nothing is left."""
    endurance.error_paths(module, waiting="client", only="accept", ignore=LISTENER)
