"""A kit: kernels, compiler, root file system and Python packages of a cache in one file.

With it a check needs no network and builds no kernel. A kit is a tar archive: ``kit.json``
says what is in it, with the hash of each file; ``entries/`` has entries of the cache, a
packed archive each, and ``wheels/`` the Python packages (tools/setup.sh takes them out).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

from vm import cache, debian, image, kernel, toolchain
from vm.debug_kernel import Progress
from vm.errors import BadKit, VMError

SETTING = "KNETLAB_KIT"
"""The setting that names the kit that is used."""

SCHEMA = "knetlab/kit/v1"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that the packages are for."""

_INDEX = "kit.json"
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")


def made_by() -> str:
    """Return what stands for the code that makes and reads entries of the cache."""
    own = sorted(p for p in Path(__file__).parent.rglob("*") if p.suffix != ".pyc" and p.is_file())
    return cache.digest(*own)


# --- make one --------------------------------------------------------------------------


def make(
    target: Path,
    release: str,
    project: Path,
    progress: Progress,
    packages: Iterable[Sequence[str]] = (),
) -> None:
    """Write a kit with *release*'s kernels to *target*, a file; what is missing is made first.

    *project* is the pyproject.toml whose dependencies go in as wheels, *packages* what each lab's
    root file system has besides. Raises VMError.
    """
    os.environ[toolchain.SETTING] = "own"
    os.environ[debian.RELEASE] = release
    entries: list[tuple[str, str, str]] = []  # kind, name that points to it, key
    tools = toolchain.own(release)
    entries.append(("toolchain", f"{release}-modules", tools.key))
    for made in (kernel.stock(release), kernel.debug(release, progress=progress)):
        entries.append(("kernel", f"{made.name}-{release}", made.key))
    roots = {image.root(more).key for more in ((), *packages)}
    entries += [("image", "", key) for key in sorted(roots)]
    with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".kit-") as scratch:
        wheels = Path(scratch) / "wheels"
        _download(project, wheels)
        packed = Path(scratch) / "packed"
        packed.mkdir()
        index: dict[str, Any] = {
            "schema": SCHEMA,
            "made_by": made_by(),
            "release": release,
            "entries": [],
            "wheels": {wheel.name: _hash(wheel) for wheel in sorted(wheels.iterdir())},
        }
        for kind, name, key in entries:
            file = packed / f"{kind}-{key}"
            _pack(cache.root() / kind / key, file)
            index["entries"].append({"kind": kind, "name": name, "key": key, "sha256": _hash(file)})
        whole = Path(scratch) / "kit"
        with tarfile.open(whole, "w") as tar:
            text = json.dumps(index, indent=1).encode()
            member = tarfile.TarInfo(_INDEX)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
            for wheel in sorted(wheels.iterdir()):
                tar.add(wheel, f"wheels/{wheel.name}")
            for file in sorted(packed.iterdir()):
                tar.add(file, f"entries/{file.name}")
        whole.chmod(0o644)
        whole.replace(target)


def _download(project: Path, folder: Path) -> None:
    """Fetch the wheels of all dependencies, and what builds the project itself, by pip."""
    read = tomllib.loads(project.read_text(encoding="utf-8"))
    wanted = [*read["project"]["dependencies"], *read["build-system"]["requires"]]
    folder.mkdir()
    for version in PYTHONS:
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        argv += ["--python-version", version, "--implementation", "cp", "--dest", str(folder)]
        argv += [word for name in _PLATFORMS for word in ("--platform", name)]
        done = subprocess.run([*argv, *wanted], check=False, capture_output=True, text=True)
        if done.returncode:
            tail = " / ".join(done.stderr.strip().splitlines()[-2:])
            raise VMError(f"pip cannot fetch the Python packages for Python {version}: {tail}")


def _pack(folder: Path, target: Path) -> None:
    def without_manifest(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if member.name == cache.MANIFEST else member

    packer = zstandard.ZstdCompressor(level=15, threads=-1)
    with (
        target.open("wb") as out,
        packer.stream_writer(out) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name, filter=without_manifest)


def _hash(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# --- use one ---------------------------------------------------------------------------


def release_of(path: Path) -> str:
    """Return the release whose kernels the kit in *path* has; raises BadKit as use() does."""
    with _opened(path) as tar:
        return str(_index(tar, path)["release"])


def use(path: Path) -> None:
    """Put what the kit in *path* has into the cache, and take its kernels and compiler from now on.

    Raises BadKit when it is none, is damaged, or was made by another knetlab; nothing
    is in the cache then that was not there before, but for what was whole.
    """
    with _opened(path) as tar:
        index = _index(tar, path)
        for entry in index["entries"]:
            kind, name, key = entry["kind"], entry["name"], entry["key"]
            if cache.find(kind, key) is None:

                def fill(folder: Path, entry: dict[str, str] = entry) -> None:
                    _unpack(tar, path, entry, folder)

                cache.entry(kind, key, fill, f"unpacking the {kind} of {path.name} (once)")
            if name:
                cache.set_newest(kind, name, key)
    os.environ[toolchain.SETTING] = "own"
    os.environ[debian.RELEASE] = index["release"]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    if not path.is_file():
        raise BadKit(f"There is no kit {path}: `knetlab kit --out {path.name}` makes one.")
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise BadKit(f"{path} is not a complete kit of knetlab: {error}. Copy it again.") from error


def _index(tar: tarfile.TarFile, path: Path) -> dict[str, Any]:
    try:
        file = tar.extractfile(_INDEX)
        assert file is not None
        index: dict[str, Any] = json.loads(file.read())
        entries = index["entries"]
        names = all(_plain(e["kind"]) and _plain(e["key"]) and _plain(e["name"]) for e in entries)
        whole = names and index["schema"] == SCHEMA and index["release"] in debian.SUITES
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise BadKit(
            f"{path} is not a kit of knetlab: it has no {_INDEX} that can be read."
        ) from error
    if not whole:
        raise BadKit(
            f"{path} is a kit in a format that this knetlab does not know: {index['schema']}."
        )
    if index["made_by"] != made_by():
        raise BadKit(
            f"{path} was made by another version of knetlab than this one, and its files do not "
            "fit. Get the kit that belongs to this version, or make one (knetlab kit --out FILE), "
            "or move that file away."
        )
    return index


def _plain(name: str) -> bool:
    return "/" not in name and not name.startswith(".")


def _unpack(tar: tarfile.TarFile, path: Path, entry: dict[str, str], folder: Path) -> None:
    name = f"entries/{entry['kind']}-{entry['key']}"
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    data = file.read() if file else b""
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise BadKit(f"{path} is damaged: its part {name} has changed. Copy it again.")
    with (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream,
        tarfile.open(fileobj=stream, mode="r|") as packed,
    ):
        packed.extraction_filter = getattr(tarfile, "tar_filter", None)
        packed.extractall(folder)  # noqa: S202 - its hash is the one that was written down
