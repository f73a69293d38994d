"""A lab's solution -> the skeleton a student edits.

The solution is C that compiles as it stands. Comments mark what belongs to
which exercise; a marker stands on lines of its own::

    /* TODO 1 begin: what the student should write here. */
    ...the solution...
    /* TODO 1 end */
    /* TODO 1 skeleton: return 0; */

A region runs from ``begin`` to ``end``. In the skeleton of step N, a region
whose number is N or more is empty, with its text as the comment ``TODO 1: ...``;
one with a smaller number stands solved, without its markers. ``skeleton`` holds
lines that stand only in the skeleton, as long as the exercise is open. The text
after ``begin`` may be missing: then the region goes without a trace. Text and
skeleton lines may take several lines, as a comment in kernel style does::

    /*
     * TODO 2 begin: what the student should write here,
     * at more length.
     */
    ...
    /* TODO 2 end */
    /*
     * TODO 2 skeleton:
     * if (!ready)
     *	return 0;
     */
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from checker.errors import InputError
from checker.model import Lab

__all__ = [
    "EditedFilesError",
    "SkeletonError",
    "SkeletonFile",
    "WriteReport",
    "generate",
    "of",
    "regions",
    "render",
    "write",
]


class SkeletonError(InputError):
    """What is wrong, in one sentence: a marker (with file and line), a folder, a step."""


class EditedFilesError(SkeletonError):
    """Files a student has edited stand in the way; nothing was changed."""

    def __init__(self, target: Path, files: tuple[str, ...]) -> None:
        """Keep the *files*, relative to *target*."""
        self.target = target
        self.files = files
        listed = "".join(f"\n  {name}" for name in files)
        super().__init__(
            f"These files in {target} were edited and would be lost "
            f"(--force, or make skels FORCE=1, keeps a backup of each):{listed}"
        )


@dataclass(frozen=True)
class SkeletonFile:
    """One file of a skeleton, and what it looks like at every other step."""

    content: bytes
    executable: bool
    versions: frozenset[bytes]
    """The file's content at each step: a copy that equals one of them is not edited."""


@dataclass(frozen=True)
class WriteReport:
    """What :func:`write` did; all paths are relative to the target folder."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    backups: tuple[tuple[str, str], ...]
    """Pairs of a file and the name under which the student's version is kept."""


# --- one text ------------------------------------------------------------------------

Kind = Literal["begin", "end", "skeleton"]

_SINGLE = re.compile(r"(?P<indent>[ \t]*)/\* (?P<head>TODO\b.*?) ?\*/[ \t]*")
_OPENING = re.compile(r"(?P<indent>[ \t]*)/\*[ \t]*")
_INNER = re.compile(r"[ \t]* \*(?P<body>(?!/).*)")
_CLOSING = re.compile(r"[ \t]* \*/[ \t]*")
_HEAD = re.compile(
    r"TODO (?P<number>[1-9][0-9]*) (?P<kind>begin|end|skeleton)(?P<colon>:?) ?(?P<rest>.*)"
)


@dataclass(frozen=True)
class _Code:
    """A line that is no marker."""

    text: str


@dataclass(frozen=True)
class _Marker:
    """A marker, and the lines that take its place where its exercise is open."""

    kind: Kind
    number: int
    line: int
    lines: tuple[str, ...]


def render(text: str, step: int, name: str) -> str:
    r"""Turn one source *text* with markers into the skeleton of *step*.

    *step* counts from 1, and *name* is what an error calls the file. A text
    without markers comes back as it is. Raises :class:`SkeletonError` for a
    wrong marker, as ``name:line: what is wrong``.
    """
    if step < 1:
        raise SkeletonError(f"A step is 1 or more, and {step} is not.")
    parts = list(_parse(text, name))
    if all(isinstance(part, _Code) for part in parts):
        return text
    out: list[str] = []
    region: _Marker | None = None
    for part in parts:
        if isinstance(part, _Code):
            if region is None or region.number < step:
                out.append(part.text)
        else:
            region = _next_region(region, part, name)
            if part.number >= step:
                out.extend(part.lines)
    if region is not None:
        raise _error(name, region.line, f"TODO {region.number} begins here and never ends.")
    return "".join(f"{line}\n" for line in _tidy(out))


def regions(text: str, name: str) -> dict[int, int]:
    """Return for each line of *text* that lies in a region the number of its exercise.

    *name* is what an error calls the file. Raises :class:`SkeletonError` for a wrong marker.
    """
    found: dict[int, int] = {}
    region: _Marker | None = None
    for part in _parse(text, name):
        if isinstance(part, _Marker):
            if region and part.kind == "end":
                found |= dict.fromkeys(range(region.line, part.line + 1), region.number)
            region = _next_region(region, part, name)
    return found


def _error(name: str, line: int, sentence: str) -> SkeletonError:
    return SkeletonError(f"{name}:{line}: {sentence}")


def _next_region(region: _Marker | None, marker: _Marker, name: str) -> _Marker | None:
    """Return the region that is open after *marker*, or raise if it cannot stand here."""
    if region is None:
        if marker.kind == "end":
            raise _error(name, marker.line, f"TODO {marker.number} ends here but never began.")
        return marker if marker.kind == "begin" else None
    if marker.kind != "end":
        raise _error(
            name,
            marker.line,
            f"TODO {marker.number} {marker.kind} stands inside the region of "
            f"TODO {region.number}, which began in line {region.line}.",
        )
    if marker.number != region.number:
        raise _error(
            name,
            marker.line,
            f"TODO {marker.number} ends here, but it was TODO {region.number} "
            f"that began in line {region.line}.",
        )
    return None


def _parse(text: str, name: str) -> Iterator[_Code | _Marker]:
    """Yield the lines and the markers of *text*; raise for what is nearly a marker."""
    lines = text.removesuffix("\n").split("\n")
    at = 0
    while at < len(lines):
        single = _SINGLE.fullmatch(lines[at])
        if single:
            yield _marker(name, at + 1, single["indent"], [single["head"]])
            at += 1
            continue
        block = _block(lines, at)
        if block:
            indent, body = block
            yield _marker(name, at + 2, indent, body)
            at += len(body) + 2
            continue
        if "TODO" in lines[at]:
            raise _error(
                name,
                at + 1,
                "this TODO is no marker: a marker is a comment on lines of its own, "
                "such as /* TODO 1 end */.",
            )
        yield _Code(lines[at])
        at += 1


def _block(lines: list[str], at: int) -> tuple[str, list[str]] | None:
    """Return indent and inner lines of the comment that opens at *at*, if it is a TODO's."""
    opening = _OPENING.fullmatch(lines[at])
    if not opening:
        return None
    body: list[str] = []
    for line in lines[at + 1 :]:
        if _CLOSING.fullmatch(line):
            break
        inner = _INNER.fullmatch(line)
        if not inner:
            return None
        body.append(inner["body"])
    else:
        return None
    if not body or not body[0].startswith(" TODO"):
        return None
    return opening["indent"], body


def _marker(name: str, line: int, indent: str, body: list[str]) -> _Marker:
    """Make a marker of the inner lines of its comment."""
    head = _HEAD.fullmatch(body[0].strip())
    if not head:
        raise _error(
            name, line, 'a TODO marker reads "TODO", a number from 1, and begin, end or skeleton.'
        )
    kind = cast(Kind, head["kind"])
    number, rest, more = int(head["number"]), head["rest"], body[1:]

    shown: list[str] = []
    if kind == "end":
        if head["colon"] or rest or more:
            raise _error(name, line, f"TODO {number} end takes no text.")
    elif kind == "begin":
        if bool(head["colon"]) != bool(rest or more):
            raise _error(
                name, line, f"TODO {number} begin takes a colon and a text, or neither of them."
            )
        if more:
            inner = [f" TODO {number}: {rest}".rstrip(), *more]
            shown = [f"{indent}/*", *(f"{indent} *{text}" for text in inner), f"{indent} */"]
        elif rest:
            shown = [f"{indent}/* TODO {number}: {rest} */"]
    else:
        if not head["colon"] or bool(rest) == bool(more):
            raise _error(
                name,
                line,
                f"TODO {number} skeleton takes a colon and one line, or a colon and then "
                "lines of their own.",
            )
        code = [rest] if rest else [text.removeprefix(" ") for text in more]
        shown = [f"{indent}{text}".rstrip() for text in code]
    return _Marker(kind, number, line, tuple(shown))


def _tidy(lines: list[str]) -> Iterator[str]:
    """Drop the blank lines that a region left behind, so that it reads as written by hand."""
    before = "{"  # so that no text starts with a blank line
    blank = False
    for line in lines:
        if not line.strip():
            blank = True
            continue
        if blank and not before.endswith("{") and not line.lstrip().startswith("}"):
            yield ""
        blank = False
        before = line
        yield line


# --- a folder ------------------------------------------------------------------------

_MARKED = frozenset({".c", ".h"})
_PLAIN = frozenset({".S", ".sh", ".md", ".txt"})
_NAMED = frozenset({"Kbuild", "Makefile"})


def of(lab: Lab, step: int = 1) -> dict[str, SkeletonFile]:
    """Return the skeleton of *step* of *lab*, as :func:`generate` does.

    The archive for students has the files of step 1 alone, as they are: for any
    other step it raises :class:`SkeletonError`.
    """
    if lab.solution.is_dir():
        return generate(lab.solution, step)
    if step != 1:
        raise SkeletonError(
            f"The skeleton of step {step} has the exercises before {step} solved, and this copy of "
            "knetlab, made for students, has no solutions: there is only step 1."
        )
    files = {}
    for path in sorted(_source_files(lab.given)):
        content = path.read_bytes()
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        name = path.relative_to(lab.given).as_posix()
        files[name] = SkeletonFile(content, executable, frozenset({content}))
    return files


def generate(solution: Path, step: int = 1) -> dict[str, SkeletonFile]:
    """Make the skeleton of *step* from the folder *solution*.

    Returns the files by their path in the skeleton, with ``/`` between its
    parts and in order. *step* goes from 1, where every exercise is open, to one
    past the last exercise, where all are solved. What a build leaves behind is
    not taken. Raises :class:`SkeletonError` for a wrong marker or step, a file
    that is not UTF-8, a link, and a folder with nothing in it to take.
    """
    sources = {
        name: (path, _read(path, name))
        for path in _source_files(solution)
        for name in [path.relative_to(solution).as_posix()]
    }
    if not sources:
        raise SkeletonError(f"{solution} is not a folder with sources in it.")

    last = max(
        (
            part.number
            for name, (path, text) in sources.items()
            if path.suffix in _MARKED
            for part in _parse(text, name)
            if isinstance(part, _Marker)
        ),
        default=0,
    )
    if not 1 <= step <= last + 1:
        raise SkeletonError(f"There is no step {step}: the steps go from 1 to {last + 1}.")

    files: dict[str, SkeletonFile] = {}
    for name, (path, text) in sorted(sources.items()):
        versions = (
            {at: render(text, at, name).encode() for at in range(1, last + 2)}
            if path.suffix in _MARKED
            else {step: text.encode()}
        )
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        files[name] = SkeletonFile(versions[step], executable, frozenset(versions.values()))
    return files


def _source_files(solution: Path) -> Iterator[Path]:
    """Yield what is written by hand below *solution*; a build leaves other files there."""
    for path in solution.rglob("*"):
        inside = path.relative_to(solution)
        if any(part.startswith(".") for part in inside.parts) or path.name.endswith(".mod.c"):
            continue
        if path.is_symlink():
            raise SkeletonError(f"{inside.as_posix()} is a link; a solution holds only files.")
        if path.is_file() and (path.suffix in _MARKED | _PLAIN or path.name in _NAMED):
            yield path


def _read(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SkeletonError(f"{name} is not UTF-8 text.") from error


# --- to the disk ---------------------------------------------------------------------


def write(files: Mapping[str, SkeletonFile], target: Path, force: bool = False) -> WriteReport:
    """Write *files* below the folder *target*, and never over a student's work.

    A file that is in the target and equals none of its steps was edited. If
    there is one, nothing at all is written and :class:`EditedFilesError` lists
    them; with *force* each is first renamed, to ``NAME.orig`` or the next free
    ``NAME.orig.1`` and so on. A link, or something that is not a file or a folder
    where one is needed, is a :class:`SkeletonError`, whatever *force* says. Files
    of the target that the skeleton does not have are left alone.
    """
    _refuse_obstacles(files, target)
    edited = tuple(name for name, file in files.items() if _is_edited(target / name, file))
    if edited and not force:
        raise EditedFilesError(target, edited)

    written: list[str] = []
    unchanged: list[str] = []
    backups: list[tuple[str, str]] = []
    for name, file in files.items():
        path = target / name
        if _is_current(path, file):
            unchanged.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = _free_backup(path) if name in edited else None
        _replace(path, file, backup)
        written.append(name)
        if backup:
            backups.append((name, backup.relative_to(target).as_posix()))
    return WriteReport(tuple(written), tuple(unchanged), tuple(backups))


def _refuse_obstacles(files: Mapping[str, SkeletonFile], target: Path) -> None:
    """Raise if a link, or a thing of another kind, stands where a file or folder goes."""
    folders = {target}
    for name in files:
        folders.update(target / parent for parent in PurePosixPath(name).parents)
    for folder in sorted(folders):
        if folder.is_symlink():
            raise SkeletonError(f"{folder} is a link; a skeleton is written only to a real folder.")
        if folder.exists() and not folder.is_dir():
            raise SkeletonError(f"{folder} should be a folder, and is not.")
    for name in files:
        path = target / name
        if path.is_symlink():
            raise SkeletonError(f"{path} is a link; a skeleton replaces only real files.")
        if path.exists() and not path.is_file():
            raise SkeletonError(f"{path} should be a file, and is not.")


def _is_edited(path: Path, file: SkeletonFile) -> bool:
    return path.exists() and path.read_bytes() not in file.versions


def _is_current(path: Path, file: SkeletonFile) -> bool:
    if not path.exists() or path.read_bytes() != file.content:
        return False
    return bool(path.stat().st_mode & stat.S_IXUSR) == file.executable


def _free_backup(path: Path) -> Path:
    """Return a name beside *path* that is not taken: its own with .orig, .orig.1, ..."""
    backup = path.with_name(f"{path.name}.orig")
    count = 0
    while os.path.lexists(backup):
        count += 1
        backup = path.with_name(f"{path.name}.orig.{count}")
    return backup


def _replace(path: Path, file: SkeletonFile, backup: Path | None) -> None:
    """Put *file* at *path* in one move, after what is there was moved to *backup*."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    mode = 0o777 if file.executable else 0o666  # less the umask
    try:
        fresh.touch(mode, exist_ok=False)
        fresh.write_bytes(file.content)
        if backup:
            path.rename(backup)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
