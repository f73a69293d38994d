"""Record what the sanitizers say of each mistake in tests/data/sanitizer/user/demo.c.

    python -m tools.record_sanitizers [--release 12|13|sid]

Each recording is a report of a program that was built as students' are, in
tests/data/sanitizer/VERSION/NAME.txt, where VERSION is the compiler's, as 12. Run it again, for
all releases, after a change of demo.c: the lines move.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checker.engine import program_build
from checker.model import Target
from checker.words import sanitizer
from vm import debian, libraries, toolchain
from vm.sandbox import Sandbox

HERE = Path(__file__).parents[1] / "tests/data/sanitizer"
DEMO = Target(name="demo", kind="program", folder="user", sources=("demo.c",))
LINES = 60
"""Lines of a report that are kept."""


def main() -> int:
    """Record all, with the compilers of the releases; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--release", action="append", choices=list(debian.SUITES))
    releases = parser.parse_args().release or ["12", "sid"]
    for release in releases:
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch).chmod(0o755)
            _record(toolchain.own(release), Path(scratch))
    return 0


def _record(tools: toolchain.Toolchain, root: Path) -> None:
    shutil.copytree(HERE / "user", root / "user")
    (root / "lab/lib").mkdir(parents=True)
    for name, file in libraries.files(tools).items():
        (root / "lab" / name).write_bytes(file.content)
        (root / "lab" / name).chmod(0o755)
    box = Sandbox(
        system=tools.system,
        writable={root: "/build"},
        read_only={root / "lab/lib": "/lab/lib"},
        env={"ASAN_OPTIONS": sanitizer.OPTIONS.replace("/run/reports/", "/build/")},
        cwd="/build",
    )
    for path in (root, *root.rglob("*")):
        box.own(path)
    program_build.write_start(root)
    command = program_build.command(DEMO, program_build.SANITIZED, "demo")
    subprocess.run(box.argv(command), check=True)
    names = subprocess.run(box.argv(["./demo"]), check=True, capture_output=True, text=True)
    version = tools.compiler.rsplit(" ", 1)[1].split(".")[0]
    folder = HERE / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in names.stdout.split():
        subprocess.run(box.argv(["./demo", name]), check=False, capture_output=True)
        reports = sorted(root.glob("report.*"))
        text = "".join(report.read_text(errors="replace") for report in reports)
        for report in reports:
            report.unlink()
        if not text:
            sys.stderr.write(f"gcc {version} says nothing of {name}\n")
            continue
        lines = text.splitlines()[:LINES]
        (folder / f"{name.replace('_', '-')}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
