"""lab.toml -> Lab, or an error that names the file and the key.

Labs lie in labs/ of this repository, or in the folder that $KNETLAB_LABS names.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import ValidationError

from checker.errors import InputError, LabError
from checker.model import Lab

# never the working folder's own labs/: in a student's checkout that would be their checks
ROOT = Path(__file__).parent.parent
"""Where this copy of knetlab lies."""

LABS = Path(os.environ.get("KNETLAB_LABS") or ROOT / "labs").absolute()


def names(folder: Path = LABS) -> list[str]:
    """Return the names of the labs in *folder*."""
    return sorted(p.parent.name for p in folder.glob("*/lab.toml"))


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
        lab = Lab.model_validate({**data, "name": name, "root": path.parent})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LabError(f"{path}: the key {key!r} is wrong: {first['msg']}.") from error
    _check(lab, path)
    return lab


def require_solution(lab: Lab, command: str) -> None:
    """Raise InputError when this copy of knetlab is one for students, without the solution."""
    if not lab.solution.is_dir():
        raise InputError(
            f"{command} needs the solution of the lab {lab.name}, and this copy of knetlab, "
            "made for students, has none."
        )


def _check(lab: Lab, path: Path) -> None:
    modules = [m.name for m in lab.modules]
    if len(set(modules)) != len(modules):
        raise LabError(f"{path}: two of the modules have the same name: {', '.join(modules)}.")
    for index, exercise in enumerate(lab.exercises):
        if exercise.module not in modules:
            raise LabError(
                f"{path}: exercises.{index}.module is {exercise.module!r}, which is none of "
                f"the modules: {', '.join(modules)}."
            )
    numbers = [e.number for e in lab.exercises]
    if len(set(numbers)) != len(numbers):
        raise LabError(f"{path}: two of the exercises have the same number: {numbers}.")
    own = [lab.given / name for m in lab.modules for name in m.headers]
    own += [lab.given / m.folder / "Kbuild" for m in lab.modules]
    own += [lab.given / name for name in lab.scripts]
    own += [lab.program_source(program) for program in lab.programs]
    for file in own:
        if not file.is_file():
            raise LabError(f"{path} speaks of {file}, which is not there.")
