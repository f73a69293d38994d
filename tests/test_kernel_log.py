"""What the kernel's words are cut down to. The texts were recorded from guests on Linux 6.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker import kernel_log

CONSOLE = Path(__file__).parent / "data" / "console"

HEADLINES = {
    "atomic-sleep": "BUG: scheduling while atomic: tool/95/0x00000002, in demo_init() of demo",
    "bug": "kernel BUG at demo/demo.c:7, in demo_init() of demo",
    "null-dereference": "BUG: kernel NULL pointer dereference, address: 0000000000000004, "
    "in demo_init() of demo",
    "panic": "Kernel panic - not syncing: demo: out of order, in demo_init() of demo",
    "soft-lockup": "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks, "
    "in wait_for_client() of demo",
    "stack-overflow": "BUG: TASK stack guard page was hit at 000000008fb5cbdb (stack is "
    "00000000b238e897..00000000c4540f42), in deeper() of demo",
    "warning": "WARNING: CPU: 0 PID: 95 at demo/demo.c:7 check_queue+0xa/0xffb [demo], "
    "in check_queue() of demo",
}


def _text(name: str) -> str:
    return (CONSOLE / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", HEADLINES)
def test_headline_says_what_and_where(name: str) -> None:
    """The headline is the kernel's first sentence and the module's own function."""
    assert kernel_log.headline(_text(name), "demo") == HEADLINES[name]


def test_place_of_a_hang_is_where_the_processor_was() -> None:
    """After an NMI the place is the function that the module hangs in."""
    assert kernel_log.place(_text("hang-nmi"), "demo") == ", in wait_for_client() of demo"


@pytest.mark.parametrize("name", HEADLINES)
def test_another_module_is_not_blamed(name: str) -> None:
    """A report about one module names no function of another."""
    assert kernel_log.place(_text(name), "filter") == ""


@pytest.mark.parametrize("name", HEADLINES)
def test_report_is_short_and_plain(name: str) -> None:
    """The excerpt begins with the report and has neither time stamps, registers nor opcodes."""
    lines = kernel_log.report(_text(name)).splitlines()
    assert HEADLINES[name].startswith(lines[0].rstrip(".:!"))
    assert len(lines) <= kernel_log.LINES
    noise = ("RSP", "RAX", "Code", "CPU:", "[ ", "Hardware", "#PF", "Modules linked")
    assert [line for line in lines if line.startswith(noise)] == []


def test_report_keeps_the_place() -> None:
    """The line that says where the processor was is kept."""
    assert "RIP: 0010:demo_init+0x18/0x1000 [demo]" in kernel_log.report(_text("null-dereference"))


def test_quiet_log_has_no_report() -> None:
    """A log without a report gives neither excerpt nor headline."""
    quiet = "[    2.174] [   20.520257] TCP connection initiated from 127.0.0.1:28165\n"
    assert kernel_log.report(quiet) == ""
    assert kernel_log.headline(quiet, "filter") == ""


def test_endless_report_is_cut() -> None:
    """A report that never ends has at most LINES lines."""
    endless = "BUG: x\n" + "".join(f" frame{n}+0x1/0x2\n" for n in range(500))
    assert len(kernel_log.report(endless).splitlines()) == kernel_log.LINES
