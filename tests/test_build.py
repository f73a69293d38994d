"""Sources become modules in a sandbox; what does not compile is told in gcc's words and ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import ENDLESS, SOLUTION, Student

from checker import build, submission
from checker.model import Lab, ModuleBuild
from vm.kernel import Kernel
from vm.sandbox import Limits

Make = Callable[..., Student]


@pytest.fixture
def compile_module(lab: Lab, stock_kernel: Kernel) -> Callable[[Student, str], ModuleBuild]:
    """Build one module of a student's on the stock kernel."""

    def run(student: Student, name: str) -> ModuleBuild:
        given = submission.read(lab, student.path)
        return build.build_module(lab, lab.module(name), given, stock_kernel)

    return run


# --- advice, from what gcc 12 said ---------------------------------------------------

GCC = {
    "There is no printf() in the kernel: pr_info()": "error: implicit declaration of function "
    "'printf' [-Werror=implicit-function-declaration]",
    "no C library in the kernel, and so no stdio.h": "filter.c:2:10: fatal error: stdio.h: No such "
    "file or directory",
    "a comment": "udp_sock.c:40:9: error: unterminated comment",
    "no header linux/sockett.h": "udp_sock.c:7:10: fatal error: linux/sockett.h: "
    "No such file or directory",
    "kernel_bindd()": "error: implicit declaration of function 'kernel_bindd'; did you mean",
    "before Linux 4.4": "filter.c:95:35: error: initialization of 'unsigned int (*)(void *, struct "
    "sk_buff *, const struct nf_hook_state *)' from incompatible pointer type",
    "a fourth argument, kern": "tcp_sock.c:90:15: error: too few arguments to function "
    "'sock->ops->accept'",
    "sock_create_kern() takes the address of your pointer": "udp_sock.c:96:78: error: passing "
    "argument 5 of 'sock_create_kern' from incompatible pointer type [-Werror=",
    "larger than the variable": "thread_info.h:230:25: error: call to '__bad_copy_to' declared "
    "with attribute error: copy destination size is too small",
    "gone since Linux 4.13": "error: implicit declaration of function 'nf_register_hook'; did you",
    "does not know NF_ACCEPTED": "filter.c:9:16: error: 'NF_ACCEPTED' undeclared (first use in",
    "semicolon": "filter.c:3:1: error: expected ';' before 'return'",
    "From Linux 6.10 on": "tcp_sock.c:70:15: error: too many arguments to function "
    "'sock->ops->accept'",
}


@pytest.mark.parametrize("advice", GCC)
def test_well_known_mistakes_get_a_sentence(advice: str) -> None:
    """What gcc says of a well-known mistake is followed by what to do about it."""
    assert advice.lower() in build.advise(GCC[advice]).lower()


def test_other_messages_get_none() -> None:
    """No advice is given on what is not known."""
    assert build.advise("filter.c:3:1: error: expected identifier or '(' before '}' token") == ""


def test_next_step_begins_at_the_first_error_of_the_students() -> None:
    """The place is the student's own, even where the compiler complains of a kernel's header."""
    folder = "1-2-netfilter/kernel"
    plain = f"{folder}/filter.c: In function 'f':\n{folder}/filter.c:90:15: error: too few\n"
    assert f"Mend {folder}/filter.c:90 first" in build.next_step(plain, [folder])
    inlined = (
        f"                 from {folder}/filter.c:15:\n"
        f"    inlined from 'my_ioctl' at {folder}/filter.c:138:7:\n"
        "/kernel/include/linux/thread_info.h:230:25: error: call to '__bad_copy_to'\n"
    )
    assert f"Mend {folder}/filter.c:138 first" in build.next_step(inlined, [folder])
    assert "Mend the first error first" in build.next_step("no place at all", [folder])


# --- compiling -----------------------------------------------------------------------


@pytest.mark.vm
def test_solution_builds_without_a_warning(lab: Lab, stock_kernel: Kernel) -> None:
    """The reference solution builds, and gcc has nothing to say."""
    made = build.build(lab, submission.read(lab, SOLUTION), stock_kernel)
    assert [(m.module, bool(m.ko), m.warnings) for m in made.modules] == [
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
    assert len(made.output) <= build.OUTPUT_LIMIT


@pytest.mark.vm
def test_late_compiler_is_stopped(
    student: Make, compile_module: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that is not done in time is stopped, with a sentence."""
    monkeypatch.setattr(build, "WALL_SECONDS", 2)
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
    made = build.build_module(lab, lab.module("udp_sock"), given, stock_kernel)
    assert (made.ko, made.message) == (None, "5-udp-sock/udp_sock.c is empty.")
    assert not made.grader_error


@pytest.mark.vm
def test_broken_build_tree_is_the_graders_trouble(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """A kernel build tree that is not there is no fault of the student's."""
    broken = replace(stock_kernel, build_mounts={Path("/nowhere"): "/kernel"})
    given = submission.read(lab, student("wes").path)
    made = build.build_module(lab, lab.module("udp_sock"), given, broken)
    assert made.ko is None
    assert made.grader_error
