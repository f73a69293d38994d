"""Many things to do: a bar with the time left on a terminal, and a line for each that ended."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from checker.report.text import one_line, plain


class Progress:
    """Says how far it is; without a terminal in plain lines.

    ::

    with Progress(console) as progress:
        progress.stage("building the debug kernel")
        progress.begin(300)
        progress.done(Text("alice: 55 of 100"))
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._total = 0
        self._done = 0
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        """Say that the stage *text* begins."""
        if self._live:
            self._bar.update(self._task, description=one_line(plain(text)))
        else:
            self._console.print(Text(plain(text)))

    def note(self, text: str) -> None:
        """Say *text*, on a terminal above the bar."""
        self._console.print(Text(plain(text)))

    def begin(self, total: int, what: str = "grading") -> None:
        """Say that *total* things begin, and *what* is done with them."""
        self._total = total
        self._done = 0
        self._bar.update(self._task, total=total, completed=0, description=what)

    def count(self) -> None:
        """Count one of which there is nothing to say; without a terminal, say each fiftieth."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        if not self._live and self._done % 50 == 0:
            self._console.print(Text(f"[{self._done}/{self._total}]"))

    def done(self, line: Text, *, always: bool = True) -> None:
        """Count one; say *line* of it, on a terminal only if *always*."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        if always or not self._live:
            self._console.print(Text.assemble(f"[{self._done}/{self._total}] ", line))
