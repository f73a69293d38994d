"""The compiler and its like: the host's own, or those of a release of Debian, in the cache.

A kernel's modules are compiled by the compiler of its own release, so that a verdict does
not depend on the host's. Where the host is of that release its own programs serve;
elsewhere, or with KNETLAB_TOOLCHAIN=own, packages are unpacked into the cache (no root
needed) and are the system that the sandbox shows.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vm import apt, cache, debian, tools
from vm.errors import VMError
from vm.sandbox import Sandbox

SETTING = "KNETLAB_TOOLCHAIN"
"""own, host, or not set: the host's where it is of the release that is wanted, but own for
grades of a class (own_by_default())."""

Kind = Literal["modules", "kernels"]
"""What a toolchain is for; one for kernels has what their source asks for besides."""

RECIPE = "1"
"""To be raised when another system comes of the same packages."""

_MODULES = (
    *("gcc", "make", "binutils", "libc6-dev", "dash", "bash", "coreutils", "sed", "grep"),
    *("findutils", "mawk", "util-linux", "e2fsprogs", "diffutils", "gzip"),
)
_KERNELS = ("bc", "bison", "flex", "libelf-dev", "tar", "xz-utils", "perl-base", "cpio", "kmod")
_OBJTOOL = ("libelf1t64", "libelf1", "libssl3t64", "libssl3")
"""Libraries of the programs in a kernel's build tree; their names changed with Debian 13."""

_UNUSED_PACKAGES = (
    r"debconf|dpkg|debianutils|install-info|adduser|pahole|libasan|libtsan|liblsan|libhwasan"
    r"|libitm|libquadmath|libgomp|libubsan|libcc1|libgprofng|libsframe-dev|perl$|libperl|manpages"
    r"|login|libpam|libsystemd|libaudit|libcrypt-dev|libnsl-dev|libtirpc-dev|rpcsvc-proto|m4-doc"
    r"|gcc-\d+-doc|sysvinit|media-types"
)
_UNUSED_FILES = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("usr/share/bash-completion", "usr/share/gdb", "usr/share/perl5", "usr/share/bug", "var"),
    *("usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl", "usr/lib/systemd"),
    *("usr/lib/locale", "usr/share/zoneinfo", "usr/sbin/zramctl", "usr/lib/valgrind"),
    *("usr/lib/udev", "usr/share/gcc", "usr/libexec/gcc/x86_64-linux-gnu/*/g++-mapper-server"),
)
_UNUSED_PROGRAMS = ("lto1", "lto-dump", "cc1plus", "*-lto-dump-*", "*gprofng*", "gp-*")


COMPILER = "compiler.txt"
"""The file of an entry of the cache with the first line of `gcc --version`."""


@functools.cache
def _host_compiler() -> str:
    return tools.run(["gcc", "--version"]).splitlines()[0]


@dataclass(frozen=True)
class Toolchain:
    """A compiler with what belongs to it.

    *system* is the folder of the system that has it, None for the host's own; *key*
    stands for its content.
    """

    release: str
    key: str
    system: Path | None

    @property
    def packages(self) -> debian.Packages:
        """Where packages of its release come from."""
        by_apt = self.system is None and self.release in ("", debian.host_release())
        return apt if by_apt else debian.archive(self.release)

    @property
    def name(self) -> str:
        """What tells one from another where its exact programs do not matter."""
        return f"host-{self.release}" if self.system is None else self.key

    @property
    def compiler(self) -> str:
        """Which compiler it is, as gcc says it: one that is the same makes the same code."""
        if self.system is None:
            return _host_compiler()
        return (self.system / COMPILER).read_text().strip()

    def run(
        self,
        argv: Sequence[str],
        *,
        folders: Sequence[Path] = (),
        cwd: Path | None = None,
        timeout: float = 600,
    ) -> str:
        """Run a program on files of knetlab's own in *folders*; return what it printed.

        The folders have the same path for it as for us. Raises VMError when it fails.
        """
        if self.system is None:
            return tools.run(argv, cwd=cwd, timeout=timeout)
        return tools.run(self.argv(argv, folders=folders, cwd=cwd), timeout=timeout)

    def argv(
        self,
        argv: Sequence[str],
        *,
        folders: Sequence[Path] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command line that runs a program on files of our own in *folders*.

        *env* is what a sandboxed one has in its environment besides the usual.
        """
        if self.system is None:
            return list(argv)
        box = Sandbox(
            writable={folder: str(folder) for folder in folders},
            system=self.system,
            trusted=True,
            cwd=str(cwd or "/"),
            env=env or {},
        )
        return box.argv(argv)


_default: ContextVar[str] = ContextVar("what the setting is where nobody made it", default="")


@contextlib.contextmanager
def own_by_default() -> Iterator[None]:
    """Have releases' own compilers taken meanwhile, unless KNETLAB_TOOLCHAIN says otherwise."""
    token = _default.set("own")
    try:
        yield
    finally:
        _default.reset(token)


def setting() -> str:
    """Return what KNETLAB_TOOLCHAIN says: "own", "host" or ""; VMError for anything else."""
    value = os.environ.get(SETTING, "") or _default.get()
    if value not in ("", "own", "host"):
        raise VMError(f"{SETTING}={value} is wrong: set it to own or host, or do not set it.")
    return value


def is_host(release: str) -> bool:
    """Tell whether modules of *release*'s kernels are compiled by the host's own programs."""
    chosen = setting()
    return chosen == "host" or (
        not chosen and release == debian.host_release() and shutil.which("apt-get") is not None
    )


def of(release: str, kind: Kind = "modules", *, update: bool = False) -> Toolchain:
    """Return the toolchain for kernels of *release*, fetched the first time.

    With *update* the mirror is asked for newer packages. Raises VMError, NoMirror when they
    cannot be had.
    """
    return host(release) if is_host(release) else own(release, kind, update=update)


def host(release: str = "") -> Toolchain:
    """Return the host's own, for *release*; that there is one shows when it is used."""
    return Toolchain(release, cache.digest(*_programs()), None)


@functools.cache
def _programs() -> list[str]:
    """Return what stands for the versions of the compilers; to ask them costs a process each."""
    names = ("gcc*", "clang*", "as", "ld*")
    found = sorted(path for name in names for path in Path("/usr/bin").glob(name))
    stats = [(path.name, path.stat()) for path in found if path.exists()]
    return [f"{name} {st.st_size} {st.st_mtime_ns}" for name, st in stats]


def if_there(release: str) -> Toolchain | None:
    """Return the toolchain for modules of *release*'s kernels if nothing has to be fetched."""
    return host(release) if is_host(release) else _own(release, "modules", fetch=False)


def own(release: str, kind: Kind = "modules", *, update: bool = False) -> Toolchain:
    """Return the toolchain made of *release*'s packages."""
    made = _own(release, kind, update=update)
    assert made is not None
    return made


def _own(release: str, kind: Kind, *, update: bool = False, fetch: bool = True) -> Toolchain | None:
    packages = debian.archive(release)
    recipe = cache.digest(RECIPE, kind, *_MODULES, *_KERNELS, *_UNUSED_FILES, *_UNUSED_PROGRAMS)
    pointer = f"{release}-{kind}"
    key = "" if update else cache.newest("toolchain", pointer, recipe)
    if not key and not fetch:
        return None
    if not key:
        names = packages.closure(
            [*_MODULES, *(_KERNELS if kind == "kernels" else ()), *_there(packages)],
            without=_UNUSED_PACKAGES,
        )
        versions = "".join(f"{name}={packages.candidate(name)}\n" for name in names)
        key = f"{cache.digest(versions)}+{recipe}"
        doing = f"downloading the compiler of Debian {release}, 70 MB (once)"
        cache.entry("toolchain", key, lambda folder: _make(packages, names, folder), doing)
        cache.set_newest("toolchain", pointer, key)
    return Toolchain(release, key, cache.root() / "toolchain" / key)


def _there(packages: debian.Archive) -> list[str]:
    return [name for name in _OBJTOOL if packages.has(name)]


def _make(packages: debian.Archive, names: Sequence[str], folder: Path) -> None:
    versions = packages.unpack(names, folder)
    (folder / "packages.txt").write_text("".join(f"{n} {v}\n" for n, v in sorted(versions.items())))
    for pattern in _UNUSED_FILES:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for pattern in _UNUSED_PROGRAMS:
        for path in folder.glob(f"usr/**/{pattern}"):
            if not path.is_dir():
                path.unlink()
    (folder / "etc").mkdir(exist_ok=True)
    # what packages set up when they are installed
    for name, program in (("sh", "dash"), ("awk", "mawk")):
        link = folder / "usr/bin" / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(program)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / "usr" / name).mkdir(exist_ok=True)
        if not (folder / name).exists():
            (folder / name).symlink_to(f"usr/{name}")
    made = Toolchain(packages.release, "", folder)
    (folder / COMPILER).write_text(made.run(["gcc", "--version"]).splitlines()[0] + "\n")
