"""make bench: how long a check takes, as ratios to a bare QEMU boot of the same kernel.

Everything is measured in one run, warm, and printed as medians. The bare boot
is QEMU with the kernel and an initramfs of one program that says hello: no
disk, no network, real time.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from checker import build, grading, lab, submission
from vm import image, kernel, snapshot
from vm.guest import Guest
from vm.kernel import Kernel
from vm.machine import Config
from vm.sandbox import Sandbox

RUNS = 5
GOAL = 8.0
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


def main() -> None:
    """Measure and print; --json FILE keeps the figures."""
    on = kernel.stock()
    config = Config(on, image.initramfs(on), image.root())
    networking = lab.load("networking")
    solution = submission.read(networking, networking.solution)
    snapshot.template(config)
    grading.guest_files(networking, for_person=False)

    def restore() -> None:
        with snapshot.guest(config, {}) as guest:
            guest.run(["/bin/true"])

    def cold() -> None:
        with Guest.boot(config, {}) as guest:
            guest.run(["/bin/true"])

    def check() -> None:
        argv = [sys.executable, "-m", "checker", "check", "networking"]
        argv += ["--submission", str(networking.solution)]
        if subprocess.run(argv, check=False, capture_output=True).returncode:
            sys.exit("The solution has not full marks.")

    with tempfile.TemporaryDirectory(prefix="knetlab-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        bare_boot(on, folder)
        check()
        bare = median(lambda: bare_boot(on, folder))
        figures = {
            "bare boot": bare,
            "cold boot to the first command": median(lambda: timed(cold), 3),
            "restore to the first command": median(lambda: timed(restore)),
            "build of the three modules": median(
                lambda: timed(lambda: build.build(networking, solution, on)), 3
            ),
            "knetlab check on the solution": median(lambda: timed(check), 3),
        }
    table = Table("stage", "seconds", "bare boots", box=None, pad_edge=False)
    for what, seconds in figures.items():
        table.add_row(what, f"{seconds:.2f}", f"{seconds / bare:.2f}")
    console = Console(highlight=False)
    console.print(f"Linux {on.release}, medians")
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    console.print(f"largest process: {peak} MiB; goal for the check: at most {GOAL:g} bare boots")
    if "--json" in sys.argv:
        target = Path(sys.argv[sys.argv.index("--json") + 1])
        target.write_text(json.dumps(figures | {"peak_mib": peak}, indent=2) + "\n")


if __name__ == "__main__":
    main()
