"""The guest's frames: read whole or in pieces, and never believed when they cannot be right.

The agent is played by the test, at the other end of a socket pair.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vm import guest as guests
from vm.errors import (
    GuestCrashed,
    GuestError,
    GuestFlooded,
    GuestLost,
    GuestSpins,
    GuestTimeout,
    VMError,
)
from vm.guest import Guest, LogRecord, parse_kmsg
from vm.pulse import Sample

FORGED = "wrote on the host's command channel"


class Pieces:
    """A socket whose reads give *size* bytes at most."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self.sock = sock
        self.size = size

    def fileno(self) -> int:
        """Let select() wait for the socket."""
        return self.sock.fileno()

    def recv(self, size: int) -> bytes:
        """Read less than was asked for."""
        return self.sock.recv(min(size, self.size))

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self.sock.sendall(data)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class Machine:
    """What a guest needs of a machine; when it is let run, *agent_says* answers its commands."""

    def __init__(self) -> None:
        self.agent, self.far = socket.socketpair()
        self.far.setblocking(False)
        self.events: list[str] = []
        self.calls: list[str] = []
        self.heard = b""
        self.console_bytes = 0
        self.config = SimpleNamespace(accel="tcg", virtual_time=False)
        self.answers: list[bytes] = []
        self.status: int | None = 0

    def cont(self) -> None:
        """Let the agent read, and say its next answer."""
        self.calls.append("cont")
        with contextlib.suppress(BlockingIOError):
            self.heard += self.far.recv(1 << 16)
        if self.answers:
            self.far.sendall(self.answers.pop(0))

    def stop(self) -> None:
        """Note that the guest was stopped."""
        self.calls.append("stop")

    def execute(self, command: str) -> None:
        """Note a QMP command."""
        self.calls.append(command)

    def wait_end(self, seconds: float) -> bool:
        """Say that QEMU has ended."""
        return True

    def end_status(self, seconds: float) -> int | None:
        """Say how QEMU has ended."""
        return self.status

    def printed(self) -> int:
        """Return how much is on the console."""
        return self.console_bytes

    def console(self) -> str:
        """Return what a guest might have printed."""
        return "[    0.1] Booting\n[    0.2] VFS: Unable to mount root fs\n"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine, its sockets closed in the end."""
    made = Machine()
    yield made
    made.agent.close()
    made.far.close()


@pytest.fixture
def guest(machine: Machine) -> Guest:
    """A guest in that machine, with a nonce that the test knows."""
    made = Guest(machine)  # type: ignore[arg-type]
    made._nonce = "secret"
    return made


def frame(kind: str, number: int, data: bytes = b"", nonce: str = "secret") -> bytes:
    """A frame as the agent sends it."""
    return f"{nonce} {kind} {number} {len(data)}\n".encode() + data


EXIT = frame("exit", 1, b"exited 3 1500")


# --- right frames --------------------------------------------------------------------


def test_a_command_goes_out_and_its_result_comes_back(machine: Machine, guest: Guest) -> None:
    """The spawn frame holds the deadline and the words; the result is what the agent said."""
    machine.answers = [frame("out", 1, b"a\0b\n") + frame("err", 1, b"oh") + EXIT]
    result = guest.run(["/bin/x", "y z"], deadline=2.5, netns="blue")
    assert machine.heard == frame("spawn", 1, b"2500\0blue\0w\0/bin/x\0y z\0")
    assert (result.how, result.value, result.out, result.err) == ("exited", 3, b"a\0b\n", b"oh")
    assert result.guest_seconds == 1.5
    assert not result.ok


def test_the_guest_runs_only_while_it_is_asked(machine: Machine, guest: Guest) -> None:
    """The guest is let run for a command, and stopped when its answer is there."""
    machine.answers = [EXIT]
    guest.run(["x"])
    assert machine.calls == ["cont", "stop"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_frames_may_come_in_pieces(machine: Machine, guest: Guest, size: int) -> None:
    """Wherever a read ends, the frames are the same."""
    payload = b"5 some 1 3\nsecret out 1 3\nabc" * 3  # looks like frames, and is none
    machine.answers = [frame("out", 1, payload) + frame("out", 1) + frame("err", 1, b"\n") + EXIT]
    machine.agent = Pieces(machine.agent, size)
    result = guest.run(["x"])
    assert (result.out, result.err, result.value) == (payload, b"\n", 3)


def test_what_comes_behind_an_answer_is_kept(machine: Machine, guest: Guest) -> None:
    """Frames that arrive together with the awaited one are read by the next command."""
    log = frame("log", 0, b"6,1,1000000,-;behind\0")
    machine.answers = [EXIT + log, frame("done", 0, b"0")]
    guest.run(["x"])
    assert guest.records == []
    guest.sync()
    assert [r.text for r in guest.records] == ["behind"]


def test_two_processes_keep_their_output_apart(machine: Machine, guest: Guest) -> None:
    """Output is told apart by number, and a result is found whenever it came."""
    machine.answers = [
        frame("done", 1, b"0"),
        frame("out", 1, b"one")
        + frame("out", 2, b"two")
        + frame("exit", 1, b"exited 0 10")
        + frame("exit", 2, b"signalled 9 20"),
    ]
    first = guest.start(["one"])
    second = guest.run(["two"])
    assert (second.out, second.how, second.value) == (b"two", "signalled", 9)
    assert first.wait().out == b"one"  # nothing is asked: the answer was there already
    assert machine.calls == ["cont", "stop"] * 2


def test_a_frame_for_an_unknown_process_is_left_out(machine: Machine, guest: Guest) -> None:
    """Late output of a process that has ended changes nothing."""
    machine.answers = [frame("out", 99, b"x") + frame("exit", 99, b"exited 0 1") + EXIT]
    assert guest.run(["x"]).out == b""


def test_an_unknown_kind_of_frame_is_left_out(machine: Machine, guest: Guest) -> None:
    """A kind of frame that nobody asked for is skipped."""
    machine.answers = [frame("weather", 1, b"rain") + EXIT]
    assert guest.run(["x"]).value == 3


def test_a_deadline_that_killed_is_told_from_one_that_could_not(
    machine: Machine, guest: Guest
) -> None:
    """A process that would not die of SIGKILL is stuck."""
    machine.answers = [frame("exit", 1, b"timeout 0 5000"), frame("exit", 2, b"timeout 1 9000")]
    killed, stuck = guest.run(["x"]), guest.run(["y"])
    assert (killed.how, killed.stuck, killed.ok) == ("timeout", False, False)
    assert (stuck.how, stuck.stuck, stuck.ok) == ("timeout", True, False)


def test_lost_log_records_are_noticed(machine: Machine, guest: Guest) -> None:
    """A guest that says records were overwritten is remembered for it."""
    machine.answers = [frame("lost", 0) + frame("done", 0, b"0")]
    guest.sync()
    assert guest.lost_log


def test_put_says_why_it_could_not(machine: Machine, guest: Guest) -> None:
    """An errno from the agent becomes a sentence with the path."""
    machine.answers = [frame("done", 0, b"2")]
    with pytest.raises(GuestError, match=r"/no/file cannot be written.*No such file"):
        guest.put("/no/file", b"x")
    assert machine.heard == frame("put", 0, b"644\0/no/file\0x")


# --- hello ---------------------------------------------------------------------------


def test_hello_gives_a_fresh_nonce_and_entropy(machine: Machine, guest: Guest) -> None:
    """Every guest gets another nonce and other random bytes, and the host's time."""
    seen = []
    for _ in range(2):
        machine.heard = b""

        def cont() -> None:
            machine.heard += machine.far.recv(1 << 16)
            machine.far.sendall(frame("ready", 0, b"5", machine.heard.split()[0].decode()))

        machine.cont = cont  # type: ignore[method-assign]
        guest.hello()
        head, payload = machine.heard.split(b"\n", 1)
        seconds, entropy = payload.split(b"\0", 1)
        assert re.fullmatch(rb"[0-9a-f]{32} hello 0 \d+", head)
        assert int(seconds) > 1_700_000_000
        assert len(entropy) == 64
        seen.append((head.split()[0], entropy))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_a_guest_that_ends_before_it_answers_is_our_trouble(machine: Machine, guest: Guest) -> None:
    """No student's code has run: it is no GuestError, and the console's end is shown."""
    machine.cont = machine.far.close  # type: ignore[method-assign]
    with pytest.raises(VMError, match=r"(?s)did not start.*Unable to mount root fs") as caught:
        guest.hello()
    assert not isinstance(caught.value, GuestError)


def test_a_guest_that_was_gone_before_hello_is_our_trouble(machine: Machine, guest: Guest) -> None:
    """A QEMU that ended before the first frame is told of in the same way."""
    machine.agent.close()
    with pytest.raises(VMError, match="did not start"):
        guest.hello()


# --- frames that cannot be right -----------------------------------------------------

WRONG = {
    "another nonce": frame("exit", 1, b"exited 0 1", nonce="guess"),
    "the nonce of before hello": frame("exit", 1, b"exited 0 1", nonce="0"),
    "no nonce": b"exit 1 12\nexited 0 1\n",
    "an empty line": b"\n" + EXIT,
    "text": b"Hello, host!\n",
    "too many words": b"secret exit 1 1 1\nx",
    "a negative length": b"secret out 1 -5\nabcde",
    "a length that is no number": b"secret out 1 five\nabcde",
    "a number that is no number": b"secret out one 5\nabcde",
    "a length beyond every frame": b"secret out 1 8388609\n",
    "a length beyond every computer": b"secret out 1 99999999999999999999999999\n",
    "a head without an end": b"secret out 1 " + b"0" * 200,
    "binary rubbish": bytes(range(128, 256)) * 2,
    "a kind that is no text": b"secret \xff\xfe 1 0\n",
    "an end that says nothing": frame("exit", 1, b""),
    "an end without a number": frame("exit", 1, b"exited well 10"),
    "an end in another way": frame("exit", 1, b"evaporated 0 10"),
    "an end of no status": frame("exit", 1, b"exited 4000 10"),
    "an end after eternity": frame("exit", 1, b"exited 0 " + b"9" * 400),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_a_frame_that_cannot_be_right_is_a_crash(
    machine: Machine, guest: Guest, data: bytes
) -> None:
    """Whoever else writes on the agent's port takes the guest down, and not the grader."""
    machine.answers = [data + EXIT]
    with pytest.raises(GuestCrashed, match=FORGED):
        guest.run(["x"])


def test_a_process_says_its_number_and_what_it_has_printed(machine: Machine, guest: Guest) -> None:
    """More is waited for without killing; the output is there when the answer is."""
    machine.answers = [
        frame("done", 1, b"57"),
        frame("out", 1, b"one\n") + frame("more", 1, b"4 250"),
        frame("exit", 1, b"exited 0 900") + frame("more", 1, b"4 100"),
    ]
    process = guest.start(["x"], stdin=True)
    assert process.pid == 57
    assert process.more(2.5, 0) == (4, 0.25)
    assert (bytes(process.out), process.result) == (b"one\n", None)
    process.signal(15)
    assert process.more(1, 4) == (4, 0.1)
    assert process.result is not None
    assert frame("more", 1, b"2500 0") in machine.heard
    assert frame("signal", 1, b"15") in machine.heard


@pytest.mark.parametrize("data", [b"", b"1", b"one two", b"1 -2", b"9" * 40 + b" 1"])
def test_an_answer_of_more_that_cannot_be_is_a_crash(
    machine: Machine, guest: Guest, data: bytes
) -> None:
    """Two numbers of a length that can be are due."""
    machine.answers = [frame("done", 1, b"57"), frame("more", 1, data)]
    with pytest.raises(GuestCrashed, match=FORGED):
        guest.start(["x"]).more(1, 0)


@pytest.mark.parametrize("data", [b"", b"-1", b"no", b"9" * 50])
def test_a_process_without_a_number_is_a_crash(machine: Machine, guest: Guest, data: bytes) -> None:
    """Its pid is a number, as the kernel has them."""
    machine.answers = [frame("done", 1, data)]
    with pytest.raises(GuestCrashed, match=FORGED):
        guest.start(["x"])


@pytest.mark.parametrize("data", [b"", b"no number", b"\xff", b"9" * 5000])
def test_an_answer_that_is_no_number_is_a_crash(
    machine: Machine, guest: Guest, data: bytes
) -> None:
    """An errno that is none takes the guest down, and not the grader."""
    machine.answers = [frame("done", 0, data)]
    with pytest.raises(GuestCrashed, match=FORGED):
        guest.put("/tmp/x", b"")


def test_a_dead_guest_stays_dead(machine: Machine, guest: Guest) -> None:
    """After a crash every command fails at once, and the guest is not let run again."""
    machine.answers = [b"rubbish\n", EXIT]
    with pytest.raises(GuestCrashed) as first:
        guest.run(["x"])
    for command in (lambda: guest.run(["y"]), guest.sync, lambda: guest.put("/a", b"")):
        with pytest.raises(GuestCrashed) as again:
            command()
        assert again.value is first.value
    assert machine.calls.count("cont") == 1


def test_more_than_a_command_can_answer_is_a_crash(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that never stops sending is given up."""
    monkeypatch.setattr(guests, "MAX_BYTES_PER_COMMAND", 1000)
    machine.answers = [frame("out", 1, b"x" * 100) * 20 + EXIT]
    with pytest.raises(GuestCrashed, match="more than a command can answer"):
        guest.run(["x"])


def test_a_large_frame_is_taken(machine: Machine, guest: Guest) -> None:
    """A frame larger than a read is put together."""
    data = bytes(range(256)) * 300
    machine.answers = [frame("out", 1, data) + EXIT]
    assert guest.run(["x"]).out == data


# --- how a guest goes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (["RESUME", "GUEST_PANICKED"], "panicked"),
        (["GUEST_PANICKED", "SHUTDOWN"], "panicked"),
        (["SHUTDOWN"], "reset or shut down"),
        (["RESET"], "reset or shut down"),
        ([], "QEMU process ended"),
    ],
)
def test_why_a_guest_went_is_asked_of_qemu(
    machine: Machine, guest: Guest, events: list[str], words: str
) -> None:
    """When the port closes, QEMU's events tell a panic from a reset."""
    machine.events = events
    machine.cont = machine.far.close  # type: ignore[method-assign]
    with pytest.raises(GuestCrashed, match=words):
        guest.run(["x"])


@pytest.mark.parametrize("status", [-9, 137])
def test_a_qemu_that_was_killed_is_our_trouble(machine: Machine, guest: Guest, status: int) -> None:
    """SIGKILL from outside is no deed of a module: it is no GuestError, and the guest is gone."""
    machine.status = status
    machine.cont = machine.far.close  # type: ignore[method-assign]
    with pytest.raises(GuestLost, match="killed by another process") as caught:
        guest.run(["x"])
    assert not isinstance(caught.value, GuestError)
    assert guest.dead


def test_a_panic_is_a_crash_though_the_port_stays_open(machine: Machine, guest: Guest) -> None:
    """QEMU's word for a panic ends the wait for an answer."""
    machine.events = ["GUEST_PANICKED"]
    with pytest.raises(GuestCrashed, match="panicked"):
        guest.run(["x"])


def test_a_machine_that_fails_is_a_crash(machine: Machine, guest: Guest) -> None:
    """When QEMU does not answer the command to go on, the guest is gone."""

    def fail() -> None:
        raise VMError("QMP cont: EOFError.")

    machine.cont = fail  # type: ignore[method-assign]
    with pytest.raises(GuestCrashed):
        guest.run(["x"])


@pytest.mark.parametrize("said", [b"", b"secret out 1 50\nhalf a frame"], ids=["nothing", "half"])
def test_a_silent_guest_is_asked_by_nmi_and_given_up(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Beyond the backstop the guest's processor is asked where it is; then it is a timeout."""
    monkeypatch.setattr(guests, "BACKSTOP_SECONDS", 0.05)
    monkeypatch.setattr(guests, "PER_GUEST_SECOND", 0.0)
    machine.answers = [said] if said else []
    with pytest.raises(GuestTimeout, match="hangs"):
        guest.run(["x"])
    assert machine.calls == ["cont", "inject-nmi"]


def test_a_guest_that_chatters_for_ever_is_given_up(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that are none of the answer do not move the backstop."""
    monkeypatch.setattr(guests, "BACKSTOP_SECONDS", 0.2)
    monkeypatch.setattr(guests, "PER_GUEST_SECOND", 0.0)
    agent = machine.agent

    class Chatter(Pieces):
        def recv(self, size: int) -> bytes:
            data = agent.recv(size)
            machine.far.sendall(frame("out", 1, b"x"))
            return data

    machine.agent = Chatter(agent, 1)
    machine.answers = [frame("out", 1, b"x")]
    with pytest.raises(GuestTimeout):
        guest.run(["x"])


class Spinning(Machine):
    """A machine with virtual time whose guest turns in a loop; QEMU gets *share* of a processor."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.config.virtual_time = True
        self.share = share
        self.now = 0.0

    def cpu_seconds(self) -> float:
        """Return its share of the time so far."""
        return self.now * self.share

    def monotonic(self) -> float:
        """Let a moment go by at each look at the clock."""
        self.now += 0.1
        return self.now

    def asleep(self) -> bool:
        """Say that it has something to do."""
        return False

    def sample(self) -> Sample:
        """Return a processor that works."""
        return Sample(self.now * self.share, self.now * self.share, True, (str(self.now),))


@pytest.fixture
def spinning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spinning]:
    """That machine; the host's clock is its own, and nobody waits for anything."""
    made = Spinning(request.param)
    monkeypatch.setattr(guests, "time", SimpleNamespace(monotonic=made.monotonic))
    monkeypatch.setattr(
        guests,
        "select",
        SimpleNamespace(select=lambda files, *_: (files if made.answers else [], [], [])),
    )
    yield made
    made.agent.close()
    made.far.close()


@pytest.mark.parametrize(
    ("spinning", "seconds"), [(1.0, 80), (0.5, 160), (0.01, 400)], indirect=["spinning"]
)
def test_the_backstop_goes_by_the_time_that_qemu_got(spinning: Spinning, seconds: float) -> None:
    """80 CPU seconds, however long they take; a QEMU that gets next to nothing has 400 seconds."""
    guest = Guest(spinning)  # type: ignore[arg-type]
    with pytest.raises(GuestTimeout, match="hangs"):
        guest.run(["x"], deadline=10.0)
    assert seconds <= spinning.now <= seconds * 1.1 + 5
    assert spinning.calls == ["cont", "inject-nmi"]


@pytest.mark.parametrize("spinning", [1.0], indirect=True)
def test_a_guest_that_hangs_is_not_waited_for(
    spinning: Spinning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that stands still is asked by NMI long before the backstop."""
    monkeypatch.setattr(spinning, "sample", lambda: Sample(spinning.now, 0.0, False, ("same",)))
    guest = Guest(spinning)  # type: ignore[arg-type]
    with pytest.raises(GuestTimeout, match="hangs"):
        guest.run(["x"], deadline=10.0)
    assert spinning.now < 20
    assert spinning.calls == ["cont", "inject-nmi"]


@pytest.mark.parametrize("spinning", [1.0], indirect=True)
def test_a_program_that_loops_is_not_called_the_kernels_hang(
    spinning: Spinning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may turn on pause, as the kernel's spin locks do; the kernel is not asked then."""
    sample = Sample(0.0, 0.0, True, ("same",), program=True)
    monkeypatch.setattr(spinning, "sample", lambda: replace(sample, cpu_seconds=spinning.now))
    guest = Guest(spinning)  # type: ignore[arg-type]
    with pytest.raises(GuestSpins, match="a program in the guest"):
        guest.run(["x"], deadline=10.0)
    assert spinning.now < 20
    assert spinning.calls == ["cont"]


def test_a_guest_that_hangs_in_one_of_many_steps_is_given_up_soon(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command in steps has the backstop of one step, however long all of them may take."""
    monkeypatch.setattr(guests, "BACKSTOP_SECONDS", 0.05)
    machine.answers = [frame("out", 1, b"round 1")]
    with pytest.raises(GuestTimeout, match="hangs"):
        guest.run(["x"], deadline=1e6, step=0.0)


def test_each_step_moves_the_backstop_and_all_have_one_too(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest whose steps take 6 of 10 wall seconds each is given up after 5 times 10."""
    monkeypatch.setattr(guests, "BACKSTOP_SECONDS", 4.0)
    monkeypatch.setattr(guests, "PER_GUEST_SECOND", 6.0)
    agent = machine.agent
    now = [0.0]
    monkeypatch.setattr(guests, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow(Pieces):
        def recv(self, size: int) -> bytes:
            now[0] += 6
            data = agent.recv(size)
            machine.far.sendall(frame("out", 1, b"round"))
            return data

    machine.agent = Slow(agent, 1)
    machine.answers = [frame("out", 1, b"round")]
    with pytest.raises(GuestTimeout):
        guest.run(["x"], deadline=1e6, step=1.0)
    assert now == [54]


def test_a_flooded_console_is_told_apart(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that prints without end is given up as flooding."""
    monkeypatch.setattr(guests, "MAX_CONSOLE_PER_COMMAND", 1000)
    agent = machine.agent

    class Flooding(Pieces):
        def recv(self, size: int) -> bytes:
            machine.console_bytes += 1001
            return agent.recv(size)

    machine.agent = Flooding(agent, 1)
    machine.answers = [frame("out", 1, b"x") + EXIT]
    with pytest.raises(GuestFlooded):
        guest.run(["x"])


def test_what_came_with_the_answer_is_counted(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that printed too much is flooded though it ended before anybody looked."""
    monkeypatch.setattr(guests, "MAX_CONSOLE_PER_COMMAND", 1000)
    printed = iter([5000, 6001])
    monkeypatch.setattr(machine, "printed", lambda: next(printed))
    machine.answers = [EXIT]
    with pytest.raises(GuestFlooded):
        guest.run(["x"])


def test_what_was_printed_before_is_no_flood(
    machine: Machine, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on the console is one for each command."""
    monkeypatch.setattr(guests, "MAX_CONSOLE_PER_COMMAND", 1000)
    machine.console_bytes = 5000
    machine.answers = [EXIT]
    assert guest.run(["x"]).value == 3


# --- the kernel log ------------------------------------------------------------------


def test_a_record_is_read_field_by_field() -> None:
    """Level, number, time and text of a /dev/kmsg record."""
    assert parse_kmsg("6,339,5140900,-;hello, world\n") == LogRecord(6, 339, 5.1409, "hello, world")


def test_the_facility_is_no_part_of_the_level() -> None:
    """A record written by user space has its facility in the upper bits."""
    record = parse_kmsg("12,1,0,-;from user space")
    assert record is not None
    assert record.level == 4


def test_fields_that_come_later_are_left_out() -> None:
    """A record may have more fields, and a dictionary on lines of its own."""
    text = "4,5,6,c,caller=T1;net eth0: up\n SUBSYSTEM=net\n DEVICE=+net:eth0\n"
    assert parse_kmsg(text) == LogRecord(4, 5, 6e-6, "net eth0: up")


def test_a_text_may_hold_every_separator() -> None:
    """Only the first semicolon ends the head."""
    record = parse_kmsg("6,1,1,-;a;b,c=d;e")
    assert record is not None
    assert record.text == "a;b,c=d;e"


@pytest.mark.parametrize(
    ("logged", "text"),
    [
        (r"bell\x07", "bell\x07"),
        (r"two\x0alines", "two\nlines"),
        (r"back\x5cslash", "back\\slash"),
        (r"no escape: \x5cx41", r"no escape: \x41"),
        (r"\xc3\xa4\xe2\x82\xac", "ä€"),
        (r"broken \xc3", "broken \ufffd"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_escaped_bytes_are_read_back(logged: str, text: str) -> None:
    """The kernel escapes bytes that are not plain ASCII; the text is UTF-8 again."""
    record = parse_kmsg(f"6,1,1,-;{logged}\n")
    assert record is not None
    assert record.text == text


@pytest.mark.parametrize("text", ["", "\n", "no record", "6,1;short", "a,b,c,-;text", "6,,1,-;x"])
def test_what_is_no_record_is_none(text: str) -> None:
    """Lines that are no records are left out."""
    assert parse_kmsg(text) is None


def test_records_come_in_batches(machine: Machine, guest: Guest) -> None:
    """One frame holds many records, and what is no record among them is skipped."""
    batch = b"6,1,1,-;one\n\0rubbish\0\xff\xfe\x006,2,2,-;two\n\0"
    machine.answers = [frame("log", 0, batch) + frame("done", 0, b"0")]
    guest.sync()
    assert [(r.sequence, r.text) for r in guest.records] == [(1, "one"), (2, "two")]
