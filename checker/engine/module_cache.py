"""Modules that were built once, kept by the content of all that they are made of.

A student's own commands use it: whoever edits one file of three, or opens a console after
a check, need not wait for what is built already. A class does not: its submissions are
graded once each, and thousands of modules would fill the cache.
"""

from __future__ import annotations

from pathlib import Path

from checker.model import Lab, ModuleBuild, Target
from vm import cache
from vm.errors import VMError
from vm.kernel import Kernel

KEPT = 50
"""So many modules are kept, about 100 KB each; the one that was used last goes last."""


def key(lab: Lab, module: Target, sources: dict[str, bytes], kernel: Kernel) -> str:
    """Return what stands for the module that *sources* make: theirs, by path from the lab."""
    ours = (Path(__file__).with_name(name) for name in ("build.py", "compiler.py"))
    parts: list[str | bytes | Path] = [Path(__file__), *ours]
    parts += [module.name, kernel.key, *kernel.make("", 1), kernel.tools.key]
    for name in sorted((*module.headers, f"{module.folder}/Kbuild")):
        parts += [name, lab.given / name]
    for name in sorted(module.files):
        parts += [name, sources.get(name, b"")]
    return cache.digest(*parts)


def find(name: str, key: str) -> ModuleBuild | None:
    """Return the module *name* that was kept under *key*, None if there is none."""
    folder = cache.find("module", key)
    if folder is None:
        return None
    try:
        return ModuleBuild(
            name=name,
            ko=(folder / "ko").read_bytes(),
            debug=(folder / "debug").read_bytes(),
            warnings=(folder / "warnings").read_text(encoding="utf-8"),
        )
    except OSError:  # another run has thrown it out
        return None


def keep(made: ModuleBuild, key: str) -> None:
    """Keep *made*, if it was built; a cache that cannot be written to keeps nothing."""
    ko, debug = made.ko, made.debug
    if ko is None or debug is None:
        return

    def make(folder: Path) -> None:
        (folder / "ko").write_bytes(ko)
        (folder / "debug").write_bytes(debug)
        (folder / "warnings").write_text(made.warnings, encoding="utf-8")

    try:
        cache.entry("module", key, make)
        cache.trim("module", KEPT)
    except VMError:
        return
