"""The command: each bad input is one sentence and exit status 2, and no traceback."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support import ROOT

from checker import cli, lab
from vm import kernel, tools
from vm.debug_kernel import Progress


def _run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "checker", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
    )


def _refused(*arguments: str, **env: str) -> str:
    """Run the command, expect exit status 2 and one line on stderr, and return that line."""
    done = _run(*arguments, **env)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_unknown_lab_is_refused() -> None:
    """A lab that is not there is refused, and those that are there are named."""
    assert _refused("check", "netwroking") == (
        "knetlab: There is no lab 'netwroking'; there is: networking."
    )


def test_folder_without_labs_is_refused(tmp_path: Path) -> None:
    """The folder that KNETLAB_LABS names is the one that is looked in, and it is named."""
    said = _refused("check", "networking", KNETLAB_LABS=str(tmp_path))
    assert f"There is no lab in {tmp_path}: " in said


def test_missing_path_is_refused(tmp_path: Path) -> None:
    """A submission that does not exist is refused with its path."""
    missing = tmp_path / "no such folder"
    assert _refused("check", "--submission", str(missing)) == f"knetlab: There is no {missing}."


def test_file_as_submission_is_refused(tmp_path: Path) -> None:
    """A file in place of a folder is refused."""
    (tmp_path / "a.tar").write_text("x")
    assert "is not a folder" in _refused("check", "--submission", str(tmp_path / "a.tar"))


def test_folder_with_none_of_the_files_is_refused(tmp_path: Path) -> None:
    """A folder with none of the lab's files is refused, and it says which were looked for."""
    said = _refused("check", "--submission", str(tmp_path))
    assert "1-2-netfilter/kernel/filter.c, 3-4-tcp-sock/tcp_sock.c, 5-udp-sock/udp_sock.c" in said


def test_unknown_mutant_is_refused() -> None:
    """A name that selftest does not know is refused before any kernel is looked for."""
    said = _refused("selftest", "networking", "--only", "5-sent-twise", XDG_CACHE_HOME="/nowhere")
    assert "--only 5-sent-twise" in said
    assert "did you mean 5-sent-twice" in said


def test_selftest_of_no_trials_is_refused() -> None:
    """--repeat and --jobs are 1 or more."""
    for option in ("--repeat", "--jobs"):
        done = _run("selftest", "networking", option, "0")
        assert done.returncode == 2
        assert f"{option}: 0 is not 1 or more" in done.stderr


def test_unknown_exercise_is_refused() -> None:
    """An exercise the lab does not have is refused."""
    assert "has no exercise 9" in _refused("check", "--exercise", "9")


def test_half_a_kernel_is_refused(tmp_path: Path) -> None:
    """--kernel-image without --kernel-build is refused."""
    assert "belong together" in _refused("check", "--kernel-image", str(tmp_path))


def test_kernel_that_is_none_is_refused(tmp_path: Path) -> None:
    """A kernel image that does not exist is refused with its path."""
    image = tmp_path / "vmlinuz"
    said = _refused("check", "--kernel-image", str(image), "--kernel-build", str(tmp_path))
    assert f"--kernel-image {image} is not a file" in said


@pytest.mark.parametrize("option", ["--json", "--junit", "--html"])
def test_report_that_cannot_be_written_is_refused_before_grading(
    option: str, tmp_path: Path
) -> None:
    """A report in a folder that does not exist is refused at once."""
    assert "there is no folder" in _refused("check", option, str(tmp_path / "no" / "report"))


def test_folder_to_keep_evidence_in_must_be_there(tmp_path: Path) -> None:
    """--keep takes a folder that exists."""
    assert "is not a folder" in _refused("check", "--keep", str(tmp_path / "no"))


@pytest.mark.vm
def test_missing_qemu_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without QEMU the package to install is said, and no grade is given."""
    find = tools.shutil.which
    monkeypatch.setattr(
        tools.shutil, "which", lambda name, **k: None if "qemu-system" in name else find(name, **k)
    )
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", "--submission", str(ROOT / "skels/networking"), "--exercise", "5"])
    assert exit_.value.code == 3  # the host's failing, and nobody's bad work
    assert "apt install qemu-system-x86" in capsys.readouterr().err


def test_broken_lab_is_refused_with_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lab.toml with a wrong type is refused with the file and the key."""
    (tmp_path / "bad").mkdir()
    text = (ROOT / "labs/networking/lab.toml").read_text()
    (tmp_path / "bad/lab.toml").write_text(text.replace("points = 20", 'points = "many"', 1))
    monkeypatch.setattr(lab.load, "__defaults__", (tmp_path,))
    monkeypatch.setattr(lab.names, "__defaults__", (tmp_path,))
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", "bad"])
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert "bad/lab.toml: `points` of the 1st [[exercises]] is wrong" in said


@pytest.mark.vm
def test_check_writes_all_reports_and_tells_by_its_status(tmp_path: Path) -> None:
    """Full marks end with 0, less with 1, and the reports say the same."""
    reports = [tmp_path / name for name in ("g.json", "g.xml", "g.html")]
    options = [
        x
        for n, r in zip(("json", "junit", "html"), reports, strict=True)
        for x in (f"--{n}", str(r))
    ]
    solution = str(ROOT / "labs/networking/solution")
    stock = ("--kernel", "stock", "--exercise", "5")
    full = _run("check", "--submission", solution, *stock, *options)
    assert full.returncode == 0, full.stderr
    assert "\x1b" not in full.stdout + full.stderr
    assert json.loads(reports[0].read_text())["score"] == 19
    suite = ElementTree.fromstring(reports[1].read_text())[0]  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("11", "0", "0")
    assert "19 of 19" in reports[2].read_text()
    assert _run("check", *stock).returncode == 1


@pytest.mark.vm
def test_check_finds_skels_from_the_folder_it_stands_in(tmp_path: Path) -> None:
    """Without --submission it is skels/LAB below the working folder that is graded."""
    assert "There is no skels/networking" in _run("check", cwd=tmp_path).stderr


def test_skeletons_are_written(tmp_path: Path) -> None:
    """The skeleton command writes the files and says how many."""
    done = _run("skeleton", "networking", "--output", str(tmp_path / "mine"))
    assert done.returncode == 0
    assert (tmp_path / "mine/5-udp-sock/udp_sock.c").is_file()
    assert "13 files written, 0 not changed" in done.stdout
    (tmp_path / "mine/5-udp-sock/udp_sock.c").unlink()
    done = _run("skeleton", "networking", "--output", str(tmp_path / "mine"))
    assert "1 file written, 12 not changed" in done.stdout


def test_edited_skeleton_stops_the_command(tmp_path: Path) -> None:
    """An edited file is listed, and nothing is written over it."""
    _run("skeleton", "networking", "--output", str(tmp_path))
    mine = tmp_path / "5-udp-sock/udp_sock.c"
    mine.write_text("/* my work */\n")
    done = _run("skeleton", "networking", "--output", str(tmp_path), "--step", "2")
    assert done.returncode == 2
    assert "5-udp-sock/udp_sock.c" in done.stderr
    assert mine.read_text() == "/* my work */\n"


def test_help_lists_the_commands() -> None:
    """--help names every command."""
    said = _run("--help").stdout
    for command in ("check", "skeleton", "selftest", "console", "kernel", "doctor"):
        assert f"    {command} " in said


def test_doctor_finds_this_host_fit() -> None:
    """On a host that runs these tests the doctor misses nothing."""
    done = _run("doctor", COLUMNS="200")
    assert done.returncode == 0, done.stdout
    assert "MISSING" not in done.stdout


def test_doctor_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing program is shown with the command that mends it."""
    find = tools.shutil.which
    monkeypatch.setattr(
        tools.shutil, "which", lambda n, **k: None if n == "bwrap" else find(n, **k)
    )
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["doctor"])
    assert exit_.value.code == 2
    assert "apt install bubblewrap" in capsys.readouterr().out


# --- which kernel ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "built", "chosen"),
    [
        ([], True, "debug"),
        ([], False, "stock"),
        (["--kernel", "auto"], True, "debug"),
        (["--kernel", "stock"], True, "stock"),
        (["--kernel", "debug"], True, "debug"),
        (["--kernel", "debug"], False, "debug, built now"),
    ],
)
@pytest.mark.parametrize("command", ["check", "console"])
def test_debug_kernel_is_taken_once_it_is_built(
    command: str, options: list[str], built: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an option nothing is built: it is stock until the debug kernel is there."""
    monkeypatch.setattr(kernel, "stock", lambda release: f"stock{release}")
    monkeypatch.setattr(kernel, "debug_if_built", lambda r: f"debug{r}" if built else None)
    monkeypatch.setattr(kernel, "debug", lambda release, **_: f"debug{release}, built now")
    assert cli._chosen_kernel(cli.parser().parse_args([command, *options])) == chosen
    arguments = [command, *options, "--release", "13"]
    of_13 = re.sub(r"^(\w+)", r"\g<1>13", chosen)
    assert cli._chosen_kernel(cli.parser().parse_args(arguments)) == of_13


def test_build_of_the_debug_kernel_shows_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal there is a bar with the time that the rest will take."""
    clock = itertools.count(step=10)
    monkeypatch.setattr("rich.console.monotonic", lambda: next(clock))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    def build(_: str, *, update: bool, progress: Progress) -> str:
        assert not update
        for done in range(1, 9):
            progress(done, 1750)
        return "debug"

    monkeypatch.setattr(kernel, "debug", build)
    assert cli._build_debug(update=False) == "debug"
    said = capsys.readouterr().err
    assert "building the debug kernel" in said
    assert re.search(r"\d:\d\d:\d\d", said)


def test_build_of_the_debug_kernel_tells_its_tenths_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log of CI has a line for each tenth, and no more."""

    def build(_: str, *, update: bool, progress: Progress) -> None:
        for done in range(301):
            progress(done, 1000)

    monkeypatch.setattr(kernel, "debug", build)
    cli._build_debug(update=True)
    lines = capsys.readouterr().err.split("\n")
    assert [x for x in lines if x] == [f"building the debug kernel: {n}0 %" for n in (1, 2, 3)]
