"""Modules that were built before are taken as they were, and only those."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import Student

from checker.engine import build, compiler, module_cache, submission
from checker.model import Build, Lab, ModuleBuild
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
    key = module_cache.key(lab, module, compiler.sources([module], given), stock_kernel)
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
        module_cache.key(lab, module, {source: b"int a;"}, stock_kernel),
        module_cache.key(lab, module, {source: b"int b;"}, stock_kernel),
        module_cache.key(lab, module, {source: b"int a;"}, replace(stock_kernel, key="6.12")),
        module_cache.key(lab, module, {source: b"int a;"}, Verbose(**vars(stock_kernel))),
    ]
    headed = module.model_copy(update={"headers": ("common.h",)})
    root = tmp_path / "lab"
    for text in ("#define A 1\n", "#define A 2\n"):
        for name in ("common.h", f"{module.folder}/Kbuild"):
            path = root / "skeleton" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(Lab, "given", property(lambda _: root / "skeleton"))
        keys.append(module_cache.key(lab, headed, {source: b"int a;"}, stock_kernel))
    newer = replace(stock_kernel, tools=replace(stock_kernel.tools, key="gcc 13"))
    keys.append(module_cache.key(lab, headed, {source: b"int a;"}, newer))
    assert len(set(keys)) == len(keys)


def test_oldest_go_when_there_are_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache keeps those that were used last, a look included."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module_cache, "KEPT", 2)
    made = ModuleBuild(name="m", ko=b"ko", debug=b"debug")
    for age, key in ((30, "a"), (20, "b")):
        module_cache.keep(made, key)
        then = time.time() - age
        os.utime(tmp_path / "knetlab" / "module" / key / cache.MANIFEST, (then, then))
    assert module_cache.find("m", "a") == made  # used now, so b is the oldest
    module_cache.keep(made, "c")
    assert [key for key in "abc" if module_cache.find("m", key)] == ["a", "c"]
