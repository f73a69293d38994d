"""Templates: what they are keyed by, and what becomes of one that cannot be restored."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from checker.desk import doctor
from checker.engine import pool
from tools.bench import private_mib
from vm import cache, image, snapshot, tools
from vm.errors import GuestCrashed, GuestLost, GuestUnready, NoSpace, VMError
from vm.image import Image, PayloadFile
from vm.kernel import Kernel
from vm.machine import Config, Frozen, Machine

PAYLOAD = {"script.sh": PayloadFile(b"#!/bin/sh\necho from the payload\n", executable=True)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a cache of its own; return where its templates are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "knetlab" / "template"


@pytest.fixture(autouse=True)
def said() -> Iterator[list[str]]:
    """What the user is told meanwhile."""
    snapshot._tell.cache_clear()
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                lines.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("knetlab")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    snapshot._tell.cache_clear()


# --- what a template is keyed by ------------------------------------------------------


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A machine that nobody starts, whose QEMU is a file of the test's."""
    qemu = tmp_path / "qemu"
    qemu.write_text("version 1")
    monkeypatch.setattr(tools, "find", lambda _: str(qemu))
    kernel = Kernel("stock", "6.1", "kernel", tmp_path / "image", "/kernel", {}, ())
    files = {"probe": PayloadFile(b"one")}
    root = Image(tmp_path / "root", "image")
    return Config(kernel, tmp_path / "initramfs-1" / "initramfs", root, files=files)


CHANGES: dict[str, Callable[[Config], dict[str, object]]] = {
    "kernel": lambda c: {"kernel": dataclasses.replace(c.kernel, key="other")},
    "initramfs": lambda c: {"initramfs": c.initramfs.parents[1] / "initramfs-2" / "initramfs"},
    "image": lambda c: {"image": Image(c.image.root, "other")},
    "file": lambda _: {"files": {"probe": PayloadFile(b"two")}},
    "name of a file": lambda _: {"files": {"prone": PayloadFile(b"one")}},
    "mode of a file": lambda _: {"files": {"probe": PayloadFile(b"one", executable=True)}},
    "one more file": lambda c: {"files": {**c.files, "more": PayloadFile(b"")}},
    "module that is loaded": lambda _: {"modules": ("probe",)},
    "memory": lambda _: {"memory": 512},
    "real time": lambda _: {"real_time": True},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_machine_has_another_template(made_up: Config, change: str) -> None:
    """Whatever goes into a template changes its key, and nothing else does."""
    other = dataclasses.replace(made_up, **CHANGES[change](made_up))  # type: ignore[arg-type]
    assert snapshot._key(other) != snapshot._key(made_up)
    assert snapshot._key(dataclasses.replace(made_up)) == snapshot._key(made_up)


def test_another_qemu_has_another_template(made_up: Config, tmp_path: Path) -> None:
    """A QEMU that was upgraded is not given what an older one froze."""
    before = snapshot._key(made_up)
    (tmp_path / "qemu").write_text("version 1.1")
    assert snapshot._key(made_up) != before
    same_size = snapshot._key(made_up)
    os.utime(tmp_path / "qemu", ns=(1, 1))
    assert snapshot._key(made_up) != same_size


def test_another_command_line_has_another_template(
    made_up: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What QEMU is started with, the kernel's own command line included, is part of the key."""
    before = snapshot._key(made_up)
    monkeypatch.setattr("vm.machine.COMMAND_LINE", "quiet")
    quiet = snapshot._key(made_up)
    monkeypatch.setattr("vm.machine._devices", list)
    assert len({before, quiet, snapshot._key(made_up)}) == 3


@pytest.mark.parametrize("name", ["agent.c", "tool.c"])
def test_another_agent_has_another_template(
    name: str, made_up: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent lies in the initramfs, which another source makes another one."""
    monkeypatch.setattr(cache, "entry", lambda kind, key, *_: tmp_path / kind / key)
    monkeypatch.setattr(image, "_INIT", shutil.copytree(image._INIT, tmp_path / "init"))

    def key() -> str:
        initramfs = image.initramfs(made_up.kernel)
        return snapshot._key(dataclasses.replace(made_up, initramfs=initramfs))

    before = key()
    assert key() == before
    with (tmp_path / "init" / name).open("a") as source:
        source.write("/* another one */\n")
    assert key() != before


# --- what becomes of one that cannot be restored --------------------------------------


class Stage:
    """Guests that are words: whether a clone and a cold boot work is the test's to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self.why_not = ""
        self.clone: VMError | None = None
        self.boot: VMError | None = None
        monkeypatch.setattr(snapshot, "_key", lambda _: "key")
        monkeypatch.setattr(snapshot, "_make", self._make)
        monkeypatch.setattr(snapshot, "clone", lambda *_: self._fresh("clone", self.clone))
        monkeypatch.setattr(snapshot.Guest, "boot", lambda *_: self._fresh("cold", self.boot))

    def _make(self, _: Config, folder: Path) -> None:
        self.made += 1
        (folder / "ram").write_text(str(self.made))
        (folder / ("why-not" if self.why_not else "state")).write_text(self.why_not)

    @contextlib.contextmanager
    def _fresh(self, how: str, error: VMError | None) -> Iterator[str]:
        if error:
            raise error
        yield how


@pytest.fixture
def stage(home: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """No QEMU is started."""
    assert not home.exists()
    return Stage(monkeypatch)


def fresh(config: Config) -> str:
    """Return how the next guest came up."""
    with snapshot.guest(config, {}) as guest:
        return str(guest)


def test_a_template_that_fails_later_is_dropped(
    stage: Stage, made_up: Config, home: Path, said: list[str]
) -> None:
    """One guest is booted cold, one line says so, and the next has a new template."""
    assert fresh(made_up) == "clone"
    stage.clone = VMError("QEMU did not start: no section.\nits console")
    assert fresh(made_up) == "cold"
    assert said == [
        "A saved guest did not continue; a new one is made: QEMU did not start: no section."
    ]
    assert not (home / "key").exists()
    stage.clone = None
    assert fresh(made_up) == "clone"
    assert stage.made == 2


@pytest.mark.parametrize("error", [GuestLost("killed"), NoSpace("full")])
def test_want_of_memory_or_disk_is_no_fault_of_the_template(
    stage: Stage, made_up: Config, said: list[str], error: VMError
) -> None:
    """It is kept, since a new one would fare no better."""
    stage.clone = error
    assert fresh(made_up) == "cold"
    stage.clone = None
    assert fresh(made_up) == "clone"
    assert (stage.made, said) == (1, [])


def test_a_template_stays_where_a_cold_boot_fails_too(
    stage: Stage, made_up: Config, said: list[str]
) -> None:
    """What both cannot do, take files that are too many for one, is no fault of the template."""
    stage.clone = stage.boot = VMError("the files are too many")
    with pytest.raises(VMError, match="too many"):
        fresh(made_up)
    stage.clone = None
    assert fresh(made_up) == "clone"
    assert (stage.made, said) == (1, [])


def test_a_guest_that_does_not_boot_is_booted_again(
    stage: Stage, made_up: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, since nobody's code was in it; what lasts is told, and so is what QEMU refuses."""
    stage.clone = GuestUnready("it panicked")
    booted: list[VMError | None] = [GuestUnready("it panicked"), None]
    boot = snapshot.Guest.boot

    def falling(*arguments: object) -> object:
        stage.boot = booted.pop(0)
        return boot(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot.Guest, "boot", falling)
    assert fresh(made_up) == "cold"
    assert booted == []
    for errors in ([GuestUnready("one"), GuestUnready("two")], [VMError("two")]):
        booted += errors
        with pytest.raises(VMError, match="two"):
            fresh(made_up)
        assert booted == []


def test_a_template_whose_guest_dies_is_begun_again(
    made_up: Config, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory is made anew; a guest that dies twice is told."""
    errors = [GuestCrashed("the guest's kernel panicked")]

    def freeze(_: Config, ram: Path, state: Path) -> None:
        assert not ram.exists() or ram.read_text() == "half"
        ram.write_text("half")
        if errors:
            raise errors.pop()
        ram.write_text("whole")
        state.write_text("")

    guest = SimpleNamespace(run=lambda _: None)
    monkeypatch.setattr(snapshot, "_freeze", freeze)
    monkeypatch.setattr(snapshot, "clone", lambda *_: contextlib.nullcontext(guest))
    made = snapshot.template(made_up)
    assert made is not None
    assert made.ram.read_text() == "whole"
    cache.drop(made.ram.parent, cache.stamp(made.ram.parent))
    errors += [GuestCrashed("it panicked"), GuestCrashed("it panicked again")]
    with pytest.raises(VMError, match=r"it panicked$"):
        snapshot.template(made_up)
    assert list(home.glob("[!.]*")) == []


def test_a_new_template_is_not_dropped_for_the_old_one(stage: Stage, made_up: Config) -> None:
    """While this process waits for its clone, another one has made the template anew."""

    @contextlib.contextmanager
    def late(_: object, __: object, frozen: Frozen) -> Iterator[str]:
        folder = frozen.ram.parent
        assert cache.drop(folder, cache.stamp(folder))
        snapshot.template(made_up)
        yield from ()
        raise VMError("the old one did not go on")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "clone", late)
        assert fresh(made_up) == "cold"
    assert fresh(made_up) == "clone"
    assert stage.made == 2


def test_a_refused_template_is_told_once_and_tried_again_after_a_day(
    stage: Stage, made_up: Config, home: Path, said: list[str]
) -> None:
    """Until then all guests are booted; what is wrong with the host may be mended by then."""
    stage.why_not = "QEMU did not start: no such device.\nits console"
    assert [fresh(made_up), fresh(made_up)] == ["cold", "cold"]
    (line,) = said
    assert "each guest boots" in line
    assert line.endswith("QEMU did not start: no such device.")
    assert stage.made == 1

    stage.why_not = ""
    old = time.time() - snapshot.REFUSED_SECONDS + 60
    os.utime(home / "key" / "why-not", (old, old))
    assert fresh(made_up) == "cold"
    os.utime(home / "key" / "why-not", (old - 120, old - 120))
    assert fresh(made_up) == "clone"
    assert stage.made == 2


def test_the_doctor_tells_of_a_refused_template(
    stage: Stage, made_up: Config, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so beside others that work, with the reason; one to be tried again is none."""
    assert fresh(made_up) == "clone"
    assert doctor._template().state == "ok"
    stage.why_not = "no such device.\nits console"
    monkeypatch.setattr(snapshot, "_key", lambda _: "other")
    assert fresh(made_up) == "cold"
    state, _, found, _ = doctor._template()
    assert state == "slow"
    assert re.fullmatch(r"1, and for 1 more .*: no such device\.", found)
    os.utime(home / "other" / "why-not", (1, 1))
    assert doctor._template().state == "ok"


def _refuse(number: int) -> int:
    snapshot._tell(f"no {number}")
    return number


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_what_a_process_of_the_pool_tells_is_said(said: list[str], method: pool.Method) -> None:
    """Exercises are checked in processes of their own; the terminal is their parent's."""
    assert dict(pool.each(_refuse, [1, 2], 2, method=method)) == {1: 1, 2: 2}
    assert sorted(said) == ["no 1", "no 2"]


# --- the same with real guests --------------------------------------------------------


def garbled(state: bytes) -> bytes:
    """Other bytes, just as many."""
    return b"rubbish!" * (len(state) // 8)


def cut(state: bytes) -> bytes:
    """The first half."""
    return state[: len(state) // 2]


@pytest.mark.vm
@pytest.mark.parametrize("damage", [garbled, cut])
def test_a_template_with_a_damaged_state_is_done_without(
    config: Config,
    damage: Callable[[bytes], bytes],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
) -> None:
    """The guest is booted cold instead, and works; the next is the clone of a new template."""
    good = snapshot.template(config)
    assert good is not None
    home: Path = request.getfixturevalue("home")

    def copy(change: Callable[[bytes], bytes]) -> None:
        def make(_: Config, folder: Path) -> None:
            os.link(good.ram, folder / "ram")
            assert good.state
            (folder / "state").write_bytes(change(good.state.read_bytes()))

        monkeypatch.setattr(snapshot, "_make", make)

    copy(damage)
    with snapshot.guest(config, PAYLOAD) as cold:
        assert cold.machine.frozen is None
        assert cold.run(["/lab/script.sh"]).text == "from the payload\n"
    assert [p.name for p in home.iterdir() if p.suffix != ".lock"] == []
    assert len(said) == 1
    copy(bytes)
    with snapshot.guest(config, PAYLOAD) as clone:
        assert clone.machine.frozen is not None
        assert clone.run(["/lab/script.sh"]).ok
    assert len(said) == 1


@pytest.mark.vm
def test_a_template_that_fails_its_proof_is_refused(
    config: Config, home: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """What cannot be restored when it was made is kept as the reason alone; guests boot cold."""
    freeze = Machine.freeze

    def badly(machine: Machine, target: Path) -> None:
        freeze(machine, target)
        target.write_bytes(garbled(target.read_bytes()))

    monkeypatch.setattr(Machine, "freeze", badly)
    with snapshot.guest(config, PAYLOAD) as cold:
        assert cold.machine.frozen is None
        assert cold.run(["/lab/script.sh"]).text == "from the payload\n"
    (entry,) = (p for p in home.iterdir() if p.suffix != ".lock")
    assert (entry / "why-not").read_text()
    assert not (entry / "state").exists()
    assert snapshot.template(config) is None
    assert len(said) == 1


@pytest.mark.vm
def test_clones_share_their_templates_memory(config: Config) -> None:
    """Each of three clones at once has for itself a fraction of the 256 MiB that it sees."""
    with contextlib.ExitStack() as stack:
        clones = [stack.enter_context(snapshot.guest(config, {})) for _ in range(3)]
        for clone in clones:
            assert clone.machine.frozen is not None
            assert clone.run(["/bin/true"]).ok
        assert max(private_mib(clone.machine) for clone in clones) < 64
