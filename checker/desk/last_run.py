"""The last run of ``knetlab check`` on each folder: grade, sources, captures, console logs.

It lies in the cache, keyed by the folder that was graded, so that nothing is
written beside a student's sources and two copies of the lab do not mix.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pydantic

from checker.model import Grade, Submission
from vm import cache
from vm.errors import VMError

_GRADE = "grade.json"


def folder(submission: Path) -> Path:
    """Return where the last run of the folder *submission* is kept; it need not be there."""
    return cache.root() / "last-run" / cache.digest(str(submission.resolve()))


def grade(submission: Path) -> Grade | None:
    """Return the grade of the last run, None when there was none or it cannot be read."""
    with contextlib.suppress(OSError, pydantic.ValidationError):
        return Grade.model_validate_json((folder(submission) / _GRADE).read_text())
    return None


def sources(submission: Path) -> Path:
    """Return the folder with the sources that the last run graded, laid out as handed in."""
    return folder(submission) / "sources"


def captures(submission: Path) -> list[Path]:
    """Return the captures of the last run, one a guest, named as Testbed names them."""
    return sorted(folder(submission).glob("*.pcap"))


@contextlib.contextmanager
def keeping(submission: Path) -> Iterator[Path]:
    """Give a folder for a run's captures and logs; it replaces the last run's when it was saved.

    Call save() inside; a run that ends otherwise leaves the one before it in place.
    """
    target = folder(submission)
    target.parent.mkdir(parents=True, exist_ok=True)
    for other in target.parent.iterdir():
        if time.time() - other.stat().st_mtime > cache.UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        if (scratch / _GRADE).exists():
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):  # another run on the same folder was first
                scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def save(kept: Path, made: Grade) -> None:
    """Write the grade of the run whose folder is *kept*."""
    (kept / _GRADE).write_text(made.to_json(), encoding="utf-8")


def newest() -> Grade | None:
    """Return the grade of the last run of all folders, None when there was none."""
    with contextlib.suppress(OSError, VMError, pydantic.ValidationError):
        files = (cache.root() / "last-run").glob(f"[!.]*/{_GRADE}")
        latest = max(files, key=lambda file: file.stat().st_mtime, default=None)
        return Grade.model_validate_json(latest.read_text()) if latest else None
    return None


def save_sources(kept: Path, given: Submission) -> None:
    """Keep what is graded in the run whose folder is *kept*."""
    (kept / "sources").mkdir()
    for file in given.files:
        if file.content is not None:
            path = kept / "sources" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
