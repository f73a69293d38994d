"""The same files: who has them, which do not count, and where that is told."""

from __future__ import annotations

import io

import pytest
from pages import Page, words
from rich.console import Console

from checker.classroom import twins
from checker.classroom.twins import Same
from checker.model import Lab
from checker.report import similar as report
from checker.workshop import skeleton

TCP = "3-4-tcp-sock/tcp_sock.c"
UDP = "5-udp-sock/udp_sock.c"
OWN = "int own;\n"


@pytest.fixture
def given(lab: Lab) -> dict[str, str]:
    """The skeleton's files."""
    return {path: file.content.decode() for path, file in skeleton.of(lab).items()}


def test_same_bytes_are_found(lab: Lab, given: dict[str, str]) -> None:
    """Who has the same file is told with it; a space more is another file."""
    assert {TCP, UDP} <= given.keys()
    found = twins.find(
        lab,
        {
            "ada": {TCP: given[TCP] + OWN, UDP: "int a;\n"},
            "bob": {TCP: given[TCP] + OWN, UDP: "int a;\n"},
            "eve": {TCP: given[TCP] + OWN + " ", UDP: "int a;\n"},
        },
    )
    assert found == [Same(("ada", "bob", "eve"), (UDP,)), Same(("ada", "bob"), (TCP,))]


def test_the_skeletons_files_do_not_count(lab: Lab, given: dict[str, str]) -> None:
    """What nobody has touched, and what is empty, makes no twins."""
    assert twins.find(lab, {"ada": given, "bob": given}) == []
    assert twins.find(lab, {"ada": {TCP: " \n"}, "bob": {TCP: " \n"}}) == []


def test_a_group_has_no_twins_among_its_own(lab: Lab) -> None:
    """What a group handed in once is one file; another student with it is still told."""
    sources = {key: {TCP: OWN} for key in ("ada", "bob")}
    of = {"ada": "group-1.zip", "bob": "group-1.zip"}
    assert twins.find(lab, sources, of) == []
    sources["eve"] = {TCP: OWN}
    assert twins.find(lab, sources, of) == [Same(("ada", "bob", "eve"), (TCP,))]
    assert twins.find(lab, sources, {"ada": "", "bob": "", "eve": ""})


def test_twins_are_named_in_a_sentence() -> None:
    """Each is told the files and the others by name; of many only the first."""
    names = {key: key.title() for key in "abcdef"}
    found = twins.sentences(
        [Same(("a", "b"), (TCP, UDP)), Same(tuple("abcdef"), ("x/y.c",))], names
    )
    assert found["b"] == "The same tcp_sock.c and udp_sock.c as A; y.c as A, C, D and 2 more."
    assert found["f"] == "The same y.c as A, B, C and 2 more."


def test_same_files_stand_first(lab: Lab) -> None:
    """On the page and the terminal they come before what is only alike, as text."""
    same = [Same(("<b>ada</b>", "eve\x1b[31m"), ("<i>.c",))]
    page = Page(report.page(lab, [], same))
    said = words(page.said)
    assert said.index("The same files, byte for byte") < said.index("No two submissions")
    assert r"<b>ada</b>, eve\x1b[31m<i>.c" in said
    assert not {tag for tag, _ in page.elements} & {"b", "i", "script"}
    out = io.StringIO()
    report.render_same(same, Console(file=out, width=100, _environ={}))
    text = words(out.getvalue())
    assert text.startswith("The same files, byte for byte")
    assert r"<b>ada</b> <i>.c eve\x1b[31m" in text
    assert "byte for byte" not in Page(report.page(lab, [])).said
