"""What gcc and sparse print: the remarks in it, and what a student need not read of it."""

from __future__ import annotations

import re

import pytest

from checker.words.remarks import parse, shorten


@pytest.mark.parametrize(
    ("output", "remarks"),
    [
        ("a/x.c:5:2: warning: unused variable 'i'", [("a/x.c", 5, "unused variable 'i'")]),
        ("/kernel/include/linux/in.h:5:2: warning: w\n   5 | code", []),
        ("./include/linux/in.h:5:2: error: in the build tree", []),
        ("a/x.c:5:2: note: declared here", []),
        (
            "a/x.c:5:2: warning: types\na/x.c:5:2:    expected __be16\na/x.c:5:2:    got int",
            [("a/x.c", 5, "types; expected __be16; got int")],
        ),
        (
            "/kernel/printk.h:1:1: warning: format '%p'\n"
            "/kernel/printk.h:2:2: note: in expansion of macro 'printk'\n"
            "a/x.c:9:9: note: in expansion of macro 'pr_info'",
            [("a/x.c", 9, "format '%p'")],
        ),
        ('ERROR: modpost: "f" [a/x.ko] undefined!', [("", 0, '"f" [a/x.ko] undefined!')]),
    ],
    ids=[
        "a student's line",
        "a kernel's line",
        "one of the build tree",
        "a note",
        "sparse's further lines",
        "inside a macro of the kernel",
        "the linker",
    ],
)
def test_output_is_read(output: str, remarks: list[tuple[str, int, str]]) -> None:
    """Only what is about a student's own line is taken, and as one line."""
    assert [(r.file, r.line, r.text) for r in parse(output, "gcc")] == remarks


KERNEL = "/kernel/include/linux"

LONG = f"""\
In file included from {KERNEL}/kernel.h:27,
                 from ./include/linux/fs.h:6,
                 from a/x.c:15:
{KERNEL}/minmax.h:80:22: warning: comparison between pointer and integer
   80 | #define __cmp_op_min <
      |                      ^
{KERNEL}/minmax.h:83:30: note: in expansion of macro '__cmp_op_min'
   83 | #define __cmp(op, x, y) ((x) __cmp_op_##op (y) ? (x) : (y))
      |                              ^~~~~~~~~
./include/linux/minmax.h:95:9: note: in definition of macro '__cmp'
   95 |         __cmp(op, ux, uy); }})
a/x.c:88:24: note: in expansion of macro 'min'
   88 |         y = min(1, "a");
      |             ^~~
In file included from {KERNEL}/bug.h:22,
                 from {KERNEL}/wait.h:7:
a/x.c:90:1: error: passing argument 1 of 'f' from incompatible pointer type
   90 |  f(sock);
{KERNEL}/net.h:9:32: note: expected 'struct socket **' but argument is of type 'struct socket *'
    9 | int f(struct socket **sock);
"""

SHORT = f"""\
In file included from a/x.c:15:
{KERNEL}/minmax.h:80:22: warning: comparison between pointer and integer
   80 | #define __cmp_op_min <
      |                      ^
a/x.c:88:24: note: in expansion of macro 'min'
   88 |         y = min(1, "a");
      |             ^~~
a/x.c:90:1: error: passing argument 1 of 'f' from incompatible pointer type
   90 |  f(sock);
{KERNEL}/net.h:9:32: note: expected 'struct socket **' but argument is of type 'struct socket *'
    9 | int f(struct socket **sock);
"""


def test_ways_through_the_kernels_headers_are_left_out() -> None:
    """What stays is the compiler's word, the student's lines, and notes on types."""
    assert shorten(LONG).splitlines() == SHORT.splitlines()
    assert parse(LONG, "gcc") == parse(SHORT, "gcc")


NOTES = """\
a/x.c:20:38: error: expected ';' at end of input
   20 |                 addr.sin_port = htons(60000;
......
a/x.c:19:9: note: '-Wmisleading-indentation' is disabled from this point onwards, since \
column-tracking was disabled due to the size of the code/headers
   19 |         if (err == 10)
      |         ^~
a/x.c:19:9: note: adding '-flarge-source-files' will allow for more column-tracking support, at \
the expense of compilation time and memory
a/x.c:20:17: error: expected declaration or statement at end of input
"""


@pytest.mark.parametrize("place", ["a/x.c:19:9:", "a/x.c:19:"])
@pytest.mark.parametrize("quotes", ["''", "\u2018\u2019"])
def test_gccs_notes_on_itself_are_left_out(place: str, quotes: str) -> None:
    """What it does no more, for a bracket is missing or a line is long, is nothing to mend."""
    said = NOTES.replace(" '", f" {quotes[0]}").replace("' ", f"{quotes[1]} ")
    kept = shorten(said.replace("a/x.c:19:9:", place)).splitlines()
    lines = said.splitlines()
    assert kept == [*lines[:3], lines[-1]]


def test_a_program_is_told_which_header_has_a_function() -> None:
    """A program has the headers of the C library, which the kernel has not."""
    said = PRINTF.splitlines()
    assert shorten(PRINTF, of_program=True).splitlines() == said
    assert not any("<stdio.h>" in line for line in shorten(PRINTF).splitlines())


PRINTF = """\
a/x.c: In function 'f':
a/x.c:88:9: error: implicit declaration of function 'printf' [-Werror=implicit-function-declaration]
   88 |         printf("%u", UINT_MAX);
      |         ^~~~~~
a/x.c:29:1: note: include '<stdio.h>' or provide a declaration of 'printf'
   28 | #include "../include/filter.h"
  +++ |+#include <stdio.h>
   29 |
a/x.c:88:22: error: 'EOF' undeclared (first use in this function)
   88 |         printf("%u", EOF);
      |                      ^~~
a/x.c:29:1: note: 'EOF' is defined in header '<stdio.h>'; did you forget to '#include <stdio.h>'?
   28 | #include "../include/filter.h"
  +++ |+#include <stdio.h>
   29 |
a/x.c:88:22: note: each undeclared identifier is reported only once
"""


@pytest.mark.parametrize("quotes", ["''", "\u2018\u2019"])
def test_no_header_of_the_c_library_is_proposed(quotes: str) -> None:
    """What gcc would include for printf() is not there in the kernel; the errors stay whole."""
    said = re.sub("'([^']*)'", rf"{quotes[0]}\1{quotes[1]}", PRINTF)
    kept = shorten(said).splitlines()
    assert [line for line in kept if ".h>" in line or "+++" in line or " 28 |" in line] == []
    assert len(kept) == 8
    assert sum(" 88 |" in line for line in kept) == 2
