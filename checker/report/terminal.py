"""A grade on the terminal, and the progress on the way to it.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.status import Status as Spinner
from rich.table import Table
from rich.text import Text

from checker.language import say
from checker.model import CheckResult, ExerciseResult, Finding, Grade, Status
from checker.report import story, way
from checker.report.text import clean, count, fold, has_marks, one_line, plain, points, unchanged

STYLES: dict[Status, str] = {
    "pass": "green",
    "fail": "bold red",
    "crash": "bold red",
    "timeout": "bold red",
    "error": "bold yellow",
    "skip": "dim",
}
LINES, WIDTH = 20, 400  # of a log, unless everything is asked for
FINDINGS, WARNINGS = 5, 8


def render(
    grade: Grade,
    console: Console,
    *,
    verbose: bool = False,
    folder: str = "",
    notes: Sequence[str] = (),
    then: str = "",
) -> None:
    """Print *grade*: the table, what is missing and why, and the one thing to do first.

    An exercise at which nothing is earned yet shows only its first failure, and only the
    first such exercise shows it in full; *verbose* shows every check, every failure and every
    line. *folder* is what was graded, as a user would type it; *notes* are sentences on it;
    *then* is what comes after full marks.
    """
    for part in _report(_fit(grade, console), verbose, folder, notes, then):
        console.print(part, crop=False)


def first_failure(grade: Grade, console: Console) -> None:
    """Print the first failure of *grade* in full, and of the others their headlines."""
    grade = _fit(grade, console)
    for part in _first_failure(grade):
        console.print(part, crop=False)


def every_check(grade: Grade, console: Console) -> None:
    """Print a line for each check of *grade*, those that passed too."""
    for part in _every_check(_fit(grade, console)):
        console.print(part)


def _fit(grade: Grade, console: Console) -> Grade:
    return clean(grade, console.encoding if console.options.ascii_only else "utf-8")


def _first_failure(grade: Grade) -> Iterator[RenderableType]:
    yield from _warnings(grade, verbose=False)
    told = _Told(grade, verbose=False)
    for exercise in grade.exercises:
        own = [group for group in told.reasons if group[0] in exercise.checks]
        if own:
            yield indented(told.failure(own[0], exercise), 2)
            yield from (indented(_headline(group[0]), 2) for group in own[1:])
            return
    yield from _remarks(grade)
    yield Text(say(story.next_step(grade)))


def _every_check(grade: Grade) -> Iterator[RenderableType]:
    for exercise in grade.exercises:
        yield Text()
        yield _heading(exercise)
        yield from (indented(_headline(check), 2) for check in exercise.checks)


def _report(
    grade: Grade, verbose: bool, folder: str, notes: Sequence[str], then: str
) -> Iterator[RenderableType]:
    yield Text.assemble(
        (one_line(grade.lab), "bold"), say(f", submission {one_line(grade.submission)}")
    )
    if grade.status == "error":
        yield _grader_error(grade)
    if grade.exercises:
        yield _table(grade)
    for whose, path in story.files(grade):
        yield whole(f"{say(whose)}: {Path(folder, path)}")
    yield Text(_made(grade), "dim")
    for remark in (story.unseen(grade), story.reused(grade)):
        if remark:
            yield Text(say(remark), "dim")
    for note in notes:
        yield Text(say(plain(note)), "yellow")
    if verbose:
        yield from _every_check(grade)
    yield from _warnings(grade, verbose)
    told = _Told(grade, verbose)
    for exercise in grade.exercises:
        yield from told.exercise(exercise)
    yield from _findings(grade, verbose)
    yield from _remarks(grade)
    yield Text()
    yield Text(say(story.next_step(grade, then=then)), "bold")


def _grader_error(grade: Grade) -> Text:
    said = say(grade.message or "it gave no reason")
    more = "\n  " if "\n" in said else " "
    told = said.replace("\n", "\n  ")
    return Text.assemble((say(story.WORDS["error"]), STYLES["error"]), f":{more}", told)


def _made(grade: Grade) -> str:
    made = grade.provenance
    kernel = one_line(f"kernel {grade.kernel.name} {grade.kernel.release}")
    return say(f"{kernel}, seed {made.seed}, {made.seconds:.1f} seconds")


def _table(grade: Grade) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column(say("Exercise"), overflow="fold")
    table.add_column(say("Points"), justify="right", no_wrap=True)
    table.add_column(say("Checks"))
    for exercise in grade.exercises:
        table.add_row(
            str(exercise.number),
            Text(say(one_line(exercise.title))),
            _score(exercise),
            Text(_tally(exercise)),
        )
    table.add_section()
    table.add_row("", say("Total"), _score(grade), "", style="bold")
    return table


def _tally(exercise: ExerciseResult) -> str:
    tally = story.tally(exercise.checks)
    return say(f"{tally}, {unchanged(exercise.reused.at)}" if exercise.reused else tally)


def _heading(exercise: ExerciseResult) -> Text:
    return Text.assemble(
        (say(f"Exercise {exercise.number}"), "bold"),
        say(f", {one_line(exercise.title)}: {story.score(exercise)} points"),
    )


def _score(record: Grade | ExerciseResult) -> Text:
    if not record.max_score:
        style = "dim"
    elif record.score == record.max_score:
        style = "green"
    else:
        style = "yellow" if record.score else "red"
    return Text(say(story.score(record)), style)


class _Told:
    """What was told already: a reason is given once, however many checks and exercises it stops."""

    def __init__(self, grade: Grade, verbose: bool) -> None:
        self.reasons = story.reasons(grade)
        self.waits = story.waiting(grade)
        self.exercises = grade.exercises
        self.verbose = verbose
        self.nothing_earned_yet = False
        self.last_was_short = False

    def exercise(self, exercise: ExerciseResult) -> Iterator[RenderableType]:
        """Yield what is missing in *exercise*; nothing when nothing is."""
        own = [group for group in self.reasons if group[0] in exercise.checks]
        mistakes = story.mistakes(exercise)
        brief = bool(mistakes) and not (exercise.score or self.verbose)
        rest = self._rest(exercise)
        number = (say(f"Exercise {exercise.number}"), "bold")
        # a module that does not compile is told in full wherever it stands
        unbuilt = bool(own) and story.stops(own[0], exercise)
        if own and (unbuilt or not (brief and self.nothing_earned_yet)):
            yield Text()
            yield _heading(exercise)
            yield from self._failures(own, exercise, brief)
            yield from (indented(Text(say(line), "dim"), 2) for line in rest)
            self.nothing_earned_yet |= brief
            self.last_was_short = False
        elif own or rest:
            if not self.last_was_short:
                yield Text()
            short = _headline(own[0][0], with_id=False) if own else Text(say(rest[0]))
            yield Text.assemble(number, ": ", short)
            self.last_was_short = True

    def _rest(self, exercise: ExerciseResult) -> list[str]:
        """Return a line for each reason of *exercise* that is told elsewhere or needs no more."""
        lines = []
        for group in self.reasons:
            here = [check for check in group if check in exercise.checks]
            if here and group[0] not in here:
                origin = next(e for e in self.exercises if group[0] in e.checks)
                lines.append(
                    f"{story.tally(here)} for the same reason as in {story.numbers([origin])}"
                )
        for why, number in story.untried(exercise, self.waits).items():
            lines.append(f"{count(number, 'check')} not tried because {why}")
        return lines

    def _failures(
        self, groups: list[list[CheckResult]], exercise: ExerciseResult, brief: bool
    ) -> Iterator[RenderableType]:
        yield indented(self.failure(groups[0], exercise), 2)
        for group in groups[1:]:
            if brief:
                yield indented(_headline(group[0]), 2)
            else:
                yield Text()
                yield indented(self.failure(group, exercise), 2)

    def failure(self, group: list[CheckResult], exercise: ExerciseResult) -> RenderableType:
        """Return the one reason of *group* in full."""
        check = group[0]
        lines, width = (None, None) if self.verbose else (LINES, WIDTH)
        if story.stops(group, exercise):
            stopped = story.numbers(e for e in self.exercises if story.stops(group, e))
            head = Text.assemble(
                (say(story.WORDS[check.status]), STYLES[check.status]),
                say(f": every check of {stopped}"),
            )
        else:
            head = _headline(check)
        parts: list[RenderableType] = []
        if check.message:
            parts.append(Text(say(fold(check.message, lines, width))))
        said = {say("expected"): check.expected, say("actual"): check.actual}
        fields = {key: Text(say(fold(text, lines, width))) for key, text in said.items() if text}
        if fields:
            parts.append(_fields(fields))
        if check.log:
            # Not a field: log lines are long, and want all the width there is.
            log = fold(check.log, lines, width)
            shown = whole(log) if has_marks(log) else Text(log)
            parts += [Text(say("log"), "dim"), indented(shown, 2)]
        if check.way:
            told = f"{say(f'way of {one_line(check.way.packet)}')}, {say(way.ORIGIN)}"
            parts += [Text(told, "dim"), indented(Text(way.line(check.way)), 2)]
        if len(group) > 1 and not story.stops(group, exercise):
            parts.append(
                Text(say(f"The same is true for {count(len(group) - 1, 'more check')}."), "dim")
            )
        waiting = [c for c in self._all() if self.waits.get(c.id) == check.id]
        if waiting:
            one = "1 check waits for this one."
            told = one if len(waiting) == 1 else f"{len(waiting)} checks wait for this one."
            parts.append(Text(say(told), "dim"))
        if self.verbose:
            parts += [
                indented(Text(f"{c.id}: {say(one_line(c.title))}", "dim"), 2) for c in waiting
            ]
        if check.hint:
            parts.append(_fields({say("Next:"): Text(say(fold(check.hint)), "bold")}))
        return Group(head, *(indented(part, 2) for part in parts))

    def _all(self) -> Iterator[CheckResult]:
        for exercise in self.exercises:
            yield from exercise.checks


def _headline(check: CheckResult, *, with_id: bool = True) -> Text:
    head = Text.assemble(
        (say(story.WORDS[check.status]), STYLES[check.status]), f": {say(one_line(check.title))}"
    )
    if with_id:
        worth = f"{points(check.points)}/{points(check.max_points)}"
        head.append(f" ({one_line(check.id)}, {worth})", "dim")
    return head


def _warnings(grade: Grade, verbose: bool) -> Iterator[RenderableType]:
    if not grade.warnings:
        return
    yield Text()
    yield Text(say("Warnings of the compiler"), "bold")
    shown = grade.warnings if verbose else grade.warnings[:WARNINGS]
    for line in shown:
        yield indented(Text(one_line(line)), 2)
    if len(shown) < len(grade.warnings):
        yield indented(Text(say(f"and {len(grade.warnings) - len(shown)} more")), 2)


def _findings(grade: Grade, verbose: bool) -> Iterator[RenderableType]:
    # The same one, met by several checks, is told once.
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in grade.findings:
        found.setdefault((finding.kind, finding.summary, finding.location), []).append(finding)
    if not found:
        return
    yield Text()
    yield Text(say(story.reported(grade)), "bold")
    shown = list(found.values()) if verbose else list(found.values())[:FINDINGS]
    for same in shown:
        first = same[0]
        # in front: the sentence may name another place, as where memory was allocated
        where = f"{one_line(first.location)}: " if first.location else ""
        checks = ", ".join(one_line(finding.check) for finding in same if finding.check)
        summary = one_line(first.summary)
        told = say(f"{summary.rstrip('.')}, during {checks}" if checks else summary)
        line = Text.assemble((one_line(first.kind), "bold red"), ": ")
        yield indented(line.append(f"{where}{told}"), 2)
        if verbose and first.report:
            yield indented(Text(fold(first.report)), 4)
    if len(shown) < len(found):
        yield indented(Text(say(f"and {len(found) - len(shown)} more")), 2)


def _remarks(grade: Grade) -> Iterator[RenderableType]:
    found = story.remarks(grade)
    if not found:
        return
    yield Text()
    yield Text(say(story.REMARKS), "bold")
    for remark, ids in found.items():
        line = Text.assemble(say(remark), (f" ({', '.join(map(one_line, ids))})", "dim"))
        yield indented(line, 2)


def _fields(fields: dict[str, Text]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in fields.items():
        grid.add_row(name, text)
    return grid


def whole(text: str) -> Text:
    """Return *text* whose lines stay in one piece, wider than the terminal if need be."""
    return Text(text, no_wrap=True, overflow="ignore")


@dataclass(frozen=True)
class _Indented:
    """A part of a report, some columns to the right; rich's Padding would cut long lines."""

    part: RenderableType
    by: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - self.by))
        for line in Segment.split_lines(console.render(self.part, narrower)):
            yield Segment(" " * self.by)
            yield from line
            yield Segment.line()


def indented(part: RenderableType, by: int = 2) -> RenderableType:
    """Return *part* some columns to the right; print it with crop=False."""
    return _Indented(part, by)


class Progress:
    """Says what is going on: a spinner with a count on a terminal, else one line a stage.

    ::

        with Progress(console) as progress:
            progress.stage("Building the modules")
            progress.check_done(result)
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        live = console.is_terminal and not console.is_dumb_terminal
        self._spinner = Spinner("", console=console, spinner="line") if live else None
        self._stage = ""
        self._done: list[CheckResult] = []

    def __enter__(self) -> Self:
        if self._spinner:
            self._spinner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spinner:
            self._spinner.stop()

    def stage(self, text: str) -> None:
        """Say that the stage *text* begins."""
        self._stage = say(plain(text))
        if self._spinner:
            self._show()
        else:
            self._console.print(Text(self._stage))

    def note(self, text: str) -> None:
        """Say *text*, on a terminal above the spinner."""
        self._console.print(Text(plain(text)))

    def check_done(self, result: CheckResult) -> None:
        """Count *result*; only a terminal shows it."""
        self._done.append(result)
        self._show()

    def _show(self) -> None:
        if self._spinner:
            done = f" ({story.tally(self._done)})" if self._done else ""
            self._spinner.update(Text(one_line(self._stage) + done))
