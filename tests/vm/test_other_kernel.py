"""The lab on Linux 6.12, where the packages offer one, and the lab's C as lint has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

from checker.engine import grading, submission
from checker.model import Lab
from tools import lint_labs
from vm import apt, cache, kernel, tools
from vm.errors import VMError
from vm.kernel import Kernel

pytestmark = pytest.mark.vm


@pytest.fixture(scope="session")
def newer_kernel() -> Kernel:
    """The newest 6.12 cloud kernel of the host's packages, as a user would give it."""
    names = tools.run(
        ["apt-cache", "search", "--names-only", r"^linux-image-6\.12\..*-cloud-amd64$"]
    )
    found = re.findall(r"^linux-image-(6\.12\.(\d+)\S*-cloud-amd64) ", names, re.MULTILINE)
    if not found:
        pytest.skip("the host's packages offer no Linux 6.12")
    release = max(found, key=lambda m: int(m[1]))[0]

    def fetch(folder: Path) -> None:
        headers = f"linux-headers-{release}"
        parts = [
            n for n in apt.depends(headers) if n.startswith(("linux-headers-", "linux-kbuild-"))
        ]
        apt.unpack([f"linux-image-{release}", headers, *parts], folder)

    try:
        root = cache.entry("test-kernel", release, fetch)
    except VMError as error:
        pytest.skip(f"Linux {release} cannot be fetched: {error}")
    return kernel.custom(
        root / "boot" / f"vmlinuz-{release}", root / "usr/src" / f"linux-headers-{release}"
    )


def test_solution_earns_everything_on_a_newer_kernel(lab: Lab, newer_kernel: Kernel) -> None:
    """The reference solution has full marks on 6.12, given by image and build tree."""
    given = submission.read(lab, lab.solution)
    grade = grading.grade_submission(lab, given, newer_kernel, grading.Options())
    lost = [f"{c.id}: {c.message}" for e in grade.exercises for c in e.checks if not c.points]
    assert grade.score == grade.max_score >= 96, lost
    assert grade.kernel.release.startswith("6.12.")


def _words(lab: Lab, folder: Path, on: Kernel) -> str:
    return "".join(
        lint_labs.compile_strictly(folder, folder / module.folder, on) for module in lab.modules
    )


def test_solution_is_clean_on_the_newer_kernel(lab: Lab, newer_kernel: Kernel) -> None:
    """W=1 and sparse have nothing to say of the solution on 6.12."""
    assert _words(lab, lab.solution, newer_kernel) == ""


def test_solution_is_clean_on_stock(lab: Lab, stock_kernel: Kernel) -> None:
    """W=1 and sparse have nothing to say of the solution on the stock kernel."""
    assert _words(lab, lab.solution, stock_kernel) == ""


def test_skeletons_are_clean_on_stock(lab: Lab, stock_kernel: Kernel) -> None:
    """W=1 and sparse have nothing to say of what students start from."""
    assert _words(lab, ROOT / "skels" / lab.name, stock_kernel) == ""


def test_strict_compile_tells_faults(lab: Lab, stock_kernel: Kernel, student) -> None:
    """A port without htons() is told by sparse: the clean runs above mean something."""
    zoe = student("zoe")
    zoe.replace("udp_sock.c", "htons(MY_UDP_REMOTE_PORT)", "MY_UDP_REMOTE_PORT")
    kbuild = (lab.solution / "5-udp-sock/Kbuild").read_bytes()
    (zoe.path / "5-udp-sock/Kbuild").write_bytes(kbuild)
    words = lint_labs.compile_strictly(zoe.path, zoe.path / "5-udp-sock", stock_kernel)
    assert re.search(r"udp_sock\.c:\d+:\d+: warning: incorrect type in initializer", words)
