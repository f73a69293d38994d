"""What a module leaves behind: loaded again and again, and with each allocation failing in turn.

Lab checks call reload(), use() and error_paths(); they raise Unmet with a
sentence that names the line. The helper module vm/witness notes what the module
allocates and does not free, with the stack, and arms the kernel's fault injection
(Documentation/fault-injection).
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from checker.engine.left import (
    COUNTED,
    Leak,
    Stack,
    leaks_of,
    of_exercise,
    parse_objects,
    without_the_kernels,
)
from checker.engine.testbed import Late, Module, Unmet, errno_name
from checker.words import kernel_log

ROUNDS = 20
SECONDS = 300.0
"""Guest seconds that all rounds together have."""

ROUND_SECONDS = 10.0
"""Guest seconds that one round may cost; after that in QEMU's time the guest has hung."""

MAX_FAILURES = 100
"""So many allocations of one init function are tried."""

Waiting = Literal["never", "client", "interrupt"]
"""What ends an init that waits: nothing, it does not; a client; a signal, as by Ctrl-C."""

_HOW: dict[Waiting, str] = {"never": "", "client": "c", "interrupt": "i"}


@dataclass(frozen=True)
class Round:
    """One load and unload: errnos (0: it worked), and what was there afterwards.

    *left* is how many allocations were still to come when init returned, 0
    after one has failed; *met* whether it waited, and that was ended; *stacks* who
    allocated what is still there.
    """

    number: int
    insmod: int
    rmmod: int
    left: int
    met: bool
    counts: dict[str, int]
    stacks: tuple[Stack, ...] = ()


def reload(
    module: Module,
    *,
    waiting: Waiting = "never",
    ignore: str = "",
    times: int = ROUNDS,
) -> None:
    """Load and unload *module* so many times in a row; Unmet when it fails or leaves something.

    *waiting* says what ends the waiting of an init that does. What another
    exercise's functions (lab.toml) leak is its business, and so are leaks by functions of
    the kernel that match *ignore*, outside of this exercise's own.
    """
    interrupt = waiting == "interrupt"
    before, *done = _rounds(module, times, _HOW[waiting])
    # an init that need not be interrupted succeeds, and then exit has to release all
    where = "Where init fails" if interrupt and done[0].insmod else "In exit"
    every = leaks_of(module, done[-1].stacks)
    own = of_exercise(module, every, ignore)
    for one in done:
        if interrupt and one.insmod == errno.EEXIST:
            raise Unmet(
                f"The module waited for a client and was interrupted. At attempt {one.number} it "
                "was still loaded from the attempt before.",
                expected="an interrupted insmod fails, and leaves no module",
                actual=f"insmod fails with {errno_name(one.insmod)} at attempt {one.number}",
                log=module.kernel_says(),
                hint="Return from init the error of the call that was interrupted: init has "
                "returned 0, so the module stays loaded. Is the error in another variable than "
                "the one that is returned?",
            )
        said = f"rmmod fails with {errno_name(one.rmmod)}" if one.rmmod else ""
        if one.insmod and not (interrupt and one.insmod == errno.EINTR):
            said = f"insmod fails with {errno_name(one.insmod)}"
        if own != every and one.insmod == errno.EADDRINUSE:
            return  # what the other exercise did not release stands in the way
        if said:
            because = "".join(f" {leak}." for leak in own)
            raise Unmet(
                f"The module was loaded and unloaded again and again. Attempt {one.number} failed."
                f"{because}",
                expected=f"insmod and rmmod succeed {times} times in a row",
                actual=f"{said} at attempt {one.number}",
                log=module.kernel_says(),
                hint=_give_back(own, where) if own else "",
            )
    leaks = [leak for leak in own if leak.count >= times]
    left = [] if own != every else _more(before, done[-1], ignore)
    if leaks or left:
        how = "waited for a client and was interrupted" if interrupt else "was loaded and unloaded"
        raise _each_time(
            f"The module {how}", times, leaks, "all that init got is released", where, left
        )


def interrupted(module: Module, times: int = 5) -> None:
    """Interrupt init where it waits, so many times; Unmet when functions of this exercise leak.

    Nothing else is judged: what becomes of insmod, and the code that all share, are the
    business of the exercise that checks reload() so.
    """
    *_, last = _rounds(module, times, _HOW["interrupt"])
    every = [leak for leak in leaks_of(module, last.stacks) if leak.count >= times]
    if leaks := [leak for leak in every if module.is_ours(leak.place)]:
        expected = "all that was got before the interruption is released"
        how = "The module waited for a client and was interrupted"
        raise _each_time(how, times, leaks, expected, "Where the wait fails")


def use(
    module: Module,
    action: Callable[[], object],
    what: str,
    times: int,
    *,
    where: str = "At the end of each use, errors included",
) -> None:
    """Call *action*, which uses *module* so many times; Unmet when each use leaves something.

    What functions of another exercise leave is that one's business. *where* is the place of
    the next step.
    """
    module.guest.run(["/sbin/tool", "watch", "1"])
    action()
    text = module.guest.run(["/sbin/tool", "watch", "0"]).text
    own = of_exercise(module, leaks_of(module, parse_objects(text)))
    leaks = [leak for leak in own if leak.count >= times]
    if leaks:
        expected = "what is allocated for one use is freed at its end"
        raise _each_time(what, times, leaks, expected, where)


def error_paths(
    module: Module,
    *,
    waiting: Waiting = "never",
    only: str = "",
    leave: str = "^$",
    ignore: str = "",
) -> None:
    """Let each allocation of init fail in turn; Unmet when that does not end cleanly.

    A clean end is an error of insmod with nothing left, or success. *waiting*
    and *ignore* are as for reload(). Of the functions that init calls, only the
    failures in those that match *only* count, and after a client has come, and
    none in those that match *leave*: they are another exercise's.
    """
    how = f"f{_HOW[waiting]}"
    before, *done = _rounds(module, MAX_FAILURES, how)
    if all(one.left for one in done):
        raise Unmet(
            "No allocation could be made to fail while init ran.",
            expected="init allocates something, a socket or a device number",
            actual="it allocates nothing",
        )
    calls = _calls(module, done)
    judged = [one for one in done if _counts(one, calls, only, leave)]
    every = {
        one.number: leaks_of(
            module,
            without_the_kernels(one.stacks, calls.get(one.number, ("", "", 0))[0], module.release),
        )
        for one in judged
    }
    leaks = {number: of_exercise(module, found, ignore) for number, found in every.items()}
    others = {number for number, found in every.items() if leaks[number] != found}
    if any(leaks.values()):  # once may be a cache that filled itself
        second = _rounds(module, MAX_FAILURES, how)
        again = {(k.place, k.function) for one in second for k in leaks_of(module, one.stacks)}
        for one in judged:  # where more is counted too, the second run may not get so far
            if not _more(before, one, ignore):
                found = leaks[one.number]
                leaks[one.number] = [k for k in found if (k.place, k.function) in again]
    for one in judged:
        when = "When nothing fails,"
        if not one.left:
            when = f"When allocation {one.number} of init fails{_where(module, calls, one)},"
        unloaded = not one.insmod  # then it is exit that left it
        left = [str(leak) for leak in leaks[one.number]]
        counted = [] if left or one.number in others else _more(before, one, ignore)
        ended = f"insmod fails with {errno_name(one.insmod)}" if one.insmod else "insmod succeeds"
        if one.insmod == errno.ETIMEDOUT:
            raise Late(f"{when} insmod does not come back.", log=module.kernel_says())
        if one.rmmod:
            raise Unmet(
                f"{when} {ended}, and then the module cannot be unloaded.",
                expected="rmmod succeeds",
                actual=f"rmmod fails with {errno_name(one.rmmod)}",
            )
        if left or counted:
            told = "; ".join(left) or f"{ended} and leaves behind: {', '.join(counted)}"
            raise Unmet(
                f"{when} {told}.",
                expected="exit undoes what init did"
                if unloaded
                else "init undoes what it did before it returns the error",
                actual="\n".join(left or counted),
                hint=_give_back(
                    leaks[one.number], "In exit" if unloaded else "Where init fails", counted
                ),
            )


def _each_time(  # noqa: PLR0917
    what: str,
    times: int,
    leaks: list[Leak],
    expected: str,
    where: str,
    left: Sequence[str] = (),
) -> Unmet:
    """Return what to raise when *what*, done so many times, leaves *leaks*, or else *left*."""
    told = "; ".join(map(str, leaks)) or ", ".join(left)
    return Unmet(
        f"{what} {times} times, and each time something is left: {told}.",
        expected=expected,
        actual="\n".join([f"{k.times or k.count} times: {k}" for k in leaks] or left),
        hint=_give_back(leaks, where, left),
    )


def _give_back(leaks: list[Leak], where: str, left: Sequence[str] = ()) -> str:
    """Return the next step for what was not given back; *left* is what _more() says."""
    if place := next((leak.place for leak in leaks if leak.place), ""):
        return f"{where}, give back what {place} gets."
    ends = {end: None for name, _, end in COUNTED.values() if name in " ".join(left)}
    if ends:
        return f"{where}, call {' and '.join(ends)} for what is left: {', '.join(left)}."
    return f"{where}, give back what init has got."


@contextlib.contextmanager
def major_held(module: Module, number: int) -> Iterator[None]:
    """Let the helper module hold the major *number* meanwhile, so that *module* cannot have it."""
    put = ["/sbin/tool", "put", "/sys/module/witness/parameters/major"]
    done = module.guest.run([*put, str(number)])
    if not done.ok:
        raise Unmet(
            f"The major number {number} is taken before the module is loaded: did an earlier load "
            "leave it behind?",
            expected=f"nobody has the major number {number}",
            actual=done.err.decode(errors="replace").strip(),
        )
    try:
        yield
    finally:
        if not module.guest.dead:
            module.guest.run([*put, "0"])


@contextlib.contextmanager
def refused(module: Module, *functions: str) -> Iterator[None]:
    """Let each call of these *functions* of the kernel fail meanwhile with ENOBUFS.

    Nothing of them is done. Name each that a module may call: one that calls another in the
    same file may have that compiled in. There are four at most, and a check that uses this needs
    KPROBES.
    """
    put = ["/sbin/tool", "put", "/sys/module/witness/parameters/refuse"]
    names = " ".join(functions)
    done = module.guest.run([*put, names])
    if not done.ok:
        said = done.err.decode(errors="replace").strip()
        raise RuntimeError(f"These functions of the kernel cannot be refused: {names}: {said}")
    try:
        yield
    finally:
        if not module.guest.dead:
            module.guest.run([*put, "\n"])


# --- rounds --------------------------------------------------------------------------


def _rounds(module: Module, last: int, how: str) -> list[Round]:
    """Let the guest do the rounds; the first one returned is the state before them."""
    argv = ["/sbin/tool", "rounds", module.path, module.name, str(last), how]
    step = 0.0 if module.hung else ROUND_SECONDS  # what hung once is not waited for again
    result = module.guest.run(argv, deadline=SECONDS, step=step)
    if result.how == "timeout":
        raise Late("Loading and unloading the module again and again does not come to an end.")
    rounds = parse_rounds(result.text)
    if len(rounds) < 2:  # only the state before them
        raise Unmet(
            "The guest cannot load and unload the module any more.",
            expected="a guest that works after the module was used in it",
            actual=result.err.decode(errors="replace").strip() or "it says nothing",
        )
    return rounds


_ROUND = re.compile(
    r"round (?P<number>\d{1,6}) insmod=(?P<insmod>\d{1,4}) rmmod=(?P<rmmod>\d{1,4})"
    r" left=(?P<left>\d{1,9}) met=(?P<met>[01])"
    r"(?P<counts> tcp=\d{1,9} udp=\d{1,9} majors=\d{1,9} threads=\d{1,9})?"
)


def parse_rounds(text: str) -> list[Round]:
    """Read what `tool rounds` prints: a line a round, and a line for each object left by it."""
    rounds = []
    for part in re.split(r"^(?=round )", text, flags=re.MULTILINE):
        head, _, rest = part.partition("\n")
        if (match := _ROUND.fullmatch(head)) is None:
            continue
        counts = (word.split("=") for word in (match["counts"] or "").split())
        rounds.append(
            Round(
                number=int(match["number"]),
                insmod=int(match["insmod"]),
                rmmod=int(match["rmmod"]),
                left=int(match["left"]),
                met=match["met"] == "1",
                counts={name: int(number) for name, number in counts},
                stacks=parse_objects(rest),
            )
        )
    return rounds


def _more(before: Round, after: Round, ignore: str) -> list[str]:
    """Return what there is more of after a round, in plain words.

    What is made by a function of the kernel that matches *ignore* ("": none) is left out.
    """
    grown = {k: n - before.counts[k] for k, n in after.counts.items()}
    return [
        f"{n} {COUNTED[k][0]}{'s' if n > 1 else ''}"
        for k, n in grown.items()
        if n > 0 and not (ignore and re.search(ignore, COUNTED[k][1]))
    ]


Calls = dict[int, tuple[str, str, int]]
"""Round -> the function that was called when an allocation failed, and where it was called."""


def _calls(module: Module, done: list[Round]) -> Calls:
    """Return what the log says of the failures, one for each round of *done*; else nothing.

    A module can keep the console silent, and write what vm/witness does: then there are fewer or
    more of them than rounds, and none is believed.
    """
    struck = kernel_log.injected(module.console(), module.name)
    if len(struck) != len(done):
        module.guest.sync()
        struck = kernel_log.injected(module.logged(), module.name)
    if len(struck) != len(done):
        return {}
    return {one.number: call for one, call in zip(done, struck, strict=True)}


def _counts(one: Round, calls: Calls, only: str, leave: str) -> bool:
    """Tell whether a round is this exercise's business.

    One in which nothing failed is, and one of which the log does not tell.
    """
    if one.left or one.number not in calls:
        return True
    called, _, _ = calls[one.number]
    return bool((one.met or re.search(only, called)) and not re.search(leave, called))


def _where(module: Module, calls: Calls, one: Round) -> str:
    """Return where an allocation failed, as in " in kernel_bind() at tcp_sock.c:97"."""
    called, function, offset = calls.get(one.number, ("", "", 0))
    if not function:
        return ""
    line = module.symbols.locate(function, offset) if module.symbols else ""
    return (f" in {called}()" if called else "") + f" at {line or function + '()'}"
