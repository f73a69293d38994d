"""Where a guest's kernel comes from: ``stock`` (packages), ``debug`` (built), or files given.

A kernel is an image QEMU can start, the drivers its guest needs, and the build
tree that modules are compiled against.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vm import apt, cache, debug_kernel
from vm.errors import VMError

STOCK_IMAGE = "linux-image-cloud-amd64"
STOCK_HEADERS = "linux-headers-cloud-amd64"

DRIVERS = (
    *("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "pvpanic-pci", "ext4"),
    *("veth", "tcp_diag", "udp_diag"),
)
"""What a guest needs, its other hosts (veth) and ss (the two diag modules) included.

Those that are built into the kernel have no file.
"""

FEATURES = (
    *("KASAN", "DEBUG_KMEMLEAK", "PROVE_LOCKING", "PROVE_RCU", "DEBUG_ATOMIC_SLEEP", "UBSAN"),
    *("DEBUG_LIST", "DEBUG_OBJECTS", "FAILSLAB", "KPROBES", "TRACEPOINTS"),
)
"""Options of a kernel (without CONFIG_) that checks may need."""

_RECIPE = cache.digest(Path(__file__), Path(__file__).with_name("kernel_image.py"))
"""What entries of this module's making are keyed by, besides what they are made of."""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot and to build against.

    *image* is an uncompressed vmlinux with a PVH note where that can be had,
    else a bzImage. *build* is the build tree's path inside a sandbox that shows
    *build_mounts* (host path -> path inside). *key* stands for the content of
    image and drivers. *features* are those of FEATURES that it was built with.
    """

    name: str
    release: str
    key: str
    image: Path
    build: str
    build_mounts: Mapping[Path, str]
    drivers: tuple[Path, ...]
    features: frozenset[str] = field(default_factory=frozenset)

    def make(self, folder: str, jobs: int = 1) -> list[str]:
        """Return the command that builds the modules in *folder*, inside a sandbox.

        Line numbers are kept, types are not; BTF needs pahole, and nobody reads it.
        """
        options = ["KCFLAGS=-g1", "CONFIG_DEBUG_INFO_BTF_MODULES="]
        options += ["UBSAN_SANITIZE=y"] if "UBSAN" in self.features else []
        return ["make", "-s", f"-j{jobs}", "-C", self.build, f"M={folder}", *options, "modules"]


def _drivers(folder: Path) -> tuple[Path, ...]:
    return tuple(folder / name for name in (folder / "list").read_text().split())


def _features(build: Path) -> frozenset[str]:
    """Return which of FEATURES the kernel of this build tree was built with."""
    try:
        config = (build / "include/config/auto.conf").read_text(errors="replace")
    except OSError:
        return frozenset()
    return frozenset(re.findall(r"^CONFIG_(\w+)=y$", config, re.MULTILINE)) & frozenset(FEATURES)


# --- where kernels come from ---------------------------------------------------------


def stock(*, update: bool = False) -> Kernel:
    """Return the distribution's cloud kernel, fetched into the cache the first time.

    With *update* the packages' lists are asked for a newer one. Raises VMError
    when the packages cannot be had.
    """
    key = "" if update else _newest("stock", _RECIPE)
    if not key:
        try:
            (image,) = (n for n in apt.depends(STOCK_IMAGE) if n.startswith("linux-image-"))
            (headers,) = (n for n in apt.depends(STOCK_HEADERS) if n.startswith("linux-headers-"))
        except ValueError as error:
            raise VMError(
                f"apt does not know {STOCK_IMAGE}: run `apt-get update` as root, or give "
                "--kernel-image and --kernel-build."
            ) from error
        key = f"{image.removeprefix('linux-image-')}+{_RECIPE}"
        doing = f"fetching {image} and its headers, about 40 MB (once)"
        cache.entry("kernel", key, lambda folder: _make_stock(folder, image, headers), doing)
        _set_newest("stock", key)
    folder = cache.root() / "kernel" / key
    release = key.removesuffix(f"+{_RECIPE}")
    return Kernel(
        name="stock",
        release=release,
        key=key,
        image=folder / "image",
        build=f"/kernel/usr/src/linux-headers-{release}",
        build_mounts={folder / "root": "/kernel"},
        drivers=_drivers(folder / "drivers"),
        features=_features(folder / "root/usr/src" / f"linux-headers-{release}"),
    )


def _newest(name: str, recipe: str) -> str:
    """Return the key of the whole entry that *name* stands for; empty if it was made otherwise."""
    pointer = cache.root() / "kernel" / name
    key = pointer.read_text().strip() if pointer.is_file() else ""
    whole = key.endswith(f"+{recipe}") and cache.is_whole(pointer.with_name(key))
    return key if whole else ""


def _set_newest(name: str, key: str) -> None:
    pointer = cache.root() / "kernel" / name
    scratch = pointer.with_suffix(f".{os.getpid()}")
    scratch.write_text(key + "\n")
    scratch.replace(pointer)


def _make_stock(folder: Path, image: str, headers: str) -> None:
    from vm import kernel_image

    root = folder / "root"
    root.mkdir()
    parts = [n for n in apt.depends(headers) if n.startswith(("linux-headers-", "linux-kbuild-"))]
    apt.unpack([image, headers, *parts], root)
    release = image.removeprefix("linux-image-")
    kernel_image.write(root / "boot" / f"vmlinuz-{release}", folder / "image")
    kernel_image.collect(DRIVERS, root / "lib/modules" / release, folder / "drivers")
    makefile = root / "usr/src" / headers / "Makefile"
    makefile.write_text(_moved(makefile.read_text()))
    for spent in ("boot", "lib", "etc", "usr/share"):
        shutil.rmtree(root / spent, ignore_errors=True)
    _prune(root / "usr/src")


def _prune(source: Path) -> None:
    """Remove what no module of this machine's is built with: each use of an entry looks at all."""
    for arch in source.glob("*/arch/*/"):
        if arch.name != "x86":
            shutil.rmtree(arch)
    for bindings in source.glob("*/include/dt-bindings/"):
        shutil.rmtree(bindings)
    for empty in source.glob("*/include/config/*"):  # one for each option, for rebuilding alone
        if empty.is_file() and empty.stat().st_size == 0:
            empty.unlink()


def _moved(makefile: str) -> str:
    """Let a packaged build tree's Makefile, one include line, find its other half in a sandbox."""
    return makefile.replace("include /usr/src/", "include /kernel/usr/src/")


def debug(
    *, update: bool = False, progress: debug_kernel.Progress = lambda done, total: None
) -> Kernel:
    """Return the debug kernel, built from the distribution's source the first time.

    That takes minutes: *progress* is told how far it is. With *update* the
    packages' lists are asked for a newer source. Raises VMError when it cannot
    be built; what is done by then is kept and gone on with.
    """
    recipe = _debug_recipe()
    key = "" if update else _newest("debug", recipe)
    if not key:
        package = debug_kernel.source_package()
        key = f"{package.replace('=', '_')}+{recipe}"
        doing = f"building the debug kernel of {package}, some minutes (once)"
        cache.entry("kernel", key, lambda f: debug_kernel.make(f, key, package, progress), doing)
        _set_newest("debug", key)
    return _debug(key)


def debug_if_built() -> Kernel | None:
    """Return the debug kernel if it is in the cache."""
    key = _newest("debug", _debug_recipe())
    return _debug(key) if key else None


def _debug_recipe() -> str:
    """Return what its entries are keyed by, besides the source."""
    return cache.digest(
        debug_kernel.RECIPE, debug_kernel.FRAGMENT.read_text(), debug_kernel.compiler()
    )


def _debug(key: str) -> Kernel:
    folder = cache.root() / "kernel" / key
    return Kernel(
        name="debug",
        release=_release(folder / "build"),
        key=key,
        image=folder / "bzImage",
        build="/kernel/build",
        build_mounts={folder / "build": "/kernel/build"},
        drivers=(),  # they are built in
        features=_features(folder / "build"),
    )


def _release(build: Path) -> str:
    """Return the release that a build tree is for; VMError when it names none."""
    # not include/config/kernel.release, which in Debian's packages is another name
    header = build / "include/generated/utsrelease.h"
    match = re.search(r'UTS_RELEASE "([^"/]+)"', header.read_text(errors="replace"))
    if match is None:
        raise VMError(f"{header} names no release.")
    return match[1]


def custom(image: Path, build: Path) -> Kernel:
    """Return a kernel made of a bzImage or vmlinux and the build tree that belongs to it.

    Its drivers are looked for in lib/modules beside the image's boot folder,
    and in the build tree itself. Raises VMError naming the path that is wrong.
    """
    if not image.is_file():
        raise VMError(f"--kernel-image {image} is not a file.")
    release_file, makefile = build / "include/generated/utsrelease.h", build / "Makefile"
    for needed in (release_file, makefile):
        if not needed.is_file():
            raise VMError(
                f"--kernel-build {build} is not a kernel's build tree: it has no "
                f"{needed.relative_to(build)}."
            )
    release = _release(build)
    places = (
        image.resolve().parent.parent / "lib/modules" / release,
        Path("/lib/modules") / release,
    )
    modules = next((p for p in places if p.is_dir()), build)

    build = build.resolve()

    def make(folder: Path) -> None:
        from vm import kernel_image

        kernel_image.write(image, folder / "image")
        kernel_image.collect(DRIVERS, modules, folder / "drivers")
        (folder / "Makefile").write_text(_moved(makefile.read_text()))

    key = cache.digest(_RECIPE, image, makefile, release, str(modules))
    folder = cache.entry("custom-kernel", key, make)
    inside, mounts = str(build), {build: str(build)}
    if build.parent.parts[-2:] == ("usr", "src"):  # a packaged tree, wherever it was unpacked
        inside = f"/kernel/usr/src/{build.name}"
        mounts = {
            build.parent: "/kernel/usr/src",
            build.parent.parent / "lib": "/kernel/usr/lib",
            folder / "Makefile": f"{inside}/Makefile",
        }
    return Kernel(
        name="custom",
        release=release,
        key=key,
        image=folder / "image",
        build=inside,
        build_mounts=mounts,
        drivers=_drivers(folder / "drivers"),
        features=_features(build),
    )
