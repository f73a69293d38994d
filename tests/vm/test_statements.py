"""What the student's pages and the handout say of kernels, seen in guests.

tests/data/book/statements.c does it; one guest a kernel for all that leaves the kernel whole, and
one for each thing that ends it. Each statement is quoted as the page has it, so that a page
that says something else needs another test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from kernel_facts import make
from support import ROOT

from vm import image, snapshot
from vm.errors import GuestError
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

pytestmark = pytest.mark.vm

PAGES = {
    page.stem: " ".join(page.read_text().split())
    for page in (*(ROOT / "docs/students").glob("*.md"), ROOT / "labs/networking/handout.md")
    if page != ROOT / "docs/students/handout.md"
}

HARMLESS = """\
insmod statements.ko && rmmod statements
dmesg -r >/tmp/raw
ls /sys/kernel/debug/dynamic_debug/control && dynamic=yes
dmesg -c >/dev/null
insmod statements.ko dyndbg=+p; dmesg | grep -c 'seen: debug' >/tmp/debug; rmmod statements
[ -z "$dynamic" ] || echo "dynamic: $(cat /tmp/debug)"
for a in fail minus length; do
    insmod statements.ko act=$a; echo "$a: $? $(grep -c ^statements /proc/modules)"
    rmmod statements
done
insmod broken.ko
insmod statements.ko act=number; mknod /tmp/dev c 42 0
sleep 9 </tmp/dev & sleep 1; rmmod statements && echo "removed while open"
wait; rmmod statements && echo "removed when closed"; grep statements /proc/devices
insmod statements.ko act=accept & sleep 1
echo "loading: $(grep ^statements /proc/modules)"; lsmod | grep statements
rmmod statements && echo "removed in init"
kill -TERM $!; wait $!; grep -c ^statements /proc/modules
insmod statements.ko act=number-left; rmmod statements
echo "after rmmod: $(grep ' statements' /proc/devices)"
insmod statements.ko act=number
cat /sys/kernel/debug/tracing/available_tracers
echo "functions: $(wc -l </sys/kernel/debug/tracing/available_filter_functions)"
insmod statements.ko act=hook-left; rmmod statements; dmesg -c >/dev/null
insmod statements.ko act=hook-left; ping -c 1 127.0.0.1 >/dev/null
echo "calls: $(dmesg | grep -c 'hook called')"
"""


@dataclass(frozen=True)
class Seen:
    """What one kernel did: what the shell printed, and the kernel's log with its levels."""

    on: Kernel
    printed: str
    log: str


@pytest.fixture(scope="module", params=["stock", "debug"])
def on(request: pytest.FixtureRequest) -> Kernel:
    """Both kernels of the host's release."""
    kernel = request.getfixturevalue(f"{request.param}_kernel")
    assert isinstance(kernel, Kernel)
    return kernel


@pytest.fixture(scope="module")
def machine(on: Kernel) -> tuple[Config, dict[str, PayloadFile]]:
    """A guest of the kernel, and its files: the module, and one with an unknown symbol."""
    said, ko = make(on, ["statements"], ROOT / "tests/data/book", strip=True)
    assert ko, said
    unknown = ko.replace(b"register_chrdev", b"register_chrdex")
    files = {"statements.ko": PayloadFile(ko), "broken.ko": PayloadFile(unknown)}
    return Config(on, image.initramfs(on), image.root()), files


@pytest.fixture(scope="module")
def seen(on: Kernel, machine: tuple[Config, dict[str, PayloadFile]]) -> Seen:
    """What the kernel did with all that leaves it whole."""
    with snapshot.guest(*machine) as guest:
        script = f"cd /lab; {{ {HARMLESS}\n}} 2>&1; cat /tmp/raw"
        printed = guest.run(["/bin/sh", "-c", script], deadline=200).text
        guest.sync()
        printed, _, raw = printed.partition("<6>[")
        log = "\n".join(record.text for record in guest.records)
    return Seen(on, printed, f"<6>[{raw}\n{log}")


def ends(machine: tuple[Config, dict[str, PayloadFile]], script: str) -> str:
    """Return the console of a guest that *script* ends."""
    with snapshot.guest(*machine) as guest:
        with pytest.raises(GuestError):
            guest.run(["/bin/sh", "-c", f"cd /lab; {script}"], deadline=60)
            guest.sync()
        return guest.machine.console()


def says(page: str, statement: str) -> None:
    """Fail if the *page* does not have this sentence: then its test is to be changed, too."""
    assert statement in PAGES[page], f"{page} no longer says: {statement}"


def test_values_are_as_the_pages_say(seen: Seen) -> None:
    """Formats, byte order, return values of calls, and what a failed copy leaves."""
    facts = dict(re.findall(r"^(?:<\d>\[ *[\d.]+\] )?seen: (\w+) (.+)$", seen.log, re.MULTILINE))
    says("debugging", "`%pe` with `ERR_PTR(err)` prints `-EADDRINUSE` instead of -98")
    assert facts["error"] == "-EADDRINUSE"
    says("debugging", "`%p` prints a scrambled address on purpose")
    scrambled, real = facts["pointer"].split()
    # until the kernel has random numbers enough it prints no number at all
    assert scrambled == "(____ptrval____)" or int(scrambled, 16) != int(real, 16)
    assert (facts["address"], facts["swapped"]) == ("127.0.0.1 1", "24810")
    says("handout", "`copy_from_user()` returns the number of bytes that it could *not* copy")
    assert (facts["left"], facts["filled"]) == ("4", "0")
    assert facts["drop"] == "0"
    assert facts["poison"] == "dead000000000100"
    assert (facts["taken"], facts["nobody"]) == ("-98", "-107")
    says("handout", "`kernel_getpeername()` returns the length of the address when it works")
    assert (facts["peer"], facts["new"]) == ("16", "1")
    assert (facts["unbound"], facts["short"], facts["sent"], facts["bound"]) == (
        *("0", "-22", "13", "1"),
    )


def test_levels_of_the_log(seen: Seen) -> None:
    """The numbers of printk's levels are those that the page gives."""
    says("debugging", "from `pr_emerg()` (0) down to `pr_debug()` (7)")
    says("debugging", "`pr_err()` is 3, `pr_warn()` is 4 and `pr_info()` is 6")
    levels = dict(re.findall(r"^<(\d)>\[.*seen: (emerg|err|warn|info)$", seen.log, re.MULTILINE))
    assert levels == {"0": "emerg", "3": "err", "4": "warn", "6": "info"}


def test_pr_debug_is_off_until_it_is_asked_for(seen: Seen) -> None:
    """Stock can switch it on while it runs; on debug it is not even compiled in."""
    says("debugging", "On the stock kernel you can switch it on while the module is loaded")
    assert "> seen: debug" not in seen.log.partition("seen: exit")[0]
    found = re.findall(r"^dynamic: (\d+)$", seen.printed, re.MULTILINE)
    assert found == (["1"] if seen.on.name == "stock" else [])


def test_init_that_fails(seen: Seen) -> None:
    """A negative number removes the module without exit; a positive one is a warning."""
    says("modules", "**Exit is not called.**")
    assert "fail: 12 0" in seen.printed
    assert "can't insert 'statements.ko': Cannot allocate memory" in seen.printed
    says("modules", 'means `-EPERM`, "operation not permitted"')
    assert "can't insert 'statements.ko': Operation not permitted" in seen.printed
    says("handout", "(`init suspiciously returned 13`), prints a stack, and still loads the module")
    assert "length: 0 1" in seen.printed
    assert "init suspiciously returned 13, it should follow 0/-E convention" in seen.log


def test_a_symbol_that_the_kernel_does_not_have(seen: Seen) -> None:
    """The log names it."""
    says("modules", "`Unknown symbol NAME (err -2)`")
    assert re.search(r"statements: Unknown symbol \w+ \(err -2\)", seen.log)


def test_a_module_in_use_is_not_removed(seen: Seen) -> None:
    """While a file of it is open, or its init has not returned, rmmod is refused."""
    says("modules", "`rmmod` is refused while the module is in use")
    assert "removed while open" not in seen.printed
    assert "removed when closed" in seen.printed
    assert re.search(r"^loading: statements \d+ 1 - Loading ", seen.printed, re.MULTILINE)
    assert "removed in init" not in seen.printed
    says("handout", "A signal ends the wait")
    assert "seen: accept -512" in seen.log


def test_a_number_that_is_left_keeps_its_name(seen: Seen) -> None:
    """/proc/devices has a copy of it, and reads no memory that is gone; nobody gets the number."""
    says("modules", "`/proc/devices` still lists it")
    assert "after rmmod:  42 statements" in seen.printed
    assert "can't insert 'statements.ko': Device or resource busy" in seen.printed


def test_what_can_be_traced(seen: Seen) -> None:
    """Tens of thousands of functions on both, and only stock draws who calls whom."""
    says("debugging", "Only the stock kernel has `function_graph`")
    tracers = re.findall(r"^.*\bnop$", seen.printed, re.MULTILINE)
    assert len(tracers) == 1
    assert ("function_graph" in tracers[0]) == (seen.on.name == "stock")
    (functions,) = re.findall(r"^functions: (\d+)$", seen.printed, re.MULTILINE)
    assert int(functions) > 15_000


def test_a_hook_that_is_left_calls_the_next_module(seen: Seen) -> None:
    """Loaded at the same place, it is called twice for each packet: 4 times for one ping."""
    says("getting-started", "each line appears twice")
    assert "calls: 4" in seen.printed


def test_a_hook_that_is_left_crashes_the_kernel(
    on: Kernel, machine: tuple[Config, dict[str, PayloadFile]]
) -> None:
    """The next packet runs code that is gone."""
    says("modules", "the next packet runs code that no longer exists: the kernel crashes")
    left = "insmod statements.ko act=hook-left; rmmod statements; ping -c 1 127.0.0.1"
    console = ends(machine, left)
    assert "BUG: unable to handle page fault for address: " in console, on.name
    assert "Code: Unable to access opcode bytes" in console


def test_a_device_whose_number_is_left_crashes_when_it_is_opened(
    on: Kernel, machine: tuple[Config, dict[str, PayloadFile]]
) -> None:
    """Opening it follows pointers into the module, which is gone."""
    says("modules", "opening the device crashes the kernel")
    left = "insmod statements.ko act=number-left; rmmod statements; mknod /tmp/dev c 42 0"
    assert "unable to handle page fault" in ends(machine, f"{left}; cat /tmp/dev"), on.name


@pytest.mark.parametrize(
    ("act", "stock", "debug"),
    [
        (
            "pI4",
            "BUG: unable to handle page fault for address: 000000000100007f",
            "general protection fault, probably for non-canonical address",
        ),
        (
            "read-poison",
            "general protection fault, probably for non-canonical address 0xdead000000000100",
            "general protection fault, probably for non-canonical address",
        ),
        ("bug", "kernel BUG at ", "kernel BUG at "),
        (
            "release-null",
            "BUG: kernel NULL pointer dereference, address: 0000000000000020",
            "general protection fault, probably for non-canonical address",
        ),
    ],
)
def test_first_lines_of_reports(
    on: Kernel, machine: tuple[Config, dict[str, PayloadFile]], act: str, stock: str, debug: str
) -> None:
    """The same mistake begins with other words on the debug kernel, as the pages say."""
    for first in ("general protection fault", "kernel BUG at"):
        says("reports", f"`{first}")
    says("handout", "on the debug kernel it is a `general protection fault`")
    console = ends(machine, f"insmod statements.ko act={act}")
    assert (stock if on.name == "stock" else debug) in console
