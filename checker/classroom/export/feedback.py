"""Each student's page in a zip that an LMS hands out as feedback files.

Moodle's form "Upload multiple feedback files in a zip" reads names as its download has them,
``Full name_12345_assignsubmission_file_/page.html``: the second of the parts between underscores is
the participant's number (is_valid_filename_for_import in mod/assign/feedback/file/importziplib.php,
4.x; from 4.1 on without the last underscore, and both are taken). A group's folder has the group's
number there, which may be some participant's, so that a group's page goes to each member.

Canvas's "Upload Submissions" takes ``lovelaceada_4711_815_filter.c``: the first two parts that are
numbers are the user and an attachment of the submission; a file without an attachment of theirs is
ignored (infer_comment_context_from_filename in app/models/abstract_assignment.rb, 2025). It shows
the page under the name of that attachment. So Canvas's own download has to be at hand.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from checker.classroom.export.entries import who
from checker.classroom.export.gradebook import Left
from checker.classroom.intake import lms
from checker.model import Entry

PAGE = "knetlab.html"


@dataclass(frozen=True)
class Page:
    """A student's page."""

    entry: Entry
    html: str


@dataclass(frozen=True)
class Zipped:
    """A zip of pages: its bytes, how many are in it, and who has none there."""

    data: bytes
    pages: int
    left: tuple[Left, ...]


def moodle(pages: Iterable[Page], download: Sequence[str] = ()) -> Zipped:
    """Return *pages* for Moodle; the *download* is not needed, as its names are known."""
    files, left = {}, []
    for page in pages:
        student = page.entry.student
        if student.id.isdecimal():
            # an underscore more would put another part where Moodle looks for the number
            name = re.sub(r"[_/\\\x00-\x1f]+", " ", student.name).strip() or "Participant"
            files[f"{name}_{student.id}_assignsubmission_file_/{PAGE}"] = page.html
        else:
            why = (
                "no number of a participant is known: `grade --roster` with the worksheet tells it"
            )
            left.append(Left(student=who(page.entry), why=why))
    return Zipped(_zip(files), len(files), tuple(left))


def canvas(pages: Iterable[Page], download: Sequence[str]) -> Zipped:
    """Return *pages* for Canvas, named after files of its *download*."""
    known: dict[str, str] = {}
    for name in sorted(download):
        base = PurePosixPath(name).name
        piece = lms.canvas(base, False)
        if piece and not piece.text:
            known.setdefault(piece.person.id, base)
    files, left = {}, []
    for page in pages:
        found = known.get(page.entry.student.id)
        if found:
            files[f"{PurePosixPath(found).stem}.html"] = page.html
        else:
            left.append(Left(student=who(page.entry), why="no file in the download is theirs"))
    return Zipped(_zip(files), len(files), tuple(left))


def _zip(files: Mapping[str, str]) -> bytes:
    """Return a zip of *files*, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in sorted(files.items()):
            made.writestr(
                zipfile.ZipInfo(name), text.encode("utf-8", "replace"), zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()
