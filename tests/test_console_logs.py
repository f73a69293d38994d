"""Recorded consoles, one for each way a module called demo went wrong, and what is said of them.

They were recorded on Linux 6.1 with modules of a few lines, by running
``insmod demo.ko`` in a guest; each file is named after the fault.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checker import kernel_log

CONSOLES = Path(__file__).parent / "data" / "console"

SAID = {
    "null-dereference": ("BUG: kernel NULL pointer dereference", "demo_init"),
    "panic": ("Kernel panic - not syncing: demo: out of order", "demo_init"),
    "warning": ("WARNING: ", "check_queue"),
    "bug": ("kernel BUG at ", "demo_init"),
    "atomic-sleep": ("BUG: scheduling while atomic", "demo_init"),
    "stack-overflow": ("BUG: TASK stack guard page was hit", "deeper"),
    "soft-lockup": ("rcu: INFO: rcu_preempt detected stalls", "wait_for_client"),
    "hang-nmi": ("", "wait_for_client"),
}
"""Console -> how the headline begins, and the function it names."""


def console(name: str) -> str:
    """Return a recorded console."""
    return (CONSOLES / f"{name}.txt").read_text()


def test_every_recorded_console_is_used() -> None:
    """No file lies there for nothing."""
    assert {p.stem for p in CONSOLES.iterdir()} == SAID.keys()


@pytest.mark.parametrize("name", SAID)
def test_the_headline_says_what_happened_and_where(name: str) -> None:
    """One line: the kernel's words for it, and the function of the module."""
    words, function = SAID[name]
    headline = kernel_log.headline(console(name), "demo")
    assert headline.startswith(words)
    assert headline.rstrip(".").endswith(f", in {function}() of demo")
    assert "\n" not in headline


@pytest.mark.parametrize("name", SAID)
def test_the_headline_names_no_module_that_had_no_part(name: str) -> None:
    """A module that is in no line of the report is not named."""
    assert "veth" not in kernel_log.headline(console(name), "veth")


@pytest.mark.parametrize("name", SAID)
def test_the_report_is_what_a_student_can_read(name: str) -> None:
    """It has the place in the module, and no stamps, registers, code bytes or guesses."""
    _, function = SAID[name]
    report = kernel_log.report(console(name))
    lines = report.splitlines()
    assert 0 < len(lines) <= kernel_log.LINES
    assert re.search(rf"\b{function}\+0x[0-9a-f]+/0x[0-9a-f]+ \[demo\]", report)
    for noise in (r"^\[ *\d+\.\d+\]", r"^R[A-D]X: ", r"^Code: ", r"^CPU: ", r"^ \? ", r"^$"):
        assert re.findall(noise, report, re.MULTILINE) == []


@pytest.mark.parametrize("name", SAID)
def test_what_came_before_the_report_is_left_out(name: str) -> None:
    """The lines of loading the module are no part of it."""
    report = kernel_log.report(console(name))
    assert "module verification failed" not in report
    assert "EXT4-fs" not in report


@pytest.mark.parametrize("name", SAID)
def test_a_cut_console_is_read_as_far_as_it_goes(name: str) -> None:
    """A console that ends anywhere, as it does when a guest dies, is no trouble."""
    text = console(name)
    for size in range(0, len(text), 97):
        cut = text[:size]
        assert bool(kernel_log.report(cut)) == bool(kernel_log.headline(cut, "demo"))


def test_repeats_are_trimmed() -> None:
    """A line that comes over and over is shown once."""
    report = kernel_log.report("BUG: x\n" + "[ 1.0] again\n" * 50 + "end\n")
    assert report == "BUG: x\nagain\nend"
