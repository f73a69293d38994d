"""Archives from outside: what is written of them, and what is said of the bad ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
import zstandard

from checker.classroom.intake import archive
from checker.classroom.intake.archive import ArchiveError, Limits
from checker.errors import InputError

FILES = {"1-2-netfilter/kernel/filter.c": b"int a;\n", "5-udp-sock/udp_sock.c": b"int b;\n" * 999}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Make a zip archive of *files*."""
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content, method)
    return path


def tarred(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of *files*."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sevened(path: Path, files: dict[str, bytes]) -> Path:
    """Make a 7z archive of *files*."""
    with py7zr.SevenZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(content, name)
    return path


def written(folder: Path) -> dict[str, bytes]:
    """Return what lies below *folder*; fails where that is no regular file."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        if stat.S_ISREG(mode):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def refuse(path: Path, match: str, limits: Limits | None = None) -> None:
    """Expect that *path* is refused, and that nothing of it is left."""
    target = path.parent / "target"
    with pytest.raises(ArchiveError, match=match) as caught:
        archive.unpack(path, target, limits)
    assert str(caught.value).startswith(path.name)
    assert not target.exists()


MAKERS: dict[str, Callable[[Path], object]] = {
    "a.zip": lambda path: zipped(path, FILES),
    "stored.zip": lambda path: zipped(path, FILES, zipfile.ZIP_STORED),
    "lzma.zip": lambda path: zipped(path, FILES, zipfile.ZIP_LZMA),
    "a.tar": lambda path: path.write_bytes(tarred(FILES)),
    "a.tar.gz": lambda path: path.write_bytes(gzip.compress(tarred(FILES))),
    "a.tar.xz": lambda path: path.write_bytes(lzma.compress(tarred(FILES))),
    "a.tar.bz2": lambda path: path.write_bytes(bz2.compress(tarred(FILES))),
    "a.tar.zst": lambda path: path.write_bytes(zstandard.compress(tarred(FILES))),
    "a.7z": lambda path: sevened(path, FILES),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_is_unpacked(tmp_path: Path, name: str) -> None:
    """All files of an archive are there, byte by byte, and nothing is said."""
    path = tmp_path / name
    MAKERS[name](path)
    assert archive.is_archive(path)
    assert archive.unpack(path, tmp_path / "target") == []
    assert written(tmp_path / "target") == FILES


@pytest.mark.parametrize("name", MAKERS)
def test_the_name_does_not_matter(tmp_path: Path, name: str) -> None:
    """What an archive is shows in its bytes, whatever it is called."""
    for wrong in ("wrong.zip", "wrong.7z", "noname"):
        path = tmp_path / wrong
        MAKERS[name](path)
        assert archive.is_archive(path)
        archive.unpack(path, tmp_path / f"{wrong}-target")
        assert written(tmp_path / f"{wrong}-target") == FILES


def test_a_document_is_no_archive(tmp_path: Path) -> None:
    """A Word document is a zip by its bytes; nobody means it to be one. Nor is C source one."""
    assert not archive.is_archive(zipped(tmp_path / "report.docx", FILES))
    (tmp_path / "filter.c").write_text("int a;\n")
    assert not archive.is_archive(tmp_path / "filter.c")


@pytest.mark.parametrize("name", MAKERS)
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str) -> None:
    """An archive that was cut off is said to be broken, and nothing of it stays."""
    path = tmp_path / name
    MAKERS[name](path)
    whole = path.read_bytes()
    path.write_bytes(whole[: 700 if name == "a.tar" else len(whole) * 2 // 3])
    refuse(path, "broken")


@pytest.mark.parametrize("content", [b"", b"PK", b"int a;\n" * 99, os.urandom(5000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that only has an archive's name is said to be none."""
    path = tmp_path / "alice.zip"
    path.write_bytes(content)
    assert archive.is_archive(path)
    refuse(path, "is no archive that can be read")


@pytest.mark.parametrize("magic", list(archive._MAGIC))
def test_rubbish_behind_the_right_beginning_is_refused(tmp_path: Path, magic: bytes) -> None:
    """Bytes that begin like an archive and go on as rubbish are one sentence, not a crash."""
    path = tmp_path / "alice.zip"
    for seed in range(20):
        path.write_bytes(magic + bytes((seed * 7 + i * i) % 256 for i in range(3000)))
        refuse(path, r"\.$")


def test_a_lone_compressed_file_is_refused(tmp_path: Path) -> None:
    """filter.c.gz holds no files with names."""
    path = tmp_path / "filter.c.gz"
    path.write_bytes(gzip.compress(b"int a;\n" * 1000))
    refuse(path, "compressed but no archive")


def test_rar_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """A RAR archive is named as such, and what to hand in instead."""
    path = tmp_path / "alice.zip"
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + b"x" * 99)
    refuse(path, "RAR archive.*hand in a .zip")


TRICKS = [
    "../evil.c",
    "a/../../evil.c",
    "/tmp/evil.c",
    "C:/evil.c",
    "c:evil.c",
    "..\\evil.c",
    "\\\\host\\evil.c",
    "a\\..\\..\\evil.c",
]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("kind", ["zip", "tar", "7z"])
def test_no_path_leads_out(tmp_path: Path, kind: str, trick: str) -> None:
    """A file whose path leads elsewhere is left out with a sentence; the others are there."""
    files = {trick: b"evil", "good.c": b"good"}
    path = tmp_path / "in" / "alice"
    path.parent.mkdir()
    if kind == "zip":
        zipped(path, files)
    elif kind == "tar":
        path.write_bytes(tarred(files))
    else:
        sevened_with(path, trick)
    (said,) = archive.unpack(path, tmp_path / "in" / "target")
    assert "left out" in said and "leads out" in said
    assert written(tmp_path / "in" / "target") == {"good.c": b"good"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
    assert sorted(p.name for p in path.parent.iterdir()) == ["alice", "target"]


def sevened_with(path: Path, name: str) -> None:
    """Make a 7z archive with a file called *name*, which the library would not write."""
    plain = "n" * len(name)
    with py7zr.SevenZipFile(path, "w") as made:
        made.set_encoded_header_mode(False)
        made.writestr(b"evil", plain)
        made.writestr(b"good", "good.c")
    data = bytearray(path.read_bytes().replace(plain.encode("utf-16le"), name.encode("utf-16le")))
    offset, size = struct.unpack("<QQ", data[12:28])  # of the header, behind these 32 bytes
    data[28:32] = struct.pack("<I", zlib.crc32(data[32 + offset : 32 + offset + size]))
    data[8:12] = struct.pack("<I", zlib.crc32(data[12:32]))
    path.write_bytes(data)


def test_backslashes_are_folders(tmp_path: Path) -> None:
    """Old Windows programs write backslashes between folders; that is the file they mean."""
    path = zipped(tmp_path / "a.zip", {"1-2-netfilter\\kernel\\filter.c": b"a", "empty\\": b""})
    assert archive.unpack(path, tmp_path / "target") == []
    assert written(tmp_path / "target") == {"1-2-netfilter/kernel/filter.c": b"a"}


def test_no_links_and_devices_in_a_tar(tmp_path: Path) -> None:
    """Links of both kinds, devices and pipes are never made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for number, kind in enumerate(
            [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
        ):
            member = tarfile.TarInfo(f"filter{number}.c")
            member.type, member.linkname = kind, "/etc/passwd"
            made.addfile(member)
        through = tarfile.TarInfo("filter0.c/x.c")  # a file below what was a link
        through.size = 1
        made.addfile(through, io.BytesIO(b"x"))
    path = tmp_path / "a.tar"
    path.write_bytes(buffer.getvalue())
    said = archive.unpack(path, tmp_path / "target")
    assert len(said) == 5
    assert all("link or a device" in sentence for sentence in said)
    assert written(tmp_path / "target") == {"filter0.c/x.c": b"x"}


def test_no_links_in_a_zip(tmp_path: Path) -> None:
    """A zip made on Unix can hold links, by the mode of an entry."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        link = zipfile.ZipInfo("filter.c")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("good.c", "good")
    (said,) = archive.unpack(path, tmp_path / "target")
    assert "filter.c" in said and "link" in said
    assert written(tmp_path / "target") == {"good.c": b"good"}


def test_no_links_in_a_7z(tmp_path: Path) -> None:
    """A 7z made on Unix can hold links as well."""
    (tmp_path / "link.c").symlink_to("/etc/passwd")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w") as made:
        made.write(tmp_path / "link.c", "link.c")
        made.writestr(b"good", "good.c")
    (said,) = archive.unpack(path, tmp_path / "target")
    assert "link.c" in said
    assert written(tmp_path / "target") == {"good.c": b"good"}


BOMB = {"bomb.c": bytes(12 << 20)}


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "7z"])
def test_a_bomb_by_ratio(tmp_path: Path, kind: str) -> None:
    """What grows to more than the allowed times its size is not unpacked to its end."""
    path = make(tmp_path / f"bomb.{kind}", BOMB)
    assert path.stat().st_size < 60_000
    refuse(path, "more than 200 times its size")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "7z"])
def test_a_bomb_by_size(tmp_path: Path, kind: str) -> None:
    """All files together count, and what was written is gone again."""
    files = {f"{n}.c": os.urandom(1 << 20) for n in range(3)}
    refuse(make(tmp_path / f"a.{kind}", files), "more than 2 MiB", Limits(size=2 << 20))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
def test_a_bomb_by_count(tmp_path: Path, kind: str) -> None:
    """Very many files, even empty ones, are too many."""
    files = {f"{n}.c": b"" for n in range(50)}
    refuse(make(tmp_path / f"a.{kind}", files), "more than 49 entries", Limits(files=49))


def test_many_folders_are_a_bomb_too(tmp_path: Path) -> None:
    """Entries that make no file are counted as well."""
    path = zipped(tmp_path / "a.zip", {f"{n}/": b"" for n in range(50)})
    refuse(path, "more than 49 entries", Limits(files=49))


def make(path: Path, files: dict[str, bytes]) -> Path:
    """Make an archive of the kind that *path* ends with."""
    match path.name.split(".", 1)[1]:
        case "zip":
            zipped(path, files)
        case "7z":
            sevened(path, files)
        case "tar":
            path.write_bytes(tarred(files))
        case "tar.gz":
            path.write_bytes(gzip.compress(tarred(files)))
        case "tar.xz":
            path.write_bytes(lzma.compress(tarred(files)))
    return path


def test_headers_are_not_believed(tmp_path: Path) -> None:
    """A zip whose headers say 1 byte where 12 MiB come is refused all the same."""
    path = zipped(tmp_path / "a.zip", BOMB)
    data = bytearray(path.read_bytes())
    size = struct.pack("<I", 12 << 20)
    while (where := data.find(size)) >= 0:
        data[where : where + 4] = struct.pack("<I", 1)
    path.write_bytes(data)
    refuse(path, "broken|200 times")


def test_a_long_header_of_a_tar_is_bounded(tmp_path: Path) -> None:
    """A tar whose name alone has many megabytes ends at the limit of the whole."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        made.addfile(tarfile.TarInfo("x" * (5 << 20)))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue()))
    refuse(path, "more than 1 MiB", Limits(size=1 << 20, files=10))


def test_a_nested_archive_stays_packed(tmp_path: Path) -> None:
    """An archive inside is a file: nothing is unpacked that nobody asked for."""
    inner = zipped(tmp_path / "inner.zip", FILES).read_bytes()
    path = zipped(tmp_path / "outer.zip", {"inner.zip": inner})
    archive.unpack(path, tmp_path / "target")
    assert written(tmp_path / "target") == {"inner.zip": inner}


def raw_name(path: Path, name: bytes, flag: int) -> Path:
    """Make a zip archive with one file, whose *name* is just these bytes."""
    plain = "n" * len(name)
    zipped(path, {plain: b"x"}, zipfile.ZIP_STORED)
    data = path.read_bytes().replace(plain.encode(), name)
    data = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = data.find(magic) + offset
        data[where : where + 2] = struct.pack("<H", flag)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "flag", "expected"),
    [
        ("Größe.c".encode(), 0x800, "Größe.c"),
        ("Größe.c".encode(), 0, "Größe.c"),  # UTF-8, but not flagged so
        ("Größe.c".encode("cp437"), 0, "Größe.c"),
    ],
)
def test_names_in_the_encodings_of_zip(
    tmp_path: Path, name: bytes, flag: int, expected: str
) -> None:
    """UTF-8 with its flag and without, and code page 437, are told apart."""
    path = raw_name(tmp_path / "a.zip", name, flag)
    assert archive.unpack(path, tmp_path / "target") == []
    assert list(written(tmp_path / "target")) == [expected]


def test_a_name_that_lies_about_its_encoding(tmp_path: Path) -> None:
    """A zip with a name that says UTF-8 and is not is refused in a sentence."""
    refuse(raw_name(tmp_path / "a.zip", b"gr\xfc\xdfe.c", 0x800), "file names")


def test_bytes_that_are_no_text_name_a_file_in_a_tar(tmp_path: Path) -> None:
    """On Unix any bytes make a name; it is kept."""
    path = tmp_path / "a.tar"
    path.write_bytes(tarred({os.fsdecode(b"gr\xfc\xdfe.c"): b"x"}))
    assert archive.unpack(path, tmp_path / "target") == []
    assert [os.fsencode(p.name) for p in (tmp_path / "target").iterdir()] == [b"gr\xfc\xdfe.c"]


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 50 + "x", "a\nb.c", "a\x1b[31m.c", "./."])
def test_impossible_names_are_left_out(tmp_path: Path, name: str) -> None:
    """Names that are too long, or would write to a terminal, are left out in a printable way."""
    path = zipped(tmp_path / "a.zip", {name: b"x", "good.c": b"good"})
    (said,) = archive.unpack(path, tmp_path / "target")
    assert said.isprintable() and len(said) < 250
    assert written(tmp_path / "target") == {"good.c": b"good"}


def test_a_name_used_twice_counts_once(tmp_path: Path) -> None:
    """Of two entries with a name the first is taken, the other said; so too below a file."""
    path = tmp_path / "a.tar"
    first, second = tarred({"a.c": b"1"}), tarred({"a.c": b"2", "a.c/b.c": b"3"})
    path.write_bytes(first[:1024] + second)
    said = archive.unpack(path, tmp_path / "target")
    assert len(said) == 2
    assert written(tmp_path / "target") == {"a.c": b"1"}


def test_what_is_left_out_is_said_briefly(tmp_path: Path) -> None:
    """A hundred bad names are a few sentences."""
    path = zipped(tmp_path / "a.zip", {f"../{n}": b"" for n in range(100)})
    said = archive.unpack(path, tmp_path / "target")
    assert len(said) == 6
    assert said[-1].startswith("95 more entries")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    """A zip that asks for a password is refused as such."""
    path = zipped(tmp_path / "a.zip", {"a.c": b"x" * 20}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refuse(path, "encrypted")


@pytest.mark.parametrize("header", [True, False])
def test_an_encrypted_7z_is_refused(tmp_path: Path, header: bool) -> None:
    """A 7z that asks for a password is refused, whether its names can be read or not."""
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password=f"{header}", header_encryption=header) as made:
        made.writestr(b"x", "a.c")
    refuse(path, "encrypted")


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    """A zip packed by a method that Python does not know says so."""
    path = zipped(tmp_path / "a.zip", {"a.c": b"x" * 20}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[8] = 97
    data[data.find(b"PK\x01\x02") + 10] = 97
    path.write_bytes(data)
    refuse(path, "not read here")


def test_a_bad_archive_is_bad_input(tmp_path: Path) -> None:
    """An ArchiveError is an InputError: the command line knows what to do with it."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError):
        archive.unpack(path, tmp_path / "target")


def test_a_full_disk_is_not_the_students_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host has no space left, that is an OSError, and no sentence on the archive."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive._Writer, "_measure", full)
    with pytest.raises(OSError, match="No space left"):
        archive.unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_stem_of_an_archive() -> None:
    """What a student's archive is called without its kind."""
    assert archive.stem("ada.tar.gz") == "ada"
    assert archive.stem("Ada.ZIP") == "Ada"
    assert archive.stem("ada.v2.7z") == "ada.v2"
    assert archive.stem(".zip") == ".zip"
    assert archive.stem("ada") == "ada"
