"""knetlab lint: what gcc, sparse and checkpatch say of a student's files, a line each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, SOLUTION, Student

from checker.desk import lint
from checker.engine import submission
from checker.model import Lab
from checker.words.remarks import Remark
from vm.kernel import Kernel

Make = Callable[..., Student]


def of(lab: Lab, student: Student, kernel: Kernel) -> list[Remark]:
    """Return the remarks on a student's folder."""
    return lint.remarks(lab, submission.read(lab, student.path), kernel)


def knetlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `knetlab lint`."""
    argv = [sys.executable, "-m", "checker", "lint", *arguments]
    return subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)


def test_the_solution_has_nothing_to_remark_on() -> None:
    """On the lab's own solution it is silent, ends with 0, and says where checkpatch is from."""
    done = knetlab("networking", "--submission", str(SOLUTION))
    assert (done.returncode, done.stdout) == (0, "")
    script = re.search(r"checkpatch\.pl is (\S+checkpatch\.pl)\)", done.stderr)
    assert script
    assert Path(script[1]).is_file()


def test_each_tools_word_is_one_line_with_the_students_path(student: Make) -> None:
    """A warning, a byte order mixed up and bad style: file:line, no path of the kernel, exit 1."""
    alice = student("alice")
    alice.replace("udp_sock.c", "htons(MY_UDP_REMOTE_PORT)", "MY_UDP_REMOTE_PORT")
    alice.replace("filter.c", "&iph->saddr", "iph->saddr")
    alice.replace("tcp_sock.c", "return kernel_listen(sock", "return kernel_listen( sock")
    done = knetlab("networking", "--submission", str(alice.path))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(re.match(rf"{re.escape(str(alice.path))}/\S+\.c:\d+: .* \[\w+\]$", x) for x in lines)
    said = {line.rsplit(" ", 1)[1]: line for line in lines}
    assert len(lines) == len(said) == 3
    text = alice.file("filter.c").read_text()
    number = text[: text.index('pr_info("TCP')].count("\n") + 1
    assert f"filter.c:{number}: format '%p' expects" in said["[gcc]"]
    assert "incorrect type in initializer" in said["[sparse]"]
    assert "got int" in said["[sparse]"]
    assert "space prohibited after that open parenthesis" in said["[checkpatch]"]
    assert not re.search(r"/kernel/usr|/build/|/include/linux", done.stdout)


def test_what_does_not_compile_does_not_hide_the_rest(
    lab: Lab, student: Make, stock_kernel: Kernel
) -> None:
    """An error in one module is told once, and the others are looked at all the same."""
    alice = student()
    alice.replace("tcp_sock.c", "return kernel_listen(", "return kernel_lissten(")
    alice.replace("udp_sock.c", "htons(MY_UDP_REMOTE_PORT)", "MY_UDP_REMOTE_PORT")
    first, second = of(lab, alice, stock_kernel)
    assert (first.file, first.tool) == ("3-4-tcp-sock/tcp_sock.c", "gcc")
    assert "kernel_lissten" in first.text
    assert (second.file, second.tool) == ("5-udp-sock/udp_sock.c", "sparse")


def test_a_file_that_is_missing_is_told_of(lab: Lab, student: Make, stock_kernel: Kernel) -> None:
    """Its module is left out, and the reason stands among the remarks."""
    alice = student()
    alice.file("udp_sock.c").unlink()
    (remark,) = of(lab, alice, stock_kernel)
    assert (remark.line, remark.text) == (0, "5-udp-sock/udp_sock.c is missing.")


def test_the_compiler_is_shut_in(lab: Lab, student: Make, stock_kernel: Kernel) -> None:
    """A student's source cannot draw in a file of the host."""
    alice = student()
    alice.replace("filter.c", '#include "../include/filter.h"', f'#include "{__file__}"')
    remarks = of(lab, alice, stock_kernel)
    assert any("No such file or directory" in remark.text for remark in remarks)


def test_make_lint_is_the_students_when_a_lab_is_named() -> None:
    """Without LAB= it stays the project's own; with it, on the command line or outside, theirs."""

    def would_run(*arguments: str) -> str:
        argv = ["make", "--dry-run", "lint", *arguments]
        return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "tools/lint.sh" in would_run()
    assert "knetlab lint networking" in would_run("LAB=networking")
    assert "--submission 'x'" in would_run("LAB=networking", "SUBMISSION=x")
    assert "tools/lint.sh" not in would_run("LAB=networking")


def test_a_path_with_a_blank_in_it_is_no_matter(tmp_path: Path) -> None:
    """Checkpatch, which does not quote names for its shell, reads a file in such a folder."""
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "x.c").write_text("// SPDX-License-Identifier: GPL-2.0\nint f( int i);\n")
    assert "x.c:2: ERROR: space prohibited" in lint.style([folder / "x.c"], folder)


def test_beside_a_fetched_compiler_there_is_no_sparse(
    student: Make, lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gcc and checkpatch are run all the same, and nothing fails."""
    monkeypatch.setattr(lint, "has_sparse", lambda _: False)
    alice = student("alice")
    alice.replace("filter.c", "&iph->saddr", "iph->saddr")
    alice.replace("udp_sock.c", "htons(MY_UDP_REMOTE_PORT)", "MY_UDP_REMOTE_PORT")
    assert {remark.tool for remark in of(lab, alice, stock_kernel)} == {"gcc"}


def test_sparse_is_run_where_make_cannot_find_out_that_it_is_there(
    lab: Lab, student: Make, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C=2 does nothing with Debian's headers of 7.2, which lack the script that make asks."""
    asked: list[list[str]] = []
    monkeypatch.setattr(lint, "has_sparse", lambda _: True)
    monkeypatch.setattr(lint, "_run", lambda _, argv, tool: asked.append([tool, *argv]) or [])
    monkeypatch.setattr(lint, "style", lambda *_: "")
    of(lab, student(), stock_kernel)
    (sparse,) = (argv for argv in asked if argv[0] == "sparse")
    assert "KBUILD_CHECKSRC=2" in sparse
    assert not [word for word in sparse if word.startswith("C=")]
