"""Whether a guest that answers nothing hangs: judged by what it did with QEMU's processor time.

Wall time says nothing on a busy host, and the guest's own watchdog needs its clock: that
counts instructions, and a loop on ``pause`` (cpu_relax(), a spin lock) has so few of them
in a second of the host that the clock all but stands still.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vm.errors import VMError

SLICE = 0.25
"""CPU seconds of QEMU from one sample of a silent guest to the next."""

HANG_CPU_SECONDS = 1.0
"""CPU seconds of QEMU over which a guest has to look like one that hangs."""

SLOW = 0.25
"""Guest seconds executed in a CPU second: loops on pause have 0.04 to 0.08, others 0.9 or more."""

LOCKUP_SECONDS = 10.0
"""Guest seconds with interrupts off that are a hang; the kernel's own detector says the same."""

LOCKUP_CPU_SECONDS = 20.0
"""CPU seconds of QEMU with interrupts off that are one, too; mdelay(3000) costs that much."""

ASLEEP = 15
"""Times in a row that QEMU is found asleep before its processor is known to have halted."""


@dataclass(frozen=True)
class Sample:
    """A guest's processor at one moment: what it has cost, how far it is, where it stands.

    *guest_seconds* are those that it has executed, without those that it skipped when it was
    idle. It is *idle* when it waits for an interrupt, and would take it; *program*: it runs one
    of the guest's, and not the kernel.
    """

    cpu_seconds: float
    guest_seconds: float
    interrupts: bool
    registers: tuple[str, ...]
    idle: bool = False
    program: bool = False


def read_registers(text: str) -> tuple[bool, tuple[str, ...], bool, bool]:
    """Read QEMU's ``info registers``: whether interrupts are on, the general registers, idle.

    And whether the processor runs a program, and not the kernel.

    The instruction pointer is none of them: it moves in a loop, too. VMError if it is no such text.
    """
    found = dict(re.findall(r"\b(R[A-Z0-9]{1,2}) *=([0-9a-f]{8,16})\b", text))
    if not found.keys() >= {"RFL", "RIP", "RAX", "R15"}:
        raise VMError(f"QEMU's info registers has no registers: {text[:200]!r}")
    interrupts = bool(int(found.pop("RFL"), 16) & 0x200)
    del found["RIP"]
    return interrupts, tuple(found.values()), interrupts and "HLT=1" in text, "CPL=3" in text


def hangs(samples: Sequence[Sample]) -> bool:
    """Tell whether the last of *samples* of a silent guest show one that never goes on.

    It turns at one place with the same registers each time, and its interrupts are off or
    its clock is slow. Where interrupts are on and the clock runs the guest's own watchdog
    speaks, and says more. Interrupts off for very long are a hang, whatever it does.
    """
    deaf = list(itertools.takewhile(lambda s: not s.interrupts, reversed(samples)))
    if deaf and (
        deaf[0].guest_seconds - deaf[-1].guest_seconds >= LOCKUP_SECONDS
        or deaf[0].cpu_seconds - deaf[-1].cpu_seconds >= LOCKUP_CPU_SECONDS
    ):
        return True
    last = samples[-1]
    early = [s for s in samples if s.cpu_seconds <= last.cpu_seconds - HANG_CPU_SECONDS]
    if not early:
        return False
    recent = samples[len(early) - 1 :]
    if any(s.idle or s.registers != last.registers for s in recent):
        return False
    executed = last.guest_seconds - recent[0].guest_seconds
    slow = executed < SLOW * (last.cpu_seconds - recent[0].cpu_seconds)
    return slow or len(deaf) >= len(recent)


class Patient(Protocol):
    """What is asked of a machine whose guest is silent."""

    @property
    def console_bytes(self) -> int:
        """Bytes that it has printed."""

    def cpu_seconds(self) -> float:
        """CPU seconds that QEMU has used."""

    def asleep(self) -> bool:
        """Whether no thread of QEMU has anything to do."""

    def sample(self) -> Sample:
        """Return how its processor stands."""


class Pulse:
    """Looks at a guest that runs, and at its processor when nothing came for a while."""

    def __init__(self, machine: Patient) -> None:
        self._machine = machine
        self.moved()

    def moved(self) -> None:
        """Note that something came from the guest."""
        self._samples: list[Sample] = []
        self._asleep = 0
        self._cpu: float | None = None  # asked for when nothing comes
        self._printed = self._machine.console_bytes

    @property
    def in_program(self) -> bool:
        """Whether it is a program in which the guest was found last, not its kernel."""
        return bool(self._samples) and self._samples[-1].program

    def stopped(self) -> bool:
        """Tell whether the guest hangs; to be called again and again while nothing comes."""
        machine = self._machine
        if machine.console_bytes != self._printed:
            self.moved()
            return False
        cpu = machine.cpu_seconds()
        self._cpu = cpu if self._cpu is None else self._cpu
        if cpu < self._cpu + SLICE:
            self._asleep = self._asleep + 1 if machine.asleep() else 0
            return self._asleep >= ASLEEP
        self._cpu, self._asleep = cpu, 0
        with contextlib.suppress(VMError):  # a QEMU that has just ended
            self._samples.append(machine.sample())
        return bool(self._samples) and hangs(self._samples)
