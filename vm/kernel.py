"""Where a guest's kernel comes from: ``stock`` (packages), ``debug`` (built), or files given.

A kernel is an image QEMU can start, the drivers its guest needs, and the build
tree that modules are compiled against. Of stock and debug there is one a release of
Debian; which one is asked for, or it is the host's own.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm import cache, debian, debug_kernel, toolchain
from vm import source as kernel_source
from vm.errors import NoDriver, VMError
from vm.sandbox import Limits, Sandbox
from vm.toolchain import Toolchain

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

MODULE_FOLDERS = ("net", "drivers/net", "lib", "crypto")
"""The folders of a stock kernel's modules that are kept: a lab may ask for drivers out of them."""

_OPTIONS = {
    "nfnetlink_queue": "NETFILTER_NETLINK_QUEUE",
    "nfnetlink_log": "NETFILTER_NETLINK_LOG",
    "nfnetlink": "NETFILTER_NETLINK",
    "nft_chain_nat": "NFT_NAT",
    "sch_netem": "NET_SCH_NETEM",
}
"""Driver -> its option, for kernels that list no built-in drivers; of most it is the name."""

_RECIPE = cache.digest("2", *DRIVERS, *MODULE_FOLDERS, Path(__file__).with_name("kernel_image.py"))
"""What entries of this module's making are keyed by, besides what they are made of.

The number is to be raised when another entry comes of the same packages.
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot and to build against.

    *image* is an uncompressed vmlinux with a PVH note where that can be had,
    else a bzImage. *build* is the build tree's path inside a sandbox that shows
    *build_mounts* (host path -> path inside). *key* stands for the content of
    image and drivers. *features* are those of FEATURES that it was built with.
    *debian* is the release of Debian it is of, "" where it was given. *tools* compile for it.
    *config* is the file with all its options, *modules* the folder with its modules; both are
    None where nobody knows.
    """

    name: str
    release: str
    key: str
    image: Path
    build: str
    build_mounts: Mapping[Path, str]
    drivers: tuple[Path, ...]
    features: frozenset[str] = field(default_factory=frozenset)
    debian: str = ""
    tools: Toolchain = field(default_factory=toolchain.host)
    config: Path | None = None
    modules: Path | None = None

    def has(self, option: str) -> bool:
        """Tell whether it was built with *option* (without CONFIG_), be it as a module."""
        return self.config is not None and option in _set(self.config)

    def sandbox(
        self,
        *,
        read_only: Mapping[Path, str] | None = None,
        writable: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Sandbox:
        """Return where modules for this kernel are compiled: it shows compiler and build tree."""
        return Sandbox(
            read_only={**self.build_mounts, **(read_only or {})},
            writable=writable or {},
            env=env or {},
            limits=limits or Limits(),
            system=self.tools.system,
        )

    def make(self, folder: str, jobs: int = 1) -> list[str]:
        """Return the command that builds the modules in *folder*, inside a sandbox.

        Line numbers are kept, types are not; BTF needs pahole, and nobody reads it. The
        make of 7.x compares pahole's version with the one that built the kernel, and tells of it.
        """
        options = ["KCFLAGS=-g1", "CONFIG_DEBUG_INFO_BTF_MODULES="]
        options.append("PAHOLE_VERSION=$(CONFIG_PAHOLE_VERSION)")  # a variable of make's
        options += ["UBSAN_SANITIZE=y"] if "UBSAN" in self.features else []
        return ["make", "-s", f"-j{jobs}", "-C", self.build, f"M={folder}", *options, "modules"]


def _drivers(folder: Path) -> tuple[Path, ...]:
    return tuple(folder / name for name in (folder / "list").read_text().split())


def _config(build: Path) -> Path:
    return build / "include/config/auto.conf"


@functools.cache
def _set(config: Path, values: str = "ym") -> frozenset[str]:
    """Return the options that have one of *values* in the file *config*."""
    try:
        text = config.read_text(errors="replace")
    except OSError:
        return frozenset()
    return frozenset(re.findall(rf"^CONFIG_(\w+)=[{values}]$", text, re.MULTILINE))


def _options(build: Path) -> frozenset[str]:
    """Return the options that are built into the kernel of this build tree."""
    return _set(_config(build), "y")


def _features(build: Path) -> frozenset[str]:
    """Return which of FEATURES the kernel of this build tree was built with."""
    return _options(build) & frozenset(FEATURES)


def drivers(kernel: Kernel, names: Sequence[str]) -> tuple[Path, ...]:
    """Return the files of the drivers *names* of *kernel*, each behind those that it depends on.

    Those that are built in, or that every guest has, have none. Raises NoDriver for one that the
    kernel does not have.
    """
    if not names:
        return ()

    def make(folder: Path) -> None:
        from vm import kernel_image

        there = [path.stem for path in kernel.drivers]
        there += [name for name in names if _built_in(kernel, name)]
        modules = kernel.modules or folder / "none"
        if missing := kernel_image.collect(names, modules, folder / "files", there=there):
            raise NoDriver(missing[0], kernel.name, kernel.release)

    key = cache.digest(_RECIPE, Path(__file__), kernel.key, *names)
    return _drivers(cache.entry("drivers", key, make) / "files")


def _built_in(kernel: Kernel, name: str) -> bool:
    """Tell whether the driver *name* is built into *kernel*, as far as anybody knows."""
    name = name.replace("-", "_")
    listing = kernel.modules / "modules.builtin" if kernel.modules else None
    if listing and listing.is_file():
        found = (Path(line).stem.replace("-", "_") for line in listing.read_text().splitlines())
        if name in found:
            return True
    option = _OPTIONS.get(name, name.upper())
    return kernel.config is not None and option in _set(kernel.config, "y")


# --- where kernels come from ---------------------------------------------------------


def stock(release: str = "", *, update: bool = False) -> Kernel:
    """Return the cloud kernel of a *release* of Debian, fetched into the cache the first time.

    Without *release* it is the host's, or vm.debian.DEFAULT. With *update* the packages' lists
    are asked for a newer one. Raises VMError when the packages cannot be had.
    """
    release = release or debian.default_release()
    compiler = toolchain.of(release, update=update)
    key = "" if update else cache.newest("kernel", f"stock-{release}", _RECIPE)
    if not key:
        packages = compiler.packages
        try:
            (image,) = (n for n in packages.depends(STOCK_IMAGE) if n.startswith("linux-image-"))
            (headers,) = (
                n for n in packages.depends(STOCK_HEADERS) if n.startswith("linux-headers-")
            )
        except ValueError as error:
            raise VMError(
                f"Debian {release} has no {STOCK_IMAGE}. Run `apt-get update` as root, or give "
                "--kernel-image and --kernel-build."
            ) from error
        key = f"{image.removeprefix('linux-image-')}+{_RECIPE}"
        doing = f"downloading {image} and its headers, about 40 MB (once)"

        def make(folder: Path) -> None:
            _make_stock(folder, image, headers, packages)

        cache.entry("kernel", key, make, doing)
        cache.set_newest("kernel", f"stock-{release}", key)
    return _stock(key, release, compiler)


def stock_if_there(release: str = "") -> Kernel | None:
    """Return the stock kernel of *release* if nothing of it has to be fetched."""
    release = release or debian.default_release()
    key = cache.newest("kernel", f"stock-{release}", _RECIPE)
    compiler = toolchain.if_there(release)
    return _stock(key, release, compiler) if key and compiler else None


def _stock(key: str, debian_release: str, compiler: Toolchain) -> Kernel:
    folder = cache.root() / "kernel" / key
    release = key.removesuffix(f"+{_RECIPE}")
    tree = folder / "root/usr/src" / f"linux-headers-{release}"
    return Kernel(
        name="stock",
        release=release,
        key=key,
        image=folder / "image",
        build=f"/kernel/usr/src/linux-headers-{release}",
        build_mounts={folder / "root": "/kernel"},
        drivers=_drivers(folder / "drivers"),
        features=_features(tree),
        debian=debian_release,
        tools=compiler,
        config=_config(tree),
        modules=folder / "modules",
    )


def _make_stock(folder: Path, image: str, headers: str, packages: debian.Packages) -> None:
    from vm import kernel_image

    root = folder / "root"
    root.mkdir()
    release = image.removeprefix("linux-image-")
    # from 7.x on the image's package is empty, and needs those that have the files
    wanted = ("linux-binary-", "linux-modules-", "linux-headers-", "linux-kbuild-")
    parts = [n for p in (image, headers) for n in packages.depends(p) if n.startswith(wanted)]
    packages.unpack([image, headers, *parts], root)
    modules, tree = root / "usr/lib/modules" / release, root / "usr/src" / headers
    places = (root / "boot" / f"vmlinuz-{release}", modules / "vmlinuz")
    kernel_image.write(next((p for p in places if p.is_file()), places[0]), folder / "image")
    kernel_image.require(modules, _options(tree))
    kernel_image.collect(DRIVERS, modules, folder / "drivers")
    kernel_image.keep(MODULE_FOLDERS, modules, folder / "modules")
    makefile = tree / "Makefile"
    makefile.write_text(_moved(makefile.read_text()))
    for spent in ("boot", "etc", "usr/lib/modules", "usr/share"):
        shutil.rmtree(root / spent, ignore_errors=True)
    if not (root / "lib").exists():  # what is below usr/ now was not always
        (root / "lib").symlink_to("usr/lib")
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
    for unread in source.glob("*/vmlinux"):  # from 6.12 on, for BTF
        unread.unlink()


def _moved(makefile: str) -> str:
    """Let a packaged build tree's Makefile find its other parts in a sandbox.

    It has one line that includes another, and from 7.x on one more that names its own place.
    """
    return re.sub(r"(?<=[ =])/usr/src/", "/kernel/usr/src/", makefile)


def debug(
    release: str = "",
    *,
    update: bool = False,
    progress: debug_kernel.Progress = lambda done, total: None,
) -> Kernel:
    """Return the debug kernel of a *release* of Debian, built from its source the first time.

    That takes minutes: *progress* is told how far it is. With *update* the
    packages' lists are asked for a newer source. Raises VMError when it cannot
    be built; what is done by then is kept and gone on with.
    """
    release = release or debian.default_release()
    compiler = toolchain.of(release, update=update)
    recipe = _debug_recipe(compiler)
    key = "" if update else cache.newest("kernel", f"debug-{release}", recipe)
    if not key:
        builder = toolchain.of(release, "kernels", update=update)
        package = debug_kernel.source_package(builder.packages)
        key = f"{package.replace('=', '_')}+{recipe}"
        doing = f"building the debug kernel from {package}, which takes some minutes (once)"

        def make(folder: Path) -> None:
            debug_kernel.make(folder, key, package, builder, progress)
            _prove(_debug(key, release, compiler, folder))

        cache.entry("kernel", key, make, doing)
        cache.set_newest("kernel", f"debug-{release}", key)
    return _debug(key, release, compiler)


def debug_if_built(release: str = "") -> Kernel | None:
    """Return the debug kernel of *release* if it is in the cache."""
    release = release or debian.default_release()
    compiler = toolchain.if_there(release)
    if compiler is None:
        return None
    key = cache.newest("kernel", f"debug-{release}", _debug_recipe(compiler))
    return _debug(key, release, compiler) if key else None


def source(release: str = "") -> tuple[str, Path]:
    """Return the version and the folder of the kernel's own source, for reading (vm/source.py).

    It is that of the debug kernel of *release* if there is one, else the newest, which stock is
    made of, too. Raises VMError when it cannot be had.
    """
    release = release or debian.default_release()
    packages = toolchain.of(release).packages
    if built := debug_if_built(release):
        package = built.key.rpartition("+")[0].replace("_", "=", 1)
    else:
        package = debug_kernel.source_package(packages)
    return package.partition("=")[2], kernel_source.of(package, packages)


def at_hand() -> list[Kernel]:
    """Return every kernel of every release that is in the cache, stock before debug."""
    finders = (stock_if_there, debug_if_built)
    found = [find(release) for release in debian.SUITES for find in finders]
    return [kernel for kernel in found if kernel]


def _debug_recipe(compiler: Toolchain) -> str:
    """Return what its entries are keyed by, besides the source."""
    return cache.digest(debug_kernel.RECIPE, debug_kernel.FRAGMENT.read_text(), compiler.compiler)


def _debug(
    key: str, debian_release: str, compiler: Toolchain, folder: Path | None = None
) -> Kernel:
    folder = folder or cache.root() / "kernel" / key
    return Kernel(
        name="debug",
        release=_release(folder / "build"),
        key=key,
        image=folder / "bzImage",
        build="/kernel/build",
        build_mounts={folder / "build": "/kernel/build"},
        drivers=(),  # they are built in
        features=_features(folder / "build"),
        debian=debian_release,
        tools=compiler,
        config=_config(folder / "build"),
        modules=folder / "build",
    )


def _prove(kernel: Kernel) -> None:
    """Build an empty module against *kernel*; VMError, before anybody uses it, where that fails."""
    import tempfile

    from vm import tools

    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        build = Path(scratch) / "build"
        build.mkdir()
        (build / "Kbuild").write_text("obj-m := empty.o\n")
        (build / "empty.c").write_text(
            '#include <linux/module.h>\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("empty");\n'
        )
        box = kernel.sandbox(writable={build: "/build"})
        for path in (build, *build.iterdir()):
            box.own(path)
        try:
            tools.run(box.argv(kernel.make("/build")))
        except VMError as error:
            raise VMError(
                f"An empty module does not compile for the {kernel.name} kernel {kernel.release}, "
                f"so this kernel cannot be used. {error}"
            ) from error


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

    Its drivers are looked for in lib/modules and usr/lib/modules beside the image's boot
    folder, in this host's, and in the build tree itself. Raises VMError naming the path that is
    wrong.
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
    root = image.resolve().parent.parent
    places = (*(root / lib for lib in ("lib", "usr/lib")), Path("/lib"))
    trees = (place / "modules" / release for place in places)
    modules = next((tree for tree in trees if tree.is_dir()), build)

    build = build.resolve()

    def make(folder: Path) -> None:
        from vm import kernel_image

        kernel_image.write(image, folder / "image")
        kernel_image.require(modules, _options(build))
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
        config=_config(build),
        modules=modules,
    )
