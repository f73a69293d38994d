"""Places in a module -> file.c:line: what its debug information says, asked for in the sandbox.

The .ko comes of a student's source, so nm and addr2line read it where gcc made
it. What they cannot tell is "", never an error.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from checker.model import Names
from vm import tools
from vm.sandbox import Limits, Sandbox

WALL_SECONDS = 30
OUTPUT_LIMIT = 1 << 20
"""Bytes of the programs' output that are read."""

LIMITS = Limits(memory=1 << 30, file_size=OUTPUT_LIMIT, cpu_seconds=15)

_KO = "/module.ko"
_OWN = re.compile(r"/build/((?:[\w.+-]+/)*[\w.+-]+\.c):(\d+)")
"""A line of the student's own: modules are compiled in /build, headers are not C files."""

Place = tuple[str, int]
"""A section's name and an offset in it; or a function's name and an offset in that."""


class Symbols:
    """The debug information of one module: *ko* is the .ko as it was linked, not stripped.

    *system* has the programs that read it (vm.toolchain.Toolchain.system), None: the host.
    A file is called what *names* has for its path in the submission.
    """

    def __init__(
        self,
        ko: bytes,
        system: Path | None = None,
        names: Names = Names(),  # noqa: B008
    ) -> None:
        self._ko = ko
        self._system = system
        self._names = names
        self._functions: dict[str, list[tuple[str, int, int]]] | None = None
        self._known: dict[Place, str] = {}

    def locate(self, function: str, offset: int) -> str:
        """Return the line at *offset* in *function*, as "filter.c:41"; "" if it is not known."""
        return self.locate_all([(function, offset)])[0]

    def locate_all(self, wanted: Sequence[Place]) -> list[str]:
        """Return the line of each function and offset; one process for all."""
        found = [self._in_section(function, offset) for function, offset in wanted]
        self._resolve(place for place in found if place)
        return [self._known[place] if place else "" for place in found]

    def place(self, section: str, offset: int) -> str:
        """Return the line at *offset* in *section* (".init.text"); "" if it is not known."""
        return self.places([(section, offset)])[0]

    def places(self, wanted: Sequence[Place]) -> list[str]:
        """Return the line of each section and offset; one process for all."""
        self._resolve(wanted)
        return [self._known[place] for place in wanted]

    def locator(self, loaded: Mapping[str, int]) -> Callable[[str, int], str]:
        """Return a ``locate`` that knows addresses too: ``locate("", address)``.

        *loaded* says where the sections lay in the guest's memory, as
        /sys/module/NAME/sections does. After rmmod, and for functions marked
        __init after insmod, the kernel knows no names any more.
        """

        def locate(function: str, offset: int) -> str:
            if function:
                return self.locate(function, offset)
            below = [(base, name) for name, base in loaded.items() if base <= offset]
            if not below:
                return ""
            base, section = max(below)
            return self.place(section, offset - base)

        return locate

    def _in_section(self, function: str, offset: int) -> Place | None:
        """Return the section and the offset there; None if two functions share the name."""
        if self._functions is None:
            self._functions = _functions(self._run([["nm", "--format=sysv", _KO]]))
        fitting = {
            (section, start + offset)
            for section, start, size in self._functions.get(function, ())
            if 0 <= offset < size
        }
        return fitting.pop() if len(fitting) == 1 else None

    def _resolve(self, wanted: Iterable[Place]) -> None:
        """Fill in what is not known yet of *wanted*, by one addr2line a section."""
        sections: dict[str, list[int]] = {}
        for section, offset in set(wanted) - self._known.keys():
            self._known[section, offset] = ""
            if offset >= 0:
                sections.setdefault(section, []).append(offset)
        commands = []
        for section, offsets in sections.items():
            argv = ["addr2line", "--addresses", "--inlines", f"--exe={_KO}", f"--section={section}"]
            commands += [["echo", f"section {section}"], [*argv, *map(hex, offsets)]]
        if commands:
            found = _lines(self._run(commands))
            self._known |= {
                place: f"{self._names.shown(path)}:{line}" for place, (path, line) in found.items()
            }

    def _run(self, commands: Sequence[Sequence[str]]) -> str:
        """Run *commands* in one sandbox that sees the module; return what they print."""
        if self._system is None:
            tools.find("addr2line")
        with tempfile.TemporaryDirectory(prefix="knetlab-symbols-") as scratch:
            ko, output = Path(scratch) / "module.ko", Path(scratch) / "output"
            ko.write_bytes(self._ko)
            sandbox = Sandbox(read_only={ko: _KO}, limits=LIMITS, system=self._system)
            sandbox.own(ko)
            script = "; ".join(shlex.join(command) for command in commands)
            with output.open("wb") as out:
                try:
                    subprocess.run(
                        sandbox.argv(["/bin/sh", "-c", script]),
                        check=False,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=subprocess.DEVNULL,
                        timeout=WALL_SECONDS,
                    )
                except subprocess.TimeoutExpired:
                    return ""
            with output.open("rb") as f:
                return f.read(OUTPUT_LIMIT).decode(errors="replace")


def _functions(listing: str) -> dict[str, list[tuple[str, int, int]]]:
    """Read nm's table: a function's name -> section, start and size of each that has it."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for line in listing.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 7 and fields[3] == "FUNC":
            name, start, _, _, size, _, section = fields
            found.setdefault(name, []).append((section, _hex(start), _hex(size)))
    return found


def _hex(digits: str) -> int:
    return int(digits, 16) if re.fullmatch(r"[0-9a-f]{1,16}", digits) else 0


def _lines(output: str) -> dict[Place, tuple[str, str]]:
    """Read addr2line's answers: of the lines an address stands for, the innermost own one.

    It is a path in the submission and a number.

    A function that was inlined comes before the one it was inlined in.
    """
    found: dict[Place, tuple[str, str]] = {}
    section, offset = "", 0
    for line in output.splitlines():
        if line.startswith("section "):
            section = line.removeprefix("section ")
        elif line.startswith("0x"):
            offset = _hex(line[2:])
        elif (own := _OWN.match(line)) and (section, offset) not in found:
            found[section, offset] = posixpath.normpath(own[1]), own[2]
    return found
