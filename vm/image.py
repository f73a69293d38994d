"""What a guest boots besides its kernel: the initramfs, the root file system, its files.

Everything is made without root: packages are unpacked, ``mke2fs -d`` makes the
file systems, qemu-img keeps the root file system as qcow2.
"""

from __future__ import annotations

import io
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm import cache, debian, qemu_img, toolchain
from vm.elf import needed
from vm.errors import NoPackage, VMError
from vm.kernel import Kernel
from vm.toolchain import Toolchain

PACKAGES = ("busybox-static", "dash", "netcat-openbsd", "iproute2", "tcpdump")
PROGRAMS = ("bin/busybox", "bin/dash", "bin/nc.openbsd", "bin/ip", "bin/ss", "usr/bin/tcpdump")
"""What the root file system holds of PACKAGES, with the libraries each needs.

In the packages all of them lie below usr/ (vm.debian.extract), or in usr/sbin.
"""

ROOM = 56 << 20
"""Bytes that the files of a root file system may have; it lies in the guest's memory."""

_INIT = Path(__file__).parent / "init"
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
_LOADER = "lib64/ld-linux-x86-64.so.2"
_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/lib", "lib", "lib64", "dev", "proc", "sys")
_UNUSED = re.compile(
    r"usr/(share/(doc|doc-base|man|locale|info|lintian|bug|bash-completion|zsh|fish)|lib/systemd)/"
    r"|etc/(init\.d|default|cron\.\w+|logrotate\.d)/|var/"
)
"""Files of a package that no guest needs."""

_MOUNT_POINTS = ("tmp", "run", "root", "lab", "etc", "var/tmp", "mnt")


@dataclass(frozen=True)
class PayloadFile:
    """A file that a guest finds below /lab."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Image:
    """A root file system: the qcow2 file and the hash of what it was made from."""

    root: Path
    key: str


# --- programs of ours ----------------------------------------------------------------


def tools() -> Toolchain:
    """Return what compiles them: the same for all kernels, as they are for all."""
    return toolchain.of(debian.default_release())


def compile_static(source: Path, target: Path, *more: Path, headers: Sequence[Path] = ()) -> None:
    """Compile C files of ours, *source* and *more*, into a static program for the guest.

    *headers* are folders in which an #include is looked for.
    """
    flags = ["-std=gnu11", "-O2", "-Wall", "-static", "-s", *(f"-I{folder}" for folder in headers)]
    folders = {path.parent for path in (source, *more, target)} | set(headers)
    tools().run(
        ["gcc", *flags, "-o", str(target), str(source), *map(str, more)], folders=sorted(folders)
    )


def _compile_agent(target: Path) -> None:
    more = (_INIT / f"{name}.c" for name in ("tool", "net", "link", "netlink", "program"))
    compile_static(_INIT / "agent.c", target, *more)


# --- the initramfs -------------------------------------------------------------------


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Pack name -> (mode, content) as a newc archive (initramfs buffer format of the kernel)."""
    out = bytearray()
    for number, (name, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))]):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % value for value in fields) + path
        out += b"\0" * (-len(out) % 4) + content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initramfs(kernel: Kernel, drivers: Sequence[Path] = (), setup: str = "") -> Path:
    """Return the initramfs for *kernel*: its drivers and the agent.

    *drivers* are more of them, in their order (vm.kernel.drivers). *setup*, a shell script,
    makes the guest's other hosts in place of those of vm/init/rc.
    """

    def make(folder: Path) -> None:
        agent = folder / "agent"
        _compile_agent(agent)
        files: dict[str, tuple[int, bytes]] = {"modules": (stat.S_IFDIR | 0o755, b"")}
        files["dev"] = (stat.S_IFDIR | 0o755, b"")
        wanted = [*kernel.drivers, *drivers]
        for driver in wanted:
            files[f"modules/{driver.name}"] = (stat.S_IFREG | 0o644, driver.read_bytes())
        listing = "".join(f"{driver.name}\n" for driver in wanted)
        files["modules/list"] = (stat.S_IFREG | 0o644, listing.encode())
        if setup:
            files["setup"] = (stat.S_IFREG | 0o644, setup.encode())
        files["init"] = (stat.S_IFREG | 0o755, agent.read_bytes())
        (folder / "initramfs").write_bytes(cpio(files))

    own = [part for driver in drivers for part in (driver.name, driver)]
    parts = [Path(__file__), *sorted(_INIT.iterdir()), kernel.key, tools().name, *own, setup]
    return cache.entry("initramfs", cache.digest(*parts), make) / "initramfs"


# --- the root file system ------------------------------------------------------------


def _copy_with_libraries(program: str, source: Path, target: Path) -> None:
    place = target / program
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_find(source, program), place)
    _copy_libraries(program, place, [source], target)


def _copy_libraries(program: str, file: Path, sources: Sequence[Path], target: Path) -> None:
    """Copy the libraries that *file* needs, in turn, from the packages unpacked in *sources*."""
    queue = needed(file)
    while queue:
        name = queue.pop()
        copy = target / "usr/lib" / name
        if copy.exists():
            continue
        places = (source / folder / name for source in sources for folder in _LIBRARY_FOLDERS)
        found = next((path for path in places if path.exists()), None)
        if found is None:
            raise VMError(f"{program} needs the library {name}, and none of its packages has it.")
        shutil.copy(found, copy)
        queue += needed(copy)


def _find(source: Path, program: str) -> Path:
    """Return the file of *program* among the unpacked packages; VMError naming both if none is."""
    name = Path(program).name
    for folder in ("usr/bin", "usr/sbin"):
        if (path := source / folder / name).exists():
            return path
    package = next((p for p in PACKAGES if name.split(".")[0] in p), " or ".join(PACKAGES))
    raise VMError(f"The package {package} has no {program}, so there is none for the guests.")


def _copy_package(files: Path, libraries: Sequence[Path], target: Path) -> None:
    """Copy the package unpacked in *files*, what is read by people left out, and its libraries.

    What the root file system has already stays.
    """
    for source in sorted(files.rglob("*")):
        name = str(source.relative_to(files))
        place = target / name
        if source.is_dir() and not source.is_symlink():
            continue
        if _UNUSED.match(name) or place.is_symlink() or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place, follow_symlinks=False)
        if source.is_symlink() or source.read_bytes()[:4] != b"\x7fELF":
            continue
        try:
            _copy_libraries(name, source, [files, *libraries], target)
        except VMError:
            if source.parent.name in ("bin", "sbin"):
                raise
            place.unlink()  # a plugin, whose library is in a package that is only suggested


def _make_root(folder: Path, more: Sequence[str] = ()) -> None:
    """Make the root file system in *folder*, with the packages *more* besides; NoPackage."""
    packages = tools().packages
    for name in more:
        if not re.fullmatch(debian.PACKAGE_NAME, name):
            raise NoPackage(name, f"{name!r} is not the name of a package of Debian.")
    for name in more:
        packages.candidate(name)  # one that is not there is told before anything is fetched
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch_name:
        scratch = Path(scratch_name)
        source, target = scratch / "packages", scratch / "root"
        source.mkdir()
        versions = packages.unpack([*PACKAGES, *packages.libraries(PACKAGES)], source)
        for name in (*_FOLDERS, *_MOUNT_POINTS):
            (target / name).mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            _copy_with_libraries(program, source, target)
        shutil.copy(source / "usr" / _LOADER, target / _LOADER)
        # dash, since busybox's shell prefers its own nc and ip to those on the PATH
        (target / "bin/sh").symlink_to("dash")
        (target / "bin/nc").symlink_to("nc.openbsd")
        (target / "bin/netcat").symlink_to("nc.openbsd")
        for folder_of_ip in ("sbin", "usr/sbin"):
            (target / folder_of_ip / "ip").symlink_to("/bin/ip")
        busybox = _find(source, "bin/busybox")
        for name in more:
            (own := scratch / name).mkdir()
            versions |= packages.unpack([name], own)
            (below := scratch / f"{name} libraries").mkdir()
            if libraries := packages.libraries([name]):
                versions |= packages.unpack(libraries, below)
            _copy_package(own, [below, source], target)
        for applet in tools().run([str(busybox), "--list"], folders=[source]).split():
            link = target / "bin" / applet
            if not link.exists() and not link.is_symlink():
                link.symlink_to("busybox")
        _compile_agent(target / "sbin/agent")
        (target / "sbin/tool").symlink_to("agent")
        shutil.copy(_INIT / "rc", target / "etc/rc")
        # tcpdump becomes a user of its name, or refuses
        (target / "etc/passwd").write_text(
            "root::0:0:root:/root:/bin/sh\ntcpdump:x:100:100::/tmp:/bin/false\n"
        )
        (target / "etc/group").write_text("root:x:0:\n")
        (target / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (target / "etc/ld.so.conf").write_text("")
        if more and (size := _size(target)) > ROOM:
            raise NoPackage(
                ", ".join(more),
                f"With {', '.join(more)} a guest's root file system has {size >> 20} MiB of "
                f"files, but there is space only for {ROOM >> 20}.",
            )
        raw = scratch / "root.img"
        make_ext2(target, raw, 64 << 20)
        qemu_img.convert(raw, folder / "root.qcow2")
    (folder / "packages.txt").write_text("".join(f"{n} {v}\n" for n, v in sorted(versions.items())))


def _size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def make_ext2(source: Path, target: Path, size: int) -> None:
    """Make *target*, a raw ext2 file system of *size* bytes, with what *source* holds.

    Small kernels have a driver for ext2, and the one for ext4 reads it as well.
    """
    with target.open("wb") as f:
        f.truncate(size)
    options = ["-E", "root_owner=0:0,lazy_itable_init=1"]
    argv = ["mke2fs", "-q", "-F", "-t", "ext2", *options, "-d", str(source), str(target)]
    tools().run(argv, folders=[source, target.parent])


def root(packages: Sequence[str] = ()) -> Image:
    """Return the guests' root file system, with the programs of *packages*, made the first time.

    Raises NoPackage for one that the release does not have, or that has no room.
    """
    more = sorted(set(packages))
    key = cache.digest(Path(__file__), *sorted(_INIT.iterdir()), tools().name, *more)
    doing = "downloading the programs for the guests, about 10 MB (once)"
    if more:
        doing = f"making a root file system for guests with {', '.join(more)} (once)"
    entry = cache.entry("image", key, lambda folder: _make_root(folder, more), doing)
    return Image(entry / "root.qcow2", key)


def archive(files: Mapping[str, PayloadFile]) -> bytes:
    """Pack path -> file as a tar archive, which a guest unpacks below /lab."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(file.content)
            member.mode = 0o755 if file.executable else 0o644
            tar.addfile(member, io.BytesIO(file.content))
    return packed.getvalue()
