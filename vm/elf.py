"""Pure: an ELF file -> the libraries that it needs."""

from __future__ import annotations

from pathlib import Path


def needed(path: Path) -> list[str]:
    """Return the names of the libraries that the program or library at *path* is linked with."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as f:
        section = ELFFile(f).get_section_by_name(".dynamic")
        if not isinstance(section, DynamicSection):
            return []
        return [tag.needed for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
