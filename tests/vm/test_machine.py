"""One QEMU: the processor of its guests, its version, and what is left of its loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from vm import machine, tools
from vm.errors import VMError
from vm.image import Image
from vm.kernel import Kernel
from vm.machine import Accel, Config, Frozen, Machine


def made_up(accel: Accel = "tcg", *, real_time: bool = False) -> Config:
    """Return a machine that nobody starts."""
    kernel = Kernel("stock", "6.1", "kernel", Path("/image"), "/kernel", {}, ())
    root = Image(Path("/root.qcow2"), "image")
    return Config(kernel, Path("/initramfs"), root, accel=accel, real_time=real_time)


def processor(config: Config, frozen: Frozen | None = None) -> list[str]:
    """Return the guest's processor and what is changed of it."""
    line = machine.command_line(config, frozen)
    return line[line.index("-cpu") + 1].split(",")


@pytest.mark.parametrize("frozen", [None, Frozen(Path("/ram")), Frozen(Path("/r"), Path("/s"))])
@pytest.mark.parametrize("real_time", [False, True])
def test_no_emulated_guest_has_cmpxchg16b(frozen: Frozen | None, real_time: bool) -> None:
    """What old versions of QEMU emulate wrong is kept from checks, templates and consoles."""
    assert "-cx16" in processor(made_up(real_time=real_time), frozen)


def test_a_guest_under_kvm_has_the_hosts_processor() -> None:
    """Nothing is emulated there, so nothing is kept from it."""
    assert processor(made_up("kvm")) == ["host"]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", "7.2.22"),
        ("QEMU emulator version 11.1.3\n", "11.1.3"),
    ],
)
def test_the_version_of_qemu_is_read(
    said: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the number alone, without the distribution's."""
    monkeypatch.setattr(tools, "run", lambda *_, **__: said)
    assert machine.qemu_version.__wrapped__() == version


def test_a_qemu_without_a_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has what it said instead."""
    monkeypatch.setattr(tools, "run", lambda *_, **__: "hello")
    with pytest.raises(VMError, match="names no version: hello"):
        machine.qemu_version.__wrapped__()


def test_a_loops_own_thread_ends_its_tasks() -> None:
    """When a machine is closed its tasks are over; another thread would not see them all.

    asyncio.all_tasks() of Python 3.14 knows no task of a thread that has ended.
    """
    started, ended = threading.Event(), []

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(threading.get_ident())

    closed = Machine(made_up())
    closed._thread.start()
    loops_own = closed._thread.ident
    future = asyncio.run_coroutine_threadsafe(endless(), closed._loop)
    assert started.wait(60)
    closed.close()
    assert ended == [loops_own]
    assert future.cancelled()
    assert closed._loop.is_closed()
    closed.close()
