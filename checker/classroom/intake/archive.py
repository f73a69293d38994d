"""An archive from outside -> regular files in a new folder, and nothing else.

What it is shows in its bytes, not in its name. No header is believed: entries
are counted and bytes are measured as they are written. Links and devices are
never made, and an archive inside is a file like any other.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

import zstandard

from checker.classroom.intake.names import shown
from checker.errors import InputError

SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst"),
    *(".7z", ".rar", ".gz", ".xz", ".bz2"),
)
"""How the name of a file ends that was meant to be an archive."""

_DOCUMENTS = frozenset({".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".apk"})
"""What is a zip by its bytes, and was not meant as one."""

_ENDED_BY_US = (errno.ENOSPC, errno.EDQUOT)
"""Errors of writing that are not the archive's fault."""

FREE = 8 << 20
"""Bytes that an archive may come to whatever its own size."""

_CHUNK = 1 << 16
_TOLD = 5
"""How many files that were left out are named; the others are counted."""


class ArchiveError(InputError):
    """An archive that cannot be taken; the text is a sentence for whoever handed it in."""


@dataclass(frozen=True)
class Limits:
    """What an archive may come to: bytes, entries, and bytes for each of its own.

    The ratio counts from FREE bytes on: a small file of blanks is no bomb.
    """

    size: int = 64 << 20
    files: int = 5000
    ratio: int = 200


DOWNLOAD = Limits(size=8 << 30, files=500_000)
"""The limits of what the LMS packed: the archives of a whole class."""


def is_archive(path: Path) -> bool:
    """Say whether *path*, a regular file, is an archive or was meant to be one."""
    if path.suffix.lower() in _DOCUMENTS:
        return False
    return path.name.lower().endswith(SUFFIXES) or bool(_kind(path))


def stem(name: str) -> str:
    """Return the *name* of an archive without what its kind has added to it."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def unpack(path: Path, folder: Path, limits: Limits | None = None) -> list[str]:
    """Write the regular files of the archive *path* to *folder*, which is made.

    Returns a sentence for each entry that was left out. Raises ArchiveError when
    the archive cannot be read or comes to more than *limits*, and then leaves
    nothing in *folder*; OSError where the disk is full.
    """
    limits = limits or Limits()
    name = shown(path.name)
    folder.mkdir(parents=True)
    try:
        kind = _kind(path)
        if not kind:
            raise ArchiveError(f"{name} is no archive that can be read; hand in a .zip.")
        writer = _Writer(name, folder, limits, path.stat().st_size)
        _READERS[kind](path, writer)
        return writer.said()
    except ArchiveError:
        shutil.rmtree(folder)
        raise
    except OSError as error:
        shutil.rmtree(folder)
        if error.errno in _ENDED_BY_US:
            raise
        raise ArchiveError(_broken(name)) from error
    except Exception as error:  # whatever a reader of a format says of bytes made to confuse it
        shutil.rmtree(folder)
        raise ArchiveError(_broken(name)) from error


def _broken(name: str) -> str:
    return f"{name} is broken, perhaps cut off on its way; pack it again as a .zip."


# --- what it is ----------------------------------------------------------------------

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Rar!\x1a\x07": "rar",
}


def _kind(path: Path) -> str:
    with path.open("rb") as f:
        head = f.read(tarfile.BLOCKSIZE)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "tar" if _is_tar(head) else ""


def _is_tar(head: bytes) -> bool:
    """Say whether *head* begins with a member of a tar archive: its check sum tells."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


# --- what is written -----------------------------------------------------------------


class _Source(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes: ...


class _Writer:
    """The one that makes files; counts as it goes."""

    def __init__(self, archive: str, folder: Path, limits: Limits, packed: int) -> None:
        self.archive = archive
        self._folder = folder
        self._limits = limits
        self._packed = packed
        self._entries = 0
        self._bytes = 0
        self._left_out: list[str] = []

    @property
    def stream_limit(self) -> int:
        """How long a tar archive may be, whatever is in it."""
        return self._limits.size + self._limits.files * 4 * tarfile.BLOCKSIZE

    def entry(self) -> None:
        """Count an entry, of whatever kind."""
        self._entries += 1
        if self._entries > self._limits.files:
            raise ArchiveError(
                f"{self.archive} has more than {self._limits.files} entries; "
                "hand in the files of the lab only."
            )

    def leave_out(self, name: str, why: str) -> None:
        """Note that the entry *name* was not written."""
        self._left_out.append(f"{shown(name)} in {self.archive} was left out: {why}.")

    def said(self) -> list[str]:
        """Return the sentences on what was left out."""
        more = len(self._left_out) - _TOLD
        if more <= 0:
            return self._left_out
        return [
            *self._left_out[:_TOLD],
            f"{more} more entries of {self.archive} were left out for reasons like these.",
        ]

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], None] | None]:
        """Make the file *name*; yields what writes to it, None where it was left out."""
        parts = _parts(name)
        if isinstance(parts, str):
            self.leave_out(name, parts)
            yield None
            return
        path = self._folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            self.leave_out(name, "another entry has its name")
            yield None
            return
        with file:

            def write(data: bytes) -> None:
                self._measure(len(data))
                file.write(data)

            yield write

    def copy(self, name: str, source: _Source) -> None:
        """Make the file *name* with all that *source* has."""
        with self.create(name) as write:
            while write and (data := source.read(_CHUNK)):
                write(data)

    def _measure(self, size: int) -> None:
        self._bytes += size
        limits = self._limits
        if self._bytes > limits.size:
            raise ArchiveError(
                f"{self.archive} unpacks to more than {limits.size >> 20} MiB; "
                "hand in the files of the lab only."
            )
        if self._bytes > max(FREE, limits.ratio * self._packed):
            raise ArchiveError(
                f"{self.archive} unpacks to more than {limits.ratio} times its size; "
                "hand in the files of the lab only."
            )


def _parts(name: str) -> list[str] | str:
    """Return the path that *name* means below the folder, or why there is none.

    Windows programs write backslashes where the formats have slashes.
    """
    whole = name.replace("\\", "/")
    parts = [part for part in whole.split("/") if part not in ("", ".")]
    if whole.startswith("/") or re.match(r"[A-Za-z]:", whole) or ".." in parts:
        return "its path leads out of the archive"
    if not parts or re.search(r"[\x00-\x1f\x7f]", whole):
        return "its name is not one of a file"
    try:
        too_long = len(parts) > 40 or any(len(os.fsencode(part)) > 255 for part in parts)
    except UnicodeEncodeError:  # half a character
        return "its name is not one of a file"
    return "its path is too long" if too_long else parts


# --- how it is read ------------------------------------------------------------------

_LINK = "it is a link or a device, not a file"


def _read_zip(path: Path, writer: _Writer) -> None:
    try:
        archive = zipfile.ZipFile(path)
    except UnicodeDecodeError as error:  # marked as UTF-8, and is not
        raise ArchiveError(
            f"{writer.archive} has file names that nothing can read; pack it again."
        ) from error
    with archive:
        for info in archive.infolist():
            writer.entry()
            name = _name_in_zip(info)
            mode = info.external_attr >> 16  # Unix's, in the upper half
            if info.is_dir() or name.endswith("\\"):
                continue
            if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
                writer.leave_out(name, _LINK)
                continue
            if info.flag_bits & 1:
                raise ArchiveError(_encrypted(writer.archive))
            try:
                source = archive.open(info)
            except NotImplementedError as error:
                raise ArchiveError(_unknown(writer.archive)) from error
            with source:
                writer.copy(name, source)


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """Return the name of an entry: UTF-8 where that fits, flagged as such or not.

    The .ZIP specification knows code page 437 and, by flag 11, UTF-8; many
    programs write UTF-8 without the flag.
    """
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return name.encode("cp437").decode("utf-8")
    return name


def _read_tar(path: Path, writer: _Writer) -> None:
    with path.open("rb") as file:
        _read_tar_stream(file, writer)


def _read_tar_stream(source: _Source, writer: _Writer) -> None:
    bounded = _Bounded(source, writer)
    stream = cast(IO[bytes], bounded)  # of which only read() is used
    with tarfile.open(
        fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for member in archive:
            writer.entry()
            archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                writer.leave_out(member.name, _LINK)
                continue
            content = archive.extractfile(member)
            assert content is not None
            writer.copy(member.name, content)


class _Bounded:
    """A stream that ends the unpacking when it has given too much."""

    def __init__(self, source: _Source, writer: _Writer) -> None:
        self._source = source
        self._writer = writer
        self._left = writer.stream_limit

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(
                f"{self._writer.archive} unpacks to more than {self._writer.stream_limit >> 20} "
                "MiB; hand in the files of the lab only."
            )
        return data


def _read_compressed(opened: Callable[[IO[bytes]], _Source]) -> Callable[[Path, _Writer], None]:
    """Return what reads a tar archive through *opened*; a single compressed file is none."""

    def read(path: Path, writer: _Writer) -> None:
        with path.open("rb") as file:
            head = opened(file).read(tarfile.BLOCKSIZE)
            if not head:
                raise ArchiveError(_broken(writer.archive))
            if not _is_tar(head):
                raise ArchiveError(
                    f"{writer.archive} is compressed but no archive of files; hand in a .zip."
                )
            file.seek(0)
            _read_tar_stream(opened(file), writer)

    return read


def _read_7z(path: Path, writer: _Writer) -> None:
    try:
        import py7zr  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ArchiveError(
            f"{writer.archive} is a 7z archive, which takes the extra knetlab[7z] "
            "(pip install 'knetlab[7z]'), or must be handed in as a .zip."
        ) from error

    class Member(py7zr.Py7zIO):
        """A file being unpacked."""

        def __init__(self, name: str) -> None:
            self._end = contextlib.ExitStack()
            self._write = self._end.enter_context(writer.create(name))
            self._size = 0

        def write(self, s: bytes | bytearray) -> int:
            self._size += len(s)
            if self._write:
                self._write(bytes(s))
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self._size

        def close(self) -> None:
            self._end.close()

    class Members(py7zr.WriterFactory):
        """What py7zr asks for each file that it comes to."""

        def __init__(self) -> None:
            self.made: list[Member] = []

        def create(self, filename: str) -> py7zr.Py7zIO:
            self.made.append(Member(filename))
            return self.made[-1]

    members = Members()
    try:
        with path.open("rb") as file, py7zr.SevenZipFile(file) as archive:
            if archive.needs_password():
                raise ArchiveError(_encrypted(writer.archive))
            wanted = set()
            for info in archive.list():
                writer.entry()
                if info.is_directory:
                    continue
                bad = _parts(info.filename)
                if not info.is_file or info.is_symlink:
                    writer.leave_out(info.filename, _LINK)
                elif isinstance(bad, str):  # the library would refuse all the others too
                    writer.leave_out(info.filename, bad)
                else:
                    wanted.add(info.filename)
            archive.extract(targets=wanted, factory=members)
    except py7zr.PasswordRequired as error:
        raise ArchiveError(_encrypted(writer.archive)) from error
    except py7zr.UnsupportedCompressionMethodError as error:
        raise ArchiveError(_unknown(writer.archive)) from error
    finally:
        for member in members.made:
            member.close()


def _read_rar(_: Path, writer: _Writer) -> None:
    raise ArchiveError(f"{writer.archive} is a RAR archive, which is not read; hand in a .zip.")


def _encrypted(name: str) -> str:
    return f"{name} is encrypted; pack it without a password."


def _unknown(name: str) -> str:
    return f"{name} is packed in a way that is not read here; pack it as an ordinary .zip."


_READERS: dict[str, Callable[[Path, _Writer], None]] = {
    "zip": _read_zip,
    "tar": _read_tar,
    "gzip": _read_compressed(lambda f: gzip.GzipFile(fileobj=f)),
    "xz": _read_compressed(lzma.LZMAFile),
    "bzip2": _read_compressed(bz2.BZ2File),
    "zstd": _read_compressed(lambda f: zstandard.ZstdDecompressor().stream_reader(f)),
    "7z": _read_7z,
    "rar": _read_rar,
}
