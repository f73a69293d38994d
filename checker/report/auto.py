"""Mutants by machine on the terminal: how many were caught, and each survivor with its edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from checker.report.text import count, plain
from checker.workshop.auto import Outcome, Report

_WORDS = (
    ("unbuilt", "do not compile"),
    ("same", "compile to the same code as the solution"),
    ("twin", "compile to the same code as another mutant"),
    ("excused", "are not mistakes, according to survivors.toml"),
)


def render(report: Report, solution: Path) -> str:
    """Return the score, each survivor as a place of *solution* with its edit, and what to do."""
    lines = [f"{report.lab}: {count(len(report.outcomes), 'mutant')}{_of(report)}"]
    for verdict, words in _WORDS:
        number = sum(outcome.verdict == verdict for outcome in report.outcomes)
        lines += [f"  {number} {words}"] if number else []
    for outcome in report.outcomes:
        if outcome.verdict in ("survived", "error"):
            lines += ["", *_told(outcome, solution)]
    tried = report.count("caught", "survived")
    caught = report.count("caught")
    share = f" ({100 * caught / tried:.1f} %)" if tried else ""
    lines += ["", *(f"{row}: remove this row or correct it." for row in report.stale)]
    if report.survivors:
        lines.append(
            "A survivor means that a check is missing, or that it is not a mistake. If it is not a "
            "mistake, add a row to survivors.toml with its file, old, new and a why."
        )
    releases = ", ".join(f"{kernel.name} is Linux {kernel.release}" for kernel in report.kernels)
    lines.append(f"{releases}; {report.seconds:.0f} seconds")
    lines.append(f"Caught: {caught} of {tried}{share}.")
    return plain("\n".join(lines))


def _of(report: Report) -> str:
    fewer = len(report.outcomes) < report.possible
    return f", a sample of {report.possible}:" if fewer else ":"


def _told(outcome: Outcome, solution: Path) -> Iterator[str]:
    mutant = outcome.mutant
    words = f": the grader failed: {outcome.what}" if outcome.verdict == "error" else ""
    yield f"{solution / mutant.file}:{mutant.line}: {mutant.operator}{words}"
    for sign, text in (("-", mutant.old), ("+", mutant.new)):
        yield from (f"    {sign} {line}" for line in text.splitlines())


def line(outcome: Outcome) -> Text:
    """Return what is said of a mutant that was graded."""
    mutant = outcome.mutant
    style = "" if outcome.verdict == "caught" else "bold red"
    by = f" by {', '.join(outcome.checks)}" if outcome.checks else ""
    return Text.assemble(
        f"{mutant.file}:{mutant.line} {mutant.operator}: ",
        (outcome.verdict, style),
        f"{by} ({outcome.seconds:.1f} s)",
    )
