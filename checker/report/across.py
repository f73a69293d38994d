"""One submission on several kernels: where they differ about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from checker.model import CheckResult, Finding, Grade, Lab, Status
from checker.report import story
from vm.kernel import Kernel


@dataclass(frozen=True)
class Run:
    """A grade, with the name of its kernel, its release of Debian, and what did not compile."""

    name: str
    grade: Grade
    debian: str = ""
    unbuilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckDiffers:
    """A check that did not come to the same on all kernels that tried it.

    *check* is the result of the first that it did not pass on, *kernel*; *where* has the
    kernels of each status, *waiting* says how many checks were not tried there for it.
    """

    check: CheckResult
    kernel: str
    where: dict[Status, tuple[str, ...]]
    waiting: int


@dataclass(frozen=True)
class FindingDiffers:
    """Something that *kernels* alone reported, and other ones that ran the same did not."""

    finding: Finding
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class BuildDiffers:
    """A build that does not compile for *kernels*; *check* has the compiler's words for it."""

    build: str
    kernels: tuple[str, ...]
    check: CheckResult


@dataclass(frozen=True)
class Comparison:
    """The runs, in the order of their kernels, and all that differs between them."""

    runs: tuple[Run, ...]
    builds: tuple[BuildDiffers, ...]
    checks: tuple[CheckDiffers, ...]
    findings: tuple[FindingDiffers, ...]

    @property
    def errors(self) -> list[Run]:
        """The runs at which the grader failed."""
        return [run for run in self.runs if run.grade.status == "error"]

    @property
    def differs(self) -> bool:
        """Whether the kernels differ about anything."""
        return bool(self.builds or self.checks or self.findings)

    @property
    def full(self) -> bool:
        """Whether each kernel gives full marks."""
        return all(run.grade.score == run.grade.max_score for run in self.runs)


def names(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    """Return *kernels* by short names: "6.12 stock"; with Debian's release where two are alike."""
    kernels = list(kernels)
    short = [f"{series(kernel.release)} {kernel.name}" for kernel in kernels]
    return {
        name if short.count(name) == 1 else f"{name} ({kernel.debian or kernel.release})": kernel
        for name, kernel in zip(short, kernels, strict=True)
    }


def series(release: str) -> str:
    """Return of a kernel's release what names its series: 6.12."""
    match = re.match(r"\d+\.\d+", release)
    return match[0] if match else release


def compare(lab: Lab, runs: Sequence[Run]) -> Comparison:
    """Return where *runs* differ; a kernel counts for what it tried.

    What a kernel lacks an option for, what waits for a check that did not pass, what the
    grader failed at, and the checks of a build that does not compile there are no difference.
    """
    builds = _builds(lab, runs)
    findings = _findings(lab, runs)
    summaries = {differing.finding.summary for differing in findings}
    checks = [
        differing
        for differing in _checks(lab, runs)
        # a kernel's health that follows from what only that kernel reported
        if not (
            differing.check.id.endswith(".healthy")
            and any(summary in differing.check.message for summary in summaries)
        )
    ]
    return Comparison(tuple(runs), tuple(builds), tuple(checks), tuple(findings))


def _built(lab: Lab, run: Run, check: str) -> bool:
    """Tell whether all that a check is about, by its id, compiles in *run*."""
    number = check.partition(".")[0]
    builds = next((e.builds for e in lab.exercises if str(e.number) == number), ())
    return not set(builds).intersection(run.unbuilt)


def _builds(lab: Lab, runs: Sequence[Run]) -> list[BuildDiffers]:
    found = []
    for target in lab.builds:
        without = [run for run in runs if target.name in run.unbuilt]
        if without and len(without) < len(runs):
            numbers = [str(e.number) for e in lab.exercises if target.name in e.builds]
            own = (c for c in story.checks(without[0].grade) if c.id.partition(".")[0] in numbers)
            first = next(check for check in own if check.status != "skip")
            found.append(BuildDiffers(target.name, tuple(run.name for run in without), first))
    return found


def _checks(lab: Lab, runs: Sequence[Run]) -> list[CheckDiffers]:
    tried: dict[str, list[tuple[Run, CheckResult]]] = {}
    for run in runs:
        for check in story.checks(run.grade):
            if check.status not in ("skip", "error") and _built(lab, run, check.id):
                tried.setdefault(check.id, []).append((run, check))
    found = []
    for id_, results in tried.items():
        where: dict[Status, tuple[str, ...]] = {}
        for run, check in results:
            where[check.status] = (*where.get(check.status, ()), run.name)
        if len(where) > 1:
            run, check = next((r, c) for r, c in results if c.status != "pass")
            waiting = list(story.waiting(run.grade).values()).count(id_)
            found.append(CheckDiffers(check, run.name, where, waiting))
    order = [check.id for run in runs for check in story.checks(run.grade)]
    return sorted(found, key=lambda differing: order.index(differing.check.id))


def _findings(lab: Lab, runs: Sequence[Run]) -> list[FindingDiffers]:
    first: dict[tuple[str, str], Finding] = {}
    by: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for finding in run.grade.findings:
            key = finding.kind, finding.location or finding.summary
            first.setdefault(key, finding)
            if run.name not in by.setdefault(key, []):
                by[key].append(run.name)
    found = []
    for key, finding in first.items():
        able = [run.name for run in runs if _built(lab, run, finding.check)]
        if len(by[key]) < len(able):
            found.append(FindingDiffers(finding, tuple(by[key])))
    return found
