"""What the compiler says of well-known mistakes, and a sentence for each: the labs' advice.toml.

A lab's own advice.toml comes first, then labs/common/advice.toml, which all labs share. A row
with `kind = "module"` or `kind = "program"` is for the words on builds of that kind alone. What
is told is about one mistake, the first that a row knows, so that sentence and place belong
together; a row with `whole = true` comes before: it is about a mistake that causes others.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from checker.errors import LabError
from checker.lab import ROOT
from checker.model import Lab
from checker.words import errors

FILE = "advice.toml"

_LINE, _TEXT = 1000, 8000
"""Characters of a line, and of what is said of one line of the source, that patterns are tried
on: a source can make the compiler print long texts of its own, with #error, in which a pattern
would be tried for hours."""

COMMON = ROOT / "labs" / "common" / FILE
"""The sentences that every lab shares; the students' archive has it, too."""


Kind = Literal["module", "program"]


@dataclass(frozen=True)
class Advice:
    """A sentence for compiler messages that *pattern* finds; {name} in it is a group of that.

    It is for builds of one *kind*, or of both where that is empty. *whole*: it is looked for
    in all that the compiler says, and what it is about causes the other errors. *step* is
    the next step, where that is not to fix the line.
    """

    pattern: re.Pattern[str]
    says: str
    kind: str = ""
    whole: bool = False
    step: str = ""


@dataclass(frozen=True)
class Told:
    """What is told of a build that failed: a sentence, the *place* it is about, the next step.

    Each is empty where nothing is known.
    """

    says: str = ""
    place: str = ""
    step: str = ""


def of(lab: Lab) -> tuple[Advice, ...]:
    """Return the lab's own sentences and those of all labs; the first that fits counts.

    Raises LabError naming the file and the row that is wrong.
    """
    own = lab.root / FILE
    return (*(read(own) if own.is_file() else ()), *read(COMMON))


def advise(lab: Lab, output: str, kind: Kind = "module") -> str:
    """Return a sentence on the compiler messages in *output*, empty if none is known.

    *kind* is that of the build which they are about.
    """
    return explain(lab, output, kind).says


def explain(
    lab: Lab, output: str, kind: Kind = "module", sources: Mapping[str, str] | None = None
) -> Told:
    """Return what to tell of the compiler messages in *output*.

    *kind* is that of the build which they are about, *sources* its files by path: some places
    only they tell.
    """
    rows = [row for row in of(lab) if row.kind in ("", kind)]
    output = "\n".join(line[:_LINE] for line in output.splitlines())
    for row in rows:
        if row.whole and (match := row.pattern.search(output)):
            return _told(row, match, _place_of_whole(output, match, sources or {}))
    serious = [one for one in errors.mistakes(output) if one.serious]
    for one in serious:
        for row in rows:
            if not row.whole and (match := row.pattern.search(one.text[:_TEXT])):
                name = match.groupdict().get("name") or ""
                place = one.place or (errors.used(sources or {}, name) if name else "")
                return _told(row, match, place)
    return Told(place=errors.first(output))


def _told(row: Advice, match: re.Match[str], place: str) -> Told:
    words = {key: value or "" for key, value in match.groupdict().items()}
    words["place"] = place or "your source"
    return Told(row.says.format(**words), place, row.step.format(**words))


def _place_of_whole(output: str, match: re.Match[str], sources: Mapping[str, str]) -> str:
    """Return the place of a mistake that the compiler notices late."""
    groups = match.groupdict()
    if "at_end" in groups:  # a function without its }
        place, _ = errors.never_closed(sources)
        return place or errors.first(output)
    if "macro" in groups:  # a call without its )
        called = rf"^([^\s:]+:\d+):\d+: error: .{groups['macro']}. undeclared"
        if opened := re.search(called, output, re.MULTILINE):
            return opened[1]
    line = output[output.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
    return errors.holding(output, line) or errors.first(output)


@functools.cache
def read(path: Path) -> tuple[Advice, ...]:
    """Return the rows of an advice.toml; LabError naming file and row when one is wrong."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["advice"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabError(f"{path} is not TOML: {error}.") from error
    except KeyError as error:
        raise LabError(f"{path} has no [[advice]].") from error
    return tuple(_row(f"{path}: advice {number}", row) for number, row in enumerate(rows, 1))


def _row(where: str, row: dict[str, str | bool]) -> Advice:
    kind, whole, step = row.get("kind", ""), row.get("whole", False), row.get("next", "")
    if row.keys() - {"kind", "whole", "next"} != {"pattern", "says"}:
        raise LabError(
            f"{where} has the keys {', '.join(row)}: they are pattern and says, and maybe kind, "
            "whole and next."
        )
    if kind not in ("", *get_args(Kind)):
        raise LabError(f"{where}: the kind is {kind!r}; it is {' or '.join(get_args(Kind))}.")
    if not isinstance(whole, bool):
        raise LabError(f"{where}: whole is {whole!r}; it is true or false.")
    says = str(row["says"])
    try:
        pattern = re.compile(str(row["pattern"]), re.MULTILINE)
        for words in (says, str(step)):
            words.format(**dict.fromkeys(pattern.groupindex, ""), place="")
    except re.error as error:
        raise LabError(f"{where}: the pattern is no regular expression: {error}.") from error
    except (KeyError, IndexError, ValueError) as error:
        raise LabError(
            f"{where}: {{name}} in says and next is a group of the pattern, (?P<name>...), or "
            f"{{place}}, and a brace is written twice: {error!r}."
        ) from error
    return Advice(pattern, says, str(kind), whole, str(step))
