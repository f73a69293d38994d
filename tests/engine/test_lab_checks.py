"""What an author gets wrong in a lab's checks: told by file and name, before or when they run."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import Student

from checker.engine import build, check_run, collector, grading, plugin, submission
from checker.engine import testbed as testbeds
from checker.engine.testbed import Session, Testbed, Traces
from checker.errors import LabError
from checker.model import (
    Build,
    CheckResult,
    Exercise,
    Finding,
    Lab,
    ModuleBuild,
    Submission,
    Target,
)
from vm import snapshot
from vm.errors import GuestCrashed, GuestTimeout, GuestUnready
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

GOOD = '''
import pytest

@pytest.mark.points(2)
def check_first():
    """The first."""

@pytest.mark.points(3)
@pytest.mark.after("1.first")
@pytest.mark.needs("FAILSLAB")
def check_second():
    """The second."""
'''


NUMBERS = itertools.count()


def a_lab(folder: Path, text: str, number: int = 1) -> Lab:
    """Make a lab of one exercise whose checks are *text*, in a file for exercise *number*."""
    (folder / "checks").mkdir()
    # a process imports a module of one name once, and so a run of pytest has it anew here
    (folder / "checks" / f"check_{number}_all_{next(NUMBERS)}.py").write_text(text)
    exercise = Exercise(number=1, title="t", builds=("m",), points=5, hint="h")
    module = Target(kind="module", name="m", folder="m", sources=("m.c",))
    return Lab(name="x", title="t", format=2, builds=(module,), exercises=(exercise,), root=folder)


NOBODY: Any = SimpleNamespace(kernel=SimpleNamespace(features=frozenset()))
"""A machine for checks that ask for no guest."""


READY = ModuleBuild(name="m", ko=b"no module")
"""A module that no kernel loads."""


def ran(lab: Lab, config: Config = NOBODY, made: ModuleBuild = READY) -> plugin.Plugin:
    """Run checks of the module that was *made*."""
    testbed = Testbed(lab, lab.exercises[0], Build(targets=(made,)), config)
    run = plugin.Plugin(lab, testbed, seed=1)
    try:
        plugin.run(run, lab.root / "checks")
    finally:
        testbed.spoil()
    assert run.broken == []
    return run


def run(lab: Lab) -> list[CheckResult]:
    """Run checks that ask for no guest, and return what became of them."""
    return ran(lab).results


def test_checks_are_read(tmp_path: Path) -> None:
    """Checks that are right are worth what they say."""
    assert collector.worth(a_lab(tmp_path, GOOD)) == {"1.first": 2, "1.second": 3}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '    """The first."""',
            "    pass",
            r"check_1_all_\d+.py: check_first needs a docstring and",
        ),
        ("@pytest.mark.points(2)", "", r"check_1_all_\d+.py: check_first needs a docstring and"),
        ('"FAILSLAB"', '"FAILSLABS"', "check_second needs FAILSLABS, which is none of KASAN, "),
        (
            '"1.first"',
            '"1.frist"',
            r'check_1_all_\d+.py: check_second has after\("1.frist"\), and no such check stands',
        ),
        (
            '"1.first"',
            '"1.second"',
            r'check_second has after\("1.second"\), and no such check stands before it in exe',
        ),
        (
            '"1.first"',
            '"11.first"',
            r'has after\("11.first"\), and the lab has no such check. Did you mean 1.first\?',
        ),
        ('"1.first"', '"healthy"', r'has after\("healthy"\), and the lab has no such check\.$'),
        ("import pytest", "import pytset", r"check_1_all_\d+.py:2: in <module>"),
    ],
)
def test_wrong_check_is_told_of(tmp_path: Path, old: str, new: str, words: str) -> None:
    """What a check says wrongly of itself is an error that names it."""
    with pytest.raises(LabError) as error:
        collector.worth(a_lab(tmp_path, GOOD.replace(old, new, 1)))
    assert re.search(words, str(error.value))


def test_all_that_is_wrong_with_checks_is_told_at_once(tmp_path: Path) -> None:
    """Two checks without docstrings are two lines, not one and then the other."""
    text = GOOD.replace('"""The first."""', "pass").replace('"""The second."""', "pass")
    with pytest.raises(LabError) as error:
        collector.worth(a_lab(tmp_path, text))
    assert str(error.value).count("needs a docstring") == 2


def test_a_wrong_sum_of_points_is_told(tmp_path: Path) -> None:
    """With the file, the exercise and both sums."""
    lab = a_lab(tmp_path, GOOD.replace("points(2)", "points(1)"))
    with pytest.raises(LabError, match=r"lab\.toml: exercise 1 is worth 5 points, but .* worth 4 "):
        collector.prove(lab)
    (tmp_path / "right").mkdir()
    collector.prove(a_lab(tmp_path / "right", GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"""The first."""', "pass"), ("points(2)", "points(1)"), ('"1.first"', '"1.frist"')],
)
def test_a_wrong_check_is_told_before_anything_is_built(
    tmp_path: Path, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """An author need not wait for a compiler and a guest; a lab that is right is read once."""

    def built(*_: object, **__: object) -> None:
        raise AssertionError("something was built")

    monkeypatch.setattr(build, "build", built)
    monkeypatch.setattr(grading, "machine", built)
    text = f"# {tmp_path}\n{GOOD}"
    given = Submission(name="s", path=tmp_path, files=())
    with pytest.raises(LabError):
        grading.grade_submission(
            a_lab(tmp_path, text.replace(old, new, 1)), given, stock_kernel, grading.Options()
        )
    (tmp_path / "right").mkdir()
    lab = a_lab(tmp_path / "right", text)
    grading.prove_lab(lab, str(tmp_path))
    monkeypatch.setattr(collector, "prove", built)
    grading.prove_lab(lab, str(tmp_path))
    with pytest.raises(AssertionError):
        grading.prove_lab(lab, f"{tmp_path} edited")


def test_file_of_no_exercise_is_told_of(tmp_path: Path) -> None:
    """A file whose name has no exercise of the lab would never be run."""
    with pytest.raises(LabError, match=r"check_2_all_\d+\.py is not named for an exercise"):
        collector.worth(a_lab(tmp_path, GOOD, 2))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(): 1 / 0", r"x/checks/check_1_all_\d+\.py:3: ZeroDivisionError: division by zero"),
        (
            "(modul): pass",
            ".* a fixture 'modul', which there is not: there are module, .* conftest.py.",
        ),
    ],
)
def test_check_that_breaks_says_where(tmp_path: Path, body: str, words: str) -> None:
    """A mistake in a check is the grader's error, with the line of the lab's file."""
    head = "import pytest\n@pytest.mark.points(5)\n"
    (result,) = run(a_lab(tmp_path, f'{head}def check_x{body}\ncheck_x.__doc__ = "x"\n'))
    assert result.status == "error"
    assert "If the lab is yours, fix the check at x/checks/check_1_all_" in result.hint
    assert re.fullmatch(words, result.message)


def test_hang_is_kept_in_mind(tmp_path: Path) -> None:
    """After a check whose guest hung, the exercise's later ones know of it (endurance.py)."""
    text = """
import pytest
from vm.errors import GuestTimeout

@pytest.mark.points(5)
def check_x():
    "X."
    raise GuestTimeout("it hangs")
"""
    done = ran(a_lab(tmp_path, text))
    assert [result.status for result in done.results] == ["timeout"]
    assert done.testbed.hung


def test_a_module_that_stays_is_kept_in_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rmmod could not remove is no more waited for than a hang."""

    def stays(run: check_run.CheckRun) -> list[Finding]:
        run.own = [Finding(kind="stuck-module", summary="It stays.")]
        return run.own

    (tmp_path / "well").mkdir()
    assert not ran(a_lab(tmp_path / "well", GOOD)).testbed.hung
    monkeypatch.setattr(check_run.CheckRun, "reported", stays)
    (tmp_path / "stays").mkdir()
    assert ran(a_lab(tmp_path / "stays", GOOD)).testbed.hung


HANGING = """
import pytest
from vm.errors import GuestCrashed, GuestTimeout

@pytest.mark.points(1)
@pytest.mark.parametrize("number", range(5))
def check_x(number):
    "X."
    raise GuestTimeout("it hangs")
"""


@pytest.mark.parametrize(
    ("lines", "tried"),
    [
        (["a.c:7"] * 5, 2),
        (["a.c:7", "a.c:9", "a.c:7", "a.c:9", "a.c:7"], 3),
        (["a.c:1", "a.c:2", "a.c:3", "a.c:4", "a.c:5"], 5),
        ([""] * 5, 5),
    ],
)
def test_the_same_hang_is_not_tried_a_third_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], tried: int
) -> None:
    """After two hangs at one line the rest is not tried; another line is another hang."""
    places = iter(lines)

    def reported(_: check_run.CheckRun) -> list[Finding]:
        return [Finding(kind="hang", summary="It spins.", location=next(places))]

    monkeypatch.setattr(check_run.CheckRun, "reported", reported)
    results = ran(a_lab(tmp_path, HANGING)).results
    assert [result.status for result in results] == ["timeout"] * tried + ["skip"] * (5 - tried)
    if tried < 5:
        assert results[-1].message == "the kernel hung at a.c:7 in 2 checks before"


def test_hang_is_told_by_what_the_module_did() -> None:
    """The log of a hang is the last report with a place in the module, not where the kernel is."""
    sleeps = Finding(kind="atomic-sleep", summary="It sleeps.", location="a.c:7", report="BUG: a")
    spins = Finding(kind="hang", summary="Kernel code spins.", location="", report="RIP: b")
    hang, crash = GuestTimeout("it hangs"), GuestCrashed("it went")
    assert check_run._told(hang, [sleeps, spins]) == sleeps
    assert check_run._told(crash, [sleeps, spins]) == spins
    assert check_run._told(hang, [spins]) == spins
    assert check_run._told(hang, []) is None
    assert "any more at a.c:7." in check_run._fatal(hang, [sleeps, spins], "module")


@pytest.mark.parametrize(
    ("name", "value"), [("PYTEST_ADDOPTS", "--collect-only"), ("PYTEST_PLUGINS", "not_there")]
)
def test_pytest_options_of_the_user_change_no_grade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """What the environment asks of pytest is for other tests, and is there again afterwards."""
    monkeypatch.setenv(name, value)
    text = 'import pytest\n@pytest.mark.points(5)\ndef check_x():\n    "X."\n'
    (result,) = run(a_lab(tmp_path, text))
    assert result.status == "pass"
    assert os.environ[name] == value


# --- what holds for each check, whatever it asks for -----------------------------------

ASKS_FOR_NOTHING = '''
import pytest

@pytest.mark.points(2)
def check_first():
    """The first."""
    assert False, "it fails"

@pytest.fixture
def prepared():
    raise AssertionError("a fixture of a check that is not tried")

@pytest.mark.points(2)
@pytest.mark.after("1.first")
def check_second(prepared):
    """The second."""

@pytest.mark.points(1)
@pytest.mark.needs("FAILSLAB")
def check_third(prepared):
    """The third."""
'''


def test_a_check_without_the_module_is_held_back_as_any(tmp_path: Path) -> None:
    """What it is after, and what the kernel lacks, keeps it and its fixtures from being tried."""
    results = run(a_lab(tmp_path, ASKS_FOR_NOTHING))
    assert [(r.status, r.message) for r in results[1:]] == [
        ("skip", "1.first did not pass"),
        ("skip", "it needs a kernel with FAILSLAB, as the debug kernel is"),
    ]
    assert [r.max_points for r in results] == [2, 2, 0]


def test_a_check_without_the_module_fails_where_that_does_not_compile(tmp_path: Path) -> None:
    """Nothing is earned for an exercise whose module was not built."""
    failed = ModuleBuild(name="m", ko=None, message="It does not compile.", output="m.c:1: no")
    text = 'import pytest\n@pytest.mark.points(5)\ndef check_x():\n    "X."\n'
    (result,) = ran(a_lab(tmp_path, text), made=failed).results
    assert (result.status, result.message) == ("fail", "It does not compile.")
    assert (result.points, result.log) == (0, "m.c:1: no")


# --- remarks ---------------------------------------------------------------------------

REMARKS = '''
import pytest

@pytest.mark.points(2)
def check_first(session):
    """The first."""
    session.remark("It works, and is long.")
    session.remark("It works, and is long.")
    session.remark("")

@pytest.mark.points(3)
def check_second(session):
    """The second."""
    session.remark("It works, and is long.")
    assert False, "it fails"
'''


def test_a_remark_is_told_of_a_check_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no point, is there once, and goes where the check fails."""
    guest: Any = SimpleNamespace(
        records=[],
        dead=None,
        files={},
        lost_log=False,
        machine=SimpleNamespace(console=str),
        sync=lambda: None,
        end_processes=lambda: None,
    )
    before = Traces(0, frozenset(), frozenset(), frozenset())
    monkeypatch.setattr(Testbed, "session", lambda _: Session(guest, before, {}))
    monkeypatch.setattr(Session, "tidy", lambda _: before)
    monkeypatch.setattr(Session, "sweep", lambda _: ("", ""))
    first, second = run(a_lab(tmp_path, REMARKS))
    assert (first.status, first.points) == ("pass", 2)
    assert first.remarks == ("It works, and is long.",)
    assert (second.status, second.remarks) == ("fail", ())


# --- checks that are after one of another exercise -------------------------------------

BUILDS_ON = """
import pytest

@pytest.mark.points(5)
@pytest.mark.after("{}")
def check_y():
    "Y."
"""


def two_exercises(folder: Path, after: str) -> Lab:
    """Make a lab of two exercises with a check each, 1.y, which is after *after*, and 2.other."""
    lab = a_lab(folder, BUILDS_ON.format(after))
    other = 'import pytest\n@pytest.mark.points(5)\ndef check_other():\n    "Other."\n'
    (folder / "checks" / f"check_2_all_{next(NUMBERS)}.py").write_text(other)
    second = lab.exercises[0].model_copy(update={"number": 2})
    return lab.model_copy(update={"exercises": (*lab.exercises, second)})


def test_an_id_of_another_exercise_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """Where all checks are read, and where those of one exercise are run."""
    lab = two_exercises(tmp_path, "2.othr")
    words = (
        r"check_1_all_\d+\.py: check_y has after\(\"2\.othr\"\), and the lab has no such check\. "
        r"Did you mean 2\.other\?"
    )
    with pytest.raises(LabError, match=words):
        collector.worth(lab)
    testbed = Testbed(lab, lab.exercises[0], Build(targets=(READY,)), NOBODY)
    broken = plugin.Plugin(lab, testbed, seed=1)
    plugin.run(broken, lab.root / "checks")
    assert re.search(words, broken.broken[0])
    assert broken.results == []


def test_an_id_of_another_exercise_is_known(tmp_path: Path) -> None:
    """The check is tried, and says what it builds on, for the sum of all exercises."""
    lab = two_exercises(tmp_path, "2.other")
    assert collector.worth(lab) == {"1.y": 5, "2.other": 5}
    done = ran(lab)
    assert [(r.id, r.status) for r in done.results] == [("1.y", "pass")]
    assert done.after == {"1.y": ("2.other",)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_check_earns_nothing_where_that_of_another_exercise_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """Though it stands in the first exercise, which is checked before or beside the other."""
    lab = two_exercises(tmp_path, "2.other")
    (file,) = (tmp_path / "checks").glob("check_2_*.py")
    file.write_text(f"{file.read_text()}    assert False, 'no'\n")
    keyed = SimpleNamespace(key="")
    kernel: Any = SimpleNamespace(
        name="stock", release="6.1", features=frozenset(), key="", tools=keyed
    )
    machine = SimpleNamespace(kernel=kernel, image=keyed, accel="tcg", files={})
    monkeypatch.setattr(grading, "machine", lambda *_: machine)
    monkeypatch.setattr(snapshot, "template", lambda _: None)
    monkeypatch.setattr(build, "build", lambda *_, **__: Build(targets=(READY,)))
    given = Submission(name="s", path=tmp_path, files=())
    grade = grading.grade_submission(lab, given, kernel, grading.Options(jobs=jobs))
    assert (grade.score, grade.max_score) == (0, 10)
    first, second = (e.checks[0] for e in grade.exercises)
    assert (first.status, first.message) == ("skip", "2.other did not pass")
    assert first.hint == "First fix 2.other: this check needs it."
    assert second.status == "fail"


# --- guests that go before they have the module ---------------------------------------


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with a word for each guest that was asked for."""
    asked: list[str] = []
    real = snapshot.guest

    def counted(config: Config, payload: Mapping[str, PayloadFile]) -> AbstractContextManager[Any]:
        asked.append("guest")
        return real(config, payload)

    monkeypatch.setattr(snapshot, "guest", counted)
    return asked


CRASHING = """
import errno
import pytest

tries = []

@pytest.mark.points(5)
def check_x(module, guest):
    "X."
    tries.append(1)
    if {there}:
        assert module.path
    if len(tries) <= {crashes}:
        guest.run(["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"])
    assert module.try_load().value == errno.ENOEXEC
"""


@pytest.mark.vm
@pytest.mark.parametrize(
    ("crashes", "there", "due"),
    [
        (1, False, ("pass", 2)),
        (2, False, ("pass", 3)),
        (9, False, ("error", 3)),
        (9, True, ("crash", 1)),
    ],
)
def test_guest_that_goes_without_the_module_is_not_the_modules_doing(
    tmp_path: Path,
    config: Config,
    guests: list[str],
    *,
    crashes: int,
    there: bool,
    due: tuple[str, int],
) -> None:
    """Its check has a new one, twice; then it is the grader's error. With the module it counts."""
    done = ran(a_lab(tmp_path, CRASHING.format(crashes=crashes, there=there)), config)
    (result,) = done.results
    assert (result.status, len(guests)) == due
    assert [finding.kind for finding in done.findings] == (["panic"] if there else [])
    if result.status == "error":
        assert "before it had the module" in result.message
        assert "the guest's kernel panicked" in result.message
        assert "sysrq triggered crash" in result.log


REPORTED = """
import pytest

@pytest.mark.points(5)
def check_x(module, guest):
    "X."
    if {there}:
        assert module.path
    guest.run(["/bin/sh", "-c", "echo '<2>kernel BUG at fs/inode.c:1!' >/dev/kmsg"])
"""


@pytest.mark.vm
@pytest.mark.parametrize(("there", "kinds"), [(False, []), (True, ["bug"])])
def test_what_the_kernel_reports_without_the_module_is_no_finding(
    tmp_path: Path, config: Config, *, there: bool, kinds: list[str]
) -> None:
    """It is nobody's mistake, and costs no health."""
    done = ran(a_lab(tmp_path, REPORTED.format(there=there)), config)
    assert [result.status for result in done.results] == ["pass"]
    assert [finding.kind for finding in done.findings] == kinds


REPORTS_ONCE = """
import pytest

@pytest.mark.points(2)
def check_x(module, guest):
    "X."
    assert module.path
    guest.run(["/bin/sh", "-c", "echo '<2>kernel BUG at fs/inode.c:1!' >/dev/kmsg"])
    guest.put("/run/mark", b"of the first")

@pytest.mark.points(2)
def check_y(module, guest):
    "Y."
    assert module.path
    assert not guest.run(["/bin/cat", "/run/mark"]).ok

@pytest.mark.points(1)
def check_z(module, guest):
    "Z."
"""


@pytest.mark.vm
def test_a_check_after_a_finding_has_a_new_guest(
    tmp_path: Path, config: Config, guests: list[str]
) -> None:
    """A kernel that has reported sees less; where nothing was reported the guest stays."""
    done = ran(a_lab(tmp_path, REPORTS_ONCE), config)
    assert [(result.id, result.status) for result in done.results] == [
        ("1.x", "pass"),
        ("1.y", "pass"),
        ("1.z", "pass"),
    ]
    assert [finding.check for finding in done.findings] == ["1.x"]
    assert len(guests) == 2


def test_guest_that_goes_at_the_end_ends_no_check(tmp_path: Path) -> None:
    """What a check saw counts, though its guest goes when the module is removed afterwards."""
    lab = a_lab(tmp_path, GOOD)
    testbed = Testbed(lab, lab.exercises[0], Build(targets=(READY,)), NOBODY)
    run = check_run.CheckRun(collector.specs(lab)[0], testbed)
    session: Any = SimpleNamespace(has_code=True, guest=SimpleNamespace(dead=None))
    run.session = session
    run.errors = {"teardown": GuestCrashed("it went")}
    assert run.error is None
    assert run.at_the_end is run.errors["teardown"]
    run.errors = {"call": GuestCrashed("it went"), "teardown": GuestCrashed("it is dead")}
    assert run.error is run.errors["call"]
    session.has_code = False
    run.errors = {"teardown": GuestCrashed("it went")}
    assert run.error is run.errors["teardown"]


CRASHES_AT_THE_END = """
import pytest

@pytest.mark.points(1)
@pytest.mark.parametrize("number", range(5))
def check_x(module, guest, number):
    "X."
    assert module.path
"""


@pytest.mark.vm
def test_crash_at_the_end_costs_no_check_and_is_a_finding(
    tmp_path: Path, config: Config, guests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: each check has a new guest, and none is left out for the crashes."""

    def crash(module: testbeds.Module) -> None:
        module.guest.run(["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"])

    monkeypatch.setattr(testbeds.Module, "tidy", crash)
    done = ran(a_lab(tmp_path, CRASHES_AT_THE_END), config)
    assert [result.status for result in done.results] == ["pass"] * 5
    assert len(guests) == 5
    assert {finding.kind for finding in done.findings} == {"panic"}


CHANGING = """
import pytest
from checker.kit import net

@pytest.mark.points(2)
def check_x(module, guest):
    "X."
    with net.sysctl(guest, "net.ipv4.ip_forward", "1"):
        pass

@pytest.mark.points(1)
def check_y(module, guest):
    "Y."
    guest.put("/proc/sys/net/ipv4/ip_forward", b"1")

@pytest.mark.points(1)
def check_z(module, guest):
    "Z."
    assert guest.read("/proc/sys/net/ipv4/ip_forward") == "0\\n"
    guest.run(["/bin/ip", "link", "set", "left", "down"])

@pytest.mark.points(1)
def check_last(module, guest):
    "Last."
    assert guest.read("/sys/class/net/left/flags") == "0x1003\\n"
"""


@pytest.mark.vm
def test_what_a_check_changes_and_leaves_costs_a_new_guest(
    tmp_path: Path, config: Config, guests: list[str]
) -> None:
    """What it changes back costs none, and no check meets what one before it did."""
    done = ran(a_lab(tmp_path, CHANGING), config)
    assert [(r.id, r.status, r.message) for r in done.results] == [
        ("1.x", "pass", ""),
        ("1.y", "pass", ""),
        ("1.z", "pass", ""),
        ("1.last", "pass", ""),
    ]
    assert len(guests) == 3


@pytest.mark.vm
def test_the_labs_own_checks_leave_nothing(
    lab: Lab, stock_kernel: Kernel, guests: list[str]
) -> None:
    """All checks of the first exercise, which let the guest forward packets, have one guest."""
    given = submission.read(lab, lab.solution)
    options = grading.Options(exercises=frozenset({1}), seed=1, jobs=1, reuse=True)
    grade = grading.grade_submission(lab, given, stock_kernel, options)
    assert (grade.score, grade.findings) == (grade.max_score, ())
    assert len(guests) == 1


def test_check_that_gets_no_guest_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Three times; then it is the grader's error, and the next check is tried all the same."""
    asked: list[str] = []

    def refuse(*_: object) -> AbstractContextManager[Any]:
        asked.append("guest")
        raise GuestUnready("The guest did not come up: it panicked.\nits console")

    monkeypatch.setattr(snapshot, "guest", refuse)
    text = "import pytest\n" + "".join(
        f'@pytest.mark.points({n})\ndef check_{n}(module):\n    "X."\n' for n in (2, 3)
    )
    with caplog.at_level(logging.INFO, "knetlab"):
        results = run(a_lab(tmp_path, text))
    assert [(result.id, result.status) for result in results] == [
        ("1.2", "error"),
        ("1.3", "error"),
    ]
    assert results[0].message == (
        "3 guests in a row: A guest went before it had the module, so that is not its doing: "
        "The guest did not come up: it panicked."
    )
    assert len(asked) == 6
    assert len(caplog.messages) == 4
    assert caplog.messages[0].startswith("1.2: A guest went before it had the module")


def test_a_lab_in_a_folder_with_blanks_and_quotes_is_read(tmp_path: Path) -> None:
    """Checks find the modules beside them wherever the clone lies."""
    folder = tmp_path / "my lab's"
    folder.mkdir()
    lab = a_lab(folder, f"import beside\n{GOOD}")
    (folder / "checks" / "beside.py").write_text("")
    assert collector.worth(lab) == {"1.first": 2, "1.second": 3}
    assert "pass" in [result.status for result in run(lab)]


TYPING = '''
import pytest
from checker.kit import console

@pytest.mark.points(2)
def check_typed(guest):
    """Typed."""
    with console.opened(guest) as shell:
        assert shell.run("echo hello") == "hello\\n"

@pytest.mark.points(3)
def check_late(guest):
    """Late."""
    with console.opened(guest) as shell:
        shell.run("sleep 1000", deadline=1)
'''


@pytest.mark.vm
def test_a_check_types_at_the_guests_shell(config: Config, tmp_path: Path) -> None:
    """What it types is run in its guest; what does not end in time is a timeout, told as that."""
    typed, late = ran(a_lab(tmp_path, TYPING), config).results
    assert (typed.status, typed.points) == ("pass", 2), typed
    assert late.status == "timeout"
    assert "'sleep 1000' was typed, the prompt did not come within 1 s" in late.message


@pytest.mark.vm
def test_a_filter_is_read_once_and_not_in_each_guest(
    lab: Lab, stock_kernel: Kernel, student: Callable[..., Student]
) -> None:
    """One line a load earns no more in a guest that took the place of another than in the first."""
    once = student()
    once.replace("filter.c", "return daddr == wanted;", "return true;")
    once.replace(
        "filter.c", "\tstruct tcphdr buf;\n", "\tstruct tcphdr buf;\n\tstatic bool done;\n"
    )
    once.replace(
        "filter.c", "\n\tpr_info(", "\n\tif (done)\n\t\treturn;\n\tdone = true;\n\tpr_info("
    )
    options = grading.Options(exercises=frozenset({2}), jobs=1, seed=1)
    given = submission.read(lab, once.path)
    grade = grading.grade_submission(lab, given, stock_kernel, options)
    status = {check.id: check.status for check in grade.exercises[0].checks}
    assert status["2.other-address"] == status["2.source-ignored"] == "fail"
