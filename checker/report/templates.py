"""What all pages are made with: the templates, their filters, and a strict policy.

A page holds its style and its script itself. The Content-Security-Policy allows these two
texts by their hashes and nothing else, so that a mistake in escaping still runs no code.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from checker import language
from checker.report import story, text, way

# A page of many megabytes opens nowhere; the stored grade keeps every line.
LINES, WIDTH = 200, 2000

_FOLDER = Path(__file__).parent


def environment() -> Environment:
    """Return what every page is made with: it escapes, and knows no name that it was not given."""
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def code(sentence: str) -> Markup:
    """Return *sentence*, escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


_PAGES = environment()
_PAGES.globals.update(
    words=story.WORDS, tally=story.tally, score=story.score, points=text.points, count=text.count
)
_PAGES.globals.update(way_origin=way.ORIGIN, _=language.say, language=language.wanted)
_PAGES.filters.update(
    drawing=way.drawing,
    code=code,
    say=language.say,
    one_line=text.one_line,
    fold=lambda log: text.fold(log, LINES, WIDTH),
)


def render(
    template: str, *, styles: Sequence[str], scripts: Sequence[str] = (), **shown: object
) -> str:
    """Return the page that *template* makes of *shown*; *styles* and *scripts* are file names."""
    style, script = _joined(tuple(styles)), _joined(tuple(scripts))
    allowed = f"style-src {_digest(style)}" + (f"; script-src {_digest(script)}" if script else "")
    return _PAGES.get_template(template).render(
        style=style,
        script=script,
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; {allowed}",
        **shown,
    )


@cache
def _joined(names: tuple[str, ...]) -> str:
    return "".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    """Return the hash of *text* as the W3C's Content Security Policy writes it."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
