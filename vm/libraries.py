"""The C library and its like for programs of students, from the system that compiles them.

A program is linked with the libraries of its kernel's toolchain, which need not be those of the
guest's root file system. So a guest has them in a folder of their own, with their loader, and
the program names both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vm.elf import needed
from vm.errors import NoLibrary, VMError
from vm.image import PayloadFile
from vm.toolchain import Toolchain

FOLDER = "lib"
"""Where they lie, below /lab."""

LOADER = "ld-linux-x86-64.so.2"

_ALWAYS = ("libc.so.6", "libm.so.6", "libgcc_s.so.1")
"""What a program with sanitizers needs."""

_FOLDERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64", "usr/lib")


def link_flags() -> tuple[str, ...]:
    """Return what gcc takes to make a program find them."""
    return f"-Wl,--dynamic-linker=/lab/{FOLDER}/{LOADER}", f"-Wl,-rpath,/lab/{FOLDER}"


def files(tools: Toolchain, names: Iterable[str] = ()) -> dict[str, PayloadFile]:
    """Return the files, by their paths below /lab, for programs linked with *names* (-lNAME).

    Raises NoLibrary when one of *names* is not in the system of *tools*, VMError for others.
    """
    system = tools.system or Path("/")
    found = {LOADER: _find(system, LOADER)}
    queue = [*_ALWAYS, *(_of(system, name) for name in names)]
    while queue:
        if (name := queue.pop()) not in found:
            found[name] = _find(system, name)
            queue += needed(found[name])
    return {
        f"{FOLDER}/{name}": PayloadFile(path.read_bytes(), executable=True)
        for name, path in found.items()
    }


def _find(system: Path, name: str) -> Path:
    for folder in _FOLDERS:
        if (path := system / folder / name).is_file():
            return path
    raise VMError(f"The library {name}, which programs need, is not in {system}.")


def _of(system: Path, name: str) -> str:
    """Return the file name that programs linked with -l*name* ask for."""
    for folder in _FOLDERS:
        if there := [path.name for path in (system / folder).glob(f"lib{name}.so.*")]:
            return min(there, key=len)
    raise NoLibrary(
        f"The library {name} of a lab's programs is not in {system}: install its -dev package, or "
        "leave it out of `libraries` in lab.toml."
    )
