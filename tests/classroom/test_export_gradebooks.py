"""Gradebooks that are filled in: Canvas's export and Moodle's worksheet, and no byte besides."""

from __future__ import annotations

import csv
import io

import pytest
from classes import absent, entry, grade

from checker.classroom.export import canvas, moodle, sheet
from checker.errors import InputError
from checker.model import Attempt, Entry, Mark, Student

# --- cells of somebody else's file --------------------------------------------------------

FILES = [
    "a,b\r\n1,2\r\n",
    '\ufeffa;b;c\n1;"2;""x""\n";3',
    "a\tb\n\n1\t\n",
    'a,"b, ""c""\r\n"\r\n"",\r\n',
    "a,b\r1,2\r",
    'Name,ab"c,\n',
    "a",
    "",
]


@pytest.mark.parametrize("text", FILES)
def test_cells_are_those_of_the_csv_module(text: str) -> None:
    """The reader agrees with Python's on quotes, delimiters, line ends and empty lines."""
    book = sheet.read(text, "book.csv")
    source = io.StringIO(text.removeprefix("\ufeff"), newline="")
    expected = [row or [""] for row in csv.reader(source, delimiter=book.delimiter)]
    assert [[cell.text for cell in row] for row in book.rows] == expected


@pytest.mark.parametrize("text", FILES)
def test_nothing_replaced_changes_nothing(text: str) -> None:
    """A file of which no cell is replaced is the same, byte for byte."""
    assert sheet.read(text, "book.csv").replace({}) == text


def test_one_cell_is_replaced() -> None:
    """The cell keeps its quotes, gets some when it needs them, and all around it stays."""
    text = '\ufeffa,b\r\n"x, y","1"\r\n  z ,2\n'
    book = sheet.read(text, "book.csv")
    assert book.replace({(1, 1): "20", (2, 1): "2,5"}) == (
        '\ufeffa,b\r\n"x, y","20"\r\n  z ,"2,5"\n'
    )


@pytest.mark.parametrize("text", ['a,b\n"open,2\n', 'a,b\n"x"y,2\n'])
def test_broken_quotes_are_refused(text: str) -> None:
    """A quote that is not closed, or a cell that goes on after it, is told with its line."""
    with pytest.raises(InputError, match=r"book\.csv, line 2: a quote is not closed"):
        sheet.read(text, "book.csv")


def test_other_encodings_are_refused() -> None:
    """A file that a spreadsheet program saved in its own encoding is refused by name."""
    assert sheet.decode("\ufeffZoë\r\n".encode(), "book.csv") == "\ufeffZoë\r\n"
    with pytest.raises(InputError, match=r"book\.csv is not UTF-8"):
        sheet.decode("Zoë".encode("latin-1"), "book.csv")


@pytest.mark.parametrize(
    ("text", "value"),
    [("100", 100), ("87.50", 87.5), ("87,50", 87.5), ("1.000,5", 1000.5), ("-", None), ("", None)],
)
def test_numbers_in_any_language(text: str, value: float | None) -> None:
    """A decimal comma is one, as Canvas reads it, and what is no number is none."""
    assert sheet.number(text) == value


# --- Canvas -------------------------------------------------------------------------------

HEAD = "Student,ID,SIS User ID,SIS Login ID,Section,Lab 0 (11),SYN logger (12),Current Score"
POLICY = ",,,,,,Manual Posting,"
POINTS = "    Points Possible,,,,,10.00,20.00,(read only)"
TEST = '"Student, Test",9999,,abcdef,Main,,,'


def book(*students: str, head: str = HEAD, points: str = POINTS, bom: str = "\ufeff") -> str:
    """Return a gradebook as Canvas exports it."""
    return bom + "\r\n".join((head, POLICY, points, *students, TEST, ""))


def row(one: Entry, *, old: str = "", name: str = "") -> str:
    """Return the row of an entry's student, with what the column says now."""
    s = one.student
    return f'"{name or s.name}",{s.id},{s.sis_id},{s.login},Main,7.00,{old},55.13'


def column(text: str, title: str = "SYN logger (12)") -> dict[str, str]:
    """Read a column back: student -> cell."""
    lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    return {line[0]: line[lines[0].index(title)] for line in lines[1:]}


ADA, BOB, ERIN = (
    entry("ada"),
    entry("bob", "compile-error", penalty=10),
    entry("erin", "grader-error"),
)


def test_canvas_cells_are_filled_and_nothing_else() -> None:
    """Points are scaled to Points Possible, and taking them out again gives the file back."""
    before = book(row(ADA, name="Lovelace, Ada"), row(BOB, old="3.00"))
    filled = canvas.fill([ADA, BOB], before, "SYN logger")
    assert column(filled.text) == {
        "": "Manual Posting",
        "    Points Possible": "20.00",
        "Lovelace, Ada": "20",
        "Bob": "10",
        "Student, Test": "",
    }
    back = filled.text.replace("Main,7.00,20,55", "Main,7.00,,55")
    assert back.replace("Main,7.00,10,55", "Main,7.00,3.00,55") == before
    assert [(c.student, c.old, c.new) for c in filled.changes] == [
        ("Ada (ada)", "", "20"),
        ("Bob (bob)", "3.00", "10"),
    ]
    assert filled.scaling == (
        "The gradebook's maximum is 20, the lab's 100: points are multiplied by 0.2.",
    )


@pytest.mark.parametrize("title", ["SYN logger", "SYN logger (12)", "12"])
def test_canvas_assignment_is_chosen_by_title_or_number(title: str) -> None:
    """Canvas's number behind the title may be left away, or be all."""
    assert len(canvas.fill([ADA], book(row(ADA)), title).changes) == 1


def test_same_points_are_no_change() -> None:
    """A cell that has the points already stays as it is written, and is counted."""
    before = book(row(ADA, old="20.00"))
    filled = canvas.fill([ADA], before, "SYN logger")
    assert (filled.text, filled.changes, filled.unchanged) == (before, (), 1)


def test_canvas_without_sis_ids_is_matched_by_login() -> None:
    """A gradebook without the SIS User ID, or an unknown ID, is matched by the next key."""
    short = HEAD.replace("SIS User ID,", "")
    known = entry("ada")
    login = known.model_copy(update={"student": Student(key="ada", login="ADA")})
    line = '"Ada",77,ada,Main,7.00,,55'
    points = "    Points Possible,,,,10.00,20.00,(read only)"
    text = "\n".join((short, points, line))
    assert column(canvas.fill([login], text, "12").text)["Ada"] == "20"


def test_canvas_with_names_in_two_columns() -> None:
    """The header LastName, FirstName is Canvas's too."""
    head = HEAD.replace("Student", "LastName,FirstName")
    points = POINTS.replace(",", ",,", 1)
    line = f"Lovelace,Ada,{ADA.student.id},,,Main,7.00,,55"
    filled = canvas.fill([ADA], "\n".join((head, points, line)), "12")
    assert column(filled.text)["Lovelace"] == "20"


def test_canvas_in_a_country_with_decimal_commas() -> None:
    """Semicolons part the cells, and numbers get the comma that the maximum has."""
    one = entry("ada", penalty=12.5)
    text = "\n".join(
        (
            HEAD.replace(",", ";"),
            "    Points Possible;;;;;10,00;100,00;(read only)",
            f"Ada;{one.student.id};;;Main;;;",
        )
    )
    filled = canvas.fill([one], text, "12")
    assert filled.text.endswith(";Main;;87,5;")
    assert filled.scaling == ()


def test_error_and_missing_leave_the_cell() -> None:
    """A grader's error, no submission and a zero for it write nothing, and are listed with why."""
    nobody = absent("zoe")
    nobody = nobody.model_copy(
        update={
            "student": nobody.student.model_copy(update={"id": "5"}),
            "mark": Mark(raw=0, penalty=0, final=0, max_score=100),
        }
    )
    before = book(row(ERIN, old="12.00"), row(nobody))
    filled = canvas.fill([ERIN, nobody], before, "SYN logger")
    assert filled.text == before
    assert [(left.student, left.why) for left in filled.kept] == [
        (
            "Erin (erin)",
            "The grader itself failed: There is no disk space left for the guest's image.",
        ),
        ("Zoe (zoe)", "Nothing was handed in."),
    ]


def test_grade_without_a_mark_is_not_written() -> None:
    """Only what the rules of the course made of a grade goes into a gradebook."""
    bare = Entry(student=ADA.student, attempt=Attempt(student="ada", grade=grade("full")))
    filled = canvas.fill([bare], book(row(ADA)), "SYN logger")
    assert filled.text == book(row(ADA))
    assert filled.kept[0].why == "The rules of the course gave no mark."


@pytest.mark.parametrize("old", ["EX", "ex", "N/A"])
def test_excused_and_not_assigned_are_kept(old: str) -> None:
    """What Canvas says instead of points is not written over."""
    filled = canvas.fill([ADA], book(row(ADA, old=old)), "SYN logger")
    assert filled.text == book(row(ADA, old=old))
    assert filled.kept


def test_who_cannot_be_placed_is_listed() -> None:
    """An entry without a row, a row without an entry; the test student is neither."""
    filled = canvas.fill([ADA, BOB], book(row(ADA), row(entry("carol"))), "SYN logger")
    assert [left.student for left in filled.without_row] == ["Bob (bob)"]
    assert [(left.student, left.why) for left in filled.without_entry] == [("Carol", "row 5")]
    told = "\n".join(filled.lines())
    assert "Graded, but with no row in the gradebook: 1\n  Bob (bob): no row has the same" in told
    assert "1 cell changed:\n  Ada (ada): nothing -> 20" in told


def test_contradicting_keys_are_ambiguous() -> None:
    """An ID of one row and a login of another write into neither."""
    mixed = ADA.student.model_copy(update={"sis_id": "", "login": "bob"})
    before = book(row(ADA), row(BOB))
    filled = canvas.fill([ADA.model_copy(update={"student": mixed})], before, "SYN logger")
    assert filled.text == before
    (left,) = filled.ambiguous
    assert left.why == "ID is that of row 4, SIS Login ID is that of row 5."
    assert filled.without_entry == ()


def test_two_that_claim_one_row_are_ambiguous() -> None:
    """Neither of two entries with one ID is written."""
    twin = entry("bob", "skeleton")
    twin = twin.model_copy(update={"student": Student(key="bob-2", id=BOB.student.id)})
    filled = canvas.fill([BOB, twin], book(row(BOB)), "SYN logger")
    assert filled.text == book(row(BOB))
    assert [left.student for left in filled.ambiguous] == ["Bob (bob)", "bob-2"]


def test_two_rows_of_one_student_are_ambiguous() -> None:
    """An ID that stands in two rows writes into neither."""
    filled = canvas.fill([BOB], book(row(BOB), row(BOB)), "SYN logger")
    assert filled.text == book(row(BOB), row(BOB))
    assert len(filled.ambiguous) == 1


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("SYN loger", r"no assignment 'SYN loger'; it has SYN logger \(12\)"),
        ("Current Score", "the column Current Score is a total that Canvas works out itself"),
        ("Section", "the column Section is not an assignment's"),
        ("", "no assignment ''"),
    ],
)
def test_canvas_column_that_cannot_be_filled_is_refused(title: str, why: str) -> None:
    """A title that is wrong, worked out by Canvas, or a student's own is refused."""
    with pytest.raises(InputError, match=why):
        canvas.fill([ADA], book(row(ADA)), title, "grades.csv")


@pytest.mark.parametrize(
    "total", ["Final Grade", "Final Score", "Current Points", "Override Score"]
)
@pytest.mark.parametrize("wanted", ["{}: SYN logger", "{}: SYN logger (12)", "12"])
def test_canvas_column_that_its_importer_drops_is_refused(total: str, wanted: str) -> None:
    """An assignment called like a total is refused with that cause and what to do."""
    head = HEAD.replace("SYN logger", f"{total}: SYN logger")
    with pytest.raises(InputError) as caught:
        canvas.fill([ADA], book(row(ADA), head=head), wanted.format(total), "grades.csv")
    assert str(caught.value) == (
        f"grades.csv: the column {total}: SYN logger (12) cannot be filled: Canvas takes each "
        f"title that holds '{total}' for a total of its own, and leaves the column out of the "
        "import. Give the assignment another name in Canvas and export the gradebook again."
    )


def test_canvas_title_with_half_of_a_totals_name_is_filled() -> None:
    """Final Lab (124) is an assignment like others."""
    head = HEAD.replace("SYN logger (12)", "Final Lab (124)")
    filled = canvas.fill([ADA], book(row(ADA), head=head), "Final Lab")
    assert column(filled.text, "Final Lab (124)")["Ada"] == "20"


def test_canvas_rows_above_points_possible_are_not_students() -> None:
    """What stands above that row stays byte for byte, even where it has a student's keys."""
    policy = row(ADA, name="Manual Posting")
    before = book(row(BOB)).replace(POLICY, policy)
    filled = canvas.fill([ADA, BOB], before, "SYN logger")
    assert [change.student for change in filled.changes] == ["Bob (bob)"]
    assert policy in filled.text


def test_canvas_title_that_two_have_is_refused() -> None:
    """Two assignments of one title are told apart by their numbers."""
    head = HEAD.replace("Lab 0", "SYN logger")
    with pytest.raises(InputError, match=r"several columns SYN logger: SYN logger \(11\), SYN"):
        canvas.fill([ADA], book(row(ADA), head=head), "SYN logger")
    filled = canvas.fill([ADA], book(row(ADA), head=head), "11")
    assert column(filled.text, "SYN logger (11)")["Ada"] == "10"


@pytest.mark.parametrize(
    "points", ["    Points Possible,,,,,10.00,(read only),(read only)", POLICY]
)
def test_read_only_column_is_not_touched(points: str) -> None:
    """A column that Canvas marks read only, or a book without the row of points, is refused."""
    with pytest.raises(InputError, match=r"not an assignment's|no row Points Possible"):
        canvas.fill([ADA], book(row(ADA), points=points), "SYN logger (12)")


def test_assignment_without_points_is_refused() -> None:
    """Without a maximum there is nothing to scale to."""
    with pytest.raises(InputError, match="has no number in the row Points Possible"):
        canvas.fill([ADA], book(row(ADA), points=POINTS.replace("20.00", "0.00")), "SYN logger")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Identifier,Full name\nParticipant 1,Ada\n"])
def test_other_files_are_no_gradebook(text: str) -> None:
    """What Canvas did not export is refused with the file's name."""
    with pytest.raises(InputError, match=r"^grades\.csv "):
        canvas.fill([ADA], text, "SYN logger", "grades.csv")


def test_hostile_names_in_a_report_are_plain() -> None:
    """A name from the file cannot write to the terminal or make a second line."""
    evil = entry("eve", name="Eve\x1b[2J\n::error::x")
    told = canvas.fill([evil], book(row(evil)), "SYN logger").lines()
    assert all("\x1b" not in line and "\n" not in line for line in told)


# --- Moodle -------------------------------------------------------------------------------

ENGLISH = (
    "Identifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments"
)
GERMAN = (
    "ID,Vollständiger Name,E-Mail-Adresse,Status,Bewertung,Bestwertung,"
    "Bewertung kann geändert werden,Zuletzt geändert (Abgabe),Zuletzt geändert (Bewertung),"
    "Feedback als Kommentar"
)
FRENCH = (
    "Identifiant,Nom complet,Adresse de courriel,Statut,Note,Note maximale,"
    "La note peut être modifiée,Dernière modification (travail remis),"
    "Dernière modification (note),Feedback par commentaires"
)
SPANISH = (
    "Identificador,Nombre completo,Dirección de correo,Estado,Calificación,Calificación máxima,"
    "La calificación puede ser cambiada,Última modificación (entrega),"
    "Última modificación (calificación),Comentarios de retroalimentación"
)
CHINESE = (
    "识别码,全名,电子邮件地址,状态,成绩,最高成绩,成绩可以改变,"
    "最后修改（学生）,最后修改（教师）,反馈评论"  # noqa: RUF001
)
UNKNOWN = "Tunniste,Nimi,Sähköposti,Tila,Arvosana,Enimmäisarvosana,Muutettavissa,A,B,Palaute"


def participant(
    one: Entry, *, old: str = "", word: str = "Participant ", maximum: str = "100.00"
) -> str:
    """Return a participant's row, with a comment over two lines, of which no byte may change."""
    s = one.student
    top = f'"{maximum}"' if "," in maximum else maximum
    return (
        f'{word}{s.id},{s.name},{s.email},"Submitted, late",{old},{top},Yes,'
        '"Friday, 20 November 2026, 9:30 PM",-,"<p>so ""far""\nso good</p>"'
    )


@pytest.mark.parametrize(
    ("head", "word", "maximum", "language"),
    [
        (ENGLISH, "Participant ", "100.00", "English"),
        (GERMAN, "Teilnehmer/in", "100,00", "German"),
        (FRENCH, "Participant", "100,00", "French"),
        (SPANISH, "Participante ", "100,00", "Spanish"),
        (CHINESE, "参与者", "100.00", "Chinese"),
        (UNKNOWN, "Osallistuja", "100,00", "the language of the titles"),
    ],
)
def test_moodle_worksheet_in_any_language(
    head: str, word: str, maximum: str, language: str
) -> None:
    """Only the cell of the grade changes, and it has a point: a comma is cut off in English."""
    ada = entry("ada", penalty=12.5)
    before = f"\ufeff{head}\n{participant(ada, word=word, maximum=maximum)}\n"
    filled = moodle.fill([ada], before)
    assert filled.text == before.replace('late",,', 'late",87.5,')
    assert [(c.old, c.new) for c in filled.changes] == [("", "87.5")]
    assert filled.scaling == ()
    assert filled.lines()[-1] == (
        "In Moodle's form for the upload choose the separator comma (,) and the encoding UTF-8. "
        f"Set your language in Moodle to {language}: it finds the columns by their titles."
    )


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolon (;)"), ("\t", "tab")])
def test_moodle_form_is_told_the_separator(mark: str, said: str) -> None:
    """What parts the cells of the worksheet is what the form has to be told."""
    text = worksheet(plain_row(ADA)).replace(",", mark)
    filled = moodle.fill([ADA], text)
    assert len(filled.changes) == 1
    assert f"choose the separator {said} and" in filled.notes[0]


def test_moodle_numbers_and_scaling() -> None:
    """Points are scaled to the maximum, an equal one is left, and the report says so."""
    text = "\n".join(
        (
            ENGLISH,
            participant(ADA, maximum="10.00", old="10.00"),
            participant(BOB, maximum="10.00"),
            participant(ERIN, maximum="10.00", old="3.00"),
        )
    )
    filled = moodle.fill([ADA, BOB, ERIN], text)
    assert [(c.student, c.new) for c in filled.changes] == [("Bob (bob)", "5")]
    assert filled.unchanged == 1
    assert [left.student for left in filled.kept] == ["Erin (erin)"]
    assert "maximum is 10, the lab's 100" in filled.scaling[0]


def test_moodle_is_matched_by_address_or_name_when_numbers_are_unknown() -> None:
    """The address, then the full name, place who came without the number of a participant."""
    by_mail = ADA.model_copy(
        update={"student": Student(key="a", email="ADA@example.org", name="Augusta")}
    )
    by_name = BOB.model_copy(update={"student": Student(key="b", name="bob")})
    text = "\n".join((ENGLISH, participant(ADA), participant(BOB)))
    filled = moodle.fill([by_mail, by_name], text)
    assert [c.new for c in filled.changes] == ["100", "50"]


def test_moodle_same_name_twice_is_ambiguous_but_for_the_number() -> None:
    """Two of one name are placed by their number, and by the name alone not at all."""
    twin = entry("ada2", name="Ada")
    text = "\n".join((ENGLISH, participant(ADA), participant(twin)))
    assert len(moodle.fill([ADA, twin], text).changes) == 2
    unknown = ADA.model_copy(update={"student": Student(key="x", name="Ada")})
    filled = moodle.fill([unknown], text)
    assert (filled.text, len(filled.ambiguous)) == (text, 1)


def test_moodle_blind_worksheet() -> None:
    """Without names and addresses the number alone tells who it is."""
    text = f"Identifier,Status,Grade,Maximum grade\nParticipant {ADA.student.id},-,,50.00\n"
    assert moodle.fill([ADA], text).text.endswith("-,50,50.00\n")
    assert moodle.fill([], text).without_entry[0].student == f"Participant {ADA.student.id} (-)"


def test_moodle_column_can_be_named() -> None:
    """Where two columns look like grades one is named; without it the sheet is refused."""
    head = "Tunniste,Arvosana,Enimmäis,Toinen,Enimmäis2"
    text = f"{head}\nOsallistuja{ADA.student.id},,10.00,,20.00\n"
    with pytest.raises(InputError, match="not certain; name it with --column"):
        moodle.fill([ADA], text)
    assert moodle.fill([ADA], text, "Toinen").text.endswith(",,10.00,20,20.00\n")
    with pytest.raises(InputError, match="has 0 columns 'Muu'"):
        moodle.fill([ADA], text, "Muu")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ENGLISH + "\n",
        ENGLISH + "\nAda,Ada,,,,100.00,Yes,-,-,\n",
        book(row(ADA)),
        ENGLISH.replace("Maximum grade", "Scale") + '\nParticipant 1,A,,,,"bad\ngood",Yes,-,-,\n',
    ],
)
def test_moodle_makes_no_worksheet_up(text: str) -> None:
    """Without a participant's rows, or with a scale in place of points, it is refused by name."""
    with pytest.raises(InputError, match=r"^sheet\.csv"):
        moodle.fill([ADA], text, "", "sheet.csv")


def test_moodle_rows_with_two_maxima_are_refused() -> None:
    """The maximum is the same in each row, or the column is none."""
    text = "\n".join((ENGLISH, participant(ADA), participant(BOB, maximum="10.00")))
    with pytest.raises(InputError, match="the same number in each row"):
        moodle.fill([ADA, BOB], text)


def worksheet(*rows: str, head: str = ENGLISH) -> str:
    """Return a worksheet with these rows."""
    return "\n".join((head, *rows, ""))


def plain_row(one: Entry, *, old: str = "", can: str = "Yes", graded: str = "-") -> str:
    """Return a participant's row without a comment."""
    s = one.student
    return f"Participant {s.id},{s.name},{s.email},Submitted,{old},100.00,{can},-,{graded},"


def test_moodle_zeros_are_named() -> None:
    """Moodle may not import a 0: who gets one is said, and who had it before is not."""
    zero, again = entry("zoe", penalty=100), entry("abe", penalty=100)
    filled = moodle.fill(
        [ADA, zero, again],
        worksheet(plain_row(ADA), plain_row(zero), plain_row(again, old="0.00")),
    )
    assert [c.new for c in filled.changes] == ["100", "0"]
    assert filled.zero == ("Zoe (zoe)",)
    assert filled.notes[-1].startswith(
        "These get 0 points: Zoe (zoe). Versions of Moodle after 5.1"
    )


@pytest.mark.parametrize(("head", "word"), [(ENGLISH, "No"), (GERMAN, "Nein"), (FRENCH, "Non")])
def test_moodle_locked_rows_are_named(head: str, word: str) -> None:
    """A grade that cannot be changed stays, and whose it is is said."""
    before = worksheet(plain_row(ADA, can=word), plain_row(BOB), head=head)
    filled = moodle.fill([ADA, BOB], before)
    assert [c.student for c in filled.changes] == ["Bob (bob)"]
    (left,) = filled.kept
    assert left.student == "Ada (ada)"
    assert left.why.startswith("The grade is locked in Moodle")


@pytest.mark.parametrize(
    ("head", "graded", "said"),
    [
        (ENGLISH, "Friday 20 November 2026", "Moodle skips rows that were graded there after"),
        (GERMAN, "Freitag 20. November 2026", "Moodle reads the time of the last grade in English"),
        (GERMAN, "-", ""),
    ],
)
def test_moodle_rows_that_it_takes_for_changed(head: str, graded: str, said: str) -> None:
    """In other languages than English Moodle skips what had a grade; which box helps is said."""
    filled = moodle.fill([ADA], worksheet(plain_row(ADA, graded=graded), head=head))
    assert len(filled.changes) == 1
    assert [note[: len(said)] for note in filled.notes[1:]] == ([said] if said else [])
    named = f"Participant {ADA.student.id} (Ada)" in " ".join(filled.notes)
    assert named == said.startswith("Moodle reads")


def comment(text: str) -> str:
    """Return the last cell of a worksheet's first participant."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))[1][-1]


def test_moodle_comments_have_the_score_of_each_check_and_the_next_step() -> None:
    """An empty cell of feedback gets HTML that PHP's reader of CSV takes as it is."""
    crash = entry("cy", "crash", penalty=1.5)
    filled = moodle.fill([crash], worksheet(plain_row(crash)))
    text = comment(filled.text)
    assert text.startswith("<p>knetlab: ")
    got = grade("crash")
    for exercise in got.exercises:
        assert f"<li>Exercise {exercise.number}: " in text
        for check in exercise.checks:
            if check.max_points:
                assert f"{check.id} " in text
    assert "What to do first: " in text
    assert not set(text) & set('"\\\r\n')
    assert filled.comments == 1
    assert "1 comment written." in filled.lines()


def test_moodle_comments_of_people_stay() -> None:
    """What a person wrote is kept and named; what knetlab wrote before is written anew."""
    filled = moodle.fill([ADA], worksheet(plain_row(ADA)))
    old = filled.text.replace("100 of 100 points.", "3 of 100 points.", 1)
    assert old != filled.text
    assert moodle.fill([ADA], old).text == filled.text
    kept = moodle.fill([ADA], worksheet(plain_row(ADA) + "Well done"))
    assert comment(kept.text) == "Well done"
    assert [left.student for left in kept.comments_kept] == ["Ada (ada)"]


def test_moodle_comments_say_nothing_of_hidden_checks() -> None:
    """A hidden check is in no comment, and neither is its id in another one's words."""
    crash = entry("cy", "crash")
    hidden = grade("crash").exercises[0].checks[0].id
    assert hidden in comment(moodle.fill([crash], worksheet(plain_row(crash))).text)
    filled = moodle.fill([crash], worksheet(plain_row(crash)), hidden={hidden: "never"})
    assert hidden not in comment(filled.text)


def test_a_grade_that_would_fall_is_marked() -> None:
    """In the lines that --dry-run prints, a grade that falls stands out and is counted."""
    told = canvas.fill([ADA, BOB], book(row(ADA), row(BOB, old="12.00")), "12").lines()
    assert "  Ada (ada): nothing -> 20" in told
    assert "  Bob (bob): 12.00 -> 10, LOWER than before" in told
    assert "1 grade would fall; look for LOWER above." in told
