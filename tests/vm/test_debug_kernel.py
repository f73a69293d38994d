"""The debug kernel: what its fragment asks for is there, or is named."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import ROOT, all_end

from checker.words import kernel_log
from tools import record_consoles
from vm import cache, debian, debug_kernel, snapshot, toolchain, tools
from vm import kernel as kernels
from vm.debug_kernel import FRAGMENT as OWN_FRAGMENT
from vm.debug_kernel import missing_options
from vm.errors import MissingTool, VMError
from vm.image import initramfs, root
from vm.kernel import Kernel
from vm.machine import Config
from vm.tools import descendants

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
    assert missing_options(FRAGMENT, config) == missing


@pytest.mark.parametrize(
    ("release", "missing"),
    [
        ("6.1.192", ["CONFIG_BASE_FULL=y"]),
        ("6.9.1", ["CONFIG_BASE_FULL=y"]),
        ("6.10.0", []),
        ("7.2.13", []),
    ],
)
def test_option_that_later_releases_do_not_have_is_not_asked_of_them(
    release: str, missing: list[str]
) -> None:
    """Linux 6.10 has no BASE_FULL any more; what stands below that line is asked of all."""
    config = f"# Linux/x86 {release} Kernel Configuration\nCONFIG_KASAN=y\n"
    fragment = "# until 6.9: why\nCONFIG_BASE_FULL=y\nCONFIG_KASAN=y\nCONFIG_BUG=y\n"
    assert missing_options(fragment, config) == [*missing, "CONFIG_BUG=y"]


@pytest.mark.parametrize("lacks", ["", "CONFIG_KASAN=y", "CONFIG_VETH=y"])
def test_source_that_does_not_offer_an_option_is_refused(
    lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make drops what it does not know without a word; here it is named, before hours of make."""
    asked: list[str] = []

    def make(argv: Sequence[str], **_: object) -> str:
        asked.extend(argv)
        lines = OWN_FRAGMENT.read_text().splitlines()
        kept = [line for line in lines if line != lacks and not line.endswith("=n")]
        (tmp_path / ".config").write_text("\n".join(kept))
        return ""

    monkeypatch.setattr(tools, "run", make)
    if lacks:
        with pytest.raises(VMError, match=rf"does not have, .*options: {lacks}\. "):
            debug_kernel._configure(tmp_path, toolchain.host())
    else:
        debug_kernel._configure(tmp_path, toolchain.host())
    copy = tmp_path / "knetlab.config"
    assert copy.read_text() == OWN_FRAGMENT.read_text()
    assert {f"KCONFIG_ALLCONFIG={copy}", "allnoconfig", str(tmp_path)} <= set(asked)


def test_missing_programs_are_told_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched, the packages that a build wants are named."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "flex" else which(name))
    with pytest.raises(MissingTool, match=r"install flex.*make kernel NAME=debug"):
        debug_kernel.require_tools()


def test_cache_with_a_blank_in_its_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's Makefile cannot work there; nothing is fetched before it is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    with pytest.raises(VMError, match=r"my cache.* Set XDG_CACHE_HOME to a folder without a blank"):
        debug_kernel.make(tmp_path, "key", "linux-source=1", toolchain.host(), lambda *_: None)
    assert not (tmp_path / "my cache/knetlab/kernel-build").exists()


def test_it_is_not_there_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty cache has no debug kernel, and asking for it builds none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.debug_if_built() is None
    assert list(cache.root().iterdir()) == []


PROMISED = {
    "KASAN": ("KASAN", "KASAN_GENERIC", "KASAN_VMALLOC", "KASAN_STACK", "VMAP_STACK"),
    "leaks": ("DEBUG_KMEMLEAK",),
    "locks": ("PROVE_LOCKING", "PROVE_RCU", "DEBUG_ATOMIC_SLEEP"),
    "C": ("UBSAN", "UBSAN_BOUNDS", "UBSAN_SHIFT", "UBSAN_DIV_ZERO", "UBSAN_BOOL", "UBSAN_ENUM"),
    "lists and objects": ("DEBUG_LIST", "DEBUG_OBJECTS", "DEBUG_OBJECTS_FREE", "SLUB_DEBUG"),
    "pages": ("PAGE_POISONING",),
    "stuck": ("SOFTLOCKUP_DETECTOR", "DETECT_HUNG_TASK"),
    "fail-nth": ("FAULT_INJECTION", "FAILSLAB", "FAIL_PAGE_ALLOC", "PROC_FS"),
    "netfilter": ("NETFILTER", "NF_TABLES", "NF_TABLES_IPV4", "NFT_QUEUE", "NF_CONNTRACK"),
    "nfnetlink_queue": ("NETFILTER_NETLINK_QUEUE",),
    "other hosts": ("NAMESPACES", "NET_NS", "VETH"),
    "sockets": ("INET", "PACKET", "NETLINK_DIAG", "INET_TCP_DIAG", "INET_UDP_DIAG"),
    "tracing": ("KPROBES", "KPROBE_EVENTS", "FTRACE", "FUNCTION_TRACER", "BPF_SYSCALL", "BPF_JIT"),
    "modules": ("MODULES", "MODULE_UNLOAD", "KALLSYMS_ALL"),
    "as stock compiles": ("FORTIFY_SOURCE", "SECTION_MISMATCH_WARN_ONLY"),
    "%pe": ("SYMBOLIC_ERRNAME",),
}
"""What the debug kernel is for, and the options that make it so."""

WANTED = "".join(f"CONFIG_{option}=y\n" for options in PROMISED.values() for option in options)


def test_fragment_asks_for_all_that_was_promised() -> None:
    """No option goes by mistake: without its line nobody would miss it. vsock stays off."""
    fragment = OWN_FRAGMENT.read_text()
    assert missing_options(WANTED, fragment) == []
    assert "VSOCKETS" not in fragment


@pytest.mark.vm
def test_kernel_that_was_built_has_all_of_its_fragment(debug_kernel: Kernel) -> None:
    """Its own .config has each line, and the options that were promised; vsock is off."""
    (build,) = debug_kernel.build_mounts
    config = (build / ".config").read_text()
    assert "# CONFIG_VSOCKETS is not set\n" in config
    assert missing_options(WANTED, config) == []
    assert missing_options(OWN_FRAGMENT.read_text(), config) == []


@pytest.mark.vm
def test_it_has_the_features_and_boots(debug_kernel: Kernel) -> None:
    """All that checks may need is built in, and a guest with it says so."""
    assert debug_kernel.features == set(kernels.FEATURES)
    config = Config(debug_kernel, initramfs(debug_kernel), root())
    with snapshot.guest(config, {}) as guest:
        release = guest.run(["/bin/uname", "-r"]).text.strip()
        assert release == debug_kernel.release
        assert kernel_log.findings(guest.machine.console(), "any") == []


BEYOND_MEMBER = """
static struct { char name[4]; int port; } packet;
static int __init start(void)
{
	strcpy(packet.name, "longer than four");
	return packet.port;
}
static void __exit stop(void) { }
"""
EXIT_CALLED_BY_INIT = """
static noinline void __exit stop(void) { pr_info("stopped\\n"); }
static int __init start(void)
{
	stop();
	return 0;
}
"""


@pytest.mark.vm
@pytest.mark.parametrize("release", debian.SUITES)
@pytest.mark.parametrize(
    ("code", "compiles"), [(BEYOND_MEMBER, False), (EXIT_CALLED_BY_INIT, True)]
)
def test_the_same_code_compiles_as_for_the_stock_kernel(
    code: str, compiles: bool, release: str, tmp_path: Path
) -> None:
    """Fortify's errors are errors for both; what modpost only warns of there, it only warns of."""
    debug, stock = kernels.debug_if_built(release), kernels.stock_if_there(release)
    if debug is None or stock is None:
        pytest.skip(f"the kernels of Debian {release} are not in the cache")
    source = tmp_path / "demo.c"
    begin = "#include <linux/module.h>\n#include <linux/string.h>\n"
    end = 'module_init(start);\nmodule_exit(stop);\nMODULE_LICENSE("GPL");\n'
    source.write_text(begin + code + end)
    for on in (stock, debug):
        try:
            built = record_consoles.build(source, on)
        except SystemExit as error:
            assert not compiles, f"{on.release}: {error}"
        else:
            assert compiles and built, on.release


def test_build_tells_how_far_it_is_and_leaves_nothing_open(tmp_path: Path) -> None:
    """Each file that is compiled is a step, and make's output is closed when it has ended."""
    (tmp_path / "Makefile").write_text("bzImage modules:\n\t@echo '  CC      $@.o'\n")
    steps: list[int] = []
    debug_kernel._compile(
        tmp_path, tmp_path / "log", toolchain.host(), lambda done, _: steps.append(done)
    )
    gc.collect()  # what is left open warns, and a warning is an error
    assert steps == [1, 2]
    assert "CC      bzImage.o" in (tmp_path / "log").read_text()


def test_build_that_fails_shows_its_last_words(tmp_path: Path) -> None:
    """The error has what make said, and where all of it is."""
    (tmp_path / "Makefile").write_text("bzImage:\n\t@echo no such header; false\n")
    with pytest.raises(VMError, match="no such header"):
        debug_kernel._compile(
            tmp_path, tmp_path / "log", toolchain.host(), lambda done, total: None
        )


@pytest.mark.parametrize("there", [True, False])
def test_build_takes_ccache_where_there_is_one(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that was built before is built again in a fraction of the time."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if there else None)
    (tmp_path / "Makefile").write_text("bzImage modules:\n\t@echo by $(CC)\n")
    debug_kernel._compile(tmp_path, tmp_path / "log", toolchain.host(), lambda done, total: None)
    by = {line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("by ")}
    assert by == {"by ccache gcc" if there else "by cc"}


SOURCE = """\
allnoconfig:
	@grep -v =n$$ '$(KCONFIG_ALLCONFIG)' >.config
bzImage modules: second.o
	@mkdir -p arch/x86/boot; touch arch/x86/boot/bzImage
first.o:
	@echo '  CC      first.o'; touch first.o
second.o: first.o
	@echo '  CC      second.o'; test -e ../go || sleep 1000; touch second.o
"""
"""A Makefile in place of the kernel's: of two files the second waits until ../go is there."""

BUILD = """
from vm import debug_kernel, kernel
debug_kernel.source_package = lambda packages: "linux-source-9.9=9.9.1"
debug_kernel.require_tools = lambda: None
kernel._prove = lambda built: None
debug_kernel.ROOM, debug_kernel.STEPS = 0, 2
from checker import cli
cli.main(["kernel", "debug"])
"""


def test_killed_build_leaves_no_process_and_goes_on_where_it_was(
    tmp_path: Path, run_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL ends make and its compilers, too; what they had compiled is not compiled again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    work = debug_kernel.work_folder(
        f"linux-source-9.9_9.9.1+{kernels._debug_recipe(toolchain.host())}"
    )
    generated = work / "src/include/generated"
    generated.mkdir(parents=True)
    (work / "src/Makefile").write_text(SOURCE)
    (generated / "utsrelease.h").write_text('#define UTS_RELEASE "9.9.1-knetlab"\n')
    environment = os.environ | {"TMPDIR": str(run_folders)}
    argv = [sys.executable, "-c", BUILD]
    with subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as first:
        assert first.stderr
        try:
            said = b""
            while b"100 %" not in said:  # it begins with the second file
                said += (line := first.stderr.readline())
                assert line, said
            below = descendants(first.pid)
            pidfds = [os.pidfd_open(pid) for pid in below]
        finally:
            first.kill()
    assert b": 50 %" in said
    assert "make" in below.values()
    assert all_end(pidfds)
    (work / "go").touch()
    second = subprocess.run(
        argv, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert second.returncode == 0, second.stderr
    assert "9.9.1-knetlab" in second.stdout
    assert ": 100 %" in second.stderr  # one was done, and that is the other
    assert ": 50 %" not in second.stderr
    assert not work.exists()
