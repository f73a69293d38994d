"""The examples of docs/ci.md: YAML that CI systems read, and commands that knetlab has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support import ROOT

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
