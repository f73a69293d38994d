"""The next step of a failure: who knows it best, and that everybody has one."""

from __future__ import annotations

import pytest

from checker.engine.grade import Checked, grade, judge
from checker.model import (
    NEEDS_A_KERNEL,
    CheckResult,
    Exercise,
    Finding,
    Grade,
    KernelInfo,
    Lab,
    Provenance,
    Status,
    Submission,
)
from checker.report import story
from checker.words import next_step
from checker.words.kernel_kinds import KINDS

FIRST = Exercise(
    number=1, title="T", builds=("filter",), points=9, health=2, hint="Fill in TODO 1."
)
SECOND = Exercise(
    number=2, title="T", builds=("tcp_sock",), points=9, health=2, hint="Fill in TODO 2."
)


def _check(name: str, status: Status, message: str = "", hint: str = "") -> CheckResult:
    return CheckResult(
        id=name, title="T", status=status, points=0, max_points=1, message=message, hint=hint
    )


def _report(kind: str, summary: str = "it happens", check: str = "1.a") -> Finding:
    return Finding(kind=kind, summary=summary, location="filter.c:7", check=check)


def _grade(lab: Lab, *checked: Checked) -> Grade:
    return grade(
        lab,
        Submission(name="s", path=lab.root, files=()),
        judge(checked),
        kernel=KernelInfo(name="stock", release="6.1"),
        provenance=Provenance(seed=1, lab="", checker="", image="", seconds=1),
    )


def _step(check: CheckResult, *findings: Finding, others: tuple[CheckResult, ...] = ()) -> str:
    by_id = {one.id: one for one in (*others, check)}
    return next_step.of(check, FIRST.hint, findings, by_id)


def test_the_check_itself_knows_best() -> None:
    """What a check says stands, whatever the kernel reported meanwhile."""
    check = _check("1.a", "fail", hint="Put ntohs() there.")
    assert _step(check, _report("kasan")) == "Put ntohs() there."


def test_the_kernel_knows_better_than_the_exercise() -> None:
    """A report during the check gives the step, with the place; one during another does not."""
    failed = _check("1.a", "fail")
    assert "filter.c:7" in _step(failed, _report("atomic-sleep"))
    assert _step(failed, _report("atomic-sleep", check="1.b")) == FIRST.hint
    assert _step(failed) == FIRST.hint


@pytest.mark.parametrize("kind", ["leak", "memory-leak", "reference-left", "lockdep"])
def test_what_never_was_freed_is_not_why_a_check_saw_something_else(kind: str) -> None:
    """The exercise's own hint stands; where nothing was seen, the report is the best there is."""
    failed = _check("1.a", "fail")
    assert "filter.c:7" in _step(failed, _report(kind)) or kind == "reference-left"
    seen = failed.model_copy(update={"expected": "hello", "actual": "hullo"})
    assert _step(seen, _report(kind)) == FIRST.hint
    assert "filter.c:7" in _step(seen, _report("kasan"))


def test_broken_checks_are_all_told_and_whose_they_are(lab: Lab) -> None:
    """Each message stands in the grade once; the last line says who is to mend which."""
    first = _check("1.a", "error", "x/checks/a.py:3: KeyError: 1", next_step.of_author("x/a.py:3"))
    second = _check("1.b", "error", "x/checks/a.py:9: KeyError: 2", next_step.of_author("x/a.py:9"))
    made = _grade(lab, Checked(FIRST, (first, second)))
    assert made.status == "error"
    assert made.message.splitlines() == [
        "1.a: x/checks/a.py:3: KeyError: 1",
        "1.b: x/checks/a.py:9: KeyError: 2",
    ]
    assert "fix the check at x/a.py:3" in story.next_step(made)
    assert "You have nothing to fix" not in story.next_step(made)
    alone = _grade(lab, Checked(FIRST, (_check("1.a", "error", "QEMU is gone"),)))
    assert alone.message == "QEMU is gone"
    assert "You have nothing to fix" in story.next_step(alone)


def test_who_knows_nothing_is_sent_to_the_failure_before_it() -> None:
    """Its cause may be the same; the exercise's hint, to fill in the TODO, is for the first one."""
    before = _check("1.a", "fail", hint="Put ntohs() there.")
    other = _check("2.a", "fail", hint="Copy it.")
    step = _step(_check("1.b", "fail"), others=(other, before))
    assert step == "First fix 1.a, which may have the same cause. Put ntohs() there."
    assert _step(_check("1.b", "fail"), others=(other,)) == FIRST.hint
    assert _step(_check("1.b", "fail"), others=(_check("1.a", "pass"),)) == FIRST.hint


def test_a_crash_is_told_by_the_last_report() -> None:
    """The report that the crash's message tells of is the one whose step stands."""
    first, last = _report("atomic-sleep"), _report("oops", "reads through a NULL pointer")
    assert _step(_check("1.a", "crash"), first, last) == next_step.of_finding(last)


def test_a_hang_is_told_by_what_slept_before_it() -> None:
    """What sleeps where it may not is the cause of the hang that the last report tells of."""
    first, last = _report("atomic-sleep"), _report("hang")
    assert _step(_check("1.a", "timeout"), first, last) == next_step.of_finding(first)
    assert _step(_check("1.a", "timeout"), last) == next_step.of_finding(last)


@pytest.mark.parametrize("status", ["crash", "timeout"])
def test_a_guest_lost_without_a_word(status: Status) -> None:
    """A crash or a hang that nobody explains has a step, which is not to fill in the TODO."""
    step = _step(_check("1.a", status))
    assert step not in ("", FIRST.hint)
    assert _step(_check("1.a", status), _report("stuck-module")) == step


def test_a_check_that_waits_names_the_first_cause() -> None:
    """Who waits for one that waits is sent to the one that failed."""
    first = _check("1.a", "fail")
    second = _check("1.b", "skip", "1.a did not pass")
    third = _check("1.c", "skip", "1.b did not pass")
    assert _step(third, others=(first, second)) == "First fix 1.a: this check needs it."
    unknown = _check("4.waits", "skip", "nothing listens: see 3.listening")
    assert _step(unknown) == "First fix 3.listening: this check needs it."
    for said in (
        "the module took 3 guests down before",
        "the kernel hung at a.c:7 in 2 checks before",
    ):
        assert "failed before" in _step(_check("1.d", "skip", said))


def test_a_check_that_this_kernel_cannot_do() -> None:
    """It is the debug kernel that is missing, and the command builds it."""
    check = _check("1.a", "skip", f"{NEEDS_A_KERNEL} FAILSLAB, as the debug kernel is")
    assert "make kernel NAME=debug" in _step(check)


def test_the_graders_own_trouble_asks_nothing() -> None:
    """An error is nothing for the student to mend."""
    assert "You have nothing to fix" in _step(_check("1.a", "error"))


def test_what_passed_has_no_step() -> None:
    """Not even one that the check had at hand."""
    assert _step(_check("1.a", "pass", hint="x")) == ""


@pytest.mark.parametrize(
    "kind",
    sorted({row.kind for row in KINDS if row.kind} | {"stuck-module", "watch-off", "lost-guest"}),
)
def test_every_kind_of_report_has_a_step_of_its_own(kind: str) -> None:
    """No kind that the kernel's log is searched for falls through to the last row."""
    assert next_step.of_finding(_report(kind)) != next_step.of_finding(_report("no such kind"))


def test_a_report_without_a_place() -> None:
    """Its step is a whole sentence all the same."""
    step = next_step.of_finding(Finding(kind="stall", summary="it stays"))
    assert step == "Let the loop at the line that did it end, or let it sleep while it waits."


@pytest.mark.parametrize(
    ("kind", "summary", "words"),
    [
        ("oops", "f() gives %pI4 or %pI6 an address, where", "Put an &"),
        ("oops", "f() reads through a NULL pointer: it was", "declared again inside a function"),
        ("oops", "f() reads through a NULL pointer: it was", "must not be used again"),
        ("oops", "of f is still in use after the module was unloaded:", "the pointer that was"),
        ("oops", "f() divides by zero: test the divisor", "Test the divisor"),
        ("bug", "f() runs into BUG() or BUG_ON()", "Return where the test"),
        ("bug", "at BUG() in fs/inode.c, which", "Release each socket once"),
        ("kasan", "f() frees memory that was freed before", "Free it in one place"),
        ("kasan", "f() reads 4 bytes of memory that was freed", "behind the last use"),
        ("kasan", "f() writes 1 byte outside the memory", "Count the bytes"),
        ("lockdep", "for ever; use spin_lock_bh() there.", "Take spin_lock_bh()"),
        ("lockdep", "they are taken the other way round", "one order"),
        ("warning", "from f() (hook not found, pf 2 num 3): the line", "once, and keep it outside"),
        ("oops", "follows a pointer that leads nowhere (0xfefefefefefefefe): it", "a first value"),
        ("oops", "my_exit() reads through a NULL pointer (a", "Look at what sets the pointer"),
        ("rcu", "f() calls g(), which may sleep, between rcu_read_lock() and", "GFP_ATOMIC"),
        (
            "rcu",
            "f() calls msleep(), which may sleep, between rcu_read_lock() and",
            "Take the wait",
        ),
        ("atomic-sleep", "f() calls msleep(), which may sleep, in a softirq", "Take the wait at"),
        ("atomic-sleep", "f() calls mutex_lock(), which may sleep, in", "Take a spinlock for the"),
        ("taint", "The module m has the license 'x'", "MODULE_LICENSE"),
    ],
)
def test_a_report_is_told_by_its_sentence(kind: str, summary: str, words: str) -> None:
    """Reports of one kind that are mended in different ways have different steps."""
    assert words in next_step.of_finding(_report(kind, summary))


def test_every_failure_of_a_grade_has_its_step(lab: Lab) -> None:
    """Health included, and the findings themselves; what passed has none."""
    results = (
        _check("1.a", "pass"),
        _check("1.b", "fail"),
        _check("1.c", "skip", "1.b did not pass"),
        _check("1.d", "crash"),
        _check("1.e", "timeout"),
    )
    graded = _grade(
        lab,
        Checked(FIRST, results, (_report("kasan", "f() frees memory", "1.d"),)),
        Checked(SECOND, (_check("2.a", "fail"), _check("2.b", "error")), ()),
    )
    checks = [check for exercise in graded.exercises for check in exercise.checks]
    assert [c.id for c in checks if not c.hint] == ["1.a"]
    steps = {c.id: c.hint for c in checks}
    assert steps["1.healthy"] == steps["1.d"] == graded.findings[0].hint
    assert steps["2.healthy"] == "First fix 2.a: this check needs it."
    assert steps["2.a"] == SECOND.hint


@pytest.mark.parametrize(("kind", "words", "step"), next_step._REPORTED)
def test_every_step_is_a_sentence_with_its_place(kind: str, words: str, step: str) -> None:
    """A brace that is meant is written twice, and no other name than the place is filled in."""
    told = next_step.of_finding(Finding(kind=kind, summary=words, location="filter.c:7"))
    assert told.endswith((".", "?"))
    assert step.format(place="filter.c:7").endswith((".", "?"))


def test_a_report_without_a_place_names_none() -> None:
    """Where the kernel does not say which line it was, the next step sends nobody there."""
    bug = Finding(kind="bug", summary="It runs into the kernel's own BUG() in fs/inode.c.")
    assert next_step.of_finding(bug) == (
        "Release each socket once, and not after it was released elsewhere."
    )
