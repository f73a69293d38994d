"""gdb at a console's guest: QEMU's stub on a socket, and symbols for modules and programs.

All lies in the machine's own folder: the socket, modules and programs with their debug
information, and a file of gdb commands that brings it together. What is to be
done inside gdb when the kernel loads a module, or a program starts, is in in_gdb.py. The kernel's
own functions are known by name; their lines and variables are not.

The stub knows no processes. A program can be followed since it is built with addresses that
nothing else in the guest has, and calls knetlab_loaded() first (checker/engine/program_build.py).
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import zlib
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from checker.engine import program_build
from checker.model import Build, Lab, ProgramBuild
from vm import cache, tools
from vm.errors import VMError
from vm.guest import Guest
from vm.kernel import Kernel
from vm.machine import INSIDE

KALLSYMS_SECONDS = 120
"""What reading /proc/kallsyms may take, on a busy host and in real time; else it is one or two."""

_SH_ADDR = 16
"""Where an Elf64_Shdr has the section's address."""

_IN_GDB = Path(__file__).with_name("in_gdb.py")


class _WithTypes(Kernel):
    def make(self, folder: str, jobs: int = 1) -> list[str]:
        return [*super().make(folder, jobs), "KCFLAGS=-g"]  # make takes the last


def with_types(kernel: Kernel) -> Kernel:
    """Return *kernel* so that modules built against it tell a debugger of types and variables."""
    return _WithTypes(**vars(kernel))


def start(guest: Guest, sources: Path) -> str:
    """Open the stub of a stopped guest; return the command line of a gdb that knows what is built.

    That is what write_modules() and write_programs() have written; *sources* is the folder that
    it was built from. Raises VMError when QEMU opens no stub.
    """
    folder = guest.machine.folder
    said = guest.machine.execute(
        "human-monitor-command",
        {"command-line": f"gdbserver unix:{INSIDE}/gdb,server=on,wait=off"},
    )
    if not (folder / "run" / "gdb").exists():
        raise VMError(f"QEMU does not open a connection for gdb: {said}.")
    wanted = ["/bin/grep", "-E", r" (do_init_module|modules)$", "/proc/kallsyms"]
    known = guest.run(wanted, deadline=KALLSYMS_SECONDS).text
    addresses = {name: int(address, 16) for address, _, name in map(str.split, known.splitlines())}
    (folder / "kernel.json").write_text(json.dumps(addresses))
    # a kernel that is somewhere else at each boot has other addresses
    key = cache.digest(Path(__file__), guest.machine.config.kernel.key, known)
    doing = "reading the names of the kernel's functions for gdb (once)"
    names = cache.entry("kernel-names", key, lambda folder: _write_names(guest, folder), doing)
    commands = (
        f"file {names}/kernel",
        "set pagination off",
        "set breakpoint pending on",
        f"set substitute-path /build {sources.resolve()}",
        f"target remote {folder}/run/gdb",
        f"source {folder}/in_gdb.py",
    )
    shutil.copy(_IN_GDB, folder)
    (folder / "gdb").write_text("".join(f"{command}\n" for command in commands))
    return f"gdb -x {folder}/gdb"


def write_modules(guest: Guest, made: Build) -> None:
    """Put the modules with their debug information where gdb looks for them."""
    folder = guest.machine.folder
    symbols = {}
    for module in made.modules:
        if module.debug is not None:
            (folder / f"{module.name}.ko").write_bytes(without_addresses(module.debug))
            symbols[module.name] = _symbols(module.debug)
    (folder / "modules.json").write_text(json.dumps(symbols))


def write_programs(guest: Guest, lab: Lab, made: Build | None) -> None:
    """Put the programs that were made for gdb where it looks for them; with None there are none."""
    folder = guest.machine.folder
    loaded = {}
    for target in lab.builds:
        built = made.target(target.name) if made else None
        if isinstance(built, ProgramBuild) and built.plain:
            (folder / f"{target.name}.program").write_bytes(built.plain)
            loaded[target.name] = program_build.debug_loaded(lab, target)
    (folder / "programs.json").write_text(json.dumps(loaded))


def without_addresses(ko: bytes) -> bytes:
    """Return the relocatable file *ko* with the address of each section 0.

    From Linux 6.2 on, modules have sections with one (__patchable_function_entries, and .data
    behind it). gdb moves the sections of a relocatable file to where they are only if no
    section has an address (gdb/symfile.c, default_symfile_offsets), and says nothing.
    """
    elf = ELFFile(io.BytesIO(ko))
    file = bytearray(ko)
    for number in range(elf.num_sections()):
        at = elf["e_shoff"] + number * elf["e_shentsize"] + _SH_ADDR
        file[at : at + 8] = bytes(8)
    return bytes(file)


def _write_names(guest: Guest, folder: Path) -> None:
    """Make an ELF file that has the kernel's functions by name and address, and nothing else.

    No kernel here comes with a vmlinux that has symbols; the guest's own knows them.
    """
    script = "grep -i '^[0-9a-f]* t [^[]*$' /proc/kallsyms | gzip -1"
    packed = guest.run(["/bin/sh", "-c", script], deadline=KALLSYMS_SECONDS).out
    try:
        rows = [row.split() for row in gzip.decompress(packed).decode().splitlines()]
    except (OSError, EOFError, zlib.error) as error:
        raise VMError(
            f"The names of the guest kernel's functions cannot be read: {error}."
        ) from error
    functions = {name: int(at, 16) for at, _, name in rows if re.fullmatch(r"[\w.]+", name)}
    if not functions or not min(functions.values()):
        raise VMError("The guest's kernel hides the addresses of its functions.")
    base, end = min(functions.values()), max(functions.values())
    lines = ['.section .kernel,"ax",@nobits', "base:", f".skip {end - base + 1}"]
    for name, at in functions.items():
        lines += [f'.globl "{name}"', f'.type "{name}",@function']
        lines += [f'.set "{name}", base + {at - base}']
    source = folder / "kernel.s"
    source.write_text("\n".join(lines) + "\n")
    link = [
        "-nostdlib",
        "-static",
        "-no-pie",
        f"-Wl,--section-start=.kernel={base:#x},-e,0,--build-id=none",
    ]
    tools.run(["gcc", *link, "-o", str(folder / "kernel"), str(source)])
    source.unlink()


def _symbols(ko: bytes) -> dict[str, tuple[str, int]]:
    """Return the section and the offset of each name in *ko* that stands there once."""
    elf = ELFFile(io.BytesIO(ko))
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found: dict[str, tuple[str, int]] = {}
    twice: set[str] = set()
    for symbol in table.iter_symbols():
        index = symbol["st_shndx"]
        if symbol["st_info"]["type"] not in ("STT_FUNC", "STT_OBJECT") or isinstance(index, str):
            continue
        twice |= {symbol.name} & found.keys()
        found[symbol.name] = (elf.get_section(index).name, symbol["st_value"])
    return {name: place for name, place in found.items() if name not in twice}
