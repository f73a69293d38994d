"""The networking lab's headlines: what a check did and saw in, a true sentence out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import ROOT

from checker.engine import grading, submission
from checker.model import Grade, Lab
from checker.workshop import mutants
from vm.kernel import Kernel

CHECKS = ROOT / "labs" / "networking" / "checks"


@pytest.fixture(scope="module")
def own() -> Iterator[Any]:
    """The lab's pure modules, found as its checks find them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKS)
        import diagnose  # type: ignore[import-not-found]
        import headlines  # type: ignore[import-not-found]
        import lines  # type: ignore[import-not-found]

        assert Path(headlines.__file__).parent == CHECKS
        yield SimpleNamespace(headlines=headlines, lines=lines, End=diagnose.End)
        for name in ("diagnose", "headlines", "lines"):
            del sys.modules[name]


MINE, ANSWER, OTHER = "127.188.213.41:25718", "127.10.127.132:28227", "127.188.213.41:30308"


@pytest.mark.parametrize(
    ("expected", "actual", "log", "told"),
    [
        ([MINE], [], "", "nothing was logged"),
        ([MINE], [], f"new: {MINE}", "the log says so in other words than the exercise's"),
        ([MINE], [MINE, MINE], "", "the log has 2 lines for it, not 1"),
        ([MINE], [MINE] * 3, "", "the log has 3 lines for it, not 1"),
        ([MINE], [MINE, ANSWER], "", "besides the right line the log has 1 other line"),
        ([MINE], [MINE, ANSWER, MINE], "", "besides the right line the log has 2 other lines"),
        ([MINE], [OTHER], "", f"the line that was logged names {OTHER}"),
        ([MINE], [""], "", "the line that was logged names nobody"),
        ([MINE], [OTHER, ANSWER], "", f"of the 2 lines that were logged, none names {MINE}"),
        ([MINE, ANSWER], [OTHER], "", f"the line that was logged names {OTHER}"),
        ([MINE, ANSWER], [MINE], "", "of the 2 lines that are due, 1 is missing"),
        ([MINE, ANSWER], [ANSWER, MINE], "", "the lines are in another order"),
        ([MINE, ANSWER], [MINE, ANSWER] * 2, "", "the log has 4 lines, not 2"),
        ([], [MINE], "", "a line was logged"),
        ([], [MINE, MINE], "", "2 lines were logged"),
    ],
)
def test_lines_that_differ(
    own: Any, expected: list[str], actual: list[str], log: str, told: str
) -> None:
    """What is missing, too much or wrong is counted, and what is there is not denied."""
    assert own.headlines.lines("It was done", expected, actual, log) == f"It was done, and {told}."


def test_a_line_from_before_is_not_denied(own: Any) -> None:
    """A log that has the line of an earlier connection alone is not called one without lines."""
    words = own.lines.SYN_LINE
    told = own.headlines.lines("It was done", [MINE], [], f"{words} {OTHER}", words)
    assert told == "It was done, and nothing was logged for it: the log has only lines from before."
    told = own.headlines.lines("It was done", [MINE], [], "new", words)
    assert told == "It was done, and no line in the exercise's words was logged."


def test_connection_that_failed_is_not_called_one(own: Any) -> None:
    """A hook that drops packets lets nobody connect, and the headline does not say so."""
    said = own.headlines.connection("1.2.3.4:5", "1.2.3.5:6", arrived=False)
    assert said == "netcat tried to connect from 1.2.3.4:5 to 1.2.3.5:6, nothing arrived there"
    assert "connected from" in own.headlines.connection("1.2.3.4:5", "1.2.3.5:6", arrived=True)


def test_ends_of_insmod_and_ioctl(own: Any) -> None:
    """Success, an error and a signal are told apart."""
    told = own.headlines
    assert told.insmod("It was so", "") == "It was so, and insmod succeeded."
    assert told.insmod("It was so", "EPERM") == "It was so, and insmod failed with EPERM."
    assert told.insmod("It was so", "", signal=9) == "It was so, and insmod was killed by signal 9."
    assert told.ioctl("It was so", "", 4) == "It was so, and it returned 4."
    assert told.ioctl("It was so", "EFAULT", 0) == "It was so, and it failed with EFAULT."


def test_sockets_that_listen(own: Any) -> None:
    """What listens is named; where nothing does, what became of insmod."""
    here, there = "127.0.0.1:60000", "127.0.0.1:24810"
    say, only = own.headlines.listening, own.headlines.only
    assert say(here, [there], "", loaded=False) == f"Nothing listens on {here}, but on {there}."
    assert say(here, [], "EINVAL", loaded=True).startswith("insmod failed with EINVAL, and noth")
    assert say(here, [], "", loaded=True).startswith("insmod has come back, and nothing")
    assert say(here, [], "", loaded=False).startswith("insmod is still running, and nothing")
    assert only(here, []) == f"Nothing listens on {here} any more."
    assert only(here, [here, there]) == f"The module listens on {here}, and on {there}, too."
    assert only(here, [there, there]) == f"The module listens on {there}, {there}."
    assert only(here, [here, here]) == f"The module has 2 sockets that listen on {here}."


def test_parts_and_arrivals(own: Any) -> None:
    """A part of a line that is wrong is quoted; what came in pieces is not called lost."""
    told = own.headlines
    assert told.part("It", "port", "7", "8") == "It, and the port in the line is 7, not 8."
    assert told.part("It", "port", "", "8") == "It, and no line has the port 8."
    assert (
        told.arrival("over a connection", "") == "What was sent over a connection did not arrive."
    )
    assert told.arrival("over a connection", "x").endswith("arrived, but not unchanged.")
    assert told.arrival("in a UDP datagram", "").startswith("What was sent in a UDP datagram did")
    assert told.datagram(b"", 0, b"m") == "Nothing was sent, and netcat got nothing."
    assert told.datagram(b"", 2, b"m") == "2 datagrams were sent, and netcat got nothing."
    assert told.datagram(b"x", 1, b"m\n") == "netcat got 1 byte, and they are not 'm\\n'."
    assert [told.logged(n) for n in range(3)] == [
        "nothing was logged",
        "1 line was logged",
        "2 lines were logged",
    ]


# --- lines ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("TCP connection initiated from 1.2.3.4:5", ["1.2.3.4:5"]),
        ("filter: TCP connection initiated from 1.2.3.4:5", ["1.2.3.4:5"]),
        ("TCP connection initiated from 1.2.3.4:5 to 1.2.3.5:6", ["1.2.3.4:5"]),
        ("TCP connection initiated from  1.2.3.4:5\t(SYN)", ["1.2.3.4:5"]),
        ("TCP connection initiated from 1.2.3.4:5.", ["1.2.3.4:5."]),
        ("TCP connection initiated from1.2.3.4:5", [""]),
        ("TCP connection initiated from", [""]),
        ("tcp connection initiated from 1.2.3.4:5", []),
        ("new connection from 1.2.3.4:5", []),
    ],
)
def test_what_a_line_must_hold(own: Any, text: str, fields: list[str]) -> None:
    """The words, then the end as a field of its own; more before or behind it is no mistake."""
    assert own.lines.fields([text]) == fields


CLIENT, SERVER = ("127.188.213.41", 25718), ("127.10.127.132", 28227)
SYN = "TCP connection initiated from "


@pytest.mark.parametrize(
    "line",
    [
        f"{SYN}127.188.213.41:30308",  # without ntohs()
        f"{SYN}127.188.213.41:1685454848",  # with ntohl()
        f"{SYN}127.10.127.132:25718",  # daddr
        f"{SYN}127.188.213.41:28227",  # dest
        f"{SYN}127.188.213.41:17262",  # dest, without ntohs()
        f"{SYN}41.213.188.127:25718",  # turned round
        f"{SYN}41.213.188.127:30308",  # both
        f"{SYN}701873279:25718",  # as a number
        f"{SYN}0x7fbcd529:25718",
        "a connection from 127.188.213.41:25718",  # in other words
        "a connection from 127.188.213.41:30308 came",
    ],
)
def test_a_consistent_mistake_is_known(own: Any, line: str) -> None:
    """Another connection is then expected to be written in the same wrong way."""
    client, server = own.End(*CLIENT), own.End(*SERVER)
    style = own.lines.style([line], client, server)
    assert style != own.lines.RIGHT
    assert own.lines.known([line], client, server)
    assert own.lines.fields([line], style.words) == [style.field(client, server)]
    other = own.End("127.1.2.3", 20001), own.End("127.4.5.6", 20002)
    assert style.field(*other) != style.field(*reversed(other))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["eth0: link is up"],
        [f"{SYN}127.188.213.41:25718"],
        [f"{SYN}127.188.213.41:30308", f"{SYN}127.188.213.41:25718"],
        [f"{SYN}00000000a8f1c3d2:25718"],
        # the other end whole: as the line of a packet that goes the other way
        [f"{SYN}127.10.127.132:28227"],
        ["127.188.213.41:25718"],
    ],
)
def test_what_is_right_or_unknown_is_compared_as_it_should_be(own: Any, texts: list[str]) -> None:
    """Lines that fit no known mistake are held against the right ones."""
    assert own.lines.style(texts, own.End(*CLIENT), own.End(*SERVER)) == own.lines.RIGHT


# --- in a guest ----------------------------------------------------------------------


@pytest.fixture
def graded(lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> Callable[[str, str], Grade]:
    """What grades a mutant of exercise 1 by some of its checks."""

    def grade(name: str, checks: str) -> Grade:
        (mutant,) = (m for m in mutants.load(lab.root / "mutants") if m.name == name)
        mutants.apply(mutant, lab.solution, tmp_path / name)
        given = submission.read(lab, tmp_path / name)
        options = grading.Options(
            exercises=frozenset({1}), ways=False, select=checks, seed=1, jobs=1
        )
        return grading.grade_submission(lab, given, stock_kernel, options)

    return grade


@pytest.mark.vm
@pytest.mark.parametrize(
    ("name", "checks", "words"),
    [
        (
            "1-drops-everything",
            "any_line or leaves_the_guest or traffic_passes",
            (["no SYN left this host.", "over a connection did not arrive."], "connected"),
        ),
        (
            "1-hook-registered-twice",
            "any_line or leaves_the_guest or outgoing_syn or several",
            (["the log has 2 lines for it, not 1.", "has 8 lines, not 4."], "does not say"),
        ),
    ],
)
def test_headline_is_true_of_the_mistake(
    name: str,
    checks: str,
    words: tuple[list[str], str],
    graded: Callable[[str, str], Grade],
) -> None:
    """Nobody connects through a hook that drops all, and a line that is there twice is there."""
    told, untrue = words
    grade = graded(name, checks)
    failed = [c.message for e in grade.exercises for c in e.checks if c.status == "fail"]
    assert len(failed) == len(told)
    for message, part in zip(failed, told, strict=True):
        assert part in message
        assert untrue not in message
