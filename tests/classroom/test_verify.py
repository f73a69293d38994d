"""A grade made again: the same, another, and what is said of the difference."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pysequoia
import pytest
from classes import grade
from pages import words
from rich.console import Console
from support import ROOT, SOLUTION, SOURCES

from checker.classroom import verify
from checker.cli import main
from checker.engine import grading, submission
from checker.errors import InputError
from checker.model import Grade, Lab, Reused, SourceFile, Submission
from checker.report import verify as report
from vm import kernel as kernels

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def told(stored: Grade, new: Grade) -> str:
    """Return what is printed when *stored* comes out as *new*."""
    out = io.StringIO()
    report.render(verify.compare(stored, new), new, Console(file=out, width=300, _environ={}))
    return words(out.getvalue())


def made(given: Grade, **provenance: str) -> Grade:
    """Return *given* with this in its provenance."""
    new = given.provenance.model_copy(update=provenance)
    return given.model_copy(update={"provenance": new})


def test_same_result_is_said() -> None:
    """Equal statuses, points and findings are the same, whatever the time it took."""
    given = grade("crash")
    assert verify.compare(given, made(given, seconds="1")).differs == ()
    assert told(given, given) == "The same result: 57 of 100 points."


def test_changed_points_are_found() -> None:
    """A score that was edited differs, be it a check's, an exercise's or the sum alone."""
    given = grade("crash")
    higher = given.model_copy(update={"score": 100.0})
    assert "all exercises: 100 of 100 points in the file, 57 of 100 now" in told(higher, given)
    first = given.exercises[0].model_copy(update={"score": 20.0})
    edited = given.model_copy(update={"exercises": (first, *given.exercises[1:])})
    assert "exercise 1: 20 of 20 points in the file, 17 of 20 now" in told(edited, given)
    full = made(grade("full"), sources="a")
    said = told(full, made(given, sources="a"))
    assert "3.listens: pass in the file, crash now (-10 points)" in said
    assert "finding oops in 3.listens: now alone" in said
    assert said.endswith(
        "Not the same result. Files, kernel, lab and knetlab are the same: the grade was changed, "
        "or the checks do not always say the same."
    )


def test_what_it_was_made_with_is_compared() -> None:
    """Another lab, grader or image, and other files, are told before the verdict."""
    given = grade("full")
    said = told(made(given, sources="1" * 40, lab="a" * 64), made(given, sources="2" * 40))
    assert said.startswith(
        "These are not the files that the grade was made of. The lab was aaaaaaa"
    )
    assert said.endswith("The same result: 100 of 100 points.")
    said = told(made(grade("crash"), lab="a" * 64), given)
    assert said.endswith("What it was made with is not the same, either.")


def test_files_are_known_by_their_bytes(lab: Lab, tmp_path: Path) -> None:
    """A byte more in one file is another fingerprint; the folder's name does not count."""

    def of(name: str, content: bytes) -> str:
        files = (SourceFile(path="a.c", content=content), SourceFile(path="b.c", content=b"2"))
        return submission.fingerprint(Submission(name=name, path=tmp_path, files=files))

    assert of("ada", b"1") == of("bob", b"1")
    assert of("ada", b"1") != of("ada", b"12")


def test_each_exercise_has_its_own_seed_again(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken from an earlier run is made again with that run's seed."""
    given = grade("full")
    old = given.exercises[1].model_copy(update={"reused": Reused(at=NOW, seed=7)})
    stored = given.model_copy(update={"exercises": (given.exercises[0], old, *given.exercises[2:])})
    asked = []

    def graded(_lab: Lab, _given: Submission, _on: object, options: grading.Options) -> Grade:
        asked.append((options.seed, options.exercises, options.accel))
        return grade("full" if options.seed == 7 else "skeleton")

    monkeypatch.setattr(grading, "grade_submission", graded)
    work = Submission(name="ada", path=tmp_path, files=())
    new = verify.again(
        stored,
        lab,
        work,
        None,
        on_stage=print,
        on_result=print,  # type: ignore[arg-type]
    )
    all_ = frozenset(range(1, 6))
    assert asked == [(given.provenance.seed, all_, "tcg"), (7, all_, "tcg")]
    assert [e.score > 0 for e in new.exercises] == [False, True, False, False, False]
    assert new.score == new.exercises[1].score


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "error"}, "no result to verify"),
        ({"exercises": ()}, "no result to verify"),
        ({"accel": "abacus"}, "accelerator that is none: abacus"),
        ({"number": 77}, "has no exercise 77"),
    ],
)
def test_what_cannot_be_made_again_is_refused(
    change: dict[str, object], said: str, lab: Lab, tmp_path: Path
) -> None:
    """Nothing is built for a file that no run can answer."""
    stored = grade("full")
    if accel := change.pop("accel", ""):
        stored = made(stored, accel=str(accel))
    if number := change.pop("number", 0):
        odd = stored.exercises[0].model_copy(update={"number": number})
        change["exercises"] = (odd,)
    stored = stored.model_copy(update=change)
    work = Submission(name="ada", path=tmp_path, files=())
    with pytest.raises(InputError, match=said):
        verify.again(
            stored,
            lab,
            work,
            None,
            on_stage=print,
            on_result=print,  # type: ignore[arg-type]
        )


def test_kernel_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the kernel's release and how to get one."""
    monkeypatch.setattr(kernels, "at_hand", list)
    with pytest.raises(InputError) as error:
        verify.kernel_of(grade("full"))
    stored = grade("full").kernel
    assert f"{stored.name} {stored.release}, which is not in the cache" in str(error.value)
    assert f"`knetlab kernel {stored.name}`" in str(error.value)


# --- who signed it --------------------------------------------------------------------


def signed(file: Path, person: str = "Grades <grades@example.org>") -> Path:
    """Sign *file* with a new key; return the file with the public key."""
    key = pysequoia.Tsk.generate(person)
    file.with_name(f"{file.name}.asc").write_bytes(
        pysequoia.sign(key.signer(), file.read_bytes(), mode=pysequoia.SignatureMode.DETACHED)
    )
    public = file.with_name("key.asc")
    public.write_text(str(key.extract_certificate()))
    return public


def verified(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str]:
    """Run the command; return its exit status and what it said."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", *map(str, arguments)])
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def test_signature_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The right key and bytes are fine; a byte more, another key, or no signature is not."""
    file = tmp_path / "grade.json"
    file.write_text(grade("full").to_json())
    status, said = verified(capsys, file, "--signed-by", tmp_path / "key.asc")
    assert status == 2
    assert "gpg --armor --detach-sign" in said
    public = signed(file)
    status, said = verified(capsys, file, "--signed-by", public)
    assert status == 0
    assert re.search(r"grade\.json was signed by [0-9a-f]{40}\.", said)
    signature = (tmp_path / "grade.json.asc").read_bytes()
    ours = public.read_bytes()
    signed(file, "Somebody else <else@example.org>")
    public.write_bytes(ours)
    status, said = verified(capsys, file, "--signed-by", public)
    assert (status, "somebody else signed it" in said) == (2, True)
    (tmp_path / "grade.json.asc").write_bytes(signature)
    file.write_text(grade("full").to_json() + " ")
    status, said = verified(capsys, file, "--signed-by", public)
    assert (status, "the file was changed" in said) == (2, True)


@pytest.mark.parametrize("content", [b"", b"no keys", b"\0\xff" * 99])
def test_what_is_no_key_is_said(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without public keys is named, and so is a signature that is none."""
    file = tmp_path / "grade.json"
    file.write_text(grade("full").to_json())
    public = signed(file)
    keys = tmp_path / "keys"
    keys.write_bytes(content)
    status, said = verified(capsys, file, "--signed-by", keys)
    assert (status, str(keys) in said) == (2, True)
    (tmp_path / "grade.json.asc").write_bytes(content)
    status, said = verified(capsys, file, "--signed-by", public)
    assert (status, "grade.json.asc is not a signature of OpenPGP" in said) == (2, True)
    assert verified(capsys, file)[0] == 2
    assert "There is no file" in verified(capsys, tmp_path / "x.json", "--signed-by", keys)[1]


# --- a whole run ----------------------------------------------------------------------


@pytest.mark.vm
def test_check_is_verified(tmp_path: Path) -> None:
    """What check wrote comes out the same; with other points in the file it does not."""
    for source in SOURCES:
        (tmp_path / "ada" / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOLUTION / source, tmp_path / "ada" / source)
    file, work = tmp_path / "grade.json", ["--submission", tmp_path / "ada"]

    def knetlab(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "checker", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    checked = knetlab(
        "check", "networking", "--exercise", 5, "--kernel", "stock", "--json", file, *work
    )
    assert checked.returncode == 0, checked.stderr
    again = knetlab("verify", file, *work)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.startswith("The same result:")
    edited = json.loads(file.read_text())
    edited["score"] -= 5
    file.write_text(json.dumps(edited))
    source = tmp_path / "ada" / SOURCES[-1]
    source.write_text(source.read_text() + "/* more */\n")
    again = knetlab("verify", file, *work)
    assert again.returncode == 1
    assert "These are not the files that the grade was made of." in again.stdout
    assert "all exercises:" in again.stdout
