"""The kernel's own source, for reading: the C files of the folders that a networking lab leads to.

It comes of the distribution's source package. Building the debug kernel unpacks that anyway and
keeps these files; without one the package is fetched for them.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from vm import cache
from vm.debian import Packages
from vm.errors import VMError

FOLDERS = ("net", "include", "kernel", "lib")
"""Folders of the source that are kept, with all below them."""

ALONE = ("fs",)
"""Folders of which only the files in the folder itself are kept."""

RECIPE = cache.digest("1", *FOLDERS, *ALONE)
"""To be raised when other files are kept of the same package."""


def _kept(path: str) -> bool:
    """Tell whether the file *path*, within the source, is kept."""
    folder, _, rest = path.partition("/")
    if not re.search(r"\.[ch]$", path):
        return False
    return folder in FOLDERS or (folder in ALONE and "/" not in rest)


def _key(package: str) -> str:
    return f"{package.replace('=', '_')}+{RECIPE}"


def keep(package: str, unpacked: Path) -> Path:
    """Copy what is kept of *package*, whose source lies in *unpacked*, into the cache."""

    def make(folder: Path) -> None:
        for path in sorted(unpacked.rglob("*.[ch]")):
            name = str(path.relative_to(unpacked))
            if _kept(name) and path.is_file() and not path.is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, folder / name)

    return cache.entry("source", _key(package), make)


def of(package: str, packages: Packages) -> Path:
    """Return the folder with the source of *package*, fetched into the cache the first time.

    *package* is a name and a version, as in linux-source-6.1=6.1.1-1. Raises VMError when it
    cannot be had.
    """

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="knetlab-source-", dir=cache.root()) as scratch:
            packages.unpack([package], Path(scratch))
            archives = list((Path(scratch) / "usr/src").glob("linux-source-*.tar.*"))
            if len(archives) != 1:
                raise VMError(f"The package {package} has no archive of the kernel's source in it.")
            with tarfile.open(archives[0]) as archive:
                _extract(archive, folder)

    doing = f"downloading {package}, about 140 MB, and keeping 110 MB of it (once)"
    return cache.entry("source", _key(package), make, doing)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files that are kept below *folder*, under their names within the source."""
    for member in archive:
        name = member.name.partition("/")[2]
        if member.isfile() and _kept(name) and (file := archive.extractfile(member)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(file.read())
