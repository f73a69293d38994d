"""knetlab editor: compile_commands.json, by which clangd finds the kernel's headers.

The commands are those that Kbuild runs: the lab's own files are compiled in the
sandbox, and the commands read from the .cmd files that Kbuild leaves behind. Paths
of the sandbox become those of this host. Of the options the ones stay that change
how C is read; clang does not know the others of gcc's.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from checker.engine import build, compiler, program_build
from checker.model import Lab
from vm.errors import VMError
from vm.kernel import Kernel

FILE = "compile_commands.json"

_WITH_A_PATH = ("-I", "-include", "-isystem")
_KEPT = (
    *(*_WITH_A_PATH, "-D", "-U", "-std=", "-nostdinc", "-W", "-m64"),
    *("-ffreestanding", "-fshort-wchar", "-funsigned-char", "-fms-extensions", "-fno-builtin"),
    "-fcf-protection",
)
_DROPPED = ("-Wp,", "-Wa,", "-Wl,")
_FOR_CLANG = ("-Wno-unknown-warning-option",)

Command = dict[str, str | list[str]]
"""One entry: directory, file, arguments, as clang's JSON Compilation Database has them."""


def compile_commands(lab: Lab, kernel: Kernel, folder: Path) -> list[Command]:
    """Return an entry for each C file of *lab* that students have below *folder*.

    Raises VMError when not even the lab's own files compile against *kernel*.
    """
    places = {
        compiler.INSIDE: folder,
        **{at: host for host, at in kernel.build_mounts.items()},
    }
    directory = _on_host(kernel.build, places)
    commands: list[Command] = []
    for source, command in _kbuild_commands(lab, kernel).items():
        arguments = [_on_host(word, places) for word in for_clang(shlex.split(command))]
        file = str(folder / source)
        commands.append(
            {
                "directory": directory,
                "file": file,
                "arguments": ["gcc", *arguments, *_FOR_CLANG, "-c", file],
            }
        )
    for target in (t for t in lab.builds if t.kind == "program"):
        for file in (str(folder / name) for name in target.files if name.endswith(".c")):
            argv = ["gcc", *program_build.flags(target), "-c", file]
            commands.append({"directory": str(folder), "file": file, "arguments": argv})
    for program in lab.programs:
        if lab.program_source(program).is_relative_to(lab.given):
            file = str(folder / lab.program_source(program).relative_to(lab.given))
            flags = ["-std=gnu11", "-Wall"]  # as vm.image.compile_static has them
            commands.append(
                {"directory": str(folder), "file": file, "arguments": ["gcc", *flags, "-c", file]}
            )
    return commands


def write(lab: Lab, kernel: Kernel, folder: Path) -> Path:
    """Write the file into *folder*, which is laid out as a submission; return its path."""
    commands = compile_commands(lab, kernel, folder.resolve())
    target = folder / FILE
    scratch = target.with_name(f".{FILE}.new")
    scratch.write_text(json.dumps(commands, indent=1) + "\n", encoding="utf-8")
    scratch.replace(target)
    return target


def _kbuild_commands(lab: Lab, kernel: Kernel) -> dict[str, str]:
    """Return source, relative to the submission -> the command that Kbuild compiles it with."""
    if not lab.modules:
        return {}
    names = [name for module in lab.modules for name in module.files if name.endswith(".c")]
    sources = {name: (lab.given / name).read_bytes() for name in names}
    with tempfile.TemporaryDirectory(prefix="knetlab-editor-") as scratch:
        root = Path(scratch) / "build"
        build.lay_out(lab, lab.modules, sources, root)
        sandbox = build.sandbox(root, kernel)
        argv = sandbox.argv(kernel.make(compiler.INSIDE, len(lab.modules)))
        try:
            done = subprocess.run(
                argv, check=False, capture_output=True, text=True, timeout=compiler.WALL_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise VMError(
                f"The compiler did not finish within {compiler.WALL_SECONDS} s."
            ) from error
        if done.returncode:
            raise VMError(f"The compiler does not work on this host.\n{done.stdout}{done.stderr}")
        found = {}
        for name in sources:
            path = root / name
            text = path.with_name(f".{path.stem}.o.cmd").read_text(encoding="utf-8")
            # savedcmd_ since Linux 6.3; what comes after the compiler is objtool
            match = re.match(r"(?:saved)?cmd_\S+ := (.*?)(?: ; .*)?$", text, re.MULTILINE)
            if match is None:
                raise VMError(f"Cannot read how Kbuild compiled {name}: {text[:80]!r}")
            found[name] = match[1]
    return found


def for_clang(command: list[str]) -> list[str]:
    """Return the options of a gcc *command* that clang needs and knows."""
    kept = []
    words = iter(command[1:])
    for word in words:
        if word in ("-include", "-isystem", "-I", "-D", "-U"):
            kept += [word, next(words)]
        elif word.startswith(_KEPT) and not word.startswith(_DROPPED):
            kept.append(word)
    return kept


def _on_host(word: str, places: Mapping[str, Path]) -> str:
    """Return a path, or an option with one, as it is on the host."""
    for inside, host in sorted(places.items(), reverse=True):  # the longest of a kind first
        match = re.fullmatch(rf"((?:-I|-isystem)?){re.escape(inside)}(/.*)?", word)
        if match:
            return f"{match[1]}{host}{match[2] or ''}"
    return word
