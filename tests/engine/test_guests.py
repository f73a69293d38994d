"""What lab.toml asks of guests: given, or refused with the kernel's name and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import FINDERS

from checker.engine import grading, guests
from checker.errors import InputError, LabError
from checker.kit import topology
from checker.model import GuestNeeds, Lab
from vm import debian, image, snapshot
from vm.errors import NoPackage
from vm.kernel import Kernel
from vm.machine import Config


def asking(lab: Lab, **needs: object) -> Lab:
    """Return the lab with another [guest]."""
    return lab.model_copy(update={"guest": GuestNeeds.model_validate(needs)})


@pytest.fixture
def on(tmp_path: Path) -> Kernel:
    """A kernel with one option as a module and one built in, and no module's file."""
    config = tmp_path / "auto.conf"
    config.write_text("CONFIG_NF_NAT=m\nCONFIG_NF_TABLES=y\n# CONFIG_VETH is not set\n")
    return Kernel("stock", "9.8.7", "key", Path("/none"), "/b", {}, (), config=config)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A cache of the test's own where no guest is needed."""
    if request.node.get_closest_marker("vm") is None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_kernel_without_a_needed_option_is_refused(lab: Lab, on: Kernel) -> None:
    """Those that it lacks are named, with kernel, file and what to do; a module counts as there."""
    with pytest.raises(InputError) as refused:
        guests.drivers(asking(lab, needs=["NF_NAT", "VETH", "NF_TABLES", "TUN"]), on)
    text = str(refused.value)
    assert "networking cannot be run on the stock kernel 9.8.7" in text
    assert "without VETH, TUN, which guest.needs of" in text
    assert f"{lab.root / 'lab.toml'}" in text
    assert "--kernel debug, or --release" in text
    assert guests.drivers(asking(lab, needs=["NF_NAT", "NF_TABLES"]), on) == ()


def test_a_kernel_without_a_driver_is_refused(lab: Lab, on: Kernel) -> None:
    """The driver, the kernel, the file, and what to do; one that is built in has no file."""
    with pytest.raises(InputError) as refused:
        guests.config(asking(lab, drivers=["nf_tables", "nosuch"]), on)
    text = str(refused.value)
    assert "The stock kernel 9.8.7 has no driver nosuch" in text
    assert f"guest.drivers of {lab.root / 'lab.toml'}" in text
    assert "--kernel stock" in text
    assert guests.drivers(asking(lab, drivers=["nf_tables"]), on) == ()


def test_a_package_that_is_none_is_refused(
    lab: Lab, on: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file, the package and what is known of it."""

    def root(packages: tuple[str, ...]) -> None:
        raise NoPackage(packages[0], "Debian 13 has no package nosuch.")

    monkeypatch.setattr(image, "root", root)
    with pytest.raises(LabError) as refused:
        guests.config(asking(lab, packages=["nosuch"]), on)
    assert str(refused.value) == (
        f"{lab.root / 'lab.toml'}: guest.packages has nosuch, which no guest can be given: "
        "Debian 13 has no package nosuch."
    )


def test_a_topology_that_is_none_is_refused(lab: Lab, on: Kernel) -> None:
    """With those that there are."""
    with pytest.raises(LabError, match=r"'ring', which is none of router, pair, many-addresses"):
        guests.config(asking(lab, topology="ring"), on)


def test_a_lab_that_is_refused_runs_nothing(
    lab: Lab, on: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the compiler nor a guest, and no lab's program is compiled."""

    def runs(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    for place, name in ((grading.building, "build"), (snapshot, "template"), (image, "root")):
        monkeypatch.setattr(place, name, runs)
    monkeypatch.setattr(image, "compile_static", runs)
    with pytest.raises(InputError, match="VETH"):
        grading.machine(asking(lab, needs=["VETH"]), on)


@pytest.mark.vm
@pytest.mark.parametrize("name", ["stock", "debug"])
def test_a_guest_has_what_lab_toml_asks_for(lab: Lab, name: str) -> None:
    """Drivers, a package's program with its libraries, and the topology, whatever the kernel."""
    on = FINDERS[name](debian.default_release())
    if on is None:
        pytest.skip(f"the {name} kernel is not in the cache")
    asked = asking(
        lab,
        drivers=["nf_tables", "nft_ct", "nfnetlink_queue", "dummy"],
        packages=["nftables"],
        topology="router",
        needs=["NF_TABLES"],
    )
    config = guests.config(asked, on)
    with snapshot.guest(config, {}) as guest:
        net = topology.of(guest)
        rules = "add table ip t; add chain ip t c { type filter hook forward priority 0; };"
        rules += "add rule ip t c ct state new drop"
        assert net.left.run(["ping", "-c1", "-W1", net.right.address]).ok
        assert guest.run(["nft", rules]).ok
        listed = json.loads(guest.run(["nft", "-j", "list", "ruleset"]).text)
        assert [next(iter(item)) for item in listed["nftables"]][1:] == ["table", "chain", "rule"]
        assert not net.left.run(["ping", "-c1", "-W1", net.right.address]).ok
        assert "- nft 2 t c 1\n" in guest.read("net")
        assert guest.run(["nft", "flush", "ruleset"]).ok
        assert guest.read("net") == ""
    assert snapshot._key(config) != snapshot._key(guests.config(asking(lab), on))


@pytest.mark.vm
def test_a_persons_guest_has_it_too(lab: Lab, stock_kernel: Kernel) -> None:
    """What a console's guest is made of differs in its clock alone."""
    asked = asking(lab, drivers=["dummy"], topology="pair")
    config = guests.config(asked, stock_kernel)
    person = guests.config(asked, stock_kernel, real_time=True)
    assert (person.initramfs, person.image) == (config.initramfs, config.image)
    assert person == Config(
        stock_kernel, config.initramfs, config.image, real_time=True, topology="pair"
    )
