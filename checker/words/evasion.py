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
    r"(?:ASAN|LSAN|UBSAN)_OPTIONS",
)
"""Of gcc's attributes and macros, and of sanitizer/asan_interface.h and the like."""


def _tokens(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds a token; what has no end is one, too: nothing is read twice."""
    return re.compile(
        r"//[^\n]*|/\*.*?(?:\*/|\Z)|#\s*include\b[^\n]*"  # a comment, a header's name
        r'|(?P<string>"(?:\\.|[^"\\\n])*"?)'
        r"|'(?:\\.|[^'\\\n])*'?"  # a character
        rf"|\b(?P<word>{'|'.join(words)})\b",
        re.DOTALL,
    )


_TOKENS = {"module": _tokens(_OF_MODULES), "program": _tokens(_OF_PROGRAMS)}
_IN_STRING = re.compile("|".join(_OF_PROGRAMS))


def find(content: bytes, kind: Literal["module", "program"] = "module") -> tuple[int, str] | None:
    """Return the line and the first such word of a C source, outside comments.

    A module's strings are left out; a program's may be for setenv(), dlsym() or the assembler.
    """
    text = content.decode(errors="replace")
    for match in _TOKENS[kind].finditer(text):
        word = match["word"]
        if kind == "program" and match["string"] and (told := _IN_STRING.search(match["string"])):
            word = told[0]
        if word:
            return text.count("\n", 0, match.start()) + 1, word
    return None
