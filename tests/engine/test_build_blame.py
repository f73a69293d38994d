"""Whose fault a failed build is, and that advice fits the mistake it is given for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support import Student

from checker.engine import build, submission
from checker.model import Lab, ModuleBuild
from vm.kernel import Kernel

pytestmark = pytest.mark.vm

Make = Callable[..., Student]

HOOK = (
    "static unsigned int my_nf_hookfn(void *priv, struct sk_buff *skb,\n"
    "\t\t\t\t const struct nf_hook_state *state)"
)
OLD_HOOK = (
    "static unsigned int my_nf_hookfn(unsigned int hooknum, struct sk_buff *skb,\n"
    "\tconst struct net_device *in, const struct net_device *out,\n"
    "\tint (*okfn)(struct sk_buff *))"
)
BOUND = "	err = my_udp_bind();"


def make_module(lab: Lab, student: Student, name: str, kernel: Kernel) -> ModuleBuild:
    """Build one module of a student's, which must fail."""
    made = build.build_module(lab, lab.target(name), submission.read(lab, student.path), kernel)
    assert made.ko is None
    return made


@pytest.mark.parametrize(
    "mistake",
    [
        (HOOK, OLD_HOOK, "before Linux 4.4"),
        ("	return NF_ACCEPT;", "	return NF_ACCEPTED;", "does not know NF_ACCEPTED"),
        ("if (test_daddr(", "if (test_address(", "does not know test_address()"),
    ],
    ids=["old prototype", "inside the hook", "unknown function inside the hook"],
)
def test_advice_fits_what_is_wrong_with_a_hook(
    lab: Lab, stock_kernel: Kernel, student: Make, mistake: tuple[str, str, str]
) -> None:
    """The word on old prototypes is for old prototypes, not for all that fails in the hook."""
    old, new, advice = mistake
    alice = student()
    alice.replace("filter.c", old, new)
    made = make_module(lab, alice, "filter", stock_kernel)
    assert advice in made.message
    assert "1-2-netfilter/kernel/filter.c:" in made.output
    assert not made.grader_error


@pytest.mark.parametrize(
    "broken",
    [{"build": "/kernel/usr/src/none"}, {"build_mounts": {}}],
    ids=["a folder that is not there", "nothing to be seen"],
)
def test_where_nothing_compiles_it_is_the_graders_trouble(
    lab: Lab, stock_kernel: Kernel, student: Make, broken: dict[str, object]
) -> None:
    """A build tree that does not work costs no student a point."""
    kernel = replace(stock_kernel, **broken)  # type: ignore[arg-type]
    made = make_module(lab, student(), "udp_sock", kernel)
    assert made.grader_error
    assert made.message.startswith("The compiler does not work on this host.")


def test_a_function_that_is_nowhere_is_the_students_trouble(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """What only the linker finds out is shown as well, with the student's own path."""
    alice = student()
    alice.replace("udp_sock.c", BOUND, f"	extern int nowhere(void);\n\n	nowhere();\n{BOUND}")
    made = make_module(lab, alice, "udp_sock", stock_kernel)
    assert not made.grader_error
    assert 'ERROR: modpost: "nowhere" [5-udp-sock/udp_sock.ko] undefined!' in made.output


def test_a_compiler_that_is_killed_is_the_students_trouble(
    lab: Lab, stock_kernel: Kernel, student: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the solution compiles within the bounds, a source that does not is to blame."""
    monkeypatch.setattr(build, "LIMITS", replace(build.LIMITS, file_size=4 << 20))
    alice = student()
    alice.replace(
        "udp_sock.c",
        BOUND,
        f"	static char huge[16 << 20] = {{ 1 }};\n\n	barrier_data(huge);\n{BOUND}",
    )
    made = make_module(lab, alice, "udp_sock", stock_kernel)
    assert not made.grader_error
