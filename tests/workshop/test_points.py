"""What mutants earn: a selftest's outcomes and the checks' worth in, a scale for a teacher out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from checker.engine import collector
from checker.errors import InputError
from checker.model import KernelInfo, Lab
from checker.report import selftest as report
from checker.workshop import points
from checker.workshop.selftest import Outcome, Report


def outcome(lab: Lab, name: str, lost: set[str], number: int = 1) -> Outcome:
    """Return what a mutant of exercise *number* came to on the stock kernel."""
    checks = {
        check: "fail" if check in lost else "pass"
        for check in collector.worth(lab)
        if check.startswith(f"{number}.")
    }
    return Outcome(name=name, kind="mutant", kernel="stock", verdict="caught", checks=checks)


def a_report(*outcomes: Outcome, lab: str = "networking") -> Report:
    """Return a report of a selftest on the stock kernel."""
    kernel = KernelInfo(name="stock", release="6.1.0", features=("KPROBES", "TRACEPOINTS"))
    return Report(lab=lab, kernels=(kernel,), outcomes=outcomes, disagreements=(), seconds=1)


def test_the_least_comes_first_and_what_cannot_be_checked_does_not_count(lab: Lab) -> None:
    """A mutant's row has its reason, and what it earned of what that kernel can check."""
    worth = collector.worth(lab)
    little = outcome(lab, "1-syn-ack-too", {"1.only-syn"})
    much = outcome(lab, "1-port-not-converted", {"1.outgoing-syn", "1.source-port"})
    first, second = points.rows(a_report(little, much), lab)
    due = 20 - worth["1.error-paths"]
    lost = worth["1.outgoing-syn"] + worth["1.source-port"]
    assert first.parts == (points.Part(1, due - lost, due),)
    assert (first.name, second.name) == ("1-port-not-converted", "1-syn-ack-too")
    assert "forgets ntohs()" in first.why


def test_solutions_and_unseen_mutants_have_no_row(lab: Lab) -> None:
    """What is right, and what the kernel cannot see, says nothing of the scale."""
    right = outcome(lab, "solution", set()).model_copy(update={"kind": "solution"})
    unseen = outcome(lab, "1-line-too-short", set()).model_copy(update={"verdict": "unseen"})
    assert points.rows(a_report(right, unseen), lab) == []


def test_a_selftest_of_other_checks_is_refused(lab: Lab, tmp_path: Path) -> None:
    """Its points would be wrong: the message says by which check, and what to do."""
    old = outcome(lab, "1-syn-ack-too", set())
    old = old.model_copy(update={"checks": old.checks | {"1.old-one": "pass"}})
    with pytest.raises(InputError, match=r"not those of that selftest, by 1\.old-one: run"):
        points.rows(a_report(old), lab)
    with pytest.raises(InputError, match="has no mutant 1-gone any more"):
        points.rows(a_report(outcome(lab, "1-gone", set())), lab)
    file = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        points.read(file, lab)
    file.write_text("{}")
    with pytest.raises(InputError, match="is not what `knetlab selftest networking --json FILE`"):
        points.read(file, lab)
    file.write_text(a_report(lab="other").to_json())
    with pytest.raises(InputError, match="is of the lab other, not networking"):
        points.read(file, lab)


def test_the_table_has_the_reason_below_the_name(lab: Lab, tmp_path: Path) -> None:
    """What was written by --json is read and shown as it is."""
    file = tmp_path / "x.json"
    file.write_text(a_report(outcome(lab, "1-syn-ack-too", {"1.only-syn"})).to_json())
    out = io.StringIO()
    report.points(points.rows(points.read(file, lab), lab), Console(file=out, width=100))
    assert "17 of 19.5   1-syn-ack-too" in out.getvalue()
    assert "looks at SYN alone, which the answer to it has as well" in out.getvalue()


def test_the_scale_is_as_a_teacher_would_have_it(lab: Lab) -> None:
    """A port without ntohs() is worth more than a hook at the wrong place, by the checks lost."""
    worth = collector.worth(lab)
    port = {"1.outgoing-syn", "1.source-port"}
    gated = {"1.source-address", "1.source-port", "1.outgoing-syn", "1.only-syn"}
    hook = gated | {"1.leaves-the-guest", "1.not-received"}
    assert 20 - sum(worth[check] for check in port) == 15
    assert 20 - sum(worth[check] for check in hook) == 8
