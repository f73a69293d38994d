"""A selftest on the terminal: how far it is, what is in trouble, what its mutants earned.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.report.text import count, plain
from checker.workshop.points import Row
from checker.workshop.selftest import TROUBLES, Disagreement, Kind, Outcome, Report

GROUPS: dict[Kind, str] = {
    "solution": "Solution",
    "skeleton": "Skeletons",
    "idiom": "Idioms",
    "mutant": "Mutants caught",
}


def render(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print what *report* has in trouble, all outcomes when *verbose*, and the counts."""
    shown = report.outcomes if verbose else report.troubles
    if shown:
        console.print(_table(shown))
    if report.disagreements:
        console.print(_disagreements(report.disagreements))
    console.print(_counts(report))
    releases = ", ".join(f"{kernel.name} is Linux {kernel.release}" for kernel in report.kernels)
    console.print(Text(releases, "dim"))
    console.print(Text(verdict(report), "bold"))


def verdict(report: Report) -> str:
    """Return the sentence that says whether the checks hold."""
    bad = count(len(report.troubles), "trial") if report.troubles else ""
    differ = count(len(report.disagreements), "check") if report.disagreements else ""
    words = [f"{bad} with an unexpected result, see the table" if bad else ""]
    words.append(
        f"{differ} of the solution with different results in different runs" if differ else ""
    )
    said = "; ".join(word for word in words if word) or "all results are as expected"
    return f"{count(len(report.outcomes), 'trial')} in {report.seconds:.0f} seconds: {said}."


def _table(outcomes: Iterable[Outcome]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Kernel", "Name and expected result", "Result"):
        table.add_column(name, overflow="fold")
    for outcome in outcomes:
        style = "bold red" if outcome.verdict in TROUBLES else "green"
        what = f"\n{plain(outcome.what)}" if outcome.what else ""
        table.add_row(
            Text(outcome.kernel),
            Text.assemble(_name(outcome), (f"\n{outcome.expected}" if what else "", "dim")),
            Text.assemble((outcome.verdict, style), what),
        )
    return table


def points(rows: Sequence[Row], console: Console) -> None:
    """Print what each mutant earned, the least first."""
    several = len({row.kernel for row in rows}) > 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Earned", justify="right")
    for name in [*(["Kernel"] if several else []), "Mutant, and its mistake"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        one = len(row.parts) == 1
        earned = "\n".join(
            f"{'' if one else f'{part.exercise}: '}{part.earned:g} of {part.due:g}"
            for part in row.parts
        )
        cells = [Text(earned), *([Text(row.kernel)] if several else [])]
        table.add_row(*cells, Text.assemble(row.name, (f"\n{plain(row.why)}", "dim")))
    console.print(table if rows else Text("There is no mutant whose points could be shown."))


def _name(outcome: Outcome) -> str:
    """Return the name, and what tells one run of the solution from another."""
    return f"{outcome.name}, seed {outcome.seed}" if outcome.kind == "solution" else outcome.name


def _disagreements(found: Iterable[Disagreement]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Kernel", "Check", "Results of the runs of the solution"):
        table.add_column(name, overflow="fold")
    for one in found:
        said = "\n".join(
            f"{status} in {count(len(seeds), 'run')}, seed {', '.join(map(str, seeds[:5]))}"
            for status, seeds in one.seeds.items()
        )
        table.add_row(Text(one.kernel), Text(one.check), Text(said))
    return table


def _counts(report: Report) -> Table:
    """Return a table of how many trials are as they should be, of how many, for each kernel."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Kernel", overflow="fold")
    for name in [*GROUPS.values(), "Unseen", "Seconds"]:
        table.add_column(name, justify="right")
    for kernel in report.kernels:
        here = [o for o in report.outcomes if o.kernel == kernel.name]
        unseen = sum(o.verdict == "unseen" for o in here)
        tried = Counter(o.kind for o in here if o.verdict not in ("left out", "unseen"))
        good = Counter(o.kind for o in here if o.verdict in ("right", "caught"))
        table.add_row(
            Text(kernel.name),
            *(f"{good[kind]} of {tried[kind]}" if tried[kind] else "" for kind in GROUPS),
            str(unseen),
            f"{sum(o.seconds for o in here):.0f}",
        )
    return table


def line(outcome: Outcome) -> Text:
    """Return what is said of a trial that ended."""
    style = "bold red" if outcome.verdict in TROUBLES else ""
    return Text.assemble(
        f"{outcome.kernel} {outcome.name}: ",
        (outcome.verdict, style),
        f" ({outcome.seconds:.1f} s)",
    )
