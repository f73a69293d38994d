"""A folder from outside -> Submission: allow-listed regular files, read once, nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from checker.errors import InputError
from checker.model import Lab, SourceFile, Submission
from vm import cache

MAX_SOURCE = 1 << 20
"""Bytes of one source file; a student's module has a few thousand."""


MISSING, EMPTY = "is missing.", "is empty."
"""How the sentence on a file ends that is not there, or has nothing in it."""


def read(lab: Lab, path: Path) -> Submission:
    """Read what *lab* asks for out of the folder *path*.

    A file that is missing, empty, binary, too large or not a regular file
    stands in the submission with the reason. Raises InputError when *path* is
    no folder or holds none of the lab's files.
    """
    if not path.exists():
        raise InputError(f"There is no {path}.")
    if not path.is_dir():
        raise InputError(
            f"{path} is not a folder; a submission is a folder laid out like skels/{lab.name}."
        )
    wanted = lab.sources
    files = tuple(_read_file(path, name) for name in wanted)
    if not any(os.path.lexists(path / name) for name in wanted):
        raise InputError(
            f"{path} has none of the files of the lab {lab.name}: looked for {', '.join(wanted)}."
        )
    name = os.fsencode(path.resolve().name).decode(errors="replace")  # any bytes make a name
    return Submission(name=name, path=path, files=files)


def fingerprint(given: Submission) -> str:
    """Return a hash of the files of *given*, and of what is wrong with those that are not read."""
    files = sorted((file.path, file.content or b"", file.problem) for file in given.files)
    return cache.digest(*(part for file in files for part in file))


def _read_file(root: Path, name: str) -> SourceFile:
    try:
        content = _read_regular(root, name)
    except OSError as error:
        return SourceFile(path=name, content=None, problem=_reason(name, error))
    problem = ""
    if len(content) > MAX_SOURCE:
        problem = (
            f"{name} is larger than {MAX_SOURCE >> 20} MiB, which no source file of this lab is."
        )
    elif not content.strip():
        problem = f"{name} {EMPTY}"
    elif b"\0" in content:
        problem = f"{name} is a binary file, not C source."
    return SourceFile(path=name, content=None if problem else content, problem=problem)


def _reason(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} {MISSING}"
    if isinstance(error, _NotRegularError):
        return f"{name} is {error}, not a regular file; hand in the file itself."
    return f"{name} cannot be read: {error.strerror}."


class _NotRegularError(OSError):
    pass


def _read_regular(root: Path, name: str) -> bytes:
    """Read *name* below *root*, following no link, for at most MAX_SOURCE + 1 bytes."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *folders, last = Path(name).parts
        for folder in folders:
            below = _open(folder, os.O_RDONLY | os.O_DIRECTORY, here)
            os.close(here)
            here = below
        # a FIFO must not block us
        fd = _open(last, os.O_RDONLY | os.O_NONBLOCK, here)
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _NotRegularError("a folder or a device")
    with os.fdopen(fd, "rb") as f:
        return f.read(MAX_SOURCE + 1)


def _open(name: str, flags: int, where: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=where, follow_symlinks=False).st_mode):
            raise _NotRegularError("a link") from None
        raise
