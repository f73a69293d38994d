"""Boot once, restore many: a guest from a frozen template, or booted cold where that fails.

A template is a guest that was booted with its RAM in a file, let come to
rest, and frozen before any code of a submission ran. Clones map that file
privately, so they share what they do not write. A template is an entry of the
cache, keyed by all that went into it (QEMU's version and command line,
kernel, initramfs, image), and proved by one restore when it is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from vm import cache, tools
from vm.errors import VMError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.machine import Config, Frozen, Machine, command_line
from vm.sandbox import Sandbox

REST_SECONDS = 5
"""Guest seconds a guest rests before it is frozen, so that boot's afterwork is done."""


def template(config: Config) -> Frozen | None:
    """Return the template for *config*, made the first time; None if restoring does not work here.

    Raises VMError when not even the boot works.
    """
    if config.accel != "tcg":
        return None
    doing = f"booting Linux {config.kernel.release} to freeze a template of it (once)"
    folder = cache.entry("template", _key(config), lambda folder: _make(config, folder), doing)
    if not (folder / "state").exists():
        return None
    return Frozen(folder / "ram", folder / "state")


def _key(config: Config) -> str:
    # the program's size and time stand for its version, which costs a process to ask for
    program = Path(tools.find("qemu-system-x86_64")).stat()
    qemu = f"{program.st_size} {program.st_mtime_ns}"
    arguments = command_line(config, Frozen(Path("ram")))
    parts = [config.kernel.key, config.initramfs.parent.name, config.image.key]
    files = [part for n, file in config.files.items() for part in (n, file.content)]
    return cache.digest(Path(__file__), qemu, *arguments, *parts, *files, *config.modules)


def _make(config: Config, folder: Path) -> None:
    frozen = Frozen(folder / "ram")
    with frozen.ram.open("wb") as f:
        f.truncate(config.memory << 20)
    Sandbox().own(frozen.ram)
    with Machine(config, frozen) as machine:
        guest = Guest(machine)  # the agent has no nonce yet: every clone gets its own
        guest.unpack(config.files)
        guest.load_modules()
        guest.run(["/bin/sleep", str(REST_SECONDS)])
        machine.freeze(folder / "state")
    try:
        with clone(config, {}, Frozen(frozen.ram, folder / "state")) as guest:
            guest.run(["/bin/true"])
    except VMError as error:
        (folder / "state").unlink()
        (folder / "why-not").write_text(str(error))


@contextlib.contextmanager
def clone(config: Config, payload: Mapping[str, PayloadFile], frozen: Frozen) -> Iterator[Guest]:
    """Yield a guest that goes on from *frozen*, stopped; VMError when it does not answer."""
    with Machine(config, frozen) as machine:
        yield Guest.greet(machine, payload)


@contextlib.contextmanager
def guest(config: Config, payload: Mapping[str, PayloadFile]) -> Iterator[Guest]:
    """Yield a fresh, stopped guest with *payload* at /lab: a clone, else one booted cold.

    Raises VMError when neither can be had.
    """
    with contextlib.ExitStack() as stack:
        frozen = template(config)
        fresh: Guest | None = None
        if frozen:
            with contextlib.suppress(VMError):  # a cold boot says it, if it lasts
                fresh = stack.enter_context(clone(config, payload, frozen))
        yield fresh or stack.enter_context(Guest.boot(config, payload))
