"""Similar submissions: a table on the terminal, and a page with the passages side by side.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.classroom.similar import Pair, Side
from checker.classroom.twins import Same
from checker.model import Lab
from checker.report.templates import environment
from checker.report.text import count, one_line, plain

NEAR = 5
"""Lines shown around a passage."""


def _parts(side: Side) -> Iterator[tuple[str, bool]]:
    """Yield the text in pieces, each with whether it is shared; of the rest only what is near."""
    at = 0
    for begin, end in side.shared:
        yield _near(side.text[at:begin], before=at == 0), False
        yield plain(side.text[begin:end]), True
        at = end
    yield _near(side.text[at:], after=True), False


def _near(text: str, *, before: bool = False, after: bool = False) -> str:
    """Return the ends of *text*; those *before* and *after* all that is shared are far from it."""
    lines = plain(text).splitlines(keepends=True)
    first, last = 0 if before else NEAR, len(lines) - (0 if after else NEAR)
    if last - first <= NEAR:
        return "".join(lines)
    left_out = f"... {last - first} lines left out ...\n"
    return "".join([*lines[:first], left_out, *lines[last:]])


_PAGES = environment()
_PAGES.filters.update(one_line=lambda text: one_line(plain(text)), parts=_parts)


def page(lab: Lab, pairs: Sequence[Pair], same: Sequence[Same] = ()) -> str:
    """Return *same* and *pairs* as one HTML page that needs nothing but itself, UTF-8."""
    return _PAGES.get_template("similar.html.j2").render(lab=lab, pairs=pairs, same=same)


def render_same(same: Sequence[Same], console: Console) -> None:
    """Print a row for the students who have the same files."""
    if not same:
        return
    console.print(Text("The same files, byte for byte, which are not the skeleton's:", "bold red"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Students", "Files"):
        table.add_column(name, overflow="fold")
    for one in same:
        table.add_row(*(Text("\n".join(map(plain, cell))) for cell in (one.students, one.paths)))
    console.print(table)


def render(pairs: Sequence[Pair], console: Console) -> None:
    """Print a row for each pair, the most suspicious first."""
    if pairs:
        console.print(_table(pairs))
    said = f"{count(len(pairs), 'pair')} to read" if pairs else "No pair is unusual"
    console.print(Text(f"{said}; similar code is not always copied code.", "bold"))


def _table(pairs: Sequence[Pair]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("One", "Other", "Files"):
        table.add_column(name, overflow="fold")
    for name in ("Shared", "Length"):
        table.add_column(name, justify="right")
    for pair in pairs:
        paths = "\n".join(match.path for match in pair.matches)
        cells = (pair.first, pair.second, paths)
        table.add_row(*(Text(plain(cell)) for cell in cells), f"{pair.score:.0%}", str(pair.length))
    return table
