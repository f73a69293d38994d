"""knetlab doctor: what this host has, what it lacks, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vm import cache, kernel, sandbox, tools
from vm.errors import VMError

ROOM = 1 << 30
"""Bytes the cache and a run need."""


def report(console: Console) -> bool:
    """Print one table of what is there; tell whether nothing that is needed is missing."""
    rows = [*(_tool(name) for name in tools.PACKAGES), _static_libc(), _sandbox(), _room()]
    rows += [_debug_kernel(), _kvm()]
    table = Table("", "what", "found", box=None, pad_edge=False)
    for good, what, found in rows:
        table.add_row({True: "ok", False: "MISSING", None: "note"}[good], what, found)
    console.print(table)
    return all(good is not False for good, _, _ in rows)


Row = tuple[bool | None, str, str]


def _tool(name: str) -> Row:
    try:
        return True, name, tools.find(name)
    except VMError:
        return False, name, f"run: apt install {tools.PACKAGES[name]}"


def _static_libc() -> Row:
    found = (
        subprocess.run(
            ["gcc", "-print-file-name=libc.a"], check=False, capture_output=True, text=True
        )
        if shutil.which("gcc")
        else None
    )
    path = found.stdout.strip() if found else ""
    if Path(path).is_absolute():
        return True, "static C library", path
    return False, "static C library", "run: apt install libc6-dev"


def _sandbox() -> Row:
    try:
        sandbox.prove()
    except VMError as error:
        return False, "sandbox", str(error)
    return True, "sandbox", "bubblewrap works"


def _room() -> Row:
    try:
        folder = cache.root()
    except VMError as error:
        return False, "room for the cache", str(error)
    free = shutil.disk_usage(folder).free
    return free > ROOM, "room for the cache", f"{folder}: {free >> 20} MiB free, 1024 needed"


def _debug_kernel() -> Row:
    try:
        found = kernel.debug_if_built()
    except VMError:
        found = None  # without gcc nobody has built it; that gcc is missing stands above
    if found:
        return True, "debug kernel", f"Linux {found.release}"
    return None, "debug kernel", "not built; make kernel NAME=debug builds it, in some minutes"


def _kvm() -> Row:
    there = os.access("/dev/kvm", os.R_OK | os.W_OK) and Path("/dev/kvm").exists()
    word = "usable, and not needed" if there else "not usable, and not needed"
    return None, "/dev/kvm", f"{word}: guests run under TCG with virtual time"
