"""What a lab's checks say of themselves: they are read by pytest, and none is run.

A check is a function ``check_<name>`` in ``check_<exercise>_<what>.py``. Its
docstring is the sentence a student reads; ``@pytest.mark.points(5)`` its
worth; ``@pytest.mark.after("1.outgoing-syn")`` the checks that must have
passed before it can earn anything, also those of other exercises
(checker/engine/grade.py); ``@pytest.mark.needs("FAILSLAB")`` the options the kernel
must have been built with; ``@pytest.mark.plain`` has it run with plain programs alone,
and not once more with sanitizers; ``@pytest.mark.hidden`` keeps the check out of the
archive for students (checker/workshop/dist.py).
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from checker.errors import LabError
from checker.model import Exercise, Lab
from vm.kernel import FEATURES


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
    plain: bool = False


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
        plain=item.get_closest_marker("plain") is not None,
    )


def read(items: list[pytest.Item], lab: Lab) -> dict[str, Spec]:
    """Return the specs of all *items* by node id; LabError with a line for each that is wrong."""
    found: dict[str, Spec] = {}
    wrong: list[str] = []
    for item in items:
        try:
            found[item.nodeid] = _spec(item, lab)
        except LabError as error:
            wrong.append(str(error))
    if wrong:
        raise LabError("\n".join(dict.fromkeys(wrong)))
    return found


def prove_order(specs: Sequence[Spec], known: Callable[[], Collection[str]]) -> None:
    """Raise LabError when a check is ``after`` one that never comes: it would earn alone.

    In its own exercise that one has to stand further up. *known* returns the ids of all
    checks of the lab; it is called when one of another exercise is named.
    """
    before: set[str] = set()
    wrong = []
    for spec in specs:
        where = f"{spec.file}: {spec.function}"
        for earlier in spec.after:
            if earlier.partition(".")[0] == str(spec.exercise.number):
                if earlier not in before:
                    wrong.append(
                        f'{where} has after("{earlier}"), and no such check stands before it in '
                        f"exercise {spec.exercise.number}."
                    )
            elif earlier not in (ids := known()):
                near = difflib.get_close_matches(earlier, sorted(ids))
                hint = f" Did you mean {' or '.join(near)}?" if near else ""
                wrong.append(
                    f'{where} has after("{earlier}"), and the lab has no such check.{hint}'
                )
        before.add(spec.id)
    if wrong:
        raise LabError("\n".join(wrong))


class Collector:
    """Knows the markers; *broken* fills with what could not be read."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the markers known."""
        config.addinivalue_line("markers", "points(n): what the check is worth")
        config.addinivalue_line("markers", "after(*ids): checks that must have passed before")
        config.addinivalue_line("markers", "needs(*options): what the kernel was built with")
        config.addinivalue_line("markers", "plain: its programs have no sanitizers")
        config.addinivalue_line("markers", "hidden: students do not get it")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected: a lab's author's mistake, never a student's."""
        if report.failed:
            self.broken.append(str(report.longrepr))


class _Reader(Collector):
    """Reads what all checks of a lab say of themselves, and runs none."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self.specs: list[Spec] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read every check's spec."""
        try:
            self.specs = list(read(items, self.lab).values())
            ids = {spec.id for spec in self.specs}
            prove_order(self.specs, lambda: ids)
        except LabError as error:
            self.broken.append(str(error))


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
    status = run_pytest([*arguments(checks), "--collect-only", *files], reader)
    for name in _modules_of(checks):  # another lab's may have the same names
        del sys.modules[name]
    sys.modules.update(running)
    if status != pytest.ExitCode.OK or reader.broken or not files:
        why = "\n".join(reader.broken) or f"pytest ended with {status!r}"
        raise LabError(f"The checks of the lab {lab.name} cannot be read: {why}")
    return reader.specs


def prove(lab: Lab) -> None:
    """Raise LabError for checks that cannot be read, or are not worth what lab.toml says."""
    found = specs(lab)
    wrong = []
    for exercise in lab.exercises:
        own = [spec.points for spec in found if spec.exercise == exercise]
        number, worth = exercise.number, sum(own)
        hidden = f", and hidden are {exercise.hidden:g}" if exercise.hidden else ""
        if not own:
            wrong.append(
                f"{lab.root / 'checks'} has no checks for exercise {number}, "
                f"which are in files check_{number}_*.py."
            )
        elif worth + exercise.health + exercise.hidden != exercise.points:
            wrong.append(
                f"{lab.root / 'lab.toml'}: exercise {number} is worth {exercise.points:g} points, "
                f"but its checks are worth {worth:g} and its health {exercise.health:g}{hidden}."
            )
    if wrong:
        raise LabError("\n".join(wrong))


def _modules_of(checks: Path) -> dict[str, ModuleType]:
    """Return the Python modules that were read from the folder *checks*."""
    return {
        name: module
        for name, module in sys.modules.items()
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(checks)
    }


def run_pytest(arguments: list[str], plugin: Collector) -> int | pytest.ExitCode:
    """Run pytest; options that the user has for other tests must change no grade."""
    theirs = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    try:
        return pytest.main(arguments, plugins=[plugin])
    finally:
        os.environ.update({name: value for name, value in theirs.items() if value is not None})


def arguments(checks: Path) -> list[str]:
    """Return how pytest is to find the checks in the folder *checks*, and to keep quiet."""
    without = (
        *("cacheprovider", "terminal", "logging", "faulthandler", "unraisableexception"),
        *("threadexception", "doctest", "junitxml", "pastebin", "stepwise", "debugging"),
    )
    # pytest splits pythonpath as a shell does
    pythonpath = f"pythonpath={shlex.quote(str(checks))}"
    options = ("python_files=check_*.py", "python_functions=check_*", pythonpath)
    return [
        *("-c", "/dev/null", "--rootdir", str(checks), "--confcutdir", str(checks)),
        "--import-mode=importlib",
        "--disable-plugin-autoload",
        *(word for name in without for word in ("-p", f"no:{name}")),
        *(word for option in options for word in ("-o", option)),
    ]
