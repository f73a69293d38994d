"""The rules of a course: what course.toml may say, and which mark comes of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from classes import grade as recorded
from support import ROOT

from checker.classroom import course as courses
from checker.classroom.course import Course, Override, Own, Penalty
from checker.classroom.export.entries import result
from checker.classroom.intake.commit import Rule
from checker.engine import collector
from checker.errors import InputError, LabError
from checker.model import (
    NEEDS_A_KERNEL,
    Attempt,
    CheckResult,
    Entry,
    ExerciseResult,
    Grade,
    Lab,
    Mark,
    Student,
)

ADA = Student(key="ada-1", name="Ada", login="ada", id="4711", sis_id="s-1", email="ada@x.org")
BOB = Student(key="bob-2", name="Bob", login="bob", id="4712")
DUE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
TEN_A_DAY = Penalty(percent=10)
NOW = datetime(2026, 12, 1, tzinfo=UTC)

Load = Callable[[str], Course]
read_worth = functools.cache(collector.worth)


@pytest.fixture
def load(tmp_path: Path, lab: Lab) -> Load:
    """Read a text as the course.toml of the networking lab."""

    def read(text: str) -> Course:
        path = tmp_path / "course.toml"
        path.write_text(text)
        return courses.load(path, lab)

    return read


def graded(
    lab: Lab,
    lost: Collection[str] = (),
    *,
    unseen: Collection[str] = (),
    exercises: Collection[int] = range(1, 6),
) -> Grade:
    """Return a grade that has *lost* some checks, on a kernel that cannot do those *unseen*."""
    worth = read_worth(lab)
    results = []
    for exercise in lab.exercises:
        checks = tuple(
            CheckResult(
                id=id_,
                title="A sentence.",
                status="skip" if id_ in unseen else "fail" if id_ in lost else "pass",
                points=0 if id_ in lost or id_ in unseen else points,
                max_points=0 if id_ in unseen else points,
                message=f"{NEEDS_A_KERNEL} FAILSLAB" if id_ in unseen else "",
            )
            for id_, points in worth.items()
            if id_.startswith(f"{exercise.number}.")
        )
        results.append(
            ExerciseResult(
                number=exercise.number,
                title=exercise.title,
                score=sum(c.points for c in checks),
                max_score=sum(c.max_points for c in checks),
                checks=checks,
            )
        )
    results = [r for r in results if r.number in exercises]
    return recorded("full").model_copy(
        update={
            "score": sum(r.score for r in results),
            "max_score": sum(r.max_score for r in results),
            "exercises": tuple(results),
        }
    )


def attempt(
    lab: Lab,
    submitted: datetime | None,
    *lost: str,
    label: str = "",
    late: bool | None = None,
    **changes: Any,
) -> Attempt:
    """Return a graded attempt of Ada's that has *lost* some checks."""
    given = {"grade": graded(lab, lost), **changes}
    return Attempt(student=ADA.key, submitted=submitted, label=label, late=late, **given)


def settle(lab: Lab, course: Course, *attempts: Attempt) -> Entry:
    """Return the entry of Ada, who is the only student."""
    (entry,) = courses.settle(course, lab, [ADA], attempts)
    return entry


def mark(lab: Lab, course: Course, *attempts: Attempt) -> Mark:
    """Return Ada's mark."""
    got = settle(lab, course, *attempts).mark
    assert got is not None
    assert got.final >= 0
    return got


# --- without rules -------------------------------------------------------------------


def test_an_empty_file_has_no_rules(load: Load, lab: Lab) -> None:
    """Then the last attempt counts as it was graded, whenever it came."""
    first, second = (
        attempt(lab, DUE + n * DAY, *lost) for n, lost in [(0, ()), (9, ["5.released"])]
    )
    got = mark(lab, load(""), second, first)
    notes = ("Another attempt had more: 100 of 100.",)
    assert got == Mark(raw=97, penalty=0, final=97, max_score=100, notes=notes)


def test_every_student_has_an_entry(lab: Lab) -> None:
    """Who handed in nothing has neither attempt nor mark; the order is that of the students."""
    bob, ada = courses.settle(Course(), lab, [BOB, ADA], [attempt(lab, DUE)])
    assert (bob.student, bob.attempt, bob.mark) == (BOB, None, None)
    assert (ada.student, ada.mark and ada.mark.final) == (ADA, 100)


def test_an_attempt_of_nobody_is_refused(lab: Lab) -> None:
    """Nothing that was handed in is silently left out."""
    with pytest.raises(KeyError):
        courses.settle(Course(), lab, [BOB], [attempt(lab, DUE)])


# --- the deadline --------------------------------------------------------------------

LATENESS = [
    (-DAY, 0),
    (timedelta(0), 0),
    (SECOND, 10),
    (DAY, 10),
    (DAY + SECOND, 20),
    (3 * DAY, 30),
    (400 * DAY, 100),
]


@pytest.mark.parametrize(("after", "penalty"), LATENESS, ids=str)
def test_each_day_begun_costs(after: timedelta, penalty: float, lab: Lab) -> None:
    """At the deadline nothing is lost, a second later a day's worth; never more than there is."""
    got = mark(lab, Course(due=DUE, late=TEN_A_DAY), attempt(lab, DUE + after))
    assert (got.raw, got.penalty, got.final) == (100, penalty, 100 - penalty)
    assert bool(got.notes) == bool(penalty)


def test_a_penalty_is_of_the_maximum_and_never_below_zero(lab: Lab) -> None:
    """Ten percent of 100 points, whatever was earned; at most what was earned."""
    weak = tuple(i for i in read_worth(lab) if i != "1.outgoing-syn")
    course = Course(due=DUE, late=TEN_A_DAY)
    assert mark(lab, course, attempt(lab, DUE + HOUR, "5.released")).final == 87
    got = mark(lab, course, attempt(lab, DUE + HOUR, *weak))
    assert (got.raw, got.penalty, got.final) == (4, 4, 0)


def test_hours_and_points_and_the_cap(lab: Lab) -> None:
    """A penalty can be for each hour, in points, and ends at a cap of the same kind."""
    course = Course(due=DUE, late=Penalty(per="hour", points=1.5, at_most=6))
    penalties = [
        mark(lab, course, attempt(lab, DUE + after)).penalty
        for after in (timedelta(0), SECOND, HOUR, HOUR + SECOND, 4 * HOUR, 5 * HOUR, 99 * HOUR)
    ]
    assert penalties == [0, 1.5, 1.5, 3, 6, 6, 6]
    capped = Course(due=DUE, late=Penalty(percent=10, at_most=25))
    assert mark(lab, capped, attempt(lab, DUE + 9 * DAY)).penalty == 25


def test_grace_ends_and_then_all_of_the_time_counts(lab: Lab) -> None:
    """To the last second of the grace nothing is lost; after it, lateness is from the deadline."""
    course = Course(due=DUE, grace_minutes=15, late=Penalty(per="hour", percent=5))
    assert mark(lab, course, attempt(lab, DUE + 15 * MINUTE)).penalty == 0
    assert mark(lab, course, attempt(lab, DUE + 15 * MINUTE + SECOND)).penalty == 5
    assert mark(lab, course, attempt(lab, DUE + 60 * MINUTE)).penalty == 5
    assert mark(lab, course, attempt(lab, DUE + 60 * MINUTE + SECOND)).penalty == 10


def test_other_offsets_are_the_same_instant(load: Load, lab: Lab) -> None:
    """A local deadline, one with an offset and a time in UTC mean what they say."""
    local = load('timezone = "Europe/Berlin"\ndue = 2026-11-20T13:00:00\nlate.percent = 10')
    offset = load("due = 2026-11-20T21:00:00+09:00\nlate.percent = 10")
    for course in (local, offset):
        assert courses.deadline(course) == DUE
        assert mark(lab, course, attempt(lab, DUE)).penalty == 0
        assert mark(lab, course, attempt(lab, DUE + SECOND)).penalty == 10


# --- daylight saving -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "on_time"),
    [
        ("2026-03-28T18:00:00", "2026-03-29T16:00:00Z"),  # 23 hours: clocks go forward
        ("2026-10-24T18:00:00", "2026-10-25T17:00:00Z"),  # 25 hours: they go back
        ("2026-03-28T02:30:00", "2026-03-29T01:30:00Z"),  # the next 02:30 is skipped: 03:30
        ("2026-10-24T02:30:00", "2026-10-25T01:30:00Z"),  # it comes twice: the second
    ],
)
def test_a_day_is_from_clock_to_clock(due: str, on_time: str, load: Load, lab: Lab) -> None:
    """The first late day ends when the clock shows the same time again, however long it was."""
    course = load(f'timezone = "Europe/Berlin"\ndue = {due}\nlate.percent = 10')
    end = datetime.fromisoformat(on_time)
    assert mark(lab, course, attempt(lab, end)).penalty == 10
    assert mark(lab, course, attempt(lab, end + SECOND)).penalty == 20


def test_hours_are_hours_when_the_clocks_change(load: Load, lab: Lab) -> None:
    """From 01:00 to 04:00 there are two hours in the night the clocks go forward."""
    rules = 'timezone = "Europe/Berlin"\ndue = 2026-03-29T01:00:00\nlate.per = "hour"\n'
    course = load(rules + "late.points = 1")
    end = datetime.fromisoformat("2026-03-29T04:00:00+02:00")
    assert mark(lab, course, attempt(lab, end)).penalty == 2


def test_of_a_time_that_comes_twice_the_later_is_meant(load: Load) -> None:
    """02:30 in the night the clocks go back is the kinder one, unless an offset says else."""
    rules = 'timezone = "Europe/Berlin"\ndue = 2026-10-25T02:30:00'
    assert courses.deadline(load(rules)) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    first = courses.deadline(load(f"{rules}+02:00"))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_late_is_late_between_two_equal_times(load: Load, lab: Lab) -> None:
    """With the first 02:30 as the deadline, 02:45 before the clocks go back is a day late."""
    rules = 'timezone = "Europe/Berlin"\ndue = 2026-10-25T02:30:00+02:00\nlate.percent = 10'
    submitted = datetime.fromisoformat("2026-10-25T02:45:00+02:00")
    assert mark(lab, load(rules), attempt(lab, submitted)).penalty == 10


# --- holidays and late days ----------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "submitted", "days", "free"),
    [
        ("2026-12-23T23:59:00", "2026-12-24T18:00:00", 0, 1),  # on the holiday
        ("2026-12-23T23:59:00", "2026-12-26T23:59:00", 0, 3),  # the end of the last one
        ("2026-12-23T23:59:00", "2026-12-27T00:00:00", 1, 3),
        ("2026-12-22T23:59:00", "2026-12-27T12:00:00", 2, 3),  # the holidays inside
        ("2026-12-26T23:59:00", "2026-12-27T12:00:00", 1, 0),  # those before are no help
        ("2026-12-23T00:00:00", "2026-12-23T12:00:00", 1, 0),
        ("2026-12-24T00:00:00", "2026-12-24T12:00:00", 0, 1),
        ("2026-12-23T08:00:00", "2026-12-24T07:00:00", 1, 0),  # most of that day is the 23rd
        ("2026-12-23T08:00:00", "2026-12-24T09:00:00", 1, 1),
    ],
)
def test_holidays_are_no_late_days(
    due: str, submitted: str, *, days: int, free: int, load: Load, lab: Lab
) -> None:
    """A day that is for the most part a holiday is not counted, and said to be one."""
    course = load(
        f'timezone = "Europe/Berlin"\ndue = {due}\nlate.points = 1\n'
        "holidays = [2026-12-24, 2026-12-25, 2026-12-26, 2026-12-24]"
    )
    when = datetime.fromisoformat(f"{submitted}+01:00")
    got = mark(lab, course, attempt(lab, when))
    assert got.penalty == days
    told = re.search(r"(\d) days? of that on a holiday", " ".join(got.notes))
    assert int(told[1] if told else 0) == free


def test_hours_of_a_holiday_do_not_count(load: Load, lab: Lab) -> None:
    """By the hour, a holiday takes 24 of them away, in the course's time zone."""
    course = load(
        'timezone = "Europe/Berlin"\ndue = 2026-12-23T20:00:00\nholidays = [2026-12-24]\n'
        'late = { per = "hour", points = 1 }'
    )
    hours = [
        mark(lab, course, attempt(lab, datetime.fromisoformat(f"2026-12-{at}+01:00"))).penalty
        for at in ("23T23:00:00", "24T00:00:00", "24T13:00:00", "25T00:00:00", "25T00:00:01")
    ]
    assert hours == [3, 4, 4, 4, 5]


@pytest.mark.parametrize(
    ("bank", "days", "penalty", "said"),
    [
        (0, 2, 20, "used"),
        (3, 2, 0, "2 late days used, 1 left"),
        (2, 2, 0, "2 late days used, 0 left"),
        (1, 2, 10, "1 late day used, 0 left"),
        (9, 0, 0, "used"),
    ],
)
def test_late_days_are_used_first(
    bank: int, days: int, penalty: float, said: str, lab: Lab
) -> None:
    """The bank pays for days as long as it lasts; the note says what is left."""
    course = Course(due=DUE, late=TEN_A_DAY, late_days=bank)
    got = mark(lab, course, attempt(lab, DUE + days * DAY))
    assert got.penalty == penalty
    assert (said in " ".join(got.notes)) == (bank > 0 and days > 0)


def test_a_late_day_is_not_spent_on_a_holiday(load: Load, lab: Lab) -> None:
    """Of three days late one is a holiday and one paid for by the bank: one costs."""
    course = load(
        "due = 2026-12-23T23:59:00Z\nholidays = [2026-12-25]\nlate_days = 1\nlate.percent = 10"
    )
    got = mark(lab, course, attempt(lab, datetime(2026, 12, 26, 20, tzinfo=UTC)))
    assert got.penalty == 10
    assert "1 day of that on a holiday" in " ".join(got.notes)


def test_a_late_day_is_24_hours(lab: Lab) -> None:
    """Where hours cost, a late day pays for 24 of them, begun or not."""
    course = Course(due=DUE, late=Penalty(per="hour", points=1), late_days=1)
    assert mark(lab, course, attempt(lab, DUE + 24 * HOUR)).penalty == 0
    assert mark(lab, course, attempt(lab, DUE + 26 * HOUR)).penalty == 2
    two = Course(due=DUE, late=Penalty(per="hour", points=1), late_days=2)
    assert mark(lab, two, attempt(lab, DUE + 26 * HOUR)).penalty == 0


def test_a_student_may_have_another_bank(lab: Lab) -> None:
    """What one student has left stands in that student's table."""
    course = Course(due=DUE, late=TEN_A_DAY, late_days=5, students={"ada": Own(late_days=1)})
    assert mark(lab, course, attempt(lab, DUE + 2 * DAY)).penalty == 10


def test_an_hour_of_two_dates_is_of_the_one_with_more_of_it(load: Load, lab: Lab) -> None:
    """The hour from 23:45 to 00:45 is the holiday's, that from 23:15 to 00:15 is not."""
    for minute, hours in (("45", 3), ("15", 4)):
        course = load(
            f'timezone = "Europe/Berlin"\ndue = 2026-12-23T20:{minute}:00\n'
            'holidays = [2026-12-24]\nlate = { per = "hour", points = 1 }'
        )
        submitted = datetime.fromisoformat("2026-12-23T23:50:00+01:00")
        assert mark(lab, course, attempt(lab, submitted)).penalty == hours


def test_on_a_holiday_is_on_time_and_with_a_late_day_is_not(load: Load, lab: Lab) -> None:
    """Where only what is on time counts, a holiday moves the deadline, a late day does not."""
    rules = 'due = 2026-12-23T23:59:00Z\ncounts = "last_on_time"\n'
    early = attempt(lab, datetime(2026, 12, 23, 12, tzinfo=UTC), label="early")
    holiday = attempt(lab, datetime(2026, 12, 24, 12, tzinfo=UTC), label="holiday")
    for more, label in (("holidays = [2026-12-24]", "holiday"), ("late_days = 1", "early")):
        entry = settle(lab, load(rules + more), early, holiday)
        assert entry.attempt and entry.attempt.label == label


# --- extensions ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada-1", "ada", "4711", "s-1", "ada@x.org"])
def test_an_extension_is_for_one_student(name: str, load: Load, lab: Lab) -> None:
    """A new deadline counts for the student whom key, login, id or address names."""
    course = load(
        "due = 2026-11-20T12:00:00Z\nlate.percent = 10\n"
        f'[students."{name}"]\ndue = 2026-11-25T12:00:00Z'
    )
    attempts = [
        attempt(lab, DUE + 5 * DAY),
        attempt(lab, DUE + 5 * DAY).model_copy(update={"student": BOB.key}),
    ]
    ada, bob = courses.settle(course, lab, [ADA, BOB], attempts)
    assert ada.mark and ada.mark.penalty == 0
    assert bob.mark and bob.mark.penalty == 50
    assert mark(lab, course, attempt(lab, DUE + 5 * DAY + SECOND)).penalty == 10


def test_extra_days_end_at_the_same_time_of_day(load: Load, lab: Lab) -> None:
    """Over the night that the clocks change, two more days end at 18:00 as well."""
    course = load(
        'timezone = "Europe/Berlin"\ndue = 2026-03-28T18:00:00\nlate.percent = 10\n'
        "[students.ada]\nextra_days = 2"
    )
    end = datetime.fromisoformat("2026-03-30T18:00:00+02:00")
    assert courses.deadline(course, course.students["ada"]) == end
    assert mark(lab, course, attempt(lab, end)).penalty == 0
    assert mark(lab, course, attempt(lab, end + SECOND)).penalty == 10


def test_a_deadline_of_one_student_alone(lab: Lab) -> None:
    """Where only one student has a deadline, the others are never late."""
    course = Course(students={"ada": Own(due=DUE)}, late_days=1)
    assert "1 late day used" in " ".join(mark(lab, course, attempt(lab, DUE + HOUR)).notes)


# --- which attempt counts ------------------------------------------------------------


def three(lab: Lab) -> list[Attempt]:
    """Return an attempt of 80 points on time, one of 97 a day late, one of 100 five days late."""
    weak = ("5.datagram", "5.exactly-one", "5.twice", "5.send-fails", "5.port-taken",
            "5.sends", "5.arrives", "5.released", "5.clean-reload", "5.error-paths",
            "5.healthy")  # fmt: skip
    return [
        attempt(lab, DUE + 5 * DAY, label="third"),
        attempt(lab, DUE - HOUR, *weak, label="first"),
        attempt(lab, DUE + DAY, "5.released", label="second"),
    ]


@pytest.mark.parametrize(
    ("counts", "label", "final"),
    [("last", "third", 50), ("best", "second", 87), ("last_on_time", "first", 80)],
)
def test_which_attempt_counts(counts: Any, label: str, final: float, lab: Lab) -> None:
    """The last, the best after penalties, or the last that was on time."""
    entry = settle(lab, Course(due=DUE, late=TEN_A_DAY, counts=counts), *three(lab))
    assert entry.attempt and entry.attempt.label == label
    assert entry.mark and entry.mark.final == final


def test_a_worse_last_attempt_says_that_another_had_more(lab: Lab) -> None:
    """The last counts; that an earlier one had more is for the instructor to know."""
    entry = settle(lab, Course(due=DUE, late=TEN_A_DAY), *three(lab))
    assert entry.mark and "Another attempt (second) had more: 87 of 100." in entry.mark.notes
    entry = settle(lab, Course(due=DUE, late=TEN_A_DAY, counts="best"), *three(lab))
    assert entry.mark and not any("had more" in note for note in entry.mark.notes)


@pytest.mark.parametrize(
    ("course", "now", "final"),
    [
        (Course(), DUE, None),
        (Course(missing=0), DUE, 0),
        (Course(missing=0, due=DUE, grace_minutes=5), DUE + 5 * MINUTE, None),
        (Course(missing=0, due=DUE, grace_minutes=5), DUE + 6 * MINUTE, 0),
        (Course(missing=2.5, due=DUE, students={"ada": Own(extra_days=1)}), DUE + HOUR, None),
        (Course(missing=2.5, due=DUE, students={"ada": Own(extra_days=1)}), DUE + 2 * DAY, 2.5),
    ],
)
def test_who_handed_in_nothing_has_the_mark_of_the_rules(
    course: Course, now: datetime, final: float | None, lab: Lab
) -> None:
    """Once the student's own deadline is over; a zero of this kind is exported like a grade."""
    (entry,) = courses.settle(course, lab, [ADA], [], now=now)
    assert (entry.mark.final if entry.mark else None) == final
    assert result(entry) == (None if final is None else (final, 100))
    if entry.mark:
        assert entry.mark.notes == ("Nothing was handed in.",)


def test_the_graders_trouble_is_not_the_rules_zero(lab: Lab) -> None:
    """Who handed in what could not be graded did hand in something."""
    broken = Attempt(student=ADA.key, problem="ada.zip is broken.")
    (entry,) = courses.settle(Course(missing=0), lab, [ADA], [broken])
    assert entry.mark is None


def test_which_commit_was_graded_is_said(lab: Lab) -> None:
    """The mark names it, where a checkout was handed in."""
    one = attempt(lab, DUE).model_copy(update={"commit": "1a2b3c4 of 2026-11-20 21:30 +0100"})
    got = mark(lab, Course(due=DUE), one)
    assert got.notes == ("Commit 1a2b3c4 of 2026-11-20 21:30 +0100 was graded.",)


def test_rules_for_commits() -> None:
    """The tag, HEAD, or the last one until the student's own deadline and its grace."""
    eve = Student(key="eve")
    own = {"ada": Own(extra_days=1)}
    course = Course(due=DUE, grace_minutes=5, students=own)

    def rules(commit: str) -> dict[str, Rule]:
        return courses.commits(course.model_copy(update={"commit": commit}), [ADA, eve])

    assert rules("files") == {}
    assert rules("HEAD") == {"ada-1": Rule(), "eve": Rule()}
    assert rules("tag:due") == {"ada-1": Rule(tag="due"), "eve": Rule(tag="due")}
    late = Rule(until=DUE + DAY + 5 * MINUTE)
    assert rules("before_due") == {"ada-1": late, "eve": Rule(until=DUE + 5 * MINUTE)}


def test_with_nothing_on_time_the_last_counts_with_its_penalty(lab: Lab) -> None:
    """Late work is never thrown away: a penalty is what the rules have for it."""
    course = Course(due=DUE, late=TEN_A_DAY, counts="last_on_time")
    entry = settle(lab, course, *(a for a in three(lab) if a.label != "first"))
    assert entry.attempt and entry.attempt.label == "third"
    assert entry.mark and entry.mark.final == 50
    assert "Nothing was handed in on time." in entry.mark.notes


def test_of_two_as_good_the_earlier_counts(lab: Lab) -> None:
    """Handing in the same again does not make anyone later."""
    course = Course(due=DUE, counts="best")
    entry = settle(lab, course, *(attempt(lab, DUE + n * DAY, label=str(n)) for n in (2, 1, 3)))
    assert entry.attempt and entry.attempt.label == "1"


def test_an_extension_makes_the_late_one_on_time(lab: Lab) -> None:
    """What is on time is judged by the student's own deadline."""
    course = Course(due=DUE, counts="last_on_time", students={"ada": Own(extra_days=1)})
    entry = settle(lab, course, *three(lab))
    assert entry.attempt and entry.attempt.label == "second"


# --- no time -------------------------------------------------------------------------


def test_without_a_time_an_attempt_is_on_time(lab: Lab) -> None:
    """Nothing is taken off for what nobody knows; the note says so."""
    got = mark(lab, Course(due=DUE, late=TEN_A_DAY), attempt(lab, None))
    assert got.penalty == 0
    assert "Nothing says when it was handed in" in got.notes[0]
    assert mark(lab, Course(), attempt(lab, None)).notes == ()


def test_late_without_a_time_is_noted_and_costs_nothing(lab: Lab) -> None:
    """That it was late is the instructor's to judge; as the last on time it does not count."""
    late = attempt(lab, None, late=True, label="late")
    got = mark(lab, Course(due=DUE, late=TEN_A_DAY), late)
    assert got.penalty == 0
    assert "nothing says by how much" in got.notes[0]
    course = Course(due=DUE, counts="last_on_time")
    entry = settle(lab, course, attempt(lab, DUE, label="in time"), late)
    assert entry.attempt and entry.attempt.label == "in time"


def test_a_known_time_says_more_than_the_mark_late(lab: Lab) -> None:
    """An extension that the LMS did not know of is not undone by its mark."""
    course = Course(due=DUE, late=TEN_A_DAY)
    assert mark(lab, course, attempt(lab, DUE, late=True)).notes == ()
    assert mark(lab, course, attempt(lab, DUE + SECOND, late=False)).penalty == 10


def test_without_times_the_order_given_is_kept(lab: Lab) -> None:
    """Where one attempt has no time, the last that was given is the last."""
    given = attempt(lab, DUE, label="1"), attempt(lab, None, label="2")
    assert settle(lab, Course(), *given).attempt == given[1]
    assert settle(lab, Course(), *reversed(given)).attempt == given[0]


# --- grader trouble ------------------------------------------------------------------

TROUBLES: list[dict[str, Any]] = [
    {"grade": None, "problem": "The archive is broken."},
    {"grade": None},
    {"grade": recorded("grader-error")},
]


@pytest.mark.parametrize("counts", ["last", "best", "last_on_time"])
@pytest.mark.parametrize("trouble", TROUBLES, ids=["broken", "missing", "error"])
def test_no_grade_is_no_zero(counts: Any, trouble: dict[str, Any], lab: Lab) -> None:
    """An attempt without a grade has no mark, and its problem says why."""
    entry = settle(lab, Course(due=DUE, counts=counts), attempt(lab, DUE, **trouble))
    assert entry.mark is None
    assert entry.attempt and entry.attempt.problem
    assert trouble.get("problem", "") in entry.attempt.problem


@pytest.mark.parametrize("counts", ["last", "best", "last_on_time"])
@pytest.mark.parametrize("trouble", TROUBLES, ids=["broken", "missing", "error"])
def test_no_grade_beats_no_grade(counts: Any, trouble: dict[str, Any], lab: Lab) -> None:
    """An earlier attempt that was graded counts, and the note names the later one."""
    good = attempt(lab, DUE - DAY, "5.released")
    bad = attempt(lab, DUE, label="the second", **trouble)
    entry = settle(lab, Course(due=DUE, counts=counts), good, bad)
    assert entry.attempt == good
    assert entry.mark and entry.mark.final == 97
    assert "(the second) has no grade" in entry.mark.notes[-1]


def test_a_later_grade_heals_an_earlier_trouble(lab: Lab) -> None:
    """Of an earlier attempt without a grade there is nothing to say when the last counts."""
    entry = settle(lab, Course(), attempt(lab, DUE, **TROUBLES[2]), attempt(lab, DUE + DAY))
    assert entry.mark and entry.mark.notes == ()


def test_a_part_of_the_lab_is_no_grade(lab: Lab) -> None:
    """An exercise that was not graded is neither a zero nor given away."""
    part = attempt(lab, DUE, grade=graded(lab, exercises=[1, 2, 4]))
    entry = settle(lab, Course(), part)
    assert entry.mark is None
    assert entry.attempt and "exercise 3, 5 is missing" in entry.attempt.problem
    without = Course(weights={"3": 0, "5": 0})
    assert mark(lab, without, part) == Mark(raw=60, penalty=0, final=60, max_score=60)


# --- points --------------------------------------------------------------------------


def test_marks_of_different_kernels_can_be_compared(lab: Lab) -> None:
    """Who was graded where a check cannot be tried has all the points if all the rest is right."""
    unseen = [id_ for id_ in read_worth(lab) if id_.endswith("error-paths")]
    stock = attempt(lab, DUE, grade=graded(lab, unseen=unseen))
    assert stock.grade and stock.grade.max_score == 96.5
    got = mark(lab, Course(), stock)
    assert (got.raw, got.final, got.max_score) == (100, 100, 100)
    assert "could check 96.5 of 100 points" in got.notes[0]
    half = attempt(lab, DUE, grade=graded(lab, ["1.outgoing-syn"], unseen=unseen))
    assert mark(lab, Course(), half).raw == 95.85  # 92.5 of 96.5


def test_weights_scale_points_and_the_maximum(load: Load, lab: Lab) -> None:
    """An exercise at double weight, one at none, and a check at half its points."""
    course = load('[weights]\n2 = 2\n5 = 0\n"1.outgoing-syn" = 0.5\n')
    assert courses.maximum(course, lab) == 18 + 40 + 20 + 20
    assert mark(lab, course, attempt(lab, DUE)).raw == 98
    assert mark(lab, course, attempt(lab, DUE, "1.outgoing-syn")).raw == 96
    assert mark(lab, course, attempt(lab, DUE, "2.efault", "5.released")).raw == 94
    weighed = courses.weigh(course, graded(lab))
    assert (weighed.score, weighed.max_score) == (98, 98)
    assert [e.max_score for e in weighed.exercises] == [18, 40, 20, 20, 0]
    (entry,) = courses.settle(course, lab, [ADA], [attempt(lab, DUE)])
    assert entry.attempt and entry.attempt.grade and entry.mark
    assert entry.attempt.grade.score == entry.mark.raw == 98


def test_weights_of_check_and_exercise_multiply(load: Load, lab: Lab) -> None:
    """A check counts for its own weight times that of its exercise; quotes may be left out."""
    course = load("weights.1.outgoing-syn = 3\nweights.2 = 2")
    assert courses.maximum(course, lab) == 128
    both = load('weights = { 1 = 2, "1.outgoing-syn" = 3 }')
    assert courses.maximum(both, lab) == 80 + 2 * 28
    assert mark(lab, both, attempt(lab, DUE, "1.outgoing-syn")).raw == 136 - 2 * 3 * 4


def test_weights_hold_where_the_kernel_lacks_the_check(load: Load, lab: Lab) -> None:
    """A weighted check that could not be tried leaves the maximum as it is."""
    course = load("weights.1.error-paths = 21")
    got = mark(lab, course, attempt(lab, DUE, grade=graded(lab, unseen=["1.error-paths"])))
    assert (got.raw, got.max_score) == (110, 110)
    assert "could check 99.5 of 110 points" in got.notes[0]


def test_a_penalty_is_of_the_weighted_maximum(load: Load, lab: Lab) -> None:
    """Ten percent of a lab that is worth 50 points are 5."""
    course = load("due = 2026-11-20T12:00:00Z\nlate.percent = 10\nweights = {1=0,2=0,5=0.5}")
    assert mark(lab, course, attempt(lab, DUE + HOUR)) == Mark(
        raw=50,
        penalty=5,
        final=45,
        max_score=50,
        notes=(
            "It was late by 1 day; one that has begun counts.",
            "5 of 50 points are taken off.",
        ),
    )


def test_thirds_are_rounded_to_cents(load: Load, lab: Lab) -> None:
    """A gradebook takes two decimals, and raw less penalty is final in them."""
    course = load("due = 2026-11-20T12:00:00Z\nlate.percent = 3.333\nweights = {1 = 0.33333}")
    got = mark(lab, course, attempt(lab, DUE + HOUR, "1.source-port"))
    assert (got.raw, got.penalty, got.final) == (86.33, 2.89, 83.44)


# --- overrides -----------------------------------------------------------------------


def test_an_override_stands_with_its_reason(load: Load, lab: Lab) -> None:
    """The final mark is what was set; what it was instead of can still be read."""
    course = load(
        "due = 2026-11-20T12:00:00Z\nlate.percent = 10\n"
        '[students.4711]\noverride = { score = 85, reason = "Shown in class." }'
    )
    got = mark(lab, course, attempt(lab, DUE + HOUR, "5.released"))
    assert (got.raw, got.penalty, got.final) == (97, 10, 85)
    assert got.notes[-1] == "Set to 85 points by hand: Shown in class."


@pytest.mark.parametrize("attempts", [[], [{"grade": None}]], ids=["nothing", "no grade"])
def test_an_override_needs_no_grade(attempts: list[dict[str, Any]], lab: Lab) -> None:
    """It makes a mark where there is none."""
    set_ = Own(override=Override(score=0, reason="Copied."))
    course = Course(students={"ada-1": set_})
    got = mark(lab, course, *(attempt(lab, DUE, **given) for given in attempts))
    assert (got.raw, got.penalty, got.final, got.max_score) == (0, 0, 0, 100)


def test_the_same_rules_make_the_same_marks(lab: Lab) -> None:
    """Settling twice, in another order, is the same: regrading moves no one in time."""
    course = Course(due=DUE, late=TEN_A_DAY, late_days=1, counts="best")
    attempts = three(lab)
    assert settle(lab, course, *attempts) == settle(lab, course, *reversed(attempts))


# --- hidden checks -------------------------------------------------------------------


def test_hidden_checks(load: Load) -> None:
    """``never`` is hidden for ever, ``after_due_date`` to the end of the grace."""
    course = load(
        "due = 2026-11-20T12:00:00Z\ngrace_minutes = 10\n"
        '[visible]\n"1.only-syn" = "after_due_date"\n"2.efault" = "never"'
    )
    both = {"1.only-syn", "2.efault"}
    assert courses.hidden(course, DUE - DAY) == both
    assert courses.hidden(course, DUE + 10 * MINUTE) == both
    assert courses.hidden(course, DUE + 10 * MINUTE + SECOND) == {"2.efault"}
    assert courses.hidden(Course(), NOW) == frozenset()


def test_hidden_until_the_deadline_of_the_reader(load: Load) -> None:
    """A student's own deadline counts for that student, the last of all for the class."""
    course = load(
        'due = 2026-11-20T12:00:00Z\nvisible.1.only-syn = "after_due_date"\n'
        "[students.ada]\nextra_days = 7"
    )
    ada = courses.deadline(course, course.students["ada"])
    assert courses.hidden(course, DUE + DAY, courses.deadline(course)) == frozenset()
    assert courses.hidden(course, DUE + DAY, ada) == {"1.only-syn"}
    assert courses.hidden(course, DUE + DAY) == {"1.only-syn"}
    assert courses.hidden(course, DUE + 8 * DAY) == frozenset()


# --- wrong ones ----------------------------------------------------------------------

UTC_DUE = "due = 2026-11-20T12:00:00Z\n"
WRONG = [
    (
        "deadline = 2026-11-20T12:00:00Z",
        ["deadline", "there is no key 'deadline'", "takes commit,"],
    ),
    ("late_day = 2", ["did you mean late_days", "course.toml takes commit, counts, due, grace_"]),
    ("students.ada.day = 3", ["[students.ada] takes due, extra_days, late_days, override"]),
    (
        UTC_DUE + "late = { percents = 10 }",
        ["did you mean percent? [late] takes at_most, per, perc"],
    ),
    ("students.ada.override = { points = 1, reason = 'x' }", ["ada.override] takes reason, score"]),
    ("commit = 'due'", ["commit", 'it is one of "files", "HEAD", "before_due" and "tag:NAME"']),
    ("commit = 'before_due'", ["commit", "needs a deadline"]),
    ("missing = 101", ["missing", "100 points"]),
    ("group_work = 1", ["group_work"]),
    ("path = 'x'", ["'path'"]),
    ("worth = {}", ["'worth'"]),
    ("due = 2026-11-20", ["'due'", "valid datetime"]),
    ("due = 1795176000", ["'due'", "valid datetime"]),
    ("due = 2026-11-20T12:00:00", ["'due'", "no time zone", "offset"]),
    ('due = "tomorrow"', ["'due'"]),
    ('timezone = "Europe/Berlim"', ["'timezone'", "did you mean Europe/Berlin"]),
    ('timezone = "../Berlin"', ["'timezone'"]),
    ('timezone = ""', ["'timezone'"]),
    ('timezone = "Europe/Berlin"\ndue = 2026-03-29T02:30:00', ["'due'", "never show"]),
    ("grace_minutes = -1", ["grace_minutes"]),
    ("late_days = true", ["late_days"]),
    ("late_days = 1.5", ["late_days"]),
    ("holidays = ['Christmas']", ["holidays.0"]),
    ("counts = 'first'", ["counts", "last_on_time"]),
    (UTC_DUE + "late = 10", ["'late'"]),
    (UTC_DUE + "late = {}", ["'late'", "either percent or points"]),
    (UTC_DUE + "late = { percent = 10, points = 3 }", ["'late'", "either percent or points"]),
    (UTC_DUE + "late = { percent = -10 }", ["late.percent"]),
    (UTC_DUE + "late = { points = nan }", ["late.points"]),
    (UTC_DUE + "late = { percent = 10, per = 'week' }", ["late.per"]),
    ("late = { percent = 10 }", ["'late'", "needs a deadline"]),
    ("visible.1.only-syn = 'after_due_date'", ["visible.1.only-syn", "needs a deadline"]),
    ("visible.1.only-sym = 'never'", ["visible.1.only-sym", "did you mean 1.only-syn"]),
    ("visible.1 = 'never'", ["visible.1"]),
    ("visible.1.only-syn = 'hidden'", ["visible.1.only-syn", "after_due_date"]),
    ("visible = 'never'", ["'visible'"]),
    ("weights.6 = 2", ["weights.6", "no exercise '6'"]),
    ("weights.1.no-such = 2", ["weights.1.no-such", "no check"]),
    ("weights.1 = -1", ["weights.1"]),
    ("weights.1 = inf", ["weights.1"]),
    ("weights = {1=0,2=0,3=0,4=0,5=0}", ["'weights'", "nothing of the lab"]),
    ("students.ada.extra_days = 2", ["students.ada.extra_days", "needs a deadline"]),
    (UTC_DUE + "students.ada.extra_days = -2", ["students.ada.extra_days"]),
    (UTC_DUE + "students.ada.due = 2026-12-20T12:00:00", ["students.ada.due", "no time zone"]),
    (UTC_DUE + "[students.ada]\ndue = 2026-12-20T12:00:00Z\nextra_days = 1", ["students.ada"]),
    ("students.ada.override = { score = 80 }", ["students.ada.override.reason"]),
    ("students.ada.override = { score = 80, reason = '' }", ["students.ada.override.reason"]),
    ("students.ada.override = { score = 101, reason = 'x' }", ["override.score", "100 points"]),
    ("students.ada.override = { score = -1, reason = 'x' }", ["students.ada.override.score"]),
    ("students.ada.points = 3", ["students.ada.points"]),
    ("students = ['ada']", ["'students'"]),
    ("due =", ["is not TOML"]),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_key_is_named(text: str, words: list[str], load: Load) -> None:
    """The error has the file, the key, and why."""
    with pytest.raises(InputError) as caught:
        load(text)
    for word in ("course.toml", *words):
        assert word in str(caught.value)
    assert str(caught.value).endswith(".")


def test_no_file(tmp_path: Path, lab: Lab) -> None:
    """A course.toml that was asked for and is not there is an error that names it."""
    with pytest.raises(InputError, match=r"course\.toml cannot be read: No such file"):
        courses.load(tmp_path / "course.toml", lab)


def test_a_student_nobody_knows(load: Load, lab: Lab) -> None:
    """With a roster a name that is none of it is an error; without, they may be yet to hand in."""
    course = load("students.adda.late_days = 3")
    with pytest.raises(InputError, match=r"'students\.adda' is wrong: .*did you mean ada"):
        courses.settle(course, lab, [ADA, BOB], [], roster=True)
    assert len(courses.settle(course, lab, [ADA, BOB], [])) == 2


def test_a_name_of_two_students(load: Load, lab: Lab) -> None:
    """A name that fits two is refused; the key of one of them is meant for that one."""
    twin = Student(key="ada", login="ada")
    course = load("students.4711.late_days = 3")
    with pytest.raises(InputError, match=r"students\.4711.* fits the students ada-1 and x"):
        courses.settle(course, lab, [ADA, Student(key="x", sis_id="4711")], [])
    own = courses.own_rules(load("students.ada.late_days = 3"), [ADA, twin])
    assert list(own) == ["ada"]


def test_two_tables_for_one_student(load: Load, lab: Lab) -> None:
    """Two names of the same student could contradict each other."""
    course = load("students.ada.late_days = 3\nstudents.4711.late_days = 5")
    with pytest.raises(InputError, match=r"students\.4711.*students\.ada is the same student"):
        courses.settle(course, lab, [ADA], [])


# --- the lab's checks, and the page --------------------------------------------------


def test_what_checks_are_worth_is_what_the_lab_says(lab: Lab) -> None:
    """The points of an exercise's checks and its health are the exercise's."""
    worth = collector.worth(lab)
    for exercise in lab.exercises:
        own = [points for id_, points in worth.items() if id_.startswith(f"{exercise.number}.")]
        assert sum(own) == exercise.points


def test_checks_that_cannot_be_read(lab: Lab, tmp_path: Path) -> None:
    """A broken check is the lab's trouble, and the error says which."""
    (tmp_path / "checks").mkdir()
    broken = lab.model_copy(update={"root": tmp_path})
    with pytest.raises(LabError, match="cannot be read"):
        collector.worth(broken)
    (tmp_path / "checks" / "check_1_x.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(LabError, match="nothing_of_that_name"):
        collector.worth(broken)


BLOCKS = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/course.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("text", BLOCKS)
def test_the_page_of_the_rules_is_right(text: str, load: Load, lab: Lab) -> None:
    """Every example of docs/course.md is a course.toml, and settles a class."""
    assert courses.settle(load(text), lab, [ADA], [attempt(lab, DUE)])[0].mark


def test_the_page_shows_every_key(load: Load) -> None:
    """No key that course.toml may have is left out of the examples."""
    for model in (courses.Rules, Penalty, Own, Override):
        for key in model.model_fields:
            pattern = rf"(^|[\s{{.\[]){key}( =|\.|\])"
            assert any(re.search(pattern, text, re.M) for text in BLOCKS), key
