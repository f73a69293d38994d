"""What was handed in: every LMS's download, every layout, and what is said of each."""

from __future__ import annotations

import functools
import io
import os
import re
import subprocess
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import SOURCES, all_end

from checker.classroom import intake
from checker.classroom.intake import Commits, Handed, Intake, archive, lms
from checker.classroom.intake.commit import Rule
from checker.classroom.intake.roster import Roster, Said
from checker.engine import submission
from checker.errors import InputError
from checker.model import Lab, Student
from checker.report import intake as report

FILTER, TCP, UDP = SOURCES
BASE = {source: source.rpartition("/")[2] for source in SOURCES}


def work(who: str = "") -> dict[str, bytes]:
    """Return what a student hands in, laid out as asked for."""
    return {source: f"/* {who} {source} */\n".encode() for source in SOURCES}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write *files* below *folder*."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of *files*."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


Read = Callable[..., Intake]


@pytest.fixture
def read(lab: Lab, tmp_path: Path) -> Read:
    """Take in what lies in the given PATHs."""

    def take(
        *paths: Path,
        roster: Roster | None = None,
        zone: timezone | None = None,
        group_work: bool = False,
        commits: Commits | None = None,
    ) -> Intake:
        scratch = tmp_path / "scratch"
        return intake.read(
            lab, paths, scratch, roster, zone=zone, group_work=group_work, commits=commits
        )

    return take


def only(found: Intake, key: str = "") -> Handed:
    """Return the one attempt, of the student *key* if given."""
    attempts = found.of(key) if key else found.attempts
    assert len(attempts) == 1, attempts
    return attempts[0]


def content(lab: Lab, attempt: Handed) -> dict[str, bytes]:
    """Return what submission.read() reads of *attempt*, what it can read of it."""
    assert attempt.files is not None, attempt.problem
    files = submission.read(lab, attempt.files).files
    return {file.path: file.content for file in files if file.content is not None}


def keys(found: Intake) -> list[str]:
    """Return the students' keys."""
    return [student.key for student in found.students]


# --- plain folders -------------------------------------------------------------------


def test_a_folder_of_folders(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Each folder is a student's, and is copied as it is."""
    for who in ("bob", "ada"):
        put(tmp_path / "subs" / who, work(who))
    found = read(tmp_path / "subs")
    assert keys(found) == ["ada", "bob"]
    assert content(lab, only(found, "ada")) == work("ada")
    assert content(lab, only(found, "bob")) == work("bob")
    assert only(found, "ada").files == tmp_path / "scratch" / "ada" / "subs"
    assert not any(a.notes or a.problem or a.missing for a in found.attempts)
    assert not found.notes


@pytest.mark.parametrize("deep", ["project", "a/b/c/networking", "skels/networking"])
def test_files_are_found_at_any_depth(lab: Lab, read: Read, tmp_path: Path, deep: str) -> None:
    """A project may lie in folders of its own; where is kept, and nothing odd."""
    put(tmp_path / "subs" / "ada" / deep, work())
    put(tmp_path / "subs" / "bob", work())
    attempt = only(read(tmp_path / "subs"), "ada")
    assert content(lab, attempt) == work()
    assert attempt.notes == ()
    assert attempt.found[FILTER] == f"{deep}/{FILTER}"


def test_a_folder_of_archives(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Archives are students' as folders are; one bad archive is that student's message."""
    put(
        tmp_path / "subs",
        {"ada.zip": zipped(work("ada")), "bob.tar.gz": b"rubbish", "notes.txt": b""},
    )
    found = read(tmp_path / "subs")
    assert content(lab, only(found, "ada")) == work("ada")
    bob = only(found, "bob")
    assert bob.files is None
    assert bob.problem == "bob.tar.gz is no archive that can be read; hand in a .zip."
    assert found.notes == ("subs/notes.txt is neither a folder nor an archive, and was left out.",)


def test_an_archive_in_a_folder(lab: Lab, read: Read, tmp_path: Path) -> None:
    """The archive that a student put into the folder is unpacked; one inside it is not."""
    inner = zipped(work())
    put(tmp_path / "subs" / "ada", {"lab.zip": inner})
    put(tmp_path / "subs" / "bob", {"lab.zip": zipped({"inner.zip": inner})})
    found = read(tmp_path / "subs")
    assert content(lab, only(found, "ada")) == work()
    assert only(found, "ada").found[FILTER] == f"lab.zip: {FILTER}"
    assert "None of the lab's files" in only(found, "bob").problem
    assert any("stays packed" in note for note in only(found, "bob").notes)
    assert only(found, "bob").listing == ("lab.zip: inner.zip",)
    assert only(found, "ada").listing == ()


def test_what_was_found_instead_is_listed(lab: Lab, read: Read, tmp_path: Path) -> None:
    """With none of the lab's files the paths that are there are kept, the first of many."""
    put(tmp_path / "subs" / "ada", {f"photo-{n:02}.txt": b"x" for n in range(25)})
    put(tmp_path / "subs" / "bob", {"lab.zip": b"PK broken"})
    found = read(tmp_path / "subs")
    listing = only(found, "ada").listing
    assert (listing[0], listing[-1], len(listing)) == ("photo-00.txt", "and 5 more", 21)
    assert only(found, "bob").listing


def test_a_bad_archive_beside_good_files(lab: Lab, read: Read, tmp_path: Path) -> None:
    """A broken archive does not cost what lies beside it, and is said."""
    put(tmp_path / "subs" / "ada", {**work(), "old.zip": b"rubbish"})
    attempt = only(read(tmp_path / "subs"))
    assert content(lab, attempt) == work()
    assert any("old.zip is no archive" in note for note in attempt.notes)


def test_several_archives_of_one_student(lab: Lab, read: Read, tmp_path: Path) -> None:
    """An archive for each exercise makes one submission."""
    files = {f"{n}.zip": zipped({name: data}) for n, (name, data) in enumerate(work().items())}
    put(tmp_path / "subs" / "ada", files)
    assert content(lab, only(read(tmp_path / "subs"))) == work()


def test_one_students_folder(lab: Lab, read: Read, tmp_path: Path) -> None:
    """A PATH that has the lab's files itself is one student's."""
    attempt = only(read(put(tmp_path / "ada", work())), "ada")
    assert content(lab, attempt) == work()


def test_a_path_for_each_student(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Many PATHs, as a shell makes of subs/*, are a student each: folders, deep ones, archives."""
    put(tmp_path / "subs" / "ada", work("ada"))
    put(tmp_path / "subs" / "bob" / "code" / "networking", work("bob"))
    put(tmp_path / "subs" / "bob" / "docs", {"readme": b""})
    put(tmp_path / "subs", {"cy.zip": zipped({f"networking/{k}": v for k, v in work().items()})})
    put(tmp_path / "subs", {"dan.zip": b"rubbish"})
    found = read(*sorted((tmp_path / "subs").iterdir()))
    assert keys(found) == ["ada", "bob", "cy", "dan"]
    assert content(lab, only(found, "bob")) == work("bob")
    assert content(lab, only(found, "cy")) == work()
    assert "no archive" in only(found, "dan").problem


def test_an_archive_of_a_class(lab: Lab, read: Read, tmp_path: Path) -> None:
    """One archive with a folder of students' folders is a class; with one project, a student."""
    files = {f"subs/{who}/{k}": v for who in ("ada", "bob") for k, v in work(who).items()}
    (tmp_path / "class.zip").write_bytes(zipped(files))
    assert keys(read(tmp_path / "class.zip")) == ["ada", "bob"]
    (tmp_path / "cy.zip").write_bytes(zipped({f"lab/{k}": v for k, v in work().items()}))
    assert content(lab, only(read(tmp_path / "cy.zip"), "cy")) == work()


def test_the_same_student_from_two_paths(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Folders of one name are attempts of one student, each with a label of its own."""
    put(tmp_path / "a" / "subs" / "ada", work("first"))
    put(tmp_path / "a" / "subs" / "bob", work())
    put(tmp_path / "b" / "subs" / "ada", work("second"))
    put(tmp_path / "b" / "subs", {"ada.zip": zipped(work("third"))})
    found = read(tmp_path / "a" / "subs", tmp_path / "b" / "subs")
    assert keys(found) == ["ada", "bob"]
    assert [attempt.label for attempt in found.of("ada")] == ["subs", "subs-2", "subs-3"]
    whose = [content(lab, attempt) for attempt in found.of("ada")]
    assert whose == [work("first"), work("second"), work("third")]


# --- layouts -------------------------------------------------------------------------


def one(read: Read, tmp_path: Path, files: dict[str, bytes]) -> Handed:
    """Take in *files* of one student."""
    put(tmp_path / "subs" / "ada", files)
    return only(read(tmp_path / "subs"))


def test_files_at_the_top_level(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Files without their folders are what every LMS takes: nothing is to be said of them."""
    attempt = one(read, tmp_path, {BASE[name]: data for name, data in work().items()})
    assert content(lab, attempt) == work()
    assert attempt.notes == ()
    packed = zipped({BASE[name]: data for name, data in work().items()})
    bob = only(read(put(tmp_path / "zips", {"bob.zip": packed})), "bob")
    assert content(lab, bob) == work()
    assert bob.notes == ()


def test_files_in_folders_of_their_own(lab: Lab, read: Read, tmp_path: Path) -> None:
    """A file in a wrong folder is found all the same."""
    attempt = one(
        read, tmp_path, {"ex1/kernel/filter.c": b"1", "ex2/tcp_sock.c": b"2", UDP: work()[UDP]}
    )
    assert content(lab, attempt) == {FILTER: b"1", TCP: b"2", UDP: work()[UDP]}
    assert "ex2/tcp_sock.c is not in 3-4-tcp-sock; it was taken." in attempt.notes


def test_what_is_missing_is_said(read: Read, tmp_path: Path) -> None:
    """A part is graded, and what it lacks is in the record."""
    attempt = one(read, tmp_path, {TCP: b"2"})
    assert attempt.missing == (FILTER, UDP)
    assert attempt.files and not attempt.problem


@pytest.mark.parametrize("files", [{}, {"essay.pdf": b"x"}])
def test_nothing_at_all(read: Read, tmp_path: Path, files: dict[str, bytes]) -> None:
    """A submission with none of the files is a problem that names what was looked for."""
    (tmp_path / "subs" / "ada").mkdir(parents=True)
    attempt = one(read, tmp_path, files)
    assert attempt.files is None
    assert FILTER in attempt.problem
    assert (next(iter(files), "nothing")) in attempt.problem


def test_two_candidates(read: Read, tmp_path: Path) -> None:
    """Two projects that differ and are as good as each other are not chosen between."""
    files = {f"{place}/{k}": v for place in ("one", "two") for k, v in work(place).items()}
    attempt = one(read, tmp_path, files)
    assert attempt.files is None
    assert "one and two" in attempt.problem


def test_two_candidates_that_are_the_same(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Two projects with the same files are no trouble."""
    files = {f"{place}/{k}": v for place in ("one", "two") for k, v in work().items()}
    assert content(lab, one(read, tmp_path, files)) == work()


def test_a_backup_below(lab: Lab, read: Read, tmp_path: Path) -> None:
    """The complete project nearest to the top is meant; the other is said."""
    files = {**work("new"), **{f"backup/{k}": v for k, v in work("old").items()}}
    attempt = one(read, tmp_path, files)
    assert content(lab, attempt) == work("new")
    assert any("backup as well" in note for note in attempt.notes)


def test_a_better_one_below(read: Read, tmp_path: Path) -> None:
    """A complete project below a part that differs could be either."""
    files = {FILTER: b"old", **{f"new/{k}": v for k, v in work().items()}}
    assert "more than once" in one(read, tmp_path, files).problem


def test_the_whole_project(lab: Lab, read: Read, tmp_path: Path) -> None:
    """In a copy of the whole project, solutions too, the skeletons are what a student edits."""
    files = {f"skels/networking/{k}": v for k, v in work("mine").items()}
    files |= {f"labs/networking/solution/{k}": v for k, v in work("theirs").items()}
    assert content(lab, one(read, tmp_path, files)) == work("mine")


def test_two_loose_files(read: Read, tmp_path: Path) -> None:
    """A file that is there twice, and differs, is not guessed."""
    attempt = one(read, tmp_path, {"a/filter.c": b"1", "b/filter.c": b"2", TCP: b"3"})
    assert attempt.files is None
    assert "a/filter.c and b/filter.c" in attempt.problem


def test_renamed_by_an_upload(lab: Lab, read: Read, tmp_path: Path) -> None:
    """filter-1.c and tcp_sock (2).c are what Canvas and browsers make of a name seen before."""
    attempt = one(read, tmp_path, {"filter-1.c": b"1", "tcp_sock (2).c": b"2", "udp_sock.c": b"3"})
    assert content(lab, attempt) == {FILTER: b"1", TCP: b"2", UDP: b"3"}


def test_the_rubbish_of_computers(lab: Lab, read: Read, tmp_path: Path) -> None:
    """What macOS, Windows and git leave behind is no candidate, nor a student."""
    junk = {
        f"__MACOSX/{FILTER}": b"x",
        "1-2-netfilter/kernel/._filter.c": b"x",
        f".git/{TCP}": b"x",
    }
    put(tmp_path / "subs", {"__MACOSX/x": b"", ".DS_Store": b"", "Thumbs.db": b""})
    attempt = one(read, tmp_path, {**work(), **junk})
    assert content(lab, attempt) == work()
    assert not any("as well" in note for note in attempt.notes)


# --- without trust -------------------------------------------------------------------


def test_no_link_is_followed(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Links to files and folders, in a submission and in a class, are left out and said."""
    secret = put(tmp_path / "secret", {"filter.c": b"secret", **work("secret")})
    ada = put(tmp_path / "subs" / "ada", {TCP: b"2"})
    (ada / "1-2-netfilter" / "kernel").mkdir(parents=True)
    (ada / FILTER).symlink_to(secret / "filter.c")
    (ada / "5-udp-sock").symlink_to(secret / "5-udp-sock")
    (tmp_path / "subs" / "eve").symlink_to(secret)
    found = read(tmp_path / "subs")
    assert keys(found) == ["ada"]
    assert content(lab, only(found)) == {TCP: b"2"}
    assert f"{FILTER} is a link and was left out." in only(found).notes
    assert found.notes == ("subs/eve is a link, and was left out.",)


def test_pipes_and_sockets_block_nobody(lab: Lab, read: Read, tmp_path: Path) -> None:
    """A FIFO in the place of a source file is left out."""
    ada = put(tmp_path / "subs" / "ada", {TCP: b"2"})
    os.mkfifo(ada / "filter.c")
    assert content(lab, only(read(tmp_path / "subs"))) == {TCP: b"2"}


def test_a_huge_file_is_not_copied(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Of a file that is too large so much is copied that submission.read() says so."""
    put(tmp_path / "subs" / "ada", work())
    with (tmp_path / "subs" / "ada" / FILTER).open("wb") as f:
        f.truncate(1 << 40)
    attempt = only(read(tmp_path / "subs"))
    assert attempt.files is not None
    assert (attempt.files / FILTER).stat().st_size == submission.MAX_SOURCE + 1
    problems = [file.problem for file in submission.read(lab, attempt.files).files]
    assert "larger" in problems[0]


def test_too_many_files(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with more files than anybody writes is one student's problem."""
    monkeypatch.setattr("checker.classroom.intake.layout.MAX_FILES", 50)
    put(tmp_path / "subs" / "ada", {f"{n}.o": b"" for n in range(60)})
    put(tmp_path / "subs" / "bob", work())
    found = read(tmp_path / "subs")
    assert "more than 50 files" in only(found, "ada").problem
    assert not only(found, "bob").problem


@pytest.mark.parametrize(
    "name", ["x" * 250, "a\nb", "\x1b[31mred", "\u202erev", "-rf", "x..", "$(id)", "'\""]
)
def test_names_are_not_trusted(read: Read, tmp_path: Path, name: str) -> None:
    """A name of a folder never reaches a path or a terminal as it is."""
    put(tmp_path / "subs" / name, work())
    found = read(tmp_path / "subs")
    attempt, (student,) = only(found), found.students
    assert attempt.files == tmp_path / "scratch" / student.key / "subs"
    assert student.name.isprintable() and attempt.source.isprintable()
    assert len(student.key) < 100 and len(student.name) < 200


def test_a_name_that_is_no_text(read: Read, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are replaced, so that records can be written."""
    folder = put(tmp_path / "subs" / "ada", work())
    folder.rename(os.fsdecode(os.fsencode(folder.parent) + b"/al\xffice"))
    found = read(tmp_path / "subs")
    assert found.students[0].name == "al\ufffdice"
    assert found.model_dump_json()


def test_memory_is_bounded(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that takes too much memory, or kills its process, costs one student."""
    put(tmp_path / "subs", {"ada.zip": zipped(work()), "eve.zip": zipped({"evil": b""})})
    real = archive.unpack

    def unpack(path: Path, folder: Path, limits: archive.Limits | None = None) -> list[str]:
        if path.name == "eve.zip":
            bytearray(2 * intake.MEMORY)
        return real(path, folder, limits)

    monkeypatch.setattr(archive, "unpack", unpack)
    found = read(tmp_path / "subs")
    assert not only(found, "ada").problem
    assert "1024 MiB" in only(found, "eve").problem


def test_time_is_bounded(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that keeps a processor busy for ever costs one student."""
    put(tmp_path / "subs", {"ada.zip": zipped(work()), "eve.zip": zipped({"evil": b""})})
    real = archive.unpack

    def unpack(path: Path, folder: Path, limits: archive.Limits | None = None) -> list[str]:
        while path.name == "eve.zip":
            pass
        return real(path, folder, limits)

    monkeypatch.setattr(archive, "unpack", unpack)
    monkeypatch.setattr(intake, "SECONDS", 1)
    found = read(tmp_path / "subs")
    assert not only(found, "ada").problem
    assert "1 seconds of a processor" in only(found, "eve").problem


def test_nothing_is_left_behind(read: Read, tmp_path: Path) -> None:
    """What was unpacked is gone, that of a killed run too, and a second run gives the same."""
    put(tmp_path / "subs", {"ada.zip": zipped({**work(), "big.bin": bytes(1 << 20)})})
    put(tmp_path / "scratch" / ".unpacked-killed", {"x": b""})
    put(tmp_path / "scratch" / "ada" / "subs", {"stale.c": b"old"})
    first = read(tmp_path / "subs")
    files = sorted(str(p.relative_to(tmp_path / "scratch")) for p in tmp_path.rglob("scratch/**/*"))
    assert [name for name in files if name.endswith(".c")] == [f"ada/subs/{s}" for s in SOURCES]
    assert not any("unpacked" in name or "stale" in name for name in files)
    assert read(tmp_path / "subs") == first


def test_bad_paths(read: Read, lab: Lab, tmp_path: Path) -> None:
    """PATHs that are none are refused before anything is done."""
    subs = put(tmp_path / "subs" / "ada", work()).parent
    put(tmp_path, {"essay.txt": b"x", "bad.zip": b"rubbish"})
    (tmp_path / "empty").mkdir()
    for paths, match in [
        ([], "no PATH"),
        ([tmp_path / "none"], "There is no"),
        ([tmp_path / "essay.txt"], "neither a folder nor an archive"),
        ([subs, subs], "given twice"),
        ([tmp_path], "choose a folder outside"),
        ([tmp_path / "bad.zip"], "no archive that can be read"),
        ([tmp_path / "empty"], "no submissions"),
    ]:
        with pytest.raises(InputError, match=match):
            read(*paths)


# --- Moodle --------------------------------------------------------------------------


def moodle(folders: bool = True, ending: str = "_") -> dict[str, bytes]:
    """Return a download of Moodle's: two students of one name, an archive, typed-in text."""
    files = {}
    for who, number in [("Ada Lovelace", 12345), ("Ada Lovelace", 12346), ("Jörg Groß", 7)]:
        head = f"{who}_{number}_assignsubmission_file{ending}"
        for name, data in work(str(number)).items():
            files[f"{head}/{name}" if folders else f"{head}{BASE[name]}"] = data
    files["Eve_8_assignsubmission_onlinetext_/onlinetext.html"] = b"<p>int a;</p>"
    files["Mallory_9_assignsubmission_file_/lab.zip"] = zipped(work("mallory"))
    return files


@pytest.mark.parametrize("ending", ["", "_"])
@pytest.mark.parametrize("packed", [True, False])
def test_moodle(lab: Lab, read: Read, tmp_path: Path, ending: str, packed: bool) -> None:
    """A download of Moodle's, as it comes or unpacked: names, numbers, all kinds of hand-ins."""
    path = tmp_path / "CS1-Lab 1-99.zip"
    path.write_bytes(zipped(moodle(ending=ending)))
    if not packed:
        path = put(tmp_path / "CS1-Lab 1-99", moodle(ending=ending))
    found = read(path)
    assert keys(found) == [
        "ada-lovelace-12345",
        "ada-lovelace-12346",
        "eve-8",
        "jorg-gro-7",
        "mallory-9",
    ]
    assert found.students[0].name == found.students[1].name == "Ada Lovelace"
    assert found.students[3].name == "Jörg Groß"
    assert found.students[3].id == "7"
    for number in ("12345", "12346"):
        assert content(lab, only(found, f"ada-lovelace-{number}")) == work(number)
    assert content(lab, only(found, "mallory-9")) == work("mallory")
    eve = only(found, "eve-8")
    assert eve.problem and eve.notes == ("Something was typed in online, which is not graded.",)
    assert only(found, "jorg-gro-7").submitted is None
    assert "download of Moodle's: 5 submissions" in found.notes[0]


def test_two_downloads(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Two downloads of an assignment are two attempts, however large they are."""
    files = moodle()
    extra = {f"Zoe {n}_{n}_assignsubmission_file_/a": b"" for n in range(100, 150)}
    for name in ("first.zip", "second.zip"):
        (tmp_path / name).write_bytes(zipped({**files, **extra}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive.Limits, "__init__", functools.partialmethod(small_limits))
        found = read(tmp_path / "first.zip", tmp_path / "second.zip")
    assert len(found.students) == 55
    assert [a.label for a in found.of("ada-lovelace-12345")] == ["first", "second"]


def small_limits(self: archive.Limits) -> None:
    """Make the limits of one student's archive smaller than a class."""
    for name, value in (("size", 64 << 20), ("files", 20), ("ratio", 200)):
        object.__setattr__(self, name, value)


def test_letters_that_macos_took_apart(read: Read, tmp_path: Path) -> None:
    """A name is the same, whichever way its accents are written."""
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Jörg Groß_7_assignsubmission_file_")
        put(tmp_path / form / name, work())
    assert keys(read(tmp_path / "NFC", tmp_path / "NFD")) == ["jorg-gro-7"]


def test_moodle_flat(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Where Moodle makes no folders, the files of one student belong together."""
    found = read(put(tmp_path / "download", moodle(folders=False)))
    assert content(lab, only(found, "ada-lovelace-12345")) == work("12345")
    assert content(lab, only(found, "ada-lovelace-12346")) == work("12346")


@pytest.mark.parametrize("word", ["Participant", "Teilnehmerin"])
def test_moodle_blind(lab: Lab, read: Read, tmp_path: Path, word: str) -> None:
    """In a blind download nobody has a name; a roster knows the numbers."""
    for number in (11, 12):
        put(tmp_path / "download" / f"{word}_{number}_assignsubmission_file_", work(str(number)))
    assert keys(read(tmp_path / "download")) == ["moodle-11", "moodle-12"]
    roster = Roster([Student(key="ada", name="Ada", id="11"), Student(key="bob", id="12")])
    found = read(tmp_path / "download", roster=roster)
    assert content(lab, only(found, "bob")) == work("12")
    assert keys(found) == ["ada", "bob"]


def test_canvas_numbers_what_is_handed_in_again(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Of udp_sock-1.c and udp_sock-2.c the higher is taken and the other named."""
    names = {"filter.c": b"f", "tcp_sock.c": b"t", "udp_sock-1.c": b"one", "udp_sock-2.c": b"two"}
    names["udp_sock-10.c"] = b"ten"
    files = {f"lovelaceada_4711_{n}_{name}": text for n, (name, text) in enumerate(names.items())}
    found = only(read(put(tmp_path / "c", files)))
    assert content(lab, found)["5-udp-sock/udp_sock.c"] == b"ten"
    assert found.missing == ()
    (note,) = (note for note in found.notes if "not taken" in note)
    said = "udp_sock-1.c and udp_sock-2.c were not taken: the highest number is the newest file."
    assert note == said


def test_a_file_cannot_change_its_owner(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Whatever a student calls a file, the LMS's part of its name says whose it is."""
    evil = "x_7_assignsubmission_file_filter.c"
    put(tmp_path / "m", {f"Eve_666_assignsubmission_file_{evil}": b"", **moodle(folders=False)})
    assert "eve-666" in keys(read(tmp_path / "m"))
    for scheme, name, identity in [
        (lms.moodle, f"Eve_666_assignsubmission_file_{evil}", "666"),
        (lms.canvas, "eve_666_1_ada_7_2_filter.c", "666"),
        (lms.canvas, "eve_666_1_LATE_7_2_filter.c", "666"),
        (lms.canvas, "anon_Ab3dE_7_5_filter.c", "anon_Ab3dE"),
    ]:
        piece = scheme(name, False)
        assert piece is not None and piece.person.id == identity
    evil = "x_ada_attempt_2020-01-01-00-00-00_filter.c"
    piece = lms.blackboard(f"Lab_1_eve_attempt_2026-11-20-21-30-00_{evil}", False)
    assert piece is not None and piece.person.login == "eve" and piece.file == evil


# --- Canvas --------------------------------------------------------------------------


def test_canvas(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Canvas's files of one user belong together; LATE is a flag; resubmitted files are renamed."""
    files = {
        "lovelaceada_4711_1_filter.c": b"1",
        "lovelaceada_4711_2_tcp_sock-3.c": b"2",
        "lovelaceada_4711_3_udp_sock.c": b"3",
        "großjörg_LATE_4712_4_lab.zip": zipped(work("late")),
        "anon_Xy3z9_5_filter.c": b"anonymous",
        "LATE_anon_Ab3dE_6_filter.c": b"anonymous and late",
        "smithbob_4713_text.html": b"<p>",
    }
    (tmp_path / "submissions.zip").write_bytes(zipped(files))
    found = read(tmp_path / "submissions.zip")
    ada = only(found, "lovelaceada-4711")
    assert content(lab, ada) == {FILTER: b"1", TCP: b"2", UDP: b"3"}
    assert ada.late is False and ada.submitted is None
    late = only(found, "grojorg-4712")
    assert late.late is True and content(lab, late) == work("late")
    assert {s.id for s in found.students} == {"4711", "4712", "4713", "anon_Xy3z9", "anon_Ab3dE"}
    (anonymous,) = [s for s in found.students if s.id == "anon_Ab3dE"]
    assert only(found, anonymous.key).late is True
    assert only(found, "smithbob-4713").problem


# --- Blackboard ----------------------------------------------------------------------


def blackboard(login: str, name: str, when: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return one attempt of a download of Blackboard's, its note in German."""
    head = f"Lab 1_{login}_attempt_{when}"
    note = f"Name: {name} ({login})\nAufgabe: Lab 1\nEingereicht: Freitag\n\nDateien:\n"
    found = {}
    for number, (given, data) in enumerate(files.items()):
        stored = f"{head}_{number}{given[-2:]}"
        note += f"\tUrsprünglicher Dateiname: {given}\n\tDateiname: {stored}\n"
        found[stored] = data
    return {f"{head}.txt": note.encode(), **found}


def test_blackboard(lab: Lab, read: Read, tmp_path: Path) -> None:
    """Attempts have times, in the zone that is given; the note has names of people and files."""
    flat = {BASE[name]: data for name, data in work().items()}
    files = blackboard("al", "Ada Lovelace", "2026-11-20-21-30-00", flat)
    files |= blackboard("al", "Ada Lovelace", "2026-11-19-08-00-00", {"filter.c": b"first"})
    files |= blackboard("b_s", "Bob Smith", "2026-11-20-10-00-00", {"filter.c": b"bob"})
    files["Lab 1_cy_attempt_2026-11-20-11-00-00_filter.c"] = b"no note"
    zone = timezone(timedelta(hours=1))
    found = read(put(tmp_path / "gradebook", files), zone=zone)
    assert keys(found) == ["al", "b_s", "cy"]
    first, second = found.of("al")
    assert first.submitted == datetime(2026, 11, 19, 7, tzinfo=UTC)
    assert second.submitted == datetime(2026, 11, 20, 20, 30, tzinfo=UTC)
    assert content(lab, first) == {FILTER: b"first"}
    assert content(lab, second) == work()
    assert first.label == "2026-11-19-08-00-00"
    assert found.students[0].name == "Ada Lovelace"
    assert found.students[1].login == "b_s"
    assert content(lab, only(found, "cy")) == {FILTER: b"no note"}
    assert any("UTC+01:00" in note for note in found.notes)


def test_blackboards_time_is_this_computers(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a zone given, times are read as the host's, which is said."""
    files = blackboard("al", "Ada", "2026-11-20-21-30-00", {"filter.c": b""})
    found = read(put(tmp_path / "gradebook", files))
    assert only(found).submitted == datetime(2026, 11, 20, 21, 30).astimezone()
    assert any("this computer's" in note for note in found.notes)


def test_an_original_name_is_no_path(read: Read, tmp_path: Path) -> None:
    """The name in a note is the student's own, and only ever a name."""
    files = blackboard("al", "Ada", "2026-11-20-21-30-00", {"../../x/filter.c": b"1"})
    attempt = only(read(put(tmp_path / "gradebook", files)))
    assert attempt.found == {FILTER: "filter.c"}


# --- Gradescope ----------------------------------------------------------------------

METADATA = """---
submission_1:
  :submitters:
  - :name: Ada Lovelace
    :sid: '100'
    :email: ada@example.org
  :created_at: 2026-11-20 20:30:00.123456000 Z
  :score: 0.0
  :history: []
submission_2:
  :submitters:
  - :name: Bob Smith
    :sid:
    :email: bob@example.org
  - :name: Cy
    :sid: 102
  :created_at: !ruby/object:ActiveSupport::TimeWithZone
    utc: &1 2026-11-21 08:00:00.000000000 Z
    zone: !ruby/object:ActiveSupport::TimeZone
      name: America/Los_Angeles
    time: *1
submission_3:
  :submitters:
  - :name: Dan
    :sid: '103'
"""


@pytest.mark.parametrize("packed", [True, False])
def test_gradescope(lab: Lab, read: Read, tmp_path: Path, packed: bool) -> None:
    """An export tells who and when; a group's submission is one of each member."""
    files = {"assignment_1_export/submission_metadata.yml": METADATA.encode()}
    for number in (1, 2):
        for name, data in work(str(number)).items():
            files[f"assignment_1_export/submission_{number}/{name}"] = data
    files["assignment_1_export/submission_9/filter.c"] = b"nobody's"
    path = put(tmp_path / "export", files)
    if packed:
        path = tmp_path / "assignment_1_export.zip"
        path.write_bytes(zipped(files))
    found = read(path)
    assert keys(found) == ["ada-lovelace-100", "bob-example.org", "cy-102", "dan-103"]
    ada = only(found, "ada-lovelace-100")
    assert content(lab, ada) == work("1")
    assert ada.submitted == datetime(2026, 11, 20, 20, 30, 0, 123456, tzinfo=UTC)
    assert ada.label == "submission_1"
    for key in ("bob-example.org", "cy-102"):
        attempt = only(found, key)
        assert content(lab, attempt) == work("2")
        assert attempt.submitted == datetime(2026, 11, 21, 8, tzinfo=UTC)
        assert "group of 2" in attempt.notes[0]
    assert "not in the export" in only(found, "dan-103").problem
    assert any("submission_9" in note for note in found.notes)
    assert found.students[0].email == "ada@example.org"


@pytest.mark.parametrize(
    "text",
    ["", "- 1", "a: b", "a: {", "x: !!python/object/apply:os.system ['touch evil']", "[" * 5000],
)
def test_bad_metadata(read: Read, tmp_path: Path, text: str) -> None:
    """A metadata file that is not Gradescope's is refused, and nothing in it is run."""
    put(tmp_path / "export", {"submission_metadata.yml": text.encode()})
    with pytest.raises(InputError, match="not as Gradescope writes it"):
        read(tmp_path / "export")
    assert not Path("evil").exists()


# --- git -----------------------------------------------------------------------------

WHEN = "2026-11-20T21:30:00+01:00"


def git(folder: Path, *arguments: str, when: str = WHEN) -> str:
    """Run git in *folder*, as a student with a clock of their own."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_COMMITTER_DATE": when,
        "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    }
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=a@x.org", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def checkout(folder: Path, *options: str) -> Path:
    """Make a checkout with one commit of the lab's files."""
    put(folder, work())
    git(folder, "init", "--quiet", *options)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "done")
    return folder


@pytest.mark.parametrize("kind", ["plain", "packed", "detached", "sha256"])
def test_a_checkout_has_a_time(lab: Lab, read: Read, tmp_path: Path, kind: str) -> None:
    """The time of a checkout is that of its last commit, however git keeps it."""
    options = ["--object-format=sha256"] if kind == "sha256" else []
    ada = checkout(tmp_path / "subs" / "ada", *options)
    put(tmp_path / "subs" / "bob", work())
    if kind == "packed":
        git(ada, "pack-refs", "--all")
        git(ada, "gc", "--quiet")
    elif kind == "detached":
        git(ada, "checkout", "--quiet", "--detach")
    found = read(tmp_path / "subs")
    attempt = only(found, "ada")
    assert attempt.submitted == datetime.fromisoformat(WHEN)
    assert content(lab, attempt) == work()
    assert only(found, "bob").submitted is None
    assert re.fullmatch(r"[0-9a-f]{7} of 2026-11-20 21:30 \+0100", attempt.commit)
    assert attempt.notes == ()


def test_a_checkout_as_path(read: Read, tmp_path: Path) -> None:
    """A checkout given as PATH is one student's."""
    attempt = only(read(checkout(tmp_path / "ada")), "ada")
    assert attempt.submitted == datetime.fromisoformat(WHEN)


def test_nothing_of_a_checkout_is_run(read: Read, tmp_path: Path) -> None:
    """No program that the repository's configuration or hooks name is started."""
    ada = checkout(tmp_path / "subs" / "ada")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    evil.chmod(0o755)
    for key in ("core.fsmonitor", "gpg.program", "core.pager", "core.sshCommand", "diff.external"):
        git(ada, "config", key, str(evil))
    git(ada, "config", "log.showSignature", "true")
    git(ada, "config", "alias.log", f"!{evil}")
    (ada / ".git" / "hooks").mkdir(exist_ok=True)
    (ada / ".git" / "hooks" / "post-index-change").symlink_to(evil)
    assert only(read(tmp_path / "subs")).submitted == datetime.fromisoformat(WHEN)
    assert not (tmp_path / "was-run").exists()


def commits(ada: Path) -> list[str]:
    """Give the checkout three more commits, an hour each, and return the hashes of all."""
    found = [git(ada, "rev-parse", "HEAD").strip()]
    for number in (1, 2, 3):
        (ada / TCP).write_bytes(b"%d" % number)
        git(
            ada,
            "commit",
            "--quiet",
            "-am",
            "more",
            when=f"2026-11-20T{21 + number}:30:00+01:00"
            if number < 3
            else "2026-11-21T00:30:00+01:00",
        )
        found.append(git(ada, "rev-parse", "HEAD").strip())
    return found


def by(rule: Rule) -> Commits:
    """Return *rule* for everybody."""
    return lambda students: {student.key: rule for student in students}


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        (Rule(), 3),
        (Rule(tag="due"), 1),
        (Rule(tag="annotated"), 2),
        (Rule(until=datetime.fromisoformat("2026-11-20T23:30:00+01:00")), 2),
        (Rule(until=datetime.fromisoformat("2026-11-20T23:29:59+01:00")), 1),
    ],
)
def test_a_rule_chooses_the_commit(
    lab: Lab, read: Read, tmp_path: Path, rule: Rule, number: int
) -> None:
    """HEAD, a tag, or the last commit until the deadline: its files, its time, and which it is."""
    ada = checkout(tmp_path / "subs" / "ada")
    hashes = commits(ada)
    git(ada, "tag", "due", hashes[1])
    git(ada, "tag", "-a", "-m", "x", "annotated", hashes[2])
    (ada / TCP).write_bytes(b"not committed")
    attempt = only(read(tmp_path / "subs", commits=by(rule)))
    assert content(lab, attempt)[TCP] == b"%d" % number
    assert content(lab, attempt)[FILTER] == work()[FILTER]
    assert attempt.submitted == datetime.fromisoformat(
        git(ada, "log", "-1", "--format=%cI", hashes[number]).strip()
    )
    before = {1: ", 2 before HEAD", 2: ", 1 before HEAD", 3: ""}[number]
    assert re.fullmatch(rf"{hashes[number][:7]} of [-0-9]+ [0-9:]+ \+0100{before}", attempt.commit)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(tag="due"), "There is no tag due, and the course grades the commit that has it."),
        (Rule(until=datetime(2026, 1, 1, tzinfo=UTC)), "No commit is from before the deadline"),
    ],
)
def test_a_commit_that_is_not_there_is_not_guessed(
    read: Read, tmp_path: Path, rule: Rule, said: str
) -> None:
    """Without the tag, or a commit in time, there is nothing to grade, and why is said."""
    checkout(tmp_path / "subs" / "ada")
    put(tmp_path / "subs" / "bob", work())
    found = read(tmp_path / "subs", commits=by(rule))
    assert only(found, "ada").problem.startswith(said)
    assert only(found, "ada").files is None
    assert only(found, "bob").problem == ""  # a folder has no commits to choose from


@pytest.mark.parametrize(("tag", "said"), [(1, "2 before"), (3, "1 after")])
def test_a_tag_beside_head_is_told(read: Read, tmp_path: Path, tag: int, said: str) -> None:
    """As long as no rule chooses, it is said that a tag is behind or past what is graded."""
    ada = checkout(tmp_path / "subs" / "ada")
    hashes = commits(ada)
    git(ada, "tag", "due", hashes[tag])
    if tag == 3:
        git(ada, "reset", "--quiet", "--hard", hashes[2])
    (note,) = only(read(tmp_path / "subs")).notes
    assert note.startswith(f"The tag due is at {hashes[tag][:7]}, {said} the last commit, ")
    assert 'commit = "tag:due" in course.toml' in note


def test_files_that_are_not_committed_are_told(lab: Lab, read: Read, tmp_path: Path) -> None:
    """The files in the folder are graded; which of them the last commit has otherwise is said."""
    ada = checkout(tmp_path / "subs" / "ada")
    (ada / TCP).write_bytes(b"not committed")
    attempt = only(read(tmp_path / "subs"))
    assert content(lab, attempt)[TCP] == b"not committed"
    (note,) = attempt.notes
    assert f"does not have {TCP} so; the files in the folder were taken." in note


def test_a_commit_is_read_without_its_filters(lab: Lab, read: Read, tmp_path: Path) -> None:
    """No filter of the repository's is started for a commit's files, and no link is followed."""
    ada = checkout(tmp_path / "subs" / "ada")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\ncat\n")
    evil.chmod(0o755)
    (ada / ".gitattributes").write_text("*.c filter=evil\n")
    (ada / "5-udp-sock" / "udp_sock.c").unlink()
    (ada / "5-udp-sock" / "udp_sock.c").symlink_to("/etc/passwd")
    git(ada, "add", ".")
    git(ada, "commit", "--quiet", "-m", "evil")
    git(ada, "config", "filter.evil.smudge", str(evil))
    attempt = only(read(tmp_path / "subs", commits=by(Rule())))
    assert attempt.missing == ("5-udp-sock/udp_sock.c",)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "head", ["", "rubbish", "ref: refs/heads/../../../x", "ref: refs/heads/none", "0" * 40]
)
def test_a_broken_checkout_has_no_time(lab: Lab, read: Read, tmp_path: Path, head: str) -> None:
    """A repository whose HEAD says nothing is graded without a time, and that is said."""
    ada = checkout(tmp_path / "subs" / "ada")
    (ada / ".git" / "HEAD").write_text(head)
    attempt = only(read(tmp_path / "subs"))
    assert attempt.submitted is None
    assert content(lab, attempt) == work()
    assert any("no commit" in note for note in attempt.notes)


def test_another_repository_is_not_asked(read: Read, tmp_path: Path) -> None:
    """A .git that leads elsewhere is not followed."""
    other = checkout(tmp_path / "other")
    for name, make in [
        ("ada", lambda path: path.write_text(f"gitdir: {other}/.git\n")),
        ("bob", lambda path: path.symlink_to(other / ".git")),
    ]:
        make(put(tmp_path / "subs" / name, work()) / ".git")
    assert [attempt.submitted for attempt in read(tmp_path / "subs").attempts] == [None, None]


# --- the roster ----------------------------------------------------------------------

ROSTER = Roster(
    [
        Student(key="ada", name="Ada Lovelace", id="12345", login="al"),
        Student(key="zoe", name="Zoe"),
        Student(key="jg", name="Groß, Jörg"),
    ],
    {
        "jg": Said(datetime(2026, 11, 20, tzinfo=UTC)),
        "zoe": Said(datetime(2026, 11, 21, tzinfo=UTC)),
    },
)


def test_a_roster_names_students(read: Read, tmp_path: Path) -> None:
    """Students have the roster's keys and order; strangers and the absent are there as well."""
    found = read(put(tmp_path / "download", moodle()), roster=ROSTER)
    assert keys(found) == ["ada", "zoe", "jg", "ada-lovelace-12346", "eve-8", "mallory-9"]
    assert found.of("zoe") == ()
    assert only(found, "jg").submitted == datetime(2026, 11, 20, tzinfo=UTC)
    assert found.students[2].id == "7"  # what the LMS knows beyond it
    assert "Eve is not in the roster." in found.notes


def test_the_roster_of_moodle_times_its_download(read: Read, tmp_path: Path) -> None:
    """A time without a zone is one of the course's; late and draft are told where they hold."""
    roster = Roster(
        [Student(key="ada", name="Ada Lovelace", id="12345"), Student(key="eve", id="8")],
        {
            "ada": Said(datetime(2026, 7, 1, 21, 30), late=True, note="A draft."),
            "eve": Said(late=True),
        },
        ["A sentence on all."],
    )
    zone = timezone(timedelta(hours=2))
    found = read(put(tmp_path / "download", moodle()), roster=roster, zone=zone)
    ada, eve = only(found, "ada"), only(found, "eve")
    assert ada.submitted == datetime(2026, 7, 1, 19, 30, tzinfo=UTC)
    assert (ada.late, ada.notes[0]) == (True, "A draft.")
    assert (eve.submitted, eve.late) == (None, True)
    assert "A sentence on all." in found.notes
    assert "Times without a time zone were read as those of UTC+02:00." in found.notes


def test_two_of_a_name_are_not_merged_by_a_roster(read: Read, tmp_path: Path) -> None:
    """Where the roster has a name only, two who bear it are nobody there, and that is said."""
    roster = Roster([Student(key="ada", name="Ada Lovelace")])
    found = read(put(tmp_path / "download", moodle()), roster=roster)
    assert found.of("ada") == ()
    assert {"ada-lovelace-12345", "ada-lovelace-12346"} <= set(keys(found))
    assert any("12345 and 12346 have the name of ada" in note for note in found.notes)


def test_a_roster_joins_what_lms_tell_apart(read: Read, tmp_path: Path) -> None:
    """A student of Moodle's, of Canvas's and a folder are one student with three attempts."""
    put(tmp_path / "m" / "Ada Lovelace_12345_assignsubmission_file_", work())
    put(tmp_path / "c", {"lovelaceada_99_1_filter.c": b""})
    put(tmp_path / "subs" / "al", work())
    put(tmp_path / "subs" / "zoe", work())
    put(tmp_path / "late" / "zoe", work())
    put(tmp_path / "late" / "al", work())
    found = read(*(tmp_path / name for name in ("m", "c", "subs", "late")), roster=ROSTER)
    assert keys(found) == ["ada", "zoe", "jg"]
    assert len(found.of("ada")) == 4
    assert all(attempt.submitted is None for attempt in found.of("zoe"))
    assert any("zoe has 2 attempts and one time" in note for note in found.notes)


# --- groups --------------------------------------------------------------------------

GROUPS = Roster(
    [
        Student(key=key, name=key.title(), id=n)
        for key, n in (("ada", "1"), ("bob", "2"), ("cy", "45"))
    ],
    {
        "ada": Said(datetime(2026, 11, 20, tzinfo=UTC)),
        "bob": Said(datetime(2026, 11, 21, tzinfo=UTC)),
    },
    groups={"Team 1": ["ada", "bob"], "Team 2": ["cy"]},
)


@pytest.mark.parametrize("folder", ["Team 1_45_assignsubmission_file_", "team 1"])
def test_what_a_group_hands_in_is_each_members(
    lab: Lab, read: Read, tmp_path: Path, folder: str
) -> None:
    """Moodle's folder of a group has the group's number, which may be a student's, too."""
    path = put(tmp_path / "class", {f"{folder}/lab/{name}": text for name, text in work().items()})
    other = "Cy_45_assignsubmission_file_" if "_" in folder else "cy"
    put(path / other, work("cy"))
    found = read(path, roster=GROUPS)
    assert keys(found) == ["ada", "bob", "cy"]
    for key, day in (("ada", 20), ("bob", 21)):
        assert content(lab, only(found, key)) == work()
        assert only(found, key).submitted == datetime(2026, 11, day, tzinfo=UTC)
        assert only(found, key).notes == ()
    assert content(lab, only(found, "cy")) == work("cy")
    assert "1 submission is of a group: each member has the same one." in found.notes


def test_what_one_hands_in_is_the_groups_where_the_course_says_so(
    lab: Lab, read: Read, tmp_path: Path
) -> None:
    """With group_work a member's submission is an attempt of all; without, it is the member's."""
    put(tmp_path / "class" / "ada", work("ada"))
    put(tmp_path / "class" / "cy", work("cy"))
    assert read(tmp_path / "class", roster=GROUPS).of("bob") == ()
    found = read(tmp_path / "class", roster=GROUPS, group_work=True)
    assert content(lab, only(found, "bob")) == work("ada")
    assert content(lab, only(found, "ada")) == work("ada")
    assert content(lab, only(found, "cy")) == work("cy")


# --- the report ----------------------------------------------------------------------


def test_the_report(read: Read, tmp_path: Path) -> None:
    """Each attempt, and each student without one, is a row; sentences sum up."""
    put(tmp_path / "subs" / "ada", work())
    put(tmp_path / "subs" / "bob", {"filter.c": b""})
    put(tmp_path / "subs", {"eve.zip": b"rubbish"})
    roster = Roster([Student(key="ada", name="Ada"), Student(key="zoe", name="Zoe")])
    found = read(tmp_path / "subs", roster=roster)
    rows = {row.key: row for row in report.rows(found)}
    assert [row.state for row in rows.values()] == [
        "complete",
        "nothing",
        "incomplete",
        "unusable",
    ]
    assert rows["ada"].student == "Ada"
    assert rows["ada"].files == "3 of 3"
    assert rows["bob"].files == "1 of 3"
    assert rows["bob"].remarks == (f"Missing: {TCP}, {UDP}.",)
    assert rows["bob"].remarks[-1] == f"Missing: {TCP}, {UDP}."
    assert "no archive" in rows["eve"].remarks[-1]
    first, *others = report.summary(found)
    assert first == (
        "4 students, 3 submissions: 1 with all files of the lab, 1 with some missing, "
        "1 with nothing to grade."
    )
    assert "1 student handed in nothing." in others
    assert "2 submissions without a time." in others
    assert "bob is not in the roster." in others


def test_the_report_tells_times_and_lateness(read: Read, tmp_path: Path) -> None:
    """The time has its zone; LATE is shown where the LMS says no time."""
    files = blackboard("al", "Ada", "2026-11-20-21-30-00", {"filter.c": b""})
    (row,) = report.rows(read(put(tmp_path / "b", files), zone=timezone(timedelta(hours=1))))
    assert row.submitted == "2026-11-20 21:30:00 +0100"
    (row,) = report.rows(read(put(tmp_path / "c", {"ada_LATE_7_1_filter.c": b""})))
    assert row.submitted == "late"


def test_no_process_stays(read: Read, tmp_path: Path) -> None:
    """When the intake is there, the processes that made it are gone."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text().split()  # of other tests
    put(tmp_path / "subs" / "ada", work())
    read(tmp_path / "subs")
    new = set(children.read_text().split()) - set(before)
    assert all_end([os.pidfd_open(int(pid)) for pid in new])
