"""The cache: entries are made once, whole and verified, or made again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

from vm import cache
from vm.errors import MissingTool, VMError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own; return its folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "knetlab"


class Maker:
    """A make function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        """Fill *folder* with two files and a link."""
        self.calls += 1
        (folder / "image").write_bytes(b"kernel" * 1000)
        (folder / "drivers").mkdir()
        (folder / "drivers" / "list").write_text("a.ko\n")
        (folder / "link").symlink_to("image")


@pytest.fixture
def make() -> Maker:
    """A maker that was not called yet."""
    return Maker()


def names(folder: Path) -> set[str]:
    """What is below *folder*, locks left out."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix != ".lock"}


def later(path: Path) -> None:
    """Give *path* another time than it had."""
    st = path.stat(follow_symlinks=False)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns + 10**9), follow_symlinks=False)


# --- made once -----------------------------------------------------------------------


def test_an_entry_is_made_once(make: Maker) -> None:
    """The second caller gets what the first one made."""
    first = cache.entry("kernel", "key", make)
    assert cache.entry("kernel", "key", make) == first
    assert make.calls == 1
    assert (first / "image").read_bytes() == b"kernel" * 1000


def test_another_key_is_another_entry(make: Maker) -> None:
    """Entries of different keys do not share a folder."""
    assert cache.entry("kernel", "one", make) != cache.entry("kernel", "two", make)
    assert make.calls == 2


def test_a_copied_cache_is_still_good(make: Maker) -> None:
    """A file whose time changed and whose bytes did not is not made again."""
    folder = cache.entry("kernel", "key", make)
    later(folder / "image")
    later(folder / "link")
    cache.entry("kernel", "key", make)
    assert make.calls == 1


def test_xdg_cache_home_is_where_it_lies(home: Path, make: Maker) -> None:
    """Entries lie below $XDG_CACHE_HOME/knetlab."""
    assert cache.entry("kernel", "key", make) == home / "kernel" / "key"


def test_an_entry_can_be_read_by_others(make: Maker) -> None:
    """The sandbox's user, who is nobody, may look into an entry."""
    assert cache.entry("kernel", "key", make).stat().st_mode & 0o777 == 0o755


# --- broken entries ------------------------------------------------------------------


def truncated(folder: Path) -> None:
    """Cut a file short, and let its time be what it was."""
    st = (folder / "image").stat()
    os.truncate(folder / "image", 100)
    os.utime(folder / "image", ns=(st.st_atime_ns, st.st_mtime_ns))


def emptied(folder: Path) -> None:
    """Empty a file."""
    (folder / "drivers" / "list").write_bytes(b"")


def missing(folder: Path) -> None:
    """Take a file away."""
    (folder / "drivers" / "list").unlink()


def extra(folder: Path) -> None:
    """Put a file in."""
    (folder / "drivers" / "evil.ko").write_bytes(b"")


def garbage(folder: Path) -> None:
    """Write other bytes, just as many."""
    (folder / "image").write_bytes(b"garbage" * 1000)
    os.truncate(folder / "image", 6000)
    later(folder / "image")


def relinked(folder: Path) -> None:
    """Let the link point elsewhere, to a name of the same length."""
    (folder / "link").unlink()
    (folder / "link").symlink_to("imagf")
    later(folder / "link")


def half_manifest(folder: Path) -> None:
    """Cut the manifest in half."""
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


def no_manifest(folder: Path) -> None:
    """Take the manifest away."""
    (folder / "manifest.json").unlink()


def binary_manifest(folder: Path) -> None:
    """Fill the manifest with zeros, as a crash of the host leaves it."""
    (folder / "manifest.json").write_bytes(b"\0" * 300)


def strange_manifest(folder: Path) -> None:
    """Make the manifest JSON of another form."""
    (folder / "manifest.json").write_text('["image"]')


def strange_line(folder: Path) -> None:
    """Make one file's line in the manifest another form."""
    (folder / "manifest.json").write_text('{"image": 1, "drivers/list": 2, "link": 3}')


DAMAGE = (
    *(truncated, emptied, missing, extra, garbage, relinked),
    *(half_manifest, no_manifest, binary_manifest, strange_manifest, strange_line),
)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_a_broken_entry_is_made_again(damage: Callable[[Path], None], make: Maker) -> None:
    """Whatever was done to an entry, the next caller gets a whole one."""
    folder = cache.entry("kernel", "key", make)
    before = names(folder)
    damage(folder)
    assert cache.entry("kernel", "key", make) == folder
    assert make.calls == 2
    assert names(folder) == before
    assert (folder / "image").read_bytes() == b"kernel" * 1000
    cache.entry("kernel", "key", make)
    assert make.calls == 2


def test_nothing_of_a_broken_entry_stays(home: Path, make: Maker) -> None:
    """A replaced entry leaves no folder beside the new one."""
    folder = cache.entry("kernel", "key", make)
    truncated(folder)
    cache.entry("kernel", "key", make)
    assert [p.name for p in (home / "kernel").iterdir() if p.suffix != ".lock"] == ["key"]


def test_a_file_where_the_entry_belongs_is_replaced(home: Path, make: Maker) -> None:
    """A stray file with the entry's name gives way."""
    (home / "kernel").mkdir(parents=True)
    (home / "kernel" / "key").write_text("stray")
    assert (cache.entry("kernel", "key", make) / "image").is_file()


# --- entries that are no good ---------------------------------------------------------


def test_an_entry_that_is_dropped_is_made_again(home: Path, make: Maker) -> None:
    """Who found out that an entry is no good throws it away, and nothing of it stays."""
    folder = cache.entry("kernel", "key", make)
    assert cache.drop(folder, cache.stamp(folder))
    assert names(home) == {"kernel"}
    assert not cache.drop(folder, cache.stamp(folder))
    assert cache.entry("kernel", "key", make) == folder
    assert make.calls == 2


def test_what_another_process_made_anew_is_not_dropped(make: Maker) -> None:
    """Two processes find the same entry bad: the second leaves alone what took its place."""
    folder = cache.entry("kernel", "key", make)
    made = cache.stamp(folder)
    assert cache.drop(folder, made)
    cache.entry("kernel", "key", make)
    assert not cache.drop(folder, made)
    assert cache.is_whole(folder)


# --- failures ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [VMError("no"), RuntimeError("bug"), KeyboardInterrupt()])
def test_a_make_that_fails_leaves_nothing(home: Path, error: BaseException) -> None:
    """The error of make comes through as it is, and no half entry stays."""

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise error

    with pytest.raises(type(error)):
        cache.entry("kernel", "key", fail)
    assert names(home) == {"kernel"}


def test_after_a_failure_the_entry_can_be_made(make: Maker) -> None:
    """A failed make does not stand in the way of the next."""

    def fail(folder: Path) -> None:
        raise MissingTool("gcc is not on this host: run `apt install gcc`.")

    with pytest.raises(MissingTool, match="apt install gcc"):
        cache.entry("kernel", "key", fail)
    cache.entry("kernel", "key", make)
    assert make.calls == 1


def test_a_failed_repair_leaves_no_broken_entry_as_whole(make: Maker) -> None:
    """When a broken entry cannot be made again it still counts as broken."""
    folder = cache.entry("kernel", "key", make)
    truncated(folder)

    def fail(folder: Path) -> None:
        raise VMError("no network")

    with pytest.raises(VMError, match="no network"):
        cache.entry("kernel", "key", fail)
    assert not cache.is_whole(folder)


def test_a_full_disk_is_a_sentence(home: Path) -> None:
    """ENOSPC names the entry, the reason and what to do."""

    def fill(folder: Path) -> None:
        with Path("/dev/full").open("wb", buffering=0) as f:
            f.write(b"x")

    with pytest.raises(VMError) as caught:
        cache.entry("kernel", "key", fill)
    text = str(caught.value)
    assert str(home / "kernel" / "key") in text
    assert "No space left on device" in text
    assert "XDG_CACHE_HOME" in text
    assert names(home) == {"kernel"}


def test_a_cache_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no folder can be made the error names it and XDG_CACHE_HOME."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(VMError, match=rf"{tmp_path}/file/knetlab cannot be made.*XDG_CACHE_HOME"):
        cache.root()


def test_a_cache_that_cannot_be_written_is_a_sentence(home: Path, make: Maker) -> None:
    """Where an entry's folder cannot be made the error names it and XDG_CACHE_HOME."""
    home.mkdir(parents=True)
    (home / "kernel").write_text("a file where a folder belongs")
    with pytest.raises(VMError, match=rf"{home}/kernel.*XDG_CACHE_HOME"):
        cache.entry("kernel", "key", make)


def test_a_read_only_cache_is_a_sentence(
    run_folders: Path, monkeypatch: pytest.MonkeyPatch, make: Maker
) -> None:
    """A cache folder without write permission is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(run_folders))
    (run_folders / "knetlab").mkdir(mode=0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may write everywhere
    try:
        with pytest.raises(VMError, match=rf"{run_folders}.*Permission denied.*XDG_CACHE_HOME"):
            cache.entry("kernel", "key", make)
    finally:
        os.seteuid(user)


# --- two processes -------------------------------------------------------------------

_PROCESS = """
import sys
from pathlib import Path
from vm import cache

class Lock(cache.FileLock):
    def __enter__(self):
        print("at the lock", flush=True)
        return super().__enter__()

def make(folder):
    print("making", flush=True)
    (folder / f"half-{sys.argv[1]}").write_text("half")
    sys.stdin.readline()
    (folder / "name").write_text(sys.argv[1])

cache.FileLock = Lock
print("done", (cache.entry("kernel", "key", make) / "name").read_text(), flush=True)
"""


def process(name: str) -> subprocess.Popen[bytes]:
    """Start a process that asks for the entry, and waits for a line while it makes it."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROCESS, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # so that what was not read yet stays in the pipe
        cwd=ROOT,
    )


def said(running: subprocess.Popen[bytes]) -> str:
    """Return the next line that the process prints."""
    assert running.stdout
    return running.stdout.readline().decode().strip()


def test_two_processes_make_an_entry_once() -> None:
    """Who comes while another makes the entry waits for it, and takes what was made."""
    with process("first") as first, process("second") as second:
        assert said(first) == said(second) == "at the lock"  # both found nothing there
        # one of the two is let in; a pipe tells which
        ready, _, _ = select.select([first.stdout, second.stdout], [], [], 30)
        maker, waiter = (first, second) if first.stdout in ready else (second, first)
        assert said(maker) == "making"
        maker.communicate(b"\n")
        winner = "first" if maker is first else "second"
        # had the other one made it too, it would say "making" first
        assert said(waiter) == f"done {winner}"
        waiter.communicate()
    assert first.returncode == second.returncode == 0


def test_a_process_killed_while_making_blocks_nobody(home: Path) -> None:
    """After SIGKILL the next process makes the entry, and sweeps what the killed one left."""
    with process("killed") as killed:
        assert said(killed) == "at the lock"
        assert said(killed) == "making"
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert not (home / "kernel" / "key").exists()
    with process("next") as after:
        assert said(after) == "at the lock"
        assert said(after) == "making"
        out, _ = after.communicate(b"\n", timeout=30)
    assert out.strip() == b"done next"
    assert names(home) == {
        "kernel",
        *(f"kernel/key{name}" for name in ("", "/half-next", "/name", "/manifest.json")),
    }


# --- hashes --------------------------------------------------------------------------


def test_digest_keeps_its_parts_apart() -> None:
    """("ab", "c") and ("a", "bc") are different things."""
    assert cache.digest("ab", "c") != cache.digest("a", "bc")


def test_digest_reads_files(tmp_path: Path) -> None:
    """A path stands for its bytes."""
    (tmp_path / "f").write_bytes(b"text")
    assert cache.digest(tmp_path / "f") == cache.digest(b"text") == cache.digest("text")
