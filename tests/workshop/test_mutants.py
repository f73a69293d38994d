"""Wrong solutions fail the check that must catch them; right ones in other idioms pass.

``make test`` tries the sample of ``knetlab selftest --sample`` on the stock
kernel, and a mutant for each feature of the debug kernel; ``make test ARGS='-m
slow'`` the others. ``make selftest`` tries all, on every kernel.
"""

from __future__ import annotations

import pytest

from checker.lab import load
from checker.model import Lab
from checker.workshop import selftest
from checker.workshop.selftest import Trial
from vm.kernel import Kernel

pytestmark = pytest.mark.vm

ALL = [trial for trial in selftest.plan(load("networking")) if trial.mutant]
SAMPLE = {trial.name for trial in selftest.plan(load("networking"), sample=True)}


@pytest.mark.parametrize(
    "trial",
    [
        pytest.param(trial, id=trial.name, marks=() if trial.name in SAMPLE else pytest.mark.slow)
        for trial in ALL
    ],
)
def test_mutants_are_caught_and_idioms_are_right(
    trial: Trial, lab: Lab, stock_kernel: Kernel
) -> None:
    """A wrong solution is caught by its check alone; a right one has its points."""
    outcome = selftest.attempt(trial, lab, stock_kernel)
    if outcome.verdict == "left out":
        pytest.skip(outcome.what)
    assert outcome.verdict not in selftest.TROUBLES, f"{outcome.expected}\n{outcome.what}"


def _one_for_each_feature() -> dict[str, Trial]:
    """The first mutant that needs each feature of a kernel."""
    first: dict[str, Trial] = {}
    for trial in ALL:
        for need in trial.mutant.needs if trial.mutant else ():
            first.setdefault(need, trial)
    return first


@pytest.mark.parametrize("feature", sorted(_one_for_each_feature()))
def test_the_debug_kernel_tells_what_stock_cannot(
    feature: str, lab: Lab, debug_kernel: Kernel
) -> None:
    """For each feature that mutants need, one of them is caught where the kernel has it."""
    outcome = selftest.attempt(_one_for_each_feature()[feature], lab, debug_kernel)
    assert outcome.verdict == "caught", f"{outcome.expected}\n{outcome.what}"
