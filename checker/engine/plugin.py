"""The pytest plugin that runs one exercise's checks: fixtures, and what became of each.

What a check says of itself is read in collector.py. Whether one may be tried, and
what came of it, is CheckRun's (check_run.py); that holds for each check, whatever
fixtures it asks for: ``module`` (the exercise's module, in a guest), ``guest``,
``session`` (what is seen of the guest during the check), ``program`` and ``programs`` (what
the exercise has of them), ``picks``, or none.

A check that has started a program is run once more, with the programs that have sanitizers:
that run is not judged, and only what was reported during it counts (checker/kit/program.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from checker.engine import collector
from checker.engine.check_run import GUESTS, CheckRun, GraderError
from checker.engine.collector import Collector, Spec
from checker.engine.testbed import SANITIZED, Module, Picks, Session, Testbed
from checker.errors import LabError
from checker.kit.program import Program
from checker.model import CheckResult, Finding, Lab, Way
from vm.errors import (
    GuestError,
    GuestLost,
    GuestTimeout,
    GuestUnready,
    MissingTool,
    NoSpace,
    VMError,
)
from vm.guest import Guest

MOST_WAYS = 2
"""So many checks of an exercise are run again for the way of a packet: each costs a guest."""

_logger = logging.getLogger("knetlab")


class Plugin(Collector):
    """One run of an exercise's checks; *results* and *findings* fill as it goes.

    *after* fills with the checks that were tried, and the ids that each is ``after``; *whose*
    with those that have said which exercise's business is what the kernel reports in them. Of
    the exercise's checks those that *wanted* names are run, or all. *on_failure* is called with
    a check that has failed, or during which something was reported, and the sentence for it,
    before its guest is tidied up or thrown away; the terminal is its own meanwhile. With *ways*
    a check that failed and names a packet is run again, for its way.
    """

    def __init__(
        self,
        lab: Lab,
        testbed: Testbed,
        seed: int,
        on_result: Callable[[CheckResult], None] = lambda _: None,
        *,
        wanted: Collection[str] | None = None,
        on_failure: Callable[[CheckRun, str], None] | None = None,
        ways: bool = True,
    ) -> None:
        super().__init__()
        self.lab = lab
        self.testbed = testbed
        self.seed = seed
        self.on_result = on_result
        self.wanted = wanted
        self.on_failure = on_failure
        self.ways = ways
        self.results: list[CheckResult] = []
        self.findings: list[Finding] = []
        self.after: dict[str, tuple[str, ...]] = {}
        self.whose: dict[str, int] = {}
        self.worth = 0.0
        self.fatal: VMError | None = None
        self._specs: dict[str, Spec] = {}
        self._run: CheckRun | None = None
        self._capture: Any = None
        self._crashes = 0
        self._hangs: list[str] = []
        self._ways = 0

    @property
    def _current(self) -> CheckRun:
        assert self._run is not None, "no check is being run"
        return self._run

    # -- collection -------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)  # all are counted, before -k leaves any out
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Read every check's spec, and leave out those that are not wanted."""
        self._capture = config.pluginmanager.getplugin("capturemanager")
        try:
            found = collector.read(items, self.lab)
            own = {n: s for n, s in found.items() if s.exercise == self.testbed.exercise}
            collector.prove_order(
                list(own.values()), lambda: {spec.id for spec in collector.specs(self.lab)}
            )
        except LabError as error:
            self.broken.append(str(error))
            items.clear()
            return
        self.worth = sum(spec.points for spec in own.values())
        self._specs = {n: s for n, s in own.items() if self.wanted is None or s.id in self.wanted}
        items[:] = [item for item in items if item.nodeid in self._specs]

    # -- fixtures ---------------------------------------------------------------------

    @pytest.fixture
    def picks(self) -> Picks:
        """Ports, addresses and bytes, fresh for this check."""
        return Picks(self.seed, self._current.spec.id)

    @pytest.fixture
    def session(self, request: pytest.FixtureRequest) -> Iterator[Session]:
        """The check's use of a guest, which is tidied up afterwards."""
        run = self._current
        try:
            run.session = session = self.testbed.session()
        except (GuestError, GuestLost, GuestUnready) as error:
            run.no_guest = error
            raise GraderError(str(error)) from error
        except (MissingTool, NoSpace) as error:
            self.fatal = error
            request.session.shouldstop = str(error)
            raise
        except VMError as error:
            if run.records:  # a kernel that is not built for it
                self.ways = False
                _logger.info(f"No packet's way can be told on this kernel: {error}")
            raise
        yield session
        run.tidy(session)
        if seen := [*run.own, *run.told]:
            self._failed(run, seen[-1].summary)

    @pytest.fixture
    def module(self, session: Session) -> Module:
        """The exercise's module in a guest, not loaded yet; unloaded afterwards."""
        if not isinstance(session, Module):
            number = self.testbed.exercise.number
            raise LabError(f"The check asks for a module, and exercise {number} has none.")
        return session

    @pytest.fixture
    def programs(self, session: Session) -> dict[str, Program]:
        """The exercise's programs, by their names."""
        sanitized, exercise = self._current.sanitized, self.testbed.exercise
        return {
            target.name: Program(
                session,
                target.name,
                target.file + (SANITIZED if sanitized else ""),
                capability=exercise.capability,
                sanitized=sanitized,
            )
            for target in self.lab.targets(exercise)
            if target.kind == "program"
        }

    @pytest.fixture
    def program(self, programs: dict[str, Program]) -> Program:
        """The exercise's only program."""
        if len(programs) != 1:
            number, names = self.testbed.exercise.number, ", ".join(programs) or "none"
            raise LabError(f"The check asks for one program, and exercise {number} has {names}.")
        return next(iter(programs.values()))

    @pytest.fixture
    def guest(self, session: Session) -> Guest:
        """The guest that the exercise's module and programs are in."""
        return session.guest

    # -- running ----------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Run a check, and record what became of it when all its phases are over."""
        run = self._run = self._run or CheckRun(self._specs[item.nodeid], self.testbed)
        if run.records:
            return (yield)
        run.again()
        again = False
        try:
            done = yield
            run.guests += 1
            again = run.went_alone() is not None and run.guests < GUESTS
        finally:
            if not again:
                result = self._judge(run)
                self._run = None
        if again:
            _logger.info(f"{run.spec.id}: {run.alone()} It is tried again.")
            self.testbed.spoil()
            return item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        if run.sanitized:
            return done
        if self.ways and run.packets and result.status == "fail" and self._ways < MOST_WAYS:
            self._ways += 1
            result = result.model_copy(update={"way": self._way(item, nextitem, run.spec)})
        self.results.append(result)
        self.on_result(result)
        if run.wants_sanitizers():
            self._run = CheckRun(run.spec, self.testbed, sanitized=True)
            return item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return done

    def _way(self, item: pytest.Item, nextitem: pytest.Item | None, spec: Spec) -> Way | None:
        """Run a check again in a guest that is recorded; return the way of its packet.

        Nothing else comes of that run. None where it does not fail again, or its guest goes.
        """
        self.testbed.spoil()
        self._run = run = CheckRun(spec, self.testbed, records=True)
        self.testbed.records = True
        try:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        finally:
            self._run = None
            self.testbed.records = False
            self.testbed.spoil()
        return run.way

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Let nothing of a check run, its fixtures included, that cannot earn anything."""
        self._current.gate(self.results, self._crashes, self._hangs)
        self.after[self._current.spec.id] = self._current.spec.after

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Note the exception of each phase."""
        if call.excinfo is not None:
            self._current.errors[call.when] = call.excinfo.value
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """Tell of a failure before anything is tidied up."""
        run = self._current
        if run.records:
            run.find_way()
        if run.session is None or self.on_failure is None or run.records:
            return
        error = run.error
        judged = not run.sanitized and not isinstance(error, pytest.skip.Exception)
        if error is not None and judged:
            self._failed(run, str(error))
        elif found := run.reported():
            self._failed(run, found[-1].summary)

    def _failed(self, run: CheckRun, why: str) -> None:
        if self.on_failure is None or run.records:
            return
        self._capture.suspend_global_capture(in_=True)
        try:
            self.on_failure(run, why)
        finally:
            self._capture.resume_global_capture()

    def _judge(self, run: CheckRun) -> CheckResult:
        session, reported = run.session, run.reported()
        result = run.judge(reported)
        alone = run.went_alone() is not None
        if session and session.has_code:
            self.findings += [f for f in reported if f not in self.findings]
        if session and session.whose:
            self.whose[run.spec.id] = session.whose
        hung = any(isinstance(e, GuestTimeout) for e in (run.error, run.at_the_end))
        # what stays in the kernel would keep the endurance checks waiting, too
        stuck = any(finding.kind == "stuck-module" for finding in run.own)
        self.testbed.hung |= (hung or stuck) and not alone
        if not alone and (place := run.hang(reported)):
            self._hangs.append(place)
        # a crash at the end costs a guest and no time, and the next check may well pass
        if session and session.guest.dead and not alone and (hung or not run.at_the_end):
            self._crashes += 1
        guest = session and session.guest
        if guest and (guest.dead or guest.lost_log or run.spoilt or reported):
            self.testbed.spoil()
        if run.no_guest:
            self.testbed.spoil()
        return result


def run(plugin: Plugin, checks: Path, select: str = "") -> None:
    """Run the exercise's checks in the folder *checks*; results are in *plugin* afterwards.

    *select* is a pytest -k expression. Raises KeyboardInterrupt when the user
    stops the run, MissingTool or NoSpace when the host cannot go on.
    """
    files = sorted(checks.glob(f"check_{plugin.testbed.exercise.number}_*.py"))
    arguments = [*collector.arguments(checks), *map(str, files)]
    arguments += ["-k", select] if select else []
    if not files:
        number = plugin.testbed.exercise.number
        plugin.broken.append(
            f"{checks} has no checks for exercise {number}, which are in files check_{number}_*.py."
        )
        return
    status = collector.run_pytest(arguments, plugin)
    if plugin.fatal:
        raise plugin.fatal
    if status == pytest.ExitCode.INTERRUPTED and not plugin.broken:
        raise KeyboardInterrupt
    fine = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in fine and not plugin.broken:
        plugin.broken.append(f"pytest ended with {status!r}")
