"""A class as one JSON document, knetlab/class/v1: all that is stored, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict, Field

from checker.model import Entry, Record


class Class(Record):
    """The record of a class: knetlab/class/v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["knetlab/class/v1"] = Field(default="knetlab/class/v1", alias="schema")
    entries: tuple[Entry, ...]


def render(entries: Iterable[Entry]) -> str:
    """Return *entries* as JSON text, hidden checks included: it is not for students.

    Half a surrogate, which a file's name can hold, is no character of JSON (RFC 8259, section
    8.2) and becomes a question mark.
    """
    record = Class(entries=tuple(entries)).model_dump(mode="json", by_alias=True)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")
