"""The last run of a folder: kept whole, replaced whole, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from classes import grade

from checker.desk import last_run, progress
from checker.model import Lab, SourceFile, Submission


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep these tests out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_run_is_found_again_by_its_folder_only(tmp_path: Path) -> None:
    """The grade and the captures of one folder are not another's."""
    with last_run.keeping(tmp_path / "mine") as kept:
        (kept / "1-1.pcap").write_bytes(b"x")
        last_run.save(kept, grade("full"))
    assert last_run.grade(tmp_path / "mine") == grade("full")
    assert [p.name for p in last_run.captures(tmp_path / "mine")] == ["1-1.pcap"]
    assert last_run.grade(tmp_path / "other") is None
    assert last_run.captures(tmp_path / "other") == []


def test_the_sources_are_kept_as_they_were(tmp_path: Path) -> None:
    """A file that could not be read is left out; one edited later is kept as it was graded."""
    files = (
        SourceFile(path="kernel/a.c", content=b"int a;\n"),
        SourceFile(path="b.c", content=None, problem="b.c is missing."),
    )
    with last_run.keeping(tmp_path / "mine") as kept:
        last_run.save_sources(kept, Submission(name="mine", path=tmp_path / "mine", files=files))
        last_run.save(kept, grade("full"))
    found = [p for p in last_run.sources(tmp_path / "mine").rglob("*") if p.is_file()]
    assert [(p.name, p.read_bytes()) for p in found] == [("a.c", b"int a;\n")]


def test_a_run_that_was_broken_off_leaves_the_one_before(tmp_path: Path) -> None:
    """Ctrl-C during a run loses nothing of the last one, and leaves nothing behind."""
    with last_run.keeping(tmp_path) as kept:
        (kept / "1-1.pcap").write_bytes(b"x")
        last_run.save(kept, grade("full"))
    with pytest.raises(KeyboardInterrupt), last_run.keeping(tmp_path) as kept:
        (kept / "2-1.pcap").write_bytes(b"y")
        raise KeyboardInterrupt
    assert [p.name for p in last_run.captures(tmp_path)] == ["1-1.pcap"]
    assert list(last_run.folder(tmp_path).parent.iterdir()) == [last_run.folder(tmp_path)]


@pytest.mark.parametrize("content", [b"{", b"\xff\0"], ids=["half", "no text"])
def test_what_was_kept_and_cannot_be_read_is_nothing(
    tmp_path: Path, lab: Lab, content: bytes
) -> None:
    """A file of an older knetlab, half a one, or one that a full disk spoilt is as good as none."""
    with last_run.keeping(tmp_path) as kept:
        last_run.save(kept, grade("full"))
    progress.set_hints(lab, tmp_path, 1, 2)
    (last_run.folder(tmp_path) / "grade.json").write_bytes(content)
    (last_run.folder(tmp_path) / "exercise-1.json").write_bytes(content)
    (kept_progress,) = (tmp_path / "cache").rglob("progress/*.json")
    kept_progress.write_bytes(content)
    assert last_run.grade(tmp_path) is None
    assert last_run.newest() is None
    assert last_run.results(lab, tmp_path) == {}
    assert progress.load(lab, tmp_path) == progress.Progress()


def test_runs_that_nobody_repeated_for_a_month_go(tmp_path: Path) -> None:
    """The cache does not grow with every folder that was ever graded."""
    with last_run.keeping(tmp_path / "old") as kept:
        last_run.save(kept, grade("full"))
    os.utime(last_run.folder(tmp_path / "old"), (0, 0))
    with last_run.keeping(tmp_path / "new") as kept:
        last_run.save(kept, grade("full"))
    assert last_run.grade(tmp_path / "old") is None
    assert last_run.grade(tmp_path / "new") == grade("full")
