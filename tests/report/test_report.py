"""The terminal report and the page, on the sample grades of tests/data/grades."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pages import Page, colours, contrast, words
from rich.cells import cell_len
from rich.console import Console
from support import ROOT

from checker.classroom.export import junit
from checker.model import NEEDS_A_KERNEL, CheckResult, Finding, Grade, Reused
from checker.report import html, story, terminal
from checker.report.templates import code
from checker.report.text import clean, fold, plain, points, unchanged

GRADES = ROOT / "tests/data/grades"
NAMES = sorted(path.stem for path in GRADES.glob("*.json"))
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe]"
)


def load(name: str) -> Grade:
    """Read the sample grade called *name*."""
    return Grade.model_validate_json((GRADES / f"{name}.json").read_text(encoding="utf-8"))


def report(name: str | Grade, *, width: int = 80, **options: Any) -> str:
    """Return what is printed where it is not a terminal."""
    grade = load(name) if isinstance(name, str) else name
    out = io.StringIO()
    terminal.render(grade, Console(file=out, width=width, _environ={}), **options)
    return out.getvalue()


def terminal_console(environ: dict[str, str] | None = None) -> tuple[Console, io.StringIO]:
    """Return a console that believes it is a terminal, and what it writes to."""
    out = io.StringIO()
    environ = {"TERM": "xterm"} | (environ or {})
    return Console(file=out, width=80, force_terminal=True, _environ=environ), out


# --- text ----------------------------------------------------------------------------


def test_plain_shows_controls() -> None:
    """What would steer a terminal is written out, and printable text is left as it is."""
    assert plain("a\x1b[31m\x00\x9b\u202e") == r"a\x1b[31m\x00\x9b\u202e"
    assert plain("Zoë 王小明 🐧\tx\r\ny") == "Zoë 王小明 🐧\tx\ny"


def test_fold_counts_repeats() -> None:
    """Lines that differ only in the kernel's time stamp become one and a count."""
    log = "[    1.000001] a\n[    1.000002] a\n[    1.000003][  T231] a\n[    2.000000] b\n"
    assert fold(log) == "[    1.000001] a (repeated 3 times)\n[    2.000000] b"


def test_fold_keeps_both_ends() -> None:
    """Of a long log the middle is left out, and the report says how much of it."""
    folded = fold("\n".join(f"line {n}" for n in range(100)), lines=20).splitlines()
    assert folded[0] == "line 0"
    assert folded[14] == "line 14"
    assert folded[15] == "... 80 lines left out ..."
    assert folded[16:] == [f"line {n}" for n in range(95, 100)]


def test_fold_cuts_long_lines() -> None:
    """A line longer than the limit is cut, and the report says by how much."""
    assert fold("x" * 50, width=10) == "x" * 10 + " ... (40 more characters)"


@pytest.mark.parametrize(
    ("value", "text"), [(20.0, "20"), (2.5, "2.5"), (10 / 3, "3.33"), (0, "0")]
)
def test_points_without_needless_zeros(value: float, text: str) -> None:
    """Points are written as a person would."""
    assert points(value) == text


# --- what waits for what --------------------------------------------------------------


def test_waiting_follows_to_the_first_cause() -> None:
    """A check that waits for a skipped one waits for what that one waits for."""
    grade = load("skeleton")
    third, fourth = grade.exercises[2], grade.exercises[3]
    chained = fourth.checks[1].model_copy(update={"message": "4.insmod-returns did not pass"})
    fourth = fourth.model_copy(update={"checks": (fourth.checks[0], chained)})
    grade = grade.model_copy(update={"exercises": (third, fourth)})
    assert story.waiting(grade)["4.peer-logged"] == "3.listens"


def test_waiting_takes_whole_ids() -> None:
    """An id that only begins like the one named is not it."""
    exercise = load("skeleton").exercises[0]
    short = exercise.checks[0].model_copy(update={"id": "1.out"})
    exercise = exercise.model_copy(update={"checks": (short, *exercise.checks)})
    grade = load("skeleton").model_copy(update={"exercises": (exercise,)})
    assert set(story.waiting(grade).values()) == {"1.outgoing-syn"}


# --- the terminal ---------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_terminal_fits_and_is_plain(name: str, verbose: bool) -> None:
    """No line is wider than the terminal, but for gcc's, and nothing in it steers the terminal."""
    text = report(name, verbose=verbose)
    compiler = {line for check in story.checks(load(name)) for line in check.log.splitlines()}
    own = [line for line in text.splitlines() if line[6:] not in compiler]
    assert all(cell_len(line) <= 80 for line in own)
    assert not UNPRINTABLE.search(text)
    assert "\t" not in text


@pytest.mark.parametrize("verbose", [False, True])
def test_what_gcc_marks_stands_below_it(verbose: bool) -> None:
    """However narrow the terminal, each line of the compiler's stays in one piece."""
    (log,) = {check.log for check in story.checks(load("compile-error")) if check.log}
    long = next(line for line in log.splitlines() if len(line) > 80)
    caret = next(line for line in log.splitlines() if line.strip(" |~") == "^")
    text = report("compile-error", verbose=verbose)
    assert f"\n      {long}\n" in text
    assert f"\n      {caret}\n" in text


def test_a_result_of_an_earlier_run_says_so() -> None:
    """The table has the time for each exercise, a sentence says how to run them, the page too."""
    grade = load("full")
    at = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
    second = grade.exercises[1].model_copy(update={"reused": Reused(at=at, seed=7)})
    grade = grade.model_copy(update={"exercises": (grade.exercises[0], second)})
    text = words(report(grade))
    assert f" passed, unchanged since {at.astimezone():%Y-%m-%d %H:%M}" in text
    assert "Exercise 2 was not run again, because nothing has changed since its last run." in text
    page = html.render(grade)
    assert "passed, unchanged since 2026-11-20 14:02 UTC" in page
    assert "; 7 in exercise 2, which was run on 2026-11-20 14:02 UTC" in page
    assert 'name="exercise-2" value="run at 2026-11-20T14:02:00+00:00 with the seed 7"' in (
        junit.render([grade])
    )


def test_a_time_of_today_has_no_date() -> None:
    """The clock is enough for what was made today."""
    now = datetime.now(UTC)
    assert unchanged(now) == f"unchanged since {now.astimezone():%H:%M}"


def test_each_file_stands_in_the_report_once() -> None:
    """With the folder as it is typed, behind the exercises that share it."""
    grade = load("full")
    files = {1: ("kernel/filter.c",), 2: ("kernel/filter.c",)}
    exercises = tuple(
        e.model_copy(update={"files": files.get(e.number, ())}) for e in grade.exercises
    )
    text = report(grade.model_copy(update={"exercises": exercises}), folder="skels/networking")
    assert text.count("filter.c") == 1
    assert "\nExercises 1 and 2: skels/networking/kernel/filter.c\n" in text


def test_every_check_can_be_seen() -> None:
    """Verbose has a line for each, those that passed too."""
    text = words(report(load("full"), verbose=True))
    for check in story.checks(load("full")):
        assert f"passed: {words(check.title)} ({check.id}, " in text or check.status == "skip"
    assert "passed: " not in report(load("full"))


def test_full_marks_say_what_comes_next() -> None:
    """Where another exercise waits, its command is the next step."""
    text = report(load("full"), then="Next is exercise 2: `make check EX=2` tries it.")
    assert text.endswith(
        "\nFull marks, 100 of 100 points. Next is exercise 2: `make check EX=2` tries it.\n"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "grader-error"])
def test_terminal_table_says_points(name: str) -> None:
    """Each exercise has a row with its points, and the last row holds the total."""
    grade, text = load(name), report(name)
    for exercise in grade.exercises:
        score = f"{exercise.score:g} of {exercise.max_score:g}"
        assert re.search(rf"^ *{exercise.number} .* {score} ", text, re.MULTILINE)
    assert f"Total {grade.score:g} of {grade.max_score:g}" in words(text)


def test_terminal_full_marks() -> None:
    """Full marks end the report without a failure, a hint or a next step."""
    text = report("full")
    assert text.endswith("\nFull marks, 100 of 100 points. You are done.\n")
    assert not re.search("failed|Next|What to do", text)


def with_remark(name: str, remark: str) -> Grade:
    """Return the sample grade with *remark* at the first two checks of its first exercise."""
    grade = load(name)
    first, *others = grade.exercises
    checks = tuple(
        check.model_copy(update={"remarks": (remark,)}) if n < 2 else check
        for n, check in enumerate(first.checks)
    )
    first = first.model_copy(update={"checks": checks})
    return grade.model_copy(update={"exercises": (first, *others)})


def test_a_remark_is_told_on_terminal_and_page() -> None:
    """Once on the terminal, with the checks that make it, and on the page at each of them."""
    grade = with_remark("full", "Use `WRITE_ONCE()` here.")
    first, second = (check.id for check in grade.exercises[0].checks[:2])
    said = report(grade, width=120)
    assert story.REMARKS in said
    assert said.count("Use `WRITE_ONCE()` here.") == 1
    assert f"Use `WRITE_ONCE()` here. ({first}, {second})" in said
    assert "You are done" in said
    page = words(Page(html.render(grade)).said)
    assert page.count("Better: Use WRITE_ONCE() here. This costs no points.") == 2
    out = io.StringIO()
    terminal.first_failure(grade, Console(file=out, width=120, _environ={}))
    assert "Use `WRITE_ONCE()` here." in out.getvalue()


def test_a_remark_names_no_hidden_check() -> None:
    """A remark of a hidden check, or about one, is not shown."""
    grade = with_remark("full", "See 2.address-set.")
    assert story.remarks(story.shown(grade, {"2.address-set"})) == {}
    first = grade.exercises[0].checks[0].id
    assert first not in str(story.remarks(story.shown(grade, {first})))


def test_full_marks_on_a_kernel_that_cannot_try_all_say_so() -> None:
    """What waits for the debug kernel is named beside full marks, and nothing is called done."""
    grade = load("full")
    first = grade.exercises[0]
    last = first.checks[-1].model_copy(
        update={
            "status": "skip",
            "points": 0.0,
            "max_points": 0.0,
            "message": f"{NEEDS_A_KERNEL} FAILSLAB, as the debug kernel is",
        }
    )
    worth = first.max_score - first.checks[-1].max_points
    first = first.model_copy(
        update={"checks": (*first.checks[:-1], last), "score": worth, "max_score": worth}
    )
    total = grade.max_score - grade.exercises[0].max_score + worth
    grade = grade.model_copy(
        update={"exercises": (first, *grade.exercises[1:]), "score": total, "max_score": total}
    )
    said = " ".join(report(grade).split())
    assert "Full marks on this kernel" in said
    assert "1 check waits for the debug kernel: `make kernel NAME=debug`." in said
    assert "You are done" not in said


def test_what_the_compiler_warns_of_is_told_before_the_failures() -> None:
    """Eight warnings stand in a report, all in a verbose one; the page has all, escaped."""
    lines = tuple(f"a/filter.c:{n}: format '%p' of <{n}>" for n in range(10, 20))
    grade = load("mixed" if "mixed" in NAMES else NAMES[0]).model_copy(update={"warnings": lines})
    said = report(grade)
    assert said.count("format '%p'") == 8
    assert "and 2 more" in said
    assert report(grade, verbose=True).count("format '%p'") == 10
    first = next(e for e in grade.exercises)
    assert said.index("Warnings of the compiler") > said.index(first.title)
    page = html.render(grade)
    assert page.count("format &#39;%p&#39; of &lt;") == 10


def test_terminal_skeleton_is_short() -> None:
    """An untouched skeleton gets one failure in full, a line for each later exercise, one step."""
    grade, text = load("skeleton"), report("skeleton")
    assert len(text.splitlines()) <= 45
    first, *later = grade.exercises
    assert first.checks[0].message in text
    assert first.checks[1].title in text
    assert first.checks[1].message not in words(text)
    for exercise in later:
        assert len(re.findall(rf"^Exercise {exercise.number}: \S.*", text, re.MULTILINE)) == 1
        failed = [check for check in exercise.checks if check.status == "fail"]
        assert not any(check.message in words(text) for check in failed)
    assert text.count("  Next:  ") == 1
    assert words(text).count("What to do first") == 1
    assert words(text).endswith("Then check again; `make check EX=1` checks only this exercise.")


def test_terminal_verbose_tells_all() -> None:
    """With verbose every failure is told in full, and every check that waits is named."""
    grade, text = load("skeleton"), words(report("skeleton", verbose=True))
    for check in story.checks(grade):
        assert check.title in text
        if check.status == "fail":
            assert all(part in text for part in (check.message, check.expected, check.actual))


def test_terminal_part_done_tells_each_failure() -> None:
    """Once an exercise earned something, each of its failures is told in full, in order."""
    first, *rest = load("skeleton").exercises
    first = first.model_copy(update={"score": 1.0})
    grade = load("skeleton").model_copy(update={"exercises": (first, *rest)})
    text = words(report(grade))
    one, two = (text.index(check.message) for check in first.checks[:2])
    assert one < two < text.index("Exercise 2")


def test_terminal_folds_waiting_checks() -> None:
    """Checks that were not tried are a number under the one they wait for."""
    text = words(report("skeleton"))
    assert "6 checks wait for this one." in text
    assert "4 checks not tried because 3.listens did not pass" in text
    assert "1 check waits for this one." in words(report("evil"))


def test_terminal_compile_error_once() -> None:
    """A reason shared by two exercises is told once, with the place of the first error."""
    text = report("compile-error")
    assert text.count("does not compile") == 1
    assert text.count("implicit declaration") == 1
    assert "failed: every check of exercises 1 and 2" in text
    assert "Exercise 2: 6 failed for the same reason as in exercise 1" in text
    assert "Begin at 1-2-netfilter/kernel/filter.c:63." in words(text)


def test_what_stops_every_check_stops_the_health_too() -> None:
    """That nobody looked at the kernel's health does not make a compile error one of some."""
    grade = load("compile-error")
    first, *rest = grade.exercises
    message = f"{first.checks[0].id} did not pass"
    update = {"id": "1.healthy", "status": "skip", "message": message}
    health = first.checks[0].model_copy(update=update)
    first = first.model_copy(update={"checks": (*first.checks, health)})
    text = report(grade.model_copy(update={"exercises": (first, *rest)}))
    assert "failed: every check of exercises 1 and 2" in text


def test_terminal_same_reason_of_some_checks() -> None:
    """Where only some checks share a reason, the first is told and the others are counted."""
    exercise = load("skeleton").exercises[0]
    one, two, *rest = exercise.checks
    same = {"message": one.message, "expected": one.expected, "actual": one.actual, "log": one.log}
    checks = (one, two.model_copy(update=same), *rest)
    exercise = exercise.model_copy(update={"checks": checks})
    text = words(report(load("skeleton").model_copy(update={"exercises": (exercise,)})))
    assert "The same is true for 1 more check." in text
    assert text.count(one.message) == 1


def test_terminal_crash() -> None:
    """A crash is called one, with both ends of the kernel's lines and the place to look at."""
    text = report("crash")
    assert "crashed the kernel: After insmod something listens on" in text
    assert "lines left out" in text
    assert "end Kernel panic" in text
    assert "during 3.listens, 4.insmod-returns" in words(text)
    assert "lines left out" not in report("crash", verbose=True)


def test_a_finding_begins_with_its_place() -> None:
    """The sentence may end with another place, as where the memory was allocated."""
    finding = Finding(
        kind="leak",
        summary="4 bytes are never freed that were allocated at ask.c:46.",
        location="ask.c:38",
        check="3.asks",
    )
    text = words(report(load("full").model_copy(update={"findings": (finding,)})))
    assert "leak: ask.c:38: 4 bytes are never freed that were allocated at ask.c:46, during" in text
    assert "ask.c:46 at" not in text


def test_both_broken_checks_are_told() -> None:
    """A line each, below the words for the grader's trouble."""
    broken = load("grader-error").model_copy(update={"message": "1.a: no\n1.b: neither"})
    text = report(broken)
    assert "grader error (costs you nothing):\n  1.a: no\n  1.b: neither\n" in text


def test_terminal_folds_a_flood() -> None:
    """A line the module logged over and over is shown once with its count."""
    assert "(repeated 40 times)" in words(report("crash"))


def test_what_to_do_first_names_no_line_of_the_kernels_headers() -> None:
    """Where gcc stops in a header, the place is the student's line that leads there."""
    log = (
        "In function 'check_copy_size',\n    inlined from 'my_ioctl' at kernel/filter.c:138:7:\n"
        "./include/linux/thread_info.h:230:25: error: call to '__bad_copy_to'"
    )
    grade = load("compile-error")
    check = grade.exercises[0].checks[0].model_copy(update={"log": log, "hint": "Fix it."})
    assert story.where(grade, check) == "kernel/filter.c:138"
    check = check.model_copy(update={"hint": "Fix kernel/filter.c:90 first, then check again."})
    assert story.where(grade, check) == "kernel/filter.c:90"


def test_next_step_goes_to_the_first_mistake() -> None:
    """The next step is about the first failure, with the kernel's place when it named one."""
    assert "in exercise 1" in story.next_step(load("crash"))
    crash = load("crash").model_copy(update={"exercises": load("crash").exercises[1:]})
    assert "what crashes the kernel in exercise 3" in story.next_step(crash)
    assert "Begin at 3-4-tcp-sock/tcp_sock.c:58." in story.next_step(crash)
    assert "what never ends in exercise 5" in story.next_step(load("timeout"))


@pytest.mark.parametrize("name", ["grader-error", "check-error"])
def test_terminal_grader_error(name: str) -> None:
    """The grader's own trouble costs nothing and asks nothing of the student."""
    text = words(report(name))
    assert "grader error (costs you nothing): " in text
    assert "You have nothing to fix" in text
    assert "What to do first" not in text


def test_terminal_missing_feature() -> None:
    """What the kernel cannot see is said once, with the command that helps."""
    text = words(report("check-error"))
    assert "This kernel does not detect use of memory after it was freed" in text
    assert "1 check not tried. The debug kernel does. `make kernel NAME=debug`" in text
    assert "Exercise 5: 1 check not tried" not in text


def test_terminal_full_sight_is_not_talked_about() -> None:
    """A kernel with all features gets no line on what it cannot see."""
    grade = load("full")
    features = ("DEBUG_ATOMIC_SLEEP", "FAILSLAB", "KASAN", "PROVE_LOCKING")
    kernel = grade.kernel.model_copy(update={"features": features})
    console, out = terminal_console()
    terminal.render(grade.model_copy(update={"kernel": kernel}), console)
    assert "does not detect" not in out.getvalue()


def test_terminal_never_reads_markup() -> None:
    """Rich's markup and emoji codes from a student are shown as they stand."""
    text = words(report("evil", width=300))
    assert "[red]not red[/red] [/] [link=http://example.invalid]x[/link] :smile:" in text
    assert r"\x1b[2J\x1b[31mYOU PASSED 100 of 100\x1b[0m\x07\x00" in text


@pytest.mark.parametrize("name", NAMES)
def test_terminal_escapes_are_only_ours(name: str) -> None:
    """On a colour terminal too, no escape but the report's own colours gets through."""
    console, out = terminal_console()
    terminal.render(load(name), console, verbose=True)
    assert "\x1b[" in out.getvalue()
    assert not UNPRINTABLE.search(re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()))


def test_terminal_colour_only_where_wanted() -> None:
    """NO_COLOR leaves no colour on a terminal."""
    colour = re.compile(r"\x1b\[(?:\d+;)*[34]\d")
    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        console, out = terminal_console(environ)
        terminal.render(load("crash"), console)
        assert bool(colour.search(out.getvalue())) is coloured


@pytest.mark.parametrize("name", NAMES)
def test_terminal_ascii(name: str) -> None:
    """A terminal that knows only ASCII gets the report without an exception."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as out:
        terminal.render(load(name), Console(file=out, width=80, _environ={}))
        out.flush()
        assert b"submission" in raw.getvalue()


# --- progress -------------------------------------------------------------------------


def results() -> tuple[CheckResult, ...]:
    """Return eight results, seven of them passed."""
    return load("crash").exercises[0].checks


def test_progress_is_one_line_a_stage() -> None:
    """Where it is not a terminal, progress is one plain line a stage and nothing a check."""
    out = io.StringIO()
    with terminal.Progress(Console(file=out, _environ={})) as progress:
        progress.stage("Building [red]three[/red] modules\x1b[2J")
        progress.stage("Trying the exercises")
        for result in results():
            progress.check_done(result)
    assert out.getvalue() == ("Building [red]three[/red] modules\\x1b[2J\nTrying the exercises\n")


def test_progress_counts_on_a_terminal() -> None:
    """On a terminal the stage stands with how many checks passed, and the cursor comes back."""
    console, out = terminal_console()
    with pytest.raises(KeyboardInterrupt), terminal.Progress(console) as progress:
        progress.stage("Trying [b]")
        for result in results():
            progress.check_done(result)
        raise KeyboardInterrupt
    assert "Trying [b] (7 passed, 1 failed)" in out.getvalue()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


# --- the page -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_page_holds_itself(name: str) -> None:
    """The page is well-formed and asks nothing of the network: no script, no image, no link out."""
    source = html.render(load(name))
    page = Page(source)
    assert source.startswith("<!DOCTYPE html>")
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "img",
        "link",
        "iframe",
        "image",
        "use",
        "foreignobject",
    }
    assert not any(
        key in ("src", "style") or key.startswith("on") for _, a in page.elements for key in a
    )
    assert all(str(a["href"]).startswith("#") for a in page.all("a"))
    assert "url(" not in source
    assert "@import" not in source
    assert not UNPRINTABLE.search(source)


@pytest.mark.parametrize("name", NAMES)
def test_page_is_accessible(name: str) -> None:
    """The page names its language and title, its table headers have a scope, its links a target."""
    page = Page(html.render(load(name)))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in page.all("a")} <= set(ids)
    assert {a["aria-labelledby"] for a in page.all("section")} <= set(ids)


@pytest.mark.parametrize("name", ["skeleton", "crash", "timeout", "check-error"])
def test_page_tells_everything(name: str) -> None:
    """The page holds each check's sentence and evidence, the findings, and how it was made."""
    grade = load(name)
    said = words(Page(html.render(grade)).said)
    for check in story.checks(grade):
        assert check.title in said
        if check.status != "skip":
            parts = (check.message, check.expected, check.actual, fold(check.log))
            assert all(words(part) in said for part in parts)
    for finding in grade.findings:
        assert finding.summary in said
        assert words(finding.report) in said
    made = grade.provenance
    assert all(part in said for part in (str(made.seed), made.lab, made.checker, made.image))
    assert grade.kernel.release in said
    assert story.next_step(grade).replace("`", "") in said


@pytest.mark.parametrize(
    ("kinds", "title"),
    [
        (["oops"], "What the kernel reported"),
        (["leak"], "What sanitizers reported"),
        (["leak", "oops"], "What kernel and sanitizers reported"),
    ],
)
def test_findings_are_called_after_who_reported_them(kinds: list[str], title: str) -> None:
    """On the terminal and on the page, a leak of a program is not the kernel's word."""
    findings = tuple(Finding(kind=kind, summary="It is wrong.") for kind in kinds)
    grade = load("crash").model_copy(update={"findings": findings})
    assert title in report(grade)
    assert title in Page(html.render(grade)).said


def test_page_shows_a_shared_reason_once() -> None:
    """The compiler's words stand once; the other checks link to them."""
    said = Page(html.render(load("compile-error"))).said
    assert said.count("implicit declaration") == 1
    assert said.count("For the same reason as") == 13


def test_page_opens_what_is_not_earned() -> None:
    """Failures are open from the start, so that nothing need be clicked to read them."""
    open_ = [
        details
        for details in Page(html.render(load("timeout"))).all("details")
        if "open" in details
    ]
    assert len(open_) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_failure_ends_with_one_next_step(name: str) -> None:
    """The terminal in full and the page have the step of each reason once, and no other."""
    grade = clean(load(name))
    groups = story.reasons(grade)
    text = words(report(name, verbose=True))
    assert text.count("Next:") == len(groups)
    assert all(f"Next: {words(group[0].hint)}" in text for group in groups)
    page = Page(html.render(grade))
    steps = [c for c in story.checks(grade) if c.status != "pass"]
    same = sum(len(group) - 1 for group in groups)
    waits = story.waiting(grade)
    found = words(page.said).count("Next:")
    assert found == len(steps) - same + len(grade.findings)
    assert all(c.hint for c in steps)
    said = words(page.said)
    assert all(words(c.hint).replace("`", "") in said for c in steps if c.id not in waits)


def test_page_shows_evil_text_as_text() -> None:
    """Tags, templates and controls from a student are words on the page."""
    said = Page(html.render(load("evil"))).said
    assert "<script>alert(1)</script>" in said
    assert "{{ 7 * 7 }}" in said
    assert r"\x1b[2J" in said
    assert "Zoë O'Néill <zoë@bücher.example> / 王小明" in said


def test_page_sets_commands_as_code() -> None:
    """What stands between backticks is code, and what it holds is text all the same."""
    assert "<code>make check EX=1</code>" in html.render(load("skeleton"))
    assert code("`<b>` & `a\n`b") == "<code>&lt;b&gt;</code> &amp; `a\n`b"


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_page_has_contrast(scheme: int) -> None:
    """Every text colour stands out from both backgrounds as WCAG AA asks, and bars as well."""
    found = colours(html.render(load("full")), scheme)
    for name in ("text", "quiet", "good", "bad", "warn", "link"):
        for ground in ("ground", "raised"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    assert contrast(found["bar"], found["ground"]) >= 3
