"""Whether a stored grade is what it says: its signature, and the same made again.

Signatures are OpenPGP's, detached, as `gpg --armor --detach-sign` writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checker.classroom import diff
from checker.engine import grading
from checker.errors import InputError
from checker.model import CheckResult, Grade, Lab, Submission
from checker.points import told
from vm import kernel as kernels
from vm.kernel import Kernel
from vm.machine import CPU, Accel


@dataclass(frozen=True)
class Verdict:
    """What is not the same in the grade that was made again: sentences and lines."""

    differs: tuple[str, ...]
    """In the result; empty: it is the same."""
    made: tuple[str, ...]
    """In what it was made of."""
    same_files: bool
    """The files are known to be those that were graded then."""


def signer(file: Path, keys: Path) -> str:
    """Return the fingerprint of the key, of those in *keys*, that has signed *file*.

    The signature lies beside it: grade.json.asc, or grade.json.sig. Raises InputError when it
    is missing, or is none of these keys' for these bytes.
    """
    import pysequoia  # noqa: PLC0415 - only who asks for signatures waits for it

    found = [path for end in (".asc", ".sig") if (path := Path(f"{file}{end}")).is_file()]
    if not found:
        raise InputError(
            f"There is no signature {file}.asc: `gpg --armor --detach-sign {file}` writes one."
        )
    certificates = _read(keys, pysequoia.Cert.split_bytes, "public keys")
    signature = _read(found[0], pysequoia.Sig.from_bytes, "a signature")
    if not certificates:
        raise InputError(f"{keys} has no public keys: `gpg --armor --export` writes them.")
    try:
        checked = pysequoia.verify(
            file.read_bytes(), store=lambda _: certificates, signature=signature
        )
    except Exception as error:  # the library has no type of its own for it
        raise InputError(
            f"{found[0]} is not a signature of {file} by a key in {keys}: the file was changed "
            "after it was signed, or somebody else signed it."
        ) from error
    return str(checked.valid_sigs[0].certificate)


def _read(path: Path, parse: Callable[[bytes], Any], what: str) -> Any:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # the library has no type of its own for it
        raise InputError(f"{path} is not {what} of OpenPGP.") from error


def kernel_of(stored: Grade) -> Kernel:
    """Return the kernel in the cache that *stored* was made on; InputError where there is none."""
    name, release = stored.kernel.name, stored.kernel.release
    for found in kernels.at_hand():
        if (found.name, found.release) == (name, release):
            return found
    get = f" `knetlab kernel {name}` gets the newest one." if name in ("stock", "debug") else ""
    raise InputError(
        f"The grade was made on the kernel {name} {release}, which is not in the cache.{get} If "
        "you have that kernel, give it with --kernel-image and --kernel-build."
    )


def again(
    stored: Grade,
    lab: Lab,
    given: Submission,
    on: Kernel,
    *,
    on_stage: Callable[[str], None],
    on_result: Callable[[CheckResult], None],
) -> Grade:
    """Grade *given* as *stored* was made, and return that grade.

    An exercise whose result was taken from an earlier run has that run's seed: all is graded
    with each seed, as what is reported in one exercise may count in another. Raises InputError
    for a grade that cannot be made again.
    """
    accel = _accel(stored)
    numbers = frozenset(exercise.number for exercise in stored.exercises)
    unknown = numbers - {exercise.number for exercise in lab.exercises}
    if stored.status == "error" or not numbers:
        raise InputError("The file has no result to verify: the grader failed when it was made.")
    if unknown:
        raise InputError(f"The lab {lab.name} has no exercise {min(unknown)}, and the file has.")
    made: dict[int, Grade] = {}
    for seed in dict.fromkeys(map(stored.seed_of, stored.exercises)):
        made[seed] = grading.grade_submission(
            lab,
            given,
            on,
            grading.Options(
                exercises=numbers,
                seed=seed,
                accel=accel,
                ways=False,
                on_stage=on_stage,
                on_result=on_result,
            ),
        )
        if made[seed].status == "error":
            return made[seed]
    return _put_together(stored, made)


def _accel(stored: Grade) -> Accel:
    for accel in CPU:
        if accel == stored.provenance.accel:
            return accel
    raise InputError(f"The file names an accelerator that is none: {stored.provenance.accel}.")


def _put_together(stored: Grade, made: dict[int, Grade]) -> Grade:
    """Return a grade that has each exercise from the run with its seed."""
    seeds = {exercise.number: stored.seed_of(exercise) for exercise in stored.exercises}
    exercises = tuple(
        exercise
        for number, seed in seeds.items()
        for exercise in made[seed].exercises
        if exercise.number == number
    )
    findings = tuple(
        finding
        for seed, grade in made.items()
        for finding in grade.findings
        if seed == seeds.get(int(finding.check.partition(".")[0] or 0), next(iter(made)))
    )
    return next(iter(made.values())).model_copy(
        update={
            "exercises": exercises,
            "findings": findings,
            "score": sum(exercise.score for exercise in exercises),
            "max_score": sum(exercise.max_score for exercise in exercises),
        }
    )


def compare(stored: Grade, new: Grade) -> Verdict:
    """Return what differs between a *stored* grade and the *new* one that was made as it was."""
    made = [
        f"The {what} was {diff.short(first)} and is {diff.short(second)}."
        for what, first, second in diff.provenance(stored, new)
        if first != second
    ]
    files = {grade.provenance.sources for grade in (stored, new)} - {""}
    if len(files) > 1:
        made.insert(0, "These are not the files that the grade was made of.")
    return Verdict(
        differs=tuple(_results(stored, new)),
        made=tuple(made),
        same_files=stored.provenance.sources == new.provenance.sources,
    )


def _results(stored: Grade, new: Grade) -> Sequence[str]:
    said = [
        f"{change.id}: {change.before or 'not there'} in the file, "
        f"{change.after or 'not there'} now ({change.points:+g} points)"
        for change in diff.checks(stored, new)
    ]
    scores = {e.number: (e.score, e.max_score) for e in new.exercises}
    for exercise in stored.exercises:
        if (exercise.score, exercise.max_score) != scores.get(exercise.number):
            was = _of(exercise.score, exercise.max_score)
            said.append(
                f"exercise {exercise.number}: {was} points in the file, "
                f"{_of(*scores.get(exercise.number, (0, 0)))} now"
            )
    if (stored.score, stored.max_score) != (new.score, new.max_score):
        was, is_ = (_of(grade.score, grade.max_score) for grade in (stored, new))
        said.append(f"all exercises: {was} points in the file, {is_} now")
    before, after = (Counter((f.check, f.kind) for f in grade.findings) for grade in (stored, new))
    for only, where in ((before - after, "in the file alone"), (after - before, "now alone")):
        said += [f"finding {kind} in {check or 'no check'}: {where}" for check, kind in only]
    return said


def _of(score: float, most: float) -> str:
    return f"{told(score)} of {told(most)}"
