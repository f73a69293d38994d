"""What a grade has to say, in which order: the part all reports share. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from checker.model import NEEDS_A_KERNEL, CheckResult, ExerciseResult, Grade, Status
from checker.report.text import count, one_line, points
from checker.words import errors, sanitizer
from checker.words.next_step import of_errors as next_step_of_errors

WORDS: dict[Status, str] = {
    "pass": "passed",
    "fail": "failed",
    "crash": "crashed the kernel",
    "timeout": "timed out",
    "error": "grader error (costs you nothing)",
    "skip": "not tried",
}
"""What a student reads for each status, in the order in which they are told."""


def checks(grade: Grade) -> list[CheckResult]:
    """Return all checks of all exercises, in order."""
    return [check for exercise in grade.exercises for check in exercise.checks]


def troubles(exercise: ExerciseResult) -> list[CheckResult]:
    """Return the checks that were tried and did not pass, in order."""
    return [check for check in exercise.checks if check.status not in ("pass", "skip")]


def mistakes(exercise: ExerciseResult) -> list[CheckResult]:
    """Return the checks in trouble that are the student's to mend, in order."""
    return [check for check in troubles(exercise) if check.status != "error"]


def numbers(exercises: Iterable[ExerciseResult]) -> str:
    """Return "exercise 1", "exercises 1, 2 and 3"."""
    all_ = [str(exercise.number) for exercise in exercises]
    return f"exercise{'s' if len(all_) > 1 else ''} {listed(all_)}"


def tally(results: Iterable[CheckResult]) -> str:
    """Return "4 passed, 1 failed, 2 not tried"."""
    found = Counter(check.status for check in results)
    return ", ".join(
        count(found[status], "grader error") if status == "error" else f"{found[status]} {word}"
        for status, word in WORDS.items()
        if found[status]
    )


def score(record: Grade | ExerciseResult) -> str:
    """Return "0 of 20"."""
    return f"{points(record.score)} of {points(record.max_score)}"


def listed(words: Iterable[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def files(grade: Grade) -> list[tuple[str, str]]:
    """Return each file that the exercises are about, once, behind the exercises that share it."""
    shared: dict[str, list[ExerciseResult]] = {}
    for exercise in grade.exercises:
        for path in exercise.files:
            shared.setdefault(path, []).append(exercise)
    return [(numbers(exercises).capitalize(), path) for path, exercises in shared.items()]


def reused(grade: Grade) -> str:
    """Return a sentence on the exercises that were not run again; empty when all were."""
    old = [exercise for exercise in grade.exercises if exercise.reused]
    if not old:
        return ""
    are, stand = ("was", "its") if len(old) == 1 else ("were", "their")
    return (
        f"{numbers(old).capitalize()} {are} not run again, because nothing has changed since "
        f"{stand} last run. `make check FRESH=1` runs everything."
    )


def reasons(grade: Grade) -> list[list[CheckResult]]:
    """Return the checks in trouble, those with word for word the same reason together.

    A module that does not compile fails all its checks so: it is told once.
    """
    groups: dict[tuple[str, ...], list[CheckResult]] = {}
    for exercise in grade.exercises:
        for check in troubles(exercise):
            said = (check.message, check.expected, check.actual, check.log)
            # With nothing said there is no reason that could be the same.
            key = (check.status, *said) if any(said) else (check.status, check.id)
            groups.setdefault(key, []).append(check)
    return list(groups.values())


def stops(group: list[CheckResult], exercise: ExerciseResult) -> bool:
    """Say whether the one reason of *group* stops every check of *exercise*.

    The kernel's health is left out: no guest runs it, and it waits for the first one.
    """
    tried = (check for check in exercise.checks if check.id != f"{exercise.number}.healthy")
    return len(group) > 1 and all(check in group for check in tried)


def waiting(grade: Grade) -> dict[str, str]:
    """Return, for a check that was not tried, the id of the check in trouble it waits for.

    A skipped check's message names the other's id. One that waits for a skipped check
    waits for what that one waits for; one that names none is not in the result.
    """
    status = {check.id: check.status for check in checks(grade)}
    waits: dict[str, str] = {}
    for check in checks(grade):
        if check.status != "skip":
            continue
        for other in status:
            if re.search(_whole(other), check.message):
                root = waits.get(other, other)
                if status[root] not in ("pass", "skip"):
                    waits[check.id] = root
                    break
    return waits


def _whole(check: str) -> str:
    """Return a pattern for the id of a check where it is not a part of another's."""
    return rf"(?<![\w.-]){re.escape(check)}(?![\w-])"


def shown(grade: Grade, hidden: Collection[str]) -> Grade:
    """Return *grade* without the checks whose ids are in *hidden*, and without a word of them.

    Their findings go with them, and their ids in what other checks say: an id can tell
    what is looked for. The scores stay, as the mark was made of them. A check that sums
    up others, as the kernel's health does, still says what it found; hide that as well
    where it must not.
    """
    if not hidden:
        return grade
    secret = [check for check in checks(grade) if check.id in hidden]

    def told(check: CheckResult) -> CheckResult:
        message, hint = check.message, check.hint
        for other in secret:
            message = re.sub(_whole(other.id), "a check that is not shown", message)
            if re.search(_whole(other.id), hint):
                hint = ""  # what must be mended first cannot be said
        remarks = tuple(
            r for r in check.remarks if not any(re.search(_whole(o.id), r) for o in secret)
        )
        return check.model_copy(update={"message": message, "hint": hint, "remarks": remarks})

    exercises = tuple(
        exercise.model_copy(
            update={"checks": tuple(told(c) for c in exercise.checks if c.id not in hidden)}
        )
        for exercise in grade.exercises
    )
    spoken = {check.message for check in secret if check.status == "error"}
    message = "A check that is not shown failed." if grade.message in spoken else grade.message
    findings = tuple(finding for finding in grade.findings if finding.check not in hidden)
    return grade.model_copy(
        update={"exercises": exercises, "findings": findings, "message": message}
    )


REMARKS = "What works, and would be better otherwise (it costs no points)"
"""The title over remarks()."""


def remarks(grade: Grade) -> dict[str, list[str]]:
    """Return each remark of a check that passed, once, with the ids of the checks that make it."""
    found: dict[str, list[str]] = {}
    for check in checks(grade):
        for remark in check.remarks:
            found.setdefault(one_line(remark), []).append(check.id)
    return found


_SEEN_WITH = {
    "KASAN": "use of memory after it was freed or beyond its end",
    "PROVE_LOCKING": "possible deadlocks",
    "DEBUG_ATOMIC_SLEEP": "sleeping where it is not allowed",
    "FAILSLAB": "mistakes when memory runs out",
}
"""What a kernel reports, by the option that it takes."""


def reported(grade: Grade) -> str:
    """Return the title over the findings: who has reported them."""
    kinds = {finding.kind for finding in grade.findings}
    if kinds.isdisjoint(sanitizer.KINDS):
        return "What the kernel reported"
    return f"What {'kernel and ' if kinds - sanitizer.KINDS else ''}sanitizers reported"


def unseen(grade: Grade) -> str:
    """Return a sentence on what the kernel that graded cannot see; empty if it sees all."""
    lacking = [what for option, what in _SEEN_WITH.items() if option not in grade.kernel.features]
    if not lacking:
        return ""
    lists = " and ".join(filter(None, (", ".join(lacking[:-1]), lacking[-1])))
    waiting = sum(map(lacks_feature, checks(grade)))
    # each a sentence of its own, as languages are looked up by the sentence
    told = [
        f"This kernel does not detect {lists}.",
        f"{count(waiting, 'check')} not tried." if waiting else "",
        "The debug kernel does.",
        "`make kernel NAME=debug` builds it once, in some minutes.",
    ]
    return " ".join(filter(None, told))


def lacks_feature(check: CheckResult) -> bool:
    """Say whether a check was left out for want of an option of the kernel."""
    return check.status == "skip" and check.message.startswith(NEEDS_A_KERNEL)


def untried(exercise: ExerciseResult, waits: dict[str, str]) -> dict[str, int]:
    """Return reason -> number of the exercise's checks not tried for it.

    *waits* is what waiting() returned. A check that waits for one of this exercise is left
    out, as it is counted there.
    """
    own = {check.id for check in exercise.checks}
    found: Counter[str] = Counter()
    for check in exercise.checks:
        if lacks_feature(check):
            continue  # that is told once, for all
        if check.status == "skip" and waits.get(check.id) not in own:
            cause = waits.get(check.id)
            reason = f"{cause} did not pass" if cause else one_line(check.message)
            found[reason.removeprefix("not tried because ").rstrip(".")] += 1
    return dict(found)


def next_step(grade: Grade, withheld: Iterable[CheckResult] = (), then: str = "") -> str:
    """Return the one thing to do now, as a sentence or two.

    *withheld* are the checks that shown() took out of *grade*; *then* is what comes after full
    marks: a sentence.
    """
    again = "Run it again. If it fails again, tell your instructor."
    errors = [check for check in checks(grade) if check.status == "error"]
    if broken := grade.status == "error" and next_step_of_errors(errors):
        return broken
    if grade.status == "error":
        return f"You have nothing to fix: the grader itself failed. {again}"
    for exercise in grade.exercises:
        for check in mistakes(exercise)[:1]:
            return _mend(grade, exercise, check)
    if errors:
        return f"You have nothing to fix: this is the grader's fault. {again}"
    if any(check.points < check.max_points for check in withheld):
        return (
            "No check that you can see failed. The missing points belong to checks that are hidden."
        )
    if grade.score < grade.max_score:
        return "Nothing failed, but some checks were not tried. `make check` shows why."
    waiting = [c for e in grade.exercises for c in e.checks if c.message.startswith(NEEDS_A_KERNEL)]
    if waiting:
        waits = "1 check waits" if len(waiting) == 1 else f"{len(waiting)} checks wait"
        marks = f"Full marks on this kernel, {score(grade)} points;"
        waiting_for = f"{waits} for the debug kernel: `make kernel NAME=debug`."
        return " ".join(filter(None, (marks, waiting_for, then)))
    if then:
        return f"Full marks, {score(grade)} points. {then}"
    return f"Full marks, {score(grade)} points. You are done."


def _mend(grade: Grade, exercise: ExerciseResult, check: CheckResult) -> str:
    title = one_line(check.title).rstrip(".")
    stopped = [
        numbers(e for e in grade.exercises if stops(group, e))
        for group in reasons(grade)
        if check in group and stops(group, exercise)
    ]
    if stopped:
        what = f"fix what stops every check of {stopped[0]}."
    elif check.status == "crash":
        what = f'find out what crashes the kernel in exercise {exercise.number}, check "{title}".'
    elif check.status == "timeout":
        what = f'find out what never ends in exercise {exercise.number}, check "{title}".'
    else:
        what = f'make this true in exercise {exercise.number}: "{title}".'
    place = where(grade, check)
    begin = f"Begin at {place}." if place else ""
    then = f"Then check again; `make check EX={exercise.number}` checks only this exercise."
    return " ".join(filter(None, (f"What to do first: {what}", begin, then)))


def where(grade: Grade, check: CheckResult) -> str:
    """Return the file and line to look at first, if the kernel or the compiler named one."""
    for finding in grade.findings:
        if finding.check == check.id and finding.location:
            return one_line(finding.location)
    if errors.first(check.log):  # the next step and this name the same line
        told = re.search(r"(?<![\w/.+-])[\w./+-]+\.[ch]:\d+", check.hint)
        return told[0] if told else errors.first(check.log)
    said = re.search(r"(?<![\w/])[\w.+-]+\.c:\d+", check.message)
    return said[0] if said else ""
