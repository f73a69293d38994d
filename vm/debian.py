"""Packages of a release of Debian, from a mirror: no apt, no dpkg, and no root needed.

A release's index is signed (InRelease, by the keys in debian-archive-keys.asc), has the
hash of the list of packages, and that has the hash of each .deb. What does not match is
refused. Which mirror: that of the host's own apt, or the setting KNETLAB_MIRROR.
"""

from __future__ import annotations

import datetime
import email.utils
import functools
import hashlib
import io
import json
import logging
import lzma
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vm import cache, tools
from vm.errors import NoMirror, NoPackage, VMError

SUITES = {
    "12": ("bookworm", "bookworm-security"),
    "13": ("trixie", "trixie-security"),
    "13-backports": ("trixie", "trixie-security", "trixie-backports"),
    "sid": ("sid",),
}
"""Release -> its suites; of a package that several have the newest version is taken."""

DEFAULT = "13"
"""The release whose kernel and tools are taken where the host is no Debian of SUITES."""

RELEASE = "KNETLAB_RELEASE"
"""The setting: the release that is taken when nobody asks for another one."""

MIRROR = "KNETLAB_MIRROR"
"""The setting: a mirror's address, and behind a blank that of its security archive, if
that is not the first with -security added."""

ARCHITECTURE = "amd64"

OS_RELEASE = Path("/etc/os-release")
KEYS = Path(__file__).with_name("debian-archive-keys.asc")
"""The archive's keys of Debian 12 and 13, out of the package debian-archive-keyring."""

PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]+"
"""What a package is called, as a regular expression."""

AT_ONCE = 6
"""So many packages are fetched at a time."""

TRIES = 3
SECONDS = 60
"""Wall seconds a mirror may say nothing."""

log = logging.getLogger("knetlab")


class Packages(Protocol):
    """Where packages come from: the host's apt (vm/apt.py) or a mirror (Archive)."""

    def depends(self, package: str) -> list[str]:
        """Return the names of the packages that *package* depends on directly."""

    def candidate(self, package: str) -> str:
        """Return the version of *package* that would be fetched; NoPackage when none is known."""

    def libraries(self, packages: Iterable[str]) -> list[str]:
        """Return the shared-library packages (lib…, zlib…) that *packages* need, in turn."""

    def unpack(self, packages: Iterable[str], folder: Path) -> dict[str, str]:
        """Fetch *packages* and unpack them into *folder*; return name -> version."""


# --- which release, which mirror -------------------------------------------------------


def host_release() -> str:
    """Return which release of SUITES this host is, "" for any other system.

    Debian's testing and sid have no VERSION_ID in os-release; their packages are sid's.
    """
    try:
        text = OS_RELEASE.read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)', text, re.MULTILINE))
    if fields.get("ID") != "debian":
        return ""
    version = fields.get("VERSION_ID", "sid")
    return version if version in SUITES else ""


def default_release() -> str:
    """Return the release whose kernel is taken when nobody asks for another one.

    VMError when the setting names none that is known.
    """
    if chosen := os.environ.get(RELEASE):
        archive(chosen)
        return chosen
    return (host_release() if shutil.which("apt-get") else "") or DEFAULT


@dataclass(frozen=True)
class Mirror:
    """The addresses of an archive and of its security archive, "" where that is not known."""

    main: str
    security: str

    def address(self, suite: str) -> str:
        """Return the address that has *suite*."""
        return self.security if suite.endswith("-security") else self.main


def mirror() -> Mirror:
    """Return the mirror to ask: the one that is set, else that of the host's apt.

    Raises NoMirror, with both ways out, when there is none.
    """
    addresses = [address.rstrip("/") for address in os.environ.get(MIRROR, "").split()]
    if addresses:
        for address in addresses:
            if not re.match(r"(https?|file)://", address):
                raise VMError(
                    f"{MIRROR}={address} is wrong: the address must begin with https:// or http://."
                )
        security = addresses[1] if len(addresses) > 1 else f"{addresses[0]}-security"
        return Mirror(addresses[0], security)
    if found := _apt_mirror():
        return found
    raise NoMirror(
        "Packages of Debian are needed, and this host's apt names no mirror of it. Set "
        f"{MIRROR} to the address of a Debian mirror (https://.../debian) and run the command "
        "again, or use a kit, which has all packages: make check KIT=FILE."
    )


def _apt_mirror() -> Mirror | None:
    if shutil.which("apt-get") is None:
        return None
    wanted = ["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    found: dict[str, str] = {}
    for line in tools.run(["apt-get", *wanted]).splitlines():
        origin, label, address = line.split("|", 2)
        if origin == "Debian" and address.startswith(("http://", "https://")):
            found.setdefault(label, address.rstrip("/"))
    if "Debian" not in found:
        return None
    return Mirror(found["Debian"], found.get("Debian-Security", ""))


# --- the archive -----------------------------------------------------------------------


@dataclass(frozen=True)
class Package:
    """A row of a list of packages; *depends* has the alternatives of each dependency."""

    name: str
    version: str
    address: str
    sha256: str
    depends: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...] = ()


@dataclass
class Archive:
    """The packages of a *release* of SUITES. Its lists are fetched when they are needed."""

    release: str
    _known: dict[str, Package] = field(default_factory=dict, repr=False, compare=False)
    _providers: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def _packages(self) -> dict[str, Package]:
        if not self._known:
            at = mirror()
            for suite in SUITES[self.release]:
                if not at.address(suite):
                    continue
                try:
                    found = _suite(at.address(suite), suite)
                except _Unreachable as error:
                    if not suite.endswith("-security"):
                        raise
                    log.warning(f"No security updates of Debian {self.release}: {error}")
                    continue
                for package in found:
                    other = self._known.get(package.name)
                    if other is None or _newer(package.version, other.version):
                        self._known[package.name] = package
            for package in self._known.values():
                for name in package.provides:
                    self._providers.setdefault(name, package.name)
        return self._known

    def _find(self, name: str) -> Package:
        known = self._packages()
        package = known.get(name) or known.get(self._providers.get(name, ""))
        if package is None:
            raise NoPackage(name, f"Debian {self.release} has no package {name}.")
        return package

    def has(self, package: str) -> bool:
        """Tell whether the release has *package*."""
        return package in self._packages()

    def depends(self, package: str) -> list[str]:
        """Return the first choice of each dependency of *package*."""
        return [self._choice(group) for group in self._find(package).depends]

    def _choice(self, group: Sequence[str]) -> str:
        known = self._packages()
        there = (n for n in group if n in known or n in self._providers)
        name = next(there, group[0])
        return name if name in known else self._providers.get(name, name)

    def candidate(self, package: str) -> str:
        """Return the newest version of *package*; NoPackage when the release has none."""
        return self._find(package).version

    def libraries(self, packages: Iterable[str]) -> list[str]:
        """Return the shared-library packages (lib…, zlib…) that *packages* need, in turn."""
        names = tuple(packages)
        return sorted(set(self.closure(names, only=r"z?lib")) - set(names))

    def closure(self, packages: Iterable[str], only: str = "", without: str = "$^") -> list[str]:
        """Return *packages* and what they need, in turn, as far as the names match.

        *only* and *without* are patterns that a dependency's name begins with.
        """
        found: dict[str, None] = {}
        queue = list(packages)
        while queue:
            name = self._find(queue.pop()).name
            if name not in found:
                found[name] = None
                needed = self.depends(name)
                queue += [n for n in needed if re.match(only, n) and not re.match(without, n)]
        return sorted(found)

    def unpack(self, packages: Iterable[str], folder: Path) -> dict[str, str]:
        """Fetch *packages* (NAME or NAME=VERSION), and unpack them into *folder*.

        Returns name -> version. Raises VMError naming what cannot be had or was altered.
        """
        found: list[Package] = []
        for wanted in packages:
            name, _, version = wanted.partition("=")
            package = self._find(name)
            if version and package.version != version:
                raise VMError(f"Debian {self.release} has {name} {package.version}, not {version}.")
            found.append(package)
        # an answer takes a mirror longer than its bytes do
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for deb in pool.map(lambda package: _fetch(package.address, package.sha256), found):
                extract(deb, folder)
        return {package.name: package.version for package in found}


@functools.cache
def archive(release: str) -> Archive:
    """Return the archive of *release*; VMError when no such release is known."""
    if release not in SUITES:
        raise VMError(f"There is no release {release}. Use one of {', '.join(SUITES)}.")
    return Archive(release)


def _newer(one: str, other: str) -> bool:
    from debian.debian_support import NativeVersion

    return bool(NativeVersion(one) > NativeVersion(other))


def _suite(address: str, suite: str) -> list[Package]:
    """Return the packages of *suite*, as its signed index vouches for them."""
    index = _verified(_fetch(f"{address}/dists/{suite}/InRelease"), f"{address} {suite}")
    path = f"main/binary-{ARCHITECTURE}/Packages.xz"
    match = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(path)}$", index, re.MULTILINE)
    if match is None:
        raise VMError(f"The index of {address} {suite} does not list {path}.")
    sha256 = match[1]
    _tell_age(index, suite)

    def make(folder: Path) -> None:
        by_hash = re.search(r"^Acquire-By-Hash: yes$", index, re.MULTILINE)
        name = f"{path.rpartition('/')[0]}/by-hash/SHA256/{sha256}" if by_hash else path
        text = lzma.decompress(_fetch(f"{address}/dists/{suite}/{name}", sha256)).decode()
        (folder / "packages.json").write_text(json.dumps(_rows(text)))

    key = cache.digest(Path(__file__), sha256)
    doing = f"downloading the list of packages of Debian's {suite}, about 10 MB"
    entry = cache.entry("debian-index", key, make, doing)
    rows = json.loads((entry / "packages.json").read_text())
    return [
        Package(
            name,
            version,
            f"{address}/{file}",
            digest,
            tuple(tuple(group) for group in depends),
            tuple(provides),
        )
        for name, version, file, digest, depends, provides in rows
    ]


def _rows(text: str) -> list[tuple[object, ...]]:
    """Return of each paragraph of a list of packages what knetlab needs.

    That is one regular expression: a parser of the whole takes half a minute.
    """
    wanted = ("Package", "Version", "Filename", "SHA256", "Pre-Depends", "Depends", "Provides")
    line = re.compile(rf"^({'|'.join(wanted)}): (.*)$", re.MULTILINE)
    rows: list[tuple[object, ...]] = []
    for paragraph in text.split("\n\n"):
        has = dict(line.findall(paragraph))
        if "Filename" in has:
            needs = [has[key] for key in ("Pre-Depends", "Depends") if key in has]
            groups = [g.split("|") for part in needs for g in part.split(",")]
            depends = [[_name(choice) for choice in group] for group in groups]
            provides = [_name(word) for word in has.get("Provides", "").split(",") if word]
            rows.append(
                (has["Package"], has["Version"], has["Filename"], has["SHA256"], depends, provides)
            )
    return rows


def _name(dependency: str) -> str:
    """Return the bare name of ``libc6:any (>= 2.36)``."""
    return re.split(r"[ :(]", dependency.strip(), maxsplit=1)[0]


def _tell_age(index: str, suite: str) -> None:
    """Say it when the index promises no more to be the newest: an old one is still whole."""
    match = re.search(r"^Valid-Until: (.+)$", index, re.MULTILINE)
    if match is None:
        return
    until = email.utils.parsedate_to_datetime(match[1].replace("UTC", "+0000"))
    if until < datetime.datetime.now(datetime.UTC):
        log.info(f"the mirror's list of {suite} is old: a new one was due on {until:%Y-%m-%d}")


def _verified(signed: bytes, what: str) -> str:
    """Return the text of a signed index; VMError when none of our keys has signed it."""
    import pysequoia

    certificates = pysequoia.Cert.split_bytes(KEYS.read_bytes())
    try:
        found = pysequoia.verify(signed, store=lambda _: certificates)
    except Exception as error:  # the library has no type of its own for it
        raise VMError(
            f"The index of {what} is signed by none of Debian's keys that knetlab knows "
            f"({KEYS.name}): {error}. Use another mirror."
        ) from error
    return (found.bytes or b"").decode()


class _Unreachable(VMError):
    """A mirror does not answer, or does not have the file."""


def _fetch(address: str, sha256: str = "") -> bytes:
    """Return what *address* has; VMError when it cannot be had or its hash is another one."""
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310
                data: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise _Unreachable(
                f"{address} cannot be downloaded: {error.code} {error.reason}"
            ) from error
        except (OSError, ValueError) as error:
            if attempt == TRIES:
                reason = getattr(error, "reason", error)
                raise _Unreachable(f"{address} cannot be downloaded: {reason}") from error
            time.sleep(attempt)
            continue
        if not sha256 or hashlib.sha256(data).hexdigest() == sha256:
            return data
        if attempt == TRIES:
            break
    raise VMError(f"{address} is not the file that the signed index lists: its hash is different.")


# --- a .deb ----------------------------------------------------------------------------

_MERGED = re.compile(r"(?:bin|sbin|lib|lib32|lib64|libx32)(?=/|$)")
"""Folders that lie below usr/ since Debian 13, and are put there for older packages, too."""


def extract(deb: bytes, folder: Path) -> None:
    """Unpack the files of the package *deb* below *folder*, all programs below usr/.

    Raises VMError when it is no whole package.
    """
    from debian.arfile import ArError, ArFile

    from vm.kernel_image import decompress

    try:
        members = ArFile(fileobj=io.BytesIO(deb))
        name = next(n for n in members.getnames() if n.startswith("data.tar"))
        data = decompress(members.getmember(name).read())
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)
            for member in tar:
                member.name = _place(member.name)
                if member.islnk():
                    member.linkname = _place(member.linkname)
                # the sandbox's user, nobody, is to read all of it, whatever our umask is
                if member.isdir():
                    (folder / member.name).mkdir(parents=True, exist_ok=True)
                    (folder / member.name).chmod(0o755)
                elif member.isfile() or member.issym() or member.islnk():
                    member.mode = member.mode & 0o755 | 0o644
                    tar.extract(member, folder)
    except (ArError, StopIteration, tarfile.TarError, VMError) as error:
        raise VMError(f"A package is damaged: {error}") from error


def _place(path: str) -> str:
    relative = path.removeprefix("./")
    return f"usr/{relative}" if _MERGED.match(relative) else relative or "."
