"""Packages of a Debian release, from a mirror that a test makes: signed, hashed, unpacked."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import pysequoia
import pytest

from vm import debian, tools
from vm.errors import NoMirror, VMError


def deb(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    """A package: an ar archive with a tar archive of *files* and symbolic *links* in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(content), 0o4700
            tar.addfile(member, io.BytesIO(content.encode()))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"./{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(b""),
        "data.tar.xz": lzma.compress(packed.getvalue()),
    }
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


class Mirror:
    """A mirror in a folder, with a key of its own; *suites* have their packages."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.key = pysequoia.Tsk.generate("Archive <archive@example.org>")
        keys = folder / "keys"
        folder.mkdir()
        keys.write_bytes(bytes(self.key.extract_certificate()))
        monkeypatch.setattr(debian, "KEYS", keys)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setenv(debian.MIRROR, f"file://{folder} file://{folder}")
        monkeypatch.setattr(debian, "SUITES", {"13": ("trixie", "trixie-security")})
        debian.archive.cache_clear()

    def add(self, suite: str, text: str, packages: dict[str, bytes]) -> None:
        """Put *packages* into *suite*; *text* has their paragraphs, without files and hashes."""
        rows = []
        for paragraph in text.strip().split("\n\n"):
            name = paragraph.split("\n")[0].removeprefix("Package: ")
            data = packages.get(name, deb({}))
            (self.folder / f"{name}_{suite}.deb").write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            rows.append(f"{paragraph}\nFilename: {name}_{suite}.deb\nSHA256: {digest}\n")
        packed = lzma.compress("\n".join(rows).encode())
        listed = self.folder / "dists" / suite / "main/binary-amd64/Packages.xz"
        listed.parent.mkdir(parents=True)
        listed.write_bytes(packed)
        digest = hashlib.sha256(packed).hexdigest()
        index = (
            "Origin: Debian\nValid-Until: Fri, 06 Nov 2020 08:08:01 UTC\nSHA256:\n"
            f" {digest} {len(packed)} main/binary-amd64/Packages.xz\n"
        )
        self.sign(suite, index)

    def sign(self, suite: str, index: str) -> None:
        """Sign the *index* of *suite*."""
        mode = pysequoia.SignatureMode.CLEAR
        signed = pysequoia.sign(self.key.signer(), index.encode(), mode=mode)
        (self.folder / "dists" / suite / "InRelease").write_bytes(signed)


PACKAGES = """\
Package: gcc
Version: 4:14.2-1
Depends: gcc-14 (= 14.2-1), libc6 (>= 2.38) | libc6-old, ${nothing} | make:any

Package: gcc-14
Version: 14.2-1
Pre-Depends: libc6
Depends: binutils | gold

Package: libc6
Version: 2.41-1

Package: gold
Version: 2
Provides: binutils, linker (= 2)

Package: make
Version: 4.4~rc1-1
"""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror with the suites of a release."""
    made = Mirror(tmp_path / "mirror", monkeypatch)
    made.add("trixie", PACKAGES, {"gcc-14": deb({"bin/gcc": "old", "usr/share/x": "x"})})
    made.add(
        "trixie-security",
        "Package: make\nVersion: 4.4-1\n",
        {"make": deb({"usr/bin/make": "make", "lib64/ld.so": "ld"}, {"lib/x.so": "x.so.1"})},
    )
    return made


def test_dependencies_are_followed_through_alternatives_and_virtual_packages(
    mirror: Mirror,
) -> None:
    """Of alternatives the first one there is taken; who provides a virtual package counts."""
    archive = debian.archive("13")
    assert archive.depends("gcc-14") == ["libc6", "gold"]
    assert archive.closure(["gcc"]) == ["gcc", "gcc-14", "gold", "libc6", "make"]
    assert archive.closure(["gcc"], without="make|gold") == ["gcc", "gcc-14", "libc6"]
    assert archive.libraries(["gcc-14"]) == ["libc6"]


def test_the_newest_version_of_all_suites_is_taken(mirror: Mirror) -> None:
    """4.4 of the security archive is newer than 4.4~rc1, as Debian compares versions."""
    assert debian.archive("13").candidate("make") == "4.4-1"


def test_a_package_is_unpacked_with_its_programs_below_usr(mirror: Mirror, tmp_path: Path) -> None:
    """Old and new packages lie alike, everybody can read them, and nothing is set-uid."""
    target = tmp_path / "root"
    target.mkdir()
    versions = debian.archive("13").unpack(["gcc-14", "make=4.4-1"], target)
    assert versions == {"gcc-14": "14.2-1", "make": "4.4-1"}
    assert (target / "usr/bin/gcc").read_text() == "old"
    assert (target / "usr/bin/gcc").stat().st_mode & 0o7777 == 0o744
    assert (target / "usr/lib64/ld.so").exists()
    assert (target / "usr/lib/x.so").readlink() == Path("x.so.1")


def test_a_version_that_is_gone_is_told(mirror: Mirror, tmp_path: Path) -> None:
    """A build that goes on after weeks asks for a source that the mirror replaced."""
    with pytest.raises(VMError, match=r"has make 4\.4-1, not 4\.3-1"):
        debian.archive("13").unpack(["make=4.3-1"], tmp_path)


def test_an_index_that_debian_did_not_sign_is_refused(mirror: Mirror) -> None:
    """Another key's signature counts for nothing, whatever else is right."""
    mirror.key = pysequoia.Tsk.generate("Somebody <somebody@example.org>")
    mirror.sign("trixie", "SHA256:\n")
    with pytest.raises(VMError, match="signed by none of Debian's keys"):
        debian.archive("13").candidate("make")


def test_an_index_that_was_changed_is_refused(mirror: Mirror) -> None:
    """One letter of the signed text is enough."""
    path = mirror.folder / "dists/trixie/InRelease"
    path.write_text(path.read_text().replace("Origin: Debian", "Origin: debian"))
    with pytest.raises(VMError, match="signed by none of Debian's keys"):
        debian.archive("13").candidate("make")


@pytest.mark.parametrize(
    "what", ["dists/trixie/main/binary-amd64/Packages.xz", "make_trixie-security.deb"]
)
def test_what_has_another_hash_is_refused(mirror: Mirror, tmp_path: Path, what: str) -> None:
    """A list or a package that is not the signed one is not unpacked."""
    (mirror.folder / what).write_bytes(b"something else")
    with pytest.raises(VMError, match=rf"{what} is not the file that the signed index lists"):
        debian.archive("13").unpack(["make"], tmp_path)
    assert not (tmp_path / "usr").exists()


def test_an_unknown_package_is_named_with_the_release(mirror: Mirror) -> None:
    """The sentence says what is not there, and where."""
    with pytest.raises(VMError, match="Debian 13 has no package nosuch"):
        debian.archive("13").candidate("nosuch")


def test_an_unknown_release_is_told_with_those_that_are_known(mirror: Mirror) -> None:
    """Nobody has to guess how a release is spelt."""
    with pytest.raises(VMError, match=r"no release trixie\. Use one of 13\."):
        debian.archive("trixie")


def test_without_a_security_archive_the_release_is_taken(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most mirrors have none."""
    monkeypatch.setenv(debian.MIRROR, f"file://{mirror.folder}")
    monkeypatch.setattr(debian, "TRIES", 1)
    assert debian.archive("13").candidate("make") == "4.4~rc1-1"


def test_a_mirror_that_does_not_answer_is_named(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address stands in the sentence."""
    monkeypatch.setenv(debian.MIRROR, f"file://{mirror.folder}/nowhere")
    monkeypatch.setattr(debian, "TRIES", 1)
    with pytest.raises(VMError, match=r"nowhere/dists/trixie/InRelease cannot be downloaded: "):
        debian.archive("13").candidate("make")


def test_a_damaged_package_is_a_sentence() -> None:
    """What is no ar archive raises nothing else."""
    with pytest.raises(VMError, match="A package is damaged"):
        debian.extract(b"<html>", Path("/nowhere"))


# --- which mirror, which release --------------------------------------------------------


def test_apts_own_mirror_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what apt lists, Debian's own archive and its security archive; no setting is needed."""
    listed = (
        "Other|Other|https://other.example/debian/\n"
        "Debian|Debian-Security|http://mirror.example/debian-security/\n"
        "Debian|Debian|http://mirror.example/debian/\n"
    )
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(debian.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(tools, "run", lambda argv: listed)
    found = debian.mirror()
    assert found.address("trixie") == "http://mirror.example/debian"
    assert found.address("trixie-security") == "http://mirror.example/debian-security"


@pytest.mark.parametrize("apt", [True, False])
def test_without_a_mirror_both_ways_out_are_told(
    apt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No apt, or one of another distribution: the setting and the kit are named."""
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(debian.shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
    monkeypatch.setattr(tools, "run", lambda argv: "Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n")
    with pytest.raises(NoMirror, match=r"KNETLAB_MIRROR.*make check KIT=FILE"):
        debian.mirror()


def test_an_address_without_its_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare host name is told before anything is fetched."""
    monkeypatch.setenv(debian.MIRROR, "mirror.example/debian")
    with pytest.raises(
        VMError, match=r"KNETLAB_MIRROR=mirror\.example/debian is wrong: .*https://"
    ):
        debian.mirror()


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "12"),
        ('ID=debian\nVERSION_ID="13"\n', "13"),
        ("ID=debian\nVERSION_CODENAME=forky\n", "sid"),
        ('ID=debian\nVERSION_ID="11"\n', ""),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ""),
        ('NAME="Fedora Linux"\nID=fedora\nVERSION_ID=43\n', ""),
    ],
)
def test_the_hosts_release_is_read_from_os_release(
    text: str, release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's testing and sid have no number; other systems are none of Debian's releases."""
    path = tmp_path / "os-release"
    path.write_text(text)
    monkeypatch.setattr(debian, "OS_RELEASE", path)
    monkeypatch.setattr(debian.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert debian.host_release() == release
    assert debian.default_release() == (release or debian.DEFAULT)


def test_without_os_release_the_host_is_no_debian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that does not say what it is gets the default release."""
    monkeypatch.setattr(debian, "OS_RELEASE", tmp_path / "none")
    assert debian.host_release() == ""
