"""What filling in a gradebook comes to: who gets which points, and who could not be placed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from checker.classroom.export.entries import reason, result, who
from checker.classroom.export.sheet import Sheet, decimal_mark, number
from checker.model import Entry, Record
from checker.report.text import count, one_line, plain, points


class Change(Record):
    """A cell that gets other points than it has."""

    student: str
    old: str
    new: str

    @property
    def falls(self) -> bool:
        """Whether the student would have fewer points than before."""
        old, new = number(self.old), number(self.new)
        return old is not None and new is not None and new < old


class Left(Record):
    """A student whose cell stays as it is, and why."""

    student: str
    why: str


class Filled(Record):
    """A gradebook with its points filled in; as long as nobody writes *text*, nothing changed."""

    text: str
    scaling: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    kept: tuple[Left, ...] = ()
    without_row: tuple[Left, ...] = ()
    without_entry: tuple[Left, ...] = ()
    ambiguous: tuple[Left, ...] = ()
    comments: int = 0
    """Cells of feedback that change."""
    comments_kept: tuple[Left, ...] = ()
    zero: tuple[str, ...] = ()
    """Who gets 0 points and had other ones, or none."""
    notes: tuple[str, ...] = ()
    """Sentences on the upload."""

    def lines(self) -> list[str]:
        """Return what changes and who is left out, a line each, fit to print."""
        told = [*self.scaling, f"{count(len(self.changes), 'cell')} changed:"]
        told += [
            f"  {_line(change.student)}: {_line(change.old) or 'nothing'} -> {change.new}"
            f"{', LOWER than before' if change.falls else ''}"
            for change in self.changes
        ]
        told.append(f"{count(self.unchanged, 'cell')} had the same points before.")
        if lower := sum(change.falls for change in self.changes):
            told.append(f"{count(lower, 'grade')} would fall; look for LOWER above.")
        if self.comments:
            told.append(f"{count(self.comments, 'comment')} written.")
        for title, left in (
            ("No points to write, the cell stays as it was", self.kept),
            ("Ambiguous, nothing written", self.ambiguous),
            ("Graded, but with no row in the gradebook", self.without_row),
            ("In the gradebook, but not in the class that was graded", self.without_entry),
            ("Somebody's comment is there already, and stays", self.comments_kept),
        ):
            if left:
                told.append(f"{title}: {len(left)}")
                told += [f"  {_line(one.student)}: {_line(one.why)}" for one in left]
        return [*told, *map(_line, self.notes)]


def _line(text: str) -> str:
    return one_line(plain(text))


class Row(Record):
    """A student's row: where it stands, and what tells whose it is, best first."""

    number: int
    student: str
    keys: tuple[str, ...]
    maximum: str
    locked: str = ""
    """A sentence why the importer would skip the row."""


@dataclass(frozen=True)
class Comments:
    """A column of feedback: where it is, what an entry's says, and what ours begin with."""

    column: int
    render: Callable[[Entry], str]
    begin: str


class Keyed(Record):
    """An entry, and what tells its row, in the order of a row's keys; an unknown one is empty."""

    entry: Entry
    keys: tuple[str, ...]


def fill(
    sheet: Sheet,
    rows: Sequence[Row],
    entries: Sequence[Keyed],
    column: int,
    *,
    titles: Sequence[str],
    reserved: Mapping[str, str],
    point: bool = False,
    comments: Comments | None = None,
) -> Filled:
    """Write each entry's points into *column* of its row.

    *titles* name the keys. *reserved* is what a cell may say, in capitals, that is not written
    over -> why. Points are scaled to the row's maximum and rounded to two decimals, as
    gradebooks are; the decimal mark is that of the maximum, or always a *point*. A comment goes
    where there is none, or one of ours.
    """
    places, without_row, ambiguous = _place(rows, entries, titles)
    new: dict[tuple[int, int], str] = {}
    changes, kept, unchanged, scaling = [], [], 0, dict[str, None]()
    zero, comments_kept = [], []
    for entry, row in places:
        old = sheet.get(row.number, column)
        maximum = number(row.maximum)
        marked = result(entry) if entry.mark else None
        if comments and marked and len(sheet.rows[row.number]) > comments.column:
            before, text = sheet.get(row.number, comments.column), comments.render(entry)
            if before and not before.startswith(comments.begin):
                comments_kept.append(Left(student=who(entry), why=f"row {row.number + 1}"))
            elif before != text:
                new[row.number, comments.column] = text
        if why := reserved.get(old.upper(), ""):
            kept.append(Left(student=who(entry), why=why))
        elif len(sheet.rows[row.number]) <= column:
            kept.append(Left(student=who(entry), why="The row in the gradebook is cut off."))
        elif not maximum:
            kept.append(Left(student=who(entry), why="The row in the gradebook has no maximum."))
        elif row.locked:
            kept.append(Left(student=who(entry), why=row.locked))
        elif marked is None:
            kept.append(Left(student=who(entry), why=reason(entry)))
        elif not marked[1]:
            kept.append(Left(student=who(entry), why="Nothing could be earned."))
        else:
            if marked[1] != maximum:
                scaling[_scaling(marked[1], maximum)] = None
            said = points(marked[0] * maximum / marked[1])
            if number(old) == number(said):
                unchanged += 1
                continue
            if said == "0":
                zero.append(who(entry))
            said = said if point else said.replace(".", decimal_mark(row.maximum))
            new[row.number, column] = said
            changes.append(Change(student=who(entry), old=old, new=said))
    claimed = {row.number for _, row in places} | {n for _, numbers in ambiguous for n in numbers}
    return Filled(
        text=sheet.replace(new),
        scaling=tuple(scaling),
        changes=tuple(changes),
        unchanged=unchanged,
        kept=tuple(kept),
        without_row=without_row,
        without_entry=tuple(
            Left(student=row.student, why=f"row {row.number + 1}")
            for row in rows
            if row.number not in claimed
        ),
        ambiguous=tuple(left for left, _ in ambiguous),
        comments=sum(at == comments.column for _, at in new) if comments else 0,
        comments_kept=tuple(comments_kept),
        zero=tuple(zero),
    )


def _scaling(of: float, maximum: float) -> str:
    return (
        f"The gradebook's maximum is {points(maximum)}, the lab's {points(of)}: "
        f"points are multiplied by {maximum / of:.6g}."
    )


Placed = tuple[list[tuple[Entry, Row]], tuple[Left, ...], list[tuple[Left, set[int]]]]


def _place(rows: Sequence[Row], entries: Sequence[Keyed], titles: Sequence[str]) -> Placed:
    """Return (entry, its row), who has none, and who could have several: those rows' numbers."""
    index: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in rows:
        for key in enumerate(row.keys):
            index[key].append(row)
    places: list[tuple[Entry, Row]] = []
    without_row: list[Left] = []
    ambiguous: list[tuple[Left, set[int]]] = []
    for entry, keys in ((one.entry, one.keys) for one in entries):
        hits = [(titles[at], index[at, key]) for at, key in enumerate(keys) if key]
        hits = [(title, found) for title, found in hits if found]
        common = (
            [row for row in hits[0][1] if all(row in found for _, found in hits)] if hits else []
        )
        if len(common) == 1:
            places.append((entry, common[0]))
        elif hits:
            told = ", ".join(
                f"{title} is that of row {' and '.join(str(row.number + 1) for row in found)}"
                for title, found in hits
            )
            numbers = {row.number for _, found in hits for row in found}
            ambiguous.append((Left(student=who(entry), why=f"{told}."), numbers))
        else:
            why = f"no row has the same {', '.join(titles[:-1])} or {titles[-1]}"
            if not any(keys):
                why += "; none of these is known of the student: `grade --roster CSV` tells them"
            without_row.append(Left(student=who(entry), why=why))
    claims = Counter(row.number for _, row in places)
    for entry, row in places:
        if claims[row.number] > 1:
            why = f"{claims[row.number]} of the class claim row {row.number + 1}."
            ambiguous.append((Left(student=who(entry), why=why), {row.number}))
    single = [(entry, row) for entry, row in places if claims[row.number] == 1]
    return single, tuple(without_row), ambiguous
