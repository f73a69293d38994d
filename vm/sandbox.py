"""bubblewrap around gcc and QEMU: what a command may see, write and use up.

The command sees a read-only system, the folders that are named, and nothing
else: no home, no network, no other process. It dies with its parent, and when
knetlab runs as root the command runs as nobody all the same.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm import tools
from vm.errors import NoSandbox

NOBODY = 65534

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
)


def prove() -> None:
    """Run nothing in a sandbox; raises NoSandbox, with bubblewrap's words, where that fails."""
    done = subprocess.run(
        Sandbox().argv(["true"]), check=False, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise NoSandbox(
            f"The sandbox does not work on this host: {done.stderr.strip()}. bubblewrap needs "
            "user namespaces (sysctl kernel.unprivileged_userns_clone=1) or root, and no chroot."
        )


@dataclass(frozen=True)
class Limits:
    """Bounds of one process of the sandbox: bytes of memory and of a file, cpu seconds."""

    memory: int | None = None
    file_size: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class Sandbox:
    """What one sandboxed command gets to see.

    *read_only* and *writable* map a host path to its path inside; *devices*
    are device nodes passed through. *system* is the folder of another system (vm/toolchain.py)
    that is seen in place of the host's. What is *trusted* keeps root's rights, where
    knetlab has them, so that it can read and write as knetlab itself.
    """

    read_only: Mapping[Path, str] = field(default_factory=dict)
    writable: Mapping[Path, str] = field(default_factory=dict)
    devices: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    cwd: str = "/"
    system: Path | None = None
    trusted: bool = False

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the whole command line that runs *command* inside."""
        args = [tools.find("bwrap"), "--die-with-parent", "--new-session"]
        args += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
        as_root = os.geteuid() == 0
        if not as_root:  # root needs no user namespace, and could not become nobody in one
            args.append("--unshare-user")
        inside = (*_SYSTEM, *self.read_only.values(), *self.writable.values())
        for folder in sorted(
            {str(parent) for p in inside for parent in list(Path(p).parents)[:-1]}
        ):
            if folder not in _SYSTEM and not folder.startswith("/usr/"):
                args += ["--perms", "0755", "--dir", folder]  # else bwrap makes it for root alone
        args += self._see_system()
        args += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
        for source, target in self.read_only.items():
            args += ["--ro-bind", str(source), target]
        for source, target in self.writable.items():
            args += ["--bind", str(source), target]
        for device in self.devices:
            args += ["--dev-bind", str(device), str(device)]
        args += ["--remount-ro", "/"]  # the folders that bwrap has made are its user's, if not root
        args += ["--clearenv", "--setenv", "PATH", "/usr/bin:/usr/sbin:/bin:/sbin"]
        for name, value in {"LC_ALL": "C.UTF-8", "HOME": "/tmp", **self.env}.items():  # noqa: S108
            args += ["--setenv", name, value]
        args += ["--chdir", self.cwd]
        drops = as_root and not self.trusted
        if drops:
            args += ["--cap-drop", "ALL"]
            args += [
                a for c in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP") for a in ("--cap-add", c)
            ]
        args.append("--")
        if drops:
            groups = ",".join(str(device.stat().st_gid) for device in self.devices)
            ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}"]
            ids.append(f"--groups={groups}" if groups else "--clear-groups")
            args += [self._tool("setpriv"), *ids, "--bounding-set=-all", "--inh-caps=-all", "--"]
        return args + self._prlimit() + list(command)

    def _see_system(self) -> list[str]:
        if self.system is None:
            return [word for path in _SYSTEM for word in ("--ro-bind-try", path, path)]
        args = []
        for name in ("usr", "etc"):
            args += ["--ro-bind", str(self.system / name), f"/{name}"]
        for name in ("bin", "sbin", "lib", "lib64"):
            args += ["--symlink", f"usr/{name}", f"/{name}"]
        return args

    def _tool(self, name: str) -> str:
        return f"/usr/bin/{name}" if self.system else tools.find(name)

    def _prlimit(self) -> list[str]:
        bounds = {
            "as": self.limits.memory,
            "fsize": self.limits.file_size,
            "cpu": self.limits.cpu_seconds,
            "nproc": self.limits.processes,
        }
        flags = [f"--{name}={value}" for name, value in bounds.items() if value is not None]
        return [self._tool("prlimit"), "--core=0", *flags, "--"]

    def own(self, path: Path) -> None:
        """Give *path* to the user that the command will run as."""
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
