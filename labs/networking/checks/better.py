"""Remarks: what is right by the task, and what a kernel engineer would ask to change.

Each function returns a remark, or "" where there is nothing to say. They judge nothing, and cost
no points; a check that passed tells them (Session.remark).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

from checker.engine.testbed import Module
from checker.kit import module_file
from checker.kit.module_file import ModuleFile
from checker.words.errors import code
from vm.errors import GuestError

LINES = ("TCP connection initiated from", "connection established to")
_LARGE = 64
"""Bytes of a buffer from which on it is told of."""

CLEARED = (
    "A bad pointer gets EFAULT, and the address that was set is lost: copy_from_user() writes "
    "zeros where it cannot read. Copy into a variable of your own first, and store that in the "
    "address when it has worked."
)


def remark(module: Module, exercise: int) -> None:
    """Give *module* the remarks on its file, its sources and its lines in the log."""
    file = module_file.of(module)
    for said in _all(file, module.sources, exercise):
        module.remark(said)
    levels: list[int] = []
    with contextlib.suppress(GuestError):  # the check has passed
        levels = [r.level for r in module.log() if any(words in r.text for words in LINES)]
    if levels:
        module.remark(level(min(levels)))


def _all(file: ModuleFile, sources: Mapping[str, str], exercise: int) -> Iterator[str]:
    if exercise == 2:  # the rest of this module is told in exercise 1
        yield lock(file)
        yield once(file, sources)
        return
    yield marks(file)
    yield visible(file)
    yield description(file)
    yield buffers(sources)
    if exercise == 1:
        yield every_family(sources)
    if exercise in (3, 5):
        yield of_process(file)
        yield by_operations(file)


def marks(file: ModuleFile) -> str:
    """Tell of an init function without __init, or an exit function without __exit."""
    told = [f"__{which} before {name}()" for which, name in file.unmarked.items()]
    if not told:
        return ""
    return (
        f"Write {' and '.join(told)}: the kernel frees what is marked __init once the module is "
        "loaded, and leaves out what is marked __exit where it is never unloaded."
    )


def visible(file: ModuleFile) -> str:
    """Tell of functions and variables that are not static."""
    if not file.visible:
        return ""
    names = ", ".join(file.visible[:5])
    return (
        f"Write static before what only this file uses: {names}. Without it the name belongs to "
        "the whole module, and may clash with another file's."
    )


def description(file: ModuleFile) -> str:
    """Tell of a module without MODULE_DESCRIPTION()."""
    if not file.info or "description" in file.info:
        return ""
    return (
        'Add a line MODULE_DESCRIPTION("..."): modinfo shows it, and newer kernels warn where it '
        "is missing."
    )


def lock(file: ModuleFile) -> str:
    """Tell of a lock around the address of the filter."""
    taken = file.calls(
        *("mutex_lock", "mutex_lock_nested", "_raw_spin_lock", "_raw_spin_lock_bh"),
        *("_raw_spin_lock_irqsave", "_raw_spin_lock_irq", "_raw_read_lock", "_raw_read_lock_bh"),
    )
    if not taken:
        return ""
    return (
        f"The filter takes a lock ({taken.removeprefix('_raw_')}()), and each packet waits for it: "
        "an address is one number of 32 bits, which WRITE_ONCE() and READ_ONCE() write and read "
        "whole."
    )


_SAFE = re.compile(r"WRITE_ONCE|atomic_|rcu_assign|xchg|smp_store|_lock")


def once(file: ModuleFile, sources: Mapping[str, str]) -> str:
    """Tell of an address that is written while hooks read it."""
    text = "".join(code(source) for source in sources.values())
    if not text or lock(file) or _SAFE.search(text):
        return ""
    return (
        "Store the address with WRITE_ONCE() and read it with READ_ONCE(): hooks on other CPUs "
        "read it while the ioctl writes it, and the compiler may otherwise read or write it in "
        "parts, or more than once."
    )


_INET = re.compile(r"\bNFPROTO_INET\b")


def every_family(sources: Mapping[str, str]) -> str:
    """Tell of a hook that is called for IPv6 as well, and reads each header as one of IPv4."""
    for path, source in sources.items():
        for number, line in enumerate(code(source).splitlines(), 1):
            if _INET.search(line):
                return (
                    f"{path}:{number} registers the hook with NFPROTO_INET, and so it is called "
                    "for IPv6 packets, too. ip_hdr() and %pI4 are for IPv4 alone: use "
                    "NFPROTO_IPV4, which is the same as PF_INET."
                )
    return ""


_ARRAY = re.compile(r"\b(?:char|u8|__u8)\s+(\w+)\s*\[\s*(\d+)\s*\]")


def buffers(sources: Mapping[str, str]) -> str:
    """Tell of an array of characters that is large for what these exercises write."""
    for path, source in sources.items():
        for number, line in enumerate(code(source).splitlines(), 1):
            array = _ARRAY.search(line)
            if array and int(array[2]) >= _LARGE:
                return (
                    f"{path}:{number} has a buffer {array[1]} of {array[2]} bytes, and nothing "
                    "here needs one: pr_info() writes an address with %pI4, and a struct kvec can "
                    "point to the message itself. A kernel stack has 16 KiB for all functions "
                    "together."
                )
    return ""


def of_process(file: ModuleFile) -> str:
    """Tell of a socket that is made for the process that runs insmod."""
    if not file.calls("sock_create"):
        return ""
    return (
        "Create the socket with sock_create_kern(&init_net, ...): sock_create() makes it for the "
        "process that runs insmod, in that one's network namespace and with its rights."
    )


def by_operations(file: ModuleFile) -> str:
    """Tell of a socket whose operations are called without the kernel's functions for it."""
    if "kernel_bind" in file.imports or not file.calls("sock_create_kern", "sock_create"):
        return ""
    if file.calls("kernel_sendmsg") and "kernel_listen" not in file.imports:
        return ""  # a datagram needs no bind
    return (
        "Call kernel_bind(), kernel_listen() and kernel_accept() in place of sock->ops->bind() and "
        "its like: those functions are for modules, and change less between kernels."
    )


_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice")


def level(number: int) -> str:
    """Tell of a line that is logged as something worse than it is, by its level."""
    if number >= len(_LEVELS):
        return ""
    how = "printk() without a level does that. " if _LEVELS[number] == "warning" else ""
    return (
        f'The line is logged at level {number}, "{_LEVELS[number]}", as if something were wrong. '
        f"{how}A connection is no trouble: log it with pr_info()."
    )
