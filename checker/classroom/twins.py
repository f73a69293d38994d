"""Files that several students have handed in byte for byte, the skeleton's own left out. Pure.

It needs no extra, and is surer than what looks alike: who wrote alone does not write the same
bytes. What one group has handed in for its members is one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from checker.model import Lab
from checker.workshop import skeleton

NAMED = 3
"""So many twins are named in a sentence; of more it says how many there are."""


@dataclass(frozen=True)
class Same:
    """Students who have the same files, and which these are."""

    students: tuple[str, ...]
    paths: tuple[str, ...]


def find(
    lab: Lab, sources: Mapping[str, Mapping[str, str]], of: Mapping[str, str] | None = None
) -> list[Same]:
    """Return who has the same files, those with the most files and students first.

    *sources* is student key -> path -> text; *of* is key -> where it came from: students with
    the same word there are a group that handed in once. A file counts that is none of the
    skeleton's, and is not empty.
    """
    of = of or {}
    given = {path: file.content.decode(errors="replace") for path, file in skeleton.of(lab).items()}
    who: dict[tuple[str, str], list[str]] = {}
    for student, files in sources.items():
        for path, text in files.items():
            if text.strip() and text != given.get(path):
                who.setdefault((path, text), []).append(student)
    paths: dict[tuple[str, ...], list[str]] = {}
    for (path, _), students in who.items():
        if len({of.get(student) or f"\0{student}" for student in students}) > 1:
            paths.setdefault(tuple(students), []).append(path)
    found = [Same(students, tuple(sorted(of_them))) for students, of_them in paths.items()]
    return sorted(found, key=lambda one: (-len(one.paths), -len(one.students), one.students))


def sentences(same: Iterable[Same], names: Mapping[str, str]) -> dict[str, str]:
    """Return key -> a sentence on whose files are the same; *names* is key -> what to call one."""
    found: dict[str, list[str]] = {}
    for one in same:
        files = _listed([path.rpartition("/")[2] for path in one.paths])
        for student in one.students:
            others = [names[other] for other in one.students if other != student]
            more = len(others) - NAMED
            others = [*others[:NAMED], f"{more} more"] if more > 0 else others
            found.setdefault(student, []).append(f"{files} as {_listed(others)}")
    return {student: f"The same {'; '.join(said)}." for student, said in found.items()}


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
