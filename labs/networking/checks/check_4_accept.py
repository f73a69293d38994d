"""Exercise 4: init accepts one connection, says who came, and everything is released."""

from __future__ import annotations

import errno

import diagnose
import pytest
from networking import (
    LISTEN,
    NC,
    PEER_LINE,
    PROBE,
    Server,
    listed,
    listeners,
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


@pytest.mark.points(4)
def check_waits(listening_server: Server, guest: Guest, picks: Picks) -> None:
    """Insmod comes back when a client has connected, and not before."""
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
    _client(server, picks, netcat=True)
    server.require_loaded()


@pytest.mark.points(5)
@pytest.mark.after("4.waits")
def check_peer_logged(listening_server: Server, picks: Picks) -> None:
    """The log says which client came: its own address and port."""
    server = listening_server
    peer, _ = _client(server, picks)
    server.require_loaded()
    lines = server.module.lines(PEER_LINE)
    told = [line.split(PEER_LINE, 1)[1].strip() for line in lines]
    if told != [peer]:
        assert server.socket is not None
        address, _, port = peer.rpartition(":")
        ends = diagnose.End(address, int(port)), diagnose.End(*server.socket[:2])
        raise Unmet(
            f"netcat connected from {peer}, and the log does not say so.",
            expected=f"{PEER_LINE} {peer}",
            actual="\n".join(lines[:8]) or "no such line",
            log=server.module.kernel_says(),
            hint=diagnose.peer(*ends, told),
        )


@pytest.mark.points(3)
@pytest.mark.after("4.waits")
def check_client_served(listening_server: Server, picks: Picks) -> None:
    """The client is not left hanging: its connection is closed at the latest by rmmod."""
    server = listening_server
    peer, client = _client(server, picks)
    server.require_loaded()
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
@pytest.mark.after("4.waits")
def check_released(listening_server: Server, guest: Guest, picks: Picks) -> None:
    """After rmmod nothing is left of the connection."""
    server = listening_server
    assert server.socket is not None
    _, client = _client(server, picks)
    server.require_loaded()
    client.write(b"")
    server.module.unload()
    client.kill()
    # TIME_WAIT is no leak and lasts 60 seconds (TCP_TIMEWAIT_LEN): guest time, so it costs nothing
    guest.run(["/sbin/tool", "sleep", "65"], deadline=70)
    left = [s for s in sockets(guest) if s.port == server.socket.port and s.state != LISTEN]
    if left:
        raise Unmet(
            "The module is gone, and the connection it accepted is not: release both sockets.",
            expected="no connection in /proc/net/tcp",
            actual=listed(left),
            hint=diagnose.RELEASE_BOTH,
        )


def not_listening(guest: Guest) -> int:
    """Return how many TCP sockets there are; one that listens is exercise 3's business."""
    return tcp_sockets(guest) - len(listeners(guest))


@pytest.mark.points(1)
@pytest.mark.after("4.waits")
def check_client_resets(module: Module, guest: Guest, picks: Picks) -> None:
    """A client that is gone before init can ask for its name makes insmod fail, or is named."""
    before = not_listening(guest)
    server = Server.started(module)
    if server.socket is None:
        pytest.skip("nothing listens, so no client can connect: see 3.listening")
    source, port = picks.loopback(), str(picks.port())
    target = [server.socket.address, str(server.socket.port)]
    done = guest.run([PROBE, "reset", source, port, *target])
    if not done.ok:
        raise Unmet(
            "A client cannot connect and reset its connection.",
            actual=done.err.decode(errors="replace").strip(),
        )
    result = server.insmod.wait(5)
    told = [line.split(PEER_LINE, 1)[1].strip() for line in module.lines(PEER_LINE)]
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
            "The client's name could not be had, and a socket is left.",
            expected=f"{before} TCP sockets, as before insmod",
            actual=f"{after} TCP sockets",
            hint=diagnose.PEER_GONE,
        )


# the socket that listens is exercise 3's business
LISTENER = r"sock_create|bind|listen"


@pytest.mark.points(1)
@pytest.mark.after("4.waits")
def check_clean_reload(module: Module) -> None:
    """With a client, or interrupted (Ctrl-C), 20 loads in a row leave nothing of accept behind."""
    endurance.reload(module, waiting="client", ignore=LISTENER)
    endurance.interrupted(module)


@pytest.mark.points(1)
@pytest.mark.after("4.waits")
@pytest.mark.needs("FAILSLAB", "KPROBES", "TRACEPOINTS")
def check_error_paths(module: Module) -> None:
    """Whichever allocation from accept on fails, insmod fails cleanly or works; nothing is left."""
    endurance.error_paths(module, waiting="client", only="accept", ignore=LISTENER)
