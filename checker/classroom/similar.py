"""Which submissions have more in common than chance: pairs, with the passages they share.

copydetect finds them: it compares what is left of C when names, comments and
layout are taken away, by fingerprints (winnowing, as MOSS has it). Nothing
leaves this machine. What the skeleton gives is no one's own, and neither is what
much of the class has written: a lab's exercises leave few ways to be right.

A pair is a reason to read both, never a proof.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from pydantic import Field

from checker.errors import InputError
from checker.model import Lab, Record
from checker.workshop import skeleton

GRAM = 25
"""The shortest passage that is looked at: characters, each name and string being one."""

LEAST = 2 * GRAM
"""What a pair shares at least, in such characters: less is chance."""


class Side(Record):
    """One student's file, and which parts of it are shared."""

    text: str
    shared: tuple[tuple[int, int], ...] = Field(description="from and to, in characters of text")


class Match(Record):
    """A file of both students of a pair."""

    path: str
    first: Side
    second: Side


class Pair(Record):
    """Two students who share passages that few others have."""

    first: str = Field(description="a student's key")
    second: str
    score: float = Field(description="0 to 1: the share of the one's own code that the other has")
    length: int = Field(description="how much that is, in characters with short names")
    matches: tuple[Match, ...]


def find(
    lab: Lab,
    sources: Mapping[str, Mapping[str, str]],
    *,
    least_score: float = 0.5,
    common: int | None = None,
) -> list[Pair]:
    """Return the suspicious pairs of students of *lab*, the most suspicious first.

    *sources* is student key -> path -> the C text handed in; files of the same path
    are compared. A passage that more than *common* students have counts for
    nobody; None is a tenth of the class, but at least four. Raises InputError
    when the extra is not installed.
    """
    copydetect = _library()
    common = max(4, len(sources) // 10) if common is None else common
    # Reading C takes nearly all of the time, and many files are the same.
    read = functools.cache(functools.partial(_read, copydetect))
    known: set[int] = set()
    for path, file in skeleton.of(lab).items():
        if path.endswith((".c", ".h")):
            known |= read(file.content.decode()).hashes
    counts: Counter[int] = Counter()
    for files in sources.values():
        counts.update(set().union(*(read(text).hashes for text in files.values())))
    known |= {gram for gram, number in counts.items() if number > common}
    own = {
        student: {
            path: _without(copydetect, read(text), sorted(known)) for path, text in files.items()
        }
        for student, files in sources.items()
    }
    students = list(own)
    pairs = [
        pair
        for n, first in enumerate(students)
        for second in students[n + 1 :]
        if (pair := _pair(copydetect, (first, own[first]), (second, own[second])))
        and pair.score >= least_score
    ]
    return sorted(pairs, key=lambda pair: (-pair.score, -pair.length, pair.first, pair.second))


def _library() -> ModuleType:
    try:
        import copydetect  # noqa: PLC0415 - it brings matplotlib, and is an extra
    except ImportError as error:
        raise InputError(
            "knetlab similar needs a package that is not installed: pip install 'knetlab[similar]'"
        ) from error
    return copydetect  # type: ignore[no-any-return]


def _read(copydetect: ModuleType, text: str) -> Any:
    """Return copydetect's fingerprint of a C *text*.

    With a window of 1 no passage is left out: which ones a wider window keeps
    depends on Python's hash of the day, and a run would not be like another.
    """
    # The lexer would drop these, and the places of passages would be off.
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    file = io.StringIO(f"{text}\n")
    one = copydetect.CodeFingerprint("c", GRAM, 1, language="c", fp=file)
    if len(one.offsets):
        # Version 0.5.0 forgets what came before the name of a struct.
        one.offsets[:, 1] = list(itertools.accumulate(one.offsets[:, 1].tolist(), max))
    return one


def _without(copydetect: ModuleType, read: Any, known: Sequence[int]) -> Any:
    """Return the fingerprint *read* without the passages *known*."""
    file = io.StringIO(read.filtered_code)
    one = copydetect.CodeFingerprint("c", GRAM, 1, boilerplate=known, filter=False, fp=file)
    one.raw_code, one.offsets = read.raw_code, read.offsets
    return one


def _pair(
    copydetect: ModuleType,
    first: tuple[str, Mapping[str, Any]],
    second: tuple[str, Mapping[str, Any]],
) -> Pair | None:
    """Return what two students share, if it is more than chance."""
    shared = [0.0, 0.0]
    matches = []
    for path in first[1].keys() & second[1].keys():
        sides = first[1][path], second[1][path]
        if sides[0].hashes.isdisjoint(sides[1].hashes):
            continue
        _, shares, slices = copydetect.compare_files(*sides)
        for n in (0, 1):
            shared[n] += shares[n] * sides[n].token_coverage
        texts = [_side(one.raw_code, part) for one, part in zip(sides, slices, strict=True)]
        matches.append(Match(path=path, first=texts[0], second=texts[1]))
    if min(shared) < LEAST:
        return None
    own = [sum(one.token_coverage for one in files.values()) for _, files in (first, second)]
    return Pair(
        first=first[0],
        second=second[0],
        score=round(max(part / whole for part, whole in zip(shared, own, strict=True)), 3),
        length=round(min(shared)),
        matches=tuple(sorted(matches, key=lambda match: match.path)),
    )


def _side(text: str, slices: Any) -> Side:
    """Return *text* with its shared parts in order and apart, as whole lines."""
    parts: list[tuple[int, int]] = []
    for begin, end in sorted(zip(*slices.astype(int).tolist(), strict=True)):
        start = text.rfind("\n", 0, begin) + 1
        stop = text.find("\n", end - 1) + 1 or len(text)
        if parts and start <= parts[-1][1]:
            start, stop = parts[-1][0], max(stop, parts.pop()[1])
        parts.append((start, stop))
    return Side(text=text, shared=tuple(parts))
