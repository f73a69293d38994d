"""Sources -> .ko, in a sandbox, with the lab's own Kbuild and headers.

Each module is built alone in a scratch folder that holds its allow-listed
sources, the lab's Kbuild and headers, and nothing else. The compiler sees a
read-only system and the kernel's build tree; no network, no home, no solution.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from checker.model import Build, Lab, Module, ModuleBuild, Submission
from vm.errors import MissingTool, NoSandbox, NoSpace, VMError
from vm.kernel import Kernel
from vm.sandbox import Limits, Sandbox

WALL_SECONDS = 120
OUTPUT_LIMIT = 64 << 10
"""Bytes of the compiler's output that are kept."""

ROOM = 8 << 20
"""Bytes of disk below which a failed compile is nobody's fault but the disk's."""

LIMITS = Limits(memory=2 << 30, file_size=64 << 20, cpu_seconds=60, processes=2048)

_INSIDE = "/build"

_STARTED = "knetlab: the sandbox has started"
"""What the command prints before the compiler; without it the failure is the sandbox's."""


@dataclass(frozen=True)
class _Advice:
    """A sentence for a compiler message that students of this lab often meet."""

    pattern: re.Pattern[str]
    sentence: str


_ADVICE = (
    _Advice(
        re.compile(r'error: unterminated comment|"/\*" within comment'),
        "A comment is opened with /* and never closed: look for a TODO whose */ is missing.",
    ),
    _Advice(
        re.compile(r"fatal error: (?P<name>\S+): No such file or directory"),
        "There is no header {name} in the kernel or the lab: check its spelling and folder.",
    ),
    _Advice(
        re.compile(r"nf_hook_state \*\)\W+from incompatible pointer type"),
        "A hook's prototype is unsigned int (void *priv, struct sk_buff *skb, const struct "
        "nf_hook_state *state); the one with hooknum and net_device is from before Linux 4.4.",
    ),
    _Advice(
        re.compile(r"(too many arguments to function|passing argument 3 of)\W*[^\n]*accept"),
        "From Linux 6.10 on, ops->accept takes (sock, newsock, struct proto_accept_arg *); "
        "kernel_accept(sock, &newsock, 0) is the same on every kernel.",
    ),
    _Advice(
        re.compile(r"implicit declaration of function .(?P<name>\w+)"),
        "The compiler does not know {name}(): is it misspelled, or is its #include missing?",
    ),
)


def advise(output: str) -> str:
    """Return a sentence on the compiler messages in *output*, empty if none is known."""
    for advice in _ADVICE:
        if match := advice.pattern.search(output):
            return advice.sentence.format(**match.groupdict())
    return ""


def build(
    lab: Lab,
    submission: Submission,
    kernel: Kernel,
    *,
    jobs: int = 2,
    only: frozenset[str] = frozenset(),
) -> Build:
    """Build the modules of *submission* against *kernel*; never raises for a student's code.

    *only* names the modules to build; empty: all.
    """
    wanted = [module for module in lab.modules if not only or module.name in only]
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(lambda module: build_module(lab, module, submission, kernel), wanted)
        return Build(modules=tuple(done))


def build_module(lab: Lab, module: Module, submission: Submission, kernel: Kernel) -> ModuleBuild:
    """Build one module; what went wrong stands in the record."""
    wanted = {f"{module.folder}/{name}" for name in module.sources}
    sources = [f for f in submission.files if f.path in wanted]
    if problems := " ".join(f.problem for f in sources if f.problem):
        return ModuleBuild(module=module.name, ko=None, message=problems)
    started = time.monotonic()
    try:
        made = _build(lab, module, {f.path: f.content or b"" for f in sources}, kernel)
        if made.ko is None and module.folder not in made.output:
            # not a word on the student's files: does anything compile here?
            solution = {name: (lab.solution / name).read_bytes() for name in wanted}
            if _build(lab, module, solution, kernel).ko is None:
                raise VMError(f"Nothing compiles on this host. {made.message}\n{made.output}")
    except (MissingTool, NoSpace):
        raise
    except (OSError, VMError) as error:
        message = str(error).rstrip()
        return ModuleBuild(module=module.name, ko=None, message=message, grader_error=True)
    return made.model_copy(update={"seconds": time.monotonic() - started})


def _build(lab: Lab, module: Module, sources: dict[str, bytes], kernel: Kernel) -> ModuleBuild:
    """Compile *sources* with the lab's Kbuild and headers, in a scratch folder."""
    own = [*module.headers, f"{module.folder}/Kbuild"]
    files = sources | {name: (lab.solution / name).read_bytes() for name in own}
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        root = Path(scratch) / "build"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return _compile(root, module, kernel)


def _compile(root: Path, module: Module, kernel: Kernel) -> ModuleBuild:
    sandbox = Sandbox(
        read_only=dict(kernel.build_mounts),
        writable={root: _INSIDE},
        limits=LIMITS,
    )
    for path in (root, *root.rglob("*")):
        sandbox.own(path)
    make = ["make", "-s", "-C", kernel.build, f"M={_INSIDE}/{module.folder}", "modules"]
    make.append("CONFIG_DEBUG_INFO_BTF_MODULES=")  # needs pahole, and nobody reads it
    # a guest loads the module without its debug information, which is 30 times the rest
    strip = f"strip --strip-debug {_INSIDE}/{module.folder}/{module.name}.ko"
    log = root.parent / "output"
    with log.open("wb") as out:
        try:
            done = subprocess.run(
                sandbox.argv(["/bin/sh", "-c", f"echo {_STARTED}; {shlex.join(make)} && {strip}"]),
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=WALL_SECONDS,
            )
            late = False
        except subprocess.TimeoutExpired:
            late = True
    begun, output = _tidy(log)
    if not begun:
        raise NoSandbox(f"The sandbox did not start: {output}")
    ko = root / module.folder / f"{module.name}.ko"
    if late:
        message = (
            f"The compiler was stopped after {WALL_SECONDS} s: what in the source keeps it so long?"
        )
        return ModuleBuild(module=module.name, ko=None, message=message, output=output)
    if done.returncode and shutil.disk_usage(root).free < ROOM:
        raise NoSpace(f"No space is left in {tempfile.gettempdir()} to compile in; make room.")
    if done.returncode or not ko.is_file() or ko.is_symlink():
        message = advise(output) or "The module does not compile; the compiler's words are below."
        return ModuleBuild(module=module.name, ko=None, message=message, output=output)
    return ModuleBuild(module=module.name, ko=ko.read_bytes(), warnings=output)


def _tidy(log: Path) -> tuple[bool, str]:
    """Return whether the sandbox started, and the compiler's words.

    They have the student's own paths, and make's chatter is left out.
    """
    with log.open("rb") as f:
        text = f.read(OUTPUT_LIMIT).decode(errors="replace")
    lines = text.replace(f"{_INSIDE}/", "").splitlines()
    chatter = re.compile(r"make(\[\d+\])?: |Skipping BTF generation|warning: the compiler differs")
    chatter_tail = re.compile(r"^  (The kernel was built by|You are using):")
    begun = lines[:1] == [_STARTED]
    said = (x for x in lines[begun:] if not chatter.search(x) and not chatter_tail.match(x))
    return begun, "\n".join(said)
