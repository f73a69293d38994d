"""Pure: what a report of the kernel means: its kind, and a sentence for the student.

KINDS is the table of all that is known; the functions before it make the
sentences that depend on what else stands in the report.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from checker.words.kernel_reports import MODULES, Form, Row, Story


def _plural(number: str, unit: str) -> str:
    return f"{number} {unit}" + ("" if number == "1" else "s")


def _quoted(words: str) -> str:
    return words.strip().rstrip(".:!")[:200]


# Each of these returns the sentence for a family of reports.

_PAGE = 4096
_USER_END = 1 << 47
_LIST_POISON = 0xDEAD000000000000
_FREED_POISON = 0x6B6B6B6B6B6B6B6B


def _fault(story: Story) -> str:
    """Tell of an access that the processor refused, by its address."""
    # KASAN looks at its shadow of the address first, and that is what the processor refuses
    meant = story.report.search(r"^KASAN: .* in range \[0x([0-9a-f]+)-")
    address = int(meant[1] if meant else story.report.head["address"], 16)
    if left := _left_running(story, address):
        return left
    does = re.search(r"#PF: supervisor (read|write|instruction fetch)", story.report.text)
    if _prints_address(story):
        return _PRINTS.format(who=story.who)
    access = {"read": "reads", "write": "writes"}.get(does[1] if does else "", "follows")
    if address < _PAGE and does and does[1] == "instruction fetch":
        what = "calls a function through a pointer that is NULL: it was never set"
    elif address < _PAGE:
        through = "" if access == "follows" else " through"
        what = (
            f"{access}{through} a NULL pointer{_field(address)}: it was never set, or set to NULL"
        )
    elif 0 <= address - _LIST_POISON < _PAGE:
        what = (
            "follows the links of a list element that was already deleted from its list; "
            "a loop that deletes needs list_for_each_entry_safe()"
        )
    elif abs(address - _FREED_POISON) < _PAGE:
        what = "uses a pointer that it read from memory which was already freed"
    elif address < _USER_END:
        what = (
            "uses a user program's pointer as if it were the kernel's: "
            "only copy_from_user() and copy_to_user() may do that"
        )
    elif access == "writes" and "permissions violation" in story.report.text:
        what = "writes to memory that must not be written: a constant or code"
    else:
        what = (
            f"follows a pointer that leads nowhere ({address:#x}): it was never set, or was "
            "overwritten, or its memory is gone"
        )
    return f"{story.who} {what}."


def _left_running(story: Story, address: int = 0) -> str:
    """Tell of code that goes on when its module is gone; "" where that is not the case."""
    rip = next(iter(story.report.stacks.get("rip", ())), None)
    unloaded = re.search(r"last unloaded: (\w+)", story.report.text)
    if not unloaded or not (address in MODULES or (rip and rip.offset in MODULES)):
        return ""
    return (
        f"Something of {unloaded[1]} (a timer, a hook, a thread) is still in use after the "
        "module was unloaded: the exit function must stop all that init has started, and wait."
    )


def _breakpoint(story: Story) -> str:
    return _left_running(story) or f"{story.who} runs into bytes that are no code."


_PRINTS = (
    "{who} gives %pI4 or %pI6 an address, where they take a pointer to one: printk() follows it."
)


def _prints_address(story: Story) -> bool:
    """Tell whether printk() was following what it took for a pointer to an IP address."""
    stacks = story.report.stacks
    frames = (*stacks.get("rip", ())[:1], *stacks.get("trace", ())[:3])
    return any(re.match(r"ip[46]_|ip_addr_string", frame.function) for frame in frames)


def _field(offset: int) -> str:
    return f" (a field {_plural(str(offset), 'byte')} into a struct)" if offset else ""


def _freed_twice(story: Story) -> str:
    return (
        f"{story.who} frees memory that was freed before{story.at('freed')}: the second kfree() "
        "takes it away from whoever got it meanwhile."
    )


def _bug(story: Story) -> str:
    if story.report.head["file"] == "mm/slub.c":  # of a list of free objects: one points to itself
        return _freed_twice(story)
    if story.spot and story.spot in story.report.stacks.get("rip", ()):
        return story.fill(
            "{who} runs into BUG() or BUG_ON(): what must never happen has, and the kernel stops."
        )
    return story.fill(
        "{who} makes the kernel stop at BUG() in {file}, which is the kernel's own code: it was "
        "given something that it cannot work with, such as what was released before."
    )


def _warning(story: Story) -> str:
    words = " ".join(story.report.lines[: story.report.lines.index(story.report.head.string)])
    said = f" ({_quoted(words)})" if words else ""
    if story.spot and story.spot in story.report.stacks.get("rip", ()):
        return f"{story.who} runs into WARN() or WARN_ON(){said}: what should never happen has."
    return (
        f"The kernel warns of a call that should not be, from {story.who}{said}: the line in the "
        "report says which of its own tests failed."
        if story.spot
        else f"The kernel warns{said}: the line in the report says which of its tests failed."
    )


def _kasan(story: Story) -> str:
    """Tell of a wrong access or a wrong kfree(), and of whose memory it was."""
    what = story.report.head["what"]
    access = story.report.search(r"^(Read|Write) of size (\d+)")
    size = _plural(access[2], "byte") if access else "memory"
    does = f"{access[1].lower()}s {size}" if access else "uses memory"
    if _prints_address(story):
        return _PRINTS.format(who=story.who)
    allocated, freed = story.at("allocated"), story.at("freed")
    variable = story.report.search(r"belongs to the variable:\n +(?:\[<\w+>\] )?([\w.]+)\+")
    if "double-free" in what:
        return _freed_twice(story)
    if "invalid-free" in what:
        says = (
            f"frees an address that no allocation returned{allocated}: kfree() must get the very "
            "pointer that kmalloc() gave"
        )
    elif "use-after-free" in what:
        says = (
            f"{does} of memory that was freed{freed}: it only works by luck, until the memory is "
            "used again"
        )
    elif "use-after-scope" in what:
        says = f"{does} of a local variable whose block has ended: its place may hold another one"
    elif "stack" in what or "alloca" in what:
        name = _nearest(story)
        says = f"{does} outside {name}: what lies beside it on the stack is something else"
    elif "global" in what:
        name = f" {variable[1]}" if variable else ""
        says = f"{does} outside the global variable{name}: what lies beside it is something else"
    elif "out-of-bounds" in what:
        says = (
            f"{does} outside the memory that was allocated for it{allocated}: what lies beside it "
            "is somebody else's"
        )
    elif "null" in what:
        says = f"{does} through a NULL pointer: it was never set, or set to NULL"
    elif "user-memory" in what:
        says = (
            f"{does} through a user program's pointer: "
            "only copy_from_user() and copy_to_user() may do that"
        )
    elif "wild" in what:
        says = f"{does} through a pointer that leads nowhere: it was never set, or was overwritten"
    else:
        says = f"{does} that it must not use ({what})"
    return f"{story.who} {says}."


def _nearest(story: Story) -> str:
    """Return which local variable a wrong access to the stack was nearest to."""
    offset = story.report.search(r"at offset (\d+) in frame:")
    objects = re.findall(r"\[(\d+), (\d+)\) '([^']+)'", story.report.text)
    if offset is None or not objects:
        return "a local variable"
    at = int(offset[1])
    distance = {name: max(int(low) - at, at - int(high), 0) for low, high, name in objects}
    return f"the local variable {min(distance, key=lambda name: distance[name])}"


def _ubsan(story: Story) -> str:
    """Tell of arithmetic that C does not define; the kernel's second line says which."""
    lines = story.report.lines
    detail = _quoted(lines[1]) if len(lines) > 1 and not lines[1].startswith("CPU") else ""
    what = {
        "array-index-out-of-bounds": "uses an index that the array does not have",
        "shift-out-of-bounds": "shifts by more bits than the type has, or by a negative number",
        "division-overflow": "divides by zero, or overflows by dividing",
        "invalid-load": "reads a bool or enum that holds no such value: it was never set",
    }.get(story.report.head["what"], "does what C does not define")
    return f"{story.who} {what}{f' ({detail})' if detail else ''}: anything may come of it."


_LOCK = r"\((?P<name>[^\n]{1,80}?)\)\{[^}\n]{1,20}\}"


def _locks(story: Story) -> list[str]:
    """Return the names of the locks in a report of lockdep, as they come."""
    return [m["name"].lstrip("&*(").rstrip(")") for m in re.finditer(_LOCK, story.report.text)]


def _inversion(story: Story) -> str:
    locks = _locks(story)
    if len(locks) < 2:
        return f"{story.who} takes two locks in an order that is the other way round elsewhere."
    return (
        f"{story.who} takes {locks[0]} while it holds {locks[1]}, and elsewhere{story.at('other')} "
        "they are taken the other way round: two CPUs that do both at once wait for each other "
        "for ever."
    )


def _recursion(story: Story) -> str:
    name = (_locks(story) or ["a lock"])[0]
    return f"{story.who} takes {name} while it holds it already: it waits for itself for ever."


def _unlock(story: Story) -> str:
    if story.timer:
        return (
            f"The timer {story.timer} of the module is still active when it is unloaded: the exit "
            "function must stop it and wait for it, or it runs in memory that is gone."
        )
    return (
        f"{story.who} gives back a lock that it does not hold: whoever does hold it is no longer "
        "alone."
    )


_USAGE = re.compile(r"inconsistent \{(?:IN-)?(?:\w+IRQ)-\S+\} -> \{(?:IN-)?(?P<irq>SOFT|HARD)")


def _irq_state(story: Story) -> str:
    name = (_locks(story) or ["A lock"])[0]
    usage = _USAGE.search(story.report.text)
    hard = bool(usage and usage["irq"] == "HARD")
    where = "an interrupt" if hard else "a softirq (a timer, a netfilter hook)"
    what = "interrupts" if hard else "softirqs"
    cure = "spin_lock_irqsave()" if hard else "spin_lock_bh()"
    registered = story.at("registered")
    return (
        f"{name} is taken in {where}, and elsewhere with {what} let in{registered}: one that "
        f"comes while the lock is held waits for ever; use {cure} there."
    )


def _irq_order(story: Story) -> str:
    locks = _locks(story)
    first, second = locks[:2] if len(locks) > 1 else ("a lock", "another")
    return (
        f"{story.who} takes {first} while it holds {second}, which is also taken in an interrupt "
        f"or a softirq, and elsewhere {first} is held with those let in: two CPUs that do this at "
        "once wait for each other for ever."
    )


_INTERRUPTS_ON = 1 << 9
"""The bit of EFLAGS that lets interrupts in."""


def _hang(story: Story) -> str:
    """Tell of code that the grader asked where it is, by the flags that it had then."""
    flags = story.report.search(r"EFLAGS: ([0-9a-f]{8})\b")
    if flags and int(flags[1], 16) & _INTERRUPTS_ON:
        return (
            f"{story.who} keeps the CPU to itself in a loop: nothing else runs any more, and the "
            "kernel answers nothing."
        )
    return (
        f"{story.who} keeps the CPU to itself with interrupts off: the kernel answers nothing any "
        "more."
    )


def _sleep(story: Story) -> str:
    called = story.callee
    does = f"calls {called}, which may sleep," if called else "may sleep"
    return f"{story.who} {does} {_context(story)}: the CPU has no way to go on with another task."


def _context(story: Story) -> str:
    """Return why the code that slept must not, from the kernel's counters and lists of locks."""
    counter = story.report.search(r"^preempt_count: ([0-9a-f]+),|while atomic: .*/0x([0-9a-f]{8})")
    count = int(counter[1] or counter[2], 16) if counter else 0
    # {2:2} is a spinlock and {3:3} a mutex; from 6.13 on 2 is a raw one, 3 a spinlock, 4 a mutex
    release = story.report.search(r"^CPU: .* (\d+)\.(\d+)\.\S+ #\d")
    spinning = "[23]" if release and (int(release[1]), int(release[2])) >= (6, 13) else "2"
    held = rf"^ *#\d+: .*?{_LOCK}-\{{{spinning}:\d+\}}"
    spinlocks = [
        m["name"].lstrip("&*(") for m in re.finditer(held, story.report.text, re.MULTILINE)
    ]
    if count & 0xF0000:
        return "in an interrupt"
    if count & 0x100:
        return "in a softirq (a timer, a tasklet, a netfilter hook)"
    if spinlocks:
        return f"while it holds the spinlock {spinlocks[0]}"
    if story.report.search(r"irqs_disabled\(\): 1"):
        return "with interrupts off"
    if story.report.search(r"RCU nest depth: [1-9]|\(rcu_read_lock\)|in RCU read-side|within RCU"):
        return "between rcu_read_lock() and rcu_read_unlock()"
    if count & 0xFE00:
        return "with softirqs off (spin_lock_bh() or local_bh_disable())"
    return "while it holds a spinlock or has preemption off"


def _rcu(story: Story) -> str:
    if "context switch" in story.report.text:
        return _sleep(story)
    return (
        f"{story.who} uses what RCU protects without rcu_read_lock(), nor the lock of those who "
        "change it: another CPU may free it while it is in use."
    )


def _stall(story: Story) -> str:
    if "Tasks blocked on" in story.report.text:
        says = "stays between rcu_read_lock() and rcu_read_unlock() for too long"
    else:
        says = "keeps a CPU to itself for so long that RCU cannot go on"
    return f"{story.who} {says}: nothing that waits for a grace period is freed meanwhile."


def _hung(story: Story) -> str:
    called = story.callee
    where = f" in {called}" if called else ""
    owner = story.report.search(
        r"^INFO: task .* blocked on an? (?P<lock>[\w-]+) .* task (?P<task>\S+)"
    )
    if owner and owner["task"].rstrip(".") == story.report.head["task"]:
        return (
            f"{story.who} waits{where} for a {owner['lock']} that it holds already: it waits for "
            "itself for ever."
        )
    says = f"{story.who} waits{where} and cannot even be killed: after a long time, what it waits "
    if owner:
        name = owner["task"].rpartition(":")[0]
        holder = f"the task {name}{story.at('owner')}"
        return f"{says}for has not come; it is a {owner['lock']}, and {holder} seems to hold it."
    return f"{says}for has not come."


def _leak(story: Story) -> str:
    size = _plural(story.report.head["size"], "byte")
    who = f"{story.spot.name}()" if story.spot and story.spot.name else "The module"
    return (
        f"{who} allocated {size} that were never freed, and nobody points there any more: "
        "lost until the next boot."
    )


def _listed(story: Story) -> str:
    how = (
        "adds an element that is in a list already to"
        if story.report.head["how"] == "add"
        else ("deletes an element that is not, or no longer, in")
    )
    return f"{story.who} {how} a list: its links lead astray, and so does whoever follows them."


def _refcount(story: Story) -> str:
    words = story.report.head["words"]
    if "underflow" in words:
        says = "gives a reference back once too often: others use memory that is freed by that"
    elif "addition on 0" in words:
        says = "takes a reference to something whose count is 0 already: it is being freed"
    elif "leaking" in words:
        says = "counts down to 0 without freeing, or without end: the memory is never freed"
    else:
        says = "makes a reference count overflow: references are taken and never given back"
    return f"{story.who} {says}."


def _active(story: Story) -> str:
    kind = story.report.head["type"]
    if any("free_mod" in frame.function for frame in story.report.stacks.get("trace", ())):
        return (
            f"A {kind} of the module is still active when it is unloaded: the exit function "
            "must stop it and wait for it, or it runs in memory that is gone."
        )
    return (
        f"{story.who} frees memory with a {kind} in it that is still active: stop it first and "
        "wait for it, or it runs in memory of somebody else."
    )


def _overflow(story: Story) -> str:
    found = story.report.head.groupdict(default="")
    function = f"{found['function']}()" if "function" in found else "copy_to_user() or the like"
    room, size = found.get("room"), found.get("size")
    lengths = f" ({size} bytes, room for {room})" if room and size else ""
    return f"{story.who} lets {function} copy more than its buffer holds{lengths}."


def _usercopy(story: Story) -> str:
    head = story.report.head
    shows = head["way"] == "exposure"
    way = "shows a user program" if shows else "lets a user program overwrite"
    return (
        f"{story.who} {way} {_plural(head['size'], 'byte')} of {head['of']}, which is smaller: "
        "the rest is other code's memory."
    )


_INIT_VALUE = (
    "init of {module} returned {value}, and a positive number is no errno: the module counts as "
    "loaded, whatever went wrong."
)


# --- the table -------------------------------------------------------------------------


def _row(begins: str, kind: str, says: str | Callable[[Story], str], form: Form = "stack") -> Row:
    return Row(re.compile(begins), kind, says, form)


KINDS = (
    # --- KASAN and UBSAN: what the compiler's own checks caught
    _row(r"BUG: KASAN: (?P<what>.+?) in ", "kasan", _kasan),
    _row(r"UBSAN: (?P<what>[\w-]+) in ", "ubsan", _ubsan),
    # --- what the processor refused
    _row(r"BUG: kernel NULL pointer dereference, address: (?P<address>[0-9a-f]+)", "oops", _fault),
    _row(r"BUG: unable to handle .* address: (?P<address>[0-9a-f]+)", "oops", _fault),
    _row(r"(Oops: )?general protection fault.* 0x(?P<address>[0-9a-f]+):", "oops", _fault),
    _row(
        r"BUG: (\w+ )?stack guard page was hit|(traps: )?PANIC: double fault|(Oops: )?double fault",
        "oops",
        "{who} uses up the kernel's stack of 16 KiB: it calls itself without end, or its local "
        "variables are too large.",
    ),
    # what lies where the code of a module was, on 7.2
    _row(r"(Oops: )?int3: ", "oops", _breakpoint),
    _row(r"(Oops: )?divide error", "oops", "{who} divides by zero: test the divisor before."),
    _row(
        r"(Oops: )?(stack guard page|invalid opcode): |Oops: (Oops: )?[0-9a-f]{4} ",
        "oops",
        "{who} does what the processor refuses.",
        "tail",
    ),
    _row(r"Oops: |general protection fault", "oops", "{who} does what the processor refuses."),
    # --- what the kernel's functions say of their arguments
    _row(r"list_(?P<how>add|del)[ _]", "list", _listed, "words"),
    _row(r"refcount_t: (?P<words>.*)", "refcount", _refcount, "words"),
    _row(r"ODEBUG: free active.* type: (?P<type>\w+)", "debug-objects", _active, "words"),
    _row(
        r"ODEBUG: (?P<what>\w+ \w+).* object type: (?P<type>\w+)",
        "debug-objects",
        "{who} uses a {type} in the wrong state ({what}): set it up once, before its first use, "
        "and not while it is active.",
        "words",
    ),
    _row(r"detected buffer overflow in (?P<function>\w+)", "overflow", _overflow, "words"),
    _row(
        r"(?P<function>\w+): detected buffer overflow: (?P<size>\d+) byte \w+ of buffer size "
        r"(?P<room>\d+)",
        "overflow",
        _overflow,
        "words",
    ),
    _row(
        r"(?P<function>\w+): detected field-spanning write \(size (?P<size>\d+)\)"
        r".*\(size (?P<room>\d+)\)",
        "overflow",
        _overflow,
        "words",
    ),
    _row(
        r"Buffer overflow detected \((?P<room>\d+) < (?P<size>\d+)\)",
        "overflow",
        _overflow,
        "words",
    ),
    _row(
        r"usercopy: Kernel memory (?P<way>exposure|overwrite) attempt detected (from|to) "
        r"(?P<of>.*?) \(offset \d+, size (?P<size>\d+)\)",
        "overflow",
        _usercopy,
        "words",
    ),
    _row(
        r"Kernel panic - not syncing: stack-protector",
        "overflow",
        "{who} writes beyond one of its local variables: where it would have returned to was "
        "overwritten.",
    ),
    _row(
        r"skbuff: skb_(?P<how>over|under)_panic: .* put:(?P<size>\d+)",
        "skb",
        lambda story: story.fill(
            "{who} adds {size} bytes to a packet that has no room for them "
            + ("behind" if story.report.head["how"] == "over" else "before")
            + " its data: allocate more, or reserve it with skb_reserve()."
        ),
        "words",
    ),
    # --- locks
    _row(r"WARNING: possible circular locking", "lockdep", _inversion),
    _row(r"WARNING: possible recursive locking", "lockdep", _recursion),
    _row(r"WARNING: inconsistent lock state", "lockdep", _irq_state),
    _row(r"WARNING: (possible irq lock inversion|(SOFT|HARD)IRQ-safe ->)", "lockdep", _irq_order),
    _row(r"WARNING: bad unlock balance", "lockdep", _unlock),
    _row(
        r"WARNING: lock held when returning to user|BUG: .* still has locks held",
        "lockdep",
        lambda story: (
            f"{story.who} takes {(_locks(story) or ['a lock'])[0]}, and it is still held when the "
            "system call returns: whoever wants it next waits for ever."
        ),
        "locks",
    ),
    _row(
        r"WARNING: held lock freed",
        "lockdep",
        "{who} frees memory with a lock in it that is held: whoever waits for it waits in memory "
        "of somebody else.",
    ),
    _row(
        r"INFO: trying to register non-static key",
        "lockdep",
        "{who} uses a lock that was never initialised: spin_lock_init() or mutex_init() comes "
        "first.",
    ),
    _row(
        r"BUG: (spinlock|rwlock) (?P<what>[\w ]+) on CPU",
        "lockdep",
        "{who} uses a spinlock the wrong way ({what}): was it initialised, and is it taken and "
        "given back in pairs?",
    ),
    _row(
        r"\[ BUG: Invalid wait context",
        "lockdep",
        "{who} takes a lock that may sleep where only spinning is allowed.",
    ),
    _row(
        r"(initcall (?P<function>\w+).* returned with|BUG: workqueue leaked lock or atomic)",
        "lock-kept",
        "{who} returns with a spinlock held, or with preemption or interrupts off: "
        "the CPU has no way to go on with another task.",
        "words",
    ),
    # --- sleeping
    _row(r"BUG: sleeping function called from invalid context", "atomic-sleep", _sleep),
    _row(r"BUG: scheduling while atomic", "atomic-sleep", _sleep),
    _row(
        r"BUG: using (?P<function>\w+)\(\) in preemptible",
        "preempt",
        "{who} calls {function}() where it can be moved to another CPU at any moment: the answer "
        "is worth nothing.",
    ),
    # --- RCU
    _row(r"(WARNING|INFO): suspicious RCU usage", "rcu", _rcu),
    _row(r"Voluntary context switch within RCU", "rcu", _rcu, "words"),
    # --- time
    _row(r"rcu: INFO: .*stall", "stall", _stall),
    _row(
        r"watchdog: BUG: soft lockup - CPU#\d+ stuck for (?P<seconds>\d+)s",
        "soft-lockup",
        "{who} kept the CPU to itself for {seconds} seconds, so that nothing else ran: the loop "
        "must end, or sleep while it waits.",
    ),
    _row(
        r"BUG: workqueue lockup",
        "soft-lockup",
        "Work that was queued is not run: a work function before it never ends.",
    ),
    _row(
        r"Uhhuh. NMI received for unknown reason|(watchdog|NMI watchdog): .*hard LOCKUP",
        "hang",
        _hang,
    ),
    _row(
        r"INFO: task (?P<task>.*) blocked( in I/O wait)? for more than \d+ seconds",
        "hung-task",
        _hung,
    ),
    # --- what is left behind
    _row(
        r"kmemleak: (?P<count>\d+) new suspected memory leaks",
        "memory-leak",
        lambda story: (
            f"{_plural(story.report.head['count'], 'piece')} of memory were allocated, never "
            "freed, and nobody points there any more: lost until the next boot."
        ),
        "line",
    ),
    _row(r"unreferenced object 0x\w+ \(size (?P<size>\d+)\)", "memory-leak", _leak, "block"),
    _row(
        r"BUG (?P<cache>\S+) .*: Objects remaining|"
        r"kmem_cache_destroy (?P<cache2>\S+): Slab cache still has objects",
        "memory-leak",
        "The slab cache {cache}{cache2} is destroyed while objects of it are not freed: they are "
        "lost until the next boot.",
        "words",
    ),
    _row(
        r"BUG (?P<cache>[\w-]+) \(.*\): Object already free",
        "slab",
        _freed_twice,
        "words",
    ),
    _row(
        r"BUG (?P<cache>[\w-]+) \(.*\): (?P<what>.*)",
        "slab",
        "Memory of the slab cache {cache} was damaged ({what}): something was written beyond its "
        "end, or after it was freed.",
        "words",
    ),
    _row(
        r"unregister_netdevice: waiting for (?P<device>\S+) to become free",
        "reference-left",
        "A reference to the network device {device} was taken and never given back: it cannot be "
        "removed, and whoever tries waits for ever.",
        "line",
    ),
    # --- the rest
    _row(
        r"do_init_module: '(?P<module>\w+)'->init suspiciously returned (?P<value>\d+)",
        "init-value",
        _INIT_VALUE,
    ),
    _row(
        r"(?P<module>\w+): init suspiciously returned (?P<value>\d+), it should follow",
        "init-value",
        _INIT_VALUE,
        "line",
    ),
    _row(
        r"(?P<module>\w+): module license '(?P<license>.*)' taints kernel",
        "taint",
        "The module {module} has the license '{license}': only with MODULE_LICENSE(\"GPL\") may "
        "it use all of the kernel.",
        "line",
    ),
    _row(r"kernel BUG at (?P<file>[^:]+):\d+!", "bug", _bug, "proper"),
    _row(r"WARNING: (CPU: |.* at )", "warning", _warning, "proper"),
    _row(
        r"Kernel panic - not syncing: (Fatal exception|softlockup|hung_task|NMI|panic_on_warn|"
        r"hard LOCKUP|RCU Stall|KASAN|UBSAN|kernel: panic_on)",
        "panic",
        "The kernel stopped after an error; what it was came before.",
        "tail",
    ),
    _row(
        r"Kernel panic - not syncing: (?P<words>.*)",
        "panic",
        lambda story: (
            f"{story.who} makes the kernel stop for good ({_quoted(story.report.head['words'])})."
        ),
    ),
    _row(
        r"(BUG|WARNING): (?P<words>.*)",
        "bug",
        lambda story: f"The kernel reports: {_quoted(story.report.head['words'])}.",
    ),
    # --- no mistakes, and what is told by their lines belongs to no report
    _row(r"FAULT_INJECTION: |\S+: page allocation failure|SLUB: Unable to allocate", "", ""),
)
"""All that is known, most special first: how a report begins, its kind, the sentence."""
