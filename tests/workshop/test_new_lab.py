"""docs/authors/first-lab.md is done as it says, from `knetlab new` to a clean selftest.

A file of the page is a block of code below a line with its name; a session is a block
called console. Both are taken in the page's order, into a folder with nothing in it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT

PAGE = ROOT / "docs" / "authors" / "first-lab.md"

_BLOCK = re.compile(
    r"^(?:`(?P<name>labs/\S+)`:\n\n)?(?P<fence>`{3,})(?P<kind>\w+)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)

VARIES = (
    r"(?<=seed )\d+",
    r"(?<=port=)\d+",
    r"\d[\d.]*(?= seconds)",
    r"\b\d+\.\d+\.\d+\S*amd64\b",
    r"(?<=  )\d+ *$",  # the last column of selftest's table: seconds
)
"""What is another number in every run."""


@dataclass(frozen=True)
class Block:
    """A block of the page: the file *name* and its *text*, or a session without a name."""

    name: str
    kind: str
    text: str


def blocks() -> list[Block]:
    """Return the files and the sessions of the page, in order."""
    found = [
        Block(m["name"] or "", m["kind"], m["text"]) for m in _BLOCK.finditer(PAGE.read_text())
    ]
    return [block for block in found if block.name or block.kind == "console"]


def steady(text: str) -> list[str]:
    """Return the lines of an output that say something, without what varies and how it is set."""
    for pattern in VARIES:
        text = re.sub(pattern, "N", text, flags=re.MULTILINE)
    lines = (" ".join(re.sub("─+", "─", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


def shows(shown: str, came: str) -> bool:
    """Tell whether *came* is what the page shows, in which … stands for any lines."""
    pattern = "\n".join("(?:.*\n)*.*" if line == "…" else re.escape(line) for line in steady(shown))
    return re.fullmatch(pattern, "\n".join(steady(came))) is not None


def do(command: str, folder: Path) -> str:
    """Run a command of the page in *folder*; return what it prints."""
    knetlab = shlex.join([sys.executable, "-m", "checker"])
    done = subprocess.run(
        ["/bin/sh", "-c", re.sub(r"^knetlab\b", knetlab, command)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "KNETLAB_LABS": str(folder / "labs")},
    )
    assert done.returncode in (0, 1), f"{command}\n{done.stderr}"
    return done.stdout


@pytest.mark.vm
def test_walk_through_gives_what_it_shows(tmp_path: Path) -> None:
    """The page's files and commands make a lab whose selftest is clean, as the page says."""
    written = set()
    for block in blocks():
        if block.name:
            path = tmp_path / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert block.name not in written, "a file stands on the page once"
            written.add(block.name)
            path.write_text(block.text)
            continue
        for session in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, shown = session.partition("\n")
            came = do(command, tmp_path)
            assert shows(shown, came), f"$ {command}\n{came}"


def test_walk_through_has_what_it_promises() -> None:
    """It goes from a new lab to a selftest that is clean, with mutants that are caught."""
    files = [block.name.removeprefix("labs/firewall/") for block in blocks() if block.name]
    sessions = "".join(block.text for block in blocks() if not block.name)
    assert sessions.startswith("$ knetlab new firewall\n")
    assert files[0] == "lab.toml"
    rows = next(block.text for block in blocks() if block.name.endswith("/mutants/1.toml"))
    assert len(re.findall(r"^\[1-", rows, re.MULTILINE)) >= 3
    assert [f for f in files if f.startswith("mutants/1/") and f.endswith(".patch")]
    assert [f for f in files if f.startswith("idioms/")]
    assert sessions.rstrip().endswith("all results are as expected.")
    assert re.search(r"Close a port +0 of 10 ", sessions)
    assert re.search(r"Close a port +10 of 10 ", sessions)
    assert re.search(r" 5 of 5 ", sessions)


def test_shown_output_is_compared() -> None:
    """Numbers that vary and lines left out are forgiven, and nothing else is."""
    assert shows("a  b\n…\nseed 5, 1.5 seconds\n", "a b\nx\ny\nseed 77, 20 seconds\n")
    assert not shows("a\n…\nc\n", "a\nb\n")
    assert not shows("0 of 10 points\n", "1 of 10 points\n")
