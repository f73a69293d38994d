"""Record what a kernel says of each mistake in tests/data/console/demo, for the tests.

    python -m tools.record_consoles [--release 12|13|sid] [NAME]...

Each recording is the console of a real guest from insmod on, in
tests/data/console/SERIES/NAME.txt, where SERIES is the kernel's, as 6.1; places.json
beside it says which line of demo.c each of its addresses is. Run it again after a change
of demo.c (all of it, on all releases: the lines move), or on another kernel to see what
that one says. Those of a kernel that is not there are left as they are, and so are those
of which the kernel says nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from checker.model import Names
from checker.words import kernel_log
from checker.words.symbols import Symbols
from vm import image, kernel, machine, snapshot
from vm.errors import GuestError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

CONSOLES = Path(__file__).parents[1] / "tests/data/console"
DEMO = CONSOLES / "demo"
LINES = 260
"""Lines of a console that are kept."""

LOAD = "/sbin/tool insmod /lab/demo.ko fault={fault}"
UNLOAD = "/sbin/tool rmmod demo"
SECTIONS = "cd /sys/module/demo/sections; grep . .text .init.text .exit.text"


@dataclass(frozen=True)
class Case:
    """One recording: on which kernel, which fault, and what is run in the guest (a script).

    *deadline* is in guest seconds. A guest whose clock stands still is given up
    after 20 s and 6 s more for each of them. *without* is a word of the kernel's
    command line that is left away. *since* and *until* are the first and the last series
    that say anything.
    """

    name: str
    kernel: str = "debug"
    fault: str = ""
    script: str = LOAD
    source: str = "demo.c"
    deadline: float = 10
    without: str = ""
    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] = (99, 0)

    def said_by(self, series: str) -> bool:
        """Tell whether kernels of *series*, as 6.12, say anything."""
        major, minor = map(int, series.split("."))
        return self.since <= (major, minor) <= self.until


def _stock(name: str, fault: str = "", script: str = LOAD, deadline: float = 10) -> Case:
    return Case(name, "stock", fault, script, deadline=deadline)


_LEAVE_REFERENCE = (
    f"ip link add demo0 type veth peer name demo1; {LOAD}; ip link del demo0 & sleep 25"
)
_LEAVE_TIMER = f"{LOAD}; {{sections}}; {UNLOAD}; sleep 2"
_MEMORY_LEAK = (
    f"{LOAD}; {{sections}}; {UNLOAD}; cd /sys/kernel/debug; sleep 6; echo scan > kmemleak; "
    "sleep 6; echo scan > kmemleak; cat kmemleak"
)
# not every allocation that fails is told of, and which is which differs between releases
_FAIL = (
    "echo N > /sys/kernel/debug/failslab/ignore-gfp-wait; "
    f"for n in 3 4 5 6; do (echo $n > /proc/self/fail-nth; {LOAD}); done"
)

CASES = (
    # by the distribution's kernel
    *(_stock(name) for name in ("null-dereference", "null-call", "wild-pointer", "bad-address")),
    *(_stock(name) for name in ("user-pointer", "read-only", "list-poison", "stack-overflow")),
    *(_stock(name) for name in ("divide", "bug", "init", "panic", "warning", "warning-text")),
    _stock("exit", script=f"{LOAD}; {UNLOAD}"),
    *(_stock(name) for name in ("refcount-leak", "refcount-underflow", "refcount-on-zero")),
    *(_stock(name) for name in ("list-add", "skb-over", "skb-under", "fortify")),
    *(_stock(name) for name in ("field-write", "copy-overflow", "usercopy", "stack-smash")),
    _stock("list-del-stock", "list-del"),
    _stock("scheduling-while-atomic"),
    _stock("lock-kept"),
    _stock("soft-lockup", "spin", deadline=60),
    _stock("stall", script=f"{LOAD} & sleep 50", deadline=60),
    _stock("hang-nmi", "hang", deadline=1),
    _stock("hung-task-stock", "hung-task", f"{LOAD} & sleep 300", 310),
    Case("hung-mutex", "stock", script=f"{LOAD} & sleep 300", source="owner.c", deadline=310),
    # from 6.18 on freed objects wait for each CPU, where nobody looks whether one comes twice
    Case("double-free-stock", "stock", source="twice.c", until=(6, 17)),
    Case("ubsan-array-stock", "stock", "ubsan-array", since=(7, 0)),
    Case("ubsan-shift-stock", "stock", "ubsan-shift", since=(7, 0)),
    _stock("runs-after-unload", "leave-timer", _LEAVE_TIMER),
    _stock("objects-left", "leave-objects", f"{LOAD}; {UNLOAD}"),
    _stock("reference-left", "leave-reference", _LEAVE_REFERENCE, 40),
    Case("unlicensed", "stock", source="unlicensed.c"),
    # by the debug kernel
    *(Case(name) for name in ("use-after-free", "double-free", "invalid-free")),
    *(Case(name) for name in ("slab-out-of-bounds", "string-out-of-bounds")),
    *(Case(name) for name in ("global-out-of-bounds", "stack-out-of-bounds")),
    Case("alloca-out-of-bounds", source="alloca.c"),
    *(Case(name) for name in ("vmalloc-out-of-bounds", "page-use-after-free")),
    Case("kasan-null", fault="null-dereference"),
    Case("kasan-user", fault="user-pointer"),
    Case("kasan-wild", fault="wild-pointer"),
    *(Case(name) for name in ("ubsan-array", "ubsan-shift", "ubsan-bool", "list-del")),
    *(Case(name) for name in ("atomic-sleep", "atomic-sleep-irqs-off", "atomic-sleep-rcu")),
    Case("atomic-sleep-timer", script=f"{LOAD}; sleep 1"),
    Case("scheduling-while-atomic-debug", fault="scheduling-while-atomic"),
    *(Case(name) for name in ("lockdep-inversion", "lockdep-uninitialised", "lockdep-unlock")),
    *(Case(name) for name in ("lockdep-held", "lockdep-freed", "rcu")),
    *(
        Case(name, script=f"{LOAD}; sleep 1")
        for name in ("lockdep-softirq", "lockdep-unsafe-order")
    ),
    Case("lockdep-recursion", script=f"{LOAD} & sleep 1"),
    Case("soft-lockup-debug", fault="spin", deadline=60),
    Case("hang-nmi-debug", fault="hang", deadline=1),
    Case("hung-task", script=f"{LOAD} & sleep 70", deadline=80),
    Case("debug-objects"),
    Case("debug-objects-unload", fault="leave-timer", script=_LEAVE_TIMER),
    # kmemleak of 7.2 was seen to tell of none of these
    Case("memory-leak", script=_MEMORY_LEAK, deadline=200, without="kmemleak=off ", until=(6, 17)),
    Case("fault-injection", script=_FAIL),
)


def build(source: Path, on: Kernel) -> bytes:
    """Return the module demo made of the C file *source*, with debug information."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "build"
        (folder / "demo").mkdir(parents=True)
        shutil.copy(source, folder / "demo/demo.c")
        (folder / "demo/Kbuild").write_text("obj-m := demo.o\nUBSAN_SANITIZE := y\n")
        sandbox = on.sandbox(writable={folder: "/build"})
        for path in (folder, *folder.rglob("*")):
            sandbox.own(path)
        argv = ["make", "-s", "-C", on.build, "M=/build/demo", "modules", "KCFLAGS=-g1"]
        argv.append("CONFIG_DEBUG_INFO_BTF_MODULES=")
        done = subprocess.run(sandbox.argv(argv), check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{source} does not compile:\n{done.stdout}{done.stderr}")
        return (folder / "demo/demo.ko").read_bytes()


def strip(ko: bytes) -> bytes:
    """Return the module *ko* without its debug information, as guests load it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "demo.ko"
        path.write_bytes(ko)
        subprocess.run(["strip", "--strip-debug", path], check=True)
        return path.read_bytes()


def record(case: Case, config: Config, ko: bytes) -> tuple[str, str]:
    """Return what the guest's console and the script said."""
    payload = {"demo.ko": PayloadFile(strip(ko))}
    with snapshot.guest(config, payload) as guest:
        mark = len(guest.machine.console())
        said = ""
        script = case.script.replace("{sections}", SECTIONS).replace(
            "{fault}", case.fault or case.name
        )
        if case.source != "demo.c":
            script = script.replace(" fault=" + (case.fault or case.name), "")
        try:
            said = _run(guest, script, case.deadline)
        except GuestError as error:
            sys.stderr.write(f"  {error}\n")
        return guest.machine.console()[mark:], said


def _run(guest: Guest, script: str, deadline: float) -> str:
    # a subshell, or the shell itself would be replaced by its last command
    result = guest.run(["/bin/sh", "-c", f"({script}) 2>&1"], deadline=deadline)
    guest.sync()
    return result.text


def places(text: str, symbols: Symbols, sections: str) -> dict[str, str]:
    """Return the line of every place of demo that *text* names, as it stands and one before it."""
    named = re.findall(r"\b([\w.]+)\+(0x[0-9a-f]+)/0x[0-9a-f]+ \[demo\]", text)
    loaded = {name: int(base, 16) for name, base in re.findall(r"^(\S+):(0x\w+)$", sections, re.M)}
    locate = symbols.locator(loaded)
    wanted = {(name, int(offset, 16) - back) for name, offset in named for back in (0, 1)}
    if loaded:
        raw = re.findall(r"(?<![+/\w])0xffffffff[a-f][0-9a-f]{7}\b", text)
        wanted |= {("", int(address, 16) - back) for address in raw for back in (0, 1)}
    found = {f"{name}+{offset:#x}": locate(name, offset) for name, offset in sorted(wanted)}
    return {name: line for name, line in found.items() if line}


def series(on: Kernel) -> str:
    """Return the series of a kernel, as 6.1: the folder of its recordings."""
    return ".".join(on.release.split(".")[:2])


def main(argv: list[str]) -> int:
    """Record the cases that *argv* names, all if there are none."""
    parser = argparse.ArgumentParser(description="Record what kernels say of mistakes.")
    parser.add_argument("--release", default="", help="the Debian release whose kernels to take")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which cases (all)")
    given = parser.parse_args(argv)
    if unknown := set(given.names) - {case.name for case in CASES}:
        parser.error(f"there is no case {', '.join(sorted(unknown))}: see CASES in {__file__}")
    kernels: Mapping[str, Kernel | None] = {
        "stock": kernel.stock(given.release),
        "debug": kernel.debug_if_built(given.release),
    }
    if kernels["debug"] is None:
        sys.stderr.write("There is no debug kernel; `knetlab kernel debug` builds it.\n")
    return record_all([k for k in kernels.values() if k], given.names)


def record_all(kernels: Iterable[Kernel], names: Sequence[str] = ()) -> int:
    """Record the cases called *names*, or all, on those of *kernels* they are for."""
    quiet = 0
    for on in kernels:
        folder = CONSOLES / series(on)
        folder.mkdir(exist_ok=True)
        store = folder / "places.json"
        table: dict[str, dict[str, str]] = json.loads(store.read_text()) if store.exists() else {}
        built: dict[str, bytes] = {}
        for case in CASES:
            if case.kernel != on.name or (names and case.name not in names):
                continue
            if not case.said_by(series(on)):
                continue
            sys.stderr.write(f"{case.name}\n")
            if case.source not in built:
                built[case.source] = build(DEMO / case.source, on)
            found = recorded(case, on, built[case.source], folder)
            if found is None:
                quiet += 1
            else:
                table[case.name] = found
        store.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n")
    return 1 if quiet else 0


def recorded(case: Case, on: Kernel, ko: bytes, folder: Path) -> dict[str, str] | None:
    """Record *case* into *folder* and return its places; None if the kernel said nothing."""
    config = Config(on, image.initramfs(on), image.root())
    with patch.object(machine, "COMMAND_LINE", machine.COMMAND_LINE.replace(case.without, "")):
        console, said = record(case, config, ko)
    heard = f"{console}\n{said}"
    if not kernel_log.findings(heard, "demo") and "FAULT_INJECTION" not in heard:
        sys.stderr.write(f"{case.name}: the kernel reported nothing; nothing is recorded\n")
        return None
    text = "\n".join(console.splitlines()[:LINES]) + "\n"
    (folder / f"{case.name}.txt").write_text(text)
    if "unreferenced object" in said:
        listed = said[said.index("unreferenced object") :]
        (folder / f"{case.name}-list.txt").write_text(listed)
        text += listed
    return places(text, Symbols(ko, on.tools.system, Names(["demo/demo.c"])), said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
