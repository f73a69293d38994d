"""The rules of a course: course.toml -> Course, and every student's attempts -> the mark.

Every key of course.toml is optional; docs/course.md shows each by example. What
is read is checked at once, so that a wrong key stops before anything is graded;
what follows from it is pure: the same rules and the same stored grades make the
same marks, whenever they are asked for.

The grader's trouble is never a student's zero: an attempt without a grade
neither counts nor beats one that has a grade, and a mark that rests on less than
the whole lab says so.
"""

from __future__ import annotations

import difflib
import math
import tomllib
import zoneinfo
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, ValidationError

from checker.classroom.intake.commit import Rule
from checker.engine import collector
from checker.errors import InputError
from checker.model import GRADER_FAILED, Attempt, Entry, Grade, Lab, Mark, Record, Student
from checker.points import rounded, told

Moment = Annotated[datetime, Strict()]  # a date alone would mean its first second
Count = Annotated[int, Strict(), Field(ge=0)]
Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class Penalty(Record):
    """What being late costs: *percent* of the maximum or *points*, for each day or hour begun."""

    per: Literal["day", "hour"] = "day"
    percent: Points | None = None
    points: Points | None = None
    at_most: Points | None = Field(default=None, description="the cap, in percent or points alike")

    def of(self, units: int, maximum: float) -> float:
        """Return the points that *units* days or hours cost, where *maximum* can be earned."""
        rate, scale = (self.percent, maximum / 100) if self.points is None else (self.points, 1.0)
        return (
            min((rate or 0.0) * units, math.inf if self.at_most is None else self.at_most) * scale
        )


class Override(Record):
    """A mark set by hand; it stands whatever is graded again."""

    score: Points = Field(description="the final mark, in points of the lab")
    reason: str = Field(min_length=1)


class Own(Record):
    """What holds for one student alone."""

    due: Moment | None = None
    extra_days: Count | None = Field(default=None, description="after the deadline of all")
    late_days: Count | None = Field(default=None, description="instead of the bank of all")
    override: Override | None = None


class Rules(Record):
    """What course.toml may say."""

    timezone: str | None = Field(default=None, description="Europe/Berlin, as the tz database")
    due: Moment | None = Field(default=None, description="with an offset, or local to timezone")
    grace_minutes: Count = 0
    late: Penalty | None = None
    late_days: Count = Field(default=0, description="the bank: late days that cost nothing")
    holidays: tuple[date, ...] = Field(default=(), description="no late days, in timezone")
    counts: Literal["last", "best", "last_on_time"] = "last"
    commit: str = Field(
        default="files",
        pattern=r"^(files|HEAD|before_due|tag:\S+)$",
        description="what of a git checkout is graded",
    )
    missing: Points | None = Field(
        default=None, description="the mark of who handed in nothing, once the deadline is over"
    )
    group_work: bool = Field(
        default=False, strict=True, description="what one of a group hands in is all members'"
    )
    weights: dict[str, Points] = Field(default={}, description="exercise or check -> factor")
    visible: dict[str, Literal["never", "after_due_date"]] = Field(
        default={}, description="check -> when a student may see it; else always"
    )
    students: dict[str, Own] = Field(default={}, description="key, login, id, ... -> own rules")


class Course(Rules):
    """Rules that fit a lab, and where they stand."""

    path: Path = Field(default=Path("course.toml"), exclude=True)
    worth: dict[str, float] = Field(
        default={}, exclude=True, description="check -> its points, when the rules name checks"
    )


# --- reading it ----------------------------------------------------------------------


def load(path: Path, lab: Lab) -> Course:
    """Read the course.toml at *path*, for *lab*.

    Raises InputError naming the file and the key when it is wrong. The names of
    students are looked at later, by settle().
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    for key in ("weights", "visible"):
        data[key] = _flat(data.get(key, {}))
    try:
        rules = Rules.model_validate(data)
    except ValidationError as error:
        # a key that was misspelt makes another one missing, too
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        why = _unknown(first["loc"]) if first["type"] == "extra_forbidden" else ""
        if key == "commit":
            why = 'it is one of "files", "HEAD", "before_due" and "tag:NAME"'
        raise _wrong(path, key, why or first["msg"]) from error
    numbers = {str(exercise.number) for exercise in lab.exercises}
    named = {*rules.weights, *rules.visible} - numbers
    course = Course(**dict(rules), path=path, worth=collector.worth(lab) if named else {})
    _check_times(course)
    _check_lab(course, lab, numbers)
    return course


def _flat(table: Any) -> Any:
    """Return *table* with ``1.only-syn = 2`` read as it was meant: the quotes are easily left out.

    What is no table stays, for the record to refuse.
    """
    if not isinstance(table, dict):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = value if isinstance(value, dict) else {}
        flat |= {f"{key}.{name}": item for name, item in inner.items()} or {key: value}
    return flat


def _unknown(place: Sequence[int | str]) -> str:
    """Return what is told of a key that no table has: the keys of the table it stands in."""
    tables: dict[str, type[Record]] = {"late": Penalty, "override": Override, "students": Own}
    inside = [str(part) for part in place[:-1] if part in tables]
    table = tables[inside[-1]] if inside else Rules
    where = f"[{'.'.join(map(str, place[:-1]))}]" if inside else "course.toml"
    known = ", ".join(sorted(table.model_fields))
    return f"{_near(str(place[-1]), table.model_fields.keys(), 'key')} {where} takes {known}"


def _wrong(path: Path, key: str, why: str) -> InputError:
    return InputError(f"{path}: the key {key!r} is wrong: {why.rstrip('.')}.")


def _near(name: str, names: Collection[str], what: str) -> str:
    near = difflib.get_close_matches(name, sorted(names))
    return f"there is no {what} {name!r}" + (
        f"; did you mean {' or '.join(near)}?" if near else "."
    )


def _check_times(course: Course) -> None:
    path = course.path
    if course.timezone is not None:
        zones = zoneinfo.available_timezones()
        if course.timezone not in zones:
            raise _wrong(path, "timezone", _near(course.timezone, zones, "time zone"))
    moments = [("due", course.due), *((f"students.{n}.due", o.due) for n, o in _owners(course))]
    for key, moment in moments:
        if moment is None or moment.tzinfo:
            continue
        if course.timezone is None:
            example = f'{moment.isoformat()}+01:00, or timezone = "Europe/Berlin"'
            raise _wrong(path, key, f"it has no time zone; write an offset, {example}")
        zone = zoneinfo.ZoneInfo(course.timezone)
        if _instant(moment, zone).astimezone(zone).replace(tzinfo=None) != moment:
            why = f"clocks in {course.timezone} go forward that night and never show {moment}"
            raise _wrong(path, key, why)
    penalty = course.late
    if penalty and (penalty.percent is None) == (penalty.points is None):
        raise _wrong(path, "late", "it takes either percent or points")
    if course.due is None:
        needing = [f"visible.{i}" for i, when in course.visible.items() if when != "never"]
        needing += [f"students.{n}.extra_days" for n, o in _owners(course) if o.extra_days]
        needing += ["late"] if penalty else []
        needing += ["commit"] if course.commit == "before_due" else []
        if needing:
            raise _wrong(path, needing[0], "it needs a deadline, and the file has no key 'due'")
    for name, own in _owners(course):
        if own.due and own.extra_days is not None:
            raise _wrong(path, f"students.{name}", "it takes either due or extra_days")


def _owners(course: Course) -> Iterable[tuple[str, Own]]:
    return course.students.items()


def _check_lab(course: Course, lab: Lab, numbers: Collection[str]) -> None:
    for id_ in course.weights:
        if id_ not in numbers and id_ not in course.worth:
            names = {*numbers, *course.worth}
            what = "exercise" if id_.isdecimal() else "check"
            raise _wrong(course.path, f"weights.{id_}", _near(id_, names, what))
    for id_ in course.visible:
        if id_ not in course.worth:
            raise _wrong(course.path, f"visible.{id_}", _near(id_, course.worth.keys(), "check"))
    full = maximum(course, lab)
    if full <= 0:
        raise _wrong(course.path, "weights", "nothing of the lab is worth any points")
    if course.missing and course.missing > full:
        why = f"{course.missing:g} is more than the {full:g} points that can be had"
        raise _wrong(course.path, "missing", why)
    for name, own in _owners(course):
        if own.override and own.override.score > full:
            why = f"{own.override.score:g} is more than the {full:g} points that can be had"
            raise _wrong(course.path, f"students.{name}.override.score", why)


# --- when ----------------------------------------------------------------------------


def _instant(local: datetime, zone: tzinfo) -> datetime:
    """Return the instant of a *local* time, in UTC.

    Of one that the clocks show twice it is the later, which is the kinder
    deadline; one that they skip is as much later as they go forward.
    """
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _local(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _zone(course: Course, own: Own) -> tzinfo:
    """Return where days begin and end: in the course's time zone, else in the deadline's."""
    if course.timezone:
        return zoneinfo.ZoneInfo(course.timezone)
    zones = [due.tzinfo for due in (own.due, course.due) if due and due.tzinfo]
    return zones[0] if zones else UTC


def deadline(course: Course, own: Own | None = None) -> datetime | None:
    """Return the deadline, in UTC and without grace, for a student with rules of their *own*."""
    own = own or Own()
    due = own.due or course.due
    if due is None:
        return None
    zone = _zone(course, own)
    due = due.astimezone(UTC) if due.tzinfo else _instant(due, zone)
    if not own.extra_days:
        return due
    return _instant(_local(due, zone) + own.extra_days * _DAY, zone)


def hidden(course: Course, now: datetime, due: datetime | None = None) -> frozenset[str]:
    """Return the ids of the checks that a student must not see at the time *now*.

    *due* is the student's deadline(); without it, that of the last of all
    students, which is right for what the whole class reads. The grace belongs to
    the time before.
    """
    if due is None:
        dues = [deadline(course), *(deadline(course, own) for own in course.students.values())]
        due = max((one for one in dues if one), default=None)
    over = due is not None and now > due + course.grace_minutes * _MINUTE
    return frozenset(id_ for id_, when in course.visible.items() if when == "never" or not over)


@dataclass(frozen=True)
class _Lateness:
    """How late an attempt was: days or hours to pay for, and the sentences on it."""

    on_time: bool = True
    units: int = 0
    notes: tuple[str, ...] = ()


def _lateness(course: Course, own: Own, attempt: Attempt) -> _Lateness:
    due, submitted = deadline(course, own), attempt.submitted
    if submitted is None and attempt.late:
        note = "It was late, and nothing says by how much: no points are taken off for that."
        return _Lateness(on_time=False, notes=(note,))
    if due is None:
        return _Lateness()
    if submitted is None:
        return _Lateness(notes=("Nothing says when it was handed in: it counts as on time.",))
    if submitted <= due + course.grace_minutes * _MINUTE:
        return _Lateness()
    unit = course.late.per if course.late else "day"
    begun, free = (_days if unit == "day" else _hours)(
        due, submitted.astimezone(UTC), _zone(course, own), course.holidays
    )
    notes = [f"It was late by {_count(begun, unit)}; one that has begun counts."]
    if free:
        notes.append(f"{_count(free, unit)} of that on a holiday: not counted.")
    in_a_day = 1 if unit == "day" else 24
    bank = course.late_days if own.late_days is None else own.late_days
    used = min(bank, -(-(begun - free) // in_a_day))
    if used:
        notes.append(f"{_count(used, 'late day')} used, {bank - used} left.")
    units = max(0, begun - free - used * in_a_day)
    return _Lateness(on_time=begun == free, units=units, notes=tuple(notes))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _days(
    due: datetime, submitted: datetime, zone: tzinfo, holidays: Iterable[date]
) -> tuple[int, int]:
    """Return the days begun since *due*, and how many of them are *holidays*.

    A day ends when the clock on the wall shows the deadline's time again, be
    it 23 or 25 hours. It is the day of the date that has most of it.
    """
    start = _local(due, zone)
    days = max(0, (_local(submitted, zone).date() - start.date()).days)
    if submitted > _instant(start + days * _DAY, zone):
        days += 1
    days = max(1, days)
    first = (start - _DAY / 2).date()
    return days, sum(1 <= (holiday - first).days <= days for holiday in set(holidays))


def _hours(
    due: datetime, submitted: datetime, zone: tzinfo, holidays: Iterable[date]
) -> tuple[int, int]:
    """Return the hours begun since *due*, and how many of them are in *holidays* for the most."""
    hours = math.ceil((submitted - due) / _HOUR)
    free = 0
    for holiday in set(holidays):
        midnight = datetime.combine(holiday, time())
        begin, end = (
            math.ceil((_instant(at, zone) - due) / _HOUR - 0.5)
            for at in (midnight, midnight + _DAY)
        )
        free += max(0, min(end, hours) - max(begin, 0))
    return hours, free


# --- points --------------------------------------------------------------------------


def maximum(course: Course, lab: Lab) -> float:
    """Return what all of *lab* is worth by the weights of *course*, on a kernel that sees all."""
    weights = course.weights
    return round(
        sum(
            weights.get(str(exercise.number), 1.0)
            * (
                exercise.points
                + sum(
                    (weight - 1) * course.worth[id_]
                    for id_, weight in weights.items()
                    if id_.startswith(f"{exercise.number}.")
                )
            )
            for exercise in lab.exercises
        ),
        6,
    )


def weigh(course: Course, grade: Grade) -> Grade:
    """Return *grade* with the points of every check, and so of all sums, by the weights."""
    exercises = []
    for exercise in grade.exercises:
        factor = course.weights.get(str(exercise.number), 1.0)
        checks = []
        for check in exercise.checks:
            weight = factor * course.weights.get(check.id, 1.0)
            new = {key: round(getattr(check, key) * weight, 6) for key in ("points", "max_points")}
            checks.append(check.model_copy(update=new))
        sums = _sums((c.points, c.max_points) for c in checks)
        exercises.append(exercise.model_copy(update={"checks": tuple(checks), **sums}))
    sums = _sums((e.score, e.max_score) for e in exercises)
    return grade.model_copy(update={"exercises": tuple(exercises), **sums})


def _sums(pairs: Iterable[tuple[float, float]]) -> dict[str, float]:
    had, could = zip(*pairs, strict=True) if (pairs := list(pairs)) else ((), ())
    return {"score": round(sum(had), 6), "max_score": round(sum(could), 6)}


def _ungraded(course: Course, lab: Lab, attempt: Attempt) -> str:
    """Return why *attempt* has no grade that can make a mark; empty when it has one."""
    grade = attempt.grade
    if grade is None:
        return attempt.problem or "It was not graded."
    if grade.status == "error":
        said = " ".join(grade.message.split()) or "it did not say why."
        return f"{GRADER_FAILED}, which costs no points: {said}"
    done = {exercise.number for exercise in grade.exercises}
    left = [
        str(e.number)
        for e in lab.exercises
        if e.number not in done and course.weights.get(str(e.number), 1.0)
    ]
    if left:
        return f"Not all of it was graded: exercise {', '.join(left)} is missing."
    if not weigh(course, grade).max_score:
        return "The kernel that graded could check nothing of it."
    return ""


def _mark(course: Course, lab: Lab, own: Own, attempt: Attempt) -> Mark:
    """Return the mark that *attempt*, which is graded, would have if it were the one to count."""
    assert attempt.grade is not None
    grade = weigh(course, attempt.grade)
    full = maximum(course, lab)
    raw = rounded(grade.score / grade.max_score * full)
    notes = [f"Commit {attempt.commit} was graded."] if attempt.commit else []
    if not math.isclose(raw, grade.score, abs_tol=0.005):
        had, could = told(grade.score), told(grade.max_score)
        notes.append(
            f"The kernel {grade.kernel.name} could check {could} of {told(full)} points: "
            f"{had} of {could} counts as {told(raw)} of {told(full)}."
        )
    late = _lateness(course, own, attempt)
    notes += late.notes
    penalty = 0.0
    if course.late and late.units:
        penalty = min(raw, rounded(course.late.of(late.units, full)))
        notes.append(f"{told(penalty)} of {told(full)} points are taken off.")
    return Mark(
        raw=raw,
        penalty=penalty,
        final=rounded(raw - penalty),
        max_score=full,
        notes=tuple(notes),
    )


# --- which attempt counts ------------------------------------------------------------


def settle(
    course: Course,
    lab: Lab,
    students: Sequence[Student],
    attempts: Iterable[Attempt],
    *,
    roster: bool = False,
    now: datetime | None = None,
) -> list[Entry]:
    """Return an entry for each of *students*, in their order, from all *attempts*.

    The grades of the attempts that count have their points by the weights.
    Where all attempts of a student have a time, they count in that order, else
    as they are given. An attempt that could not be graded counts only where
    there is no other; then there is no mark, and the attempt's problem says why. *now*
    decides whose deadline is over.

    Raises InputError naming the key when a name in course.toml fits two
    students or, with *roster*, none; KeyError for an attempt of nobody.
    """
    students = list(students)
    own = own_rules(course, students, roster=roster)
    found: dict[str, list[Attempt]] = {student.key: [] for student in students}
    for attempt in attempts:
        found[attempt.student].append(attempt)
    now = now or datetime.now(UTC)
    if hidden(course, now):
        found = {key: list(map(_discreet, of)) for key, of in found.items()}
    return [_entry(course, lab, s, own.get(s.key, Own()), found[s.key], now=now) for s in students]


def _discreet(attempt: Attempt) -> Attempt:
    """Return *attempt* without the grader's own words: they may be about a hidden check."""
    if not attempt.problem.startswith(GRADER_FAILED):
        return attempt
    return attempt.model_copy(update={"problem": f"{GRADER_FAILED}, which costs no points."})


def own_rules(
    course: Course, students: Sequence[Student], *, roster: bool = False
) -> Mapping[str, Own]:
    """Return student key -> what course.toml says of that student alone; see settle()."""
    keys = {student.key for student in students}
    found: dict[str, Own] = {}
    names: dict[str, str] = {}
    for name, own in course.students.items():
        fits = [name] if name in keys else [s.key for s in students if name in _names(s)]
        if len(fits) > 1:
            why = f"it fits the students {' and '.join(fits)}; name the one that is meant so"
            raise _wrong(course.path, f"students.{name}", why)
        if not fits:
            if roster:
                known = keys.union(*map(_names, students))
                raise _wrong(course.path, f"students.{name}", _near(name, known, "student"))
            continue
        if fits[0] in found:
            why = f"students.{names[fits[0]]} is the same student; put both into one table"
            raise _wrong(course.path, f"students.{name}", why)
        found[fits[0]] = own
        names[fits[0]] = name
    return found


def _names(student: Student) -> set[str]:
    return {student.login, student.id, student.sis_id, student.email} - {""}


def _entry(
    course: Course,
    lab: Lab,
    student: Student,
    own: Own,
    attempts: list[Attempt],
    *,
    now: datetime,
) -> Entry:
    times = [attempt.submitted.timestamp() for attempt in attempts if attempt.submitted]
    if len(times) == len(attempts):
        attempts = [attempts[n] for n in sorted(range(len(times)), key=times.__getitem__)]
    why = [_ungraded(course, lab, attempt) for attempt in attempts]
    graded = [n for n, reason in enumerate(why) if not reason]
    attempt: Attempt | None = None
    mark: Mark | None = None
    if graded:
        marks = {n: _mark(course, lab, own, attempts[n]) for n in graded}
        chosen, notes = _choose(course, own, attempts, marks)
        notes += [
            f"Another attempt{_label(attempts[n])} has no grade and does not count: {reason}"
            for n, reason in enumerate(why)
            if reason and (n > chosen or course.counts == "best")
        ]
        attempt, mark = attempts[chosen], marks[chosen]
        better = max(marks, key=lambda n: marks[n].final)
        if marks[better].final > mark.final:
            notes.append(
                f"Another attempt{_label(attempts[better])} had more: "
                f"{told(marks[better].final)} of {told(mark.max_score)}."
            )
        mark = mark.model_copy(update={"notes": (*mark.notes, *notes)})
    elif attempts:
        attempt = attempts[-1].model_copy(update={"problem": why[-1]})
    elif course.missing is not None and _over(course, own, now):
        mark = Mark(
            raw=course.missing,
            penalty=0,
            final=course.missing,
            max_score=maximum(course, lab),
            notes=("Nothing was handed in.",),
            missing=True,
        )
    if own.override:
        mark = _set(own.override, mark, maximum(course, lab))
    if course.weights and attempt and attempt.grade:  # one truth for pages, exports and marks
        attempt = attempt.model_copy(update={"grade": weigh(course, attempt.grade)})
    return Entry(student=student, attempt=attempt, mark=mark)


def _label(attempt: Attempt) -> str:
    return f" ({attempt.label})" if attempt.label else ""


def _over(course: Course, own: Own, now: datetime) -> bool:
    """Say whether the deadline and its grace are over; where there is none, they are."""
    due = deadline(course, own)
    return due is None or now > due + course.grace_minutes * _MINUTE


def commits(course: Course, students: Sequence[Student]) -> dict[str, Rule]:
    """Return which commit of a student's checkout is graded, by key; of nobody: the files are."""
    if course.commit == "files":
        return {}
    own = own_rules(course, students)
    rules = {}
    for student in students:
        due = deadline(course, own.get(student.key))
        until = due + course.grace_minutes * _MINUTE if due else None
        _, _, tag = course.commit.partition("tag:")
        rules[student.key] = Rule(tag, until if course.commit == "before_due" else None)
    return rules


def _choose(
    course: Course, own: Own, attempts: Sequence[Attempt], marks: Mapping[int, Mark]
) -> tuple[int, list[str]]:
    """Return which of *attempts* counts, of those that have *marks*, and what is to be said."""
    if course.counts == "best":  # of equals the first: no one is later than need be
        return max(marks, key=lambda n: marks[n].final), []
    last = max(marks)
    if course.counts == "last":
        return last, []
    on_time = [n for n in marks if _lateness(course, own, attempts[n]).on_time]
    return (max(on_time), []) if on_time else (last, ["Nothing was handed in on time."])


def _set(override: Override, mark: Mark | None, full: float) -> Mark:
    """Return *mark* with the final score set by hand; raw and penalty stay as they were."""
    final = override.score
    mark = mark or Mark(raw=final, penalty=0, final=final, max_score=full)
    note = f"Set to {told(final)} points by hand: {override.reason}"
    return mark.model_copy(update={"final": final, "notes": (*mark.notes, note)})
