"""The straight line: submission -> build -> guest -> checks -> grade."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from checker import build as building
from checker import plugin as checking
from checker.errors import InputError, LabError
from checker.grade import grade
from checker.model import Build, CheckResult, Grade, KernelInfo, Lab, Provenance, Submission
from checker.testbed import Testbed
from vm import cache, image, sandbox
from vm.errors import VMError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Accel, Config


def _nothing(_: object) -> None:
    pass


@dataclass(frozen=True)
class Options:
    """How to grade: which exercises (none: all), with which seed, on what.

    *select* is a pytest -k expression; *keep* a folder for each guest's console
    and capture.
    """

    exercises: frozenset[int] = frozenset()
    seed: int | None = None
    accel: Accel = "tcg"
    jobs: int = 2
    select: str = ""
    keep: Path | None = None
    on_stage: Callable[[str], None] = field(default=_nothing)
    on_result: Callable[[CheckResult], None] = field(default=_nothing)


def grade_submission(lab: Lab, submission: Submission, kernel: Kernel, options: Options) -> Grade:
    """Build, boot, check and grade one submission.

    Raises LabError when the lab's own checks are broken, InputError when KVM was
    asked for and does not work, VMError when the
    host lacks what a guest needs. Whatever else is ours ends in a Grade whose
    status is ``error``.
    """
    started = time.monotonic()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    numbers = options.exercises or frozenset(e.number for e in lab.exercises)
    config = Config(kernel, image.initramfs(kernel), image.root(), accel=options.accel)
    files = guest_files(lab, for_person=False)
    if options.accel == "kvm":
        options.on_stage("proving KVM by a boot")
        _prove_kvm(config)
    sandbox.prove()  # else its failure would look like the compiler's
    options.on_stage("building the modules")
    needed = frozenset(e.module for e in lab.exercises if e.number in numbers)
    build = building.build(lab, submission, kernel, jobs=options.jobs, only=needed)
    options.on_stage(f"starting Linux {kernel.release} in QEMU")
    testbed = Testbed(lab, build, config, files, jobs=options.jobs, keep=options.keep)
    run = checking.Plugin(lab, testbed, seed, numbers, options.on_result)
    try:
        for exercise in lab.exercises:
            if exercise.number in numbers and build.module(exercise.module).ko is not None:
                testbed.prepare(exercise)
        checking.run(run, lab.root / "checks", options.select)
    finally:
        testbed.close()
    _prove_checks(lab, run)
    results = {
        n: [r for i, r in run.results.items() if run.specs[i].exercise.number == n] for n in numbers
    }
    return grade(
        lab,
        submission,
        results,
        kernel=KernelInfo(name=kernel.name, release=kernel.release),
        provenance=Provenance(
            seed=seed,
            lab=tree_hash(lab.root),
            checker=tree_hash(Path(__file__).parent, Path(image.__file__).parent),
            image=config.image.key,
            accel=options.accel,
            seconds=round(time.monotonic() - started, 3),
        ),
        findings=run.findings,
        message=next((r.message for r in run.results.values() if r.status == "error"), ""),
    )


def _prove_kvm(config: Config) -> None:
    """Boot once under KVM: that /dev/kvm opens proves nothing on nested hosts."""
    try:
        with Guest.boot(config, {}):
            pass
    except VMError as error:
        raise InputError(
            f"--accel kvm does not work on this host; leave it away. {error}"
        ) from error


def _prove_checks(lab: Lab, run: checking.Plugin) -> None:
    """Refuse a lab whose checks could not be read or are not worth what lab.toml says."""
    if run.broken:
        raise LabError(f"The checks of the lab {lab.name} do not run: {run.broken[0]}")
    for exercise in lab.exercises:
        worth = sum(s.points for s in run.specs.values() if s.exercise.number == exercise.number)
        if worth != exercise.points:
            raise LabError(
                f"{lab.root / 'lab.toml'}: exercise {exercise.number} is worth {exercise.points:g} "
                f"points, but its checks are worth {worth:g}."
            )


def guest_files(lab: Lab, *, for_person: bool) -> dict[str, PayloadFile]:
    """Return what a guest of *lab* finds below /lab besides the modules.

    Checks get the programs below checks/, a person the scripts and all programs.
    """
    names = lab.scripts if for_person else ()
    files = {n: PayloadFile((lab.solution / n).read_bytes(), executable=True) for n in names}
    for program in lab.programs:
        if not (for_person or program.path.startswith("checks/")):
            continue
        source = lab.root / program.source
        headers = sorted(lab.solution.rglob("*.h"))

        def make(folder: Path, source: Path = source) -> None:
            image.compile_static(source, folder / "program")

        entry = cache.entry("program", cache.digest(program.path, source, *headers), make)
        files[program.path] = PayloadFile((entry / "program").read_bytes(), executable=True)
    return files


def ko_files(lab: Lab, build: Build) -> dict[str, PayloadFile]:
    """Return the modules that were built, each where its source lies."""
    return {
        f"{module.folder}/{module.name}.ko": PayloadFile(ko)
        for module in lab.modules
        if (ko := build.module(module.name).ko) is not None
    }


def tree_hash(*folders: Path) -> str:
    """Return a hash of all files below *folders*, compiled Python left out."""
    parts: list[str | bytes | Path] = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                parts += [str(path.relative_to(folder)), path]
    return cache.digest(*parts)
