"""`knetlab source NAME`: where the kernel defines a function, a struct or a macro, and its text.

It reads the source of the guest's kernel (vm/source.py). The kernel's style makes that easy: a
definition begins in the first column, and its closing brace stands in the first column, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOST = 5
"""So many definitions of one name are shown; a static function may have more."""


@dataclass(frozen=True)
class Definition:
    """A place in the source: *file* within it, the first *line*, and the *text* from there on."""

    file: str
    line: int
    text: str


def find(source: Path, name: str) -> list[Definition]:
    """Return the definitions of *name* below the folder *source*, those of net/ first."""
    starts = _starts(name)
    word = name.encode()
    found = []
    files = sorted(source.rglob("*.[ch]"), key=lambda p: _order(p.relative_to(source)))
    for path in files:
        raw = path.read_bytes()
        if word not in raw:
            continue
        text = raw.decode(errors="replace")
        for match in starts.finditer(text):
            if body := _whole(text, match):
                line = text.count("\n", 0, match.start()) + 1
                found.append(Definition(str(path.relative_to(source)), line, body))
    return found


def _order(path: Path) -> tuple[bool, str]:
    return path.parts[0] != "net", str(path)


def _starts(name: str) -> re.Pattern[str]:
    """Return what the first line of a definition of *name* looks like."""
    word = re.escape(name)
    function = rf"[A-Za-z_][\w \t*]*?\b{word}\("
    old_style = rf"[A-Za-z_][\w \t*]*\n{word}\("  # the type on a line of its own
    call = rf"(?:COMPAT_)?SYSCALL_DEFINE\d\({word}\b"
    kind = rf"(?:struct|union|enum) {word} \{{"
    macro = rf"#[ \t]*define {word}\b"
    return re.compile(rf"^(?:{call}|{kind}|{macro}|{old_style}|{function})", re.MULTILINE)


def _whole(text: str, match: re.Match[str]) -> str:
    """Return the definition that begins with *match*; "" where it is only a declaration."""
    if match[0].startswith("#"):
        macro = re.compile(r"(?:.*\\\n)*.*").match(text, match.start())
        return macro[0] if macro else ""
    end = re.compile(r"^\}.*$", re.MULTILINE).search(text, match.start())
    opened = text.find("{", match.start())
    declared = text.find(";", match.start())
    if end is None or opened < 0 or (0 <= declared < opened):
        return ""
    return text[match.start() : end.end()]


def shown(found: list[Definition]) -> str:
    """Return the text for a terminal: each place, and below it the lines with their numbers."""
    parts = []
    for one in found[:MOST]:
        lines = one.text.split("\n")
        wide = len(str(one.line + len(lines) - 1))
        numbered = (f"{one.line + n:{wide}}  {line}".rstrip() for n, line in enumerate(lines))
        parts.append("\n".join((f"{one.file}:{one.line}", *numbered)))
    if len(found) > MOST:
        places = ", ".join(f"{one.file}:{one.line}" for one in found[MOST : MOST + 10])
        parts.append(f"There are {len(found)} definitions. The next ones: {places}")
    return "\n\n".join(parts)
