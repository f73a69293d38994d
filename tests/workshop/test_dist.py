"""knetlab dist: the archive students get has no solution in it, and works alone."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, SOLUTION, SOURCES

from checker import lab as labs
from checker.engine import collector, grading
from checker.errors import InputError
from checker.model import Lab
from checker.workshop import dist, skeleton
from vm import cache

OURS = """

@pytest.mark.points(3)
@pytest.mark.after("1.outgoing-syn")
def check_secret_of_ours(module: Module) -> None:
    \"\"\"Nobody is to read this.\"\"\"
    module.load()
"""


def knetlab(
    folder: Path, *arguments: str, cache_home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the knetlab that lies in *folder*, with its own code; *cache_home*: not the user's."""
    argv = [sys.executable, "-m", "checker", *arguments]
    env = dict(os.environ) | ({"XDG_CACHE_HOME": str(cache_home)} if cache_home else {})
    return subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True, env=env)


FETCHED = ("debian-index", "image", "kbuild", "kernel", "toolchain")
"""What a cache has of packages that a first run fetches; all else is made of the archive."""


@pytest.fixture
def cache_home(tmp_path: Path) -> Path:
    """A cache as before the first run, but for what that fetches: nothing of it is the lab's."""
    folder = tmp_path / "cache/knetlab"
    folder.mkdir(parents=True)
    for kind in FETCHED:
        if (cache.root() / kind).is_dir():
            (folder / kind).symlink_to(cache.root() / kind)
    return folder.parent


def unpack(packed: bytes, target: Path) -> Path:
    """Unpack an archive into *target* as a student does; return the one folder that is in it."""
    target.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", "-", "-C", str(target)], input=packed, check=True)
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the networking lab, unpacked."""
    archive = dist.collect([labs.load("networking")])
    return unpack(archive.pack(), tmp_path_factory.mktemp("dist"))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A git clone of this copy of knetlab, for a test to change; changes here are in it."""
    folder = tmp_path / "clone"
    git("clone", "--quiet", "--shared", str(ROOT), str(folder))
    for name in git("-C", str(ROOT), "ls-files", "-m", "-o", "--exclude-standard").split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git("-C", str(folder), "add", "--all")
    return folder


def git(*arguments: str) -> str:
    """Run git; return what it printed."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


# --- what is in it -------------------------------------------------------------------


def test_no_file_of_a_solution_or_a_test_is_in_it(unpacked: Path) -> None:
    """Solutions, mutants, idioms, tests and the project's own tools are left out."""
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    assert not [n for n in names if re.search(r"solution|labs/.*/mutants|idiom|\.patch$", n)]
    assert not [n for n in names if n.startswith(("tests", "docs", ".git/"))]
    assert [n for n in names if n.startswith("tools/")] == ["tools/setup.sh"]
    assert {f"labs/networking/{n}" for n in ("lab.toml", "handout.md", "given", "checks")} <= names


def test_no_line_of_a_solution_is_in_it(lab: Lab, unpacked: Path) -> None:
    """No line of C that only the solution has stands in any file, whatever its name."""
    solved = skeleton.generate(lab.solution, len(lab.exercises) + 1)
    given = skeleton.generate(lab.solution, 1)

    def lines(files: dict[str, skeleton.SkeletonFile]) -> set[str]:
        text = "\n".join(f.content.decode() for n, f in files.items() if n in SOURCES)
        return {line.strip() for line in text.splitlines()}

    secrets = {line for line in lines(solved) - lines(given) if len(line) > 12}
    # these stand in every program that sends something
    secrets -= {"struct sockaddr_in to = {", "struct msghdr msg = {"}
    assert len(secrets) > 20
    for path in unpacked.rglob("*"):
        if path.is_file():
            here = {line.strip() for line in path.read_text(errors="replace").splitlines()}
            assert not secrets & here, path


def test_the_skeletons_are_those_of_step_1(lab: Lab, unpacked: Path) -> None:
    """To be edited and as they were, they are the same, and programs stay programs."""
    for name, file in skeleton.generate(lab.solution, 1).items():
        for folder in ("skels/networking", "labs/networking/given"):
            path = unpacked / folder / name
            assert path.read_bytes() == file.content
            assert bool(path.stat().st_mode & 0o100) == file.executable


def test_what_is_named_for_students_is_there(unpacked: Path) -> None:
    """The README's files and targets are in the archive."""
    readme = (unpacked / "README.md").read_text()
    for target in re.findall(r"\]\((.+?)\)", readme):
        assert (unpacked / target).is_file(), target
    offered = subprocess.run(
        ["make", "-s", "help"], cwd=unpacked, check=True, capture_output=True, text=True
    ).stdout
    targets = set(re.findall(r"make ([a-z]+)", offered))
    assert set(re.findall(r"`?make ([a-z]+)", readme)) <= targets
    assert not targets & {"test", "selftest", "bench", "dist"}


def test_the_same_commit_makes_the_same_bytes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made again at another time the archive is the same; its times are the commit's."""
    first = dist.collect([lab])
    monkeypatch.setattr(time, "time", lambda: 4e9)
    again = dist.collect([lab])
    assert first.pack() == again.pack()
    committed = int(git("-C", str(ROOT), "log", "-1", "--format=%ct"))
    with tarfile.open(fileobj=io.BytesIO(first.pack())) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(committed, 0, 0, "")}
    assert [m.name for m in members] == sorted(m.name for m in members)
    version = git("-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
    assert version[:7] in first.name


def test_what_lies_about_does_not_get_out(clone: Path) -> None:
    """A file that git does not know, and one in a folder that nobody named, stay behind."""
    (clone / "labs/networking/checks/answers.py").write_text("answers = 1\n")
    (clone / "labs/networking/notes").mkdir()
    (clone / "labs/networking/notes/exam.txt").write_text("exam\n")
    git("-C", str(clone), "add", "labs/networking/notes")
    out = clone.parent / "out"
    out.mkdir()
    done = knetlab(clone, "dist", "--out", str(out))
    assert done.returncode == 0, done.stderr
    (file,) = out.iterdir()
    with tarfile.open(file) as tar:
        assert not [n for n in tar.getnames() if "answers" in n or "exam" in n]


# --- hidden checks -------------------------------------------------------------------


def hide(clone: Path) -> None:
    """Give exercise 1 of a clone a hidden check of 3 points, out of those of its health."""
    checks = clone / "labs/networking/checks/check_1_syn_logger.py"
    secret = OURS.replace("@pytest.mark.points", "@pytest.mark.hidden\n@pytest.mark.points")
    checks.write_text(checks.read_text() + secret)
    toml = clone / "labs/networking/lab.toml"
    toml.write_text(toml.read_text().replace("points = 20", "points = 23", 1))


def test_a_hidden_check_is_left_out_and_its_points_are_told(clone: Path, tmp_path: Path) -> None:
    """Neither its name nor its text is anywhere in the archive, and the lab's points still fit."""
    hide(clone)
    done = knetlab(clone, "dist", "networking", "--out", str(tmp_path / "a.tar.gz"))
    assert done.returncode == 0, done.stderr
    folder = unpack((tmp_path / "a.tar.gz").read_bytes(), tmp_path / "archive")
    for path in folder.rglob("*.*"):
        if path.is_file():
            assert not re.search(r"secret.of.ours|Nobody is to read", path.read_text()), path
    lab = labs.load("networking", folder / "labs")
    assert [exercise.hidden for exercise in lab.exercises] == [3, 0, 0, 0, 0]
    worth = collector.worth(lab)
    assert sum(points for id_, points in worth.items() if id_.startswith("1.")) == 20
    assert "1.outgoing-syn" in worth


def test_what_a_course_hides_is_left_out(lab: Lab, tmp_path: Path) -> None:
    """The ids of course.toml's key visible, whether shown later or never, are left out."""
    rules = 'due = 2030-01-01T00:00:00Z\n[visible]\n"5.exactly-one" = "never"\n'
    rules += '"4.released" = "after_due_date"\n"1.healthy" = "never"\n'
    (tmp_path / "course.toml").write_text(rules)
    out = tmp_path / "a.tar.gz"
    all_ids = collector.worth(lab)
    assert {"5.exactly-one", "4.released"} <= set(all_ids)
    done = knetlab(
        ROOT, "dist", "networking", "--course", str(tmp_path / "course.toml"), "--out", str(out)
    )
    assert done.returncode == 0, done.stderr
    folder = unpack(out.read_bytes(), tmp_path / "archive")
    theirs = labs.load("networking", folder / "labs")
    assert set(all_ids) - set(collector.worth(theirs)) == {"5.exactly-one", "4.released"}
    hidden = {e.number: e.hidden for e in theirs.exercises if e.hidden}
    assert hidden == {4: all_ids["4.released"], 5: all_ids["5.exactly-one"]}


def test_an_unknown_check_is_refused(lab: Lab) -> None:
    """An id that the lab does not have is no reason to hand out everything."""
    with pytest.raises(InputError, match=r"1\.nothing: the lab networking has no such check"):
        dist.collect([lab], ["1.nothing"])


def test_a_check_that_others_are_after_is_not_hidden_alone(lab: Lab) -> None:
    """Else the archive would be refused for an id that it does not have."""
    words = r"1\.\S+ is after 1\.any-line, which students do not get; hide 1\.\S+, too"
    with pytest.raises(InputError, match=words):
        dist.collect([lab], ["1.any-line"])


def test_functions_are_cut_out_whole() -> None:
    """Decorators, blank lines before it and nothing else go with a function."""
    text = "import a\n\n\n@mark(\n    1\n)\n@mark\ndef one():\n    pass\n\n\ndef two():\n    pass\n"
    assert dist.without_functions(text, {"one"}) == "import a\n\n\ndef two():\n    pass\n"
    assert dist.without_functions(text, {"two"}) == text[: text.index("\n\n\ndef two")] + "\n"
    assert dist.without_functions(text, {"three"}) == text


# --- it works alone ------------------------------------------------------------------


@pytest.mark.parametrize("command", [("selftest", "networking"), ("dist",), ("new", "mine")])
def test_what_needs_a_solution_says_so(command: tuple[str, ...], unpacked: Path) -> None:
    """A command of a lab's author ends with a sentence, and nothing is written."""
    done = knetlab(unpacked, *command)
    assert done.returncode == 2
    assert "this copy of knetlab, made for students, has none" in done.stderr


def test_files_can_be_had_again_as_they_were(unpacked: Path, tmp_path: Path) -> None:
    """Skeletons come from what is given; those of later steps would be solutions."""
    copy = Path(shutil.copytree(unpacked, tmp_path / "copy"))
    source = copy / "skels/networking" / SOURCES[2]
    first = source.read_bytes()
    source.write_text("edited")
    refused = knetlab(copy, "skeleton", "networking")
    assert refused.returncode == 2
    assert source.read_text() == "edited"
    assert knetlab(copy, "skeleton", "networking", "--force").returncode == 0
    assert source.read_bytes() == first
    assert source.with_name(f"{source.name}.orig").read_text() == "edited"
    later = knetlab(copy, "skeleton", "networking", "--step", "2")
    assert later.returncode == 2
    assert "has no solutions: there is only step 1" in later.stderr


def test_make_there_is_the_students(unpacked: Path) -> None:
    """The archive's Makefile runs, and its lint is on the student's code."""
    argv = ["make", "--dry-run", "lint"]
    done = subprocess.run(argv, cwd=unpacked, check=True, capture_output=True, text=True)
    assert "knetlab lint" in done.stdout
    assert "tools/lint.sh" not in done.stdout


@pytest.fixture
def check(unpacked: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Grade the archive's skels, as they are or with files of the solution over them."""

    def run(
        *files: str, folder: Path = unpacked, cache_home: Path | None = None
    ) -> dict[str, object]:
        copy = Path(shutil.copytree(folder, tmp_path / "alone"))
        for name in files:
            shutil.copy(SOLUTION / name, copy / "skels/networking" / name)
        out = tmp_path / "grade.json"
        argv = ("check", "networking", "--kernel", "stock", "--json", str(out))
        done = knetlab(copy, *argv, cache_home=cache_home)
        assert done.returncode == (0 if files else 1), done.stderr
        found = json.loads(out.read_text())
        assert isinstance(found, dict)
        return {"said": done.stdout, **found}

    return run


@pytest.mark.vm
def test_the_skeletons_are_graded_there_and_earn_nothing(
    check: Callable[..., dict[str, object]],
) -> None:
    """In an empty folder, without a solution anywhere, the skeletons get 0 points."""
    grade = check()
    assert (grade["status"], grade["score"], grade["max_score"]) == ("graded", 0, 96.5)


@pytest.mark.vm
def test_a_right_solution_has_full_marks_there(
    check: Callable[..., dict[str, object]], cache_home: Path
) -> None:
    """In its first run, for which it makes the lab's programs and all else by itself."""
    grade = check(*SOURCES, cache_home=cache_home)
    assert (grade["status"], grade["score"], grade["max_score"]) == ("graded", 96.5, 96.5)
    made = {path.name for path in (cache_home / "knetlab").iterdir() if not path.is_symlink()}
    assert {"initramfs", "module", "program", "template", "witness"} <= made


def test_the_labs_programs_are_made_there(
    unpacked: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those for checks and those for a person, of nothing but what is in the archive."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    lab = labs.load("networking", unpacked / "labs")
    made = grading.guest_files(lab, for_person=True)
    assert {program.path for program in lab.programs} < made.keys()
    assert len(list((cache_home / "knetlab/program").glob("*/program"))) == len(lab.programs)


@pytest.mark.vm
def test_points_that_are_hidden_are_in_neither_sum(
    lab: Lab, check: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    """Without a check the lab still works: full marks are fewer, and a line says how many."""
    folder = unpack(dist.collect([lab], ["5.exactly-one"]).pack(), tmp_path / "archive")
    worth = collector.worth(lab)["5.exactly-one"]
    grade = check(*SOURCES, folder=folder)
    assert (grade["score"], grade["max_score"]) == (96.5 - worth, 96.5 - worth)
    assert f"{worth:g} more points are for checks that only your instructor has." in str(
        grade["said"]
    )


@pytest.mark.vm
def test_a_student_whose_file_does_not_compile_is_told_there(
    unpacked: Path, tmp_path: Path
) -> None:
    """Whether it is the host's fault is tried with the skeleton, where there is no solution."""
    copy = Path(shutil.copytree(unpacked, tmp_path / "alone"))
    source = copy / "skels/networking" / SOURCES[2]
    source.write_text('#error "of mine"\n')
    done = knetlab(copy, "check", "networking", "--exercise", "5", "--kernel", "stock")
    assert done.returncode == 1, done.stderr
    assert "of mine" in done.stdout
