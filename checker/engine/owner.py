"""Whose a line is: exercises that share a build have functions of their own in it; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from checker.model import Exercise, Names


def owner(
    exercises: Iterable[Exercise], build: str, location: str, sources: Mapping[str, str]
) -> int | None:
    """Return the number of the exercise of *build* in whose ``functions`` *location* lies.

    *location* is as "filter.c:41" (Names), *sources* the texts by the files' paths. None
    where the line is in no function that an exercise has for itself.
    """
    file, _, line = location.partition(":")
    text = sources.get(Names(sources).path(file), "")
    function = function_at(text, int(line)) if line.isdecimal() else ""
    for exercise in exercises:
        if build in exercise.builds and function in exercise.functions:
            return exercise.number
    return None


_DEFINITION = re.compile(r"^(?=[A-Za-z_])[\w\s*]*?\b(\w+)\s*\((?!.*;\s*$)")


def function_at(source: str, line: int) -> str:
    """Return the name of the C function that *line* of *source* lies in, by its layout.

    A definition begins in the first column, as the kernel's style has it.
    """
    for text in reversed(source.splitlines()[:line]):
        if match := _DEFINITION.match(text):
            return match[1]
    return ""
