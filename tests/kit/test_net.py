"""Changes to a guest are undone when their block ends, and what is left is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

from checker.engine.testbed import Late, Module, Traces, Unmet
from checker.kit import net
from vm import image, snapshot
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

IP = "/bin/ip"
LINKS = [
    ("link set left down", "link set left up", ""),
    ("link set left mtu 1400", "link set left mtu 1500", ""),
    ("link add more type veth peer name other", "link del more", ""),
    ("link set eth0 mtu 1400", "link set eth0 mtu 1500", "left"),
    ("addr add 10.0.9.1/24 dev left", "addr del 10.0.9.1/24 dev left", ""),
    ("route add 10.0.9.0/24 via 10.0.3.2", "route del 10.0.9.0/24", ""),
    ("route add 10.0.9.0/24 via 10.0.4.1", "route del 10.0.9.0/24", "right"),
    ("netns add middle", "netns del middle", ""),
    ("rule add from 10.0.9.1 table 7", "rule del from 10.0.9.1 table 7", ""),
    ("neigh add 10.0.3.9 lladdr 2:0:0:0:0:1 dev left", "neigh del 10.0.3.9 dev left", ""),
]
"""What ip(8) does to the network, what takes it back, and in which namespace."""


@pytest.fixture(scope="module")
def guest(config: Config) -> Iterator[Guest]:
    """A guest that no code of a submission is in; each test leaves it as it was."""
    with snapshot.guest(config, {}) as fresh:
        yield fresh


def left(guest: Guest, before: Traces) -> frozenset[str]:
    """Return what is there now and was not there, as after a check whose module is gone."""
    return Module(guest, before, {}, "m", "m.ko").tidy().rest - before.rest


@pytest.mark.vm
@pytest.mark.parametrize("netns", ["", "left"])
def test_a_sysctl_is_as_before_when_the_block_ends(guest: Guest, netns: str) -> None:
    """In the namespace that is named and in no other one, and whatever ends the block."""
    path, other = "/proc/sys/net/ipv4/ip_forward", "left" if netns == "" else ""
    before = Traces.of(guest)
    with (
        pytest.raises(ZeroDivisionError),
        net.sysctl(guest, "net.ipv4.ip_forward", "1", netns=netns),
    ):
        assert (guest.read(path, netns), guest.read(path, other)) == ("1\n", "0\n")
        assert f"sysctl {netns or '-'} {path}" in left(guest, before)
        raise ZeroDivisionError
    assert guest.read(path, netns) == "0\n"
    assert left(guest, before) == frozenset()


@pytest.mark.vm
def test_a_sysctl_that_is_written_and_left_is_seen(guest: Guest) -> None:
    """Also where a check does it by itself, and once: what it was before is known."""
    path, before = "/proc/sys/net/ipv4/ip_default_ttl", Traces.of(guest)
    guest.put(path, b"32")
    guest.put(path, b"33")
    assert left(guest, before) == {f"sysctl - {path}"}
    guest.put(path, b"64")
    guest.settings.clear()


@pytest.mark.vm
def test_a_sysctl_that_is_not_there_is_told(guest: Guest) -> None:
    """The check fails, with the path and the kernel's word."""
    words = r"`/sbin/tool put /proc/sys/net/ipv4/nothing 1` fails in the guest"
    with pytest.raises(Unmet, match=words) as unmet, net.sysctl(guest, "net/ipv4/nothing", "1"):
        pass
    assert "No such file" in unmet.value.actual
    guest.settings.clear()


@pytest.mark.vm
@pytest.mark.parametrize(("change", "undo", "netns"), LINKS)
def test_what_is_changed_of_the_network_is_seen_and_taken_back(
    guest: Guest, change: str, undo: str, netns: str
) -> None:
    """Links, addresses, routes and namespaces, whatever ends the block."""
    before = Traces.of(guest)
    commands = [IP, *change.split()], [IP, *undo.split()]
    with pytest.raises(ZeroDivisionError), net.changed(guest, *commands, netns=netns):
        assert Traces.of(guest).rest != before.rest
        assert Traces.of(guest).rest != before.rest  # it is told as long as it is there
        raise ZeroDivisionError
    assert Traces.of(guest) == before


@pytest.mark.vm
@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ("echo 1 > /proc/sys/net/ipv4/ip_forward", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        ("/sbin/tool -n left offloads eth0 off", "/sbin/tool -n left offloads eth0 on"),
    ],
)
def test_what_no_command_of_ours_has_changed_is_seen(guest: Guest, change: str, undo: str) -> None:
    """Forwarding and a link's offloads, whoever switches them: the kernel tells of it."""
    before = Traces.of(guest)
    with net.changed(guest, ["sh", "-c", change], ["sh", "-c", undo]):
        assert Traces.of(guest).rest != before.rest
    assert Traces.of(guest) == before


@pytest.mark.vm
def test_what_arp_finds_by_itself_is_no_change(guest: Guest) -> None:
    """A neighbour that the kernel asked for, unlike one that was set by hand."""
    before = Traces.of(guest)
    guest.run(["ping", "-c1", "-W1", "10.0.4.2"])
    assert "10.0.4.2" in guest.read("/proc/net/arp")
    assert Traces.of(guest) == before


@pytest.mark.vm
def test_a_change_that_fails_is_told(guest: Guest) -> None:
    """Where it is made, and where it is taken back; a check that fails is told before that."""
    bad, good = [IP, "link", "del", "nothing"], ["/bin/true"]
    words = r"`/bin/ip link del nothing` in left fails in the guest"
    with pytest.raises(Unmet, match=words), net.changed(guest, bad, good, netns="left"):
        raise ZeroDivisionError
    with pytest.raises(Unmet, match=words) as unmet, net.changed(guest, good, bad, netns="left"):
        pass
    assert "Cannot find device" in unmet.value.actual
    with (
        pytest.raises(Late, match="did not come back"),
        net.changed(guest, ["/bin/sleep", "60"], good),
    ):
        pass
    with pytest.raises(ZeroDivisionError), net.changed(guest, good, bad):
        raise ZeroDivisionError


@pytest.mark.vm
def test_a_table_of_rules_that_is_left_is_seen(debug_kernel: Kernel, tmp_path: Path) -> None:
    """On a kernel that has nf_tables; undone, the guest is as before."""
    image.compile_static(ROOT / "tests/data/table.c", tmp_path / "table")
    config = Config(debug_kernel, image.initramfs(debug_kernel), image.root())
    program = PayloadFile((tmp_path / "table").read_bytes(), executable=True)
    with snapshot.guest(config, {"table": program}) as guest:
        before = Traces.of(guest)
        add, delete = (["/lab/table", what, "mine"] for what in ("add", "del"))
        for netns, shown in (("", "-"), ("left", "left")):
            with net.changed(guest, add, delete, netns=netns):
                assert f"{shown} nft 2 mine 0" in Traces.of(guest).rest
        assert Traces.of(guest) == before
