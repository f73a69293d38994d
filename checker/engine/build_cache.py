"""Modules and programs that were built once, kept by the content of all that they are made of.

A student's own commands use it: whoever edits one file of three, or opens a console after
a check, need not wait for what is built already. A class does not: its submissions are
graded once each, and thousands of them would fill the cache.
"""

from __future__ import annotations

from pathlib import Path

from checker.engine import program_build
from checker.model import Lab, ModuleBuild, ProgramBuild, Target
from checker.words import evasion
from vm import cache
from vm.errors import VMError
from vm.kernel import Kernel

KEPT = {"module": 50, "built-program": 30}
"""So many of a kind are kept, those that were used last. A module has about 100 KB, and the two
programs of one source 2 MB."""

_FILES = {"module": ("ko", "debug"), "built-program": ("plain", "sanitized")}
"""What an entry of the cache has besides the compiler's warnings."""


def _kind(target: Target) -> str:
    return "module" if target.kind == "module" else "built-program"


def key(
    lab: Lab,
    target: Target,
    sources: dict[str, bytes],
    kernel: Kernel,
    *,
    debug: bool = False,
) -> str:
    """Return what stands for all that *target* is made of; *sources* by path from the lab.

    *debug*: it is a program made for gdb.
    """
    ours = ("build_cache.py", "build.py", "compiler.py", "program_build.py")
    parts: list[str | bytes | Path] = [Path(__file__).with_name(name) for name in ours]
    parts += [target.name, kernel.tools.key]
    given = set(target.headers)
    if target.kind == "module":
        parts += [kernel.key, *kernel.make("", 1)]
        given.add(f"{target.folder}/Kbuild")
    else:
        parts += [*program_build.recipe(lab, target, debug=debug), Path(evasion.__file__)]
    for name in sorted(given):
        parts += [name, lab.given / name]
    for name in sorted(target.files):
        parts += [name, sources.get(name, b"")]
    return cache.digest(*parts)


def find(target: Target, key: str) -> ModuleBuild | ProgramBuild | None:
    """Return what was kept of *target* under *key*, None if there is nothing."""
    kind = _kind(target)
    folder = cache.find(kind, key)
    if folder is None:
        return None
    try:
        first, second = ((folder / name).read_bytes() for name in _FILES[kind])
        said = (folder / "warnings").read_text(encoding="utf-8")
    except OSError:  # another run has thrown it out
        return None
    if target.kind == "module":
        return ModuleBuild(name=target.name, ko=first, debug=second, warnings=said)
    return ProgramBuild(name=target.name, plain=first, sanitized=second, warnings=said)


def keep(target: Target, made: ModuleBuild | ProgramBuild, key: str) -> None:
    """Keep *made*, if it was built; a cache that cannot be written to keeps nothing."""
    kind = _kind(target)
    both = (made.ko, made.debug) if isinstance(made, ModuleBuild) else (made.plain, made.sanitized)

    def make(folder: Path) -> None:
        for name, content in zip(_FILES[kind], both, strict=True):
            (folder / name).write_bytes(content or b"")
        (folder / "warnings").write_text(made.warnings, encoding="utf-8")

    if None in both:
        return
    try:
        cache.entry(kind, key, make)
        cache.trim(kind, KEPT[kind])
    except VMError:
        return
