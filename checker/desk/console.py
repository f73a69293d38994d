"""``knetlab console``: a shell in a guest, with what the student makes and the lab's scripts.

The guest is a clone of a template of its own, in real time. ``update`` in the
guest asks this side to build the sources anew (vm/console.py has the way). With
``--at-failure`` the guest is that of a check instead: at_failure.py.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

from rich.console import Console

from checker.desk import debugger, unread
from checker.engine import build as building
from checker.engine import grading, guests, submission
from checker.errors import InputError
from checker.model import Build, Finding, Lab, ModuleBuild, Names, Submission, Target
from checker.words import kernel_log
from checker.words.symbols import Symbols
from vm import console as guest_console
from vm import snapshot, tools
from vm.errors import GuestCrashed, GuestError, VMError
from vm.guest import Guest
from vm.kernel import Kernel
from vm.machine import Accel

GUEST_DIED = 1
"""Exit status when the guest died under commands that came without a terminal."""

_REPORT = 20
"""Lines of a kernel's report that are shown when the guest is gone."""

KEYS = """\
  update     builds your sources again and copies new modules into this guest
  Ctrl-A X   ends the guest
"""

_NO_PROGRAMS = """\
Here gdb knows modules and no programs: `make console GDB=1`, without AT_FAILURE and without
--accel kvm, has programs that gdb can step through.
"""

# the host answers with what became of it, then the modules that are new
_PROFILE = """\
update() {
	ask_host update || return
	set -- $knetlab_answer
	local status=$1 module
	shift
	for module; do
		[ ! -d "/sys/module/$module" ] ||
			echo "The old $module is still loaded: rmmod $module, then insmod the new one."
	done
	return "$status"
}
"""


def terminal() -> Console:
    """Return what a console's own words are printed with: stdout is the guest's."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class Desk:
    """The modules and programs of one folder, built for a guest with a person in it.

    *made* is what stands in the guest; an update replaces it. Building never
    fails for a student's code: unbuilt() says what does not compile. *step*: with *gdb*,
    programs are made so that gdb can follow them.
    """

    def __init__(
        self,
        lab: Lab,
        path: Path,
        given: Submission,
        kernel: Kernel,
        *,
        gdb: bool,
        step: bool = False,
    ) -> None:
        self.lab = lab
        self.path = path
        self.given = given
        self.kernel = debugger.with_types(kernel) if gdb else kernel
        self.gdb = gdb
        self.step = gdb and step
        self.made = building.build(lab, given, self.kernel, reuse=True, debug=self.step)

    def unbuilt(self, names: Iterable[str] = ()) -> str:
        """Return what the compiler says of the builds called *names*, all if none is named."""
        told = []
        for target in self.made.targets:
            if names and target.name not in names:
                continue
            if not target.built:
                told.append(f"{target.name} was not built. {target.message}\n{target.output}\n")
            elif target.warnings:
                told.append(f"{target.warnings}\n")
        return "".join(dict.fromkeys(told))

    def update(self, session: guest_console.Session, request: str) -> str:
        """Build what was edited and copy it into the guest; return the answer to ``update``."""
        if request != "update":
            return "2"
        try:
            return self._update(session)
        except GuestCrashed:
            raise
        except (InputError, VMError, OSError) as error:
            session.say(f"{error}\n")
            return "2"

    def _update(self, session: guest_console.Session) -> str:
        given = submission.read(self.lab, self.path)
        for note in unread.notes(self.lab, self.path):
            session.say(f"{note}\n")
        edited = {file.path for file in given.files if file not in self.given.files}
        targets = [target for target in self.lab.builds if not edited.isdisjoint(target.files)]
        if not targets:
            session.say(f"No file in {self.path} has changed since the last build.\n")
            return "0"
        names = frozenset(target.name for target in targets)
        new = building.build(self.lab, given, self.kernel, only=names, reuse=True, debug=self.step)
        built = []
        for target in targets:
            made = new.target(target.name)
            is_module = isinstance(made, ModuleBuild)
            if content := made.ko if isinstance(made, ModuleBuild) else made.plain:
                session.put(f"/lab/{target.file}", content, 0o644 if is_module else 0o755)
                session.say(f"new: {target.file}\n")
                built.append(target.name)
        self.given = given
        kept = (old for old in self.made.targets if old.name not in names)
        self.made = Build(targets=(*kept, *new.targets))
        session.say(self.unbuilt(names))
        if self.gdb:
            self._write_symbols(session.guest)
        return " ".join([str(int(len(built) < len(targets))), *built])

    def _write_symbols(self, guest: Guest) -> None:
        debugger.write_modules(guest, self.made)
        debugger.write_programs(guest, self.lab, self.made if self.step else None)

    def serve(self, guest: Guest, greeting: str) -> int:
        """Give *guest* to the person at the terminal, or run stdin's commands; return the status.

        The guest is of no use afterwards. Raises InputError when the commands are too many.
        """
        say = terminal()
        person = sys.stdin.isatty()
        if person:
            say.print(greeting)
        if self.gdb:
            self._write_symbols(guest)
            line = debugger.start(guest, self.path)
            lacking = "" if shutil.which("gdb") else f", after `{tools.install('gdb')}`"
            say.print(
                f"To start gdb, type this in another terminal on this host{lacking}:\n  {line}\n"
            )
            if not self.step and any(target.kind == "program" for target in self.lab.builds):
                say.print(_NO_PROGRAMS)
        try:
            if person:
                guest_console.Session(guest, _PROFILE, self.update).run()
                return 0
            script = sys.stdin.buffer.read()
            if not script:
                say.print(
                    "Standard input is not a terminal and has no commands, so nothing was run."
                )
            return guest_console.run_script(guest, script)
        except GuestCrashed as error:
            said = self.last_words(guest.machine.console())
            say.print(f"\nThe guest has ended: {error}.\n{said}")
            return 0 if person else GUEST_DIED
        except GuestError as error:
            raise InputError(f"The commands cannot be run: {error}") from error

    def last_words(self, log: str) -> str:
        """Return what ended a guest: the sentence and the line that `check` has, and the report.

        *log* is all that the guest's console has said; what the kernel reported last counts.
        """
        names = Names(self.given.sources)
        told: tuple[str, Finding] | None = None
        for module in self.made.modules:
            symbols = (
                Symbols(module.debug, self.kernel.tools.system, names) if module.debug else None
            )
            locate = symbols.locate if symbols else kernel_log.nowhere
            found = kernel_log.findings(log, module.name, locate, names)
            if found and (told is None or found[-1].location):
                told = module.name, found[-1]
        if told is None:
            return "Its kernel has reported nothing: the last lines above are all that it said."
        name, last = told
        who = (
            f"{name} took the kernel down ({last.location})" if last.location else "The kernel says"
        )
        first = "".join(f"  {line}\n" for line in last.report.splitlines()[:_REPORT])
        return f"{who}: {last.summary}\nThe report begins:\n{first}"


def run(lab: Lab, path: Path, kernel: Kernel, *, accel: Accel, gdb: bool) -> int:
    """Open a console with the sources in the folder *path*; return the exit status.

    Raises InputError for a folder that is no submission, VMError when no guest
    can be had.
    """
    given = submission.read(lab, path)
    say = terminal()
    say.print(building.doing(lab.builds))
    config = guests.config(lab, kernel, accel=accel, real_time=True)
    files = grading.guest_files(lab, for_person=True)
    with ThreadPoolExecutor(1) as pool:
        step = accel == "tcg"  # KVM sets break points only in pages that are there
        built = pool.submit(Desk, lab, path, given, kernel, gdb=gdb, step=step)
        with snapshot.guest(config, files) as guest:  # it is there before the modules are
            desk = built.result()
            built_files = grading.built_files(lab, desk.made)
            guest.unpack({**built_files, **grading.program_libraries(lab, kernel)})
            say.print(desk.unbuilt(), end="")
            for note in unread.notes(lab, path):
                say.print(note)
            greeting = (
                f"This guest runs Linux {kernel.release}. Its kernel log appears here. "
                f"In /lab{by_path(lab.builds)}:\n{listing([*files, *built_files])}{KEYS}"
            )
            return desk.serve(guest, greeting)


def by_path(targets: Iterable[Target]) -> str:
    """Return how a program of *targets* is started, which no PATH leads to; empty without one."""
    programs = (target.file for target in targets if target.kind == "program")
    first = next(programs, "")
    return f", where you start a program by its path, for example {first}" if first else ""


def listing(files: Iterable[str]) -> str:
    """Return a line for each folder of the guest that *files* lie in, with their names."""
    folders: dict[str, list[str]] = {}
    for path in sorted(map(PurePath, files)):
        folders.setdefault(str(path.parent), []).append(path.name)
    width = max(map(len, folders), default=0)
    return "".join(f"  {name:{width}}   {' '.join(folders[name])}\n" for name in folders)
