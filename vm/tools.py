"""Programs of the host that vm uses: which package has them, and how they are run."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vm.errors import MissingTool, NoSpace, VMError

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "bwrap": "bubblewrap",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "gcc": "gcc",
    "addr2line": "binutils",
    "make": "make",
    "mke2fs": "e2fsprogs",
    "apt-get": "apt",
    "apt-cache": "apt",
    "patch": "patch",
}
"""Program -> the Debian package that has it."""

_MANAGERS = {"apt-get": "apt install", "dnf": "dnf install", "pacman": "pacman -S"}
"""A package manager's program -> the command by which it installs."""

_ELSEWHERE = {"qemu-utils": "qemu-img"}
"""Debian's package -> what other systems call it, if not the same."""


def install(packages: str) -> str:
    """Return the command that installs Debian's *packages* here, "install X" if none is known."""
    manager = next((program for program in _MANAGERS if shutil.which(program)), "")
    names = packages if manager == "apt-get" else _ELSEWHERE.get(packages, packages)
    return f"{_MANAGERS.get(manager, 'install')} {names}"


def find(program: str) -> str:
    """Return the path of *program*, looked for in PATH and the sbin folders.

    Raises MissingTool with the package's name when it is not there.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        package = PACKAGES.get(program, program)
        how = install(package)
        how = how if how.startswith("install ") else f"run `{how}`"
        raise MissingTool(f"{program} is not installed: {how}.")
    return path


def run(argv: Sequence[str], *, cwd: Path | None = None, timeout: float = 600) -> str:
    """Run a program of the host and return what it printed.

    Raises VMError with the command line and its last words when it fails.
    """
    command = [find(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            check=False,
            timeout=timeout,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise VMError(f"`{' '.join(argv)}` did not finish within {timeout:.0f} s.") from error
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise NoSpace(
                f"{argv[0]}: no space is left on the disk. Free some space and try again."
            )
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        words = [line for line in said if not line.startswith("W: ")][-4:]
        raise VMError(
            f"`{' '.join(argv)}` failed with exit status {done.returncode}: {' / '.join(words)}"
        )
    return done.stdout


def descendants(pid: int) -> dict[int, str]:
    """Return the processes below *pid* with the names of their programs."""
    found: dict[int, str] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # one that has just ended
            for child in map(int, children.read_text().split()):
                found[child] = Path(f"/proc/{child}/comm").read_text().strip()
                found |= descendants(child)
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that all threads of *pid* have used; OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)


def asleep(pid: int) -> bool:
    """Tell whether all threads of *pid* wait for something; OSError when it is gone."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)
