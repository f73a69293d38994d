"""What an exercise came to in an earlier run, kept so that it need not be run again.

A student's own `check` uses it: of a lab with three files, most saves change one. A class does
not: what counts is always run. Kept is what the checks said, before points are summed up, so that
old and new results are put together by the same rules as those of one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from checker.engine.grade import Checked, healthy
from checker.lab import ROOT
from checker.model import CheckResult, Exercise, Finding, Lab, Record, Reused, Submission
from checker.words import advice
from vm import cache, image
from vm.machine import CPU, Config, qemu_version

_CHANCE = ("error", "crash", "timeout")
"""How a check ends that may end otherwise when it is run again: such a result is not reused."""


class Earlier(Record):
    """The checks of one exercise in an earlier run."""

    lab: str
    number: int
    key: str = Field(description="key() of what it was made of; empty: not to be used again")
    run: Reused
    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...]
    after: dict[str, tuple[str, ...]]
    whose: dict[str, int] = Field(default={}, description="see checker/engine/grade.py")
    warnings: tuple[str, ...] = Field(description="the compiler's, of the exercise's files")

    @property
    def certain(self) -> bool:
        """Whether nothing in it may be chance or the grader's own trouble."""
        return bool(self.key) and all(check.status not in _CHANCE for check in self.results)

    def checked(self, lab: Lab, exercise: Exercise) -> Checked:
        """Return it as what came of *exercise*."""
        title = healthy(lab, exercise)
        return Checked(
            exercise, self.results, self.findings, self.after, title, self.run, self.whose
        )


def of(lab: Lab, checked: Checked, key: str, run: Reused, warnings: tuple[str, ...]) -> Earlier:
    """Return what is kept of *checked*, which comes of the run *run*."""
    return Earlier(
        lab=lab.name,
        number=checked.exercise.number,
        key=key,
        run=run,
        results=checked.results,
        findings=checked.findings,
        after=dict(checked.after),
        whose=dict(checked.whose),
        warnings=warnings,
    )


def key(made: str, exercise: Exercise, submission: Submission, config: Config, lab: Lab) -> str:
    """Return what stands for all that the checks of *exercise* depend on, but for the seed.

    *made* stands for the lab's files and knetlab's own: tree_hash() of both.
    """
    kernel = config.kernel
    parts: list[str | bytes] = [made, str(exercise.number), kernel.key, kernel.release]
    parts += [kernel.tools.key, config.image.key, config.accel, CPU[config.accel], qemu_version()]
    for path, payload in sorted(config.files.items()):  # with the libraries of programs
        parts += [path, payload.content]
    wanted = lab.files(exercise)
    for file in submission.files:
        if file.path in wanted:
            parts += [file.path, file.problem, file.content or b""]
    return cache.digest(*parts)


def usable(earlier: Mapping[int, Earlier], keys: Mapping[int, str]) -> dict[int, Earlier]:
    """Return those of *earlier* that may stand for a run of what *keys* stand for now."""
    return {
        number: one
        for number, one in earlier.items()
        if one.certain and one.key == keys.get(number)
    }


def code_hash() -> str:
    """Return a hash of knetlab's own code, and of the sentences that all labs share."""
    return tree_hash(ROOT / "checker", Path(image.__file__).parent, advice.COMMON.parent)


def tree_hash(*folders: Path) -> str:
    """Return a hash of all files below *folders*, compiled Python left out."""
    parts: list[str | bytes | Path] = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                parts += [str(path.relative_to(folder)), path]
    return cache.digest(*parts)
