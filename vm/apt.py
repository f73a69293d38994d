"""Packages of the host's own release, by its apt: fetched as .deb, unpacked, not installed.

It has the functions of vm.debian.Packages, which other releases' packages come by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vm import debian, tools
from vm.errors import NoPackage, NoSpace, VMError


def depends(package: str) -> list[str]:
    """Return the names of the packages that *package* depends on directly."""
    text = tools.run(["apt-cache", "depends", "--important", package])
    return re.findall(r"^ [ |]Depends: ([^<\s]+)$", text, re.MULTILINE)


def candidate(package: str) -> str:
    """Return the version of *package* that apt would install; NoPackage when it knows none."""
    text = tools.run(["apt-cache", "policy", package])
    match = re.search(r"^  Candidate: (\S+)$", text, re.MULTILINE)
    if match is None or match[1] == "(none)":
        raise NoPackage(
            package, f"apt does not know the package {package}. Run `apt-get update` as root."
        )
    return match[1]


def libraries(packages: Iterable[str]) -> list[str]:
    """Return the shared-library packages (lib…, zlib…) that *packages* need, in turn."""
    names = list(packages)
    text = tools.run(["apt-cache", "depends", "--recurse", "--important", *names])
    tree: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line[0].isspace():
            children = tree.setdefault(line, [])
        elif match := re.match(r"[ |]+Depends: (z?lib\S+)", line):
            children.append(match[1])
    found: set[str] = set()
    while names:
        new = [name for name in tree.get(names.pop(), []) if name not in found]
        found.update(new)
        names += new
    return sorted(found)


def unpack(packages: Iterable[str], folder: Path) -> dict[str, str]:
    """Fetch *packages* and unpack them into *folder*; return name -> version.

    Programs, libraries and modules are below usr/ (vm.debian.extract). Raises VMError when
    apt does not know a package or cannot fetch it.
    """
    debs = folder / ".debs"
    debs.mkdir()
    names = list(packages)
    try:
        tools.run(["apt-get", "-q", "download", *names], cwd=debs, timeout=1800)
    except NoSpace:
        raise
    except VMError as error:
        why = re.search(r"E: ([^\n]*?)(?: / |\n|$)", str(error))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise VMError(
            f"apt-get could not download {names[0]}{more}: {why[1] if why else error}. "
            "If this host has a network, `apt-get update` as root may help. "
            "Without a network, use a kit: `make check KIT=FILE`."
        ) from error
    versions: dict[str, str] = {}
    for deb in sorted(debs.glob("*.deb")):
        debian.extract(deb.read_bytes(), folder)
        name, version = deb.stem.split("_")[:2]
        versions[name] = version.replace("%3a", ":")
        deb.unlink()
    debs.rmdir()
    return versions
