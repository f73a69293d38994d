"""Pure: the one next step that ends every failure, from whoever knows it best.

That is the check itself where its evidence names the mistake (Unmet's hint), then
what the kernel reported meanwhile, then the way in which it failed, and last the
exercise's own hint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from checker.model import NEEDS_A_KERNEL, CheckResult, Finding

_LOST = "Undo your last change and check again; then add it again piece by piece."
_LATE = (
    "Look for a loop without an end, or for what is waited for here and never comes: nothing may "
    "wait longer than the exercise says."
)
_BEFORE = "First fix what failed before this check."
_AGAIN = "You have nothing to fix: run it again. If it fails again, tell your instructor."
_AUTHOR = (
    "This check is broken, whatever your code does. If the lab is yours, fix the check at {where}; "
    "if not, show this to your instructor."
)
_OTHER_KERNEL = "Run `make kernel NAME=debug` once, in some minutes; `make check` then tries it."
_ID = re.compile(r"(?<![\w.-])\d+\.[a-z][a-z0-9-]*")


def of(
    check: CheckResult,
    exercise_hint: str,
    findings: Sequence[Finding],
    checks: Mapping[str, CheckResult],
) -> str:
    """Return the next step for *check*, a sentence or two; empty if it passed.

    *exercise_hint* stands where nobody knows better; *findings* are the kernel's, of all
    checks; *checks* are all checks by their ids, to find the one that this one waits for.
    """
    if check.status == "pass":
        return ""
    if check.hint:
        return check.hint
    if check.status == "error":
        return _AGAIN
    if check.status == "skip":
        return _of_skipped(check, checks)
    reported = [
        of_finding(finding)
        for finding in findings
        if finding.check == check.id and not _is_no_cause(check, finding)
    ]
    if check.status == "timeout":  # what sleeps where it may not hangs later, and elsewhere
        for finding in findings:
            if finding.check == check.id and finding.kind == "atomic-sleep":
                return of_finding(finding)
    if check.status in ("crash", "timeout"):
        # the last report is the one that its message tells of
        return reported[-1] if reported else _LOST if check.status == "crash" else _LATE
    return reported[0] if reported else _of_an_earlier(check, checks) or exercise_hint


def _of_an_earlier(check: CheckResult, checks: Mapping[str, CheckResult]) -> str:
    """Return the next step of a check of the same exercise that failed before *check*, or "".

    It knows its mistake, which may well be the one that *check* cannot name.
    """
    exercise = check.id.partition(".")[0]
    for other in checks.values():
        if other.id == check.id:
            break
        if other.status == "fail" and other.hint and other.id.partition(".")[0] == exercise:
            return f"First fix {other.id}, which may have the same cause. {other.hint}"
    return ""


def _is_no_cause(check: CheckResult, finding: Finding) -> bool:
    """Tell whether *finding* cannot be why *check* failed.

    That a module is stuck follows from the rest. What is never freed, and an order of locks that
    may be fatal one day, change nothing of what the check has seen instead.
    """
    seen = check.status == "fail" and bool(check.expected or check.actual)
    return finding.kind in ("stuck-module", "lost-guest") or (
        seen and finding.kind in _HARMLESS_SO_FAR
    )


_HARMLESS_SO_FAR = ("leak", "memory-leak", "reference-left", "lockdep")


def of_author(where: str) -> str:
    """Return the next step where a lab's check is broken at *where*: who has to fix it."""
    return _AUTHOR.format(where=where)


def of_errors(errors: Sequence[CheckResult]) -> str:
    """Return the next step after checks that are the grader's trouble: what is to be mended.

    That is a check of the lab, where one is broken.
    """
    known = [check.hint for check in errors if check.hint not in ("", _AGAIN)]
    return next(iter(known), "")


def _of_skipped(check: CheckResult, checks: Mapping[str, CheckResult]) -> str:
    """Return what comes before a check that was not tried."""
    if check.message.startswith(NEEDS_A_KERNEL):
        return _OTHER_KERNEL
    cause, waits_for = check, ""
    while cause.status == "skip" and (found := _ID.search(cause.message)):
        if found[0] == waits_for:
            break
        waits_for = found[0]
        cause = checks.get(waits_for, cause)
    return f"First fix {waits_for}: this check needs it." if waits_for else _BEFORE


def of_finding(finding: Finding) -> str:
    """Return the next step after a report: its own, or by its kind and its sentence."""
    if finding.hint:
        return finding.hint
    text = next(
        step
        for kind, words, step in _REPORTED
        if kind in ("", finding.kind) and words in finding.summary
    )
    if not finding.location:
        text = re.sub(r"[;,] begin at \{place\}|\.? Begin at \{place\}", "", text)
    return text.format(place=finding.location or "the line that did it")


_WAITS = (
    "Take the wait at {place} out: a hook, a timer, and who holds a spinlock, must not wait. What "
    "has to wait can be done later, by a work_struct or a thread."
)
_SLEEPS = {
    **dict.fromkeys(("msleep", "ssleep", "usleep_range", "schedule_timeout", "schedule"), _WAITS),
    **dict.fromkeys(("msleep_interruptible", "wait_for_completion", "usleep_range_state"), _WAITS),
    **dict.fromkeys(
        ("mutex_lock", "mutex_lock_nested", "down", "down_read", "down_write"),
        "Take a spinlock for the mutex at {place}: a mutex sleeps until it is free.",
    ),
    **dict.fromkeys(
        (
            "lock_sock_nested",
            "kernel_sendmsg",
            "kernel_recvmsg",
            "sock_create_kern",
            "sock_release",
        ),
        "Take the call on a socket at {place} out: it may sleep. A work_struct or a thread can do "
        "it later.",
    ),
}
"""A function that sleeps -> the next step where it was called by who must not."""

_REPORTED = (
    ("oops", "%pI4", "Put an & before the address that is printed at {place}."),
    (
        "oops",
        "after the module was unloaded",
        "In exit, undo all that init registered or started, in reverse order. Where init fails, "
        "undo what it did so far. Give an unregister function the pointer that was registered.",
    ),
    (
        "oops",
        "exit() reads through a NULL pointer",
        "Look at what sets the pointer at {place}: init returned 0 and did not set it. Either init "
        "failed and did not return the error, or a variable declared again inside a function hides "
        "the one outside.",
    ),
    (
        "oops",
        "NULL",
        "Find the code that sets the pointer at {place}. Does it run before this line? A variable "
        "declared again inside a function hides the one outside. And what was released, as by "
        "sock_release(), must not be used again.",
    ),
    (
        "oops",
        "copy_from_user",
        "Let nothing at {place} follow a pointer of the program's; copy_from_user() fetches "
        "what it points to. If the line calls that, its arguments are swapped: your variable's "
        "address comes first, the program's pointer second.",
    ),
    (
        "oops",
        "0xfefefefefefefefe",
        "Give what is used at {place} a first value where it is declared, as in struct msghdr "
        "msg = {{ }}: a field that nobody sets has what lay on the stack before.",
    ),
    ("oops", "already deleted", "Take list_for_each_entry_safe() for the loop at {place}."),
    (
        "oops",
        "already freed",
        "Look for the kfree() that comes before {place}, and move it behind the last use.",
    ),
    ("oops", "zero", "Test the divisor before {place}."),
    (
        "oops",
        "stack of 16 KiB",
        "Let kmalloc() make room for what is large at {place}, and a loop take the place of "
        "calls without end.",
    ),
    ("oops", "must not be written", "Write at {place} to a copy of your own."),
    (
        "oops",
        "",
        "Find the code that sets the pointer at {place}. Can this line run before that code, or "
        "after what the pointer points to was freed?",
    ),
    (
        "kasan",
        "NULL",
        "Find the code that sets the pointer at {place}. Does it run before this line? If the "
        "pointer may be NULL, test it before you use it.",
    ),
    (
        "kasan",
        "copy_from_user",
        "Let nothing at {place} follow a pointer of the program's; copy_from_user() fetches "
        "what it points to.",
    ),
    (
        "kasan",
        "frees",
        "Free it in one place, once, with the pointer that the allocation gave; begin at {place}.",
    ),
    ("kasan", "was freed", "Move the release behind the last use, which is at {place}."),
    (
        "kasan",
        "block has ended",
        "Declare the variable outside the block, so that it lives at {place}.",
    ),
    (
        "kasan",
        "outside",
        "Count the bytes at {place}, the NUL at a string's end included, and make room for all "
        "of them.",
    ),
    (
        "kasan",
        "",
        "Find the code that sets the pointer at {place}. Does it run before this line?",
    ),
    ("ubsan", "", "Test the value at {place} before it is used."),
    ("overflow", "", "Give the copy at {place} the size of what it copies into."),
    (
        "bug",
        "runs into BUG()",
        "Return where the test at {place} fails: with BUG() everything ends, not only the module.",
    ),
    (
        "bug",
        "fs/inode.c",
        "Release each socket once, and not after it was released elsewhere; begin at {place}.",
    ),
    ("bug", "", "Look at the call at {place}: is what it gets still there, and given back once?"),
    (
        "panic",
        "",
        "Return an error at {place} instead: nothing that a module meets is worth a panic().",
    ),
    (
        "init-value",
        "",
        "Return 0 from init if all went well, and the negative error of the function that failed "
        "if not.",
    ),
    (
        "warning",
        "hook not found",
        "Give nf_unregister_net_hook() at {place} the structure that nf_register_net_hook() got, "
        "once, and keep it outside of the functions: a copy on init's stack is gone by then.",
    ),
    ("warning", "", "Look at {place}, and in the report for the line of the test that failed."),
    ("refcount", "", "Count on every way through {place}: one put for each get."),
    ("list", "", "Look at {place}: each element is added once and deleted once, under one lock."),
    ("skb", "", "Make room in the packet before {place}."),
    (
        "slab",
        "",
        "Check on the debug kernel, which names the line: `make kernel NAME=debug` builds it.",
    ),
    *(
        (kind, f"calls {function}()", step)
        for kind in ("atomic-sleep", "rcu")
        for function, step in _SLEEPS.items()
    ),
    (
        "atomic-sleep",
        "spinlock",
        "Move what may sleep at {place} out of the lock, or take a mutex for the spinlock where"
        " no hook needs it.",
    ),
    (
        "atomic-sleep",
        "between rcu_read_lock()",
        "Take at {place} what does not sleep, as GFP_ATOMIC for memory or a spinlock for a mutex: "
        "a netfilter hook is called under rcu_read_lock().",
    ),
    (
        "atomic-sleep",
        "",
        "Take at {place} what does not sleep: GFP_ATOMIC for memory, a spinlock for a mutex.",
    ),
    (
        "rcu",
        "between rcu_read_lock()",
        "Take at {place} what does not sleep, as GFP_ATOMIC for memory or a spinlock for a mutex: "
        "a netfilter hook is called under rcu_read_lock().",
    ),
    ("rcu", "", "Put rcu_read_lock() and rcu_read_unlock() around what {place} reads."),
    (
        "lockdep",
        "spin_lock_bh",
        "Take spin_lock_bh() and spin_unlock_bh() for this lock outside softirqs; begin at "
        "{place}.",
    ),
    (
        "lockdep",
        "other way round",
        "Choose one order for the two locks and keep to it everywhere; begin at {place}.",
    ),
    (
        "lockdep",
        "never initialised",
        "Define the lock with DEFINE_SPINLOCK() or DEFINE_MUTEX(), or initialise it in init, "
        "before {place}.",
    ),
    (
        "lockdep",
        "holds it already",
        "Give the lock back before {place}, or leave out the second lock.",
    ),
    ("lockdep", "memory with a lock", "Unlock before the kfree() at {place}."),
    ("lockdep", "may sleep", "Take a spinlock at {place}, or take the mutex before."),
    (
        "lockdep",
        "",
        "Go through every line that takes this lock or gives it back, in pairs; begin at {place}.",
    ),
    ("lock-kept", "", "Give the lock back on every way out of the function at {place}."),
    ("preempt", "", "Put get_cpu() before {place} and put_cpu() behind it."),
    ("stall", "", "Let the loop at {place} end, or let it sleep while it waits."),
    ("soft-lockup", "", "Let the loop at {place} end, or let it sleep while it waits."),
    ("hang", "interrupts off", "Let the loop at {place} end, and turn interrupts on again."),
    ("hang", "", "Let the loop at {place} end, or let it sleep while it waits."),
    ("hung-task", "", "Look for what should wake {place}, and wait so that a signal ends it."),
    (
        "memory-leak",
        "",
        "Free in exit, and where init fails later, what was allocated; begin at {place}.",
    ),
    ("reference-left", "", "Call dev_put() for each dev_get_by_name() and dev_hold()."),
    (
        "debug-objects",
        "",
        "Stop it and wait for it, as cancel_work_sync() does, before its memory goes; on the "
        "stack, set it up with _ONSTACK. Begin at {place}.",
    ),
    ("taint", "license", 'Write MODULE_LICENSE("GPL") at the end of the file.'),
    ("taint", "", "Undo your last change, add it again in pieces, and check after each piece."),
    (
        "stuck-module",
        "",
        "Look if module_exit() is there, if exit ends, and if the module keeps itself, with a "
        "reference or a thread.",
    ),
    (
        "lost-guest",
        "",
        "Look at what exit does: the kernel works before rmmod, and not after it.",
    ),
    ("watch-off", "", "Take out what turns it off."),
    ("", "", "Look at {place}: the report's first line says what is wrong."),
)
"""Kind, words of the summary, and the step; the first row that fits. Empty words fit all."""
