"""Message catalogues: find the English sentences in the sources, and keep the .po files in step.

    python -m tools.catalogues          write every catalogue anew; translations stay
    python -m tools.catalogues --check  say what is missing, and write nothing

An id is the sentence as the source has it; a part that is worked out has a name in braces:
f"Port {route.port} is taken." is "Port {port} is taken.". What counts as a sentence: a string
of the files below with two words or more that is no docstring; of a check the docstring, too,
which is its title.
"""

from __future__ import annotations

import argparse
import ast
import operator
import re
import string
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from checker import language
from checker.lab import LABS, ROOT
from checker.report import story

ENGINE = (
    "checker/desk/hints.py",
    "checker/engine/*.py",
    "checker/kit/program.py",
    "checker/report/story.py",
    "checker/report/terminal.py",
    "checker/report/text.py",
    "checker/report/way.py",
    "checker/report/grade.html.j2",
    "checker/report/mark.html.j2",
    "checker/report/no_grade.html.j2",
    "checker/words/*.py",
)
"""Where what a student reads of a grade is written, relative to the project."""

FOR_AUTHORS = ("collector.py", "plugin.py")
"""Of those, the files that speak to a lab's author."""

_OTHERS = (
    "exercise {digits}",
    "exercises {digits}",
    "Exercise {digits}",
    "Exercises {digits}",
    ", {title}: {score} points",
    "{score} points",
    "{digits} of {digits2}",
    "{digits} of {digits2} points",
    "{digits} check",
    "{digits} checks",
    "{digits} more check",
    "{digits} more checks",
    "{digits} check is not shown: {digits2} of {digits3} points",
    "{digits} checks are not shown: {digits2} of {digits3} points",
    "{digits} not shown",
    "nothing",
    "address",
    "port",
    "modules",
    "programs",
    "modules and programs",
    "{done}, and {what}.",
    *(
        f"{{digits}} {noun}{s}"
        for noun in ("socket", "datagram", "byte", "line", "other line", "connection", "packet")
        for s in ("", "s")
    ),
    "{digits} grader error",
    "{digits} grader errors",
    "unchanged since {when}",
    ", unchanged since {when}",
    "; {digits} in exercise {digits2}, which was run on {when}",
    "{digits} seconds",
    "{place}, during {checks}",
    "and {digits} more",
    "{digits} and {digits2}",
    "{line} (repeated {digits} times)",
    "... {digits} lines left out ...",
    "expected",
    "actual",
    "Expected",
    "Actual",
    "Log",
    *(word for word in story.WORDS.values()),
    *(f"{{digits}} {word}" for word in story.WORDS.values()),
)
"""Forms that the reports put together, and words that stand alone; {digits} is numbers alone."""

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_CODE = re.compile(r"`[^`]*`")
_PATTERN = re.compile(
    r"\(\?|\\[bdsw]|\[\^|;\n|[{}]\n|^#|^obj-m|^(strip|echo|bold|struct|sysctl|sport) "
)
"""What only a regular expression, C, a command or a style has."""

_CHECK = re.compile(r"check_")
_FIELD = re.compile(r"\{[a-z]\w*\}|\{\{|\}\}")
_BRACES = re.compile(r"[{}]")
_NAMED = re.compile(r"\{\w+\}|\{\{|\}\}")
_SAID_BY_TEMPLATE = re.compile(r"\b_\((\"[^\"]*\")\)")


def sentences(path: Path) -> Iterator[str]:
    """Yield the message ids of a Python file, a page's template, a lab.toml or an advice.toml."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".j2":
        for match in _SAID_BY_TEMPLATE.finditer(text):
            yield _plain(ast.literal_eval(match[1]))
    elif path.name == "lab.toml":
        yield from _of_lab(tomllib.loads(text))
    elif path.name == "advice.toml":
        yield from (_flat(row["says"]) for row in tomllib.loads(text)["advice"])
    else:
        yield from _of_python(ast.parse(text))


def _of_lab(lab: dict[str, object]) -> Iterator[str]:
    yield str(lab["title"])
    exercises = lab["exercises"]
    assert isinstance(exercises, list)
    for exercise in exercises:
        yield exercise["title"]
        yield from (_plain(text) for text in (exercise["hint"], *exercise.get("hints", ())))


def _of_python(tree: ast.Module) -> Iterator[str]:
    left_out: set[ast.AST] = set()
    chosen: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as value):
                left_out.add(value)  # a docstring, also of a constant
            case ast.JoinedStr(values=values):
                left_out.update(v for v in values if isinstance(v, ast.Constant))
            case ast.FormattedValue(value=ast.IfExp(body=body, orelse=orelse)):
                chosen |= {body, orelse}  # one of two words in a sentence
            case ast.FormattedValue(format_spec=ast.JoinedStr() as spec):
                left_out.add(spec)
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in _BUGS:
                left_out.update(ast.walk(node))
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if node in tree.body and isinstance(node, ast.FunctionDef) and _CHECK.match(node.name):
            found.append((node.lineno, _plain(ast.get_docstring(node) or "")))
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"
        ):
            found += [(node.lineno, id_) for id_ in map(_id, node.args) if id_]
        elif node not in left_out and isinstance(node, ast.Constant | ast.JoinedStr):
            id_ = _id(node)
            if not _PATTERN.search(_raw(node)) and (_is_word(node, chosen) or _is_sentence(id_)):
                found.append((node.lineno, id_))
    yield from (_flat(id_) for _, id_ in sorted(found, key=operator.itemgetter(0)))


def _is_word(node: ast.AST, chosen: Collection[ast.AST]) -> bool:
    return node in chosen and bool(_LETTERS.search(_NAMED.sub("", _id(node))))


def _is_sentence(id_: str) -> bool:
    """Tell whether a string has words enough: "at {place}" would fit whatever begins with "at"."""
    words = _LETTERS.findall(_NAMED.sub("", id_))
    one = "{" in id_ and sum(map(len, words)) > 4 and not re.search(r"[a-z]\{|\}[a-z]", id_)
    enough = len(words) > 1 or one
    return enough and " " in id_.strip()


_BUGS = {"AssertionError", "RuntimeError", "TypeError", "ValueError", "LabError"}
"""What is raised for a developer, not for a student."""


def _id(node: ast.AST) -> str:
    """Return the message id of a string, whole or with parts worked out; "" for what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # where each brace is a name's it is filled in by str.format()
        return node.value if not _BRACES.search(_FIELD.sub("", node.value)) else _plain(node.value)
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts: list[str] = []
    names: dict[str, str] = {}
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(_plain(str(value.value)))
            continue
        assert isinstance(value, ast.FormattedValue)
        source = ast.unparse(value)  # with its format: {port} and {port:x} are two names
        if source not in names:
            names[source] = _name(value.value, set(names.values()))
        parts.append("{" + names[source] + "}")
    return "".join(parts)


def _name(node: ast.expr, taken: set[str]) -> str:
    """Return a name for what *node* works out, which none of *taken* is."""
    while True:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                break
            case ast.Call(func=func, args=args):
                node = args[0] if args else func
            case ast.Subscript(value=value):
                node = value
            case _:
                name = "value"
                break
    name = name.strip("_") or "value"
    return next(n for n in (name, *(f"{name}{k}" for k in range(2, 99))) if n not in taken)


def _raw(node: ast.Constant | ast.JoinedStr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


def _plain(text: str) -> str:
    """Return *text* on one line, its braces written twice, as an id has them."""
    return text.replace("{", "{{").replace("}", "}}")


def _flat(text: str) -> str:
    return " ".join(text.split())


def wanted(language_: str) -> dict[Path, dict[str, list[str]]]:
    """Return for each catalogue of *language_* its message ids, and the files that have them."""
    own, *_ = language.files(language_)
    sources = [path for pattern in ENGINE for path in sorted(ROOT.glob(pattern))]
    ids = _ids(path for path in sources if path.name not in FOR_AUTHORS)
    found = {own: ids | {id_: ["checker/report"] for id_ in _OTHERS if id_ not in ids}}
    for folder in sorted(p for p in LABS.iterdir() if p.is_dir()):
        sources = [*sorted(folder.glob("*.toml")), *sorted(folder.glob("checks/*.py"))]
        sources = [p for p in sources if p.name != "survivors.toml"]
        place = folder / "locale" / language_ / "LC_MESSAGES" / f"{folder.name}.po"
        if sources:
            found[place] = _ids(sources)
    return found


def book(language_: str) -> dict[Path, dict[str, list[str]]]:
    """Return the same for the student's pages of the book, whose ids Sphinx finds."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext", "-d", f"{folder}/trees"]
        subprocess.run([*argv, ROOT / "docs", folder], check=True)
        for path in sorted(Path(folder).glob("students/*.pot")):
            ids = {
                str(message.id): [
                    Path(folder, place).resolve().relative_to(ROOT).as_posix()
                    for place, _ in message.locations[:1]
                ]
                for message in load(path, language_)
                if _LETTERS.search(_CODE.sub("", str(message.id)))  # numbers and code stay
            }
            place = f"docs/locale/{language_}/LC_MESSAGES/students/{path.stem}.po"
            found[ROOT / place] = ids
    return found


def _ids(paths: Iterable[Path]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        for id_ in sentences(path):
            where = found.setdefault(_flat(id_), [])
            name = path.relative_to(ROOT).as_posix()
            if id_ and name not in where:
                where.append(name)
    found.pop("", None)
    return found


def load(path: Path, language_: str) -> Catalog:
    """Return the catalogue at *path*, an empty one where there is none."""
    if not path.is_file():
        return Catalog(locale=language_, project="knetlab", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language_)


def problems(path: Path, ids: dict[str, list[str]], language_: str) -> list[str]:
    """Return a sentence for each id of *ids* that the catalogue at *path* does not answer."""
    catalogue = load(path, language_)
    name = path.relative_to(ROOT)
    said = []
    for id_, places in ids.items():
        message = catalogue.get(id_)
        text = str(message.string) if message and not message.fuzzy else ""
        if not text:
            said.append(f"{name} has no translation of {id_!r} ({', '.join(places)}).")
        elif "docs" not in name.parts and names(text) != names(id_):
            said.append(f"{name}: the translation of {id_!r} has other names in braces.")
    return said


def names(text: str) -> set[str]:
    """Return the names in braces of a message."""
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def update(path: Path, ids: dict[str, list[str]], language_: str) -> None:
    """Write the catalogue at *path* with just *ids*, in the order of the sources."""
    before = load(path, language_)
    after = Catalog(
        locale=language_,
        project="knetlab",
        fuzzy=False,
        header_comment="# Made by tools/catalogues.py; the translations are written by hand.",
        # a date of today would make each run a change
        creation_date=_EPOCH,
        revision_date=_EPOCH,
        last_translator="knetlab",
        language_team="knetlab",
        copyright_holder="knetlab",
        msgid_bugs_address="knetlab",
    )
    for id_, places in ids.items():
        old = before.get(id_)
        after[id_] = Message(id_, old.string if old else "", [(place, 1) for place in places])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, after, width=96, include_lineno=False)


def main() -> int:
    """Write the catalogues, or say what they lack."""
    parser = argparse.ArgumentParser(description="Keep the message catalogues in step.")
    parser.add_argument("--check", action="store_true", help="say what is missing; write nothing")
    arguments = parser.parse_args()
    said = []
    for language_ in language.languages():
        for path, ids in {**wanted(language_), **book(language_)}.items():
            if not arguments.check:
                update(path, ids, language_)
            said += problems(path, ids, language_)
    print("\n".join(said) if said else "Every message has its translation.")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
