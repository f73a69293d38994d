"""Netlink messages are built and read as the kernel does, and a guest sends and receives them."""

from __future__ import annotations

import contextlib
import errno
import random
import struct
from collections.abc import Iterator

import pytest
from pyroute2.netlink import ctrlmsg, nlmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from support import ROOT

from checker.engine.testbed import Unmet
from checker.kit import net, netlink
from checker.kit.netlink import Attribute, Message, Policy
from vm import snapshot
from vm.guest import Guest
from vm.machine import Config

RTM_NEWLINK, RTM_GETLINK = 16, 18
CREATE = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK | 0x600
DUMP = netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP
IP = "/bin/ip"

LINK = Policy({"name": (3, "string"), "info": (18, Policy({"kind": (1, "string")}))})
"""Some of rtnetlink's attributes of a link."""


def recorded(name: str) -> list[bytes]:
    """Return the datagrams that a kernel sent: tests/data/netlink, each a paragraph of hex."""
    text = (ROOT / "tests" / "data" / "netlink" / f"{name}.hex").read_text()
    return [bytes.fromhex(part) for part in text.split("\n", 1)[1].split("\n\n")]


def link(index: int = 0) -> bytes:
    """Return the head of a message about a link (struct ifinfomsg)."""
    return struct.pack("<BxHiII", 0, 0, index, 0, 0)


@contextlib.contextmanager
def links(guest: Guest, number: int) -> Iterator[None]:
    """Have so many pairs of links more in *guest*."""
    with contextlib.ExitStack() as stack:
        for name in (f"more{n}" for n in range(number)):
            add = [IP, "link", "add", name, "type", "veth", "peer", "name", f"{name}b"]
            stack.enter_context(net.changed(guest, add, [IP, "link", "del", name]))
        yield


# --- bytes ---------------------------------------------------------------------------


def test_a_message_is_what_another_library_reads() -> None:
    """Header and payload are where pyroute2 has them."""
    raw = Message(20, b"hello", netlink.NLM_F_REQUEST | netlink.NLM_F_ACK, 7, 9).encode()
    other = nlmsg(raw)
    other.decode()
    assert len(raw) == 24
    assert other["header"] == {
        "length": 21, "type": 20, "flags": 5, "sequence_number": 7, "pid": 9
    }  # fmt: skip


def test_what_another_library_builds_is_read() -> None:
    """A family's entry by pyroute2, with nests in nests, has its names and numbers."""
    other = ctrlmsg()
    other["header"]["type"] = 16
    other["cmd"], other["version"] = 1, 2
    group = [("CTRL_ATTR_MCAST_GRP_ID", 5), ("CTRL_ATTR_MCAST_GRP_NAME", "changes")]
    other["attrs"] = [
        ("CTRL_ATTR_FAMILY_ID", 40),
        ("CTRL_ATTR_FAMILY_NAME", "genlab"),
        ("CTRL_ATTR_VERSION", 3),
        ("CTRL_ATTR_MCAST_GROUPS", [{"attrs": group}]),
    ]
    other.encode()
    (message,) = netlink.parse(bytes(other.data))
    assert netlink.read_family(message) == netlink.Family(40, "genlab", 3, {"changes": 5})


def test_attributes_are_what_another_library_reads() -> None:
    """A text, and a nest with a text, as pyroute2 reads a link's."""
    attributes = LINK.build(name="fresh", info={"kind": "veth"})
    other = ifinfmsg(Message(RTM_NEWLINK, link(4) + attributes).encode())
    other.decode()
    assert other["index"] == 4
    assert other.get_attr("IFLA_IFNAME") == "fresh"
    assert other.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    assert LINK.read(attributes) == {"name": "fresh", "info": {"kind": "veth"}}


def test_a_kernels_dump_is_read() -> None:
    """Links over several datagrams, each as pyroute2 reads it."""
    messages = [m for datagram in recorded("links") for m in netlink.parse(datagram)]
    entries, interrupted = netlink.dump(messages)
    theirs = []
    for entry in entries:
        other = ifinfmsg(entry.encode())
        other.decode()
        theirs.append(other.get_attr("IFLA_IFNAME"))
    assert [LINK.read(entry.payload[16:])["name"] for entry in entries] == theirs
    assert theirs == ["lo", "eth0", "left", "right"]
    assert not interrupted


def test_a_kernels_family_is_read() -> None:
    """The controller's own entry, with its group."""
    (message,) = netlink.parse(recorded("family")[0])
    assert netlink.read_family(message) == netlink.Family(16, "nlctrl", 2, {"notify": 16})


def test_an_extended_ack_is_read() -> None:
    """An error has its words, and the attribute of the request that is wrong."""
    (message,) = netlink.parse(recorded("error")[0])
    error = message.error
    assert error is not None
    assert error.errno == errno.EINVAL
    assert error.message == "Attribute failed policy validation"
    assert (error.offset, error.attribute, error.missing) == (20, 2, None)
    assert error.request is not None
    assert (error.request.type, error.request.sequence) == (16, 9)


def test_a_missing_attribute_is_told() -> None:
    """The extended ack of a request that lacks one has its type and the nest's place."""
    request = Message(40, netlink.generic(1)).encode()
    told = b"".join(Attribute(n, struct.pack("<I", v)).encode() for n, v in [(5, 3), (6, 20)])
    body = struct.pack("<i", -errno.EINVAL) + request + told
    error = Message(netlink.NLMSG_ERROR, body, netlink.NLM_F_ACK_TLVS).error
    assert error is not None
    assert (error.errno, error.missing, error.missing_in) == (errno.EINVAL, 3, 20)
    assert error.attribute is None


def test_an_acknowledgement_has_the_header_alone() -> None:
    """Its request is longer than what is there of it, and the extended ack comes at once."""
    head = struct.pack("<iIHHII", 0, 400, 40, 5, 3, 0)
    words = Attribute(1, b"a warning\0").encode()
    flags = netlink.NLM_F_CAPPED | netlink.NLM_F_ACK_TLVS
    error = Message(netlink.NLMSG_ERROR, head + words, flags).error
    assert error is not None
    assert (error.errno, error.message) == (0, "a warning")
    assert error.request is not None
    assert (error.request.sequence, error.request.length) == (3, 400)


def test_several_messages_share_a_buffer() -> None:
    """Each begins at a multiple of four, and they come back as they were."""
    sent = [Message(20, b"a", sequence=1), Message(21, b"", sequence=2), Message(22, b"abcde")]
    raw = netlink.buffer(sent)
    assert len(raw) == 20 + 16 + 24
    assert [(m.type, m.payload, m.sequence) for m in netlink.parse(raw)] == [
        (20, b"a", 1),
        (21, b"", 2),
        (22, b"abcde", 0),
    ]


@pytest.mark.parametrize("length", [0, 15, 21, 0xFFFFFFFF])
def test_a_length_may_lie(length: int) -> None:
    """It is sent as it was asked for, and told when it is read."""
    raw = Message(20, b"abcd", length=length).encode()
    assert (len(raw), raw[:4]) == (20, struct.pack("<I", length))
    with pytest.raises(Unmet, match="wrong length") as told:
        netlink.parse(raw)
    assert told.value.actual == f"nlmsg_len is {length}"


@pytest.mark.parametrize("length", [0, 3, 9])
def test_an_attributes_length_may_lie(length: int) -> None:
    """A length of 0, on which pyroute2 0.9.7 reads without end, is told as well."""
    raw = Attribute(2, b"abcd", length=length).encode()
    with pytest.raises(Unmet, match="attribute at byte 0 of 8 has a wrong length"):
        netlink.attributes(raw)


def test_no_bytes_are_the_graders_trouble() -> None:
    """Whatever a module makes of a message, it is read, or Unmet is raised."""
    choose = random.Random(5)  # noqa: S311
    for raw in [datagram for name in ("links", "family", "error") for datagram in recorded(name)]:
        for _ in range(300):
            spoilt = bytearray(raw[: choose.randint(0, len(raw))] or raw)
            for _ in range(choose.randint(1, 5)):
                spoilt[choose.randrange(len(spoilt))] = choose.choice([0, 1, 2, 3, 4, 128, 255])
            try:
                for message in netlink.parse(bytes(spoilt)):
                    assert message.error is None or message.error.attribute != -1
                    netlink.read_family(message)
            except Unmet:
                continue


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "does not end with NLMSG_DONE"),
        ([Message(20, flags=2)], "does not end with NLMSG_DONE"),
        ([Message(20, flags=0), Message(3, bytes(4), flags=2)], "Message 1 of 2 .* NLM_F_MULTI"),
        ([Message(3, bytes(4), flags=2)] * 2, "After NLMSG_DONE there are 1 messages"),
        ([Message(3, struct.pack("<i", -5), flags=2)], "ends with an error"),
    ],
)
def test_a_dump_is_whole(messages: list[Message], says: str) -> None:
    """One that is not multipart, has no end, more behind it, or an error, is told."""
    with pytest.raises(Unmet, match=says):
        netlink.dump(messages)


def test_a_value_has_its_size() -> None:
    """An attribute that is shorter than its kind is told by its name."""
    policy = Policy({"value": (2, "u32"), "on": (3, "flag"), "low": (4, "s8")})
    assert policy.read(policy.build(value=7, on=True, low=-1)) == {
        "value": 7, "on": True, "low": -1
    }  # fmt: skip
    with pytest.raises(Unmet, match="'value' has a wrong size"):
        policy.read(Attribute(2, b"ab").encode())


def test_a_kind_that_is_none_is_refused() -> None:
    """A policy with a kind that nobody knows is the author's mistake, told at once."""
    with pytest.raises(ValueError, match="'value' has a kind that is none: 'int'"):
        Policy({"value": (2, "int")})


# --- in a guest ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def guest(config: Config) -> Iterator[Guest]:
    """A guest that no code of a submission is in; each test leaves it as it was."""
    with snapshot.guest(config, {}) as fresh:
        yield fresh


@pytest.mark.vm
def test_a_kernel_answers_a_dump(guest: Guest) -> None:
    """Of the guest's links, with the sequence number of who asked."""
    answers = netlink.request(guest, netlink.NETLINK_ROUTE, [Message(RTM_GETLINK, link(), DUMP, 7)])
    entries, _ = netlink.dump(answers)
    assert {m.sequence for m in answers} == {7}
    names = [LINK.read(entry.payload[16:])["name"] for entry in entries]
    assert names[:2] == ["lo", "eth0"]


@pytest.mark.vm
def test_a_family_has_its_number_and_groups(guest: Guest) -> None:
    """As the controller tells them; a family that is not there is Unmet."""
    found = netlink.family(guest, "nlctrl")
    assert (found.id, found.name, list(found.groups)) == (16, "nlctrl", ["notify"])
    with pytest.raises(Unmet, match="no generic netlink family 'nosuch'") as told:
        netlink.family(guest, "nosuch")
    assert told.value.actual.startswith("ENOENT")


@pytest.mark.vm
def test_a_kernels_error_names_the_attribute(guest: Guest) -> None:
    """Its extended ack comes, and points at the attribute that is too long."""
    family = netlink.family(guest, "nlctrl")
    bad = family.message(3, Attribute(2, b"a" * 20 + b"\0").encode(), sequence=9)
    (answer,) = netlink.request(guest, netlink.NETLINK_GENERIC, [bad])
    assert answer.error is not None
    assert answer.error.errno in (errno.EINVAL, errno.ERANGE)
    assert (answer.sequence, answer.error.attribute) == (9, 2)
    assert "policy" in answer.error.message


@pytest.mark.vm
def test_a_user_may_do_less_than_root(guest: Guest) -> None:
    """Who is not root is refused a new link, and may ask for one."""
    new = Message(RTM_NEWLINK, link(1), netlink.NLM_F_REQUEST | netlink.NLM_F_ACK, 1)
    get = Message(RTM_GETLINK, link(1), netlink.NLM_F_REQUEST | netlink.NLM_F_ACK, 2)
    answers = netlink.request(guest, netlink.NETLINK_ROUTE, [new, get], user=65534)
    errors = {a.sequence: a.error.errno for a in answers if a.error}
    assert errors == {1: errno.EPERM, 2: 0}


def test_a_unit_that_no_module_has_made_has_a_next_step() -> None:
    """What fails for another reason has none."""
    assert "netlink_kernel_create()" in netlink.Failed("open", errno.EPROTONOSUPPORT).hint
    assert netlink.Failed("open", errno.EMFILE).hint == ""
    assert netlink.Failed("send", errno.EPROTONOSUPPORT).hint == ""


@pytest.mark.vm
def test_a_unit_that_is_not_there_is_told(guest: Guest) -> None:
    """By the step that failed, and its errno."""
    with pytest.raises(netlink.Failed) as told:
        netlink.request(guest, 31, [b"x"])
    assert (told.value.step, told.value.errno) == ("open", errno.EPROTONOSUPPORT)
    with pytest.raises(netlink.Failed), netlink.listening(guest, 31, port=5):
        pass


@pytest.mark.vm
def test_a_dump_can_be_paused(guest: Guest) -> None:
    """A link that comes in the middle makes it an interrupted one."""
    with links(guest, 6):
        talk = netlink.Conversation()
        reader = talk.open(netlink.NETLINK_ROUTE, room=4096)
        writer = talk.open(netlink.NETLINK_ROUTE)
        reader.send(Message(RTM_GETLINK, link(), DUMP, 1))
        reader.receive(1)
        attributes = LINK.build(name="fresh", info={"kind": "veth"})
        writer.send(Message(RTM_NEWLINK, link() + attributes, CREATE, 2))
        writer.receive()
        reader.receive()
        talk.run(guest)
        guest.run([IP, "link", "del", "fresh"])
    assert [m.error.errno for m in writer.messages if m.error] == [0]
    assert len(reader.received) > 3
    assert netlink.dump(reader.messages).interrupted


@pytest.mark.vm
def test_lost_datagrams_are_counted(guest: Guest) -> None:
    """A socket with a small buffer, whose owner does not read, loses some and is told so."""
    talk = netlink.Conversation()
    slow = talk.open(netlink.NETLINK_ROUTE, size=1)
    for number in range(100):
        slow.send(Message(RTM_GETLINK, link(1), sequence=number))
    slow.receive()
    talk.run(guest)
    assert slow.lost == 1
    assert len(slow.received) < 100


@pytest.mark.vm
def test_a_datagram_that_was_cut_is_told(guest: Guest) -> None:
    """By recvmsg()'s flag; its messages are not read."""
    talk = netlink.Conversation()
    small = talk.open(netlink.NETLINK_ROUTE, room=100)
    small.send(Message(RTM_GETLINK, link(1)))
    small.receive(1)
    talk.run(guest)
    (cut,) = small.received
    assert (cut.flags & netlink.MSG_TRUNC, len(cut.data)) == (netlink.MSG_TRUNC, 100)
    with pytest.raises(Unmet, match="more than the 100 bytes of room"):
        _ = cut.messages


@pytest.mark.vm
def test_a_program_sends_to_another_one(guest: Guest) -> None:
    """With its own port id as the sender's; the kernel lists who listens."""
    with netlink.listening(guest, netlink.NETLINK_GENERIC, port=4711) as listener:
        assert netlink.Bound(netlink.NETLINK_GENERIC, 4711) in netlink.sockets(guest)
        talk = netlink.Conversation()
        talk.open(netlink.NETLINK_GENERIC, port=99).send(b"hello", to=4711)
        talk.run(guest)
        (heard,) = listener.stop()
    assert (heard.sender, heard.group, heard.data) == (99, 0, b"hello")
    assert netlink.Bound(netlink.NETLINK_GENERIC, 4711) not in netlink.sockets(guest)


@pytest.mark.vm
def test_a_group_is_told_of_a_change(guest: Guest) -> None:
    """Who is a member hears of a link's new MTU from the kernel, with the group's number."""
    mtu = [IP, "link", "set", "left", "mtu"]
    with netlink.listening(guest, netlink.NETLINK_ROUTE, port=5, groups=[1]) as listener:
        with net.changed(guest, [*mtu, "1400"], [*mtu, "1500"]):
            pass
        heard = listener.stop()
    assert {(datagram.sender, datagram.group) for datagram in heard} == {(0, 1)}
    told = [LINK.read(m.payload[16:])["name"] for datagram in heard for m in datagram.messages]
    assert len(told) >= 2
    assert set(told) == {"left"}


@pytest.mark.vm
def test_a_conversation_may_be_long(guest: Guest) -> None:
    """Hundreds of messages go in one, and each is answered."""
    talk = netlink.Conversation()
    socket = talk.open(netlink.NETLINK_ROUTE)
    for number in range(400):
        socket.send(Message(RTM_GETLINK, link(99), sequence=number))
        socket.receive(1)
    talk.run(guest)
    assert [message.sequence for message in socket.messages] == list(range(400))
