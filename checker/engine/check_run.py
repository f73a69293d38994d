"""The run of one check: whether it may be tried, what is seen of it, and what is told.

What the kernel reports during a check fails no check by itself: it becomes a
finding, and findings cost the points of the exercise's health (checker/engine/grade.py).

What a guest does that has no code of the submission's yet is not its doing. Where
such a guest goes, the check is tried again in a new one.

A guest that goes when a check is over, as its module is removed, takes nothing from that check:
what was seen before was seen. It is a finding, which costs the exercise's health.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from checker.engine.collector import Spec
from checker.engine.grade import did_not_pass
from checker.engine.testbed import TAINTS, Late, Module, Session, Testbed, Unmet
from checker.engine.way import Packet
from checker.errors import LabError
from checker.model import NEEDS_A_KERNEL, CheckResult, Finding, Status, Way
from checker.words import kernel_log, next_step, sanitizer
from vm.errors import (
    GuestCrashed,
    GuestError,
    GuestFlooded,
    GuestSpins,
    GuestTimeout,
    VMError,
)

_logger = logging.getLogger("knetlab")

MAX_CRASHES = 3
"""After so many guests lost in one exercise, the rest of its checks are not tried."""

SAME_HANGS = 2
"""After so many hangs at one line the rest of an exercise's checks are not tried.

A hang costs many seconds, and the next would tell nothing new.
"""

GUESTS = 3
"""So many guests a check gets that go before they have its code; then it is an error."""

_AT_THE_END = (
    "The guest went when the {what} was removed after the check, and the log does not say why."
)
_STUCK = "It stays in the kernel, with all it holds, until the next boot."
_WATCHES = {"locks": "lockdep", "probes": "kprobes"}
"""What vm/witness says is awake, as the kernel's documentation names it."""
_TAINTED = "The kernel noted that something went wrong in it, and the log does not say what."


class BuildFailed(Unmet):
    """A build of the check's exercise failed; the message and the compiler's words say why."""


class GraderError(Exception):
    """Ours: the check could not be tried."""


@dataclass
class CheckRun:
    """One check, from the gate to its result.

    *errors* has the exception of each of pytest's phases, *session* its use of a
    guest, or *no_guest* why there is none. *own* is what was seen of the module besides
    the kernel's words, and *told* what sanitizers said of programs. *spoilt*: the guest is
    not as it was before. A check may be run once more, and is not judged then: *sanitized*, with
    programs that have sanitizers; *records*, for the *way* of the packet that it is about.
    """

    spec: Spec
    testbed: Testbed
    sanitized: bool = False
    started: float = field(default_factory=time.monotonic)
    guests: int = 0
    session: Session | None = None
    no_guest: VMError | None = None
    spoilt: bool = False
    records: bool = False
    own: list[Finding] = field(default_factory=list)
    way: Way | None = None
    told: list[Finding] = field(default_factory=list)
    errors: dict[str, BaseException] = field(default_factory=dict)

    def again(self) -> None:
        """Forget the guest that went; the check gets another one."""
        self.session = self.no_guest = None
        self.spoilt = False
        self.own = []
        self.told = []
        self.errors = {}

    # -- may it be tried? -------------------------------------------------------------

    @property
    def lacking(self) -> list[str]:
        """The options that the check needs and the kernel has not."""
        have = self.testbed.config.kernel.features
        return [need for need in self.spec.needs if need not in have]

    def gate(self, results: Sequence[CheckResult], crashes: int, hangs: Sequence[str] = ()) -> None:
        """Raise when the check cannot earn anything: a skip, BuildFailed or GraderError.

        *results* are those of the exercise so far, *crashes* how many guests it has lost, and
        *hangs* the lines where it hung, each time.
        """
        for built in map(self.testbed.build.target, self.spec.exercise.builds):
            if built.grader_error:
                raise GraderError(built.message)
            if not built.built:
                raise BuildFailed(built.message, log=built.output, hint=built.hint)
        if self.lacking:
            pytest.skip(f"{NEEDS_A_KERNEL} {', '.join(self.lacking)}, as the debug kernel is")
        passed = {result.id: result.status == "pass" for result in results}
        for earlier in self.spec.after:
            if not passed.get(earlier, True):
                pytest.skip(did_not_pass(earlier))
        if crashes >= MAX_CRASHES:
            pytest.skip(f"the {self._what} took {MAX_CRASHES} guests down before")
        for place in hangs:
            if hangs.count(place) >= SAME_HANGS:
                pytest.skip(f"the kernel hung at {place} in {SAME_HANGS} checks before")

    # -- its guest --------------------------------------------------------------------

    def tidy(self, session: Session) -> None:
        """Leave the guest as it was, or see to it that it is thrown away."""
        if session.guest.dead:
            return
        self.spoilt = True  # until all is seen to be well
        session.guest.end_processes()
        reports, left = session.sweep()
        self.told = self._of_programs(reports)
        try:
            now = session.tidy()
        except GuestError:
            if session.has_code:
                summary = _AT_THE_END.format(what=self._what)
                self.own = [Finding(kind="lost-guest", summary=summary)]
            raise
        except Unmet as stuck:
            self.own = [Finding(kind="stuck-module", summary=f"{stuck.message} {_STUCK}")]
            return
        before = session.before
        if now.taint & ~before.taint & TAINTS:
            self.own = [Finding(kind="taint", summary=_TAINTED, report=session.kernel_says())]
            return
        if blind := [_WATCHES.get(name, name) for name in sorted(before.awake - now.awake)]:
            summary = f"The {self._what} turned {' and '.join(blind)} off, which would report it."
            self.own = [Finding(kind="watch-off", summary=summary)]
            return
        same = (now.modules, now.rest) == (before.modules, before.rest)
        # what a program with a capability has changed is not all to be seen
        changed = session.has_run and self.spec.exercise.capability
        self.spoilt = not same or bool(left) or bool(changed)

    def _of_programs(self, reports: str) -> list[Finding]:
        """Return what sanitizers said; of which program by its lines, else of the first one."""
        programs = [t for t in self.testbed.lab.targets(self.spec.exercise) if t.kind == "program"]
        told = []
        found = sanitizer.findings(reports, self.testbed.names)
        if not found and (removed := sanitizer.removed(reports)):
            found = [removed]
        for finding in found:
            path = self.testbed.names.path(finding.location.partition(":")[0])
            whose = next((t for t in programs if path in t.files), programs[0])
            told.append(finding.model_copy(update={"check": self.spec.id, "build": whose.name}))
        return told

    def went_alone(self) -> VMError | None:
        """Return how the check's guest went if it did before it had the module, else None."""
        if self.session is None:
            return self.no_guest
        return None if self.session.has_code else self.session.guest.dead

    def alone(self) -> str:
        """Return the sentence for such a guest."""
        how = str(self.went_alone()).splitlines()[0].rstrip(".")
        return f"A guest went before it had the {self._what}, so that is not its doing: {how}."

    # -- the way of its packet --------------------------------------------------------

    @property
    def packets(self) -> tuple[Packet, ...]:
        """The packets that a check is about which has failed."""
        error = self.error
        failed = isinstance(error, Unmet) and _classify(error) == "fail"
        return error.packets if failed and isinstance(error, Unmet) else ()

    def find_way(self) -> None:
        """Note the way of one of them, as long as the guest is there; and nothing where it went."""
        recording, packets = self.testbed.recording, self.packets
        if recording is None or not packets:
            return
        name = self.session.name if isinstance(self.session, Module) else ""
        try:
            self.way = recording.way(packets, name)
        except VMError:
            pass
        except Exception as error:  # whatever the module wrote there is no reason for a verdict
            _logger.info(f"{self.spec.id}: the way of its packet cannot be told: {error!r}")

    # -- what is told -----------------------------------------------------------------

    @property
    def error(self) -> BaseException | None:
        """What ended the check, the first of its phases; None when nothing did.

        A guest that went at the check's end ended nothing: it is told as a finding.
        """
        return next((e for e in self.errors.values() if e is not self.at_the_end), None)

    @property
    def at_the_end(self) -> GuestError | None:
        """How the guest went when the check was over, with the submission's code in it; or None."""
        error = self.errors.get("teardown")
        there = self.session is not None and self.session.has_code
        return error if there and isinstance(error, GuestError) else None

    def hang(self, reported: list[Finding]) -> str:
        """Return the line, as *reported* has it, at which the guest hung during the check.

        Empty where it did not, or where nobody knows. At the check's end does not count: a check
        that has passed by then is worth trying.
        """
        told = _told(self.error, reported) if isinstance(self.error, GuestTimeout) else None
        return told.location if told else ""

    def reported(self) -> list[Finding]:
        """Return what the kernel reported during the check, or what was seen besides."""
        session = self.session
        if session is None:
            return []
        module = self.testbed.lab.module(self.spec.exercise)
        name = module.name if module else kernel_log.NO_MODULE
        locate = self.testbed.symbols.locate if self.testbed.symbols else kernel_log.nowhere
        names = self.testbed.names
        found = kernel_log.findings(session.console(), name, locate, names)
        if not found:  # the console can be turned off
            found = kernel_log.findings(session.logged(), name, locate, names)
        found = found or self.own
        whose = {"check": self.spec.id, "build": module.name if module else ""}
        return [*(finding.model_copy(update=whose) for finding in found), *self.told]

    def wants_sanitizers(self) -> bool:
        """Tell whether the check is to be run once more, for what sanitizers say."""
        return (
            not self.sanitized
            and not self.spec.plain
            and self.session is not None
            and self.session.has_run
            and self.went_alone() is None
            and self.at_the_end is None
            and not isinstance(self.error, Late | GuestError)
        )

    def judge(self, reported: list[Finding]) -> CheckResult:
        """Return what became of the check; *reported* is what reported() returned."""
        error, session, spec = self.error, self.session, self.spec
        alone = self.went_alone() is not None
        status = "error" if alone else _classify(error)
        found = reported if session and session.has_code else []
        message, expected, actual, log, hint = "", "", "", "", ""
        if alone:
            message = f"{self.guests} guests in a row: {self.alone()}"
            lines = kernel_log.plain_lines(session.console())[-15:] if session else []
            log = reported[-1].report if reported else "\n".join(lines)
        elif isinstance(error, Unmet):
            message, expected, actual, log = error.message, error.expected, error.actual, error.log
            hint = error.hint
        elif isinstance(error, GuestFlooded) and session:
            message = (
                f"The {self._what} floods the kernel log, so that nothing else can be found in it."
            )
            if not found:  # a report says more of the mistake
                hint = (
                    "Find the pr_info() that a loop or every packet calls: log only what is asked, "
                    "once."
                )
            log = "\n".join(kernel_log.plain_lines(session.console())[:10])
        elif isinstance(error, GuestError):
            message = _fatal(error, found, self._what)
            told = _told(error, found)
            log = told.report if told else session.kernel_says() if session else ""
        elif status == "skip":
            message = getattr(error, "msg", "") or str(error)
        elif status == "error" and error is not None:
            message, hint = self._trouble(error)
        elif error is not None:
            message = str(error)
        return CheckResult(
            id=spec.id,
            title=spec.title,
            status=status,
            points=spec.points if status == "pass" else 0.0,
            max_points=0.0 if self.lacking else spec.points,
            message=message,
            seconds=round(time.monotonic() - self.started, 3),
            expected=expected,
            actual=actual,
            log=log,
            hint=hint,
            remarks=tuple(session.remarks) if session and status == "pass" else (),
        )

    @property
    def _what(self) -> str:
        """What a student is told did it: the module, where the exercise is about one."""
        return "module" if self.testbed.lab.module(self.spec.exercise) else "program"

    def _trouble(self, error: BaseException) -> tuple[str, str]:
        """Return what went wrong in a check itself, and where, and whose it is to mend."""
        lab, file = self.testbed.lab, self.spec.file.name
        said, where = f"{type(error).__name__}: {error}", ""
        checks = lab.root / "checks"
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if Path(f.filename).is_relative_to(checks)]
        if isinstance(error, pytest.FixtureLookupError):
            where = f"{lab.name}/checks/{file}"
            said = (
                f"{self.spec.function}() asks for a fixture {error.argname!r}, which there is not: "
                "there are module, program, programs, guest, session, picks and those of "
                "conftest.py."
            )
        elif own:
            place = Path(own[-1].filename).relative_to(lab.root)
            where = f"{lab.name}/{place}:{own[-1].lineno}"
        elif isinstance(error, LabError):
            where, said = f"{lab.name}/checks/{file}", str(error)
        # what the host lacks shows in a check, too, and its author cannot change it
        theirs = where and not isinstance(error, VMError | OSError | GraderError)
        hint = next_step.of_author(where) if theirs else ""
        return f"{where}: {said}" if where else said, hint


def _fatal(error: GuestError, found: list[Finding], what: str) -> str:
    """Return the sentence for a guest that was lost, after what the kernel said last."""
    told = _told(error, found)
    if isinstance(error, GuestSpins):
        return "A program computes without end, and waits for nothing."
    if isinstance(error, GuestTimeout):
        where = f" at {told.location}" if told and told.location else ""
        return f"The kernel hangs and answers nothing any more{where}."
    if told is None:
        return f"The {what} took the kernel down: {error}."
    where = f" ({told.location})" if told.location else ""
    return f"The {what} took the kernel down{where}: {told.summary}"


def _told(error: GuestError, found: list[Finding]) -> Finding | None:
    """Return what tells most of a guest that was lost: what the kernel said last, if anything.

    Where it hangs, the last that has a place in the module: the kernel may hang far from there.
    """
    placed = [f for f in found if f.location] if isinstance(error, GuestTimeout) else []
    return next(reversed(placed or found), None)


def _classify(error: BaseException | None) -> Status:
    if error is None:
        return "pass"
    if isinstance(error, pytest.skip.Exception):
        return "skip"
    if isinstance(error, Late | GuestTimeout):
        return "timeout"
    if isinstance(error, GuestCrashed):
        return "crash"
    if isinstance(error, AssertionError | GuestFlooded):
        return "fail"
    return "error"
