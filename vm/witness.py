"""The helper modules witness.ko and way.ko: what a module under test allocates, and packets' ways.

Each guest of a check has the witness from the start; way.ko it gets where a check that
failed is explained (checker/engine/way.py).
"""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from vm import cache, tools
from vm.image import PayloadFile
from vm.kernel import Kernel

PATH = "witness.ko"
"""Where the witness lies below /lab."""

WAY = "way.ko"
"""Where the other one does."""


def files(kernel: Kernel) -> dict[str, PayloadFile]:
    """Return the witness for *kernel*, by its path below /lab."""
    return {PATH: PayloadFile(_built(kernel, "witness"))}


def way(kernel: Kernel) -> dict[str, PayloadFile]:
    """Return way.ko for *kernel*, likewise."""
    return {WAY: PayloadFile(_built(kernel, "way"))}


def _built(kernel: Kernel, name: str) -> bytes:
    """Return the module whose sources lie in the folder *name*, built the first time."""
    sources = sorted((Path(__file__).parent / name).iterdir())

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
            build = Path(scratch) / "build"
            build.mkdir()
            sandbox = kernel.sandbox(writable={build: "/build"})
            sandbox.own(build)
            for source in sources:
                (build / source.name).write_bytes(source.read_bytes())
            strip = f"strip --strip-debug /build/{name}.ko"
            tools.run(
                sandbox.argv(["/bin/sh", "-c", f"{shlex.join(kernel.make('/build'))} && {strip}"])
            )
            (folder / f"{name}.ko").write_bytes((build / f"{name}.ko").read_bytes())

    key = cache.digest(kernel.key, kernel.tools.key, *sources)
    return (cache.entry("witness", key, make) / f"{name}.ko").read_bytes()
