"""What a module left behind: the one table of what counts, whose it is, and how it is told.

The helper module vm/witness notes each object that the module allocates and does not free, with
the stack; the guest's own tables (COUNTED) tell of what is no memory.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from checker.engine.testbed import Module
from checker.words.symbols import Place

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

_CACHES = re.compile(
    r"neigh_create|dst_alloc|inet_getpeer|tcp_metrics|fib_|ip_rt_|alloc_vmap_area|__pcs_|_sheaf"
)
"""Functions of the kernel that keep what they know for the next time, or free it later: no leak.

The last two are the slab allocator's own, from 6.18 on: stores of free objects for a CPU.
"""

_WALK = re.compile(r"^(path_openat|path_lookupat|path_parentat)")
_NAMES = re.compile(r"d_alloc|alloc_inode|lookup")
"""Functions of a file system that keep the names and inodes which a path led to: no leak.

They count below a walk along a path alone: an entry that a module makes is its own.
"""

COUNTED = {
    "majors": ("device number", "register_chrdev", "unregister_chrdev()"),
    "tcp": ("TCP socket", "sock_create", "sock_release()"),
    "udp": ("UDP socket", "sock_create", "sock_release()"),
    "threads": ("kernel thread", "kthread_create", "kthread_stop()"),
}
"""What is counted besides: its name, and the kernel's functions that make and end one."""


_RECORDED = Path(__file__).with_name("kernel_leaks.toml")

Stack = tuple[str, ...]
"""Functions, innermost first; the module's own code as .text+0x28."""


@dataclass(frozen=True)
class Leak:
    """What the module's line *place* got by calling *function*, and what is left of it.

    *count* is the number of objects, and *times* how often it happened, 0 where that is not
    known: a socket is made of several objects.
    """

    place: str
    function: str
    count: int
    times: int = 0

    def of(self, pattern: str) -> bool:
        """Tell whether it is what a function that matches *pattern* got; none matches ""."""
        return bool(pattern and re.search(pattern, self.function))

    def __str__(self) -> str:
        """Write it for a student."""
        kind = next((words for how, words in _KINDS if re.search(how, self.function)), "memory")
        what = f"{kind} ({self.function}())" if self.function else kind
        return f"{self.place} leaks {what}" if self.place else f"{what} is leaked"


def parse_objects(text: str) -> tuple[Stack, ...]:
    """Read what vm/witness prints: a line for each object that is left."""
    lines = (line.split() for line in text.splitlines())
    return tuple(tuple(words[1:]) for words in lines if words[:1] == ["object"])


def leaks_of(module: Module, stacks: Iterable[Stack]) -> list[Leak]:
    """Return by whom the objects were allocated that are left.

    Several objects make up a socket: they have one place, and each another stack.
    """
    owned = [(owner, stack) for stack in stacks if (owner := _owner(stack))]
    places = [place for (_, place), _ in owned]
    lines = module.symbols.places(places) if module.symbols else [""] * len(places)
    found: dict[tuple[str, str], Counter[Stack]] = {}
    for ((called, _), stack), line in zip(owned, lines, strict=True):
        found.setdefault((line, called), Counter())[stack] += 1
    return [
        Leak(line, called, alike.total(), max(alike.values()))
        for (line, called), alike in found.items()
    ]


def without_the_kernels(stacks: Iterable[Stack], failed: str, release: str) -> list[Stack]:
    """Return *stacks* without what a kernel of *release* loses by itself.

    *failed* is the function that the module called, in which an allocation failed. What it
    loses then, with no fault of its caller, is recorded in kernel_leaks.toml.
    """
    series = ".".join(release.split(".")[:2])
    lost = {stack for called, stack, kernels in _lost() if called == failed and series in kernels}
    return [stack for stack in stacks if inside(stack, failed) not in lost]


def inside(stack: Stack, called: str) -> Stack:
    """Return the functions of *stack* below *called*, or below the module's code, innermost first.

    Those of them that the compiler has split off another one (NAME.part.0) have its name.
    """
    found = []
    for name in stack:
        if name == called or name.startswith("."):
            break
        found.append(name.partition(".")[0])
    return tuple(found)


@functools.cache
def _lost() -> tuple[tuple[str, Stack, frozenset[str]], ...]:
    rows = tomllib.loads(_RECORDED.read_text(encoding="utf-8"))["lost"]
    return tuple((r["in"], tuple(r["stack"].split()), frozenset(r["kernels"])) for r in rows)


def of_exercise(module: Module, leaks: list[Leak], ignore: str = "") -> list[Leak]:
    """Return those of *leaks* that are this exercise's business; see reload()."""

    def is_own(leak: Leak) -> bool:
        ours = module.is_ours(leak.place)
        return not leak.of(ignore) if ours is None else ours

    return [leak for leak in leaks if is_own(leak)]


def _owner(stack: Stack) -> tuple[str, Place] | None:
    """Return what the module called to get an object, and from where; None for a cache's."""
    if any(map(_CACHES.search, stack)):
        return None
    if any(map(_WALK.search, stack)) and any(map(_NAMES.search, stack)):
        return None
    for called, frame in zip(["", *stack], stack, strict=False):
        if own := re.fullmatch(r"(\.[\w.]+)\+(0x[0-9a-f]+)", frame):
            return called, (own[1], int(own[2], 16) - 1)  # an address to return to
    return None
