"""A guest kernel's trace events (tracefs): switched on, read as records, switched off.

Documentation/trace/events.rst and kprobetrace.rst have the rules of names, filters and
probes. What a guest's trace says may be forged as all else that comes of ring 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from vm.errors import VMError
from vm.guest import Guest, Result

FOLDER = "/sys/kernel/tracing"

BUFFER_KB = 256
"""What is kept of a trace: its beginning, some 2,000 events; the rest is counted."""

GROUP = "knetlab"
"""The system that probes' events belong to."""

_PRINTK = "options/trace_printk"
_NO_KEY = "(____ptrval____)"
_TRIES = 5
_SECONDS = 60.0
"""Guest seconds that switching events on or off may take."""


@dataclass(frozen=True)
class Probe:
    """A kprobe at the start of *function*, or with *returns* at its end: event knetlab:NAME.

    *arguments* are what it fetches, as kprobetrace.rst has them: "skb=$arg2 len=+0($arg1):u32";
    at the end of a function "result=$retval".
    """

    name: str
    function: str
    arguments: str = ""
    returns: bool = False

    @property
    def definition(self) -> str:
        """The line of kprobe_events that makes it."""
        kind = "r" if self.returns else "p"
        return f"{kind}:{GROUP}/{self.name} {self.function} {self.arguments}".rstrip()


@dataclass(frozen=True)
class Record:
    """One event: *name* without its system, guest *seconds*, and its fields by their names.

    Fields are numbers where the kernel prints numbers, pointers included, and else text as
    the kernel prints it: the names of functions, addresses, drop reasons. The text of an
    event whose form is not understood is its one field, ``text``.
    """

    name: str
    seconds: float
    task: str
    pid: int
    cpu: int
    fields: Mapping[str, int | str]

    def __getitem__(self, name: str) -> int | str:
        """Return a field; KeyError names those there are."""
        if name not in self.fields:
            raise KeyError(f"{self.name} has no field {name}: it has {', '.join(self.fields)}")
        return self.fields[name]

    def number(self, name: str) -> int:
        """Return a field that is a number; 0 where there is none."""
        value = self.fields.get(name, 0)
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """Return a field as text; "" where there is none."""
        return str(self.fields.get(name, ""))


# --- what an event prints ------------------------------------------------------------

_SPECIFIER = re.compile(
    r"%%|%[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|L|z|t)?(?:p\w*|[a-zA-Z])"
)
_NUMBER = {"d": r"-?\d+", "i": r"-?\d+", "u": r"\d+"}
_HEXADECIMAL = r"(?:0x)?[0-9a-fA-F]+"
_LINE = re.compile(
    r"\s*(?P<task>.+)-(?P<pid>\d+)\s+(?:\([ \d-]+\)\s+)?\[(?P<cpu>\d+)\]\s+(?:\S+\s+)?"
    r"(?P<seconds>\d+\.\d+): (?P<name>\w+): ?(?P<text>.*)"
)
"""A line of a trace: task, process, processor, flags, time, event, and what it says."""


@dataclass(frozen=True)
class Format:
    """How an event prints itself: *pattern* matches that, *types* are of its groups, in order.

    The pattern is None for a probe's event, which prints NAME=VALUE of each argument.
    """

    name: str
    pattern: re.Pattern[str] | None = None
    types: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read an event's file ``format``; VMError where it is none."""
        name = re.search(r"^name: (\w+)$", text, re.MULTILINE)
        printed = re.search(r'^print fmt: "((?:[^"\\]|\\.)*)"(?:, )?(.*)', text, re.M | re.S)
        if name is None:
            raise VMError(f"The guest has no format of an event, but {text[:80]!r}.")
        if printed is None or "REC->__probe_" in text:
            return cls(name[1])
        return cls(name[1], *_pattern(printed[1], _arguments(printed[2])))

    def fields(self, text: str) -> dict[str, int | str]:
        """Return the fields of what the event said."""
        if self.pattern is None:
            return _of_probe(text)
        if (match := self.pattern.fullmatch(text)) is None:
            return {"text": text}
        return {
            name: int(value, base) if base and value != "(null)" else 0 if base else value
            for (name, base), value in zip(self.types, match.groups(), strict=True)
        }


def _arguments(text: str) -> list[str]:
    """Split C arguments at the commas that stand in no brackets and no quotes."""
    found, depth = [""], 0
    for part in re.findall(r'"(?:[^"\\]|\\.)*"|.', text, re.DOTALL):
        depth += (part in "([{") - (part in ")]}")
        if part == "," and not depth:
            found.append("")
        else:
            found[-1] += part
    return found


def _pattern(
    form: str, arguments: Sequence[str]
) -> tuple[re.Pattern[str], tuple[tuple[str, int], ...]]:
    """Return the pattern of a printf *form*, and name and base (0: text) of each of its groups."""
    pattern, types, at, used = "", list[tuple[str, int]](), 0, set[str]()
    left = list(arguments)
    for specifier in _SPECIFIER.finditer(form):
        before = form[at : specifier.start()]
        pattern += re.escape(before)
        at = specifier.end()
        if specifier[0] == "%%":
            pattern += "%"
            continue
        for _ in range(specifier[0].count("*")):
            left = left[1:]
        argument, left = (left[0], left[1:]) if left else ("", [])
        kind = re.sub(r"^%[-+ #0\d.*]*(?:hh|h|ll|l|L|z|t)?", "", specifier[0])
        expression, base = _group(kind)
        pattern += rf" *({expression})" + (" *" if "-" in specifier[0] else "")
        types.append((_name(before, argument, used), base))
    return re.compile(pattern + re.escape(form[at:]), re.DOTALL), tuple(types)


def _group(kind: str) -> tuple[str, int]:
    """Return what a printf conversion prints as a regular expression, and its base."""
    if kind in _NUMBER:
        return _NUMBER[kind], 10
    if kind in ("x", "X"):
        return _HEXADECIMAL, 16
    if kind == "p":
        return rf"{_HEXADECIMAL}|\(null\)", 16
    return ".*?", 0


def _name(before: str, argument: str, used: set[str]) -> str:
    """Return what a group is called: its field, else the word before it, else its number."""
    field_name = re.search(r"REC->(\w+)|__get_\w+\((\w+)", argument)
    label = re.search(r"(\w+)\s*[=:]\s*\S?$", before)
    names = [(field_name[1] or field_name[2]) if field_name else "", label[1] if label else ""]
    name = next((n for n in names if n and n not in used), f"field_{len(used) + 1}")
    used.add(name)
    return name


def _of_probe(text: str) -> dict[str, int | str]:
    """Read what a kprobe's event prints: (function+0x0/0x10 <- caller) NAME=VALUE..."""
    found: dict[str, int | str] = {}
    for name, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))', text):
        number = re.fullmatch(r"(-?)(0x[0-9a-f]+|\d+)", plain)
        found[name] = int(plain, 0) if number else quoted or plain
    return found


def read_trace(text: str, formats: Mapping[str, Format]) -> list[Record]:
    """Return the events of a tracefs file ``trace``, of which *formats* has the forms by name.

    What else stands there is left out, and an event that nobody asked for, too.
    """
    found = []
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.fullmatch(line)
        if match is None or match["name"] not in formats:
            continue
        name = match["name"]
        found.append(
            Record(
                name,
                float(match["seconds"]),
                match["task"].strip(),
                int(match["pid"]),
                int(match["cpu"]),
                formats[name].fields(match["text"]),
            )
        )
    return found


# --- in a guest ----------------------------------------------------------------------


@dataclass
class Trace:
    """A trace that runs in a guest. *records* is what was read last, *lost* what had no room."""

    guest: Guest
    events: tuple[str, ...]
    formats: Mapping[str, Format]
    records: list[Record] = field(default_factory=list)
    lost: int = 0

    @classmethod
    def start(
        cls, guest: Guest, events: Sequence[str], filters: str = "", probes: Sequence[Probe] = ()
    ) -> Self:
        """Switch *events* on ("skb:kfree_skb"), all with the same filter; and those of *probes*.

        VMError when the kernel does not have one, or does not take the filter or a probe.
        """
        for name in events:
            if not re.fullmatch(r"\w+:\w+", name):
                raise VMError(f"{name!r} names no event: that is SYSTEM:EVENT, as skb:kfree_skb.")
        made = [f"{GROUP}:{probe.name}" for probe in probes]
        script = [
            f"[ -e {FOLDER}/trace ] || mount -t tracefs tracefs {FOLDER}",
            f"cd {FOLDER}",
            f"echo {BUFFER_KB} > buffer_size_kb",
            "echo 0 > options/overwrite",
            f"[ ! -e {_PRINTK} ] || echo 0 > {_PRINTK}",  # a module's words may look like events
            *(f"echo '{probe.definition}' >> kprobe_events" for probe in probes),
        ]
        folders = {name: f"events/{name.replace(':', '/')}" for name in (*events, *made)}
        if filters:
            script += [f"echo '{filters}' > {folders[name]}/filter" for name in events]
        script.append(f"cat {' '.join(f'{folder}/format' for folder in folders.values())}")
        script += [f"echo {name} >> set_event" for name in folders]
        done = _shell(guest, ["set -e", *script])
        found = re.split(r"^(?=name: )", done.text, flags=re.MULTILINE)
        forms = [Format.read(part) for part in found if part.startswith("name: ")]
        trace = cls(guest, (*events, *made), {form.name: form for form in forms})
        if not done.ok:
            log = _shell(guest, [f"cat {FOLDER}/error_log"]).text.strip()
            said = " ".join([done.err.decode(errors="replace").strip(), log]).strip()
            trace.stop()
            wanted = ", ".join([*events, *(probe.definition for probe in probes)])
            raise VMError(f"The guest's kernel cannot trace {wanted}: {said or done.how}")
        return trace

    def read(self) -> list[Record]:
        """Fetch what was traced up to now, from the start; return *records*.

        The kernel hashes pointers when it prints them. 6.1 looks every two seconds whether it has
        a key for that, so a new guest may have none yet. (Not to hash them is no way out:
        with options/hash-ptr 0 it prints no names in the events of modules.)
        """
        for _ in range(_TRIES):
            done = _shell(self.guest, [f"cd {FOLDER}", "cat per_cpu/cpu*/stats trace"])
            if _NO_KEY not in done.text:
                break
            self.guest.run(["/sbin/tool", "sleep", "1"])
        self.lost = sum(map(int, re.findall(r"^dropped events: (\d{1,18})$", done.text, re.M)))
        self.records = read_trace(done.text, self.formats)
        return self.records

    def stop(self) -> None:
        """Switch all off and take the probes away; what was traced is forgotten in the guest."""
        filters = [f"{FOLDER}/events/{name.replace(':', '/')}/filter" for name in self.events]
        script = [
            f"cd {FOLDER}",
            "echo > set_event",
            *(f"[ ! -e {path} ] || echo 0 > {path}" for path in filters),
            "echo > kprobe_events",
            "echo 1 > options/overwrite",
            f"[ ! -e {_PRINTK} ] || echo 1 > {_PRINTK}",
            "echo > trace",
        ]
        _shell(self.guest, script)


def _shell(guest: Guest, lines: Sequence[str]) -> Result:
    return guest.run(["/bin/sh", "-c", "\n".join(lines)], deadline=_SECONDS)
