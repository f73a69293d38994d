"""The small mistakes that are made in C by machine: each operator, and where it is not used."""

from __future__ import annotations

import sys

import pytest

from checker.errors import InputError
from checker.workshop import operators
from checker.workshop.operators import Change, changes


def made(body: str, before: str = "") -> dict[str, set[str]]:
    """Return operator -> what stands in place of *body*, the inside of a function."""
    head = f"{before}static int __init f(void)\n{{\n"
    source = f"{head}{body}\n}}\n"
    found: dict[str, set[str]] = {}
    for change in changes(source.encode()):
        text = change.apply(source.encode()).decode()
        inside = text.removeprefix(head).removesuffix("\n}\n")
        found.setdefault(change.operator, set()).add(inside)
    return found


@pytest.mark.parametrize(
    ("operator", "body", "expected"),
    [
        ("statement dropped", "a();", {";"}),
        ("statement dropped", "if (x)\n\treturn;", {"if (x)\n\t;"}),
        ("statement dropped", "goto out;", {";"}),
        ("statements swapped", "a();\n/* c */\nb();", {"b();\n/* c */\na();"}),
        ("statements swapped", "e = a();\nif (e) b();", {"if (e) b();\ne = a();"}),
        ("condition negated", "if (x < y) a();", {"if (!(x < y)) a();"}),
        ("condition never", "return x ? 1 : 2;", {"return 0 ? 1 : 2;"}),
        ("condition always", "if (x) a();", {"if (1) a();"}),
        ("part of a condition dropped", "if (x && y) a();", {"if (x) a();", "if (y) a();"}),
        ("comparison changed", "if (x == y) a();", {"if (x != y) a();"}),
        ("comparison changed", "if (x < y) a();", {"if (x <= y) a();"}),
        ("argument NULL", "a(&x, 1 + 2, y);", {"a(NULL, 1 + 2, y);", "a(&x, 1 + 2, NULL);"}),
        ("argument NULL", "a((void __user *)p);", {"a(NULL);"}),
        ("arguments swapped", "a(x, y, z);", {"a(y, x, z);", "a(x, z, y);"}),
        ("number changed", "a(x, 7);", {"a(x, 8);"}),
        ("byte order dropped", "p = htons(PORT);", {"p = (PORT);"}),
        ("byte order dropped", "p = be32_to_cpu(x->y);", {"p = (x->y);"}),
        ("names mixed up", "x = iph->saddr;", {"x = iph->daddr;"}),
        ("names mixed up", "x = INADDR_ANY;", {"x = INADDR_LOOPBACK;"}),
        ("error returned as 0", "return -ENOMEM;", {"return 0;"}),
        ("error returned as 0", "return err;", {"return 0;"}),
        ("error returned as 0", "return g(x);", {"{ g(x); return 0; }"}),
        ("another error returned", "return -ENOMEM;", {"return -EPERM;"}),
        ("1 returned", "return 0;", {"return 1;"}),
        ("an error returned", "return 0;", {"return -EINVAL;"}),
    ],
)
def test_operator(operator: str, body: str, expected: set[str]) -> None:
    """Each makes just these mistakes of a line."""
    assert made(body)[operator] == expected


def test_sizes() -> None:
    """A size becomes larger, smaller, 1, a pointer's; a header's length one without options."""
    assert made("n = sizeof(x);")["size changed"] == {
        "n = (sizeof(x) + 4);",
        "n = (sizeof(x) + 1);",
        "n = (sizeof(x) - 1);",
        "n = 1;",
        "n = sizeof(void *);",
    }
    assert "n = sizeof(struct iphdr);" in made("n = ip_hdrlen(skb);")["size changed"]
    assert "n = (strlen(s) - 1);" in made("n = strlen(s);")["size changed"]
    assert "a((v.iov_len + 1));" in made("a(v.iov_len);")["size changed"]


def test_what_is_assigned_to_is_no_size() -> None:
    """A field by that name on the left of an assignment stays."""
    assert "size changed" not in made("m.iov_len = 3;")


def test_constants_are_no_pointers() -> None:
    """A name in capitals is not replaced by NULL, which the compiler takes for 0 there."""
    assert "argument NULL" not in made("a(PF_INET, 3);")


def test_loops_are_not_made_endless() -> None:
    """A loop's condition is never or negated, not always."""
    assert "condition always" not in made("while (x) a();")
    assert made("while (x) a();")["condition never"] == {"while (0) a();"}


def test_names_of_the_file() -> None:
    """A part of a name is paired where the file has the other name."""
    ports = "#define MY_LOCAL_PORT 1\n#define MY_REMOTE_PORT 2\n"
    assert made("p = MY_LOCAL_PORT;", ports)["names mixed up"] == {"p = MY_REMOTE_PORT;"}
    assert "names mixed up" not in made("p = MY_LOCAL_PORT;")


def test_variables_of_one_type() -> None:
    """A variable of the file is taken for another that was declared alike, and for no other."""
    sockets = "static struct socket *sock;\nstatic struct socket *new_sock;\nstatic int sick;\n"
    assert made("release(sock);", sockets)["names mixed up"] == {"release(new_sock);"}


def test_fields_of_a_variable_of_the_file() -> None:
    """A field of an initializer is left out with its comma."""
    source = b"static struct ops o = {\n\t.a = f,\n\t.b = g,\n};\n"
    dropped = [c.apply(source) for c in changes(source) if c.operator == "field dropped"]
    assert dropped == [
        b"static struct ops o = {\n\t\n\t.b = g,\n};\n",
        b"static struct ops o = {\n\t.a = f,\n\t\n};\n",
    ]


def test_outside_of_functions_nothing_is_changed() -> None:
    """Macros, prototypes and what is said of the module stay."""
    assert changes(b'#define N 3\nint f(int a);\nMODULE_LICENSE("GPL");\nmodule_init(f);\n') == []


def test_each_text_is_made_once() -> None:
    """Two operators that come to the same text are one mutant."""
    source = b"static bool f(void)\n{\n\tif (true)\n\t\ta();\n}\n"
    texts = [change.apply(source) for change in changes(source)]
    assert len(texts) == len(set(texts))
    assert source not in texts


def test_a_change_has_its_line() -> None:
    """Lines are counted from 1."""
    found = changes(b"static int f(void)\n{\n\treturn x;\n}\n")
    assert {change.line for change in found} == {3}


def test_annotations_of_the_kernel_do_not_hide_a_function() -> None:
    """Functions with __init and arguments with __user are read as any other."""
    source = b"static void __exit f(void)\n{\n\ta((void __user *)b);\n}\n"
    nulls = [c for c in changes(source) if c.operator == "argument NULL"]
    assert [source[c.start : c.end] for c in nulls] == [b"(void __user *)b"]


def test_text_beyond_ascii() -> None:
    """Places are counted in bytes, so that a comment in another script moves nothing."""
    source = "static int f(void)\n{\n\t/* größer */ return x;\n}\n".encode()
    zero = next(c for c in changes(source) if c.operator == "error returned as 0")
    assert zero.apply(source).decode() == "static int f(void)\n{\n\t/* größer */ return 0;\n}\n"
    assert isinstance(zero, Change)


def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tree-sitter the message says how to get it."""
    monkeypatch.setitem(sys.modules, "tree_sitter_c", None)
    with pytest.raises(InputError, match=r"pip install 'knetlab\[auto\]'"):
        operators.changes(b"int x;")
