"""Mutants by machine: which are made of a lab, which need a guest, what is told of them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from checker import cli
from checker import lab as labs
from checker.errors import LabError
from checker.model import CheckResult, ExerciseResult, Grade, KernelInfo, Lab, Provenance, Status
from checker.report import auto as shown
from checker.report.progress import Progress
from checker.workshop import auto, survivors
from checker.workshop.auto import Made, Outcome, Report, Verdict
from vm.kernel import Kernel

FILTER = "1-2-netfilter/kernel/filter.c"


@pytest.fixture(scope="module")
def made() -> list[Made]:
    """All mutants of the networking lab."""
    return auto.make(labs.load("networking"))


def one(made: list[Made], new: str) -> Made:
    """Return the mutant whose new lines have *new*."""
    (found,) = [mutant for mutant in made if new in mutant.new]
    return found


def small(n: int = 0, **fields: object) -> Made:
    """Make a mutant of no lab."""
    return Made.model_validate(
        {
            "file": "m/m.c",
            "line": 3,
            "operator": "statement dropped",
            "old": "\ta();",
            "new": "\t;",
            "module": "m",
            "exercises": (1,),
            "text": f"text {n}",
            **fields,
        }
    )


def test_known_finds_are_made(made: list[Made]) -> None:
    """The nine mistakes that had full marks once are among them."""
    lines = {" ".join(mutant.new.split()) for mutant in made}
    for wanted in (
        "tcph = skb_header_pointer(skb, ip_hdrlen(skb), (sizeof(buf) + 4), &buf);",
        "tcph = skb_header_pointer(skb, ip_hdrlen(skb), 1, &buf);",
        "tcph = skb_header_pointer(skb, ip_hdrlen(skb), sizeof(buf), NULL);",
        "tcph = skb_header_pointer(skb, sizeof(struct iphdr), sizeof(buf), &buf);",
        "if (!tcph->syn || tcph->ack)",
        "if (iph->protocol != IPPROTO_TCP)",
        "if (0) {",
        "return 0;",
    ):
        assert wanted in lines
    ones = [m for m in made if m.operator == "1 returned" and m.exercises == (2,)]
    assert len(ones) == 1


def test_exercises_by_region_and_function(made: list[Made], lab: Lab) -> None:
    """A mutant is of the exercise whose region or function it touches, or of all of its module."""
    for mutant, exercises in (
        (one(made, "return daddr != wanted;"), (2,)),  # a region
        (one(made, "&iph->daddr, ntohs"), (1,)),
        (one(made, "&addr->sin_addr, (addr->sin_port)"), (4,)),  # given, in its function
        (one(made, "err = register_chrdev(MY_MAJOR, MY_DEVICE_NAME, NULL);"), (1, 2)),  # neither
    ):
        assert mutant.exercises == exercises
    assert {n for mutant in made for n in mutant.exercises} == {e.number for e in lab.exercises}


def test_statements_of_two_exercises(made: list[Made]) -> None:
    """What swaps statements of two regions is of both."""
    swapped = [m for m in made if m.operator == "statements swapped"]
    (both,) = [m for m in swapped if m.new.startswith("\tsock_release(sock);\n\t/* TODO 4")]
    assert both.exercises == (3, 4)


def test_sample_is_the_same_every_time(made: list[Made]) -> None:
    """N of them, in their order; no more than there are."""
    some = auto.sample(made, 5)
    assert len(some) == 5
    assert some == auto.sample(made, 5)
    assert [made.index(mutant) for mutant in some] == sorted(made.index(m) for m in some)
    assert auto.sample(made, len(made) + 1) == made


# --- without a guest -----------------------------------------------------------------


def verdicts(codes: list[str], reasons: dict[tuple[str, str], str]) -> dict[int, Verdict]:
    """Return what is said of mutants by their *codes*; the solution's is "s"."""
    mutants = {n: small(n) for n in range(len(codes))}
    done = auto.without_guest(mutants, dict(enumerate(codes)), {"m": "s"}, reasons)
    return {n: outcome.verdict for n, outcome in done.items()}


def test_who_needs_no_guest() -> None:
    """Not built, the solution's code, and what another one has been compiled to."""
    assert verdicts(["", "s", "a", "a", "b"], {}) == {0: "unbuilt", 1: "same", 3: "twin"}


def test_a_reason_holds_for_all_with_the_same_code() -> None:
    """Whichever of them the row is like."""
    assert verdicts(["a", "a", "b"], {("m/m.c", "text 1"): "w"}) == {0: "excused", 1: "twin"}


def test_same_code_in_other_words(lab: Lab, stock_kernel: Kernel) -> None:
    """Comments, lines and names of variables change nothing; a condition does."""
    text = (lab.solution / FILTER).read_text()

    def code(old: str, new: str) -> str:
        assert text.count(old) == 1
        return auto.compiled(lab, stock_kernel, "filter", {FILTER: text.replace(old, new)})

    solution = auto.compiled(lab, stock_kernel, "filter", {})
    assert code("return daddr == wanted;", "/* so */\n\n\treturn wanted == daddr;") == solution
    assert code("return daddr == wanted;", "return daddr != wanted;") not in ("", solution)
    assert code("ntohs(tcph->source)", "htons(tcph->source)") == solution
    assert code("from %pI4", "of %pI4") != solution  # data
    assert (
        code("&init_net, &my_nfho);\n\tif", "&init_net, NULL);\n\tif") != solution
    )  # a relocation
    assert code("return daddr == wanted;", "return daddr == ;") == ""


# --- survivors.toml ------------------------------------------------------------------


def _rows(folder: Path, text: str) -> list[survivors.Survivor]:
    solution = folder / "solution"
    (solution / "m").mkdir(parents=True)
    (solution / "m/m.c").write_text("int f(void)\n{\n\ta();\n\treturn 0;\n}\n")
    path = folder / survivors.FILE
    path.write_text(text)
    return survivors.load(path, solution)


ROW = """[a-is-harmless]
why = "a() does nothing"
file = "m/m.c"
old = 'a();'
new = ';'
"""


def test_row_is_found_by_its_text(tmp_path: Path) -> None:
    """File, old and new make a text; white space does not matter."""
    (row,) = _rows(tmp_path, ROW)
    assert row.why == "a() does nothing"
    assert row.texts == {("m/m.c", survivors.same("int f(void) {\n;\nreturn 0; }"))}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a();'", "b();'", "stands nowhere in m/m.c"),
        ("m/m.c", "m/n.c", "has no file m/n.c"),
    ],
)
def test_row_that_fits_no_more(tmp_path: Path, old: str, new: str, said: str) -> None:
    """It stands for nothing, and says why."""
    (row,) = _rows(tmp_path, ROW.replace(old, new))
    assert row.texts == frozenset()
    assert said in row.misfit


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('why = "a() does nothing"\n', "", "survivors.toml:1: a-is-harmless: give it a why"),
        ('why = "a() does nothing"', 'why = ""', "give it a why"),
        ("why =", 'check = "1.a"\nwhy =', "survivors.toml:2: .* not 'check'"),
    ],
)
def test_row_that_is_none(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A row without a reason or with another key is refused with its place."""
    with pytest.raises(LabError, match=said):
        _rows(tmp_path, ROW.replace(old, new))


def test_the_lab_s_own_rows_match(made: list[Made], lab: Lab) -> None:
    """Each row of the lab's survivors.toml is like a mutant that is made."""
    texts = {(mutant.file, survivors.same(mutant.text)) for mutant in made}
    for row in survivors.load(lab.root / survivors.FILE, lab.solution):
        assert row.texts & texts, f"{row.place}: {row.misfit}"


# --- its verdict ---------------------------------------------------------------------


def _grade(*statuses: Status, error: str = "") -> Grade:
    checks = tuple(
        CheckResult(id=f"1.{n}", title="t", status=s, points=0, max_points=1)
        for n, s in enumerate(statuses)
    )
    return Grade(
        lab="small",
        submission="s",
        status="error" if error else "graded",
        message=error,
        kernel=KernelInfo(name="stock", release="6.1.0"),
        score=0,
        max_score=1,
        exercises=(ExerciseResult(number=1, title="t", score=0, max_score=1, checks=checks),),
        provenance=Provenance(seed=1, lab="", checker="", image="", seconds=1),
    )


@pytest.mark.parametrize(
    ("statuses", "verdict", "checks"),
    [
        (("pass", "fail", "crash"), "caught", ("1.1", "1.2")),
        (("pass", "timeout"), "caught", ("1.1",)),
        (("pass", "skip"), "survived", ()),
        (("pass", "pass"), "survived", ()),
    ],
)
def test_verdict(statuses: tuple[Status, ...], verdict: str, checks: tuple[str, ...]) -> None:
    """A check that fails, crashes or times out has caught it; one that was skipped has not."""
    outcome = auto.judge(small(), _grade(*statuses), "stock")
    assert (outcome.verdict, outcome.checks) == (verdict, checks)


def test_grader_error_is_no_verdict() -> None:
    """It is told with the grader's words."""
    outcome = auto.judge(small(), _grade("fail", error="QEMU is gone"), "stock")
    assert (outcome.verdict, outcome.what) == ("error", "QEMU is gone")


# --- what is shown -------------------------------------------------------------------


def _report(*outcomes: Outcome, possible: int = 0, stale: tuple[str, ...] = ()) -> Report:
    return Report(
        lab="small",
        kernels=(KernelInfo(name="stock", release="6.1.0"),),
        possible=possible or len(outcomes),
        outcomes=outcomes,
        stale=stale,
        seconds=3,
    )


def outcome(verdict: Verdict) -> Outcome:
    """Make the outcome of a mutant of no lab."""
    return Outcome(mutant=small(), verdict=verdict)


def test_survivor_is_told_with_its_place_and_edit() -> None:
    """A line that an editor can jump to, and the lines of the edit."""
    text = shown.render(_report(outcome("survived"), outcome("caught")), Path("lab/solution"))
    assert "lab/solution/m/m.c:3: statement dropped\n    - \ta();\n    + \t;\n" in text
    assert text.endswith("Caught: 1 of 2 (50.0 %).")
    assert "add a row to survivors.toml" in text


def test_what_was_left_out_is_counted() -> None:
    """Those that were not graded are in no score, and are told."""
    left: list[Verdict] = ["unbuilt", "same", "same", "twin", "excused"]
    text = shown.render(_report(*map(outcome, left), outcome("caught"), possible=9), Path())
    for line in (
        "small: 6 mutants, a sample of 9:",
        "  1 do not compile",
        "  2 compile to the same code as the solution",
        "  1 compile to the same code as another mutant",
        "  1 are not mistakes",
        "Caught: 1 of 1 (100.0 %).",
    ):
        assert line in text


def test_stale_row_is_told() -> None:
    """With its place and what to do."""
    text = shown.render(_report(stale=("survivors.toml:1: x: no mutant is like it",)), Path())
    assert "survivors.toml:1: x: no mutant is like it: remove this row" in text


def test_compiling_is_not_silent() -> None:
    """Where it is not a terminal, each fiftieth of what is only counted is told."""
    out = io.StringIO()
    with Progress(Console(file=out, _environ={})) as progress:
        progress.begin(120, "compiling")
        for _ in range(120):
            progress.count()
    assert out.getvalue() == "[50/120]\n[100/120]\n"


# --- the command ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sample", "3"], "add --auto"),
        (["--auto", "--sample"], "needs the number"),
        (["--auto", "--only", "solution"], "together with --only"),
        (["--auto", "--repeat", "2"], "together with --only, --repeat"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything is compiled."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["selftest", "networking", *options])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def udp_only(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The networking lab in a folder of its own, and one mutant of each kind of its exercise 5."""
    shutil.copytree(lab.root, tmp_path / lab.name)
    monkeypatch.setattr(labs.load, "__defaults__", (tmp_path,))
    monkeypatch.setattr(labs.names, "__defaults__", (tmp_path,))
    own = [m for m in auto.make(lab) if m.module == "udp_sock"]
    port = "	.sin_port		= (MY_UDP_REMOTE_PORT),"
    wanted = [
        next(m for m in own if port.strip() in m.new),  # caught
        next(m for m in own if m.operator == "statement dropped" and "my_udp_bind();" in m.old),
        next(m for m in own if "NULL, &msg" in m.new),
    ]
    monkeypatch.setattr(auto, "make", lambda _: wanted)
    yield tmp_path / lab.name


@pytest.mark.vm
def test_machine_made_mutants_are_graded(
    udp_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that a check catches are counted; one with a row in survivors.toml is not graded."""
    (udp_only / survivors.FILE).write_text(
        "[no-bind]\nwhy = 'for this test'\nfile = '5-udp-sock/udp_sock.c'\n"
        "old = 'err = my_udp_bind();'\nnew = ';'\n"
        "[gone]\nwhy = 'for this test'\nfile = '5-udp-sock/udp_sock.c'\n"
        "old = 'err = my_tcp_bind();'\nnew = ';'\n"
    )
    written = udp_only / "out.json"
    options = ["--auto", "--kernel", "stock", "--jobs", "1", "--json", str(written)]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["selftest", "networking", *options])
    assert exit_.value.code == 1  # for the row
    said = capsys.readouterr()
    assert "Caught: 2 of 2 (100.0 %)." in said.out
    assert f"{udp_only / survivors.FILE}:6: gone: its old text stands nowhere" in said.out
    record = json.loads(written.read_text())
    assert record["schema"] == "knetlab/selftest-auto/v1"
    assert [o["verdict"] for o in record["outcomes"]] == ["caught", "excused", "caught"]
    assert "5.arrives" in record["outcomes"][0]["checks"]
