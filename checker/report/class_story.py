"""What the grades of a class have to say together. Pure.

An entry that has no grade, or one that is the grader's own error, says nothing about a
check, and without a mark nothing about the distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from checker.model import CheckResult, Entry, Grade
from checker.report.story import WORDS, checks, lacks_feature
from checker.report.student_page import why_no_grade
from checker.report.text import points

BINS = 10
"""Of the histogram: each is ten percent wide, and the last holds full marks as well."""


@dataclass(frozen=True)
class Figures:
    """A class in a few numbers; scores are percents of what could be earned."""

    students: int
    marked: int
    """So many have a mark."""
    full: int
    """So many have full marks, or more."""
    mean: float | None
    median: float | None


@dataclass(frozen=True)
class Rate:
    """One check, and what became of it in the grades of the class."""

    check: CheckResult
    """It as one of the grades has it, for its id and title."""
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> int:
        """How many passed it."""
        return sum(result.status == "pass" for result in self.results)

    @property
    def percent(self) -> float:
        """Passed, of all those for whom it counts; one that was not tried did not pass."""
        return 100 * self.passed / len(self.results)


@dataclass(frozen=True)
class Common:
    """A kind of finding, with those whose modules caused it."""

    kind: str
    example: str
    """The sentence that most of them were told."""
    entries: tuple[Entry, ...]


def percent(entry: Entry) -> float | None:
    """Return the final score in percent of the most, 0 to 100; None without a mark.

    A bonus does not lift it above 100.
    """
    if entry.mark is None or not entry.mark.max_score:
        return None
    return min(100.0, max(0.0, 100 * entry.mark.final / entry.mark.max_score))


def figures(entries: Sequence[Entry]) -> Figures:
    """Return *entries* in a few numbers."""
    scores = [score for score in map(percent, entries) if score is not None]
    return Figures(
        students=len(entries),
        marked=len(scores),
        full=sum(score == 100 for score in scores),
        mean=mean(scores) if scores else None,
        median=median(scores) if scores else None,
    )


def maximum(entries: Iterable[Entry]) -> str:
    """Return the most points that a mark can have, "100"; empty without a mark."""
    return " or ".join(sorted({points(e.mark.max_score) for e in entries if e.mark}))


def histogram(entries: Iterable[Entry]) -> list[int]:
    """Return how many final scores lie in each tenth, from 0 to 100 percent."""
    scores = [score for score in map(percent, entries) if score is not None]
    found = Counter(min(int(score * BINS / 100), BINS - 1) for score in scores)
    return [found[n] for n in range(BINS)]


def grade_of(entry: Entry) -> Grade | None:
    """Return the grade of *entry*, be it graded or the grader's error; None without one."""
    return entry.attempt.grade if entry.attempt else None


def graded(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Grade]]:
    """Yield the entries whose grade says something about the student."""
    for entry in entries:
        grade = grade_of(entry)
        if grade and grade.status == "graded":
            yield entry, grade


def scores(entry: Entry) -> dict[int, float]:
    """Return the points of each exercise by its number; of an entry without a grade none."""
    return {e.number: e.score for _, grade in graded([entry]) for e in grade.exercises}


def without_grade(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that an instructor has to look after."""
    fine = {entry.student.key for entry, _ in graded(entries)}
    return [entry for entry in entries if entry.student.key not in fine]


def rates(entries: Iterable[Entry]) -> list[Rate]:
    """Return each check of the class's grades, by exercise, and what became of it.

    A check that the kernel could not do, or that is the grader's error, does not count.
    """
    found: dict[tuple[int, str], list[CheckResult]] = {}
    for _, grade in graded(entries):
        for exercise in grade.exercises:
            for check in exercise.checks:
                if check.status != "error" and not lacks_feature(check):
                    found.setdefault((exercise.number, check.id), []).append(check)
    # stable: within an exercise, checks stay in their order
    by_exercise = sorted(found.items(), key=lambda item: item[0][0])
    return [Rate(results[0], tuple(results)) for _, results in by_exercise]


def common_findings(entries: Iterable[Entry]) -> list[Common]:
    """Return the kinds of what the kernel reported, those of most students first."""
    who: dict[str, dict[str, Entry]] = {}
    said: dict[str, Counter[str]] = {}
    for entry in entries:
        grade = grade_of(entry)
        for finding in grade.findings if grade else ():
            who.setdefault(finding.kind, {})[entry.student.key] = entry
            said.setdefault(finding.kind, Counter())[finding.summary] += 1
    found = [
        Common(kind, said[kind].most_common(1)[0][0], tuple(students.values()))
        for kind, students in who.items()
    ]
    return sorted(found, key=lambda common: (-len(common.entries), common.kind))


def slowest(entries: Iterable[Entry], most: int = 10) -> list[tuple[Entry, float]]:
    """Return the entries whose runs took the most wall seconds, with these, slowest first."""
    runs = [(entry, g.provenance.seconds) for entry in entries if (g := grade_of(entry))]
    return sorted(runs, key=lambda run: -run[1])[:most]


def retried(entries: Iterable[Entry], runs: Mapping[str, int]) -> list[tuple[Entry, int]]:
    """Return the entries that were run more than once, with how often; *runs*: key -> that."""
    found = [(entry, runs.get(entry.student.key, 1)) for entry in entries]
    return sorted((one for one in found if one[1] > 1), key=lambda one: -one[1])


def state(entry: Entry) -> str:
    """Return what became of *entry*, in a word or a sentence."""
    grade = grade_of(entry)
    if grade is None:
        return why_no_grade(entry)
    if grade.status == "error":
        return f"Grader error: {grade.message or 'it gave no reason'}"
    errors = sum(check.status == "error" for check in checks(grade))
    return f"graded, but {errors} {WORDS['error']}" if errors else "graded"


def kernels(entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """Return the kernels that graded, "debug 6.1.0", with how many entries each."""
    found = Counter(
        f"{grade.kernel.name} {grade.kernel.release}"
        for entry in entries
        if (grade := grade_of(entry))
    )
    return found.most_common()
