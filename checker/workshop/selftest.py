"""Are the checks worth what they say? A lab's own solutions, right and wrong, are graded.

A plan is a list of trials: the skeletons of every step, the solution, the
idioms (right in other words) and the mutants (wrong, each with the check that
must catch it), on each kernel. A trial has a verdict; some are troubles.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from checker.engine import build, grading, pool, submission
from checker.errors import InputError
from checker.model import CheckResult, Grade, KernelInfo, Lab, Record, Submission
from checker.workshop import mutants, skeleton
from checker.workshop.mutants import Mutant
from vm.errors import MissingTool, NoSandbox, NoSpace
from vm.kernel import Kernel

Kind = Literal["solution", "skeleton", "idiom", "mutant"]

Verdict = Literal[
    "right", "caught", "unseen", "left out",  # as it should be
    "wrong", "survived", "elsewhere", "seen", "unbuilt", "error",  # troubles
]  # fmt: skip
"""What became of a trial.

``right``: the points are those that are due, ``wrong``: they are not. A mutant is
``caught`` by its checks alone, ``unseen`` where the kernel lacks what it needs, or has
``survived`` one of them, was caught ``elsewhere`` too, or was ``seen`` where it should
not be. ``left out``: it is not for this kernel. ``unbuilt``: it does not compile.
``error``: the grader failed.
"""

TROUBLES: frozenset[Verdict] = frozenset(
    {"wrong", "survived", "elsewhere", "seen", "unbuilt", "error"}
)

CATCHES = ("fail", "crash", "timeout")
"""The statuses of a check that caught something; one that was skipped caught nothing."""


class Trial(Record):
    """One thing to grade, on every kernel."""

    name: str = Field(description="solution, skeleton-3, or the name of a patch")
    kind: Kind
    step: int = Field(default=0, description="of a skeleton")
    mutant: Mutant | None = Field(default=None, description="of an idiom or a mutant")


class Outcome(Record):
    """What became of a trial on one kernel."""

    name: str
    kind: Kind
    kernel: str = Field(description="its name: stock, debug; 6.12 stock, if of several releases")
    verdict: Verdict
    expected: str = Field(default="", description="what should have come of it")
    what: str = Field(default="", description="what came of it instead; for people")
    checks: dict[str, str] = Field(default={}, description="check -> its status")
    seed: int | None = None
    seconds: float = 0.0


class Disagreement(Record):
    """A check that did not say the same of the solution in every run."""

    check: str
    kernel: str
    seeds: dict[str, tuple[int, ...]] = Field(description="status -> the seeds of its runs")


class Report(Record):
    """All outcomes of a selftest: knetlab/selftest/v1."""

    schema_: Literal["knetlab/selftest/v1"] = Field(default="knetlab/selftest/v1", alias="schema")
    lab: str
    kernels: tuple[KernelInfo, ...]
    outcomes: tuple[Outcome, ...]
    disagreements: tuple[Disagreement, ...]
    seconds: float = Field(description="wall seconds of the whole run")

    @property
    def troubles(self) -> list[Outcome]:
        """The outcomes that are not as they should be."""
        return [outcome for outcome in self.outcomes if outcome.verdict in TROUBLES]

    def to_json(self) -> str:
        """Return the record as JSON text, one newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


# --- what to try ---------------------------------------------------------------------


def plan(
    lab: Lab,
    *,
    sample: bool = False,
    only: Collection[str] = (),
    repeat: int = 1,
) -> list[Trial]:
    """Return the trials of *lab*, the solution *repeat* times.

    A sample is a mutant for each check, the usual idioms, the last skeleton and
    the solution. A lab that is being written need not have mutants or idioms.
    Raises InputError for a name in *only* that is none of a trial's.
    """
    wrong, right = (
        mutants.load(folder) if folder.exists() else []
        for folder in (lab.root / "mutants", lab.root / "idioms")
    )
    steps = [exercise.number for exercise in lab.exercises]
    steps.append(steps[-1] + 1)  # all solved, and no marker left
    if sample:
        wrong = one_for_each_check(wrong)
        right = [mutant for mutant in right if mutant.usual]
        steps = steps[-2:-1]
    trials = [Trial(name="solution", kind="solution")] * repeat
    trials += [Trial(name=f"skeleton-{n}", kind="skeleton", step=n) for n in steps]
    trials += [Trial(name=m.name, kind="idiom", mutant=m) for m in right]
    trials += [Trial(name=m.name, kind="mutant", mutant=m) for m in wrong]
    if only:
        names = {trial.name for trial in trials}
        for name in only:
            _know(name, names)
        trials = [trial for trial in trials if trial.name in only]
    return trials


def one_for_each_check(wrong: Iterable[Mutant]) -> list[Mutant]:
    """Return of *wrong*, for each check, the first that it must catch."""
    first: dict[str, Mutant] = {}
    for mutant in wrong:
        for check in mutant.checks:
            first.setdefault(check, mutant)
    return list({mutant.name: mutant for mutant in first.values()}.values())


def _know(name: str, names: Collection[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, sorted(names))
        hint = f"did you mean {' or '.join(near)}?" if near else "see mutants/ and idioms/."
        raise InputError(f"--only {name}: the lab has no such mutant, idiom or skeleton; {hint}")


# --- all of them ---------------------------------------------------------------------


def run(
    lab: Lab,
    kernels: Mapping[str, Kernel],
    trials: Sequence[Trial],
    *,
    jobs: int,
    on_done: Callable[[Outcome], None],
) -> Report:
    """Make *trials* on each of *kernels*, *jobs* at a time, each in a process of its own.

    Raises LabError when a patch does not fit the solution, before anything is
    graded, and what attempt() raises; then, as with Ctrl-C, no process is left.
    """
    started = time.monotonic()
    for trial in trials:
        if trial.mutant:
            with tempfile.TemporaryDirectory() as folder:
                mutants.apply(trial.mutant, lab.solution, Path(folder) / "copy")
    outcomes: list[Outcome] = []
    items = [(trial, name) for name in kernels for trial in trials]
    with contextlib.closing(pool.each(functools.partial(_try, lab, kernels), items, jobs)) as done:
        for (trial, name), result in done:
            if isinstance(result, InputError | MissingTool | NoSandbox | NoSpace):
                raise result
            outcome = result if isinstance(result, Outcome) else _failure(trial, name, result)
            outcomes.append(outcome)
            on_done(outcome)
    names = [trial.name for trial in trials]
    outcomes.sort(key=lambda o: (list(kernels).index(o.kernel), names.index(o.name)))
    return Report(
        lab=lab.name,
        kernels=tuple(
            KernelInfo(name=name, release=kernel.release, features=tuple(sorted(kernel.features)))
            for name, kernel in kernels.items()
        ),
        outcomes=tuple(outcomes),
        disagreements=tuple(disagreements(outcomes)),
        seconds=round(time.monotonic() - started, 3),
    )


# --- one trial -----------------------------------------------------------------------


def _try(lab: Lab, kernels: Mapping[str, Kernel], item: tuple[Trial, str]) -> Outcome:
    trial, name = item
    # of the kernels of two releases both may be called stock
    return attempt(trial, lab, kernels[name]).model_copy(update={"kernel": name})


def attempt(trial: Trial, lab: Lab, kernel: Kernel) -> Outcome:
    """Grade what *trial* says and judge it.

    Raises InputError, MissingTool, NoSandbox or NoSpace where no trial can
    succeed; whatever else goes wrong is an outcome.
    """
    mutant = trial.mutant
    if mutant and not mutant.fits(kernel.release):
        what = f"for Linux {mutant.kernel}"
        return Outcome(
            name=trial.name, kind=trial.kind, kernel=kernel.name, verdict="left out", what=what
        )
    try:
        with tempfile.TemporaryDirectory(prefix="knetlab-selftest-") as folder:
            given = submission.read(lab, _lay_out(trial, lab, Path(folder) / trial.name))
        files = mutant.files if mutant else []
        touched = {t.name for t in lab.builds if any(f.startswith(f"{t.folder}/") for f in files)}
        numbers = frozenset(e.number for e in lab.exercises if not touched.isdisjoint(e.builds))
        options = grading.Options(exercises=numbers, jobs=1, ways=False)
        grade = grading.grade_submission(lab, given, kernel, options)
        return judge(trial, grade, lab, kernel.features, unbuilt(grade, lab, given, kernel))
    except (InputError, MissingTool, NoSandbox, NoSpace):
        raise
    except Exception as error:
        return _failure(trial, kernel.name, error)


def _failure(trial: Trial, kernel: str, error: Exception) -> Outcome:
    """Return the outcome of a trial that could not be made."""
    what = f"{type(error).__name__}: {error}"
    return Outcome(name=trial.name, kind=trial.kind, kernel=kernel, verdict="error", what=what)


def _lay_out(trial: Trial, lab: Lab, folder: Path) -> Path:
    """Write the submission of *trial* to *folder*, or find it where it lies."""
    if trial.mutant:
        mutants.apply(trial.mutant, lab.solution, folder)
    elif trial.kind == "skeleton":
        skeleton.write(skeleton.generate(lab.solution, trial.step), folder)
    else:
        return lab.solution
    return folder


def unbuilt(grade: Grade, lab: Lab, given: Submission, kernel: Kernel) -> list[str]:
    """Return the modules of *grade* that do not compile.

    A grade does not say so in a field: a module whose checks all fail for the
    same reason is built again.
    """
    modules = []
    for module in lab.modules:
        numbers = [e.number for e in lab.exercises if module.name in e.builds]
        checks = [c for e in grade.exercises if e.number in numbers for c in e.checks]
        reasons = {(c.status, c.message, c.log) for c in checks if c.status != "skip"}
        if len(reasons) == 1 and reasons.pop()[0] == "fail":
            made = build.build_module(lab, module, given, kernel)
            if made.ko is None and not made.grader_error:
                modules.append(module.name)
    return modules


# --- its verdict ---------------------------------------------------------------------


def judge(
    trial: Trial,
    grade: Grade,
    lab: Lab,
    features: Collection[str],
    unbuilt: Sequence[str] = (),
) -> Outcome:
    """Judge *grade*, which came of *trial* on a kernel with *features*."""
    if grade.status == "error":
        return _outcome(trial, "error", grade, what=grade.message)
    if unbuilt and (trial.mutant is None or trial.mutant.builds):
        what = f"{', '.join(unbuilt)} does not compile"
        return _outcome(trial, "unbuilt", grade, expected="it builds", what=what)
    if trial.kind == "mutant":
        assert trial.mutant is not None
        return _judge_mutant(trial, trial.mutant, grade, features)
    due = {e.number: e.max_score for e in grade.exercises}
    if trial.kind == "skeleton":
        due = {n: 0.0 if n >= trial.step else score for n, score in due.items()}
    if trial.mutant:
        full = {e.number: e.points for e in lab.exercises}
        due |= {n: s for n, s in trial.mutant.earns.items() if n in due and s != full[n]}
    missing = {
        e.number: f"exercise {e.number} earns {e.score:g}, not {due[e.number]:g}"
        for e in grade.exercises
        if e.score != due[e.number]
    }
    # a check without points can be lost, too
    missing |= {
        e.number: missing.get(e.number, f"exercise {e.number} has lost a check")
        for e in grade.exercises
        if due[e.number] == e.max_score and _lost(e.checks)
    }
    if not missing:
        return _outcome(trial, "right", grade)
    words = "; ".join(missing.values())
    said = _said(c for e in grade.exercises if e.number in missing for c in e.checks)
    expected = "the points that are due: " + ", ".join(f"{n}={s:g}" for n, s in due.items())
    return _outcome(trial, "wrong", grade, expected=expected, what=f"{words}\n{said}")


def _judge_mutant(trial: Trial, mutant: Mutant, grade: Grade, features: Collection[str]) -> Outcome:
    checks = {c.id: c for e in grade.exercises for c in e.checks}
    lost = _lost(checks.values())
    lacking = ", ".join(need for need in mutant.needs if need not in features)
    if lacking and lost:
        what = (
            f"{', '.join(c.id for c in lost)} did not pass without {lacking}: "
            f"the line Needs is wrong\n{_said(lost)}"
        )
        return _outcome(trial, "seen", grade, expected=f"unseen without {lacking}", what=what)
    if lacking:
        return _outcome(trial, "unseen", grade, what=f"unseen here, needs {lacking}")
    expected = f"caught by {', '.join(mutant.checks)}"
    missed = [
        id_ for id_ in mutant.checks if id_ not in checks or checks[id_].status not in CATCHES
    ]
    if missed:
        own = (c for e in grade.exercises if e.number in mutant.exercises for c in e.checks)
        none = [f"the lab has no check {id_}" for id_ in missed if id_ not in checks]
        what = "\n".join([*none, _said(own)])
        return _outcome(trial, "survived", grade, expected=expected, what=what)
    others = [e for e in grade.exercises if e.number not in mutant.exercises]
    losers = [e for e in others if e.score != e.max_score]
    if losers:
        said = _said(c for e in losers for c in _lost(e.checks))
        what = f"loses points in exercise {', '.join(str(e.number) for e in losers)} too\n{said}"
        return _outcome(trial, "elsewhere", grade, expected=expected, what=what)
    return _outcome(trial, "caught", grade, expected=expected)


def _lost(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that did not pass, but for those that the kernel cannot do."""
    return [c for c in checks if c.status != "pass" and (c.status != "skip" or c.max_points)]


def _said(checks: Iterable[CheckResult]) -> str:
    """Return what each check said: those that passed in one line, the others in one each."""
    lines, passed = [], []
    for check in checks:
        if check.status == "pass":
            passed.append(check.id)
        else:
            words = " ".join(check.message.split())
            actual = " ".join(check.actual.split())
            lines.append(
                f"{check.id} {check.status}: {words}" + (f" (actual: {actual})" if actual else "")
            )
    if passed:
        lines.insert(0, f"pass: {', '.join(passed)}")
    return "\n".join(lines)


def _outcome(
    trial: Trial, verdict: Verdict, grade: Grade, *, expected: str = "", what: str = ""
) -> Outcome:
    return Outcome(
        name=trial.name,
        kind=trial.kind,
        kernel=grade.kernel.name,
        verdict=verdict,
        expected=expected,
        what=what,
        checks={c.id: c.status for e in grade.exercises for c in e.checks},
        seed=grade.provenance.seed,
        seconds=grade.provenance.seconds,
    )


def disagreements(outcomes: Iterable[Outcome]) -> list[Disagreement]:
    """Return the checks whose status differs between runs of the solution on one kernel."""
    runs: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        if outcome.kind == "solution" and outcome.seed is not None:
            for check, status in outcome.checks.items():
                runs[outcome.kernel, check][status].append(outcome.seed)
    return [
        Disagreement(kernel=kernel, check=check, seeds={s: tuple(v) for s, v in seeds.items()})
        for (kernel, check), seeds in runs.items()
        if len(seeds) > 1
    ]
