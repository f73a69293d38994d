"""Pure: what a check did and what it saw -> the sentence that says so, the headline of a failure.

A headline says nothing that was not seen: whether a connection came about, how many lines
there were, what insmod ended with. *done* is always the first half of the sentence, without
its full stop: what the check did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def count(number: int, what: str) -> str:
    """Return a number and its noun: 1 line, 2 lines."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def verb(number: int) -> str:
    """Return the verb for so many things."""
    return "is" if number == 1 else "are"


def connection(client: str, server: str, *, arrived: bool) -> str:
    """Say what became of a connection by netcat: the first half of a sentence."""
    if arrived:
        return f"netcat connected from {client} to {server}"
    return f"netcat tried to connect from {client} to {server}, nothing arrived there"


def lines(
    done: str, expected: Sequence[str], actual: Sequence[str], log: str = "", words: str = ""
) -> str:
    """Say how the lines that were logged differ from those *expected*.

    *log* is all that the kernel has said, what it said before the check did this included;
    *words* begin the exercise's line.
    """
    return f"{done}, and {_difference(expected, actual, log, words)}."


def _difference(expected: Sequence[str], actual: Sequence[str], log: str, words: str) -> str:
    wanted, got = Counter(expected), Counter(actual)
    missing, more = wanted - got, got - wanted
    if not actual:
        if expected and any(line in log for line in expected):
            return "the log says so in other words than the exercise's"
        if words and words in log:
            return "nothing was logged for it: the log has only lines from before"
        if log.strip():
            return "no line in the exercise's words was logged"
        return "nothing was logged"
    if not expected:
        return "a line was logged" if len(actual) == 1 else f"{len(actual)} lines were logged"
    if not missing and not more:
        return "the lines are in another order"
    if not missing and set(more) <= set(wanted):
        times = {got[line] / number for line, number in wanted.items()}
        if len(times) == 1 and len(wanted) == 1:
            return f"the log has {len(actual)} lines for it, not {len(expected)}"
        return f"the log has {len(actual)} lines, not {len(expected)}"
    if not missing:
        right = "the right line" if len(expected) == 1 else "the right lines"
        return f"besides {right} the log has {count(sum(more.values()), 'other line')}"
    if len(missing) == len(wanted):
        if len(actual) == 1:
            named = f"names {actual[0]}" if actual[0] else "names nobody"
            return f"the line that was logged {named}"
        whom = expected[0] if len(wanted) == 1 else "any of them"
        return f"of the {len(actual)} lines that were logged, none names {whom}"
    number = sum(missing.values())
    return f"of the {len(expected)} lines that are due, {number} {verb(number)} missing"


def insmod(done: str, error: str, *, signal: int = 0) -> str:
    """Say how insmod ended: with *error*, the errno's name, or "" where it succeeded."""
    if signal:
        return f"{done}, and insmod was killed by signal {signal}."
    return f"{done}, and insmod {f'failed with {error}' if error else 'succeeded'}."


def ioctl(done: str, error: str, value: int) -> str:
    """Say how an ioctl ended: with *error*, or returning *value*."""
    return f"{done}, and it {f'failed with {error}' if error else f'returned {value}'}."


def listening(where: str, found: Sequence[str], error: str, *, loaded: bool) -> str:
    """Say what listens where something should listen on *where*.

    *error* is insmod's, "" for none; *loaded*: insmod has come back.
    """
    if found:
        return f"Nothing listens on {where}, but on {', '.join(found)}."
    if error:
        return f"insmod failed with {error}, and nothing listens on {where}."
    ended = "has come back" if loaded else "is still running"
    return f"insmod {ended}, and nothing listens on {where}."


def only(where: str, found: Sequence[str]) -> str:
    """Say what listens where only *where* should."""
    if not found:
        return f"Nothing listens on {where} any more."
    others = [one for one in found if one != where]
    if others == list(found):
        return f"The module listens on {', '.join(others)}."
    if others:
        return f"The module listens on {where}, and on {', '.join(others)}, too."
    return f"The module has {len(found)} sockets that listen on {where}."


def peer(client: str, told: Sequence[str], log: str = "") -> str:
    """Say what was logged of *client*, which connected."""
    return lines(f"A client connected from {client}", [client], told, log)


def datagram(got: bytes, sent: int, wanted: bytes) -> str:
    """Say what netcat got; *sent* is how many datagrams left the module's side."""
    if got:
        return f"netcat got {count(len(got), 'byte')}, and they are not {wanted.decode()!r}."
    if sent > 0:
        return f"{count(sent, 'datagram')} {_was(sent)} sent, and netcat got nothing."
    return "Nothing was sent, and netcat got nothing."


def part(done: str, name: str, found: str, right: str) -> str:
    """Say what a part of the line is: *name* says which, *found* what stands there."""
    if not found:
        return f"{done}, and no line has the {name} {right}."
    return f"{done}, and the {name} in the line is {found}, not {right}."


def arrival(what: str, arrived: str) -> str:
    """Say what arrived of what was sent: *what* says how, "over a connection"."""
    if arrived:
        return f"What was sent {what} arrived, but not unchanged."
    return f"What was sent {what} did not arrive."


def logged(number: int) -> str:
    """Say how many lines were logged: the second half of a sentence."""
    return "nothing was logged" if not number else f"{count(number, 'line')} {_was(number)} logged"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
