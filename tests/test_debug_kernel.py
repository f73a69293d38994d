"""The debug kernel: what its fragment asks for is there, or is named."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest

from checker import kernel_log
from vm import cache, debug_kernel, snapshot
from vm import kernel as kernels
from vm.errors import MissingTool, VMError
from vm.image import initramfs, root
from vm.kernel import Kernel
from vm.machine import Config

FRAGMENT = """
# a comment
CONFIG_KASAN=y
CONFIG_NR_CPUS=2
CONFIG_BUG_ON_DATA_CORRUPTION=n
CONFIG_LOCALVERSION="-x"
"""


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ('CONFIG_KASAN=y\nCONFIG_NR_CPUS=2\nCONFIG_LOCALVERSION="-x"\n', []),
        ('CONFIG_NR_CPUS=2\nCONFIG_LOCALVERSION="-x"\n', ["CONFIG_KASAN=y"]),
        (
            'CONFIG_KASAN=m\nCONFIG_NR_CPUS=64\nCONFIG_LOCALVERSION="-x"\n',
            ["CONFIG_KASAN=y", "CONFIG_NR_CPUS=2"],
        ),
        (
            'CONFIG_KASAN=y\nCONFIG_NR_CPUS=2\nCONFIG_LOCALVERSION="-x"\n'
            "CONFIG_BUG_ON_DATA_CORRUPTION=y\n",
            ["CONFIG_BUG_ON_DATA_CORRUPTION=n"],
        ),
    ],
    ids=["all there", "one missing", "other values", "one too many"],
)
def test_options_that_do_not_hold_are_named(config: str, missing: list[str]) -> None:
    """An option of the fragment that the .config has not, or has otherwise, is found."""
    assert debug_kernel.missing_options(FRAGMENT, config) == missing


def test_missing_programs_are_told_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched, the packages that a build wants are named."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "flex" else which(name))
    with pytest.raises(MissingTool, match=r"install flex.*make kernel NAME=debug"):
        debug_kernel.require_tools()


def test_it_is_not_there_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty cache has no debug kernel, and asking for it builds none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.debug_if_built() is None
    assert list(cache.root().iterdir()) == []


@pytest.mark.vm
def test_it_has_the_features_and_boots(debug_kernel: Kernel) -> None:
    """All that checks may need is built in, and a guest with it says so."""
    assert debug_kernel.features == set(kernels.FEATURES)
    config = Config(debug_kernel, initramfs(debug_kernel), root())
    with snapshot.guest(config, {}) as guest:
        release = guest.run(["/bin/uname", "-r"]).text.strip()
        assert release == debug_kernel.release
        assert kernel_log.findings(guest.machine.console(), "any") == []


def test_build_tells_how_far_it_is_and_leaves_nothing_open(tmp_path: Path) -> None:
    """Each file that is compiled is a step, and make's output is closed when it has ended."""
    (tmp_path / "Makefile").write_text("bzImage modules:\n\t@echo '  CC      $@.o'\n")
    steps: list[int] = []
    debug_kernel._compile(tmp_path, tmp_path / "log", lambda done, _: steps.append(done))
    gc.collect()  # what is left open warns, and a warning is an error
    assert steps == [1, 2]
    assert "CC      bzImage.o" in (tmp_path / "log").read_text()


def test_build_that_fails_shows_its_last_words(tmp_path: Path) -> None:
    """The error has what make said, and where all of it is."""
    (tmp_path / "Makefile").write_text("bzImage:\n\t@echo no such header; false\n")
    with pytest.raises(VMError, match="no such header"):
        debug_kernel._compile(tmp_path, tmp_path / "log", lambda done, total: None)
