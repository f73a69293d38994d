"""Where a lab's files lie among all that a student handed in, and a folder with just those.

Students hand in their folder, the folder around it, or the files alone. What
could be meant in two ways is not guessed.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from checker.classroom.intake.names import shown
from checker.engine.submission import MAX_SOURCE
from checker.errors import InputError
from checker.model import Lab

MAX_FILES = 20_000
"""How many files of one submission are looked at."""

_IGNORED = frozenset({".git", ".svn", ".hg", "__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
_DEPTH = 60


@dataclass(frozen=True)
class Source:
    """A regular file that was handed in: its path within, and where it lies now."""

    parts: tuple[str, ...]
    path: Path
    origin: str = ""
    """The archive it was in, for people; empty if it lay there as it is."""

    @property
    def shown(self) -> str:
        """The path for people."""
        inside = shown("/".join(self.parts))
        return f"{self.origin}: {inside}" if self.origin else inside


@dataclass(frozen=True)
class Found:
    """What was chosen: file of the lab -> source; or a *problem* when there is nothing to grade."""

    files: dict[str, Source] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def ignored(name: str) -> bool:
    """Say whether a file or folder called *name* is none of a student's work."""
    return name in _IGNORED or name.startswith("._")


def walk(folder: Path, notes: list[str]) -> Iterator[Source]:
    """Yield the regular files below *folder*, in order; says in *notes* what links it has.

    Raises InputError when there are more than MAX_FILES.
    """
    count = 0
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    while waiting:
        here, parts = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"{shown('/'.join(parts))} cannot be read: {error.strerror}.")
            continue
        for entry in entries:
            count += 1
            if count > MAX_FILES:
                raise InputError(
                    f"There are more than {MAX_FILES} files; hand in the files of the lab only."
                )
            path = (*parts, entry.name)
            if ignored(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if len(path) < _DEPTH:
                    waiting.append((Path(entry.path), path))
            elif entry.is_file(follow_symlinks=False):
                yield Source(path, Path(entry.path))
            elif entry.name.endswith((".c", ".h")) and len(notes) < 10:
                what = "a link" if entry.is_symlink() else "no regular file"
                notes.append(f"{shown('/'.join(path))} is {what} and was left out.")


def wanted(lab: Lab) -> dict[str, tuple[str, ...]]:
    """Return the files a student of *lab* hands in, each with the parts of its path."""
    return {name: PurePosixPath(name).parts for name in lab.sources}


def is_laid_out(lab: Lab, folder: Path) -> bool:
    """Say whether *folder* itself holds files of *lab*, in their folders or without."""
    return any(
        os.path.lexists(folder.joinpath(*parts)) or os.path.lexists(folder / parts[-1])
        for parts in wanted(lab).values()
    )


def choose(lab: Lab, sources: Iterable[Source]) -> Found:
    """Choose the files of *lab* among *sources*, and say what a student should know of it.

    Files in their folders count first. Where two such places differ, the one that has
    as many files and lies nearer to the top is taken; where neither is better, that is
    a problem. A file that is not there may lie anywhere else, if there is one.
    """
    sources = list(sources)
    files = wanted(lab)
    places = _places(files, sources)
    notes: list[str] = []
    chosen: dict[str, Source] = {}
    if places:
        place = _best(lab, places)
        if place is None:
            names = " and ".join(sorted(_place_shown(p) for p in places)[:4])
            return Found(
                missing=tuple(files),
                problem=f"The lab's files are there more than once, and differ: in {names}. "
                "Leave one of them.",
            )
        chosen = dict(places[place])
    loose = [source for source in sources if source not in chosen.values()]
    for name in [name for name in files if name not in chosen]:
        best, older = _loose(name, files, loose)
        if len(best) > 1:
            names = " and ".join(sorted(source.shown for source in best)[:4])
            problem = f"{files[name][-1]} is there more than once, and differs: {names}. "
            return Found(missing=tuple(files), problem=f"{problem}Leave one of them.")
        for source in best:
            chosen[name] = source
            if len(source.parts) > 1:  # files without folders are what an LMS asks for
                folder = PurePosixPath(name).parent
                notes.append(f"{source.shown} is not in {folder}; it was taken.")
            if others := " and ".join(sorted(other.shown for other in older)[:4]):
                was = "was" if len(older) == 1 else "were"
                notes.append(f"{others} {was} not taken: the highest number is the newest file.")
    unused = [p for p in places if not set(places[p].values()) & set(chosen.values())]
    if names := " and ".join(sorted(map(_place_shown, unused))[:4]):
        notes.append(f"There are some in {names} as well, which were not taken.")
    missing = tuple(name for name in files if name not in chosen)
    if not chosen:
        few = ", ".join(sorted(source.shown for source in sources)[:5]) or "nothing"
        problem = f"None of the lab's files is there: looked for {', '.join(files)}, found {few}."
        return Found(missing=missing, problem=problem)
    return Found({name: chosen[name] for name in files if name in chosen}, missing, tuple(notes))


Place = tuple[str, tuple[str, ...]]
"""The archive, or none, and the folder that the lab's own folders lie in."""


def _place_shown(place: Place) -> str:
    origin, parts = place
    inside = shown("/".join(parts)) if parts else "the top level"
    return f"{origin}: {inside}" if origin else inside


def _places(
    files: dict[str, tuple[str, ...]], sources: list[Source]
) -> dict[Place, dict[str, Source]]:
    places: dict[Place, dict[str, Source]] = {}
    for source in sources:
        for name, parts in files.items():
            if len(parts) > 1 and source.parts[-len(parts) :] == parts:
                place = (source.origin, source.parts[: -len(parts)])
                places.setdefault(place, {})[name] = source
    return places


def _best(lab: Lab, places: dict[Place, dict[str, Source]]) -> Place | None:
    """Return the place to take, None if there is no saying."""
    if len(places) == 1:
        return next(iter(places))
    marked = [place for place in places if place[1][-2:] == ("skels", lab.name)]
    if len(marked) == 1:  # a copy of the whole project, in which a student works just there
        return marked[0]

    def rank(place: Place) -> tuple[int, int]:
        return len(places[place]), -len(place[1])

    best = max(places, key=rank)
    for place, files in places.items():
        if place == best or not _differ(files, places[best]):
            continue
        as_good = all(mine >= other for mine, other in zip(rank(best), rank(place), strict=True))
        if not as_good or rank(place) == rank(best):
            return None
    return best


def _differ(files: dict[str, Source], others: dict[str, Source]) -> bool:
    """Say whether a file that both places have is not the same."""
    return any(
        read(files[name].path) != read(others[name].path) for name in files.keys() & others.keys()
    )


def _loose(
    name: str, files: dict[str, tuple[str, ...]], sources: list[Source]
) -> tuple[list[Source], list[Source]]:
    """Return what can be the file *name* (none, one, or several that differ), and older ones.

    Canvas and browsers number a name that they had before: the highest is the newest.
    """
    parts = files[name]
    ranks: dict[tuple[bool, int, int], dict[int, list[Source]]] = {}
    base = Path(parts[-1])
    again = re.compile(
        rf"{re.escape(base.stem)}(?:-(\d+)| ?\((\d+)\)){re.escape(base.suffix)}", re.IGNORECASE
    )
    alone = Counter(other[-1] for other in files.values())[parts[-1]] == 1
    for source in sources:
        exact = source.parts[-1] == parts[-1]
        numbered = again.fullmatch(source.parts[-1])
        if exact or numbered:
            depth = _common_end(source.parts[:-1], parts[:-1])
            if alone or depth:
                number = int(numbered[1] or numbered[2]) if numbered else 0
                of_rank = ranks.setdefault((exact, depth, -len(source.parts)), {})
                of_rank.setdefault(number, []).append(source)
    if not ranks:
        return [], []
    by_number = ranks[max(ranks)]
    best = by_number.pop(max(by_number))
    text = read(best[0].path)
    if any(read(source.path) != text for source in best):
        return best, []
    older = [source for found in by_number.values() for source in found]
    return best[:1], [source for source in older if read(source.path) != text]


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count


# --- copying -------------------------------------------------------------------------


def read(path: Path) -> bytes:
    """Read a regular file, through no link, for one byte more than a source file may have."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as f:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InputError(f"{shown(path.name)} is not a regular file any more.")
        return f.read(MAX_SOURCE + 1)


def lay_out(found: Found, folder: Path) -> None:
    """Copy the files of *found* to the new *folder*, as submission.read() takes them."""
    folder.mkdir(parents=True)
    for name, source in found.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read(source.path))
