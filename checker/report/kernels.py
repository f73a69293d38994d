"""One submission on several kernels, on the terminal: a column each, and where they differ.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from checker.model import ExerciseResult, Grade
from checker.report import story
from checker.report.across import BuildDiffers, CheckDiffers, Comparison, FindingDiffers, Run
from checker.report.terminal import LINES, STYLES, WIDTH, indented, whole
from checker.report.text import clean, count, fold, has_marks, one_line, points
from vm import debian

COLUMNS = 6
"""So many kernels fit side by side on 80 columns; more get another table."""

COMPILER_LINES = 12
"""Of what the compiler says, unless everything is asked for."""


def render(found: Comparison, console: Console, *, verbose: bool = False) -> None:
    """Print the points on each kernel and what differs between them; *verbose*: logs in full."""
    encoding = console.encoding if console.options.ascii_only else "utf-8"
    # what differs is of the grades as well, and is made fit to print as they are
    found = Comparison(
        tuple(replace(run, grade=clean(run.grade, encoding)) for run in found.runs),
        tuple(replace(one, check=clean(one.check, encoding)) for one in found.builds),
        tuple(replace(one, check=clean(one.check, encoding)) for one in found.checks),
        tuple(replace(one, finding=clean(one.finding, encoding)) for one in found.findings),
    )
    grade = found.runs[0].grade
    console.print(
        Text.assemble((one_line(grade.lab), "bold"), ", submission ", one_line(grade.submission))
    )
    for at in range(0, len(found.runs), COLUMNS):
        console.print(_table(found.runs[at : at + COLUMNS]))
    for part in _differences(found, verbose):
        console.print(part, crop=False)
    console.print(Text(verdict(found), "bold"))
    if more := _more(found):
        console.print(Text(more, "dim"))


# --- the table -----------------------------------------------------------------------


def _table(runs: Sequence[Run]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right")
    table.add_column("Exercise", overflow="fold", min_width=10)
    for run in runs:
        series, _, name = run.name.partition(" ")
        table.add_column(Text(f"{series}\n{name}"), justify="right")
    by_number = [{e.number: e for e in run.grade.exercises} for run in runs]
    exercises = {e.number: e for row in by_number for e in row.values()}
    for number, exercise in sorted(exercises.items()):
        cells = (_score(row.get(number)) for row in by_number)
        table.add_row(str(number), Text(one_line(exercise.title)), *cells)
    table.add_section()
    table.add_row("", "Total", *(_score(run.grade) for run in runs), style="bold")
    return table


def _score(record: Grade | ExerciseResult | None) -> Text:
    if record is None:
        return Text("")
    failed = (
        record.status == "error"
        if isinstance(record, Grade)
        else any(check.status == "error" for check in record.checks)
    )
    if failed:
        return Text("grader error", STYLES["error"])
    return Text(story.score(record), "green" if record.score == record.max_score else "yellow")


# --- what differs --------------------------------------------------------------------


def _differences(found: Comparison, verbose: bool) -> Iterator[RenderableType]:
    for run in found.errors:
        said = run.grade.message or "it gave no reason"
        yield indented(Text.assemble((f"{run.name}: grader error", STYLES["error"]), f": {said}"))
        yield Text()
    if not found.differs:
        return
    yield Text("Differences between the kernels", "bold")
    yield Text()
    for differing in found.builds:
        yield indented(_build(differing, verbose))
        yield Text()
    for check in found.checks:
        yield indented(_check(check, verbose))
        yield Text()
    for finding in found.findings:
        yield indented(_finding(finding, verbose))
        yield Text()


def _build(differing: BuildDiffers, verbose: bool) -> RenderableType:
    check = differing.check
    return _with_log(
        Text.assemble(
            (one_line(differing.build), "bold"),
            (" does not compile", STYLES["fail"]),
            f" for {_listed(differing.kernels)}.\n",
            one_line(check.message),
        ),
        _log(check.log, None if verbose else COMPILER_LINES),
        check.hint,
    )


def _with_log(head: Text, log: str, hint: str) -> RenderableType:
    """Return *head*, the *log* below it, whose lines keep gcc's marks in place, and the hint."""
    parts = [head]
    if log:
        parts.append(whole(log) if has_marks(log) else Text(log))
        parts[-1].stylize("dim")
    if hint:
        parts.append(Text.assemble("Next: ", (fold(hint), "bold")))
    return Group(*parts)


def _check(differing: CheckDiffers, verbose: bool) -> RenderableType:
    check = differing.check
    parts: list[str | Text | tuple[str, str]] = [
        (one_line(check.id), "bold"),
        f", {points(check.max_points)} {'point' if check.max_points == 1 else 'points'}: "
        f"{one_line(check.title)}\n",
    ]
    for status in story.WORDS:  # those that passed first
        if kernels := differing.where.get(status):
            parts += ["; " if len(parts) > 2 else "", (story.WORDS[status], STYLES[status])]
            parts.append(f" on {_listed(kernels)}")
    parts.append(".")
    if check.message:
        parts.append(f"\nOn {differing.kernel}: {fold(check.message, LINES, WIDTH)}")
    for name, text in (("expected", check.expected), ("actual", check.actual)):
        if text:
            parts.append(f"\n{name}: {fold(text, LINES, WIDTH)}")
    if differing.waiting:
        wait = "waits" if differing.waiting == 1 else "wait"
        parts.append(f"\n{count(differing.waiting, 'more check')} {wait} for this one.")
    log = _log(check.log, None) if verbose else ""
    return _with_log(Text.assemble(*parts), log, check.hint)


def _finding(differing: FindingDiffers, verbose: bool) -> RenderableType:
    finding = differing.finding
    place = f"{one_line(finding.location)}: " if finding.location else ""
    during = f", during {one_line(finding.check)}" if finding.check else ""
    summary = one_line(finding.summary)
    parts: list[str | Text | tuple[str, str]] = [
        f"Only {_listed(differing.kernels)} "
        f"{'reports' if len(differing.kernels) == 1 else 'report'} ",
        (one_line(finding.kind), STYLES["fail"]),
        f": {place}{summary.rstrip('.')}{during}." if during else f": {place}{summary}",
    ]
    log = _log(finding.report, None) if verbose else ""
    return _with_log(Text.assemble(*parts), log, finding.hint)


def _log(text: str, lines: int | None) -> str:
    return fold(text, lines, None if lines is None else WIDTH)


def _listed(kernels: Sequence[str]) -> str:
    *most, last = kernels
    return f"{', '.join(most)} and {last}" if most else last


# --- what it comes to ----------------------------------------------------------------


def verdict(found: Comparison) -> str:
    """Return the sentence or two that count."""
    runs = found.runs
    if found.errors:
        failed = _listed([run.name for run in found.errors])
        return (
            f"The grader itself failed on {failed}. Run it again. If it fails again, tell your "
            "instructor."
        )
    rest = "Full marks." if found.full else "`knetlab check` shows what is missing."
    if len(runs) == 1:
        return (
            f"Only {runs[0].name} is in the cache, so there is nothing to compare it with. {rest}"
        )
    if not found.differs:
        return f"The results on the {len(runs)} kernels are the same. {rest}"
    number = len(found.builds) + len(found.checks) + len(found.findings)
    return f"{count(number, 'difference')} between the {len(runs)} kernels."


def _more(found: Comparison) -> str:
    """Return how to see more: another kernel, or all that the first one with trouble says."""
    runs = {run.name: run for run in found.runs}
    if len(runs) == 1:
        releases = list(debian.SUITES)
        (run,) = runs.values()
        at = releases.index(run.debian) if run.debian in releases else -1
        other = releases[at + 1] if at + 1 < len(releases) else releases[at - 1]
        return f"`knetlab kernel stock --release {other}` downloads another one."
    names = [differing.kernels[0] for differing in found.builds]
    names += [check.kernel for check in found.checks]
    names += [finding.kernels[0] for finding in found.findings]
    first = next((run for name, run in runs.items() if name in names), None)
    if first is None:
        return ""
    lab, kernel = one_line(first.grade.lab), first.grade.kernel.name
    return (
        f"To see everything that {first.name} says: "
        f"`knetlab check {lab} --kernel {kernel} --release {first.debian}`"
    )
