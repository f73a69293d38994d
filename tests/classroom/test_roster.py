"""The roster: whom its rows mean in every LMS's spelling, and whom it does not guess."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from checker.classroom.intake import roster
from checker.classroom.intake.roster import Person, Roster, Said, make_keys
from checker.errors import InputError
from checker.model import Student


def load(tmp_path: Path, text: str | bytes) -> Roster:
    """Read a roster with this text."""
    path = tmp_path / "roster.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return roster.load(path)


def students(tmp_path: Path, text: str | bytes) -> list[dict[str, str]]:
    """Return the students of a roster with this text, without empty fields."""
    found = load(tmp_path, text).students
    return [{k: v for k, v in student.model_dump().items() if v} for student in found]


OURS = {
    "key": "ada",
    "name": "Ada Lovelace",
    "id": "7",
    "sis_id": "s1",
    "login": "al",
    "email": "a@x.org",
}


def test_our_own_columns(tmp_path: Path) -> None:
    """Every column of ours is read, in any order and case."""
    text = "KEY,Email,login,SIS_ID,id,Name\nada,a@x.org,al,s1,7,Ada Lovelace\n"
    assert students(tmp_path, text) == [OURS]


def test_canvas(tmp_path: Path) -> None:
    """Canvas's gradebook is a roster; its rows that are none of a student are left out."""
    text = (
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (99)\n"
        "    Points Possible,,,,,100\n"
        '"Lovelace, Ada",7,s1,al,A,\n'
        '"Student, Test",9,,abc,A,\n'
    )
    expected = {
        "key": "lovelace-ada-7",
        "name": "Lovelace, Ada",
        "id": "7",
        "sis_id": "s1",
        "login": "al",
    }
    assert students(tmp_path, text) == [expected]


def test_moodle_worksheet(tmp_path: Path) -> None:
    """Moodle's grading worksheet tells the number that its downloads have in their names."""
    text = "Identifier,Full name,ID number,Email address,Grade\nParticipant 12,Ada,s1,a@x.org,\n"
    expected = {"key": "ada-12", "name": "Ada", "id": "12", "sis_id": "s1", "email": "a@x.org"}
    assert students(tmp_path, text) == [expected]


def test_moodle_participants(tmp_path: Path) -> None:
    """First names and surnames make a name."""
    text = "First name,Surname,Email address\nAda,Lovelace,a@x.org\n"
    assert students(tmp_path, text)[0]["name"] == "Ada Lovelace"


def test_blackboard_and_gradescope(tmp_path: Path) -> None:
    """Blackboard's and Gradescope's spellings are known as well."""
    text = "Last Name\tFirst Name\tUsername\tStudent ID\nLovelace\tAda\tal\ts1\n"
    assert students(tmp_path, text)[0]["login"] == "al"
    text = "First Name,Last Name,SID,Email\nAda,Lovelace,s1,a@x.org\n"
    assert students(tmp_path, text)[0]["sis_id"] == "s1"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_as_programs_save_it(tmp_path: Path, encoding: str, delimiter: str) -> None:
    """A byte-order mark, Excel's encoding and delimiters make no difference."""
    text = 'name,email\r\n"Jörg, Groß",j@x.org\r\n'
    text = text.replace("name,", f"name{delimiter}").replace('",', f'"{delimiter}')
    expected = {"name": "Jörg, Groß", "email": "j@x.org"}
    (found,) = students(tmp_path, text.encode(encoding))
    assert found.items() >= expected.items()


def test_excel_says_its_delimiter(tmp_path: Path) -> None:
    """A first line sep=; is Excel's, not the header."""
    assert students(tmp_path, "sep=;\r\nname;id\r\nAda;7\r\n")[0]["id"] == "7"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no column"),
        ("colour,size\nred,1\n", "no column"),
        ("name\n", "no students"),
        ("name,id\nAda,7\nBob,7\n", "lines 2 and 3 have the same id,"),
        ("name,email\nAda,a@x.org\nBob,A@X.org\n", "the same email"),
        ("name\nAda\nAda\n", "the same name and nothing else"),
        ("name,key\nAda,../x\n", "cannot name a file"),
        ("name,key\nAda,a\nBob,a\n", "the same key"),
        ("name,submitted\nAda,yesterday\n", "line 2.*no time"),
        ('name,id\n"' + "x" * 200_000 + '",7\n', "line"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, match: str) -> None:
    """A roster that does not tell who is who is refused, naming the file and the line."""
    with pytest.raises(InputError, match=match) as caught:
        load(tmp_path, text)
    assert "roster.csv" in str(caught.value)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    """A roster that cannot be read is bad input."""
    with pytest.raises(InputError, match="cannot be read"):
        roster.load(tmp_path / "none.csv")


def test_a_student_in_two_sections_is_one(tmp_path: Path) -> None:
    """Two rows that say the same of somebody with an id are one student."""
    assert len(students(tmp_path, "name,id,section\nAda,7,A\nAda,7,B\n")) == 1


def test_two_of_a_name_stay_two(tmp_path: Path) -> None:
    """Students with the same name and other ids have keys of their own."""
    found = students(tmp_path, "name,id\nAda Lovelace,7\nAda Lovelace,8\n")
    assert [student["key"] for student in found] == ["ada-lovelace-7", "ada-lovelace-8"]


def test_times(tmp_path: Path) -> None:
    """A column submitted gives times, with their zone."""
    text = "name,key,submitted\nAda,ada,2026-11-20T21:30:00+01:00\nBob,bob,2026-11-20T20:30Z\n"
    text += "Cy,cy,\n"
    said = load(tmp_path, text).said
    expected = Said(datetime.fromisoformat("2026-11-20T20:30:00+00:00"))
    assert said == {"ada": expected, "bob": expected}


def test_times_without_a_zone_are_read(tmp_path: Path) -> None:
    """A time without a zone is one of the course's, which the intake puts to it."""
    said = load(tmp_path, "name,key,submitted\nAda,ada,2026-11-20T21:30:00\n").said
    assert said["ada"].submitted == datetime(2026, 11, 20, 21, 30)


ENGLISH = """Identifier,Full name,ID number,Email address,Status,Grade,Maximum grade,Grade can be \
changed,Last modified (submission),Last modified (grade),Feedback comments
Participant 101,Ada Lovelace,s1,a@x.org,"Submitted for grading - ",,100.00,Yes,\
"Friday, 20 November 2026, 9:30 PM",-,
Participant 102,Bob Late,s2,b@x.org,Submitted for grading - 1 day 2 hours late - Graded,5.00,\
100.00,Yes,"Sunday, 22 November 2026, 1:05 AM","Monday, 23 November 2026, 8:00 AM",
Participant 103,Cy Draft,s3,c@x.org,Draft (not submitted),,100.00,Yes,"Friday, 3 April 2026, \
12:05 PM",-,
Participant 104,Zoe None,s4,z@x.org,No submission - Assignment is overdue by: 2 days,,100.00,Yes,\
-,-,
"""

GERMAN = """ID;"Vollständiger Name";E-Mail-Adresse;Status;Bewertung;Bestwertung;"Bewertung kann \
geändert werden";"Zuletzt geändert (Abgabe)";"Zuletzt geändert (Bewertung)";"Feedback als Kommentar"
Teilnehmer/in101;"Ada Lovelace";a@x.org;"Zur Bewertung abgegeben";;100,00;Ja;"Freitag, 20. \
November 2026, 21:30";-;
Teilnehmer/in102;"Bob Late";b@x.org;"Zur Bewertung abgegeben - 1 Tag 2 Stunden zu spät - \
Bewertet";5,00;100,00;Ja;"Sonntag, 22. November 2026, 01:05";"Montag, 23. November 2026, 08:00";
Teilnehmer/in103;"Cy Draft";c@x.org;"Entwurf (nicht abgegeben)";;100,00;Ja;"Freitag, 3. April \
2026, 12:05";-;
Teilnehmer/in104;"Zoe None";z@x.org;"Keine Abgabe";;100,00;Ja;-;-;
"""

SPANISH = """Identificador\tNombre completo\tDirección de correo\tEstado\tCalificación\t\
Calificación máxima\tLa calificación puede ser cambiada\tÚltima modificación (entrega)\t\
Última modificación (calificación)
Participante 101\tAda Lovelace\ta@x.org\tEnviado para calificar\t\t100,00\tSí\tviernes, 20 de \
noviembre de 2026, 21:30\t-
Participante 102\tBob Late\tb@x.org\tEnviado para calificar - 1 día 2 horas después - Calificado\t\
5,00\t100,00\tSí\tdomingo, 22 de noviembre de 2026, 01:05\tlunes, 23 de noviembre de 2026, 08:00
Participante 103\tCy Draft\tc@x.org\tBorrador (no enviado)\t\t100,00\tSí\tviernes, 3 de abril de \
2026, 12:05\t-
Participante 104\tZoe None\tz@x.org\tSin entrega\t\t100,00\tSí\t-\t-
"""


@pytest.mark.parametrize(
    ("text", "draft"),
    [
        (ENGLISH, "Draft (not submitted)"),
        (GERMAN, "Entwurf (nicht abgegeben)"),
        (SPANISH, "Borrador (no enviado)"),
    ],
)
def test_moodle_worksheet_in_its_languages(tmp_path: Path, text: str, draft: str) -> None:
    """The worksheet tells who, when, what was late and what is a draft, in each language."""
    found = load(tmp_path, text)
    assert [student.key for student in found.students] == [
        "ada-lovelace-101",
        "bob-late-102",
        "cy-draft-103",
        "zoe-none-104",
    ]
    assert found.students[0].email == "a@x.org"
    assert found.said == {
        "ada-lovelace-101": Said(datetime(2026, 11, 20, 21, 30), late=False),
        "bob-late-102": Said(datetime(2026, 11, 22, 1, 5), late=True),
        "cy-draft-103": Said(
            datetime(2026, 4, 3, 12, 5), late=False, note=f"Moodle's worksheet has it as {draft!r}."
        ),
        "zoe-none-104": Said(late=False),
    }
    assert found.notes == ()


def test_moodle_participants_in_german(tmp_path: Path) -> None:
    """The list of participants in another language is no list of strangers."""
    text = "Vorname;Nachname;ID-Nummer;E-Mail-Adresse\nAda;Lovelace;s1;a@x.org\n"
    expected = {
        "name": "Ada Lovelace",
        "sis_id": "s1",
        "email": "a@x.org",
        "key": "ada-lovelace-s1",
    }
    assert students(tmp_path, text) == [expected]


def test_moodle_worksheet_in_a_language_that_is_not_known(tmp_path: Path) -> None:
    """Numbers and names are found by where they stand; that times are not read is said."""
    text = "Tunniste,Koko nimi,Tila,Arvosana\nOsallistuja 7,Ada,Palautettu,\n"
    found = load(tmp_path, text)
    assert [(s.key, s.id, s.name) for s in found.students] == [("ada-7", "7", "Ada")]
    (note,) = found.notes
    assert "in a language that is not known here: its times were not read" in note


def test_times_that_a_spreadsheet_rewrote_are_not_guessed(tmp_path: Path) -> None:
    """3/4 may be in March or in April: such times are none, and how many is said."""
    text = ENGLISH.replace('"Friday, 3 April 2026, 12:05 PM"', "3/4/2026 12:05")
    found = load(tmp_path, text)
    assert found.said["cy-draft-103"].submitted is None
    (note,) = found.notes
    assert "of the times of submission 1 could not be read, such as '3/4/2026 12:05'" in note


def test_groups(tmp_path: Path) -> None:
    """A column group tells who is in which; a student may be in two."""
    text = "name,key,group\nAda,ada,Team 1\nBob,bob,Team 1\nCy,cy,\nAda,ada,Team 2\n"
    found = load(tmp_path, text)
    assert found.groups == {"Team 1": ("ada", "bob"), "Team 2": ("ada",)}
    assert found.group("team 1") == ("ada", "bob")
    assert found.group("Team 3") == found.group("Ada") == found.group("") == ()


def test_groups_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Its rows are students of the roster, by whatever tells them; strangers are refused."""
    whole = load(tmp_path, "name,id,login\nAda Lovelace,7,al\nBob Smith,8,bs\n")
    groups = tmp_path / "groups.csv"
    groups.write_text("group;login\nTeam 1;al\nTeam 1;bs\n")
    assert whole.with_groups(groups).groups == {"Team 1": ("ada-lovelace-7", "bob-smith-8")}
    groups.write_text("group,login\nTeam 1,zoe\n")
    with pytest.raises(InputError, match=r"groups\.csv: zoe is not in the roster\. Fix one of"):
        whole.with_groups(groups)
    groups.write_text("login\nal\n")
    with pytest.raises(InputError, match=r"groups\.csv has no groups"):
        whole.with_groups(groups)


def test_moodle_worksheet_of_group_submissions(tmp_path: Path) -> None:
    """Moodle's column Group, in its languages, is the roster's."""
    for status, group in (("Status", "Group"), ("Status", "Gruppe"), ("Statut", "Groupe")):
        text = f"ID,Full name,{status},{group}\nParticipant 7,Ada,x,A\nParticipant 8,Bob,x,A\n"
        text = text if group == "Group" else text.replace("Full name", "Vollständiger Name")
        text = text if group != "Groupe" else text.replace("Vollständiger Name", "Nom complet")
        assert load(tmp_path, text).groups == {"A": ("ada-7", "bob-8")}


def test_nothing_in_a_roster_reaches_a_terminal(tmp_path: Path) -> None:
    """Control characters in a cell are replaced."""
    (found,) = students(tmp_path, "name,id\nAd\x1b[31ma\u202e,7\n")
    assert found["name"].isprintable()


# --- who is whom ---------------------------------------------------------------------

CLASS = Roster(
    [
        Student(key="ada", name="Ada Lovelace", id="7", sis_id="s1", login="al", email="ada@x.org"),
        Student(key="bob", name="Bob Smith", id="8", login="bs"),
        Student(key="bob2", name="Smith, Bob", id="9", login="bs2"),
        Student(key="eve", name="Groß, Jörg Peter"),
    ]
)


@pytest.mark.parametrize(
    ("person", "key"),
    [
        (Person(id="7", lms="moodle"), "ada"),
        (Person(sis_id="S1", lms="gradescope"), "ada"),
        (Person(login="al", lms="blackboard"), "ada"),
        (Person(email="Ada@X.org", lms="gradescope"), "ada"),
        (Person(name="Ada Lovelace", lms="moodle"), "ada"),
        (Person(name="ada  lovelace", lms="moodle"), "ada"),
        (Person(name="lovelaceada", id="4711", lms="canvas"), "ada"),
        (Person(name="großjörgpeter", id="4712", lms="canvas"), "eve"),
        (Person(name="Jörg Peter Groß", lms="moodle"), "eve"),
        (Person(name="al"), "ada"),  # a folder, called by whatever
        (Person(name="s1"), "ada"),
        (Person(name="ada"), "ada"),
        (Person(name="Lovelace, Ada"), "ada"),
        (Person(name="Bob Smith", id="9", lms="moodle"), "bob2"),
    ],
)
def test_a_person_is_found(person: Person, key: str) -> None:
    """Ids count first, then a name in any spelling that only one student has."""
    match = CLASS.match(person)
    assert match.student is not None, match.why_not
    assert match.student.key == key
    assert not match.why_not


@pytest.mark.parametrize(
    ("person", "why"),
    [
        (Person(name="Bob Smith", lms="moodle"), "could be bob or bob2"),
        (Person(name="smithbob", id="4711", lms="canvas"), "could be bob or bob2"),
        (Person(name="Zoe", lms="moodle"), "not in the roster"),
        (Person(name="al", lms="moodle"), "not in the roster"),  # a name one can choose
        (Person(name="Zoe Jones", id="7", lms="moodle"), "Ada Lovelace's in the roster"),
    ],
)
def test_nobody_is_guessed(person: Person, why: str) -> None:
    """Two of a name, strangers, and a number that is somebody else's are said."""
    match = CLASS.match(person)
    assert match.student is None
    assert why in match.why_not


# --- keys ----------------------------------------------------------------------------

NAMES = [
    *("alice", "Alice", "ALICE", "Ada Lovelace", "ada-lovelace", "Ada_Lovelace", "Jörg", "Jorg"),
    *("李雷", "韩梅", "../x", "x", "..", ".", "", "a/b", "a\\b", "CON", "-rf", "x" * 300),
    *("x" * 301, "a\nb", "a\x1b[31m", os.fsdecode(b"al\xffice"), "\u202ebob", "$(id)"),
]


def test_keys_are_safe_and_unique() -> None:
    """Whatever students are called, keys are different, short, and plain file names."""
    persons = [Person(name=name) for name in NAMES]
    persons += [Person(name=name, id=number, lms="moodle") for name in NAMES for number in "12"]
    persons += [Person(login=name, lms="blackboard") for name in NAMES]
    keys = make_keys(persons)
    assert len(set(keys.values())) == len(keys) == len(persons)
    for key in keys.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,89}", key), key


def test_keys_do_not_depend_on_the_others() -> None:
    """A student's key is the same when more hand in, in any order."""
    few = [Person(name="alice"), Person(name="Ada Lovelace", id="7", lms="moodle")]
    more = [Person(name="Alice"), Person(name="Ada Lovelace", id="8", lms="moodle"), *few[::-1]]
    first, second = make_keys(few), make_keys(more)
    assert first == {person: second[person] for person in few}
    assert list(first.values()) == ["alice", "ada-lovelace-7"]


def test_keys_leave_those_of_the_roster_alone() -> None:
    """A stranger called as somebody's key is gets another."""
    (key,) = make_keys([Person(name="alice")], taken=["alice"]).values()
    assert key.startswith("alice-")
