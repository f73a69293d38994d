"""C -> the small mistakes that can be made in it, one edit each, from its syntax tree; pure.

A list of operators: what a student forgets (a statement, a check, a conversion), mixes up
(two constants, two fields, two arguments) or gets wrong by a little (a size). They
know C and the kernel's names, and no lab.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checker.errors import InputError

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

PAIRS = (
    ("saddr", "daddr"),
    ("source", "dest"),
    ("syn", "fin"),
    ("ack", "rst"),
    ("INADDR_ANY", "INADDR_LOOPBACK"),
    ("IPPROTO_TCP", "IPPROTO_UDP"),
    ("SOCK_STREAM", "SOCK_DGRAM"),
    ("AF_INET", "AF_INET6"),
    ("PF_INET", "PF_INET6"),
    ("NF_ACCEPT", "NF_DROP"),
    ("NF_INET_LOCAL_OUT", "NF_INET_LOCAL_IN"),
    ("NF_INET_PRE_ROUTING", "NF_INET_POST_ROUTING"),
    ("NF_IP_PRI_FIRST", "NF_IP_PRI_LAST"),
    ("GFP_KERNEL", "GFP_ATOMIC"),
    ("copy_from_user", "copy_to_user"),
    ("kernel_getpeername", "kernel_getsockname"),
    ("ip_hdr", "tcp_hdr"),
    ("local", "remote"),
    ("LOCAL", "REMOTE"),
    ("true", "false"),
)
"""Names that are taken for each other. A name that has a part of one of them between
underscores, as MY_LOCAL_PORT has, is paired with another name of the file."""

BYTE_ORDER = re.compile(r"(hton|ntoh)[sl]|cpu_to_[bl]e\d\d|[bl]e\d\d_to_cpu")

LENGTHS = {"ip_hdrlen": "sizeof(struct iphdr)", "tcp_hdrlen": "sizeof(struct tcphdr)"}
"""A header's length with its options -> without them."""

COMPARISONS = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}

_LENGTH_NAME = re.compile(r"\w*(len|size)")
_ANNOTATION = re.compile(
    rb"\b__(?:init|exit|user|iomem|rcu|percpu|force|kernel|must_check|maybe_unused|always_unused"
    rb"|read_mostly|ro_after_init|initdata|initconst|net_init|net_exit|cold|bitwise|packed)\b"
)
_STATEMENTS = ("expression_statement", "if_statement", "while_statement", "for_statement")
_DROPPED = ("expression_statement", "return_statement", "goto_statement", "break_statement")
_LISTS = ("compound_statement", "case_statement")


@dataclass(frozen=True, order=True)
class Change:
    """One edit of a source: its bytes *start* to *end* become *new*."""

    start: int
    end: int
    new: str
    operator: str
    line: int

    def apply(self, source: bytes) -> bytes:
        """Return *source* with the edit made."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def changes(source: bytes) -> list[Change]:
    """Return the mistakes that can be made in *source*, in its order, each result once.

    They lie in functions, and in what is given to variables. Raises InputError where the
    host has no tree-sitter.
    """
    # the grammar does not know the kernel's annotations, which change nothing here
    plain = _ANNOTATION.sub(lambda match: b" " * len(match[0]), source)
    tree = _parser().parse(plain)
    twins = _twins(tree.root_node, source)
    made: dict[bytes, Change] = {}
    for node in _inside(tree.root_node):
        for change in itertools.chain(_of(node, source), _twin(node, source, twins)):
            made.setdefault(change.apply(source), change)
    made.pop(source, None)
    return sorted(made.values())


def _parser() -> Parser:
    try:
        import tree_sitter  # noqa: PLC0415 - an extra: no student needs it
        import tree_sitter_c  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "selftest --auto needs tree-sitter: .venv/bin/pip install 'knetlab[auto]', in a "
            "clone .venv/bin/pip install -e '.[auto]'."
        ) from error
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))


def _inside(root: Node) -> Iterator[Node]:
    """Yield the nodes of the functions' bodies, and of the values of the file's variables."""
    for top in root.named_children:
        if top.type == "function_definition":
            body = top.child_by_field_name("body")
            yield from _walk(body) if body else ()
        elif top.type == "declaration":
            for value in top.named_children:
                if value.type == "init_declarator":
                    yield from _walk(value)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.named_children:
        yield from _walk(child)


def _of(node: Node, source: bytes) -> Iterator[Change]:
    for operator in (
        _drop,
        _swap_statements,
        _condition,
        _argument,
        _size,
        _pair,
        _byte_order,
        _returned,
        _comparison,
    ):
        yield from operator(node, source)


def _text(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode()


def _change(node: Node, new: str, operator: str, last: Node | None = None) -> Change:
    end = (last or node).end_byte
    return Change(node.start_byte, end, new, operator, node.start_point.row + 1)


def _values(node: Node) -> list[Node]:
    """Return the named children that are no comments."""
    return [child for child in node.named_children if child.type != "comment"]


# --- what is forgotten ---------------------------------------------------------------


def _drop(node: Node, source: bytes) -> Iterator[Change]:
    """Leave out a statement, or a field of an initializer."""
    if node.type in _DROPPED and node.parent:
        yield _change(node, ";", "statement dropped")
    elif node.type == "initializer_pair":
        comma = node.next_sibling
        last = comma if comma and comma.type == "," else node
        yield _change(node, "", "field dropped", last)


def _byte_order(node: Node, source: bytes) -> Iterator[Change]:
    """Leave out a conversion between the host's and the network's byte order."""
    called = _called(node, source)
    if called and BYTE_ORDER.fullmatch(called):
        (value,) = _arguments(node)[:1] or (None,)
        if value:
            yield _change(node, f"({_text(value, source)})", "byte order dropped")


# --- what is in the wrong order ------------------------------------------------------


def _swap_statements(node: Node, source: bytes) -> Iterator[Change]:
    """Swap two statements that follow each other."""
    if node.type not in _LISTS:
        return
    for first, second in itertools.pairwise(_values(node)):
        if first.type in _STATEMENTS and second.type in _STATEMENTS:
            yield _swapped(first, second, source, "statements swapped")


def _swapped(first: Node, second: Node, source: bytes, operator: str) -> Change:
    between = source[first.end_byte : second.start_byte].decode()
    new = _text(second, source) + between + _text(first, source)
    return _change(first, new, operator, second)


# --- conditions ----------------------------------------------------------------------


def _condition(node: Node, source: bytes) -> Iterator[Change]:
    """Negate a condition, take it as always or never true, leave out a part of it."""
    if node.type in ("if_statement", "while_statement", "for_statement", "conditional_expression"):
        condition = node.child_by_field_name("condition")
        if condition is None:
            return
        if condition.type == "parenthesized_expression":
            (condition,) = _values(condition)[:1] or (condition,)
        text = _text(condition, source)
        yield _change(condition, f"!({text})", "condition negated")
        yield _change(condition, "0", "condition never")
        if node.type in ("if_statement", "conditional_expression"):  # a loop would not end
            yield _change(condition, "1", "condition always")
    elif node.type == "binary_expression":
        left, right = (node.child_by_field_name(name) for name in ("left", "right"))
        if left and right and _operator(node) in ("&&", "||"):
            yield _change(node, _text(left, source), "part of a condition dropped")
            yield _change(node, _text(right, source), "part of a condition dropped")


def _comparison(node: Node, source: bytes) -> Iterator[Change]:
    """Compare in another way: == for !=, < for <=."""
    sign = node.child_by_field_name("operator") if node.type == "binary_expression" else None
    if sign and sign.type in COMPARISONS:
        yield _change(sign, COMPARISONS[sign.type], "comparison changed")


def _operator(node: Node) -> str:
    sign = node.child_by_field_name("operator")
    return sign.type if sign else ""


# --- calls ---------------------------------------------------------------------------


def _called(node: Node, source: bytes) -> str:
    """Return the name of the function that *node* calls; "" when it is no such call."""
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    return _text(function, source) if function else ""


def _arguments(node: Node) -> list[Node]:
    found = node.child_by_field_name("arguments")
    return _values(found) if found else []


def _argument(node: Node, source: bytes) -> Iterator[Change]:
    """Give a call NULL for what may be a pointer, another number, or two arguments swapped."""
    if not _called(node, source):
        return
    given = _arguments(node)
    for one in given:
        pointers = ("pointer_expression", "identifier", "cast_expression")
        if one.type in pointers and not _text(one, source).isupper():  # a constant is none
            yield _change(one, "NULL", "argument NULL")
        elif one.type == "number_literal" and re.fullmatch(r"\d+", _text(one, source)):
            yield _change(one, str(int(_text(one, source)) + 1), "number changed")
    for first, second in itertools.pairwise(given):
        yield _swapped(first, second, source, "arguments swapped")


def _size(node: Node, source: bytes) -> Iterator[Change]:
    """Take a size that is too large, too small, 1, that of a pointer or without its options."""
    text = _text(node, source)
    called = _called(node, source)
    if called in LENGTHS:
        yield _change(node, LENGTHS[called], "size changed")
    own = node.type == "sizeof_expression" or bool(_LENGTH_NAME.fullmatch(called))
    if node.type == "field_expression" and not _is_target(node):
        field = node.child_by_field_name("field")
        own = bool(field and _LENGTH_NAME.fullmatch(_text(field, source)))
    if own:
        for new in (f"({text} + 4)", f"({text} + 1)", f"({text} - 1)", "1"):
            yield _change(node, new, "size changed")
    if node.type == "sizeof_expression":
        yield _change(node, "sizeof(void *)", "size changed")


def _is_target(node: Node) -> bool:
    """Tell whether *node* is what is assigned to, or called, or taken the address of."""
    parent = node.parent
    if parent is None:
        return False
    if parent.type == "call_expression":
        return True
    if parent.type == "assignment_expression":
        left = parent.child_by_field_name("left")
        return left is not None and left.start_byte == node.start_byte
    return parent.type in ("pointer_expression", "update_expression", "field_expression")


# --- names ---------------------------------------------------------------------------


def _pair(node: Node, source: bytes) -> Iterator[Change]:
    """Take one of two names that are taken for each other."""
    if node.type not in ("identifier", "field_identifier", "true", "false"):
        return
    name = _text(node, source)
    for pair in PAIRS:
        for one, other in (pair, pair[::-1]):
            new = re.sub(rf"(?<![^\W_]){one}(?![^\W_])", other, name)
            if new != name and (name == one or re.search(rf"\b{new}\b".encode(), source)):
                yield _change(node, new, "names mixed up")


def _twins(root: Node, source: bytes) -> dict[str, list[str]]:
    """Return for each variable of the file the others that were declared with the same type."""
    by_type: dict[str, list[str]] = defaultdict(list)
    for top in root.named_children:
        if top.type == "declaration":
            for value in top.children_by_field_name("declarator"):
                name = value
                while inner := name.child_by_field_name("declarator"):
                    name = inner
                if name.type == "identifier":
                    before = source[top.start_byte : name.start_byte]
                    by_type[" ".join(before.decode().split())].append(_text(name, source))
    return {
        name: [other for other in names if other != name]
        for names in by_type.values()
        for name in names
    }


def _twin(node: Node, source: bytes, twins: Mapping[str, Sequence[str]]) -> Iterator[Change]:
    """Take another variable of the file that has the same type."""
    if node.type == "identifier":
        for other in twins.get(_text(node, source), ()):
            yield _change(node, other, "names mixed up")


# --- what is returned ----------------------------------------------------------------


def _returned(node: Node, source: bytes) -> Iterator[Change]:
    """Return 0 in place of an error, 1 or an error in place of 0."""
    if node.type != "return_statement":
        return
    (value,) = _values(node)[:1] or (None,)
    if value is None:
        return
    text = _text(value, source)
    if text in ("true", "false"):
        return  # a pair
    if text == "0":
        yield _change(value, "1", "1 returned")
        yield _change(value, "-EINVAL", "an error returned")
    elif value.type == "call_expression":
        yield _change(node, f"{{ {text}; return 0; }}", "error returned as 0")
    else:
        yield _change(value, "0", "error returned as 0")
        if re.fullmatch(r"-E[A-Z]+", text):
            yield _change(value, "-EPERM", "another error returned")
