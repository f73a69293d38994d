"""knetlab dist: the archive students get. It works alone, and holds no solution.

In it are the engine, and of each lab the text, the public checks and the
skeletons; the latter twice, to be edited (skels/) and as they were (given/, see
Lab.given). Left out are solutions, mutants, idioms, hidden checks, tests and
the tools of the project's own. Files are taken that git knows and ENGINE or
LAB names, so that what somebody left lying about does not get out.

The same commit makes the same bytes: names are in order, times are the commit's.
"""

from __future__ import annotations

import ast
import gzip
import io
import re
import subprocess
import tarfile
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from string import Template

from checker.engine import collector
from checker.engine.collector import Spec
from checker.errors import InputError, LabError
from checker.lab import ROOT, require_solution
from checker.model import Lab
from checker.workshop import skeleton
from vm import kit, tools
from vm.errors import VMError

ENGINE = (
    *("checker/*", "vm/*", "tools/setup.sh", "Makefile", "pyproject.toml", ".gitignore"),
    "labs/common/*",
    *(".clang-format", ".editorconfig", ".devcontainer/*"),
)
"""What of the project is the engine; a * stands for any characters, / too."""

NOT_ENGINE = ("checker/workshop/new/*",)
"""What of that is for authors of labs: a new lab's solution is one as well."""

LAB = ("lab.toml", "advice.toml", "*.md", "*.svg", "checks/*", "locale/*")
"""What of a lab students get as it is, relative to the lab's folder."""


@dataclass(frozen=True)
class File:
    """One file of the archive."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Archive:
    """What the archive holds, by path below its one folder *name*; *time* in Unix seconds."""

    name: str
    files: Mapping[str, File]
    time: int

    def pack(self) -> bytes:
        """Return it as .tar.gz."""
        packed = io.BytesIO()
        # the name in gzip's header would be that of the file which is written to
        with (
            gzip.GzipFile("", "wb", fileobj=packed, mtime=self.time) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, file in sorted(self.files.items()):
                member = tarfile.TarInfo(f"{self.name}/{name}")
                member.size = len(file.content)
                member.mode = 0o755 if file.executable else 0o644
                member.mtime = self.time
                tar.addfile(member, io.BytesIO(file.content))
        return packed.getvalue()


KIT = "knetlab.kit"
"""Where a kit lies in the archive; the Makefile looks there."""


def collect(
    labs: Iterable[Lab], hidden: Collection[str] = (), the_kit: Path | None = None
) -> Archive:
    """Return the archive with *labs*, without the checks marked hidden and those *hidden* names.

    *hidden* has ids of checks. *the_kit* goes in, too. Raises BadKit where it is not of this
    knetlab, InputError when this is no git clone, when a lab has no solution to make
    skeletons of, or for a check that cannot be left out.
    """
    labs = list(labs)
    for lab in labs:
        require_solution(lab, "knetlab dist")
    known = _git("ls-files", "-z").split("\0")
    engine = [n for n in known if _one_of(n, ENGINE) and not _one_of(n, NOT_ENGINE)]
    files = {n: _read(n) for n in engine if (ROOT / n).is_file()}
    for lab in labs:
        files |= _of_lab(lab, known, hidden)
    version = f"{_version()}-{_git('describe', '--always', '--dirty', '--exclude', '*').strip()}"
    name = "-".join(["knetlab", *(lab.name for lab in labs), version])
    if the_kit:
        kit.release_of(the_kit)
        files[KIT] = File(the_kit.read_bytes())
    files["README.md"] = File(_readme(labs, version).encode())
    return Archive(name, files, int(_git("log", "-1", "--format=%ct")))


def _of_lab(lab: Lab, known: Iterable[str], hidden: Collection[str]) -> dict[str, File]:
    """Return a lab's files: those of LAB without what is hidden, and its skeletons, twice."""
    folder = f"labs/{lab.name}"
    own = [n for n in known if n.startswith(f"{folder}/")]
    files = {n: _read(n) for n in own if _one_of(n.removeprefix(f"{folder}/"), LAB)}

    gone = _hidden_checks(lab, hidden)
    if gone:  # a catalogue has the sentences of all checks
        files = {n: file for n, file in files.items() if not n.startswith(f"{folder}/locale/")}
    functions: dict[Path, set[str]] = defaultdict(set)
    points: dict[int, float] = defaultdict(float)
    for spec in gone:
        functions[spec.file].add(spec.function)
        points[spec.exercise.number] += spec.points
    for path, names in functions.items():
        text = without_functions(path.read_text(encoding="utf-8"), names)
        files[f"{folder}/checks/{path.name}"] = File(text.encode())
    if points:
        told = _tell_points(files[f"{folder}/lab.toml"].content.decode(), points, lab)
        files[f"{folder}/lab.toml"] = File(told.encode())

    for name, file in skeleton.of(lab).items():
        files[f"skels/{lab.name}/{name}"] = File(file.content, file.executable)
        files[f"{folder}/given/{name}"] = File(file.content, file.executable)
    return files


def _hidden_checks(lab: Lab, hidden: Collection[str]) -> list[Spec]:
    """Return the checks that stay behind.

    Raises InputError for an id that no function of the lab's checks makes, for one that is
    made by a function together with others which are not hidden, and for one that a check
    which students get is ``after``: the archive would be refused.
    """
    specs = collector.specs(lab)
    gone = [spec for spec in specs if spec.hidden or spec.id in hidden]
    if unknown := sorted(set(hidden) - {spec.id for spec in specs}):
        raise InputError(
            f"{', '.join(unknown)}: the lab {lab.name} has no such check that could be left out."
        )
    whole = {(spec.file, spec.function) for spec in gone}
    for spec in specs:
        if (spec.file, spec.function) in whole and spec not in gone:
            raise InputError(
                f"{spec.file}: {spec.function} makes {spec.id} as well as checks that are hidden; "
                "hide all of them or none."
            )
        if spec not in gone and (lost := {one.id for one in gone}.intersection(spec.after)):
            raise InputError(
                f"{spec.file}: {spec.id} is after {', '.join(sorted(lost))}, which students do not "
                f"get; hide {spec.id}, too, or let it be after another check."
            )
    return gone


def without_functions(text: str, names: Collection[str]) -> str:
    """Return the Python source *text* without the functions *names*, decorators included."""
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            while first and not lines[first - 1].strip():
                first -= 1
            del lines[first : node.end_lineno]
    return "".join(lines)


def _tell_points(toml: str, points: Mapping[int, float], lab: Lab) -> str:
    """Return a lab.toml that says how many *points* of which exercise are hidden."""
    for number, worth in points.items():
        toml, times = re.subn(
            rf"^number *= *{number}\b.*$", rf"\g<0>\nhidden = {worth:g}", toml, flags=re.MULTILINE
        )
        if times != 1:
            raise LabError(
                f"{lab.root / 'lab.toml'}: number = {number} must stand on a line of its own, "
                "once, for knetlab dist to say how many points are hidden."
            )
    return toml


def _readme(labs: Iterable[Lab], version: str) -> str:
    rows = (
        f"| [{lab.title}](labs/{lab.name}/handout.md) | `skels/{lab.name}` "
        f"| `make check LAB={lab.name}` |"
        for lab in labs
    )
    template = (Path(__file__).parent / "dist.md").read_text(encoding="utf-8")
    return Template(template).substitute(version=version, labs="\n".join(rows))


def _one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _read(name: str) -> File:
    path = ROOT / name
    return File(path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _git(*arguments: str) -> str:
    """Ask git about this copy of knetlab; InputError where it is no clone."""
    try:
        argv = [tools.find("git"), "-C", str(ROOT), *arguments]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
    except (VMError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise InputError(
            "knetlab dist takes what git knows of the project, so it works in a git clone of it "
            f"with at least one commit: {said.strip()}"
        ) from error
    return done.stdout
