"""The exports of a whole class: JSON, CSV, Markdown, annotations, and the registry of formats."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise

import pytest
from classes import SUBMITTED, absent, entry, grade
from markdown_it import MarkdownIt
from support import ROOT

from checker import lab
from checker.classroom.export import ABOUT, classroom50, document, github, markdown, table
from checker.classroom.export.entries import for_students, from_grade, graded, result
from checker.classroom.export.formats import FORMATS, Document, Gradebook, Options, Result
from checker.errors import InputError
from checker.model import Attempt, CheckResult, Entry, Mark, Student, Target
from checker.points import rounded, told

COMMANDS = "::set-output name=grade::100\n  ::error::boom\n:::stop-commands::x\na ##[error]b"
HOSTILE = f"{COMMANDS}\n```\n# head\n~~~\n@octocat #1 https://example.invalid www.example.invalid"
HIDDEN = "1.outgoing-syn"


def class_of() -> list[Entry]:
    """Return a class with each kind of trouble."""
    problem = Attempt(student="broken", problem="The archive is broken.")
    return [
        entry("ada"),
        entry("bob", "compile-error", penalty=10),
        entry("evil", "evil", name="=cmd|'/c calc'!A0"),
        entry("erin", "grader-error"),
        Entry(student=Student(key="broken"), attempt=problem),
        absent("zoe"),
    ]


def said(message: str, recorded: str = "crash") -> Entry:
    """Return an entry of which every check that failed says *message*, everywhere."""
    one = entry("mallory", recorded, name=message)
    got = graded(one)
    assert got is not None

    def check(old: CheckResult) -> CheckResult:
        new = {"message": message, "actual": message, "log": message, "title": message}
        return old.model_copy(update=new) if old.status != "pass" else old

    exercises = tuple(
        e.model_copy(update={"checks": tuple(map(check, e.checks)), "hint": message})
        for e in got.exercises
    )
    findings = tuple(f.model_copy(update={"summary": message}) for f in got.findings)
    new = got.model_copy(update={"exercises": exercises, "findings": findings})
    return one.model_copy(update={"attempt": Attempt(student="mallory", grade=new)})


# --- what an entry is worth ---------------------------------------------------------------


def test_error_and_missing_are_never_points() -> None:
    """Without a grade there are no points, not even a mark of zero; one given by hand counts."""
    zero = Mark(raw=0, penalty=0, final=0, max_score=100)
    by_hand = Mark(raw=0, penalty=0, final=70, max_score=100, notes=("Graded by hand.",))
    for broken in (entry("erin", "grader-error"), absent("zoe")):
        assert result(broken) is None
        assert result(broken.model_copy(update={"mark": zero})) is None
        assert result(broken.model_copy(update={"mark": by_hand})) == (70, 100)
    assert result(entry("bob", "compile-error", penalty=10)) == (50, 100)


def test_one_grade_is_an_entry() -> None:
    """What check --json wrote is an entry without a mark, and anything else is refused by name."""
    one = from_grade(grade("full").to_json(), "grade.json")
    assert (one.mark, result(one)) == (None, (100, 100))
    with pytest.raises(InputError, match=r"^grade\.json is not a grade .*see its score"):
        from_grade(
            grade("full").to_json().replace('"score": 100.0', '"score": "many"', 1), "grade.json"
        )
    with pytest.raises(InputError, match="is not a grade"):
        from_grade("[", "grade.json")


def test_hidden_checks_are_gone_for_students() -> None:
    """A hidden check's text, its findings and its name in other checks are gone, scores stay."""
    got = grade("evil")
    for check in (HIDDEN, "1.not-syn-ack"):
        assert got.model_dump_json().count(check) > 1
        shown = for_students(got, {check: "never"})
        assert check not in shown.model_dump_json()
        assert shown.score == got.score


def test_hidden_health_hides_the_findings_of_its_exercise() -> None:
    """The findings are what an exercise's health says, so they are hidden with it."""
    got = grade("timeout")
    assert [f.check for f in got.findings if f.check.startswith("5.")]
    assert not for_students(got, {"5.healthy": "never"}).findings


# --- JSON ---------------------------------------------------------------------------------


def test_json_holds_all_that_is_stored() -> None:
    """The document reads back as the same entries, controls and all."""
    text = document.render(class_of())
    assert json.loads(text)["schema"] == "knetlab/class/v1"
    assert document.Class.model_validate_json(text).entries == tuple(class_of())


def test_json_is_utf_8() -> None:
    """A name with half a surrogate, as file systems have them, does not stop the document."""
    text = document.render([entry("ada", name="Zo\udceb")])
    assert json.loads(text.encode())["entries"][0]["student"]["name"] == "Zo?"


# --- CSV ----------------------------------------------------------------------------------


def rows(entries: list[Entry]) -> list[dict[str, str]]:
    """Read the table back."""
    return list(csv.DictReader(io.StringIO(table.render(entries), newline=""), strict=True))


def test_csv_has_a_row_a_student() -> None:
    """Exercises, raw score, penalty and final score stand in columns of their own."""
    read = {row["student"]: row for row in rows(class_of())}
    assert list(read) == ["ada", "bob", "evil", "erin", "broken", "zoe"]
    bob = read["bob"]
    assert [bob[f"exercise {n}"] for n in range(1, 6)] == ["0", "0", "20", "20", "20"]
    assert [bob[key] for key in ("raw", "penalty", "final", "max")] == ["60", "10", "50", "100"]
    assert bob["submitted"] == "2026-11-20T21:30:00+00:00"


def test_csv_has_no_zero_for_what_has_no_grade() -> None:
    """An error, a problem and a missing submission have empty cells and say what they are."""
    read = {row["student"]: row for row in rows(class_of())}
    for key, status in (("erin", "error"), ("broken", "problem"), ("zoe", "missing")):
        row = read[key]
        assert row["status"] == status
        assert not any(row[c] for c in row if c.startswith("exercise") or c in ("raw", "final"))
    assert read["broken"]["notes"] == "The archive is broken."


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"],  # noqa: RUF001
)
def test_csv_has_no_formulas(name: str) -> None:
    """Text that a spreadsheet would calculate has an apostrophe in front, and is one line."""
    (row,) = rows([entry("a", name=name)])
    assert row["name"].startswith("'")
    assert not re.search(r"[\t\r\n]", row["name"])


def test_csv_is_quoted() -> None:
    """Quotes, commas and line ends in a name stay one cell, and the lines end as RFC 4180 says."""
    (row,) = rows([entry("a", name='Love"lace, Ada\r\nCountess')])
    assert row["name"] == 'Love"lace, Ada Countess'
    text = table.render(class_of())
    assert text.count("\r\n") == text.count("\n") == 7
    assert all(line.startswith('"') and line.endswith('"') for line in text.splitlines())


# --- Markdown -----------------------------------------------------------------------------


def command(line: str) -> tuple[str, dict[str, str], str] | None:
    """Read a line as GitHub's runner does (ActionCommand, TryParseV2 and then TryParse)."""
    if match := re.match(r"\s*::(.*?)::(.*)", line, re.S):
        word, _, properties = match[1].partition(" ")
        pairs = dict(p.split("=", 1) for p in properties.split(",") if "=" in p)
        undo = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
        read = lambda text: re.sub("%(0D|0A|3A|2C|25)", lambda m: undo[m[0]], text)  # noqa: E731
        return word, {key: read(value) for key, value in pairs.items()}, read(match[2])
    old = re.search(r"##\[(.*?)\](.*)", line)
    return (old[1], {}, old[2]) if old else None


@pytest.mark.parametrize("one", [*class_of(), said(HOSTILE), said("| a | b |\n<!-- -->")])
def test_markdown_is_harmless(one: Entry) -> None:
    """No HTML, link or image comes of student text, and no line is a command to the runner."""
    text = markdown.render([one])
    parser = MarkdownIt("commonmark").enable("table")
    kinds = {t.type for token in parser.parse(text) for t in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "blockquote_open"}
    assert not [line for line in text.splitlines() if command(line)]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "](" not in text
    outside = "".join(t.content for t in parser.parse(text) if t.type == "inline")
    assert not re.search(r"(?<!\\)@|https?://|www\.", re.sub("`.*?`", "", outside))


def test_markdown_reads_as_it_was_said() -> None:
    """Evidence is in blocks of code, word for word but for commands, and titles read plain."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown.render([said(HOSTILE)]))
    fences = [token.content for token in tokens if token.type == "fence"]
    wanted = HOSTILE.replace("::set", ": :set").replace("  ::err", "  : :err")
    wanted = wanted.replace(":::stop", ": ::stop").replace("##[", "# #[")
    assert wanted + "\n" in fences
    heading = MarkdownIt("commonmark").render(markdown.render([entry("evil", "evil")]))
    assert "&lt;i&gt;SYN&lt;/i&gt; [blink]logger[/blink]" in heading
    assert tokens[0].tag == "h2"


def test_markdown_tells_the_points_of_the_course() -> None:
    """The headline has the final score, the table the points of the exercises."""
    text = markdown.render([entry("bob", "compile-error", penalty=10)])
    assert "Bob: 50 of 100 points" in text
    assert "| 1 | SYN logger | 0 of 20 | 8 failed |" in text
    assert "every check of exercise 1, 2" in text


def test_markdown_leaves_hidden_checks_out() -> None:
    """A hidden check's words are not there, only that there is one."""
    text = markdown.render([entry("a", "skeleton")], {HIDDEN: "after_due_date"})
    assert HIDDEN in markdown.render([entry("a", "skeleton")])
    assert HIDDEN not in text
    assert "1 hidden check" in text


def test_markdown_ends_where_ci_systems_cut_it() -> None:
    """A summary is shorter than the 1 MiB that GitHub takes, and says that it was cut."""
    text = markdown.render([said("\n".join(f"{n} {'ä' * 390}" for n in range(60)))] * 90)
    assert len(text.encode()) < 1 << 20
    assert text.endswith(markdown.CUT)


def test_markdown_names_who_has_no_grade() -> None:
    """An error is told as the grader's, without points."""
    text = markdown.render([entry("erin", "grader-error")])
    assert "No grade. The grader itself failed" in text
    assert "points" not in text


# --- annotations --------------------------------------------------------------------------

PATHS = github.paths(lab.load("networking"), "skels/networking")
FILTER = PATHS["1-2-netfilter/kernel/filter.c"]


def annotations(one: Entry, **options: object) -> list[tuple[str, dict[str, str], str]]:
    """Return what GitHub's runner reads of an entry's annotations."""
    lines = github.render([one], PATHS, **options).splitlines()  # type: ignore[arg-type]
    read = [command(line) for line in lines]
    assert all(read)
    return [found for found in read if found]


def test_paths_are_those_of_the_repository() -> None:
    """A file of the submission is where the lab says that it lies, below the folder graded."""
    assert FILTER == "skels/networking/1-2-netfilter/kernel/filter.c"
    assert (ROOT / FILTER).is_file()


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("kernel/main.c:3", "s/1/kernel/main.c"),
        ("1/user/main.c:3", "s/1/user/main.c"),
        ("main.c:3", None),
    ],
)
def test_files_of_one_name_are_told_apart(place: str, file: str | None) -> None:
    """An annotation is at the file that is meant, and at none where that is not known."""
    module = Target(kind="module", name="m", folder="1", sources=("kernel/main.c", "user/main.c"))
    two = lab.load("networking").model_copy(update={"builds": (module,)})
    got = grade("timeout")
    moved = tuple(f.model_copy(update={"location": place}) for f in got.findings)
    attempt = Attempt(student="a", grade=got.model_copy(update={"findings": moved}))
    text = github.render([Entry(student=Student(key="a"), attempt=attempt)], github.paths(two, "s"))
    properties = [p for _, p, _ in map(command, text.splitlines())]  # type: ignore[misc]
    assert properties[0].get("file") == file


def test_finding_is_at_its_line() -> None:
    """What the kernel reported stands at file and line."""
    found = annotations(entry("a", "timeout"))
    assert ("error", "skels/networking/5-udp-sock/udp_sock.c", "47") in [
        (kind, p.get("file"), p.get("line")) for kind, p, _ in found
    ]


def test_compiler_error_is_told_once_at_its_line() -> None:
    """A module that does not compile fails fourteen checks and is one annotation."""
    ((kind, properties, message),) = annotations(entry("bob", "compile-error"))
    assert kind == "error"
    assert properties["file"] == FILTER
    assert properties["line"] == "63"
    assert "and 13 more" in properties["title"]
    assert "does not compile" in message


@pytest.mark.parametrize("one", [entry("a", "evil"), said(HOSTILE), said("50%\r\n%0A,:")])
def test_annotations_are_escaped(one: Entry) -> None:
    """Each line is one error or warning with properties of ours, whatever the text holds."""
    for kind, properties, _ in annotations(one):
        assert kind in ("error", "warning")
        assert {"title"} <= set(properties) <= {"file", "line", "title"}
        assert properties.get("file", "") in ("", *PATHS.values())


def test_annotation_titles_come_through() -> None:
    """A comma and a colon in a title do not end it."""
    text = github.render([entry("a, b: c=d", "grader-error", name="a, b: c=d")], PATHS)
    assert text.startswith("::warning title=a%2C b%3A c=d has no grade::")
    titles = [p["title"] for _, p, _ in annotations(entry("a", "evil"))]
    assert "ka\\x1bsan, during 1.outgoing-syn" in titles


def test_annotation_says_what_was_said() -> None:
    """Percent signs, commas and line ends come through."""
    messages = [message for _, _, message in annotations(said("50%, a: b\nsecond %0A"))]
    assert any("50%, a: b\nsecond %0A" in message for message in messages)


def test_place_in_a_file_that_is_not_the_labs_is_left_out() -> None:
    """A module can say #line what it wants; no annotation points outside the submission."""
    got = grade("timeout")
    moved = tuple(f.model_copy(update={"location": "../../secret:1"}) for f in got.findings)
    attempt = Attempt(student="a", grade=got.model_copy(update={"findings": moved}))
    text = github.render([Entry(student=Student(key="a"), attempt=attempt)], PATHS)
    assert "secret" not in text


def test_hidden_check_is_not_annotated() -> None:
    """Neither the check nor its findings are there."""
    hidden = {"1.not-syn-ack": "never"}
    assert "1.not-syn-ack" in github.render([entry("a", "crash")], PATHS)
    assert "1.not-syn-ack" not in github.render([entry("a", "crash")], PATHS, hidden)  # type: ignore[arg-type]


def test_no_grade_is_a_warning() -> None:
    """A grader's failure is no error of the student's."""
    ((kind, properties, message),) = annotations(entry("erin", "grader-error"))
    assert (kind, properties["title"]) == ("warning", "Erin has no grade")
    assert "The grader itself failed" in message


# --- two decimals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [(84.995, "85"), (0.005, "0.01"), (1.005, "1.01"), (2.675, "2.68"), (84.99499, "84.99"),
     (0.1 + 0.2, "0.3"), (1 / 3, "0.33"), (2 / 3, "0.67"), (0, "0"), (100, "100"), (12.5, "12.5")],
)  # fmt: skip
def test_points_are_rounded_one_way(value: float, said: str) -> None:
    """Two decimals at most, a half goes up, and what floats are off by decides nothing."""
    assert told(value) == said
    assert rounded(value) == float(said)


def test_every_format_has_two_decimals() -> None:
    """A score of 84.995 is 85 in all that is exported, and no number has a third decimal."""
    one = entry("ada")
    got = graded(one)
    assert got is not None
    first = got.exercises[0]
    check = first.checks[0].model_copy(update={"points": 0.995, "max_points": 1.995})
    first = first.model_copy(update={"checks": (check, *first.checks[1:]), "score": 4.995})
    got = got.model_copy(update={"score": 84.995, "exercises": (first, *got.exercises[1:])})
    mark = Mark(raw=84.995, penalty=0, final=84.995, max_score=100)
    attempt = Attempt(student="ada", grade=got, submitted=SUBMITTED)
    one = one.model_copy(update={"attempt": attempt, "mark": mark})
    environment = dict.fromkeys(classroom50.VARIABLES.values(), "x")
    options = Options(paths=PATHS, environment=environment)
    for name, format_ in FORMATS.items():
        if isinstance(format_, Document) and name != "json":
            text = format_.render([one], options)
        elif isinstance(format_, Result):
            text = format_.render(one, options)
        else:
            continue
        text = re.sub(r'"execution_time": .*|time="[^"]*"|at \d{4}-\S+', "", text)
        assert "84.995" not in text, name
        assert "4.99" not in text, name
        assert not re.search(r"(?<![\d.])\d+\.\d{3,}(?![\d.])", text), name


# --- the registry -------------------------------------------------------------------------


def test_every_format_of_the_issue_is_there() -> None:
    """The names on the command line, each with a line of help."""
    documents = {"junit", "json", "csv", "markdown", "github"}
    platforms = {"gradescope", "prairielearn", "autolab", "classroom50"}
    pages = {"canvas-feedback", "moodle-feedback"}
    assert set(FORMATS) == documents | platforms | pages | {"canvas", "moodle"}
    assert list(ABOUT) == list(FORMATS)


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if isinstance(f, Document)])
def test_documents_take_any_class(name: str) -> None:
    """A class with every trouble, and an empty one, are written; the same gives the same."""
    format_ = FORMATS[name]
    assert isinstance(format_, Document)
    first = format_.render(class_of(), Options(paths=PATHS))
    assert first == format_.render(class_of(), Options(paths=PATHS))
    assert first.endswith("\n") or name == "junit"
    assert isinstance(format_.render([], Options()), str)


def test_formats_are_of_three_kinds() -> None:
    """What is filled in and what is one file a student are told apart."""
    assert {n for n, f in FORMATS.items() if isinstance(f, Gradebook)} == {"canvas", "moodle"}
    assert {n for n, f in FORMATS.items() if isinstance(f, Result)} == {
        "gradescope",
        "prairielearn",
        "autolab",
        "classroom50",
    }


def test_rows_keep_the_order_of_the_class() -> None:
    """Documents tell students in the order in which they came."""
    text = markdown.render(class_of())
    places = [text.index(f"{n}") for n in ("Ada", "Bob", "Erin", "Zoe")]
    assert all(a < b for a, b in pairwise(places))
