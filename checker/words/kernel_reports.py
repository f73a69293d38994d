"""Pure: the kernel's log -> its reports, each with its lines, its stacks and its place.

The kernel tells of a mistake in a block of lines that begins with one of a
known form and goes on with stacks: where it happened, and for some who
allocated or freed the memory. Nothing here trusts the text: a guest may die in
the middle of a line, and a module may print what it likes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from checker.model import Names

Locate = Callable[[str, int], str]
"""A function's name and an offset in it -> "filter.c:41", "" when it is not known.

With an empty name the number is an address: of code that has been unloaded.
"""

LINES = 30
"""Lines of the kernel's report that are kept."""

_WIDTH = 1000
"""Characters of a line that are read; the kernel's own have fewer."""

_MOST = 1000
"""Lines of a report that are looked at."""

_TRACE_LINES = 8
"""Functions of the kernel that are kept of a stack without any of a module's."""

_STAMPS = re.compile(r"^(?:\[ *\d+\.\d+\] ?){1,2}(?:\[ *[TC]\d+\] ?)?")
MODULES = range(0xFFFFFFFFA0000000, 0xFFFFFFFFFF000000)
"""Addresses where modules are loaded (Documentation/x86/x86_64/mm.rst in the kernel)."""

INSIDE = "/build/"
"""Where modules are compiled, and so how the student's paths begin."""


def read(text: str) -> Iterator[str]:
    """Yield a log's lines without their time stamps."""
    return (_STAMPS.sub("", line[:_WIDTH]).rstrip() for line in text.split("\n"))


Form = Literal["stack", "line", "block", "locks", "words", "proper", "tail"]


@dataclass(frozen=True)
class Row:
    """A kind of report: the line that *begins* it, its *kind*, and what the student is told.

    *form* says what else comes: a stack; nothing (line); indented lines
    (block); a list of locks; words, followed by the WARNING or BUG that is
    "proper" to them. A "tail" is what follows from a report and begins one only
    if there is none.
    """

    begins: re.Pattern[str]
    kind: str
    says: str | Callable[[Story], str]
    form: Form = "stack"


@dataclass(frozen=True)
class Frame:
    """A place in code: an offset in a function of a module ("" for the kernel).

    *back* is 1 for a return address, which stands behind the call.
    """

    function: str
    offset: int
    module: str = ""
    back: int = 1

    @property
    def name(self) -> str:
        """The function as the source has it, without the compiler's .cold and the like."""
        return self.function.split(".")[0]

    def line(self, locate: Locate) -> str:
        """Return its line in the source, empty if it is not known."""
        return locate(self.function, max(self.offset - self.back, 0))


_SYMBOL = (
    r"(?<![\w.])(?P<function>[A-Za-z_][\w.]*)\+(?P<offset>0x[0-9a-f]+)/0x[0-9a-f]+"
    r"(?: \[(?P<module>\w+)[^\]]*\])?"
)
_FRAME = re.compile(rf" +(?:\[<[0-9a-f]+>\] )?(?P<guess>\? )?{_SYMBOL}$")
_RAW_FRAME = re.compile(r" +(?:\[<[0-9a-f]+>\] )?0x(?P<address>[0-9a-f]{16})$")
_RIP = re.compile(rf"RIP: 0010:(?:{_SYMBOL}|0x(?P<address>[0-9a-f]+))")
_MENTION = re.compile(_SYMBOL)
_HINT = re.compile(r"hint: 0x(?P<address>[0-9a-f]{16})")

_SECTIONS = (
    ("trace", re.compile(r"Call Trace:| *backtrace:|stack backtrace:")),
    ("allocated", re.compile(r"Allocated (by task|in \S+ age=)|.*created by:$")),
    ("freed", re.compile(r"Freed (by task|in \S+.* age=)")),
    ("registered", re.compile(r".*state was registered at:")),
    ("owner", re.compile(r"INFO: task .* blocked on an? ")),
    ("other", re.compile(r"Last potentially|Second to last|.*(dependency chain|holding lock)")),
    ("other", re.compile(r"Showing all locks|Preemption disabled at|the .* dependencies")),
    ("object", re.compile(r"The buggy address belongs to (the variable|stack of)|.*in frame:$")),
)
"""Which line begins which part of a report, that is whose stack follows."""


@dataclass
class Report:
    """The lines of one report, without stamps; *row* and *head* are its kind and that line."""

    row: Row
    head: re.Match[str]
    lines: list[str]
    traced: bool = False
    ended: bool = False

    def take(self, line: str) -> None:
        """Add *line* unless the report is over."""
        if self.traced and not _GOES_ON.match(line):
            self.ended = True
        if self.ended or len(self.lines) >= _MOST:
            return
        self.lines.append(line)
        block = self.row.form == "block" or (self.row.form == "locks" and line.startswith(" #"))
        self.traced = self.traced or block or bool(_CLOSED.match(line))
        self.ended = self.row.form == "line" or bool(_END.match(line))

    def take_head(self, line: str) -> None:
        """Add *line*, which begins no report of its own: what follows from this one."""
        self.lines.append(line)
        self.ended = self.traced

    @property
    def awaits_more(self) -> bool:
        """Whether it began with words of its own, and the warning or BUG proper is to come."""
        return self.row.form == "words" and not self.traced

    @cached_property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    def search(self, pattern: str) -> re.Match[str] | None:
        """Return where *pattern* first matches a part of a line."""
        return re.search(pattern, self.text, re.MULTILINE)

    @cached_property
    def stacks(self) -> dict[str, list[Frame]]:
        """The frames of each part; "guess" has those that the kernel doubts, "" the rest."""
        stacks: dict[str, list[Frame]] = {}
        section = ""
        for line in self.lines:
            begun = next((name for name, begins in _SECTIONS if begins.match(line)), None)
            if not (section == "owner" and begun == "trace"):  # the stack of the lock's owner
                section = begun or section
            if match := _FRAME.match(line):
                part = "guess" if match["guess"] else section
                stacks.setdefault(part, []).append(_frame(match))
            elif raw := _RAW_FRAME.match(line):
                stacks.setdefault(section, []).append(Frame("", int(raw["address"], 16)))
            elif rip := _RIP.match(line):
                frame = _frame(rip, back=0) if rip["function"] else None
                frame = frame or Frame("", int(rip["address"], 16), back=0)
                stacks.setdefault("rip", []).append(frame)
            elif hint := _HINT.search(line):
                frame = Frame("", int(hint["address"], 16), back=0)
                stacks.setdefault("mentioned", []).append(frame)
            elif mention := _MENTION.search(line):
                part = "allocated" if " allocated at " in line else "mentioned"
                stacks.setdefault(part, []).append(_frame(mention))
        return stacks

    def spot(self, module: str) -> Frame | None:
        """Return where in *module* it happened, as far as the report tells."""
        rips = self.stacks.get("rip", [])[:1]
        for part in (rips, *(self.stacks.get(n, ()) for n in ("trace", "", "mentioned", "guess"))):
            for frame in part:
                if frame.module == module or (not frame.function and frame.offset in MODULES):
                    return frame
        return None

    def own(self, part: str, module: str) -> Frame | None:
        """Return the first frame of *module* in the stack called *part*."""
        return next((f for f in self.stacks.get(part, ()) if f.module == module), None)

    def excerpt(self) -> str:
        """Return the lines that a student can read: no registers, nor the kernel's own stack.

        Where the grader asked by NMI they begin behind that, with what it interrupted.
        """
        kept: list[str] = []
        pending: list[str] = []  # frames of the kernel that may be below the module's last one
        of_module = False
        lines = self.lines
        if _NMI.match(lines[0]):
            lines = lines[next((i for i, line in enumerate(lines) if _RIP.match(line)), 0) :]
        for line in lines:
            if not line or _NOISE.match(line):
                continue
            frame = _FRAME.match(line)
            if of_module and line.startswith("RIP: ") and " [" not in line:
                continue  # what was interrupted
            if frame and not frame["module"]:
                pending.append(line)
                continue
            own = frame or _RAW_FRAME.match(line)
            if own or not of_module:
                kept += pending if own else pending[:_TRACE_LINES]
            pending, of_module = [], bool(own)
            if not kept or line != kept[-1]:
                kept.append(line)
            if len(kept) >= LINES:
                break
        kept += [] if of_module else pending[:_TRACE_LINES]
        return "\n".join(kept[:LINES]).replace(INSIDE, "")


_NOISE = re.compile(
    r"Modules linked in|Hardware name|CPU: |Code: |R(?!IP)[A-Z0-9]{2}: |[CD]R\d: |FS: |CS: |"
    r"PKRU|EFLAGS|note: |Call Trace:|#PF: error_code|PGD |Kernel Offset|Rebooting| \? |"
    r"RIP: 0033| *</?(TASK|IRQ|NMI)>$|={20,}$|-{20,}$|-+\[ (cut here|end trace)|irq event stamp|"
    r"(hard|soft)irqs last|[> ][0-9a-f]{16}: [0-9a-f]{2} |  +\^|Memory state around|raw: |flags: |"
    r"(Object|Bytes b4|Redzone|Padding) +[0-9a-f]{16}: |"
    r"page: ?|page dumped|pfn:|ORIG_RAX|other info that might|\s*hex dump|    [0-9a-f]{2} |"
    r" +(\w*kasan_|__asan_|dump_stack|print_\w+|_*lock_acquire|lockdep_|mark_lock|__might_)\w*[.+]|"
    r"\d+\.\d+\.\S+ #\d|rcu_scheduler_active|turning off|\"echo 0|"
    r" *(Not t|T)ainted|Disabling lock debugging|Shutting down"
)


_NMI = re.compile(r"Uhhuh\. NMI received for unknown reason")

_REGISTERS = re.compile(
    r"Modules linked in: |Hardware name: |CPU: \d+ (UID: \d+ )?PID: |Tainted: \[[A-Z]\]=|"
    r"Code: [0-9a-f<]|PKRU: [0-9a-f]|"
    r"R(?!IP)[A-Z0-9]{2}: [0-9a-f]|[CD]R\d: [0-9a-f]|FS: +[0-9a-f]|CS: +[0-9a-f]|RIP: 0033|"
    r"Call Trace:$| \? | </?(TASK|IRQ|NMI)>$|-+\[ (cut here|end trace)|"
    r"witness: allocation \d+ of "
)


def is_noise(line: str) -> bool:
    """Tell whether *line*, without its stamp, is a report's registers, or what frames a stack.

    No module logs such a line by chance, as it may one that begins with "flags: ".
    """
    return bool(_REGISTERS.match(line))


_CLOSED = re.compile(r" </(TASK|IRQ|NMI)>")
_END = re.compile(r"-+\[ end (trace|Kernel panic)")
_GOES_ON = re.compile(
    r"$|[ \t>]|[A-Z][A-Z0-9]{1,2}: |Modules linked|-+\[ end|={20,}|Call Trace|Code: |PKRU|"
    r"irq event|(hard|soft)irqs|(Allocat|Fre)ed by|Last potentially|Second to last|"
    r"The buggy|This frame|Memory state|page:|page dumped|flags: |raw: |Showing|\d+ locks? held|"
    r"rcu: |Sending NMI|NMI backtrace|task:|CPU: |Hardware|Kernel |Rebooting|note: |Object |Slab |"
    r"INFO: task .* blocked on an? "
)
"""What may stand behind the end of a stack in the same report."""

_CUT_HERE = re.compile(r"-+\[ cut here")
_WORDS = 5
"""Lines of its own that a warning may have."""


def _frame(match: re.Match[str], back: int = 1) -> Frame:
    return Frame(match["function"], int(match["offset"], 16), match["module"] or "", back)


def _begins(line: str, rows: Sequence[Row]) -> tuple[Row, re.Match[str]] | None:
    """Return the row of the report that *line* begins, if it begins one."""
    if not line or line[0].isspace():
        return None
    return next(((row, match) for row in rows if (match := row.begins.match(line))), None)


def reports(text: str, rows: Sequence[Row]) -> Iterator[Report]:
    """Yield the reports in *text* that begin as one of *rows* says, in order."""
    current: Report | None = None
    opened: list[str] | None = None  # behind "cut here" a warning's own words come first
    for line in read(text):
        head = _begins(line, rows)
        if head is None:
            if _CUT_HERE.match(line):
                if not (current and current.awaits_more):
                    yield from _told(current)
                    current, opened = None, []
            elif opened is not None:
                opened.append(line)
            elif current:
                current.take(line)
            continue
        row, match = head
        if current and (row.form == "tail" or (row.form == "proper" and current.awaits_more)):
            current.take_head(line)
            continue
        yield from _told(current)
        current, opened = Report(row, match, (opened or [])[-_WORDS:]), None
        current.take(line)
    yield from _told(current)


def _told(report_: Report | None) -> Iterator[Report]:
    """Yield *report_* if there is one and it is not of a kind that is left out."""
    if report_ and report_.row.kind:
        yield report_


# --- what is said of a report ----------------------------------------------------------

_TREE = (
    *("arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc"),
    *("kernel", "lib", "mm", "net", "rust", "samples", "security", "sound", "usr", "virt"),
    *(".", ".."),
)
"""The folders of the kernel's tree that code lies in, and how other paths in it begin."""

_PATH = re.compile(rf"(?<![\w/.+-])({INSIDE})?((?:[\w.+-]+/)*[\w.+-]+\.c):(\d+)")
"""A C file. Up to Linux 6.12 the path of a student's begins with INSIDE; from 6.13 on it is
relative to that, as the kernel's own are to their tree."""


def _own_place(line: str, names: Names) -> str:
    """Return the place in the student's source that a *line* of the log names; "" if none."""
    for inside, path, number in _PATH.findall(line):
        if inside or path in names or path.split("/")[0] not in _TREE:
            return f"{names.shown(path)}:{number}"
    return ""


_CALLED = {
    **dict.fromkeys(
        ("__kmalloc", "kmalloc_trace", "kmem_cache_alloc_trace"), "kmalloc(GFP_KERNEL)"
    ),
    **dict.fromkeys(("__kmalloc_noprof", "__kmalloc_cache_noprof"), "kmalloc(GFP_KERNEL)"),
    "__might_fault": "copy_from_user() or copy_to_user()",
    **dict.fromkeys(("__wait_for_common", "wait_for_common"), "wait_for_completion()"),
}
"""Functions of the kernel that the headers hide -> what the source has."""

_NOT_CALLED = re.compile(r"(dump_stack|__might_|__schedule|schedule$|print_|rcu_|\w*resched)")
"""Functions that complain of a call, and are not what was called."""


@dataclass(frozen=True)
class Story:
    """A report told to the student whose *module* it is about, and whose files have *names*."""

    report: Report
    module: str
    locate: Locate
    names: Names

    @property
    def row(self) -> Row:
        """The row of the report's kind."""
        return self.report.row

    @property
    def kind(self) -> str:
        """The finding's kind: the row's, but where what follows its first line says more."""
        if self.row.kind == "oops" and self.report.search(r"^KASAN: "):
            return "kasan"
        if self.row.kind == "lockdep" and self.timer:
            return "debug-objects"
        return self.row.kind

    @property
    def timer(self) -> str:
        """The name of a timer whose module went while it ran: the kernel misses its lock."""
        lock = self.report.search(r"is trying to release lock \(\(&(\w+)\)\) at:\n.*call_timer_fn")
        return lock[1] if lock and self.spot is None else ""

    @cached_property
    def spot(self) -> Frame | None:
        """Where in the module it happened."""
        return self.report.spot(self.module)

    @property
    def who(self) -> str:
        """Who did it, to begin a sentence with."""
        return f"{self.spot.name}()" if self.spot and self.spot.name else "Kernel code"

    @property
    def location(self) -> str:
        """The place in the student's source."""
        others = any(f.module for part in self.report.stacks.values() for f in part)
        if self.spot or not others:
            for line in self.report.lines[: _WORDS + 2]:
                if place := _own_place(line, self.names):
                    return place
        return self.spot.line(self.locate) if self.spot else ""

    def summary(self) -> str:
        """Return the sentence: what is wrong, and why it matters."""
        says = self.row.says
        return says(self) if callable(says) else self.fill(says)

    def fill(self, template: str) -> str:
        """Return *template* with {who} and the groups of the report's first line filled in."""
        return template.format(who=self.who, **self.report.head.groupdict(default=""))

    def at(self, part: str) -> str:
        """Return " (in make(), filter.c:41)" for the module's frame in the stack *part*."""
        frame = self.report.own(part, self.module)
        if frame is None:
            return ""
        line = frame.line(self.locate)
        same = self.spot and self.spot.name == frame.name
        function = f"in {frame.name}()" if frame.name and not same else ""
        inside = ", ".join(word for word in (function, line) if word)
        return f" ({inside})" if inside else ""

    @property
    def callee(self) -> str:
        """The kernel's function that the module called there, as the source names it."""
        trace = self.report.stacks.get("trace", [])
        if self.spot not in trace or not trace.index(self.spot):
            return ""
        name = trace[trace.index(self.spot) - 1].name
        if _NOT_CALLED.match(name):
            return ""
        return _CALLED.get(name) or re.sub(r"^_+|(_nested|_noprof)$", "", name) + "()"
