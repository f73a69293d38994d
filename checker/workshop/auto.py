"""Mutants by machine: every small mistake that can be made in a solution, compiled and graded.

All are compiled first. One that the compiler refuses, one that compiles to the code of the
solution and one that compiles to the code of another one need no guest. What is left is
graded on the exercises whose regions or functions it touches, on one kernel after another
until one catches it. A survivor is a check that is missing, or has a reason in the lab's
survivors.toml.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import Relocation, RelocationSection
from elftools.elf.sections import Section, SymbolTableSection
from pydantic import Field

from checker.engine import build, grading, owner, pool, submission
from checker.errors import InputError
from checker.model import Grade, KernelInfo, Lab, Record, Submission, Target
from checker.workshop import operators, rows, skeleton, survivors
from checker.workshop.selftest import CATCHES
from vm.errors import MissingTool, NoSandbox, NoSpace, VMError
from vm.kernel import Kernel

Verdict = Literal["caught", "survived", "excused", "same", "twin", "unbuilt", "error"]
"""What became of a mutant.

``survived``: every kernel gave it full marks; ``excused``: it has a row in survivors.toml.
``same``: it compiles to the solution's code, ``twin``: to that of a mutant before it, which
stands for it. ``unbuilt``: it does not compile. ``error``: the grader failed.
"""

R = TypeVar("R")

_TOLD = re.compile(r"\.note\.|\.printk_index|__bug_table|\.BTF")
"""Sections that say what the text is, and where in it: with a line more they differ."""


class Made(Record):
    """A mutant: one file of the solution with one edit."""

    file: str = Field(description="relative to the solution")
    line: int = Field(description="of the solution, where the edit is")
    operator: str = Field(description="the kind of mistake")
    old: str = Field(description="whole lines of the solution")
    new: str = Field(description="what stands there instead")
    module: str
    exercises: tuple[int, ...] = Field(description="whose regions or functions it touches")
    text: str = Field(exclude=True, description="the whole file")


class Outcome(Record):
    """What became of a mutant."""

    mutant: Made
    verdict: Verdict
    kernel: str = Field(default="", description="that caught it")
    checks: tuple[str, ...] = Field(default=(), description="that did not pass")
    what: str = Field(default="", description="a reason, or the grader's words")
    seconds: float = 0.0


class Report(Record):
    """All outcomes: knetlab/selftest-auto/v1."""

    schema_: Literal["knetlab/selftest-auto/v1"] = Field(
        default="knetlab/selftest-auto/v1", alias="schema"
    )
    lab: str
    kernels: tuple[KernelInfo, ...]
    possible: int = Field(description="mutants of the solution, of which a sample may be tried")
    outcomes: tuple[Outcome, ...]
    stale: tuple[str, ...] = Field(description="rows of survivors.toml that no mutant matches")
    seconds: float = Field(description="wall seconds of the whole run")

    def count(self, *verdicts: Verdict) -> int:
        """Return how many mutants have one of *verdicts*."""
        return sum(outcome.verdict in verdicts for outcome in self.outcomes)

    @property
    def survivors(self) -> list[Outcome]:
        """The mutants that every kernel gave full marks, without a reason."""
        return [outcome for outcome in self.outcomes if outcome.verdict == "survived"]

    def to_json(self) -> str:
        """Return the record as JSON text, one newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


# --- which ---------------------------------------------------------------------------


def make(lab: Lab) -> list[Made]:
    """Return all mutants of the solution of *lab*, in the order of its files and lines.

    Raises InputError where the host lacks tree-sitter or a marker of the solution is wrong.
    """
    return [
        mutant
        for target in lab.builds
        for name in target.files
        if name.endswith(".c")
        for mutant in _of(lab, target, name)
    ]


def _of(lab: Lab, module: Target, file: str) -> Iterator[Made]:
    source = (lab.solution / file).read_bytes()
    before = source.decode()
    regions = skeleton.regions(before, file)
    for change in operators.changes(source):
        after = change.apply(source).decode()
        edits = rows.between(file, before, after)
        lines = range(change.line, change.line + source[change.start : change.end].count(b"\n") + 1)
        yield Made(
            file=file,
            line=change.line,
            operator=change.operator,
            old="".join(edit.old for edit in edits),
            new="".join(edit.new for edit in edits),
            module=module.name,
            exercises=_exercises(lab, module, before, regions, lines),
            text=after,
        )


def _exercises(
    lab: Lab, module: Target, text: str, regions: Mapping[int, int], lines: Sequence[int]
) -> tuple[int, ...]:
    """Return whose *lines* are, by regions and functions; where nobody's: all of the module."""
    own = [e for e in lab.exercises if module.name in e.builds]
    touched = {regions[line] for line in lines if line in regions}
    functions = {owner.function_at(text, line) for line in lines}
    found = [e.number for e in own if e.number in touched or functions & set(e.functions)]
    return tuple(found or [e.number for e in own])


def sample(made: Sequence[Made], number: int) -> list[Made]:
    """Return *number* of *made*, the same ones every time."""
    chosen = random.Random(0).sample(range(len(made)), min(number, len(made)))  # noqa: S311
    return [made[n] for n in sorted(chosen)]


# --- all of them ---------------------------------------------------------------------


def run(
    lab: Lab,
    kernels: Mapping[str, Kernel],
    possible: Sequence[Made],
    *,
    number: int | None = None,
    jobs: int,
    stage: Callable[[str, int], None],
    on_done: Callable[[Outcome | None], None],
) -> Report:
    """Compile and grade *possible*, the mutants of *lab*, or *number* of them, *jobs* at a time.

    *stage* is told what begins, and of how many things; *on_done* of each mutant that was graded,
    and gets None for each that was compiled. Raises LabError for a wrong row of
    survivors.toml, InputError and what a host's failure raises as selftest.run() does.
    """
    started = time.monotonic()
    texts = {(mutant.file, survivors.same(mutant.text)) for mutant in possible}
    reasons: dict[tuple[str, str], str] = {}
    stale = []
    for row in survivors.load(lab.root / survivors.FILE, lab.solution):
        reasons |= dict.fromkeys(row.texts, row.why)
        if not row.texts & texts:
            stale.append(f"{row.place}: {row.name}: {row.misfit or 'no mutant is like it'}")
    made = possible if number is None else sample(possible, number)
    done: dict[int, Outcome] = {}
    left = dict(enumerate(made))
    for name, kernel in kernels.items():
        stage(f"compiling for Linux {kernel.release}", len(left))
        names = {mutant.module for mutant in left.values()}
        solution = {module: compiled(lab, kernel, module, {}) for module in names}
        codes = _compile_all(lab, kernel, left, jobs, lambda: on_done(None))
        settled = without_guest(left, codes, solution, reasons)
        for n, outcome in settled.items():
            # one that has survived on a kernel before stays that, unless another speaks for it
            if n not in done or outcome.verdict in ("twin", "excused"):
                done[n] = outcome
        todo = {n: mutant for n, mutant in left.items() if n not in settled}
        stage(f"grading on Linux {kernel.release}", len(todo))
        work = functools.partial(_attempt, lab, kernel, name)
        for n, result in _in_processes(work, todo, jobs):
            if isinstance(result, Exception):
                what = f"{type(result).__name__}: {result}"
                result = Outcome(mutant=made[n], verdict="error", what=what)  # noqa: PLW2901
            done[n] = result
            on_done(result)
        # what is the solution's code here may be other code on the next kernel
        left = {n: m for n, m in left.items() if done[n].verdict in ("survived", "same")}
    return Report(
        lab=lab.name,
        kernels=tuple(KernelInfo(name=n, release=k.release) for n, k in kernels.items()),
        possible=len(possible),
        outcomes=tuple(done[n] for n in range(len(made))),
        stale=tuple(stale),
        seconds=round(time.monotonic() - started, 3),
    )


def _in_processes(
    work: Callable[[Made], R], items: Mapping[int, Made], jobs: int
) -> Iterator[tuple[int, R | Exception]]:
    """Yield the numbers of *items* with what *work* returned or raised; raise what is hopeless."""
    numbers = {id(item): n for n, item in items.items()}
    with contextlib.closing(pool.each(work, list(items.values()), jobs)) as results:
        for item, result in results:
            if isinstance(result, InputError | MissingTool | NoSandbox | NoSpace):
                raise result
            yield numbers[id(item)], result


# --- without a guest -----------------------------------------------------------------


def _compile_all(
    lab: Lab, kernel: Kernel, mutants: Mapping[int, Made], jobs: int, on_done: Callable[[], None]
) -> dict[int, str]:
    """Return of each of *mutants* what stands for its code; "" where it does not compile."""
    codes = {}
    for n, code in _in_processes(functools.partial(_compile, lab, kernel), mutants, jobs):
        if isinstance(code, Exception):
            raise code
        codes[n] = code
        on_done()
    return codes


def _compile(lab: Lab, kernel: Kernel, mutant: Made) -> str:
    return compiled(lab, kernel, mutant.module, {mutant.file: mutant.text})


def compiled(lab: Lab, kernel: Kernel, module: str, texts: Mapping[str, str]) -> str:
    """Return what stands for the code of *module* of the solution with *texts*; "" for none.

    Raises VMError where the host, and not the text, is at fault.
    """
    made = build.build_module(lab, lab.target(module), _submission(lab, texts), kernel)
    if made.grader_error:
        raise VMError(made.message)
    return "" if made.ko is None else code(made.ko)


def _submission(lab: Lab, texts: Mapping[str, str]) -> Submission:
    given = submission.read(lab, lab.solution)
    files = tuple(
        f.model_copy(update={"content": texts[f.path].encode()}) if f.path in texts else f
        for f in given.files
    )
    return given.model_copy(update={"files": files})


def code(ko: bytes) -> str:
    """Return what stands for what a module *ko* loads: code and data with their relocations.

    Left out is what differs with the text alone: line numbers and hashes.
    """
    elf = ELFFile(io.BytesIO(ko))
    sections = list(elf.iter_sections())
    loaded = {
        n: section
        for n, section in enumerate(sections)
        if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and not _TOLD.match(section.name)
    }
    parts: list[object] = []
    for section in loaded.values():
        data = section.data() if section["sh_type"] != "SHT_NOBITS" else b""
        data = re.sub(rb"srcversion=[^\0]*\0", b"", data) if section.name == ".modinfo" else data
        parts.append((section.name, section["sh_size"] if not data else 0, data))
    for section in sections:
        if isinstance(section, RelocationSection) and section["sh_info"] in loaded:
            symbols = sections[section["sh_link"]]
            assert isinstance(symbols, SymbolTableSection)
            parts.append(
                (
                    section.name,
                    [_relocation(r, symbols, sections) for r in section.iter_relocations()],
                )
            )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _relocation(
    relocation: Relocation, symbols: SymbolTableSection, sections: Sequence[Section]
) -> tuple[object, ...]:
    symbol = symbols.get_symbol(relocation["r_info_sym"])
    index = symbol["st_shndx"]  # a number, or a word such as SHN_UNDEF
    where = sections[index].name if isinstance(index, int) else index
    entry = relocation.entry
    return (
        entry["r_offset"], entry["r_info_type"], symbol.name, where, symbol["st_value"],
        entry.get("r_addend", 0),
    )  # fmt: skip


def without_guest(
    mutants: Mapping[int, Made],
    codes: Mapping[int, str],
    solution: Mapping[str, str],
    reasons: Mapping[tuple[str, str], str],
) -> dict[int, Outcome]:
    """Return the outcomes of those of *mutants* that need no guest.

    *codes* stand for what they compile to, *solution* for what its modules do; *reasons* are
    those of survivors.toml by file and text. A reason holds for all that have the same code.
    """
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    done: dict[int, Outcome] = {}
    for n, mutant in mutants.items():
        if not codes[n]:
            done[n] = Outcome(mutant=mutant, verdict="unbuilt")
        elif codes[n] == solution[mutant.module]:
            done[n] = Outcome(mutant=mutant, verdict="same")
        else:
            alike[mutant.module, codes[n]].append(n)
    for first, *others in alike.values():
        keys = ((mutants[n].file, survivors.same(mutants[n].text)) for n in (first, *others))
        if why := next((reasons[key] for key in keys if key in reasons), ""):
            done[first] = Outcome(mutant=mutants[first], verdict="excused", what=why)
        for n in others:
            done[n] = Outcome(mutant=mutants[n], verdict="twin")
    return done


# --- in a guest ----------------------------------------------------------------------


def _attempt(lab: Lab, kernel: Kernel, name: str, mutant: Made) -> Outcome:
    """Grade *mutant* on its own exercises, then on all of its module.

    A mistake may show in an exercise whose region it is not in: what is left unreleased, say.
    """
    given = _submission(lab, {mutant.file: mutant.text})
    whole = tuple(e.number for e in lab.exercises if mutant.module in e.builds)
    seconds = 0.0
    for numbers in dict.fromkeys((mutant.exercises, whole)):
        options = grading.Options(exercises=frozenset(numbers), jobs=1, ways=False)
        grade = grading.grade_submission(lab, given, kernel, options)
        seconds += grade.provenance.seconds
        outcome = judge(mutant, grade, name).model_copy(update={"seconds": round(seconds, 3)})
        if outcome.verdict != "survived":
            break
    return outcome


def judge(mutant: Made, grade: Grade, kernel: str) -> Outcome:
    """Judge *grade*, which came of *mutant*: a check that did not pass has caught it."""
    if grade.status == "error":
        return Outcome(mutant=mutant, verdict="error", kernel=kernel, what=grade.message)
    checks = [c for e in grade.exercises for c in e.checks]
    if lost := tuple(c.id for c in checks if c.status in CATCHES):
        return Outcome(mutant=mutant, verdict="caught", kernel=kernel, checks=lost)
    return Outcome(mutant=mutant, verdict="survived")
