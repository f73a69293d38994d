"""The student's desk: which lab, what was reached, hints, going back, and the captures."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

import pytest
from packets import HEADER, SYN, ethernet, ipv4, record, tcp
from rich.console import Console
from support import ROOT, SOURCES, Student

from checker import lab as labs
from checker.desk import hints, last_run, overview, packets, progress, reset, work
from checker.engine import compiler, submission
from checker.errors import InputError
from checker.model import CheckResult, ExerciseResult, Grade, KernelInfo, Lab, Provenance, Status
from checker.workshop import skeleton
from vm import pcap

FILTER, TCP, UDP = SOURCES
OPEN_AT = {FILTER: (1, 2), TCP: (3, 4), UDP: (5,)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what a student reached is shared between tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def skels(tmp_path: Path, lab: Lab) -> Student:
    """A student's folder as it was handed out."""
    skeleton.write(work.handed_out(lab), tmp_path / "mine")
    return Student(tmp_path / "mine")


def graded(*scores: tuple[int, float], status: Status = "pass") -> Grade:
    """A grade with these exercises and their scores, of 20 points each."""
    check = CheckResult(id="1.x", title="x", status=status, points=0, max_points=20)
    return Grade(
        lab="networking",
        submission="mine",
        status="error" if status == "error" else "graded",
        kernel=KernelInfo(name="stock", release="6.1"),
        score=0,
        max_score=20,
        exercises=tuple(
            ExerciseResult(number=n, title="x", score=score, max_score=20, checks=(check,))
            for n, score in scores
        ),
        provenance=Provenance(seed=1, lab="", checker="", image="", seconds=0),
    )


def note(lab: Lab, folder: Path, *scores: tuple[int, float], status: Status = "pass") -> None:
    """Keep such a grade as check does."""
    progress.note(lab, submission.read(lab, folder), graded(*scores, status=status))


def printed(show: Callable[[Console], None]) -> str:
    """What *show* prints, in one line."""
    console = Console(file=io.StringIO(), width=200)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "checker", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
    )


# --- which lab -----------------------------------------------------------------------


@pytest.fixture
def two_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two labs, and a working folder in whose skels/ both are as handed out."""
    for name in ("one", "two"):
        for part in ("lab.toml", "solution", "checks"):
            source, target = ROOT / "labs/networking" / part, tmp_path / "labs" / name / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    for reads in (labs.load, labs.names, labs.in_order):
        monkeypatch.setattr(reads, "__defaults__", (tmp_path / "labs",))
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        skeleton.write(work.handed_out(labs.load(name)), Path("skels") / name)
    return tmp_path


def edit(path: Path, when: int) -> None:
    """Edit *path* at the second *when*."""
    path.write_text(path.read_text() + "/* mine */\n")
    os.utime(path, (when, when))


def test_the_lab_edited_last_is_taken(two_labs: Path) -> None:
    """Of two labs that were edited it is the one edited last, whichever source it was."""
    edit(two_labs / "skels/one" / FILTER, 2000)
    edit(two_labs / "skels/two" / UDP, 1000)
    assert work.lab(None).name == "one"
    edit(two_labs / "skels/two" / TCP, 3000)
    assert work.lab(None).name == "two"


def test_a_file_as_handed_out_does_not_count(two_labs: Path) -> None:
    """A newer file that nobody edited, as in a fresh clone, does not make its lab the one."""
    edit(two_labs / "skels/one" / FILTER, 1000)
    assert work.lab(None).name == "one"


def test_where_nothing_tells_the_labs_are_named(two_labs: Path) -> None:
    """With no lab edited, and nobody at a terminal to ask, it is refused; a name settles it."""
    with pytest.raises(
        InputError, match=r"Name the lab, for example `knetlab check one`\. There are: one, two"
    ):
        work.lab(None)
    assert work.lab("two").name == "two"


def test_a_lab_that_has_the_submission_is_taken(two_labs: Path) -> None:
    """With a submission it is the lab whose sources lie in there."""
    text = (two_labs / "labs/two/lab.toml").read_text()
    for part in ("Kbuild", "udp_sock.c"):
        source = two_labs / "labs/two/solution/5-udp-sock" / part
        (two_labs / "labs/two/solution/other").mkdir(exist_ok=True)
        shutil.copy(source, two_labs / "labs/two/solution/other" / part)
    only = text.replace('folder = "5-udp-sock"', 'folder = "other"')
    (two_labs / "labs/two/lab.toml").write_text(only)
    (two_labs / "given/other").mkdir(parents=True)
    shutil.copy(two_labs / "labs/two/solution/other/udp_sock.c", two_labs / "given/other")
    assert work.lab(None, two_labs / "given").name == "two"


# --- what was reached ----------------------------------------------------------------


def test_results_of_several_runs_come_together(lab: Lab, skels: Student) -> None:
    """A run of one exercise leaves what is known of the others."""
    note(lab, skels.path, (1, 20), (2, 3))
    note(lab, skels.path, (2, 20))
    reached = progress.load(lab, skels.path).reached
    assert {number: one.score for number, one in reached.items()} == {1: 20, 2: 20}


def test_the_first_exercise_that_is_not_full_is_being_worked_on(lab: Lab, skels: Student) -> None:
    """It is 1 at first, then the first that lacks something, tried or not."""
    at = [progress.at(lab, skels.path)]
    note(lab, skels.path, (1, 20), (2, 20), (4, 20))
    at.append(progress.at(lab, skels.path))
    assert [exercise and exercise.number for exercise in at] == [1, 3]


def test_an_exercise_edited_since_is_worked_on_when_all_are_full(lab: Lab, skels: Student) -> None:
    """With all full it is none, and after an edit the first of the edited file."""
    note(lab, skels.path, *((number, 20) for number in range(1, 6)))
    assert progress.at(lab, skels.path) is None
    skels.file("tcp_sock.c").write_text("int x;\n")
    at = progress.at(lab, skels.path)
    assert at
    assert at.number == 3


def test_the_graders_failure_changes_nothing(lab: Lab, skels: Student) -> None:
    """What the grader failed at is as if it had not been tried."""
    note(lab, skels.path, (1, 20))
    note(lab, skels.path, (1, 0), status="error")
    assert progress.load(lab, skels.path).reached[1].full


def test_list_tells_what_was_reached(lab: Lab, skels: Student) -> None:
    """Points and states stand there, an edit since too, and where the student is."""
    note(lab, skels.path, (1, 20), (2, 5))
    said = printed(lambda console: overview.show(lab, skels.path, console))
    now = datetime.now().astimezone()
    assert f"1 SYN logger 20 of 20 full, lab or knetlab changed since {now:%H:%M}" in said
    assert "2 Address filter 5 of 20 begun, " in said
    assert "3 TCP listener 0 of 20 not tried yet" in said
    assert f"Exercises 1 and 2: {skels.path / FILTER} Exercises 3 and 4: " in said
    assert "25 of 100 points You are working on exercise 2" in said
    skels.file("filter.c").write_text("int x;\n")
    said = printed(lambda console: overview.show(lab, skels.path, console))
    assert f"20 of 20 full, edited since {now:%H:%M}" in said


def test_list_says_since_when_a_result_holds(lab: Lab, skels: Student) -> None:
    """Of the same lab, knetlab and files it is unchanged, with the time it was run."""
    lab_hash, code = progress.made_now(lab).split()
    made = Provenance(seed=1, lab=lab_hash, checker=code, image="", seconds=0)
    grade = graded((1, 20)).model_copy(update={"provenance": made})
    progress.note(lab, submission.read(lab, skels.path), grade)
    now = datetime.now().astimezone()
    said = printed(lambda console: overview.show(lab, skels.path, console))
    assert f"1 SYN logger 20 of 20 full, unchanged since {now:%H:%M}" in said


def test_what_an_exercise_lost_is_told(lab: Lab, skels: Student) -> None:
    """Fewer points than before are a loss, as many or more are none."""
    given = submission.read(lab, skels.path)
    assert progress.note(lab, given, graded((1, 20), (2, 3))) == []
    (loss,) = progress.note(lab, given, graded((1, 0), (2, 20)))
    assert str(loss) == "Exercise 1 had 20, has 0."


def test_list_of_several_labs_tells_what_was_reached_in_each(two_labs: Path) -> None:
    """Each lab's points, those of all, and the lab that is worked on."""
    one = labs.load("one")
    said = printed(lambda console: overview.course(labs.in_order(), console))
    assert "1 one Networking in the kernel 0 of 100 not tried yet 2 two " in said
    assert "You are working on one: `knetlab list one` shows its exercises." in said

    note(one, Path("skels/one"), (1, 20), (2, 5))
    edit(two_labs / "skels/two" / UDP, 1000)
    said = printed(lambda console: overview.course(labs.in_order(), console))
    assert "1 one Networking in the kernel 25 of 100 1 of 5 full 2 two " in said
    assert "25 of 200 points You are working on two:" in said

    note(one, Path("skels/one"), *((number, 20) for number in range(1, 6)))
    edit(two_labs / "skels/one" / TCP, 2000)
    said = printed(lambda console: overview.course(labs.in_order(), console))
    assert "100 of 100 full, edited since" in said


def test_list_of_several_labs_goes_on_with_the_next(two_labs: Path) -> None:
    """When one is solved the next one is named, and how to begin it; then that all are."""
    for name in ("one", "two"):
        note(labs.load(name), Path("skels") / name, *((number, 20) for number in range(1, 6)))
    assert "All labs are solved." in printed(lambda c: overview.course(labs.in_order(), c))
    shutil.rmtree("skels/two")
    progress.forget(labs.load("two"), Path("skels/two"), [1])
    said = printed(lambda console: overview.course(labs.in_order(), console))
    assert "Next is two: `knetlab skeleton two` writes the files that you start from." in said


def test_labs_come_in_the_order_of_the_course(two_labs: Path) -> None:
    """By the key order, and those without one last, by name."""
    file = two_labs / "labs/one/lab.toml"
    file.write_text(file.read_text().replace("order = 1\n", ""))
    assert [lab.name for lab in labs.in_order()] == ["two", "one"]
    said = printed(lambda console: overview.catalogue(labs.in_order(), console))
    assert said.endswith("two Networking in the kernel 5 100 one Networking in the kernel 5 100")


def test_list_without_a_lab_lists_several_or_the_one(two_labs: Path) -> None:
    """With several labs it is those, of one lab or in a folder its exercises."""
    env = {"KNETLAB_LABS": str(two_labs / "labs")}
    assert re.search(r"2 +two ", run("list", cwd=two_labs, **env).stdout)
    assert re.search(r"5 +UDP sender ", run("list", "two", cwd=two_labs, **env).stdout)
    mine = run("list", "--submission", "skels/two", cwd=two_labs, **env)
    assert "Name the lab" in mine.stderr  # its folder fits both
    shutil.rmtree(two_labs / "labs/one")
    assert re.search(r"5 +UDP sender ", run("list", cwd=two_labs, **env).stdout)
    assert re.search(r"two +Networking in the kernel +5 +100", run("labs", **env).stdout)


# --- hints ---------------------------------------------------------------------------


def bare(code: str) -> str:
    """Return *code* without white space."""
    return "".join(code.split())


def test_hints_come_in_steps_and_hold_no_line_of_the_solution(lab: Lab) -> None:
    """Each exercise has four to six, and none has a line of a region, however it is spaced."""
    for exercise in lab.exercises:
        texts = [exercise.hint, *exercise.hints]
        assert 4 <= len(texts) <= 6
        lines = {
            bare(line)
            for source in SOURCES
            for number, lines in reset.solved(lab, source).items()
            if number == exercise.number
            for line in lines
        }
        lines = {line for line in lines if len(line) > 12 and not line.startswith(("/*", "*"))}
        assert lines
        for text in texts:
            assert [line for line in lines if line in bare(text)] == []


def test_each_call_shows_the_next_hint_and_the_last_one_stays(lab: Lab, skels: Student) -> None:
    """From the first to the last, then the last again; restart begins with the first."""
    second = lab.exercises[1]
    texts = [second.hint, *second.hints]
    shown = [hints.next_one(lab, skels.path, second) for _ in range(len(texts) + 1)]
    assert [hint.text for hint in shown] == [text.strip() for text in [*texts, texts[-1]]]
    assert hints.next_one(lab, skels.path, second, anew=True).step == 1
    assert hints.next_one(lab, skels.path, second).step == 2
    assert hints.next_one(lab, skels.path, lab.exercises[2]).step == 1


def test_a_solved_exercise_starts_its_hints_anew(lab: Lab, skels: Student) -> None:
    """Hints shown are forgotten with the full marks, those of another exercise are not."""
    for exercise in lab.exercises[:2]:
        hints.next_one(lab, skels.path, exercise)
    note(lab, skels.path, (1, 20), (2, 19))
    steps = [hints.next_one(lab, skels.path, exercise).step for exercise in lab.exercises[:2]]
    assert steps == [1, 2]


def test_hint_without_an_exercise_is_for_the_one_worked_on(skels: Student) -> None:
    """The command takes the first that is not full, and says which and how far it is."""
    done = run("hint", "--submission", str(skels.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Exercise 1, SYN logger, hint 1 of 6\n")
    other = run("hint", "networking", "--exercise", "4", "--submission", str(skels.path))
    assert other.stdout.startswith("Exercise 4, Accept, hint 1 of ")


# --- reset ---------------------------------------------------------------------------


def with_solved(lab: Lab, source: str, numbers: Collection[int]) -> str:
    """Return a source in which just the exercises *numbers* are solved."""
    text = (lab.solution / source).read_text()
    (still_open,) = set(OPEN_AT[source]) - set(numbers)
    # at step 2 exercise 1 is solved and exercise 2 open
    renumbered = re.sub(
        r"TODO (\d) (?=begin|end|skeleton)",
        lambda match: f"TODO {1 if int(match[1]) in numbers else 2} ",
        text,
    )
    return skeleton.render(renumbered, 2, source).replace("TODO 2", f"TODO {still_open}")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_reset_takes_back_one_exercise_and_leaves_the_other(
    lab: Lab, student: Callable[..., Student], number: int
) -> None:
    """Of a solved file, without one TODO left in it, one exercise is open again, to the byte."""
    mine = student()
    (source,) = (s for s, numbers in OPEN_AT.items() if number in numbers)
    solved = skeleton.render((lab.solution / source).read_text(), 6, source)
    (mine.path / source).write_text(solved)
    report = reset.reset(lab, mine.path, [number])
    others = set(OPEN_AT[source]) - {number}
    assert (mine.path / source).read_text() == with_solved(lab, source, others)
    assert report.backups == ((source, f"{source}.orig"),)
    assert (mine.path / f"{source}.orig").read_text() == solved


def test_reset_says_what_becomes_of_the_exercise_that_builds_on_it(skels: Student) -> None:
    """The command names the file, the backup, and the later exercise in the same file."""
    skels.replace("tcp_sock.c", "/* Make the socket listen on", "int mine; /* Make it listen on")
    done = run("reset", "--exercise", "3", "--submission", str(skels.path))
    mine = skels.file("tcp_sock.c")
    assert f"{mine} was reset. Your version is kept as {mine}.orig\n" in done.stdout
    assert "Exercise 4" not in done.stdout  # of which nothing is there yet

    skels.replace("tcp_sock.c", "/* Make the socket listen on", "int mine; /* Make it listen on")
    skels.replace("tcp_sock.c", "/* TODO 4: release the connection", "/* TODO 4 */\n\tx();\n\t/*")
    done = run("reset", "--exercise", "3", "--submission", str(skels.path))
    assert "Exercise 4 is in the same file and stays" in done.stdout


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_reset_writes_a_file_that_was_lost(lab: Lab, skels: Student, content: str | None) -> None:
    """Missing or empty, it is as handed out, and the other exercise in it begins anew."""
    note(lab, skels.path, (1, 20), (2, 20), (5, 20))
    mine = skels.file("filter.c")
    mine.unlink()
    if content is not None:
        mine.write_text(content)
    (_, hint) = compiler.problem(lab, lab.target("filter"), submission.read(lab, skels.path))
    if content != "\n":
        assert "If yours is lost, `make reset EX=1` writes it as it was handed out." in hint
    done = run("reset", "--exercise", "1", "--submission", str(skels.path))
    assert done.returncode == 0, done.stderr
    assert "Exercise 2 is in the same file and was reset, too." in done.stdout
    assert "stays" not in done.stdout
    assert mine.read_bytes() == work.handed_out(lab)[FILTER].content
    assert set(progress.load(lab, skels.path).reached) == {5}


def test_reset_leaves_a_function_of_the_students_own(lab: Lab, skels: Student) -> None:
    """What stands between the functions that were handed out is nobody's, and stays."""
    helper = "static bool is_tcp(const struct iphdr *iph)\n{\n\treturn iph->protocol == 6;\n}\n\n"
    skels.replace("filter.c", "/* Log @skb if it", f"{helper}/* Log @skb if it")
    skels.replace("filter.c", "\treturn -ENOTTY;\n", "\treturn 0;\n")
    skels.replace("filter.c", "\treturn true;\n}", "\treturn daddr == 7;\n}")
    reset.reset(lab, skels.path, [2])
    text = skels.file("filter.c").read_text()
    assert text == work.handed_out(lab)[FILTER].content.decode().replace(
        "/* Log @skb if it", f"{helper}/* Log @skb if it"
    )


def test_reset_keeps_code_above_and_below_the_comments_apart(lab: Lab, skels: Student) -> None:
    """Lines that a student wrote under the TODOs of two exercises go with their own TODO."""
    skels.replace(
        "tcp_sock.c",
        "\t/* TODO 4: release the connection that was accepted. */\n"
        "\t/* TODO 3: release the listening socket. */\n",
        "\t/* TODO 4: release the connection that was accepted. */\n\tclose_it(client);\n"
        "\t/* TODO 3: release the listening socket. */\n\tclose_it(server);\n",
    )
    reset.reset(lab, skels.path, [4])
    text = skels.file("tcp_sock.c").read_text()
    assert "close_it(client)" not in text
    assert "close_it(server)" in text


def test_reset_refuses_what_it_cannot_tell_apart(lab: Lab, skels: Student) -> None:
    """Lines that may be either exercise's: the command says where and what to do; no change."""
    skels.replace(
        "tcp_sock.c",
        "\t/* TODO 4: release the connection that was accepted. */\n"
        "\t/* TODO 3: release the listening socket. */\n",
        "\tclose_it(client);\n\tclose_it(server);\n",
    )
    before = skels.file("tcp_sock.c").read_text()
    done = run("reset", "--exercise", "4", "--submission", str(skels.path))
    assert done.returncode == 2
    assert "tcp_sock.c, lines " in done.stderr
    assert "Put the comments back, such as /* TODO 4 */" in done.stderr
    assert "EX='3 4'" in done.stderr
    assert skels.file("tcp_sock.c").read_text() == before
    # either way out works
    skels.replace("tcp_sock.c", "\tclose_it(c", "\t/* TODO 4 */\n\tclose_it(c")
    skels.replace("tcp_sock.c", "\tclose_it(s", "\t/* TODO 3 */\n\tclose_it(s")
    reset.reset(lab, skels.path, [4])
    assert "close_it(server)" in skels.file("tcp_sock.c").read_text()
    skels.file("tcp_sock.c").write_text(before)
    reset.reset(lab, skels.path, [3, 4])
    assert skels.file("tcp_sock.c").read_bytes() == work.handed_out(lab)[TCP].content


def test_reset_of_a_file_that_was_written_anew_is_refused(lab: Lab, skels: Student) -> None:
    """Where nothing of the skeleton is left, nothing is guessed."""
    skels.file("filter.c").write_text("int all_new;\n")
    with pytest.raises(InputError, match="so nothing was reset"):
        reset.reset(lab, skels.path, [1])
    assert skels.file("filter.c").read_text() == "int all_new;\n"


def test_reset_of_a_file_that_is_no_text_is_refused(lab: Lab, skels: Student) -> None:
    """Bytes that are not UTF-8 are named with the way to start over."""
    skels.file("filter.c").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"not UTF-8 text.*make skels FORCE=1"):
        reset.reset(lab, skels.path, [1])


def test_reset_keeps_every_backup_and_writes_what_is_missing(lab: Lab, skels: Student) -> None:
    """A second backup has a name of its own; an untouched file has none; a missing one comes."""
    for _ in range(2):
        skels.replace("udp_sock.c", "TODO 5: send the message.", "gone")
        reset.reset(lab, skels.path, [5])
    names = {path.name for path in skels.file("udp_sock.c").parent.iterdir()}
    assert {"udp_sock.c", "udp_sock.c.orig", "udp_sock.c.orig.1"} <= names
    assert reset.reset(lab, skels.path, [5]).written == ()
    skels.file("udp_sock.c").unlink()
    done = run("reset", "--exercise", "5", "--submission", str(skels.path))
    assert "was missing. It was written" in done.stdout
    assert skels.file("udp_sock.c").is_file()


# --- captures ------------------------------------------------------------------------

UDP_HEADER = b"\x13\x88\xea\x61\0\x0c\0\0kern"
ARP = b"\0\1\x08\0\6\4\0\1" + b"\x52\x54\0\x12\x34\x56\x0a\0\2\x0f" + b"\0\0\0\0\0\0"


def test_packets_are_read_as_a_person_reads_them() -> None:
    """Who, to whom, which protocol, which flags, how long, for each kind of frame."""
    frames = [
        ethernet(ipv4(tcp(SYN | 0x10))),
        ethernet(ipv4(UDP_HEADER, protocol=17)),
        ethernet(ipv4(b"\x08\0\0\0", protocol=1)),
        ethernet(ARP + b"\x0a\0\2\2", kind=0x0806),
        ethernet(b"", kind=0x86DD),
    ]
    capture = HEADER + b"".join(record(i, 0, frame) for i, frame in enumerate(frames))
    seen = pcap.packets(capture)
    hosts = "52:54:00:12:34:56", "52:55:0a:00:02:02"
    assert [(p.source, p.destination, p.protocol, p.info) for p in seen] == [
        ("10.0.2.15:40000", "10.0.2.2:80", "TCP", "SYN ACK"),
        ("10.0.2.15:5000", "10.0.2.2:60001", "UDP", ""),
        ("10.0.2.15", "10.0.2.2", "ICMP", "echo request"),
        (*hosts, "ARP", "who has 10.0.2.2"),
        (*hosts, "IPv6", ""),
    ]
    assert [(p.seconds, p.length) for p in seen] == list(enumerate(map(len, frames)))
    assert not any(p.announcement for p in seen)


@pytest.mark.parametrize("cut", range(0, 54, 3))
def test_a_packet_that_is_cut_is_still_a_packet(cut: int) -> None:
    """However little of it there is, a frame is one row."""
    frame = ethernet(ipv4(tcp(SYN)))[:cut]
    assert [p.length for p in pcap.packets(HEADER + record(0, 0, frame))] == [cut]


def test_what_the_card_says_of_itself_is_an_announcement() -> None:
    """An ARP request for one's own address, and RARP, are no traffic."""
    own = ethernet(ARP + b"\x0a\0\2\x0f", kind=0x0806)
    capture = HEADER + record(0, 0, own) + record(0, 0, ethernet(ARP + bytes(4), kind=0x8035))
    assert [p.announcement for p in pcap.packets(capture)] == [True, True]


@pytest.fixture
def captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A last run with two guests of exercise 1 and one of exercise 5, in which nothing came."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    quiet = record(5, 0, ethernet(ARP + b"\x0a\0\2\x0f", kind=0x0806))
    busy = quiet + record(6, 250000, ethernet(ipv4(tcp(SYN))))
    with last_run.keeping(mine) as kept:
        for name, content in (("1-guest-1", quiet), ("1-guest-2", busy), ("5-guest-1", quiet)):
            (kept / f"exercise-{name}.pcap").write_bytes(HEADER + content)
        last_run.save(kept, graded((1, 0)))
    return mine


def test_captures_are_copied_and_shown(lab: Lab, captured: Path) -> None:
    """Each guest's capture is a file; packets have their time since the first frame."""
    said = printed(lambda console: packets.show(lab, captured, 1, console))
    assert "1.250000 10.0.2.15:40000 10.0.2.2:80 TCP SYN 54" in said
    assert "captures/networking/exercise-1-guest-2.pcap: 1 packet (and 1 " in said
    assert "exercise-5" not in said
    copies = sorted(path.name for path in Path("captures/networking").iterdir())
    assert copies == ["exercise-1-guest-1.pcap", "exercise-1-guest-2.pcap"]


def test_an_empty_capture_is_told_in_words(lab: Lab, captured: Path) -> None:
    """Where only the card spoke, it is said once why that need not be wrong, without a table."""
    said = printed(lambda console: packets.show(lab, captured, 5, console))
    assert (
        "5-guest-1.pcap: 0 packets (and 1 in which the network card announces its address)" in said
    )
    assert "over its loopback device" in said
    assert "Protocol" not in said
    everything = printed(lambda console: packets.show(lab, captured, None, console))
    assert everything.count("over its loopback device") == 1


def test_without_a_capture_the_command_says_what_makes_one(lab: Lab, captured: Path) -> None:
    """An exercise that the last run did not try has none."""
    with pytest.raises(InputError, match=r"no capture of exercise 3\. `make check EX=3` makes one"):
        packets.show(lab, captured, 3, Console(file=io.StringIO()))


# --- the commands --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["hint", "reset", "watch", "pcap"])
def test_an_exercise_that_is_not_there_is_refused(command: str, skels: Student) -> None:
    """Exit status 2 and one sentence."""
    done = run(command, "--exercise", "9", "--submission", str(skels.path))
    assert (done.returncode, done.stderr) == (
        2,
        "knetlab: The lab networking has no exercise 9. Its exercises are 1, 2, 3, 4, 5.\n",
    )


@pytest.mark.parametrize("command", ["list", "hint", "watch", "pcap"])
def test_a_student_without_files_is_told_what_writes_them(command: str, tmp_path: Path) -> None:
    """Without skels/LAB it is said how it comes to be, by make only where there is a Makefile."""
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2
    written = "There is no folder skels/networking. `{}` makes it."
    assert written.format("knetlab skeleton networking") in done.stderr
    (tmp_path / "Makefile").write_text("")
    assert written.format("make skels") in run(command, cwd=tmp_path).stderr


@pytest.mark.parametrize("words", [["networking", "2"], ["2"]])
def test_a_number_without_its_option_is_told_how_to_write(words: list[str]) -> None:
    """Exit status 2, and the command line that was meant."""
    done = run("hint", *words)
    assert done.returncode == 2
    lab = " networking" if len(words) == 2 else ""
    assert f"to name exercise 2, write: knetlab hint{lab} --exercise 2\n" in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ex=1", "make does not know ex. Write EX=1"),
        ("Ex=1", "make does not know Ex. Write EX=1"),
        ("EXERCISE=1", "make does not know EXERCISE. Write EX=1"),
        ("exercises=1", "make does not know exercises. Write EX=1"),
        ("lab=foo", "make does not know lab. Write LAB=foo"),
        ("Submission=a b", "make does not know Submission. Write SUBMISSION=a b"),
        ("fresh=1", "make does not know fresh. Write FRESH=1"),
        ("EX=one", "EX=one is not the number of an exercise. Write EX=2"),
        ("EX=1,2", "EX=1,2 is not the number of an exercise. Write EX=2 or EX='1 2'"),
    ],
)
def test_make_refuses_what_would_grade_everything(given: str, said: str) -> None:
    """A name or number that nobody reads is refused before anything runs."""
    done = subprocess.run(
        ["make", "-n", "check", given], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_reset_makes_it_the_exercise_one_is_at(lab: Lab, skels: Student) -> None:
    """After a reset of what was full, hints, list and watch are of that exercise again."""
    full = progress.Reached(score=20, max_score=20, sources="")
    reached = progress.Progress(reached=dict.fromkeys(range(1, 5), full))
    progress._save(lab, skels.path, reached)
    assert progress.at(lab, skels.path) == lab.exercise(5)
    skels.replace("tcp_sock.c", "/* Make the socket listen on", "int mine; /* Make it listen on")
    run("reset", "--exercise", "3", "--submission", str(skels.path))
    assert progress.at(lab, skels.path) == lab.exercise(3)


def test_make_has_the_commands_and_passes_what_was_asked() -> None:
    """EX, LAB and SUBMISSION reach each command; without LAB none is passed on."""
    for target in ("check", "watch", "hint", "list", "reset", "pcap"):
        asked = ["make", "-n", target, "EX=2 3", "LAB=networking", "SUBMISSION=/my place"]
        done = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
        command = f"knetlab {target} networking --submission '/my place' --exercise 2 --exercise 3"
        assert command in " ".join(done.stdout.split())
        bare_ = subprocess.run(
            ["make", "-n", target, "EX=2"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert f"knetlab {target} --exercise 2" in " ".join(bare_.stdout.split())
