"""The examples of docs/ci.md: YAML that CI systems read, and commands that knetlab has."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT, SOURCES

from checker import cli
from checker.classroom.export.formats import FORMATS, Document

PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
BLOCKS = {
    name: yaml.safe_load(block)
    for name, block in re.findall(r"^`([^`]+\.yml)`:\n\n```yaml\n(.*?)^```", PAGE, re.M | re.S)
}
COMMANDS = ("check", "export")


def scripts(value: Any) -> Iterator[str]:
    """Yield every line of shell in a workflow: what stands below run and the scripts."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("run", "script", "before_script", "after_script"):
                yield from ("\n".join(item) if isinstance(item, list) else item).splitlines()
            else:
                yield from scripts(item)
    elif isinstance(value, list):
        for item in value:
            yield from scripts(item)


def calls(name: str) -> list[list[str]]:
    """Return the arguments of each call of knetlab in the example *name*."""
    words = [shlex.split(line) for line in scripts(BLOCKS[name])]
    return [line[1:] for line in words if line[0] == ".venv/bin/knetlab"]


def test_page_has_both_examples() -> None:
    """The page has an example for GitHub and one for GitLab, and both are YAML."""
    assert set(BLOCKS) == {".github/workflows/knetlab.yml", ".gitlab-ci.yml"}


@pytest.mark.parametrize("name", BLOCKS)
def test_commands_exist(name: str) -> None:
    """Each call of knetlab is one that the command line takes, its options included."""
    found = calls(name)
    assert found
    assert {call[0] for call in found} == set(COMMANDS)
    for call in found:
        arguments = call[: call.index(">>")] if ">>" in call else call
        if call[0] == "export" and not _has("export"):
            assert isinstance(FORMATS[call[1]], Document)
        else:
            cli.parser().parse_args(arguments)


def _has(command: str) -> bool:
    return f"    {command} " in cli.parser().format_help()


@pytest.mark.parametrize("name", BLOCKS)
def test_what_is_read_was_written(name: str) -> None:
    """A file that a later step reads or keeps is one that the check or an export writes."""
    written = {
        call[at + 1]
        for call in calls(name)
        for at, word in enumerate(call)
        if word in ("--json", "--junit", "--out")
    }
    read = {call[call.index("--from") + 1] for call in calls(name) if "--from" in call}
    assert read <= written
    assert "junit.xml" in written


def test_github_shows_the_grade_when_the_check_failed() -> None:
    """The steps after the check run though it ended with 1, and the summary goes to the job."""
    steps = BLOCKS[".github/workflows/knetlab.yml"]["jobs"]["check"]["steps"]
    at = next(n for n, step in enumerate(steps) if "knetlab check" in step.get("run", ""))
    assert all(step["if"].startswith("always()") for step in steps[at + 1 :])
    assert any('>> "$GITHUB_STEP_SUMMARY"' in step.get("run", "") for step in steps)


@pytest.fixture(params=["recorded", pytest.param("real", marks=pytest.mark.vm)])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A repository like a student's, with a module that does not compile.

    Its knetlab is this one; where it is *recorded*, `check` gives out a grade from before.
    """
    for source in SOURCES:
        target = tmp_path / "skels" / "networking" / source
        target.parent.mkdir(parents=True)
        target.write_text("#error not yet\n")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "work")):
        user = ("-c", "user.name=Ada", "-c", "user.email=a@x.org")
        subprocess.run(["git", *user, *command], cwd=tmp_path, check=True)
    knetlab = tmp_path / ".venv" / "bin" / "knetlab"
    knetlab.parent.mkdir(parents=True)
    real = f'PYTHONPATH={ROOT} exec {sys.executable} -m checker "$@"'
    check = f'cp {ROOT}/tests/data/grades/compile-error.json "$4"; echo "<x/>" >"$6"; exit 1'
    if request.param == "real":
        check = real.replace('"$@"', '"$@" --submission skels/networking')
    knetlab.write_text(f'#!/bin/sh\n[ "$1" = check ] || {real}\n{check}\n')
    knetlab.chmod(0o755)
    return tmp_path


def steps(name: str) -> Iterator[str]:
    """Yield what the example *name* runs, a step at a time, without setting the runner up."""
    block = next(iter(BLOCKS[name].get("jobs", BLOCKS[name]).values()))
    if name != ".gitlab-ci.yml":
        yield from (step["run"] for step in block["steps"] if "knetlab " in step.get("run", ""))
    else:
        yield from (
            line for key in ("script", "after_script") for line in BLOCKS[name]["check"][key]
        )


@pytest.mark.parametrize("name", BLOCKS)
def test_steps_run_on_a_students_repository(name: str, repository: Path) -> None:
    """The check fails, the steps after it do not, and annotations name files of the repository."""
    summary = repository / ("summary.md" if "gitlab" in name else "job.md")
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(repository / "job.md")}
    first, *others = steps(name)
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]

    def run(step: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*shell, step],
            cwd=repository,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    checked = run(first)
    assert checked.returncode == 1, checked.stderr
    assert (repository / "grade.json").is_file()
    assert (repository / "junit.xml").is_file()
    told = ""
    for step in others:
        done = run(step)
        assert done.returncode == 0, done.stderr
        told += done.stdout
    assert "of 100 points" in summary.read_text() or "of 96.5 points" in summary.read_text()
    if "github" in name:
        files = set(re.findall(r"^::error file=([^,]+),line=\d+", told, re.M))
        assert files
        assert all((repository / file).is_file() for file in files), files


def test_gitlab_keeps_the_report_when_the_check_failed() -> None:
    """The artifacts are kept always, JUnit among them as a report."""
    artifacts = BLOCKS[".gitlab-ci.yml"]["check"]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["reports"] == {"junit": "junit.xml"}


def test_scripts_that_are_called_exist() -> None:
    """What the examples call besides knetlab and apt lies in the repository."""
    called = {line.split()[0] for block in BLOCKS.values() for line in scripts(block)}
    own = called - {"apt-get", ".venv/bin/knetlab"}
    assert own
    assert all((ROOT / name).is_file() for name in own)
