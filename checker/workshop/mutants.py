"""Solutions that are wrong on purpose, or right in another idiom, as changes of a lab's solution.

Small ones are rows of a TOML file (checker/workshop/rows.py), larger ones patches: a
unified diff (paths a/… and b/… relative to the lab's solution) behind a preamble of
``Key: text`` lines. A wrong one says what it breaks and which check must notice::

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
``Base`` is written by `knetlab mutants --refresh` (checker/workshop/refresh.py).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from checker.errors import LabError
from checker.model import Record
from checker.workshop import rows
from checker.workshop.rows import Edit
from vm import tools
from vm.errors import MissingTool, VMError
from vm.kernel import FEATURES

KEYS = ("Exercise", "Check", "Why", "Kernel", "Earns", "Needs", "Builds", "Usual", "Base")
BASES = "bases"
"""A folder beside the mutants: what they were made against."""
DIFF = re.compile(r"^--- a/([^\t\n]+)", re.MULTILINE)


class Mutant(Record):
    """One patch or row, and what must come of it."""

    name: str
    exercises: tuple[int, ...] = Field(default=(), description="may lose points; none: it is right")
    checks: tuple[str, ...] = Field(default=(), description="must not pass")
    why: str
    kernel: str = Field(default="", description="'< 6.10' or '>= 6.10'; empty: any")
    earns: dict[int, float] = Field(default={}, description="exercise -> points; empty: full marks")
    needs: tuple[str, ...] = Field(default=(), description="features of a kernel that sees it")
    builds: bool = Field(default=True, description="false: the compiler may refuse it")
    usual: bool = Field(default=False, description="a right one that every sample has")
    base: tuple[str, ...] = Field(default=(), description="left behind: made against these")
    patch: str = Field(default="", description="a unified diff; or else there are edits")
    edits: tuple[Edit, ...] = ()
    path: Path = Field(default=Path(), description="where it stands")
    line: int = Field(default=0, description="of a row: where in the file")

    @property
    def files(self) -> list[str]:
        """The files that it changes, relative to the solution."""
        found = DIFF.findall(self.patch) if self.patch else [edit.file for edit in self.edits]
        return list(dict.fromkeys(found))

    @property
    def place(self) -> str:
        """Where it stands, for people: a patch, or a row's line."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def fits(self, release: str) -> bool:
        """Whether the patch is for a kernel of this *release* (6.1.0-13-cloud-amd64)."""
        if not self.kernel:
            return True
        sign, bound = self.kernel.split()
        older = _version(release) < _version(bound)
        return older if sign == "<" else not older


def load(folder: Path) -> list[Mutant]:
    """Read the patches and rows in *folder* and in the folders in it, by name.

    Raises LabError naming file and line where one is wrong, or two have the same name.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if p.name != BASES)
        paths += [p for inner in paths if inner.is_dir() for p in sorted(inner.iterdir())]
    except OSError as error:
        raise LabError(f"{folder} cannot be read: {error.strerror}.") from error
    found: dict[str, Mutant] = {}
    for path in paths:
        mutants = [_read(path)] if path.suffix == ".patch" else []
        if path.suffix == ".toml":
            mutants = [_of_row(path, row) for row in rows.read(path)]
        for mutant in mutants:
            if mutant.name in found:
                other = found[mutant.name].place
                raise LabError(f"{mutant.place}: {other} has the name {mutant.name}, too.")
            found[mutant.name] = mutant
    # as their files were sorted when each had its own: a class made of them stays the same
    return sorted(found.values(), key=lambda mutant: f"{mutant.name}.")


def apply(mutant: Mutant, solution: Path, target: Path) -> None:
    """Copy the folder *solution* to *target*, which must not exist, and change the copy.

    Raises LabError naming the patch, or the row's line, when it does not fit the
    solution exactly or was left in conflict with it, MissingTool when the host has no ``patch``.
    """
    if mutant.base:
        raise LabError(
            f"{mutant.place}: {mutant.name} was left in conflict with the solution: correct it, "
            f"then run `knetlab mutants {solution.parent.name} --refresh`."
        )
    shutil.copytree(solution, target)
    if mutant.edits:
        _replace(mutant, solution, target)
        return
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
                f"{mutant.path} does not apply to {solution}: {_advice(solution)} {error}"
            ) from error


def _replace(mutant: Mutant, solution: Path, target: Path) -> None:
    for name in mutant.files:
        try:
            text = (target / name).read_text(encoding="utf-8")
            text = rows.apply([edit for edit in mutant.edits if edit.file == name], text)
        except OSError as error:
            raise LabError(
                f"{mutant.place}: {mutant.name}: there is no file {name} in {solution}: "
                f"correct the key file."
            ) from error
        except rows.NotOnce as error:
            raise LabError(
                f"{mutant.path}:{error.edit.line}: {mutant.name}: its old text stands "
                f"{error.often} in {solution / name}, and must stand there once: "
                f"{_advice(solution)}"
            ) from error
        (target / name).write_text(text, encoding="utf-8")


def _advice(solution: Path) -> str:
    return (
        f"correct it, or, when the solution was edited, "
        f"run `knetlab mutants {solution.parent.name} --refresh`."
    )


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _read(path: Path) -> Mutant:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}.") from error
    start = DIFF.search(text)
    if start is None:
        raise LabError(f"{path}: no line begins with '--- a/': the diff is missing.")
    preamble = _Preamble(path, path.stem)
    for number, line in enumerate(text[: start.start()].splitlines(), start=1):
        if not line.startswith(("diff ", "index ")):  # as diff -r and git diff begin
            preamble.add(number, line)
    return preamble.mutant(patch=text[start.start() :])


def _of_row(path: Path, row: rows.Row) -> Mutant:
    preamble = _Preamble(path, row.name, row.line)
    for key, (number, value) in row.keys.items():
        if key not in map(str.lower, KEYS):
            known = ", ".join(map(str.lower, KEYS))
            raise preamble.error(number, f"a row has the keys {known}, file, old, new, not {key!r}")
        preamble.add(number, f"{key.capitalize()}: {value}")
    return preamble.mutant(edits=tuple(row.edits))


class _Preamble:
    """The lines before the diff, with their numbers, so that an error can name one.

    Of a row they are its keys; *line* is the row's.
    """

    def __init__(self, path: Path, name: str, line: int = 0) -> None:
        self.path = path
        self.name = name
        self.line = line
        self.lines: dict[str, tuple[int, str]] = {}

    def add(self, number: int, line: str) -> None:
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in KEYS:
            raise self.error(number, f"a preamble line is one of {', '.join(KEYS)}, not {line!r}")
        if key in self.lines:
            raise self.error(number, f"{key} stands here for the second time")
        if not value:
            raise self.error(number, f"{key} is empty")
        self.lines[key] = (number, value)

    def error(self, number: int, what: str) -> LabError:
        return LabError(f"{self.path}:{number}: {what}.")

    def mutant(self, patch: str = "", edits: tuple[Edit, ...] = ()) -> Mutant:
        if "Why" not in self.lines:
            what = f"{self.name} has no key why" if self.line else "the preamble has no line Why"
            raise self.error(self.line or 1, what)
        for key, other in (("Exercise", "Check"), ("Check", "Exercise")):
            if key in self.lines and other not in self.lines:
                raise self.error(self.lines[key][0], f"{key} needs a line {other} beside it")
        wrong = "Exercise" in self.lines
        for key in ("Earns", "Usual") if wrong else ("Needs", "Builds"):
            if key in self.lines:
                kind = "right solutions, without" if wrong else "wrong solutions, with"
                raise self.error(self.lines[key][0], f"{key} is for {kind} Check")
        return Mutant(
            name=self.name,
            exercises=self._exercises(),
            checks=self._checks(),
            why=self.lines["Why"][1],
            kernel=self._kernel(),
            earns=self._earns(),
            needs=self._needs(),
            builds=not self._items("Builds", "no", "no, or not there"),
            usual=bool(self._items("Usual", "yes", "yes, or not there")),
            base=tuple(m[0] for m in self._items("Base", "[0-9a-f]{12}", "as refresh writes it")),
            patch=patch,
            edits=edits,
            path=self.path,
            line=self.line,
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
