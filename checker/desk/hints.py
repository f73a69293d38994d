"""Hints in steps: each call shows the next one, from a nudge to nearly there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from checker.desk import progress
from checker.language import say
from checker.model import Exercise, Lab
from checker.report.text import one_line


@dataclass(frozen=True)
class Hint:
    """The hint *text*, number *step* of *steps*, from 1 on."""

    text: str
    step: int
    steps: int


def next_one(lab: Lab, folder: Path, exercise: Exercise, *, anew: bool = False) -> Hint:
    """Return the next hint of *exercise* and keep that it was shown; the last one stays.

    With *anew* it is the first. What was shown is kept for each folder of a student's, until
    the exercise is solved (progress.py).
    """
    texts = [exercise.hint, *exercise.hints]
    before = 0 if anew else progress.load(lab, folder).hints.get(exercise.number, 0)
    step = min(before + 1, len(texts))
    progress.set_hints(lab, folder, exercise.number, step)
    return Hint(texts[step - 1].strip(), step, len(texts))


def told(exercise: Exercise, hint: Hint) -> Text:
    """Return *hint* as it is shown, and how to get the one after it."""
    head = say(f"Exercise {exercise.number}, {exercise.title}, hint {hint.step} of {hint.steps}")
    text = Text.assemble((head, "bold"), f"\n{say(one_line(hint.text))}")
    if hint.step == hint.steps:
        more = say(
            "This was the last hint. Read the handout and the first failure again. "
            f"`make hint EX={exercise.number} RESTART=1` begins again with the first hint."
        )
        text.append(f"\n{more}", "dim")
    return text
