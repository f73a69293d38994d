"""The pytest plugin that runs a lab's checks: fixtures, points, and what became of each.

A check is a function ``check_<name>`` in ``check_<exercise>_<what>.py``. Its
docstring is the sentence a student reads; ``@pytest.mark.points(5)`` its
worth; ``@pytest.mark.after("1.outgoing-syn")`` the checks that must have
passed before it can earn anything. Fixtures: ``module`` (the exercise's
module, in a guest), ``guest``, ``picks``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from checker import kernel_log
from checker.model import CheckResult, Exercise, Finding, Lab, Status
from checker.testbed import TAINTS, Late, Module, Picks, Testbed, Traces, Unmet
from vm.errors import (
    GuestCrashed,
    GuestError,
    GuestFlooded,
    GuestTimeout,
    MissingTool,
    NoSpace,
    VMError,
)
from vm.guest import Guest

MAX_CRASHES = 3
"""After so many guests lost to one module, the rest of its checks are not tried."""


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


def _spec(item: pytest.Item, lab: Lab) -> Spec:
    match = re.fullmatch(r"check_(\d+)_\w+", item.path.stem)
    exercise = next((e for e in lab.exercises if match and e.number == int(match[1])), None)
    function = getattr(item, "originalname", item.name)
    if exercise is None:
        raise pytest.UsageError(f"{item.path} is not named for an exercise of the lab {lab.name}.")
    doc = getattr(getattr(item, "function", None), "__doc__", None) or ""
    points = item.get_closest_marker("points")
    if not doc.strip() or points is None:
        raise pytest.UsageError(
            f"{item.path}: {function} needs a docstring and @pytest.mark.points."
        )
    return Spec(
        id=f"{exercise.number}.{item.name.removeprefix('check_').replace('_', '-')}",
        title=" ".join(doc.strip().split("\n\n")[0].split()),
        exercise=exercise,
        points=float(points.args[0]),
        after=tuple(name for mark in item.iter_markers("after") for name in mark.args),
    )


class Plugin:
    """One run of a lab's checks on one submission; *results* and *findings* fill as it goes."""

    def __init__(
        self,
        lab: Lab,
        testbed: Testbed,
        seed: int,
        exercises: frozenset[int],
        on_result: Callable[[CheckResult], None] = lambda _: None,
    ) -> None:
        self.lab = lab
        self.testbed = testbed
        self.seed = seed
        self.exercises = exercises
        self.on_result = on_result
        self.results: dict[str, CheckResult] = {}
        self.specs: dict[str, Spec] = {}
        self.findings: list[Finding] = []
        self.broken: list[str] = []
        self.fatal: VMError | None = None
        self._by_node: dict[str, Spec] = {}
        self._errors: dict[str, BaseException] = {}
        self._started = 0.0
        self._module: Module | None = None
        self._spoilt = False
        self._crashes: dict[str, int] = {}

    # -- collection -------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the two markers known."""
        config.addinivalue_line("markers", "points(n): what the check is worth")
        config.addinivalue_line("markers", "after(*ids): checks that must have passed before")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read every check's spec, leave out what is not asked for, sort by exercise."""
        for item in items:
            spec = _spec(item, self.lab)
            self._by_node[item.nodeid] = self.specs[spec.id] = spec
        items[:] = [i for i in items if self._by_node[i.nodeid].exercise.number in self.exercises]
        items.sort(key=lambda i: self._by_node[i.nodeid].exercise.number)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected: a lab's author's mistake, never a student's."""
        if report.failed:
            self.broken.append(str(report.longrepr))

    # -- fixtures ---------------------------------------------------------------------

    @pytest.fixture
    def picks(self, request: pytest.FixtureRequest) -> Picks:
        """Ports, addresses and bytes, fresh for this check."""
        return Picks(self.seed, self._by_node[request.node.nodeid].id)

    @pytest.fixture
    def module(self, request: pytest.FixtureRequest) -> Iterator[Module]:
        """The exercise's module in a guest, not loaded yet; unloaded afterwards."""
        spec = self._by_node[request.node.nodeid]
        self._require(spec)
        try:
            self._module = module = self.testbed.module(spec.exercise)
        except GuestError as error:
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

    def _require(self, spec: Spec) -> None:
        built = self.testbed.build.module(spec.exercise.module)
        if built.grader_error:
            raise _GraderError(built.message)
        if built.ko is None:
            raise _BuildFailed(built.message, log=built.output)
        for earlier in spec.after:
            if earlier in self.results and self.results[earlier].status != "pass":
                pytest.skip(f"{earlier} did not pass")
        if self._crashes.get(spec.exercise.module, 0) >= MAX_CRASHES:
            pytest.skip(f"the module took {MAX_CRASHES} guests down before")

    def _tidy(self, module: Module) -> None:
        """Leave the guest as it was, or see to it that it is thrown away; judge its taint."""
        if module.guest.dead:
            return
        module.guest.end_processes()
        module.unload_if_loaded()
        now = Traces.read(module.guest)
        if any(now.taint & ~module.before.taint & bit for bit in TAINTS):
            raise Unmet(
                "The kernel complained while the module was in use: "
                + (kernel_log.headline(module.console(), module.name) or "see its log")
                + ".",
                log=kernel_log.report(module.console()),
            )
        self._spoilt = now.modules != module.before.modules or now.rest != module.before.rest

    # -- running ----------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Time a check, and record what became of it when all its phases are over."""
        self._started = time.monotonic()
        self._module = None
        self._spoilt = False
        self._errors.clear()
        try:
            return (yield)
        finally:
            self._record(self._by_node[item.nodeid])

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
        status = _classify(error)
        console = module.console() if module else ""
        message, expected, actual, log = "", "", "", ""
        if isinstance(error, Unmet):
            message, expected, actual, log = error.message, error.expected, error.actual, error.log
        elif isinstance(error, GuestFlooded):
            message = "The module floods the kernel log; nobody can find anything in it any more."
            log = "\n".join(kernel_log.plain_lines(console)[:10])
        elif isinstance(error, GuestError):
            message = _fatal(error, console, spec.exercise.module)
            log = kernel_log.report(console) or (module.kernel_says() if module else "")
        elif status == "skip":
            message = getattr(error, "msg", "") or str(error)
        elif error is not None:
            message = f"{type(error).__name__}: {error}" if status == "error" else str(error)
        result = CheckResult(
            id=spec.id,
            title=spec.title,
            status=status,
            points=spec.points if status == "pass" else 0.0,
            max_points=spec.points,
            message=message,
            seconds=round(time.monotonic() - self._started, 3),
            expected=expected,
            actual=actual,
            log=log,
        )
        self._note_guest(spec, module, status, console)
        self.results[spec.id] = result
        self.on_result(result)

    def _note_guest(self, spec: Spec, module: Module | None, status: Status, console: str) -> None:
        """Replace a guest that cannot be trusted any more."""
        if module is None:
            return
        text = kernel_log.report(console)
        if text:
            kind = "panic" if status == "crash" else "hang" if status == "timeout" else "warning"
            summary = kernel_log.headline(console, module.name)
            self.findings.append(Finding(kind=kind, summary=summary, check=spec.id, report=text))
        if module.guest.dead:
            self._crashes[module.name] = self._crashes.get(module.name, 0) + 1
        spoilt = self._spoilt or module.guest.lost_log or "teardown" in self._errors
        if module.guest.dead or spoilt:
            self.testbed.spoil(spec.exercise.number)


def _fatal(error: GuestError, console: str, module: str) -> str:
    """Return the sentence for a guest that was lost to *module*."""
    if isinstance(error, GuestTimeout):
        return f"The kernel hangs and answers nothing any more{kernel_log.place(console, module)}."
    return f"The module took the kernel down: {kernel_log.headline(console, module) or error}."


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
    """Run the checks in the folder *checks*; results are in *plugin* afterwards.

    *select* is a pytest -k expression. Raises KeyboardInterrupt when the user
    stops the run, MissingTool or NoSpace when the host cannot go on.
    """
    arguments = [
        *("-c", "/dev/null", "--rootdir", str(checks), "--import-mode=importlib"),
        *(
            "-p",
            "no:cacheprovider",
            "-p",
            "no:terminal",
            "-p",
            "no:logging",
            "-p",
            "no:faulthandler",
        ),
        *("--disable-plugin-autoload", "-p", "no:unraisableexception", "-p", "no:threadexception"),
        *(
            "-o",
            "python_files=check_*.py",
            "-o",
            "python_functions=check_*",
            "-o",
            f"pythonpath={checks}",
        ),
        *(("-k", select) if select else ()),
        str(checks),
    ]
    status = pytest.main(arguments, plugins=[plugin])
    if plugin.fatal:
        raise plugin.fatal
    if status == pytest.ExitCode.INTERRUPTED and not plugin.broken:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not plugin.broken:
        plugin.broken.append(f"pytest ended with {status!r}")
