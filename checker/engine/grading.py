"""The straight line: submission -> build -> guest -> checks -> grade."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from checker.engine import build as building
from checker.engine import earlier, guests, pool
from checker.engine.earlier import Earlier
from checker.engine.grade import Checked, grade, healthy, hold_back, judge
from checker.engine.submission import fingerprint
from checker.engine.testbed import Testbed
from checker.errors import InputError, LabError
from checker.model import (
    Build,
    CheckResult,
    Exercise,
    Grade,
    KernelInfo,
    Lab,
    ModuleBuild,
    Provenance,
    Reused,
    Submission,
)
from vm import cache, image, libraries, sandbox, snapshot, witness
from vm.errors import NoLibrary, VMError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import CPU, Accel, Config, qemu_version

if TYPE_CHECKING:
    from checker.engine.plugin import Plugin


def _nothing(_: object) -> None:
    pass


@dataclass(frozen=True)
class Options:
    """How to grade: which exercises (none: all), with which seed, on what.

    *jobs* exercises are checked at a time, each in a process of its own unless
    it is 1. *reuse* takes what was built of the same sources before.
    *ways*: a check that failed is run again for the way of its packet (checker/engine/way.py).
    *select* is a pytest -k expression; *keep* a folder for each guest's console
    and capture. *earlier* are results that may stand for a run of the same things, by exercise;
    *on_checked* gets what may be kept of each exercise that was run.
    """

    exercises: frozenset[int] = frozenset()
    seed: int | None = None
    accel: Accel = "tcg"
    jobs: int = 2
    reuse: bool = False
    ways: bool = True
    select: str = ""
    keep: Path | None = None
    earlier: Mapping[int, Earlier] = field(default_factory=dict)
    on_checked: Callable[[Earlier], None] = field(default=_nothing)
    on_stage: Callable[[str], None] = field(default=_nothing)
    on_result: Callable[[CheckResult], None] = field(default=_nothing)


def grade_submission(lab: Lab, submission: Submission, kernel: Kernel, options: Options) -> Grade:
    """Build, boot, check and grade one submission.

    Raises LabError when the lab's own checks are broken, InputError when KVM was asked for and
    does not work, or the kernel has not what the lab's guests need, VMError when the host lacks
    what a guest needs.
    Whatever else is ours ends in a Grade whose status is ``error``.
    """
    started = time.monotonic()
    exercises = [e for e in lab.exercises if not options.exercises or e.number in options.exercises]
    lab_hash, code_hash = earlier.tree_hash(lab.root), earlier.code_hash()
    prove_lab(lab, f"{lab_hash} {code_hash}")
    config = machine(lab, kernel, options.accel)
    made = f"{lab_hash} {code_hash}"
    keys = dict.fromkeys((e.number for e in exercises), "")
    if options.earlier or options.on_checked is not _nothing:  # else nobody asks for them
        keys = {e.number: earlier.key(made, e, submission, config, lab) for e in exercises}
    reused = earlier.usable(options.earlier, keys)
    to_run = [e for e in exercises if e.number not in reused]
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    if not to_run:
        seed = next(iter(reused.values())).run.seed
    warnings = {number: one.warnings for number, one in reused.items()}
    checked = {e.number: reused[e.number].checked(lab, e) for e in exercises if e.number in reused}
    if to_run:
        ran, build = _run(lab, submission, config, to_run, options, seed=seed)
        run = Reused(at=datetime.now(UTC), seed=seed)
        for one in ran:
            number = one.exercise.number
            checked[number] = one
            warnings[number] = building.warnings(build, one.exercise.builds)
            # a seed that was asked for is an experiment, and no result to go on with
            key = keys[number] if options.seed is None and not options.select else ""
            options.on_checked(earlier.of(lab, one, key, run, warnings[number]))
    whole = hold_back(checked[e.number] for e in exercises)
    return grade(
        lab,
        submission,
        whole if options.select else judge(whole, submission.sources),
        kernel=KernelInfo(
            name=kernel.name, release=kernel.release, features=tuple(sorted(kernel.features))
        ),
        provenance=Provenance(
            seed=seed,
            lab=lab_hash,
            checker=code_hash,
            image=config.image.key,
            accel=options.accel,
            qemu=qemu_version(),
            cpu=CPU[options.accel],
            sources=fingerprint(submission),
            seconds=round(time.monotonic() - started, 3),
        ),
        warnings=tuple(dict.fromkeys(w for e in exercises for w in warnings[e.number])),
    )


def _run(
    lab: Lab,
    submission: Submission,
    config: Config,
    exercises: Sequence[Exercise],
    options: Options,
    *,
    seed: int,
) -> tuple[list[Checked], Build]:
    """Build what *exercises* need and run their checks; return what they came to."""
    kernel = config.kernel
    if options.accel == "kvm":
        options.on_stage("proving KVM by a boot")
        _prove_kvm(config)
    sandbox.prove()  # else its failure would look like the compiler's
    snapshot.template(config)
    needed = frozenset(name for e in exercises for name in e.builds)
    options.on_stage(building.doing(t for t in lab.builds if t.name in needed))
    build = building.build(
        lab,
        submission,
        kernel,
        jobs=options.jobs,
        only=needed,
        reuse=options.reuse,
        meanwhile=_read_pytest,
    )
    from checker.engine import plugin as checking

    options.on_stage(f"running the checks on Linux {kernel.release} in QEMU")

    def check(exercise: Exercise) -> Checked:
        testbed = Testbed(
            lab, exercise, build, config, sources=submission.sources, keep=options.keep
        )
        run = checking.Plugin(lab, testbed, seed, on_result, ways=options.ways)
        try:
            checking.run(run, lab.root / "checks", options.select)
        finally:
            testbed.spoil()
        _prove_checks(lab, run)
        title = healthy(lab, exercise)
        return Checked(
            exercise,
            tuple(run.results),
            tuple(run.findings),
            run.after,
            title,
            whose=run.whose,
        )

    alone = options.jobs == 1 or len(exercises) == 1
    on_result = options.on_result if alone else pool.tell
    if alone:
        return [check(exercise) for exercise in exercises], build
    return _in_processes(check, exercises, options), build


def _read_pytest() -> None:
    """Read what the checks are run with, a tenth of a second, while the compiler works."""
    importlib.import_module("checker.engine.plugin")


def _in_processes(
    check: Callable[[Exercise], Checked], exercises: Sequence[Exercise], options: Options
) -> list[Checked]:
    """Check some exercises at a time; raise what one raised, after the others were ended."""
    done: dict[int, Checked] = {}

    def hear(result: object) -> None:
        assert isinstance(result, CheckResult)
        options.on_result(result)

    team = pool.each(check, exercises, options.jobs, hear=hear, method="fork")
    with contextlib.closing(team):
        for exercise, result in team:
            if isinstance(result, Exception):
                raise result
            done[exercise.number] = result
    return [done[exercise.number] for exercise in exercises]


def prove_lab(lab: Lab, made: str) -> None:
    """Raise LabError for checks that cannot be right, before anything is built.

    *made* stands for the lab and knetlab: what was proved once is not read again, since that
    takes a fifth of a second.
    """
    key = cache.digest(made, lab.model_dump_json())
    if cache.find(PROVED, key):
        return
    from checker.engine import collector  # it reads pytest

    collector.prove(lab)
    with contextlib.suppress(VMError):  # a cache that cannot be written to
        cache.entry(PROVED, key, lambda _: None)
        cache.trim(PROVED, 20)


PROVED = "proved-lab"


def _prove_kvm(config: Config) -> None:
    """Boot once under KVM: that /dev/kvm opens proves nothing on nested hosts."""
    try:
        with Guest.boot(config, {}):
            pass
    except VMError as error:
        raise InputError(
            f"--accel kvm does not work on this host; leave it away. {error}"
        ) from error


def _prove_checks(lab: Lab, run: Plugin) -> None:
    """Refuse a lab whose checks could not be read."""
    if run.broken:
        said = "\n".join(run.broken)
        raise LabError(f"The checks of the lab {lab.name} do not run: {said}")


def machine(lab: Lab, kernel: Kernel, accel: Accel = "tcg") -> Config:
    """Return the machine that a lab's checks run in; errors as guests.config() has them."""
    asked = guests.config(lab, kernel, accel=accel)  # refused before anything is compiled
    files = {
        **guest_files(lab, for_person=False),
        **witness.files(kernel),
        **program_libraries(lab, kernel),
    }
    return replace(asked, files=files, modules=(witness.PATH,))


def program_libraries(lab: Lab, kernel: Kernel) -> dict[str, PayloadFile]:
    """Return what the students' programs are linked with; nothing where a lab has none.

    Raises LabError for a library that is not there.
    """
    programs = [target for target in lab.builds if target.kind == "program"]
    names = {name for target in programs for name in target.libraries}
    try:
        return libraries.files(kernel.tools, sorted(names)) if programs else {}
    except NoLibrary as error:
        raise LabError(f"{lab.root / 'lab.toml'}: builds.libraries: {error}") from error


def guest_files(lab: Lab, *, for_person: bool) -> dict[str, PayloadFile]:
    """Return what a guest of *lab* finds below /lab besides the modules.

    Checks get the programs below checks/, a person the scripts and all programs.
    """
    names = lab.scripts if for_person else ()
    files = {n: PayloadFile((lab.given / n).read_bytes(), executable=True) for n in names}
    for program in lab.programs:
        if not (for_person or program.path.startswith("checks/")):
            continue
        source = lab.program_source(program)
        headers = sorted(lab.given.rglob("*.h"))
        folders = sorted({header.parent for header in headers})

        def make(folder: Path, source: Path = source, folders: list[Path] = folders) -> None:
            image.compile_static(source, folder / "program", headers=folders)

        key = cache.digest(program.path, source, *headers, image.tools().name)
        entry = cache.entry("program", key, make)
        files[program.path] = PayloadFile((entry / "program").read_bytes(), executable=True)
    return files


def built_files(lab: Lab, build: Build) -> dict[str, PayloadFile]:
    """Return the modules and plain programs that were built, each where its source lies."""
    files = {}
    for target in lab.builds:
        made = build.target(target.name)
        content = made.ko if isinstance(made, ModuleBuild) else made.plain
        if content is not None:
            files[target.file] = PayloadFile(content, executable=target.kind == "program")
    return files
