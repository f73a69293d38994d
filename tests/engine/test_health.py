"""An exercise's health: what the kernel reported costs it, a mistake costs once."""

from __future__ import annotations

import pytest

from checker.engine.grade import Checked, hold_back, judge
from checker.engine.owner import function_at, owner
from checker.model import CheckResult, Exercise, Finding, Status

EXERCISES = [
    Exercise(number=n, title="T", builds=(module,), points=20, health=2, hint="")
    for n, module in ((1, "filter"), (2, "filter"), (3, "tcp_sock"))
]


def result(number: int, status: Status = "pass") -> CheckResult:
    """Return the first check of exercise *number*."""
    return CheckResult(
        id=f"{number}.first", title="T", status=status, points=18, max_points=18, message=""
    )


def finding(location: str, kind: str = "kasan", summary: str = "It is wrong.") -> Finding:
    """Return a finding at a line."""
    return Finding(
        kind=kind,
        summary=summary,
        location=location,
        check="1.first",
        build="filter",
        report="BUG: x",
    )


def health(*checked: Checked) -> list[CheckResult]:
    """Return the check ``healthy`` of each exercise."""
    return [one.results[-1] for one in judge(checked)]


def test_a_quiet_kernel_earns_the_points() -> None:
    """With its first check passed and nothing reported, an exercise is healthy."""
    (healthy,) = health(Checked(EXERCISES[0], (result(1),)))
    assert (healthy.id, healthy.status, healthy.points) == ("1.healthy", "pass", 2)


def test_a_finding_costs_the_points_and_is_told() -> None:
    """The message has the line and the sentence, the log the kernel's report."""
    (healthy,) = health(Checked(EXERCISES[0], (result(1),), (finding("filter.c:41"),)))
    assert (healthy.status, healthy.points, healthy.max_points) == ("fail", 0, 2)
    assert healthy.message == "filter.c:41: It is wrong."
    assert healthy.log == "BUG: x"


def test_a_module_that_does_nothing_is_not_healthy() -> None:
    """An exercise whose first check did not pass earns nothing for being quiet."""
    (healthy,) = health(Checked(EXERCISES[0], (result(1, "fail"),)))
    assert (healthy.status, healthy.points) == ("skip", 0)
    assert healthy.message == "1.first did not pass"


def test_a_mistake_costs_once() -> None:
    """What was reported at the same line of the same module before is not counted again."""
    same = finding("filter.c:41")
    first, second = health(
        Checked(EXERCISES[0], (result(1),), (same, same)),
        Checked(EXERCISES[1], (result(2),), (same,)),
    )
    assert first.message.count("filter.c:41") == 1
    assert (first.status, second.status) == ("fail", "pass")


def test_another_line_or_another_module_costs_again() -> None:
    """Two mistakes are two, and two modules are never taken for one."""
    here, there = finding("filter.c:41"), finding("filter.c:50")
    statuses = [
        healthy.status
        for healthy in health(
            Checked(EXERCISES[0], (result(1),), (here,)),
            Checked(EXERCISES[1], (result(2),), (there,)),
            Checked(EXERCISES[2], (result(3),), (here.model_copy(update={"build": "tcp_sock"}),)),
        )
    ]
    assert statuses == ["fail", "fail", "fail"]


def test_an_exercise_without_health_points_has_no_such_check() -> None:
    """A lab that gives no points for health does not show it."""
    exercise = EXERCISES[0].model_copy(update={"health": 0})
    (one,) = judge([Checked(exercise, (result(1),))])
    assert [check.id for check in one.results] == ["1.first"]


# --- checks that are after one of another exercise -------------------------------------


def check(id_: str, status: Status = "pass") -> CheckResult:
    """Return a check that is worth 5 points."""
    points = 5 if status == "pass" else 0
    return CheckResult(id=id_, title="T", status=status, points=points, max_points=5)


def test_a_check_after_one_of_another_exercise_that_failed_earns_nothing() -> None:
    """It counts as not tried, as all do that are after it, whichever exercise comes first."""
    one, two, three = hold_back(
        [
            Checked(EXERCISES[0], (check("1.a"),), after={"1.a": ("2.b",)}),
            Checked(
                EXERCISES[1],
                (check("2.b"), check("2.c")),
                after={"2.b": ("3.d",), "2.c": ("3.e",)},
            ),
            Checked(EXERCISES[2], (check("3.d", "fail"), check("3.e"))),
        ]
    )
    assert [
        (r.status, r.points, r.max_points, r.message) for r in (*one.results, *two.results)
    ] == [
        ("skip", 0, 5, "2.b did not pass"),
        ("skip", 0, 5, "3.d did not pass"),
        ("pass", 5, 5, ""),
    ]
    assert [r.status for r in three.results] == ["fail", "pass"]


def test_what_the_kernel_reports_during_a_check_that_is_held_back_costs_nothing() -> None:
    """It would not have come, had the check not been tried."""
    first = Checked(
        EXERCISES[0],
        (check("1.a"), check("1.first", "crash")),
        (finding("a.c:1"),),
        {"1.first": ("3.d",)},
    )
    last = Checked(EXERCISES[2], (check("3.d", "fail"),))
    assert [one.findings for one in hold_back([first, last])] == [(), ()]
    assert health(*hold_back([first, last]))[0].status == "pass"


def test_a_check_that_was_not_chosen_holds_none_back() -> None:
    """With some exercises alone, those that they build on are taken as passed."""
    alone = [Checked(EXERCISES[0], (check("1.a"),), after={"1.a": ("2.b",)})]
    assert hold_back(alone) == alone


# --- whose a mistake is ----------------------------------------------------------------

SOURCE = """\
static int first(void)
{
	call();
}

static int __init
second(struct socket *sock,
       int flags)
{
	return flags;
}

static int later(int flags);
"""


@pytest.mark.parametrize(
    ("line", "name"), [(1, "first"), (3, "first"), (7, "second"), (10, "second"), (0, "")]
)
def test_the_function_of_a_line_is_found(line: int, name: str) -> None:
    """By the layout of the source; a declaration is no function."""
    assert function_at(SOURCE, line) == name


def test_what_lies_in_another_exercises_function_is_its_own() -> None:
    """A mistake in accept's code costs exercise 4, though exercise 3's checks run it, too."""
    listen = EXERCISES[2]
    accept = listen.model_copy(update={"number": 4, "functions": ("second",)})
    sources = {"tcp_sock.c": SOURCE}
    there = finding("tcp_sock.c:10").model_copy(update={"build": "tcp_sock"})
    judged = judge(
        [Checked(listen, (result(3),), (there,)), Checked(accept, (result(4),))], sources
    )
    assert [one.results[-1].status for one in judged] == ["pass", "fail"]


def test_files_of_one_name_are_two() -> None:
    """A mistake at the same line of each costs twice, and each is its own exercise's."""
    first, second = EXERCISES[0], EXERCISES[1].model_copy(update={"functions": ("second",)})
    sources = {"1/kernel/main.c": "static int third(void)\n" * 20, "1/user/main.c": SOURCE}
    found = finding("kernel/main.c:10"), finding("user/main.c:10")
    judged = judge([Checked(first, (result(1),), found), Checked(second, (result(2),))], sources)
    assert [one.results[-1].message for one in judged] == [
        "kernel/main.c:10: It is wrong.",
        "user/main.c:10: It is wrong.",
    ]
    sources = {path: sources[other] for path, other in zip(sources, reversed(sources), strict=True)}
    assert owner([first, second], "filter", "kernel/main.c:10", sources) == 2
    assert owner([first, second], "filter", "main.c:10", sources) is None


def test_what_is_in_nobodys_function_is_billed_to_whose_business_it_was() -> None:
    """A check that does what another exercise is about says so, and that exercise pays."""
    checked = [
        Checked(EXERCISES[0], (result(1),), (finding("filter.c:9"),), whose={"1.first": 2}),
        Checked(EXERCISES[1], (result(2),)),
    ]
    assert [healthy.status for healthy in health(*checked)] == ["pass", "fail"]
    # nobody pays where the other exercise is not checked
    assert [healthy.status for healthy in health(checked[0])] == ["pass"]
