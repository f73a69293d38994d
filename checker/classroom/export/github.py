"""Grades as annotations in GitHub's view of a change: workflow commands, a line each.

The format is that of GitHub's "Workflow commands for GitHub Actions" and of command.ts in
actions/toolkit, which says what is escaped: in a message ``%``, CR and LF, and in a property
``:`` and ``,`` too. GitHub shows ten of a kind a step, so a reason that several checks share is
told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from checker.classroom.export.entries import Hidden, for_students, graded, name, reason
from checker.model import CheckResult, Entry, Finding, Grade, Lab, Names
from checker.report.story import WORDS, reasons, where
from checker.report.text import clean, fold, one_line, plain

LINES, WIDTH = 20, 400


def paths(lab: Lab, submission: str = "") -> dict[str, str]:
    """Return the files of a submission -> their paths in the repository.

    *submission* is the folder that they lie in there; empty: skels/LAB, as for `check`.
    """
    folder = PurePosixPath(submission or f"skels/{lab.name}")
    return {source: str(folder / source) for source in lab.sources}


def render(entries: Iterable[Entry], paths: Mapping[str, str], hidden: Hidden | None = None) -> str:
    """Return a command for each finding at a line and each reason why checks failed.

    *paths* is what paths() returns: a place in a file that is not in it is not given. A grade
    that is missing or an error is a warning.
    """
    lines = [line for entry in entries for line in _entry(entry, paths, hidden or {})]
    return "".join(f"{line}\n" for line in lines)


def _entry(entry: Entry, paths: Mapping[str, str], hidden: Hidden) -> Iterator[str]:
    grade = graded(entry)
    if grade is None:
        yield _command("warning", "", f"{name(entry)} has no grade", reason(entry), paths)
        return
    grade = for_students(clean(grade), hidden)
    told = set()
    for finding in grade.findings:
        if finding.location and (finding.location, finding.summary) not in told:
            told.add((finding.location, finding.summary))
            yield _finding(finding, paths)
    for group in reasons(grade):
        yield _reason(grade, group, paths)


def _finding(finding: Finding, paths: Mapping[str, str]) -> str:
    title = f"{finding.kind}, during {finding.check}" if finding.check else finding.kind
    return _command("error", finding.location, title, finding.summary, paths)


def _reason(grade: Grade, group: list[CheckResult], paths: Mapping[str, str]) -> str:
    check = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    said = {"expected": check.expected, "actual": check.actual, "next": check.hint}
    parts = [one_line(check.title), check.message or WORDS[check.status]]
    parts += [f"{key}: {text}" for key, text in said.items() if text]
    kind = "warning" if check.status == "error" else "error"
    title = f"{check.id}{more} {WORDS[check.status]}"
    return _command(kind, where(grade, check), title, "\n".join(parts), paths)


def _command(kind: str, place: str, title: str, message: str, paths: Mapping[str, str]) -> str:
    file, _, line = place.rpartition(":")
    path = paths.get(Names(paths).path(file))
    properties = {"file": path, "line": line} if path and line.isdecimal() else {}
    properties["title"] = one_line(plain(title))
    said = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{kind} {said}::{_data(fold(plain(message), LINES, WIDTH))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
