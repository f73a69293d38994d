"""Helpers for the tests of pages: a strict reader, and what the eye can tell apart."""

from __future__ import annotations

import re
from html.parser import HTMLParser


def words(text: str) -> str:
    """Undo the wrapping of lines, which no test is about."""
    return " ".join(text.split())


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed in turn."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; one that has an end is open until then."""
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last, and no other."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        if self.open and self.open[-1] not in ("style", "script"):
            self.said += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every *tag*."""
        return [attributes for name, attributes in self.elements if name == tag]


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, as WCAG defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, #rrggbb, 1 to 21, as WCAG defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colours(source: str, scheme: int) -> dict[str, str]:
    """Return the colours of a page by name: of the light scheme (0), the dark (1), or print (2)."""
    root = re.findall(r":root \{(.*?)\}", source, re.DOTALL)[scheme]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", root))
