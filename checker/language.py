"""What a student reads, in their language: gettext catalogues over the English sentences.

All that knetlab works out and stores is English, so that a grade is one record whoever
reads it. A report is put into the reader's language where it is shown: say() looks for the
sentence in the catalogues of the language. A message id with names in braces stands for
every sentence of that form ("The module {name} cannot be loaded."); what stands for a name
is put into the language as well. tools/catalogues.py finds the ids in the sources.
"""

from __future__ import annotations

import functools
import locale
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from checker.errors import InputError
from checker.lab import ROOT

VARIABLE = "KNETLAB_LANG"
ENGLISH = "en"

_OWN = Path(__file__).parent / "locale"
_NAME = re.compile(r"\{(\w+)\}|(\{\{|\}\})")
_DIGITS = r"\d[\d., ]*(?: and \d+)?"
"""What stands for a name like {digits}: else "{score} of {max_score}" would fit half of all."""

_LOOSE = 4
"""A form of so few letters of its own says little about a sentence."""

_END = re.compile(r"(?<=[.:;?!]) ")
"""Where a sentence or a part of one ends."""

_PART = re.compile(r"[.,:;?!] |\.$")
"""Where a part of a sentence ends."""

_WIDE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
"""Characters of Chinese text and its punctuation, between which no space stands."""


class Catalogue:
    """The sentences of one language: message id -> translation, both with names in braces."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._whole: dict[str, str] = {}
        self._forms: list[_Form] = []
        for id_, text in entries.items():
            if _NAME.search(id_):
                self._forms.append(_Form(id_, text))
            else:
                self._whole[id_] = text
        # the one with the most of its own words says the most about a sentence
        self._forms.sort(key=lambda form: form.letters, reverse=True)

    def say(self, text: str) -> str:
        """Return *text* in the language: whole, else line by line, else by its sentences.

        What is not in the catalogue stays as it is.
        """
        if not text.strip():
            return text
        found = self._find(text)
        if found is not None:
            return found
        if "\n" in text:
            return "\n".join(map(self.say, text.split("\n")))
        parts = self._sentences(text)
        if None in (known for _, known in parts):
            found = self._find(text, across=True)
            if found is not None:
                return found
        return "".join(_joined(known or self._listed(part) for part, known in parts))

    def _listed(self, text: str) -> str:
        """Return the words of a list in the language ("4 passed, 1 failed"), if all are known."""
        parts = re.split(r", | and ", text)
        known = [self._find(part) for part in parts]
        return "、".join(part for part in known if part) if all(known) else text

    def _find(self, text: str, *, across: bool = False) -> str | None:
        """Return what is known of *text* as one; a name may hold sentences only with *across*."""
        flat = " ".join(text.split())
        if flat in self._whole:
            return self._whole[flat]
        matches = [(form, names) for form in self._forms if (names := form.match(text)) is not None]
        # "It came from {client}" is not the form of "It came from 10.0.2.15, and insmod fails."
        for bound in (_PART, _END) if not across else (None,):
            for form, names in matches:
                if bound and any(map(bound.search, names.values())):
                    continue
                told = {name: self._inner(value) for name, value in names.items()}
                # "{done}, and {what}." fits too much: the parts of such a form must be known
                if not form.loose or all(told[n] != value for n, value in names.items()):
                    return form.filled(told)
        return None

    def _inner(self, value: str) -> str:
        """Return what stands for a name in the language, the blanks around it as they were."""
        inner = value.strip()
        if not inner:
            return value
        told = self.say(inner)
        if told == inner and (sentence := self._find(f"{inner}.")) is not None:
            told = sentence.rstrip("。")  # a title in a sentence has lost its full stop
        return value.replace(inner, told)

    def _sentences(self, text: str) -> list[tuple[str, str | None]]:
        """Return the parts of *text*, each with its translation or None.

        As many sentences as are known as one are one part.
        """
        words = _END.split(text)
        parts = []
        while words:
            for end in range(len(words), 0, -1):
                part = " ".join(words[:end])
                found = self._find(part)
                if found is not None or end == 1:
                    parts.append((part, found))
                    words = words[end:]
                    break
        return parts


class _Form:
    """A message id with names, and its translation."""

    def __init__(self, id_: str, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._names: list[str] = []
        here, last = "", 0
        for match in _NAME.finditer(id_):
            here += id_[last : match.start()]
            last = match.end()
            if match[2]:
                here += match[2][0]
            else:
                self._parts.append(here)
                self._names.append(match[1])
                here = ""
        self._parts.append(here + id_[last:])
        self.letters = sum(map(len, self._parts))
        self._longest = max(self._parts, key=len)
        words = sum(map(str.isalpha, "".join(self._parts)))
        self.loose = words <= _LOOSE and not any(n.startswith("digits") for n in self._names)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        seen: set[str] = set()
        pattern = re.escape(self._parts[0])
        for name, part in zip(self._names, self._parts[1:], strict=True):
            what = _DIGITS if name.startswith("digits") else ".*?"
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{what})"
            seen.add(name)
            pattern += re.escape(part)
        return re.compile(pattern, re.DOTALL)

    def match(self, text: str) -> dict[str, str] | None:
        """Return what stands in *text* for each name; None where it is another sentence."""
        if self._longest not in text:  # far cheaper than the pattern, and mostly enough
            return None
        found = self._pattern.fullmatch(text)
        return found.groupdict() if found else None

    def filled(self, names: Mapping[str, str]) -> str:
        """Return the translation with its names filled in."""
        return _NAME.sub(lambda m: m[2][0] if m[2] else names[m[1]], self._text)


def _joined(parts: Iterable[str]) -> Iterator[str]:
    before = ""
    for part in parts:
        if before and not (_WIDE.match(before[-1]) or _WIDE.match(part[:1])):
            yield " "
        yield part
        before = part


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """Return the reader's language: "zh_CN"; "en" where there is no catalogue for it.

    It is KNETLAB_LANG, else the locale. Raises InputError for a KNETLAB_LANG that knetlab
    does not speak.
    """
    asked = environment.get(VARIABLE, "")
    if asked:
        found = _known(asked)
        if not found:
            raise InputError(
                f"{VARIABLE} is {asked!r}: knetlab speaks {', '.join((ENGLISH, *languages()))}."
            )
        return found
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(variable):
            return _known(value) or ENGLISH
    return ENGLISH


def _known(name: str) -> str:
    """Return the language of *name*, which may be a locale's: zh_CN.UTF-8, zh."""
    bare = re.split(r"[.@]", locale.normalize(name))[0].replace("-", "_")
    if bare in ("C", "POSIX") or bare.split("_")[0] == ENGLISH:
        return ENGLISH
    return next((one for one in languages() if bare in (one, one.split("_")[0])), "")


@functools.cache
def languages() -> tuple[str, ...]:
    """Return the languages besides English that there are catalogues for."""
    return tuple(sorted(path.name for path in _OWN.iterdir() if path.is_dir()))


def files(language: str) -> list[Path]:
    """Return the catalogues of *language*: knetlab's own, then those of the labs."""
    own = _OWN / language / "LC_MESSAGES" / "knetlab.po"
    return [own, *sorted(ROOT.glob(f"labs/*/locale/{language}/LC_MESSAGES/*.po"))]


@functools.cache
def catalogue(language: str) -> Catalogue:
    """Return the sentences of *language* of all its files; later ones add to the earlier."""
    from babel.messages.pofile import read_po

    entries: dict[str, str] = {}
    for path in files(language):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id and message.string and not message.fuzzy:
                    entries[str(message.id)] = str(message.string)
    return Catalogue(entries)


def say(text: str) -> str:
    """Return *text* in the reader's language; as it is where that is English."""
    language = wanted()
    return text if language == ENGLISH else catalogue(language).say(text)
