"""The 30 most common mistakes of the networking lab, and what a student reads of each.

Each is a wrong solution of the lab's own (labs/networking/mutants), graded for real by the
check that is to name it. A sample is part of ``make test``; ``make test ARGS='-m slow'`` has
the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.engine import grading, submission
from checker.model import Lab
from checker.workshop import mutants
from vm.kernel import Kernel

SAYS = {
    # the line of a connection
    "1-port-not-converted": ("1.outgoing-syn", "Put ntohs() around tcph->source"),
    "1-address-by-value": ("1.any-line", "Put an & before the address that is printed at"),
    "1-address-as-number": ("1.outgoing-syn", "Print the address with %pI4 and a pointer to it"),
    "1-destination-address": ("1.outgoing-syn", "Print iph->saddr: the address logged is the dest"),
    "1-destination-port": ("1.outgoing-syn", "Print ntohs(tcph->source): the port logged is the d"),
    "1-every-packet": ("1.outgoing-syn", "Log only where the flag syn is set and ack is not"),
    "1-syn-ack-too": ("1.only-syn", "Test that tcph->ack is 0 as well"),
    "1-protocol-not-checked": ("1.not-udp", "Look at iph->protocol before any flag"),
    # the hook
    "1-hook-local-in": ("1.not-received", "Set .hooknum to NF_INET_LOCAL_OUT"),
    "1-hook-post-routing": ("1.not-forwarded", "Set .hooknum to NF_INET_LOCAL_OUT"),
    "1-drops-everything": ("1.leaves-the-guest", "0 is NF_DROP"),
    "1-hook-not-unregistered": ("1.several-connections", "Call nf_unregister_net_hook() in exit"),
    "1-old-hook-prototype": ("1.any-line", "Fix 1-2-netfilter/kernel/filter.c:"),
    # the ioctl
    "2-address-converted": ("2.address-set", "Take htonl() or ntohl() away"),
    "2-source-compared": ("2.chooses", "Compare the destination, ip_hdr(skb)->daddr"),
    "2-falls-through": ("2.takes-address", "Return 0 once the address is stored"),
    "2-pointer-dereferenced": ("2.takes-address", "copy_from_user() fetches what it points to"),
    "2-never-compared": ("2.other-address", "true only where daddr equals ioctl_set_addr"),
    "2-bytes-left-returned": ("2.efault", "the number of bytes that it did not copy"),
    # sockets
    "3-port-not-converted": ("3.listening", "Put htons() around the port"),
    "3-address-not-converted": ("3.listens", "Put htonl() around INADDR_LOOPBACK"),
    "3-no-listen": ("3.listens", "Call kernel_listen() after kernel_bind()"),
    "3-not-released-on-exit": ("3.released", "Call sock_release(sock) in exit"),
    "4-own-name": ("4.peer-logged", "Ask new_sock for its peer with kernel_getpeername()"),
    "4-old-accept": ("4.waits", "Fix 3-4-tcp-sock/tcp_sock.c:"),
    "4-connection-not-released": ("4.released", "Call sock_release(new_sock) in exit"),
    # the datagram
    "5-no-destination": ("5.sends", "Set msg_name to the address of the destination"),
    "5-size-of-a-pointer": ("5.datagram", "8 bytes are the size of a pointer"),
    "5-empty-message": ("5.arrives", "Set iov_len, and the last argument of kernel_sendmsg()"),
    "5-port-not-converted": ("5.arrives", "Put htons() around MY_UDP_REMOTE_PORT"),
}
"""Mutant -> the check that names the mistake, and words of its next step."""

MESSAGES = {
    "1-address-by-value": "gives %pI4 or %pI6 an address, where they take a pointer",
    "1-old-hook-prototype": "the one with hooknum and net_device is from before Linux 4.4",
    "4-old-accept": "ops->accept takes a fourth argument, kern",
    "4-accept-with-four-arguments": "From Linux 6.10 on, ops->accept takes",
}
"""Where the kernel or the compiler tells of it: words of the message that name the mistake."""

NEWER = {"4-old-accept": "4-accept-with-four-arguments"}
"""Mutant -> the same mistake where the kernel is too new for it."""

SAMPLE = {
    "1-port-not-converted",
    "1-address-by-value",
    "2-source-compared",
    "3-address-not-converted",
    "4-old-accept",
    "5-empty-message",
}


def test_there_are_thirty() -> None:
    """The table has as many rows as it says, and the sample is of them."""
    assert len(SAYS) == 30
    assert (set(MESSAGES) | SAMPLE | set(NEWER)) - set(NEWER.values()) <= set(SAYS)


@pytest.mark.vm
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in SAYS],
)
def test_student_reads_what_the_mistake_is(
    name: str, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """The check that meets a common mistake names it, and what to do."""
    check, words = SAYS[name]
    found = {m.name: m for m in mutants.load(lab.root / "mutants")}
    mutant = found[name] if found[name].fits(stock_kernel.release) else found[NEWER[name]]
    mutants.apply(mutant, lab.solution, tmp_path / name)
    # what a hook leaves behind shows at the second load
    first = "check_any_line or check_leaves_the_guest or " if check.startswith("1.") else ""
    options = grading.Options(
        exercises=frozenset({int(check[0])}),
        ways=False,
        select=f"{first}check_{check[2:].replace('-', '_')}",
        seed=1,
        jobs=1,
    )
    given = submission.read(lab, tmp_path / name)
    grade = grading.grade_submission(lab, given, stock_kernel, options)
    (result,) = (c for e in grade.exercises for c in e.checks if c.id == check)
    assert words in result.hint
    assert MESSAGES.get(mutant.name, "") in result.message
