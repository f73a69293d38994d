"""lab.toml -> Lab, or an error that names the file and the key.

Labs lie in labs/ of this repository, or in the folder that $KNETLAB_LABS names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from checker.errors import InputError, LabError
from checker.model import GuestNeeds, Lab
from vm import witness
from vm.debian import PACKAGE_NAME

# never the working folder's own labs/: in a student's checkout that would be their checks
ROOT = Path(__file__).parent.parent
"""Where this copy of knetlab lies."""

FORMAT = 2
"""The format of lab.toml that is read."""

LABS = Path(os.environ.get("KNETLAB_LABS") or ROOT / "labs").absolute()


def names(folder: Path = LABS) -> list[str]:
    """Return the names of the labs in *folder*."""
    return sorted(p.parent.name for p in folder.glob("*/lab.toml"))


def in_order(folder: Path = LABS) -> list[Lab]:
    """Return the labs in *folder* as a student should meet them: by order, and then by name.

    Those without a place in the course come last.
    """
    labs = [load(name, folder) for name in names(folder)]
    return sorted(labs, key=lambda lab: (lab.order is None, lab.order or 0, lab.name))


def load(name: str, folder: Path = LABS) -> Lab:
    """Read the lab called *name*.

    Raises InputError when there is no such lab, LabError naming file and key
    when its lab.toml is wrong.
    """
    path = folder / name / "lab.toml"
    if not (there := names(folder)):
        raise InputError(f"There is no lab in {folder}: a lab is a folder with a lab.toml.")
    if name not in there:
        raise InputError(f"There is no lab {name!r}; there is: {', '.join(there)}.")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        _prove_format(data, path)
        lab = Lab.model_validate({**data, "name": name, "root": path.parent})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise LabError(f"{path}: {_key(*first['loc'])} is wrong: {first['msg']}.") from error
    _check(lab, path)
    return lab


def _key(*parts: str | int) -> str:
    """Return what a key is called: `points` of the 2nd [[exercises]], counted as people do."""
    match parts:
        case str(table), int(index), str(name), *more:
            item = f", item {more[0] + 1}," if more and isinstance(more[0], int) else ""
            return f"`{name}`{item} of {_of(table, index)}"
        case str(table), int(index):
            return _of(table, index)
        case _:
            return f"`{'.'.join(map(str, parts))}`"


def _of(table: str, index: int) -> str:
    number = index + 1
    teen = number % 100 in (11, 12, 13)
    end = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"the {number}{end} [[{table}]]"


_FORMAT_2 = """\
{path} is of format 1, and this knetlab reads format 2. Write `format = 2` on top of it; make each \
[[modules]] a [[builds]] with the further key kind = "module"; and in each exercise write \
builds = ["NAME"] for module = "NAME"."""


def _prove_format(data: Mapping[str, object], path: Path) -> None:
    """Raise LabError, with what to write, for a lab.toml of the format that was before."""
    if "format" not in data and "modules" in data:
        raise LabError(_FORMAT_2.format(path=path))
    if (number := data.get("format")) != FORMAT:
        found = "has no key 'format'" if number is None else f"is of format {number!r}"
        raise LabError(f"{path} {found}; this knetlab reads format = {FORMAT}.")


def require_solution(lab: Lab, command: str) -> None:
    """Raise InputError when this copy of knetlab is one for students, without the solution."""
    if not lab.solution.is_dir():
        raise InputError(
            f"{command} needs the solution of the lab {lab.name}, and this copy of knetlab, "
            "made for students, has none."
        )


def _check(lab: Lab, path: Path) -> None:
    _prove_once(lab, path)
    _prove_paths(lab, path)
    _prove_builds(lab, path)
    _prove_exercises(lab, path)
    _prove_guest(lab.guest, path)
    own = [lab.given / name for target in lab.builds for name in target.headers]
    own += [lab.given / module.folder / "Kbuild" for module in lab.modules]
    own += [lab.given / name for name in (*lab.scripts, *lab.sources)]
    own += [lab.program_source(program) for program in lab.programs]
    if lab.solution.is_dir():
        own += [lab.solution / name for target in lab.builds for name in target.files]
    for file in own:
        if not file.is_file():
            raise LabError(f"{path} speaks of {file}, which is not there.")


_PATH = re.compile(r"(?=.{1,100}\Z)\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)
_GUESTS_OWN = ("checks", "lib")
"""Folders below /lab that no build may have: the checks' programs, and vm/libraries.py."""

GRADERS_OWN = ("checks/capture", witness.PATH, witness.WAY)
"""Files below /lab that knetlab puts there itself (checker/kit/trace.py, vm/witness.py)."""

_SANITIZERS = ("asan", "hwasan", "lsan", "tsan", "ubsan")
"""Libraries of sanitizers: a program is built with those of knetlab's choice as it is."""


def _prove_paths(lab: Lab, path: Path) -> None:
    """Prove that what is named lies below the lab, or the guest's /lab, and has the right end."""
    named: list[tuple[str, str, tuple[str, ...]]] = []
    for index, target in enumerate(lab.builds):
        ends: tuple[str, ...] = (".c",) if target.kind == "program" else (".c", ".h", ".S")
        folder = _key("builds", index, "folder")
        named.append((folder, target.folder, ()))
        named += [(_key("builds", index, "sources"), name, ends) for name in target.sources]
        named += [(_key("builds", index, "headers"), name, (".h",)) for name in target.headers]
        if target.folder.partition("/")[0] in _GUESTS_OWN:
            raise LabError(f"{path}: {folder} is {target.folder!r}, which is knetlab's own.")
    named += [("`scripts`", name, ()) for name in lab.scripts]
    for index, program in enumerate(lab.programs):
        reserved = (*_GUESTS_OWN, *GRADERS_OWN)
        if program.path.partition("/")[0] == "lib" or program.path in reserved:
            key = _key("programs", index, "path")
            raise LabError(f"{path}: {key} is {program.path!r}, which is knetlab's own.")
        named.append((_key("programs", index, "path"), program.path, ()))
        named.append((_key("programs", index, "source"), program.source, (".c",)))
    for key, name, ends in named:
        if not _PATH.fullmatch(name):
            raise LabError(
                f"{path}: {key} has {name!r}: a path is relative, without `..`, and of letters, "
                "digits, and _ . + - alone."
            )
        if ends and not name.endswith(ends):
            raise LabError(f"{path}: {key} has {name!r}, which does not end in {_or(ends)}.")
    files = [name for target in lab.builds for name in target.files]
    if twice := _twice(files):
        raise LabError(f"{path}: builds.sources has {twice} twice: a file is of one build.")
    given = [*(t.file for t in lab.builds), *(p.path for p in lab.programs), *lab.scripts]
    if twice := _twice(given):
        raise LabError(f"{path}: two files of the guest have the path {twice}.")


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _prove_builds(lab: Lab, path: Path) -> None:
    names = [target.name for target in lab.builds]
    if twice := _twice(names):
        raise LabError(f"{path}: two of the builds have the name {twice}: {', '.join(names)}.")
    if twice := _twice(module.folder for module in lab.modules):
        raise LabError(f"{path}: two modules have the folder {twice}: each needs a Kbuild.")
    for index, target in enumerate(lab.builds):
        libraries = _key("builds", index, "libraries")
        if target.kind == "module" and target.libraries:
            raise LabError(f"{path}: {libraries} is for programs, and {target.name} is a module.")
        for name in target.libraries:
            if name in _SANITIZERS:
                raise LabError(
                    f"{path}: {libraries} has {name!r}, a sanitizer's own: leave it out, as "
                    "programs are built with sanitizers besides."
                )
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
                raise LabError(
                    f"{path}: {libraries} has {name!r}: a library is named as behind -l, "
                    "pthread for -lpthread."
                )


def _prove_once(lab: Lab, path: Path) -> None:
    """Prove that no list has a word twice."""
    lists = [
        ("`guest.drivers`", lab.guest.drivers),
        ("`guest.packages`", lab.guest.packages),
        ("`guest.needs`", lab.guest.needs),
        ("`scripts`", lab.scripts),
    ]
    for index, target in enumerate(lab.builds):
        lists.append((_key("builds", index, "headers"), target.headers))
        lists.append((_key("builds", index, "libraries"), target.libraries))
    for index, exercise in enumerate(lab.exercises):
        lists.append((_key("exercises", index, "functions"), exercise.functions))
    for key, words in lists:
        if twice := _twice(words):
            raise LabError(f"{path}: {key} has {twice!r} twice: leave one of them out.")


def _prove_exercises(lab: Lab, path: Path) -> None:
    names = [target.name for target in lab.builds]
    for index, exercise in enumerate(lab.exercises):
        for name in exercise.builds:
            if name not in names:
                raise LabError(
                    f"{path}: {_key('exercises', index, 'builds')} has {name!r}, which is none of "
                    f"the builds: {', '.join(names)}."
                )
        if twice := _twice(exercise.builds):
            raise LabError(f"{path}: {_key('exercises', index, 'builds')} has {twice} twice.")
        modules = [t.name for t in lab.targets(exercise) if t.kind == "module"]
        if len(modules) > 1:
            raise LabError(
                f"{path}: {_key('exercises', index, 'builds')} has {len(modules)} modules, "
                f"{' and '.join(modules)}; an exercise has one at most, besides programs."
            )
        if exercise.health + exercise.hidden > exercise.points:
            raise LabError(
                f"{path}: {_key('exercises', index, 'points')} is {exercise.points:g}, and health "
                f"({exercise.health:g}) and hidden ({exercise.hidden:g}) are more than that."
            )
        if exercise.capability and len(modules) == len(exercise.builds):
            raise LabError(
                f"{path}: {_key('exercises', index, 'capability')} is for programs, and it has "
                "none of them."
            )
    numbers = [e.number for e in lab.exercises]
    if len(set(numbers)) != len(numbers):
        raise LabError(f"{path}: two of the exercises have the same number: {numbers}.")


def _prove_guest(guest: GuestNeeds, path: Path) -> None:
    for name in guest.drivers:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise LabError(
                f"{path}: guest.drivers has {name!r}: a driver is named as lsmod shows it, without "
                "a folder and without .ko."
            )
    for name in guest.packages:
        if not re.fullmatch(PACKAGE_NAME, name):
            raise LabError(f"{path}: guest.packages has {name!r}, which is no name of a package.")
    for name in guest.needs:
        if not re.fullmatch(r"(?!CONFIG_)[A-Z0-9_]+", name):
            raise LabError(
                f"{path}: guest.needs has {name!r}: an option is written as in a kernel's .config, "
                "in capitals and without CONFIG_."
            )


def _twice(names: Iterable[str]) -> str:
    """Return the first of *names* that comes again, or nothing."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
