"""Netlink for checks: messages are built and read here, sent and received in the guest.

    answers = netlink.request(guest, 17, [netlink.Message(20, b"hello", sequence=5)])
    assert answers[0].payload == b"hello"

A message may lie about its length, several may share a buffer, and an error has its extended
ack. Generic netlink: family() asks the kernel, a Policy gives attributes names. What needs more
than one socket, or a pause in the middle of a dump, is a Conversation; who listens meanwhile is
listening().

The bytes that come are the work of the module under test: what is not well formed raises
Unmet, with what is wrong. Numbers have the byte order of an x86-64 guest.
"""

from __future__ import annotations

import contextlib
import errno as errnos
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from checker.engine.testbed import Late, Unmet, errno_name
from vm.guest import Guest, Process, Result

NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
"""Units: what socket(2) calls the protocol."""

NLMSG_ERROR, NLMSG_DONE, NLMSG_MIN_TYPE = 2, 3, 16
"""Types of messages that are the same in every unit; a unit's own begin at the last one."""

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x2, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
"""Flags of a message; the last two are those of an NLMSG_ERROR."""

NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF

MSG_TRUNC = 0x20
"""The flag of a datagram for which the receiver's room was too small."""

_ORDER = "<"
_HEADER = struct.Struct(f"{_ORDER}IHHII")
_ATTRIBUTE = struct.Struct(f"{_ORDER}HH")
_GENERIC = struct.Struct(f"{_ORDER}BBH")
_ERRNO = struct.Struct(f"{_ORDER}i")
_MAX_ERRNO = 4095


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


# --- messages ------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """A netlink message. *length* is what its header says; None: what is right."""

    type: int
    payload: bytes = b""
    flags: int = NLM_F_REQUEST
    sequence: int = 0
    port: int = 0
    length: int | None = None

    def encode(self) -> bytes:
        """Return its bytes, filled up to a multiple of four."""
        length = _HEADER.size + len(self.payload) if self.length is None else self.length
        head = _HEADER.pack(length, self.type, self.flags, self.sequence, self.port)
        return head + self.payload + bytes(-len(self.payload) % 4)

    @property
    def error(self) -> Error | None:
        """The error or acknowledgement that it is; None when it is neither."""
        if self.type == NLMSG_ERROR:
            return _error(self)
        if self.type == NLMSG_DONE and len(self.payload) >= _ERRNO.size:
            return _done(self)
        return None


def buffer(messages: Iterable[Message]) -> bytes:
    """Return the bytes of several messages, one behind another, for one datagram."""
    return b"".join(message.encode() for message in messages)


def parse(data: bytes) -> list[Message]:
    """Return the messages in *data*; Unmet when their lengths do not fit what is there."""
    return [
        Message(type_, payload, flags, sequence, port, length)
        for (length, type_, flags, sequence, port), payload in _pieces(
            data, _HEADER, "netlink message", "nlmsg_len"
        )
    ]


def _pieces(
    data: bytes, header: struct.Struct, what: str, length_name: str
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield the *header* and the payload of each piece of *data*, whose length comes first in it.

    Raises Unmet when a length does not fit what is there.
    """
    at = 0
    while at < len(data):
        left = len(data) - at
        if left < header.size:
            raise Unmet(
                f"The {what} at byte {at} of {len(data)} ends too early: there are {left} bytes, "
                f"and a header has {header.size}."
            )
        fields = header.unpack_from(data, at)
        length = fields[0]
        if not header.size <= length <= left:
            raise Unmet(
                f"The {what} at byte {at} of {len(data)} has a wrong length.",
                expected=f"{length_name} is from {header.size} to {left}",
                actual=f"{length_name} is {length}",
            )
        yield fields, data[at + header.size : at + length]
        at += _aligned(length)


@dataclass(frozen=True)
class Error:
    """What an NLMSG_ERROR says, or an NLMSG_DONE. *errno* is positive; 0 is an acknowledgement.

    *request* is the message that it answers, which has only its header where the kernel left
    out the rest. The others are the extended ack: *message* its words, *offset* where in the
    request the attribute stands that is wrong, *missing* the type of the one that is missing,
    and *missing_in* where in the request the nest stands that lacks it.
    """

    errno: int
    request: Message | None = None
    message: str = ""
    offset: int | None = None
    missing: int | None = None
    missing_in: int | None = None

    @property
    def attribute(self) -> int | None:
        """The type of the attribute at *offset*; None when the request is not at hand."""
        if self.offset is None or self.request is None:
            return None
        data = self.request.encode()
        if not _HEADER.size <= self.offset <= len(data) - _ATTRIBUTE.size:
            return None
        type_: int = _ATTRIBUTE.unpack_from(data, self.offset)[1]
        return type_ & NLA_TYPE_MASK


def _error(message: Message) -> Error:
    body = message.payload
    if len(body) < _ERRNO.size + _HEADER.size:
        raise Unmet(
            "An NLMSG_ERROR is too short.",
            expected=f"an errno and the header of the request, {_ERRNO.size + _HEADER.size} bytes",
            actual=f"{len(body)} bytes",
        )
    head = body[_ERRNO.size : _ERRNO.size + _HEADER.size]
    length, type_, flags, sequence, port = _HEADER.unpack(head)
    # an acknowledgement has the header alone
    has = _HEADER.size if message.flags & NLM_F_CAPPED else max(length, _HEADER.size)
    whole = body[_ERRNO.size : _ERRNO.size + has]
    request = Message(type_, whole[_HEADER.size :], flags, sequence, port, length)
    told = body[_ERRNO.size + _aligned(has) :] if message.flags & NLM_F_ACK_TLVS else b""
    return _with_ack(Error(_errno(body), request), told)


def _done(message: Message) -> Error:
    told = message.payload[_ERRNO.size :] if message.flags & NLM_F_ACK_TLVS else b""
    return _with_ack(Error(_errno(message.payload)), told)


def _errno(body: bytes) -> int:
    value: int = _ERRNO.unpack_from(body)[0]
    if not -_MAX_ERRNO <= value <= 0:
        raise Unmet(
            "A netlink message says of an error what is no errno.",
            expected=f"0, or a negative errno down to -{_MAX_ERRNO}",
            actual=str(value),
        )
    return -value


def _with_ack(error: Error, told: bytes) -> Error:
    """Return *error* with the extended ack *told*."""
    words, offset, missing, missing_in = 1, 2, 5, 6  # NLMSGERR_ATTR_*
    by = {a.type: a.payload for a in attributes(told)}
    return Error(
        error.errno,
        error.request,
        message=by.get(words, b"").rstrip(b"\0").decode(errors="replace"),
        offset=_number(by[offset]) if offset in by else None,
        missing=_number(by[missing]) if missing in by else None,
        missing_in=_number(by[missing_in]) if missing_in in by else None,
    )


class Dump(NamedTuple):
    """A dump: its entries, and whether what was dumped changed meanwhile (NLM_F_DUMP_INTR)."""

    entries: list[Message]
    interrupted: bool


def dump(answers: Sequence[Message]) -> Dump:
    """Return the dump that *answers* are; Unmet when it is none, or ends without NLMSG_DONE."""
    if not answers or answers[-1].type != NLMSG_DONE:
        raise Unmet(
            "The dump does not end with NLMSG_DONE.",
            expected="NLMSG_DONE is the last message",
            actual=f"type {answers[-1].type}" if answers else "no answer",
        )
    for number, message in enumerate(answers, 1):
        if not message.flags & NLM_F_MULTI:
            raise Unmet(f"Message {number} of {len(answers)} of the dump has no NLM_F_MULTI.")
        if message.type == NLMSG_DONE and number < len(answers):
            raise Unmet(f"After NLMSG_DONE there are {len(answers) - number} messages more.")
    ended = answers[-1].error
    if ended and ended.errno:
        raise Unmet("The dump ends with an error.", actual=errno_name(ended.errno))
    return Dump(list(answers[:-1]), any(m.flags & NLM_F_DUMP_INTR for m in answers))


# --- attributes ----------------------------------------------------------------------


@dataclass(frozen=True)
class Attribute:
    """An attribute. *flags* are those above its type; *length* as of a message."""

    type: int
    payload: bytes = b""
    flags: int = 0
    length: int | None = None

    def encode(self) -> bytes:
        """Return its bytes, filled up to a multiple of four."""
        length = _ATTRIBUTE.size + len(self.payload) if self.length is None else self.length
        head = _ATTRIBUTE.pack(length, self.type | self.flags)
        return head + self.payload + bytes(-len(self.payload) % 4)


def attributes(data: bytes) -> list[Attribute]:
    """Return the attributes in *data*; Unmet when their lengths do not fit what is there."""
    return [
        Attribute(type_ & NLA_TYPE_MASK, payload, type_ & ~NLA_TYPE_MASK, length)
        for (length, type_), payload in _pieces(data, _ATTRIBUTE, "attribute", "nla_len")
    ]


_NUMBERS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s8": "b", "s16": "h", "s32": "i"}
_NUMBERS |= {"s64": "q"}


class Policy:
    """Names and types of attributes, as a family's nla_policy has them.

    Each name has a number and a kind: u8 to u64, s8 to s64, "string" (with a NUL), "binary",
    "flag", or a Policy for a nest::

        Policy({"name": (1, "string"), "value": (2, "u32")})
    """

    def __init__(self, kinds: Mapping[str, tuple[int, str | Policy]]) -> None:
        for name, (_, kind) in kinds.items():
            if isinstance(kind, str) and kind not in {*_NUMBERS, "string", "binary", "flag"}:
                raise ValueError(f"The attribute {name!r} has a kind that is none: {kind!r}.")
        self._kinds = dict(kinds)
        self._names = {number: name for name, (number, _) in kinds.items()}

    def build(self, **values: Any) -> bytes:
        """Return the attributes with these values, in this order; a list makes several of one."""
        made = b""
        for name, value in values.items():
            number, kind = self._kinds[name]
            for one in value if isinstance(value, list) else [value]:
                made += self._attribute(number, kind, one).encode()
        return made

    @staticmethod
    def _attribute(number: int, kind: str | Policy, value: Any) -> Attribute:
        if isinstance(kind, Policy):
            return Attribute(number, kind.build(**value), NLA_F_NESTED)
        if kind in _NUMBERS:
            return Attribute(number, struct.pack(_ORDER + _NUMBERS[kind], value))
        if kind == "string":
            return Attribute(number, value.encode() + b"\0")
        return Attribute(number, b"" if kind == "flag" else value)

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the values by name; of one that is there twice the last. Unmet for a wrong one.

        An attribute that the policy does not have goes by its number, as text, with its bytes.
        """
        found: dict[str, Any] = {}
        for attribute in attributes(data):
            name = self._names.get(attribute.type, str(attribute.type))
            kind = self._kinds[name][1] if name in self._kinds else "binary"
            found[name] = self._value(name, kind, attribute.payload)
        return found

    @staticmethod
    def _value(name: str, kind: str | Policy, data: bytes) -> Any:
        if isinstance(kind, Policy):
            return kind.read(data)
        if kind in _NUMBERS:
            form = struct.Struct(_ORDER + _NUMBERS[kind])
            if len(data) != form.size:
                raise Unmet(
                    f"The attribute {name!r} has a wrong size.",
                    expected=f"{form.size} bytes, as a {kind} has",
                    actual=f"{len(data)} bytes",
                )
            return form.unpack(data)[0]
        if kind == "string":
            return data.split(b"\0")[0].decode(errors="replace")
        return True if kind == "flag" else data


# --- datagrams, and who sends and receives them --------------------------------------


_NO_UNIT = (
    "No module has made this unit of netlink: call netlink_kernel_create() in init, for the unit "
    "that the handout names, and look at what it returns."
)


class Failed(Unmet):
    """A step in the guest did not work: *step* is open, group, port, send, ..., *errno* why."""

    def __init__(self, step: str, errno: int) -> None:
        super().__init__(
            f"The netlink step {step!r} fails in the guest.",
            expected="it works",
            actual=errno_name(errno),
            hint=_NO_UNIT if (step, errno) == ("open", errnos.EPROTONOSUPPORT) else "",
        )
        self.step = step
        self.errno = errno


@dataclass(frozen=True)
class Datagram:
    """What one recvmsg() brought: *sender* is a port id, 0 the kernel; *group* 0 for none."""

    sender: int
    group: int
    flags: int
    data: bytes

    @property
    def messages(self) -> list[Message]:
        """The messages in it; Unmet when it was cut."""
        if self.flags & MSG_TRUNC:
            raise Unmet(f"A netlink datagram has more than the {len(self.data)} bytes of room.")
        return parse(self.data)


@dataclass
class Socket:
    """A netlink socket of a Conversation; *received* and *lost* are known when that was run.

    *lost* says how often the kernel told that its buffer was full (ENOBUFS).
    """

    _conversation: Conversation
    _number: int
    received: list[Datagram] = field(default_factory=list)
    lost: int = 0

    def send(self, data: Message | bytes, to: int = 0) -> None:
        """Send a message, or any bytes, as a datagram; *to* is a port id, 0 the kernel."""
        raw = data.encode() if isinstance(data, Message) else data
        self._conversation.then(self._number, f"to={to}", f"send={raw.hex()}")

    def receive(self, count: int = 0, seconds: float = 1.0) -> None:
        """Receive *count* datagrams, or until none came for *seconds* of the guest's time."""
        step = f"receive={count},{_ms(seconds)}"
        self._conversation.then(self._number, step, seconds=seconds)

    @property
    def messages(self) -> list[Message]:
        """The messages of all datagrams."""
        return [message for datagram in self.received for message in datagram.messages]


class Conversation:
    """Steps of one or several sockets, done one after another by one program in the guest.

    *user* is a user id other than root's, for what an ordinary user may do::

        talk = netlink.Conversation()
        reader, writer = talk.open(16, room=4096), talk.open(16)
        reader.send(ask)
        reader.receive(1)
        writer.send(change)
        reader.receive()
        talk.run(guest)
    """

    def __init__(self, *, user: int = 0) -> None:
        self._steps = [f"user={user}"] if user else []
        self._sockets: list[Socket] = []
        self._last = -1
        self._seconds = 10.0  # for all that does not wait

    def open(
        self, unit: int, *, port: int = 0, groups: Sequence[int] = (), room: int = 0, size: int = 0
    ) -> Socket:
        """Open a socket with this port id (0: the kernel's choice) in these groups.

        *room* is how many bytes it receives at a time, *size* its SO_RCVBUF.
        """
        self._steps += _opened(unit, port, groups)
        self._steps += [f"room={room}"] * bool(room) + [f"buffer={size}"] * bool(size)
        self._sockets.append(Socket(self, len(self._sockets)))
        self._last = len(self._sockets) - 1
        return self._sockets[-1]

    def then(self, socket: int, *steps: str, seconds: float = 0) -> None:
        """Add steps of a socket, which may take so many seconds beyond what they do."""
        if socket != self._last:
            self._steps.append(f"use={socket}")
            self._last = socket
        self._steps += steps
        self._seconds += seconds

    def run(self, guest: Guest, *, netns: str = "") -> None:
        """Do all that; Failed when a step does not work, Late when one does not come back."""
        argv = ["/sbin/tool", "netlink", *self._steps]
        done = guest.run(argv, deadline=self._seconds, netns=netns)
        for socket, datagram in _lines(done, len(self._sockets)):
            if datagram:
                self._sockets[socket].received.append(datagram)
            else:
                self._sockets[socket].lost += 1
        _require(done)


def request(
    guest: Guest,
    unit: int,
    messages: Sequence[Message | bytes],
    *,
    seconds: float = 1.0,
    netns: str = "",
    user: int = 0,
) -> list[Message]:
    """Send each of *messages* in a datagram of its own; return all that is answered.

    After each, answers are waited for until none comes for *seconds* of the guest's time,
    which costs nothing. Raises Failed when the unit is not there or a message is not taken.
    """
    talk = Conversation(user=user)
    socket = talk.open(unit)
    for message in messages:
        socket.send(message)
        socket.receive(seconds=seconds)
    talk.run(guest, netns=netns)
    if socket.lost:
        raise Unmet("The kernel lost answers: there are more than a socket's buffer holds.")
    return socket.messages


class Listener:
    """A program in the guest that receives; see listening()."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.lost = 0

    def stop(self, seconds: float = 1.0) -> list[Datagram]:
        """Let it receive until none comes for *seconds*; return all datagrams since the start."""
        self._process.write(f"{_ms(seconds)}\n".encode())
        done = self._process.wait(10 + seconds)
        found = [datagram for _, datagram in _lines(done, 1)]
        self.lost = found.count(None)
        _require(done)
        return [datagram for datagram in found if datagram]


@contextlib.contextmanager
def listening(
    guest: Guest, unit: int, *, port: int, groups: Sequence[int] = (), netns: str = ""
) -> Iterator[Listener]:
    """Yield a Listener on *port* that is a member of *groups* already.

    Raises Failed when it cannot be, as where the unit is not there or the port id is taken.
    """
    argv = ["/sbin/tool", "netlink", *_opened(unit, port, groups), "listen=1000"]
    process = guest.start(argv, netns=netns, stdin=True)
    try:
        awaited = ["/sbin/tool", "await", "netlink", str(unit), str(port)]
        if not guest.run(awaited, deadline=3, netns=netns).ok:
            _require(process.kill())
            raise Late("The program that listens does not come up in the guest.")
        yield Listener(process)
    finally:
        if process.result is None and not guest.dead:
            process.kill()


class Bound(NamedTuple):
    """A netlink socket of the guest, as /proc/net/netlink lists it; the kernel's has port 0."""

    unit: int
    port: int


def sockets(guest: Guest, netns: str = "") -> list[Bound]:
    """Return the netlink sockets that the guest has."""
    rows = re.findall(r"^\w+ +(\d+) +(\d+) ", guest.read("/proc/net/netlink", netns), re.MULTILINE)
    return [Bound(int(unit), int(port)) for unit, port in rows]


def _opened(unit: int, port: int, groups: Sequence[int]) -> list[str]:
    # the port last: where it is seen, all else is so
    return [f"open={unit}", *(f"group={group}" for group in groups), f"port={port}"]


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


_LINE = re.compile(
    r"(\d{1,2}) (?:lost|(\d{1,10}) (\d{1,10}) (0|0x[0-9a-f]{1,8}) ((?:[0-9a-f]{2})*))"
)


def _lines(done: Result, sockets: int) -> Iterator[tuple[int, Datagram | None]]:
    """Yield what the program in the guest has printed: None for datagrams that were lost."""
    # a program that was killed may have been in the middle of a line
    for line in done.text.split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None or int(match[1]) >= sockets:
            raise Unmet("The guest prints of netlink what no program there does.", actual=line[:80])
        number, sender, group, flags, data = match.groups()
        lost = data is None
        yield (
            int(number),
            None
            if lost
            else Datagram(int(sender), int(group), int(flags, 16), bytes.fromhex(data)),
        )


def _require(done: Result) -> None:
    """Raise what came of a program in the guest that did not do all its steps."""
    if done.how == "timeout":
        raise Late(
            "A program that talks netlink with the module does not come back.",
            expected="each message is taken, answered, and the program ends",
            actual="it still waits",
            hint="The module's input function runs in the sender's context: what it waits for, "
            "the sender waits for.",
        )
    if done.how == "signalled":
        raise Unmet(
            "The program that sent a netlink message was killed.", actual=f"signal {done.value}"
        )
    if done.value:
        raise Failed(done.err.decode(errors="replace").partition(":")[0], done.value)


# --- generic netlink -----------------------------------------------------------------

_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 3
_GROUP = Policy({"name": (1, "string"), "id": (2, "u32")})
_FAMILY = Policy(
    {
        "id": (1, "u16"),
        "name": (2, "string"),
        "version": (3, "u32"),
        "groups": (7, "binary"),
    }
)


def generic(command: int, attributes: bytes = b"", version: int = 1) -> bytes:
    """Return the payload of a generic netlink message."""
    return _GENERIC.pack(command, version, 0) + attributes


class Command(NamedTuple):
    """What the payload of a generic netlink message says; *attributes* as bytes."""

    command: int
    version: int
    attributes: bytes


def command(message: Message) -> Command:
    """Read the payload of a generic netlink message; Unmet when it is too short."""
    if len(message.payload) < _GENERIC.size:
        raise Unmet(
            "A generic netlink message is too short.",
            expected=f"a genlmsghdr, {_GENERIC.size} bytes",
            actual=f"{len(message.payload)} bytes",
        )
    number, version, _ = _GENERIC.unpack_from(message.payload)
    return Command(number, version, message.payload[_GENERIC.size :])


@dataclass(frozen=True)
class Family:
    """A family of generic netlink, as the kernel lists it; *groups* are ids by their names."""

    id: int
    name: str
    version: int
    groups: dict[str, int]

    def message(
        self,
        command: int,
        attributes: bytes = b"",
        *,
        flags: int = NLM_F_REQUEST,
        sequence: int = 0,
    ) -> Message:
        """Return a message to the family."""
        payload = generic(command, attributes, self.version)
        return Message(self.id, payload, flags, sequence)


def family(guest: Guest, name: str, netns: str = "") -> Family:
    """Ask the guest's kernel for the family *name*; Unmet when there is none."""
    asked = _FAMILY.build(name=name)
    ask = Message(_GENL_ID_CTRL, generic(_CTRL_CMD_GETFAMILY, asked))
    answers = request(guest, NETLINK_GENERIC, [ask], netns=netns)
    if not answers or answers[0].error:
        error = answers[0].error if answers else None
        raise Unmet(
            f"There is no generic netlink family {name!r}.",
            expected="CTRL_CMD_GETFAMILY finds it",
            actual=errno_name(error.errno) if error else "no answer",
        )
    return read_family(answers[0])


def read_family(message: Message) -> Family:
    """Read the kernel's answer to CTRL_CMD_GETFAMILY."""
    told = _FAMILY.read(command(message).attributes)
    listed = [_GROUP.read(one.payload) for one in attributes(told.get("groups", b""))]
    try:
        groups = {one["name"]: one["id"] for one in listed}
        return Family(told["id"], told["name"], told["version"], groups)
    except KeyError as error:
        raise Unmet(f"The kernel's entry of the family lacks its {error.args[0]}.") from error
