"""What a kernel does with the C of tests/data/kernels: compiled, and loaded into a guest.

tests/vm/test_kernels_page.py compares it with docs/reference/kernels.md. A kernel is observed
once: three makes, and one guest for all that leaves the kernel whole; two more die.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock
from support import ROOT

from checker.engine.build import sandbox
from checker.engine.compiler import INSIDE
from checker.kit import netlink
from vm import image, snapshot
from vm.errors import GuestError, VMError
from vm.guest import Guest, Result
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

SOURCES = ROOT / "tests/data/kernels"
WORDS = ("nodescription", "nosuch", "nolicense")
"""Modules that modpost has something to say of."""

ACTS = ("", "init-1", "exist", "warn", "sigpipe", "bounds", "shift", "listen", "netlink")
"""What facts.ko does and the guest survives; the first is all that is harmless."""

DEADLY = ("oops", "free-twice", "fortify")
"""What facts.ko does and the guest may not survive."""

ACCEPT = """\
/sbin/tool insmod /lab/facts.ko act=accept & p=$!
until grep -q Loading /proc/modules; do sleep 0.1; done
kill -TERM $p; wait $p; grep ^facts /proc/modules; /sbin/tool rmmod facts
"""

PREEMPT = "mount -t debugfs none /mnt && cat /mnt/sched/preempt; umount /mnt"

TRIES = 2
"""So often is a guest tried that goes before anything in it could have ended it."""


@dataclass
class Seen:
    """What was seen of one kernel.

    *facts* are the lines of facts.c by name, *log* the kernel's words and *status* the exit
    status of insmod by act, *guest* other answers of the guest. *compiled* has "error" or
    "warning" for each name in calls.c with one, and of the other files their words are kept.
    """

    name: str
    release: str
    facts: dict[str, str] = field(default_factory=dict)
    log: dict[str, str] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    guest: dict[str, str] = field(default_factory=dict)
    compiled: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def series(self) -> tuple[int, ...]:
        """Its series, as (6, 12)."""
        return tuple(map(int, self.release.split(".")[:2]))

    def since(self, *series: int) -> bool:
        """Return whether it is of this series or a later one."""
        return self.series >= series

    def refuses(self, *names: str) -> bool:
        """Return whether none of these calls compiles; fails if some do."""
        refused = {self.compiled.get(name) == "error" for name in names}
        assert len(refused) == 1, f"{self.release}: not all of {names} are alike"
        return refused.pop()


def observe(on: Kernel) -> Seen:
    """Compile and load everything on one kernel."""
    seen = Seen(on.name, on.release)
    _compile(on, seen)
    module = _build(on)
    config = Config(on, image.initramfs(on), image.root())
    files = {"facts.ko": PayloadFile(module), "unload": PayloadFile(_unload(), executable=True)}
    for _ in range(TRIES):
        with contextlib.suppress(GuestError), snapshot.guest(config, files) as guest:
            _look(guest, seen)
            break
    else:
        raise VMError(f"No guest of {on.release} lasted.")
    for act in DEADLY:
        with snapshot.guest(config, files) as guest:
            try:
                seen.status[act] = _insmod(guest, act).value
                guest.sync()
            except GuestError:
                seen.status[act] = -1
            seen.log[act] = guest.machine.console() if guest.dead else _text(guest)
    return seen


def kept(on: Kernel, folder: Path) -> Seen:
    """Return what is observed of *on*, by the first of xdist's workers that asks; *folder*: its."""
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return observe(on)
    file = folder.parent / f"seen-{on.key}.json"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            try:
                file.write_text(json.dumps(asdict(observe(on))))
            except (VMError, subprocess.CalledProcessError) as error:
                file.write_text(json.dumps({"error": str(error)}))
        found = json.loads(file.read_text())
    assert "error" not in found, found
    return Seen(**found)


# --- compiling -----------------------------------------------------------------------


def make(
    on: Kernel, names: Sequence[str], folder: Path, *options: str, strip: bool = False
) -> tuple[str, bytes]:
    """Build the modules *names* of *folder* by one make; return its words, and the first .ko."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        root = Path(scratch) / "build"
        root.mkdir()
        for name in names:
            shutil.copy(folder / f"{name}.c", root)
        (root / "Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in names))
        command = shlex.join([*on.make(INSIDE), *options])
        if strip:
            command += f" && strip --strip-debug {INSIDE}/{names[0]}.ko"
        argv = sandbox(root, on).argv(["/bin/sh", "-c", command])
        done = subprocess.run(argv, check=strip, capture_output=True, text=True)
        ko = root / f"{names[0]}.ko"
        return done.stdout + done.stderr, ko.read_bytes() if ko.exists() else b""


def _build(on: Kernel) -> bytes:
    return make(on, ["facts"], SOURCES, strip=True)[1]


def _compile(on: Kernel, seen: Seen) -> None:
    said, _ = make(on, ["calls", "headers", "fortify"], SOURCES, "-k")
    lines = (SOURCES / "calls.c").read_text().splitlines()
    for line, how in re.findall(r"calls\.c:(\d+):\d+: (error|warning): ", said):
        above = "\n".join(lines[: int(line)])
        name = re.findall(r"^/\* @ (\S+) \*/$", above, re.MULTILINE)
        assert name, f"{on.release}: line {line} of calls.c does not compile"
        if seen.compiled.get(name[-1]) != "error":
            seen.compiled[name[-1]] = how
    seen.words["headers"] = "\n".join(re.findall(r"headers\.c:\d+.* error: .*", said))
    seen.words["fortify"] = "\n".join(re.findall(r"error: call to .*__write_overflow.*", said))
    words, _ = make(on, WORDS, SOURCES / "words", "-k")
    seen.words["modpost"] = words


# --- in guests -----------------------------------------------------------------------


def _unload() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "unload"
        image.compile_static(SOURCES / "unload.c", program)
        return program.read_bytes()


def _insmod(guest: Guest, act: str) -> Result:
    return guest.run(["/sbin/tool", "insmod", "/lab/facts.ko", f"act={act}"], deadline=400)


def _shell(guest: Guest, script: str) -> str:
    return guest.run(["/bin/sh", "-c", script], deadline=60).text


def _text(guest: Guest) -> str:
    return "\n".join(record.text for record in guest.records)


def _netlink(guest: Guest) -> str:
    """Return the flags and length of an ack of success, and what a name too long is told with."""
    family = netlink.family(guest, "nlctrl")
    flags = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK
    good = family.message(3, netlink.Attribute(2, b"nlctrl\0").encode(), flags=flags, sequence=1)
    long = family.message(3, netlink.Attribute(2, b"a" * 20 + b"\0").encode(), sequence=2)
    answers = netlink.request(guest, netlink.NETLINK_GENERIC, [good, long])
    (ack, error) = [answer for answer in answers if answer.error]
    assert ack.error
    assert error.error
    capped = bool(ack.flags & netlink.NLM_F_CAPPED)
    return f"{ack.error.errno} {capped} {error.error.errno} {error.error.attribute}"


def _look(guest: Guest, seen: Seen) -> None:
    for act in ACTS:
        begin = len(guest.records)
        seen.status[act] = _insmod(guest, act).value
        guest.sync()
        seen.log[act] = "\n".join(record.text for record in guest.records[begin:])
        seen.guest[f"{act} loaded"] = _shell(guest, "grep -c ^facts /proc/modules").strip()
        if act == "netlink":
            seen.guest["unload"] = guest.run(["/lab/unload"]).text.strip()
        guest.run(["/sbin/tool", "rmmod", "facts"])
    seen.guest["netlink"] = _netlink(guest)
    seen.guest["listening"] = _shell(guest, "ss -Hltn; nc -z 127.0.0.1 7021 && echo connects")
    seen.guest["accept"] = _shell(guest, ACCEPT)
    seen.guest["preempt"] = _shell(guest, PREEMPT).strip()
    seen.guest["rmem_max"] = _shell(guest, "cat /proc/sys/net/core/rmem_max").strip()
    guest.sync()
    told = re.findall(r"^seen: (\w+) (.*)$", _text(guest), re.MULTILINE)
    for name, result in told:
        seen.facts[name] = "; ".join(filter(None, [seen.facts.get(name, ""), result.strip()]))
