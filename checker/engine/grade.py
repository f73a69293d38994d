"""Pure: results x points -> Grade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from checker.engine.owner import owner
from checker.model import (
    CheckResult,
    Exercise,
    ExerciseResult,
    Finding,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Reused,
    Status,
    Submission,
)
from checker.words import next_step

HEALTHY = "While the module is loaded, used and unloaded, the kernel has nothing to report."
_OF_PROGRAMS = "While it runs, AddressSanitizer, UBSan and LeakSanitizer have nothing to report."
_OF_BOTH = (
    "While module and program are used, neither kernel nor sanitizers have anything to report."
)


def healthy(lab: Lab, exercise: Exercise) -> str:
    """Return the sentence of the exercise's check ``N.healthy``."""
    kinds = {target.kind for target in lab.targets(exercise)}
    return HEALTHY if kinds == {"module"} else _OF_BOTH if "module" in kinds else _OF_PROGRAMS


@dataclass(frozen=True)
class Checked:
    """What the checks of one exercise came to, and what the kernel reported meanwhile.

    *after* has, for each check that was tried, the ids of those that must have passed, and
    *title* the sentence of its check ``N.healthy``. *reused* says of which earlier run this
    is; None: it was run now. *whose* names, for a check, the exercise whose business is what
    the kernel reported during it, in code that no exercise has for itself.
    """

    exercise: Exercise
    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...] = ()
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = HEALTHY
    reused: Reused | None = None
    whose: Mapping[str, int] = field(default_factory=dict)


def hold_back(checked: Iterable[Checked]) -> list[Checked]:
    """Return the same without what a check earned that is ``after`` one that did not pass.

    Exercises are checked side by side, so a check may have been tried though one of another
    exercise, which it builds on, did not pass. It stands there as not tried, and what the
    kernel reported during it is left out. A check that is not in *checked* holds none back.
    """
    checked = list(checked)
    after = {name: ids for one in checked for name, ids in one.after.items()}
    results = {result.id: result for one in checked for result in one.results}
    held: set[str] = set()
    while True:
        failed = {name for name, result in results.items() if result.status != "pass"}
        late = {
            name: next(earlier for earlier in ids if earlier in failed)
            for name, ids in after.items()
            if name not in held and not failed.isdisjoint(ids)
        }
        if not late:
            break
        held |= late.keys()
        results |= {name: _not_tried(results[name], late[name]) for name in late}
    return [
        replace(
            one,
            results=tuple(results[result.id] for result in one.results),
            findings=tuple(f for f in one.findings if f.check not in held),
        )
        for one in checked
    ]


def _not_tried(result: CheckResult, earlier: str) -> CheckResult:
    """Return what stands for *result* where *earlier* did not pass."""
    return CheckResult(
        id=result.id,
        title=result.title,
        status="skip",
        points=0.0,
        max_points=result.max_points,
        message=did_not_pass(earlier),
        seconds=result.seconds,
    )


def did_not_pass(earlier: str) -> str:
    """Return why a check that is ``after`` *earlier* was not tried."""
    return f"{earlier} did not pass"


def judge(checked: Iterable[Checked], sources: Mapping[str, str] | None = None) -> list[Checked]:
    """Return the same with each exercise's check ``N.healthy``, which no guest runs.

    It costs its points when the kernel reported something that is the
    exercise's. Where exercises share a build, that is what lies in one of its
    ``functions``, as *sources* (path -> text) tell, in whichever
    exercise's checks it came. All else is where it came first, or whose business the check says
    that it is (Session.business_of). A mistake costs once, and nothing where the exercise that
    it belongs to is not checked.
    """
    checked = list(checked)
    exercises = [one.exercise for one in checked]
    charged: set[tuple[str, str, str]] = set()
    bills: dict[int, list[Finding]] = {one.exercise.number: [] for one in checked}
    for one in checked:
        for finding in one.findings:
            key = finding.build, finding.kind, finding.location or finding.summary
            if key not in charged:
                charged.add(key)
                whose = owner(exercises, finding.build, finding.location, sources or {})
                whose = whose or one.whose.get(finding.check) or one.exercise.number
                if whose in bills:
                    bills[whose].append(finding)
    return [
        replace(one, results=(*one.results, _healthy(one, bills[one.exercise.number])))
        if one.exercise.health
        else one
        for one in checked
    ]


def _healthy(checked: Checked, findings: list[Finding]) -> CheckResult:
    """Judge the exercise's health; it earns nothing unless its first check passed."""
    exercise, first = checked.exercise, checked.results[:1]
    status: Status = "pass"
    message = log = hint = ""
    if findings:
        status = "fail"
        told = [f"{f.location}: {f.summary}" if f.location else f.summary for f in findings]
        message = "\n".join(told)
        log, hint = findings[0].report, next_step.of_finding(findings[0])
    elif not first or first[0].status != "pass":
        status = "skip"
        message = did_not_pass(first[0].id) if first else "nothing was checked"
    return CheckResult(
        id=f"{exercise.number}.healthy",
        title=checked.title,
        status=status,
        points=exercise.health if status == "pass" else 0.0,
        max_points=exercise.health,
        message=message,
        log=log,
        hint=hint,
    )


def _all(errors: Sequence[CheckResult]) -> str:
    """Return what each of *errors* says, a line for each; one that several say is told once."""
    said: dict[str, list[str]] = {}
    for check in errors:
        said.setdefault(check.message, []).append(check.id)
    if len(said) < 2:
        return next(iter(said), "")
    return "\n".join(f"{', '.join(ids)}: {message}" for message, ids in said.items())


def grade(
    lab: Lab,
    submission: Submission,
    checked: Iterable[Checked],
    *,
    kernel: KernelInfo,
    provenance: Provenance,
    warnings: tuple[str, ...] = (),
) -> Grade:
    """Sum up the exercises that were checked; every failure gets its next step here.

    The status is ``error`` when a check is an ``error`` itself; its message says why.
    """
    checked = list(checked)
    findings = tuple(
        f.model_copy(update={"hint": next_step.of_finding(f)})
        for one in checked
        for f in one.findings
    )
    by_id = {check.id: check for one in checked for check in one.results}
    exercises = tuple(
        ExerciseResult(
            number=one.exercise.number,
            title=one.exercise.title,
            score=sum(c.points for c in one.results),
            max_score=sum(c.max_points for c in one.results),
            checks=tuple(
                c.model_copy(update={"hint": next_step.of(c, one.exercise.hint, findings, by_id)})
                for c in one.results
            ),
            hint=one.exercise.hint,
            files=lab.files(one.exercise),
            reused=one.reused,
        )
        for one in checked
    )
    errors = [c for e in exercises for c in e.checks if c.status == "error"]
    return Grade(
        lab=lab.name,
        submission=submission.name,
        status="error" if errors else "graded",
        message=_all(errors),
        kernel=kernel,
        score=sum(e.score for e in exercises),
        max_score=sum(e.max_score for e in exercises),
        exercises=exercises,
        findings=findings,
        warnings=warnings,
        provenance=provenance,
    )
