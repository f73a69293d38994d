"""Results for autograder platforms, one student each, by the rules of each platform."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from classes import absent, entry, grade
from support import ROOT

from checker.classroom.export import autolab, classroom50, gradescope, prairielearn
from checker.classroom.export.entries import Hidden
from checker.errors import InputError
from checker.model import Attempt, Entry, Grade, Mark, Student

GRADED = ["full", "skeleton", "compile-error", "crash", "timeout", "evil", "check-error"]
SCRIPTS = ROOT / "checker/classroom/export/gradescope"
HIDDEN: Hidden = {"1.outgoing-syn": "after_due_date", "1.not-syn-ack": "never"}
BROKEN = Entry(
    student=Student(key="broken"), attempt=Attempt(student="broken", problem="No file of the lab.")
)
UNGRADED = [entry("erin", "grader-error"), absent("zoe"), BROKEN]

# the fields of a test in Gradescope's specification
GRADESCOPE_TEST = {
    *("score", "max_score", "status", "name", "name_format", "number"),
    *("output", "output_format", "tags", "visibility", "extra_data"),
}


def changed(one: Entry, **new: Any) -> Entry:
    """Return the entry with fields of its grade changed."""
    assert one.attempt
    assert one.attempt.grade
    got = one.attempt.grade.model_copy(update=new)
    return one.model_copy(update={"attempt": one.attempt.model_copy(update={"grade": got})})


def checks(got: Grade) -> int:
    """Return the number of checks in a grade."""
    return sum(len(exercise.checks) for exercise in got.exercises)


# --- Gradescope ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRADED)
@pytest.mark.parametrize("hidden", [{}, HIDDEN])
def test_gradescope_results_follow_the_specification(name: str, hidden: Hidden) -> None:
    """Only fields of the specification, each with a value that it allows."""
    results = json.loads(gradescope.render(entry("ada", name), hidden, leaderboard=True))
    formats = {"text", "html", "simple_format", "md", "ansi"}
    assert isinstance(results["score"], float)
    assert isinstance(results["execution_time"], int)
    assert {results[f"{key}output_format"] for key in ("", "test_")} <= formats
    assert results["stdout_visibility"] == "hidden"
    for test in results["tests"]:
        assert set(test) <= GRADESCOPE_TEST
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] in ("visible", "hidden", "after_due_date", "after_published")
        assert test["output_format"] == test["name_format"] == "text"
        assert 0 <= test["score"] <= test["max_score"]
        assert (test["status"] == "passed") == (test["score"] == test["max_score"])
        assert "\n" not in test["name"]
    assert [set(line) for line in results["leaderboard"]] == [{"name", "value", "order"}]
    assert results["score"] == sum(test["score"] for test in results["tests"])


def test_gradescope_score_has_the_penalty() -> None:
    """The score is the final one, and the output says why it is not the sum of the tests."""
    late = entry("bob", "compile-error", penalty=10)
    mark = Mark(raw=60, penalty=10, final=50, max_score=100, notes=("A day late: 10 points.",))
    results = json.loads(gradescope.render(late.model_copy(update={"mark": mark})))
    assert (results["score"], results["output"]) == (50, "A day late: 10 points.")
    assert "leaderboard" not in results


def test_gradescope_shows_hidden_checks_when_it_may() -> None:
    """Hidden checks have Gradescope's visibility, and no other test names them."""
    results = json.loads(gradescope.render(entry("eve", "evil"), HIDDEN))
    seen = {test["number"]: test for test in results["tests"]}
    assert seen["1.outgoing-syn"]["visibility"] == "after_due_date"
    assert seen["1.not-syn-ack"]["visibility"] == "hidden"
    visible = [test for test in results["tests"] if test["visibility"] == "visible"]
    assert visible
    assert not any(check in json.dumps(visible) for check in HIDDEN)


def test_gradescope_leaves_out_what_could_not_be_earned() -> None:
    """A check that cost nothing, as the grader failed in it, is no failed test."""
    got = grade("check-error")
    results = json.loads(gradescope.render(entry("erin", "check-error")))
    left_out = checks(got) - len(results["tests"])
    assert left_out > 0
    assert f"{left_out} check" in results["output"]


@pytest.mark.parametrize("one", UNGRADED)
def test_gradescope_gets_no_zero(one: Entry) -> None:
    """Without a grade there are no results, and the error says whose and why."""
    with pytest.raises(InputError, match=f"^{one.student.key} has no grade for Gradescope: "):
        gradescope.render(one)


KNETLAB = """#!/bin/sh
echo "$XDG_CACHE_HOME $*" >>"$AUTOGRADER/calls"
case $1 in
grade) find "$3" -type f | sed "s|$3/||" >>"$AUTOGRADER/seen"; exit "${GRADE_STATUS:-0}" ;;
export) [ "${EXPORT_STATUS:-0}" = 0 ] || exit "$EXPORT_STATUS"
	while [ $# -gt 1 ]; do [ "$1" = --out ] && echo '{"score": 7}' >"$2"; shift; done ;;
esac
"""


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """Gradescope's layout, with a knetlab that only notes how it was called."""
    program = tmp_path / "source/.venv/bin/knetlab"
    for path, text in (
        (program, KNETLAB),
        (tmp_path / "source/tools/setup.sh", '#!/bin/sh\necho set-up >>"$AUTOGRADER/calls"\n'),
        (tmp_path / "submission/my work/filter.c", "int x;\n"),
        (tmp_path / "submission_metadata.json", "{}"),
        (tmp_path / "results/results.json", '{"score": 100}'),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    for name, text in gradescope.scripts().items():
        (tmp_path / "source" / name).write_text(text)
    (tmp_path / "run_autograder").write_text(gradescope.scripts()["run_autograder"])
    return tmp_path


def run(script: Path, container: Path, **env: str) -> int:
    """Run a script as Gradescope does, in the container's root."""
    done = subprocess.run(
        ["bash", script],
        check=False,
        cwd=container,
        env=os.environ | {"AUTOGRADER": str(container)} | env,
        capture_output=True,
    )
    return done.returncode


@pytest.mark.parametrize("status", ["0", "1"])
def test_run_autograder_leaves_the_results_where_gradescope_looks(
    container: Path, status: str
) -> None:
    """The submission is graded as a class of one, and results.json is the export's."""
    assert run(container / "run_autograder", container, GRADE_STATUS=status) == 0
    assert json.loads((container / "results/results.json").read_text()) == {"score": 7}
    assert (container / "seen").read_text() == "submission/my work/filter.c\n"
    graded, exported = (container / "calls").read_text().splitlines()
    assert re.fullmatch(r"\S+/source/\.cache grade networking \S+ --out \S+ --jobs 1", graded)
    assert re.fullmatch(r"\S+ export gradescope --from \S+ --out \S+", exported)
    assert graded.split()[5] == exported.split()[4]


@pytest.mark.parametrize("failed", [{"GRADE_STATUS": "3"}, {"EXPORT_STATUS": "2"}])
def test_run_autograder_leaves_no_results_when_the_grader_failed(
    container: Path, failed: dict[str, str]
) -> None:
    """Not even those of an earlier run: Gradescope then says that the autograder failed."""
    assert run(container / "run_autograder", container, **failed) != 0
    assert not (container / "results/results.json").exists()


def test_setup_sh_prepares_the_image(container: Path) -> None:
    """The set-up, the kernel and the doctor run once, with the cache that run_autograder uses."""
    assert run(container / "source/setup.sh", container) == 0
    calls = (container / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == ["set-up", "set-up", "debug", "doctor"]
    assert calls[2].startswith(f"{container}/source/.cache ")


def test_scripts_are_clean() -> None:
    """Shellcheck has nothing to say, and the scripts can be run."""
    paths = [SCRIPTS / name for name in gradescope.scripts()]
    assert all(os.access(path, os.X_OK) for path in paths)
    done = subprocess.run(["shellcheck", *paths], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- PrairieLearn -------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRADED)
def test_prairielearn_results_follow_the_documentation(name: str) -> None:
    """A score from 0 to 1, and tests with the fields that its element shows."""
    one = entry("ada", name)
    text = prairielearn.render(one)
    results = json.loads(text)
    assert results["gradable"] is True
    assert 0 <= results["score"] <= 1
    assert len(text.encode()) <= 1_000_000
    for test in results["tests"]:
        assert set(test) == {"name", "points", "max_points", "message", "output"}
        assert 0 <= test["points"] <= test["max_points"]
        assert test["message"]


def test_prairielearn_score_has_the_penalty() -> None:
    """The score is the final one's share of the maximum."""
    assert json.loads(prairielearn.render(entry("b", "compile-error", penalty=10)))["score"] == 0.5


def test_nothing_built_is_not_gradable() -> None:
    """When no module compiles it costs no try, and the compiler's words are told once."""
    one = entry("bob", "compile-error")
    got = grade("compile-error")
    results = json.loads(prairielearn.render(changed(one, exercises=got.exercises[:2])))
    assert set(results) == {"gradable", "format_errors"}
    assert results["gradable"] is False
    (error,) = results["format_errors"]
    assert "filter.c:63:19: error:" in error


def test_one_module_built_is_gradable() -> None:
    """A module that compiles is graded though another does not; so is one that fails."""
    for name in ("compile-error", "skeleton"):
        assert json.loads(prairielearn.render(entry("bob", name)))["gradable"] is True


@pytest.mark.parametrize("one", UNGRADED)
def test_prairielearn_gets_no_zero(one: Entry) -> None:
    """Without a grade the submission is not gradable, and the student reads why."""
    results = json.loads(prairielearn.render(one))
    assert results["gradable"] is False
    assert len(results["format_errors"]) == 1
    assert "score" not in results


def test_prairielearn_leaves_hidden_checks_out() -> None:
    """Their text is nowhere, and they count."""
    text = prairielearn.render(entry("eve", "evil"), HIDDEN)
    assert not any(check in text for check in HIDDEN)
    assert json.loads(text)["score"] == pytest.approx(2 / 18)


def test_prairielearn_stays_below_its_limit() -> None:
    """Evidence that would make the file larger than 1 MB is left out, the verdicts stay."""
    got = grade("skeleton")
    log = "\n".join(f"{n} {'x' * 1900}" for n in range(199))
    exercises = tuple(
        e.model_copy(update={"checks": tuple(c.model_copy(update={"log": log}) for c in e.checks)})
        for e in got.exercises
    )
    text = prairielearn.render(changed(entry("s", "skeleton"), exercises=exercises))
    assert len(text.encode()) <= 1_000_000
    assert len(json.loads(text)["tests"]) == checks(got)


# --- Autolab ------------------------------------------------------------------------------


def autoresult(text: str) -> dict[str, Any]:
    """Read a last line as Autolab does: words before a colon are quoted, then it is JSON."""
    assert text.endswith("\n")
    line = text[:-1]
    assert "\n" not in line
    read: dict[str, Any] = json.loads(re.sub(r"([a-zA-Z0-9]+):", r'"\1":', line))
    return read


@pytest.mark.parametrize("name", GRADED)
def test_autolab_gets_a_score_a_problem(name: str) -> None:
    """The last line is one line of JSON with a number for each exercise, and no text."""
    result = autoresult(autolab.render(entry("ada", name)))
    got = grade(name)
    assert result == {"scores": {f"exercise-{e.number}": e.score for e in got.exercises}}


def test_autolab_scoreboard() -> None:
    """The scoreboard has a column an exercise and the sum."""
    result = autoresult(autolab.render(entry("b", "compile-error"), scoreboard=True))
    assert result["scoreboard"] == [0, 0, 20, 20, 20, 60]


@pytest.mark.parametrize("one", UNGRADED)
def test_autolab_gets_no_zero(one: Entry) -> None:
    """Without a grade there is an object of scores, as without one Autolab makes zeros, empty."""
    assert autoresult(autolab.render(one, scoreboard=True)) == {"scores": {}}


# --- Classroom 50 -------------------------------------------------------------------------

ENVIRONMENT = {
    "CLASSROOM": "networking-2026",
    "ASSIGNMENT": "kernel",
    "OWNER": "ada",
    "ASSIGNMENT_TYPE": "individual",
    "SUBMISSION_TAG": "submit/2026-11-20T21-30-00Z-a1b2c3d",
    "COMMIT_URL": "https://example.org/commit/a1b2c3d",
    "RELEASE_URL": "https://example.org/releases/tag/submit",
    "REVIEW_URL": "",
}


def validate(payload: dict[str, Any]) -> None:
    """Check a result.json by the rules of validate_result in Classroom 50's collector."""
    assert payload["schema"] == "classroom50/result/v1"
    assert payload["classroom"] == ENVIRONMENT["CLASSROOM"]
    assert payload["assignment"] == ENVIRONMENT["ASSIGNMENT"]
    assert payload["owner"] == "ada"
    assert payload["assignment_type"] in ("individual", "group")
    assert payload["submission"].startswith("submit/")
    for field in ("submission", "commit", "release", "review", "datetime"):
        assert isinstance(payload[field], str)
        assert payload[field]
    for part in (payload, *payload["tests"]):
        assert type(part["score"]) is type(part["max-score"]) is int
        assert 0 <= part["score"] <= part["max-score"]
    for test in payload["tests"]:
        assert isinstance(test["test-name"], str)
        assert test["test-name"]
        assert isinstance(test["passed"], bool)
    for field in ("score", "max-score"):
        assert payload[field] == sum(test[field] for test in payload["tests"])


@pytest.mark.parametrize("name", GRADED)
@pytest.mark.parametrize("hidden", [{}, HIDDEN])
def test_classroom50_result_follows_its_contract(name: str, hidden: Hidden) -> None:
    """The collector takes it, and the scores are the lab's."""
    text = classroom50.render(entry("ada", name), ENVIRONMENT, hidden)
    payload = json.loads(text)
    validate(payload)
    assert (payload["score"], payload["max-score"]) == (grade(name).score, grade(name).max_score)
    assert payload["datetime"] == "2026-11-20T21:30:00Z"
    assert payload["review"] == ENVIRONMENT["COMMIT_URL"]
    assert not any(check in text for check in hidden)


def test_classroom50_rounds_nothing() -> None:
    """Scores that are no whole numbers are all counted in hundredths."""
    got = grade("full")
    first = got.exercises[0]
    half = first.checks[0].model_copy(update={"points": 2.5, "max_points": 2.5})
    exercise = first.model_copy(update={"checks": (half, *first.checks[1:])})
    one = changed(entry("ada"), exercises=(exercise,))
    payload = json.loads(classroom50.render(one, ENVIRONMENT))
    validate(payload)
    assert payload["tests"][0]["max-score"] == 250
    assert payload["score"] == 100 * sum(c.points for c in exercise.checks)


def test_classroom50_outside_its_runner_is_refused() -> None:
    """Missing variables are named, and a submission without a time is none."""
    with pytest.raises(InputError, match="no ASSIGNMENT, RELEASE_URL; Classroom 50's runner"):
        classroom50.render(entry("ada"), ENVIRONMENT | {"ASSIGNMENT": "", "RELEASE_URL": ""})
    one = Entry(student=Student(key="a"), attempt=Attempt(student="a", grade=grade("full")))
    with pytest.raises(InputError, match="the time of the graded commit"):
        classroom50.render(one, ENVIRONMENT)


@pytest.mark.parametrize("one", UNGRADED)
def test_classroom50_gets_no_zero(one: Entry) -> None:
    """Without a grade it is refused; the runner then makes a result that is an error."""
    with pytest.raises(InputError, match="has no grade for Classroom 50"):
        classroom50.render(one, ENVIRONMENT)
