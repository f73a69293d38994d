"""Pure: a source -> which of its words keeps the kernel, or a sanitizer, from watching it.

A module rules its kernel and could do the same in ways that no word tells of; what it
turns off for all is seen in the guest (vm/witness). These words do it for one thread or
one function, where nothing can be seen afterwards. A program could do the same to the
sanitizers that it is built with (checker/engine/program_build.py).
"""

from __future__ import annotations

import re
from typing import Literal

_OF_MODULES = (
    r"kasan_(?:disable|enable)_current|kasan_depth|kmsan_\w+",
    r"lockdep_(?:off|on|recursion)|lockdep_set_novalidate_class|__lockdep_no_validate__",
    r"debug_locks|kmemleak_(?:ignore|not_leak|no_scan|scan_area)",
    r"fail_nth|make_it_fail",
    r"(?:__)?no_sanitize\w*|__no_kasan_or_inline|__no_kcsan|noinstr",
)
"""Of Linux 6.1's and 6.12's include/linux (kasan.h, lockdep.h, kmemleak.h, sched.h,
compiler_types.h) and of gcc's attributes of functions."""

_OF_PROGRAMS = (
    r"(?:__)?no_sanitize\w*|(?:__)?no_address_safety_analysis(?:__)?",
    r"__(?:asan|lsan|ubsan|sanitizer)_\w+|__SANITIZE_\w+|__has_feature",
    r"(?:ASAN|LSAN|UBSAN)_OPTIONS|ASAN_(?:UN)?POISON_MEMORY_REGION",
    r"__OPTIMIZE__|__NO_INLINE__",
)
"""Of gcc's attributes and macros, and of sanitizer/asan_interface.h and the like. The last two
tell the plain program from the other one, which is compiled without optimization."""


_SPLICE = re.compile(r"\\[ \t]*\r?\n")
"""A line that goes on: the compiler joins them before it looks for words."""


def _tokens(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds a token; what has no end is one, too: nothing is read twice."""
    return re.compile(
        r"//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<header>#\s*include\b[^\n]*)"  # a comment, a header's name
        r'|(?P<string>"(?:\\.|[^"\\\n])*"?)'
        r"|'(?:\\.|[^'\\\n])*'?"  # a character
        rf"|\b(?P<word>{'|'.join(words)})\b",
        re.DOTALL,
    )


_TOKENS = {"module": _tokens(_OF_MODULES), "program": _tokens(_OF_PROGRAMS)}
_IN_STRING = re.compile("|".join(_OF_PROGRAMS))
_HEADER = re.compile(r"sanitizer/\w+")
_BUILT = re.compile(rb"__(?:asan|lsan|ubsan|sanitizer)_\w+|(?:ASAN|LSAN|UBSAN)_OPTIONS")


def find(content: bytes, kind: Literal["module", "program"] = "module") -> tuple[int, str] | None:
    """Return the line and the first such word of a C source, outside comments.

    A module's strings are left out; a program's may be for setenv(), dlsym() or the assembler.
    """
    whole = content.decode(errors="replace")
    text = _SPLICE.sub("", whole)
    for match in _TOKENS[kind].finditer(text):
        word = match["word"]
        if kind == "program" and match["string"] and (told := _IN_STRING.search(match["string"])):
            word = told[0]
        if kind == "program" and match["header"] and (told := _HEADER.search(match["header"])):
            word = told[0]
        if word:
            return _line(whole, text, match.start()), word
    return None


def in_program(content: bytes) -> str:
    """Return the first such name in a program that was built without sanitizers, or nothing.

    The preprocessor and the compiler may have put it together of what is none in the source.
    """
    match = _BUILT.search(content)
    return match[0].decode() if match else ""


def _line(whole: str, text: str, at: int) -> int:
    """Return the line in *whole* of what stands at *at* in *text*, where lines are joined."""
    line, removed = 1 + text.count("\n", 0, at), 0
    for splice in _SPLICE.finditer(whole):
        if splice.start() - removed > at:
            break
        removed += len(splice[0])
        line += 1
    return line
