"""Solutions that are wrong on purpose, or right in another idiom: patches of a lab's solution.

A patch is a unified diff (paths a/… and b/… relative to the lab's solution)
behind a preamble of ``Key: text`` lines. A wrong one says what it breaks and
which check must notice::

    Exercise: 1
    Check: 1.outgoing-syn
    Why: forgets ntohs(), because the port looks like a plain number

``Exercise`` names the exercises that may lose points (more than one only where
it cannot be helped: a crash of their module, say); none of the checks in
``Check`` may pass, and every other exercise keeps its full marks. A right one
has ``Why`` alone and earns full marks, or what ``Earns: 1=20 4=0`` says; ``Usual: yes``
marks those that many students write, which every sample has.
``Kernel: < 6.10`` bounds the kernels that a patch is for. ``Needs: KASAN`` names
features of a kernel (see vm.kernel.FEATURES) without which nothing can tell that
a wrong one is wrong. ``Builds: no`` is for a wrong one that need not compile.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from checker.errors import LabError
from checker.model import Record
from vm import tools
from vm.errors import MissingTool, VMError
from vm.kernel import FEATURES

_KEYS = ("Exercise", "Check", "Why", "Kernel", "Earns", "Needs", "Builds", "Usual")
_DIFF = re.compile(r"^--- a/", re.MULTILINE)


class Mutant(Record):
    """One patch and what must come of it."""

    name: str
    exercises: tuple[int, ...] = Field(default=(), description="may lose points; none: it is right")
    checks: tuple[str, ...] = Field(default=(), description="must not pass")
    why: str
    kernel: str = Field(default="", description="'< 6.10' or '>= 6.10'; empty: any")
    earns: dict[int, float] = Field(default={}, description="exercise -> points; empty: full marks")
    needs: tuple[str, ...] = Field(default=(), description="features of a kernel that sees it")
    builds: bool = Field(default=True, description="false: the compiler may refuse it")
    usual: bool = Field(default=False, description="a right one that every sample has")
    patch: str

    def fits(self, release: str) -> bool:
        """Whether the patch is for a kernel of this *release* (6.1.0-13-cloud-amd64)."""
        if not self.kernel:
            return True
        sign, bound = self.kernel.split()
        older = _version(release) < _version(bound)
        return older if sign == "<" else not older


def load(folder: Path) -> list[Mutant]:
    """Read every patch in *folder*, by name.

    Raises LabError naming file and line where a preamble is wrong.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".patch")
    except OSError as error:
        raise LabError(f"{folder} cannot be read: {error.strerror}.") from error
    return [_read(path) for path in paths]


def apply(mutant: Mutant, solution: Path, target: Path) -> None:
    """Copy the folder *solution* to *target*, which must not exist, and patch the copy.

    Raises LabError naming the patch when it does not fit the solution exactly,
    MissingTool when the host has no ``patch``.
    """
    shutil.copytree(solution, target)
    with tempfile.NamedTemporaryFile("w", suffix=".patch", encoding="utf-8") as file:
        file.write(mutant.patch)
        file.flush()
        # force: never ask, and never take a patch for one that was applied before
        options = ["--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]
        try:
            tools.run(["patch", *options, f"--directory={target}", f"--input={file.name}"])
        except MissingTool:
            raise
        except VMError as error:
            raise LabError(
                f"{mutant.name}.patch does not apply to {solution}: make it again. {error}"
            ) from error


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _read(path: Path) -> Mutant:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}.") from error
    start = _DIFF.search(text)
    if start is None:
        raise LabError(f"{path}: no line begins with '--- a/': the diff is missing.")
    preamble = _Preamble(path)
    for number, line in enumerate(text[: start.start()].splitlines(), start=1):
        if not line.startswith(("diff ", "index ")):  # as diff -r and git diff begin
            preamble.add(number, line)
    return preamble.mutant(text[start.start() :])


class _Preamble:
    """The lines before the diff, with their numbers, so that an error can name one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, tuple[int, str]] = {}

    def add(self, number: int, line: str) -> None:
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in _KEYS:
            raise self.error(number, f"a preamble line is one of {', '.join(_KEYS)}, not {line!r}")
        if key in self.lines:
            raise self.error(number, f"{key} stands here for the second time")
        if not value:
            raise self.error(number, f"{key} is empty")
        self.lines[key] = (number, value)

    def error(self, number: int, what: str) -> LabError:
        return LabError(f"{self.path}:{number}: {what}.")

    def mutant(self, patch: str) -> Mutant:
        if "Why" not in self.lines:
            raise self.error(1, "the preamble has no line Why")
        for key, other in (("Exercise", "Check"), ("Check", "Exercise")):
            if key in self.lines and other not in self.lines:
                raise self.error(self.lines[key][0], f"{key} needs a line {other} beside it")
        wrong = "Exercise" in self.lines
        for key in ("Earns", "Usual") if wrong else ("Needs", "Builds"):
            if key in self.lines:
                kind = "right solutions, without" if wrong else "wrong solutions, with"
                raise self.error(self.lines[key][0], f"{key} is for {kind} Check")
        return Mutant(
            name=self.path.stem,
            exercises=self._exercises(),
            checks=self._checks(),
            why=self.lines["Why"][1],
            kernel=self._kernel(),
            earns=self._earns(),
            needs=self._needs(),
            builds=not self._items("Builds", "no", "no, or not there"),
            usual=bool(self._items("Usual", "yes", "yes, or not there")),
            patch=patch,
        )

    def _items(self, key: str, pattern: str, shape: str) -> list[re.Match[str]]:
        """Match each item of a line; items stand apart by commas or, for Earns, spaces."""
        number, value = self.lines.get(key, (0, ""))
        items = value.split() if key == "Earns" else [v.strip() for v in value.split(",") if value]
        found = []
        for item in items:
            match = re.fullmatch(pattern, item)
            if match is None:
                raise self.error(number, f"{key} is {shape}, not {item!r}")
            found.append(match)
        return found

    def _exercises(self) -> tuple[int, ...]:
        return tuple(int(m[0]) for m in self._items("Exercise", r"\d+", "a number, as in 1"))

    def _checks(self) -> tuple[str, ...]:
        checks = self._items("Check", r"(\d+)\.[a-z0-9-]+", "an id, as in 1.outgoing-syn")
        for check in checks:
            if int(check[1]) not in self._exercises():
                raise self.error(
                    self.lines["Check"][0], f"{check[0]} belongs to none of the exercises named"
                )
        return tuple(check[0] for check in checks)

    def _kernel(self) -> str:
        bounds = self._items("Kernel", r"(<|>=)\s*(\d+\.\d+)", "a bound, as in < 6.10")
        if len(bounds) > 1:
            raise self.error(self.lines["Kernel"][0], "Kernel has one bound")
        return f"{bounds[0][1]} {bounds[0][2]}" if bounds else ""

    def _earns(self) -> dict[int, float]:
        pairs = self._items("Earns", r"(\d+)=(\d+(?:\.\d+)?)", "pairs, as in 1=20 4=0")
        return {int(m[1]): float(m[2]) for m in pairs}

    def _needs(self) -> tuple[str, ...]:
        features = f"one of {', '.join(FEATURES)}"
        return tuple(m[0] for m in self._items("Needs", "|".join(FEATURES), features))
