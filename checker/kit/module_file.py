"""What a built module says of itself, as its .ko file has it: for remarks, never for a verdict.

A check reads it with of(): what the module calls of the kernel's, what it shows to the rest of
the kernel, whether init and exit are marked, and what MODULE_*() lines it has.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from checker.engine.testbed import Module

_logger = logging.getLogger("knetlab")

_OWN = frozenset({"init_module", "cleanup_module", "__this_module"})
"""What the kernel's build makes global in each module."""


@dataclass(frozen=True)
class ModuleFile:
    """A .ko: the symbols it *imports*, those that it makes *visible* to the whole kernel.

    *unmarked* are its init function without __init and its exit function without __exit, by
    the names "init" and "exit"; *info* has the tags of modinfo(8) that it has.
    """

    imports: frozenset[str] = frozenset()
    visible: tuple[str, ...] = ()
    unmarked: dict[str, str] = field(default_factory=dict)
    info: frozenset[str] = frozenset()

    def calls(self, *names: str) -> str:
        """Return the first of *names* that the module calls; "" where it calls none."""
        return next((name for name in names if name in self.imports), "")


def of(module: Module) -> ModuleFile:
    """Return what the file of *module* says; nothing where an assembler made it unreadable."""
    try:
        return read(module.files[module.file].content)
    except Exception as error:  # whatever is in it is no reason for a verdict
        _logger.info(f"{module.file} cannot be read for remarks: {error!r}")
        return ModuleFile()


def read(content: bytes) -> ModuleFile:
    """Read the bytes of a .ko; what is not there is left empty."""
    elf = ELFFile(io.BytesIO(content))
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return ModuleFile()
    imports, visible = set(), []
    places: dict[tuple[int, int], list[str]] = {}
    ends: dict[str, tuple[int, int]] = {}
    for symbol in table.iter_symbols():
        where, binding = symbol["st_shndx"], symbol["st_info"]["bind"]
        kind = symbol["st_info"]["type"]
        if where == "SHN_UNDEF":
            imports.add(symbol.name)
        elif isinstance(where, int):
            place = where, symbol["st_value"]
            if kind == "STT_FUNC":
                places.setdefault(place, []).append(symbol.name)
            if symbol.name in ("init_module", "cleanup_module"):
                ends[symbol.name] = place
            elif binding == "STB_GLOBAL" and kind in ("STT_FUNC", "STT_OBJECT"):
                visible.append(symbol.name)
    unmarked = {}
    for name, said, section in (
        ("init_module", "init", ".init.text"),
        ("cleanup_module", "exit", ".exit.text"),
    ):
        if (at := ends.get(name)) and not elf.get_section(at[0]).name.startswith(section):
            own = [one for one in places.get(at, []) if one not in _OWN]
            unmarked[said] = own[0] if own else name
    modinfo = elf.get_section_by_name(".modinfo")
    tags = modinfo.data().split(b"\0") if modinfo else []
    return ModuleFile(
        frozenset(imports - {""}),
        tuple(sorted(set(visible) - _OWN)),
        unmarked,
        frozenset(tag.partition(b"=")[0].decode(errors="replace") for tag in tags if tag),
    )
