"""The helper module witness.ko: it sees what the module under test allocates, and more."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from vm import cache, tools
from vm.image import PayloadFile
from vm.kernel import Kernel

PATH = "witness.ko"
"""Where the module lies below /lab."""

_SOURCE = Path(__file__).parent / "witness"


def files(kernel: Kernel) -> dict[str, PayloadFile]:
    """Return the module for *kernel*, by its path below /lab."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
            build = Path(scratch) / "build"
            build.mkdir()
            sandbox = kernel.sandbox(writable={build: "/build"})
            sandbox.own(build)
            for source in sorted(_SOURCE.iterdir()):
                (build / source.name).write_bytes(source.read_bytes())
            strip = "strip --strip-debug /build/witness.ko"
            tools.run(
                sandbox.argv(["/bin/sh", "-c", f"{shlex.join(kernel.make('/build'))} && {strip}"])
            )
            (folder / "witness.ko").write_bytes((build / "witness.ko").read_bytes())

    key = cache.digest(kernel.key, kernel.tools.key, *sorted(_SOURCE.iterdir()))
    return {PATH: PayloadFile((cache.entry("witness", key, make) / "witness.ko").read_bytes())}
