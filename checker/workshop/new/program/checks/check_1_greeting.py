"""Exercise 1: a program greets whom it was told to."""

from __future__ import annotations

import pytest

from checker.engine.testbed import Picks
from checker.kit.program import Program


@pytest.mark.points(9)
def check_greeting(program: Program, picks: Picks) -> None:
    """The program prints hello and the name, and ends with exit status 0."""
    name = picks.token()
    program.start(name).expect(f"hello {name}").exits(0)
