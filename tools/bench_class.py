"""make bench-class: how fast a class is graded, and whether that holds for a large one.

The class is the solution, changed by a comment in each submission so that none equals
another. On each kernel at hand it prints submissions a minute with as many jobs as there are
cores, and that against one job; with --class 300 also the time per submission over the
first 30 and over all of them, and what memory the parent process has by then.

    --count N   so many submissions for each figure (12)
    --class N   a class of so many besides (0: none)
    --kernel    stock or debug alone
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from checker import lab
from checker.classroom import batch
from checker.classroom.store import Store
from checker.engine import submission
from checker.model import Attempt, Student
from tools.bench import changed_solution
from vm import kernel
from vm.kernel import Kernel

FIRST = 30
"""Submissions of a small class."""


@dataclass
class Run:
    """When each submission of a class ended, in seconds from the start, and the parent's memory."""

    ended: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def each(self, count: int) -> float:
        """Return the seconds per submission over the first *count*."""
        return self.ended[count - 1] / count

    @property
    def pace(self) -> float:
        """The seconds per submission with the start of the processes left out."""
        return (self.ended[-1] - self.ended[0]) / (len(self.ended) - 1)


def memory() -> float:
    """Return the MiB that this process has in memory."""
    (size,) = re.findall(r"^VmRSS:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(size) / 1024


def grade(on: Kernel, count: int, jobs: int) -> Run:
    """Grade a class of *count* different solutions."""
    networking = lab.load("networking")
    made = Run()
    with tempfile.TemporaryDirectory(prefix="knetlab-bench-") as name:
        folder = Path(name)
        handed = []
        for number in range(count):
            given = submission.read(networking, changed_solution(folder, number))
            who = f"student-{number}"
            attempt = Attempt(student=who, label="1")
            handed.append(batch.Received(Student(key=who), attempt, given))
        with Store(folder / "grades", networking.name) as store:
            for one in handed:
                store.add_student(one.student)
            tasks = batch.take(store, networking, on, handed)
            started = time.monotonic()

            def done(result: batch.Done) -> None:
                if result.grade is None or result.grade.score != result.grade.max_score:
                    raise SystemExit(f"The solution has not full marks. {result.problem}")
                made.ended.append(time.monotonic() - started)
                made.memory.append(memory())

            batch.run(store, tasks, batch.local(jobs), done)
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time the grading of a class on this host")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--class", dest="size", type=int, default=0)
    parser.add_argument("--kernel", choices=["stock", "debug"])
    arguments = parser.parse_args()
    console = Console(highlight=False)
    jobs = batch.jobs_here()
    for on in filter(None, (kernel.stock(), kernel.debug_if_built())):
        if arguments.kernel not in (None, on.name):
            continue
        one, many = (grade(on, arguments.count, n).pace for n in (1, jobs))
        console.print(
            f"Linux {on.release}: {60 / many:.1f} submissions a minute with {jobs} jobs, "
            f"{one / many:.2f} times those with 1 job"
        )
        if arguments.size:
            run = grade(on, arguments.size, jobs)
            small, large = run.each(FIRST), run.each(arguments.size)
            console.print(
                f"per submission: {small:.2f} s over the first {FIRST}, {large:.2f} s over "
                f"{arguments.size} ({(large / small - 1) * 100:+.1f} %); memory of the parent: "
                f"{run.memory[FIRST - 1]:.0f} MiB, then {run.memory[-1]:.0f} MiB"
            )


if __name__ == "__main__":
    main()
