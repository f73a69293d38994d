"""Run inside gdb: symbols are loaded when the kernel loads a module, or a program starts.

debugger.py puts it into a folder that has modules.json (module -> name -> section
and offset), the modules with their debug information, and kernel.json: the addresses
of do_init_module(), which runs before a module's init, and of the list of modules. There is
programs.json, too: program -> the address of what it calls first.

A section's address is found by the names in it: the kernel keeps the module's
symbol table, with addresses, in struct module, whose layout is in the debug
information of any module.
"""

import json
import struct
from pathlib import Path
from typing import Any

import gdb

folder = Path(__file__).parent
kernel: dict[str, int] = json.loads((folder / "kernel.json").read_text())
fields: dict[str, int] = {}
loaded: set[str] = set()


def memory(address: int, size: int) -> bytes:
    """Return *size* bytes of the guest's memory."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def read(address: int, form: str) -> tuple[Any, ...]:
    """Return the values of *form*, as in the module struct, that stand at *address*."""
    return struct.unpack(form, memory(address, struct.calcsize(form)))


def text(address: int) -> str:
    """Return the C string at *address*."""
    pointer = gdb.Value(address).cast(gdb.lookup_type("char").pointer())
    return str(pointer.string(errors="replace"))


def learn_layout() -> None:
    """Learn where struct module has its fields, from any module's debug information."""
    names = gdb.current_progspace().filename
    for ko in sorted(folder.glob("*.ko"))[:1]:
        gdb.execute(f"symbol-file {ko}", to_string=True)
        for field in gdb.lookup_type("struct module").fields():
            if field.name:
                fields[field.name] = field.bitpos // 8
        gdb.execute(f"symbol-file {names}", to_string=True)


def load(module: int) -> None:
    """Load the symbols of the struct module at the address *module*, if it is one of ours."""
    name = text(module + fields["name"])
    names = json.loads((folder / "modules.json").read_text()).get(name)
    if names is None:
        return
    ko = folder / f"{name}.ko"
    if name in loaded:  # it was removed since, or is another one
        gdb.execute(f"remove-symbol-file {ko}", to_string=True)
    (kallsyms,) = read(module + fields["kallsyms"], "Q")
    # struct mod_kallsyms begins with the table, its length and the names; a row is an Elf64_Sym
    table, count, strings = read(kallsyms, "QI4xQ")
    sections: dict[str, int] = {}
    for row in range(count):
        offset, value = read(table + 24 * row, "I4xQ")
        section, place = names.get(text(strings + offset), ("", 0))
        if section and value:
            sections.setdefault(section, value - place)
    where = " ".join(f"-s {section} {address:#x}" for section, address in sections.items())
    gdb.execute(f"add-symbol-file {ko} {where}", to_string=True)
    loaded.add(name)
    print(f"symbols of {name} loaded")


class Loading(gdb.Breakpoint):
    """Where the kernel is about to call a module's init; the guest goes on from there."""

    def stop(self) -> bool:
        """Load the symbols of the module, which is the function's argument."""
        load(int(gdb.parse_and_eval("$rdi")) % 2**64)
        return False


class Starting(gdb.Breakpoint):
    """What the program *name* calls first; it goes on from there with its symbols loaded.

    They could be loaded before, but gdb looks at the code of a function to find where its
    arguments are there, and a program's code is there only now.
    """

    def __init__(self, name: str, address: int) -> None:
        super().__init__(f"*{address:#x}", internal=True)
        self.program = name
        self.loaded = 0

    def stop(self) -> bool:
        """Load the symbols, if they are not those that are known: `update` writes new ones."""
        file = folder / f"{self.program}.program"
        made = file.stat().st_mtime_ns
        if made != self.loaded:
            if self.loaded:
                gdb.execute(f"remove-symbol-file {file}", to_string=True)
            gdb.execute(f"add-symbol-file {file} -o 0", to_string=True)
            self.loaded = made
            print(f"symbols of {self.program} loaded")
        return False


programs: dict[str, int] = json.loads((folder / "programs.json").read_text())
for program, first in programs.items():
    Starting(program, first)
learn_layout()
if {"name", "kallsyms", "list"} <= fields.keys() and {"do_init_module", "modules"} <= kernel.keys():
    Loading(f"*{kernel['do_init_module']:#x}", internal=True)
    entry = kernel["modules"]
    while (entry := read(entry, "Q")[0]) != kernel["modules"]:
        load(entry - fields["list"])
    print("The guest is stopped. Set breakpoints (break my_init), then continue, and insmod there.")
elif not programs:
    print("There are no symbols: no module was built, or the kernel hides where its modules are.")
if programs:
    print("Programs: break main, then continue, and start one in the guest: " + " ".join(programs))
