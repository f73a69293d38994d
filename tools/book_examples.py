"""Run what the book shows: docs/students/examples, its modules and its sessions in a guest.

    python -m tools.book_examples [SESSION]...

A session is a text file beside the modules: lines that begin with "# " are
commands, the others what came of them. This runs the commands in a real guest
and writes what came now into the file; the pages show parts of these files, and
tests/test_book.py runs them again and compares. A session called report.txt has
no commands: its module is loaded, used and unloaded, and it holds what knetlab
makes of the kernel's words. And sparse.txt is what gcc and sparse say of all modules,
of which one is to be complained of.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from checker.kit import console
from checker.model import Names
from checker.words import kernel_log
from checker.words.symbols import Symbols
from tools import lint_labs
from tools.record_consoles import strip
from vm import image, kernel, snapshot
from vm.errors import GuestCrashed
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

EXAMPLES = Path(__file__).parents[1] / "docs/students/examples"

SESSIONS = {
    "first/session.txt": "stock",
    "order/session.txt": "stock",
    "unwind/session.txt": "stock",
    "packets/printk.txt": "stock",
    "packets/tcpdump.txt": "stock",
    "packets/ftrace.txt": "stock",
    "left/session.txt": "stock",
    "shadow/report.txt": "stock",  # ends the guest
    "locked/report.txt": "debug",
    "freed/report.txt": "debug",  # after it, the kernel no longer looks at locks
}
"""Each session and the kernel it was recorded on; those of one kernel run in this order."""

USE = "insmod /lab/{0}/{0}.ko; ping -c 2 127.0.0.1 >/dev/null; rmmod {0}"
"""What is done with the module of a report."""

SPARSE = "mixed/sparse.txt"


def modules() -> list[str]:
    """Return the names of the examples' modules."""
    return sorted(kbuild.parent.name for kbuild in EXAMPLES.glob("*/Kbuild"))


def build(on: Kernel) -> dict[str, bytes]:
    """Return name -> module, with debug information; CalledProcessError if one has a mistake."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "build"
        shutil.copytree(EXAMPLES, folder)
        sandbox = on.sandbox(writable={folder: "/build"})
        for path in (folder, *folder.rglob("*")):
            sandbox.own(path)
        subprocess.run(sandbox.argv(on.make("/build", 2)), check=True, capture_output=True)
        return {name: (folder / name / f"{name}.ko").read_bytes() for name in modules()}


def commands(session: str) -> list[str]:
    """Return the commands of a session's text."""
    return re.findall(r"^# (.*)$", session, re.MULTILINE)


def replay(guest: Guest, session: str) -> str:
    """Type the commands of a session's text in a shell at /lab; return the text it has now."""
    with console.opened(guest, quiet=True) as shell:
        return "".join(f"# {c}\n{shell.run(c, deadline=60)}" for c in commands(session))


def report(guest: Guest, name: str, ko: bytes, on: Kernel) -> str:
    """Load, use and unload a wrong module; return the finding that knetlab makes of it."""
    mark = len(guest.machine.console())
    try:
        guest.run(["/bin/sh", "-c", USE.format(name)])
        guest.sync()
    except GuestCrashed:
        pass  # an oops ends the guest; what it said is on the console
    names = Names([f"{name}/{name}.c"])
    locate = Symbols(ko, on.tools.system, names).locate
    (found,) = kernel_log.findings(guest.machine.console()[mark:], name, locate, names)
    return f"{found.location}: {found.summary}\n\n{found.report}\n"


def run(on: Kernel, sessions: Mapping[str, str]) -> dict[str, str]:
    """Run these sessions, file name -> text, one after another in a guest; return their new text.

    Raises VMError when there is no guest.
    """
    built = build(on)
    payload = {f"{name}/{name}.ko": PayloadFile(strip(ko)) for name, ko in built.items()}
    config = Config(on, image.initramfs(on), image.root())
    now = {}
    with snapshot.guest(config, payload) as guest:
        for file, text in sessions.items():
            folder = Path(file).parent.name
            if Path(file).name == "report.txt":
                now[file] = report(guest, folder, built[folder], on)
            else:
                now[file] = replay(guest, text)
    return now


def sparse() -> str:
    """Return what gcc, with W=1, and sparse say of the examples.

    Of what gcc says in many lines, those with a warning or a place in an example are left.
    """
    said = lint_labs.compile_strictly(EXAMPLES, EXAMPLES, kernel.stock())
    lines = [re.sub(r"^(/build/|\./)+", "", line) for line in said.splitlines()]
    kept = [line for line in lines if re.match(r"\w+/\w+\.c:|make failed|.*warning:", line)]
    return "".join(re.sub(r"^/\S*?/include/", "include/", line) + "\n" for line in kept)


def read(kernel_name: str) -> dict[str, str]:
    """Return the sessions that were recorded on this kernel, file name -> text."""
    return {
        file: (EXAMPLES / file).read_text() if (EXAMPLES / file).exists() else ""
        for file, on in SESSIONS.items()
        if on == kernel_name
    }


def main(names: list[str]) -> int:
    """Record the sessions called *names*, all if there are none."""
    for kernel_name, on in (("stock", kernel.stock), ("debug", kernel.debug)):
        chosen = {f: text for f, text in read(kernel_name).items() if not names or f in names}
        if chosen:
            for file, text in run(on(), chosen).items():
                (EXAMPLES / file).write_text(text)
                sys.stderr.write(f"{file}\n")
    if not names or SPARSE in names:
        (EXAMPLES / SPARSE).write_text(sparse())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
