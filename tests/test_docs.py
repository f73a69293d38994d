"""The commands that the pages show: each is one that the command line has."""

from __future__ import annotations

import re
import shlex

import pytest
from support import ROOT

from checker import cli
from checker.words import kernel_kinds

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("labs/*/*.md")]


def commands() -> list[tuple[str, str]]:
    """Return the page and the text of each command of knetlab's in a block of code."""
    found = []
    for page in PAGES:
        for block in re.findall(
            r"^```[^`\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            for line in re.findall(r"^(?:\$ )?(?:\.venv/bin/)?knetlab (.*)$", block, re.MULTILINE):
                found.append((page.name, line))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_of_a_page_is_understood(page: str, command: str) -> None:
    """Neither a command nor an option on a page is made up."""
    words = shlex.split(re.sub(r"\[.*?\]", "", command), comments=True)
    words = [word for word in words if word not in ("|", "||")]
    assert cli.parser().parse_args(words).command == words[0], page


def test_pages_have_commands() -> None:
    """The pattern above still finds what it looks for."""
    assert len(commands()) > 8


NOT_PLAIN = (
    *("built to notice", "tells on what", "out of both sums", "in neither sum"),
    *("seed stands in", "so many at a time", "Mend ", "mend what", "Nothing to mend"),
    *("Take back what was added", "under its hands", "would tell on"),
)
"""Words that students and instructors had to read twice; there are plainer ones."""


def test_phrases_that_had_to_be_read_twice_stay_away() -> None:
    """Neither a page nor a message has one of them again."""
    code = [
        path for name in ("checker", "vm", "labs", "tools") for path in (ROOT / name).rglob("*")
    ]
    texts = [path for path in code if path.suffix in (".py", ".j2", ".sh", ".mk", ".toml", ".md")]
    for path in {*PAGES, *texts, ROOT / "Makefile"}:
        if path.parent.name == "mutants":
            continue
        found = [words for words in NOT_PLAIN if words in path.read_text()]
        assert not found, f"{path.relative_to(ROOT)} has {found}"


def test_page_has_every_kind_of_finding() -> None:
    """The table of architecture.md is whole, and no kind in it is made up."""
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition("| kind | the kernel saw |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    told = {kind for cell in first for kind in re.findall(r"`([\w-]+)`", cell)}
    own = set(
        re.findall(r'Finding\(kind="([\w-]+)"', (ROOT / "checker/engine/check_run.py").read_text())
    )
    assert own == {"stuck-module", "watch-off", "taint", "lost-guest"}
    assert told == {row.kind for row in kernel_kinds.KINDS if row.kind} | own
