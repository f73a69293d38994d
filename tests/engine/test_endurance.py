"""What a module leaves behind: what the guest prints is understood, and leaks are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import Student

from checker.engine import endurance, grading, left, submission
from checker.engine.testbed import Unmet
from checker.model import CheckResult, Lab
from vm.kernel import Kernel

ROUNDS = """\
round 0 insmod=0 rmmod=0 left=0 met=0 tcp=0 udp=0 majors=14 threads=40
round 1 insmod=12 rmmod=0 left=0 met=0 tcp=1 udp=0 majors=14 threads=40
object kmem_cache_alloc sk_alloc sock_create_kern .init.text+0x6b do_one_initcall
object kmalloc_trace .text+0x2a .init.text+0x90 do_one_initcall
round 2 insmod=0 rmmod=0 left=1 met=1
"""


def test_rounds_are_read() -> None:
    """Each line is a round, with the objects that are left behind it."""
    before, first, second = endurance.parse_rounds(ROUNDS)
    assert before.counts == {"tcp": 0, "udp": 0, "majors": 14, "threads": 40}
    assert (first.number, first.insmod, first.left, first.met) == (1, 12, 0, False)
    assert [stack[0] for stack in first.stacks] == ["kmem_cache_alloc", "kmalloc_trace"]
    assert (second.left, second.met, second.counts, second.stacks) == (1, True, {}, ())


def test_cut_lines_are_no_trouble() -> None:
    """What is not a round or an object is left out: the guest may print what it likes."""
    assert endurance.parse_rounds("rounds 1\nhello\n\nobject x\n") == []


def _round(number: int, **counts: int) -> endurance.Round:
    """Return a round in which nothing failed, with these counts."""
    return endurance.Round(number, 0, 0, 0, met=False, counts=counts)


def test_what_there_is_more_of_is_counted_to_the_last_one() -> None:
    """One thread more after 20 rounds is one that was left; what there is less of is no matter."""
    before = _round(0, tcp=4, udp=1, majors=14, threads=40)
    after = _round(20, tcp=3, udp=3, majors=14, threads=41)
    assert endurance._more(before, after, "") == ["2 UDP sockets", "1 kernel thread"]
    assert endurance._more(before, before, "") == []


def test_what_another_exercise_leaves_is_left_out_and_nothing_else() -> None:
    """Where sockets are another exercise's business, threads and majors still count."""
    before = _round(0, tcp=0, udp=0, majors=14, threads=40)
    after = _round(20, tcp=20, udp=0, majors=15, threads=60)
    ignoring = endurance._more(before, after, r"sock_create|bind|listen")
    assert ignoring == ["1 device number", "20 kernel threads"]


@pytest.mark.parametrize(("hung", "step"), [(False, 10), (True, 0)])
def test_what_hung_once_is_not_waited_for_as_long_again(hung: bool, step: float) -> None:
    """Each round has guest seconds of its own, and none beyond the backstop after a hang."""
    asked: list[float] = []

    def run(argv: list[str], *, deadline: float, step: float) -> SimpleNamespace:
        asked.append(step)
        return SimpleNamespace(how="exited", text=ROUNDS)

    guest = SimpleNamespace(run=run)
    module: Any = SimpleNamespace(guest=guest, path="x.ko", name="x", hung=hung)
    assert len(endurance._rounds(module, 2, "")) == 3
    assert asked == [step]


@pytest.mark.parametrize(
    ("place", "ignore", "own"),
    [
        ("f.c:1", "", True),
        ("f.c:1", "sock_create", True),
        ("f.c:2", "", False),
        ("f.c:3", "", True),
        ("f.c:3", "sock_create", False),
    ],
    ids=["ours", "ours all the same", "another's", "nobody's", "nobody's, left to another"],
)
def test_a_leak_is_the_business_of_the_exercise_whose_function_it_is_in(
    place: str, ignore: str, *, own: bool
) -> None:
    """What is left to another exercise by the kernel's functions is so outside of our own."""
    module: Any = SimpleNamespace(is_ours={"f.c:1": True, "f.c:2": False}.get)
    leak = left.Leak(place, "sock_create_lite", 20)
    assert left.of_exercise(module, [leak], ignore) == ([leak] if own else [])


def test_what_the_slab_allocator_keeps_for_itself_is_no_leak() -> None:
    """From 6.18 on it allocates stores of free objects while it serves the module (seen on 7.2)."""
    module: Any = SimpleNamespace(symbols=None)
    rest = ("sk_alloc", "sock_create_kern", ".init.text+0x1ab", "do_one_initcall")
    store = ("__kmalloc_flags_noprof", "__pcs_replace_empty_main", "kmem_cache_alloc_noprof")
    assert left.leaks_of(module, [store + rest]) == []
    (leak,) = left.leaks_of(module, [("kmem_cache_alloc_noprof", *rest)])
    assert leak.function == "sock_create_kern"


def test_a_socket_that_is_left_counts_once() -> None:
    """It is made of an inode and a sock, which the kernel allocates in two places."""
    module: Any = SimpleNamespace(symbols=None)
    rest = ("sock_create_kern", ".init.text+0x1ab", "do_one_initcall")
    inode = ("kmem_cache_alloc_lru", "sock_alloc_inode", "new_inode", *rest)
    sock = ("kmem_cache_alloc", "sk_prot_alloc", "sk_alloc", *rest)
    (leak,) = left.leaks_of(module, [inode, sock] * 20)
    assert (leak.count, leak.times) == (40, 20)
    told = endurance._each_time("It was loaded", 20, [leak], "nothing", "In exit")
    assert told.actual == "20 times: a socket (sock_create_kern()) is leaked"


def test_a_module_that_stays_loaded_after_an_interruption_is_told_so() -> None:
    """Init returned 0 though its wait was interrupted: the next insmod meets EEXIST."""
    rounds = (
        "round 0 insmod=0 rmmod=0 left=0 met=0 tcp=0 udp=0 majors=1 threads=9\n"
        "round 1 insmod=4 rmmod=0 left=0 met=1 tcp=1 udp=0 majors=1 threads=9\n"
        "object 0 sk_alloc sock_create_kern .init.text+0x9\n"
        "round 2 insmod=17 rmmod=0 left=0 met=0 tcp=1 udp=0 majors=1 threads=9\n"
    )
    done = SimpleNamespace(how="exited", text=rounds)
    module: Any = SimpleNamespace(
        guest=SimpleNamespace(run=lambda *_, **__: done),
        path="x.ko",
        name="x",
        hung=False,
        symbols=None,
        is_ours=lambda _: None,
        kernel_says=str,
    )
    with pytest.raises(Unmet, match="it was still loaded from the attempt before") as unmet:
        endurance.reload(module, waiting="interrupt")
    assert "Return from init the error of the call" in unmet.value.hint


Make = Callable[..., Student]


def check(lab: Lab, kernel: Kernel, folder: Path, exercise: int, name: str) -> CheckResult:
    """Grade an exercise and return one of its checks."""
    options = grading.Options(exercises=frozenset({exercise}), jobs=1)
    grade = grading.grade_submission(lab, submission.read(lab, folder), kernel, options)
    assert grade.status == "graded", grade.message
    return next(c for c in grade.exercises[0].checks if c.id == f"{exercise}.{name}")


def line_of(student: Student, file: str, text: str) -> int:
    """Return the number of the line that has *text*."""
    lines = student.file(file).read_text().splitlines()
    return next(n for n, line in enumerate(lines, start=1) if text in line)


PATH_WALK = (
    "kmem_cache_alloc_lru_noprof __d_alloc d_alloc_parallel path_openat do_filp_open",
    "kmem_cache_alloc_lru_noprof proc_alloc_inode alloc_inode new_inode proc_sys_make_inode "
    "proc_sys_lookup path_openat do_filp_open",
    "kmem_cache_alloc_noprof security_inode_alloc inode_init_always_gfp alloc_inode new_inode "
    "proc_sys_make_inode proc_sys_lookup path_openat do_filp_open",
)
"""What is left on 6.12 where a module opened and closed a file of /proc/sys."""


def test_names_that_a_path_led_to_are_no_leak_and_a_file_left_open_is_one() -> None:
    """The kernel keeps names and inodes for the next time; struct file is the module's."""
    module: Any = SimpleNamespace(symbols=None)
    rest = ("file_open_name", "filp_open", ".init.text+0x13b", "do_one_initcall")
    kept = [(*stack.split(), *rest) for stack in PATH_WALK]
    assert left.leaks_of(module, kept) == []
    opened = ("kmem_cache_alloc_noprof", "alloc_empty_file", "path_openat", "do_filp_open", *rest)
    (leak,) = left.leaks_of(module, [*kept, opened])
    assert (leak.function, leak.count) == ("filp_open", 1)
    entry = ("kmem_cache_alloc_lru_noprof", "__d_alloc", "d_alloc_parallel", "lookup_one_len")
    (leak,) = left.leaks_of(module, [(*entry, "debugfs_create_file", ".init.text+0x9")])
    assert leak.function == "debugfs_create_file"


@pytest.mark.vm
def test_the_line_that_leaked_a_socket_is_named_on_the_stock_kernel(
    lab: Lab, stock_kernel: Kernel, student: Make
) -> None:
    """No debug kernel is needed to say which line's socket is never released."""
    alice = student()
    alice.replace("tcp_sock.c", "out_release:\n", "out_release:\n\treturn err;\n")
    result = check(lab, stock_kernel, alice.path, 3, "clean-reload")
    line = line_of(alice, "tcp_sock.c", "err = sock_create_kern(")
    assert result.status == "fail"
    assert re.search(rf"tcp_sock\.c:{line}\d? leaks a socket", result.message) or (
        f"tcp_sock.c:{line + 1} leaks a socket" in result.message
    )


BIND = "	err = my_udp_bind();\n	if (err)\n	"


@pytest.mark.vm
@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            "return err;",
            r"3 times, and each time something is left: udp_sock\.c:\d+ leaks a socket",
        ),
        ("{\n\t\terr = -1;\n\t\tgoto out_release;\n\t}", "insmod fails with EPERM"),
    ],
    ids=["released by nobody", "another error"],
)
def test_a_bind_that_fails_is_tried_in_exercise_5(
    lab: Lab, stock_kernel: Kernel, student: Make, new: str, words: str
) -> None:
    """With the port taken the socket is released, and the error is bind's own."""
    erin = student()
    erin.replace("udp_sock.c", f"{BIND}\tgoto out_release;", f"{BIND}\t{new}")
    result = check(lab, stock_kernel, erin.path, 5, "port-taken")
    assert result.status == "fail"
    assert re.search(words, f"{result.message} {result.actual}")
    assert result.hint.startswith(("Where init fails, give back", "Return kernel_bind()'s error"))


@pytest.mark.vm
@pytest.mark.parametrize("kernel", ["stock_kernel", "debug_kernel"])
def test_a_thread_is_counted_and_no_worker(
    lab: Lab, kernel: str, student: Make, request: pytest.FixtureRequest
) -> None:
    """A thread that one load of twenty leaves is seen; work that was queued leaves no thread."""
    carol = student()
    carol.replace(
        "udp_sock.c",
        "static int __init my_udp_sock_init(void)",
        """#include <linux/kthread.h>
#include <linux/workqueue.h>
static int my_idler(void *unused)
{
	schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
	return 0;
}
static void my_task(struct work_struct *unused) { }
static DECLARE_WORK(my_work, my_task);
static int __init my_udp_sock_init(void)""",
    )
    carol.replace(
        "udp_sock.c",
        "	err = my_udp_bind();",
        """	if (!(++console_printk[2] % 20))
		kthread_run(my_idler, NULL, "mine");
	schedule_work(&my_work);
	flush_work(&my_work);
	err = my_udp_bind();""",
    )
    result = check(lab, request.getfixturevalue(kernel), carol.path, 5, "clean-reload")
    assert result.actual == "1 kernel thread"
    assert result.hint == "In exit, call kthread_stop() for what is left: 1 kernel thread."


@pytest.mark.vm
@pytest.mark.parametrize("forgets", [False, True])
def test_what_goes_by_kfree_rcu_is_no_leak(
    lab: Lab, at_hand: Kernel, student: Make, *, forgets: bool
) -> None:
    """Memory that exit gives to kfree_rcu() is freed; without the call it is a leak."""
    dave = student()
    dave.replace(
        "filter.c",
        "static int __init my_filter_init(void)\n{\n",
        """static struct my_note {
	struct rcu_head rcu;
	int port;
} *my_note;

static int __init my_filter_init(void)
{
	my_note = kzalloc(sizeof(*my_note), GFP_KERNEL);
""",
    )
    if not forgets:
        dave.replace("filter.c", "exit(void)\n{\n", "exit(void)\n{\n	kfree_rcu(my_note, rcu);\n")
    result = check(lab, at_hand, dave.path, 1, "clean-reload")
    if forgets:
        line = line_of(dave, "filter.c", "my_note = kzalloc(")
        assert f"filter.c:{line} leaks memory" in result.message
    else:
        assert result.status == "pass", result.message


def test_what_the_kernel_loses_by_itself_is_no_leak_where_that_was_seen() -> None:
    """A name that class_create() of 6.1 loses as it fails is not the module's; elsewhere it is."""
    name = "__kmalloc_node_track_caller kstrdup_const kvasprintf_const kobject_set_name_vargs"
    rest = "kobject_set_name __class_register __class_create .init.text+0x40 do_one_initcall"
    stack = tuple(f"{name} {rest}".split())
    own = ("__kmalloc", ".init.text+0x20", "do_one_initcall")
    said = left.without_the_kernels
    assert said([stack, own], "__class_create", "6.1.192-knetlab-debug") == [own]
    assert said([stack], "__class_create", "6.12.1") == [stack]
    assert said([stack], "device_create", "6.1.192") == [stack]
    assert said([stack], "", "6.1.192") == [stack]


@pytest.mark.vm
@pytest.mark.parametrize("looks", [True, False])
def test_a_function_of_the_kernel_can_be_refused(
    lab: Lab, at_hand: Kernel, student: Make, *, looks: bool
) -> None:
    """It returns an error and does nothing; who does not look at that is told so."""
    carol = student()
    if not looks:
        carol.replace(
            "tcp_sock.c",
            "\treturn kernel_listen(sock, LISTEN_BACKLOG);",
            "\tkernel_listen(sock, LISTEN_BACKLOG);\n\treturn 0;",
        )
    result = check(lab, at_hand, carol.path, 3, "listen-refused")
    assert result.status == ("pass" if looks else "fail"), result.message
    if not looks:  # accept() of a socket that does not listen
        assert result.message.startswith("kernel_listen() was made to fail with ENOBUFS, and insm")
        assert "failed with EINVAL" in result.message


@pytest.mark.vm
def test_an_error_path_that_leaks_is_named(lab: Lab, debug_kernel: Kernel, student: Make) -> None:
    """The message says which allocation failed, in which call, and which line leaks what."""
    bob = student()
    old = "\tif (err)\n\t\tunregister_chrdev(MY_MAJOR, MY_DEVICE_NAME);\n"
    bob.replace("filter.c", old, "")
    result = check(lab, debug_kernel, bob.path, 1, "error-paths")
    assert result.status == "fail"
    hook = line_of(bob, "filter.c", "err = nf_register_net_hook(")
    device = line_of(bob, "filter.c", "err = register_chrdev(")
    assert f"in nf_register_net_hook() at filter.c:{hook}" in result.message
    assert f"filter.c:{device} leaks the device number" in result.message
