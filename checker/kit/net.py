"""Changes to a guest that end with the check: sysctls, links, tables of rules.

A guest is used by one check after another. What a check changes besides the module it
changes by these context managers, which undo it whatever becomes of the check::

    with net.sysctl(guest, "net.ipv4.ip_forward", "1"):
        ...

In a fixture of the lab's the change lasts until `console --at-failure` has been looked at, too.
A guest in which something is left all the same is thrown away (checker.engine.testbed.Traces).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from checker.engine.testbed import Late, Unmet
from vm.guest import SYSCTLS, Guest

_LOCK = "Look for a lock that is taken and not given back: others wait for it."


@contextlib.contextmanager
def sysctl(guest: Guest, name: str, value: str, *, netns: str = "") -> Iterator[None]:
    """Give a sysctl another value: "net.ipv4.ip_forward", or with slashes where a part has dots.

    *netns* is the network namespace whose sysctl it is. Raises Unmet when the kernel has
    no such sysctl or does not take the value.
    """
    path = f"{SYSCTLS}{name if '/' in name else name.replace('.', '/')}"
    put = ["/sbin/tool", "put", path]
    with changed(guest, [*put, value], [*put, guest.setting(path, netns)], netns=netns):
        yield


@contextlib.contextmanager
def changed(
    guest: Guest, change: Sequence[str], undo: Sequence[str], *, netns: str = "", what: str = ""
) -> Iterator[None]:
    """Run the command *change* in the guest, and at the end *undo*, which takes it back.

    Both run in the network namespace *netns*; *what* they do is told where one fails, or else
    the command. Raises Unmet when one of them fails, as it may
    where the module keeps a lock of the network's; where the check has failed, that is told
    and not that *undo* fails.
    """
    _do(guest, change, netns, what)
    try:
        yield
    except BaseException:
        if not guest.dead:
            with contextlib.suppress(Unmet):
                _do(guest, undo, netns, what)
        raise
    if not guest.dead:
        _do(guest, undo, netns, what)


def _do(guest: Guest, argv: Sequence[str], netns: str, what: str) -> None:
    done = guest.run(argv, netns=netns)
    command = what or f"`{' '.join(argv)}`{f' in {netns}' if netns else ''}"
    if done.how == "timeout":
        raise Late(f"{command} did not come back in the guest.", hint=_LOCK)
    if not done.ok:
        said = (done.err or done.out).decode(errors="replace").strip()
        raise Unmet(f"{command} fails in the guest.", actual=said or f"{done.how} {done.value}")
