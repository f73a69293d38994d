"""knetlab lint: what gcc W=1, sparse and checkpatch say of a student's own files.

The sources are compiled as `check` does it, in the sandbox, with the lab's Kbuild
and headers. What is said of the kernel's own files, and what goes with a
remark beyond one line, is left out.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from checker.engine import build, compiler, program_build
from checker.lab import ROOT
from checker.model import Lab, Submission, Target
from checker.words.remarks import Remark, parse
from vm import cache, debian, debug_kernel, toolchain, tools
from vm import kernel as kernels
from vm.errors import VMError
from vm.kernel import Kernel
from vm.sandbox import Sandbox

_SCRIPTS = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")

_KERNEL_ALONE = (
    *("ARRAY_SIZE", "BIT_MACRO", "CONSIDER_KSTRTO", "ENOSYS", "INCLUDE_LINUX", "MINMAX"),
    *("PREFER_DEFINED_ATTRIBUTE_MACRO", "PREFER_FALLTHROUGH", "PREFER_KERNEL_TYPES"),
    *("SSCANF_TO_KSTRTO", "STRCPY", "STRLCPY", "STRNCPY", "VOLATILE"),
    *("PREFER_ETHER_ADDR_COPY", "PREFER_ETHER_ADDR_EQUAL"),
    *("PREFER_ETH_BROADCAST_ADDR", "PREFER_ETH_ZERO_ADDR"),
)
"""What checkpatch says only of the kernel: it asks for what no user program has."""


def remarks(lab: Lab, submission: Submission, kernel: Kernel) -> list[Remark]:
    """Return what there is to say of *submission*, by file and line.

    Raises MissingTool when sparse or perl is not here, VMError when checkpatch cannot be
    had or the compiler fails without a word on the student's files.
    """
    if has_sparse(kernel):
        tools.find("sparse")
    said = [Remark(f.path, 0, "knetlab", f.problem) for f in submission.files if f.problem]
    sources = {f.path: f.content for f in submission.files if f.content is not None}
    whole = [m for m in lab.modules if sources.keys() >= set(m.files)]
    with tempfile.TemporaryDirectory(prefix="knetlab-lint-") as scratch:
        root = Path(scratch) / "build"
        build.lay_out(lab, whole, sources, root)
        of_programs = {f for t in lab.builds if t.kind == "program" for f in t.files}
        of_programs -= {f for module in lab.modules for f in module.files}
        said += _style(root, sorted(sources.keys() - of_programs))
        said += _style(root, sorted(sources.keys() & of_programs), _KERNEL_ALONE)
        said += _compile(root, whole, kernel)
        programs = (t for t in lab.builds if t.kind == "program")
        for program in programs:
            if sources.keys() >= set(program.files):
                said += _compile_program(lab, program, root, kernel)
    unique = {(r.file, r.line, r.text): r for r in reversed(said)}
    return sorted(unique.values())


def has_sparse(kernel: Kernel) -> bool:
    """Tell whether sparse is run: a compiler that is fetched has none beside it."""
    return kernel.tools.system is None


# --- the compiler --------------------------------------------------------------------


def _compile(root: Path, modules: Sequence[Target], kernel: Kernel) -> list[Remark]:
    """Compile twice: what is new the second time, with the same files, is sparse's."""
    if not modules:
        return []
    sandbox = build.sandbox(root, kernel)
    make = [*kernel.make(compiler.INSIDE, len(modules)), "-k", "W=1"]
    found = _run(sandbox, make, "gcc")
    if not has_sparse(kernel):
        return found
    # C=2, which checks what is compiled already. Said so it holds on 7.2, too: there make asks a
    # script whether sparse is there, and the packages of headers lack it
    return found + _run(sandbox, [*make, "KBUILD_CHECKSRC=2", "CF=-D__CHECK_ENDIAN__"], "sparse")


def _compile_program(lab: Lab, program: Target, root: Path, kernel: Kernel) -> list[Remark]:
    for header in program.headers:
        (root / header).parent.mkdir(parents=True, exist_ok=True)
        (root / header).write_bytes((lab.given / header).read_bytes())
    sandbox = kernel.sandbox(writable={root: compiler.INSIDE}, limits=compiler.LIMITS)
    for path in (root, *root.rglob("*")):
        sandbox.own(path)
    # not -fsyntax-only, which does not tell what is never used
    gcc = ["gcc", *program_build.flags(program), "-c", "-o", "/dev/null"]
    each = (shlex.join([*gcc, name]) for name in program.files if name.endswith(".c"))
    script = "; ".join([f"cd {compiler.INSIDE}", *each])
    return _run(sandbox, ["sh", "-c", script], "gcc")


def _run(sandbox: Sandbox, argv: list[str], tool: str) -> list[Remark]:
    try:
        done = subprocess.run(
            sandbox.argv(argv),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=compiler.WALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise VMError(f"The compiler did not finish within {compiler.WALL_SECONDS} s.") from error
    output = done.stdout + done.stderr
    found = parse(output.replace(f"{compiler.INSIDE}/", ""), tool)
    if done.returncode and not found:
        tail = "\n".join(output.splitlines()[-8:])
        raise VMError(f"The compiler failed, but not because of your files.\n{tail}")
    return found


# --- checkpatch ----------------------------------------------------------------------


def checkpatch() -> Path:
    """Return checkpatch.pl: that of the debug kernel if it is built, else fetched once.

    Its rules are those of the kernel that is graded on. Raises VMError when the package
    cannot be had.
    """
    if debug := kernels.debug_if_built():
        (tree,) = debug.build_mounts
        if (script := tree / "scripts/checkpatch.pl").is_file():
            return script

    release = debian.default_release()

    def make(folder: Path) -> None:
        packages = toolchain.of(release).packages
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            packages.unpack([debug_kernel.source_package(packages)], root)
            (source,) = root.glob("usr/src/linux-source-*.tar.*")
            with tarfile.open(source) as archive:
                wanted = {f"{source.name.partition('.tar')[0]}/scripts/{n}": n for n in _SCRIPTS}
                for member in archive:
                    if member.name in wanted:
                        content = archive.extractfile(member)
                        assert content is not None
                        (folder / wanted.pop(member.name)).write_bytes(content.read())
                    if not wanted:
                        break

    doing = f"downloading the kernel's source of Debian {release} for checkpatch, 140 MB (once)"
    return cache.entry("checkpatch", cache.digest(release), make, doing) / "checkpatch.pl"


def style(files: Iterable[Path | str], folder: Path = ROOT, ignore: Iterable[str] = ()) -> str:
    """Return what checkpatch --strict says of *files*, a line each; empty if nothing.

    They may be relative to *folder*, which checkpatch is run in. What it calls one of
    *ignore* is left out.
    """
    argv = [tools.find("perl"), str(checkpatch()), "--strict", "--no-tree", "--quiet", "--terse"]
    # it gives each name to a shell without quotes: the folder's own may have blanks in it
    paths = [folder / file for file in files]
    names = [p.relative_to(folder) if p.is_relative_to(folder) else p for p in paths]
    # kmalloc_obj() is not there before 7.0; checkpatch of 6.12 and before takes a type it has not
    argv += ["--ignore", ",".join(["ALLOC_WITH_SIZEOF", *ignore])]
    argv += ["--no-summary", "-f", *map(str, names)]
    done = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def _style(root: Path, names: Sequence[str], ignore: Iterable[str] = ()) -> list[Remark]:
    for name in names:  # of modules that are not whole, too
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    found = []
    for line in style(names, root, ignore).splitlines() if names else ():
        match = re.match(r"(?P<file>[^:]+):(?P<line>\d+): \w+: (?P<text>.*)", line)
        if match:
            found.append(Remark(match["file"], int(match["line"]), "checkpatch", match["text"]))
        else:
            raise VMError(f"checkpatch does not work on this host: {line}")
    return found
