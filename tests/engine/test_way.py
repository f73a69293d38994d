"""The way of a packet: what recorded traces tell of it, and what a guest's trace does."""

from __future__ import annotations

import contextlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest import MonkeyPatch
from support import ROOT, Student

from checker.engine import grading, plugin, submission, testbed
from checker.engine.way import PLACES, Packet, Recording, hosts, verdict, way
from checker.model import Grade, Lab, Step, Way
from vm import image, snapshot, tools, witness
from vm.errors import VMError
from vm.guest import Guest
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config
from vm.tracefs import Format, Record, read_trace

DATA = ROOT / "tests/data/trace"
RECORDED = sorted(DATA.glob("*.txt"))
HOOKS = ROOT / "tests/data/way/hooks.c"
PRE, IN, FORWARD, OUT, POST = range(5)
DROP, ACCEPT, STOLEN, QUEUE = range(4)
LEFT, RIGHT = "10.0.3.2", "10.0.4.2"
LOCAL = ["LOCAL_OUT", "POST_ROUTING", "PRE_ROUTING", "LOCAL_IN"]


def read(path: Path) -> list[Record]:
    """Return the events of a recorded trace, behind the formats of its events."""
    formats, _, trace = path.read_text().partition("# tracer: ")
    parts = [Format.read(p) for p in re.split(r"^(?=name: )", formats, flags=re.M) if p.strip()]
    return read_trace(trace, {form.name: form for form in parts})


def made(module: str, kernel: Kernel) -> bytes:
    """Return the module of one C file, built for a kernel."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        build = Path(scratch) / "build"
        build.mkdir()
        sandbox = kernel.sandbox(writable={build: "/build"})
        sandbox.own(build)
        (build / f"{module}.c").write_bytes(HOOKS.read_bytes())
        (build / "Kbuild").write_text(f"obj-m := {module}.o\n")
        tools.run(sandbox.argv(["/bin/sh", "-c", shlex.join(kernel.make("/build"))]))
        return (build / f"{module}.ko").read_bytes()


# --- recorded traces ------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
def test_recorded_events_have_named_and_typed_fields(path: Path) -> None:
    """Each event of each kernel is understood: numbers are numbers, names are names."""
    records = read(path)
    assert not [r for r in records if "text" in r.fields and r.name != "console"]
    (freed, *_) = [r for r in records if r.name == "kfree_skb" and r["protocol"] == 0x0800]
    assert re.fullmatch(r"[A-Z_]+", freed.text("reason"))
    assert freed.number("skbaddr") > 0
    states = [r for r in records if r.name == "inet_sock_set_state"]
    (state, *_) = [r for r in states if r["newstate"] == "TCP_SYN_SENT"]
    assert (state["oldstate"], state["protocol"]) == ("TCP_CLOSE", "IPPROTO_TCP")
    assert (state["daddr"], state["dport"]) == ("127.0.0.1", 7003)
    assert {r.name for r in records} >= {"place", "verdict", "socket", "console", "kfree_skb"}


@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
def test_recorded_probes_have_their_arguments(path: Path) -> None:
    """A kprobe's event has what was fetched, and the end of a function its result."""
    records = read(path)
    (begun, *_) = [r for r in records if r.name == "connects"]
    (ended, *_) = [r for r in records if r.name == "connected"]
    assert begun.number("sk") > 0
    assert begun.number("length") == 16
    assert ended["result"] == 0
    assert begun.seconds <= ended.seconds
    assert begun.task == "nc"


@pytest.mark.parametrize("path", RECORDED, ids=[p.stem for p in RECORDED])
def test_recorded_ways(path: Path) -> None:
    """Of the same kernels: one packet dropped, one delivered, one that nobody wants, none."""
    records, names = read(path), dict.fromkeys({r.number("host") for r in read(path)}, "")

    def told(port: int) -> Way:
        return way(records, Packet("udp", port=port), "hooks", names)

    dropped = told(7001)
    assert [step.place for step in dropped.steps] == ["LOCAL_OUT"]
    assert dropped.steps[0] == Step(
        place="LOCAL_OUT",
        link="lo",
        function="my_hook",
        yours=True,
        verdict="NF_DROP",
        logged=("hooks: 127.0.0.1 to port 7001",),
    )
    assert (dropped.outcome, dropped.end) == ("dropped", "dropped by your hook")
    unwanted = told(7002)
    assert [step.place for step in unwanted.steps] == LOCAL
    assert unwanted.steps[0].verdict == "NF_ACCEPT"
    assert unwanted.end == "dropped: no socket has this port (NO_SOCKET)"
    delivered = told(7004)
    assert [step.place for step in delivered.steps] == LOCAL
    assert delivered.end == "delivered to port 7004"
    never = told(7005)
    assert never.outcome == "never"
    assert "no such packet was sent; what was sent is UDP 127.0.0.1:" in never.end


def event(name: str, **fields: int | str) -> Record:
    """Return a made event."""
    return Record(name, 1.0, "nc", 1, 0, fields)


def place(number: int, *, skb: int, through: int = 0, host: int = 1, sport: int = 4000) -> Record:
    """Return a made event: a SYN with ACK, whose id is 0 each time it is sent."""
    return event(
        "place",
        skbaddr=skb,
        place=number,
        through=through,
        host=host,
        out="lo" if number in (OUT, POST) else "-",
        protocol=6,
        source=0x7F000001,
        source_port=sport,
        destination=0x7F000002,
        destination_port=5000,
        id=0,
        fragment=0,
        flags=0x12,
        **{"in": "-" if number in (OUT, POST) else "lo"},
    )


def test_what_is_sent_again_is_not_a_part_of_the_way() -> None:
    """TCP sends a packet that was taken once more, and only the first time is told."""
    taken = event("verdict", skbaddr=1, place=OUT, function="f [m]", verdict=STOLEN)
    again = event("verdict", skbaddr=2, place=OUT, function="f [m]", verdict=ACCEPT)
    records = [place(OUT, skb=1), taken, place(OUT, skb=2), again, place(OUT, skb=2, through=1)]
    found = way(records, Packet("tcp", port=5000), "m", {1: ""})
    assert [step.verdict for step in found.steps] == ["NF_STOLEN"]
    assert found.outcome == "held"


def test_memory_that_another_packet_has_by_now_ends_the_way() -> None:
    """What is done to that one is not told of the first."""
    records = [
        place(OUT, skb=1),
        place(OUT, skb=1, through=1),
        place(OUT, skb=1, sport=4001),
        event("kfree_skb", skbaddr=1, reason="NETFILTER_DROP"),
    ]
    found = way(records, Packet("tcp", port=5000), "m", {1: ""})
    assert found.outcome == "unseen"


@pytest.mark.parametrize(
    ("reason", "end"), [("SOCKET_RCVBUFF", "dropped"), ("QUEUE_PURGE", "delivered")]
)
def test_a_socket_may_have_no_room(reason: str, end: str) -> None:
    """A packet that came to a socket is dropped if that is full, and not when it is closed."""
    records = [
        place(IN, skb=1),
        place(IN, skb=1, through=1),
        event("socket", skbaddr=1, port=5000),
        event("kfree_skb", skbaddr=1, reason=reason),
    ]
    assert way(records, Packet("tcp"), "m", {1: ""}).outcome == end


def test_where_the_hook_is_called_is_told_when_the_packet_does_not_come_there() -> None:
    """A hook at the wrong place is seen with other packets."""
    records = [
        place(OUT, skb=1),
        place(OUT, skb=1, through=1),
        place(PRE, skb=2, sport=4001),
        event("verdict", skbaddr=2, place=PRE, function="f [m]", verdict=ACCEPT),
    ]
    found = way(records, Packet("tcp", source_port=4000), "m", {1: ""})
    assert found.note == "Your hook is called at PRE_ROUTING, to which it did not come here."


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "NF_DROP"),
        (1, "NF_ACCEPT"),
        (2, "NF_STOLEN"),
        (3, "NF_QUEUE"),
        (5 << 16 | 3, "NF_QUEUE, number 5"),
        ((-113 & 0xFFFF) << 16, "NF_DROP with EHOSTUNREACH"),
        (6, "0x6, which is no verdict"),
        (0xFFFFFFFF, "0xffffffff, which is no verdict"),
    ],
)
def test_verdicts_have_their_names(value: int, name: str) -> None:
    """With what stands in the upper half; a number that is none is told as it is."""
    assert verdict(value) == name


def test_hosts_are_known_by_their_namespaces() -> None:
    """What ls prints of them, and nothing else."""
    listing = "4026531840 /proc/self/ns/net\n  4026532100 /run/netns/left\nls: x: No such file\n"
    assert hosts(listing) == {4026531840: "", 4026532100: "left"}


# --- in a guest -----------------------------------------------------------------------


class Bench:
    """A guest whose packets are recorded, and the module hooks.ko for it."""

    def __init__(self, guest: Guest, ko: bytes) -> None:
        self.guest = guest
        self.recording = Recording(guest)
        guest.unpack({"hooks.ko": PayloadFile(ko)})
        guest.run(["/sbin/tool", "put", "/proc/sys/net/ipv4/ip_forward", "1"])
        self.port = 7000

    def send(
        self, parameters: str, to: str = "127.0.0.1", netns: str = "", server: str = ""
    ) -> Way:
        """Send a datagram with hooks.ko loaded, and return its way; *server* listens there."""
        self.port += 1
        if parameters:
            loaded = self.guest.run(
                ["/sbin/tool", "insmod", "/lab/hooks.ko", f"port={self.port} {parameters}"]
            )
            assert loaded.ok, loaded.err
        listener = None
        if server != "":
            listener = self.guest.start(
                ["/bin/nc", "-n", "-u", "-d", "-l", to, str(self.port)],
                netns="" if server == "-" else server,
            )
            awaiting = ["/sbin/tool", "await", "udp", to, str(self.port)]
            self.guest.run(awaiting, netns="" if server == "-" else server)
        line = f"echo x | /bin/nc -n -u -w 1 {to} {self.port}"
        self.guest.run(["/bin/sh", "-c", line], netns=netns)
        found = self.recording.way([Packet("udp", port=self.port)], "hooks")
        if listener:
            listener.kill()
        if parameters:
            assert self.guest.run(["/sbin/tool", "rmmod", "hooks"]).ok
        assert found is not None
        return found


@pytest.fixture(scope="module")
def bench(at_hand: Kernel) -> Iterator[Bench]:
    """One guest a kernel: no test leaves a module in it."""
    config = Config(at_hand, image.initramfs(at_hand), image.root())
    with snapshot.guest(config, {}) as guest:
        yield Bench(guest, made("hooks", at_hand))


@pytest.mark.vm
@pytest.mark.parametrize("place", [OUT, POST, PRE, IN])
def test_dropped_at_a_place_of_a_packet_to_this_host(bench: Bench, place: int) -> None:
    """The way ends there, with the hook, what it logged, and its verdict."""
    found = bench.send(f"place={place} verdict={DROP}")
    name = PLACES[place]
    assert [step.place for step in found.steps] == LOCAL[: LOCAL.index(name) + 1]
    last = found.steps[-1]
    assert (last.function, last.yours, last.verdict) == ("my_hook", True, "NF_DROP")
    assert last.logged == (f"hooks: 127.0.0.1 to port {bench.port}",)
    assert not [step for step in found.steps[:-1] if step.function]
    assert (found.outcome, found.end) == ("dropped", "dropped by your hook")


@pytest.mark.vm
def test_dropped_where_it_is_passed_on(bench: Bench) -> None:
    """A packet of another host's to a third one, whose names stand with the places."""
    found = bench.send(f"place={FORWARD} verdict={DROP}", RIGHT, "left")
    assert [(step.host, step.place) for step in found.steps] == [
        ("left", "LOCAL_OUT"),
        ("left", "POST_ROUTING"),
        ("", "PRE_ROUTING"),
        ("", "FORWARD"),
    ]
    assert found.end == "dropped by your hook"


@pytest.mark.vm
def test_passed_on_and_delivered(bench: Bench) -> None:
    """All seven places of three hosts, each with its link."""
    found = bench.send(f"place={FORWARD} verdict={ACCEPT}", RIGHT, "left", server="right")
    assert [(step.host, step.place, step.link) for step in found.steps] == [
        ("left", "LOCAL_OUT", "eth0"),
        ("left", "POST_ROUTING", "eth0"),
        ("", "PRE_ROUTING", "left"),
        ("", "FORWARD", "left"),
        ("", "POST_ROUTING", "right"),
        ("right", "PRE_ROUTING", "eth0"),
        ("right", "LOCAL_IN", "eth0"),
    ]
    assert [step.verdict for step in found.steps if step.yours] == ["NF_ACCEPT"]
    assert (found.outcome, found.end) == ("delivered", f"delivered to port {bench.port}")


@pytest.mark.vm
@pytest.mark.parametrize("priority", [-(2**31), 0, 2**31 - 1])
def test_hook_is_seen_whatever_its_priority(bench: Bench, priority: int) -> None:
    """Also where it is as early, or as late, as our own."""
    found = bench.send(f"place={OUT} verdict={ACCEPT} priority={priority}", server="-")
    assert [step.place for step in found.steps] == LOCAL
    assert [step.verdict for step in found.steps if step.yours] == ["NF_ACCEPT"]
    assert found.outcome == "delivered"


@pytest.mark.vm
def test_without_any_hook(bench: Bench) -> None:
    """The places are told, no function, and why the packet ended."""
    found = bench.send("")
    assert [(step.place, step.function) for step in found.steps] == [(p, "") for p in LOCAL]
    assert found.end == "dropped: no socket has this port (NO_SOCKET)"


@pytest.mark.vm
def test_sent_on_the_wire(bench: Bench) -> None:
    """A packet to a host outside leaves by the network card."""
    found = bench.send("", "10.0.2.2")
    assert [(step.place, step.link) for step in found.steps] == [
        ("LOCAL_OUT", "eth0"),
        ("POST_ROUTING", "eth0"),
    ]
    assert (found.outcome, found.end) == ("sent", "sent on eth0")


@pytest.mark.vm
@pytest.mark.parametrize(
    ("value", "outcome", "end"),
    [
        (STOLEN, "held", "kept by your hook, which has to free it (NF_STOLEN)"),
        (QUEUE, "dropped", ""),
    ],
)
def test_taken_by_the_hook(bench: Bench, value: int, outcome: str, end: str) -> None:
    """What a hook keeps is told as kept, also when it frees it; a queue that nobody reads drops."""
    found = bench.send(f"place={PRE} verdict={value}")
    assert found.steps[-1].place == "PRE_ROUTING"
    assert found.outcome == outcome
    assert not end or found.end == end


# --- of a check that failed -----------------------------------------------------------


@dataclass
class Run:
    """A grade, with the guests that it took and those of them that were recorded."""

    grade: Grade
    guests: int
    recorded: int


def graded(lab: Lab, kernel: Kernel, folder: Path, monkeypatch: MonkeyPatch, *, ways: bool) -> Run:
    """Grade exercise 5 with one seed."""
    run = Run(None, 0, 0)  # type: ignore[arg-type]

    class Counted(Recording):
        def __init__(self, guest: Guest) -> None:
            run.recorded += 1
            super().__init__(guest)

    real = snapshot.guest

    @contextlib.contextmanager
    def counted(*args: Any) -> Iterator[Guest]:
        run.guests += 1
        with real(*args) as guest:
            yield guest

    with monkeypatch.context() as patch:
        patch.setattr(testbed, "Recording", Counted)
        patch.setattr(snapshot, "guest", counted)
        options = grading.Options(exercises=frozenset([5]), seed=1, jobs=1, ways=ways)
        run.grade = grading.grade_submission(lab, submission.read(lab, folder), kernel, options)
    return run


def without_ways(grade: Grade) -> Any:
    """Return what a grade says besides the ways, and the times."""
    found = grade.model_dump(exclude={"provenance"})
    for exercise in found["exercises"]:
        for check in exercise["checks"]:
            del check["way"], check["seconds"]
    return found


@pytest.mark.vm
def test_a_failed_check_has_the_way_of_its_packet_and_nothing_else_changes(
    lab: Lab,
    stock_kernel: Kernel,
    student: Callable[..., Student],
    monkeypatch: MonkeyPatch,
) -> None:
    """The second run costs a guest, and no point, finding or word; without it there is no way."""
    pupil = student()
    port = "htons(MY_UDP_REMOTE_PORT)"
    pupil.replace("udp_sock.c", port, port.removeprefix("htons"))
    told = graded(lab, stock_kernel, pupil.path, monkeypatch, ways=True)
    untold = graded(lab, stock_kernel, pupil.path, monkeypatch, ways=False)
    assert without_ways(told.grade) == without_ways(untold.grade)
    (failed,) = [c for c in told.grade.exercises[0].checks if c.status == "fail"]
    assert failed.way is not None
    assert failed.way.packet == "UDP 127.0.0.1:60000 -> 127.0.0.1:25066"
    assert failed.way.end == "dropped: no socket has this port (NO_SOCKET)"
    assert not any(c.way for e in untold.grade.exercises for c in e.checks)
    assert (told.recorded, untold.recorded) == (1, 0)


@pytest.mark.vm
def test_what_passes_costs_nothing(
    lab: Lab, stock_kernel: Kernel, monkeypatch: MonkeyPatch
) -> None:
    """One guest, which nobody records."""
    run = graded(lab, stock_kernel, lab.solution, monkeypatch, ways=True)
    assert (run.guests, run.recorded) == (1, 0)


@pytest.mark.vm
def test_a_kernel_that_cannot_be_traced_costs_no_points_and_is_asked_once(
    lab: Lab,
    stock_kernel: Kernel,
    student: Callable[..., Student],
    monkeypatch: MonkeyPatch,
) -> None:
    """Of a kernel without what way.ko needs the grade is as without ways."""
    asked = []

    def unbuilt(kernel: Kernel) -> dict[str, PayloadFile]:
        asked.append(kernel)
        raise VMError("way.ko does not compile")

    pupil = student()
    port = "htons(MY_UDP_REMOTE_PORT)"
    pupil.replace("udp_sock.c", port, port.removeprefix("htons"))
    monkeypatch.setattr(witness, "way", unbuilt)
    run = graded(lab, stock_kernel, pupil.path, monkeypatch, ways=True)
    assert run.grade.status == "graded"
    assert len(asked) == 1
    assert not any(c.way for e in run.grade.exercises for c in e.checks)


@pytest.mark.vm
def test_ways_of_an_exercise_are_bounded(
    lab: Lab,
    stock_kernel: Kernel,
    student: Callable[..., Student],
    monkeypatch: MonkeyPatch,
) -> None:
    """A check beyond the first ones that failed is not run again."""
    pupil = student()
    port = "htons(MY_UDP_REMOTE_PORT)"
    pupil.replace("udp_sock.c", port, port.removeprefix("htons"))
    monkeypatch.setattr(plugin, "MOST_WAYS", 0)
    assert graded(lab, stock_kernel, pupil.path, monkeypatch, ways=True).recorded == 0
