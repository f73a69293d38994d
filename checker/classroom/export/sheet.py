"""A CSV file of somebody else's, of which single cells change and no other byte does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from checker.errors import InputError

DELIMITERS = ",;\t"
"""What gradebooks part their cells with, by language and settings."""


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, and where its characters begin and end in the file's text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Sheet:
    """A file's text, and its cells by row and column; rows may differ in length."""

    text: str
    delimiter: str
    rows: tuple[tuple[Cell, ...], ...]

    def get(self, row: int, column: int) -> str:
        """Return what a cell says, without blanks around it; empty if there is no such cell."""
        cells = self.rows[row]
        return cells[column].text.strip() if column < len(cells) else ""

    def replace(self, new: Mapping[tuple[int, int], str]) -> str:
        """Return the file's text with the cells of *new*, by row and column, saying that."""
        parts, at = [], 0
        for (row, column), value in sorted(new.items()):
            cell = self.rows[row][column]
            quoted = self.text[cell.start : cell.start + 1] == '"' or any(
                mark in value for mark in (self.delimiter, '"', "\r", "\n")
            )
            said = value.replace('"', '""') if quoted else value
            parts += [self.text[at : cell.start], f'"{said}"' if quoted else said]
            at = cell.end
        return "".join((*parts, self.text[at:]))


def decode(data: bytes, name: str) -> str:
    """Return the bytes of a file as text, its byte order mark and line ends kept.

    Raises InputError, with *name*, when they are not UTF-8, which spreadsheet programs do.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not UTF-8 (byte {error.start}); download it again and hand over the file "
            "as it comes, not as a spreadsheet program saved it."
        ) from error


def read(text: str, name: str) -> Sheet:
    """Read *text*, of which the first row says what parts the cells.

    Raises InputError, with *name* and the line, when a quote is not closed or a cell goes on
    after one.
    """
    delimiter = max(DELIMITERS, key=_first_line(text).count)
    mark = re.escape(delimiter)
    pattern = re.compile(rf'("[^"]*(?:""[^"]*)*"|[^{mark}\r\n"][^{mark}\r\n]*|)({mark}|\r\n?|\n|$)')
    rows: list[tuple[Cell, ...]] = []
    row: list[Cell] = []
    at = 1 if text.startswith("\ufeff") else 0
    while at < len(text) or row:
        match = pattern.match(text, at)
        if match is None or (match[2] == "" and match.end() < len(text)):
            line = text.count("\n", 0, at) + 1
            raise InputError(f"{name}, line {line}: a quote is not closed; download it again.")
        raw = match[1]
        said = raw[1:-1].replace('""', '"') if raw.startswith('"') else raw
        row.append(Cell(said, match.start(1), match.end(1)))
        at = match.end()
        if match[2] != delimiter:
            rows.append(tuple(row))
            row = []
    return Sheet(text, delimiter, tuple(rows))


def _first_line(text: str) -> str:
    # titles of columns are quoted when they hold a delimiter
    return re.sub(r'"[^"]*"', "", text.lstrip("\ufeff")).partition("\n")[0]


def number(text: str) -> float | None:
    """Return the number that a cell says, None if it says none.

    The last full stop or comma is the decimal mark and the others part thousands, as Canvas's
    GradebookImporter reads them.
    """
    if not re.fullmatch(r"-?\d[\d.,]*", text):
        return None
    whole, mark, fraction = re.fullmatch(r"(.*?)(?:([.,])(\d*))?", text).groups()  # type: ignore[union-attr]
    return float(re.sub("[.,]", "", whole) + (f".{fraction}" if mark and fraction else ""))


def decimal_mark(text: str) -> str:
    """Return the decimal mark of a number in a cell: a full stop or a comma."""
    found = re.search(r"([.,])\d*$", text)
    return found[1] if found else "."
