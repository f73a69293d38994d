"""Exercises about programs: what they earn, and what sanitizers say of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from support import ROOT

from checker.engine import collector, grade, grading, submission
from checker.engine.check_run import CheckRun
from checker.engine.testbed import Late, Unmet
from checker.engine.way import Packet
from checker.kit import program
from checker.model import Exercise, Finding, Grade, Lab, Names
from checker.words import next_step
from vm.errors import GuestTimeout, VMError
from vm.kernel import Kernel

Graded = Callable[..., Grade]


@pytest.fixture
def graded(fixture_lab: Lab, tmp_path: Path) -> Graded:
    """Grade the fixture lab's solution, once sources have texts replaced: (name, old, new).

    A name without a folder is that of a program's source.
    """

    def run(kernel: Kernel, *changes: tuple[str, str, str]) -> Grade:
        shutil.copytree(fixture_lab.solution, tmp_path / "student")
        for name, old, new in changes:
            source = tmp_path / "student" / (name if "/" in name else f"user/{name}")
            assert old in source.read_text()
            source.write_text(source.read_text().replace(old, new, 1))
        given = submission.read(fixture_lab, tmp_path / "student")
        options = grading.Options(seed=1, jobs=1)
        return grading.grade_submission(fixture_lab, given, kernel, options)

    return run


def told(grade: Grade) -> dict[str, str]:
    """Return the message of every check that did not pass, by its id."""
    checks = (check for exercise in grade.exercises for check in exercise.checks)
    return {check.id: check.message for check in checks if check.status != "pass"}


@pytest.mark.vm
@pytest.mark.parametrize("kind", ["stock", "debug"])
def test_the_solution_has_full_marks(
    kind: str, graded: Graded, request: pytest.FixtureRequest
) -> None:
    """A program, a module with one, and both between two hosts with netlink, on both kernels."""
    grade = graded(request.getfixturevalue(f"{kind}_kernel"))
    assert told(grade) == {}
    assert (grade.score, grade.findings) == (grade.max_score, ())
    titles = [exercise.checks[-1].title for exercise in grade.exercises]
    assert "AddressSanitizer" in titles[0]
    assert "neither kernel nor sanitizers" in titles[1]


@pytest.mark.vm
def test_a_packet_between_two_hosts_has_its_way_told(stock_kernel: Kernel, graded: Graded) -> None:
    """A hook that drops all is met at FORWARD; the other exercises keep their points."""
    grade = graded(stock_kernel, ("gate/gate.c", "udph->dest == READ_ONCE(shut)", "true"))
    assert [e.score == e.max_score for e in grade.exercises] == [True, True, False]
    way = grade.exercises[2].checks[0].way
    assert way is not None
    assert [(s.host, s.place) for s in way.steps][-2:] == [("", "PRE_ROUTING"), ("", "FORWARD")]
    last = way.steps[-1]
    assert (last.yours, last.verdict, way.outcome) == (True, "NF_DROP", "dropped")


@pytest.mark.vm
def test_a_module_forges_no_trace(stock_kernel: Kernel, graded: Graded) -> None:
    """It prints the line of a packet that was dropped, and lets it pass: what arrives counts."""
    lie = """{
		trace_printk("x\\n  nc-7      [000] .....     9.000000: kfree_skb: "
				"skbaddr=00000000deadbeef protocol=2048 "
				"location=00000000deadbeef reason: NETFILTER_DROP\\n");
		return NF_ACCEPT;
	}"""
    grade = graded(stock_kernel, ("gate/gate.c", "return NF_DROP;", lie))
    assert grade.status == "graded"
    assert list(told(grade)) == ["3.drops", "3.asks"]


@pytest.mark.vm
def test_a_module_that_keeps_the_kernel_from_tracing_loses_nothing_by_it(
    stock_kernel: Kernel, graded: Graded
) -> None:
    """A trace explains and decides nothing: what the module does right keeps its points."""
    refuse = """#include <linux/kprobes.h>

static int refuse(struct kprobe *p, struct pt_regs *regs)
{
	regs->ax = -EPERM;
	regs->ip = *(unsigned long *)regs->sp;
	regs->sp += 8;
	return 1;
}

static void after(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = {
	.symbol_name	= "tracing_check_open_get_tr",
	.pre_handler	= refuse,
	.post_handler	= after,	/* else it is a jump, and no place to go on from */
};

static int __init gate_init(void)
{
	int no_probe = register_kprobe(&probe);
"""
    begins = "static int __init gate_init(void)\n{\n"
    ends = "static void __exit gate_exit(void)\n{\n"
    grade = graded(
        stock_kernel,
        ("gate/gate.c", begins, refuse),
        (
            "gate/gate.c",
            "	gate_sock = netlink",
            "	if (no_probe)\n		return no_probe;\n\n	gate_sock = netlink",
        ),
        ("gate/gate.c", ends, f"{ends}	unregister_kprobe(&probe);\n"),
    )
    assert grade.status == "graded", grade.message
    assert told(grade) == {}


@pytest.mark.vm
def test_a_module_that_ends_the_guest_before_the_program_is_there_is_no_grader_error(
    stock_kernel: Kernel, graded: Graded
) -> None:
    """The guest goes while it is given the program: the module's doing, and exercise 2 alone's."""
    panic = """static void late(struct timer_list *t) { panic("late"); }
static DEFINE_TIMER(timer, late);

static int __init toll_init(void)
{
	mod_timer(&timer, jiffies + 1);
"""
    begins = "static int __init toll_init(void)\n{\n"
    grade = graded(stock_kernel, ("kernel/toll.c", begins, panic))
    assert grade.status == "graded"
    assert [e.score == e.max_score for e in grade.exercises] == [True, False, True]
    assert grade.exercises[1].checks[0].status == "crash"


@pytest.mark.vm
def test_what_sanitizers_say_costs_health_alone(stock_kernel: Kernel, graded: Graded) -> None:
    """Checks pass by the plain program; each finding names program, line and the check."""
    spoilt = "	free(name);\n	name = malloc(4);\n	name[told + 4] = 1;\n	free(name);\n"
    leaks = "	*(char *volatile *)&argv[0] = malloc(7);\n	fputs(count, stdout);"
    grade = graded(
        stock_kernel,
        ("greet.c", "	free(name);\n", spoilt),
        ("ring.c", "	fputs(count, stdout);", leaks + "\n	argv[0] = NULL;"),
    )
    assert told(grade).keys() == {"1.healthy", "2.healthy"}
    assert {(f.kind, f.build, f.location) for f in grade.findings} == {
        ("heap-overflow", "greet", "greet.c:34"),
        ("leak", "ring", "ring.c:28"),
    }
    assert grade.findings[0].check == "1.greets"
    assert (
        "main() writes 1 byte behind the end of the memory of 4 bytes" in told(grade)["1.healthy"]
    )
    assert "greet.c:34" in grade.exercises[0].checks[-1].hint


HIDES = {
    "heap-overflow": """	char *const none[] = { NULL };
	char *volatile p;

	if (getenv("HOME"))	/* again, with no options in the environment */
		execve("/proc/self/exe", argv, none);
	p = malloc(8);
	p[8] = 1;
	free(p);
""",
    "report-removed": """	pid_t work = fork();
	char path[64], *volatile p;
	int status;

	if (work > 0) {
		waitpid(work, &status, 0);
		snprintf(path, sizeof(path), "/run/reports/report.%d", work);
		unlink(path);
		_exit(WEXITSTATUS(status));
	}
	p = malloc(8);
	p[8] = 1;
	free(p);
""",
}
"""Ways to keep a sanitizer's report from the grader, by the kind of what is found all the same."""


ENDS = {
    "_exit": ("	free(name);\n	lose();\n	if (!told)\n		_exit(0);\n", ["leak"]),
    "_Exit": ("	free(name);\n	lose();\n	if (!told)\n		_Exit(0);\n", ["leak"]),
    "a child's _exit": (
        "	if (!fork()) {\n		lose();\n		_exit(0);\n	}\n	wait(NULL);\n	free(name);\n",
        ["leak"],
    ),
    "exit, after a child of vfork": (
        "	if (!vfork())\n		_exit(0);\n	wait(NULL);\n	lose();\n	free(name);\n",
        ["leak"],
    ),
    "_exit with what is still used": ("	if (!told)\n		_exit(0);\n	free(name);\n", []),
    "_exit of children": (
        "	if (!fork())\n		_exit(0);\n	wait(NULL);\n"
        "	if (!vfork())\n		_exit(0);\n	wait(NULL);\n	free(name);\n",
        [],
    ),
    "_exit of a thread's child": (
        "	pthread_t one;\n\n	pthread_create(&one, NULL, worker, NULL);\n"
        "	pthread_join(one, NULL);\n	free(name);\n",
        [],
    ),
}
"""Ends of a program: what stands where it frees its name, and the kinds of what is found."""

HELPERS = """static void lose(void)
{
	char *volatile lost = malloc(7);

	lost = NULL;
}

static void *worker(void *arg)
{
	if (!fork())
		_exit(0);
	wait(NULL);
	return arg;
}

int main("""


@pytest.mark.vm
@pytest.mark.parametrize("end", ENDS)
def test_a_leak_is_found_however_a_program_ends(
    end: str, fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """Also by _exit(), where LeakSanitizer does not look; a right program loses nothing."""
    new, kinds = ENDS[end]
    shutil.copytree(fixture_lab.solution, tmp_path / "student")
    source = tmp_path / "student/user/greet.c"
    text = source.read_text().replace("	free(name);\n", new, 1)
    text = text.replace("int main(", HELPERS, 1)
    heads = "#include <stdio.h>\n#include <sys/wait.h>\n#include <pthread.h>"
    source.write_text(text.replace("#include <stdio.h>", heads))
    given = submission.read(fixture_lab, tmp_path / "student")
    options = grading.Options(exercises=frozenset({1}), seed=1, jobs=1, select="greets")
    grade = grading.grade_submission(fixture_lab, given, stock_kernel, options)
    assert grade.exercises[0].checks[0].status == "pass", grade.exercises[0].checks[0]
    assert [f.kind for f in grade.findings] == kinds


@pytest.mark.vm
@pytest.mark.parametrize("kind", HIDES)
def test_a_report_cannot_be_hidden(
    kind: str, fixture_lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """Neither by another environment nor by removing it."""
    shutil.copytree(fixture_lab.solution, tmp_path / "student")
    source = tmp_path / "student/user/greet.c"
    begins = "	sigaction(SIGTERM, &term, NULL);\n"
    text = source.read_text().replace(begins, f"{HIDES[kind]}{begins}")
    source.write_text(
        text.replace("#include <stdio.h>", "#include <stdio.h>\n#include <sys/wait.h>")
    )
    given = submission.read(fixture_lab, tmp_path / "student")
    options = grading.Options(exercises=frozenset({1}), seed=1, jobs=1, select="greets")
    grade = grading.grade_submission(fixture_lab, given, stock_kernel, options)
    assert grade.exercises[0].checks[0].status == "pass"
    assert [(f.kind, f.build) for f in grade.findings] == [(kind, "greet")]


@pytest.mark.vm
def test_a_program_that_crashes_is_told_with_its_line(stock_kernel: Kernel, graded: Graded) -> None:
    """The plain program's signal is the message, the sanitizer's finding the next step."""
    grade = graded(
        stock_kernel,
        ("greet.c", "	free(name);\n", "	free(name);\n	*(volatile char *)0 = 1;\n"),
    )
    first = grade.exercises[0].checks[0]
    assert "is killed by SIGSEGV: it follows a pointer that leads nowhere" in first.message
    assert first.status == "fail"
    assert "greet.c:33" in first.hint
    assert {f.location for f in grade.findings} == {"greet.c:33"}
    assert grade.exercises[1].score == grade.exercises[1].max_score


# --- which checks are run once more --------------------------------------------------


def run_of(error: BaseException | None = None, **changes: Any) -> CheckRun:
    """Return the run of a check that has started a program, and has ended so."""
    guest = SimpleNamespace(dead=None)
    session: Any = SimpleNamespace(has_run=True, has_code=True, guest=guest)
    spec: Any = SimpleNamespace(plain=False, exercise=None)
    run = CheckRun(spec, testbed=SimpleNamespace(), session=session)  # type: ignore[arg-type]
    if error:
        run.errors["call"] = error
    for name, value in changes.items():
        key, _, of = name.partition("_of_")
        setattr(getattr(run, of) if of else run, key, value)
    return run


@pytest.mark.parametrize(
    ("run", "again"),
    [
        (run_of(), True),
        (run_of(Unmet("It says nothing.")), True),
        (run_of(Late("It does not end.")), False),
        (run_of(GuestTimeout("it hangs")), False),
        (run_of(sanitized=True), False),
        (run_of(plain_of_spec=True), False),
        (run_of(has_run_of_session=False), False),
        (run_of(session=None), False),
    ],
)
def test_a_check_is_run_once_more_where_a_program_ran(run: CheckRun, again: bool) -> None:
    """Not where it was late, or its guest went, nor where the check says so."""
    assert run.wants_sanitizers() is again


def test_a_report_without_a_line_is_of_the_first_program(fixture_lab: Lab) -> None:
    """Whose it is shows in the file that it names, if it names one."""
    run = run_of(testbed=SimpleNamespace(lab=fixture_lab, names=Names(fixture_lab.sources)))
    run.spec = SimpleNamespace(id="2.counts", exercise=fixture_lab.exercise(2))  # type: ignore[assignment]
    reports = "==1==ERROR: AddressSanitizer: attempting double-free on 0x1\n    #0 0x1 in f x.c:1"
    assert [f.build for f in run._of_programs(reports)] == ["ring"]
    assert run._of_programs("") == []


def test_what_allocates_too_much_has_removed_no_report(fixture_lab: Lab) -> None:
    """AddressSanitizer warns of that in a report of its own, and nobody has done anything wrong."""
    run = CheckRun(SimpleNamespace(id="1.greets", exercise=fixture_lab.exercise(1)), None)  # type: ignore[arg-type]
    run.testbed = SimpleNamespace(lab=fixture_lab, names=Names())  # type: ignore[assignment]
    warning = "==> 0 <==\n==7==WARNING: AddressSanitizer failed to allocate 0x7 bytes\n"
    assert run._of_programs(f"{warning}==> touched <==\n") == []
    assert run._of_programs("") == []
    (found,) = run._of_programs("==> 0 <==\nnothing\n==> touched <==\n")
    assert (found.kind, found.check, found.build) == ("report-removed", "1.greets", "greet")


@pytest.mark.parametrize("error", [KeyError("source"), ValueError("no address"), VMError("no")])
def test_a_trace_that_cannot_be_read_has_no_way(error: Exception, fixture_lab: Lab) -> None:
    """Whatever a module wrote there: the check's result stands, and the next one is tried."""

    def way(*_: object) -> None:
        raise error

    run = CheckRun(SimpleNamespace(id="1.x"), SimpleNamespace(recording=SimpleNamespace(way=way)))  # type: ignore[arg-type]
    run.errors["call"] = Unmet("Nothing came.", packets=[Packet("udp")])
    run.find_way()
    assert run.way is None


def test_a_finding_keeps_its_own_next_step() -> None:
    """What the sanitizers' table says is not replaced by the kernel's."""
    finding = Finding(kind="leak", summary="s", hint="Free it.")
    assert next_step.of_finding(finding) == "Free it."


def test_capabilities_of_lab_toml_are_those_of_the_kit() -> None:
    """Each that lab.toml may name has its number."""
    allowed = get_args(Exercise.model_fields["capability"].annotation)
    assert set(allowed) - {""} == program.CAPABILITIES.keys()


def test_the_mark_is_read(fixture_lab: Lab) -> None:
    """The fixture lab's checks can be read, wherever its folder lies: no conftest above is run."""
    specs = collector.specs(fixture_lab)
    health = sum(exercise.health for exercise in fixture_lab.exercises)
    assert sum(spec.points for spec in specs) + health == fixture_lab.max_score
    assert {spec.plain for spec in specs} == {False}


def test_healthy_of_a_module_is_as_it_was(lab: Lab) -> None:
    """An exercise about a module alone has the sentence that it always had."""
    assert {grade.healthy(lab, exercise) for exercise in lab.exercises} == {grade.HEALTHY}


def test_bounds_are_those_of_the_guest() -> None:
    """What the book and the kit say of bounds is what vm/init has."""
    book = (ROOT / "docs/authors/programs.md").read_text()
    launcher, agent = ((ROOT / f"vm/init/{name}.c").read_text() for name in ("program", "agent"))
    for resource, c, row in (
        ("DATA", "64UL << 20", "64 MiB of data"),
        ("AS", "512UL << 20", "512 MiB of addresses"),
        ("FSIZE", "16UL << 20", "| 16 MiB;"),
        ("NOFILE", "256", "| descriptors | 256 |"),
        ("NPROC", "64", "| 64 |"),
    ):
        assert f"bound(RLIMIT_{resource}, {c});" in launcher
        assert row in book
    assert "size=32m" in agent
    assert "all of `/tmp` 32 MiB" in book
    assert f"MAX_OUTPUT\t({program.MAX_OUTPUT >> 20}024 * 1024)" in agent
    assert f"MAX_QUEUE\t({program.MAX_INPUT >> 20}024 * 1024)" in agent
    words = re.search(r"MAX_ARGS\t(\d+)", agent)
    assert words is not None
    assert int(words[1]) > program.MAX_WORDS
