"""The frozen records every stage speaks: Lab, Submission, Build, CheckResult, Grade.

They are pydantic models, so that what is read from outside (lab.toml, a stored
grade) is checked field by field and an error names the key that is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Status = Literal["pass", "fail", "skip", "crash", "timeout", "error"]
"""What became of a check. ``error`` is the grader's own trouble, never the student's."""


class Record(BaseModel):
    """Base of all records: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- a lab ---------------------------------------------------------------------------


class Module(Record):
    """A kernel module that a submission's sources make."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="the module's name, without .ko")
    folder: str = Field(description="where its sources lie, relative to the submission")
    sources: tuple[str, ...] = Field(min_length=1, description="files a student hands in")
    headers: tuple[str, ...] = Field(
        default=(), description="the lab's own headers it may include, relative to the solution"
    )


class Program(Record):
    """A user program of the lab's own, built static and put into the guest."""

    path: str = Field(description="where it lies in the guest, below /lab")
    source: str = Field(description="its C file, relative to the lab's folder")


class Exercise(Record):
    """One exercise: a number, the module it is about, and what it is worth."""

    number: int = Field(ge=1)
    title: str
    module: str
    points: float = Field(gt=0, allow_inf_nan=False)
    health: float = Field(
        default=0, ge=0, description="how many of them are for a kernel that has nothing to report"
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
    title: str
    modules: tuple[Module, ...] = Field(min_length=1)
    programs: tuple[Program, ...] = ()
    scripts: tuple[str, ...] = Field(
        default=(), description="files of the solution put into the guest as they are"
    )
    exercises: tuple[Exercise, ...] = Field(min_length=1)
    root: Path = Field(exclude=True)

    def module(self, name: str) -> Module:
        """Return the module called *name*; KeyError if the lab has none."""
        for module in self.modules:
            if module.name == name:
                return module
        raise KeyError(name)

    @property
    def solution(self) -> Path:
        """The folder of the reference solution."""
        return self.root / "solution"

    @property
    def max_score(self) -> float:
        """Sum of the exercises' points."""
        return sum(e.points for e in self.exercises)


# --- a submission and its build ------------------------------------------------------


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


class ModuleBuild(Record):
    """What became of one module's sources."""

    module: str
    ko: bytes | None = Field(description="the .ko; None if it could not be built")
    debug: bytes | None = Field(default=None, description="the same with debug information")
    message: str = Field(default="", description="a sentence for the student when it failed")
    output: str = Field(default="", description="what the compiler said, student's own paths")
    warnings: str = ""
    seconds: float = 0.0
    grader_error: bool = Field(default=False, description="our trouble, not the student's")


class Build(Record):
    """The modules of one submission, built or not."""

    modules: tuple[ModuleBuild, ...]

    def module(self, name: str) -> ModuleBuild:
        """Return the build of module *name*; KeyError if there is none."""
        for module in self.modules:
            if module.module == name:
                return module
        raise KeyError(name)


# --- a grade -------------------------------------------------------------------------

NEEDS_A_KERNEL = "it needs a kernel with"
"""How the message of a check begins that was not tried for want of a kernel's options."""


class CheckResult(Record):
    """One check's outcome, with all a report needs to explain it."""

    id: str = Field(description="exercise number, a dot, the check's name: 1.outgoing-syn")
    title: str = Field(description="the check's docstring: the sentence a student reads")
    status: Status
    points: float
    max_points: float
    message: str = ""
    seconds: float = 0.0
    expected: str = ""
    actual: str = ""
    log: str = Field(default="", description="the kernel's lines around the failure, trimmed")


class ExerciseResult(Record):
    """One exercise's checks, summed up."""

    number: int
    title: str
    score: float
    max_score: float
    checks: tuple[CheckResult, ...]
    hint: str = ""


class Finding(Record):
    """Something the kernel reported while a check ran."""

    kind: str
    summary: str
    location: str = ""
    check: str = ""
    report: str = ""


class KernelInfo(Record):
    """Which kernel graded, and what it can see: options of its configuration."""

    name: str
    release: str
    features: tuple[str, ...] = ()


class Provenance(Record):
    """How a result was made: the same inputs give the same grade."""

    seed: int
    lab: str = Field(description="hash of the lab's files")
    checker: str = Field(description="hash of the grader's own code")
    image: str = Field(description="hash of the guest's root file system")
    accel: str = "tcg"
    seconds: float = Field(description="wall seconds of the whole run")


class Grade(Record):
    """The record of one graded submission: knetlab/grade/v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["knetlab/grade/v1"] = Field(default="knetlab/grade/v1", alias="schema")
    lab: str
    submission: str
    status: Literal["graded", "error"]
    message: str = Field(default="", description="why the status is error")
    kernel: KernelInfo
    score: float
    max_score: float
    exercises: tuple[ExerciseResult, ...]
    findings: tuple[Finding, ...] = ()
    provenance: Provenance

    def to_json(self) -> str:
        """Return the record as knetlab/grade/v1 JSON text, one newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


# --- a class -------------------------------------------------------------------------


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


class Mark(Record):
    """What goes into the gradebook, by the rules of the course; points of the lab."""

    raw: float
    penalty: float = Field(ge=0, description="points taken off for being late")
    final: float
    max_score: float
    notes: tuple[str, ...] = Field(default=(), description="sentences: why it is not the raw score")


class Entry(Record):
    """One student of a class: the attempt that counts, and the mark for it."""

    student: Student
    attempt: Attempt | None = Field(default=None, description="None: nothing was handed in")
    mark: Mark | None = Field(default=None, description="None: there is no grade to mark")
