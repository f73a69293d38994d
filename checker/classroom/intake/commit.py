"""What a git checkout from outside holds, read without running anything of it.

git obeys the configuration of the repository it is in, which can name programs
to run. So it is given a repository of ours, which has nothing but the objects.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from checker.classroom.intake.layout import MAX_FILES
from checker.engine.submission import MAX_SOURCE
from checker.errors import InputError

_SECONDS = 20
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"ref: (refs/[\w./+@-]+)")
_MAX_COMMITS = 100_000


@dataclass(frozen=True)
class Commit:
    """A commit: its hash, and the time that the committer's clock said, or that git was told."""

    hash: str
    when: datetime

    @property
    def short(self) -> str:
        """The first digits of the hash, as git shows them."""
        return self.hash[:7]


@dataclass(frozen=True)
class Rule:
    """Which commit of a checkout is graded: HEAD, the one with a *tag*, or the last *until* then.

    With neither it is HEAD.
    """

    tag: str = ""
    until: datetime | None = None


class Checkout:
    """A checkout's history. Use it as a context manager; what cannot be read is not there."""

    def __init__(self, folder: Path) -> None:
        self._git = folder / ".git"
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Checkout:
        folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="knetlab-git-"))
        self._own = Path(folder)
        (self._own / "refs").mkdir()
        (self._own / "HEAD").write_text("ref: refs/heads/none\n")
        # a file or a link would lead elsewhere
        self._there = not self._git.is_symlink() and self._git.is_dir()
        head = self._head() if self._there else ""
        (self._own / "config").write_text(
            "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectformat = sha256\n"
            if len(head) == 64
            else "[core]\nrepositoryformatversion = 0\n"
        )
        (self._own / "objects").symlink_to((self._git / "objects").absolute())
        self.head = self._commit(head) if head else None
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def chosen(self, rule: Rule) -> Commit:
        """Return the commit that *rule* chooses; raises InputError when there is none."""
        if rule.tag:
            if found := self.tag(rule.tag):
                return found
            raise InputError(
                f"There is no tag {rule.tag}, and the course grades the commit that has it."
            )
        if self.head is None:
            raise InputError("It is a checkout without a commit, and the course grades commits.")
        if rule.until is None:
            return self.head
        for one in self.history():
            if one.when <= rule.until:
                return one
        raise InputError(
            f"No commit is from before the deadline; the last one, {self.head.short}, is of "
            f"{self.head.when:%Y-%m-%d %H:%M %z}."
        )

    def history(self) -> Iterator[Commit]:
        """Yield HEAD and what came before it on its branch, the newest first."""
        if self.head is None:
            return
        told = self._run(
            "log", "--first-parent", f"-{_MAX_COMMITS}", "--format=%H %cI", self.head.hash, "--"
        )
        for line in told.decode().splitlines():
            hash_, _, when = line.partition(" ")
            yield Commit(hash_, datetime.fromisoformat(when))

    def tag(self, name: str) -> Commit | None:
        """Return what the tag *name* stands for."""
        hash_ = self.tags().get(name)
        return self._commit(hash_) if hash_ else None

    def tags(self) -> dict[str, str]:
        """Return the names of the tags, and the hashes that they have."""
        found: dict[str, str] = {}
        if not self._there:
            return {}
        for line in _text(self._git / "packed-refs").splitlines():
            if packed := re.fullmatch(rf"({_HASH.pattern}) refs/tags/(\S+)", line):
                found[packed[2]] = packed[1]
        with contextlib.suppress(OSError):
            for path in (self._git / "refs" / "tags").iterdir():
                if _HASH.fullmatch(text := _text(path)):
                    found[path.name] = text
        return found

    def ahead(self, commit: Commit) -> int | None:
        """Return how many commits HEAD is past *commit*; negative: behind. None: neither."""
        if self.head is None:
            return None
        told = self._run("rev-list", "--count", "--left-right", f"{commit.hash}...{self.head.hash}")
        left, right = map(int, told.split())
        return None if left and right else right - left

    def files(self, commit: Commit) -> Mapping[str, str]:
        """Return path -> hash of the regular files of *commit* that are no larger than a source.

        Raises InputError when there are too many.
        """
        told = self._run("ls-tree", "-r", "-z", "-l", "--full-tree", commit.hash)
        found = {}
        entries = told.split(b"\0")
        if len(entries) > MAX_FILES:
            raise InputError(
                f"There are more than {MAX_FILES} files; hand in the files of the lab only."
            )
        for entry in filter(None, entries):
            about, _, path = entry.partition(b"\t")
            mode, _, hash_, size = about.split()
            if mode in (b"100644", b"100755") and int(size) <= MAX_SOURCE:
                found[path.decode(errors="surrogateescape")] = hash_.decode()
        return found

    def lay_out(self, commit: Commit, suffixes: Collection[str], folder: Path) -> None:
        """Write the files of *commit* whose names end so to the new *folder*."""
        folder.mkdir()
        for path, hash_ in self.files(commit).items():
            parts = PurePosixPath(path).parts
            if PurePosixPath(path).suffix in suffixes and ".." not in parts and ".git" not in parts:
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._run("cat-file", "blob", hash_))

    def _commit(self, hash_: str) -> Commit | None:
        try:
            told = self._run("log", "-1", "--format=%H %cI", hash_, "--").decode().strip()
            found, _, when = told.partition(" ")
            return Commit(found, datetime.fromisoformat(when))
        except (InputError, ValueError):
            return None

    def _run(self, *arguments: str) -> bytes:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._own),
            "GIT_DIR": str(self._own),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "LC_ALL": "C",
        }
        try:
            return subprocess.run(
                ["git", "-c", "core.commitGraph=false", *arguments],
                cwd=self._own,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise InputError("The checkout's history cannot be read; clone it again.") from error

    def _head(self) -> str:
        """Return the hash that HEAD stands for; empty if it cannot be told."""
        head = _text(self._git / "HEAD")
        if found := _REF.fullmatch(head):
            if ".." in found[1]:
                return ""
            ref = found[1]
            packed = re.search(
                rf"^({_HASH.pattern}) {re.escape(ref)}$",
                _text(self._git / "packed-refs"),
                re.MULTILINE,
            )
            head = _text(self._git / ref) or (packed[1] if packed else "")
        return head if _HASH.fullmatch(head) else ""


def blob(content: bytes, like: str) -> str:
    """Return git's hash of a file's *content*, of the kind that *like* is."""
    made = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return made(b"blob %d\0" % len(content) + content).hexdigest()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as f:
            return f.read(1 << 22).decode("utf-8", "replace").strip()
    return ""
