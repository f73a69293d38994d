"""Similar submissions: who is found, who is not, and what is shown side by side."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from pages import Page
from rich.console import Console

from checker.classroom import similar
from checker.classroom.similar import Match, Pair, Side
from checker.errors import InputError
from checker.model import Lab
from checker.report import similar as report
from checker.workshop import skeleton

PATH = "3-4-tcp-sock/tcp_sock.c"

OWN = [
    """
static int wait_for(struct socket *one, int flags)
{
	int tries = 5;

	while (tries-- > 0 && !one->ops) {
		pr_info("not yet %d\\n", tries);
		msleep(10 * tries + flags);
	}
	return tries < 0 ? -ETIMEDOUT : 0;
}
""",
    """
static void count_all(struct list_head *all)
{
	struct entry *e, *next;
	unsigned long sum = 0;

	list_for_each_entry_safe(e, next, all, list) {
		sum += e->number;
		list_del(&e->list);
		kfree(e);
	}
	pr_info("%lu\\n", sum);
}
""",
    """
static bool is_local(const struct sockaddr_in *addr)
{
	switch (ntohl(addr->sin_addr.s_addr) >> 24) {
	case 127:
	case 10:
		return true;
	default:
		return ipv4_is_multicast(addr->sin_addr.s_addr) || !addr->sin_port;
	}
}
""",
]
"""What a student may add to the skeleton; no two have a passage in common."""

RENAMED = """
/* All mine. */
static int my_function(struct socket *s, int f) {
    int n = 5;
    /* wait */
    while (n-- > 0 && !s->ops) { pr_info("waiting: %d\\n", n); msleep(10 * n + f); }
    return n < 0 ? -ETIMEDOUT : 0;
}
"""


@pytest.fixture
def given(lab: Lab) -> str:
    """The text of the skeleton that all students begin with."""
    return skeleton.generate(lab.solution, 1)[PATH].content.decode()


def a_class(given: str, **own: str) -> dict[str, dict[str, str]]:
    """Return a class in which each student added something of their *own* to the skeleton."""
    return {key: {PATH: given + text} for key, text in own.items()}


def marked(side: Side) -> str:
    """Return the parts of a file that are shared."""
    return "".join(side.text[begin:end] for begin, end in side.shared)


# --- who is found --------------------------------------------------------------------


def test_a_renamed_copy_is_found(lab: Lab, given: str) -> None:
    """Other names, comments and layout do not hide a copy; the skeleton's lines are no one's."""
    students = a_class(given, ada=OWN[0], bob=OWN[1], eve=RENAMED, tom=OWN[2])
    (pair,) = similar.find(lab, students)
    assert (pair.first, pair.second) == ("ada", "eve")
    assert pair.score > 0.9
    assert pair.length >= similar.LEAST
    (match,) = pair.matches
    assert match.path == PATH
    assert "tries-- > 0 && !one->ops" in marked(match.first)
    assert "n-- > 0 && !s->ops" in marked(match.second)
    for side in (match.first, match.second):
        assert "__init" not in marked(side)
        assert "#include" not in marked(side)


def test_own_work_is_not_suspicious(lab: Lab, given: str) -> None:
    """Three students who wrote different things have nothing in common but the skeleton."""
    assert similar.find(lab, a_class(given, ada=OWN[0], bob=OWN[1], tom=OWN[2])) == []


def test_nothing_done_is_nothing_copied(lab: Lab, given: str) -> None:
    """Students who handed in the skeleton, an empty file, or next to nothing are no pair."""
    students = a_class(given, ada="", bob="", eve="\n/* hello */\n")
    students |= {"tom": {PATH: ""}, "kim": {PATH: ""}, "lea": {PATH: "int a;"}, "max": {}}
    assert similar.find(lab, students) == []


def test_a_line_in_common_is_chance(lab: Lab, given: str) -> None:
    """Too little to speak of is no pair, though it is all that both have of their own."""
    assert similar.find(lab, a_class(given, ada="\nint a, b, c;\n", eve="\nint x, y, z;\n")) == []


def test_what_many_have_is_nobodys(lab: Lab, given: str) -> None:
    """A passage of more students than *common* counts for none of them."""
    students = a_class(given, **{f"s{n}": OWN[0] for n in range(5)})
    assert similar.find(lab, students) == []
    assert len(similar.find(lab, students, common=5)) == 10


def test_the_part_that_was_taken_is_enough(lab: Lab, given: str) -> None:
    """Who added much to what another has shares all of the other's own code."""
    students = a_class(given, ada=OWN[0], eve=OWN[1] + RENAMED + OWN[2])
    (pair,) = similar.find(lab, students)
    assert pair.score > 0.9
    eve = pair.matches[0].second
    assert "my_function" in marked(eve)
    assert "list_for_each_entry_safe" not in marked(eve)
    assert similar.find(lab, students, least_score=1.01) == []


def test_the_most_suspicious_comes_first(lab: Lab, given: str) -> None:
    """A whole copy stands above one that was changed."""
    changed = RENAMED.replace("n-- > 0 && ", "").replace("10 * n + f", "f")
    students = a_class(given, tim=changed, ada=OWN[0], eve=RENAMED)
    pairs = similar.find(lab, students, least_score=0.1)
    assert {pairs[0].first, pairs[0].second} == {"ada", "eve"}
    assert [pair.score for pair in pairs] == sorted((p.score for p in pairs), reverse=True)
    assert len(pairs) > 1


# --- where the passages are ----------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\n" * 200 + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n" * 9,
        lambda text: text.rstrip("\n"),
    ],
    ids=["blank lines before", "CRLF", "blank lines after", "no end of line"],
)
def test_passages_are_where_they_are_shown(change: object, lab: Lab, given: str) -> None:
    """Editors' habits do not shift what is marked."""
    assert callable(change)
    students = {"ada": {PATH: given + OWN[0]}, "eve": {PATH: change(given + RENAMED)}}
    (pair,) = similar.find(lab, students)
    eve = pair.matches[0].second
    lines = marked(eve).splitlines()
    assert any(line.startswith("    while (n-- > 0") for line in lines)
    assert all(line in RENAMED or line.startswith(("MODULE_", "module_")) for line in lines)


def test_a_passage_that_begins_at_the_name_of_a_struct(lab: Lab, given: str) -> None:
    """It is marked where it begins, and nothing before it is."""
    one, other = (OWN[1].replace("struct list_head", f"{k} list_head") for k in ("struct", "union"))
    (pair,) = similar.find(lab, a_class(given, ada=one, eve=other))
    for side in (pair.matches[0].first, pair.matches[0].second):
        assert "list_for_each_entry_safe" in marked(side)
        assert "__init" not in marked(side)


# --- the same every time, and only here ----------------------------------------------

AGAIN = """
import json, sys
from checker import lab
from checker.classroom import similar
for pair in similar.find(lab.load("networking"), json.load(sys.stdin), least_score=0.0):
    print(pair.model_dump_json())
"""


def test_the_same_in_every_run(lab: Lab, given: str) -> None:
    """Python's hash of the day, which differs in every process, changes nothing."""
    students = a_class(
        given, ada=OWN[0], eve=OWN[1] + RENAMED, bob=OWN[1], tom=OWN[0] + OWN[2], kim=OWN[2]
    )
    here = similar.find(lab, students, least_score=0.0)
    assert len(here) == 5
    there = subprocess.run(
        [sys.executable, "-c", AGAIN],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        input=json.dumps(students),
        capture_output=True,
        check=True,
        text=True,
    )
    assert there.stdout.splitlines() == [pair.model_dump_json() for pair in here]


def test_without_the_extra(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "copydetect", None)
    with pytest.raises(InputError, match=r"pip install 'knetlab\[similar\]'"):
        similar.find(lab, {})


# --- what is shown -------------------------------------------------------------------


def evil() -> Pair:
    """Return a pair whose every text is hostile."""
    text = "int a;\n</pre></mark><script>alert(1)</script> \x1b[2J [red]\n{{ 7 * 7 }}\n"
    side = Side(text=text, shared=((7, text.index("{{")),))
    return Pair(
        first="<b>ada</b> [bold]",
        second="eve\x1b[31m",
        score=0.876,
        length=120,
        matches=(Match(path="<i>.c", first=side, second=side),),
    )


def test_the_page_shows_text_as_text(lab: Lab) -> None:
    """Tags, templates and controls from a student are words; the marks are the page's own."""
    source = report.page(lab, [evil()])
    page = Page(source)
    assert not {tag for tag, _ in page.elements} & {"script", "img", "link", "b", "i"}
    assert "\x1b" not in source
    for words in ("<script>alert(1)</script>", "{{ 7 * 7 }}", r"\x1b[2J", "<b>ada</b>", "88 %"):
        assert words in page.said
    assert len(page.all("mark")) == 2
    assert all(str(a["href"]).startswith("#") for a in page.all("a"))
    assert "<pre" in source
    assert "int a;\n<mark>&lt;/pre&gt;" in source


def test_the_page_shows_what_is_near(lab: Lab) -> None:
    """Long stretches that nobody shares are folded, before, between and after the passages."""
    text = "".join(f"line {n};\n" for n in range(100))
    places = [text.index(f"line {n};") for n in (40, 42, 60, 62)]
    side = Side(text=text, shared=((places[0], places[1]), (places[2], places[3])))
    pair = evil().model_copy(update={"matches": (Match(path="x.c", first=side, second=side),)})
    said = Page(report.page(lab, [pair])).said
    shown = [int(line[5:-1]) for line in said.splitlines() if line.startswith("line ")]
    assert shown[: len(shown) // 2] == [*range(35, 47), *range(55, 67)]
    folded = [line for line in said.splitlines() if "left out" in line]
    assert folded[:3] == [f"... {n} lines left out ..." for n in (35, 8, 33)]


def test_the_page_without_pairs(lab: Lab) -> None:
    """An empty result is said in a sentence."""
    assert "No two submissions" in Page(report.page(lab, [])).said


def test_the_terminal_lists_pairs() -> None:
    """A row a pair, its texts as they are."""
    out = io.StringIO()
    report.render([evil()], Console(file=out, width=200, _environ={}))
    text = " ".join(out.getvalue().split())
    assert r"<b>ada</b> [bold] eve\x1b[31m <i>.c 88% 120" in text
    assert text.endswith("1 pair to read; similar code is not always copied code.")
