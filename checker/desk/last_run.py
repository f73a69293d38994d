"""The last run of ``knetlab check`` on each folder: grade, sources, captures, console logs.

Of exercises that it did not try, the captures, logs and results of an earlier run stay. It
lies in the cache, keyed by the folder that was graded, so that nothing is written beside a
student's sources and two copies of the lab do not mix.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from checker.engine.earlier import Earlier
from checker.model import Grade, Lab, Submission
from vm import cache
from vm.errors import VMError

_GRADE = "grade.json"


def folder(submission: Path) -> Path:
    """Return where the last run of the folder *submission* is kept; it need not be there."""
    return cache.root() / "last-run" / cache.digest(str(submission.resolve()))


def grade(submission: Path) -> Grade | None:
    """Return the grade of the last run, None when there was none or it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return Grade.model_validate_json((folder(submission) / _GRADE).read_text())
    return None


def sources(submission: Path) -> Path:
    """Return the folder with the sources that the last run graded, laid out as handed in."""
    return folder(submission) / "sources"


def captures(submission: Path) -> list[Path]:
    """Return the captures, one a guest, named as Testbed names them.

    Those of exercises that the last run did not try are of an earlier one.
    """
    return sorted(folder(submission).glob("*.pcap"))


def logs(submission: Path, numbers: Iterable[int]) -> list[Path]:
    """Return what each guest printed in the last runs of the exercises *numbers*."""
    there = folder(submission)
    return [p for n in numbers for p in sorted(there.glob(f"exercise-{n}-*-console.log"))]


def results(lab: Lab, submission: Path) -> dict[int, Earlier]:
    """Return what the exercises of *lab* came to in their last runs, as far as it can be read."""
    found = {}
    for exercise in lab.exercises:
        with contextlib.suppress(OSError, ValueError):
            text = (folder(submission) / _result(exercise.number)).read_text(encoding="utf-8")
            one = Earlier.model_validate_json(text)
            if one.lab == lab.name:
                found[exercise.number] = one
    return found


def save_result(kept: Path, one: Earlier) -> None:
    """Write what an exercise came to in the run whose folder is *kept*."""
    (kept / _result(one.number)).write_text(one.model_dump_json(), encoding="utf-8")


def carry(kept: Path, submission: Path, numbers: Iterable[int]) -> None:
    """Take what an earlier run left of the exercises *numbers* into the folder *kept*."""
    for number in numbers:
        there = folder(submission)
        for file in (there / _result(number), *there.glob(f"exercise-{number}-*")):
            with contextlib.suppress(OSError):  # another run has replaced it
                shutil.copyfile(file, kept / file.name)


def _result(number: int) -> str:
    return f"exercise-{number}.json"


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
    with contextlib.suppress(OSError, VMError, ValueError):
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
