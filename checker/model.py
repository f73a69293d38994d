"""The frozen records every stage speaks: Lab, Submission, Build, CheckResult, Grade.

They are pydantic models, so that what is read from outside (lab.toml, a stored
grade) is checked field by field and an error names the key that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MAX_POINTS = 10_000
"""What an exercise may be worth; more is a slip, and sums of it are no longer exact."""

Status = Literal["pass", "fail", "skip", "crash", "timeout", "error"]
"""What became of a check. ``error`` is the grader's own trouble, never the student's."""


class Record(BaseModel):
    """Base of all records: frozen, and unknown fields are refused."""

    # most commands use few of them: each is built when it is first used
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# --- a lab ---------------------------------------------------------------------------


class Target(Record):
    """What is built of a submission's sources: a kernel module or a user program."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="a module's without .ko, or the program's"
    )
    kind: Literal["module", "program"]
    folder: str = Field(description="where its sources lie, relative to the submission")
    sources: tuple[str, ...] = Field(min_length=1, description="files a student hands in")
    headers: tuple[str, ...] = Field(
        default=(), description="the lab's own headers it may include, relative to the solution"
    )
    libraries: tuple[str, ...] = Field(
        default=(), description="what a program is linked with: pthread for -lpthread"
    )

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of its sources in the submission."""
        return tuple(f"{self.folder}/{name}" for name in self.sources)

    @property
    def file(self) -> str:
        """Where what is built of it lies in a guest, below /lab."""
        return f"{self.folder}/{self.name}{'.ko' if self.kind == 'module' else ''}"


class GuestNeeds(Record):
    """What a lab asks of its guests."""

    drivers: tuple[str, ...] = Field(
        default=(), description="modules of the kernel, loaded before any check"
    )
    packages: tuple[str, ...] = Field(
        default=(), description="Debian packages whose files the root file system gets"
    )
    topology: str = Field(default="", description="hosts and links, of checker/kit/topology.py")
    needs: tuple[str, ...] = Field(
        default=(), description="options that the kernel must have been built with"
    )


class Program(Record):
    """A user program of the lab's own, built static and put into the guest."""

    path: str = Field(description="where it lies in the guest, below /lab")
    source: str = Field(description="its C file, relative to the lab's folder")


class Exercise(Record):
    """One exercise: a number, the builds it is about, and what it is worth."""

    number: int = Field(ge=1, strict=True)
    title: str = Field(pattern=r"\S")
    builds: tuple[str, ...] = Field(
        min_length=1, description="names of builds: one module at most, and programs"
    )
    points: float = Field(gt=0, le=MAX_POINTS, allow_inf_nan=False, strict=True)
    health: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        strict=True,
        description="how many of them are for a kernel, and sanitizers, with nothing to report",
    )
    hidden: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        strict=True,
        description="how many are for checks that this copy does not have",
    )
    capability: Literal["", "net_admin", "net_bind_service", "net_raw"] = Field(
        default="", description="the one that its programs get in the guest: net_admin"
    )
    functions: tuple[str, ...] = Field(
        default=(), description="of the skeleton, that are this exercise's alone"
    )
    hint: str = Field(description="what to read or try first; shown when something is missing")
    hints: tuple[str, ...] = Field(
        default=(), description="further ones, each nearer, which `knetlab hint` shows in turn"
    )


class Lab(Record):
    """All that lab.toml says, with the folder it stands in."""

    name: str
    title: str = Field(pattern=r"\S")
    format: Literal[2]
    order: int | None = Field(
        default=None, ge=1, strict=True, description="its place in the course: 1 is the first lab"
    )
    guest: GuestNeeds = GuestNeeds()
    builds: tuple[Target, ...] = Field(min_length=1)
    programs: tuple[Program, ...] = ()
    scripts: tuple[str, ...] = Field(
        default=(), description="files of the solution put into the guest as they are"
    )
    exercises: tuple[Exercise, ...] = Field(min_length=1)
    root: Path = Field(exclude=True)

    def target(self, name: str) -> Target:
        """Return the build called *name*; KeyError if the lab has none."""
        for target in self.builds:
            if target.name == name:
                return target
        raise KeyError(name)

    def targets(self, exercise: Exercise) -> tuple[Target, ...]:
        """Return the builds that *exercise* is about, in its order."""
        return tuple(self.target(name) for name in exercise.builds)

    def files(self, exercise: Exercise) -> tuple[str, ...]:
        """Return the paths of the files of a student's that *exercise* is about, each once."""
        return tuple(dict.fromkeys(f for target in self.targets(exercise) for f in target.files))

    def module(self, exercise: Exercise) -> Target | None:
        """Return the module that *exercise* is about; None if it has programs alone."""
        return next((t for t in self.targets(exercise) if t.kind == "module"), None)

    @property
    def modules(self) -> tuple[Target, ...]:
        """The builds that are kernel modules."""
        return tuple(target for target in self.builds if target.kind == "module")

    @property
    def sources(self) -> tuple[str, ...]:
        """The paths of all files that a student hands in, each once."""
        return tuple(dict.fromkeys(name for target in self.builds for name in target.files))

    def exercise(self, number: int) -> Exercise:
        """Return exercise *number*; KeyError if the lab has none."""
        for exercise in self.exercises:
            if exercise.number == number:
                return exercise
        raise KeyError(number)

    @property
    def solution(self) -> Path:
        """The folder of the reference solution; the archive for students has none."""
        return self.root / "solution"

    @property
    def given(self) -> Path:
        """The lab's own Kbuild files, headers and scripts, in a folder laid out as a submission.

        That is the solution's; in the archive for students it is one with the
        skeletons, which compile as well.
        """
        return self.solution if self.solution.is_dir() else self.root / "given"

    def program_source(self, program: Program) -> Path:
        """Return the C file of *program*; one of the solution's is among what is given."""
        folder, _, rest = program.source.partition("/")
        return self.given / rest if folder == "solution" else self.root / program.source

    @property
    def max_score(self) -> float:
        """Sum of the exercises' points."""
        return sum(e.points for e in self.exercises)


# --- a submission and its build ------------------------------------------------------


class Names:
    """What messages call a source file: the shortest end of its path that no other one has.

    *paths* are those of all source files of a submission. It is filter.c where one folder has
    a filter.c, and kernel/main.c and user/main.c where two have a main.c.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._paths = tuple(paths)
        self._shown = {path: self._shortest(path) for path in self._paths}

    def __contains__(self, path: str) -> bool:
        """Tell whether the submission has a file of this path."""
        return path in self._shown

    def shown(self, path: str) -> str:
        """Return what the file at *path* is called; one that is not known by its path."""
        return self._shown.get(path, path)

    def path(self, name: str) -> str:
        """Return the path of the file that *name* is the path or the end of; "" for several."""
        if name in self._paths:
            return name
        fits = [path for path in self._paths if path.endswith(f"/{name}")]
        return fits[0] if len(fits) == 1 else ""

    def _shortest(self, path: str) -> str:
        parts = path.split("/")
        ends = ("/".join(parts[at:]) for at in reversed(range(len(parts))))
        return next(end for end in ends if self.path(end) == path)


class SourceFile(Record):
    """One allow-listed file as it was read: its bytes, or why it could not be taken."""

    path: str = Field(description="relative to the submission")
    content: bytes | None
    problem: str = Field(default="", description="a sentence; empty when content is there")


class Submission(Record):
    """The allow-listed files of one student, read once and never again."""

    name: str
    path: Path = Field(exclude=True)
    files: tuple[SourceFile, ...]

    @property
    def sources(self) -> dict[str, str]:
        """The texts of the files by their paths; empty for one that could not be taken."""
        return {f.path: (f.content or b"").decode(errors="replace") for f in self.files}


class TargetBuild(Record):
    """What became of the sources of one build."""

    name: str
    message: str = Field(default="", description="a sentence for the student when it failed")
    output: str = Field(default="", description="what the compiler said, student's own paths")
    warnings: str = ""
    hint: str = Field(default="", description="the next step when it failed")
    grader_error: bool = Field(default=False, description="our trouble, not the student's")

    @property
    def built(self) -> bool:
        """Whether there is something to run."""
        raise NotImplementedError


class ModuleBuild(TargetBuild):
    """What became of a module's sources."""

    ko: bytes | None = Field(description="the .ko; None if it could not be built")
    debug: bytes | None = Field(default=None, description="the same with debug information")

    @property
    def built(self) -> bool:
        """Whether there is a .ko."""
        return self.ko is not None


class ProgramBuild(TargetBuild):
    """What became of a user program's sources."""

    plain: bytes | None = Field(description="the program; None if it could not be built")
    sanitized: bytes | None = Field(
        default=None, description="the same with AddressSanitizer, UBSan and LeakSanitizer"
    )

    @property
    def built(self) -> bool:
        """Whether there is a program."""
        return self.plain is not None


class Build(Record):
    """What was built of one submission, or not."""

    targets: tuple[ModuleBuild | ProgramBuild, ...]

    def target(self, name: str) -> ModuleBuild | ProgramBuild:
        """Return what became of the build *name*; KeyError if it was not asked for."""
        for target in self.targets:
            if target.name == name:
                return target
        raise KeyError(name)

    @property
    def modules(self) -> tuple[ModuleBuild, ...]:
        """What became of the modules."""
        return tuple(target for target in self.targets if isinstance(target, ModuleBuild))

    def module(self, name: str) -> ModuleBuild:
        """Return what became of the module *name*; KeyError if it was not asked for."""
        for module in self.modules:
            if module.name == name:
                return module
        raise KeyError(name)


# --- a grade -------------------------------------------------------------------------

NEEDS_A_KERNEL = "it needs a kernel with"
"""How the message of a check begins that was not tried for want of a kernel's options."""


Outcome = Literal["delivered", "sent", "dropped", "held", "unseen", "never"]
"""How a packet's way ends. ``held``: a hook has it; ``never``: no such packet was sent."""


class Step(Record):
    """One of netfilter's places that a packet came to, and a hook function that it met there."""

    place: str = Field(description="PRE_ROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, or POST_ROUTING")
    host: str = Field(default="", description="the network namespace; empty: this host")
    link: str = Field(default="", description="the device it came from, else the one it goes to")
    function: str = Field(default="", description="the hook function; empty: there was none")
    yours: bool = Field(default=False, description="whether that is of the student's module")
    verdict: str = Field(default="", description="what it returned: NF_ACCEPT")
    logged: tuple[str, ...] = Field(default=(), description="what it logged, when it is theirs")


class Way(Record):
    """A packet's way, as a second run of the check with tracing on saw it.

    It explains a failure and is never the reason for one: a module can forge it.
    """

    packet: str = Field(description="TCP 127.0.0.1:4000 -> 127.0.0.1:5000, SYN")
    steps: tuple[Step, ...] = Field(default=(), description="in the order in which it came to them")
    outcome: Outcome = Field(description="how it ends; never: no such packet was sent")
    end: str = Field(description="the same in words: delivered to port 5000")
    note: str = Field(
        default="", description="where the student's hooks were called, if it met none of them"
    )


class CheckResult(Record):
    """One check's outcome, with all a report needs to explain it."""

    id: str = Field(description="exercise number, a dot, the check's name: 1.outgoing-syn")
    title: str = Field(description="the check's docstring: the sentence a student reads")
    status: Status = Field(description="pass, or what became of it instead; error: not theirs")
    points: float = Field(description="what it earned")
    max_points: float = Field(description="what it could have earned on this kernel; may be 0")
    message: str = Field(default="", description="why it did not pass; sentences")
    seconds: float = Field(default=0.0, description="wall seconds it took")
    expected: str = Field(default="", description="what should have been, if it can be shown")
    actual: str = Field(default="", description="what was instead")
    log: str = Field(default="", description="the kernel's lines around the failure, trimmed")
    hint: str = Field(default="", description="the next step; empty only where it passed")
    remarks: tuple[str, ...] = Field(
        default=(),
        description="of a check that passed: what works, and would be better otherwise; they "
        "cost no points",
    )
    way: Way | None = Field(
        default=None,
        description="of the packet that a check which failed is about, if it names one",
    )


class Reused(Record):
    """An earlier run whose result was taken, as all that it depends on is the same."""

    at: AwareDatetime = Field(description="when that run ended")
    seed: int = Field(description="that run's seed")


class ExerciseResult(Record):
    """One exercise's checks, summed up."""

    number: int = Field(description="as in lab.toml")
    title: str
    score: float = Field(description="sum of its checks' points")
    max_score: float = Field(description="sum of its checks' max_points")
    checks: tuple[CheckResult, ...] = Field(description="in the order in which they were tried")
    hint: str = Field(default="", description="what to read or try first")
    files: tuple[str, ...] = Field(
        default=(), description="the student's files it is about, relative to the submission"
    )
    reused: Reused | None = Field(
        default=None, description="null: its checks were run; else the run that it was taken from"
    )


class Finding(Record):
    """Something the kernel reported while a check ran."""

    kind: str = Field(description="a short word that stays the same: kasan, lockdep, oops")
    summary: str = Field(description="a sentence: what is wrong, and why it matters")
    location: str = Field(
        default="",
        description="the line that did it: filter.c:41, with folders where two files have that "
        "name; or empty",
    )
    check: str = Field(default="", description="the id of the check during which it came")
    build: str = Field(default="", description="the module or program that it is about")
    report: str = Field(default="", description="the kernel's lines, without what tells nothing")
    hint: str = Field(default="", description="the next step")


class KernelInfo(Record):
    """Which kernel graded, and what it can see: options of its configuration."""

    name: str = Field(description="stock, debug, or custom")
    release: str = Field(description="as uname -r says")
    features: tuple[str, ...] = Field(default=(), description="options without CONFIG_: KASAN")


class Provenance(Record):
    """How a result was made: the same inputs give the same grade."""

    seed: int = Field(
        description="what --seed takes to have the same ports and addresses; an exercise with "
        "`reused` has its own there"
    )
    lab: str = Field(description="hash of the lab's files")
    checker: str = Field(description="hash of the grader's own code")
    image: str = Field(description="hash of the guest's root file system")
    accel: str = Field(default="tcg", description="tcg or kvm")
    qemu: str = Field(default="", description="QEMU's version: 7.2.22; empty: not noted")
    cpu: str = Field(default="", description="the guest's processor, as QEMU has it after -cpu")
    sources: str = Field(
        default="", description="hash of the student's files that were graded; empty: not noted"
    )
    seconds: float = Field(description="wall seconds of the whole run")


class Grade(Record):
    """The record of one graded submission: knetlab/grade/v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["knetlab/grade/v1"] = Field(default="knetlab/grade/v1", alias="schema")
    lab: str = Field(description="the lab's name")
    submission: str = Field(description="the name of the folder that was graded")
    status: Literal["graded", "error"] = Field(
        description="error: the grader failed, and the score says nothing"
    )
    message: str = Field(default="", description="why the status is error")
    kernel: KernelInfo
    score: float = Field(description="sum of the exercises' scores")
    max_score: float = Field(description="what could be earned on this kernel")
    exercises: tuple[ExerciseResult, ...] = Field(description="those that were checked")
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = Field(
        default=(), description="the compiler's, of the student's files: FILE:LINE: TEXT"
    )
    provenance: Provenance

    def seed_of(self, exercise: ExerciseResult) -> int:
        """Return the seed with which the checks of *exercise* were run."""
        return exercise.reused.seed if exercise.reused else self.provenance.seed

    @property
    def doubt(self) -> str:
        """Why the score may be QEMU's doing and none of the student's: a sentence; or empty.

        Older versions of knetlab gave all guests a processor that QEMU before 8.0 does not
        emulate right (vm/machine.py, CPU). Linux before 6.5 hardly uses what goes wrong.
        """
        made = self.provenance
        release = re.match(r"(\d+)\.(\d+)", self.kernel.release)
        old = release is None or tuple(map(int, release.groups())) < (6, 5)
        if made.accel != "tcg" or made.cpu or old:
            return ""
        return (
            f"Its grade was made by an older knetlab on Linux {self.kernel.release}, whose guests "
            "QEMU could crash: run `knetlab grade` again."
        )

    def to_json(self) -> str:
        """Return the record as knetlab/grade/v1 JSON text, one newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


# --- a class -------------------------------------------------------------------------

GRADER_FAILED = "The grader failed"
"""How an attempt's problem begins that is not the student's."""


class Student(Record):
    """Who handed in, as far as the LMS or the roster says; unknown fields are empty."""

    key: str = Field(
        min_length=1, description="unique in a class and the same in every run; names files"
    )
    name: str = Field(default="", description="for people: Ada Lovelace")
    id: str = Field(default="", description="the LMS's number of the user")
    sis_id: str = Field(default="", description="the school's own id")
    login: str = ""
    email: str = ""


class Attempt(Record):
    """One submission of a student, with its grade or why there is none."""

    student: str = Field(description="the student's key")
    label: str = Field(default="", description="which of a student's: the LMS's number or name")
    submitted: AwareDatetime | None = Field(
        default=None, description="when, as the LMS, git or the roster has it"
    )
    late: bool | None = Field(default=None, description="what the LMS says, where it says no time")
    grade: Grade | None = None
    problem: str = Field(default="", description="a sentence, when nothing could be graded")
    sources: str = Field(default="", description="a hash of the files; empty: not known")
    commit: str = Field(default="", description="which commit it is, of a git checkout")
    source: str = Field(
        default="", description="where it came from; a group's attempts have the same"
    )
    listing: tuple[str, ...] = Field(
        default=(), description="what was handed in, when nothing could be graded: paths for people"
    )


class Mark(Record):
    """What goes into the gradebook, by the rules of the course; points of the lab."""

    raw: float
    penalty: float = Field(ge=0, description="points taken off for being late")
    final: float
    max_score: float
    notes: tuple[str, ...] = Field(default=(), description="sentences: why it is not the raw score")
    missing: bool = Field(
        default=False, description="the rules' mark for who handed in nothing; a zero counts"
    )


class Entry(Record):
    """One student of a class: the attempt that counts, and the mark for it."""

    student: Student
    attempt: Attempt | None = Field(default=None, description="None: nothing was handed in")
    mark: Mark | None = Field(default=None, description="None: there is no grade to mark")
