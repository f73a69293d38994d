"""Messages in the reader's language: catalogues, forms with names, and which language it is."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from support import ROOT

from checker import language
from checker.desk import hints
from checker.errors import InputError
from checker.language import Catalogue
from checker.model import Grade, Lab
from checker.report import html, terminal
from tools import catalogues

WORDS = Catalogue(
    {
        "The module cannot be loaded.": "无法加载模块。",
        "Port {port} is taken.": "端口 {port} 已被占用。",
        "insmod fails with {error}": "insmod 失败，错误为 {error}",
        "{what} is seen on {what}": "{what} 出现在 {what}",
        "A {{ has no }}.": "{{ 没有对应的 }}。",
        "Fix it. Then check {exercise} again.": "先修正，再检查 {exercise}。",
        "this host": "本机",
        "A client came from {client}": "客户端来自 {client}",
        "{done}, and insmod {value}.": "{done}，insmod {value}。",
        "{done}, and {what}.": "{done}，{what}。",
        "failed": "失败",
        'Fix "{title}" first.': "先修正“{title}”。",
        "{digits} passed": "{digits} 项通过",
        "{digits} not tried": "{digits} 项未执行",
        "exercises {digits}": "练习 {digits}",
        "{digits} and {digits2}": "{digits} 和 {digits2}",
    }
)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("The module cannot be loaded.", "无法加载模块。"),
        ("The module\n cannot be loaded.", "无法加载模块。"),
        ("Port 60000 is taken.", "端口 60000 已被占用。"),
        ("insmod fails with this host", "insmod 失败，错误为 本机"),
        ("x is seen on x", "x 出现在 x"),
        ("x is seen on y", "x is seen on y"),
        ("A { has no }.", "{ 没有对应的 }。"),
        ("Port 1 is taken. Port 2 is taken.", "端口 1 已被占用。端口 2 已被占用。"),
        ("Port 1 is taken. Nobody knows this.", "端口 1 已被占用。Nobody knows this."),
        (
            "The module cannot be loaded. Fix it. Then check 3 again.",
            "无法加载模块。先修正，再检查 3。",
        ),
        ("insmod fails with Port 1 is taken. So.", "insmod 失败，错误为 端口 1 已被占用。So."),
        ("this host\nport", "本机\nport"),
        ("A client came from 1.2.3.4, and this host.", "客户端来自 1.2.3.4，本机。"),
        ("A client came from 1.2.3.4, and insmod failed.", "客户端来自 1.2.3.4，insmod 失败。"),
        ('Fix "The module cannot be loaded" first.', "先修正“无法加载模块”。"),
        ("Whatever it was, and nobody came.", "Whatever it was, and nobody came."),
        ("4 passed, 2 not tried", "4 项通过、2 项未执行"),
        ("4 passed, whatever it was", "4 passed, whatever it was"),
        ("all of them passed", "all of them passed"),
        ("exercises 1, 2 and 3", "练习 1, 2 和 3"),
        ("", ""),
        ("\n", "\n"),
    ],
)
def test_a_sentence_is_put_into_the_language(english: str, chinese: str) -> None:
    """Whole, by its form, line by line, or sentence by sentence; else it stays."""
    assert WORDS.say(english) == chinese


@pytest.mark.parametrize(
    ("environment", "language_"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "en"),
        ({"KNETLAB_LANG": "zh"}, "zh_CN"),
        ({"KNETLAB_LANG": "zh_CN", "LANG": "C"}, "zh_CN"),
        ({"KNETLAB_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_settings_else_the_locales(
    environment: dict[str, str], language_: str
) -> None:
    """LC_ALL is before LANG; what knetlab does not speak is English."""
    assert language.wanted(environment) == language_


def test_a_language_that_knetlab_does_not_speak_is_told() -> None:
    """A setting of knetlab's own is not passed over as a locale is."""
    with pytest.raises(InputError, match=r"KNETLAB_LANG is 'fr': knetlab speaks en, zh_CN\."):
        language.wanted({"KNETLAB_LANG": "fr"})


def test_ids_are_the_sentences_of_the_source() -> None:
    """Docstrings of checks count, those of others do not; parts worked out have names."""
    source = '''
"""What this file is for."""
def check_port(route):
    """The port is logged."""
    raise Unmet(f"Port {route.port} of {route.port:x} and {len(found)} are {a + b}.", "no")
    return "{ two words"
def helper():
    """Not a title."""
    raise ValueError("not for a student")
'''
    assert list(catalogues._of_python(ast.parse(source))) == [
        "The port is logged.",
        "Port {port} of {port2} and {found} are {value}.",
        "{{ two words",
    ]


@pytest.mark.parametrize("found", [catalogues.wanted, catalogues.book])
def test_every_message_for_students_has_its_translation(
    found: Callable[[str], dict[Path, dict[str, list[str]]]],
) -> None:
    """So has each page of theirs; `python -m tools.catalogues` lists what is missing."""
    missing = [
        problem
        for language_ in language.languages()
        for path, ids in found(language_).items()
        for problem in catalogues.problems(path, ids, language_)
    ]
    assert not missing, "\n".join(missing[:20])


def test_a_report_is_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the terminal and on the page; what is stored stays English."""
    grade = Grade.model_validate_json((ROOT / "tests/data/grades/crash.json").read_text())
    monkeypatch.setenv("KNETLAB_LANG", "zh_CN")
    console = Console(file=io.StringIO(), width=100)
    terminal.render(grade, console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "练习" in said and "下一步：" in said and "Next:" not in said
    page = html.render(grade)
    assert '<html lang="zh-CN">' in page and "下一步：" in page and "Next:" not in page
    assert not re.search(r"[\u4e00-\u9fff]", grade.to_json())


def test_hints_are_in_the_readers_language(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the lab, with the line above them."""
    monkeypatch.setenv("KNETLAB_LANG", "zh_CN")
    exercise = lab.exercise(1)
    told = hints.told(exercise, hints.Hint(exercise.hints[0].strip(), 2, 6)).plain
    assert told.startswith("练习 1") and not re.search(r"\b(the|and|is)\b", told)
