"""One grade as Autolab's autoresult: the last line that an autograder prints.

The format is that of Autolab's "Guide for Lab Authors", section "Writing Autograders". Its
parser (parseAutoresult) puts quotes around whatever word stands before a colon, and gives 0 for
each problem when it finds no object ``scores``.
"""

from __future__ import annotations

import json
from typing import Any

from checker.classroom.export.entries import graded
from checker.model import Entry
from checker.points import rounded


def render(entry: Entry, *, scoreboard: bool = False) -> str:
    """Return the entry as one line: points by problem, ``exercise-1`` and so on.

    The problems must have these names in Autolab. Its points are those of the checks, as Autolab
    takes penalties off itself. With *scoreboard* come its columns: the points of each
    exercise and their sum. No text of a check is in it. Without a grade there are no scores,
    so that every problem stays as it was.
    """
    grade = graded(entry)
    scores = {f"exercise-{e.number}": rounded(e.score) for e in grade.exercises} if grade else {}
    results: dict[str, Any] = {"scores": scores}
    if scoreboard and grade:
        results["scoreboard"] = [*scores.values(), rounded(sum(scores.values()))]
    return json.dumps(results, allow_nan=False) + "\n"
