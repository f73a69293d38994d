"""labs/<lab>/survivors.toml: the edits of the solution that are no mistake, each with its reason.

A row is one of mutants/*.toml (checker/workshop/rows.py) with the key ``why`` and no other::

    [filter-comparison-of-errors]
    why = "kernel_getpeername() never returns 0"
    file = "3-4-tcp-sock/tcp_sock.c"
    old = "if (err < 0) {"
    new = "if (err <= 0) {"

It stands for the mutant that has the same text, white space aside, so that it does not matter
how many lines old and new have, or where they are now.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from checker.errors import LabError
from checker.workshop import rows

FILE = "survivors.toml"


@dataclass(frozen=True)
class Survivor:
    """One row: where it stands, the reason, and the text that each file of its has with it.

    *texts* is empty where *misfit* says why its edits cannot be made.
    """

    name: str
    place: str
    why: str
    texts: frozenset[tuple[str, str]]
    misfit: str = ""


def same(text: str) -> str:
    """Return what two texts have in common that differ in white space alone."""
    return " ".join(text.split())


def load(path: Path, solution: Path) -> list[Survivor]:
    """Read the rows of *path*; none if there is no such file.

    Raises LabError naming file and line of a row that is none.
    """
    return [_of(path, row, solution) for row in rows.read(path)] if path.exists() else []


def _of(path: Path, row: rows.Row, solution: Path) -> Survivor:
    for key, (line, _) in row.keys.items():
        if key != "why":
            raise LabError(
                f"{path}:{line}: {row.name}: a row has the keys why, file, old, new, not {key!r}."
            )
    _, why = row.keys.get("why", (0, ""))
    if not why.strip():
        raise LabError(f"{path}:{row.line}: {row.name}: give it a why: a reason, in words.")
    by_file: dict[str, list[rows.Edit]] = defaultdict(list)
    for edit in row.edits:
        by_file[edit.file].append(edit)
    place = f"{path}:{row.line}"
    texts = set()
    for file, edits in by_file.items():
        try:
            text = rows.apply(edits, (solution / file).read_text(encoding="utf-8"))
        except OSError:
            return Survivor(row.name, place, why, frozenset(), f"the solution has no file {file}")
        except rows.NotOnce as error:
            misfit = f"its old text stands {error.often} in {file}, and must stand there once"
            return Survivor(row.name, place, why, frozenset(), misfit)
        texts.add((file, same(text)))
    return Survivor(row.name, place, why, frozenset(texts))
