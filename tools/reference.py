"""Write the pages of docs/reference that are made from the code.

    python -m tools.reference

commands.md comes from the command line's parser, grade-v1.schema.json from the
record that `knetlab check --json` writes. A test tells when one of them is old.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from checker import cli
from checker.model import Grade

FOLDER = Path(__file__).parent.parent / "docs" / "reference"

_HEAD = """\
# Commands

<!-- made by `python -m tools.reference`; a change here is lost -->

`make` in a clone of the repository gives the most usual ones short names: `make help`
lists them. [How a command ends, and what it reads from its
environment](running.md) is the same for all.
"""


def commands() -> str:
    """Return commands.md: each command with its arguments."""
    parts = [_HEAD]
    for name, about, command in _commands(cli.parser()):
        end = "" if about.endswith("?") else "."
        parts.append(f"## knetlab {name}\n\n{about[0].upper()}{about[1:]}{end}\n")
        rows = [f"| {_shown(a)} | {_cell(_meaning(a))} |" for a in _arguments(command)]
        if rows:
            parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n")
        if command.epilog:
            parts.append("".join(f"- {item}\n" for item in command.epilog.split("; ")))
    return "\n".join(parts)


def _commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name of each command, its line of help, and its parser."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield name, about[name], command


def _arguments(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in command._actions if not isinstance(a, argparse._HelpAction)]


def _shown(action: argparse.Action) -> str:
    """Return how an argument is written: `--kernel stock|debug`, `[LAB]`, `PATH …`."""
    takes = "" if action.nargs == 0 else str(action.metavar or "|".join(action.choices or ()))
    if action.option_strings and action.nargs == "?":
        takes = f"[{takes}]"
    if not action.option_strings:
        return {"?": f"`[{takes}]`", "+": f"`{takes} …`"}.get(str(action.nargs), f"`{takes}`")
    names = ", ".join(f"`{f'{name} {takes}'.strip()}`" for name in action.option_strings)
    return names.replace("|", "\\|")


def _meaning(action: argparse.Action) -> str:
    words = [action.help or ""]
    if not action.option_strings and action.choices:
        words.append("one of " + ", ".join(map(str, action.choices)))
    if action.choices and action.default:
        words.append(f"default: {action.default}")
    if action.option_strings and action.required:
        words.append("must be given")
    return "; ".join(word for word in words if word)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def grade_schema() -> str:
    """Return grade-v1.schema.json: what `--json` writes, as JSON Schema (draft 2020-12)."""
    schema = Grade.model_json_schema(mode="serialization")
    named = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(named | {"title": "knetlab/grade/v1"}, indent=2) + "\n"


FILES = {"commands.md": commands, "grade-v1.schema.json": grade_schema}


def main() -> None:
    """Write the files that are made."""
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
