"""Pure: what a check saw -> the likely mistake and the next step; "" where that is not clear.

A check calls the function that is named for what it looked at and gives the
result to Unmet as its hint. Nothing here decides whether a check passes.
Addresses are texts (127.0.0.1), ports numbers in host byte order, and what was
logged is a list of texts A.B.C.D:PORT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class End(NamedTuple):
    """One end of a connection."""

    address: str
    port: int

    def __str__(self) -> str:
        """Write it as the lab's log lines do."""
        return f"{self.address}:{self.port}"


def swapped(port: int) -> int:
    """Return *port* with its two bytes the other way round."""
    return int.from_bytes(port.to_bytes(2, "big"), "little")


def turned(address: str) -> str:
    """Return *address* with its four bytes the other way round."""
    return ".".join(reversed(address.split(".")))


def _number(address: str) -> int:
    return int.from_bytes(bytes(map(int, address.split("."))), "big")


# --- exercise 1: the line of a connection ---------------------------------------------

ACCEPT = "Return NF_ACCEPT wherever the hook returns, also for a packet that it logs: 0 is NF_DROP."
DATAGRAM_LOST = (
    f"{ACCEPT} If it does so already, it changes the packet: = assigns, and == compares."
)
FLAGS = (
    "Log only where the flag syn is set and ack is not: every other packet is no new connection."
)
ACK = (
    "Test that tcph->ack is 0 as well: the line too many is the listener's answer, which has both "
    "SYN and ACK."
)


NOT_CALLED = (
    "Is TODO 1 filled in, and the hook registered for PF_INET at NF_INET_LOCAL_OUT? "
    'If the way above says "your hook", it is called: then one of your tests fails for every '
    "packet. The protocol is one byte and needs no htons(). A pr_debug() writes nothing here."
)
SOME_LOGGED = (
    "The hook is called, and your tests do not find each packet with SYN and without ACK. Is the "
    "TCP header looked for at ip_hdrlen(skb), which counts bytes? And pr_info_once() and "
    "pr_info_ratelimited() leave lines out."
)
WORDS = '"TCP connection initiated from", a blank, then %pI4:%u'
"""What the line of the exercise is made of."""
ONE_LINE = (
    f"Log address and port with one pr_info(), in one line: {WORDS}. They are in two lines now."
)
OWN_WORDS = (
    "Log the line in the exercise's own words; the address and the port are right: "
    f"{WORDS}, with nothing before, between or behind."
)
_LINE = re.compile(r"TCP connection initiated from [0-9.]+:\d+")
MANY = (
    "Does your code log only where the flag syn is set and ack is not? If it does, several hooks "
    "log each packet: call nf_register_net_hook() once in init, and nf_unregister_net_hook() in "
    "exit."
)
TWICE = (
    "Register one hook, once, at NF_INET_LOCAL_OUT: each packet is logged twice. Look for a second "
    "nf_register_net_hook(), or for another hook, as at NF_INET_LOCAL_IN, that sees it, too."
)


def connection(client: End, server: End, logged: Sequence[str], *, log: str, arrived: bool) -> str:
    """Tell why the one line for *client*, who connected to *server*, is not what was *logged*.

    *log* is all that the kernel said, *arrived* whether the server got what was sent.
    """
    mine = [line for line in logged if line == str(client)]
    if not arrived:
        return ACCEPT if mine or not logged else _line(client, server, logged[0], log) or ACCEPT
    if not logged:
        before = any(_LINE.search(line) for line in _said(log))
        return _other_words(client, server, log) or (SOME_LOGGED if before else NOT_CALLED)
    if len(mine) == len(logged) == 2:
        return TWICE
    if len(mine) == len(logged) > 1:
        return MANY
    if mine and set(logged) <= {str(client), str(server)}:
        return FLAGS
    if mine:
        return "Log one line, with the packet's own source port: the others are nobody's."
    named = [told for line in dict.fromkeys(logged) if (told := _line(client, server, line, log))]
    return named[0] if named else ""


def _said(log: str) -> list[str]:
    """Return the lines of a kernel log without their time stamps."""
    return [re.sub(r"^\[ *\d+\.\d+\] ?", "", line).strip() for line in log.splitlines()]


def _has(line: str, value: str | int) -> bool:
    """Tell whether *value* stands in *line*, and not as a part of a longer number."""
    return bool(re.search(rf"(?<![0-9a-fA-F.]){re.escape(str(value))}(?![0-9a-fA-F]|\.\d)", line))


def _numbers(address: str) -> set[str]:
    """Return *address* as a number, in both byte orders, as %u, %d and %x print it."""
    both = (_number(address), _number(turned(address)))
    signed = (n - (1 << 32) if n >> 31 else n for n in both)
    return {*map(str, both), *map(str, signed), *(f"{n:x}" for n in both)}


def _other_words(client: End, server: End, log: str) -> str:
    """Tell what a log says of a connection that has no line in the exercise's words."""
    said = _said(log)
    if any(str(client) in line for line in said):
        return OWN_WORDS
    with_port = [line for line in said if _has(line, client.port)]
    if any(_has(line, client.address) for line in with_port):
        return OWN_WORDS
    if with_port and any(_has(line, client.address) for line in said):
        return ONE_LINE
    if any(_has(line, number) for line in said for number in _numbers(client.address)):
        return (
            "Print the address with %pI4 and a pointer to it, &iph->saddr: the log has it as a "
            f"number. Then use the exercise's own words: {WORDS}."
        )
    if any(_has(line, server.address) for line in said):
        return (
            "Print the source, &iph->saddr and ntohs(tcph->source): the log has the destination's "
            f"address. Then use the exercise's own words: {WORDS}."
        )
    if any(_has(line, client.address) for line in said):
        return f"Log the port as well, ntohs(tcph->source), in one line with the address: {WORDS}."
    again = [line for line, times in Counter(said).items() if line and times > 1]
    if again:
        return (
            f'The hook is called: the log has its "{again[0][:40]}" for each packet. Now log the '
            f"exercise's line in its place, where syn is set and ack is not: {WORDS}."
        )
    return ""


def _stuck(shown: str, right: str | int) -> str:
    """Return what stands directly before or behind *right* in *shown*; "" where nothing does."""
    before, found, behind = shown.partition(str(right))
    return (before or behind) if found else ""


def _line(client: End, server: End, line: str, log: str = "") -> str:
    """Tell what is wrong with a line that should name *client*."""
    host, _, tail = line.rpartition(":")
    if line == str(server):
        return (
            "Print saddr and source: the line has the listener's address and port. If it has, the "
            "packet is the answer: look for SYN without ACK."
        )
    if line == client.address:
        if any(_has(one, line) and _has(one, client.port) for one in _said(log)):
            return f"Write address and port without blanks between them: {WORDS}."
        if any(_has(other, client.port) for other in _said(log) if client.address not in other):
            return ONE_LINE
        return f"Log the port as well, ntohs(tcph->source), in one line with the address: {WORDS}."
    if re.sub(r"\s", "", line) == str(client):
        return f"Write address and port without blanks between them: {WORDS}."
    if host == client.address:  # first: with three digits each, %pi4 writes the same
        return _port(client.port, server.port, tail)
    if host == ".".join(f"{int(part):03}" for part in client.address.split(".")):
        return "Print the address with %pI4, with a capital I: %pi4 writes three digits each."
    if tail != str(client.port):
        return ""
    if host == turned(client.address):
        return (
            "Give %pI4 the address as the header has it, &iph->saddr: the one logged has its four "
            "bytes turned round."
        )
    if host == server.address:
        return "Print iph->saddr: the address logged is the destination's, daddr."
    if host.removeprefix("0x") in _numbers(client.address):
        return "Print the address with %pI4 and a pointer to it, &iph->saddr: it came as a number."
    if re.fullmatch(r"[0-9a-f]{16}|\(\w*ptrval\w*\)", host):
        return (
            "Print the address with %pI4: a plain %p prints a pointer, and not even its true value."
        )
    if extra := _stuck(host, client.address):
        return f'Take "{extra}" out of the line: it stands directly beside the right address.'
    return ""


def _port(port: int, other: int, logged: str) -> str:
    """Tell what is wrong with the port *logged* where *port* is right; *other* is the server's."""
    if logged == str(swapped(port)):
        return (
            "Put ntohs() around tcph->source: the port logged is the right one with its two bytes "
            "swapped, as headers have it in network byte order."
        )
    if logged in (str(port << 16), str((port << 16) - (1 << 32))):
        return "Take ntohs() for the port: it has 16 bits, and ntohl() moves them out of place."
    if re.match(rf"{port}\D", logged):
        return "Put a space behind the port, or end the line there: more is glued to it."
    if logged in (str(other), str(swapped(other))):
        return "Print ntohs(tcph->source): the port logged is the destination's, dest."
    if logged.removeprefix("0x") in (f"{port:x}", f"{swapped(port):x}"):
        return "Print the port as a decimal number, with %u: it came in hexadecimal digits."
    if logged in (str(port - (1 << 16)), str(swapped(port) - (1 << 16))):
        return "Print the port with %u, as an unsigned number: a port above 32767 came below 0."
    if extra := _stuck(logged, port):
        return f'Take "{extra}" out of the line: it stands directly beside the right port.'
    return ""


def more_lines(client: End | str, server: End | str, logged: Sequence[str]) -> str:
    """Tell why a whole connection gave more than the line of *client*.

    Both ends are as the module writes them.
    """
    ends = [str(client), str(server)]
    if logged == ends:
        return ACK
    return FLAGS if set(logged) <= set(ends) and len(logged) > 1 else ""


def received(client: End | str, server: End | str, logged: Sequence[str]) -> str:
    """Tell why a connection was logged that another host opened to this one; likewise."""
    if set(logged) == {str(server)}:
        return ACK
    if str(client) in logged:
        return (
            "Set .hooknum to NF_INET_LOCAL_OUT, in init_net alone: what was logged came in, which "
            "passes PRE_ROUTING and LOCAL_IN."
        )
    return ""


FORWARDED = (
    "Set .hooknum to NF_INET_LOCAL_OUT, in init_net alone: what was logged is only passed on, by "
    "PRE_ROUTING, FORWARD and POST_ROUTING."
)
LEFT_UNSEEN = (
    "Set .hooknum to NF_INET_LOCAL_OUT: what leaves this host does not pass PRE_ROUTING or "
    "LOCAL_IN. If it is set so, does a test ask for 127.0.0.1? Or is the TCP header not read at "
    "ip_hdrlen(skb), which counts bytes?"
)
SYN = (
    "Test that tcph->syn is 1, too: a packet without ACK is no new connection if it has no SYN "
    "either."
)
HEADER_SIZE = (
    "Ask skb_header_pointer() for sizeof(struct tcphdr) bytes and no more: options may be missing."
)
HEADER_PLACE = (
    "The TCP header begins behind the IP header's options: ip_hdrlen(skb) says how long it is."
)
PIECES = (
    "Give skb_header_pointer() a struct tcphdr of yours: it copies there what is not in one piece."
)
SHORT = "skb_header_pointer() returns NULL where the packet is too short: then return."
FRAGMENT = (
    "Only the first fragment of a packet has the TCP header: return where "
    "iph->frag_off & htons(IP_OFFSET) is not 0."
)
UDP = "Look at iph->protocol before any flag: only IPPROTO_TCP has a TCP header."
UNDO_HOOK = (
    "Call nf_unregister_net_hook() in exit: the hook of a module that was unloaded is still called."
)
ONE_HOOK = (
    "Call nf_unregister_net_hook() in exit, and nf_register_net_hook() in init once: each packet "
    "is logged by more than one hook, of an earlier load or of this one."
)


def again(expected: Sequence[str], logged: Sequence[str]) -> str:
    """Tell why what was *expected* is not what was *logged*, where one line a connection was seen.

    A hook that is left behind logs as well when the module is loaded for the next check.
    """
    wanted, got = Counter(expected), Counter(logged)
    times = {got[line] / number for line, number in wanted.items()}
    if set(got) == set(wanted) and len(times) == 1 and min(times) > 1:
        return ONE_HOOK
    if logged and got < wanted:
        return "Log every packet that has SYN and not ACK, whatever was logged before."
    return ""


def left_this_host(
    expected: Sequence[str], logged: Sequence[str], client: End, server: End, *, log: str
) -> str:
    """Tell why what left this host, from *client* to *server*, was not *logged* as *expected*.

    *log* is all that the kernel said.
    """
    if not logged:
        return _other_words(client, server, log) or LEFT_UNSEEN
    return again(expected, logged) or connection(client, server, logged, log=log, arrived=True)


def major_taken(error: str) -> str:
    """Tell what follows from insmod's *error* ("" if it worked) with the major number taken."""
    if not error:
        return (
            "Return what register_chrdev() returns when that is not 0: nobody looked at it, and "
            "the device is another module's."
        )
    return f"Return register_chrdev()'s own error, which is -EBUSY, not {error}."


DEVICE_FIRST = (
    "Register the device before the hook, or unregister the hook where register_chrdev() fails: "
    "init returns its error with nothing left."
)

HOOK_REFUSED = (
    "Return what nf_register_net_hook() returns when that is not 0, after unregister_chrdev(): "
    "init goes on as if the hook were there, and exit unregisters one that never was."
)
DEVICE_LEFT = (
    "Call unregister_chrdev() where nf_register_net_hook() fails, before init returns its error."
)
NOT_YOURS = (
    "Return at once where register_chrdev() fails: unregister_chrdev(42) then takes the number "
    "from whoever has it."
)

# --- exercise 2: the ioctl and the address --------------------------------------------


def address_not_seen(*, others: bool, from_it: bool, to_turned: bool) -> str:
    """Tell why no connection to the address that was set is logged.

    *others*: one that has nothing to do with it is; *from_it*: one that comes from it
    is; *to_turned*: one to the address with its bytes turned round is.
    """
    if others:
        return (
            "Turn the comparison round, in test_daddr() or where it is called: connections to all "
            "addresses but the one that was set are logged now."
        )
    if from_it:
        return (
            "Compare the destination, ip_hdr(skb)->daddr: a connection that comes from the address "
            "is logged, so it is the source that is compared."
        )
    if to_turned:
        return (
            "Take htonl() or ntohl() away: program and packet have the address in network byte "
            "order, and what is logged now are connections to the address turned round."
        )
    return (
        "Does copy_from_user() fetch the address? arg is a pointer to it, and its 4 bytes are no "
        "text. If so, print &ioctl_set_addr in my_ioctl() and &daddr in test_daddr() with %pI4: "
        "the two must be equal."
    )


def set_fails(error: str, *, taken: bool) -> str:
    """Tell why the ioctl fails with *error*; *taken*: the address is in force all the same."""
    if error == "ENOTTY" and taken:
        return (
            "Return 0 once the address is stored: your function goes on, as to the default of a "
            "switch, and returns -ENOTTY."
        )
    if error == "ENOTTY":
        return (
            "Is my_ioctl() filled in, with a case for MY_IOCTL_FILTER_ADDRESS, and does my_fops "
            "have .unlocked_ioctl = my_ioctl? ENOTTY says that nobody knows the command."
        )
    if error == "EFAULT":
        return (
            "copy_from_user(to, from, n) takes your variable's address first, then arg as a "
            "pointer; it returns 0 when it worked."
        )
    return ""


def in_a_row(actual: str) -> str:
    """Tell why an address cannot be set and a connection be made again and again.

    *actual* is what the program that did it printed at its end.
    """
    if "connect" in actual:
        return f"A connection does not work while the module is loaded. {ACCEPT}"
    return ""


RETURNS_ZERO = "Return 0 when the address was taken: what is above 0 reaches the program as it is."
OTHER_LOGGED = (
    "Let test_daddr() be true only where daddr equals ioctl_set_addr, all of it, and my_ioctl() "
    "store there what it copied: another address was logged."
)
OTHER_DROPPED = "Return NF_ACCEPT for packets that are not logged, too: the filter chooses lines."
SOURCE_LOGGED = (
    "Compare the packet's destination alone: this connection only came from the address that was "
    "set."
)
REPLACED = (
    "Store the address on every call, in place of the one before: one variable, and WRITE_ONCE()."
)


def bad_pointer(error: str, value: int) -> str:
    """Tell why a bad pointer gets *error* ("" for none), or the return value *value*."""
    if error:
        return f"Return -EFAULT where copy_from_user() does not return 0, not {error}."
    if value == 14:  # EFAULT
        return "Return -EFAULT, with a minus: a positive number is no error to an ioctl's caller."
    if value > 0:
        return (
            "Return -EFAULT where copy_from_user() is not 0: it returns the number of bytes that "
            "it did not copy, and no error."
        )
    return "Call copy_from_user(), and return -EFAULT where it does not return 0."


def unknown_command(error: str, value: int) -> str:
    """Tell why an unknown command gets *error* ("" for none), or the return value *value*."""
    if error:
        return (
            f"Return -ENOTTY for every other command, not -{error}: ENOTTY says that the device "
            "has no such ioctl."
        )
    if value == 25:  # ENOTTY
        return "Return -ENOTTY, with a minus: a positive number is no error to an ioctl's caller."
    return "Look at cmd first: whatever is not MY_IOCTL_FILTER_ADDRESS gets -ENOTTY."


# --- exercises 3 and 4: sockets that listen, and a connection --------------------------

RIGHT = End("127.0.0.1", 60000)
OTHER_PORT = 60001
_CHOSEN = range(32768, 61000)
"""Ports that the kernel chooses from for a socket without one (ip_local_port_range)."""


def listening(found: Sequence[End], error: str, *, loaded: bool) -> str:
    """Tell why nothing listens on 127.0.0.1:60000, but *found* does.

    *error* is that of insmod, "" when it did not fail; *loaded*: it has come back without one.
    """
    if not found and error:
        return load_error(3, error)
    if not found:
        return (
            "Call kernel_listen() after kernel_bind(), and release the socket in init only if "
            "something fails. If TODO 3 is still empty, begin with sock_create_kern()."
            if loaded
            else ""
        )
    address, port = found[0]
    if port == swapped(RIGHT.port):
        return (
            f"Put htons() around the port: it listens on {port}, which is {RIGHT.port} with its "
            "two bytes swapped."
        )
    if (address, port) == ("0.0.0.0", RIGHT.port):  # noqa: S104
        return (
            "Set sin_addr.s_addr to htonl(INADDR_LOOPBACK): 0.0.0.0 is INADDR_ANY, every address "
            "of this host."
        )
    if address == "0.0.0.0":  # noqa: S104
        return (
            "Call kernel_bind() before kernel_listen(), look at its error, and fill in all three "
            "fields of its address: without them the kernel chooses the port."
        )
    if port in _CHOSEN and port != OTHER_PORT:
        return (
            "Set sin_port to htons(MY_TCP_PORT), 16 bits: it was 0, so that the kernel chose the "
            "port. That is what htonl() leaves of it."
        )
    return f"Set sin_port to htons(MY_TCP_PORT), {RIGHT.port}."


NOWHERE_ELSE = "Make one socket, bound once: the other one that listens is yours, too."
BACKLOG = "Give kernel_listen() LISTEN_BACKLOG for its last argument."
RELEASE_SOCKET = "Call sock_release(sock) in exit: nothing else closes a socket of the kernel's."
RELEASE_ON_ERROR = (
    "Call sock_release(sock) where init fails after it was created, before the return."
)
LISTEN_REFUSED = (
    "Return kernel_listen()'s error from init: it failed, and init goes on as if the socket "
    "listened."
)


def listen_refused(error: str) -> str:
    """Tell what follows from insmod's *error* ("" if it worked) where kernel_listen() fails."""
    return "" if error == "EADDRINUSE" else LISTEN_REFUSED  # what bind says came first


PEER_GONE = (
    "Look at what kernel_getpeername() returns: below 0 there is no address to print. Release "
    "new_sock then, and return the error."
)
SOCKET_LOST = (
    "Leave new_sock to kernel_accept(), which makes the socket itself: one that was created "
    "before is lost. With ops->accept create it with sock_create_lite(), once."
)
RELEASE_BOTH = (
    "Call sock_release(new_sock) in exit, before that of the listening socket: each is released "
    "by itself."
)


def port_taken(error: str, port: int = RIGHT.port) -> str:
    """Tell what follows from insmod's *error* ("" if it worked) with the *port* taken."""
    if not error and port in _CHOSEN and port != RIGHT.port:
        return ""  # the kernel has chosen another one this time
    if not error:
        return (
            "Return kernel_bind()'s error, which is negative, from init: bind failed, and insmod "
            "succeeded."
        )
    if error == "EPERM":
        return "Return kernel_bind()'s error as it is: -1 is -EPERM, and tells the caller nothing."
    return f"Return kernel_bind()'s error as it is, -EADDRINUSE, not {error}."


PORT_NOT_AWAITED = (
    "Return kernel_bind()'s error from init at once: insmod goes on after bind has failed, or "
    "waits for a port that may never be free."
)


def not_waiting(error: str) -> str:
    """Tell why insmod was back before a client came, with *error* or "" for none."""
    if error == "EAGAIN":
        return "Give kernel_accept() 0 for its flags: with O_NONBLOCK it returns -EAGAIN at once."
    if error:
        return load_error(4, error)
    return (
        "Call kernel_accept() in init itself, with 0 for its flags: it sleeps there until a client "
        "comes, and insmod with it."
    )


def not_coming_back(error: str) -> str:
    """Tell why insmod does not succeed after a client has connected; *error* "": it still waits."""
    if error:
        return load_error(4, error)
    return (
        "Return from init after one connection: a loop around kernel_accept(), or reading from the "
        "client, keeps insmod waiting."
    )


def peer(client: End, server: End, told: Sequence[str]) -> str:
    """Tell why the line for *client*, connected to *server*, is not what was *told*."""
    if not told:
        return (
            "Call print_sock_address() with what kernel_getpeername() has filled in: no line was "
            "logged."
        )
    address, _, port = told[0].rpartition(":")
    if told[0] in ("254.254.254.254:65278", "0.0.0.0:0"):  # as the stack is, or an empty structure
        return (
            "Call kernel_getpeername() before print_sock_address(), with new_sock, and look at "
            "what it returns: the address that was printed had not been filled in."
        )
    if told[0] == str(server):
        return (
            "Ask new_sock for its peer with kernel_getpeername(): what was logged is the name of "
            "this side, as kernel_getsockname() tells it."
        )
    if address == client.address and port == str(swapped(client.port)):
        return (
            "Put ntohs() around sin_port: the port logged is the right one with its two bytes "
            "swapped."
        )
    if re.sub(r"\s", "", told[0]) == str(client):
        return "Write address and port without blanks between them: %pI4:%u."
    if address == client.address and (extra := _stuck(port, client.port)):
        return f'Take "{extra}" out of the line: it stands directly beside the right port.'
    if port == str(client.port) and (extra := _stuck(address, client.address)):
        return f'Take "{extra}" out of the line: it stands directly beside the right address.'
    if client.address in (address, told[0].strip()):
        return "Log the port as well, %u with ntohs(addr->sin_port)."
    if address == turned(client.address):
        return "Give %pI4 the address as it is, &addr->sin_addr: this one is turned round."
    if address == f"2.0.{client.port >> 8}.{client.port & 255}":
        return (
            "Give %pI4 &addr->sin_addr: what was logged are the first bytes of the whole "
            "structure, its family and port."
        )
    return (
        "Ask new_sock for its peer, not the listening socket, and look at what "
        "kernel_getpeername() returns: the name that was logged is nobody's."
    )


# --- exercise 5: a datagram -----------------------------------------------------------

MESSAGE = b"kernelsocket\n"


class Traffic(NamedTuple):
    """How many datagrams were sent, taken in, and refused because no socket had their port."""

    sent: int
    received: int
    refused: int


def datagram(got: bytes, traffic: Traffic, *, left: bool) -> str:
    """Tell why netcat *got* something else; *left*: the message went to another host."""
    if not got:
        return _lost(traffic, left=left)
    if len(got) == 8 and MESSAGE.startswith(got):
        return (
            "Take strlen(MY_TEST_MESSAGE) for the length: 8 bytes are the size of a pointer, which "
            "is what sizeof gives for one."
        )
    if got.startswith(MESSAGE):
        return (
            "Send strlen(MY_TEST_MESSAGE) bytes: this is longer, and has what happened to lie "
            "behind the message."
        )
    if MESSAGE.startswith(got):
        return (
            "Send all strlen(MY_TEST_MESSAGE) bytes, the newline with them: the end of the message "
            "is missing."
        )
    if got[6:8] == b"\xff\xff":  # addresses of the kernel begin with 0xffff
        return (
            "Set iov_base to the message itself, without &: the bytes that came are a pointer, an "
            "address of the kernel's."
        )
    if got.isascii():
        return "Send MY_TEST_MESSAGE as it is."
    return ""


def _lost(traffic: Traffic, *, left: bool) -> str:
    """Tell what became of a datagram that netcat did not get."""
    if not traffic.sent:
        return (
            "Call kernel_sendmsg() in init, and return its error if it is negative: no datagram "
            "was sent."
        )
    if left:
        return (
            "Put htonl() around INADDR_LOOPBACK: the datagram left this host, for 127.0.0.1 with "
            "its bytes turned round is 1.0.0.127."
        )
    if traffic.refused:
        return (
            "Put htons() around MY_UDP_REMOTE_PORT, and look if that is 60001: a datagram was sent "
            "to this host, and to a port that nobody has."
        )
    if traffic.received:
        return (
            "Set iov_len, and the last argument of kernel_sendmsg(), to strlen(MY_TEST_MESSAGE): "
            "an empty datagram came."
        )
    return "Send to MY_UDP_REMOTE_PORT, 60001: a datagram was sent, and not to netcat's port."


SEND_FAILED = (
    "kernel_sendmsg() returns a negative error when it fails: return it, and let init release the "
    "socket."
)
ONE_DATAGRAM = "Call kernel_sendmsg() once, with one kvec: each call sends a datagram of its own."

# --- what insmod and rmmod say --------------------------------------------------------

_LOAD_ERRORS = {
    (1, "EBUSY"): "Call unregister_chrdev() in exit, and where init fails: the major number 42 is "
    "still taken by an earlier load.",
    (3, "EADDRNOTAVAIL"): "Put htonl() around INADDR_LOOPBACK: bind finds no such address, for "
    "127.0.0.1 with its bytes turned round is 1.0.0.127.",
    (
        1,
        "EINVAL",
    ): "Set .pf to PF_INET and .hooknum to NF_INET_LOCAL_OUT: nf_register_net_hook() knows no "
    "family 0, and not every family has every hook.",
    (3, "EAFNOSUPPORT"): "Create the socket with PF_INET, and set sin_family to AF_INET: one of "
    "them is another family. PF_INET6 is IPv6, which the guest's kernel does not have.",
    (
        3,
        "EINVAL",
    ): "Call kernel_listen() after kernel_bind(), and before kernel_accept(). Give kernel_bind() "
    "sizeof(struct sockaddr_in) for the size: the size of a pointer is too small.",
    (3, "ECONNREFUSED"): "Call kernel_bind() and kernel_listen(), not kernel_connect(): a server "
    "waits for connections, and only a client connects.",
    (
        3,
        "ENOTSUP",
    ): "Create the socket with SOCK_STREAM and IPPROTO_TCP: a datagram socket cannot listen.",
    (
        3,
        "EPROTONOSUPPORT",
    ): "Create the socket with SOCK_STREAM and IPPROTO_TCP, which go together.",
    (4, "ENOTCONN"): "Ask new_sock for its peer: the listening socket has none, hence ENOTCONN.",
    (
        4,
        "EINVAL",
    ): "Give kernel_accept() the socket that listens, and look at kernel_listen()'s error.",
    (5, "EDESTADDRREQ"): "Set msg_name to the address of the destination, and msg_namelen to its "
    "size: nobody says where the datagram goes.",
    (5, "EINVAL"): "Look at the addresses: s_addr is htonl(INADDR_LOOPBACK), as nothing goes from "
    "127.0.0.1 to 1.0.0.127, and msg_namelen is sizeof(struct sockaddr_in).",
    (5, "EAFNOSUPPORT"): "Create the socket with PF_INET, and set sin_family to AF_INET in both "
    "addresses: one of them is another family. PF_INET6 is IPv6, which the guest does not have.",
    (
        5,
        "EADDRINUSE",
    ): "Bind to MY_UDP_LOCAL_PORT, 60000, or not at all: the port is taken, as 60001 "
    "is by the receiver.",
    (5, "EADDRNOTAVAIL"): "Put htonl() around INADDR_LOOPBACK in the address that you bind to.",
    (
        5,
        "EPIPE",
    ): "Create the socket with SOCK_DGRAM and IPPROTO_UDP: a stream socket sends nothing "
    "before it is connected.",
    (5, "signal 13"): "Create the socket with SOCK_DGRAM and IPPROTO_UDP: a stream socket sends "
    "nothing before it is connected.",
    (5, "EPROTONOSUPPORT"): "Create the socket with SOCK_DGRAM and IPPROTO_UDP, which go together.",
    (5, "EFAULT"): "Set iov_base to the message and iov_len to its length, and count one kvec.",
}
"""Exercise and errno or signal -> what it means there that insmod ends so.

ENOTSUP is the kernel's EOPNOTSUPP, and signal 13 is SIGPIPE.
"""

_UNLOAD_ERRORS = {
    "EBUSY": "Write module_exit() at the end of the file: a module without it is never unloaded.",
    "EAGAIN": "Take try_module_get() out, or pair it with module_put(): the module is in use by "
    "itself.",
}


RETURNED = (
    "Return 0 from init when all went well: insmod fails with what init returns, and EPERM is -1. "
    "On failure return the error of the function that failed, not -1."
)


def load_error(exercise: int, error: str) -> str:
    """Tell what insmod's *error* (EINVAL, ...) means in *exercise*, "" if nothing special."""
    if exercise in (2, 4):  # they share their module with the exercise before
        return _LOAD_ERRORS.get((exercise, error)) or _LOAD_ERRORS.get((exercise - 1, error), "")
    return _LOAD_ERRORS.get((exercise, error), "")


STILL_BOUND = (
    "Call sock_release(sock) in exit: the module was loaded before, and the port is still taken by "
    "the socket of that time."
)


def said_by_tools(exercise: int, actual: str, *, again: bool = False) -> str:
    """Tell what it means that insmod or rmmod fails, where *actual* says that one does.

    *again*: the module could be loaded before, in an earlier check.
    """
    match = re.search(
        r"\b(insmod|rmmod) (?:fails with|is killed by) (E[A-Z0-9]+|signal \d+)", actual
    )
    if match is None:
        return ""
    if match[1] == "rmmod":
        return _UNLOAD_ERRORS.get(match[2], "")
    if again and exercise in (3, 4, 5) and match[2] == "EADDRINUSE":
        return STILL_BOUND
    if known := load_error(exercise, match[2]):
        return known
    return RETURNED if match[2] == "EPERM" else ""
