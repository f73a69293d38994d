"""Exercise 1: a file holds the word that the module was loaded with."""

from __future__ import annotations

import pytest

from checker.engine.testbed import Module, Picks, Unmet
from vm.guest import Guest

PATH = "/proc/driver/hello"


@pytest.mark.points(9)
def check_word(module: Module, guest: Guest, picks: Picks) -> None:
    """The file holds the word that the module was loaded with."""
    word = picks.token()
    module.load(f"word={word}")
    held = guest.read(PATH)
    if held != f"{word}\n":
        raise Unmet(
            f"The module was loaded with word={word}, and {PATH} holds something else.",
            expected=repr(f"{word}\n"),
            actual=repr(held),
            log=module.kernel_says(),
        )
