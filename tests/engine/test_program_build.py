"""Programs of students: built twice in the sandbox, or told why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checker.engine import build, compiler, grading, program_build, submission
from checker.errors import LabError
from checker.model import Build, Lab, ProgramBuild
from vm import libraries
from vm.elf import needed
from vm.errors import NoSandbox, VMError
from vm.kernel import Kernel

pytestmark = pytest.mark.vm

Compile = Callable[..., ProgramBuild]


@pytest.fixture
def compiled(fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> Compile:
    """Build greet, once its source has *old* replaced by *new*."""

    def make(old: str = "", new: str = "") -> ProgramBuild:
        folder = tmp_path / "student"
        shutil.copytree(fixture_lab.solution, folder)
        source = folder / "user/greet.c"
        text = source.read_text()
        assert old in text
        source.write_text(text.replace(old, new, 1))
        given = submission.read(fixture_lab, folder)
        return program_build.build_program(
            fixture_lab, fixture_lab.target("greet"), given, stock_kernel
        )

    return make


def test_a_program_is_built_twice(compiled: Compile, tmp_path: Path) -> None:
    """Plain and with sanitizers; both need only the libraries that a guest has for them."""
    made = compiled()
    assert made.built
    assert (made.message, made.warnings) == ("", "")
    assert made.plain is not None
    assert made.sanitized is not None
    assert len(made.plain) < 100_000 < len(made.sanitized) < program_build.MAX_SANITIZED
    for content in (made.plain, made.sanitized):
        (tmp_path / "program").write_bytes(content)
        assert set(needed(tmp_path / "program")) <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1"}
        assert f"/lab/lib/{libraries.LOADER}".encode() in content


def test_the_same_sources_make_the_same_program(compiled: Compile, tmp_path: Path) -> None:
    """Nothing of when and where it was built is in it."""
    first = compiled()
    shutil.rmtree(tmp_path / "student")
    assert compiled() == first


def test_an_empty_region_is_no_warning(compiled: Compile) -> None:
    """What a skeleton does not use yet, of what a function is given, is not told of."""
    made = compiled("int main(", "static int later(int fd) { return 0; }\n\nint main(")
    assert "later" in made.warnings
    assert "unused parameter" not in made.warnings


def test_warnings_are_told_once(compiled: Compile) -> None:
    """A warning of -Wall names the student's line, and the second compiler says it not again."""
    made = compiled("size_t room = 0;", "size_t room = 0; int unused;")
    assert made.built
    assert made.warnings.count("unused variable") == 1
    told = build.warnings(Build(targets=(made,)))
    assert [line.split(":")[0] for line in told] == ["user/greet.c"]


@pytest.mark.parametrize(
    ("change", "message", "output", "hint"),
    [
        (("free(name);", "free(name)"), "A semicolon is missing", "user/greet.c:", "Fix user/gre"),
        (("free(name);", "kfree(name);"), "kfree() is the kernel's own", "user/greet.c", "Fix"),
        (("free(name);", "lost(name);"), "does not know lost()", "error: implicit", "Fix"),
        (("int main(", "int mian("), "has no main()", "main", "Write int main(void)"),
        (('"words.h"', '"word.h"'), "There is no header word.h in the system", "word.h", "Fix"),
        (('"words.h"', '"/etc/passwd"'), "There is no header /etc/passwd", "/etc/passwd", "Fix"),
    ],
)
def test_a_program_that_does_not_compile_is_told_why(
    compiled: Compile, change: tuple[str, str], message: str, output: str, hint: str
) -> None:
    """With the compiler's words, the student's path and a sentence; the grader is not at fault."""
    made = compiled(*change)
    assert not made.built
    assert not made.grader_error
    assert message in made.message
    assert output in made.output
    assert hint in made.hint
    assert "/build/" not in made.output
    assert "/tmp/" not in made.output
    assert "knetlab" not in made.output


def test_a_program_that_compiles_without_sanitizers_alone_is_not_built(compiled: Compile) -> None:
    """What hinders AddressSanitizer would switch it off; the student is told so."""
    pasted = "#define J(a, b) a##b\n#if !J(__OPTI, MIZE__)\n"
    hidden = f"{pasted}#error only optimized\n#endif\n"
    made = compiled("#include <signal.h>", hidden + "#include <signal.h>")
    assert not made.built
    assert "with AddressSanitizer, though it does without" in made.message
    assert "only optimized" in made.output


@pytest.mark.parametrize(
    "word",
    [
        'const char *__asan_default_options(void) { return "detect_leaks=0"; }',
        "__attribute__((no_sanitize_address)) static void f(void) { }",
        'static const char *x = "ASAN_OPTIONS";',
    ],
)
def test_words_that_switch_a_sanitizer_off_are_refused(compiled: Compile, word: str) -> None:
    """The message names file, line and word; nothing is compiled."""
    made = compiled("int main(", f"{word}\nint main(")
    assert not made.built
    assert made.message.startswith("user/greet.c:")
    assert "keeps AddressSanitizer from watching" in made.message
    assert made.output == ""


def test_a_compiler_that_fails_for_all_is_the_graders_trouble(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lab's own program does not compile either, no student is to blame."""
    monkeypatch.setattr(program_build, "_PLAIN", ("-nosuchflag",))
    made = compiled()
    assert made.grader_error
    assert "The compiler does not work on this host." in made.message


def test_a_program_without_main_is_told_so_where_the_skeleton_has_none_either(
    fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """The linker names no file, and what was handed out does not link: yet the host is well."""
    root = tmp_path / "lab"
    shutil.copytree(fixture_lab.root, root)
    lab = fixture_lab.model_copy(update={"root": root})
    (root / "solution/user/greet.c").write_text("/* TODO 1: write main() */\n")
    given = submission.read(lab, lab.solution)
    made = program_build.build_program(lab, lab.target("greet"), given, stock_kernel)
    assert not made.grader_error
    assert "has no main()" in made.message
    assert made.hint.startswith("Write int main(void)")
    assert made.hint.endswith("in user/greet.c.")


def test_a_sandbox_that_does_not_start_is_the_graders_trouble(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are the message."""

    def fails(*_: object, **__: object) -> None:
        raise NoSandbox("The sandbox did not start: no user namespaces")

    monkeypatch.setattr(compiler, "run", fails)
    assert compiled().grader_error


def test_a_program_of_many_megabytes_is_refused(compiled: Compile) -> None:
    """A table that fills the file is told with its size."""
    made = compiled("static volatile", "char table[6 << 20] = { 1 };\nstatic volatile")
    assert not made.built
    assert "The program has 6 MiB, of 4" in made.message


def test_libraries_of_a_target_are_linked_and_given(stock_kernel: Kernel, fixture_lab: Lab) -> None:
    """-lresolv is on the command line, and a guest gets the file that it stands for."""
    target = fixture_lab.target("greet").model_copy(update={"libraries": ("resolv",)})
    assert program_build.command(target, (), "x")[-1] == "-lresolv"
    files = libraries.files(stock_kernel.tools, ["resolv"])
    assert files.keys() == {
        f"lib/{name}"
        for name in ("libresolv.so.2", "libc.so.6", "libm.so.6", "libgcc_s.so.1", libraries.LOADER)
    }


def test_a_library_that_is_not_there_is_named(stock_kernel: Kernel) -> None:
    """The error says which, and what to do."""
    with pytest.raises(
        VMError, match=r"The library nosuch of a lab's programs is not in .*install"
    ):
        libraries.files(stock_kernel.tools, ["nosuch"])


def test_a_library_that_is_not_there_is_an_error_of_lab_toml(
    fixture_lab: Lab, stock_kernel: Kernel
) -> None:
    """It is told with file and key before anything is built."""
    first = fixture_lab.builds[0].model_copy(update={"libraries": ("nosuch",)})
    lab = fixture_lab.model_copy(update={"builds": (first, *fixture_lab.builds[1:])})
    with pytest.raises(LabError, match=r"lab.toml: builds.libraries: The library nosuch"):
        grading.machine(lab, stock_kernel)
