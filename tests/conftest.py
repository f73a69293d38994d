"""Fixtures of the tests: the lab, the stock kernel, a student's folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
from chromium import Browser
from support import KERNELS, ROOT, SOLUTION, SOURCES, Student, in_the_cache

from checker import lab as labs
from checker.model import Lab
from vm import image, kernel
from vm.kernel import Kernel
from vm.machine import Config

# below `make test` a make that a test starts would take itself for a part of that one
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)
# messages are compared in English, whoever runs the tests
os.environ["KNETLAB_LANG"] = "en"

# started within a run it would have that run's TMPDIR, and the run's reaper would end it
resource_tracker.ensure_running()


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The networking lab."""
    return labs.load("networking")


@pytest.fixture(scope="session")
def fixture_lab() -> Lab:
    """The lab that engine tests grade: tests/data/labs/fixture."""
    return labs.load("fixture", ROOT / "tests/data/labs")


@pytest.fixture(scope="session")
def stock_kernel() -> Kernel:
    """The distribution's kernel, from the cache that the user has."""
    return kernel.stock()


@pytest.fixture(scope="session")
def debug_kernel() -> Kernel:
    """The debug kernel, built first if need be."""
    return kernel.debug()


@pytest.fixture(scope="session", params=KERNELS)
def at_hand(request: pytest.FixtureRequest, stock_kernel: Kernel) -> Kernel:
    """Each kernel in the cache; those marked slow with ``-m slow`` alone."""
    return in_the_cache(request.param)


@pytest.fixture(scope="session", params=[k for k in KERNELS if "stock" in str(k.id)])
def stock_at_hand(request: pytest.FixtureRequest, stock_kernel: Kernel) -> Kernel:
    """Each stock kernel in the cache; those marked slow with ``-m slow`` alone."""
    return in_the_cache(request.param)


@pytest.fixture(scope="session")
def config(stock_kernel: Kernel) -> Config:
    """A machine with the stock kernel."""
    return Config(stock_kernel, image.initramfs(stock_kernel), image.root())


@pytest.fixture
def student(tmp_path: Path) -> Callable[..., Student]:
    """Make a student's folder: ``student("alice")``."""

    def make(name: str = "student") -> Student:
        for source in SOURCES:
            target = tmp_path / name / source
            target.parent.mkdir(parents=True)
            shutil.copy(SOLUTION / source, target)
        return Student(tmp_path / name)

    return make


@pytest.fixture
def run_folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own for run folders; its path is short, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium with an empty profile."""
    opened = Browser(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("pages"))
    yield opened
    opened.driver.quit()
