"""A student's folder: what is taken from it, and what is said of what cannot be taken."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support import SOURCES, Student

from checker.engine import submission
from checker.errors import InputError
from checker.model import Lab, Names, SourceFile

FILTER, TCP, UDP = SOURCES

Make = Callable[..., Student]


def read(lab: Lab, path: Path) -> dict[str, SourceFile]:
    """Read the submission in *path*; return its files by name."""
    return {f.path: f for f in submission.read(lab, path).files}


def test_every_wanted_file_is_read(lab: Lab, student: Make) -> None:
    """A submission holds the lab's sources, byte by byte, and is named for its folder."""
    alice = student("alice")
    found = submission.read(lab, alice.path)
    assert found.name == "alice"
    assert [f.path for f in found.files] == list(SOURCES)
    assert all(f.content == (alice.path / f.path).read_bytes() for f in found.files)
    assert not any(f.problem for f in found.files)


def test_other_files_are_not_read(lab: Lab, student: Make) -> None:
    """A Makefile, a header, a module: what is not on the list is left where it is."""
    alice = student()
    for name in ("Makefile", "5-udp-sock/Kbuild", "5-udp-sock/udp_sock.ko", "secret.txt"):
        (alice.path / name).write_text("x")
    assert set(read(lab, alice.path)) == set(SOURCES)


def test_unusual_text_is_taken_as_it_is(lab: Lab, student: Make) -> None:
    """A byte-order mark, Windows line ends and old encodings are for the compiler to judge."""
    alice = student()
    content = b"\xef\xbb\xbfint a;\r\n/* gr\xfc\xdfe */\r\n"
    alice.file("udp_sock.c").write_bytes(content)
    assert read(lab, alice.path)[UDP].content == content


@pytest.mark.parametrize(
    "name", ["Jörg Groß", "a b  c", "x'y\"z", "-rf", "名前", "a\nb", "#1$(id)"]
)
def test_the_folder_may_have_any_name(lab: Lab, student: Make, name: str) -> None:
    """Spaces, accents, quotes and worse in a folder's name are no trouble."""
    found = submission.read(lab, student(name).path)
    assert found.name == name
    assert not any(f.problem for f in found.files)


def test_a_folder_whose_name_is_no_text_has_one_all_the_same(lab: Lab, student: Make) -> None:
    """Bytes that are no UTF-8 are shown as such, and a record of them can be written."""
    path = student().path
    strange = Path(os.fsdecode(os.fsencode(path.parent) + b"/al\xffice"))
    path.rename(strange)
    found = submission.read(lab, strange)
    assert found.name == "al\ufffdice"
    assert "al\ufffdice" in found.model_dump_json(exclude={"files"})


def test_a_submission_may_be_the_folder_one_is_in(
    lab: Lab, student: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.` is named for what it really is."""
    monkeypatch.chdir(student("alice").path)
    assert submission.read(lab, Path()).name == "alice"


def test_the_folder_itself_may_be_a_link(lab: Lab, student: Make, tmp_path: Path) -> None:
    """Whoever gives the path may give a link to it."""
    (tmp_path / "link").symlink_to(student("alice").path)
    assert not any(f.problem for f in submission.read(lab, tmp_path / "link").files)


# --- one file that cannot be taken ---------------------------------------------------


def removed(path: Path) -> None:
    """Take the file away."""
    path.unlink()


def folder_removed(path: Path) -> None:
    """Take the file's folder away."""
    path.unlink()
    path.parent.rmdir()


def emptied(path: Path) -> None:
    """Empty it."""
    path.write_bytes(b"")


def blank(path: Path) -> None:
    """Leave nothing but blanks."""
    path.write_bytes(b" \n\t\r\n")


def binary(path: Path) -> None:
    """Put an object file there."""
    path.write_bytes(b"\x7fELF\2\1\1\0\0\0")


def utf16(path: Path) -> None:
    """Save it as some editors do."""
    path.write_text(path.read_text(), encoding="utf-16")


def huge(path: Path) -> None:
    """Make it one byte too large."""
    path.write_bytes(b"\n" * (submission.MAX_SOURCE + 1))


def endless(path: Path) -> None:
    """Make it very large, and take no room."""
    os.truncate(path, 1 << 40)


def link(path: Path) -> None:
    """Make it a link to a file that could be read."""
    path.unlink()
    path.symlink_to("/etc/hostname")


def link_inside(path: Path) -> None:
    """Make it a link to another of the student's files."""
    path.rename(path.with_name("real.c"))
    path.symlink_to("real.c")


def broken_link(path: Path) -> None:
    """Make it a link to nothing."""
    path.unlink()
    path.symlink_to("nothing")


def linked_folder(path: Path) -> None:
    """Make its folder a link."""
    folder = path.parent
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def fifo(path: Path) -> None:
    """Make it a FIFO, which nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def sock(path: Path) -> None:
    """Make it a socket."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as s:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            s.bind(f"/proc/self/fd/{here}/{path.name}")  # its path may be too long for a socket
        finally:
            os.close(here)


def folder(path: Path) -> None:
    """Put a folder there."""
    path.unlink()
    path.mkdir()


def file_for_folder(path: Path) -> None:
    """Put a file where its folder belongs."""
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("x")


SPOILERS = {
    removed: "is missing",
    folder_removed: "is missing",
    emptied: "is empty",
    blank: "is empty",
    binary: "is a binary file, not C source",
    utf16: "is a binary file, not C source",
    huge: "is larger than 1 MiB",
    endless: "is larger than 1 MiB",
    link: "is a link, not a regular file",
    link_inside: "is a link, not a regular file",
    broken_link: "is a link, not a regular file",
    linked_folder: "is a link, not a regular file",
    fifo: "is a folder or a device, not a regular file",
    sock: "cannot be read",
    folder: "is a folder or a device, not a regular file",
    file_for_folder: "cannot be read",
}


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda f: f.__name__)
def test_a_file_that_cannot_be_taken_says_why(
    lab: Lab, student: Make, spoil: Callable[[Path], None]
) -> None:
    """The file has a sentence instead of content, and the others are as they were."""
    alice = student()
    spoil(alice.file("udp_sock.c"))
    files = read(lab, alice.path)
    assert files[UDP].content is None
    assert files[UDP].problem.startswith(f"{UDP} {SPOILERS[spoil]}")
    assert files[UDP].problem.endswith(".")
    assert files[FILTER].content is not None
    assert files[TCP].content is not None


def test_a_file_of_the_largest_size_is_taken(lab: Lab, student: Make) -> None:
    """The bound itself is still within it."""
    alice = student()
    alice.file("udp_sock.c").write_bytes(b"\n" * (submission.MAX_SOURCE - 1) + b"x")
    assert read(lab, alice.path)[UDP].problem == ""


def test_a_file_without_read_permission_says_why(lab: Lab, student: Make, tmp_path: Path) -> None:
    """The reason is the system's own."""
    alice = student()
    for path in (tmp_path.parent, tmp_path, alice.path, alice.file("udp_sock.c").parent):
        path.chmod(0o755)
    alice.file("udp_sock.c").chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything
    try:
        problem = submission._read_file(alice.path, UDP).problem
    finally:
        os.seteuid(user)
    assert problem == f"{UDP} cannot be read: Permission denied."


# --- paths that are no submission ----------------------------------------------------


def test_a_path_that_is_not_there_is_named(lab: Lab, tmp_path: Path) -> None:
    """The error has the path."""
    with pytest.raises(InputError, match=f"There is no {tmp_path}/nobody"):
        submission.read(lab, tmp_path / "nobody")


def test_a_path_that_is_a_file_is_named(lab: Lab, student: Make) -> None:
    """The error says what a submission is."""
    path = student().file("udp_sock.c")
    with pytest.raises(InputError, match=f"{path} is not a folder; .*skels/networking"):
        submission.read(lab, path)


def test_a_path_through_a_file_is_named(lab: Lab, student: Make) -> None:
    """A path below a file is not there either."""
    path = student().file("udp_sock.c") / "below"
    with pytest.raises(InputError, match=f"There is no {path}"):
        submission.read(lab, path)


def test_a_link_to_nothing_is_named(lab: Lab, tmp_path: Path) -> None:
    """A broken link is not there."""
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(InputError, match="There is no"):
        submission.read(lab, tmp_path / "link")


def test_a_folder_with_none_of_the_files_says_what_was_looked_for(lab: Lab, tmp_path: Path) -> None:
    """The error has the folder and all the wanted names."""
    (tmp_path / "udp_sock.c").write_text("in the wrong folder")
    with pytest.raises(InputError) as caught:
        submission.read(lab, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert all(source in str(caught.value) for source in SOURCES)


def test_one_of_the_files_is_enough(lab: Lab, tmp_path: Path) -> None:
    """Whoever handed in one exercise is graded for it."""
    (tmp_path / UDP).parent.mkdir()
    (tmp_path / UDP).write_text("int a;\n")
    files = read(lab, tmp_path)
    assert files[UDP].content == b"int a;\n"
    assert files[FILTER].problem == f"{FILTER} is missing."


# --- what files are called ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["1-2/kernel/filter.c", "5/udp.c"], ["filter.c", "udp.c"]),
        (["1/kernel/main.c", "1/user/main.c"], ["kernel/main.c", "user/main.c"]),
        (["1/a/main.c", "2/a/main.c", "a/other.c"], ["1/a/main.c", "2/a/main.c", "other.c"]),
        (["main.c", "user/main.c"], ["main.c", "user/main.c"]),
        (["filter.c", "my-filter.c"], ["filter.c", "my-filter.c"]),
    ],
)
def test_a_file_is_called_by_the_end_of_its_path_that_no_other_has(
    paths: list[str], shown: list[str]
) -> None:
    """It is as short as can be, and leads back to the path."""
    names = Names(paths)
    assert list(map(names.shown, paths)) == shown
    assert list(map(names.path, shown)) == list(map(names.path, paths)) == paths


def test_a_name_of_no_file_or_of_several_leads_nowhere() -> None:
    """A file that is not the submission's keeps its path."""
    names = Names(["kernel/main.c", "user/main.c"])
    assert (names.path("main.c"), names.path("filter.c"), names.path("")) == ("", "", "")
    assert names.shown("lib/main.c") == "lib/main.c"


def test_files_of_one_name_are_both_there(lab: Lab, tmp_path: Path) -> None:
    """Their texts are known by their paths."""
    module = lab.modules[0].model_copy(
        update={"folder": "1", "sources": ("kernel/main.c", "user/main.c")}
    )
    for side in ("kernel", "user"):
        (tmp_path / "1" / side).mkdir(parents=True)
        (tmp_path / "1" / side / "main.c").write_text(f"int {side};\n")
    two = lab.model_copy(update={"builds": (module,)})
    assert submission.read(two, tmp_path).sources == {
        "1/kernel/main.c": "int kernel;\n",
        "1/user/main.c": "int user;\n",
    }
