"""make bench: how long a check takes, as ratios to a bare QEMU boot of the same kernel.

Everything is measured in one run, warm, on each kernel at hand, and printed as
medians beside the goal. A restored guest answers when it has its clock and entropy and
takes a first command. The bare boot is QEMU with the kernel and an initramfs
of one program that says hello: no disk, no network, real time.

A goal is told in boots of the same kernel. Those of the debug kernel, 0.02 and 1.2, were
set for one that took 3.9 stock boots to come up; so it has them in stock boots too.

    --json FILE    keep the figures
    --restores N   restore so many guests, two at a time, and count failures (300)
    --steady N     grade the solution and ten mutants N times with all cores kept busy,
                   and count verdicts that differ (20, which takes most of an hour; 0: do not)
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from checker import lab
from checker.engine import build, grading, submission
from checker.workshop import selftest
from vm import image, kernel, snapshot, tools
from vm.errors import VMError
from vm.guest import Guest
from vm.kernel import Kernel
from vm.machine import Config, Machine
from vm.sandbox import Sandbox

RUNS = 5
HELLO = "knetlab says hello"

HELLO_C = f"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{{
	printf("\\n{HELLO}\\n");
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	return 0;
}}
"""


def bare_boot(on: Kernel, folder: Path) -> float:
    """Boot *on* with next to nothing and return the seconds until its program has spoken."""
    source, program = folder / "hello.c", folder / "hello"
    if not program.exists():
        source.write_text(HELLO_C)
        image.compile_static(source, program)
        files = {"dev": (0o040755, b""), "init": (0o100755, program.read_bytes())}
        (folder / "initramfs").write_bytes(image.cpio(files))
    sandbox = Sandbox(read_only={on.image: "/vm/kernel", folder / "initramfs": "/vm/initramfs"})
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256", "-no-reboot"]
    argv += ["-kernel", "/vm/kernel", "-initrd", "/vm/initramfs", "-serial", "stdio"]
    argv += ["-append", "console=ttyS0 loglevel=4 panic=-1"]
    started = time.monotonic()
    done = subprocess.run(
        sandbox.argv(argv), check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    seconds = time.monotonic() - started
    if HELLO.encode() not in done.stdout:
        sys.exit(f"The bare boot did not come up: {done.stdout[-500:]!r}")
    return seconds


def median(measure: Callable[[], float], runs: int = RUNS) -> float:
    """Return the median of *runs* measurements."""
    return statistics.median(measure() for _ in range(runs))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds *work* takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


DEBUG_BOOTS = 7.4 / 1.88
"""Boots of a stock kernel that a debug kernel took whose every function was instrumented."""

GOALS = {"stock": (0.05, 2.0), "debug": (0.02, 1.2)}
"""At most so many bare boots for the first command, and for a check."""

CHECK = "knetlab check on the solution"
ONE_FILE = "the same again, one of three files edited"
NOTHING = "the same again, nothing edited"
AGAIN = {ONE_FILE: 0.55, NOTHING: 0.15}
"""At most so much of a check that runs everything; of the three files the slowest counts."""

RESTORES = ("restore to the guest's first answer", "restore to the first command's end")

STEADY = (
    *("1-flags-mixed-up", "1-count-read-after-it-was-freed"),
    *("2-address-added", "2-locks-in-another-order"),
    *("3-backlog-one", "3-waits-for-the-port"),
    *("4-accept-not-checked", "4-waits-for-data"),
    *("5-completion-on-the-stack", "5-sends-for-ever"),
)
"""Two mutants of each exercise: wrong words, findings of the debug kernel, hangs and floods."""

PRIVATE_GOAL = 64
"""MiB of memory that a further clone may have for itself."""


def configuration(on: Kernel) -> Config:
    """Return the machine that checks run in."""
    return grading.machine(lab.load("networking"), on)


def changed_solution(folder: Path, number: int) -> Path:
    """Return a copy of the solution that nobody has compiled before."""
    target = folder / f"solution-{number}"
    shutil.copytree(lab.load("networking").solution, target)
    for source in target.rglob("*.c"):
        source.write_text(f"{source.read_text()}\n/* {time.time_ns()} */\n")
    return target


def private_mib(machine: Machine) -> float:
    """Return the MiB that a machine's QEMU shares with no other process."""
    assert machine.pid is not None
    (qemu,) = [p for p, name in tools.descendants(machine.pid).items() if name.startswith("qemu")]
    text = Path(f"/proc/{qemu}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB$", text, re.M)) / 1024


def measure(on: Kernel, folder: Path) -> dict[str, float]:
    """Return the figures of one kernel: seconds, and MiB."""
    config = configuration(on)
    networking = lab.load("networking")
    snapshot.template(config)
    numbers = itertools.count()

    def answer() -> float:
        started = time.monotonic()
        with snapshot.guest(config, {}):  # it has said that it is ready
            return time.monotonic() - started

    def restore() -> float:
        started = time.monotonic()
        with snapshot.guest(config, {}) as guest:
            guest.run(["/sbin/tool", "sleep", "0"])
            return time.monotonic() - started

    def cold() -> None:
        with Guest.boot(config, {}) as guest:
            guest.run(["/sbin/tool", "sleep", "0"])

    def compiled() -> None:
        given = submission.read(networking, changed_solution(folder, next(numbers)))
        build.build(networking, given, on)

    def check() -> None:
        run(changed_solution(folder, next(numbers)))

    def again() -> dict[str, float]:
        """Return the seconds of checks of a folder that was checked before."""
        mine = changed_solution(folder, next(numbers))
        run(mine)

        def edited(source: str) -> float:
            with (mine / source).open("a") as file:
                file.write(f"/* {time.time_ns()} */\n")
            return timed(lambda: run(mine))

        return {
            ONE_FILE: max(
                median(functools.partial(edited, name), 3) for name in networking.sources
            ),
            NOTHING: median(lambda: timed(lambda: run(mine)), 3),
        }

    def run(submitted: Path) -> None:
        argv = [sys.executable, "-m", "checker", "check", "networking", "--kernel", on.name]
        argv += ["--submission", str(submitted)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"The solution has not full marks.\n{done.stdout}{done.stderr}")

    def private() -> float:
        with contextlib.ExitStack() as stack:
            guests = [stack.enter_context(snapshot.guest(config, {})) for _ in range(4)]
            for guest in guests:
                guest.run(["/sbin/tool", "sleep", "0"])
            return max(private_mib(guest.machine) for guest in guests)

    bare_boot(on, folder)
    check()
    return {
        "bare boot": median(lambda: bare_boot(on, folder), 3),
        "cold boot to the first command": median(lambda: timed(cold), 1),
        RESTORES[0]: median(answer, 15),
        RESTORES[1]: median(restore, 15),
        "build of the three modules": median(lambda: timed(compiled), 3),
        CHECK: median(lambda: timed(check), 3),
        **again(),
        "private memory of one of four clones": private(),
    }


def restores(on: Kernel, count: int) -> int:
    """Restore *count* guests, two at a time; return how many did not answer."""
    config = configuration(on)
    frozen = snapshot.template(config)
    assert frozen is not None

    def one(number: int) -> int:
        try:
            with snapshot.clone(config, {}, frozen) as guest:
                told = guest.run(["/bin/echo", str(number)]).text.strip()
                return int(told != str(number))
        except VMError as error:
            print(f"restore {number}: {error}", file=sys.stderr)
            return 1

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(one, range(count)))


def steady(on: Kernel, runs: int) -> int:
    """Grade the solution and ten mutants *runs* times with busy cores; return what differed."""
    networking = lab.load("networking")
    wrong = selftest.plan(networking, only=STEADY)
    trials = selftest.plan(networking, only=["solution"], repeat=runs) + wrong * runs
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in os.sched_getaffinity(0)
    ]
    said: dict[tuple[str, str], set[str]] = {}
    try:
        report = selftest.run(networking, {on.name: on}, trials, jobs=2, on_done=lambda _: None)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    for outcome in report.outcomes:
        for check, status in outcome.checks.items():
            said.setdefault((outcome.name, check), set()).add(status)
    differ = {key: statuses for key, statuses in said.items() if len(statuses) > 1}
    for (name, check), statuses in differ.items():
        print(f"{name}, {check}: {', '.join(sorted(statuses))}", file=sys.stderr)
    return len(differ) + len(report.troubles)


def table(name: str, figures: dict[str, float], stock_boot: float) -> Table:
    """Return the figures of one kernel beside what they may be at most."""
    shown = Table(box=None, pad_edge=False)
    for column in ("stage", "seconds", "its boots", "at most", "stock boots", "at most"):
        shown.add_column(column, justify="left" if column == "stage" else "right")
    restore, check = GOALS[name]
    goals = dict.fromkeys(RESTORES, restore) | {CHECK: check}
    boots = ((figures["bare boot"], 1.0), (stock_boot, DEBUG_BOOTS if name == "debug" else 1.0))
    for what, seconds in figures.items():
        if "memory" in what:
            continue
        row = [what, f"{seconds:.2f}"]
        for boot, times in boots:
            ratio, most = seconds / boot, goals.get(what, math.inf) * times
            row += [f"[yellow]{ratio:.3f}[/]" if ratio > most else f"{ratio:.3f}"]
            row += [f"{most:.2g}" if what in goals else ""]
        shown.add_row(*row)
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time knetlab on this host")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--restores", type=int, default=300)
    parser.add_argument("--steady", type=int, default=20)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    found: dict[str, dict[str, float]] = {}
    kernels = [on for on in (kernel.stock(), kernel.debug_if_built()) if on]
    for on in kernels:
        with tempfile.TemporaryDirectory(prefix="knetlab-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            figures = found[on.name] = measure(on, folder)
        console.print(f"Linux {on.release}, medians; what is more than at most is yellow")
        console.print(table(on.name, figures, found["stock"]["bare boot"]))
        for what, most in AGAIN.items():
            ratio = figures[what] / figures[CHECK]
            over = "more than " if ratio > most else "at most "
            console.print(f"{what}: {ratio:.2f} of a whole check; {over}{most}")
        private = figures["private memory of one of four clones"]
        console.print(f"private memory of a clone: {private:.0f} MiB; at most {PRIVATE_GOAL}")
        if arguments.restores:
            figures["failed restores"] = restores(on, arguments.restores)
            console.print(f"{figures['failed restores']:g} of {arguments.restores} restores failed")
        console.print()
    for on in kernels if arguments.steady else ():
        differ = found[on.name]["verdicts that differ"] = steady(on, arguments.steady)
        runs = f"{arguments.steady} runs of the solution and of {len(STEADY)} mutants"
        console.print(f"Linux {on.release}: {differ} verdicts differ in {runs}, all cores busy")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
