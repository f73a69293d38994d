"""Two runs over a class, compared: who changed, why, and what the terminal shows."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from classes import SUBMITTED, absent, entry, grade
from rich.console import Console

from checker.classroom import diff
from checker.classroom.diff import CheckChange, Diff
from checker.model import Attempt, Entry, Grade
from checker.report import diff as report


def only(before: Entry, after: Entry) -> diff.Change:
    """Return the one change between two entries of the same student."""
    (change,) = diff.compare([before], [after]).changes
    return change


def regraded(one: Entry, change: Callable[[Grade], dict[str, Any]]) -> Entry:
    """Return the entry with its grade changed."""
    assert one.attempt and one.attempt.grade
    got = one.attempt.grade.model_copy(update=change(one.attempt.grade))
    return one.model_copy(update={"attempt": one.attempt.model_copy(update={"grade": got})})


def made(**changes: Any) -> Callable[[Grade], dict[str, Any]]:
    """Return a change of a grade's provenance."""
    return lambda got: {"provenance": got.provenance.model_copy(update=changes)}


def words(text: str) -> str:
    """Return *text* with every run of white space as one blank."""
    return " ".join(text.split())


def shown(found: Diff, width: int = 120) -> str:
    """Return what the terminal shows."""
    out = io.StringIO()
    report.render(found, Console(file=out, width=width, _environ={}))
    return out.getvalue()


# --- who -----------------------------------------------------------------------------


def test_the_same_run_twice_has_no_changes() -> None:
    """Nobody changed, and the terminal says so in one line."""
    run = [entry("ada"), entry("bob", "crash"), entry("eve", "grader-error"), absent("tom")]
    found = diff.compare(run, run)
    assert found == Diff(changes=(), same=4)
    assert shown(found) == "0 students changed, 4 the same.\n"


@pytest.mark.parametrize(
    "change",
    [made(seed=7), made(seconds=99.0), lambda _: {"submission": "elsewhere"}],
    ids=["seed", "seconds", "place"],
)
def test_another_seed_alone_is_no_change(change: Any) -> None:
    """What differs in every run changes nobody's grade."""
    one = entry("ada", "crash")
    assert diff.compare([one], [regraded(one, change)]).same == 1


def test_students_who_appeared_and_vanished() -> None:
    """They are told after those who changed, each with the mark of the run that has them."""
    before = [entry("gone"), entry("ada"), entry("bob", "full")]
    after = [entry("bob", "crash"), entry("new", "timeout"), entry("ada")]
    found = diff.compare(before, after)
    assert [(c.student.key, c.kind) for c in found.changes] == [
        ("bob", "changed"),
        ("new", "appeared"),
        ("gone", "vanished"),
    ]
    assert [row[1:3] for row in report.rows(found)] == [
        ("100", "57"),
        ("none", "80"),
        ("100", "none"),
    ]
    assert report.verdict(found) == "1 student changed, 1 the same, 1 appeared, 1 vanished."


# --- why -----------------------------------------------------------------------------


def test_checks_that_came_to_something_else() -> None:
    """Each check is named with what it was and is, and what that brings."""
    change = only(entry("ada", "full"), entry("ada", "timeout"))
    assert change.checks[0] == CheckChange(
        id="5.one-datagram", before="pass", after="timeout", points=-8
    )
    assert [check.after for check in change.checks[1:]] == ["skip"] * 3
    assert sum(check.points for check in change.checks) == -20
    assert change.why[0] == "The raw score was 100 and is 80."
    assert "Kernel, lab, grader and image are the same" in change.why[-1]


def test_a_check_that_fails_in_another_way_is_a_change() -> None:
    """The points may be the same, and the student still has another answer."""

    def crashed(got: Grade) -> dict[str, Any]:
        first, *others = got.exercises
        check, *rest = first.checks
        checks = (check.model_copy(update={"status": "crash"}), *rest)
        return {"exercises": (first.model_copy(update={"checks": checks}), *others)}

    before = entry("ada", "skeleton")
    (check,) = only(before, regraded(before, crashed)).checks
    assert (check.before, check.after, check.points) == ("fail", "crash", 0)


def test_checks_of_one_run_alone() -> None:
    """A check that the lab has now and had not before, or had, is there on one side."""
    before = entry("ada", "skeleton")
    after = regraded(before, lambda got: {"exercises": got.exercises[:-1]})
    checks = only(before, after).checks
    assert {check.id[0] for check in checks} == {"5"}
    assert {check.after for check in checks} == {None}
    assert {check.before for check in only(after, before).checks} == {None}


def test_a_penalty_is_a_reason() -> None:
    """With the same grade, another rule of the course makes another mark."""
    change = only(entry("ada"), entry("ada", penalty=10))
    assert change.why == ("The penalty was 0 and is 10.",)
    assert change.checks == ()


def test_new_notes_of_a_mark_are_told() -> None:
    """What the rules said of the mark explains it: set by hand, scaled, used late days."""
    before = entry("ada")
    assert before.mark
    note = "Set to 50 points by hand: Copied."
    mark = before.mark.model_copy(update={"final": 50, "notes": (note,)})
    assert only(before, before.model_copy(update={"mark": mark})).why == (note,)


def test_what_it_was_made_with_is_a_reason() -> None:
    """Another kernel, lab or grader is named, for the student and once for the class."""

    def kernel(got: Grade) -> dict[str, Any]:
        return {
            **made(lab="1" * 64, checker="2" * 64)(got),
            "kernel": got.kernel.model_copy(update={"name": "debug"}),
        }

    before = [entry("ada", "full"), entry("bob", "crash"), absent("tom")]
    after = [regraded(e, kernel) for e in (entry("ada", "timeout"), entry("bob", "crash"))]
    found = diff.compare(before, [*after, absent("tom")])
    assert [change.student.key for change in found.changes] == ["ada"]
    assert found.changes[0].why[-1] == "It was graded with another kernel, lab and grader."
    assert len(found.made) == 3
    release = "6.1.0-25-cloud-amd64"
    assert found.made[0] == (
        f"The kernel was stock {release} and is debug {release}, for 2 students."
    )
    assert found.made[1] == "The lab was 3f1d3f1d3f1d and is 111111111111, for 2 students."


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("7.2.22", ("The QEMU was 7.2.22 and is 10.0.13, for 1 student.",)),
        ("", ()),
    ],
)
def test_another_qemu_is_told_where_both_are_known(before: str, told: tuple[str, ...]) -> None:
    """Records of older versions do not have it, which is no difference."""
    first = regraded(entry("ada"), made(qemu=before))
    second = regraded(entry("ada"), made(qemu="10.0.13", cpu="max,-cx16"))
    assert diff.compare([first], [second]).made == told


def test_another_attempt_counts() -> None:
    """A resubmission is told by its label, or else by its time."""
    before = entry("ada", "crash")
    assert before.attempt
    later = {"submitted": SUBMITTED + timedelta(days=1)}
    full = {"grade": grade("full")}
    for changes, said in (
        ({"label": "2"}, "2026-11-20 21:30:00+00:00 before, 2 now."),
        (later, "2026-11-20 21:30:00+00:00 before, 2026-11-21 21:30:00+00:00 now."),
    ):
        attempt = before.attempt.model_copy(update=changes | full)
        why = only(before, entry("ada").model_copy(update={"attempt": attempt})).why
        assert why[0] == f"Another attempt counts: {said}"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("1f", "2e", "Other files were handed in."),
        ("1f", "1f", "the checks do not always say the same of it"),
        ("", "2e", "what was handed in is not, or the checks"),
    ],
)
def test_the_files_are_a_reason(before: str, after: str, said: str) -> None:
    """Other files, the same ones, or nobody knows: each is said as it is."""
    old, new = (
        one.model_copy(update={"attempt": one.attempt.model_copy(update={"sources": files})})
        for one, files in ((entry("ada", "crash"), before), (entry("ada"), after))
        if one.attempt
    )
    assert said in only(old, new).why[-1]


@pytest.mark.parametrize(
    ("before", "after", "said", "marks"),
    [
        (absent("ada"), entry("ada"), "nothing was handed in; now, graded", ("none", "100")),
        (entry("ada"), entry("ada", "grader-error"), "graded; now, the grader", ("100", "none")),
        (entry("ada", "grader-error"), entry("ada"), "failed; now, graded", ("none", "100")),
        (absent("ada"), entry("ada", "grader-error"), "now, the grader failed", ("none", "none")),
    ],
)
def test_a_grade_that_came_or_went(
    before: Entry, after: Entry, said: str, marks: tuple[str, str]
) -> None:
    """Without a grade there is no mark, never a zero."""
    assert said in only(before, after).why[0]
    assert report.rows(diff.compare([before], [after]))[0][1:3] == marks


def test_a_problem_is_told() -> None:
    """Why there is no grade any more is said in the problem's own words."""
    broken = Attempt(student="ada", problem="The archive is\n broken.")
    after = entry("ada").model_copy(update={"attempt": broken, "mark": None})
    assert "The archive is broken." in only(entry("ada"), after).why


# --- the terminal --------------------------------------------------------------------


def test_the_table_has_everything() -> None:
    """Names, marks, reasons and checks stand in the row, and the verdict below."""
    before, after = ([entry("ada", r, name="Ada Lovelace")] for r in ("full", "timeout"))
    text = words(shown(diff.compare(before, after)))
    assert "ada (Ada Lovelace) 100 80 The raw score was 100 and is 80." in text
    assert "5.one-datagram: pass -> timeout (-8)" in text
    assert text.endswith("1 student changed, 0 the same.")


def test_names_are_shown_as_they_are() -> None:
    """Markup and escapes in a name are text, and nothing breaks on a narrow terminal."""
    evil = entry("ada", name="[red]x[/] \x1b[2J")
    found = diff.compare([entry("ada", "crash")], [evil])
    assert r"[red]x[/] \x1b[2J" in words(shown(found, 300))
    assert "\x1b" not in shown(found, 30)
