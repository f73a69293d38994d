"""The compiler in its sandbox: what is run there, for how long, and what it said, made readable.

build.py has modules made, program_build.py programs. What is the same for both is here: the
bounds, the student's words that are refused, and whose fault a failure is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checker.engine.submission import EMPTY, MISSING
from checker.model import Lab, Submission, Target
from checker.words import advice, errors, evasion
from checker.words.remarks import shorten
from vm.errors import NoSandbox, NoSpace
from vm.sandbox import Limits, Sandbox

WALL_SECONDS = 120
OUTPUT_LIMIT = 64 << 10
"""Bytes of the compiler's output that are kept."""

ROOM = 8 << 20
"""Bytes of disk below which a failed compile is nobody's fault but the disk's."""

LIMITS = Limits(memory=2 << 30, file_size=64 << 20, cpu_seconds=60, processes=2048)

INSIDE = "/build"
"""Where the modules' folder lies in the sandbox."""

_STARTED = "knetlab: the sandbox has started"
"""What the command prints before the compiler; without it the failure is the sandbox's."""


SHORTER = "Take out what repeats itself at compile time: a macro, an #include, a huge array."


CHATTER = re.compile(
    r"make(\[\d+\])?: |Skipping BTF generation|the compiler differs|pahole version differs"
    r"|^  (The kernel was built by|You are using)\b"
    r"|checker-valid\.sh: No such file|C=2 specified, but sparse is not available"
)
"""What make says of itself. 7.x looks for sparse by a script that Debian's headers lack, and
runs it all the same where KBUILD_CHECKSRC is given on the command line."""

_NOT_THEIRS = re.compile(
    r"\.o: warning: objtool: |WARNING: modpost: .*missing MODULE_DESCRIPTION\(\)"
)


def nothing() -> None:
    """Do nothing meanwhile."""


@dataclass(frozen=True)
class Ran:
    """What became of the commands in the sandbox: whether they *failed*, or were *late*."""

    failed: bool
    late: bool
    output: str


def run(
    box: Sandbox,
    root: Path,
    commands: Sequence[str],
    meanwhile: Callable[[], None] = nothing,
    *,
    of_program: bool = False,
) -> Ran:
    """Run shell *commands*, each if the one before went well, on what lies below *root*.

    *meanwhile* is called while they run. *of_program*: they compile a program. Raises NoSandbox
    when the sandbox does not start, NoSpace when they fail on a disk that is full.
    """
    log = root.parent / "output"
    script = " && ".join([f"echo {_STARTED}", *commands])
    with (
        log.open("wb") as out,
        subprocess.Popen(
            box.argv(["/bin/sh", "-c", script]),
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
    begun, output = _tidy(log, of_program=of_program)
    if not begun:
        raise NoSandbox(f"The sandbox did not start: {output}")
    if done.returncode and not late and shutil.disk_usage(root).free < ROOM:
        raise NoSpace(f"No space is left in {tempfile.gettempdir()} to compile in; make room.")
    return Ran(late or bool(done.returncode), late, output)


def late() -> str:
    """Return the sentence for a compiler that was not done in time."""
    return f"The compiler was stopped after {WALL_SECONDS} s: what in the source keeps it so long?"


def failure(lab: Lab, target: Target, output: str, sources: Mapping[str, bytes]) -> tuple[str, str]:
    """Return a sentence on the compiler's *output*, "" where none is known, and the next step.

    Both are about the same error. *sources* are the student's files by path.
    """
    texts = {
        path: content.decode(errors="replace")
        for path, content in sources.items()
        if path in target.files
    }
    told = advice.explain(lab, output, target.kind, texts)
    if told.step:
        return told.says, told.step
    if told.place:
        if len([one for one in errors.mistakes(output) if one.serious]) == 1:
            return told.says, f"Fix {told.place}, then check again."
        return told.says, (
            f"Fix {told.place} first, then check again: it may have caused other errors below."
        )
    return told.says, "Fix the first error below, then check again: it may have caused the others."


def sources(targets: Iterable[Target], submission: Submission) -> dict[str, bytes]:
    """Return what the submission has of the targets' files, by path."""
    wanted = {name for target in targets for name in target.files}
    return {f.path: f.content or b"" for f in submission.files if f.path in wanted}


def problem(lab: Lab, target: Target, submission: Submission) -> tuple[str, str]:
    """Return why *target* is not compiled at all, and what to do; ("", "") when it is."""
    files = [f for f in submission.files if f.path in target.files]
    if problem := " ".join(f.problem for f in files if f.problem):
        hint = "Put your C source there: the file itself, at the place it has in the skeleton."
        if problem.endswith((MISSING, EMPTY)):
            number = next(e.number for e in lab.exercises if target.name in e.builds)
            hint += f" If yours is lost, `make reset EX={number}` writes it as it was handed out."
        return problem, hint
    for f in files:
        if found := evasion.find(f.content or b"", target.kind):
            line, word = found
            return evades(f"{f.path}:{line}", word, f.path, target)
    return "", ""


def evades(where: str, word: str, source: str, target: Target) -> tuple[str, str]:
    """Return why *word* is refused, and what to do: it is to be taken out of *source*."""
    watcher = "the kernel" if target.kind == "module" else "AddressSanitizer"
    return (
        f"{where} has {word}, which keeps {watcher} from watching your code.",
        f"Take {word} out of {source}: what {watcher} then says of your code is a fault "
        "in it, and the checks tell where.",
    )


def speaks_of(output: str, target: Target) -> bool:
    """Tell whether the compiler's *output* has a word on the target's files."""
    return bool(re.search(rf"(?<![\w./+-]){re.escape(target.folder)}/", output))


def _tidy(log: Path, *, of_program: bool = False) -> tuple[bool, str]:
    """Return whether the sandbox started, and the compiler's words.

    They have the student's own paths, and the kernel's as in its own tree. Left out is what
    a student cannot mend: the linker's own name, make's chatter, objtool's, which looks at
    what gcc made, and the description that some kernels' modpost misses and no module needs.
    """
    with log.open("rb") as f:
        text = f.read(OUTPUT_LIMIT).decode(errors="replace")
    text = re.sub(r"/kernel/(usr/src/[^/\s]+|build)/", "./", text)
    text = re.sub(r"/usr/(?:libexec/gcc/\S+/|bin/)[\w.-]*ld[\w.]*: (?:/tmp/\w+\.o: )?", "", text)
    lines = text.replace(f"{INSIDE}/", "").splitlines()
    begun = lines[:1] == [_STARTED]
    said = (x for x in lines[begun:] if not CHATTER.search(x) and not _NOT_THEIRS.search(x))
    return begun, shorten("\n".join(said), of_program=of_program)
