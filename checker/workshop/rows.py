"""Small mutants as rows of a TOML file: file, old text, new text. Read, made, written.

A row is a table with the mutant's name; its keys are those of a patch's preamble
(see checker.workshop.mutants) in small letters, and what is replaced::

    [1-port-not-converted]
    exercise = 1
    check = "1.outgoing-syn"
    why = "forgets ntohs(), because the port looks like a plain number"
    file = "1-2-netfilter/kernel/filter.c"
    old = '&iph->saddr, ntohs(tcph->source));'
    new = '&iph->saddr, tcph->source);'

A second replacement, and each further one, is a table ``[[NAME.edit]]`` with file, old
and new. An old text stands in its file exactly once.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from checker.errors import LabError
from checker.model import Record

_EDIT = ("file", "old", "new")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*)")


class NotOnce(Exception):
    """An edit's old text stands in its file never or several times."""

    def __init__(self, edit: Edit, count: int) -> None:
        super().__init__(edit, count)
        self.edit = edit
        self.often = f"{count} times" if count else "nowhere"


class Edit(Record):
    """One replacement in one file."""

    file: str = Field(description="relative to the solution")
    old: str = Field(description="stands there exactly once")
    new: str
    line: int = Field(default=0, description="where the row has the old text")


@dataclass(frozen=True)
class Row:
    """A table of the file: what it says beside its edits, with the lines of its keys."""

    name: str
    line: int
    keys: Mapping[str, tuple[int, str]]
    edits: Sequence[Edit]


def read(path: Path) -> list[Row]:
    """Read the rows of *path*. Raises LabError naming file and line of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path} is not TOML: {error}.") from error
    places = _places(text)
    return [_row(path, name, table, places) for name, table in data.items()]


def _row(path: Path, name: str, table: object, places: Sequence[_Place]) -> Row:
    own = [place for place in places if place.row == name]
    line = own[0].start + 1 if own else 1

    def error(number: int, what: str) -> LabError:
        return LabError(f"{path}:{number}: {name}: {what}.")

    if not isinstance(table, dict):
        raise error(line, f"a row is a table, as in [{name}]")
    lines = {(place.edit, place.key): place.start + 1 for place in own}
    keys = {
        key: (lines.get((0, key), line), _value(value))
        for key, value in table.items()
        if key not in (*_EDIT, "edit")
    }
    replacements: list[tuple[int, dict[str, object]]] = []
    if any(key in table for key in _EDIT):
        replacements.append((0, {key: table[key] for key in _EDIT if key in table}))
    further = table.get("edit", [])
    if not isinstance(further, list) or not all(isinstance(one, dict) for one in further):
        raise error(line, f"a further replacement is a table [[{name}.edit]]")
    replacements += list(enumerate(further, start=1))
    if not replacements:
        raise error(line, "it replaces nothing: give it the keys file, old and new")
    edits = []
    for number, one in replacements:
        at = lines.get((number, ""), line)
        for key in one:
            if key not in _EDIT:
                wrong = lines.get((number, key), at)
                raise error(wrong, f"a replacement has the keys file, old and new, not {key}")
        for key in _EDIT:
            if not isinstance(one.get(key), str):
                wrong = lines.get((number, key), at)
                raise error(wrong, f"the replacement needs the key {key}, which is a text")
        edit = Edit.model_validate({**one, "line": lines.get((number, "old"), at)})
        if not edit.old:
            raise error(edit.line, "old is empty: give it a line beside which the new text stands")
        edits.append(edit)
    return Row(name=name, line=line, keys=keys, edits=edits)


def _value(value: object) -> str:
    """Return a TOML value as the text that a patch's preamble would have."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


# --- where it stands -----------------------------------------------------------------


@dataclass
class _Place:
    """A header (key is empty) or a key of a TOML file: lines start to end, counted from 0."""

    row: str
    edit: int
    key: str
    start: int
    end: int = field(default=0)


def _places(text: str) -> list[_Place]:
    """Return where tables and keys stand in *text*, which is TOML: tomllib does not tell."""
    found: list[_Place] = []
    row, edit, closer = "", 0, ""
    for number, line in enumerate(text.splitlines()):
        if closer:
            found[-1].end = number + 1
            closer = "" if closer in line else closer
        elif match := _HEADER.fullmatch(line):
            name, _, part = match[2].partition(".")
            name = name.strip().strip("\"'")
            edit = (edit + 1 if name == row else 1) if part else 0
            row = name
            found.append(_Place(row, edit, "", number, number + 1))
        elif match := _KEY.fullmatch(line):
            found.append(_Place(row, edit, match[1], number, number + 1))
            for quotes in ("'''", '"""'):
                if match[2].startswith(quotes) and quotes not in match[2][3:]:
                    closer = quotes
        elif found and line.strip() and not line.lstrip().startswith("#"):
            found[-1].end = number + 1  # a value of several lines
    return found


# --- making and writing --------------------------------------------------------------


def apply(edits: Iterable[Edit], text: str) -> str:
    """Return *text* with all *edits*, which are of one file.

    Raises NotOnce for one whose old text is not there exactly once.
    """
    places = []
    for edit in edits:
        count = _count(edit.old, text)
        if count != 1:
            raise NotOnce(edit, count)
        places.append((text.index(edit.old), edit))
    places.sort(key=lambda place: place[0], reverse=True)
    end = len(text)
    for at, edit in places:
        if at + len(edit.old) > end:
            raise NotOnce(edit, 0)  # what another one replaces is not there for this one
        text = text[:at] + edit.new + text[at + len(edit.old) :]
        end = at
    return text


def _count(old: str, text: str) -> int:
    """Return how often *old* stands in *text*, overlaps too."""
    return len(re.findall(f"(?={re.escape(old)})", text))


def between(file: str, before: str, after: str) -> list[Edit]:
    """Return edits that make *after* of *before*: whole lines, as few as are there once."""
    a, b = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for context in range(len(a) + 1):
        # a new one each time: get_grouped_opcodes() cuts off what it was asked for before
        matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
        hunks = [
            (a[group[0][1] : group[-1][2]], b[group[0][3] : group[-1][4]])
            for group in matcher.get_grouped_opcodes(context)
        ]
        if all(old and _count("".join(old), before) == 1 for old, _ in hunks):
            return [_tidy(file, old, new, before) for old, new in hunks]
    raise AssertionError("the whole file is there once")


def _tidy(file: str, old: list[str], new: list[str], before: str) -> Edit:
    """Make an edit of the lines *old* and *new*, without what both begin or end with."""

    def once(lines: list[str]) -> bool:
        return bool(lines) and _count("".join(lines), before) == 1

    while old and new and old[-1] == new[-1] and once(old[:-1]):
        old, new = old[:-1], new[:-1]
    while old and new and old[0] == new[0] and once(old[1:]):
        old, new = old[1:], new[1:]
    edit = Edit(file=file, old="".join(old), new="".join(new))
    if len(old) == len(new) == 1:
        # of a line that becomes another line the words are enough
        indents = [len(line) - len(line.lstrip("\t")) for line in (edit.old, edit.new)]
        at = min(indents)
        short = Edit(file=file, old=edit.old[at:].rstrip("\n"), new=edit.new[at:].rstrip("\n"))
        if old[0].endswith("\n") and new[0].endswith("\n") and once([short.old]):
            return short
    return edit


def _quoted(text: str) -> str:
    if "'''" in text or text.endswith("'"):
        return json.dumps(text, ensure_ascii=False)
    if "\n" in text or "'" in text:
        return f"'''\n{text}'''"
    return f'"{text}"' if re.fullmatch(r"[\w./-]*", text) else f"'{text}'"


def write(
    path: Path, changes: Mapping[str, Sequence[Edit]], bases: Mapping[str, Sequence[str]]
) -> None:
    """Give rows of *path* the edits of *changes*, and those of *bases* the key base, or none.

    Comments and all other keys stay as they are.
    """
    text = path.read_text(encoding="utf-8")
    result = text.splitlines()
    places = _places(text)
    for name in reversed([place.row for place in places if not place.key and not place.edit]):
        if name not in changes and name not in bases:
            continue
        own = [place for place in places if place.row == name]
        gone = {"base"} if name in bases else set()
        gone |= set(_EDIT) if name in changes else set()
        old = [p for p in own if p.key in gone or (p.edit and name in changes)]
        new = [f"base = {json.dumps(list(bases[name]))}"] if bases.get(name) else []
        new += _replacements(name, changes[name]) if name in changes else []
        # behind the last of the other keys
        at = max(p.end for p in own if not p.edit and p.key not in (*_EDIT, "base"))
        numbers = {number for p in old for number in range(p.start, p.end)}
        result[at:at] = new
        for number in sorted(numbers, reverse=True):
            del result[number + len(new) if number >= at else number]
    path.write_text("\n".join(result) + "\n", encoding="utf-8")


def _replacements(name: str, edits: Sequence[Edit]) -> list[str]:
    """Return TOML for *edits*: the first stands in the row itself."""
    found: list[str] = []
    for number, edit in enumerate(edits):
        found += [f"[[{name}.edit]]"] if number else []
        found += [f"{key} = {_quoted(getattr(edit, key))}" for key in _EDIT]
    return found
