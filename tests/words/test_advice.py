"""Advice on what the compiler says, from what gcc 12, 14 and 16 and modpost said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import ROOT

from checker import lab as labs
from checker.errors import LabError
from checker.model import Lab
from checker.words import advice

INCOMPATIBLE = "from incompatible pointer type [-Wincompatible-pointer-types]\n"
"""How gcc 14 and 16 end; gcc 12 has -Werror= there."""

HOOK = "'unsigned int (*)(void *, struct sk_buff *, const struct nf_hook_state *)'"

INCOMPATIBLE_12 = "from incompatible pointer type [-Werror=incompatible-pointer-types]\n"

SAID = {
    "WRITE_ONCE() takes the variable itself": [
        "./include/asm-generic/rwonce.h:55:32: error: lvalue required as unary '&' operand\n"
        "   55 |         *(volatile typeof(x) *)&(x) = (val);\n"
        "filter.c:100:9: note: in expansion of macro 'WRITE_ONCE'"
    ],
    "An & stands before something that has no address": [
        "bad.c:19:9: error: lvalue required as unary '&' operand"
    ],
    "The left side of = is no variable": [
        "bad.c:19:9: error: lvalue required as left operand of assignment"
    ],
    "The function has no label out_release": [
        "tcp_sock.c:49:17: error: label 'out_release' used but not defined"
    ],
    "What stands before .hooknum is no structure": [
        "filter.c:86:9: error: request for member 'hooknum' in something not a structure or union"
    ],
    "A structure cannot be cast to a pointer": [
        "tcp_sock.c:47:9: error: cannot convert to a pointer type"
    ],
    "sock_release() takes the pointer itself": [
        f"tcp_sock.c:92:22: error: passing argument 1 of 'sock_release' {INCOMPATIBLE_12}"
        "./include/linux/net.h:260:34: note: expected 'struct socket *' but argument is of type "
        "'struct socket **'"
    ],
    "Declare the pointer as struct socket *, not as struct sock *": [
        f"tcp_sock.c:47:27: error: passing argument {number} of '{call}' {INCOMPATIBLE_12}"
        f"./include/linux/net.h:335:32: note: expected 'struct socket {stars}' but argument is of "
        f"type 'struct sock {stars}'"
        for number, call, stars in ((1, "kernel_bind", "*"), (5, "sock_create_kern", "**"))
    ],
    "The function is declared void and returns a value. Write return;": [
        "filter.c:58:24: error: 'return' with a value, in function returning void [-Werror=return"
    ],
    "There is no printf() in the kernel: pr_info()": [
        "error: implicit declaration of function 'printf' [-Werror=implicit-function-declaration]",
        "bad.c:19:9: error: implicit declaration of function 'printf'; did you mean 'vprintk'? "
        "[-Wimplicit-function-declaration]",
    ],
    "no C library in the kernel, and so no stdio.h": [
        "filter.c:2:10: fatal error: stdio.h: No such file or directory"
    ],
    "a comment": [
        "udp_sock.c:40:9: error: unterminated comment",
        'bad.c:20:18: warning: "/*" within comment [-Wcomment]',
        "bad.c:20:18: warning: '/*' within comment [-Wcomment]",
    ],
    'What is opened with " is not closed': [
        'bad.c:20:25: warning: missing terminating " character\n'
        "bad.c:26:23: error: unterminated argument list invoking macro 'pr_info'",
        'bad.c:20:25: error: missing terminating " character',
    ],
    "htons( is opened and never closed": [
        'bad.c:26:23: error: unterminated argument list invoking macro "htons"\n'
        "bad.c:20:33: error: 'htons' undeclared (first use in this function)",
        "bad.c:26:23: error: unterminated argument list invoking macro 'htons'\n"
        "bad.c:20:33: error: 'htons' undeclared (first use in this function)",
    ],
    "#ifdef has no #endif": ["bad.c:19: error: unterminated #ifdef"],
    "A { has no }": [
        "module.h:132:49: error: invalid storage class for function '__inittest'\n"
        "bad.c:26:1: error: expected declaration or statement at end of input"
    ],
    "no header linux/sockett.h": [
        "udp_sock.c:7:10: fatal error: linux/sockett.h: No such file or directory"
    ],
    "kernel_bindd()": [
        "error: implicit declaration of function 'kernel_bindd'; did you mean",
        "bad.c:19:15: error: implicit declaration of function 'kernel_bindd'; did you mean "
        "'kernel_bind'? [-Wimplicit-function-declaration]",
    ],
    "before Linux 4.4": [
        "filter.c:95:35: error: initialization of 'unsigned int (*)(void *, struct sk_buff *, "
        "const struct nf_hook_state *)' from incompatible pointer type",
        f"bad.c:19:46: error: initialization of {HOOK} from incompatible pointer type 'unsigned "
        "int (*)(unsigned int,  struct sk_buff *, const struct net_device *, const struct "
        "net_device *, int (*)(struct sk_buff *))' [-Wincompatible-pointer-types]",
    ],
    "Name the fields of struct nf_hook_ops": [
        f"bad.c:18:38: error: initialization of 'struct {head}_head *' from incompatible pointer "
        f"type {HOOK} [-Wincompatible-pointer-types]"
        for head in ("callback", "list")
    ],
    "From Linux 6.19 on, kernel_bind() takes": [
        f"bad.c:19:33: error: passing argument 2 of 'kernel_bind' {INCOMPATIBLE}"
        "   19 |         err = kernel_bind(sock, (struct sockaddr *)&addr, sizeof(addr));\n"
        "      |                                 ^~~~~~~~~~~~~~~~~~~~~~~~\n"
        "      |                                 |\n"
        "      |                                 struct sockaddr *\n"
        "In file included from bad.c:4:\n"
        "./include/linux/net.h:373:63: note: expected 'struct sockaddr_unsized *' but argument is "
        "of type 'struct sockaddr *'"
    ],
    "From Linux 6.19 on, sock->ops->bind() takes": [
        f"bad.c:19:37: error: passing argument 2 of 'sock->ops->bind' {INCOMPATIBLE}"
        "bad.c:19:37: note: expected 'struct sockaddr_unsized *' but argument is of type "
        "'struct sockaddr *'"
    ],
    "On this kernel kernel_bind() takes a struct sockaddr *": [
        "bad.c:19:33: error: passing argument 2 of 'kernel_bind' from incompatible pointer type "
        "[-Werror=incompatible-pointer-types]\n"
        "./include/linux/net.h:335:55: note: expected 'struct sockaddr *' but argument is of type "
        "'struct sockaddr_unsized *'"
    ],
    "kernel_connect() takes addresses of all families": [
        f"bad.c:19:33: error: passing argument 2 of 'kernel_connect' {INCOMPATIBLE}"
        f"./include/linux/net.h:373:63: note: expected 'struct {kind} *' but argument is of type "
        "'struct sockaddr_in *'"
        for kind in ("sockaddr", "sockaddr_unsized")
    ],
    "kernel_bind() takes the address of a structure": [
        "bad.c:19:33: error: incompatible type for argument 2 of 'kernel_bind'\n"
        "   19 |         err = kernel_bind(sock, addr, sizeof(addr));\n"
        "./include/linux/net.h:335:55: note: expected 'struct sockaddr *' but argument is of type "
        "'struct sockaddr_in'"
    ],
    "kernel_sendmsg() takes a struct kvec": [
        f"bad.c:22:42: error: passing argument 3 of 'kernel_sendmsg' {INCOMPATIBLE}"
        "./include/linux/net.h:368:74: note: expected 'struct kvec *' but argument is of type "
        "'struct iovec *'"
    ],
    "a fourth argument, kern": [
        "tcp_sock.c:90:15: error: too few arguments to function 'sock->ops->accept'"
    ],
    "From Linux 6.10 on": [
        "tcp_sock.c:70:15: error: too many arguments to function 'sock->ops->accept'",
        "bad.c:19:15: error: too many arguments to function 'sock->ops->accept'; expected 3, have "
        "4",
        "./include/uapi/asm-generic/fcntl.h:42:25: error: passing argument 3 of "
        "'sock->ops->accept' makes pointer from integer without a cast [-Wint-conversion]",
    ],
    "sock_create_kern() takes the address of your pointer": [
        "udp_sock.c:96:78: error: passing argument 5 of 'sock_create_kern' from incompatible "
        "pointer type [-Werror=",
        f"bad.c:19:78: error: passing argument 5 of 'sock_create_kern' {INCOMPATIBLE}",
    ],
    "kernel_accept() takes the address of your pointer": [
        f"bad.c:19:35: error: passing argument 2 of 'kernel_accept' {INCOMPATIBLE}"
    ],
    "larger than the variable": [
        "thread_info.h:230:25: error: call to '__bad_copy_to' declared with attribute error: copy "
        "destination size is too small",
        "./include/linux/ucopysize.h:52:25: error: call to '__bad_copy_from' declared with "
        "attribute error: copy source size is too small",
    ],
    "The write goes beyond the end": [
        "./include/linux/fortify-string.h:749:17: error: call to '__write_overflow' declared with "
        "attribute error: detected write beyond size of object (1st parameter)"
    ],
    "gone since Linux 4.13": [
        "error: implicit declaration of function 'nf_register_hook'; did you"
    ],
    "class_create() takes the name alone": [
        "bad.c:20:15: error: too many arguments to function 'class_create'; expected 1, have 2",
        'bad.c:20:31: error: macro "class_create" requires 2 arguments, but only 1 given',
    ],
    "del_timer_sync() is gone since Linux 6.15": [
        "bad.c:20:9: error: implicit declaration of function 'del_timer_sync'; did you mean "
        "'dev_mc_sync'? [-Wimplicit-function-declaration]"
    ],
    "from_timer() is gone since Linux 6.16": [
        "bad.c:21:23: error: implicit declaration of function 'from_timer'; did you mean "
        "'mod_timer'? [-Wimplicit-function-declaration]"
    ],
    "strlcpy() is gone since Linux 6.8": [
        "bad.c:20:9: error: implicit declaration of function 'strlcpy'; did you mean 'strncpy'? "
        "[-Wimplicit-function-declaration]"
    ],
    "does not know NF_ACCEPTED": [
        "filter.c:9:16: error: 'NF_ACCEPTED' undeclared (first use in",
        "bad.c:19:15: error: 'NF_ACCEPTED' undeclared (first use in this function); did you mean",
    ],
    "semicolon": [
        "filter.c:3:1: error: expected ';' before 'return'",
        "bad.c:19:16: error: expected ';' before 'return'",
    ],
    "A number is due here": [
        "bad.c:60:43: error: initialization of 'unsigned int' from 'char *' makes integer from "
        "pointer without a cast [-Wint-conversion]"
    ],
    "A pointer is due here": [
        "bad.c:60:43: error: passing argument 1 of 'f' makes pointer from integer without a cast "
        "[-Wint-conversion]"
    ],
    "kernel_thread() is not for modules": [
        "bad.c:168:9: error: too few arguments to function 'kernel_thread'; expected 4, have 3"
    ],
    "kernel_sendpage() and ops->sendpage are gone since Linux 6.5": [
        "bad.c:168:9: error: implicit declaration of function 'kernel_sendpage'; did you mean"
    ],
    "The header is linux/unaligned.h since Linux 6.12": [
        "bad.c:15:10: fatal error: asm/unaligned.h: No such file or directory"
    ],
    "nosuch is declared and used": [
        'ERROR: modpost: "nosuch" [lab/bad.ko] undefined!',
        "ERROR: modpost: lab/bad.ko: symbol 'nosuch' undefined!",
    ],
    "The line MODULE_LICENSE": [
        "ERROR: modpost: missing MODULE_LICENSE() in lab/bad.o",
        "ERROR: modpost: lab/bad.ko: missing MODULE_LICENSE()",
    ],
    "exports __root_device_register only to modules under its own license": [
        "ERROR: modpost: GPL-incompatible module bad.ko uses GPL-only symbol "
        "'__root_device_register'",
        "ERROR: modpost: lab/bad.ko: GPL-incompatible module uses GPL-only symbol "
        "'__root_device_register'",
    ],
}
"""Words of the advice -> what the compilers and modposts of Linux 6.1 to 7.3 said."""


def curly(said: str) -> str:
    """With gcc's quotation marks in the sandbox, whose locale has UTF-8."""
    return re.sub(r"'([^'\n]*)'", "\u2018\\1\u2019", said)


@pytest.mark.parametrize(
    ("sentence", "said"), [(words, said) for words, forms in SAID.items() for said in forms]
)
def test_well_known_mistakes_get_a_sentence(lab: Lab, sentence: str, said: str) -> None:
    """What is said of a well-known mistake is followed by what to do about it."""
    assert sentence.lower() in advice.advise(lab, said).lower()
    assert sentence.lower() in advice.advise(lab, curly(said)).lower()


@pytest.mark.parametrize(
    "said",
    [
        "filter.c:3:1: error: stray '\\\\' in program",
        "tcp_sock.c:90:15: error: void value not ignored as it ought to be",
        "bad.c:9:2: warning: missing terminating ' character\nbad.c:12:3: error: stray '\\1' in it",
    ],
)
def test_other_messages_get_none(lab: Lab, said: str) -> None:
    """No advice is given on what is not known, as on what #if 0 leaves out."""
    assert advice.advise(lab, said) == ""


COMPILED = json.loads((ROOT / "tests/data/compiler/linux-6.1.json").read_text())
"""What gcc 12 and modpost of Linux 6.1 said of a mistake made on purpose, and what we say."""


@pytest.mark.parametrize("made", COMPILED, ids=[made["mistake"] for made in COMPILED])
def test_a_mistake_that_was_made_is_told_in_its_own_words(lab: Lab, made: dict[str, str]) -> None:
    """An interface of before, a function of programs, a header that is missing, a slip in C."""
    assert advice.advise(lab, made["said"]).startswith(made["says"])
    assert advice.advise(lab, curly(made["said"])).startswith(made["says"])


def test_advice_is_of_one_error(lab: Lab) -> None:
    """The name is not taken from one error, and what it got from the next."""
    said = (
        f"bad.c:18:78: error: passing argument 4 of 'kernel_connect' {INCOMPATIBLE}"
        f"bad.c:19:33: error: passing argument 2 of 'kernel_bind' {INCOMPATIBLE}"
        "bad.c:19:37: note: expected 'struct sockaddr_unsized *' but argument is of type "
        "'struct sockaddr *'"
    )
    assert advice.advise(lab, said).startswith("From Linux 6.19 on, kernel_bind()")


# --- the files -------------------------------------------------------------------------


@pytest.mark.parametrize("name", labs.names())
def test_every_lab_has_advice_that_can_be_read(name: str) -> None:
    """The lab's own rows and those of all labs are regular expressions with their names."""
    assert advice.of(labs.load(name))


def test_a_labs_own_advice_comes_first(lab: Lab, tmp_path: Path) -> None:
    """What a lab says of a message stands in for what is said to all."""
    (tmp_path / "advice.toml").write_text("[[advice]]\npattern = 'expected .;'\nsays = 'Ours.'\n")
    said = "a.c:1:1: error: expected ';' before '}' token"
    assert advice.advise(lab.model_copy(update={"root": tmp_path}), said) == "Ours."
    assert advice.advise(lab, said).startswith("A semicolon is missing")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "x.c:1:1: error: implicit declaration of function 'printk'",
            "printk() is the kernel's own",
        ),
        ("x.c:1:10: fatal error: linux/skbuff.h: No such file or directory", "the kernel's inside"),
        ("x.c:1:10: fatal error: mine.h: No such file or directory", "in the system or the lab"),
        ("x.c:1:1: error: implicit declaration of function 'printf'", "does not know printf()"),
        ("user/x.c:5: undefined reference to `answer'", "answer() is called and nowhere defined"),
        ("Scrt1.o: in function `_start': undefined reference to `main'", "has no main()"),
        ("user/y.c:3: multiple definition of `count'", "count is defined twice"),
        ("x.c:4:23: error: storage size of 'hdr' isn't known", "#define _GNU_SOURCE"),
    ],
)
def test_a_program_gets_sentences_of_its_own(lab: Lab, said: str, sentence: str) -> None:
    """What is wrong in a program is not told as if it were the kernel."""
    assert sentence in advice.advise(lab, said, "program")
    assert "kernel or the lab" not in advice.advise(lab, said, "program")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("advice = [", "is not TOML"),
        ("advice = " + "[" * 5000, "is not TOML"),
        ("", r"has no \[\[advice\]\]"),
        ("[[advice]]\npattern = 'a'\n", "advice 1 has the keys pattern: they are"),
        ("[[advice]]\npattern = '('\nsays = ''\n", "advice 1: the pattern is no regular"),
        ("[[advice]]\npattern = 'a'\nsays = ''\nkind = 'x'\n", "advice 1: the kind is 'x'; it is"),
        ("[[advice]]\npattern = 'a'\nsays = ''\nwhole = 1\n", "advice 1: whole is 1; it is true"),
        ("[[advice]]\npattern = 'a'\nsays = '{name}'\n", "advice 1: {name} in says and next is a"),
    ],
)
def test_advice_that_is_wrong_is_told_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    """The file, which row, and what is wrong."""
    path = tmp_path / "advice.toml"
    path.write_text(text)
    with pytest.raises(LabError, match=message):
        advice.read(path)


def test_a_source_that_prints_long_lines_costs_no_time(lab: Lab) -> None:
    """What #error repeats fits the beginning of a pattern over and over, and never its end."""
    for words in (
        "incompatible type for argument 1 of setsockopt ",
        "modpost: GPL-incompatible ",
        "error: variable 'a' has initializer but incomplete type ",
    ):
        said = f"filter.c:3:2: error: #error {words * 2000}\nfilter.c:9:1: error: lvalue required"
        assert advice.explain(lab, said).place
