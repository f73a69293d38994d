"""Sources -> .ko, in a sandbox, with the lab's own Kbuild and headers.

The modules are built in a scratch folder that holds their allow-listed
sources, the lab's Kbuild files and headers, and nothing else. The compiler sees
a read-only system and the kernel's build tree; no network, no home, no solution.
One make builds all of them; where that fails, each is built alone.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from checker.engine import module_cache, pool
from checker.model import Build, Lab, ModuleBuild, Submission, Target
from checker.words import advice, evasion
from checker.words.remarks import parse, shorten
from vm import kbuild
from vm.errors import MissingTool, NoSandbox, NoSpace, VMError
from vm.kernel import Kernel
from vm.sandbox import Limits, Sandbox

WALL_SECONDS = 120
OUTPUT_LIMIT = 64 << 10
"""Bytes of the compiler's output that are kept."""

MAX_MODULE = 4 << 20
"""Bytes of a module without its debug information: a solution has 10 thousand, and what
a guest is sent is at most vm.guest.MAX_FRAME."""

ROOM = 8 << 20
"""Bytes of disk below which a failed compile is nobody's fault but the disk's."""

LIMITS = Limits(memory=2 << 30, file_size=64 << 20, cpu_seconds=60, processes=2048)

INSIDE = "/build"
"""Where the modules' folder lies in the sandbox."""

_STARTED = "knetlab: the sandbox has started"
"""What the command prints before the compiler; without it the failure is the sandbox's."""


_SHORTER = "Take out what repeats itself at compile time: a macro, an #include, a huge array."


_NEVER_CLOSED = re.compile(r"unterminated argument list invoking macro .(?P<name>\w+)")
"""The error that gcc tells of the end of the file, wherever its bracket was opened."""


def warnings(build: Build) -> tuple[str, ...]:
    """Return what the compiler warned of in the student's files, a line each: FILE:LINE: TEXT."""
    said = [remark for made in build.modules for remark in parse(made.warnings, "gcc")]
    return tuple(f"{remark.file}:{remark.line}: {remark.text}" for remark in sorted(set(said)))


def next_step(output: str, folders: Iterable[str]) -> str:
    """Return what to do first about the compiler messages in *output*.

    *folders* have the student's files; an error in a header of the kernel's comes of a line there.
    """
    own = "|".join(f"{re.escape(folder)}/[^\\s:]+:\\d+" for folder in folders)
    error = rf"^({own}):(?:\d+:)? (?:fatal )?error: "
    place = None
    if never := _NEVER_CLOSED.search(output):  # which is told of the end of the file
        place = re.search(rf"{error}.{never['name']}. undeclared", output, re.MULTILINE)
    place = place or re.search(error, output, re.MULTILINE)
    place = place or re.search(rf"inlined from \S+ at ({own})", output)
    place = place or re.search(rf"^({own}):\d+: note: in expansion of macro", output, re.MULTILINE)
    begin = f"Mend {place[1]} first" if place else "Mend the first error first"
    return f"{begin}, then check again: errors further down may only follow from it."


def build(
    lab: Lab,
    submission: Submission,
    kernel: Kernel,
    *,
    jobs: int = 2,
    only: frozenset[str] = frozenset(),
    reuse: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Build:
    """Build the modules of *submission* against *kernel*; never raises for a student's code.

    *only* names the modules to build; empty: all. With *reuse* one that was built of the same
    sources before is taken from the cache. *meanwhile* is called while make runs.
    """
    wanted = [module for module in lab.modules if not only or module.name in only]
    keys = {
        module.name: module_cache.key(lab, module, _sources([module], submission), kernel)
        for module in wanted
        if reuse and not any(_problem(module, submission))
    }
    found = {name: made for name, key in keys.items() if (made := module_cache.find(name, key))}
    if new := [module for module in wanted if module.name not in found]:
        for made in _build(lab, new, submission, kernel, jobs=jobs, meanwhile=meanwhile):
            found[made.name] = made
            if made.name in keys:
                module_cache.keep(made, keys[made.name])
    return Build(targets=tuple(found[module.name] for module in wanted))


def _build(
    lab: Lab,
    wanted: Sequence[Target],
    submission: Submission,
    kernel: Kernel,
    *,
    jobs: int,
    meanwhile: Callable[[], None],
) -> list[ModuleBuild]:
    """Build all by one make; where that fails, each by one of its own, *jobs* at a time."""
    with contextlib.suppress(OSError, VMError):  # what is wrong shows again when built alone
        if not any(any(_problem(module, submission)) for module in wanted):
            together = _compile(lab, wanted, _sources(wanted, submission), kernel, meanwhile)
            if all(made.ko for made in together):
                return together

    def alone(module: Target) -> ModuleBuild:
        return build_module(lab, module, submission, kernel)

    if jobs == 1:  # a Dask worker's process may have no children of multiprocessing's
        return list(map(alone, wanted))
    # processes, not threads: whoever stops the run need not wait for the compiler
    done: dict[str, ModuleBuild] = {}
    with contextlib.closing(pool.each(alone, wanted, jobs, method="fork")) as team:
        for module, made in team:
            if isinstance(made, Exception):
                raise made
            done[module.name] = made
    return [done[module.name] for module in wanted]


def _sources(modules: Iterable[Target], submission: Submission) -> dict[str, bytes]:
    wanted = {name for module in modules for name in module.files}
    return {f.path: f.content or b"" for f in submission.files if f.path in wanted}


def _problem(module: Target, submission: Submission) -> tuple[str, str]:
    """Return why the module is not compiled at all, and what to do; ("", "") when it is."""
    files = [f for f in submission.files if f.path in module.files]
    if problem := " ".join(f.problem for f in files if f.problem):
        return problem, (
            "Put that file, C source, in the place that it has in the lab's skeleton; `make reset` "
            "writes one that is missing as it was handed out."
        )
    for f in files:
        if found := evasion.find(f.content or b""):
            line, word = found
            return (
                f"{f.path}:{line} has {word}, which keeps the kernel from watching your code.",
                f"Take {word} out of {f.path}: what the kernel then says of your code is a fault "
                "in it, and the checks tell where.",
            )
    return "", ""


def build_module(lab: Lab, module: Target, submission: Submission, kernel: Kernel) -> ModuleBuild:
    """Build one module; what went wrong stands in the record."""
    problem, hint = _problem(module, submission)
    if problem:
        return ModuleBuild(name=module.name, ko=None, message=problem, hint=hint)
    sources = _sources([module], submission)
    try:
        (made,) = _compile(lab, [module], sources, kernel)
        if made.ko is None and not _speaks_of(made.output, module):
            # not a word on the student's files: does anything compile here?
            given = {name: (lab.given / name).read_bytes() for name in sources}
            if _compile(lab, [module], given, kernel)[0].ko is None:
                raise VMError(f"Nothing compiles on this host. {made.message}\n{made.output}")
    except (MissingTool, NoSpace):
        raise
    except (OSError, VMError) as error:
        message = str(error).rstrip()
        return ModuleBuild(name=module.name, ko=None, message=message, grader_error=True)
    return made


def _compile(
    lab: Lab,
    modules: Sequence[Target],
    sources: dict[str, bytes],
    kernel: Kernel,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[ModuleBuild]:
    """Compile *sources* with the lab's Kbuild files and headers, in a scratch folder."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        root = Path(scratch) / "build"
        lay_out(lab, modules, sources, root)
        return _make(root, lab, modules, kernel, meanwhile)


def lay_out(lab: Lab, modules: Sequence[Target], sources: dict[str, bytes], root: Path) -> None:
    """Write *sources* and the lab's own Kbuild files and headers below *root*, for one make."""
    own = {name for m in modules for name in (*m.headers, f"{m.folder}/Kbuild")}
    files = sources | {name: (lab.given / name).read_bytes() for name in own}
    folders = "".join(f"obj-m += {module.folder}/\n" for module in modules)
    for name, content in {"Kbuild": folders.encode(), **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sandbox(root: Path, kernel: Kernel) -> Sandbox:
    """Return where make builds what lies below *root*, which it sees as INSIDE and may write to.

    Raises VMError when nothing compiles on this host.
    """
    box = kernel.sandbox(
        read_only={kbuild.answers(kernel): kbuild.INSIDE},
        writable={root: INSIDE},
        env={"MAKEFILES": kbuild.INSIDE},
        limits=LIMITS,
    )
    for path in (root, *root.rglob("*")):
        box.own(path)
    return box


def _make(
    root: Path, lab: Lab, modules: Sequence[Target], kernel: Kernel, meanwhile: Callable[[], None]
) -> list[ModuleBuild]:
    box = sandbox(root, kernel)
    commands = [f"echo {_STARTED}", shlex.join(kernel.make(INSIDE, len(modules)))]
    # a guest loads the module without its debug information, which is 30 times the rest
    commands += [
        f"strip --strip-debug -o {INSIDE}/{m.name}.stripped {INSIDE}/{m.folder}/{m.name}.ko"
        for m in modules
    ]
    log = root.parent / "output"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            box.argv(["/bin/sh", "-c", " && ".join(commands)]),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as done,
    ):
        try:
            meanwhile()
            done.wait(WALL_SECONDS)
            late = False
        except subprocess.TimeoutExpired:
            late = True
        finally:
            done.kill()  # whatever ended the wait
    begun, output = _tidy(log)
    if not begun:
        raise NoSandbox(f"The sandbox did not start: {output}")
    if late:
        message = (
            f"The compiler was stopped after {WALL_SECONDS} s: what in the source keeps it so long?"
        )
    elif done.returncode and shutil.disk_usage(root).free < ROOM:
        raise NoSpace(f"No space is left in {tempfile.gettempdir()} to compile in; make room.")
    else:
        message = (
            advice.advise(lab, output)
            or "The module does not compile; the compiler's words are below."
        )
    made = []
    for module in modules:
        files = [root / f"{module.name}.stripped", root / module.folder / f"{module.name}.ko"]
        if late or done.returncode or not all(f.is_file() and not f.is_symlink() for f in files):
            hint = _SHORTER if late else next_step(output, [module.folder])
            made.append(
                ModuleBuild(name=module.name, ko=None, message=message, output=output, hint=hint)
            )
        elif (size := files[0].stat().st_size) > MAX_MODULE:
            large = f"The module has {size >> 20} MiB, of {MAX_MODULE >> 20}: why is it so large?"
            made.append(
                ModuleBuild(name=module.name, ko=None, message=large, output=output, hint=_SHORTER)
            )
        else:
            ko, debug = (f.read_bytes() for f in files)
            said = output if _speaks_of(output, module) else ""
            made.append(ModuleBuild(name=module.name, ko=ko, debug=debug, warnings=said))
    return made


def _speaks_of(output: str, module: Target) -> bool:
    """Tell whether the compiler's *output* has a word on the module's files."""
    return bool(re.search(rf"(?<![\w./+-]){re.escape(module.folder)}/", output))


def _tidy(log: Path) -> tuple[bool, str]:
    """Return whether the sandbox started, and the compiler's words.

    They have the student's own paths, and the kernel's as in its own tree. Left out is what
    a student cannot mend: make's chatter, objtool's, which looks at what gcc made, and the
    description that some kernels' modpost misses and no module needs.
    """
    with log.open("rb") as f:
        text = f.read(OUTPUT_LIMIT).decode(errors="replace")
    text = re.sub(r"/kernel/(usr/src/[^/\s]+|build)/", "./", text)
    lines = text.replace(f"{INSIDE}/", "").splitlines()
    chatter = re.compile(
        r"make(\[\d+\])?: |Skipping BTF generation|warning: the compiler differs|"
        r"\.o: warning: objtool: |WARNING: modpost: .*missing MODULE_DESCRIPTION\(\)"
    )
    chatter_tail = re.compile(r"^  (The kernel was built by|You are using):")
    begun = lines[:1] == [_STARTED]
    said = (x for x in lines[begun:] if not chatter.search(x) and not chatter_tail.match(x))
    return begun, shorten("\n".join(said))
