"""What each lab's handout shows of a guest comes again when a student types it.

The section on exercise N promises what is so when the exercises up to N are solved.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transcripts import same, sessions

from checker import lab as labs
from checker.engine import build, grading, submission
from checker.engine.testbed import Late
from checker.kit import console
from checker.workshop import skeleton
from vm import snapshot
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config


def _sections(lab: str) -> dict[int, list[str]]:
    """Return the sessions in the handout's section on each exercise."""
    handout = (labs.LABS / lab / "handout.md").read_text()
    found = re.findall(r"^## Exercise (\d+)\b(.*?)(?=^## |\Z)", handout, re.M | re.S)
    return {int(number): sessions(text) for number, text in found}


CASES = [(lab, number) for lab in labs.names() for number, shown in _sections(lab).items() if shown]


@pytest.mark.parametrize("lab", labs.names())
def test_each_script_is_shown_in_the_section_of_an_exercise(lab: str) -> None:
    """No session stands elsewhere, where it would not be tried, and no script is left out."""
    handout = (labs.LABS / lab / "handout.md").read_text()
    shown = [session for found in _sections(lab).values() for session in found]
    assert sessions(handout) == shown
    for script in labs.load(lab).scripts:
        assert any(f"# ./{Path(script).name}\n" in session for session in shown), script


@pytest.mark.vm
@pytest.mark.parametrize(("lab_name", "number"), CASES)
def test_what_the_handout_shows_comes_again(
    lab_name: str, number: int, config: Config, tmp_path: Path
) -> None:
    """Typed at the guest's console, each command prints the handout's lines and no others."""
    lab = labs.load(lab_name)
    files = _guest_files(lab_name, number, config.kernel, tmp_path / "mine")
    sections = _sections(lab_name)
    before = "".join("".join(shown) for other, shown in sections.items() if other < number)
    with snapshot.guest(config, files) as guest, console.opened(guest, quiet=True) as shell:
        for folder in re.findall(r"^# (cd .*)", before, re.MULTILINE):
            shell.run(folder)
        for session in sections[number]:
            last = session.rstrip().rpartition("\n")[2]

            def run(command: str, last: str = last) -> str:
                return _run(shell, command, may_last=last == f"# {command}")

            assert same(console.replay(session, run)) == same(session), lab.name


def _run(shell: console.Console, command: str, *, may_last: bool) -> str:
    """Run *command*; one that *may_last*, as a server or a client may, is ended by Ctrl-C."""
    if not may_last:
        return shell.run(command, deadline=60)
    try:
        return shell.run(command, deadline=5)
    except Late:
        shell.type("\x03")
        return shell.expect(re.escape("^C")).partition(f"{command}\n")[2]


def _guest_files(
    lab_name: str, number: int, kernel: Kernel, folder: Path
) -> dict[str, PayloadFile]:
    """Return what a student's guest has who has solved the exercises up to *number*."""
    lab = labs.load(lab_name)
    skeleton.write(skeleton.generate(lab.solution, number + 1), folder, force=False)
    made = build.build(lab, submission.read(lab, folder), kernel, reuse=True)
    return {**grading.guest_files(lab, for_person=True), **grading.built_files(lab, made)}
