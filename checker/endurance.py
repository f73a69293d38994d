"""What a module leaves behind: loaded again and again, and with each allocation failing in turn.

Lab checks call reload() and error_paths(); both raise Unmet with a sentence that
names the line. What is still allocated is asked of the kernel's slab allocator
(alloc_traces, Documentation/mm/slub.rst): each live object with the stack of
whoever allocated it. Which allocation fails is the kernel's fault injection
(Documentation/fault-injection), armed by vm/witness.
"""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from checker import kernel_log
from checker.testbed import Late, Module, Unmet, errno_name
from vm import witness

ROUNDS = 20
SECONDS = 300.0
"""Guest seconds that all rounds together have."""

MAX_CODE = 1 << 16
"""Bytes of code that a section has at most."""

MAX_FAILURES = 100
"""So many allocations of one init function are tried."""

Client = tuple[str, int]
"""The address and port where init listens, if it does."""

NOWHERE: Client = ("127.0.0.1", 0)

_KINDS = (
    (r"chrdev|cdev_", "the device number"),
    (r"accept", "the socket of a connection"),
    (r"sock_create|sock_alloc|sk_alloc", "a socket"),
    (r"nf_register|nf_hook", "a netfilter hook"),
    (r"kthread", "a kernel thread"),
    (r"netlink", "a netlink socket"),
    (r"proc_|debugfs_|sysfs_|kobject", "an entry of a file system"),
    (r"device_|class_|misc_", "a device"),
)
"""What is left, by the function of the kernel that the module called; else it is memory."""

_COUNTED = {
    "majors": "device number",
    "tcp": "TCP socket",
    "udp": "UDP socket",
    "threads": "kernel thread",
}


@dataclass(frozen=True)
class Round:
    """One load and unload: errnos (0: it worked), and what was there afterwards.

    *left* is how many allocations were still to come when init returned, 0
    after one has failed; *met* whether it came to listen; *sections* where the
    module's code lay, by name.
    """

    number: int
    insmod: int
    rmmod: int
    left: int
    met: bool
    sections: dict[str, int]
    counts: dict[str, int]


@dataclass(frozen=True)
class Leak:
    """What the module's line *place* got by calling *function*, and what is left of it."""

    place: str
    function: str
    count: int

    def __str__(self) -> str:
        """Write it for a student."""
        kind = next((words for how, words in _KINDS if re.search(how, self.function)), "memory")
        what = f"{kind} ({self.function}())" if self.function else kind
        return f"{self.place} leaks {what}" if self.place else f"{what} is leaked"


def reload(
    module: Module,
    *,
    listens: Client = NOWHERE,
    interrupt: bool = False,
    ignore: str = "",
    times: int = ROUNDS,
) -> None:
    """Load and unload *module* so many times in a row; Unmet when it fails or leaves something.

    Where init waits for a client at *listens*, one connects, or with
    *interrupt* insmod is interrupted. Leaks by functions of the kernel that
    match *ignore* are another exercise's business.
    """
    before, *done = _rounds(module, times, "i" if interrupt else "c", listens)
    for one in done:
        said = f"rmmod fails with {errno_name(one.rmmod)}" if one.rmmod else ""
        if one.insmod and not (interrupt and one.insmod == errno.EINTR):
            said = f"insmod fails with {errno_name(one.insmod)}"
        if said:
            raise Unmet(
                f"The module was loaded and unloaded again and again; time {one.number} fails.",
                expected=f"insmod and rmmod succeed {times} times in a row",
                actual=f"{said} at time {one.number}",
                log=module.kernel_says(),
            )
    leaks = [k for k in leaks_of(module, done, ignore) if k.count >= times]
    left = [] if ignore else _more(before, done[-1])
    if leaks or left:
        told = "; ".join(map(str, leaks)) or ", ".join(left)
        how = "was loaded and unloaded"
        how = "waited for a client and was interrupted" if interrupt else how
        raise Unmet(
            f"The module {how} {times} times, and each time something is left: {told}.",
            expected="all that init got is released",
            actual="\n".join([f"{k.count} times: {k}" for k in leaks] or left),
        )


def use(module: Module, action: Callable[[], object], what: str, times: int) -> None:
    """Call *action*, which uses *module* so many times; Unmet when each use leaves something."""
    action()
    leaks = [k for k in leaks_of(module, []) if k.count >= times]
    if leaks:
        raise Unmet(
            f"{what} {times} times, and each time something is left: {'; '.join(map(str, leaks))}.",
            expected="what is allocated for one use is freed at its end",
            actual="\n".join(f"{k.count} times: {k}" for k in leaks),
        )


def error_paths(
    module: Module, *, listens: Client = NOWHERE, listening: bool = False, ignore: str = ""
) -> None:
    """Let each allocation of init fail in turn; Unmet when that does not end cleanly.

    A clean end is an error of insmod with nothing left, or success. With
    *listening* only those failures count that came when init had begun to
    listen, and a client connects; else insmod is interrupted there.
    """
    stand_in_the_way(module)
    how = "fc" if listening else "fi"
    before, *done = _rounds(module, MAX_FAILURES, how, listens)
    failures = [one for one in done if not one.left]
    places = _places_of_failures(module)
    for one in failures:
        if listening and not one.met:
            before = one
            continue
        place = places[one.number - 1] if one.number <= len(places) else ""
        where = f"When allocation {one.number} of init fails{place},"
        ended = f"insmod fails with {errno_name(one.insmod)}" if one.insmod else "insmod succeeds"
        if one.insmod == errno.ETIMEDOUT:
            raise Late(f"{where} insmod does not come back.", log=module.kernel_says())
        if one.rmmod:
            raise Unmet(
                f"{where} {ended}, and then the module cannot be unloaded.",
                expected="rmmod succeeds",
                actual=f"rmmod fails with {errno_name(one.rmmod)}",
            )
        if left := [] if ignore else _more(before, one):
            raise Unmet(
                f"{where} {ended} and leaves behind: {', '.join(left)}.",
                expected="init undoes what it did before it returns the error",
                actual=", ".join(left),
                log=module.kernel_says(),
            )
    if not failures:
        raise Unmet(
            "No allocation could be made to fail while init ran.",
            expected="init allocates something, a socket or a device number",
            actual="it allocates nothing",
        )
    leaks = leaks_of(module, done, ignore)
    if leaks:  # once may be a cache's; what comes again at the same allocation is a leak
        again = _rounds(module, MAX_FAILURES, how, listens)
        now = leaks_of(module, done + again, ignore)
        twice = Counter({(k.place, k.function): k.count for k in now})
        leaks = [k for k in leaks if twice[k.place, k.function] >= 2 * k.count]
    if leaks:
        raise Unmet(
            "When an allocation of init fails, init returns the error and leaves something behind: "
            f"{'; '.join(map(str, leaks))}.",
            expected="init undoes what it did before it returns the error",
            actual="\n".join(map(str, leaks)),
        )


def stand_in_the_way(module: Module, parameters: str = "") -> None:
    """Load the helper vm/witness; it goes with `rmmod witness`, or with the guest."""
    argv = ["/sbin/tool", "insmod", f"/lab/{witness.PATH}", parameters]
    loaded = module.guest.run(argv)
    if not loaded.ok:
        raise RuntimeError(f"witness.ko cannot be loaded: {loaded.err.decode()}")


# --- rounds --------------------------------------------------------------------------


def _rounds(module: Module, last: int, how: str, listens: Client) -> list[Round]:
    """Let the guest do the rounds; the first one returned is the state before them."""
    argv = ["/sbin/tool", "rounds", module.path, module.name, str(last), how]
    argv += [listens[0], str(listens[1])]
    result = module.guest.run(argv, deadline=SECONDS)
    if result.how == "timeout":
        raise Late("Loading and unloading the module again and again does not come to an end.")
    return parse_rounds(result.text)


def parse_rounds(text: str) -> list[Round]:
    """Read what `tool rounds` prints: a line a round."""
    rounds = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["round"]:
            continue
        values = {k: int(v, 0) for k, _, v in (word.partition("=") for word in words[2:])}
        rounds.append(
            Round(
                number=int(words[1]),
                insmod=values["insmod"],
                rmmod=values["rmmod"],
                left=values["left"],
                met=bool(values["met"]),
                sections={k: v for k, v in values.items() if k.startswith(".")},
                counts={k: values[k] for k in _COUNTED},
            )
        )
    return rounds


def _more(before: Round, after: Round) -> list[str]:
    """Return what there is more of after a round, in plain words."""
    grown = {k: after.counts[k] - before.counts[k] for k in _COUNTED if after.counts[k]}
    return [f"{n} {_COUNTED[k]}{'s' if n > 1 else ''}" for k, n in grown.items() if n > 0]


def _places_of_failures(module: Module) -> list[str]:
    """Return where each allocation failed, as in ", in kernel_bind() at tcp_sock.c:97,"."""
    found = []
    for function, name, offset in kernel_log.injected(module.console(), module.name):
        line = module.symbols.locate(name, offset) if module.symbols else ""
        called = f" in {function}()" if function else ""
        found.append(f"{called} at {line or name + '()'}" if called or line else "")
    return found


# --- what is still allocated -----------------------------------------------------------


def leaks_of(module: Module, rounds: list[Round], ignore: str = "") -> list[Leak]:
    """Return what code of *module*, loaded where *rounds* say or now, allocated and never freed."""
    text = module.guest.run(["/sbin/tool", "allocations"], deadline=60).text
    found: Counter[tuple[str, str]] = Counter()
    for count, frames in parse_allocations(text):
        for above, frame in zip([Frame("", "", 0), *frames], frames, strict=False):
            place = _place(module, frame, rounds)
            if place is not None:
                if not ignore or not re.search(ignore, above.function):
                    found[place, above.function] += count
                break
    return [Leak(place, function, count) for (place, function), count in found.items()]


@dataclass(frozen=True)
class Frame:
    """A frame of a stack: a function, its module (empty: the kernel) and the offset in it.

    When a module is gone, so are its names: *function* is empty, *offset* the address.
    """

    function: str
    module: str
    offset: int


_FRAME = re.compile(r"^ +([\w.]+)\+(0x[0-9a-f]+)/0x[0-9a-f]+(?: \[(\w+)\])?$")
_ADDRESS = re.compile(r"^ +(0x[0-9a-f]+)$")


def parse_allocations(text: str) -> list[tuple[int, list[Frame]]]:
    """Read what `tool allocations` prints: how many objects, and the stack that allocated them."""
    blocks: list[tuple[int, list[Frame]]] = []
    for line in text.splitlines():
        if head := re.match(r"^\S+ +(\d+) \S+ .*age=", line):
            blocks.append((int(head[1]), []))
        elif blocks and (frame := _FRAME.match(line)):
            blocks[-1][1].append(Frame(frame[1], frame[3] or "", int(frame[2], 16)))
        elif blocks and (address := _ADDRESS.match(line)):
            blocks[-1][1].append(Frame("", "", int(address[1], 16)))
    return blocks


def _place(module: Module, frame: Frame, rounds: list[Round]) -> str | None:
    """Return the module's line for a frame in it ("" if it is not known); None for other frames."""
    if frame.module == module.name:
        return module.symbols.locate(frame.function, frame.offset - 1) if module.symbols else ""
    if frame.function:
        return None
    bases = {(base, section) for one in rounds for section, base in one.sections.items()}
    below = [b for b in bases if b[0] <= frame.offset < b[0] + MAX_CODE]
    if not below:
        return None
    base, section = max(below)
    return module.symbols.place(section, frame.offset - base - 1) if module.symbols else ""
