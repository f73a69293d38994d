"""Text that a student may have written, made harmless for the program that reads an export."""

from __future__ import annotations

import re

from checker.report.text import one_line, plain

# What spreadsheets take for the beginning of a formula, the wide forms too (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def cell(text: str) -> str:
    """Return *text* as one line that no spreadsheet takes for a formula.

    One that would be gets an apostrophe in front, as OWASP's page on CSV injection advises.
    """
    line = one_line(plain(text))
    return f"'{line}" if line.startswith(_FORMULA) or text.startswith(_FORMULA) else line


def workflow(text: str) -> str:
    """Return *text* with no line in it that GitHub's runner would take for a command.

    The runner (ActionCommand in actions/runner) takes ``::name::`` where a line begins, blanks
    left out, and the older ``##[name]`` anywhere in it; Azure's takes ``##vso[``.
    """
    text = re.sub(r"^([^\S\n]*):(?=:)", r"\1: ", text, flags=re.MULTILINE)
    return re.sub(r"#(?=#(?:\[|vso))", "# ", text)
