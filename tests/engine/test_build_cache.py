"""What was built before is taken as it was, and only that."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from support import Student

from checker.engine import build, build_cache, compiler, program_build, submission
from checker.model import Build, Lab, ModuleBuild, ProgramBuild, Target
from vm import cache
from vm.kernel import Kernel


@pytest.fixture
def builder(lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Build a student's modules as check does; return them and which were compiled."""
    compiled: list[str] = []
    compile_ = build._compile

    def spy(lab: Lab, modules: list, *rest: object) -> list[ModuleBuild]:
        compiled.extend(module.name for module in modules)
        return compile_(lab, modules, *rest)

    monkeypatch.setattr(build, "_compile", spy)

    def run(student: Student, *, reuse: bool = True) -> tuple[Build, list[str]]:
        compiled.clear()
        given = submission.read(lab, student.path)
        return build.build(lab, given, stock_kernel, jobs=1, reuse=reuse), list(compiled)

    return run


@pytest.fixture
def ann(student: Callable[[str], Student]) -> Student:
    """A student whose sources nobody has built before."""
    ann = student("ann")
    for name in ("filter.c", "tcp_sock.c", "udp_sock.c"):
        source = ann.file(name)
        source.write_text(f"{source.read_text()}/* {secrets.token_hex(8)} */\n")
    return ann


ALL = ["filter", "tcp_sock", "udp_sock"]


@pytest.mark.vm
def test_only_what_was_edited_is_compiled(ann: Student, builder: Callable) -> None:
    """The second build compiles nothing and has the same bytes; after an edit, one module."""
    first, compiled = builder(ann)
    assert compiled == ALL
    assert builder(ann) == (first, [])
    ann.replace("udp_sock.c", "int sent;", "int sent, never_used;")
    after, compiled = builder(ann)
    assert compiled == ["udp_sock"]
    assert "never_used" in after.module("udp_sock").warnings
    assert after.modules[:2] == first.modules[:2]
    assert builder(ann) == (after, [])  # the warnings are still told


@pytest.mark.vm
def test_what_does_not_compile_is_compiled_again(ann: Student, builder: Callable) -> None:
    """A failure is not kept: the compiler's words are its own each time."""
    ann.replace("udp_sock.c", "kernel_bind(", "kernel_bindd(")
    for times in (1, 2):
        made, compiled = builder(ann)
        assert made.module("udp_sock").ko is None, times
        assert "udp_sock" in compiled
    assert "filter" not in compiled


@pytest.mark.vm
def test_a_class_fills_no_cache(ann: Student, builder: Callable) -> None:
    """Without reuse everything is compiled, and nothing is kept."""
    builder(ann, reuse=False)
    assert builder(ann)[1] == ALL
    assert builder(ann, reuse=False)[1] == ALL


@pytest.mark.vm
def test_broken_entry_is_made_again(
    ann: Student, builder: Callable, lab: Lab, stock_kernel: Kernel
) -> None:
    """A module in the cache that is not what it was is compiled again."""
    first, _ = builder(ann)
    given = submission.read(lab, ann.path)
    module = lab.target("udp_sock")
    key = build_cache.key(lab, module, compiler.sources([module], given), stock_kernel)
    (cache.root() / "module" / key / "ko").write_bytes(b"half")
    assert builder(ann) == (first, ["udp_sock"])


def test_key_stands_for_all_that_a_module_is_made_of(
    lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another source, kernel, way to compile, compiler or header: another key."""

    class Verbose(Kernel):
        def make(self, folder: str, jobs: int = 1) -> list[str]:
            return [*super().make(folder, jobs), "KCFLAGS=-g"]

    module = lab.target("udp_sock")
    source = f"{module.folder}/udp_sock.c"
    keys = [
        build_cache.key(lab, module, {source: b"int a;"}, stock_kernel),
        build_cache.key(lab, module, {source: b"int b;"}, stock_kernel),
        build_cache.key(lab, module, {source: b"int a;"}, replace(stock_kernel, key="6.12")),
        build_cache.key(lab, module, {source: b"int a;"}, Verbose(**vars(stock_kernel))),
    ]
    headed = module.model_copy(update={"headers": ("common.h",)})
    root = tmp_path / "lab"
    for text in ("#define A 1\n", "#define A 2\n"):
        for name in ("common.h", f"{module.folder}/Kbuild"):
            path = root / "skeleton" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(Lab, "given", property(lambda _: root / "skeleton"))
        keys.append(build_cache.key(lab, headed, {source: b"int a;"}, stock_kernel))
    newer = replace(stock_kernel, tools=replace(stock_kernel.tools, key="gcc 13"))
    keys.append(build_cache.key(lab, headed, {source: b"int a;"}, newer))
    assert len(set(keys)) == len(keys)


@pytest.mark.vm
def test_programs_are_kept_too(
    fixture_lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second build compiles nothing; an entry that is broken, or another source, is compiled.

    Without reuse nothing is kept.
    """
    compiled: list[str] = []
    compile_ = program_build._compile

    def spy(lab: Lab, target: Target, *rest: object) -> ProgramBuild:
        compiled.append(target.name)
        return compile_(lab, target, *rest)

    monkeypatch.setattr(program_build, "_compile", spy)
    shutil.copytree(fixture_lab.solution, tmp_path / "ann")
    source = tmp_path / "ann/user/ring.c"
    source.write_text(f"{source.read_text()}/* {secrets.token_hex(8)} */\n")
    target, only = fixture_lab.target("ring"), frozenset({"ring"})

    def made(*, reuse: bool = True) -> tuple[Build, list[str]]:
        compiled.clear()
        given = submission.read(fixture_lab, tmp_path / "ann")
        found = build.build(fixture_lab, given, stock_kernel, jobs=1, only=only, reuse=reuse)
        return found, list(compiled)

    first, did = made(reuse=False)
    assert did == ["ring"]
    assert made() == (first, ["ring"])
    assert made() == (first, [])
    given = submission.read(fixture_lab, tmp_path / "ann")
    key = build_cache.key(fixture_lab, target, compiler.sources([target], given), stock_kernel)
    (cache.root() / "built-program" / key / "plain").write_bytes(b"half")
    assert made() == (first, ["ring"])
    assert made() == (first, [])
    source.write_text(f"{source.read_text()}int never_used;\n")
    assert made()[1] == ["ring"]


def test_key_stands_for_all_that_a_program_is_made_of(
    fixture_lab: Lab, stock_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another source, library, flag or compiler makes another key; another kernel does not."""
    greet = fixture_lab.target("greet")

    def key(
        source: bytes = b"int a;", target: Target = greet, kernel: Kernel = stock_kernel
    ) -> str:
        return build_cache.key(fixture_lab, target, {"user/greet.c": source}, kernel)

    keys = [
        key(),
        key(b"int b;"),
        key(target=greet.model_copy(update={"libraries": ("m",)})),
        key(target=greet.model_copy(update={"headers": ()})),
        key(kernel=replace(stock_kernel, tools=replace(stock_kernel.tools, key="gcc 13"))),
    ]
    assert key(kernel=replace(stock_kernel, key="6.12")) == keys[0]
    monkeypatch.setattr(program_build, "SANITIZED", ("-fsanitize=address",))
    keys.append(key())
    assert len(set(keys)) == len(keys)


def _keep_often(target: Target, made: ProgramBuild, start: Barrier) -> None:
    start.wait()
    for number in range(20):
        build_cache.keep(target, made, f"key{number}")
        found = build_cache.find(target, f"key{number}")
        assert found in (made, None)


def test_two_runs_may_keep_the_same_at_once(
    fixture_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What each finds is whole, or is not there; in the end all is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = fixture_lab.target("greet")
    made = ProgramBuild(
        name="greet", plain=b"p" * 100_000, sanitized=b"s" * 100_000, warnings="user/greet.c:1: w"
    )
    both = multiprocessing.get_context("fork")
    start = both.Barrier(2)
    runs = [both.Process(target=_keep_often, args=(target, made, start)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert all(build_cache.find(target, f"key{number}") == made for number in range(20))


def test_oldest_go_when_there_are_many(
    fixture_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The cache keeps those that were used last, a look included."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(build_cache.KEPT, "module", 2)
    target = fixture_lab.target("toll")
    made = ModuleBuild(name="toll", ko=b"ko", debug=b"debug")
    for age, key in ((30, "a"), (20, "b")):
        build_cache.keep(target, made, key)
        then = time.time() - age
        os.utime(tmp_path / "knetlab" / "module" / key / cache.MANIFEST, (then, then))
    assert build_cache.find(target, "a") == made  # used now, so b is the oldest
    build_cache.keep(target, made, "c")
    assert [key for key in "abc" if build_cache.find(target, key)] == ["a", "c"]
