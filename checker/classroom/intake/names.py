"""Names from outside, which may hold any bytes: made fit to print, or to name a file."""

from __future__ import annotations

import re
import unicodedata


def printable(text: str) -> str:
    """Return *text* with a replacement for all that would not print as itself."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown(name: str) -> str:
    """Return *name* fit to stand in a sentence: printable, and not long."""
    text = printable(name)
    return text if len(text) <= 120 else f"{text[:80]}...{text[-30:]}"


def slug(text: str) -> str:
    """Return what of *text* can stand in a file's name: lower case, no accents, 60 characters."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9._]+", "-", plain.lower()).strip("-._")[:60].strip("-._")
