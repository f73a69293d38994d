"""What is done once with a distribution's kernel: its image unpacked for PVH, its drivers copied.

vm/kernel.py reads this only when a kernel comes into the cache.
"""

from __future__ import annotations

import bz2
import io
import lzma
import shutil
import struct
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lz4.block
import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

from vm.errors import VMError

_XEN_PVH_NOTE = 18
"""XEN_ELFNOTE_PHYS32_ENTRY of include/xen/interface/elfnote.h: QEMU can start it by PVH."""

_DAMAGED = (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, lz4.block.LZ4BlockError)
"""What the decompressors raise for data they cannot read."""


def _lz4_legacy(data: bytes) -> bytes:
    """Unpack the legacy LZ4 frame that kernels use: blocks of at most 8 MiB each."""
    out = []
    at = 4
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if size == 0 or at + size > len(data):
            break  # the length of the whole, which the kernel's build appends
        out.append(lz4.block.decompress(data[at : at + size], uncompressed_size=8 << 20))
        at += size
    return b"".join(out)


def decompress(data: bytes) -> bytes:
    """Decompress a kernel's payload, a module or a package's files, by the magic number.

    What stands behind the compressed data (kernels append its size) is ignored.
    Raises VMError when it is damaged.
    """
    packed: Any = None
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        packed = zstandard.ZstdDecompressor().decompressobj()
    elif data.startswith(b"\xfd7zXZ\0"):
        packed = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    elif data.startswith(b"\x5d\0\0"):
        packed = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
    elif data.startswith(b"\x1f\x8b"):
        packed = zlib.decompressobj(wbits=31)
    elif data.startswith(b"BZh"):
        packed = bz2.BZ2Decompressor()
    try:
        if data.startswith(b"\x02\x21\x4c\x18"):
            return _lz4_legacy(data)
        whole: bytes = packed.decompress(data) if packed else data
    except _DAMAGED as error:
        raise VMError(f"its compressed data are damaged: {error}") from error
    if packed and not packed.eof:
        raise VMError("its compressed data end too early")
    return whole


def pvh_image(image: bytes) -> bytes | None:
    """Return the ELF kernel in *image* (a bzImage or a vmlinux) if QEMU can start it by PVH.

    The payload's place stands in the setup header (Documentation/arch/x86/boot.rst,
    payload_offset and payload_length). None means: start the image as it is.
    Raises VMError when it is no x86 kernel at all.
    """
    if image[0x202:0x206] == b"HdrS":
        setup_sectors = image[0x1F1] or 4
        offset, length = struct.unpack_from("<II", image, 0x248)
        start = (setup_sectors + 1) * 512 + offset
        elf = decompress(image[start : start + length])
    elif image.startswith(b"\x7fELF"):
        elf = image
    else:
        raise VMError("it is neither a bzImage nor a vmlinux")
    return elf if elf.startswith(b"\x7fELF") and _has_pvh_note(elf) else None


def _has_pvh_note(elf: bytes) -> bool:
    notes = (
        note
        for segment in ELFFile(io.BytesIO(elf)).iter_segments("PT_NOTE")
        if isinstance(segment, NoteSegment)
        for note in segment.iter_notes()
    )
    return any(n["n_name"] == "Xen" and n["n_type"] == _XEN_PVH_NOTE for n in notes)


def write(source: Path, target: Path) -> None:
    """Write the kernel image *source* to *target*, as a vmlinux where QEMU can start that by PVH.

    Raises VMError when it is no kernel image.
    """
    try:
        image = source.read_bytes()
        target.write_bytes(pvh_image(image) or image)
    except (VMError, ELFError, OSError, struct.error, ValueError) as error:
        raise VMError(f"{source} cannot be used as a kernel image: {error}.") from error


# --- drivers -------------------------------------------------------------------------


def _module_files(folder: Path) -> dict[str, Path]:
    return {p.name.split(".ko")[0].replace("-", "_"): p for p in folder.rglob("*.ko*")}


def _depends(ko: bytes) -> list[str]:
    section = ELFFile(io.BytesIO(ko)).get_section_by_name(".modinfo")
    for item in section.data().split(b"\0") if section is not None else ():
        if item.startswith(b"depends="):
            return [name for name in item[8:].decode().split(",") if name]
    return []


_REQUIRED = {
    "virtio_pci": "VIRTIO_PCI",
    "virtio_blk": "VIRTIO_BLK",
    "virtio_console": "VIRTIO_CONSOLE",
}
"""Drivers without which no guest comes up, and their options."""


def require(modules: Path, built_in: Collection[str]) -> None:
    """Raise VMError when a driver that every guest needs is neither in *modules* nor *built_in*.

    *modules* is a kernel's module tree, *built_in* its options; without any nobody knows.
    """
    files = _module_files(modules) if modules.is_dir() else {}
    for name, option in _REQUIRED.items():
        if built_in and name not in files and option not in built_in:
            raise VMError(
                f"This kernel has no driver {name}, without which no guest of it comes up: there "
                f"is no {name}.ko below {modules}, and CONFIG_{option} is not built in."
            )


def collect(
    drivers: Sequence[str], modules: Path, target: Path, *, there: Collection[str] = ()
) -> list[str]:
    """Copy *drivers* and what they depend on, uncompressed, into *target*; ``list`` has the order.

    Those that are *there* anyhow are left out, and so are those that *modules*, a kernel's
    module tree, does not have: their names are returned.
    """
    files = _module_files(modules) if modules.is_dir() else {}
    have = {name.replace("-", "_") for name in there}
    order: list[str] = []
    missing: list[str] = []

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in order or name in have:
            return
        if name not in files:
            missing.append(name)
            return
        ko = decompress(files[name].read_bytes())
        for other in _depends(ko):
            add(other)
        (target / f"{name}.ko").write_bytes(ko)
        order.append(name)

    target.mkdir()
    for driver in drivers:
        add(driver)
    (target / "list").write_text("".join(f"{name}.ko\n" for name in order))
    return missing


def keep(folders: Sequence[str], modules: Path, target: Path) -> None:
    """Copy *folders* of a kernel's module tree, and its list of what is built in, to *target*."""
    for folder in folders:
        if (modules / "kernel" / folder).is_dir():
            shutil.copytree(modules / "kernel" / folder, target / "kernel" / folder)
    if (modules / "modules.builtin").is_file():
        shutil.copy(modules / "modules.builtin", target)
