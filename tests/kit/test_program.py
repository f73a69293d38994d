"""The kit's Program: what a check does with a student's program, and what it tells when it cannot.

The program is tests/data/programs/actor.c, which does what its first argument says.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator

import pytest
from support import ROOT

from checker.engine.testbed import Late, Session, Traces, Unmet
from checker.kit.program import _EAGER, _MOMENT, Program
from vm import image, snapshot
from vm.image import PayloadFile
from vm.machine import Config

pytestmark = pytest.mark.vm

Act = Callable[..., Program]


@pytest.fixture(scope="module")
def session(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session with a guest, for all of these tests."""
    program = tmp_path_factory.mktemp("actor") / "actor"
    image.compile_static(ROOT / "tests/data/programs/actor.c", program)
    files = {"user/actor": PayloadFile(program.read_bytes(), executable=True)}
    with snapshot.guest(config, {}) as guest:
        yield Session(guest, Traces.of(guest), files)


@pytest.fixture
def actor(session: Session) -> Iterator[Program]:
    """The program; nothing of it is left in the guest afterwards."""
    yield Program(session, "actor", "user/actor")
    session.guest.end_processes()
    assert session.sweep()[1] == ""


# --- how it runs ---------------------------------------------------------------------


def test_it_runs_as_nobody_without_any_right(actor: Program) -> None:
    """No group, no capability, no signal blocked; in /tmp, in a session of its own, with bounds."""
    running = actor.start("who")
    running.exits()
    said = dict(re.findall(r"(\w+):\t(.*)", running.out))
    assert set(said["Uid"].split()) == set(said["Gid"].split()) == {"65534"}
    assert said["Groups"].split() == []
    assert {
        name for name, value in said.items() if name.startswith("Cap") and int(value, 16)
    } == set()
    assert said["NoNewPrivs"] == "1"
    assert int(said["SigBlk"], 16) == int(said["SigIgn"], 16) == 0
    assert "files 256\nprocesses 64\nin /tmp, session 1\n" in running.out


def test_an_exercise_may_give_it_one_capability(session: Session, actor: Program) -> None:
    """It has that one, and can get no other."""
    running = Program(session, "actor", "user/actor", capability="net_admin").start("who").exits()
    said = dict(re.findall(r"(Cap\w+):\t(\w+)", running.out))
    assert {int(value, 16) for value in said.values()} == {1 << 12}


def test_it_gets_arguments_and_environment(actor: Program) -> None:
    """Words arrive as they are, and nothing of the agent's environment but PATH and HOME."""
    actor.start("say", "a b", "", "größe").expect("a b").expect("größe").exits()
    actor.start("env", env={"WHO": "x=y"}).expect("x=y /tmp").exits()


def test_a_namespace_is_chosen(actor: Program) -> None:
    """It runs in the one that is named, and in that alone."""
    actor.start("say", "left", netns="left").expect("left").exits()


# --- what it says --------------------------------------------------------------------


def test_lines_are_expected_in_order(actor: Program) -> None:
    """Each step goes on behind the line that the last one found."""
    running = actor.start("say", "one", "two", "three")
    running.expect("one").expect(re.compile("^th")).exits()
    with pytest.raises(Unmet, match="ends with exit status 0 and has not printed: two"):
        running.expect("two")


def test_what_is_found_can_be_asked(actor: Program) -> None:
    """match() gives the groups of the pattern."""
    assert actor.start("say", "port 5353").match(re.compile(r"port (\d+)"))[1] == "5353"


def test_it_is_talked_with(actor: Program) -> None:
    """What is fed is answered while it runs, and the end of its input ends it."""
    running = actor.start("echo").silent(0.5)
    running.feed("one\n").expect("> one").feed("two\n").expect("> two").silent(0.5).eof().exits()


def test_a_last_line_without_an_end_counts(actor: Program) -> None:
    """Once the program has ended; but half a line of one that runs is none."""
    actor.start("unfinished").expect("no end").exits()


def test_large_input_arrives_whole(actor: Program) -> None:
    """More than a pipe holds, and than one frame, is read by whoever reads."""
    actor.start("count").feed("x" * 300_000).eof().expect("300000 bytes").exits()


def test_input_that_nobody_takes_harms_nobody(actor: Program) -> None:
    """A program that closes its standard input goes on, and so does the guest."""
    running = actor.start("deaf").expect("closed")
    running.feed("x" * 100_000).expect("still here", within=10).exits()


def test_waiting_takes_guest_time(actor: Program) -> None:
    """A line that comes after two seconds is late for one, and in time for three."""
    running = actor.start("later")
    with pytest.raises(Late, match="`actor later` does not print within 1 seconds: later") as late:
        running.expect("later", within=1)
    assert late.value.actual == "it has printed nothing"
    running.expect("later", within=3).exits()


def test_a_silent_program_is_told_from_one_that_speaks(actor: Program) -> None:
    """Both a line and the end break the silence."""
    with pytest.raises(Unmet, match="prints what it should not"):
        actor.start("say", "x").silent(1)
    with pytest.raises(Unmet, match="ends with exit status 0 and should go on"):
        actor.start("nothing").silent(1)
    actor.start("sleep").silent(1)


def test_one_that_prints_without_end_is_stopped_early(actor: Program) -> None:
    """It is not waited for until its time is over, and what is shown of it is short."""
    with pytest.raises(Unmet, match="prints without end") as unmet:
        actor.start("flood").expect("what never comes", within=1000)
    assert len(unmet.value.log.splitlines()) <= 12


# --- its end -------------------------------------------------------------------------


def test_its_exit_status_is_judged(actor: Program) -> None:
    """Expected and actual stand side by side, and what it said on both outputs."""
    actor.start("complain").exits(7)
    with pytest.raises(Unmet, match="`actor complain` ends with exit status 7") as unmet:
        actor.start("complain").exits()
    assert unmet.value.expected == "it ends with exit status 0"
    assert unmet.value.actual == "it ends with exit status 7"
    assert unmet.value.log == "stderr: that is wrong"


def test_a_signal_that_killed_it_is_named(actor: Program) -> None:
    """With what it mostly means; and where it is due, it is right."""
    actor.start("crash").dies(signal.SIGSEGV)
    with pytest.raises(
        Unmet, match="is killed by SIGSEGV: it follows a pointer that leads nowhere"
    ):
        actor.start("crash").exits()
    with pytest.raises(Unmet, match="ends with exit status 0") as unmet:
        actor.start("nothing").dies(signal.SIGTERM)
    assert unmet.value.expected == "it is killed by SIGTERM"


def test_one_that_does_not_end_is_late(actor: Program) -> None:
    """It is killed, and told as waiting."""
    with pytest.raises(Late, match="`actor sleep` does not end within 2 seconds") as late:
        actor.start("sleep").exits(within=2)
    assert late.value.expected == "it ends"


def test_a_signal_reaches_it_once_and_alone(actor: Program) -> None:
    """A handler that counts is called one time."""
    running = actor.start("signals").expect("ready").signal(signal.SIGUSR1)
    running.expect("1 signals").exits()


def test_nothing_of_it_stays(session: Session, actor: Program) -> None:
    """Children of its own are ended, too, and files in /tmp are gone."""
    actor.start("children").expect("forked")
    session.guest.run(["/bin/sh", "-c", "touch /tmp/x; chown 65534 /tmp/x"])
    assert session.sweep() == ("", "")
    assert session.guest.run(["/bin/sh", "-c", "ls -A /tmp; ps | grep [a]ctor"]).text == ""


# --- what it does --------------------------------------------------------------------


def test_what_it_has_open_can_be_asked_while_it_runs(actor: Program) -> None:
    """Each descriptor with what it is."""
    opened = actor.start("opens", "wait").expect("open").open()
    assert opened[3] == "/lab"
    assert {number for number, what in opened.items() if what.startswith("socket:")} == {4, 5}
    assert opened.keys() == {0, 1, 2, 3, 4, 5}


def test_calls_and_what_is_left_open_are_noted_of_one_that_is_watched(actor: Program) -> None:
    """Counts are exact, and begin with the program itself."""
    running = actor.start("opens", watch=True).expect("open").exits()
    calls = running.calls()
    assert (calls["socketpair"], calls["write"], calls["exit_group"]) == (1, 6, 1)
    assert "setuid" not in calls
    assert running.open().keys() == {0, 1, 2, 3, 4, 5}


def test_a_watched_program_has_no_child_that_it_did_not_make(actor: Program) -> None:
    """Signals and its end are as ever."""
    actor.start("signals", watch=True).expect("ready").signal(signal.SIGUSR1).expect(
        "1 signals"
    ).exits()
    actor.start("crash", watch=True).dies(signal.SIGSEGV)


def test_calls_by_another_table_are_not_miscounted(actor: Program) -> None:
    """A program that is watched makes none by int 0x80: its numbers would be other calls'."""
    actor.start("foreign").expect("done").exits()
    actor.start("foreign", watch=True).dies(signal.SIGSYS)


def test_one_that_prints_byte_by_byte_is_not_looked_at_for_each(
    actor: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some hundred looks there is one a moment of the guest's: it cost minutes."""
    running = actor.start("bits")
    more = running.process.more
    took: list[float] = []

    def count(seconds: float, seen: int) -> tuple[int, float]:
        printed, spent = more(seconds, seen)
        took.append(spent)
        return printed, spent

    monkeypatch.setattr(running.process, "more", count)
    with pytest.raises(Late):
        running.expect("never", within=5)
    later = took[_EAGER:-1]
    assert later
    assert min(later) >= _MOMENT  # seconds of the guest's, whatever the host's pace


def test_one_that_was_not_watched_has_no_counts(actor: Program) -> None:
    """That is the check's mistake, and said so."""
    running = actor.start("nothing").exits()
    with pytest.raises(ValueError, match="was not started with watch=True"):
        running.calls()
