"""Moodle's grading worksheet in the languages that are known: its titles, its times, its words.

The columns are those of assign_grading_table (mod/assign/gradingtable.php), the titles those of
Moodle's language packs: assign.php (recordid, status, submissionteam, maxgrade, gradecanbechanged,
lastmodifiedsubmission, lastmodifiedgrade, submissionstatus_draft, submittedlateshort), moodle.php
and assignfeedback_comments.php; of English the main branch of October 2025 (2025100600), of the
others the packs as published for 3.x to 4.x, where a title that changed has both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Language:
    """How a worksheet is written in one language."""

    code: str
    """As ISO 639-1 has it."""
    name: str
    """In English."""
    titles: Mapping[str, tuple[str, ...]]
    """Column -> its titles."""
    late: re.Pattern[str]
    """What the status says of work that came after the deadline."""
    draft: str
    """What the status begins with when the work was not submitted."""
    no: str = "No"
    """What stands where a grade cannot be changed."""

    def column(self, title: str) -> str:
        """Return the column that *title* names; empty for none of ours."""
        wanted = " ".join(title.split()).casefold()
        for column, titles in self.titles.items():
            if wanted in (known.casefold() for known in titles):
                return column
        return ""

    def time(self, text: str) -> datetime | None:
        """Read a time as Moodle's userdate() writes it, without a zone; None: it is none."""
        import dateparser  # noqa: PLC0415 - a third of a second, and a worksheet alone needs it

        settings = {
            "PARSERS": ["absolute-time"],
            "REQUIRE_PARTS": ["day", "month", "year"],
            "STRICT_PARSING": True,
        }
        when = dateparser.parse(text, languages=[self.code], settings=settings)
        return when if isinstance(when, datetime) else None


LANGUAGES = (
    Language(
        "en",
        "English",
        {
            "id": ("Identifier",),
            "name": ("Full name",),
            "first": ("First name",),
            "last": ("Last name", "Surname"),
            "sis_id": ("ID number",),
            "email": ("Email address",),
            "login": ("Username",),
            "status": ("Status",),
            "group": ("Group",),
            "grade": ("Grade",),
            "maximum": ("Maximum grade",),
            "changeable": ("Grade can be changed",),
            "submitted": ("Last modified (submission)",),
            "graded": ("Last modified (grade)",),
            "comments": ("Feedback comments",),
        },
        re.compile(r"\blate\b"),
        "Draft (not submitted)",
    ),
    Language(
        "de",
        "German",
        {
            "id": ("ID",),
            "name": ("Vollständiger Name",),
            "first": ("Vorname",),
            "last": ("Nachname",),
            "sis_id": ("ID-Nummer",),
            "email": ("E-Mail-Adresse",),
            "login": ("Anmeldename",),
            "status": ("Status",),
            "group": ("Gruppe",),
            "grade": ("Bewertung",),
            "maximum": ("Bestwertung",),
            "changeable": ("Bewertung kann geändert werden",),
            "submitted": ("Zuletzt geändert (Abgabe)",),
            "graded": ("Zuletzt geändert (Bewertung)",),
            "comments": ("Feedback als Kommentar",),
        },
        re.compile(r"\b(zu spät|später|verspätet)\b"),
        "Entwurf (nicht abgegeben)",
        "Nein",
    ),
    Language(
        "es",
        "Spanish",
        {
            "id": ("Identificador",),
            "name": ("Nombre completo",),
            "first": ("Nombre",),
            "last": ("Apellido(s)", "Apellidos"),
            "sis_id": ("Número de ID",),
            "email": ("Dirección de correo", "Dirección Email", "Correo electrónico"),
            "login": ("Nombre de usuario",),
            "status": ("Estado",),
            "group": ("Grupo",),
            "grade": ("Calificación",),
            "maximum": ("Calificación máxima",),
            "changeable": (
                "La calificación puede ser cambiada",
                "La calificación puede cambiarse",
            ),
            "submitted": ("Última modificación (entrega)",),
            "graded": ("Última modificación (calificación)",),
            "comments": ("Comentarios de retroalimentación",),
        },
        re.compile(r"\b(después|de retraso)\b"),
        "Borrador (no enviado)",
    ),
    Language(
        "fr",
        "French",
        {
            "id": ("Identifiant",),
            "name": ("Nom complet",),
            "first": ("Prénom",),
            "last": ("Nom", "Nom de famille"),
            "sis_id": ("Numéro d'identification",),
            "email": ("Adresse de courriel", "Adresse e-mail"),
            "login": ("Nom d'utilisateur",),
            "status": ("Statut",),
            "group": ("Groupe",),
            "grade": ("Note",),
            "maximum": ("Note maximale",),
            "changeable": ("La note peut être modifiée",),
            "submitted": ("Dernière modification (travail remis)",),
            "graded": ("Dernière modification (note)",),
            "comments": ("Feedback par commentaires",),
        },
        re.compile(r"\bretard\b"),
        "Brouillon (non remis)",
        "Non",
    ),
    Language(
        "it",
        "Italian",
        {
            "id": ("Identificativo",),
            "name": ("Nome completo",),
            "first": ("Nome",),
            "last": ("Cognome",),
            "sis_id": ("Codice identificativo",),
            "email": ("Indirizzo email",),
            "login": ("Username",),
            "status": ("Stato",),
            "group": ("Gruppo",),
            "grade": ("Valutazione",),
            "maximum": ("Valutazione massima",),
            "changeable": ("La valutazione può essere cambiata",),
            "submitted": ("Ultima modifica (consegna)",),
            "graded": ("Ultima modifica (valutazione)",),
            "comments": ("Commenti",),
        },
        re.compile(r"\bin ritardo\b"),
        "Bozza (non consegnato)",
    ),
    Language(
        "nl",
        "Dutch",
        {
            "id": ("Identificatie",),
            "name": ("Volledige naam",),
            "first": ("Voornaam",),
            "last": ("Achternaam",),
            "sis_id": ("ID-nummer",),
            "email": ("E-mailadres",),
            "login": ("Gebruikersnaam",),
            "status": ("Status",),
            "group": ("Groep",),
            "grade": ("Cijfer", "Beoordeling"),
            "maximum": ("Maximaal cijfer",),
            "submitted": ("Laatst gewijzigd (inzending)",),
            "graded": ("Laatst gewijzigd (beoordeling)", "Laatst gewijzigd (cijfer)"),
            "comments": ("Feedback",),
        },
        re.compile(r"\blaat\b"),
        "Kladwerk (nog niet ingestuurd)",
        "Nee",
    ),
    Language(
        "pt",
        "Portuguese",
        {
            "id": ("Identificador",),
            "name": ("Nome completo",),
            "first": ("Nome",),
            "last": ("Sobrenome", "Apelido"),
            "sis_id": ("Número de identificação",),
            "email": ("Endereço de email", "Endereço de e-mail"),
            "status": ("Status", "Estado"),
            "group": ("Grupo",),
            "grade": ("Nota", "Avaliação"),
            "maximum": ("Nota máxima",),
            "changeable": ("Nota pode ser alterada", "A nota pode ser alterada."),
            "submitted": ("Última modificação (envio)",),
            "graded": ("Última modificação (nota)",),
        },
        re.compile(r"\batrasad[oa]\b"),
        "Rascunho (não enviado)",
        "Não",
    ),
    Language(
        "gl",
        "Galician",
        {
            "id": ("Identificador",),
            "grade": ("Cualificación",),
            "maximum": ("Cualificación máxima",),
            "changeable": ("A cualificación pode seren cambiada",),
            "submitted": ("Última modificación (entrega)",),
            "graded": ("Última modificación (cualificación)",),
        },
        re.compile("(?!)"),
        "versión preliminar (non entregada)",
        "Non",
    ),
    Language(
        "zh",
        "Chinese",
        {
            "id": ("识别码",),
            "grade": ("成绩",),
            "maximum": ("最高成绩",),
            "submitted": ("最后修改（学生）",),  # noqa: RUF001
            "graded": ("最后修改（教师）",),  # noqa: RUF001
        },
        re.compile("(?!)"),
        "草稿",
        "否",
    ),
)
"""What is known; the first one with the most titles of a worksheet is its language."""


def language(header: Sequence[str]) -> Language | None:
    """Return the language that most titles of *header* are in; None: none of ours."""
    found = [sum(bool(one.column(title)) for title in header) for one in LANGUAGES]
    best = max(found)
    return LANGUAGES[found.index(best)] if best else None


PARTICIPANT = re.compile(r"(\D*)(\d+)")
"""What an identifier says: the word for a participant, in any language, and the number."""


def titles(column: str) -> tuple[str, ...]:
    """Return what *column* is called in all of them."""
    return tuple(dict.fromkeys(t for one in LANGUAGES for t in one.titles.get(column, ())))


def is_worksheet(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Say whether the first column of *rows* has Moodle's identifiers, in whatever language."""
    words = set()
    for row in rows:
        found = PARTICIPANT.fullmatch(row[0].strip() if row else "")
        words.add(found[1].strip() if found else "")
    return bool(header) and len(words) == 1 and "" not in words
