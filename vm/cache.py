"""The cache under $XDG_CACHE_HOME/knetlab: entries are whole and verified, or rebuilt.

An entry is a folder, made under another name, listed in a manifest and then
renamed into place. Before it is used every file's size and time are compared
with the manifest, and where the time differs its hash too; an entry that does
not match is thrown away and made again. A lock keeps two runs from making the
same entry at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from vm.errors import NoSpace, VMError

MANIFEST = "manifest.json"

UNUSED_SECONDS = 30 * 24 * 3600
"""An entry that nobody used for so long goes when another of its kind is made."""

log = logging.getLogger("knetlab")


def root() -> Path:
    """Return the cache's folder, made if need be."""
    path = platformdirs.user_cache_path("knetlab")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VMError(
            f"The cache folder {path} cannot be made: {error.strerror}. "
            "Set XDG_CACHE_HOME to a folder that you can write to."
        ) from error
    return path


def digest(*parts: str | bytes | Path) -> str:
    """Return a short hash of texts, bytes and the contents of files."""
    h = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        data = data.encode() if isinstance(data, str) else data
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()[:16]


def _files(folder: Path) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    stack = [""]
    while stack:
        relative = stack.pop()
        with os.scandir(folder / relative) as entries:
            for entry in entries:
                name = f"{relative}/{entry.name}" if relative else entry.name
                if entry.is_dir(follow_symlinks=False):
                    stack.append(name)
                elif name != MANIFEST:
                    found[name] = entry.stat(follow_symlinks=False)
    return found


def _hash(path: Path) -> str:
    if path.is_symlink():
        return "-> " + str(path.readlink())
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _write_manifest(folder: Path) -> None:
    listing = {
        name: [st.st_size, st.st_mtime_ns, _hash(folder / name)]
        for name, st in _files(folder).items()
    }
    (folder / MANIFEST).write_text(json.dumps(listing))


def is_whole(folder: Path) -> bool:
    """Tell whether the entry in *folder* is just as it was made."""
    try:
        listing = json.loads((folder / MANIFEST).read_text())
        found = _files(folder)
        if found.keys() != listing.keys():
            return False
        return all(
            st.st_size == listing[name][0]
            and (st.st_mtime_ns == listing[name][1] or _hash(folder / name) == listing[name][2])
            for name, st in found.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def entry(kind: str, key: str, make: Callable[[Path], None], doing: str = "") -> Path:
    """Return the folder of the entry *kind*/*key*, calling ``make(folder)`` if it is not there.

    *make* fills an empty folder; *doing* tells the user, through the logger
    ``knetlab``, what takes so long. Raises VMError when the disk is full.
    """
    if found := find(kind, key):
        return found
    folder = root() / kind / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{key}.lock"):
            if not is_whole(folder):
                if doing:
                    log.info(doing)
                _make(folder, make)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        said = f"The cache entry {folder} cannot be written: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"{said}. Free some space there, or set XDG_CACHE_HOME to a folder on another disk."
            ) from error
        raise VMError(f"{said}{place}. Set XDG_CACHE_HOME to use another folder.") from error
    return folder


def find(kind: str, key: str) -> Path | None:
    """Return the folder of the entry *kind*/*key* if it is there and whole."""
    folder = root() / kind / key
    if not is_whole(folder):
        return None
    with contextlib.suppress(OSError):  # a cache that can only be read is as good
        (folder / MANIFEST).touch()  # in use
    return folder


def newest(kind: str, name: str, recipe: str) -> str:
    """Return the key of the whole entry that *name* stands for; "" when it was made otherwise.

    A key ends with the recipe that its entry was made by, behind a plus.
    """
    pointer = root() / kind / name
    key = pointer.read_text().strip() if pointer.is_file() else ""
    return key if key.endswith(f"+{recipe}") and find(kind, key) else ""


def set_newest(kind: str, name: str, key: str) -> None:
    """Let *name* stand for the entry *key*."""
    pointer = root() / kind / name
    scratch = pointer.with_name(f".{name}.{os.getpid()}")
    scratch.write_text(key + "\n")
    scratch.replace(pointer)


def stamp(folder: Path) -> str:
    """Return what tells the entry in *folder* from one that is made in its place; "" without one.

    It is the manifest, where the times of all files stand.
    """
    try:
        return (folder / MANIFEST).read_text()
    except OSError:
        return ""


def drop(folder: Path, made: str) -> bool:
    """Throw the entry in *folder* away if its stamp is *made*; tell whether it was there.

    Another process may have thrown it away by now, and made a better one.
    """
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.dropped")
    with contextlib.suppress(OSError), FileLock(folder.parent / f".{folder.name}.lock"):
        if made and stamp(folder) == made:
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            return True
    return False


def trim(kind: str, most: int) -> None:
    """Keep *most* entries of a kind, those that were used last."""
    used = []
    for manifest in (root() / kind).glob(f"[!.]*/{MANIFEST}"):
        with contextlib.suppress(OSError):  # another process is trimming, too
            used.append((manifest.stat().st_mtime, manifest.parent))
    for _, folder in sorted(used)[:-most]:
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    """Make the entry in *folder* anew; the caller holds its lock."""
    for left in folder.parent.glob(f".{folder.name}.*/"):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
    for other in folder.parent.glob(f"[!.]*/{MANIFEST}"):
        if time.time() - other.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(other.parent, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    broken = scratch.with_name(scratch.name + ".broken")
    scratch.chmod(0o755)
    try:
        make(scratch)
        _write_manifest(scratch)
        if folder.exists():
            folder.rename(broken)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(broken, ignore_errors=True)
