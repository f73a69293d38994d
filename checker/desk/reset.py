"""Put the regions of exercises back to what was handed out, and leave the rest as it is.

What was handed out says which lines are whose: a function or variable whose TODOs are all of
one exercise is that exercise's; where those of several stand in one, each has the lines from
its own TODO to the next. A student's file is compared with it, line by line, and of the
differences those are taken back that touch the exercises' lines.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from checker.desk import work
from checker.errors import InputError
from checker.model import Lab
from checker.workshop import skeleton
from checker.workshop.skeleton import SkeletonFile

_TODO = re.compile(r"TODO (\d+)\b")


class TogetherError(Exception):
    """Lines of the student's, from *first* to *last*, that may belong to any of *exercises*."""

    def __init__(self, first: int, last: int, exercises: Collection[int]) -> None:
        super().__init__(f"lines {first} to {last}")
        self.first = first
        self.last = last
        self.exercises = sorted(exercises)


@dataclass(frozen=True)
class Report:
    """What reset() did; paths are relative to the student's folder."""

    written: tuple[str, ...]
    backups: tuple[tuple[str, str], ...]
    """Pairs of a file and the name under which the student's version is kept."""

    anew: tuple[int, ...]
    """Further exercises that begin anew, as their file had been lost."""

    stay: tuple[int, ...]
    """Later exercises in the same files, of which the student's lines stay."""


def reset(lab: Lab, folder: Path, numbers: Collection[int]) -> Report:
    """Take exercises back to what was handed out, in the student's *folder*.

    A file that is changed is kept under the name the report has for it; one that is missing
    or empty is written as handed out. Raises InputError, and changes nothing, where the student's
    lines cannot be told from those of other exercises.
    """
    files: dict[str, SkeletonFile] = {}
    lost: set[str] = set()
    exercises = [work.exercise(lab, number) for number in numbers]
    handed_out = work.handed_out(lab)
    for target in {t.name: t for e in exercises for t in lab.targets(e)}.values():
        for name in target.files:
            path, given = folder / name, handed_out[name]
            text = given.content.decode()
            mine = _read(path) if path.is_file() else ""
            if not mine.strip():
                lost.add(name)
            else:
                try:
                    text = take_back(mine, text, numbers, solved(lab, name))
                except TogetherError as error:
                    raise _refused(path, error) from None
                if text == mine:
                    continue
            # without its versions every file there counts as edited: a backup is kept
            files[name] = SkeletonFile(text.encode(), given.executable, frozenset())
    done = skeleton.write(files, folder, force=True)
    others = [e for e in lab.exercises if e.number not in numbers]
    return Report(
        done.written,
        done.backups,
        anew=tuple(e.number for e in others if not lost.isdisjoint(lab.files(e))),
        stay=tuple(
            e.number
            for e in others
            if e.number > max(numbers)
            and any(
                _begun(lab, name, files[name].content.decode(), e.number)
                for name in lab.files(e)
                if name in files and name not in lost
            )
        ),
    )


def _begun(lab: Lab, name: str, text: str, number: int) -> bool:
    """Tell whether *text*, of the file *name*, has lines of the student's for exercise *number*."""
    given = work.handed_out(lab)[name].content.decode()
    try:
        return take_back(text, given, [number], solved(lab, name)) != text
    except TogetherError:
        return True


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is not UTF-8 text, so nothing was reset. {_START_OVER}."
        ) from None


_START_OVER = "`make skels FORCE=1` writes all files again and keeps yours as .orig"


def _refused(path: Path, error: TogetherError) -> InputError:
    *most, last = map(str, error.exercises)
    every = " ".join([*most, last])
    return InputError(
        f"{path}, lines {error.first} to {error.last}: knetlab cannot see which lines belong to "
        f"exercise {', '.join(most)} and which to exercise {last}, so nothing was reset. Put the "
        f"comments back, such as /* TODO {last} */, each above its own lines. Or reset "
        f"exercises {every} together with EX='{every}'; a backup is kept."
    )


def solved(lab: Lab, name: str) -> dict[int, set[str]]:
    """Return the lines that the solution of each exercise adds to the file *name*, stripped.

    They tell whose lines are whose where a student's are the same; empty without a solution.
    """
    if not lab.solution.is_dir():
        return {}
    steps = range(1, max(exercise.number for exercise in lab.exercises) + 1)
    text = (lab.solution / name).read_text(encoding="utf-8")
    at = {step: _stripped(skeleton.render(text, step, name)) for step in (*steps, len(steps) + 1)}
    return {step: at[step + 1] - at[step] for step in steps}


def _stripped(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines()}


# --- one text ------------------------------------------------------------------------


def take_back(
    mine: str, given: str, numbers: Collection[int], solved: Mapping[int, Collection[str]]
) -> str:
    """Return the text *mine* with the regions of the exercises *numbers* as in *given*.

    *solved* has lines, stripped, that are known to be one exercise's. Raises TogetherError
    where lines of *mine* stand for those of several exercises, of which only some are wanted.
    """
    theirs, ours = given.splitlines(keepends=True), mine.splitlines(keepends=True)
    owners = _owners([line.rstrip("\n") for line in theirs])
    out: list[str] = []
    for kind, i, i_end, j, j_end in _differences(theirs, ours):
        own = {owner for owner in owners[i:i_end] if owner}
        if kind == "insert":
            own = _owner_of_insertion(theirs, owners, i, ours[j:j_end])
        if kind == "equal" or not own & set(numbers):
            out += ours[j:j_end]
        elif own <= set(numbers):
            out += theirs[i:i_end]
        else:
            parts = _parted(ours[j:j_end], own, solved)
            if parts is None:
                raise TogetherError(j + 1, max(j + 1, j_end), own)
            for owner, lines in _runs(theirs[i:i_end], owners[i:i_end]):
                out += lines if owner in numbers or owner is None else parts.pop(owner, [])
    return "".join(out)


def _differences(theirs: list[str], ours: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield what difflib says of the two (get_opcodes), functions kept in one piece.

    Where a function was changed and a new one put behind it, difflib takes the brace that ends
    the new one for the old one's; here it is the first.
    """
    matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
    moved = 0
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        brace = theirs[i_end] if i_end < len(theirs) else ""
        if kind == "replace" and brace.startswith("}") and brace in ours[j:j_end]:
            at = ours.index(brace, j)
            yield kind, i, i_end, j, at
            yield "equal", i_end, i_end + 1, at, at + 1
            yield "insert", i_end + 1, i_end + 1, at + 1, j_end + 1
            moved = 1  # the line that is equal has been yielded
        else:
            yield kind, i + moved, i_end, j + moved, j_end
            moved = 0


def _owners(lines: list[str]) -> list[int | None]:
    """Return for each line of what was handed out the exercise it belongs to."""
    owners: list[int | None] = []
    for block in _blocks(lines):
        found = [int(number) for line in block for number in _TODO.findall(line)]
        owner = found[0] if len(set(found)) == 1 else None
        for at in range(len(block)):
            if len(set(found)) > 1 and (begun := _begins(block, at)):
                owner = begun
            owners.append(owner)
    return owners


def _begins(lines: Sequence[str], at: int) -> int | None:
    """Return the exercise whose TODO begins in this line; its number may stand in the next."""
    opening = lines[at].strip() == "/*" and at + 1 < len(lines)
    found = _TODO.search(lines[at + 1] if opening else lines[at])
    return int(found[1]) if found else None


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines in blocks, each a function, a variable or a comment, or a blank line.

    In kernel style they are parted by blank lines, and what has braces ends with one in the
    first column. A comment alone asks for lines below it: it has the blank line that follows.
    """
    block: list[str] = []
    inside = False
    for line in lines:
        if not line.strip() and not inside:
            if block and block[-1].endswith("*/"):
                yield [*block, line]
            else:
                yield from ([block] if block else [])
                yield [line]
            block = []
            continue
        block.append(line)
        if line.startswith("}"):
            inside = False
        elif line.endswith("{") and not line.startswith(("\t", " ")):
            inside = True
    if block:
        yield block


def _owner_of_insertion(
    theirs: list[str], owners: list[int | None], at: int, new: list[str]
) -> set[int]:
    """Return whose the lines *new* are, which stand before line *at* of what was handed out.

    Often the same insertion can be read in several places (the brace that ends a new function
    or the one before it): if it can stand between two blocks, it is nobody's.
    """
    places = [at]
    moved, place = deque(new), at
    while place < len(theirs) and theirs[place] == moved[0]:
        moved.rotate(-1)
        place += 1
        places.append(place)
    moved, place = deque(new), at
    while place > 0 and theirs[place - 1] == moved[-1]:
        moved.rotate(1)
        place -= 1
        places.append(place)
    found = [_owner_at(theirs, owners, place) for place in places]
    return {found[0]} if found[0] and None not in found else set()


def _owner_at(lines: list[str], owners: list[int | None], at: int) -> int | None:
    """Return the exercise of what stands between line *at* - 1 and line *at*."""
    above = owners[at - 1] if at else None
    indented = at < len(lines) and lines[at].startswith(("\t", " "))
    return above or (owners[at] if indented else None)


def _parted(
    lines: Sequence[str], own: Collection[int], solved: Mapping[int, Collection[str]]
) -> dict[int, list[str]] | None:
    """Return the student's *lines* by exercise, of those in *own*; None if a line could be any's.

    A line is known by the solution, or by the TODO it stands under.
    """
    parts: dict[int, list[str]] = {}
    under: int | None = None
    for at, line in enumerate(lines):
        if (begun := _begins(lines, at)) in own:
            under = begun
        known = [number for number in own if line.strip() in solved.get(number, ())]
        owner = known[0] if len(known) == 1 else under
        if line.strip() and owner is None:
            return None
        if owner is not None:
            parts.setdefault(owner, []).append(line)
    return parts


def _runs(
    lines: Sequence[str], owners: Sequence[int | None]
) -> Iterator[tuple[int | None, list[str]]]:
    for owner, run in groupby(zip(owners, lines, strict=True), key=lambda pair: pair[0]):
        yield owner, [line for _, line in run]
