"""The debug kernel: the distribution's source, built small with what reports a wrong module.

The source package and the fragment debug.config make it; all options that the
fragment does not name are off. A build takes some minutes and may be stopped
at any moment: it goes on where it was. What is kept of it is an entry of the
cache like any other.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

from vm import cache, source
from vm.debian import Packages
from vm.errors import MissingTool, NoSpace, VMError
from vm.toolchain import Toolchain

SOURCE = "linux-source"
"""The package that depends on the newest source package."""

FRAGMENT = Path(__file__).parent / "debug.config"

RECIPE = "2"
"""To be raised when another kernel comes of the same source and fragment."""

INSTRUMENTED = ("net/%", "drivers/net/%", "lib/%", "kernel/", "kernel/time/%", "kernel/module/%")
"""Folders whose code KASAN looks at, as patterns of make's filter function.

That is where a module's mistakes come to light, besides the module itself, which is
compiled with KASAN whole. The rest, memory, files, processes and locks, is what
starting a command is made of, and would make that twice as slow.
"""

STEPS = 1750
"""About so many files are compiled; for the progress bar alone."""

ROOM = 4 << 30
"""Bytes of disk a build needs."""

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps there are about."""

log = logging.getLogger("knetlab")

_NEEDS = {
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "gcc": "gcc",
    "make": "make",
    "xz": "xz-utils",
}
_UNUSED = ("Documentation", "drivers/gpu", "drivers/staging", "drivers/media", "sound", "samples")
"""Folders of which only the Kconfig files and Makefiles are unpacked."""


def require_tools() -> None:
    """Raise MissingTool naming every package that a build on the host's own tools lacks."""
    missing = [package for program, package in _NEEDS.items() if not shutil.which(program)]
    asked = subprocess.run(
        ["gcc", "-E", "-xc", "-include", "gelf.h", "/dev/null"], check=False, capture_output=True
    )
    if asked.returncode:
        missing.append("libelf-dev")
    if missing:
        raise MissingTool(
            f"To build the debug kernel, install {', '.join(missing)}: "
            "`make kernel NAME=debug` does it."
        )


def source_package(packages: Packages) -> str:
    """Return the name and version of the newest source package, as in linux-source-6.1=6.1.1-1."""
    try:
        (name,) = (n for n in packages.depends(SOURCE) if n.startswith(f"{SOURCE}-"))
    except ValueError as error:
        raise VMError(
            f"apt does not know the package {SOURCE}. Run `apt-get update` as root."
        ) from error
    return f"{name}={packages.candidate(name)}"


def work_folder(key: str) -> Path:
    """Return where the build *key* is at work; what lies there survives an interruption."""
    return cache.root() / "kernel-build" / key


def make(folder: Path, key: str, package: str, builder: Toolchain, progress: Progress) -> None:
    """Build the kernel of *package* by *builder*; put bzImage and build tree into *folder*.

    Raises VMError naming the options that the source does not offer, NoSpace
    before a disk gets full, MissingTool.
    """
    if builder.system is None:
        require_tools()
    work = work_folder(key)
    if " " in str(work):
        raise VMError(
            f"The kernel cannot be built in a folder with a blank in its path: {work}. "
            "Set XDG_CACHE_HOME to a folder without a blank."
        )
    work.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(work).free < ROOM and not (work / "src/arch/x86/boot/bzImage").exists():
        raise NoSpace(f"{work} is on a disk with less than {ROOM >> 30} GiB of free space.")
    with FileLock(work / "lock"):
        tree = _unpacked(work, package, builder)
        source.keep(package, tree)  # for those who want to read it
        _configure(tree, builder)
        _compile(tree, work / "log", builder, progress)
        # not by PVH: in 6.1 that runs code which KASAN instruments before there are shadows
        shutil.copy(tree / "arch/x86/boot/bzImage", folder / "bzImage")
        _copy_build_tree(tree, folder / "build")
    shutil.rmtree(work, ignore_errors=True)


def _unpacked(work: Path, package: str, builder: Toolchain) -> Path:
    source = work / "src"
    if source.is_dir():
        return source
    log.info(f"downloading {package}, about 140 MB")
    scratch = work / "unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    builder.packages.unpack([package], scratch)
    (archive,) = (scratch / "usr/src").glob("linux-source-*.tar.*")
    log.info("unpacking the source")
    left_out = [f"--exclude=*/{folder}/*.{suffix}" for folder in _UNUSED for suffix in "chSt"]
    left_out += ["--exclude=*/Documentation/*.rst", "--exclude=*.dts", "--exclude=*.dtsi"]
    argv = ["tar", "-xf", str(archive), "-C", str(scratch), "--no-same-owner", *left_out]
    builder.run(argv, folders=[scratch], timeout=1800)
    (tree,) = (p for p in scratch.iterdir() if (p / "Kconfig").is_file())
    tree.rename(source)
    shutil.rmtree(scratch)
    return source


def _configure(source: Path, builder: Toolchain) -> None:
    """Write .config: the fragment's options and no others; VMError where one is not to be had."""
    config = source / ".config"
    fragment = source / "knetlab.config"  # where a sandbox sees it, too
    shutil.copy(FRAGMENT, fragment)
    allconfig = f"KCONFIG_ALLCONFIG={fragment}"
    builder.run(["make", "-s", "-C", str(source), allconfig, "allnoconfig"], folders=[source])
    missing = missing_options(FRAGMENT.read_text(), config.read_text())
    if missing:
        raise VMError(
            f"{FRAGMENT} has options that this source does not have, or that need other options: "
            f"{', '.join(missing)}. The source's Kconfig files say what they need."
        )


def missing_options(fragment: str, config: str) -> list[str]:
    """Return the lines of *fragment* that do not hold in the .config text *config*.

    A comment "# until 6.9:" speaks of the line below it: later releases are not asked for that.
    """
    have = set(config.splitlines())
    named = re.search(r"^# Linux/\S+ (\d+)\.(\d+)", config, re.MULTILINE)
    release = (int(named[1]), int(named[2])) if named else (0, 0)
    wanted = re.findall(r"(?:^# until (\d+)\.(\d+):.*\n)?^(CONFIG_\w+=.*)$", fragment, re.MULTILINE)
    return [
        line
        for major, minor, line in wanted
        if not (major and release > (int(major), int(minor))) and not _holds(line, have)
    ]


def _holds(line: str, have: set[str]) -> bool:
    option, _, value = line.partition("=")
    if value == "n":
        return not any(other.startswith(f"{option}=") for other in have)
    return line in have


def _compile(source: Path, output: Path, builder: Toolchain, progress: Progress) -> None:
    """Run make, counting the files it compiles; VMError with its last words when it fails."""
    jobs = len(os.sched_getaffinity(0))
    argv = ["make", "-C", str(source), f"-j{jobs}", "KBUILD_BUILD_HOST=knetlab"]
    # scripts/Makefile.lib asks for it; a Makefile that sets it keeps its way
    instrumented = {"KASAN_SANITIZE": f"$(if $(filter {' '.join(INSTRUMENTED)},$(obj)/),,n)"}
    argv += ["bzImage", "modules"]
    if builder.system is None and shutil.which("ccache"):
        argv += ["CC=ccache gcc"]
    done = sum(1 for _ in source.rglob("*.o"))  # by an earlier build; this one has not begun
    with output.open("w") as said:
        process = subprocess.Popen(
            builder.argv(argv, folders=[source], env=instrumented),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=os.environ | instrumented,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.write(line)
                if re.match(r"  (CC|AS|AR|LD) ", line):
                    done += 1
                    progress(min(done, STEPS), STEPS)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            process.stdout.close()  # make is told to end by then, or has no more to say
            process.wait()
    if process.returncode:
        tail = "\n".join(output.read_text().splitlines()[-15:])
        raise VMError(f"The debug kernel cannot be built. The whole output is in {output}.\n{tail}")


def _copy_build_tree(source: Path, target: Path) -> None:
    """Copy what modules are built against: headers, scripts, objtool, symbols.

    The list is that of the kernel's own packages (scripts/package/builddeb).
    """
    arch = source / "arch/x86"
    wanted: list[Path] = [source / n for n in (".config", "Module.symvers", "Makefile", "Kbuild")]
    wanted += [source / "tools/objtool/objtool"]
    wanted += [source / "scripts/module-common.c"]  # linked into each module since 6.12
    wanted += [*arch.glob("Makefile*"), *(arch / "kernel").glob("asm-offsets*")]
    wanted += _files([source / "scripts"], leave=(".o", ".c", ".tab.h"))
    wanted += _files([source / "include", arch / "include"], leave=(".cmd", ".o"))
    needed = {"auto.conf", "kernel.release"}  # the rest of include/config stands for options
    wanted = [p for p in wanted if p.parent.name != "config" or p.name in needed]
    for path in wanted:
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def _files(folders: Iterable[Path], leave: tuple[str, ...]) -> list[Path]:
    found = (p for folder in folders for p in folder.rglob("*"))
    return [p for p in found if p.is_file() and not p.name.endswith(leave)]
