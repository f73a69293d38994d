"""The pytest plugin that runs one exercise's checks: fixtures, points, what became of each.

A check is a function ``check_<name>`` in ``check_<exercise>_<what>.py``. Its
docstring is the sentence a student reads; ``@pytest.mark.points(5)`` its
worth; ``@pytest.mark.after("1.outgoing-syn")`` the checks that must have
passed before it can earn anything, also those of other exercises
(checker/engine/grade.py); ``@pytest.mark.needs("FAILSLAB")`` the options the kernel
must have been built with; ``@pytest.mark.hidden`` keeps the check out of the
archive for students (checker/workshop/dist.py). All that holds for each check, whatever
fixtures it asks for: ``module`` (the exercise's module, in a guest), ``guest``,
``picks``, or none.

What the kernel reports during a check fails no check by itself: it becomes a
finding, and findings cost the points of the exercise's health (checker/engine/grade.py).

What a guest does that does not have the module yet is not the module's doing. Where
such a guest goes, the check is tried again in a new one.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from checker.engine.grade import did_not_pass
from checker.engine.testbed import TAINTS, Late, Module, Picks, Testbed, Unmet
from checker.errors import LabError
from checker.model import NEEDS_A_KERNEL, CheckResult, Exercise, Finding, Lab, Status
from checker.words import kernel_log
from vm.errors import (
    GuestCrashed,
    GuestError,
    GuestFlooded,
    GuestLost,
    GuestTimeout,
    GuestUnready,
    MissingTool,
    NoSpace,
    VMError,
)
from vm.guest import Guest
from vm.kernel import FEATURES

_logger = logging.getLogger("knetlab")

MAX_CRASHES = 3
"""After so many guests lost in one exercise, the rest of its checks are not tried."""

GUESTS = 3
"""So many guests a check gets that go before they have the module; then it is an error."""

_STUCK = "It stays in the kernel, with all it holds, until the next boot."
_WATCHES = {"locks": "lockdep", "probes": "kprobes"}
"""What vm/witness says is awake, as the kernel's documentation names it."""
_TAINTED = "The kernel noted that something went wrong in it, and the log does not say what."


class _BuildFailed(Unmet):
    """The module of the check was not built; the message and the compiler's words say why."""


class _GraderError(Exception):
    """Ours: the check could not be tried."""


@dataclass(frozen=True)
class Spec:
    """What a check says of itself."""

    id: str
    title: str
    exercise: Exercise
    points: float
    after: tuple[str, ...]
    needs: tuple[str, ...]
    function: str
    file: Path
    hidden: bool


def _spec(item: pytest.Item, lab: Lab) -> Spec:
    """Read what a check says of itself; LabError when that is wrong."""
    match = re.fullmatch(r"check_(\d+)_\w+", item.path.stem)
    exercise = next((e for e in lab.exercises if match and e.number == int(match[1])), None)
    function = getattr(item, "originalname", item.name)
    if exercise is None:
        raise LabError(
            f"{item.path} is not named for an exercise of the lab, as check_1_what.py is."
        )
    doc = getattr(getattr(item, "function", None), "__doc__", None) or ""
    points = item.get_closest_marker("points")
    if not doc.strip() or points is None:
        raise LabError(f"{item.path}: {function} needs a docstring and @pytest.mark.points(N).")
    needs = tuple(name for mark in item.iter_markers("needs") for name in mark.args)
    if unknown := [need for need in needs if need not in FEATURES]:
        raise LabError(
            f"{item.path}: {function} needs {', '.join(unknown)}, "
            f"which is none of {', '.join(FEATURES)}."
        )
    return Spec(
        id=f"{exercise.number}.{item.name.removeprefix('check_').replace('_', '-')}",
        title=" ".join(doc.strip().split("\n\n")[0].split()),
        exercise=exercise,
        points=float(points.args[0]),
        after=tuple(name for mark in item.iter_markers("after") for name in mark.args),
        needs=needs,
        function=function,
        file=item.path,
        hidden=item.get_closest_marker("hidden") is not None,
    )


def _specs(items: list[pytest.Item], lab: Lab) -> dict[str, Spec]:
    """Read the specs of all *items* by node id; LabError when one is wrong."""
    return {item.nodeid: _spec(item, lab) for item in items}


def _prove_order(specs: Sequence[Spec], known: Callable[[], Collection[str]]) -> None:
    """Raise LabError when a check is ``after`` one that never comes: it would earn alone.

    In its own exercise that one has to stand further up. *known* returns the ids of all
    checks of the lab; it is called when one of another exercise is named.
    """
    before: set[str] = set()
    for spec in specs:
        where = f"{spec.file}: {spec.function}"
        for earlier in spec.after:
            if earlier.partition(".")[0] == str(spec.exercise.number):
                if earlier not in before:
                    raise LabError(
                        f'{where} has after("{earlier}"), and no such check stands before it in '
                        f"exercise {spec.exercise.number}."
                    )
            elif earlier not in (ids := known()):
                near = difflib.get_close_matches(earlier, sorted(ids))
                hint = f" Did you mean {' or '.join(near)}?" if near else ""
                raise LabError(
                    f'{where} has after("{earlier}"), and the lab has no such check.{hint}'
                )
        before.add(spec.id)


class _Collector:
    """Knows the markers; *broken* fills with what could not be read."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the markers known."""
        config.addinivalue_line("markers", "points(n): what the check is worth")
        config.addinivalue_line("markers", "after(*ids): checks that must have passed before")
        config.addinivalue_line("markers", "needs(*options): what the kernel was built with")
        config.addinivalue_line("markers", "hidden: students do not get it")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected: a lab's author's mistake, never a student's."""
        if report.failed:
            self.broken.append(str(report.longrepr))


class _Reader(_Collector):
    """Reads what all checks of a lab say of themselves, and runs none."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self.specs: list[Spec] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read every check's spec."""
        try:
            self.specs = list(_specs(items, self.lab).values())
            ids = {spec.id for spec in self.specs}
            _prove_order(self.specs, lambda: ids)
        except LabError as error:
            self.broken.append(str(error))


class Plugin(_Collector):
    """One run of an exercise's checks; *results* and *findings* fill as it goes.

    *after* fills with the checks that were tried, and the ids that each is ``after``.
    """

    def __init__(
        self,
        lab: Lab,
        testbed: Testbed,
        seed: int,
        on_result: Callable[[CheckResult], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.lab = lab
        self.testbed = testbed
        self.seed = seed
        self.on_result = on_result
        self.results: list[CheckResult] = []
        self.findings: list[Finding] = []
        self.after: dict[str, tuple[str, ...]] = {}
        self.worth = 0.0
        self.fatal: VMError | None = None
        self._specs: dict[str, Spec] = {}
        self._errors: dict[str, BaseException] = {}
        self._started = 0.0
        self._module: Module | None = None
        self._no_guest: VMError | None = None
        self._guests = 0
        self._spoilt = False
        self._own: list[Finding] = []
        self._crashes = 0
        self._locate = testbed.symbols.locate if testbed.symbols else kernel_log.nowhere

    # -- collection -------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)  # all are counted, before -k leaves any out
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read every check's spec, and leave out those of other exercises."""
        try:
            found = _specs(items, self.lab)
            own = {n: s for n, s in found.items() if s.exercise == self.testbed.exercise}
            _prove_order(list(own.values()), lambda: {spec.id for spec in specs(self.lab)})
        except LabError as error:
            self.broken.append(str(error))
            items.clear()
            return
        self._specs = own
        self.worth = sum(spec.points for spec in own.values())
        items[:] = [item for item in items if item.nodeid in own]

    # -- fixtures ---------------------------------------------------------------------

    @pytest.fixture
    def picks(self, request: pytest.FixtureRequest) -> Picks:
        """Ports, addresses and bytes, fresh for this check."""
        return Picks(self.seed, self._specs[request.node.nodeid].id)

    @pytest.fixture
    def module(self, request: pytest.FixtureRequest) -> Iterator[Module]:
        """The exercise's module in a guest, not loaded yet; unloaded afterwards."""
        try:
            self._module = module = self.testbed.module()
        except (GuestError, GuestLost, GuestUnready) as error:
            self._no_guest = error
            raise _GraderError(str(error)) from error
        except (MissingTool, NoSpace) as error:
            self.fatal = error
            request.session.shouldstop = str(error)
            raise
        yield module
        self._tidy(module)

    @pytest.fixture
    def guest(self, module: Module) -> Guest:
        """The guest that the module is in."""
        return module.guest

    def _lacking(self, spec: Spec) -> list[str]:
        have = self.testbed.config.kernel.features
        return [need for need in spec.needs if need not in have]

    def _require(self, spec: Spec) -> None:
        built = self.testbed.build.module(spec.exercise.module)
        if built.grader_error:
            raise _GraderError(built.message)
        if built.ko is None:
            raise _BuildFailed(built.message, log=built.output, hint=built.hint)
        if missing := self._lacking(spec):
            pytest.skip(f"{NEEDS_A_KERNEL} {', '.join(missing)}, as the debug kernel is")
        passed = {result.id: result.status == "pass" for result in self.results}
        for earlier in spec.after:
            if not passed.get(earlier, True):
                pytest.skip(did_not_pass(earlier))
        if self._crashes >= MAX_CRASHES:
            pytest.skip(f"the module took {MAX_CRASHES} guests down before")

    def _tidy(self, module: Module) -> None:
        """Leave the guest as it was, or see to it that it is thrown away."""
        if module.guest.dead:
            return
        self._spoilt = True  # until all is seen to be well
        module.guest.end_processes()
        try:
            now = module.tidy()
        except Unmet as stuck:
            self._own = [Finding(kind="stuck-module", summary=f"{stuck.message} {_STUCK}")]
            return
        before = module.before
        if now.taint & ~before.taint & TAINTS:
            self._own = [Finding(kind="taint", summary=_TAINTED, report=module.kernel_says())]
            return
        if blind := [_WATCHES.get(name, name) for name in sorted(before.awake - now.awake)]:
            summary = f"The module turned {' and '.join(blind)} off, which would tell on it."
            self._own = [Finding(kind="watch-off", summary=summary)]
            return
        self._spoilt = (now.modules, now.rest) != (before.modules, before.rest)

    # -- running ----------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let nothing of a check run, its fixtures included, that cannot earn anything."""
        spec = self._specs[item.nodeid]
        self._require(spec)
        self.after[spec.id] = spec.after

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Time a check, and record what became of it when all its phases are over."""
        self._started = self._started or time.monotonic()
        self._module = self._no_guest = None
        self._spoilt = False
        self._own = []
        self._errors.clear()
        again = False
        try:
            done = yield
            self._guests += 1
            again = self._went_alone() is not None and self._guests < GUESTS
        finally:
            if not again:
                self._record(self._specs[item.nodeid])
                self._started = self._guests = 0
        if again:
            _logger.info(f"{self._specs[item.nodeid].id}: {self._alone()} It is tried again.")
            self.testbed.spoil()
            return item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return done

    def _went_alone(self) -> VMError | None:
        """Return how the check's guest went if it did before it had the module, else None."""
        if self._module is None:
            return self._no_guest
        return None if self._module.is_there else self._module.guest.dead

    def _alone(self) -> str:
        how = str(self._went_alone()).splitlines()[0].rstrip(".")
        return f"A guest went before it had the module, so that is not the module's doing: {how}."

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Note the exception of each phase."""
        if call.excinfo is not None:
            self._errors[call.when] = call.excinfo.value
        return (yield)

    def _record(self, spec: Spec) -> None:
        error = next(iter(self._errors.values()), None)
        module = self._module
        alone = self._went_alone() is not None
        status = "error" if alone else _classify(error)
        reported = self._found(spec, module) if module else []
        found = reported if module and module.is_there else []
        message, expected, actual, log, hint = "", "", "", "", ""
        if alone:
            message = f"{self._guests} guests in a row: {self._alone()}"
            lines = kernel_log.plain_lines(module.console())[-15:] if module else []
            log = reported[-1].report if reported else "\n".join(lines)
        elif isinstance(error, Unmet):
            message, expected, actual, log = error.message, error.expected, error.actual, error.log
            hint = error.hint
        elif isinstance(error, GuestFlooded) and module:
            message = "The module floods the kernel log; nobody can find anything in it any more."
            hint = (
                "Find the pr_info() that a loop, or every packet, calls: log what is asked, once."
            )
            log = "\n".join(kernel_log.plain_lines(module.console())[:10])
        elif isinstance(error, GuestError):
            message = _fatal(error, found)
            log = found[-1].report if found else module.kernel_says() if module else ""
        elif status == "skip":
            message = getattr(error, "msg", "") or str(error)
        elif error is not None:
            message = self._trouble(error) if status == "error" else str(error)
        result = CheckResult(
            id=spec.id,
            title=spec.title,
            status=status,
            points=spec.points if status == "pass" else 0.0,
            max_points=0.0 if self._lacking(spec) else spec.points,
            message=message,
            seconds=round(time.monotonic() - self._started, 3),
            expected=expected,
            actual=actual,
            log=log,
            hint=hint,
        )
        self.findings += found
        self.testbed.hung |= isinstance(error, GuestTimeout) and not alone
        if module and module.guest.dead and not alone:
            self._crashes += 1
        if module and (module.guest.dead or module.guest.lost_log or self._spoilt or reported):
            self.testbed.spoil()
        if self._no_guest:
            self.testbed.spoil()
        self.results.append(result)
        self.on_result(result)

    def _trouble(self, error: BaseException) -> str:
        """Return what went wrong in a check itself, and where, for the lab's author."""
        if isinstance(error, pytest.FixtureLookupError):
            return f"The check asks for a fixture {error.argname!r}, which there is not."
        checks = self.lab.root / "checks"
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if Path(f.filename).is_relative_to(checks)]
        where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
        return f"{type(error).__name__}: {error}{where}"

    def _found(self, spec: Spec, module: Module) -> list[Finding]:
        """Return what the kernel reported during the check."""
        names = self.testbed.names
        found = kernel_log.findings(module.console(), module.name, self._locate, names)
        if not found:  # the console can be turned off
            found = kernel_log.findings(module.logged(), module.name, self._locate, names)
        found = found or self._own
        return [finding.model_copy(update={"check": spec.id}) for finding in found]


def _fatal(error: GuestError, found: list[Finding]) -> str:
    """Return the sentence for a guest that was lost, after what the kernel said last."""
    if isinstance(error, GuestTimeout):
        where = next((f" at {f.location}" for f in reversed(found) if f.location), "")
        return f"The kernel hangs and answers nothing any more{where}."
    if not found:
        return f"The module took the kernel down: {error}."
    where = f" ({found[-1].location})" if found[-1].location else ""
    return f"The module took the kernel down{where}: {found[-1].summary}"


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


def run(plugin: Plugin, checks: Path, select: str = "") -> None:
    """Run the exercise's checks in the folder *checks*; results are in *plugin* afterwards.

    *select* is a pytest -k expression. Raises KeyboardInterrupt when the user
    stops the run, MissingTool or NoSpace when the host cannot go on.
    """
    files = sorted(checks.glob(f"check_{plugin.testbed.exercise.number}_*.py"))
    arguments = [*_arguments(checks), *map(str, files)]
    arguments += ["-k", select] if select else []
    if not files:
        number = plugin.testbed.exercise.number
        plugin.broken.append(
            f"{checks} has no checks for exercise {number}, which are in files check_{number}_*.py."
        )
        return
    status = _pytest(arguments, plugin)
    if plugin.fatal:
        raise plugin.fatal
    if status == pytest.ExitCode.INTERRUPTED and not plugin.broken:
        raise KeyboardInterrupt
    fine = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in fine and not plugin.broken:
        plugin.broken.append(f"pytest ended with {status!r}")


def worth(lab: Lab) -> dict[str, float]:
    """Return the points of every check of *lab* by its id, health and all; nothing is run.

    Raises LabError when the checks cannot be read.
    """
    points = {spec.id: spec.points for spec in specs(lab)}
    return points | {f"{e.number}.healthy": e.health for e in lab.exercises if e.health}


def specs(lab: Lab) -> list[Spec]:
    """Return what every check of *lab* says of itself; nothing is run.

    Raises LabError when the checks cannot be read.
    """
    reader = _Reader(lab)
    checks = lab.root / "checks"
    files = [str(file) for file in sorted(checks.glob("check_*.py"))]
    running = _modules_of(checks)  # where the lab's checks are being run, they keep theirs
    status = _pytest([*_arguments(checks), "--collect-only", *files], reader)
    for name in _modules_of(checks):  # another lab's may have the same names
        del sys.modules[name]
    sys.modules.update(running)
    if status != pytest.ExitCode.OK or reader.broken or not files:
        why = reader.broken[0] if reader.broken else f"pytest ended with {status!r}"
        raise LabError(f"The checks of the lab {lab.name} cannot be read: {why}")
    return reader.specs


def _modules_of(checks: Path) -> dict[str, ModuleType]:
    """Return the Python modules that were read from the folder *checks*."""
    return {
        name: module
        for name, module in sys.modules.items()
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(checks)
    }


def _pytest(arguments: list[str], plugin: _Collector) -> int | pytest.ExitCode:
    """Run pytest; options that the user has for other tests must change no grade."""
    theirs = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    try:
        return pytest.main(arguments, plugins=[plugin])
    finally:
        os.environ.update({name: value for name, value in theirs.items() if value is not None})


def _arguments(checks: Path) -> list[str]:
    """Return how pytest is to find the checks in the folder *checks*, and to keep quiet."""
    without = (
        *("cacheprovider", "terminal", "logging", "faulthandler", "unraisableexception"),
        *("threadexception", "doctest", "junitxml", "pastebin", "stepwise", "debugging"),
    )
    # pytest splits pythonpath as a shell does
    pythonpath = f"pythonpath={shlex.quote(str(checks))}"
    options = ("python_files=check_*.py", "python_functions=check_*", pythonpath)
    return [
        *("-c", "/dev/null", "--rootdir", str(checks), "--import-mode=importlib"),
        "--disable-plugin-autoload",
        *(word for name in without for word in ("-p", f"no:{name}")),
        *(word for option in options for word in ("-o", option)),
    ]
