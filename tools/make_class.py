"""Make a class: what three hundred students could have handed in, as an LMS gives it.

    .venv/bin/python -m tools.make_class FOLDER [--students 300] [--naming moodle]

Students get, in turn, the lab's solution, its skeletons, right ones in other idioms,
the mutants, the hostile submissions of the tests, and archives that are cut off. Some of
them are packed, some lie deep, some handed in the same. The class is the same each time.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from checker import lab
from checker.model import Lab
from checker.workshop import mutants, skeleton

HOSTILE = Path(__file__).parents[1] / "tests" / "hostile"

FIRST = ("Ada", "Bob", "Chen", "Dina", "Émile", "Fatima", "Grace", "Håkon", "Ines", "Jörg")
LAST = ("Lovelace", "O'Neil", "Wei", "de la Cruz", "Svoboda", "Al-Amin", "Ng", "Smith", "Öz", "Li")


def kinds(the_lab: Lab) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield what a student may hand in: a name, and what writes it to a new folder."""
    yield "solution", lambda folder: _copy(the_lab.solution, folder)
    for step in range(1, len(the_lab.exercises) + 2):

        def skel(folder: Path, step: int = step) -> None:
            skeleton.write(skeleton.generate(the_lab.solution, step), folder)

        yield f"skeleton-{step}", skel
    for source in (the_lab.root / "idioms", the_lab.root / "mutants", HOSTILE):
        for patch in mutants.load(source):

            def patched(folder: Path, patch: mutants.Mutant = patch) -> None:
                mutants.apply(patch, the_lab.solution, folder)

            yield patch.name, patched


def _copy(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder)


def names(count: int) -> list[str]:
    """Return so many names of people, no two alike."""
    pairs = itertools.product(FIRST, LAST)
    found = [f"{first} {last}" for first, last in pairs]
    return [
        found[n % len(found)] + (f" {n // len(found)}" * (n >= len(found))) for n in range(count)
    ]


def make(target: Path, the_lab: Lab, count: int, naming: str) -> None:
    """Write a class of *count* students to the new folder *target*."""
    target.mkdir(parents=True)
    choices = list(kinds(the_lab))
    for number, name in enumerate(names(count)):
        _, write = choices[number % len(choices)] if number % 20 else choices[0]
        user = 1000 + number
        with tempfile.TemporaryDirectory() as scratch:
            work = Path(scratch) / "work"
            write(work)
            packed = Path(scratch) / "work.zip"
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(p for p in work.rglob("*") if p.is_file()):
                    archive.write(file, Path("my lab") / file.relative_to(work))
            if number % 25 == 24:
                packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
            if naming == "canvas":
                squeezed = "".join(c for c in name.lower() if c.isalnum())
                late = "_LATE" if number % 10 == 3 else ""
                shutil.copy(packed, target / f"{squeezed}{late}_{user}_{9000 + number}_work.zip")
                continue
            folder = target / (
                f"{name}_{user}_assignsubmission_file" if naming == "moodle" else f"s{user}"
            )
            folder.mkdir()
            if number % 3 or number % 25 == 24:
                shutil.copy(packed, folder / "work.zip")
            else:
                _copy(work, folder / "lab" / "mine")


def main() -> None:
    """Read the command line and make the class."""
    parser = argparse.ArgumentParser(description="make a class to try `knetlab grade` on")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--naming", choices=["moodle", "canvas", "folders"], default="moodle")
    arguments = parser.parse_args()
    if arguments.folder.exists():
        parser.error(f"{arguments.folder} is there already")
    make(arguments.folder, lab.load("networking"), arguments.students, arguments.naming)
    print(f"{arguments.folder}: {arguments.students} students")


if __name__ == "__main__":
    main()
