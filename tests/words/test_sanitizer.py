"""Reports of sanitizers become findings: those recorded of tests/data/sanitizer/user/demo.c."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

from checker.model import Names
from checker.words import kernel_kinds, sanitizer

DATA = ROOT / "tests/data/sanitizer"
NAMES = Names(["user/demo.c"])
SOURCE = (DATA / "user/demo.c").read_text().splitlines()

SAYS = {
    "bad-free": ("bad-free", "bad_free() frees a pointer into the middle of what was allocated at"),
    "bool-value": ("bool", "A _Bool holds 5, which is none of its values"),
    "divide-by-zero": ("divide-by-zero", "The divisor is zero."),
    "double-free": ("double-free", "double_free() frees memory that was freed before at demo.c:"),
    "global-overflow": (
        "global-overflow",
        "writes 4 bytes behind the end of the variable numbers, which has 40 bytes.",
    ),
    "heap-overflow": (
        "heap-overflow",
        "writes 1 byte behind the end of the memory of 10 bytes that was allocated at demo.c:",
    ),
    "heap-underflow": ("heap-overflow", "reads 1 byte in front of the memory of 10 bytes"),
    "index-out-of-bounds": ("index", "The index 10 is outside the array 'int [10]'."),
    "indirect-leak": ("leak", "What is allocated in indirect_leak() is never freed: 8 bytes"),
    "leak": ("leak", "What is allocated in leak() is never freed: 33 bytes are lost"),
    "misaligned": ("misaligned", "A pointer to 'int' has an address that is no multiple of 4"),
    "negation": ("signed-overflow", "The least int has no counterpart above 0"),
    "negative-size": ("negative-size", "negative_size() gives mem"),
    "null-argument": ("null-pointer", "Argument 2 of the call is NULL"),
    "null-call": ("bad-address", "main() calls a function through a pointer that is NULL."),
    "null-member": ("null-pointer", "A pointer to 'struct message' is NULL where it is followed."),
    "null-write": ("null-pointer", "Argument 1 of the call is NULL"),
    "overlap": ("overlap", "overlap() calls memcpy() with two ranges that overlap"),
    "pointer-overflow": ("pointer-arithmetic", "A pointer is moved to where no object of its is"),
    "read-overflow": ("heap-overflow", "reads 16 bytes by write() behind the end of the memory"),
    "shift-negative": ("shift", "The value is shifted by -1 bits"),
    "shift-of-sign": ("shift", "255 is shifted into or beyond the sign of a signed type."),
    "shift-too-far": ("shift", "The value is shifted by 32 bits"),
    "signed-overflow": ("signed-overflow", "2147483647 + 1 does not fit 'int'"),
    "stack-exhausted": ("stack-exhausted", "recurse() has used up its stack of 8 MiB"),
    "stack-free": ("bad-free", "stack_free() frees the variable x, which was never allocated."),
    "stack-overflow": ("stack-overflow", "writes 11 bytes by memset() behind the end of the vari"),
    "string-overflow": ("heap-overflow", "writes 6 bytes by strcpy() behind the end of the memory"),
    "unreachable": ("unreachable", "The program comes to where its source says that it never does"),
    "use-after-free": ("use-after-free", "reads 4 bytes of memory that was freed at demo.c:"),
    "use-after-return": ("use-after-return", "of the variable text of local(), which has returned"),
    "use-after-scope": ("use-after-scope", "of the variable text, whose block has ended"),
    "vla-bound": ("array-size", "An array is made with -1 elements."),
    "wild-read": ("bad-address", "wild_read() reads through a pointer that leads nowhere"),
}
"""A recording's name -> the kind of its one finding, and what its sentence says."""

RECORDED = sorted(DATA.glob("[0-9]*/*.txt"))


def ids(path: Path) -> str:
    """Name a recording for pytest."""
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", RECORDED, ids=ids)
def test_a_report_is_one_finding_with_its_line(path: Path) -> None:
    """Kind, sentence and step are the mistake's, and the line is in the function that has it."""
    kind, says = SAYS[path.stem]
    (finding,) = sanitizer.findings(path.read_text(), NAMES)
    assert finding.kind == kind
    assert says in finding.summary
    file, line = finding.location.split(":")
    assert file == "demo.c"
    above = "\n".join(SOURCE[: int(line)])
    function = re.findall(r"^(?:static )?[\w *]+?\*?(\w+)\(.*\)$", above, re.MULTILINE)[-1]
    due = {"null_call": "main", "stack_exhausted": "recurse"}
    assert function == due.get(path.stem.replace("-", "_"), path.stem.replace("-", "_"))
    assert finding.hint.endswith(".")
    assert "{" not in finding.hint + finding.summary


@pytest.mark.parametrize("path", RECORDED, ids=ids)
def test_the_excerpt_is_short_and_readable(path: Path) -> None:
    """Neither the shadow's bytes nor registers nor the C library's own frames are in it."""
    (finding,) = sanitizer.findings(path.read_text(), NAMES)
    lines = finding.report.splitlines()
    assert 1 <= len(lines) <= sanitizer.LINES
    assert not re.search(r"Shadow|=>0x|BuildId|/lab/lib/|rax = |_start", finding.report)
    assert "/build/user" not in finding.report


def test_all_compilers_say_all() -> None:
    """There is a recording of each mistake by each compiler, and no other."""
    for folder in sorted(DATA.glob("[0-9]*")):
        assert {path.stem for path in folder.glob("*.txt")} == SAYS.keys(), folder


def test_one_mistake_is_told_once() -> None:
    """A report that comes again, as in a loop, is one finding; another place is another."""
    text = "\n".join(
        f"user/demo.c:{line}:3: runtime error: division by zero" for line in (5, 5, 7, 5)
    )
    assert [f.location for f in sanitizer.findings(text, NAMES)] == ["demo.c:5", "demo.c:7"]


def test_a_flood_of_reports_is_cut() -> None:
    """A thousand places give no more findings than a page can show."""
    text = "\n".join(f"user/demo.c:{n}:3: runtime error: division by zero" for n in range(1000))
    assert len(sanitizer.findings(text, NAMES)) == 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "==1==ERROR: AddressSanitizer: ",
        "==1==ERROR: AddressSanitizer: SEGV on unknown address",
        "==1==ERROR: AddressSanitizer: heap-buffer-overflow\n    #0 0x1 in {who} {place}:5",
        "==1==ERROR: LeakSanitizer: detected memory leaks\n",
        "x:1:1: runtime error: {value} %s",
        "x:1:1: runtime error: index 5 out of bounds for type '{type}'",
        "Direct leak of 5 byte(s) in 1 object(s) allocated from:\n    #0 (",
        "\0\xff" * 50_000,
        "==1==ERROR: AddressSanitizer: x\n" + "    #0 0x1 in f user/demo.c:1\n" * 5000,
    ],
)
def test_any_text_can_be_read(text: str) -> None:
    """What a program forges or cuts short is read all the same, and at most one finding."""
    assert len(sanitizer.findings(text, NAMES)) <= 1


def test_a_line_of_nobodys_is_no_place() -> None:
    """Where no frame is in the student's files the finding has no place, and a sentence."""
    text = "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n    #0 0x1 in f x.c:5"
    (finding,) = sanitizer.findings(text, NAMES)
    assert finding.location == ""
    assert finding.summary == "The program reads memory of memory that was freed."
    assert "the line that did it" in finding.hint


def test_no_kind_is_also_the_kernels() -> None:
    """Who has reported a finding is known by its kind."""
    assert {kind for kind, _ in SAYS.values()} <= sanitizer.KINDS
    assert sanitizer.KINDS.isdisjoint({row.kind for row in kernel_kinds.KINDS})
