"""Sources -> .ko and programs, in a sandbox, with the lab's own Kbuild and headers.

The modules are built in a scratch folder that holds their allow-listed
sources, the lab's Kbuild files and headers, and nothing else. The compiler sees
a read-only system and the kernel's build tree; no network, no home, no solution.
One make builds all of them; where that fails, each is built alone. Programs are
built by program_build.py.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from checker.engine import build_cache, compiler, pool, program_build
from checker.engine.compiler import INSIDE, LIMITS, SHORTER, nothing
from checker.model import Build, Lab, ModuleBuild, ProgramBuild, Submission, Target
from checker.words.remarks import parse
from vm import kbuild
from vm.errors import MissingTool, NoSpace, VMError
from vm.kernel import Kernel
from vm.sandbox import Sandbox

MAX_MODULE = 4 << 20
"""Bytes of a module without its debug information: a solution has 10 thousand, and what
a guest is sent is at most vm.guest.MAX_FRAME."""


_WORDS = "The module does not compile; the compiler's words are below."


def warnings(build: Build, names: Collection[str] = ()) -> tuple[str, ...]:
    """Return what the compiler warned of in the student's files, a line each: FILE:LINE: TEXT.

    That is of the builds called *names*; without names, of all.
    """
    made = map(build.target, names) if names else build.targets
    said = [remark for one in made for remark in parse(one.warnings, "gcc")]
    return tuple(f"{remark.file}:{remark.line}: {remark.text}" for remark in sorted(set(said)))


def build(
    lab: Lab,
    submission: Submission,
    kernel: Kernel,
    *,
    jobs: int = 2,
    only: frozenset[str] = frozenset(),
    reuse: bool = False,
    debug: bool = False,
    meanwhile: Callable[[], None] = nothing,
) -> Build:
    """Build what *submission* makes, modules against *kernel*; never raises for a student's code.

    *only* names the builds; empty: all. With *reuse* what was built of the same sources
    before is taken from the cache; with *debug* programs are made for gdb. *meanwhile* is
    called while make runs.
    """
    wanted = [target for target in lab.builds if not only or target.name in only]
    keys = {
        target.name: build_cache.key(
            lab, target, compiler.sources([target], submission), kernel, debug=debug
        )
        for target in wanted
        if reuse and not any(compiler.problem(lab, target, submission))
    }
    found = {
        name: kept
        for name, key in keys.items()
        if (kept := build_cache.find(lab.target(name), key))
    }
    if new := [target for target in wanted if target.name not in found]:
        made_now = _build(lab, new, submission, kernel, jobs=jobs, debug=debug, meanwhile=meanwhile)
        for made in made_now:
            found[made.name] = made
            if made.name in keys:
                build_cache.keep(lab.target(made.name), made, keys[made.name])
    return Build(targets=tuple(found[target.name] for target in wanted))


def doing(targets: Iterable[Target]) -> str:
    """Return what is said while *targets* are built."""
    kinds = {target.kind for target in targets}
    return f"building the {' and '.join(f'{kind}s' for kind in sorted(kinds))}"


def _build(
    lab: Lab,
    wanted: Sequence[Target],
    submission: Submission,
    kernel: Kernel,
    *,
    jobs: int,
    debug: bool,
    meanwhile: Callable[[], None],
) -> list[ModuleBuild | ProgramBuild]:
    """Build modules by one make; where that fails each alone, as programs are, *jobs* at a time."""
    done: dict[str, ModuleBuild | ProgramBuild] = {}
    modules = [target for target in wanted if target.kind == "module"]
    with contextlib.suppress(OSError, VMError):  # what is wrong shows again when built alone
        if modules and not any(any(compiler.problem(lab, m, submission)) for m in modules):
            sources = compiler.sources(modules, submission)
            together = _compile(lab, modules, sources, kernel, meanwhile)
            if all(made.ko for made in together):
                done = {made.name: made for made in together}

    def alone(target: Target) -> ModuleBuild | ProgramBuild:
        if target.kind == "program":
            return program_build.build_program(lab, target, submission, kernel, debug=debug)
        return build_module(lab, target, submission, kernel)

    left = [target for target in wanted if target.name not in done]
    if jobs == 1:  # a Dask worker's process may have no children of multiprocessing's
        done |= {target.name: alone(target) for target in left}
        return [done[target.name] for target in wanted]
    # processes, not threads: whoever stops the run need not wait for the compiler
    with contextlib.closing(pool.each(alone, left, jobs, method="fork")) as team:
        for target, made in team:
            if isinstance(made, Exception):
                raise made
            done[target.name] = made
    return [done[target.name] for target in wanted]


def build_module(lab: Lab, module: Target, submission: Submission, kernel: Kernel) -> ModuleBuild:
    """Build one module; what went wrong stands in the record."""
    problem, hint = compiler.problem(lab, module, submission)
    if problem:
        return ModuleBuild(name=module.name, ko=None, message=problem, hint=hint)
    sources = compiler.sources([module], submission)
    try:
        (made,) = _compile(lab, [module], sources, kernel)
        if made.ko is None and not compiler.speaks_of(made.output, module):
            # not a word on the student's files: does anything compile here?
            given = {name: (lab.given / name).read_bytes() for name in sources}
            if _compile(lab, [module], given, kernel)[0].ko is None:
                raise VMError(
                    f"The compiler does not work on this host. {made.message}\n{made.output}"
                )
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
    meanwhile: Callable[[], None] = nothing,
) -> list[ModuleBuild]:
    """Compile *sources* with the lab's Kbuild files and headers, in a scratch folder."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        root = Path(scratch) / "build"
        lay_out(lab, modules, sources, root)
        return _make(root, lab, modules, sources, kernel, meanwhile)


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


def _make(  # noqa: PLR0917
    root: Path,
    lab: Lab,
    modules: Sequence[Target],
    sources: dict[str, bytes],
    kernel: Kernel,
    meanwhile: Callable[[], None],
) -> list[ModuleBuild]:
    box = sandbox(root, kernel)
    commands = [shlex.join(kernel.make(INSIDE, len(modules)))]
    # a guest loads the module without its debug information, which is 30 times the rest
    commands += [
        f"strip --strip-debug -o {INSIDE}/{m.name}.stripped {INSIDE}/{m.folder}/{m.name}.ko"
        for m in modules
    ]
    ran = compiler.run(box, root, commands, meanwhile)
    output = ran.output
    made = []
    for module in modules:
        files = [root / f"{module.name}.stripped", root / module.folder / f"{module.name}.ko"]
        if ran.failed or not all(f.is_file() and not f.is_symlink() for f in files):
            message, hint = compiler.late(), SHORTER
            if not ran.late:
                says, hint = compiler.failure(lab, module, output, sources)
                message = says or _WORDS
            made.append(
                ModuleBuild(name=module.name, ko=None, message=message, output=output, hint=hint)
            )
        elif (size := files[0].stat().st_size) > MAX_MODULE:
            large = f"The module has {size >> 20} MiB, of {MAX_MODULE >> 20}: why is it so large?"
            made.append(
                ModuleBuild(name=module.name, ko=None, message=large, output=output, hint=SHORTER)
            )
        else:
            ko, debug = (f.read_bytes() for f in files)
            said = output if compiler.speaks_of(output, module) else ""
            made.append(ModuleBuild(name=module.name, ko=ko, debug=debug, warnings=said))
    return made
