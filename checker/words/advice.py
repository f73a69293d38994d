"""What the compiler says of well-known mistakes, and a sentence for each: the labs' advice.toml.

A lab's own advice.toml comes first, then labs/common/advice.toml, which all labs share. A row
with `kind = "module"` or `kind = "program"` is for the words on builds of that kind alone.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from checker.errors import LabError
from checker.lab import ROOT
from checker.model import Lab

FILE = "advice.toml"

COMMON = ROOT / "labs" / "common" / FILE
"""The sentences that every lab shares; the students' archive has it, too."""


Kind = Literal["module", "program"]


@dataclass(frozen=True)
class Advice:
    """A sentence for compiler messages that *pattern* finds; {name} in it is a group of that.

    It is for builds of one *kind*, or of both where that is empty.
    """

    pattern: re.Pattern[str]
    says: str
    kind: str = ""


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
    for advice in of(lab):
        if advice.kind not in ("", kind):
            continue
        if match := advice.pattern.search(output):
            return advice.says.format(**match.groupdict())
    return ""


@functools.cache
def read(path: Path) -> tuple[Advice, ...]:
    """Return the rows of an advice.toml; LabError naming file and row when one is wrong."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["advice"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not TOML: {error}.") from error
    except KeyError as error:
        raise LabError(f"{path} has no [[advice]].") from error
    return tuple(_row(f"{path}: advice {number}", row) for number, row in enumerate(rows, 1))


def _row(where: str, row: dict[str, str]) -> Advice:
    kind = row.get("kind", "")
    if row.keys() - {"kind"} != {"pattern", "says"}:
        raise LabError(
            f"{where} has the keys {', '.join(row)}: they are pattern and says, and maybe kind."
        )
    if kind not in ("", *get_args(Kind)):
        raise LabError(f"{where}: the kind is {kind!r}; it is {' or '.join(get_args(Kind))}.")
    try:
        pattern = re.compile(row["pattern"], re.MULTILINE)
        row["says"].format(**dict.fromkeys(pattern.groupindex, ""))
    except re.error as error:
        raise LabError(f"{where}: the pattern is no regular expression: {error}.") from error
    except (KeyError, IndexError, ValueError) as error:
        raise LabError(
            f"{where}: {{name}} in says is a group of the pattern, (?P<name>...), and a brace "
            f"is written twice: {error!r}."
        ) from error
    return Advice(pattern, row["says"], kind)
