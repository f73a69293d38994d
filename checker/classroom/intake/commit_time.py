"""When the commit of a git checkout from outside was made, without running anything of it.

git obeys the configuration of the repository it is in, which can name programs
to run. So it is given a repository of ours, which has nothing but the objects.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

_SECONDS = 20
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"ref: (refs/[\w./+@-]+)")


def of_head(checkout: Path) -> datetime | None:
    """Return the committer's time of HEAD in the folder *checkout*; None where there is none.

    It is what the student's clock said, or what they told git to write.
    """
    git = checkout / ".git"
    commit = _head(git)
    if not commit:
        return None
    with tempfile.TemporaryDirectory(prefix="knetlab-git-") as folder:
        own = Path(folder)
        (own / "refs").mkdir()
        (own / "HEAD").write_text("ref: refs/heads/none\n")
        long = len(commit) == 64
        (own / "config").write_text(
            "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectformat = sha256\n"
            if long
            else "[core]\nrepositoryformatversion = 0\n"
        )
        (own / "objects").symlink_to((git / "objects").absolute())
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "GIT_DIR": folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "LC_ALL": "C",
        }
        show = ["git", "-c", "core.commitGraph=false", "log", "-1", "--format=%cI", commit, "--"]
        try:
            done = subprocess.run(
                show,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
            return datetime.fromisoformat(done.stdout.decode().strip())
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


def _head(git: Path) -> str:
    """Return the hash that HEAD stands for; empty if it cannot be told."""
    if git.is_symlink() or not git.is_dir():  # a file or a link would lead elsewhere
        return ""
    head = _text(git / "HEAD")
    if found := _REF.fullmatch(head):
        if ".." in found[1]:
            return ""
        ref = found[1]
        packed = re.search(
            rf"^({_HASH.pattern}) {re.escape(ref)}$", _text(git / "packed-refs"), re.MULTILINE
        )
        head = _text(git / ref) or (packed[1] if packed else "")
    return head if _HASH.fullmatch(head) else ""


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as f:
            return f.read(1 << 22).decode("utf-8", "replace").strip()
    return ""
