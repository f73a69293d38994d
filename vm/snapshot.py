"""Boot once, restore many: a guest from a frozen template, or booted cold where that fails.

A template is a guest that was booted with its RAM in a file, let come to
rest, and frozen before any code of a submission ran. Clones map that file
privately, so they share what they do not write. A template is an entry of the
cache, keyed by all that went into it (QEMU's version and command line,
kernel, initramfs, image), and proved by one restore when it is made. One that is
refused then, or fails later, is told of and made again: it does not stay.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from vm import cache, tools
from vm.errors import GuestError, GuestLost, GuestUnready, NoSpace, VMError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.machine import Config, Frozen, Machine, command_line
from vm.sandbox import Sandbox

REST_SECONDS = 5
"""Guest seconds a guest rests before it is frozen, so that boot's afterwork is done."""


REFUSED_SECONDS = 24 * 3600
"""A template that could not be restored when it was made is done without for so long."""

WHY_NOT = "why-not"
"""The file that such a template is kept as: the error."""

T = TypeVar("T")

log = logging.getLogger("knetlab")


def template(config: Config) -> Frozen | None:
    """Return the template for *config*, made the first time; None if restoring does not work here.

    Raises VMError when not even the boot works.
    """
    if config.accel != "tcg":
        return None
    key = _key(config)
    before = cache.root() / "template" / key
    made = cache.stamp(before)
    if (before / WHY_NOT).exists() and not _in_force(before / WHY_NOT):
        cache.drop(before, made)
    doing = f"booting Linux {config.kernel.release} and saving this guest for later (once)"
    folder = cache.entry("template", key, lambda folder: _make(config, folder), doing)
    if (folder / "state").exists():
        return Frozen(folder / "ram", folder / "state")
    if why := _first_line(folder / WHY_NOT):
        _tell(
            f"Saved guests cannot be restored here, so each guest boots, which takes longer: {why}"
        )
    return None


def refused() -> list[str]:
    """Return why there is none, for each template that is done without at present."""
    files = (cache.root() / "template").glob(f"[!.]*/{WHY_NOT}")
    return [_first_line(file) for file in files if _in_force(file)]


def _in_force(why_not: Path) -> bool:
    with contextlib.suppress(OSError):  # another process has dropped it
        return time.time() - why_not.stat().st_mtime < REFUSED_SECONDS
    return False


def _first_line(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text().partition("\n")[0]
    return ""


@functools.cache
def _tell(text: str) -> None:
    """Say *text* to the user, once; a warning, so that it is seen where nobody set up a log."""
    log.warning(text)


def _key(config: Config) -> str:
    # the program's size and time stand for its version, which costs a process to ask for
    program = Path(tools.find("qemu-system-x86_64")).stat()
    qemu = f"{program.st_size} {program.st_mtime_ns}"
    arguments = command_line(config, Frozen(Path("ram")))
    parts = [config.kernel.key, config.initramfs.parent.name, config.image.key]
    files = [p for n, file in config.files.items() for p in (n, file.content, str(file.executable))]
    return cache.digest(Path(__file__), qemu, *arguments, *parts, *files, *config.modules)


def _make(config: Config, folder: Path) -> None:
    frozen = Frozen(folder / "ram")
    _twice(lambda: _freeze(config, frozen.ram, folder / "state"))
    try:
        with clone(config, {}, Frozen(frozen.ram, folder / "state")) as guest:
            guest.run(["/bin/true"])
    except VMError as error:
        (folder / "state").unlink()
        (folder / WHY_NOT).write_text(str(error))


def _freeze(config: Config, ram: Path, state: Path) -> None:
    """Boot a guest with its memory in *ram* and write its devices' *state*."""
    with ram.open("wb") as f:
        f.truncate(config.memory << 20)
    Sandbox().own(ram)
    with Machine(config, Frozen(ram)) as machine:
        guest = Guest(machine)  # the agent has no nonce yet: every clone gets its own
        guest.unpack(config.files)
        guest.load_modules()
        guest.run(["/bin/sleep", str(REST_SECONDS)])
        guest.run(["/sbin/tool", "traces", "net"])  # hear now what boot has changed, not each time
        machine.freeze(state)


def _twice(boot: Callable[[], T]) -> T:
    """Return what *boot* does, once more where the guest goes: nobody's code was in it yet."""
    try:
        return boot()
    except (GuestError, GuestUnready) as error:
        log.info(f"A guest did not start and is booted again: {str(error).splitlines()[0]}")
        return boot()


@contextlib.contextmanager
def clone(config: Config, payload: Mapping[str, PayloadFile], frozen: Frozen) -> Iterator[Guest]:
    """Yield a guest that goes on from *frozen*, stopped; VMError when it does not answer."""
    with Machine(config, frozen) as machine:
        yield Guest.greet(machine, payload)


@contextlib.contextmanager
def guest(config: Config, payload: Mapping[str, PayloadFile]) -> Iterator[Guest]:
    """Yield a fresh, stopped guest with *payload* at /lab: a clone, else one booted cold.

    A template whose clone fails where a cold boot works is dropped: the next guest has a
    new one. What does not boot is booted again, once. Raises VMError when no guest can be had.
    """
    with contextlib.ExitStack() as stack:

        def boot() -> Guest:
            return _twice(lambda: stack.enter_context(Guest.boot(config, payload)))

        frozen = template(config)
        if frozen is None:
            yield boot()
            return
        folder = frozen.ram.parent
        made = cache.stamp(folder)
        failed: VMError | None = None
        try:
            fresh = stack.enter_context(clone(config, payload, frozen))
        except VMError as error:  # a cold boot says it, if it lasts
            fresh = boot()
            failed = error
        if failed and not isinstance(failed, GuestLost | NoSpace):  # for want of memory, of disk
            cache.drop(folder, made)
            _tell(
                f"A saved guest did not continue; a new one is made: {str(failed).splitlines()[0]}"
            )
        yield fresh
