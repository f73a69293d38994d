"""The networking lab's remarks: what works, and what would be better; they cost no points."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from support import ROOT, Student

from checker.engine import grading, submission
from checker.kit.module_file import ModuleFile
from checker.model import Grade, Lab
from vm.kernel import Kernel

CHECKS = ROOT / "labs" / "networking" / "checks"

Make = Callable[..., Student]


@pytest.fixture(scope="module")
def better() -> Iterator[ModuleType]:
    """The lab's module of that name, found as the lab's checks find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKS)
        import better  # type: ignore[import-not-found]

        yield better
        del sys.modules["better"]


FILTER = "1-2-netfilter/kernel/filter.c"
BOUND = frozenset({"sock_create_kern", "kernel_bind", "kernel_listen"})


def imports(*names: str) -> ModuleFile:
    """Return a file that calls *names*."""
    return ModuleFile(imports=frozenset(names))


@pytest.mark.parametrize(
    ("file", "exercise", "words"),
    [
        (ModuleFile(unmarked={"init": "my_init"}), 1, "Write __init before my_init()"),
        (
            ModuleFile(unmarked={"init": "up", "exit": "down"}),
            3,
            "Write __init before up() and __exit before down()",
        ),
        (ModuleFile(visible=("my_nf_hookfn",)), 1, "Write static before what only this file uses"),
        (ModuleFile(info=frozenset({"license"})), 5, "Add a line MODULE_DESCRIPTION"),
        (imports("_raw_spin_lock_bh"), 2, "takes a lock (spin_lock_bh())"),
        (imports("mutex_lock"), 2, "takes a lock (mutex_lock())"),
        (imports("sock_create", "kernel_bind"), 5, "sock_create_kern(&init_net, ...)"),
        (imports("sock_create_kern"), 3, "in place of sock->ops->bind()"),
    ],
)
def test_what_the_file_says(
    better: ModuleType, file: ModuleFile, exercise: int, words: str
) -> None:
    """What init and exit are marked with, what is visible, and which functions are called."""
    told = [said for said in better._all(file, {}, exercise) if said]
    assert len(told) == 1
    assert words in told[0]


@pytest.mark.parametrize(
    ("file", "exercise"),
    [
        (ModuleFile(imports=BOUND, info=frozenset({"description"})), 3),
        (imports("sock_create_kern", "kernel_sendmsg"), 5),
        (imports("mutex_lock"), 1),
        (ModuleFile(), 2),
    ],
)
def test_what_is_as_it_should_be_gets_no_remark(
    better: ModuleType, file: ModuleFile, exercise: int
) -> None:
    """The usual calls, a datagram's socket that is not bound, a file that says nothing."""
    assert not "".join(better._all(file, {}, exercise))


def test_an_address_that_is_simply_assigned(better: ModuleType) -> None:
    """Without WRITE_ONCE(), a lock or the like; a word in a comment does not count."""
    plain = {FILTER: "/* no WRITE_ONCE() */\nvoid f(void) { ioctl_set_addr = addr; }\n"}
    assert "Store the address with WRITE_ONCE()" in better.once(ModuleFile(), plain)
    for safe in ("WRITE_ONCE(ioctl_set_addr, addr);", "atomic_set(&a, addr);", "xchg(&a, addr);"):
        assert not better.once(ModuleFile(), {FILTER: f"void f(void) {{ {safe} }}"})
    assert not better.once(imports("mutex_lock"), plain)
    assert not better.once(ModuleFile(), {})


def test_a_hook_that_is_called_for_ipv6_too(better: ModuleType) -> None:
    """NFPROTO_INET is told with its line; NFPROTO_IPV4 and a word in a comment are right."""
    source = "static struct nf_hook_ops ops = {\n\t.pf = NFPROTO_INET,\n};\n"
    assert f"{FILTER}:2 registers the hook with NFPROTO_INET" in better.every_family(
        {FILTER: source}
    )
    for right in ("NFPROTO_IPV4", "PF_INET", "PF_INET /* or NFPROTO_INET */"):
        assert not better.every_family({FILTER: source.replace("NFPROTO_INET", right)})


def test_a_buffer_that_nothing_needs(better: ModuleType) -> None:
    """Its place, name and size are told; a small one is nobody's business."""
    source = "int x;\nvoid f(void)\n{\n\tchar text[256];\n}\n"
    assert f"{FILTER}:4 has a buffer text of 256 bytes" in better.buffers({FILTER: source})
    assert not better.buffers({FILTER: source.replace("256", "16")})


def test_a_line_that_is_logged_as_trouble(better: ModuleType) -> None:
    """A printk() without a level is a warning; an alert is one on purpose; info is right."""
    assert "printk() without a level does that" in better.level(4)
    assert '"alert"' in better.level(1)
    assert "printk() without" not in better.level(1)
    assert not better.level(6)


def graded(lab: Lab, kernel: Kernel, student: Student, exercises: set[int], select: str) -> Grade:
    """Grade some checks of a student's."""
    options = grading.Options(
        exercises=frozenset(exercises), ways=False, select=select, seed=1, jobs=1
    )
    return grading.grade_submission(lab, submission.read(lab, student.path), kernel, options)


@pytest.mark.vm
def test_a_bad_pointer_that_clears_the_address_is_told_and_costs_nothing(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """copy_from_user() straight into the address writes zeros there where it fails."""
    ann = student("ann")
    ann.replace("filter.c", "copy_from_user(&addr,", "copy_from_user(&ioctl_set_addr,")
    ann.replace("filter.c", "\t\tWRITE_ONCE(ioctl_set_addr, addr);\n", "")
    grade = graded(lab, stock_kernel, ann, {2}, "check_takes_address or check_efault")
    assert grade.score == grade.max_score
    (efault,) = (c for c in grade.exercises[0].checks if c.id == "2.efault")
    assert any("the address that was set is lost" in said for said in efault.remarks)


@pytest.mark.vm
def test_an_address_that_chooses_nothing_is_not_called_lost(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """What no connection is logged for before a bad pointer either was not lost by it."""
    bea = student("bea")
    bea.replace("filter.c", "return daddr == wanted;", "return ntohl(daddr) == wanted;")
    grade = graded(lab, stock_kernel, bea, {2}, "check_takes_address or check_efault")
    assert [c.remarks for c in grade.exercises[0].checks if c.remarks] == []


@pytest.mark.vm
def test_the_solution_gets_no_remark(lab: Lab, stock_kernel: Kernel, student: Make) -> None:
    """Nothing in it would have to be better."""
    select = "check_any_line or check_listens or check_clean_reload or check_efault"
    grade = graded(lab, stock_kernel, student(), {1, 2, 3, 5}, select)
    assert grade.score == grade.max_score
    assert [c.remarks for e in grade.exercises for c in e.checks if c.remarks] == []
