"""The way of a packet as a line of text, and as a drawing for a page (way.html.j2)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from checker.language import say
from checker.model import Step, Way
from checker.report.text import count, one_line

ORIGIN = "seen when the check was run again with tracing on"
"""Where a way comes from; each report says it."""

COLUMNS = 44
"""Characters of a line in the drawing; what is longer is cut."""

_LINE, _PAD, _GAP = 18, 8, 20
_WIDTH = 370


def line(way: Way) -> str:
    """Return the way as one line: LOCAL_OUT (your hook: NF_ACCEPT) -> POST_ROUTING -> ...

    What is not on this host has the name of its host before it.
    """
    parts = []
    hosts = [step.host for step in way.steps]
    for (host, place, _), steps in _places(way):
        named = place
        said = [_hook(step) for step in steps if step.function]
        if said:
            named += f" ({'; '.join(said)})"
        parts.append((host, named))
    told = []
    before = "" if not any(hosts) else None
    for host, named in parts:
        told.append(named if host == before else f"{host or say('this host')}: {named}")
        before = host
    note = f". {say(one_line(way.note))}" if way.note else ""
    return " -> ".join([*told, say(one_line(way.end))]) + note


def _places(way: Way) -> list[tuple[tuple[str, str, str], list[Step]]]:
    """Return the places in order, each with the steps of its hook functions."""
    grouped = groupby(way.steps, key=lambda step: (step.host, step.place, step.link))
    return [(key, list(steps)) for key, steps in grouped]


def _hook(step: Step) -> str:
    whose = say("your hook") if step.yours else one_line(step.function)
    logged = say(f", {count(len(step.logged), 'line')} logged") if step.logged else ""
    return f"{whose}: {one_line(step.verdict) or say('not known')}{logged}"


# --- the drawing ---------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """One line of text in a drawing: where, what, and the style's class."""

    y: int
    text: str
    style: str = ""


@dataclass(frozen=True)
class Box:
    """A box of a drawing, from *y* on; *arrow*: the height at which the arrow to it begins."""

    y: int
    height: int
    style: str
    words: tuple[Words, ...]
    arrow: int | None


@dataclass(frozen=True)
class Drawing:
    """All boxes, from the top down; *names* are those of hosts, between them."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    names: tuple[Words, ...]
    text: str


def drawing(way: Way) -> Drawing:
    """Return the places as boxes in a column, each with its hooks, and the end below."""
    boxes: list[Box] = []
    names: list[Words] = []
    y, bottom = 1, None
    several = any(step.host for step in way.steps)
    before: str | None = None
    for (host, place, link), steps in _places(way):
        if several and host != before:
            y += _LINE
            names.append(Words(y - 5, _cut(say(f"on the host {host}" if host else "on this host"))))
        before = host
        hooks = [step for step in steps if step.function]
        lines = [(_cut(f"{place}{_device(place, link)}"), "place"), *_hook_lines(hooks)]
        boxes.append(_box(y, "mine" if any(s.yours for s in hooks) else "other", lines, bottom))
        bottom = y + boxes[-1].height
        y = bottom + _GAP
    good = "good" if way.outcome in ("delivered", "sent") else "bad"
    boxes.append(_box(y, good, [(part, "place") for part in _wrapped(say(way.end))], bottom))
    height = y + boxes[-1].height + 1
    return Drawing(_WIDTH, height, tuple(boxes), tuple(names), line(way))


def _device(place: str, link: str) -> str:
    leaving = place in ("LOCAL_OUT", "POST_ROUTING")
    return f", {say('to') if leaving else say('from')} {link}" if link else ""


def _hook_lines(hooks: list[Step]) -> list[tuple[str, str]]:
    lines = []
    for step in hooks:
        whose = f"{say('your hook')} {step.function}()" if step.yours else f"{step.function}()"
        said = one_line(step.verdict) or say("not known")
        together = f"{whose}: {said}"
        style = "bad" if step.yours and not said.startswith("NF_ACCEPT") else "hook"
        lines += [(part, style) for part in _wrapped(together)]
        for text in step.logged[:2]:
            lines += [(part, "quiet") for part in _wrapped(say(f'logged "{text}"'))]
        if len(step.logged) > 2:
            lines.append((say(f"and {count(len(step.logged) - 2, 'line')} more"), "quiet"))
    return lines


def _box(y: int, style: str, lines: list[tuple[str, str]], bottom: int | None) -> Box:
    words = tuple(
        Words(y + _PAD + _LINE * at + 13, text, look) for at, (text, look) in enumerate(lines)
    )
    return Box(y, 2 * _PAD + _LINE * len(lines), style, words, bottom)


def _wrapped(text: str) -> list[str]:
    """Break *text* at blanks into lines that fit; a word that does not is cut."""
    lines = [""]
    for word in one_line(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= COLUMNS:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_cut(part) for part in lines if part]


def _cut(text: str) -> str:
    return text if len(text) <= COLUMNS else f"{text[: COLUMNS - 3]}..."
