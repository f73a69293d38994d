"""tools/setup.sh: what a host lacks is installed or named, a .venv that cannot work made again."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from support import ROOT

from vm import debian, toolchain, tools

BORROWED = ("sh", "cat", "dirname", "env", "find", "grep", "head", "readlink", "rm", "touch")
"""Programs of this host that the script runs."""

NEEDED = ("qemu-system-x86_64", "qemu-img", "bwrap", "setpriv", "make")
"""What every host has to have."""

COMPILER = ("gcc", "mke2fs")

VENV = """
import pathlib, shutil, sys
assert sys.argv[1:] == ["--clear", ".venv"]
made = pathlib.Path(".venv").resolve()
shutil.rmtree(made, ignore_errors=True)
(made / "bin").mkdir(parents=True)
(made / "bin/python").symlink_to(pathlib.Path("/usr/bin/python3").resolve())
(made / "bin/knetlab").write_text(f"#!{made}/bin/python")
"""
"""In place of the module venv, which takes seconds."""

RECORD = """#!/bin/sh
echo "${{0##*/}} $*" >>'{calls}'
"""


class Host:
    """A host of a test's own: its programs, its system's name and lists, and a clone in *folder*.

    Its Python has a pip that installs nothing.
    """

    def __init__(self, home: Path, folder: str = "knetlab") -> None:
        self.home = home
        self.clone = home / folder
        self.calls = home / "calls"
        self.lists = home / "lists"
        self.name = "ID=debian\nVERSION_ID=12\n"
        fake = home / "fake"
        for path in (self.clone / "tools", home / "bin", fake / "pip", fake / "venv", self.lists):
            path.mkdir(parents=True)
        shutil.copy(ROOT / "tools/setup.sh", self.clone / "tools")
        (self.clone / "pyproject.toml").write_text("")
        (self.lists / "a_Packages").write_text("")
        pip = f"import sys\nprint('pip', sys.argv[-1], file=open({str(self.calls)!r}, 'a'))\n"
        for name, text in {"pip": pip, "venv": VENV}.items():
            (fake / name / "__init__.py").write_text("")
            (fake / name / "__main__.py").write_text(text)
        self.has(BORROWED)
        self.fakes({"id": "#!/bin/sh\necho 1000\n"})
        self.record("apt-get", "sudo", *NEEDED, *COMPILER)
        self.fakes({"gcc": "#!/bin/sh\necho /usr/lib/libc.a\n"})

    def has(self, programs: Iterable[str]) -> None:
        """Let the host have programs of the real one."""
        for name in programs:
            found = shutil.which(name)
            assert found
            (self.home / "bin" / name).symlink_to(found)

    def fakes(self, programs: dict[str, str]) -> None:
        """Let the host have scripts by these names."""
        for name, text in programs.items():
            path = self.home / "bin" / name
            path.write_text(text)
            path.chmod(0o755)

    def record(self, *programs: str) -> None:
        """Let the host have programs that only say they were run; sudo runs nothing, either."""
        self.fakes(dict.fromkeys(programs, RECORD.format(calls=self.calls)))

    def lacks(self, *programs: str) -> None:
        """Take programs away."""
        for name in programs:
            (self.home / "bin" / name).unlink()

    def setup(self, want: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run the script there."""
        os_release = self.home / "os-release"
        os_release.write_text(self.name)
        inside = [tools.find("bwrap"), "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
        inside += ["--bind", str(self.home), str(self.home), "--tmpfs", "/var/lib"]
        inside += ["--ro-bind", str(os_release), str(Path("/etc/os-release").resolve())]
        inside += ["--ro-bind", str(self.lists), "/var/lib/apt/lists"]
        return subprocess.run(
            [*inside, "/bin/sh", str(self.clone / "tools/setup.sh"), *want.split()],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": f"{self.home}/bin", "PYTHONPATH": f"{self.home}/fake", **env},
        )

    def called(self) -> list[str]:
        """Return what was run of what is recorded."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def installed(self) -> list[str]:
        """Return the packages that apt-get was told to install."""
        found = [call for call in self.called() if call.startswith("sudo") and " install " in call]
        return [w for call in found for w in call.partition(" install ")[2].split() if w[0] != "-"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A Debian 12 that has what knetlab needs, with a user who has sudo."""
    return Host(tmp_path)


@pytest.fixture
def ready(host: Host) -> Host:
    """The same, where the script has run."""
    assert host.setup().returncode == 0
    host.calls.unlink()
    return host


# --- .venv ----------------------------------------------------------------------------


def test_where_all_is_there_nothing_is_done(ready: Host) -> None:
    """The second run says nothing and runs neither apt-get nor pip."""
    done = ready.setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ready.called() == []


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_clone_that_was_moved_or_copied_gets_its_own_venv(ready: Host, how: str) -> None:
    """The .venv of another folder is told of in one sentence, and made again once."""
    old = ready.clone
    ready.clone = ready.home / "a b" / "knetlab"
    ready.clone.parent.mkdir()
    if how == "moved":
        old.rename(ready.clone)
    else:
        shutil.copytree(old, ready.clone, symlinks=True)
    done = ready.setup()
    assert done.returncode == 0, done.stderr
    said = f"Making .venv again: it was made for {old}, but this folder is {ready.clone}."
    assert done.stdout.splitlines() == [said, "Installing the Python packages into .venv"]
    assert str(ready.clone) in (ready.clone / ".venv/bin/knetlab").read_text()
    assert ready.setup().stdout == ""
    assert (old / ".venv").exists() == (how == "copied")


def test_a_venv_whose_python_is_gone_is_made_again(ready: Host) -> None:
    """A link to a Python that an upgrade took away leads nowhere, and that is said."""
    python = ready.clone / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.0")
    done = ready.setup()
    assert done.returncode == 0, done.stderr
    assert "Making .venv again: the Python that it was made with no longer exists." in done.stdout
    assert (ready.clone / ".venv/bin/python").exists()


def test_a_venv_of_an_older_python_is_made_again(ready: Host) -> None:
    """The release was upgraded, and /usr/bin/python3 does not look where the packages are."""
    made_for = ready.clone / ".venv/.made-for"
    folder, python = made_for.read_text().splitlines()
    made_for.write_text(f"{folder}\n/usr/bin/python3.0\n")
    done = ready.setup()
    assert done.returncode == 0, done.stderr
    assert f"it was made with /usr/bin/python3.0, but now Python is {python}." in done.stdout
    assert ready.setup().stdout == ""


@pytest.mark.parametrize("what", ["half made", "of another folder"])
def test_a_venv_of_unknown_origin_is_made_again_if_it_does_not_work(ready: Host, what: str) -> None:
    """One whose making was stopped has no pip, and what pip wrote may lead to another folder."""
    (ready.clone / ".venv/.made-for").unlink()
    assert ready.setup().stdout == ""  # it works, whoever made it
    (ready.clone / ".venv/.made-for").unlink()
    if what == "half made":
        (ready.home / "fake/pip/__init__.py").write_text("raise ImportError")
    else:
        (ready.clone / ".venv/bin/knetlab").write_text("#!/other/.venv/bin/python")
    done = ready.setup()
    assert "Making .venv again: it is not complete, or it belongs to another folder." in done.stdout


def test_what_a_link_leads_to_is_left_alone(ready: Host) -> None:
    """A .venv that is a link to another clone's becomes one of its own; the other stays."""
    theirs = ready.home / "theirs"
    (ready.clone / ".venv").rename(theirs)
    (ready.clone / ".venv").symlink_to(theirs)
    (theirs / ".made-for").write_text(f"{theirs}\n\n")
    assert ready.setup().returncode == 0
    assert not (ready.clone / ".venv").is_symlink()
    assert (theirs / "bin/python").exists()


# --- packages -------------------------------------------------------------------------


def test_what_is_missing_is_named_and_installed_with_sudo(host: Host) -> None:
    """Each package with what it is for, and all of them by one apt-get."""
    host.lacks("qemu-img", "gcc")
    done = host.setup()
    assert done.returncode == 0, done.stderr
    assert "qemu-utils is missing; it makes the disks of the guests." in done.stdout
    assert "apt-get install qemu-utils gcc libc6-dev with sudo" in done.stdout
    assert host.installed() == ["qemu-utils", "gcc", "libc6-dev"]


def test_what_is_wanted_for_two_reasons_is_named_once(host: Host) -> None:
    """Developers need gcc for the modules and for the tests."""
    host.lacks("gcc")
    done = host.setup("dev")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gcc is missing") == 1
    assert {"gcc", "git", "shellcheck"} <= set(host.installed())


@pytest.mark.parametrize(
    ("name", "setting", "fetched"),
    [
        ("ID=debian\nVERSION_ID=12\n", "", False),
        ('ID=debian\nVERSION_ID="13"\n', "", False),
        ("ID=debian\nVERSION_CODENAME=forky\n", "", False),
        ("ID=debian\nVERSION_ID=99\n", "", True),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "", True),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "host", False),
        ("ID=debian\nVERSION_ID=12\n", "own", True),
    ],
)
def test_the_compiler_is_installed_where_the_hosts_own_serves(
    host: Host, name: str, setting: str, fetched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere knetlab fetches one, and the host needs neither gcc nor what builds kernels."""
    host.name = name
    (host.home / "os-release").write_text(name)
    monkeypatch.setattr(debian, "OS_RELEASE", host.home / "os-release")
    monkeypatch.setattr(shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setenv(toolchain.SETTING, setting)
    assert toolchain.is_host(debian.default_release()) != fetched  # knetlab does it alike
    monkeypatch.undo()
    host.lacks(*COMPILER)
    done = host.setup("kernel", **({"KNETLAB_TOOLCHAIN": setting} if setting else {}))
    assert done.returncode == 0, done.stderr
    missing = host.installed()
    assert bool({"gcc", "libc6-dev", "flex", "libelf-dev"} & set(missing)) != fetched, missing


def test_a_setting_that_is_none_is_refused(host: Host) -> None:
    """KNETLAB_TOOLCHAIN is own or host, and nothing is done before that is known."""
    done = host.setup(KNETLAB_TOOLCHAIN="mine")
    assert done.returncode == 2
    assert (
        done.stderr == "KNETLAB_TOOLCHAIN=mine is wrong: set it to own or host, or do not set it.\n"
    )
    assert not (host.clone / ".venv").exists()


def test_without_apt_what_is_needed_is_named(host: Host) -> None:
    """The packages that are missing, what they are for, and other systems' commands."""
    host.lacks("apt-get", "qemu-system-x86_64", "bwrap", *COMPILER)
    done = host.setup()
    assert done.returncode == 2
    assert re.findall(r"^(\S+) is missing", done.stdout, re.MULTILINE) == [
        "qemu-system-x86",
        "bubblewrap",
    ]
    assert "Python 3.11 or newer" in done.stderr
    assert "QEMU 7.2 or newer" in done.stderr
    assert "sudo dnf install" in done.stderr
    assert "sudo pacman -S" in done.stderr
    assert "apt-get" not in done.stderr
    assert host.called() == []


def test_without_apt_a_host_that_has_all_is_set_up(host: Host) -> None:
    """No apt and no compiler are no reason to stop."""
    host.lacks("apt-get", "sudo", *COMPILER)
    done = host.setup()
    assert done.returncode == 0, done.stderr
    assert host.called() == ["pip ."]


@pytest.mark.parametrize("sudo", ["none", "refuses"])
def test_without_root_the_commands_are_named(host: Host, sudo: str) -> None:
    """A user whom sudo does not let is told what to have run as root."""
    host.lacks("bwrap", "sudo")
    if sudo == "refuses":
        host.fakes({"sudo": "#!/bin/sh\nexit 1\n"})
    done = host.setup()
    assert done.returncode == 2
    assert "apt-get update; apt-get install bubblewrap" in done.stderr


def test_a_source_that_cannot_be_reached_stops_nothing(host: Host) -> None:
    """apt-get update fails for one bad source of many; what can be had is installed."""
    host.lacks("bwrap")
    record = RECORD.format(calls=host.calls)
    host.fakes({"sudo": record + 'case "$*" in *update) exit 100 ;; esac\n'})
    done = host.setup()
    assert done.returncode == 0, done.stderr
    assert "apt-get update failed" in done.stderr
    assert host.installed() == ["bubblewrap"]


def test_packages_that_cannot_be_had_end_it(host: Host) -> None:
    """They are named once more, and no .venv is made."""
    host.lacks("bwrap")
    host.fakes({"sudo": '#!/bin/sh\ncase "$*" in *install*) exit 100 ;; esac\n'})
    done = host.setup()
    assert done.returncode == 2
    assert "apt-get could not install bubblewrap" in done.stderr
    assert not (host.clone / ".venv").exists()


@pytest.mark.parametrize("setting", ["", "own"])
def test_apt_without_lists_is_updated(host: Host, setting: str) -> None:
    """A new machine's apt knows no package, and no mirror."""
    (host.lists / "a_Packages").unlink()
    assert host.setup(KNETLAB_TOOLCHAIN=setting).returncode == 0
    assert any(call.endswith("update") for call in host.called())


def test_with_a_mirror_named_apt_is_not_asked(host: Host) -> None:
    """A compiler of knetlab's own from KNETLAB_MIRROR needs no root, even where apt is new."""
    (host.lists / "a_Packages").unlink()
    host.lacks("sudo")
    done = host.setup(KNETLAB_TOOLCHAIN="own", KNETLAB_MIRROR="https://mirror.example/debian")
    assert done.returncode == 0, done.stderr
