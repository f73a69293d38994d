"""A lab's mutants on the terminal: where each stands, and which no longer fit the solution."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from checker.report.text import count
from checker.workshop.mutants import Mutant
from checker.workshop.refresh import Conflict, Refreshed


def listed(folder: Path, found: Sequence[Mutant], misfits: Sequence[tuple[Mutant, str]]) -> str:
    """Return the mutants of *folder* in lines, then what is wrong with each of *misfits*."""
    rows = [
        (mutant.name, ", ".join(mutant.checks), mutant.place.removeprefix(f"{folder}/"))
        for mutant in found
    ]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(2)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]
    small = sum(bool(mutant.edits) for mutant in found)
    larger = len(found) - small
    patches = f"{larger} patch{'es' if larger != 1 else ''}"
    lines.append(f"{folder}: {count(small, 'row')} and {patches}, {_fit(len(misfits))}")
    return "\n".join([*lines, *(why for _, why in misfits)])


def _fit(misfits: int) -> str:
    if misfits:
        return f"{misfits} of which no longer {'apply' if misfits > 1 else 'applies'}:"
    return "all of which apply."


def refreshed(folder: Path, solution: Path, result: Refreshed) -> str:
    """Return what became of the mutants of *folder*, each conflict with its place."""
    lines = [f"{mutant.place}: {mutant.name} was updated" for mutant in result.rewritten]
    for left in result.left:
        start = f"{left.mutant.place}: {left.mutant.name}"
        lines += [f"{start}: {left.why}."] if left.why else []
        for conflict in left.conflicts:
            lines.append(f"{start}: conflict at {solution / conflict.file}:{conflict.line}")
            lines += _sides(conflict)
    lines.append(
        f"{folder}: {result.total} in all, {len(result.rewritten)} rewritten, "
        f"{len(result.left)} left as they were."
    )
    if result.left:
        lines.append(
            "Correct those that are left so that they fit the solution: edit a row's old and new, "
            "or make the patch again with diff -U1 -r. Then run this command again."
        )
    return "\n".join(lines)


def _sides(conflict: Conflict) -> list[str]:
    lines = []
    for side, text in (("solution", conflict.solution), ("mutant", conflict.mutant)):
        lines.append(f"  the {side} has" + ("" if text else " nothing"))
        lines += [f"    | {line}" for line in textwrap.dedent(text).expandtabs().splitlines()]
    return lines
