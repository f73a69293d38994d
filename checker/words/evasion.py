"""Pure: a source -> which of its words keeps the kernel from watching it.

A module rules its kernel and could do the same in ways that no word tells of; what it
turns off for all is seen in the guest (vm/witness). These words do it for one thread or
one function, where nothing can be seen afterwards.
"""

from __future__ import annotations

import re

_WORDS = (
    r"kasan_(?:disable|enable)_current|kasan_depth|kmsan_\w+",
    r"lockdep_(?:off|on|recursion)|lockdep_set_novalidate_class|__lockdep_no_validate__",
    r"debug_locks|kmemleak_(?:ignore|not_leak|no_scan|scan_area)",
    r"fail_nth|make_it_fail",
    r"(?:__)?no_sanitize\w*|__no_kasan_or_inline|__no_kcsan|noinstr",
)
"""Of Linux 6.1's and 6.12's include/linux (kasan.h, lockdep.h, kmemleak.h, sched.h,
compiler_types.h) and of gcc's attributes of functions."""

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|#\s*include\b[^\n]*"  # a comment, a header's name
    r'|"(?:\\.|[^"\\\n])*"?'  # a string
    r"|'(?:\\.|[^'\\\n])*'?"  # a character
    rf"|\b(?P<word>{'|'.join(_WORDS)})\b",
    re.DOTALL,
)
"""What has no end, which does not compile, is a token all the same: nothing is read twice."""


def find(content: bytes) -> tuple[int, str] | None:
    """Return the line and the first such word of a C source, outside comments and strings."""
    text = content.decode(errors="replace")
    for match in _TOKEN.finditer(text):
        if word := match["word"]:
            return text.count("\n", 0, match.start()) + 1, word
    return None
