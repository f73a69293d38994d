"""Transcripts of a guest's shell that texts show: where they stand, and what varies in them."""

from __future__ import annotations

import re


def blocks(language: str, text: str) -> list[str]:
    """Return the blocks of code in this language, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def sessions(text: str) -> list[str]:
    """Return the blocks that show a guest's shell: they begin with its prompt, "# "."""
    return [block for block in blocks("console", text) if block.startswith("# ")]


def same(text: str) -> str:
    """Take out of a session's text what differs between runs and builds: times, addresses."""
    text = re.sub(r"^(\[| *\w+-\d+ ).*?\d\.\d{6}(\]|:)", r"TIME", text, flags=re.MULTILINE)
    text = re.sub(r"\b(0x)?(ffff[0-9a-f]{12})\b", "ADDRESS", text)
    text = re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "+OFFSET", text)
    text = re.sub(r"(?<=127\.0\.0\.1[.:])(?!6000)\d+", "PORT", text)
    text = re.sub(r"(?<=task )\d+|(?<=rmmod/)\d+|(?<=seq )\d+|(?<=TS val )\d+", "N", text)
    text = re.sub(r"^\t0x00[0-9a-f]0: .*$", "BYTES", text, flags=re.MULTILINE)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)
