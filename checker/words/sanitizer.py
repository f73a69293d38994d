"""Pure: what AddressSanitizer, LeakSanitizer and UBSan say of a program. Text in, findings out.

A report is written by the student's own process (log_path of OPTIONS), so it may
be forged; that costs the forger alone, as it can only be one more finding. One mistake is told
once: what UBSan says of a line stands for the signal or the AddressSanitizer report that
follows from it, and of what leaks the first block stands for those that only it leads to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from checker.model import Finding, Names

OPTIONS = (
    "log_path=/run/reports/report:exitcode=99:detect_leaks=1:detect_stack_use_after_return=1:"
    "strict_string_checks=1:allocator_may_return_null=1:quarantine_size_mb=8:"
    "malloc_context_size=8:print_legend=0:color=never:report_objects=0"
)
"""What is built into a program for its sanitizers; an environment would be lost by execve()."""

_TOUCHED = "==> touched <=="
"""How what the guest tells of reports ends, where files were made or removed among them."""

LINES = 24
"""Lines of a report that are kept."""

_WIDTH = 300
"""Characters of a line that are read."""

_MOST = 20
"""Findings of one run of a check; a leak in a loop is told once, by its line."""

_INSIDE = re.compile(r"(?<![\w/])/build/")
"""Where programs are compiled."""

_HEAD = re.compile(r"==\d+==ERROR: \w+Sanitizer: (?P<what>.*)")
_LEAK = re.compile(r"(?P<how>Direct|Indirect) leak of (?P<bytes>\d+) byte")
_UNDEFINED = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+):\d+: runtime error: (?P<what>.*)")
_FRAME = re.compile(
    r" +#(?P<number>\d+) 0x[0-9a-f]+ (?:in )?(?P<name>[\w.]*) ?"
    r"(?:(?P<file>[^\s():]+):(?P<line>\d+))?"
)
_NOISE = re.compile(
    r"=+$|Shadow bytes|(?:=>|  )0x[0-9a-f]+: |HINT: |      \(longjmp|==\d+==(?:Register|ABORTING)|"
    r" *r\w+ += 0x|.*can not provide additional info|SUMMARY: |Shadow byte legend|\s*$|"
    r" +#\d+ 0x[0-9a-f]+ .*(?:/lab/lib/|<unknown module>|in _start )| [0-9a-f]{2} {1,2}[0-9a-f ]+$|"
    r" +\^ *$|0x[0-9a-f]+: note: pointer points here"
)


@dataclass(frozen=True)
class Frame:
    """A function in a stack, with its line where it is the student's."""

    name: str
    file: str
    line: str


@dataclass
class Report:
    """One report: its first line as *head*, and all its *lines*."""

    head: re.Match[str]
    lines: list[str]
    names: Names

    @property
    def what(self) -> str:
        """What the sanitizer calls it, with the rest of that line."""
        return self.head.groupdict().get("what") or ""

    @cached_property
    def stacks(self) -> dict[str, list[Frame]]:
        """The frames: "" has where it happened, and there are "freed", "allocated", "frame"."""
        stacks: dict[str, list[Frame]] = {}
        part = ""
        for line in self.lines:
            if re.match(r"freed by", line):
                part = "freed"
            elif re.match(r"(previously )?allocated by", line):
                part = "allocated"
            elif "is located in stack of" in line:
                part = "frame"
            elif match := _FRAME.match(line):
                frame = Frame(match["name"].split(".")[0], match["file"] or "", match["line"] or "")
                stacks.setdefault(part, []).append(frame)
        return stacks

    def own(self, part: str = "") -> Frame | None:
        """Return the first frame of the student's in the stack called *part*."""
        return next((f for f in self.stacks.get(part, ()) if self.names.path(f.file)), None)

    @property
    def place(self) -> str:
        """Where in the student's source it happened: send.c:41."""
        if self.head.re is _UNDEFINED:
            return self._shown(self.head["file"], self.head["line"])
        frame = self.own()
        return self._shown(frame.file, frame.line) if frame else ""

    @property
    def who(self) -> str:
        """Who did it, to begin a sentence with."""
        frame = self.own()
        return f"{frame.name}()" if frame else "The program"

    @property
    def called(self) -> str:
        """The C library's function that it happened in: memset()."""
        first = next(iter(self.stacks.get("", ())), None)
        if first is None or first.file or not first.name:
            return ""
        return f"{first.name.removeprefix('__interceptor_').removeprefix('___interceptor_')}()"

    def at(self, part: str) -> str:
        """Return " at send.c:41" for the student's line in the stack called *part*."""
        frame = self.own(part)
        return f" at {self._shown(frame.file, frame.line)}" if frame else ""

    def search(self, pattern: str) -> re.Match[str] | None:
        """Return where *pattern* first matches a part of a line."""
        return re.search(pattern, "\n".join(self.lines), re.MULTILINE)

    def excerpt(self) -> str:
        """Return the lines that a student can read, without addresses of libraries and shadow."""
        kept: list[str] = []
        for line in self.lines:
            shorter = re.sub(r" \(BuildId: \w+\)|(?<=[#\d] )0x[0-9a-f]+ (?=in )", "", line)
            if not _NOISE.match(line) and (not kept or shorter != kept[-1]):
                kept.append(shorter)
        return "\n".join(kept[:LINES])

    def _shown(self, file: str, line: str) -> str:
        return f"{self.names.shown(self.names.path(file) or file)}:{line}"


def _access(report: Report) -> str:
    """Return "writes 4 bytes", with the function that does it if that is the C library's."""
    match = report.search(r"^(READ|WRITE) of size (\d+)")
    does = "writes" if match and match[1] == "WRITE" else "reads"
    size = _bytes(match[2]) if match else "memory"
    through = f" by {report.called}" if report.called else ""
    return f"{does} {size}{through}"


def _bytes(number: str) -> str:
    return f"{number} byte" + ("" if number == "1" else "s")


def _beyond(report: Report) -> str:
    match = report.search(
        r"is located (\d+) bytes (?:(to the right of|after)|(to the left of|before)|inside of)"
    )
    if match is None:
        return "outside"
    return "in front of" if match[3] else "behind the end of"


def _heap_overflow(report: Report) -> str:
    size = report.search(r"(\d+)-byte region")
    room = f"the memory of {_bytes(size[1])}" if size else "the memory"
    return (
        f"{report.who} {_access(report)} {_beyond(report)} {room} that was "
        f"allocated{report.at('allocated')}."
    )


def _stack_overflow(report: Report) -> str:
    match = report.search(r"'([^']+)'(?: \(line (\d+)\))? <== .*(over|under)flows")
    name = f"the variable {match[1]}" if match else "a local variable"
    where = "in front of" if match and match[3] == "under" else "behind the end of"
    return f"{report.who} {_access(report)} {where} {name}."


def _global_overflow(report: Report) -> str:
    match = report.search(
        r"(?:right of|after|left of|before) global variable '([^']+)'.*size (\d+)"
    )
    name = f"the variable {match[1]}, which has {_bytes(match[2])}" if match else "a variable"
    return f"{report.who} {_access(report)} {_beyond(report)} {name}."


def _gone_variable(report: Report) -> str:
    match = report.search(r"'([^']+)'(?: \(line \d+\))? <== ")
    name = f"the variable {match[1]}" if match else "a local variable"
    frame = next(iter(report.stacks.get("frame", ())), None)
    if report.what.startswith("stack-use-after-return"):
        whose = (
            f" of {frame.name}(), which has returned" if frame else " of a function that returned"
        )
        return f"{report.who} {_access(report)} of {name}{whose}: it is gone with its function."
    return f"{report.who} {_access(report)} of {name}, whose block has ended: it is gone with that."


def _freed(report: Report) -> str:
    return f"{report.who} {_access(report)} of memory that was freed{report.at('freed')}."


def _freed_twice(report: Report) -> str:
    return f"{report.who} frees memory that was freed before{report.at('freed')}."


def _bad_free(report: Report) -> str:
    if report.search(r"is located \d+ bytes inside of"):
        what = f"a pointer into the middle of what was allocated{report.at('allocated')}"
    elif match := report.search(r"'([^']+)'(?: \(line \d+\))? <== "):
        what = f"the variable {match[1]}, which was never allocated"
    else:
        what = "a pointer that no malloc() has given"
    return f"{report.who} frees {what}."


def _fault(report: Report) -> str:
    match = re.match(r"(?:SEGV|BUS) on unknown address 0x([0-9a-f]+)", report.what)
    address = int(match[1], 16) if match else None
    does = {"WRITE": "writes through", "READ": "reads through"}
    access = report.search(r"caused by a (READ|WRITE) memory access")
    how = does[access[1]] if access else "follows"
    by = f" ({report.called} does it)" if report.called else ""
    if report.search(r"pc points to the zero page"):
        return f"{report.who} calls a function through a pointer that is NULL."
    if address is not None and address < _PAGE:
        field = f" (a field {_bytes(str(address))} into a struct)" if address else ""
        return f"{report.who} {how} a NULL pointer{field}{by}."
    return (
        f"{report.who} {how} a pointer that leads nowhere{by}: it was never set, or is overwritten."
    )


_PAGE = 4096


def _divided(report: Report) -> str:
    return f"{report.who} divides by zero."


def _no_stack_left(report: Report) -> str:
    return (
        f"{report.who} has used up its stack of 8 MiB: it calls itself without end, or has very "
        "large local variables."
    )


def _overlap(report: Report) -> str:
    name = report.what.partition("-")[0]
    return f"{report.who} calls {name}() with two ranges that overlap: what arrives is not defined."


def _negative_size(report: Report) -> str:
    size = report.search(r"size=(-\d+)")
    called = report.called or "a function of the C library"
    return f"{report.who} gives {called} a size of {size[1] if size else 'less than 0'}."


def _leak(report: Report) -> str:
    frame = report.own()
    where = f" in {frame.name}()" if frame else ""
    size = _bytes(report.head["bytes"])
    if report.head["how"] == "Direct":
        return f"What is allocated{where} is never freed: {size} are lost when the program ends."
    return f"What is allocated{where} is lost with what points to it: {size}."


def _other(report: Report) -> str:
    return f"AddressSanitizer says of {report.who}: {report.what.split(' (')[0][:120]}."


@dataclass(frozen=True)
class Row:
    """A kind of report: how what the sanitizer says *begins*, the *kind*, sentence and next step.

    *says* is a function of the report, or has {who} and the groups of *begins* in it; *step* has
    {place}.
    """

    begins: re.Pattern[str]
    kind: str
    says: str | Callable[[Report], str]
    step: str


def _row(begins: str, kind: str, says: str | Callable[[Report], str], step: str) -> Row:
    return Row(re.compile(begins), kind, says, step)


_COUNT = "Count the bytes at {place}, the NUL at a string's end included, and make room for them."
_WHO_SETS = (
    "Find the code that sets the pointer at {place}. Does it run before this line? If the pointer "
    "may be NULL, test it before you use it."
)

_ADDRESS = (
    _row("heap-buffer-overflow", "heap-overflow", _heap_overflow, _COUNT),
    _row("stack-buffer-(?:over|under)flow", "stack-overflow", _stack_overflow, _COUNT),
    _row("dynamic-stack-buffer-overflow", "stack-overflow", _stack_overflow, _COUNT),
    _row("global-buffer-overflow", "global-overflow", _global_overflow, _COUNT),
    _row(
        "heap-use-after-free",
        "use-after-free",
        _freed,
        "Move the free() behind the last use, which is at {place}.",
    ),
    _row(
        "stack-use-after-return",
        "use-after-return",
        _gone_variable,
        "Let the caller give the room, or allocate it; a local variable is no result.",
    ),
    _row(
        "stack-use-after-scope",
        "use-after-scope",
        _gone_variable,
        "Declare the variable outside the block, so that it lives at {place}.",
    ),
    _row(
        "attempting double-free",
        "double-free",
        _freed_twice,
        "Free it in one place, once, and set the pointer to NULL there; begin at {place}.",
    ),
    _row(
        "attempting free on address",
        "bad-free",
        _bad_free,
        "Give free() at {place} the very pointer that malloc() returned.",
    ),
    _row("(?:SEGV|BUS) ", "bad-address", _fault, _WHO_SETS),
    _row("FPE ", "divide-by-zero", _divided, "Test the divisor before {place}."),
    _row(
        "stack-overflow",
        "stack-exhausted",
        _no_stack_left,
        "Give the recursion at {place} an end, or make a loop of it.",
    ),
    _row(
        "mem\\w+-param-overlap|str\\w+-param-overlap",
        "overlap",
        _overlap,
        "Take memmove() at {place}: it copies what overlaps, too.",
    ),
    _row(
        "negative-size-param",
        "negative-size",
        _negative_size,
        "Test before {place} what the size is computed from: a length that was read, or -1.",
    ),
    _row("", "address", _other, "Look at {place}: the report's first line says what is wrong."),
)

_LEAKS = _row(
    "",
    "leak",
    _leak,
    "Free what is allocated at {place} on every way out, also where something fails.",
)

_BEHAVIOUR = (
    _row(
        r"signed integer overflow: (?P<sum>.*) cannot be represented in type (?P<type>'.*')",
        "signed-overflow",
        "{sum} does not fit {type}: what comes out is not defined in C.",
        "Compute at {place} in a larger type, as long long, or test before.",
    ),
    _row(
        r"(?:negation|division) of (?P<value>-\d+)(?: by -1)? cannot .* in type '(?P<type>.*?)'",
        "signed-overflow",
        "The least {type} has no counterpart above 0, so {value} cannot be turned round.",
        "Compute at {place} in a larger type, as long long, or test before.",
    ),
    _row(
        r"shift exponent (?P<by>-?\d+) is (?:too large for (?P<bits>\d+)-bit type|negative)",
        "shift",
        "The value is shifted by {by} bits: that is not defined for a count below 0 or of the "
        "type's width and more.",
        "Test the count at {place}, or shift a larger type, as uint64_t.",
    ),
    _row(
        r"left shift of (?P<value>-?\d+)(?: by (?P<by>\d+) places)? .*",
        "shift",
        "{value} is shifted into or beyond the sign of a signed type.",
        "Make the value unsigned at {place} before it is shifted: (uint32_t)x << 24.",
    ),
    _row(
        r"(?P<access>\w+(?: \w+)?) (?:of|to|within|on) null pointer of type (?P<type>'.*')",
        "null-pointer",
        "A pointer to {type} is NULL where it is followed.",
        _WHO_SETS,
    ),
    _row(
        r"null pointer passed as argument (?P<number>\d+)",
        "null-pointer",
        "Argument {number} of the call is NULL, and the function follows it.",
        _WHO_SETS,
    ),
    _row(
        r"null pointer returned",
        "null-pointer",
        "The function returns NULL, and is declared never to do so.",
        _WHO_SETS,
    ),
    _row(
        r".* misaligned address 0x\w+ for type (?P<type>'.*'), which requires (?P<by>\d+)",
        "misaligned",
        "A pointer to {type} has an address that is no multiple of {by}: not every processor reads "
        "that.",
        "Copy the bytes with memcpy() into a variable of that type at {place}.",
    ),
    _row(
        r"index (?P<index>-?\d+) out of bounds for type (?P<type>'.*')",
        "index",
        "The index {index} is outside the array {type}.",
        "Test the index before {place}; the last one is the size less one.",
    ),
    _row(
        "division by zero",
        "divide-by-zero",
        "The divisor is zero.",
        "Test the divisor before {place}.",
    ),
    _row(
        r"execution reached",
        "unreachable",
        "The program comes to where its source says that it never does: "
        "__builtin_unreachable(), or the end of a function that must return a value.",
        "Handle at {place} the case that was left out.",
    ),
    _row(
        r"load of value (?P<value>\d+), which is not a valid value for type '(?P<type>.*)'",
        "bool",
        "A {type} holds {value}, which is none of its values: it was never set, or is overwritten.",
        "Give the variable at {place} a value before it is read.",
    ),
    _row(
        r"variable length array bound evaluates to non-positive value (?P<size>-?\d+)",
        "array-size",
        "An array is made with {size} elements.",
        "Test the size before {place}, or take malloc().",
    ),
    _row(
        r"(?:pointer index expression|applying|addition|subtraction) .*",
        "pointer-arithmetic",
        "A pointer is moved to where no object of its is: the sum goes beyond all addresses, or "
        "began at NULL.",
        "Compare lengths at {place}, not pointers: test what is left before you add.",
    ),
    _row(
        r"passing zero to .*",
        "bad-argument",
        "A builtin that counts bits is called with 0, for which it has no answer.",
        "Test for 0 before {place}.",
    ),
    _row(
        "",
        "undefined",
        "C does not define what happens there.",
        "Look at {place}: the report says what is wrong.",
    ),
)

_FOLLOWS = {
    "null-pointer": {"bad-address"},
    "divide-by-zero": {"divide-by-zero"},
    "index": {"global-overflow", "stack-overflow", "heap-overflow", "bad-address"},
    "misaligned": {"bad-address"},
    "pointer-arithmetic": {"bad-address", "heap-overflow", "stack-overflow", "global-overflow"},
    "array-size": {"stack-overflow"},
}
"""What UBSan says -> what AddressSanitizer says next, of the same mistake."""


def findings(text: str, names: Names) -> list[Finding]:
    """Return what the reports in *text* say, in order, each matter once.

    *names* are those of the submission's source files; a line of another file is no place.
    """
    found: dict[tuple[str, str], Finding] = {}
    last = where = ""
    leaks = 0
    for report in _reports(text, names):
        row, words = _kind(report)
        place = report.place
        follows = report.head.re is _HEAD and row.kind in _FOLLOWS.get(last, ())
        if follows and (place == where or last == "array-size"):
            continue
        last, where = row.kind, place
        if row is _LEAKS:
            leaks += 1
            if leaks > 1 and report.head["how"] == "Indirect":
                continue
        says = (
            row.says(report)
            if callable(row.says)
            else row.says.format(who=report.who, **(words.groupdict(default="") if words else {}))
        )
        finding = Finding(
            kind=row.kind,
            summary=says,
            location=place,
            report=report.excerpt(),
            hint=row.step.format(place=place or "the line that did it"),
        )
        found.setdefault((row.kind, place or says), finding)
        if len(found) >= _MOST:
            break
    return list(found.values())


def removed(text: str) -> Finding | None:
    """Return what is told where files were among the reports, and none of a sanitizer's is left."""
    lines = text.rstrip().splitlines()
    if lines[-1:] != [_TOUCHED] or any(re.match(r"==\d+==", line) for line in lines):
        return None
    return Finding(
        kind="report-removed",
        summary="The program has made or removed files in /run/reports, where sanitizers report, "
        "and no report is left there.",
        hint="Take out what touches /run/reports: what is reported there is a fault in your code.",
    )


def _reports(text: str, names: Names) -> Iterator[Report]:
    """Cut *text* into reports."""
    now: Report | None = None
    for raw in text.split("\n"):
        line = _INSIDE.sub("", raw[:_WIDTH]).rstrip()
        if re.match(r"==> \w+ <==$", line):
            continue
        head = _HEAD.match(line) or _UNDEFINED.match(line) or _LEAK.match(line)
        if head:
            if now and not _only_leaks(now):
                yield now
            now = Report(head, [line], names)
        elif now and len(now.lines) < 10 * LINES:
            now.lines.append(line)
    if now and not _only_leaks(now):
        yield now


def _only_leaks(report: Report) -> bool:
    """Tell whether it is the line before the leaks, which come as reports of their own."""
    return report.what.startswith("detected memory leaks")


KINDS = frozenset(row.kind for row in (*_ADDRESS, _LEAKS, *_BEHAVIOUR))
"""The kinds of what sanitizers report; none of them is one of the kernel's."""


def _kind(report: Report) -> tuple[Row, re.Match[str] | None]:
    if report.head.re is _LEAK:
        return _LEAKS, None
    rows = _BEHAVIOUR if report.head.re is _UNDEFINED else _ADDRESS
    for row in rows:
        if match := row.begins.match(report.what):
            return row, match
    raise AssertionError("the last row fits all")
