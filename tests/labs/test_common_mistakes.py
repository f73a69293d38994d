"""Common mistakes of the networking lab, and what a student reads of each.

30 are wrong solutions of the lab's own (labs/networking/mutants), graded for real by the
check that is to name it; others are edits of the solution that were tried: MADE is graded, and
the first check that fails has to name the mistake; COMPILED is only compiled. A sample is part of
``make test``; ``make test ARGS='-m slow'`` has the others. What gcc says of a hundred more is in
tests/words/test_advice.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from checker.engine import build, grading, submission
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


FILTER = "1-2-netfilter/kernel/filter.c"
TCP = "3-4-tcp-sock/tcp_sock.c"
UDP = "5-udp-sock/udp_sock.c"


class Made(NamedTuple):
    """An edit of the solution: in *file*, the exercise and checks that see it, what is said.

    *step* are words of the next step of the first check that fails, *message* of its message.
    """

    file: str
    edits: tuple[tuple[str, str], ...]
    exercise: int
    select: str
    step: str
    message: str = ""


_LOGS = """pr_info("TCP connection initiated from %pI4:%u\\n",
\t\t&iph->saddr, ntohs(tcph->source));"""
_LINE = "check_any_line or check_leaves_the_guest or check_source or check_outgoing_syn"
_HOOK = "\tif (test_daddr(ip_hdr(skb)->daddr))\n\t\tlog_new_connection(skb);\n"
_REGISTER = "err = nf_register_net_hook(&init_net, &my_nfho);"
_EXIT = "\tnf_unregister_net_hook(&init_net, &my_nfho);\n"
_CREATE = """err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
\t\t\t       &sock);"""
_ACCEPT = "err = kernel_accept(sock, &new_sock, 0);\n\tif (err)\n\t\treturn err;"
_WAITS = "\terr = my_accept();\n\tif (err)\n\t\tgoto out_release;\n"
_PEER = """\terr = kernel_getpeername(new_sock, (void *)&raddr);
\tif (err < 0) {
\t\tsock_release(new_sock);
\t\treturn err;
\t}
"""
_PRINT = "\tprint_sock_address(&raddr);\n"


def _logs(words: str, arguments: str, step: str, message: str = "") -> Made:
    """Return the mistake of logging *words* with *arguments* in place of the right line."""
    new = f'pr_info("{words}\\n", {arguments});'
    return Made(FILTER, ((_LOGS, new),), 1, _LINE, step, message)


_SOURCE = "&iph->saddr, ntohs(tcph->source)"

MADE = {
    "1-first-step-of-the-book": Made(
        FILTER,
        ((_HOOK, '\tpr_info("a packet\\n");\n'),),
        1,
        _LINE,
        'The hook is called: the log has its "a packet"',
        "no line in the exercise's words was logged",
    ),
    "1-own-words": _logs("TCP connection from %pI4, port %u", _SOURCE, "own words; the address"),
    "1-own-words-with-a-number": _logs(
        "syn %x %u", "iph->saddr, ntohs(tcph->source)", "Print the address with %pI4 and a pointer"
    ),
    "1-own-words-with-the-destination": _logs(
        "new connection to %pI4:%u",
        "&iph->daddr, ntohs(tcph->dest)",
        "the log has the destination's address",
    ),
    "1-two-lines": Made(
        FILTER,
        (
            (
                _LOGS,
                'pr_info("TCP connection initiated from %pI4\\n", &iph->saddr);\n'
                '\tpr_info("port %u\\n", ntohs(tcph->source));',
            ),
        ),
        1,
        _LINE,
        "They are in two lines now",
    ),
    "1-no-port": _logs("TCP connection initiated from %pI4", "&iph->saddr", "Log the port as well"),
    "1-plain-p": _logs(
        "TCP connection initiated from %p:%u", _SOURCE, "a plain %p prints a pointe"
    ),
    "1-a-digit-behind-the-port": _logs(
        "TCP connection initiated from %pI4:%u1", _SOURCE, 'Take "1" out of the line'
    ),
    "1-a-digit-before-the-address": _logs(
        "TCP connection initiated from 0%pI4:%u", _SOURCE, 'Take "0" out of the line'
    ),
    "1-blanks-around-the-colon": _logs(
        "TCP connection initiated from %pI4 : %u", _SOURCE, "without blanks between them"
    ),
    "1-small-i": _logs("TCP connection initiated from %pi4:%u", _SOURCE, "with a capital I"),
    "1-port-in-hex": _logs(
        "TCP connection initiated from %pI4:%x", _SOURCE, "Print the port as a decimal number"
    ),
    "1-registered-twice": Made(
        FILTER,
        ((_REGISTER, f"{_REGISTER}\n\tif (!err)\n\t\t{_REGISTER}"), (_EXIT, _EXIT + _EXIT)),
        1,
        _LINE,
        "Look for a second nf_register_net_hook()",
        "the log has 2 lines for it, not 1",
    ),
    "1-sleeps-in-the-hook": Made(
        FILTER,
        (
            (_HOOK, f"{_HOOK}\tmsleep(10);\n"),
            ("#include <linux/fs.h>", "#include <linux/delay.h>\n#include <linux/fs.h>"),
        ),
        1,
        "check_any_line",
        "Take the wait at filter.c:",
    ),
    "1-endless-loop-in-init": Made(
        FILTER,
        (("\terr = register_chrdev", "\tfor (;;)\n\t\tcpu_relax();\n\terr = register_chrdev"),),
        1,
        "check_any_line",
        "end, or let it sleep while it waits",
    ),
    "1-left-in-exit": Made(
        FILTER,
        (
            ("\terr = register_chrdev", "\tkmalloc(100, GFP_KERNEL);\n\terr = register_chrdev"),
            ("#include <linux/fs.h>", "#include <linux/slab.h>\n#include <linux/fs.h>"),
        ),
        1,
        "check_clean_reload",
        "In exit, give back what filter.c:",
    ),
    "1-first-one-only": Made(
        FILTER,
        ((_LOGS, _LOGS.replace("pr_info", "pr_info_once")),),
        1,
        "check_any_line",
        "your tests do not find each packet with SYN",
        "nothing was logged for it: the log has only lines from before",
    ),
    "1-assigns-the-protocol": Made(
        FILTER,
        (
            (
                "if (iph->protocol != IPPROTO_TCP || ",
                "iph->protocol = IPPROTO_TCP;\n\tif (",
            ),
            ("const struct iphdr *iph", "struct iphdr *iph"),
        ),
        1,
        "check_any_line or check_not_udp",
        "it changes the packet",
        "What was sent in a UDP datagram did not arrive",
    ),
    "1-copy-of-the-hook-on-the-stack": Made(
        FILTER,
        (
            (_REGISTER, "err = nf_register_net_hook(&init_net, &copy);"),
            (
                "\tint err;\n\n\terr = reg",
                "\tstruct nf_hook_ops copy = my_nfho;\n\tint err;\n\n\terr = reg",
            ),
        ),
        1,
        "check_any_line or check_clean_reload",
        "a copy on init's stack is gone by then",
    ),
    "2-drops-what-is-not-logged": Made(
        FILTER,
        (
            (
                f"{_HOOK}\n\treturn NF_ACCEPT;",
                "\tif (!test_daddr(ip_hdr(skb)->daddr))\n\t\treturn NF_DROP;\n"
                "\tlog_new_connection(skb);\n\treturn NF_ACCEPT;",
            ),
        ),
        2,
        "check_clean_use",
        "A connection does not work while the module is loaded. Return NF_ACCEPT",
    ),
    "2-memory-left": Made(
        FILTER,
        (
            (
                "\t\tif (copy_from_user(&addr",
                "\t\tkmalloc(4, GFP_KERNEL);\n\t\tif (copy_from_user(&addr",
            ),
            ("#include <linux/fs.h>", "#include <linux/slab.h>\n#include <linux/fs.h>"),
        ),
        2,
        "check_clean_use",
        "errors included, give back what filter.c:",
        "got an address, a bad pointer and an unknown command",
    ),
    "2-copies-the-wrong-way": Made(
        FILTER,
        (("copy_from_user(&addr, (void __user *)arg", "copy_from_user((void *)arg, &addr"),),
        2,
        "check_takes_address",
        "its arguments are swapped",
    ),
    "3-ipv6": Made(
        TCP, ((_CREATE, _CREATE.replace("PF_INET", "PF_INET6")),), 3, "check_listens", "PF_INET6 is"
    ),
    "3-error-in-another-variable": Made(
        TCP,
        (
            (
                _ACCEPT,
                _ACCEPT.replace("err =", "int other =")
                .replace("(err)", "(other)")
                .replace("return err", "return 0"),
            ),
        ),
        3,
        "check_clean_reload",
        "Is the error in another variable than the one that is returned?",
    ),
    "3-created-twice": Made(
        TCP,
        ((_CREATE, f"{_CREATE.replace('err = ', '')}\n\t{_CREATE}"),),
        3,
        "check_clean_reload",
        "give back what tcp_sock.c:",
        "20 times, and each time something is left: tcp_sock.c:",
    ),
    "3-connects": Made(
        TCP,
        (
            (
                "kernel_bind(sock, (void *)&addr, sizeof(addr))",
                "kernel_connect(sock, (void *)&addr, sizeof(addr), 0)",
            ),
        ),
        3,
        "check_listens",
        "not kernel_connect()",
    ),
    "3-shut-down-in-place-of-released": Made(
        TCP,
        (
            (_WAITS, ""),
            (
                "\tsock_release(new_sock);\n\t/* TODO 4 end */\n\t/* TODO 3 begin: release the "
                "listening socket. */\n\tsock_release(sock);",
                "\t/* TODO 4 end */\n\tkernel_sock_shutdown(sock, SHUT_RDWR);",
            ),
        ),
        3,
        "check_listens or check_backlog",
        "Call sock_release(sock) in exit: the module was loaded before",
        "insmod failed with EADDRINUSE, and nothing listens on",
    ),
    "3-released-after-bind-fails-and-used": Made(
        TCP,
        (
            (
                "err = kernel_bind(sock, (void *)&addr, sizeof(addr));\n"
                "\tif (err)\n\t\treturn err;",
                "err = kernel_bind(sock, (void *)&addr, sizeof(addr));\n"
                "\tif (err)\n\t\tsock_release(sock);",
            ),
        ),
        3,
        "check_listens or check_port_taken",
        "must not be used again",
    ),
    "3-not-released-and-never-waits": Made(
        TCP,
        (
            (_WAITS, ""),
            (
                "\tsock_release(new_sock);\n\t/* TODO 4 end */\n\t/* TODO 3 begin: release the "
                "listening socket. */\n\tsock_release(sock);",
                "\t/* TODO 4 end */",
            ),
        ),
        3,
        "check_listens or check_clean_reload",
        "In exit, give back what tcp_sock.c:",
        "Attempt 2 failed",
    ),
    "3-listens-before-bind": Made(
        TCP,
        (
            (
                "err = kernel_bind(sock, (void *)&addr, sizeof(addr));",
                "err = kernel_listen(sock, 5);",
            ),
            (
                "return kernel_listen(sock, LISTEN_BACKLOG);",
                "return kernel_bind(sock, (void *)&addr, sizeof(addr));",
            ),
        ),
        3,
        "check_listens",
        "Call kernel_listen() after kernel_bind()",
    ),
    "4-prints-before-it-asks": Made(
        TCP,
        ((_PEER, ""), (_PRINT, _PRINT + _PEER)),
        4,
        "check_peer",
        "Call kernel_getpeername() before print_sock_address()",
    ),
    "4-accepts-in-exit": Made(
        TCP,
        (
            (_WAITS, ""),
            ("static int __init my_accept", "static int my_accept"),
            ("my_tcp_sock_exit(void)\n{\n", "my_tcp_sock_exit(void)\n{\n\tmy_accept();\n"),
        ),
        4,
        "check_waits",
        "Call kernel_accept() in init itself",
    ),
    "5-not-released-and-loaded-again": Made(
        UDP,
        (("release the socket. */\n\tsock_release(sock);\n\t/* TODO 5 end */\n}", "none */\n}"),),
        5,
        "check_twice",
        "Call sock_release(sock) in exit: the module was loaded before",
    ),
    "5-thread-left": Made(
        UDP,
        (
            ("\terr = my_udp_bind();", '\tkthread_run(idle, NULL, "x");\n\terr = my_udp_bind();'),
            (
                "static struct socket *sock;",
                "static struct socket *sock;\n\nstatic int idle(void *unused)\n{\n"
                "\tschedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);\n\n\treturn 0;\n}\n",
            ),
            ("#include <linux/in.h>", "#include <linux/delay.h>\n#include <linux/kthread.h>"),
            ("#include <linux/init.h>", "#include <linux/in.h>\n#include <linux/init.h>"),
        ),
        5,
        "check_clean_reload",
        "In exit, call kthread_stop() for what is left: 20 kernel threads",
    ),
    "5-nothing-set-in-msghdr": Made(
        UDP,
        (
            (
                "msg = {\n\t\t.msg_name\t= &to,\n\t\t.msg_namelen\t= sizeof(to),\n\t};",
                "msg;",
            ),
            (
                "\tint sent;\n",
                "\tint sent;\n\n\tmsg.msg_name = &to;\n\tmsg.msg_namelen = sizeof(to);\n",
            ),
        ),
        5,
        "check_datagram",
        "a first value where it is declared",
    ),
}
"""Mistakes that were tried in a guest."""

MADE_SAMPLE = {"1-first-step-of-the-book", "3-error-in-another-variable"}

COMPILED = {
    "a-brace-is-missing": (
        ("\treturn NF_ACCEPT;\n}", "\treturn NF_ACCEPT;\n"),
        "A { has no }",
        "Add the missing } to the function that begins at FILTER:LINE,",
        "static unsigned int my_nf_hookfn(",
    ),
    "no-license": (
        ('MODULE_LICENSE("GPL");', ""),
        'The line MODULE_LICENSE("GPL"); is missing',
        'Add the line MODULE_LICENSE("GPL");',
        "MODULE_AUTHOR",
    ),
    "a-program's-socket": (
        (_REGISTER, "err = socket(AF_INET, SOCK_STREAM, 0);"),
        "socket() is for programs. The kernel makes a socket with sock_create_kern(",
        "Fix FILTER:LINE",
        "err = socket(",
    ),
    "an-owner-of-the-hook": (
        ("\t.pf\t\t= PF_INET,", "\t.owner = THIS_MODULE,\n\t.pf\t\t= PF_INET,"),
        "no field owner since Linux 4.4",
        "Fix FILTER:LINE",
        ".owner = THIS_MODULE,",
    ),
    "ioctl-of-before": (
        (".unlocked_ioctl", ".ioctl"),
        "no field ioctl since Linux 2.6.36",
        "Fix FILTER:LINE",
        ".ioctl",
    ),
    "a-copy-that-is-too-large": (
        ("(void __user *)arg, sizeof(addr))", "(void __user *)arg, 16)"),
        "A copy from or to user space is larger than the variable",
        "Fix FILTER:LINE, then check again.",
        "arg, 16)",
    ),
    "a-function-of-another-file": (
        (_REGISTER, f"extern void helper(void); helper();\n\t{_REGISTER}"),
        "helper is declared and used, but nobody defines it",
        "See FILTER:LINE: correct the name",
        "helper();",
    ),
    "a-line-of-2.6": (
        (_LOGS, 'pr_info("%u.%u.%u.%u\\n", NIPQUAD(iph->saddr));'),
        "NIPQUAD() is from before Linux 3.0",
        "Fix FILTER:LINE",
        "NIPQUAD",
    ),
}
"""What does not compile: an edit of filter.c, words of the message and of the next step, and
what stands in the line that the step names."""


def test_there_are_sixty() -> None:
    """The tables have as many rows as they say, and the samples are of them."""
    assert len(SAYS) == 30
    assert len(SAYS) + len(MADE) + len(COMPILED) >= 60
    assert set(MADE) >= MADE_SAMPLE
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


def _edited(lab: Lab, folder: Path, file: str, edits: Iterable[tuple[str, str]]) -> Path:
    """Copy the solution to *folder*, with *edits* in *file*; return the folder."""
    shutil.copytree(lab.solution, folder)
    text = (folder / file).read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / file).write_text(text)
    return folder


@pytest.mark.vm
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in MADE_SAMPLE else pytest.mark.slow) for n in MADE],
)
def test_first_check_that_fails_names_the_mistake(
    name: str, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """What a student reads first uses what the log, the errno or the kernel's report shows."""
    made = MADE[name]
    folder = _edited(lab, tmp_path / name, made.file, made.edits)
    options = grading.Options(
        exercises=frozenset({made.exercise}), ways=False, select=made.select, seed=1, jobs=1
    )
    grade = grading.grade_submission(lab, submission.read(lab, folder), stock_kernel, options)
    failed = [c for e in grade.exercises for c in e.checks if c.status not in ("pass", "skip")]
    assert made.step in failed[0].hint
    assert made.message in failed[0].message


@pytest.mark.vm
@pytest.mark.parametrize("name", COMPILED)
def test_what_does_not_compile_is_told_with_its_line(
    name: str, lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """The message names the mistake, and the next step the line that has it."""
    edit, message, step, words = COMPILED[name]
    folder = _edited(lab, tmp_path / name, FILTER, [edit])
    lines = (folder / FILTER).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if words in text)
    given = submission.read(lab, folder)
    made = build.build_module(lab, lab.target("filter"), given, stock_kernel)
    assert message in made.message
    assert step.replace("FILTER", FILTER).replace("LINE", str(line)) in made.hint
