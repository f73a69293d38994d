"""Sources become modules in a sandbox; what does not compile is told in gcc's words and ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import ENDLESS, SOLUTION, Student

from checker.engine import build, compiler, submission
from checker.model import Exercise, Lab, ModuleBuild, Names, Target
from checker.words.symbols import Symbols
from vm.kernel import Kernel
from vm.sandbox import Limits

Make = Callable[..., Student]


@pytest.fixture
def compile_module(lab: Lab, stock_kernel: Kernel) -> Callable[[Student, str], ModuleBuild]:
    """Build one module of a student's on the stock kernel."""

    def run(student: Student, name: str) -> ModuleBuild:
        given = submission.read(lab, student.path)
        return build.build_module(lab, lab.target(name), given, stock_kernel)

    return run


def step(lab: Lab, said: str, source: str = "") -> str:
    """Return the next step for what gcc *said* of filter.c, whose text is *source*."""
    target = lab.target("filter")
    return compiler.failure(lab, target, said, {target.files[0]: source.encode()})[1]


FILTER = "1-2-netfilter/kernel/filter.c"


def test_next_step_begins_at_the_first_error_of_the_students(lab: Lab) -> None:
    """The place is the student's own, even where the compiler complains of a kernel's header."""
    plain = f"{FILTER}: In function 'f':\n{FILTER}:90:15: error: too few\n"
    assert step(lab, plain) == f"Fix {FILTER}:90, then check again."
    two = f"{plain}{FILTER}:95:15: error: too few\n"
    assert step(lab, two).startswith(f"Fix {FILTER}:90 first, then check again: it may have")
    inlined = (
        f"In file included from {FILTER}:15:\n"
        "In function 'check_copy_size',\n"
        "    inlined from 'copy_from_user' at ./include/linux/uaccess.h:160:6,\n"
        f"    inlined from 'my_ioctl' at {FILTER}:138:7:\n"
        "./include/linux/thread_info.h:230:25: error: call to '__bad_copy_to'\n"
    )
    assert f"Fix {FILTER}:138" in step(lab, inlined)
    in_macro = (
        "./include/uapi/asm-generic/fcntl.h:42:25: error: passing argument 3 of 'f' makes pointer\n"
        f"{FILTER}:19:49: note: in expansion of macro 'O_NONBLOCK'\n"
    )
    assert f"Fix {FILTER}:19" in step(lab, in_macro)
    in_header = f"In file included from {FILTER}:21:\n./include/net/ip.h:9:1: error: unknown\n"
    assert f"Fix {FILTER}:21" in step(lab, in_header)
    assert "Fix the first error below" in step(lab, "no place at all")


def test_next_step_begins_where_a_call_is_opened(lab: Lab) -> None:
    """A bracket that is never closed is told of at the end of the file, and mended elsewhere."""
    said = (
        f"{FILTER}:26:23: error: unterminated argument list invoking macro 'htons'\n"
        f"{FILTER}:20:33: error: 'htons' undeclared (first use in this function)\n"
    )
    assert f"Fix {FILTER}:20 first" in step(lab, said)


UNCLOSED = """\
static int helper(int a)
{
\tif (a) { /* a brace } in a comment, and "in a string {" */
\t\treturn '}';
}

static int __init my_init(void)
{
\treturn helper(1);
}
"""


def test_a_function_without_its_end_is_named(lab: Lab) -> None:
    """The compiler gives up at the function after it, and at the end of the file."""
    said = (
        f"{FILTER}:7:19: error: invalid storage class for function 'my_init'\n"
        f"{FILTER}:10:1: error: expected declaration or statement at end of input\n"
    )
    assert step(lab, said, UNCLOSED) == (
        f"Add the missing }} to the function that begins at {FILTER}:1, then check again."
    )


def test_headline_and_next_step_are_about_one_error(lab: Lab) -> None:
    """Of several errors the first that is known is told, with its own line."""
    said = (
        f"{FILTER}:70:9: error: implicit declaration of function 'nf_register_hook'\n"
        f"{FILTER}:50:9: error: 'IP_OFFSET' undeclared (first use in this function)\n"
    )
    target = lab.target("filter")
    says, hint = compiler.failure(lab, target, said, {})
    assert "nf_register_hook() is gone since Linux 4.13" in says
    assert f"Fix {FILTER}:70 first" in hint


def test_what_modpost_misses_is_looked_up_in_the_source(lab: Lab) -> None:
    """The linker names no line; the next step names the call, and that one file is compiled."""
    said = 'ERROR: modpost: "my_helper" [1-2-netfilter/kernel/filter.ko] undefined!'
    source = "int my_helper(int x);\n\nint f(void)\n{\n\treturn my_helper(1);\n}\n"
    hint = step(lab, said, source)
    assert f"See {FILTER}:5: correct the name" in hint
    assert "no other .c file is compiled" in hint
    licensed = "ERROR: modpost: missing MODULE_LICENSE() in 1-2-netfilter/kernel/filter.o"
    assert step(lab, licensed).startswith("Add the line MODULE_LICENSE(")


CHATTER = f"""\
{compiler._STARTED}
warning: the compiler differs from the one used to build the kernel
  The kernel was built by: gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0
  You are using:           gcc-12 (Debian 12.2.0-14) 12.2.0
lab/bad.c: In function 'my_init':
lab/bad.c:19:33: error: passing argument 2 of 'kernel_bind' from incompatible pointer type
/kernel/usr/src/linux-headers-7.2.13+deb14-common/include/linux/net.h:373:63: note: expected 'int'
/kernel/build/include/linux/net.h:335:55: note: expected 'int'
/build/lab/bad.o: warning: objtool: .text.unlikely: unexpected end of section
WARNING: modpost: missing MODULE_DESCRIPTION() in lab/bad.o
WARNING: modpost: lab/bad.ko: missing MODULE_DESCRIPTION()
ERROR: modpost: missing MODULE_LICENSE() in /build/lab/bad.o
make[4]: *** [/kernel/usr/src/linux-headers/scripts/Makefile.build:294: lab/bad.o] Error 1
make: *** [/kernel/usr/src/linux-headers-7.2.13+deb14-common/Makefile:260: __sub-make] Error 2
Skipping BTF generation for /build/lab/bad.ko due to unavailability of vmlinux
"""

WITHOUT = """\
lab/bad.c: In function 'my_init':
lab/bad.c:19:33: error: passing argument 2 of 'kernel_bind' from incompatible pointer type
./include/linux/net.h:373:63: note: expected 'int'
./include/linux/net.h:335:55: note: expected 'int'
ERROR: modpost: missing MODULE_LICENSE() in lab/bad.o
"""


def test_what_a_student_cannot_mend_is_left_out(tmp_path: Path) -> None:
    """Of what make, objtool and modpost of all kernels say, only the student's own is kept."""
    (tmp_path / "log").write_text(CHATTER)
    begun, output = compiler._tidy(tmp_path / "log")
    assert begun
    assert output.splitlines() == WITHOUT.splitlines()


# --- compiling -----------------------------------------------------------------------


@pytest.mark.vm
def test_solution_builds_without_a_warning(lab: Lab, stock_kernel: Kernel) -> None:
    """The reference solution builds, and gcc has nothing to say."""
    made = build.build(lab, submission.read(lab, SOLUTION), stock_kernel)
    assert [(m.name, bool(m.ko), m.warnings) for m in made.modules] == [
        ("filter", True, ""),
        ("tcp_sock", True, ""),
        ("udp_sock", True, ""),
    ]


@pytest.mark.vm
@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (("udp_sock.c", "kernel_bind(", "kernel_bindd("), "kernel_bindd()"),
        (("udp_sock.c", "<linux/uio.h>", "<linux/uioo.h>"), "no header linux/uioo.h"),
        (("udp_sock.c", "static int __init my_udp_bind(void)", "/* TODO"), "A comment is opened"),
        (("udp_sock.c", "module_init(my_udp_sock_init);", "/* TODO"), "A comment is opened"),
        (
            ("filter.c", "my_nf_hookfn(void *priv,", "my_nf_hookfn(unsigned int hooknum,"),
            "before Linux 4.4",
        ),
    ],
)
def test_compile_error_has_the_students_line_and_advice(
    mistake: tuple[str, str, str], advice: str, student: Make, compile_module: Callable
) -> None:
    """A compile error names the student's own path and line, and a sentence explains it."""
    source, old, new = mistake
    ann = student("ann")
    ann.replace(source, old, new)
    made = compile_module(ann, source.removesuffix(".c"))
    folder = str(ann.file(source).relative_to(ann.path))
    assert made.ko is None
    assert not made.grader_error
    assert re.search(rf"^{re.escape(folder)}:\d+:\d+: (fatal )?error: ", made.output, re.MULTILINE)
    assert advice in made.message
    assert "make[" not in made.output


@pytest.mark.vm
def test_warnings_are_told_at_the_students_own_line(
    student: Make, lab: Lab, stock_kernel: Kernel
) -> None:
    """A line each, also of what stands in a macro of the kernel's; the solution has none."""
    assert build.warnings(build.build(lab, submission.read(lab, SOLUTION), stock_kernel)) == ()
    ben = student("ben")
    ben.replace("filter.c", "&iph->saddr", "iph->saddr")
    ben.replace("udp_sock.c", "	int sent;", "	int sent, never_used;")
    made = build.build(lab, submission.read(lab, ben.path), stock_kernel)
    first, second = build.warnings(made)
    assert re.match(r"1-2-netfilter/kernel/filter\.c:\d+: format '%p' expects argument", first)
    assert re.match(r"5-udp-sock/udp_sock\.c:\d+: unused variable 'never_used'", second)


@pytest.mark.vm
def test_warning_does_not_fail_the_build(student: Make, compile_module: Callable) -> None:
    """A warning is kept for the student to read, and the module is built."""
    ben = student("ben")
    ben.replace("udp_sock.c", "	int sent;", "	int sent, never_used;")
    made = compile_module(ben, "udp_sock")
    assert made.ko is not None
    assert "unused variable" in made.warnings


@pytest.mark.vm
def test_students_makefiles_have_no_effect(
    student: Make, compile_module: Callable, tmp_path: Path
) -> None:
    """A Kbuild and a Makefile beside the source are not looked at."""
    mallory = student("mallory")
    folder = mallory.file("udp_sock.c").parent
    for name in ("Kbuild", "Makefile"):
        (folder / name).write_text(f"$(shell touch {tmp_path}/pwned)\n$(error stop)\n")
    assert compile_module(mallory, "udp_sock").ko is not None
    assert not (tmp_path / "pwned").exists()


@pytest.mark.vm
@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(SOLUTION / "5-udp-sock/udp_sock.c"), "../../../etc/hostname"]
)
def test_files_outside_cannot_be_included(
    path: str, student: Make, compile_module: Callable
) -> None:
    """The compiler sees neither the host's files nor the solution."""
    eve = student("eve")
    eve.replace("udp_sock.c", "#include <linux/in.h>", f'#include "{path}"\n#include <linux/in.h>')
    made = compile_module(eve, "udp_sock")
    assert made.ko is None
    assert "No such file or directory" in made.output


@pytest.mark.vm
def test_assembler_cannot_read_files_outside(student: Make, compile_module: Callable) -> None:
    """.incbin finds no file of the host either, not even one that everybody may read."""
    assert Path("/etc/passwd").stat().st_mode & 0o004
    eve = student("eve")
    eve.replace(
        "udp_sock.c",
        "module_init(my_udp_sock_init);",
        'asm(".incbin \\"/etc/passwd\\"");\nmodule_init(my_udp_sock_init);',
    )
    made = compile_module(eve, "udp_sock")
    assert made.ko is None
    assert "file not found: /etc/passwd" in made.output


@pytest.mark.vm
@pytest.mark.parametrize("limits", [Limits(cpu_seconds=3), Limits(memory=300 << 20)])
def test_compiler_that_is_blown_up_is_stopped(
    limits: Limits, student: Make, compile_module: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Macros that expand without end run into a bound, and that is the source's failure."""
    monkeypatch.setattr(build, "LIMITS", limits)
    tom = student("tom")
    macros = "#define M0 int x;\n" + "".join(
        f"#define M{n} {f'M{n - 1} ' * 10}\n" for n in range(1, 10)
    )
    tom.replace("udp_sock.c", "module_init(my_udp_sock_init);", f"{macros}M9\n")
    made = compile_module(tom, "udp_sock")
    assert made.ko is None
    assert not made.grader_error
    assert len(made.output) <= compiler.OUTPUT_LIMIT


@pytest.mark.vm
def test_late_compiler_is_stopped(
    student: Make, compile_module: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that is not done in time is stopped, with a sentence."""
    monkeypatch.setattr(compiler, "WALL_SECONDS", 2)
    una = student("una")
    una.replace("udp_sock.c", "#include <linux/in.h>", f"#include <linux/in.h>\n{ENDLESS}")
    made = compile_module(una, "udp_sock")
    assert made.ko is None
    assert "was stopped after" in made.message


def test_source_that_is_not_there_is_the_students_problem(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """An empty source is told without the compiler being asked."""
    vic = student("vic")
    vic.file("udp_sock.c").write_text(" \n")
    given = submission.read(lab, vic.path)
    made = build.build_module(lab, lab.target("udp_sock"), given, stock_kernel)
    assert (made.ko, made.message) == (None, "5-udp-sock/udp_sock.c is empty.")
    assert not made.grader_error


@pytest.mark.vm
def test_broken_build_tree_is_the_graders_trouble(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """A kernel build tree that is not there is no fault of the student's."""
    broken = replace(stock_kernel, build_mounts={Path("/nowhere"): "/kernel"})
    given = submission.read(lab, student("wes").path)
    made = build.build_module(lab, lab.target("udp_sock"), given, broken)
    assert made.ko is None
    assert made.grader_error


# --- two files of one name ----------------------------------------------------------------

TWINS = {
    "kernel/main.c": """#include <linux/module.h>
int other(void);
static int __init start(void) { return other(); }
static void __exit stop(void) { }
module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
""",
    "user/main.c": "int other(void);\n\n\nint other(void) { int unused; return 0; }\n",
}


def test_two_files_of_one_name_make_one_module(stock_kernel: Kernel, tmp_path: Path) -> None:
    """Each is compiled, and what is said of a line has the folder of its file."""
    given = tmp_path / "lab/solution/1"
    for name, text in TWINS.items():
        (given / name).parent.mkdir(parents=True)
        (given / name).write_text(text)
    (given / "Kbuild").write_text("obj-m := m.o\nm-y := kernel/main.o user/main.o\n")
    module = Target(kind="module", name="m", folder="1", sources=tuple(TWINS))
    exercise = Exercise(number=1, title="t", builds=("m",), points=5, hint="h")
    two = Lab(
        name="two",
        title="t",
        format=2,
        builds=(module,),
        exercises=(exercise,),
        root=tmp_path / "lab",
    )
    mine = submission.read(two, two.solution)
    made = build.build(two, mine, stock_kernel)
    (warning,) = build.warnings(made)
    assert warning.startswith("1/user/main.c:4: unused variable")
    debug = made.module("m").debug
    assert debug is not None
    symbols = Symbols(debug, stock_kernel.tools.system, Names(mine.sources))
    assert symbols.locate("other", 0) == "user/main.c:4"
    padding = 16  # before a function, from Linux 6.2 on
    places = [symbols.place(".init.text", at) for at in (0, padding)]
    assert "kernel/main.c:3" in places


@pytest.mark.parametrize(
    ("output", "due"),
    [
        ("kernel/main.c:3:1: error: x", True),
        ('ERROR: modpost: "x" [kernel/m.ko] undefined!', True),
        ("./include/linux/kernel/x.h:3:1: error: x", False),
        ("the kernel was built by gcc", False),
    ],
)
def test_what_the_compiler_says_of_other_files_is_not_the_students(
    output: str, *, due: bool
) -> None:
    """Also where a folder of theirs is called as one of the kernel's."""
    module = Target(kind="module", name="m", folder="kernel", sources=("main.c",))
    assert compiler.speaks_of(output, module) is due
