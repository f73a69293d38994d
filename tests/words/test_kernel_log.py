"""What is made of the kernel's words: recorded consoles in, findings out.

The consoles are those of real guests that loaded tests/data/console/demo, one
for each mistake and series of kernels; tools/record_consoles.py records them. Where a
finding is to be stands in demo.c or a source beside it, which is built by that name: at
the line with the comment "@ MARK".
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import ROOT

from checker.model import Finding, Names
from checker.words import kernel_log, kernel_reports, next_step
from checker.words.symbols import Symbols
from tools import record_consoles
from vm import image, kernel, machine
from vm.kernel import Kernel
from vm.machine import Config

CONSOLES = ROOT / "tests/data/console"
SOURCES = [p.read_text().splitlines() for p in sorted((CONSOLES / "demo").glob("*.c"))]
DEMO = [line for source in SOURCES for line in source]
SERIES = sorted(p.parent.name for p in CONSOLES.glob("*/places.json"))
PLACES: dict[str, dict[str, dict[str, str]]] = {
    series: json.loads((CONSOLES / series / "places.json").read_text()) for series in SERIES
}

SAME = "the recording's own name"

SAID: dict[str, tuple[str, str, str]] = {
    # what the processor refused
    "null-dereference": ("oops", "null_pointer() writes through a NULL pointer (a field 4", SAME),
    "null-call": ("oops", "null_call() calls a function through a pointer that is NULL", SAME),
    "wild-pointer": ("oops", "wild_pointer() follows a pointer that leads nowhere", SAME),
    "bad-address": ("oops", "bad_address() follows a pointer that leads nowhere (0xffffc9", SAME),
    "user-pointer": ("oops", "a user program's pointer as if it were the kernel's", SAME),
    "read-only": ("oops", "writes to memory that must not be written", SAME),
    "list-poison": ("oops", "a list element that was already deleted from its list", SAME),
    "stack-overflow": ("oops", "deeper() uses up the kernel's stack", SAME),
    "divide": ("oops", "divide() divides by zero", SAME),
    "runs-after-unload": ("oops", "of demo (a timer, a hook, a thread) is still in use after", ""),
    # what was told to stop or to warn
    "bug": ("bug", "bug() runs into BUG()", SAME),
    "init": ("bug", "demo_init() runs into BUG()", SAME),
    "exit": ("bug", "demo_exit() runs into BUG()", SAME),
    "panic": ("panic", "call_panic() makes the kernel stop for good (demo: out of order)", SAME),
    "warning": ("warning", "check_queue() runs into WARN()", SAME),
    "warning-text": ("warning", "runs into WARN() or WARN_ON() (demo: port 0 is no port)", SAME),
    # what the kernel's own functions saw
    "refcount-leak": ("refcount", "count_too_low() counts down to 0", SAME),
    "refcount-underflow": ("refcount", "put_twice() gives a reference back once too often", SAME),
    "refcount-on-zero": ("refcount", "get_after_zero() takes a reference to something whose", SAME),
    "list-add": ("list", "add_twice() adds an element that is in a list already", SAME),
    "list-del": ("list", "delete_twice() deletes an element that is not", SAME),
    "list-del-stock": ("list", "delete_twice() deletes an element that is not", "list-del"),
    "skb-over": ("skb", "adds 4000 bytes to a packet that has no room for them behind", SAME),
    "skb-under": ("skb", "adds 14 bytes to a packet that has no room for them before", SAME),
    "fortify": ("overflow", "copy_too_much() lets memcpy() copy more", SAME),
    "field-write": ("overflow", "than its buffer holds (30 bytes, room for 24)", SAME),
    "copy-overflow": ("overflow", "(64 bytes, room for 32)", SAME),
    "usercopy": ("overflow", "show_others() shows a user program 200 bytes of", SAME),
    "stack-smash": ("overflow", "smash_stack() writes beyond one of its local variables", SAME),
    "double-free-stock": ("bug", "free_twice() frees memory that was freed before: the se", SAME),
    # KASAN and UBSAN
    "use-after-free": (
        "kasan",
        "reads 4 bytes of memory that was freed (in forget(), @freed)",
        SAME,
    ),
    "double-free": ("kasan", "frees memory that was freed before (in forget(), @freed)", SAME),
    "invalid-free": ("kasan", "no allocation returned (in make(), @allocated)", SAME),
    "slab-out-of-bounds": ("kasan", "writes 1 byte outside the memory that was alloc", SAME),
    "string-out-of-bounds": ("kasan", "string_out_of_bounds() writes 18 bytes outside", SAME),
    "global-out-of-bounds": ("kasan", "outside the global variable ports", SAME),
    "stack-out-of-bounds": ("kasan", "reads 1 byte outside the local variable name", SAME),
    "alloca-out-of-bounds": ("kasan", "reads 1 byte outside a local variable", SAME),
    "vmalloc-out-of-bounds": ("kasan", "writes 1 byte outside the memory that was alloc", SAME),
    "page-use-after-free": ("kasan", "reads 1 byte of memory that was freed", SAME),
    "kasan-null": ("kasan", "a NULL pointer", "null-dereference"),
    "kasan-user": ("kasan", "a user program's pointer", "user-pointer"),
    "kasan-wild": ("kasan", "a pointer that leads nowhere", "wild-pointer"),
    "ubsan-array": ("ubsan", "array_index() uses an index that the array does not have (", SAME),
    "ubsan-shift": ("ubsan", "shift() shifts by more bits than the type has", SAME),
    "ubsan-array-stock": ("ubsan", "uses an index that the array does not", "ubsan-array"),
    "ubsan-shift-stock": ("ubsan", "shift() shifts by more bits than the type", "ubsan-shift"),
    "ubsan-bool": ("ubsan", "load_bool() reads a bool or enum that holds no such value", SAME),
    # sleeping
    "atomic-sleep": ("atomic-sleep", "which may sleep, while it holds the spinlock table_", SAME),
    "atomic-sleep-irqs-off": ("atomic-sleep", "calls mutex_lock(), which may sleep, with", SAME),
    "atomic-sleep-rcu": ("rcu", "calls kmalloc(GFP_KERNEL), which may sleep, between rcu_re", SAME),
    "atomic-sleep-timer": ("atomic-sleep", "sleepy_tick() calls mutex_lock(), which may", SAME),
    "scheduling-while-atomic": ("atomic-sleep", "calls schedule_timeout", SAME),
    "scheduling-while-atomic-debug": (
        "atomic-sleep",
        "which may sleep, while it holds the spinlock table_lock",
        "scheduling-while-atomic",
    ),
    "lock-kept": ("lock-kept", "demo_init() returns with a spinlock held", "demo_init"),
    # locks
    "lockdep-inversion": (
        "lockdep",
        "and elsewhere (in take_both(), @lockdep-inversion-first) they",
        SAME,
    ),
    "lockdep-recursion": ("lockdep", "takes config_lock while it holds it already", SAME),
    "lockdep-softirq": ("lockdep", "let in (in lock_in_softirq(), @lockdep-softirq-first)", SAME),
    "lockdep-unsafe-order": ("lockdep", "takes queue_lock while it holds table_lock, which", SAME),
    "lockdep-uninitialised": ("lockdep", "uses a lock that was never initialised", SAME),
    "lockdep-unlock": ("lockdep", "unlock_twice() gives back a lock that it does not hold", SAME),
    "lockdep-held": ("lockdep", "return_locked() takes config_lock, and it is still held", SAME),
    "lockdep-freed": ("lockdep", "free_locked() frees memory with a lock in it", SAME),
    # RCU and time
    "rcu": ("rcu", "rcu_unprotected() uses what RCU protects without rcu_read_lock()", SAME),
    "stall": ("rcu", "stall() calls msleep(), which may sleep, between rcu_read_lock()", SAME),
    "soft-lockup": ("soft-lockup", "wait_for_client() kept the CPU to itself for", "loop"),
    "soft-lockup-debug": ("soft-lockup", "wait_for_client() kept the CPU to itself", "loop"),
    "hang-nmi": ("hang", "wait_for_client() keeps the CPU to itself with interrupts off", "loop"),
    "hang-nmi-debug": ("hang", "wait_for_client() keeps the CPU to itself", "loop"),
    "hung-task": ("hung-task", "wait_for_nobody() waits in wait_for_completion()", SAME),
    "hung-task-stock": ("hung-task", "waits in wait_for_completion()", "hung-task"),
    "hung-mutex": ("hung-task", "wait_for_lock() waits in mutex_lock() and cannot even", SAME),
    # what is left behind
    "memory-leak": ("memory-leak", "3 pieces of memory were allocated, never freed", ""),
    "memory-leak-list": ("memory-leak", "allocated 128 bytes that were never", "memory-leak"),
    "objects-left": ("memory-leak", "The slab cache demo_packets is destroyed while", SAME),
    "debug-objects": ("debug-objects", "free_timer() frees memory with a timer_list in", SAME),
    "debug-objects-unload": (
        "debug-objects",
        "A timer_list of the module is still active when it is unloaded",
        "careless",
    ),
    "reference-left": ("reference-left", "A reference to the network device demo0", ""),
    "unlicensed": ("taint", "The module demo has the license 'Proprietary'", ""),
}
"""Recording -> kind, a piece of the sentence ("@x": the place marked x), the mark of its place."""

IN_SERIES: dict[str, tuple[str, str, str]] = {
    "7.2/debug-objects-unload": ("oops", "of demo (a timer, a hook, a thread) is still in use", ""),
    # the module's memory goes in pieces there, code first: the timer runs before all is gone
    "6.12/debug-objects-unload": ("debug-objects", "The timer tick of the module is still", ""),
    "7.2/hung-mutex": (
        "hung-task",
        "it is a mutex, and the task keeper (in keep_lock(), @hung-mutex-owner) seems to hold it",
        "hung-mutex",
    ),
}
"""What one series says otherwise."""

QUIET = {"fault-injection"}
"""Recordings of what is no mistake."""

NOISE = (
    r"\[ *\d+\.\d+\]",
    r"R[A-DS][XIP]: ",
    r"R\d\d: ",
    r"Code: ",
    r"CPU: ",
    r"Hardware",
    r"Modules linked",
    r" \? ",
    r"$",
    r"=====",
    r"---",
    r"[> ][0-9a-f]{16}: ",
    r"Call Trace",
    r" *</?TASK",
    r" dump_stack",
)


RECORDINGS = [
    f"{series}/{name}"
    for series in SERIES
    for name in SAID
    if (CONSOLES / series / f"{name}.txt").exists()
]


def said_of(recording: str) -> tuple[str, str, str]:
    """Return what is to be told of a recording, as SAID has it."""
    return IN_SERIES.get(recording) or SAID[recording.split("/")[1]]


def console(recording: str) -> str:
    """Return a recorded console."""
    return (CONSOLES / f"{recording}.txt").read_text()


def marked(mark: str) -> str:
    """Return the place of the line with the comment "@ MARK"; "" without a mark."""
    if not mark:
        return ""
    (number,) = (
        number
        for source in SOURCES
        for number, line in enumerate(source, 1)
        if line.endswith(f"/* @ {mark} */")
    )
    return f"demo.c:{number}"


def told(name: str, text: str | None = None) -> list[Finding]:
    """Return what is found in a recording, its places resolved as they were when it was made."""
    series, case = name.split("/")
    table = PLACES[series].get(case.removesuffix("-list"), {})

    def locate(function: str, offset: int) -> str:
        return table.get(f"{function}+{offset:#x}", "")

    names = Names(["demo/demo.c"])
    return kernel_log.findings(console(name) if text is None else text, "demo", locate, names)


def kinds(found: list[Finding]) -> list[str]:
    """Return their kinds."""
    return [finding.kind for finding in found]


def test_every_recording_is_used() -> None:
    """No file lies there for nothing, and each can be recorded again."""
    for series in SERIES:
        there = {p.stem for p in (CONSOLES / series).glob("*.txt")}
        assert there <= SAID.keys() | QUIET
        cases = {case.name for case in record_consoles.CASES if case.said_by(series)}
        assert there - {"memory-leak-list"} == cases


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_told(name: str) -> None:
    """The kind, the sentence and the line of the source are what the module did."""
    kind, piece, mark = said_of(name)
    found = told(name)
    assert kinds(found) == [kind]
    piece = re.sub(r"@([\w-]+)", lambda m: marked(m[1]), piece)
    assert piece in found[0].summary
    assert found[0].location == marked(name.split("/")[1] if mark == SAME else mark)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_summary_is_one_sentence(name: str) -> None:
    """It is one line, not too long, with a full stop."""
    for finding in told(name):
        assert re.fullmatch(r"[A-Za-z0-9][^\n]{20,300}\.", finding.summary)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_report_is_what_a_student_can_read(name: str) -> None:
    """It is short: no stamps, registers, code bytes, guesses, nor the kernel's own machinery."""
    for finding in told(name):
        lines = finding.report.splitlines()
        assert 0 < len(lines) <= kernel_log.LINES
        assert [line for line in lines if re.match("|".join(NOISE), line)] == []
        assert "/build/" not in finding.report


@pytest.mark.parametrize("name", [name for name in RECORDINGS if said_of(name)[2]])
def test_a_report_shows_the_place(name: str) -> None:
    """The line with the module's own function is kept."""
    assert re.search(r"\+0x[0-9a-f]+/0x[0-9a-f]+ \[demo\]|0xffffffffa0", told(name)[0].report)


@pytest.mark.parametrize("name", [name for name in RECORDINGS if "hang-nmi" in name])
def test_a_hang_begins_with_where_it_is(name: str) -> None:
    """What the grader asked by NMI, and the kernel's answer to that, is left out."""
    (finding,) = told(name)
    assert finding.report.startswith("RIP: 0010:wait_for_client+")
    assert "NMI" not in finding.report


def test_a_loop_with_interrupts_on_is_not_told_as_off() -> None:
    """Bit 9 of the flags says it; the next step then speaks of no interrupts either."""
    text = console("6.1/hang-nmi").replace("EFLAGS: 00000046", "EFLAGS: 00000246", 1)
    (on,) = kernel_log.findings(text, "demo")
    (off,) = kernel_log.findings(console("6.1/hang-nmi"), "demo")
    assert "wait_for_client() keeps the CPU to itself in a loop" in on.summary
    assert "interrupts" not in on.summary + next_step.of_finding(on)
    assert "with interrupts off" in off.summary
    assert "turn interrupts on again" in next_step.of_finding(off)


@pytest.mark.parametrize("name", RECORDINGS)
def test_another_module_is_not_blamed(name: str) -> None:
    """No function and no place of demo is said to be another module's."""
    for finding in kernel_log.findings(console(name), "veth", lambda *_: "veth.c:1"):
        functions = re.findall(r"(\w+)\(\)", finding.summary)
        assert not any(re.match(rf"(static .*)?\b{f}\(", line) for f in functions for line in DEMO)
        assert finding.location in ("", "veth.c:1")
        assert finding.location == "" or "+0x" not in finding.report.splitlines()[0]


@pytest.mark.parametrize("name", RECORDINGS)
def test_without_places_the_function_is_told(name: str) -> None:
    """Where no debug information is to be had, there is still a sentence."""
    kind, piece, _ = said_of(name)
    found = kernel_log.findings(console(name), "demo")
    assert kinds(found)[0] == kind
    assert piece.split(" (in ")[0].split(", @")[0] in found[0].summary


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_cut_console_is_told_as_far_as_it_goes(name: str) -> None:
    """A guest dies in the middle of a line: what came before it is not lost."""
    text = console(name)
    whole = kinds(told(name))
    lines = text.splitlines(keepends=True)
    for size in range(0, len(lines), 9):
        found = kinds(told(name, "".join(lines[:size])))
        assert found[: len(whole)] == whole[: len(found)]
        assert len(found) <= len(whole) + 1  # half of what is told once by two reports
    for size in range(0, len(text), 1997):
        assert len(told(name, text[:size])) <= len(whole) + 1


@pytest.mark.parametrize("name", RECORDINGS)
def test_stamps_make_no_difference(name: str) -> None:
    """With the host's stamps or none, with the number of the task: the same findings."""
    bare = re.sub(r"^\[ *\d+\.\d+\] (?=\[)", "", console(name), flags=re.MULTILINE)
    with_task = re.sub(r"^(\[ *\d+\.\d+\]) ", r"\1[   T95] ", bare, flags=re.MULTILINE)
    without = re.sub(r"^\[ *\d+\.\d+\] ", "", bare, flags=re.MULTILINE)
    found = told(name)
    assert told(name, bare) == found
    assert told(name, with_task) == found
    assert told(name, without) == found


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_repeated_report_is_one_finding(name: str) -> None:
    """A mistake that is made over and over is told once."""
    assert told(name, console(name) * 2) == told(name)


def test_reports_come_in_order() -> None:
    """Several reports in one console are several findings."""
    text = (
        console("6.1/refcount-underflow")
        + console("6.1/use-after-free")
        + console("6.1/null-dereference")
    )
    assert kinds(kernel_log.findings(text, "demo")) == ["refcount", "kasan", "oops"]


@pytest.mark.parametrize("name", [f"{series}/{name}" for series in SERIES for name in QUIET])
def test_what_the_grader_did_itself_is_no_finding(name: str) -> None:
    """A failure that was injected is reported by the kernel with a stack, and is no mistake."""
    assert "FAULT_INJECTION" in console(name)
    assert told(name) == []
    after = console(name) + console(f"{name.split('/', maxsplit=1)[0]}/warning")
    assert kinds(kernel_log.findings(after, "demo")) == ["warning"]


@pytest.mark.parametrize(
    "line",
    [
        "TCP connection initiated from 127.0.0.1:28165",
        "demo: loading out-of-tree module taints kernel.",
        "demo: module verification failed: signature and/or required key missing - tainting kernel",
        "Disabling lock debugging due to kernel taint",
        "demo: BUG: my own words",
        "tool: page allocation failure: order:5, mode:0x40dc0(GFP_KERNEL), nodemask=(null)",
        "------------[ cut here ]------------",
        "",
    ],
)
def test_other_lines_are_no_findings(line: str) -> None:
    """What a right module may cause, or print, is not told."""
    assert kernel_log.findings(f"[   20.520257] {line}\n", "demo") == []


def test_a_forged_report_counts_against_who_printed_it() -> None:
    """A module that prints a report of its own has a finding, and names nobody."""
    (finding,) = kernel_log.findings("BUG: hello {who}\nall is well\n", "demo")
    assert (finding.kind, finding.location) == ("bug", "")
    assert "hello {who}" in finding.summary


def test_a_stall_is_told_where_nothing_came_before_it() -> None:
    """RCU's warning of the same place is one mistake with it; without that the stall is told."""
    text = console("6.1/stall")
    (found,) = told("6.1/stall", text[text.index("rcu: INFO:") :])
    assert found.kind == "stall"
    assert "stall() stays between rcu_read_lock() and rcu_read_unlock()" in found.summary
    assert found.location == marked("stall")


def test_a_mutex_that_is_taken_twice_is_told_by_its_owner() -> None:
    """From 6.16 on the kernel names the owner: here it is the one that waits."""
    text = console("7.2/hung-mutex")
    twice = re.sub(r"owned by task keeper:\d+", "owned by task tool:128", text)
    assert twice != text
    (found,) = told("7.2/hung-mutex", twice)
    assert "for a mutex that it holds already: it waits for itself for ever" in found.summary


NEWER = {
    "INFO: task tool:9 blocked in I/O wait for more than 120 seconds.": ("hung-task", "waits"),
    "x: init suspiciously returned 1, it should follow 0/-E convention": (
        "init-value",
        "init of x returned 1, and a positive number is no errno",
    ),
    "BUG: TASK stack guard page was hit at 000000007e114a79 (stack is 0..1)\n"
    "Oops: stack guard page: 0000 [#1] SMP NOPTI": ("oops", "uses up the kernel's stack"),
    "Oops: general protection fault, probably for non-canonical address 0xdead000000000122: "
    "0000 [#1] PREEMPT SMP": ("oops", "already deleted"),
    "general protection fault, probably for non-canonical address 0xdffffc0000000001: 0000 [#1]\n"
    "KASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]": ("kasan", "NULL"),
    "Oops: divide error: 0000 [#1] PREEMPT SMP": ("oops", "divides by zero"),
    "BUG: KASAN: slab-use-after-free in f+0x1/0x2 [demo]\nRead of size 8 at addr ff by task a/1": (
        "kasan",
        "f() reads 8 bytes of memory that was freed",
    ),
    "BUG: KASAN: use-after-scope in f+0x1/0x2 [demo]\nWrite of size 1 at addr ff by task a/1": (
        "kasan",
        "f() writes 1 byte of a local variable whose block has ended",
    ),
    "BUG: KASAN: double-free or invalid-free in kfree+0x1/0x2": ("kasan", "freed before"),
    "memcpy: detected buffer overflow: 16 byte write of buffer size 8": ("overflow", "16 bytes"),
    "BUG: using smp_processor_id() in preemptible [00000000] code: tool/95": ("preempt", "smp_pro"),
    "BUG: spinlock bad magic on CPU#0, tool/95": ("lockdep", "bad magic"),
    "BUG kmalloc-64 (Tainted: G           OE      ): Object already free\n"
    "Freed in forget+0x1d/0x30 [demo] age=0 cpu=0 pid=126\n forget+0x1d/0x30 [demo]\n"
    "WARNING: mm/slub.c:1239 at object_err+0x1f3/0x202, CPU#0: tool/126\n"
    "Call Trace:\n <TASK>\n kfree+0x233/0x420\n twice+0x7d/0xff0 [demo]\n </TASK>": (
        "slab",
        "twice() frees memory that was freed before (in forget()): the second kfree()",
    ),
    "BUG kmalloc-64 (Tainted: G OE): Poison overwritten": ("slab", "Poison overwritten"),
    "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0": ("hang", "interrupts off"),
    "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!": (
        "soft-lockup",
        "never ends",
    ),
}
"""What other kernels and options say, from their sources -> kind, a piece of the sentence."""


@pytest.mark.parametrize("text", NEWER)
def test_words_of_other_kernels_are_known(text: str) -> None:
    """Kernels after 6.1, and options that neither of ours has, are understood."""
    kind, piece = NEWER[text]
    (finding,) = kernel_log.findings(text + "\n", "demo")
    assert finding.kind == kind
    assert piece in finding.summary


@pytest.mark.parametrize(
    "path", ["/build/1-2/kernel/filter.c:41", "1-2/kernel/filter.c:41", "filter.c:41"]
)
def test_the_kernel_may_name_the_line_itself(path: str) -> None:
    """From Linux 6.13 on the student's paths are relative, and the kernel's own as ever."""
    frame = "check+0x1/0x2 [filter]"
    text = f"WARNING: CPU: 0 PID: 9 at {path} {frame}\nRIP: 0010:{frame}\n"
    names = Names(["filter.c" if path == "filter.c" else "1-2/kernel/filter.c"])
    (own,) = kernel_log.findings(text, "filter", names=names)
    assert own.location == "filter.c:41"
    for kernels in ("net/core/dev.c:41", "./kernel/softirq.c:41", "/src/linux/mm/slub.c:41"):
        (others,) = kernel_log.findings(text.replace(path, kernels), "filter", names=names)
        assert others.location == ""


@pytest.mark.parametrize("inside", ["/build/", ""])
@pytest.mark.parametrize("path", ["kernel/main.c", "user/main.c"])
def test_files_of_one_name_are_told_apart(inside: str, path: str) -> None:
    """By their folders, one of which is called as one of the kernel's own."""
    frame = "check+0x1/0x2 [filter]"
    text = f"WARNING: CPU: 0 PID: 9 at {inside}{path}:41 {frame}\nRIP: 0010:{frame}\n"
    names = Names(["kernel/main.c", "user/main.c"])
    (own,) = kernel_log.findings(text, "filter", names=names)
    assert own.location == f"{path}:41"


def test_code_that_was_unloaded_is_asked_for_by_its_address() -> None:
    """A frame without a name is given to locate as an address."""
    asked: list[tuple[str, int]] = []

    def locate(function: str, offset: int) -> str:
        asked.append((function, offset))
        return "demo.c:7"

    (finding, *_) = kernel_log.findings(console("6.1/memory-leak-list"), "demo", locate)
    assert finding.location == "demo.c:7"
    assert [name for name, _ in asked] == [""] * len(asked)
    assert all(offset >> 28 == 0xFFFFFFFFA for _, offset in asked)


def test_a_return_address_stands_for_the_call_before_it() -> None:
    """Only the processor's own place is exact; what is on the stack is behind its call."""
    asked: list[int] = []

    def locate(function: str, offset: int) -> str:
        asked.append(offset)
        return ""

    kernel_log.findings(console("6.1/null-dereference"), "demo", locate)
    kernel_log.findings(console("6.1/panic"), "demo", locate)
    exact, call = (
        re.search(pattern, console(name))
        for pattern, name in (
            (r"RIP: 0010:null_pointer\+(0x\w+)", "6.1/null-dereference"),
            (r"  call_panic\+(0x\w+)", "6.1/panic"),
        )
    )
    assert exact and call
    assert asked == [int(exact[1], 16), int(call[1], 16) - 1]


# --- what checks and reports take besides ----------------------------------------------


def test_quiet_log_has_no_finding() -> None:
    """A log without a report gives none."""
    quiet = "[    2.174] [   20.520257] TCP connection initiated from 127.0.0.1:28165\n"
    assert kernel_log.findings(quiet, "filter") == []


def test_endless_report_is_cut() -> None:
    """A report that never ends has at most LINES lines, and a line that comes again is one."""
    endless = "BUG: x\n" + "".join(f"line {n}\n" for n in range(5000))
    (finding,) = kernel_log.findings(endless, "demo")
    assert len(finding.report.splitlines()) == kernel_log.LINES
    (finding,) = kernel_log.findings("BUG: x\n" + "[ 1.0] again\n" * 50 + "end\n", "demo")
    assert finding.report == "BUG: x\nagain\nend"


INJECTED = """\
[    1.736] [   52.949408] FAULT_INJECTION: forcing a failure.
[    1.736] [   52.949408] name failslab, interval 1, probability 0, space 0, times 1
[    1.743] [   52.950639] Call Trace:
[    1.743] [   52.950996]  <TASK>
[    1.743] [   52.952823]  should_fail_ex.cold+0x5/0xa
[    1.743] [   52.953690]  ? sock_alloc_inode+0x22/0xe0
[    1.744] [   52.955698]  kmem_cache_alloc_lru+0x4d/0x2b0
[    1.745] [   52.956644]  sock_alloc_inode+0x22/0xe0
[    1.746] [   52.959580]  __sock_create+0x5e/0x3b0
[    1.747] [   52.960398]  ? my_udp_msgsend+0x11d/0x11d [udp_sock]
[    1.747] [   52.961512]  sock_create_kern+0x14/0x20
[    1.748] [   52.962093]  my_udp_sock_init+0x6b/0xee3 [udp_sock]
[    1.749] [   52.964994]  do_one_initcall+0xe6/0x380
[    1.764] [   52.991343]  </TASK>
[    1.767] [   52.993582] socket: no more sockets
[    2.018] [   53.364754] FAULT_INJECTION: forcing a failure.
[    2.018] [   53.364754] name failslab, interval 1, probability 0, space 0, times 0
[    2.019] [   53.365985] Call Trace:
[    2.019] [   53.366342]  <TASK>
[    2.022] [   53.372951]  sk_alloc+0x2e/0x180
[    2.023] [   53.373855]  inet_create+0x1ef/0x760
[    2.024] [   53.375466]  __sock_create+0x19d/0x3b0
[    2.024] [   53.377402]  sock_create_kern+0x14/0x20
[    2.025] [   53.377983]  my_udp_sock_init+0x9b/0xee3 [udp_sock]
[    2.026] [   53.380884]  do_one_initcall+0xe6/0x380
[    2.039] [   53.407227]  </TASK>
"""
"""Cut from a run of vm/witness with the networking lab's solution; one offset was changed."""


def test_injected_failures_are_placed() -> None:
    """Where fault injection struck: what the module called, and where it called it."""
    assert kernel_log.injected(INJECTED, "udp_sock") == [
        ("sock_create_kern", "my_udp_sock_init", 0x6A),
        ("sock_create_kern", "my_udp_sock_init", 0x9A),
    ]
    assert kernel_log.injected(INJECTED, "veth") == [("", "", 0), ("", "", 0)]
    assert kernel_log.findings(INJECTED, "udp_sock") == []


def test_a_failure_that_the_kernel_keeps_to_itself_does_not_shift_the_others() -> None:
    """The witness says which allocation is to fail; of some the kernel tells nothing."""
    cut = INJECTED.index("[    2.018]")
    first, second = INJECTED[:cut], INJECTED[cut:]
    told = [f"[ 2.0] witness: allocation {n} of udp_sock is to fail\n" for n in (1, 2, 3, 4)]
    at = [("sock_create_kern", "my_udp_sock_init", offset) for offset in (0x6A, 0x9A)]
    log = "".join([told[0], first, told[1], told[2], second, told[3]])
    assert kernel_log.injected(log, "udp_sock") == [at[0], ("", "", 0), at[1], ("", "", 0)]
    assert all(kernel_reports.is_noise(line.split("] ")[1]) for line in told)


def test_plain_lines_have_neither_stamps_nor_our_folder() -> None:
    """A log is shown with the student's own paths."""
    assert kernel_log.plain_lines("[ 0.1] [  18.3] /build/demo/demo.c:7 said\n") == [
        "demo/demo.c:7 said",
        "",
    ]


# --- recording ------------------------------------------------------------------------


def _kernel(name: str, release: str) -> Kernel:
    return Kernel(name, release, "", Path(), "", {}, ())


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that recordings go to; what a guest says is the test's to patch."""
    monkeypatch.setattr(record_consoles, "CONSOLES", tmp_path)
    monkeypatch.setattr(kernel, "stock", lambda _: _kernel("stock", "6.1.0-56-cloud-amd64"))
    monkeypatch.setattr(kernel, "debug_if_built", lambda _: _kernel("debug", "6.1.192"))
    monkeypatch.setattr(record_consoles, "build", lambda *_: b"")
    monkeypatch.setattr(image, "initramfs", lambda _: Path("initramfs"))
    monkeypatch.setattr(image, "root", lambda: None)
    (tmp_path / "6.1").mkdir()
    (tmp_path / "6.1/places.json").write_text('{"bug": {"bug+0x1": "demo.c:7"}}\n')
    return tmp_path / "6.1"


@pytest.mark.parametrize("console", ["", "[    1.000] demo: loading out-of-tree module.\n"])
def test_recording_without_a_report_is_refused(
    console: str, recorder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A fault that the kernel did not notice leaves the old recording and its places alone."""
    (recorder / "bug.txt").write_text("as it was")
    monkeypatch.setattr(record_consoles, "record", lambda *_: (console, ""))
    assert record_consoles.main(["bug"]) == 1
    assert "bug: the kernel reported nothing" in capsys.readouterr().err
    assert (recorder / "bug.txt").read_text() == "as it was"
    assert json.loads((recorder / "places.json").read_text()) == {"bug": {"bug+0x1": "demo.c:7"}}


def test_recording_goes_to_the_folder_of_its_series(
    recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another release's kernel says lies beside that of the first, under its own name."""
    asked: list[str] = []

    def stock(release: str) -> Kernel:
        asked.append(release)
        return _kernel("stock", "6.12.117+deb13-cloud-amd64")

    monkeypatch.setattr(kernel, "stock", stock)
    monkeypatch.setattr(kernel, "debug_if_built", lambda _: None)
    monkeypatch.setattr(record_consoles, "record", lambda *_: ("kernel BUG at bug.c:9!\n", ""))
    assert record_consoles.main(["--release", "13", "bug"]) == 0
    assert asked == ["13"]
    assert not (recorder / "bug.txt").exists()
    assert (recorder.parent / "6.12/bug.txt").read_text() == "kernel BUG at bug.c:9!\n"


def test_unknown_case_is_refused(recorder: Path, capsys: pytest.CaptureFixture) -> None:
    """A name that no case has records nothing, and is told."""
    with pytest.raises(SystemExit):
        record_consoles.main(["bgu"])
    assert "there is no case bgu" in capsys.readouterr().err


def test_kmemleak_is_on_where_it_is_recorded(
    recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's command line turns it off for all other guests."""
    lines: dict[str, str] = {}
    report = "kernel BUG at /build/demo/demo.c:9!\n"

    def record(case: record_consoles.Case, *_: object) -> tuple[str, str]:
        lines[case.name] = machine.COMMAND_LINE
        return report, "unreferenced object 0xff (size 128):\n" * (case.name == "memory-leak")

    monkeypatch.setattr(record_consoles, "record", record)
    assert record_consoles.main(["bug", "memory-leak"]) == 0
    assert (recorder / "bug.txt").read_text() == report
    assert (recorder / "memory-leak-list.txt").exists()
    assert "kmemleak=off" in lines["bug"].split()
    assert "kmemleak=off" not in lines["memory-leak"].split()
    assert lines["bug"] == machine.COMMAND_LINE


# --- the whole way, in a guest ---------------------------------------------------------


@pytest.mark.vm
@pytest.mark.parametrize("name", ["init", "warning", "null-dereference"])
def test_a_mistake_in_a_guest_is_told_with_its_line(at_hand: Kernel, name: str) -> None:
    """A module is built, loaded and fails, and the line it fails at is named."""
    on = at_hand
    config = Config(on, image.initramfs(on), image.root())
    ko = record_consoles.build(CONSOLES / "demo/demo.c", on)
    text, _ = record_consoles.record(record_consoles.Case(name), config, ko)
    names = Names(["demo/demo.c"])
    symbols = Symbols(ko, on.tools.system, names)
    found = kernel_log.findings(text, "demo", symbols.locate, names)
    assert found[0].location == marked(name)


def test_positive_value_of_init_is_a_finding() -> None:
    """The kernel's words for it, cut from a run on 6.1, with no place of the module's in them."""
    log = (
        "[   18.092463] do_init_module: 'filter'->init suspiciously returned 1, it should follow "
        "0/-E convention\n[   18.092463] do_init_module: loading module anyway...\n"
        "[   18.092568] CPU: 0 PID: 106 Comm: agent Tainted: G           OE      6.1.0-56\n"
        "[   18.092751] Call Trace:\n[   18.092795]  <TASK>\n"
        "[   18.092837]  dump_stack_lvl+0x44/0x5c\n[   18.092960]  do_init_module.cold+0x21/0x26\n"
        "[   18.094501]  </TASK>\n[   18.103885] TCP connection initiated from 127.0.0.1:31420\n"
    )
    (found,) = kernel_log.findings(log, "filter", kernel_log.nowhere)
    assert (found.kind, found.location) == ("init-value", "")
    assert found.summary.startswith("init of filter returned 1, and a positive number is no errno")
    assert "TCP connection" not in found.report


def test_what_a_module_prints_is_no_noise() -> None:
    """Registers and guesses are left out of a log's end; a student's own words never are."""
    for line in (
        "RAX: ffffffffffffffda RBX: 00007ffe",
        " ? handle_mm_fault+0xdb/0x2d0",
        " </TASK>",
    ):
        assert kernel_reports.is_noise(line), line
    for line in ("flags: syn 1 ack 0", "page 7", "note: here", "CPU: one", "RIP: 0010:f+0x1/0x2"):
        assert not kernel_reports.is_noise(line), line
