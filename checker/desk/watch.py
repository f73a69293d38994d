"""`knetlab watch`: at each save, build and check the exercise that is being worked on.

Then it is the turn of the others that share what was edited and were tried before: a loss is
told, and becomes what is worked on unless something else fails already.

What checks is the command `knetlab check`, in a process of its own, one at a time: a save
while it runs stops it, and it begins again with what was saved. This process has the
terminal: it waits for saves, keys and the end of the run, which all come through one queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.text import Text
from watchfiles import Change, awatch

from checker.desk import hints, last_run, progress, unread, work
from checker.desk.keys import cbreak
from checker.desk.progress import Reached
from checker.errors import InputError
from checker.model import Exercise, Grade, Lab
from checker.report import story, terminal
from checker.report.text import one_line, plain, unchanged

STOP_SECONDS = 20
"""What a run has to put its guest away in when it is stopped; then it is killed."""

KEYS = "h hint, n next, r again, v checks, l full log, q quit"


@dataclass(frozen=True)
class _Saved:
    """These of the student's sources were written."""

    names: frozenset[str]


@dataclass(frozen=True)
class _Pressed:
    key: str


@dataclass(frozen=True)
class _Ended:
    """A run came to its end by itself."""

    process: Process
    said: str


@dataclass(frozen=True)
class _Broken:
    """Saves cannot be followed any more."""

    error: Exception


def watch(
    lab: Lab, folder: Path, console: Console, first: Exercise | None, options: Sequence[str] = ()
) -> None:
    """Watch the student's *folder* until q is pressed, beginning with the exercise *first*.

    Without it, it is the first that is not full. *options* are more arguments for `check`.
    SIGTERM and SIGHUP end it as q does; Ctrl-C is a KeyboardInterrupt.
    """
    asyncio.run(_Watch(lab, folder, console, options).serve(first or progress.at(lab, folder)))


class _Watch:
    def __init__(self, lab: Lab, folder: Path, console: Console, options: Sequence[str]) -> None:
        self.lab = lab
        self.folder = folder
        self.console = console
        self.options = options
        self.exercise: Exercise | None = None
        """The one that is being worked on."""
        self.running: Exercise | None = None
        """The one that is being checked, or was last."""
        self.rest: list[Exercise] = []
        """Those to check after it."""
        self.before: Mapping[int, Reached] = {}
        """What each had earned when this round of checks began."""
        self.grades: dict[int, Grade] = {}
        """What each came to in this round."""
        self.told: list[Exercise] = []
        """Those of which it was said in this round what they lost."""
        self.shown: Grade | None = None
        """What was told last of the exercise that is being worked on."""
        self.sources = lab.sources
        self.events: asyncio.Queue[_Saved | _Pressed | _Ended | _Broken] = asyncio.Queue()
        self.keys = False
        self.process: Process | None = None
        self.following: asyncio.Task[None] | None = None
        self.checked: list[bytes] = []
        """What the sources held when the last run began."""
        self.status = Status("", console=console, spinner="line")

    async def serve(self, first: Exercise | None) -> None:
        """Do what comes out of the queue, until it is q."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.events.put_nowait, _Pressed("q"))
        with cbreak() as fd:
            if fd is not None:
                self.keys = True
                loop.add_reader(fd, self._read_keys, fd)
            saves = asyncio.create_task(self._follow_saves())
            try:
                await asyncio.sleep(0)  # so that saves are followed before anything is read
                await self._go_to(first)
                while await self._handle(await self.events.get()):
                    pass
            finally:
                if fd is not None:
                    loop.remove_reader(fd)
                saves.cancel()
                await self._stop()
                with contextlib.suppress(asyncio.CancelledError):
                    await saves

    async def _handle(self, event: _Saved | _Pressed | _Ended | _Broken) -> bool:
        """Do what *event* asks for; tell whether to go on."""
        match event:
            case _Pressed("q"):
                return False
            case _Pressed("h"):
                self._hint()
            case _Pressed("n"):
                await self._go_to(self._after()[0])
            case _Pressed("r"):
                await self._go_to(self.exercise, fresh=True)
            case _Pressed("v"):
                self._every_check()
            case _Pressed("l"):
                self._full_log()
            case _Saved(names):
                await self._saved(names)
            case _Ended(process, said) if process is self.process:
                await self._ended(process, said)
            case _Broken(error):
                raise InputError(
                    f"Changes in {self.folder} cannot be watched: {error}. Use `make check`."
                )
        return True

    # -- what comes in ----------------------------------------------------------------

    def _read_keys(self, fd: int) -> None:
        keys = b""
        with contextlib.suppress(OSError):
            keys = os.read(fd, 64)
        if not keys:  # the terminal is gone
            asyncio.get_running_loop().remove_reader(fd)
            keys = b"q"
        for key in keys.decode(errors="ignore"):
            self.events.put_nowait(_Pressed(key.lower()))

    async def _follow_saves(self) -> None:
        def wanted(_: Change, path: str) -> bool:
            return self._name(path) in self.sources

        try:
            async for changes in awatch(self.folder, watch_filter=wanted):
                names = frozenset(self._name(path) for _, path in changes)
                self.events.put_nowait(_Saved(names))
        except Exception as error:
            self.events.put_nowait(_Broken(error))

    def _name(self, path: str) -> str:
        return os.path.relpath(os.path.realpath(path), self.folder.resolve())

    async def _follow_run(self, process: Process) -> None:
        """Show what the run says it is doing, and queue its end with what it said last."""
        assert process.stderr
        last = ""
        async for line in process.stderr:
            last = plain(line.decode(errors="replace")).strip() or last
            self.status.update(Text(self._doing(last)))
        await process.wait()
        self.events.put_nowait(_Ended(process, last))

    # -- a run ------------------------------------------------------------------------

    async def _go_to(
        self, exercise: Exercise | None, *, clear: bool = True, fresh: bool = False
    ) -> None:
        """Check *exercise* now, on a cleared screen, and then those that were edited besides.

        With None say that nothing is left to do.
        """
        await self._stop()
        self.exercise = exercise
        self.grades = {}
        self.told = []
        if exercise is None:
            self._say(Text("All exercises are solved.", "bold green"))
            return
        self.checked = self._contents()
        kept = progress.load(self.lab, self.folder)
        self.before = kept.reached
        edited = progress.stale(self.lab, self.folder, kept)
        self.rest = [e for e in self.lab.exercises if e.number in edited and e != exercise]
        if clear and self._live:
            self.console.clear()
        await self._run(exercise, fresh=fresh)

    async def _run(self, exercise: Exercise, *, fresh: bool = False) -> None:
        """Start the check of *exercise*."""
        self.running = exercise
        if self._live:
            self.status.update(Text(self._doing("")))
            self.status.start()
        else:
            self.console.print(Text(self._doing("")))
        command = [sys.executable, "-m", "checker", "check", self.lab.name]
        which = ["--submission", str(self.folder), "--exercise", str(exercise.number)]
        which += ["--fresh"] if fresh else []
        # in a session of its own Ctrl-C does not reach it twice
        self.process = await asyncio.create_subprocess_exec(
            *command,
            *which,
            *self.options,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            start_new_session=True,
        )
        self.following = asyncio.create_task(self._follow_run(self.process))

    @property
    def _live(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def _doing(self, what: str) -> str:
        assert self.running
        again = "" if self.running == self.exercise else " again, because its file was edited"
        doing = f"checking exercise {self.running.number}, {self.running.title}{again}"
        return f"{doing}: {what}" if what else doing

    async def _stop(self) -> None:
        """Stop the run, if there is one, and wait for its end."""
        self.status.stop()
        process, following = self.process, self.following
        self.process = self.following = None
        if process is None or following is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(asyncio.shield(following), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await following

    async def _ended(self, process: Process, said: str) -> None:
        """Tell what came of the run, and go on with what is still to check."""
        self.status.stop()
        self.process = self.following = None
        assert self.running
        # it ended with a sentence and without a grade, or the other way round
        grade = None if said.startswith("knetlab: ") else last_run.grade(self.folder)
        if grade is None or process.returncode not in (0, 1, 3):
            self.rest = []
            self._say(
                Text(
                    said or "The check ended without a message. Run `make check` to see why.",
                    "bold red",
                )
            )
            return
        self.grades[self.running.number] = grade
        if self.running == self.exercise:
            self._tell(grade)
        else:
            self._tell_briefly(grade)
        if self.rest:
            await self._run(self.rest.pop(0))
        else:
            await self._go_on()

    async def _go_on(self) -> None:
        """After the last run of a round, stay, or go to what was lost or to what comes next."""
        assert self.exercise
        if not _full(self.grades[self.exercise.number]):
            self._say()
            return
        lost = [e for e in self.lab.exercises if self._loss(e)]
        if lost:
            self.exercise = lost[0]
            self._tell(self.grades[lost[0].number])
            self._say()
            return
        waiting = progress.at(self.lab, self.folder, self._after())
        if waiting == self.exercise:  # it was not kept that it is solved
            self._say()
        else:
            await self._go_to(waiting, clear=False)

    def _loss(self, exercise: Exercise) -> progress.Loss | None:
        """Return what *exercise* lost in this round; None if nothing, or the grader failed."""
        had, grade = self.before.get(exercise.number), self.grades.get(exercise.number)
        if had is None or grade is None or grade.status == "error" or grade.score >= had.score:
            return None
        return progress.Loss(exercise, had.score, grade.score)

    def _contents(self) -> list[bytes]:
        """Return what the student's sources hold; nothing for one that is not there."""
        found = []
        for name in self.sources:
            path = self.folder / name
            found.append(path.read_bytes() if path.is_file() else b"")
        return found

    async def _saved(self, names: frozenset[str]) -> None:
        """Check this exercise, or the first open one of those the files are about."""
        if self.process and self._contents() == self.checked:
            return  # some editors write more than once
        touched = [
            exercise
            for exercise in self.lab.exercises
            if not names.isdisjoint(self.lab.files(exercise))
        ]
        if not touched:
            return
        if self.exercise in touched:
            await self._go_to(self.exercise)
        else:
            await self._go_to(progress.at(self.lab, self.folder, touched) or touched[0])

    def _after(self) -> list[Exercise]:
        """Return the exercises in order, from the one after this, this one last."""
        exercises = list(self.lab.exercises)
        at = exercises.index(self.exercise) + 1 if self.exercise else 0
        return exercises[at:] + exercises[:at]

    # -- what is shown ----------------------------------------------------------------

    def _score(self, grade: Grade) -> Text:
        (result,) = grade.exercises
        title = one_line(plain(result.title))
        held = f" {unchanged(result.reused.at)}," if result.reused else ""
        return Text.assemble(
            (f"Exercise {result.number}", "bold"), f", {title}: {story.score(result)} points,{held}"
        )

    def _tell(self, grade: Grade) -> None:
        """Tell what came of the exercise that is being worked on."""
        assert self.exercise
        self.shown = grade
        if _full(grade):
            self.console.print(Text.assemble(self._score(grade), (" solved", "bold green")))
        else:
            (result,) = grade.exercises
            self._tell_loss(self.exercise)
            self.console.print(Text.assemble(self._score(grade), " ", story.tally(result.checks)))
            for path in result.files:
                self.console.print(Text(work.shown(self.folder / path), "dim"), soft_wrap=True)
            terminal.first_failure(grade, self.console)
        for note in unread.notes(self.lab, self.folder):
            self.console.print(Text(plain(note), "yellow"))

    def _tell_briefly(self, grade: Grade) -> None:
        """Tell what came of an exercise that was checked besides."""
        (result,) = grade.exercises
        if self._tell_loss(self.lab.exercise(result.number)):
            return
        before = self.before.get(result.number)
        if _full(grade):
            style = "dim" if before and before.full else "bold green"
            self.console.print(Text.assemble(self._score(grade), (" solved", style)))
        else:
            style = "yellow" if grade.status == "error" else "dim"
            tally = story.tally(result.checks)
            self.console.print(Text.assemble(self._score(grade), " ", (tally, style)))

    def _tell_loss(self, exercise: Exercise) -> bool:
        """Say what *exercise* lost in this round, once; tell whether it lost anything."""
        loss = self._loss(exercise)
        if loss and exercise not in self.told:
            self.told.append(exercise)
            self.console.print(Text(str(loss), "bold red"))
        return loss is not None

    def _hint(self) -> None:
        if self.exercise is None:
            self._say(Text("All exercises are solved. There are no more hints."))
        else:
            hint = hints.next_one(self.lab, self.folder, self.exercise)
            self._say(hints.told(self.exercise, hint))

    def _every_check(self) -> None:
        if grade := self._last():
            terminal.every_check(grade, self.console)
            self._say()

    def _full_log(self) -> None:
        if grade := self._last():
            terminal.render(grade, self.console, verbose=True, folder=work.shown(self.folder))
            logs = last_run.logs(self.folder, [e.number for e in grade.exercises])
            self._say(*(Text(f"everything that the guest printed: {path}", "dim") for path in logs))

    def _last(self) -> Grade | None:
        """Return the grade that was shown last, else that of an earlier check, and say which."""
        grade = self.shown or last_run.grade(self.folder)
        if grade is None:
            self._say(Text("Nothing has been checked yet."))
        elif self.process and self.running:
            self.console.print(
                Text(
                    f"This is an earlier run. Exercise {self.running.number} is being checked now."
                )
            )
        return grade

    def _say(self, *texts: Text) -> None:
        for text in texts:
            self.console.print(text)
        if not self.process:
            keys = KEYS if self.keys else "Ctrl-C ends"
            self.console.print(Text(f"Waiting for a save ({keys})", "dim"))


def _full(grade: Grade) -> bool:
    return grade.status != "error" and grade.score == grade.max_score
