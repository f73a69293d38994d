"""The reference pages name what there is: commands, keys, fields, statuses, the cache's folders."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel
from support import ROOT

from checker import cli, model
from checker.classroom import batch, intake
from checker.classroom.intake import archive
from checker.engine import build, build_cache, compiler, grading, submission
from tools import reference
from vm import guest, machine

PAGES = ROOT / "docs" / "reference"


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """Return the table below *heading*: the names in each row's first cell -> its other cells."""
    text = (PAGES / page).read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = re.split(r" *(?<!\\)\| *", line.strip("| "))
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", first), others)
    return found


def test_commands_are_current() -> None:
    """The page of commands is the one that today's parser makes."""
    page = (PAGES / "commands.md").read_text()
    assert page == reference.commands(), "run python -m tools.reference"


def test_every_argument_says_what_it_means() -> None:
    """No row of the page of commands has an empty cell."""
    assert re.findall(r"^.*\| *\|$", reference.commands(), re.MULTILINE) == []
    assert reference.commands().count("\n## knetlab ") > 8


@pytest.mark.parametrize(
    ("heading", "record"),
    [
        ("The lab", model.Lab),
        ("`[guest]`", model.GuestNeeds),
        ("`[[builds]]`", model.Target),
        ("`[[programs]]`", model.Program),
        ("`[[exercises]]`", model.Exercise),
    ],
)
def test_every_key_of_lab_toml_is_described(heading: str, record: type[BaseModel]) -> None:
    """Each key stands in its table, with its default, and no other key does."""
    table = rows("lab-toml.md", heading)
    ours = {"name", "root"} if record is model.Lab else set()  # said by the folder, not in the file
    fields = {n: f for n, f in record.model_fields.items() if n not in ours}
    assert table.keys() == fields.keys()
    for name, field in fields.items():
        default = table[name][1]
        if name == "guest":
            assert default == "none"
        elif field.is_required():
            assert default == "", name
        else:
            shown = {(): ("`[]`", "none"), "": ('`""`',), None: ("none",)}.get(
                field.default, (f"`{field.default}`",)
            )
            assert default in shown, name


@pytest.mark.parametrize(
    ("heading", "records"),
    [
        ("The grade", [model.Grade]),
        ("An exercise", [model.ExerciseResult]),
        ("A check", [model.CheckResult]),
        ("A finding", [model.Finding]),
        ("The kernel, and the provenance", [model.KernelInfo, model.Provenance]),
    ],
)
def test_every_field_of_a_grade_is_described(heading: str, records: list[type[BaseModel]]) -> None:
    """Each field of the record stands in its table."""
    fields = {f.alias or n for record in records for n, f in record.model_fields.items()}
    assert fields <= rows("grade-v1.md", heading).keys()


def test_every_status_of_a_check_is_described() -> None:
    """Each status stands in the page's table."""
    table = rows("grade-v1.md", "A check")
    assert set(model.Status.__args__) <= table.keys()


def test_every_exit_status_is_described() -> None:
    """Each status that the command line ends with has a row."""
    text = (PAGES / "running.md").read_text()
    shown = {int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert shown == {cli.FULL, cli.PARTIAL, cli.BAD_INPUT, cli.GRADER_FAILED, cli.STOPPED}


def test_every_folder_of_the_cache_is_described() -> None:
    """Each kind of entry that the code makes has a row, and no other has."""
    made = set()
    for folder in ("vm", "checker", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            made |= set(re.findall(r'cache\.(?:entry\(|root\(\) / )"([\w-]+)"', path.read_text()))
    assert rows("running.md", "The cache").keys() == made | {*build_cache.KEPT, grading.PROVED}


def test_variables_of_our_own_are_described() -> None:
    """Each variable called KNETLAB_… that the code reads has a row."""
    code = "".join(p.read_text() for f in ("vm", "checker") for p in (ROOT / f).rglob("*.py"))
    read = set(re.findall(r"\bKNETLAB_[A-Z_]+\b", code))
    assert read == {n for n in rows("running.md", "Environment variables") if "KNETLAB" in n}


def test_bounds_of_the_sandbox_are_those_of_the_code() -> None:
    """Each number that instructors are promised is the one that the code has."""
    text = (ROOT / "docs/instructors/sandbox.md").read_text()
    said = dict(re.findall(r"^\| ([^|`]+) \| (\d+ \S+|\d+) \|$", text, re.MULTILINE))
    gib, mib, kib = 1 << 30, 1 << 20, 1 << 10
    assert said == {
        "memory of a process": f"{compiler.LIMITS.memory // gib} GiB",
        "a file that is written": f"{compiler.LIMITS.file_size // mib} MiB",
        "processor time of a process": f"{compiler.LIMITS.cpu_seconds} s",
        "processes": f"{compiler.LIMITS.processes}",
        "time until it is stopped": f"{compiler.WALL_SECONDS} s",
        "a module, without debug information": f"{build.MAX_MODULE // mib} MiB",
        "QEMU's address space": f"{machine.LIMITS.memory // gib} GiB",
        "a disk or a capture": f"{machine.LIMITS.file_size // mib} MiB",
        "console of one command": f"{guest.MAX_CONSOLE_PER_COMMAND // kib} KiB",
        "what a guest answers to one command": f"{guest.MAX_BYTES_PER_COMMAND // mib} MiB",
        "QMP events of a guest": f"{machine.MAX_EVENTS}",
    }
    words = " ".join(text.split())
    for promised in (
        f"{archive.Limits().size // mib} MiB, {archive.Limits().files} entries",
        f"from {archive.FREE // mib} MiB on, {archive.Limits().ratio} times its own size",
        f"{archive.DOWNLOAD.size // gib} GiB and {archive.DOWNLOAD.files} entries",
        f"{intake.MEMORY // mib} MiB of memory or {intake.SECONDS} seconds of processor time",
        f"at most {submission.MAX_SOURCE // mib} MiB each",
        f"{guest.BACKSTOP_SECONDS:.0f} seconds of QEMU's processor time",
        f"limit of {guest.BACKSTOP_SECONDS:.0f} seconds for a guest",
        f"the compiler's {compiler.WALL_SECONDS} seconds",
        f"{batch.SECONDS // 60} minutes for a submission",
        f"an emulated machine with {machine.Config.memory} MiB",
    ):
        assert promised in words
