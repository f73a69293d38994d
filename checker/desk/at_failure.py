"""``knetlab console --at-failure``: the guest as it was when a failing check stopped.

Guest time is virtual and ports and addresses come from the seed, so that a check
repeats itself: it is run again, on the sources that the last run graded, and
where it fails the guest is not thrown away but given to the person.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from checker.desk import console, last_run
from checker.desk.console import Desk
from checker.engine import collector, grading, plugin, submission
from checker.engine.check_run import CheckRun
from checker.engine.testbed import SANITIZED, Session, Testbed
from checker.errors import InputError
from checker.model import CheckResult, Exercise, Grade, KernelInfo, Lab, Target
from vm import kernel as kernels
from vm import snapshot
from vm.errors import GuestCrashed
from vm.kernel import Kernel

_CLOCK = """\
This is the guest in the state of that moment. Try lsmod, dmesg, ss -tanp. Its clock continues from
there. It counts the guest's instructions, not your seconds, and it keeps one of your cores busy.
"""


def failing(grade: Grade) -> list[CheckResult]:
    """Return the checks of *grade* that failed, or during which the kernel reported something.

    They stand in the order in which the report tells them: of an exercise first what failed,
    then what something was reported of.
    """
    reported = {finding.check for finding in grade.findings}
    found = []
    for exercise in grade.exercises:
        own = [check for check in exercise.checks if not check.id.endswith(".healthy")]
        bad = [check for check in own if check.status in ("fail", "crash", "timeout")]
        found += [*bad, *(check for check in own if check.id in reported and check not in bad)]
    return found


def last_failure(path: Path, wanted: str | None) -> tuple[Grade, CheckResult, list[CheckResult]]:
    """Return the last run of the folder *path*, the check to repeat, and all that failed.

    *wanted* is a check's id, None for the one that the report begins with. Raises
    InputError when there is nothing to repeat.
    """
    grade = last_run.grade(path)
    if grade is None:
        raise InputError(f"There is no earlier run of {path}: run `make check` first.")
    failed = failing(grade)
    if not failed:
        raise InputError(f"Nothing failed in the last run of {path}.")
    names = ", ".join(check.id for check in failed)
    if wanted is None:
        return grade, failed[0], failed
    for check in failed:
        if check.id == wanted:
            return grade, check, failed
    raise InputError(
        f"The check {wanted!r} did not fail in the last run. These checks failed: {names}."
    )


class _Halt:
    """What is done where *check* fails again: the guest is given to the person.

    *status* is the console's then, and *trouble* says why there was none.
    """

    def __init__(self, desk: Desk, check: CheckResult) -> None:
        self.desk = desk
        self.check = check
        self.status: int | None = None
        self.trouble: Exception | None = None

    def __call__(self, run: CheckRun, why: str) -> None:
        """Halt, before anything is tidied up."""
        session = run.session
        if run.spec.id != self.check.id or session is None or self.status is not None:
            return
        guest = session.guest
        if guest.dead and not session.has_code:
            return  # the check is tried again
        if guest.dead:
            files = " and ".join(session.files)
            self.trouble = self.trouble or InputError(
                f"{self.check.id} crashes the guest, so there is no guest to look at. "
                f"In `make console` you can try {files} by hand. "
                f"{self.check.message}\n{self.check.log}"
            )
            return
        try:
            self.status = self._serve(run.testbed, session, why)
        except Exception as error:  # pytest would keep it
            self.trouble = error
        finally:
            # the person has had it: neither fixtures nor the testbed are to use it again
            guest.dead = guest.dead or GuestCrashed("the console was left")

    def _serve(self, testbed: Testbed, session: Session, why: str) -> int:
        files = grading.guest_files(self.desk.lab, for_person=True)
        more = {path: file for path, file in files.items() if path not in testbed.config.files}
        session.guest.unpack(more)
        own = [file for file in session.files if not file.endswith(SANITIZED)]
        for file in own:
            session.put(file)
        targets = testbed.lab.targets(testbed.exercise)
        return self.desk.serve(session.guest, greeting(self.check, why, targets, [*files, *own]))


def greeting(check: CheckResult, why: str, targets: Iterable[Target], files: Iterable[str]) -> str:
    """Return what a person is told who comes to where *check* failed; *files* are in the guest."""
    return (
        f"{check.id} failed here: {check.title}\n{why}\n{_CLOCK}"
        f"In /lab{console.by_path(targets)}:\n{console.listing(files)}{console.KEYS}"
    )


def _up_to(id_: str, lab: Lab, exercise: Exercise) -> list[str]:
    """Return the checks of *exercise* up to the one called *id_*; none if it is there no more."""
    ids = [spec.id for spec in collector.specs(lab) if spec.exercise == exercise]
    return ids[: ids.index(id_) + 1] if id_ in ids else []


def kernel_of(graded: KernelInfo) -> Kernel:
    """Return the kernel that a run was made on; InputError when it is not at hand."""
    if graded.name == "custom":
        raise InputError("The last run used a kernel of your own: give --kernel-image again.")
    for kernel in kernels.at_hand():
        if (kernel.name, kernel.release) == (graded.name, graded.release):
            return kernel
    raise InputError(
        f"The last run used the {graded.name} kernel {graded.release}, which is no longer in the "
        "cache. Run `make check` again, and then this command."
    )


def run(lab: Lab, path: Path, own: Kernel | None, *, wanted: str | None, gdb: bool) -> int:
    """Repeat a failed check of the last run of *path* and open a console where it fails.

    *wanted* is its id, None for the one that the report begins with. It is repeated on the
    kernel of that run, or on *own*, the user's. Returns the console's status.
    Raises InputError when nothing failed, the check passes now or leaves no
    guest behind, VMError when no guest can be had.
    """
    grade, check, failed = last_failure(path, wanted)
    seed = next(grade.seed_of(e) for e in grade.exercises if check in e.checks)
    given = submission.read(lab, last_run.sources(path))
    kernel = own or kernel_of(grade.kernel)
    say = console.terminal()
    if others := ", ".join(other.id for other in failed if other is not check):
        say.print(
            f"More than one check failed; this is {check.id}. To see another one, name it: {others}"
        )
    say.print(f"repeating {check.id} with the seed {seed}")
    desk = Desk(lab, path, given, kernel, gdb=gdb)
    exercise = lab.exercise(int(check.id.partition(".")[0]))
    for built in map(desk.made.target, exercise.builds):
        if not built.built:
            raise InputError(
                f"{built.name} does not compile, so there was no guest when {check.id} failed. "
                f"{built.message}\n{built.output}"
            )
    config = grading.machine(lab, kernel, "kvm" if grade.provenance.accel == "kvm" else "tcg")
    snapshot.template(config)
    for alone in (True, False):  # it may take those before it to fail
        ids = [check.id] if alone else _up_to(check.id, lab, exercise)
        testbed = Testbed(lab, exercise, desk.made, config, sources=given.sources)
        halt = _Halt(desk, check)
        repeat = plugin.Plugin(lab, testbed, seed, wanted=ids, on_failure=halt, ways=False)
        try:
            plugin.run(repeat, lab.root / "checks")
        finally:
            testbed.spoil()
        if halt.trouble:
            raise halt.trouble
        if halt.status is not None:
            return halt.status
    raise InputError(
        f"{check.id} failed in the last run and passes now, with the same seed: {seed}."
    )
