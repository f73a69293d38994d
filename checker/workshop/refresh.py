"""knetlab mutants: which changes of a lab's solution fit it no more, and how they follow it.

A folder of mutants keeps in bases/ what they were made against: the solution's files as
they were when they were last refreshed. When the solution was edited since, each mutant is
merged with that edit: what the mutant makes of the base, and what the solution has become,
are the two sides. A mutant with a conflict stays as it is, and its key Base says which text
it was made against: bases/FILE.ID is kept for it.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from checker.errors import LabError
from checker.workshop import mutants, rows
from checker.workshop.mutants import Mutant
from checker.workshop.rows import Edit
from vm import tools
from vm.errors import VMError

_BLOCK = re.compile(r"^(?P<head>\w[^;{}]*)\{\n.*?^\}", re.MULTILINE | re.DOTALL)
"""A function: its braces stand in the first column."""

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(frozen=True)
class Conflict:
    """A place where the solution has changed what a mutant changes, too."""

    file: str
    line: int
    solution: str
    mutant: str


@dataclass(frozen=True)
class Left:
    """A mutant that could not be refreshed: *conflicts*, or what else is in the way."""

    mutant: Mutant
    conflicts: Sequence[Conflict] = ()
    why: str = ""


@dataclass
class Refreshed:
    """What became of a folder's mutants, *total* of them."""

    total: int = 0
    rewritten: list[Mutant] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def misfits(found: Iterable[Mutant], solution: Path) -> list[tuple[Mutant, str]]:
    """Return those of *found* that do not fit *solution*, with the sentence that says why."""
    trouble = []
    for mutant in found:
        try:
            with tempfile.TemporaryDirectory(prefix="knetlab-mutants-") as folder:
                mutants.apply(mutant, solution, Path(folder) / "copy")
        except LabError as error:
            trouble.append((mutant, str(error)))
    return trouble


def edited(folder: Path, found: Iterable[Mutant], solution: Path) -> list[str]:
    """Return the files of *solution* that are not as they were at the last refresh."""
    names = sorted({name for mutant in found for name in mutant.files})
    pairs = [(name, folder / mutants.BASES / name, solution / name) for name in names]
    return [
        name
        for name, base, now in pairs
        if base.is_file() and now.is_file() and base.read_bytes() != now.read_bytes()
    ]


def refresh(folder: Path, found: Sequence[Mutant], solution: Path) -> Refreshed:
    """Let the mutants *found* in *folder* follow *solution*, and make it the base of all that do.

    Raises MissingTool where there is no git, before anything is written.
    """
    bases = folder / mutants.BASES
    result = Refreshed(len(found))
    new: dict[str, dict[str, str]] = {}  # mutant -> file -> its mutated text
    for mutant in found:
        merged = _follow(mutant, bases, solution)
        if isinstance(merged, Left):
            result.left.append(merged)
        elif merged:
            new[mutant.name] = merged
            result.rewritten.append(mutant)
    _write(folder, found, new, result.left, solution)
    return result


# --- one mutant ----------------------------------------------------------------------


def _follow(mutant: Mutant, bases: Path, solution: Path) -> dict[str, str] | Left:
    """Return the mutated files that *mutant* should yield, none where it does already."""
    missing = [name for name in mutant.files if not (solution / name).is_file()]
    if missing:
        why = f"the solution has no file {', '.join(missing)}"
        return Left(mutant, why=f"{why}: correct its name, or delete the mutant")
    now = {name: (solution / name).read_text(encoding="utf-8") for name in mutant.files}
    already = _mutate(mutant, now)
    old = {name: _base(mutant, bases, name) for name in mutant.files}
    known = {name: text for name, text in old.items() if text is not None}
    # what does not fit its base was made, or corrected, since
    changed = _mutate(mutant, known) if known.keys() == now.keys() and known != now else None
    if changed is None:
        return {} if already else Left(mutant, why=_NO_BASE)
    merged: dict[str, str] = {}
    conflicts: list[Conflict] = []
    for name in mutant.files:
        outcome = merge(name, known[name], changed[name], now[name])
        if isinstance(outcome, str):
            merged[name] = outcome
        else:
            conflicts += outcome
    if conflicts:
        return Left(mutant, conflicts)
    return {} if already == merged else merged


_NO_BASE = "it fits neither the solution nor what is kept of an older one: write it again"


def _base(mutant: Mutant, bases: Path, name: str) -> str | None:
    """Return the text of the file *name* that *mutant* was made against, None if unknown."""
    for path in (*(bases / f"{name}.{id_}" for id_ in mutant.base), bases / name):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def _mutate(mutant: Mutant, texts: Mapping[str, str]) -> dict[str, str] | None:
    """Return what *mutant* makes of the files *texts*, None where it does not fit them."""
    with tempfile.TemporaryDirectory(prefix="knetlab-mutants-") as folder:
        source, copy = Path(folder) / "source", Path(folder) / "copy"
        for name, text in texts.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text, encoding="utf-8")
        try:
            mutants.apply(mutant.model_copy(update={"base": ()}), source, copy)
        except LabError:
            return None
        return {name: (copy / name).read_text(encoding="utf-8") for name in texts}


# --- merging -------------------------------------------------------------------------


def merge(name: str, base: str, mutated: str, solution: str) -> str | list[Conflict]:
    """Return *mutated* with what *solution* has else than *base*, or where that cannot be done.

    What the solution calls something else, throughout or in a whole function, is renamed in
    the mutant first. Where lines conflict, what the mutant replaces may all the same stand in the
    solution just once, elsewhere: then it is replaced there.
    """
    base, mutated = follow_names(base, base, solution), follow_names(mutated, base, solution)
    text, conflicts = _merge_lines(name, base, mutated, solution)
    if not conflicts:
        return text
    try:
        return rows.apply(rows.between(name, base, mutated), solution)
    except rows.NotOnce:
        return conflicts


def follow_names(text: str, base: str, solution: str) -> str:
    """Return *text*, a variant of *base*, with the names that *solution* has instead."""
    everywhere, inside = renamed(base, solution), _renamed_inside(base, solution)

    def rename(match: re.Match[str]) -> str:
        return _rename(match[0], inside.get(_called(match), {}))

    return _BLOCK.sub(rename, _rename(text, everywhere))


@functools.cache  # most mutants have the same base
def renamed(before: str, after: str) -> dict[str, str]:
    """Return the names of *before* that are another name everywhere in *after*.

    A name stands there twice at least, where it is declared and where it is used.
    """
    a, b = _TOKEN.findall(before), _TOKEN.findall(after)
    pairs: dict[str, set[str]] = {}
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "replace" and i2 - i1 == j2 - j1:
            for old, new in zip(a[i1:i2], b[j1:j2], strict=True):
                if old.isidentifier() and new.isidentifier():
                    pairs.setdefault(old, set()).add(new)
    names = {old: next(iter(new)) for old, new in pairs.items() if len(new) == 1}
    return {
        old: new
        for old, new in names.items()
        if old not in b and new not in a and min(a.count(old), b.count(new)) >= 2
    }


@functools.cache
def _renamed_inside(base: str, solution: str) -> dict[str, dict[str, str]]:
    """Return, for each function of *base*, what *solution* calls something else in it alone."""
    before = {_called(m): m[0] for m in _BLOCK.finditer(_rename(base, renamed(base, solution)))}
    after = {_called(match): match[0] for match in _BLOCK.finditer(solution)}
    return {name: renamed(before[name], after[name]) for name in before.keys() & after.keys()}


def _called(block: re.Match[str]) -> str:
    """Return the name of a function, as kernel style has them."""
    return str(re.findall(r"\w+", block["head"].partition("(")[0])[-1])


def _rename(text: str, names: Mapping[str, str]) -> str:
    return "".join(names.get(word, word) for word in _TOKEN.findall(text)) if names else text


def _merge_lines(name: str, base: str, mutated: str, solution: str) -> tuple[str, list[Conflict]]:
    """Merge with git, which knows how; return the text and the conflicts in it."""
    with tempfile.TemporaryDirectory(prefix="knetlab-mutants-") as folder:
        paths = [Path(folder) / part for part in ("solution", "base", "mutant")]
        for path, text in zip(paths, (solution, base, mutated), strict=True):
            path.write_text(text, encoding="utf-8")
        labels = [argument for path in paths for argument in ("-L", path.name)]
        argv = [tools.find("git"), "merge-file", "-p", *labels, *map(str, paths)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if not 0 <= done.returncode <= _MOST_CONFLICTS:
        raise VMError(f"git merge-file failed: {done.stderr.strip()}")
    return done.stdout, _conflicts(name, done.stdout, solution) if done.returncode else []


_MOST_CONFLICTS = 127
"""git's exit status is the number of conflicts, up to this one; above it, it failed."""


def _conflicts(name: str, merged: str, solution: str) -> list[Conflict]:
    """Return the conflicts between git's marks in *merged*, with their lines in *solution*."""
    own = solution.splitlines(keepends=True)
    found: list[Conflict] = []
    at = 0
    pattern = r"^<{7} solution\n(.*?)^={7}\n(.*?)^>{7} mutant\n"
    for match in re.finditer(pattern, merged, re.MULTILINE | re.DOTALL):
        ours = match[1].splitlines(keepends=True)
        # where the solution has nothing any more, the line behind the mark says where that was
        look = ours or merged[match.end() :].splitlines(keepends=True)[:1]
        starts = range(at, len(own))
        at = next((n for n in starts if own[n : n + len(look)] == look), at)
        found.append(Conflict(name, at + 1, match[1], match[2]))
        at += len(ours)
    return found


# --- writing -------------------------------------------------------------------------


def _write(
    folder: Path,
    found: Sequence[Mutant],
    new: Mapping[str, Mapping[str, str]],
    left: Sequence[Left],
    solution: Path,
) -> None:
    """Write the mutants that changed, which base those have that are *left*, and the bases."""
    bases = folder / mutants.BASES
    keep = {
        bases / name: (solution / name).read_text(encoding="utf-8")
        for name in {name for mutant in found for name in mutant.files}
        if (solution / name).is_file()
    }
    marks: dict[str, list[str]] = {mutant.name: [] for mutant in found}
    for mutant in (one.mutant for one in left if one.mutant.base or one.why != _NO_BASE):
        for name in mutant.files:
            text = _base(mutant, bases, name)
            if text is not None:
                id_ = hashlib.sha256(text.encode()).hexdigest()[:12]
                keep[bases / f"{name}.{id_}"] = text
                marks[mutant.name].append(id_)
    changed = [m for m in found if m.name in new or list(m.base) != marks[m.name]]
    for path in dict.fromkeys(mutant.path for mutant in changed):
        own = [mutant for mutant in changed if mutant.path == path]
        if path.suffix == ".patch":
            _write_patch(path, new.get(own[0].name, {}), marks[own[0].name], solution)
        else:
            edits = {m.name: _edits(m, bases, solution, new[m.name]) for m in own if m.name in new}
            rows.write(path, edits, {mutant.name: marks[mutant.name] for mutant in own})
    for path in [p for p in bases.rglob("*") if p.is_file() and p not in keep]:
        path.unlink()
    for path, text in keep.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _write_patch(path: Path, new: Mapping[str, str], marks: Sequence[str], solution: Path) -> None:
    """Write the patch *path* again: its diff makes the files *new*; if none, it stays."""
    text = path.read_text(encoding="utf-8")
    start = mutants.DIFF.search(text)
    assert start, "it was read before"
    head, diff = text[: start.start()].splitlines(), text[start.start() :]
    head = [line for line in head if not line.startswith("Base:")]
    if marks:
        head.insert(0, f"Base: {', '.join(marks)}")
    if new:
        head = [line for line in head if not line.startswith(("diff ", "index "))]
        diff = "".join(
            _diff(name, (solution / name).read_text(encoding="utf-8"), after)
            for name, after in new.items()
        )
    path.write_text("\n".join([*head, diff]), encoding="utf-8")


def _diff(name: str, before: str, after: str) -> str:
    """Return a unified diff with a line of context."""
    a, b = before.splitlines(keepends=True), after.splitlines(keepends=True)
    lines = difflib.unified_diff(a, b, f"a/{name}", f"b/{name}", n=1)
    no_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + no_end for line in lines)


def _edits(mutant: Mutant, bases: Path, solution: Path, new: Mapping[str, str]) -> list[Edit]:
    """Return edits that make the files *new*: the row's own with other names, if those do."""
    found: list[Edit] = []
    for name, after in new.items():
        now = (solution / name).read_text(encoding="utf-8")
        base = _base(mutant, bases, name) or ""
        everywhere = renamed(base, now)
        inside: list[dict[str, str]] = [{}, *_renamed_inside(base, now).values()]
        for names in inside:
            edits = [
                edit.model_copy(
                    update={
                        key: _rename(_rename(getattr(edit, key), everywhere), names)
                        for key in ("old", "new")
                    }
                )
                for edit in mutant.edits
                if edit.file == name
            ]
            if _makes(edits, now, after):
                break
        else:
            edits = rows.between(name, now, after)
        found += edits
    return found


def _makes(edits: Sequence[Edit], before: str, after: str) -> bool:
    try:
        return rows.apply(edits, before) == after
    except rows.NotOnce:
        return False
