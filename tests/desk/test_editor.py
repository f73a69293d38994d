"""knetlab editor: clangd finds the kernel's headers; the settings that editors read are right."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, SOLUTION

from checker import cli
from checker.desk import editor, lint
from checker.model import Lab
from vm import kernel as kernels
from vm.kernel import Kernel

FILES = {
    "1-2-netfilter/kernel/filter.c",
    "1-2-netfilter/user/test.c",
    "3-4-tcp-sock/tcp_sock.c",
    "5-udp-sock/udp_sock.c",
}
"""The C files that students of the networking lab have."""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a student's files, solved."""
    return Path(shutil.copytree(SOLUTION, tmp_path / "desk"))


def entries(folder: Path) -> dict[str, dict[str, object]]:
    """Return the entries of a folder's compile_commands.json by file."""
    read = json.loads((folder / editor.FILE).read_text())
    return {str(Path(entry["file"]).relative_to(folder)): entry for entry in read}


@pytest.fixture(params=["stock", "debug"])
def written(request: pytest.FixtureRequest, lab: Lab, desk: Path) -> Path:
    """A student's folder with the file, for each kernel that is at hand."""
    kernel = kernels.stock() if request.param == "stock" else kernels.debug_if_built()
    if kernel is None:
        pytest.skip("the debug kernel is not built here: make kernel NAME=debug")
    assert editor.write(lab, kernel, desk) == desk / editor.FILE
    return desk


def compiled(entry: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Have gcc read the file of *entry* by its command, on the host."""
    words = entry["arguments"]
    assert isinstance(words, list)
    return subprocess.run(
        [*words, "-fsyntax-only"],
        cwd=str(entry["directory"]),
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_commands_compile_every_file_as_they_stand(written: Path) -> None:
    """Run by gcc on the host, where the sandbox's paths mean nothing, none finds an error."""
    found = entries(written)
    assert found.keys() == FILES
    for entry in found.values():
        done = compiled(entry)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_is_still_one(lab: Lab, desk: Path, stock_kernel: Kernel) -> None:
    """What the kernel's headers declare is known, with its types: a wrong call is an error."""
    source = desk / "5-udp-sock/udp_sock.c"
    source.write_text(source.read_text().replace("kernel_bind(sock,", "kernel_bind(&sock,"))
    editor.write(lab, stock_kernel, desk)
    entry = entries(desk)["5-udp-sock/udp_sock.c"]
    done = compiled(entry)
    assert done.returncode
    assert re.search(
        r"udp_sock\.c:\d+:\d+: error: passing argument 1 of .kernel_bind.", done.stderr
    )


@pytest.mark.skipif(not shutil.which("clangd"), reason="clangd is not here: apt install clangd")
@pytest.mark.parametrize("file", sorted(FILES))
def test_clangd_understands(file: str, written: Path) -> None:
    """A real clangd finds the file's command by itself and has no error to show."""
    done = subprocess.run(
        ["clangd", f"--check={written / file}"],
        cwd="/",
        env=os.environ | {"HOME": str(written)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "Compile command from CDB" in done.stderr
    assert "All checks completed, 0 errors" in done.stderr
    assert done.returncode == 0


def test_an_interrupted_write_leaves_what_was_there(
    lab: Lab, desk: Path, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no command can be had the file of before stays."""
    (desk / editor.FILE).write_text("before")

    def fail(*_: object) -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(editor, "_kbuild_commands", fail)
    with pytest.raises(KeyboardInterrupt):
        editor.write(lab, stock_kernel, desk)
    assert (desk / editor.FILE).read_text() == "before"


def test_options_of_gcc_alone_are_left_out() -> None:
    """What clang has no word for goes; what says how C is read stays, in order."""
    command = [
        *("gcc-12", "-Wp,-MMD,x.d", "-nostdinc", "-I./include", "-include", "./kconfig.h", "-DA=1"),
        *("-mpreferred-stack-boundary=3", "-fconserve-stack", "-Wall", "-std=gnu11", "-O2"),
        *("--param", "asan-stack=1", "-mrecord-mcount", "-c", "-o", "x.o", "x.c"),
    ]
    kept = ["-nostdinc", "-I./include", "-include", "./kconfig.h", "-DA=1", "-Wall", "-std=gnu11"]
    assert editor.for_clang(command) == kept


def test_a_folder_that_is_not_there_is_a_sentence() -> None:
    """The message says how the folder is made."""
    argv = [sys.executable, "-m", "checker", "editor", "networking", "--submission", "/nowhere"]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("knetlab: There is no folder /nowhere. `make skels")


# --- the settings that editors read --------------------------------------------------


@pytest.mark.skipif(
    not shutil.which("clang-format"), reason="clang-format is not here: apt install clang-format"
)
def test_what_clang_format_writes_has_the_kernels_style(tmp_path: Path) -> None:
    """All C of the lab, put into GNU's style and formatted again, passes checkpatch."""
    shutil.copytree(SOLUTION, tmp_path / "lab")
    shutil.copy(ROOT / ".clang-format", tmp_path / "lab")
    files = sorted((tmp_path / "lab").rglob("*.[ch]"))
    # it moves no line of a comment but the first, so those have to stay where they are
    gnu = "{BasedOnStyle: GNU, IndentWidth: 8, UseTab: Always, ReflowComments: false}"
    subprocess.run(["clang-format", "-i", f"--style={gnu}", *files], check=True)
    assert "ERROR: " in lint.style(files)
    subprocess.run(["clang-format", "-i", "--style=file", *files], check=True)
    assert lint.style(files) == ""


def test_the_commands_are_of_the_release_that_is_asked_for(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its debug kernel if that is built, else stock, as a check takes them."""
    asked: list[object] = []

    def write(_: Lab, on: Kernel, folder: Path) -> Path:
        asked.append(on.release)
        return folder

    def stock(release: str) -> Kernel:
        return Kernel("stock", f"of {release}", "key", Path("/none"), "/b", {}, ())

    monkeypatch.setattr(editor, "write", write)
    monkeypatch.setattr(kernels, "debug_if_built", lambda _: None)
    monkeypatch.setattr(kernels, "stock", stock)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["editor", "networking", "--submission", str(desk), "--release", "13"])
    assert (exit_.value.code, asked) == (0, ["of 13"])


@pytest.fixture
def settings() -> Callable[[str], dict[str, object]]:
    """Read a JSON file that has comments on lines of their own."""

    def read(name: str) -> dict[str, object]:
        lines = (ROOT / name).read_text().splitlines()
        found = json.loads("\n".join(x for x in lines if not x.lstrip().startswith("//")))
        assert isinstance(found, dict)
        return found

    return read


def test_the_container_takes_no_privileges(settings: Callable[[str], dict[str, object]]) -> None:
    """It is a Debian 12, with a user who is not root, who runs what everybody else runs."""
    container = settings(".devcontainer/devcontainer.json")
    assert container["remoteUser"] == "student"
    assert str(container["postCreateCommand"]).startswith("tools/setup.sh")
    assert (ROOT / "tools/setup.sh").is_file()
    options = container["runArgs"]
    assert isinstance(options, list)
    assert not any(re.search("privileged|cap-add|device", option) for option in options)
    docker = (ROOT / ".devcontainer/Dockerfile").read_text()
    assert re.search(r"^FROM debian:12$", docker, re.MULTILINE)
    assert re.search(r"^USER student$", docker, re.MULTILINE)


def test_files_are_as_editorconfig_says() -> None:
    """C, shell and make files are indented with tabs, and no line of any ends in a space."""
    known = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], check=True, capture_output=True, text=True
    ).stdout.split()
    tabbed = [n for n in known if re.search(r"(\.([ch]|sh|mk)|Makefile|Kbuild|/rc)$", n)]
    assert len(tabbed) > 20
    for name in tabbed:
        for line in (ROOT / name).read_text().splitlines():
            assert not re.match(r"  +[^ *]", line), f"{name}: {line}"
    for name in known:
        if name.endswith((".c", ".h", ".py", ".sh", ".md", ".toml")):
            assert not re.search(r"[ \t]$", (ROOT / name).read_text(), re.MULTILINE), name
