"""The sandbox, tried with the real bubblewrap: what a command sees, writes and uses up."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, all_end

from vm import tools
from vm.errors import MissingTool
from vm.sandbox import Limits, Sandbox
from vm.tools import descendants

MIB = 1 << 20


def run(script: str, sandbox: Sandbox | None = None) -> subprocess.CompletedProcess[str]:
    """Run a shell script in *sandbox*."""
    return subprocess.run(
        (sandbox or Sandbox()).argv(["/bin/bash", "-c", script]),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(run_folders: Path) -> Path:
    """A folder of the host with a file in it."""
    (run_folders / "file").write_text("in the folder")
    (run_folders / "file").chmod(0o644)
    return run_folders


# --- what it sees --------------------------------------------------------------------


def test_a_command_runs() -> None:
    """Output and exit status come back as they are."""
    done = run("echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize(
    "path",
    [
        Path.home(),
        ROOT,
        ROOT / "labs/networking/solution",
        Path("/etc/passwd"),
        Path("/etc/shadow"),
    ],
    ids=["home", "the project", "the solution", "passwd", "shadow"],
)
def test_nothing_of_the_host_but_its_system_is_seen(path: Path) -> None:
    """The home folder, the project, and the host's own settings are not there."""
    assert path.exists()
    done = run(f"ls -d '{path}'")
    assert done.returncode != 0
    assert "No such file" in done.stderr


def test_the_root_holds_the_system_and_nothing_else() -> None:
    """Only what was listed is below the root."""
    seen = set(run("ls -A /").stdout.split())
    assert seen <= {"usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "proc", "dev", "tmp"}
    assert set(run("ls -A /etc").stdout.split()) <= {"alternatives", "ld.so.cache"}


def test_tmp_is_its_own(folder: Path) -> None:
    """/tmp is empty, may be written, and is gone afterwards."""
    done = run(f"ls -A /tmp; echo x >/tmp/mine && cat /tmp/mine; ls '{folder}'")
    assert done.stdout == "x\n"
    assert not Path("/tmp/mine").exists()


def test_the_environment_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the host, which may hold secrets, are not there; those asked for are."""
    monkeypatch.setenv("API_TOKEN", "hunter2")
    done = run("env", Sandbox(env={"ARCH": "x86"}))
    names = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert "hunter2" not in done.stdout
    assert names["ARCH"] == "x86"
    assert names["HOME"] == "/tmp"


def test_no_other_process_is_seen() -> None:
    """/proc lists the sandbox's own processes and none of the host's."""
    done = run("cd /proc; cat [0-9]*/comm")
    assert set(done.stdout.split()) <= {"bwrap", "bash", "cat"}


def test_no_other_process_can_be_killed() -> None:
    """A signal to a process of the host finds none."""
    with subprocess.Popen(["/bin/sleep", "600"]) as sleeper:
        done = run(f"kill -9 {sleeper.pid}")
        assert done.returncode != 0
        assert sleeper.poll() is None
        sleeper.kill()


def test_there_is_no_network() -> None:
    """A listener of the host's loopback is out of reach, by address and by abstract name."""
    name = f"knetlab-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        script = f"exec 3<>/dev/tcp/127.0.0.1/{tcp.getsockname()[1]}"
        assert subprocess.run(["/bin/bash", "-c", script], check=False).returncode == 0
        assert run(script).returncode != 0
        assert name not in run("cat /proc/net/unix").stdout
    devices = run("cat /proc/net/dev").stdout
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]


def test_it_has_no_terminal() -> None:
    """The command cannot push keys into the terminal that knetlab was started from."""
    command = ["/bin/bash", "-c", "exec 3<>/dev/tty"]
    for argv, status in ((command, 0), (Sandbox().argv(command), 1)):
        on_a_terminal = ["script", "-qec", shlex.join(argv), "/dev/null"]
        done = subprocess.run(on_a_terminal, check=False, stdout=subprocess.PIPE, timeout=60)
        assert done.returncode == status, done.stdout


@pytest.mark.parametrize("kind", ["ipc", "mnt", "net", "pid", "uts"])
def test_its_namespaces_are_its_own(kind: str) -> None:
    """Shared memory, mounts, network, processes and host name are not those of the host."""
    inside = run(f"readlink /proc/self/ns/{kind}").stdout.strip()
    assert inside
    assert inside != str(Path(f"/proc/self/ns/{kind}").readlink())


# --- what it writes ------------------------------------------------------------------


def test_a_writable_folder_can_be_written(folder: Path) -> None:
    """What the command writes there is on the host, as is what lay there for the command."""
    sandbox = Sandbox(writable={folder: "/work"}, cwd="/work")
    sandbox.own(folder)
    done = run("cat file; pwd; echo done >new", sandbox)
    assert (done.stdout, done.stderr) == ("in the folder/work\n", "")
    assert (folder / "new").read_text() == "done\n"


def test_a_read_only_folder_cannot_be_written(folder: Path) -> None:
    """Reading works; writing, removing, renaming and changing the mode do not."""
    sandbox = Sandbox(read_only={folder: "/given/folder"})
    sandbox.own(folder)
    sandbox.own(folder / "file")
    assert run("cat /given/folder/file", sandbox).stdout == "in the folder"
    for script in ("echo x >new", "echo x >file", "rm -f file", "mv file other", "chmod 777 file"):
        assert run(f"cd /given/folder && {script}", sandbox).returncode != 0, script
    assert [p.name for p in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "in the folder"


def test_the_system_cannot_be_written() -> None:
    """Not even what belongs to everybody: the mounts are read-only."""
    for path in ("/usr/bin/evil", "/usr/lib/evil", "/bin/evil", "/etc/evil", "/evil"):
        assert run(f"echo x >{path}").returncode != 0, path
    options = run("grep ' /usr ' /proc/mounts").stdout.split()[3].split(",")
    assert "ro" in options


def test_a_link_out_of_the_writable_folder_leads_nowhere(folder: Path) -> None:
    """A link to a file of the host is broken inside."""
    (folder / "link").symlink_to("/etc/passwd")
    done = run("cat /work/link", Sandbox(writable={folder: "/work"}))
    assert done.returncode != 0
    assert done.stdout == ""


# --- its rights ----------------------------------------------------------------------


def test_it_runs_without_the_rights_of_root() -> None:
    """The command has no capabilities, cannot get any, and is not root nor of root's groups."""
    done = subprocess.run(
        Sandbox().argv(["/bin/cat", "/proc/self/status"]),
        check=True,
        capture_output=True,
        text=True,
        extra_groups=[0, 4] if os.geteuid() == 0 else None,
    )
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    for kind in ("Uid", "Gid", "Groups"):
        assert "0" not in status[kind].split()
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="every test here runs it as an ordinary user")
def test_an_ordinary_user_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the command runs as the user, in a user namespace, with no capabilities."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    forbidden = "ls /home /root; touch /etc/evil /evil"
    argv = Sandbox(limits=Limits(memory=256 * MIB)).argv(
        ["/bin/sh", "-c", f"id -u; grep CapEff /proc/self/status; {forbidden}"]
    )
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, user=12345, group=12345, extra_groups=[]
    )
    assert done.stdout.splitlines() == ["12345", "CapEff:\t0000000000000000"]
    assert done.stderr.count("No such file") == 2
    assert done.stderr.count("Read-only file system") == 2


def test_it_cannot_become_root() -> None:
    """Programs with the setuid bit do not give it."""
    done = run("id -u; mount -t tmpfs none /tmp; su -c id; unshare -r id -u")
    assert done.stdout.splitlines()[0] != "0"
    assert "uid=0" not in done.stdout


# --- what it uses up -----------------------------------------------------------------


def test_memory_is_bounded() -> None:
    """A command that wants more than its share fails; within it, it does not."""
    script = "head -c {} /dev/zero | tail -n 1 | wc -c"  # tail keeps the whole line
    limited = Sandbox(limits=Limits(memory=64 * MIB))
    assert run(script.format(MIB), limited).stdout == f"{MIB}\n"
    assert run(script.format(200 * MIB)).stdout == f"{200 * MIB}\n"
    assert run(script.format(200 * MIB), limited).stdout == "0\n"


def test_cpu_time_is_bounded() -> None:
    """A command that computes for ever is killed."""
    done = run("while :; do :; done", Sandbox(limits=Limits(cpu_seconds=1)))
    assert done.returncode - 128 in (signal.SIGKILL, signal.SIGXCPU)


def test_the_size_of_a_file_is_bounded(folder: Path) -> None:
    """A command that fills the disk is stopped at its bound."""
    sandbox = Sandbox(writable={folder: "/work"}, limits=Limits(file_size=MIB))
    sandbox.own(folder)
    assert run("head -c 1000000 /dev/zero >/work/small", sandbox).returncode == 0
    assert run("head -c 3000000 /dev/zero >/work/large", sandbox).returncode != 0
    assert (folder / "small").stat().st_size == 1000000
    assert (folder / "large").stat().st_size <= MIB


def test_processes_are_bounded() -> None:
    """A command that forks for ever cannot have more than its share."""
    script = "sh -c 'for i in $(seq 100); do sleep 600 & done; echo 100'"
    assert run(script).stdout == "100\n"
    done = run(script, Sandbox(limits=Limits(processes=30)))
    assert (done.stdout, done.returncode) == ("", 2)
    assert "Cannot fork" in done.stderr


def test_no_core_is_dumped() -> None:
    """A command that crashes leaves no memory image behind, whatever the host's limit is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        assert run("ulimit -Hc; ulimit -Sc").stdout == "0\n0\n"
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


# --- its end -------------------------------------------------------------------------

_HOLDER = """
import subprocess, sys
from vm.sandbox import Sandbox
script = "setsid sh -c 'echo up; exec sleep 600' & wait"
running = subprocess.Popen(Sandbox().argv(["/bin/sh", "-c", script]), stdout=subprocess.PIPE)
running.stdout.readline()
print("up", flush=True)
sys.stdin.read()
"""


def test_it_dies_with_its_parent() -> None:
    """SIGKILL to the parent ends every process of the sandbox, those in other sessions too."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        below = descendants(holder.pid)
        assert len(below) >= 4  # bubblewrap twice, the shell, and what it started
        pidfds = [os.pidfd_open(pid) for pid in below]
        holder.kill()
    assert all_end(pidfds)


def test_it_dies_when_bubblewrap_does() -> None:
    """SIGKILL to bubblewrap ends what runs inside."""
    script = "setsid sh -c 'echo up; exec sleep 600' & wait"
    with subprocess.Popen(
        Sandbox().argv(["/bin/sh", "-c", script]), stdout=subprocess.PIPE
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == b"up\n"
        below = descendants(running.pid)
        assert len(below) >= 3
        pidfds = [os.pidfd_open(pid) for pid in below]
        running.kill()
    assert all_end(pidfds)


def test_without_bubblewrap_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    which = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(tools.shutil, "which", lambda name, **_: which.get(name))
    with pytest.raises(MissingTool, match="bwrap is not installed: run `apt install bubblewrap`"):
        Sandbox().argv(["true"])
