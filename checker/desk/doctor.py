"""knetlab doctor: what this host has, what it lacks, what is slow and why, and the command to run.

A row is ``ok``, ``MISSING`` (nothing works without it), ``slow`` or ``note``. All is
looked at, nothing is fetched or built; only with --time a guest is started.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker import lab
from checker.desk import last_run
from checker.engine import grading
from checker.lab import ROOT
from vm import cache, debian, debug_kernel, kernel, reaper, sandbox, snapshot, toolchain, tools
from vm.errors import MissingTool, NoMirror, VMError

ROOM = 1 << 30
"""Bytes the cache and a run need."""

ROOM_TEMPORARY = 512 << 20
"""Bytes of temporary files: two guests' disks and captures, and the modules that are built."""

MEMORY = 1 << 30
"""Bytes of memory that two guests of 256 MiB, their QEMUs and a compiler need."""

BUILD_MINUTES = 16
"""Minutes of one core that building the debug kernel took where this was measured."""

SETTINGS = Path("/proc/sys")

State = Literal["ok", "MISSING", "slow", "note"]

_STYLES: dict[State, str] = {"ok": "green", "MISSING": "bold red", "slow": "yellow", "note": "cyan"}


class Row(NamedTuple):
    """One thing that was looked at; *todo* is a command where there is one."""

    state: State
    what: str
    found: str
    todo: str = ""


def report(console: Console, *, timed: bool = False) -> bool:
    """Print the table; tell whether nothing that is needed is missing.

    With *timed* a guest is restored and the time it takes is shown; what that needs is
    fetched and made first.
    """
    rows = [*_compiler(), *_programs(), _qemu(), _sandbox(), *_python()]
    rows += [_cores(), _memory(), *_rooms(), _stock_kernel(), _debug_kernel(), _template()]
    rows += [_emulation(), _kvm(), _last_check()]
    if timed:
        rows.append(_restore())
    rows += [_terminal(console), *_for_some()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "What", "Found", "What to do"):
        # that is room enough for `apt install qemu-system-x86`
        table.add_column(
            heading,
            no_wrap=heading in ("", "What"),
            overflow="fold",
            max_width=28 if heading == "What to do" else None,
        )
    for row in rows:
        table.add_row(Text(row.state, _STYLES[row.state]), *map(Text, row[1:]))
    console.print(table)
    missing = [row for row in rows if row.state == "MISSING"]
    if missing:
        names = ", ".join(row.what for row in missing)
        console.print(Text(f"knetlab does not work here without: {names}.", "bold"))
    for row in missing:  # once more, and whole: the column breaks long ones
        if row.todo:
            console.print(Text(f"  {row.todo}"), soft_wrap=True)
    return not missing


# --- what is needed ------------------------------------------------------------------


_HOSTS_OWN = ("gcc", "addr2line", "mke2fs", "apt-get", "apt-cache")
"""Of vm.tools.PACKAGES those that a fetched compiler (vm.toolchain) takes the place of."""

_DEVELOPERS = {
    "patch": "for knetlab selftest",
    "git": "for make dist, knetlab mutants --refresh and knetlab's own tests",
    "chromium": "only for knetlab's own tests",
}

OLDEST_QEMU = (7, 2)


def needed() -> dict[str, str]:
    """Return the programs without which nothing works on this host, with their packages."""
    own = not _by_host()
    return {
        name: package
        for name, package in tools.PACKAGES.items()
        if name not in _DEVELOPERS and not (own and name in _HOSTS_OWN)
    }


def _by_host() -> bool:
    """Tell whether the host's own compiler is used; it is not where its setting is wrong."""
    with contextlib.suppress(VMError):
        return toolchain.is_host(debian.default_release())
    return False


def _compiler() -> Iterator[Row]:
    """Say what compiles, where that is not a program of the host."""
    release = debian.default_release()
    try:
        toolchain.setting()
    except VMError as error:
        yield Row("MISSING", "compiler", str(error), f"unset {toolchain.SETTING}")
        return
    if _by_host():
        yield from _static_libc()
        return
    with contextlib.suppress(VMError, OSError):
        if found := toolchain.if_there(release):
            yield Row("ok", "compiler", f"{found.compiler}, of Debian {release}, in the cache")
            return
    try:
        debian.mirror()
    except VMError as error:
        told = (
            "no mirror of Debian is known from which the compiler and the kernel can be downloaded"
        )
        told = told if isinstance(error, NoMirror) else str(error)
        todo = f"export {debian.MIRROR}=URL, or make check KIT=FILE"
        yield Row("MISSING", "mirror", told, todo)
    else:
        told = f"the compiler of Debian {release} is downloaded at the first check, 70 MB"
        yield Row("note", "compiler", told, "make kernel")


def _programs() -> Iterator[Row]:
    wanted = needed()
    missing = False
    for name, package in wanted.items():
        try:
            tools.find(name)
        except VMError:
            missing = True
            yield Row("MISSING", name, "not installed", tools.install(package))
    if not missing:
        yield Row("ok", "programs", f"all {len(wanted)} are installed")


def _qemu() -> Row:
    try:
        said = tools.run(["qemu-system-x86_64", "--version"], timeout=60)
    except VMError as error:
        return Row("MISSING", "QEMU", str(error))
    version = re.search(r"version ((\d+)\.(\d+)\S*)", said)
    if version and (int(version[2]), int(version[3])) < OLDEST_QEMU:
        oldest = ".".join(map(str, OLDEST_QEMU))
        return Row("MISSING", "QEMU", f"{version[1]}; {oldest} or newer is needed")
    return Row("ok", "QEMU", version[1] if version else said.strip())


def _static_libc() -> Iterator[Row]:
    found = (
        subprocess.run(
            ["gcc", "-print-file-name=libc.a"], check=False, capture_output=True, text=True
        )
        if shutil.which("gcc")
        else None
    )
    path = found.stdout.strip() if found else ""
    if Path(path).is_absolute():
        yield Row("ok", "static libc", str(Path(path).resolve()))
    else:
        yield Row("MISSING", "static libc", "not installed", tools.install("libc6-dev"))


def _sandbox() -> Row:
    try:
        sandbox.prove()
    except MissingTool as error:
        return Row("MISSING", "sandbox", str(error))
    except VMError as error:
        return Row("MISSING", "sandbox", str(error), _allow_namespaces())
    way = "as root" if os.geteuid() == 0 else "in a user namespace"
    return Row("ok", "sandbox", f"bubblewrap works, {way}")


def _allow_namespaces() -> str:
    """Return the command that most likely lets bubblewrap work here."""
    for name, wrong in (
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("user/max_user_namespaces", "0"),
    ):
        with contextlib.suppress(OSError):
            if (SETTINGS / name).read_text().strip() == wrong:
                right = {"0": "1", "1": "0"}[wrong] if name.startswith("kernel") else "10000"
                return f"sudo sysctl -w {name.replace('/', '.')}={right}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "start the container with the runArgs of .devcontainer/devcontainer.json"
    return ""


def _python() -> Iterator[Row]:
    """Say what pyproject.toml names: what is imported at the start is there, or nobody is asked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    missing = [name for name in project["dependencies"] if not _installed(name)]
    found = f"{platform.python_version()}, {len(project['dependencies'])} packages"
    if missing:
        names = ", ".join(missing)
        yield Row("MISSING", "Python packages", f"not here: {names}", ".venv/bin/pip install -e .")
    else:
        yield Row("ok", "Python", found)
    extras = {name: project["optional-dependencies"][name] for name in ("7z", "cluster", "similar")}
    lacking = [name for name, packages in extras.items() if not all(map(_installed, packages))]
    if lacking:
        todo = f".venv/bin/pip install -e '.[{','.join(lacking)}]'"
        yield Row(
            "note", "extras", f"{', '.join(lacking)} not installed; needed to grade a class", todo
        )


def _installed(requirement: str) -> bool:
    name = re.match(r"[\w.-]+", requirement)
    try:
        return bool(name and metadata.version(name[0]))
    except metadata.PackageNotFoundError:
        return False


def _rooms() -> Iterator[Row]:
    try:
        yield _room("cache", cache.root(), ROOM, "make room, or set XDG_CACHE_HOME")
    except VMError as error:
        yield Row("MISSING", "cache", str(error), "export XDG_CACHE_HOME=/a/folder")
    folder = Path(tempfile.gettempdir())
    if folder.name.startswith(reaper.PREFIX):  # this run's own
        folder = folder.parent
    yield _room("temporary files", folder, ROOM_TEMPORARY, "make room, or set TMPDIR")


def _room(what: str, folder: Path, needed: int, todo: str) -> Row:
    free = shutil.disk_usage(folder).free
    with contextlib.suppress(ValueError):
        folder = "~" / folder.relative_to(Path.home())
    found = f"{folder}: {_size(free)} free, {_size(needed)} needed"
    return Row("ok", what, found) if free > needed else Row("MISSING", what, found, todo)


def _size(number: int) -> str:
    return f"{number / (1 << 30):.3g} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"


# --- what makes it fast or slow ------------------------------------------------------


def _cores() -> Row:
    number = len(os.sched_getaffinity(0))
    if number == 1:
        return Row("slow", "cores", "1: exercises are checked one after the other")
    return Row("ok", "cores", f"{number}")


def _memory() -> Row:
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = {key: int(rest.split()[0]) << 10 for key, _, rest in (x.partition(":") for x in lines)}
    free = sizes["MemAvailable"]
    found = f"{_size(free)} of {_size(sizes['MemTotal'])} free, {_size(MEMORY)} needed"
    return Row("ok" if free > MEMORY else "slow", "memory", found)


def _stock_kernel() -> Row:
    """Say whether kernel.stock() would have to fetch anything."""
    with contextlib.suppress(VMError, OSError):
        if found := kernel.stock_if_there():
            return Row("ok", "stock kernel", f"Linux {found.release}")
    return Row("note", "stock kernel", "downloaded at the first check, 40 MB", "make kernel")


def _debug_kernel() -> Row:
    try:
        found = kernel.debug_if_built()
    except VMError:
        found = None  # without gcc nobody has built it; that gcc is missing stands above
    if found:
        return Row("ok", "debug kernel", f"Linux {found.release}")
    minutes = max(1, BUILD_MINUTES // len(os.sched_getaffinity(0)))
    room = f"{debug_kernel.ROOM >> 30} GiB of disk"
    told = f"not built, so leaks and races are not detected; building takes {minutes} min, {room}"
    return Row("note", "debug kernel", told, "make kernel NAME=debug")


def _template() -> Row:
    with contextlib.suppress(VMError, OSError):
        states = list((cache.root() / "template").glob("[!.]*/state"))
        if refused := snapshot.refused():
            there = f"{len(states)}, and for {len(refused)} more " if states else ""
            told = f"{there}restoring fails here, so each of these guests must boot"
            return Row("slow", "saved guests", f"{told}: {refused[0]}")
        if states:
            return Row("ok", "saved guests", f"{len(states)}; guests do not have to boot")
    told = "none; the first check on a kernel boots a guest and saves it"
    return Row("note", "saved guests", told, "make check")


def _emulation() -> Row:
    told = (
        "TCG is slower than KVM, but time in its guests is virtual: waiting takes no real time, "
        "and results do not depend on how busy this computer is"
    )
    return Row("slow", "emulation", told, "nothing")


def _kvm() -> Row:
    there = os.access("/dev/kvm", os.R_OK | os.W_OK) and Path("/dev/kvm").exists()
    told = "usable, but not needed" if there else "not usable, and not needed"
    if "hypervisor" in Path("/proc/cpuinfo").read_text().split():
        return Row(
            "note", "/dev/kvm", f"{told}; it would be nested, because this is a virtual machine"
        )
    return Row("note", "/dev/kvm", told, "knetlab check --accel kvm" if there else "")


def _last_check() -> Row:
    grade = last_run.newest()
    if grade is None:
        return Row("note", "a check takes", "unknown: no check has been run here yet", "make check")
    number = sum(exercise.reused is None for exercise in grade.exercises)
    if not number:
        return Row(
            "note",
            "a check takes",
            "unknown: the last check ran nothing, because nothing had changed",
        )
    what = f"{number} exercise{'s' if number > 1 else ''}, {grade.kernel.name} kernel"
    return Row("ok", "a check takes", f"{grade.provenance.seconds:.0f} s: {what}")


def _restore() -> Row:
    """Restore a guest as a check does, and run one command in it."""
    on = kernel.debug_if_built() or kernel.stock()
    config = grading.machine(lab.load(lab.names()[0]), on)
    frozen = snapshot.template(config)
    started = time.monotonic()
    with snapshot.guest(config, {}) as guest:
        guest.run(["/bin/true"])
        seconds = time.monotonic() - started
    way = "restored from a saved guest" if frozen else "booted"
    return Row("ok" if frozen else "slow", "a guest takes", f"{seconds:.2f} s, {way}, {on.name}")


# --- what not everybody needs --------------------------------------------------------


def _terminal(console: Console) -> Row:
    if not console.is_terminal:
        return Row("note", "terminal", "none: output has no colours and no progress")
    encoding = console.encoding.lower()
    found = f"{console.width} x {console.height}, {console.color_system or 'no colours'}"
    if encoding not in ("utf-8", "utf8"):
        return Row("note", "terminal", f"{found}, {encoding}", "export LC_ALL=C.UTF-8")
    return Row("ok", "terminal", found)


def _for_some() -> Iterator[Row]:
    purposes = {"clangd": "for an editor; then run make editor"}
    purposes |= {"sparse": "for make lint LAB=...", "perl": "also for make lint"}
    if (ROOT / "tests").is_dir():
        purposes |= _DEVELOPERS
    packages = {"chromium": "chromium chromium-driver"}
    for program, purpose in purposes.items():
        if shutil.which(program) is None:
            todo = tools.install(packages.get(program, program))
            yield Row("note", program, f"not here; {purpose}", todo)
