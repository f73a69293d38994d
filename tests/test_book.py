"""The book: built without a warning, whole without a network, and true.

What its pages show is run again: the sessions and the reports of
docs/students/examples in guests (tools/book_examples.py records them), the handout's
code, the words of `make check`. The handout's sessions are run in labs/test_handouts.py.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from chromium import Browser
from rich.console import Console
from support import ROOT, Student
from terminal import Terminal
from transcripts import blocks, same, sessions

from checker.engine import grading, submission
from checker.kit import console
from checker.model import Lab
from checker.report import terminal
from checker.workshop import skeleton
from tools import book_examples, lint_labs
from vm import image, snapshot
from vm.image import PayloadFile
from vm.kernel import Kernel
from vm.machine import Config

DOCS = ROOT / "docs"
HANDOUT = (ROOT / "labs/networking/handout.md").read_text()
STUDENT_PAGES = sorted((DOCS / "students").glob("*.md"))


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built with every warning an error."""
    out = tmp_path_factory.mktemp("book")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", f"{out}/doctrees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, DOCS, out / "html"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


# --- pages ----------------------------------------------------------------------------


class Links(HTMLParser):
    """What a page links to and loads, the names in it, and its images' words."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.names = {""}
        self.alts: dict[str, str] = {}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element refers to and what it is called."""
        given = {name: value or "" for name, value in attrs}
        self.names.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link":
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])
        if tag == "img":
            self.alts[given["src"]] = given.get("alt", "")


@pytest.fixture(scope="session")
def pages(book: Path) -> dict[Path, Links]:
    """Every page of the book, read."""
    return {path: Links(path) for path in sorted(book.rglob("*.html"))}


def test_book_builds_without_a_warning(book: Path) -> None:
    """Sphinx has nothing to complain of: no page is lost, no reference leads nowhere."""
    for page in DOCS.rglob("*.md"):
        assert (book / page.relative_to(DOCS).with_suffix(".html")).exists(), page


def test_every_link_within_the_book_leads_somewhere(pages: dict[Path, Links]) -> None:
    """Each link names a page of the book and a place on it."""
    followed = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name} links to {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].names, f"{path.name}: {link}"
            followed += 1
    assert followed > 100


def test_book_is_whole_without_a_network(pages: dict[Path, Links], book: Path) -> None:
    """No page, style or script is loaded from another site."""
    for path, page in pages.items():
        for loaded in page.loads:
            assert not urlsplit(loaded).scheme, f"{path.name} loads {loaded}"
            assert not urlsplit(loaded).netloc, f"{path.name} loads {loaded}"
    for style in book.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text()), style


def test_figures_are_told_in_words(pages: dict[Path, Links], book: Path) -> None:
    """Each figure that is drawn stands on a page, with an alternative text that says it all."""
    shown = {Path(src).name: alt for page in pages.values() for src, alt in page.alts.items()}
    assert set(shown) == {f"{source.stem}.svg" for source in (DOCS / "figures").glob("*.dot")}
    assert all(len(alt.split()) >= 20 for alt in shown.values()), shown


def test_commands_of_make_exist() -> None:
    """Each target that a page tells to make is in the Makefile or in what it includes."""
    rules = "".join(file.read_text() for file in (ROOT / "Makefile", *ROOT.glob("tools/*.mk")))
    targets = set(re.findall(r"^([a-z-]+):", rules, re.MULTILINE))
    pages = (ROOT / "README.md", DOCS / "index.md", DOCS / "instructors.md", *STUDENT_PAGES)
    texts = [page.read_text() for page in pages]
    told = {
        word
        for text in (*texts, HANDOUT)
        for word in re.findall(r"(?:^(?:\$ )?|`)make ([a-z-]+)\b", text, re.MULTILINE)
    }
    assert len(told) > 5
    assert told <= targets


# --- in a browser ---------------------------------------------------------------------

PHONE = 390
"""Pixels; the width of a telephone of today."""


@pytest.mark.browser
def test_no_page_runs_over_the_side_of_a_phone(browser: Browser, pages: dict[Path, Links]) -> None:
    """Code and tables scroll in their own place, the page does not."""
    for path in pages:
        browser.look(width=PHONE)
        browser.driver.get(path.as_uri())
        assert browser.run("return document.documentElement.scrollWidth") <= PHONE, path.name


@pytest.mark.browser
def test_a_table_that_is_cut_shows_that_it_scrolls(browser: Browser, book: Path) -> None:
    """A shadow lies at the side where there is more, and goes when its end is reached."""
    browser.look(width=PHONE)
    browser.driver.get((book / "students/handout.html").as_uri())

    def edge() -> int:
        """Return how dark the right edge of the first table is, below its header."""
        box = browser.run(
            "const t = document.querySelector('.table-wrapper'); t.scrollIntoView();"
            "const b = t.getBoundingClientRect(); return [b.right, b.bottom]"
        )
        shot = browser.command(
            "Page.captureScreenshot",
            clip={"x": box[0] - 2, "y": box[1] - 60, "width": 1, "height": 1, "scale": 1},
        )
        return int(
            browser.driver.execute_async_script(
                "const done = arguments[1], i = new Image(); i.onload = () => {"
                "const c = document.createElement('canvas').getContext('2d');"
                "c.drawImage(i, 0, 0); done(c.getImageData(0, 0, 1, 1).data[0]); };"
                "i.src = 'data:image/png;base64,' + arguments[0]",
                shot["data"],
            )
        )

    assert edge() < 220
    browser.run("document.querySelector('.table-wrapper').scrollLeft = 9999")
    assert edge() > 235


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_are_legible_on_a_phone(browser: Browser, book: Path, scheme: str) -> None:
    """Their letters are 11 pixels high or more, and they are turned around in the dark alone."""
    browser.look(width=PHONE, scheme=scheme)
    browser.driver.get((book / "students/handout.html").as_uri())
    figures = browser.run(
        "return [...document.querySelectorAll('figure img')].map(i => ["
        "i.src, i.getBoundingClientRect().width / i.naturalWidth, getComputedStyle(i).filter])"
    )
    assert len(figures) == 6
    for source, scale, drawn in figures:
        smallest = min(
            float(size)
            for size in re.findall(
                r'font-size="([\d.]+)"', (book / "_images" / Path(source).name).read_text()
            )
        )
        points = 4 / 3  # pixels
        assert smallest * points * scale >= 11, source
        assert ("invert" in drawn) == (scheme == "dark"), source


@pytest.mark.browser
def test_paper_is_never_dark(browser: Browser, book: Path) -> None:
    """Printed by one who prefers the dark, figures are as they were drawn, and no line is cut."""
    browser.look(media="print", scheme="dark")
    browser.driver.get((book / "students/handout.html").as_uri())
    filters = browser.run(
        "return [...document.querySelectorAll('figure img')].map(i => getComputedStyle(i).filter)"
    )
    assert set(filters) == {"none"}
    assert browser.run("return getComputedStyle(document.querySelector('pre')).whiteSpace") == (
        "pre-wrap"
    )


# --- examples -------------------------------------------------------------------------


def shown(on: Kernel) -> Kernel:
    """Return *on* if it is the series that the pages show; else the test is skipped."""
    if not on.release.startswith("6.1."):
        pytest.skip(f"the pages show Linux 6.1, whose words {on.release} has others for")
    return on


@pytest.mark.vm
@pytest.mark.parametrize("name", ["stock", "debug"])
def test_sessions_of_the_book_are_as_recorded(name: str, request: pytest.FixtureRequest) -> None:
    """What the pages show of guests comes again, from the same modules and commands."""
    on = shown(request.getfixturevalue(f"{name}_kernel"))
    recorded = book_examples.read(name)
    for file, text in book_examples.run(on, recorded).items():
        assert same(text) == same(recorded[file]), f"{file}: see tools/book_examples.py"


BOOK_LAB = """\
format = 2
title = "The book's examples"

[[exercises]]
number = 1
title = "None"
builds = ["first"]
points = 1
hint = "None."
"""

NOT_TIMED = ("first/session.txt", "order/session.txt", "unwind/session.txt", "left/session.txt")
"""Sessions that say the same however fast the host is; a console is in real time."""


@pytest.fixture
def book_lab(stock_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples of the book as a lab of their own, which `knetlab console` takes; its sources."""
    shown(stock_kernel)
    sources = tmp_path / "labs/book/solution"
    shutil.copytree(book_examples.EXAMPLES, sources)
    modules = (
        f'[[builds]]\nname = "{name}"\nkind = "module"\nfolder = "{name}"\nsources = ["{name}.c"]\n'
        for name in (Path(file).parent.name for file in NOT_TIMED)
    )
    (sources.parent / "lab.toml").write_text(BOOK_LAB + "".join(modules))
    monkeypatch.setenv("KNETLAB_LABS", str(tmp_path / "labs"))
    return sources


@pytest.mark.vm
def test_sessions_of_the_book_at_a_console(book_lab: Path) -> None:
    """Typed at `knetlab console`, with the kernel's log off the screen, they are as recorded."""
    at = Terminal(
        "console", "book", "--kernel", "stock", "--submission", str(book_lab), columns=200
    )
    at.until_prompt()
    at.run("dmesg -n 1")
    for file in NOT_TIMED:
        recorded = book_examples.read("stock")[file]
        assert same(console.replay(recorded, at.run)) == same(recorded), file
        at.run("cd /lab")
    at.type("\x01x")
    assert at.ends() == 0


@pytest.mark.vm
def test_sessions_of_the_book_from_a_pipe(book_lab: Path) -> None:
    """As commands for `knetlab console` they print what is recorded, the log on stderr alone."""
    recorded = "".join(f"# cd /lab\n{book_examples.read('stock')[file]}" for file in NOT_TIMED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "checker", "console", "book", "--kernel", "stock"),
            *("--submission", str(book_lab)),
        ],
        check=False,
        # the shell prints each command as it reads it, and errors where they belong
        input="exec 2>&1; set -v\n" + "".join(f"{c}\n" for c in book_examples.commands(recorded)),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert same(done.stdout) == re.sub(r"^# ", "", same(recorded), flags=re.MULTILINE), done
    assert re.search(r"^\[ *\d+\.\d+\] first: here I am$", done.stderr, re.MULTILINE)


@pytest.mark.vm
def test_first_steps_of_the_first_hour(student: Callable[..., Student]) -> None:
    """Getting started's first line in the log comes as it says: in the console, after a ping."""
    (session,) = (found for page in STUDENT_PAGES for found in sessions(page.read_text()))
    page = (DOCS / "students/getting-started.md").read_text()
    (line,) = re.findall(r"`(pr_info\(.*?\);)`", page)
    alice = student()
    body = "static void log_new_connection(const struct sk_buff *skb)\n{"
    alice.replace("filter.c", body, f"{body}\n\t{line}")
    at = Terminal("console", "networking", "--kernel", "stock", "--submission", str(alice.path))
    at.until_prompt()
    for command in book_examples.commands(session):
        at.type(f"{command}\r")
    at.until("a packet")
    at.type("\x01x")
    assert at.ends() == 0


def test_lines_that_are_explained_are_those_of_the_reports() -> None:
    """Each line that the page on reports explains stands in a report that it shows."""
    page = (DOCS / "students/reports.md").read_text()
    reports = "".join(path.read_text() for path in book_examples.EXAMPLES.glob("*/report.txt"))
    explained = re.findall(r"^`(.*)`\n: ", page, re.MULTILINE)
    assert len(explained) > 12
    for line in explained:
        assert all(part in reports for part in line.split(" ... ")), line


def test_compilers_words_are_as_recorded() -> None:
    """Gcc and sparse say of the mixed byte orders what the page shows, of the others nothing."""
    recorded = (book_examples.EXAMPLES / book_examples.SPARSE).read_text()
    assert book_examples.sparse() == recorded
    assert set(re.findall(r"\w+\.c", recorded)) == {"mixed.c"}


def test_examples_have_the_kernels_style() -> None:
    """Checkpatch --strict has nothing to say of them."""
    assert lint_labs.style(sorted(book_examples.EXAMPLES.rglob("*.c"))) == ""


def test_every_session_is_shown_and_recorded() -> None:
    """Each file beside the examples stands on a page and is run; each module is used."""
    told = "".join(page.read_text() for page in STUDENT_PAGES)
    files = {
        str(p.relative_to(book_examples.EXAMPLES)) for p in book_examples.EXAMPLES.rglob("*.txt")
    }
    assert files == {*book_examples.SESSIONS, book_examples.SPARSE}
    for file in files | {f"{name}/{name}.c" for name in book_examples.modules()}:
        assert f"examples/{file}" in told, file


# --- the handout and the first page ---------------------------------------------------


SHAPES = """\
#include <linux/module.h>
#include <linux/netfilter.h>
{0}
unsigned int hook(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{{
	return NF_ACCEPT;
}}
static int first(void) {{ return 0; }}
static int second(void) {{ return 0; }}
static void undo_first(void) {{ }}
static int __used chain(void)
{{
	int err;
{1}
}}
{2}
"""
"""A module around the handout's code: a prototype, a chain of labels, init and exit."""


def test_code_of_the_handout_compiles(
    stock_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shapes that it shows are C that the kernel's compiler takes without a warning."""
    whole, unwind, prototype = blocks("c", HANDOUT)
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes/Kbuild").write_text("obj-m := shapes.o\nccflags-y := -Werror\n")
    (tmp_path / "shapes/shapes.c").write_text(SHAPES.format(prototype, unwind, whole))
    (tmp_path / "Kbuild").write_text("obj-m += shapes/\n")
    monkeypatch.setattr(book_examples, "EXAMPLES", tmp_path)
    assert set(book_examples.build(stock_kernel)) == {"shapes"}


ASKING = """\
#include <linux/err.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/tcp.h>

static int __init asking_init(void)
{{
	struct iphdr header = {{ .protocol = 6 }}, *iph = &header;
	struct tcphdr tcp = {{ .syn = 1 }}, *tcph = &tcp;
	int err = -EADDRINUSE;

	{0};
	pr_info("err {1}\\n", {2});
	return 0;
}}

static void __exit asking_exit(void)
{{
}}

module_init(asking_init);
module_exit(asking_exit);
MODULE_LICENSE("GPL");
"""


@pytest.mark.vm
def test_what_the_page_on_debugging_says_in_passing(
    stock_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines of C compile and print what it says; its files and commands are in a guest."""
    page = " ".join((DOCS / "students/debugging.md").read_text().split())
    (values,) = re.findall(r"`(pr_info\(\"[^`]+\))`", page)
    format_, value, printed = re.findall(r"`(%pe)` with `(ERR_PTR\(err\))` prints `(\S+)`", page)[0]
    (tmp_path / "asking").mkdir()
    (tmp_path / "asking/Kbuild").write_text("obj-m := asking.o\nccflags-y := -Werror\n")
    (tmp_path / "asking/asking.c").write_text(ASKING.format(values, format_, value))
    (tmp_path / "Kbuild").write_text("obj-m += asking/\n")
    monkeypatch.setattr(book_examples, "EXAMPLES", tmp_path)
    ko = book_examples.build(stock_kernel)["asking"]
    config = Config(stock_kernel, image.initramfs(stock_kernel), image.root())
    with snapshot.guest(config, {"asking.ko": PayloadFile(book_examples.strip(ko))}) as guest:
        assert guest.run(["/bin/sh", "-c", "insmod /lab/asking.ko"]).ok
        guest.sync()
        log = [record.text for record in guest.records]
        assert any("asking_init: protocol 6 syn 1 ack 0" in line for line in log)
        assert any(f"err {printed}" in line for line in log)
        commands = re.findall(r"`(netstat -tan|lsmod|/proc/devices)`", page)
        assert len(commands) == 3
        for command in commands:
            said = guest.run(["/bin/sh", "-c", command.replace("/proc", "cat /proc")])
            assert said.ok and said.text, command
        tracing = "cd /sys/kernel/debug/tracing; "
        (pattern,) = re.findall(r"`(echo 'tcp_\*' >set_ftrace_filter)`", page)
        assert guest.run(
            ["/bin/sh", "-c", f"{tracing}{pattern} && grep -q tcp_ set_ftrace_filter"]
        ).ok
        tracers = guest.run(["/bin/sh", "-c", f"{tracing}cat available_tracers"]).text
        assert "Only the stock kernel has `function_graph`" in page
        assert "function_graph" in tracers.split()


@pytest.mark.vm
def test_first_failure_is_as_the_first_page_shows(
    lab: Lab, stock_kernel: Kernel, tmp_path: Path
) -> None:
    """`make check` of what was handed out says what "Getting started" explains."""
    page = (DOCS / "students/getting-started.md").read_text()
    shown = next(block for block in blocks("text", page) if block.startswith("Exercise 1"))
    skeleton.write(skeleton.generate(lab.solution, 1), tmp_path / "mine", force=False)
    options = grading.Options(exercises=frozenset({1}), jobs=1)
    given = submission.read(lab, tmp_path / "mine")
    grade = grading.grade_submission(lab, given, stock_kernel, options)
    out = io.StringIO()
    terminal.render(grade, Console(file=out, width=200))

    def plain(text: str) -> str:
        return re.sub(r"127\.\d+\.\d+\.\d+:\d+", "ADDRESS", " ".join(text.split()))

    assert plain(shown) in plain(out.getvalue())
