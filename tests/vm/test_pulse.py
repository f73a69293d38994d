"""What tells a guest that hangs from one that is slow; its processor is played by the test."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from vm import pulse
from vm.errors import VMError
from vm.pulse import Pulse, Sample, hangs, read_registers

HELD = ("0", "1")
REGISTERS = """
CPU#0
RAX=0000000000000001 RBX=ffffffffc02dd000 RCX=ffffffffc02d83c0 RDX=0000000000000002
RSI=0000000000000002 RDI=ffff8880054ddd40 RBP=ffff88800597ce00 RSP=ffffc900005afd58
R8 =0000000000000001 R9 =ffff888004b3d270 R10=ffff8880055116f8 R11=0000000000000100
R12=ffffc900005afd60 R13=0000000000000000 R14=0000000000000000 R15=000000000000000f
RIP=ffffffffc02dd02d RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0000 0000000000000000 00000000 00000000
CR0=80050033 CR2=00000000004ad4c0 CR3=00000000059ba000 CR4=00750ef0
XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000
"""


def samples(
    count: int,
    *,
    rate: float,
    interrupts: Iterable[bool] = itertools.repeat(True),
    registers: Iterable[tuple[str, ...]] = itertools.repeat(HELD),
) -> list[Sample]:
    """Return *count* samples of a guest of which a CPU second is *rate* guest seconds."""
    at = [n * pulse.SLICE for n in range(count)]
    looks = zip(at, interrupts, registers, strict=False)
    return [Sample(cpu, cpu * rate, on, held) for cpu, on, held in looks]


ENOUGH = int(pulse.HANG_CPU_SECONDS / pulse.SLICE) + 1
MOVING = [(str(n), "1") for n in range(1000)]
OFF = [False] * 1000


def test_spinning_on_pause_with_interrupts_off_hangs() -> None:
    """The processor stands at the same place each time: as soon as that has lasted."""
    stuck = samples(ENOUGH, rate=0.03, interrupts=OFF)
    assert hangs(stuck)
    assert not hangs(stuck[:-1])


def test_waiting_for_a_lock_that_nobody_gives_back_hangs() -> None:
    """A spin lock turns on pause with interrupts on, and the guest's clock stands nearly still."""
    assert hangs(samples(ENOUGH, rate=0.05))


def test_an_empty_loop_with_interrupts_off_hangs() -> None:
    """Its clock runs, and no interrupt can end it."""
    assert hangs(samples(ENOUGH, rate=1.0, interrupts=OFF))


def test_counting_on_pause_with_interrupts_off_hangs() -> None:
    """A register that counts is no way out, and the guest's clock is no help."""
    long = samples(200, rate=0.03, interrupts=OFF, registers=MOVING)
    at = next(n for n in range(1, 200) if hangs(long[:n]))
    assert long[at - 1].cpu_seconds == pulse.LOCKUP_CPU_SECONDS


def test_an_empty_loop_with_interrupts_on_is_left_to_the_watchdog() -> None:
    """The guest's clock runs, and the kernel says itself who keeps the processor."""
    assert not hangs(samples(100, rate=1.0))


def test_waiting_for_the_clock_on_pause_is_no_hang() -> None:
    """time_before(jiffies, end) with cpu_relax() is slow, and jiffies is in a register."""
    assert not hangs(samples(100, rate=0.05, registers=MOVING))


def test_an_idle_guest_is_no_hang() -> None:
    """One that sleeps for long is at the same place each time, and waits for its timer."""
    sleeping = [replace(sample, idle=True) for sample in samples(100, rate=0.05)]
    assert not hangs(sleeping)


def test_mdelay_with_interrupts_off_is_no_hang() -> None:
    """It is a loop on pause that looks at the clock each time, which moves, if slowly."""
    assert not hangs(samples(40, rate=0.16, interrupts=OFF, registers=MOVING))


def test_interrupts_off_for_long_are_a_hang() -> None:
    """A loop that does something, with interrupts off, has the kernel's own ten seconds."""
    long = samples(200, rate=1.0, interrupts=OFF, registers=MOVING)
    at = next(n for n in range(1, 200) if hangs(long[:n]))
    assert long[at - 1].guest_seconds == pulse.LOCKUP_SECONDS


def test_one_interrupt_begins_the_wait_anew() -> None:
    """Interrupts that were on in between were not off for long."""
    on = [n % 30 == 7 for n in range(1000)]
    assert not hangs(samples(100, rate=1.0, interrupts=on, registers=MOVING))


def test_what_was_before_the_loop_does_not_count() -> None:
    """A guest that worked first and spins now is one that hangs now."""
    registers = [*MOVING[:20], *[HELD] * ENOUGH]
    assert hangs(samples(20 + ENOUGH, rate=0.03, registers=registers))
    assert not hangs(samples(20 + ENOUGH - 2, rate=0.03, registers=registers))


def test_registers_are_read_as_qemu_prints_them() -> None:
    """All general registers but the instruction pointer, and the flag for interrupts."""
    interrupts, registers, idle, program = read_registers(REGISTERS)
    assert not program
    assert read_registers(REGISTERS.replace("CPL=0", "CPL=3"))[3]
    assert interrupts
    assert not idle
    assert len(registers) == 16
    assert registers[0] == "0000000000000001"
    assert "ffffffffc02dd02d" not in registers
    off = REGISTERS.replace("RFL=00000246", "RFL=00000046")
    assert not read_registers(off)[0]
    assert read_registers(REGISTERS.replace("HLT=0", "HLT=1"))[2]
    assert not read_registers(off.replace("HLT=0", "HLT=1"))[2]


def test_what_are_no_registers_is_refused() -> None:
    """A monitor that says something else is an error, not a guest that stands still."""
    with pytest.raises(VMError, match="has no registers: 'unknown command"):
        read_registers("unknown command: info")


class Machine:
    """A machine whose QEMU uses a slice of the processor each time that it is looked at."""

    def __init__(self, **how: float) -> None:
        self.console_bytes = 0
        self.looks = 0
        self.sampled = 0
        self.sleeps = bool(how.get("sleeps"))
        self.share = how.get("share", 1.0)

    def cpu_seconds(self) -> float:
        """Return the slices so far."""
        self.looks += 1
        return 0.0 if self.sleeps else self.looks * self.share * pulse.SLICE

    def asleep(self) -> bool:
        """Tell what the test wants."""
        return self.sleeps

    def sample(self) -> Sample:
        """Return a processor that turns on pause."""
        self.sampled += 1
        return Sample(self.sampled * pulse.SLICE, 0.0, False, HELD)


def test_a_guest_that_hangs_is_found_after_its_cpu_seconds() -> None:
    """However long that takes: QEMU that got a tenth of the processor is looked at as often."""
    for share in (1.0, 0.1):
        machine = Machine(share=share)
        watched = Pulse(machine)
        while not watched.stopped():
            assert machine.sampled < ENOUGH
        assert machine.sampled == ENOUGH


def test_output_begins_the_wait_anew() -> None:
    """A guest that prints goes on, whatever its processor looks like at that moment."""
    machine = Machine()
    watched = Pulse(machine)
    for _ in range(100):
        machine.console_bytes += 1
        assert not watched.stopped()
    for _ in range(100):
        watched.moved()
        assert not watched.stopped()


def test_a_processor_that_halted_is_found_by_qemu_asleep() -> None:
    """With interrupts off nothing wakes it, and QEMU uses no processor at all."""
    watched = Pulse(Machine(sleeps=True))
    assert [watched.stopped() for _ in range(pulse.ASLEEP)] == [False] * (pulse.ASLEEP - 1) + [True]


def test_a_qemu_that_waits_for_its_turn_is_not_asleep() -> None:
    """On a busy host it has used nothing for long, and would."""
    machine = Machine(share=0.0)
    watched = Pulse(machine)
    assert not any(watched.stopped() for _ in range(1000))
