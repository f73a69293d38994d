"""Words that keep the kernel from watching a module: found in code, and nowhere else."""

from __future__ import annotations

import pytest

from checker.words import evasion


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a\\\nb; lock\\\ndep_off();\n", (2, "lockdep_off")),
        ("/\\\n/ lockdep_off();\nlockdep_off();\n", (3, "lockdep_off")),
        ("int a;\n\tkasan_disable_current();\n", (2, "kasan_disable_current")),
        ("\tlockdep_off();", (1, "lockdep_off")),
        ("current->kasan_depth++;", (1, "kasan_depth")),
        ("\tcurrent->fail_nth = 0;", (1, "fail_nth")),
        ("static noinstr void f(void)", (1, "noinstr")),
        ("__attribute__((no_sanitize_address)) int f;", (1, "no_sanitize_address")),
        ('__attribute__((no_sanitize("address")))', (1, "no_sanitize")),
        ("static __no_sanitize_address int f(void)", (1, "__no_sanitize_address")),
        ("c = '\"'; lockdep_off(); c = '\"';", (1, "lockdep_off")),
        ("// nothing\n/* two\nlines */ lockdep_off();", (3, "lockdep_off")),
        ('s = "\\\\"; lockdep_off(); t = "";', (1, "lockdep_off")),
        ("\xff lockdep_off()", (1, "lockdep_off")),
        # no code
        ("/* lockdep_off() would hide it */\n// noinstr\n", None),
        ('pr_info("fail_nth \\" lockdep_off()");', None),
        ("it's = 0; my_lockdep_off(); lockdep_office;", None),
        ("#include <linux/debug_locks.h>\n", None),
        ("debug_locks_off();", None),  # for all: what the guest sees
        ("", None),
    ],
)
def test_words_are_found_in_code(source: str, found: tuple[int, str] | None) -> None:
    """The first one is told with its line; comments, strings and longer words are none."""
    assert evasion.find(source.encode("latin-1")) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("const char *__asan_default_options(void)", (1, "__asan_default_options")),
        ("\n__lsan_disable();", (2, "__lsan_disable")),
        ("#ifdef __SANITIZE_ADDRESS__", (1, "__SANITIZE_ADDRESS__")),
        ('__attribute__((no_sanitize("undefined")))', (1, "no_sanitize")),
        ("__attribute__((no_sanitize_address))", (1, "no_sanitize_address")),
        ('setenv("ASAN_OPTIONS", "", 1);', (1, "ASAN_OPTIONS")),
        ('dlsym(NULL, "__lsan_disable")', (1, "__lsan_disable")),
        ('asm("call __asan_init");', (1, "__asan_init")),
        ('puts("//"); __ubsan_on_report();', (1, "__ubsan_on_report")),
        ('__attribute__((no_\\\nsanitize("address")))', (1, "no_sanitize")),
        ("#ifdef __OPTIMIZE__", (1, "__OPTIMIZE__")),
        ("ASAN_UNPOISON_MEMORY_REGION(p, 9);", (1, "ASAN_UNPOISON_MEMORY_REGION")),
        ("\n# include <sanitizer/asan_interface.h>", (2, "sanitizer/asan_interface")),
        # no code, or a module's
        ("// __lsan_disable\n/* ASAN_OPTIONS */", None),
        ("lockdep_off();", None),
        ("int sanitize;", None),
    ],
)
def test_words_of_sanitizers_are_found_in_programs(
    source: str, found: tuple[int, str] | None
) -> None:
    """Those that switch a sanitizer off, or ask whether it is there, in strings as well."""
    assert evasion.find(source.encode(), "program") == found


def test_names_are_found_in_what_was_built() -> None:
    """Where the preprocessor or the compiler has put them together."""
    assert evasion.in_program(b"\0\1__asan_unpoison_memory_region\0") == (
        "__asan_unpoison_memory_region"
    )
    assert evasion.in_program(b"ASAN_OPTIONS=") == "ASAN_OPTIONS"
    assert evasion.in_program(b"sanitize __asan_\0") == ""


@pytest.mark.parametrize("source", [b"/* ", b'"\\', b"'\\", b"# ", b"#\n", b"\\\n"])
def test_what_never_ends_is_read_once(source: bytes) -> None:
    """A megabyte of tokens without an end takes no longer than any other; it took minutes."""
    assert evasion.find(source * (1_000_000 // len(source))) is None
