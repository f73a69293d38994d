"""A student's own page: the grade with its mark, or why there is none."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime

from checker.model import Entry
from checker.report import html, templates, text


def render(
    entry: Entry,
    *,
    lab: str,
    sources: Mapping[str, str] = html.NO_SOURCES,
    hidden: frozenset[str] = frozenset(),
    now: datetime | None = None,
) -> str:
    """Return the page of *entry*, UTF-8 when written.

    *lab* is its name or title. *sources* and *hidden* are as for html.render(): the
    student's files, and the ids of the checks that are not shown. *now* is the date of a page
    without a grade.
    """
    name = entry.student.name or entry.student.key
    attempt = entry.attempt
    if attempt and attempt.grade:
        return html.render(
            attempt.grade,
            sources=sources,
            mark=entry.mark,
            hidden=hidden,
            name=name,
            lab=lab,
            submitted=attempt.submitted,
        )
    return templates.render(
        "no_grade.html.j2",
        styles=html.STYLES,
        lab=text.plain(lab),
        name=text.plain(name),
        mark=text.clean(entry.mark) if entry.mark else None,
        submitted=html.moment(attempt.submitted if attempt else None),
        now=html.moment(now),
        problem=text.plain(why_no_grade(entry)),
        listing=[text.plain(path) for path in attempt.listing] if attempt else [],
    )


def why_no_grade(entry: Entry) -> str:
    """Return a sentence for an entry that has no grade."""
    if entry.attempt is None:
        return "Nothing was handed in."
    return entry.attempt.problem or "What was handed in has not been graded yet."


def file_name(key: str) -> str:
    """Return a file name for the page of the student *key*, the same in every run.

    It has small letters, digits and hyphens alone, so that it is safe on every file system
    and in a link, and ends in a hash of the key, so that no two students share one.
    """
    ascii_ = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_)[:40].strip("-") or "student"
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{slug}-{digest[:10]}.html"
