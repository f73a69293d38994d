"""The networking lab's diagnoses: what a check saw in, the mistake and the next step out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT

CHECKS = ROOT / "labs" / "networking" / "checks"


@pytest.fixture(scope="module")
def diagnose() -> Iterator[ModuleType]:
    """The lab's module of that name, found as the lab's checks find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKS)
        import diagnose  # type: ignore[import-not-found]

        assert Path(diagnose.__file__).parent == CHECKS
        yield diagnose
        del sys.modules["diagnose"]


ANY = "0.0.0.0"  # noqa: S104
CLIENT, SERVER = ("127.188.213.41", 25718), ("127.10.127.132", 28227)
MINE, ANSWER = "127.188.213.41:25718", "127.10.127.132:28227"


def _connection(diagnose: ModuleType, *logged: str, log: str = "", arrived: bool = True) -> str:
    ends = diagnose.End(*CLIENT), diagnose.End(*SERVER)
    return str(diagnose.connection(*ends, list(logged), log=log, arrived=arrived))


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ("127.188.213.41:30308", "Put ntohs() around tcph->source"),
        ("127.188.213.41:1685454848", "Take ntohs() for the port"),
        ("127.188.213.41:25718.", "Put a space behind the port"),
        ("127.188.213.41:28227", "the destination's, dest"),
        ("127.188.213.41:17262", "the destination's, dest"),  # and not converted
        ("127.10.127.132:25718", "the destination's, daddr"),
        ("41.213.188.127:25718", "its four bytes turned round"),
        ("2143081769:25718", "it came as a number"),
        ("701873279:25718", "it came as a number"),
        ("0x7fbcd529:25718", "it came as a number"),
        ("7fbcd529:25718", "it came as a number"),
        ("00000000a8f1c3d2:25718", "a plain %p"),
        ("(____ptrval____):25718", "a plain %p"),
        (ANSWER, "Print saddr and source"),
        ("127.188.213.41:257181", 'Take "1" out of the line'),
        ("127.188.213.41:025718", 'Take "0" out of the line'),
        ("1127.188.213.41:25718", 'Take "1" out of the line'),
        ("127.188.213.041:25718", "with a capital I"),
        ("127.188.213.41:6476", "in hexadecimal digits"),
        ("127.188.213.41:0x7664", "in hexadecimal digits"),
        ("127.188.213.41 : 25718", "without blanks between them"),
        ("127.188.213.41", "Log the port as well"),
    ],
)
def test_line_of_a_connection(diagnose: ModuleType, logged: str, told: str) -> None:
    """A line that names the wrong end, or the right one in the wrong form, tells which it is."""
    assert told in _connection(diagnose, logged)


@pytest.mark.parametrize(
    "logged",
    ["127.188.213.41:25719", "127.188.213.42:25718", "10.0.0.1:7", "%pI4:25718", ":", "127.0.0.1"],
)
def test_line_that_tells_nothing(diagnose: ModuleType, logged: str) -> None:
    """Where the evidence fits no known mistake, no mistake is named."""
    assert _connection(diagnose, logged) == ""


def test_lines_of_every_packet(diagnose: ModuleType) -> None:
    """More than one line for each end are the flags; other lines beside the right one are not."""
    assert "syn is set" in _connection(diagnose, MINE, ANSWER, MINE)
    assert "several hooks" in _connection(diagnose, MINE, MINE, MINE)
    assert "the flag syn is set" in _connection(diagnose, MINE, MINE, MINE)
    assert "Register one hook, once" in _connection(diagnose, MINE, MINE)
    assert "are nobody's" in _connection(diagnose, MINE, "127.188.213.41:25719")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", "NF_INET_LOCAL_OUT"),
        ("[    1.000000] filter: loaded", "NF_INET_LOCAL_OUT"),
        (f"[    1.000000] new connection: {MINE}", "own words"),
        ("[    1.000000] TCP from 127.188.213.41, port 25718", "own words; the address and the"),
        ("[    1.000000] from 127.188.213.41\n[    1.000001] port 25718", "in two lines now"),
        ("[    1.000000] from 127.188.213.41", "Log the port as well"),
        ("[    1.000000] syn 29d5bc7f 25718", "the log has it as a number"),
        ("[    1.000000] syn to 127.10.127.132:28227", "the log has the destination's address"),
        (
            "[    1.000000] a packet\n[    1.000100] a packet",
            'The hook is called: the log has its "a',
        ),
        ("[    1.000000] 127.188.213.419 257180", "NF_INET_LOCAL_OUT"),  # other numbers
    ],
)
def test_nothing_logged(diagnose: ModuleType, log: str, told: str) -> None:
    """What stands in the log in other words is used; only an empty one asks for the hook."""
    assert told in _connection(diagnose, log=log)


def test_an_address_of_three_digits_each_says_nothing_of_its_format(diagnose: ModuleType) -> None:
    """%pi4 and %pI4 write it the same: the mistake is the port."""
    ends = diagnose.End("127.229.110.156", 20014), diagnose.End("127.69.61.210", 29845)
    told = diagnose.connection(*ends, ["127.229.110.156:11854"], log="", arrived=True)
    assert "ntohs()" in told


def test_address_and_port_in_two_lines(diagnose: ModuleType) -> None:
    """The exercise's words with the address alone, and the port in a line of its own."""
    log = "[ 1.000000] TCP connection initiated from 127.188.213.41\n[ 1.000001] port 25718"
    assert "in two lines now" in _connection(diagnose, "127.188.213.41", log=log)
    log = "[ 1.000000] TCP connection initiated from 127.188.213.41 : 25718"
    assert "without blanks" in _connection(diagnose, "127.188.213.41", log=log)


def test_what_left_this_host(diagnose: ModuleType) -> None:
    """Nothing logged is the hook's place; a line in a wrong form is told as such."""
    ends = diagnose.End("10.0.2.15", 20001), diagnose.End("198.51.100.1", 80)

    def told(*logged: str, log: str = "") -> str:
        return str(diagnose.left_this_host(["10.0.2.15:20001"], logged, *ends, log=log))

    assert "hooknum to NF_INET_LOCAL_OUT" in told()
    assert "Put ntohs()" in told("10.0.2.15:8526")
    assert "more than one hook" in told("10.0.2.15:20001", "10.0.2.15:20001")
    assert "own words" in told(log="[ 1.0] TCP from 10.0.2.15:20001")


def test_uses_in_a_row(diagnose: ModuleType) -> None:
    """A connection that fails is the hook's verdict; what an ioctl says there is meant to fail."""
    said = "ioctl: Bad address\nconnect: Operation now in progress"
    assert "NF_ACCEPT" in diagnose.in_a_row(said)
    assert not diagnose.in_a_row("ioctl: Bad address")


def test_packets_that_do_not_arrive(diagnose: ModuleType) -> None:
    """A SYN that is sent again and again is a dropped one, and no matter of the flags."""
    assert "NF_ACCEPT" in _connection(diagnose, MINE, MINE, MINE, arrived=False)
    assert "NF_ACCEPT" in _connection(diagnose, arrived=False)


def test_more_than_the_opening_packet(diagnose: ModuleType) -> None:
    """One line more, the listener's, is ACK not looked at; many are both flags."""
    ends = diagnose.End(*CLIENT), diagnose.End(*SERVER)
    assert "ack is 0" in diagnose.more_lines(*ends, [MINE, ANSWER])
    assert "syn is set" in diagnose.more_lines(*ends, [MINE, ANSWER, MINE, MINE])
    assert diagnose.more_lines(*ends, [MINE, "1.2.3.4:5"]) == ""
    assert diagnose.more_lines(*ends, []) == ""


def test_lines_of_a_hook_left_behind(diagnose: ModuleType) -> None:
    """Each line as often again is a second hook; a missing line is a memory of those before."""
    assert "nf_unregister_net_hook" in diagnose.again([MINE, ANSWER], [MINE, MINE, ANSWER, ANSWER])
    assert "whatever was logged before" in diagnose.again([MINE, ANSWER], [MINE])
    assert diagnose.again([MINE, ANSWER], [MINE, MINE, ANSWER]) == ""
    assert diagnose.again([MINE], [MINE, "1.2.3.4:5"]) == ""
    assert diagnose.again([MINE], []) == ""


def test_connection_that_comes_in(diagnose: ModuleType) -> None:
    """The other host's line is the wrong hook; this host's is its answer, with ACK."""
    ends = diagnose.End("10.0.3.2", 1000), diagnose.End("10.0.3.1", 2000)
    assert "hooknum" in diagnose.received(*ends, ["10.0.3.2:1000"])
    assert "ack is 0" in diagnose.received(*ends, ["10.0.3.1:2000"])
    assert diagnose.received(*ends, ["10.0.3.9:1"]) == ""


def test_major_number_taken(diagnose: ModuleType) -> None:
    """Success and a wrong error are told apart."""
    assert "nobody looked at it" in diagnose.major_taken("")
    assert "not EPERM" in diagnose.major_taken("EPERM")


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ((True, True, True), "Turn the comparison"),
        ((False, True, False), "Compare the destination"),
        ((False, False, True), "Take htonl() or ntohl() away"),
        ((False, False, False), "Does copy_from_user() fetch"),
    ],
)
def test_address_that_is_not_seen(
    diagnose: ModuleType, seen: tuple[bool, bool, bool], told: str
) -> None:
    """What is logged instead tells how the address is compared; nothing else is said to be sure."""
    others, from_it, turned = seen
    got = diagnose.address_not_seen(others=others, from_it=from_it, to_turned=turned)
    assert got.startswith(told)


def test_ioctl_that_fails(diagnose: ModuleType) -> None:
    """ENOTTY with the address in force is a case without an end, and without it none at all."""
    assert "your function goes on" in diagnose.set_fails("ENOTTY", taken=True)
    assert "unlocked_ioctl" in diagnose.set_fails("ENOTTY", taken=False)
    assert "copy_from_user" in diagnose.set_fails("EFAULT", taken=False)
    assert diagnose.set_fails("ENOMEM", taken=False) == ""


@pytest.mark.parametrize(
    ("error", "value", "told"),
    [
        ("", 0, "Call copy_from_user(), and return -EFAULT"),
        ("", 4, "number of bytes"),
        ("", 14, "with a minus"),
        ("EINVAL", 0, "not EINVAL"),
    ],
)
def test_bad_pointer(diagnose: ModuleType, error: str, value: int, told: str) -> None:
    """What the ioctl returned tells what was done with copy_from_user()'s answer."""
    assert told in diagnose.bad_pointer(error, value)


def test_unknown_command(diagnose: ModuleType) -> None:
    """Success, another error and the right one without its minus are told apart."""
    assert "Look at cmd" in diagnose.unknown_command("", 0)
    assert "with a minus" in diagnose.unknown_command("", 25)
    assert "not -EINVAL" in diagnose.unknown_command("EINVAL", 0)


@pytest.mark.parametrize(
    ("found", "error", "told"),
    [
        (("127.0.0.1", 24810), "", "Put htons()"),
        ((ANY, 24810), "", "Put htons()"),
        ((ANY, 60000), "", "INADDR_ANY"),
        ((ANY, 34815), "", "kernel_bind() before kernel_listen()"),
        (("127.0.0.1", 53445), "", "That is what htonl() leaves"),
        (("127.0.0.1", 60001), "", "htons(MY_TCP_PORT), 60000"),
        (None, "", "Call kernel_listen()"),
        (None, "EADDRNOTAVAIL", "Put htonl() around INADDR_LOOPBACK"),
        (None, "EAFNOSUPPORT", "sin_family"),
        (None, "ENOTSUP", "SOCK_STREAM"),
    ],
)
def test_what_listens(
    diagnose: ModuleType, found: tuple[str, int] | None, error: str, told: str
) -> None:
    """Address and port that listen, or insmod's error, tell what was wrong on the way there."""
    ends = [diagnose.End(*found)] if found else []
    assert told in diagnose.listening(ends, error, loaded=True)


def test_nothing_listens_while_insmod_runs(diagnose: ModuleType) -> None:
    """As long as insmod has not come back there is nothing to be sure of."""
    assert diagnose.listening([], "", loaded=False) == ""


def test_port_that_is_taken(diagnose: ModuleType) -> None:
    """Success, -1 and another error are told apart."""
    assert "which is negative" in diagnose.port_taken("")
    assert diagnose.port_taken("", 48153) == ""
    assert "-1 is -EPERM" in diagnose.port_taken("EPERM")
    assert "not EINVAL" in diagnose.port_taken("EINVAL")


def test_insmod_and_its_client(diagnose: ModuleType) -> None:
    """Back too early, with or without an error, and not back at all have steps of their own."""
    assert "in init itself" in diagnose.not_waiting("")
    assert "O_NONBLOCK" in diagnose.not_waiting("EAGAIN")
    assert "kernel_listen" in diagnose.not_waiting("EINVAL")
    assert "after one connection" in diagnose.not_coming_back("")
    assert "ENOTCONN" in diagnose.not_coming_back("ENOTCONN")


@pytest.mark.parametrize(
    ("told", "step"),
    [
        ([], "print_sock_address()"),
        (["127.0.0.1:60000"], "the name of this side"),
        (["127.188.213.41:30308"], "Put ntohs() around sin_port"),
        (["127.188.213.41"], "Log the port as well"),
        (["41.213.188.127:25718"], "turned round"),
        (["2.0.100.118:25718"], "&addr->sin_addr"),
        (["0.0.0.0:0"], "kernel_getpeername() before print_sock_address()"),
        (["254.254.254.254:65278"], "kernel_getpeername() before print_sock_address()"),
        (["10.9.8.7:6"], "is nobody's"),
        (["127.188.213.41:257181"], 'Take "1" out of the line'),
        (["0127.188.213.41:25718"], 'Take "0" out of the line'),
        (["127.188.213.41 : 25718"], "without blanks between them"),
    ],
)
def test_line_of_the_peer(diagnose: ModuleType, told: list[str], step: str) -> None:
    """The line that stands in the log tells whose name was asked for, and how it was printed."""
    assert step in diagnose.peer(diagnose.End(*CLIENT), diagnose.End("127.0.0.1", 60000), told)


@pytest.mark.parametrize(
    ("got", "told"),
    [
        (b"kernelso", "size of a pointer"),
        (b"kernelsocket", "the newline"),
        (b"kernelsocket\n\0\0\0\0", "lie behind the message"),
        (b"\x40\x60\x10\xc0\xff\xff\xff\xff\x00\x01\x02\x03\x04", "without &"),
        (b"\x40\x60\x10\xc0\x81\x88\xff\xff\x00\x01\x02\x03\x04", "without &"),
        (b"hello\n", "as it is"),
        (b"\xe9\xe8", ""),
    ],
)
def test_bytes_of_a_datagram(diagnose: ModuleType, got: bytes, told: str) -> None:
    """The bytes that came tell which length or pointer was given."""
    step = diagnose.datagram(got, diagnose.Traffic(1, 1, 0), left=False)
    assert told in step if told else step == ""


@pytest.mark.parametrize(
    ("traffic", "left", "told"),
    [
        ((0, 0, 0), False, "no datagram was sent"),
        ((1, 0, 0), True, "1.0.0.127"),
        ((1, 0, 1), False, "Put htons()"),
        ((1, 1, 0), False, "an empty datagram came"),
        ((1, 0, 0), False, "Send to MY_UDP_REMOTE_PORT"),
    ],
)
def test_datagram_that_is_not_there(
    diagnose: ModuleType, traffic: tuple[int, int, int], left: bool, told: str
) -> None:
    """The kernel's counts and the wire tell where a datagram went."""
    assert told in diagnose.datagram(b"", diagnose.Traffic(*traffic), left=left)


def test_only_some_connections_are_logged(diagnose: ModuleType) -> None:
    """A line from before shows that the hook is called; without one nobody knows."""
    before = "[ 1.5] TCP connection initiated from 127.1.2.3:64"
    assert _connection(diagnose, log=before) == diagnose.SOME_LOGGED
    assert _connection(diagnose) == diagnose.NOT_CALLED


def test_a_port_that_is_taken_comes_before_listen(diagnose: ModuleType) -> None:
    """Insmod that ends with bind's error says nothing of what becomes of kernel_listen()'s."""
    assert diagnose.listen_refused("EADDRINUSE") == ""
    assert diagnose.listen_refused("") == diagnose.LISTEN_REFUSED


@pytest.mark.parametrize(
    ("exercise", "actual", "told"),
    [
        (1, "insmod fails with EBUSY (Device or resource busy)", "unregister_chrdev()"),
        (2, "insmod fails with EBUSY (Device or resource busy)", "unregister_chrdev()"),
        (4, "it fails with EADDRNOTAVAIL (...)", ""),
        (4, "insmod fails with EADDRNOTAVAIL (...)", "htonl()"),
        (5, "insmod fails with EDESTADDRREQ (...)", "Set msg_name"),
        (5, "insmod fails with EINVAL (...) at attempt 2", "msg_namelen is sizeof"),
        (5, "insmod fails with EPIPE (Broken pipe)", "SOCK_DGRAM"),
        (5, "insmod is killed by signal 13", "SOCK_DGRAM"),
        (5, "rmmod fails with EBUSY (...)", "module_exit()"),
        (1, "rmmod fails with EAGAIN (...)", "module_put()"),
        (5, "insmod fails with EXDEV (...)", ""),
        (5, "insmod succeeds", ""),
        (3, "insmod fails with ECONNREFUSED (...)", "not kernel_connect()"),
        (3, "insmod fails with EINVAL (...)", "the size of a pointer is too small"),
    ],
)
def test_errors_of_insmod_and_rmmod(
    diagnose: ModuleType, exercise: int, actual: str, told: str
) -> None:
    """An error is told of where it has one likely cause in that exercise."""
    step = diagnose.said_by_tools(exercise, actual)
    assert told in step if told else step == ""


def test_a_port_that_an_earlier_load_still_has(diagnose: ModuleType) -> None:
    """At the first load EADDRINUSE is another's port; later it is the module's own."""
    actual = "insmod fails with EADDRINUSE (Address already in use)"
    assert "MY_UDP_LOCAL_PORT" in diagnose.said_by_tools(5, actual)
    assert "sock_release(sock) in exit" in diagnose.said_by_tools(5, actual, again=True)
    assert "PF_INET6" in diagnose.said_by_tools(3, "insmod fails with EAFNOSUPPORT (...)")


def test_bytes_the_other_way_round(diagnose: ModuleType) -> None:
    """Ports and addresses are turned as the wire and an x86 machine see them."""
    assert diagnose.swapped(60000) == 24810
    assert diagnose.swapped(diagnose.swapped(1)) == 1
    assert diagnose.turned("127.0.0.1") == "1.0.0.127"


def test_init_that_returns_minus_one_is_told_what_insmod_shows(diagnose: ModuleType) -> None:
    """EPERM of insmod is what init returned; where a check knows better, that stands."""
    said = diagnose.said_by_tools(1, "insmod fails with EPERM (Operation not permitted)")
    assert "EPERM is -1" in said
    assert diagnose.said_by_tools(1, "insmod fails with EBUSY (Device or resource busy)") != said
