"""Kernels: what is found in an image, and what is said of files that are none."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard

from vm import apt, kernel, kernel_image
from vm.errors import NoDriver, VMError
from vm.kernel import Kernel


def note(name: bytes, kind: int) -> bytes:
    """An ELF note with four bytes in it."""
    name += b"\0"
    return (
        struct.pack("<III", len(name), 4, kind)
        + name.ljust(-(-len(name) // 4) * 4, b"\0")
        + b"\1\0\0\0"
    )


def elf(notes: bytes) -> bytes:
    """The smallest x86-64 ELF file with a segment of *notes*."""
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\2\1\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 4, 4, 64 + 56, 0, 0, len(notes), len(notes), 4)
    return head + segment + notes


PVH = elf(note(b"Linux", 257) + note(b"Xen", 18))
"""An ELF kernel that QEMU can start by PVH, if not for long."""


def bzimage(payload: bytes, *, setup_sectors: int = 3) -> bytes:
    """A bzImage: boot sector, setup code, then protected-mode code with *payload* 64 bytes in."""
    image = bytearray(((setup_sectors or 4) + 1) * 512)
    image[0x1F1] = setup_sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 64, len(payload))
    return bytes(image) + b"\x90" * 64 + payload + b"\xcc" * 100


def with_size(compressed: bytes) -> bytes:
    """Append the length of the whole, as the kernel's build does for all formats but gzip."""
    return compressed + struct.pack("<I", len(PVH))


def lz4_legacy(data: bytes) -> bytes:
    """Pack as `lz4 -l` does: a magic number, and blocks that each say how long they are."""
    blocks = [data[:100], data[100:]]
    packed = [lz4.block.compress(b, store_size=False) for b in blocks]
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(p)) + p for p in packed)


PACKERS = {
    "gzip": gzip.compress,
    "xz": lambda data: with_size(lzma.compress(data, format=lzma.FORMAT_XZ)),
    "lzma": lambda data: with_size(lzma.compress(data, format=lzma.FORMAT_ALONE)),
    "zstd": lambda data: with_size(zstandard.ZstdCompressor().compress(data)),
    "lz4": lambda data: with_size(lz4_legacy(data)),
    "nothing": lambda data: data,
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_the_payload_of_a_bzimage_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    """Whatever a kernel is packed with, its ELF file comes out."""
    assert kernel_image.pvh_image(bzimage(pack(PVH))) == PVH


def test_setup_sectors_of_zero_mean_four() -> None:
    """The boot protocol's old default is kept to."""
    assert kernel_image.pvh_image(bzimage(gzip.compress(PVH), setup_sectors=0)) == PVH


def test_a_vmlinux_is_taken_as_it_is() -> None:
    """An uncompressed kernel with the note needs no unpacking."""
    assert kernel_image.pvh_image(PVH) == PVH


@pytest.mark.parametrize("notes", [note(b"Linux", 257), note(b"Xen", 5), note(b"GNU", 18)])
def test_a_kernel_without_the_note_is_started_as_it_is(notes: bytes) -> None:
    """Only XEN_ELFNOTE_PHYS32_ENTRY tells that PVH works."""
    assert kernel_image.pvh_image(bzimage(gzip.compress(elf(notes)))) is None


def test_an_unknown_packer_is_left_to_the_kernel() -> None:
    """A payload nobody here can read (LZO, say) is for the kernel's own unpacker."""
    assert kernel_image.pvh_image(bzimage(b"\x89LZO\0\r\n\x1a\n" + b"\5" * 500)) is None


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", b"\0" * 4096], ids=["empty", "text", "zeros"]
)
def test_what_is_no_kernel_is_refused(data: bytes) -> None:
    """A file that is neither a bzImage nor an ELF file says so."""
    with pytest.raises(VMError, match="neither a bzImage nor a vmlinux"):
        kernel_image.pvh_image(data)


# --- kernels of one's own ------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image and a build tree in it, and a cache beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "image").write_bytes(bzimage(gzip.compress(PVH)))
    build = tmp_path / "build"
    (build / "include/generated").mkdir(parents=True)
    (build / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "9.8.7-own"\n')
    (build / "Makefile").write_text("all:\n")
    return tmp_path


def test_an_own_kernel_is_unpacked_and_named(own: Path) -> None:
    """The release comes from the build tree, the image from the bzImage's payload."""
    found = kernel.custom(own / "image", own / "build")
    assert (found.name, found.release) == ("custom", "9.8.7-own")
    assert found.image.read_bytes() == PVH
    assert found.build_mounts == {own / "build": found.build}
    assert found.drivers == ()


@pytest.mark.parametrize("lib", ["lib", "usr/lib"])
def test_drivers_are_looked_for_in_both_places_of_packages(
    own: Path, monkeypatch: pytest.MonkeyPatch, lib: str
) -> None:
    """Where a kernel's package was unpacked, its modules are below lib/ or usr/lib/."""
    asked: list[Path] = []

    def collect(names: object, modules: Path, target: Path, **_: object) -> None:
        asked.append(modules)
        target.mkdir()
        (target / "list").touch()

    monkeypatch.setattr(kernel_image, "collect", collect)
    (own / "boot").mkdir()
    (own / "image").rename(own / "boot/vmlinuz")
    modules = own / lib / "modules/9.8.7-own"
    modules.mkdir(parents=True)
    kernel.custom(own / "boot/vmlinuz", own / "build")
    assert asked == [modules]


def test_another_image_is_another_kernel(own: Path) -> None:
    """The key follows the image's bytes."""
    first = kernel.custom(own / "image", own / "build").key
    (own / "image").write_bytes(bzimage(lzma.compress(PVH)))
    assert kernel.custom(own / "image", own / "build").key != first


def no_image(own: Path) -> Path:
    """Take the image away."""
    (own / "image").unlink()
    return own / "image"


def folder_for_image(own: Path) -> Path:
    """Put a folder where the image belongs."""
    (own / "image").unlink()
    (own / "image").mkdir()
    return own / "image"


def text_for_image(own: Path) -> Path:
    """Make the image a text."""
    (own / "image").write_text("not a kernel")
    return own / "image"


def damaged_gzip(own: Path) -> Path:
    """Break the image's gzip payload in the middle."""
    packed = bytearray(gzip.compress(PVH))
    packed[40:60] = b"\xff" * 20
    (own / "image").write_bytes(bzimage(bytes(packed)))
    return own / "image"


def short_gzip(own: Path) -> Path:
    """Cut the image's gzip payload short."""
    (own / "image").write_bytes(bzimage(gzip.compress(PVH)[:-40]))
    return own / "image"


def damaged_xz(own: Path) -> Path:
    """Break the image's xz payload."""
    packed = bytearray(lzma.compress(PVH))
    packed[20:40] = b"\xff" * 20
    (own / "image").write_bytes(bzimage(bytes(packed)))
    return own / "image"


def damaged_zstd(own: Path) -> Path:
    """Break the image's zstd payload."""
    packed = zstandard.ZstdCompressor().compress(PVH)
    (own / "image").write_bytes(bzimage(packed[:20] + b"\xff" * 30))
    return own / "image"


def damaged_lz4(own: Path) -> Path:
    """Break the image's lz4 payload."""
    (own / "image").write_bytes(bzimage(b"\x02\x21\x4c\x18" + b"\x10\0\0\0" + b"\xff" * 16))
    return own / "image"


def half_elf(own: Path) -> Path:
    """Cut an ELF file inside its header."""
    (own / "image").write_bytes(PVH[:40])
    return own / "image"


def header_only(own: Path) -> Path:
    """Cut a bzImage behind its header."""
    (own / "image").write_bytes(bzimage(b"")[:0x206])
    return own / "image"


def no_build(own: Path) -> Path:
    """Take the build tree's release away."""
    (own / "build/include/generated/utsrelease.h").unlink()
    return own / "build"


def no_release(own: Path) -> Path:
    """Let the build tree name no release."""
    (own / "build/include/generated/utsrelease.h").write_text("/* empty */\n")
    return own / "build"


def no_makefile(own: Path) -> Path:
    """Take the build tree's Makefile away."""
    (own / "build/Makefile").unlink()
    return own / "build"


WRONG = (
    *(no_image, folder_for_image, text_for_image, damaged_gzip, short_gzip, damaged_xz),
    *(damaged_zstd, damaged_lz4, half_elf, header_only, no_build, no_release, no_makefile),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_a_wrong_file_is_named(own: Path, wrong: Callable[[Path], Path]) -> None:
    """Whatever is wrong with an own kernel, the error is a sentence with the path in it."""
    path = wrong(own)
    with pytest.raises(VMError) as caught:
        kernel.custom(own / "image", own / "build")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.vm
def test_a_packaged_kernel_can_be_given_as_an_own_one(
    stock_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distribution's build tree, given as one's own, has its release and its build folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ((host, inside),) = stock_kernel.build_mounts.items()
    tree = host / Path(stock_kernel.build).relative_to(inside)
    own = tmp_path / "boot/vmlinuz"
    modules = tmp_path / "lib/modules" / stock_kernel.release
    for folder in (own.parent, modules):
        folder.mkdir(parents=True)
    shutil.copy(stock_kernel.image, own)
    with pytest.raises(VMError, match=r"no driver virtio_\w+, .* below \S+"):
        kernel.custom(own, tree)
    for driver in stock_kernel.drivers:
        shutil.copy(driver, modules)
    found = kernel.custom(own, tree)
    assert found.release == stock_kernel.release
    assert found.build == stock_kernel.build


@pytest.mark.parametrize(
    ("options", "refused"),
    [("VIRTIO_PCI VIRTIO_CONSOLE VIRTIO_BLK", False), ("VIRTIO_PCI VIRTIO_CONSOLE", True)],
)
def test_a_kernel_without_a_driver_for_the_disk_is_refused(
    own: Path, options: str, refused: bool
) -> None:
    """virtio_blk is a file or built in; where it is neither, the error names it."""
    config = own / "build/include/config/auto.conf"
    config.parent.mkdir()
    config.write_text("".join(f"CONFIG_{option}=y\n" for option in options.split()))
    if refused:
        with pytest.raises(VMError, match=r"no driver virtio_blk, .*CONFIG_VIRTIO_BLK"):
            kernel.custom(own / "image", own / "build")
    else:
        assert kernel.custom(own / "image", own / "build").drivers == ()


# --- drivers that a lab asks for ---------------------------------------------------------


@pytest.fixture
def tree(own: Path) -> Path:
    """A module tree: a needs b and c, b needs c; d-e is packed; f is built in."""
    folder = own / "modules/kernel/net"
    folder.mkdir(parents=True)
    for name, needs in {"a": "b,c", "b": "c", "c": "", "d-e": "c"}.items():
        source = own / "module.c"
        source.write_text(
            f'const char info[] __attribute__((used, section(".modinfo"))) = "depends={needs}";'
        )
        file = folder / f"{name}.ko"
        subprocess.run(["gcc", "-c", "-o", str(file), str(source)], check=True)
        if name == "d-e":
            packed = lzma.compress(file.read_bytes())
            file.with_suffix(".ko.xz").write_bytes(packed)
            file.unlink()
    (own / "modules/modules.builtin").write_text("kernel/net/f-g.ko\n")
    return own / "modules"


def with_modules(modules: Path | None, there: tuple[Path, ...] = ()) -> Kernel:
    """A kernel with this module tree and an option that is built in."""
    config = None
    if modules is not None:
        config = modules / "auto.conf"
        config.write_text("CONFIG_TUN=y\nCONFIG_NETFILTER_NETLINK_QUEUE=y\nCONFIG_A=m\n")
    return Kernel(
        "stock", "9.8.7", "key", Path("/none"), "/b", {}, there, config=config, modules=modules
    )


def test_drivers_come_behind_those_that_they_depend_on(tree: Path) -> None:
    """Each once, unpacked, in an order in which they can be loaded."""
    found = kernel.drivers(with_modules(tree), ["a", "d_e", "c"])
    assert [path.name for path in found] == ["c.ko", "b.ko", "a.ko", "d_e.ko"]
    assert all(path.read_bytes().startswith(b"\x7fELF") for path in found)


def test_drivers_that_a_guest_has_are_not_copied(tree: Path) -> None:
    """Those of every guest's, and those that are built in by file name or by option."""
    on = with_modules(tree, (Path("/drivers/c.ko"), Path("/drivers/b.ko")))
    found = kernel.drivers(on, ["a", "f-g", "f_g", "tun", "nfnetlink_queue"])
    assert [path.name for path in found] == ["a.ko"]
    assert kernel.drivers(on, []) == ()


@pytest.mark.parametrize("name", ["nosuch", "e", "a.ko"])
def test_a_driver_that_a_kernel_has_not_is_named(tree: Path, name: str) -> None:
    """With the kernel and its release; nothing of it is kept for the next time."""
    for on in (with_modules(tree), with_modules(None)):
        with pytest.raises(NoDriver, match=f"stock kernel 9.8.7 has no driver {name}") as error:
            kernel.drivers(on, [name])
        assert error.value.driver == name


def test_an_option_counts_as_a_module_too(tree: Path) -> None:
    """What a lab needs may be loaded; where nobody knows the options, there is none."""
    on = with_modules(tree)
    assert [on.has(option) for option in ("A", "TUN", "B")] == [True, True, False]
    assert not with_modules(None).has("TUN")


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (
            "include /usr/src/linux-headers-6.1-common/Makefile",
            "include /kernel/usr/src/linux-headers-6.1-common/Makefile",
        ),
        (
            "KBUILD_OUTPUT=/usr/src/linux-headers-7.2-amd64",
            "KBUILD_OUTPUT=/kernel/usr/src/linux-headers-7.2-amd64",
        ),
    ],
)
def test_a_packaged_makefile_finds_its_other_parts_in_a_sandbox(line: str, moved: str) -> None:
    """Each absolute path of the headers' Makefile is moved; 7.x has two of them."""
    assert kernel._moved(f"{line}\n") == f"{moved}\n"


# --- the distribution's --------------------------------------------------------------


@pytest.mark.vm
def test_the_stock_kernel_is_whole(stock_kernel: Kernel) -> None:
    """The stock kernel has an image for PVH, a build tree of its release, and the drivers."""
    assert kernel_image.pvh_image(stock_kernel.image.read_bytes()) is not None
    ((host, inside),) = stock_kernel.build_mounts.items()
    tree = host / Path(stock_kernel.build).relative_to(inside)
    assert f'"{stock_kernel.release}"' in (tree / "include/generated/utsrelease.h").read_text()
    drivers = [d.name for d in stock_kernel.drivers]
    built_in = {option.lower() for option in kernel._options(tree)}
    wanted = {"virtio_blk", "virtio_console", "virtio_net"}
    assert {f"{name}.ko" for name in wanted - built_in} <= set(drivers)
    if "virtio" not in built_in:  # as it is on 6.12
        assert drivers.index("virtio_ring.ko") < drivers.index("virtio_blk.ko")
    assert all(d.read_bytes().startswith(b"\x7fELF") for d in stock_kernel.drivers)
    names = [path.name for path in kernel.drivers(stock_kernel, ["nfnetlink_queue", "nf_tables"])]
    assert names.index("nfnetlink.ko") < names.index("nf_tables.ko")


@pytest.mark.vm
def test_packages_that_apt_cannot_fetch_are_told_in_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them, how many more, apt's own reason, and both ways out."""
    apt_get = tmp_path / "bin/apt-get"
    apt_get.parent.mkdir()
    apt_get.write_text(
        "#!/bin/sh\n"
        "echo 'E: Failed to fetch http://mirror/zlib1g.deb  No such host' >&2\n"
        "echo 'E: Failed to fetch http://mirror/libc6.deb  No such host' >&2\nexit 100\n"
    )
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt_get.parent}:{os.environ['PATH']}")
    with pytest.raises(VMError) as raised:
        apt.unpack(["zlib1g", "libc6", "dash"], tmp_path)
    assert str(raised.value) == (
        "apt-get could not download zlib1g and 2 more: "
        "Failed to fetch http://mirror/zlib1g.deb  No such host. "
        "If this host has a network, `apt-get update` as root may help. "
        "Without a network, use a kit: `make check KIT=FILE`."
    )


def test_the_stock_kernel_is_not_fetched_again(
    stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a whole kernel in the cache nothing is asked of apt."""

    def no_apt(*_: object) -> None:
        raise AssertionError("apt was asked")

    monkeypatch.setattr(apt, "depends", no_apt)
    monkeypatch.setattr(apt, "unpack", no_apt)
    assert kernel.stock() == stock_kernel


def test_without_the_packages_lists_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When apt knows no kernel the error names `apt-get update` and the way around."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(apt, "depends", lambda _: [])
    with pytest.raises(VMError, match=r"apt-get update.*--kernel-image and --kernel-build"):
        kernel.stock()


# --- what modules are built with ---------------------------------------------------------

TELLS_OF_PAHOLE = """\
CONFIG_PAHOLE_VERSION := 132
PAHOLE_VERSION = $(shell echo 0)
modules: ; @$(MAKE) --no-print-directory -f $(CURDIR)/Makefile prepare
prepare: PAHOLE_VERSION := $(PAHOLE_VERSION)
prepare:
	@if [ "$(PAHOLE_VERSION)" != "$(CONFIG_PAHOLE_VERSION)" ]; then \\
		echo >&2 "warning: pahole version differs from the one used to build the kernel"; \\
	fi
"""
"""What the Makefile of 7.x has of pahole."""


def test_make_does_not_tell_of_pahole(tmp_path: Path) -> None:
    """A host's pahole is no other than the kernel's, whatever it is: nobody calls it."""
    (tmp_path / "Makefile").write_text(TELLS_OF_PAHOLE)
    built = Kernel("", "", "", tmp_path, build=str(tmp_path), build_mounts={}, drivers=())
    done = subprocess.run(built.make("/x"), check=True, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
