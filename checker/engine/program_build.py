"""Sources of a user program -> two programs: a plain one, and one with sanitizers.

They are compiled in the modules' sandbox (compiler.py), with the system's headers and those of
the lab that the target names. Points come from the plain program; what AddressSanitizer,
UBSan and LeakSanitizer say of the other one are findings. A program of which only the plain one
can be built is not built at all: else an #error would switch the sanitizers off.

Both are linked dynamically, with the libraries that a guest has in /lab/lib
(vm/libraries.py); the sanitizers' own are linked in, from gcc's archives, so that neither a
toolchain nor a guest needs more packages.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from checker.engine import compiler
from checker.engine.compiler import INSIDE, LIMITS, SHORTER, Ran
from checker.model import Lab, ProgramBuild, Submission, Target
from checker.words import evasion, sanitizer
from vm import libraries
from vm.errors import MissingTool, NoSpace, VMError
from vm.kernel import Kernel

MAX_PROGRAM = 4 << 20
"""Bytes of a plain program; one that is written by hand has some 20 thousand."""

MAX_SANITIZED = 6 << 20
"""The same with sanitizers, which are 2 million of them; a guest takes 8."""

_COMMON = (
    *("-std=gnu17", "-g", "-fno-omit-frame-pointer"),
    *("-Werror=implicit-function-declaration", "-Werror=implicit-int", "-Werror=int-conversion"),
    "-Werror=incompatible-pointer-types",
)
"""The C is the same for all compilers: of gcc 15, which has another default, and of gcc 12,
which only warns of what gcc 14 refuses."""

# a skeleton whose regions are empty does not use what it is given; nor does Kbuild warn of that
_PLAIN = ("-O2", "-Wall", "-Wextra", "-Wno-unused-parameter")
SANITIZED = (
    # -O0: else gcc leaves out what is written beyond a buffer and never read
    # AddressSanitizer knows the size of every object, and says more than object-size does
    *("-O0", "-w", "-fsanitize=address,undefined", "-fno-sanitize=object-size"),
    *("-static-libasan", "-static-libubsan"),
    # macros that put such an attribute together are no way round evasion.py
    *(f"-D{name}(...)=" for name in ("no_sanitize", "__no_sanitize__")),
    *(
        f"-D{begin}no_{what}{begin}="
        for begin in ("", "__")
        for what in ("sanitize_address", "sanitize_undefined", "address_safety_analysis")
    ),
)
"""What gcc takes for a program with sanitizers."""

_DEBUG = ("-O0", "-no-pie", "-Dknetlab_for_gdb")
_DEBUG_BASE, _DEBUG_STEP, _DEBUG_LOADED = 0x40000000, 0x1000000, 0xF00000

_START = "knetlab_start.c"
_START_TEXT = """\
/*
 * knetlab_start.c - what a program prints leaves it line by line, as on a terminal; what its
 * sanitizers say goes where the guest looks for it, whatever environment the program has.
 */
#include <stdio.h>

static void __attribute__((constructor)) line_by_line(void)
{
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}

#ifdef knetlab_for_gdb
#include <sys/mman.h>
#include <unistd.h>

/* Where gdb is told that the program is there: its address is the linker's (debug_flags()). */
__attribute__((noinline, section(".knetlab"))) static void knetlab_loaded(void)
{
	__asm__ volatile("");
}

/*
 * gdb looks through the processor, which sees only pages that are there; and a step that meets
 * one that is not ends in the kernel.
 */
static void __attribute__((constructor)) be_there(void)
{
	if (!geteuid())
		mlockall(MCL_CURRENT | MCL_FUTURE);
	knetlab_loaded();
}
#endif

#ifdef __SANITIZE_ADDRESS__
#include <features.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
#define SINGLE __libc_single_threaded
#else
#define SINGLE 0
#endif

#define OPTIONS "@OPTIONS@"
void __lsan_do_leak_check(void);
const char *__asan_default_options(void);
const char *__lsan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return OPTIONS;
}

const char *__lsan_default_options(void)
{
	return OPTIONS;
}

const char *__ubsan_default_options(void)
{
	return OPTIONS;
}

/*
 * LeakSanitizer looks when exit() is called, and _exit() is a right end, too. It is not done in a
 * child of vfork(), whose memory is its parent's; nor in one of fork() by a program with
 * threads: what only another thread's stack leads to looks lost there.
 */
static pid_t looks;

static void forked(void)
{
	looks = looks && SINGLE ? getpid() : 0;
}

static void look(void)
{
	if (looks == getpid())
		__lsan_do_leak_check();
}

static void __attribute__((constructor)) watch_exits(void)
{
	looks = getpid();
	pthread_atfork(NULL, NULL, forked);
}

void _exit(int status)
{
	look();
	for (;;)
		syscall(SYS_exit_group, status);
}

void _Exit(int status)
{
	_exit(status);
}
#endif
""".replace("@OPTIONS@", sanitizer.OPTIONS)

_NO_MAIN = "undefined reference to `main'"
"""What the linker says of no file: the student's have no main(), as the skeleton may have none."""

_BETWEEN = "knetlab: with sanitizers"
"""What is printed between the two compilers' words."""


def build_program(
    lab: Lab, target: Target, submission: Submission, kernel: Kernel, *, debug: bool = False
) -> ProgramBuild:
    """Build one program; what went wrong stands in the record.

    With *debug* the plain one is made for gdb.
    """
    problem, hint = compiler.problem(lab, target, submission)
    if problem:
        return ProgramBuild(name=target.name, plain=None, message=problem, hint=hint)
    sources = compiler.sources([target], submission)
    try:
        made = _compile(lab, target, sources, kernel, debug_flags(lab, target) if debug else ())
        theirs = compiler.speaks_of(made.output, target) or _NO_MAIN in made.output
        if made.plain is None and not theirs:
            # not a word on the student's files: does anything compile here?
            given = {name: (lab.given / name).read_bytes() for name in sources}
            if _compile(lab, target, given, kernel).plain is None:
                raise VMError(
                    f"The compiler does not work on this host. {made.message}\n{made.output}"
                )
    except (MissingTool, NoSpace):
        raise
    except (OSError, VMError) as error:
        message = str(error).rstrip()
        return ProgramBuild(name=target.name, plain=None, message=message, grader_error=True)
    return made


def flags(target: Target) -> list[str]:
    """Return what gcc takes for the plain program's sources, in the folder of a submission."""
    folders = sorted({str(Path(header).parent) for header in target.headers})
    return [*_COMMON, *_PLAIN, *(f"-I{folder}" for folder in folders)]


def command(target: Target, more: Sequence[str], output: str) -> list[str]:
    """Return gcc's command line for *target*, in the sandbox's INSIDE."""
    return [
        *("gcc", *flags(target), *more, "-o", output, *target.files, _START),
        *libraries.link_flags(),
        *(f"-l{name}" for name in target.libraries),
    ]


def debug_loaded(lab: Lab, target: Target) -> int:
    """Return the address of what the program calls first, when it was made for gdb."""
    return _DEBUG_BASE + _DEBUG_STEP * lab.builds.index(target) + _DEBUG_LOADED


def debug_flags(lab: Lab, target: Target) -> list[str]:
    """Return what gcc takes besides for gdb: no line is moved, and each program has its addresses.

    gdb sees the guest's processor and not which process it works for; so no other program of the
    guest may have the same addresses.
    """
    loaded = debug_loaded(lab, target)
    base = loaded - _DEBUG_LOADED
    return [*_DEBUG, f"-Wl,-Ttext-segment={base:#x},--section-start=.knetlab={loaded:#x}"]


def recipe(lab: Lab, target: Target, *, debug: bool = False) -> list[str]:
    """Return what stands for how *target* is compiled, but for its files and the compiler."""
    plain = command(target, debug_flags(lab, target) if debug else (), "plain")
    return [*plain, *SANITIZED, _START_TEXT]


def write_start(root: Path) -> None:
    """Write what command() compiles with the student's files."""
    (root / _START).write_text(_START_TEXT)


def _compile(
    lab: Lab,
    target: Target,
    sources: dict[str, bytes],
    kernel: Kernel,
    plain: Sequence[str] = (),
) -> ProgramBuild:
    """Compile *sources* with the lab's headers, in a scratch folder; *plain* are more flags."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        root = Path(scratch) / "build"
        files = sources | {name: (lab.given / name).read_bytes() for name in target.headers}
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        write_start(root)
        box = kernel.sandbox(writable={root: INSIDE}, limits=LIMITS)
        for path in (root, *root.rglob("*")):
            box.own(path)
        commands = [
            f"cd {INSIDE}",
            shlex.join(command(target, plain, "plain")),
            f"echo {_BETWEEN}",
            shlex.join(command(target, SANITIZED, "sanitized")),
        ]
        ran = compiler.run(box, root, commands, of_program=True)
        return _judge(lab, target, sources, ran, [root / "plain", root / "sanitized"])


def _judge(
    lab: Lab, target: Target, sources: dict[str, bytes], ran: Ran, files: Sequence[Path]
) -> ProgramBuild:
    first, between, second = ran.output.partition(_BETWEEN)
    output = (second if between and ran.failed else first).strip()
    if ran.failed or not all(f.is_file() and not f.is_symlink() for f in files):
        said, step = compiler.failure(lab, target, output, sources)
        if _NO_MAIN in output:
            where = " or ".join(target.files)
            step = f"Write int main(void), or int main(int argc, char **argv), in {where}."
        with_them = " with AddressSanitizer, though it does without" if between else ""
        words = f"The program does not compile{with_them}; the compiler's words are below."
        return ProgramBuild(
            name=target.name,
            plain=None,
            message=compiler.late() if ran.late else said or words,
            output=output,
            hint=SHORTER if ran.late else step,
        )
    for file, most in zip(files, (MAX_PROGRAM, MAX_SANITIZED), strict=True):
        if (size := file.stat().st_size) > most:
            large = f"The program has {size >> 20} MiB, of {most >> 20}: why is it so large?"
            return ProgramBuild(
                name=target.name, plain=None, message=large, output=output, hint=SHORTER
            )
    plain, sanitized = (file.read_bytes() for file in files)
    if word := evasion.in_program(plain):
        message, hint = compiler.evades("The program", word, "the source", target)
        return ProgramBuild(name=target.name, plain=None, message=message, hint=hint)
    said = output if compiler.speaks_of(output, target) else ""
    return ProgramBuild(name=target.name, plain=plain, sanitized=sanitized, warnings=said)
