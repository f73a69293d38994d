"""Files in a student's folder that count for nothing, which a student may not expect."""

from __future__ import annotations

import contextlib
from pathlib import Path

from checker.desk import work
from checker.model import Lab
from checker.report.story import listed
from checker.report.text import count

MOST = 5
"""So many are told of."""

_CODE = (".c", ".h", ".S")
_RECIPES = ("Kbuild", "Makefile")


def notes(lab: Lab, folder: Path) -> list[str]:
    """Return a sentence for each file in *folder* that a student wrote for nothing.

    That is a file which the lab brings along, where it was edited; and code which is no part
    of the lab. The last sentence says what is read.
    """
    given = work.handed_out(lab)
    found = []
    for name, file in given.items():
        if name not in lab.sources and _differs(folder / name, file.versions | {file.content}):
            found.append(
                f"{work.shown(folder / name)} was edited, but knetlab uses the lab's own copy."
            )
    for place in sorted({Path(), *(Path(name).parent for name in given)}):
        for path in _code(folder / place):
            if (place / path.name).as_posix() not in given:
                found.append(f"{work.shown(path)} is not read{_instead(lab, place, path)}.")
    if not found:
        return []
    more = len(found) - MOST
    rest = [f"The same is true for {count(more, 'more file')}."] if more > 0 else []
    return [*found[:MOST], *rest, f"knetlab reads only your {listed(lab.sources)}."]


def _instead(lab: Lab, place: Path, path: Path) -> str:
    """Return where the code of *path*, which lies in the folder *place*, would be read."""
    own = [name for name in lab.sources if Path(name).parent == place and path.suffix in _CODE]
    return f": put its code into {Path(own[0]).name}" if own else ""


def _differs(path: Path, versions: frozenset[bytes]) -> bool:
    with contextlib.suppress(OSError):
        if path.is_file():
            largest = max(map(len, versions))
            return path.stat().st_size > largest or path.read_bytes() not in versions
    return False


def _code(folder: Path) -> list[Path]:
    """Return the files in *folder* that look like code of a student's, by name."""
    with contextlib.suppress(OSError):
        return sorted(
            path
            for path in folder.iterdir()
            if (path.suffix in _CODE or path.name in _RECIPES)
            and not path.name.endswith(".mod.c")  # the kernel's build writes it
            and not path.name.startswith(".")
            and path.is_file()
        )
    return []
