"""What Kbuild asks of the compiler is asked once, and changes nothing of what is compiled."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from checker.engine import build, compiler
from checker.model import Lab
from vm import kbuild, toolchain
from vm.kernel import Kernel
from vm.sandbox import Sandbox


class Built:
    """The folder of a build of udp_sock, with make told to read *makefile* first, if any."""

    def __init__(self, lab: Lab, kernel: Kernel, folder: Path, makefile: Path | None) -> None:
        module = lab.target("udp_sock")
        names = [f"{module.folder}/{name}" for name in module.sources]
        sources = {name: (lab.solution / name).read_bytes() for name in names}
        build.lay_out(lab, [module], sources, folder)
        self.folder = folder / module.folder
        shown = {makefile: kbuild.INSIDE} if makefile else {}
        sandbox = Sandbox(
            read_only={**kernel.build_mounts, **shown},
            writable={folder: compiler.INSIDE},
            env={"MAKEFILES": kbuild.INSIDE} if makefile else {},
        )
        for path in (folder, *folder.rglob("*")):
            sandbox.own(path)
        argv = sandbox.argv(kernel.make(compiler.INSIDE))
        self.done = subprocess.run(argv, check=False, capture_output=True, text=True)

    @property
    def made(self) -> tuple[str, bytes]:
        """The compiler's command line, and the module."""
        command = (self.folder / ".udp_sock.o.cmd").read_text().splitlines()[0]
        return command, (self.folder / "udp_sock.ko").read_bytes()


@pytest.mark.vm
def test_kept_answers_make_the_same_module(lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> None:
    """With the answers ready, gcc is called with the same words and makes the same bytes."""
    with_answers = Built(lab, stock_kernel, tmp_path / "with", kbuild.answers(stock_kernel))
    without = Built(lab, stock_kernel, tmp_path / "without", None)
    assert with_answers.made == without.made


@pytest.mark.vm
def test_no_question_is_asked_again(lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> None:
    """A make that has the answers never has the compiler try an option, and one without does."""
    stop = "override knetlab-ask = $(error asked $(1))\n"
    strict, ignorant = tmp_path / "strict.mk", tmp_path / "ignorant.mk"
    strict.write_text(kbuild.answers(stock_kernel).read_text() + stop)
    ignorant.write_text(kbuild._makefile([]) + stop)
    assert Built(lab, stock_kernel, tmp_path / "known", strict).done.returncode == 0
    unknown = Built(lab, stock_kernel, tmp_path / "unknown", ignorant)
    assert re.search(r"asked +\S*gcc", unknown.done.stderr)


@pytest.mark.vm
def test_question_nobody_asked_before_is_asked(
    lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """Without a single answer the same module comes out: what is not known is tried as ever."""
    makefile = tmp_path / "answers.mk"
    makefile.write_text(kbuild._makefile([]))
    asking = Built(lab, stock_kernel, tmp_path / "asking", makefile)
    without = Built(lab, stock_kernel, tmp_path / "without", None)
    assert asking.made == without.made


@pytest.mark.vm
def test_wrong_answer_would_be_seen(lab: Lab, stock_kernel: Kernel, tmp_path: Path) -> None:
    """The comparison above can fail: an answer turned round shows in the command line."""
    text = kbuild.answers(stock_kernel).read_text()
    option = "~-fno-allow-store-data-races~-c~"
    asked = next(w for w in text.split() if w.startswith("yes~") and option in w)
    makefile = tmp_path / "answers.mk"
    makefile.write_text(text.replace(asked, asked.replace("yes~", "no~", 1)))
    lied = Built(lab, stock_kernel, tmp_path / "lied", makefile)
    without = Built(lab, stock_kernel, tmp_path / "without", None)
    assert lied.made[0] != without.made[0]


def test_characters_that_make_would_read_are_quoted(tmp_path: Path) -> None:
    """A question with a dollar, a hash or a per cent sign is found again, letter by letter."""
    question = 'printf "%b\\n" "nop # $x" | gcc -o "$TMP" -'
    word = "no~" + question.replace(" ", "~")
    makefile = tmp_path / "Makefile"
    makefile.write_text(
        kbuild._makefile([word])
        + "override knetlab-ask = asked\n"
        + f"override q = {question.replace('$', '$$').replace('#', chr(92) + '#')}\n"
        + "$(info $(call try-run,$(q),good,bad) $(call try-run,true,good,bad))\nall:\n"
    )
    done = subprocess.run(
        ["make", "-s", "-f", str(makefile)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["bad", "bad"]
    makefile.write_text(makefile.read_text().replace(" no~", " yes~", 1))
    done = subprocess.run(
        ["make", "-s", "-f", str(makefile)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["good", "bad"]


def test_new_compiler_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept for one version of the compiler: its files' sizes and times."""
    before = toolchain._programs()
    assert any(line.startswith("gcc ") for line in before)
    real = Path.stat

    def newer(path: Path, *, follow_symlinks: bool = True) -> object:
        st = real(path, follow_symlinks=follow_symlinks)
        if path.name != "gcc":
            return st
        return type("Stat", (), {"st_size": st.st_size, "st_mtime_ns": st.st_mtime_ns + 1})

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "stat", newer)
    toolchain._programs.cache_clear()
    after = toolchain._programs()
    toolchain._programs.cache_clear()
    assert [a != b for a, b in zip(after, before, strict=True)].count(True) == 1
