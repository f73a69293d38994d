#!/bin/sh
# Sphinx's gettext builder: the places in a .pot file depend on where the file is written.
#
# Guess: "#: page.rst:1" names the source relative to the documentation, as Sphinx's messages do: the
# same text gives the same file.
# Seen: it is relative to the output folder: built into a folder elsewhere, each place is a way out of
# that folder and back ("../../../tmp/x/docs/page.rst"). A file that a page includes is named as itself,
# not as the page, so that its messages stand in the page's catalogue with another file's name.
# Why it matters: catalogues that are made in a temporary folder and committed change with each run, and
# have the names of folders of the machine in them. gettext_location = False leaves all places out.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sphinx==8.1.3
mkdir -p "$folder/x/docs" "$folder/x/shared"
printf 'project = "p"\n' >"$folder/x/docs/conf.py"
printf 'Title\n=====\n\nA sentence.\n\n.. include:: ../shared/more.txt\n' >"$folder/x/docs/index.rst"
printf 'Another sentence.\n' >"$folder/x/shared/more.txt"
for out in near far/away; do
	mkdir -p "$folder/$out"
	"$folder/venv/bin/python" -m sphinx -q -b gettext -d "$folder/trees" "$folder/x/docs" "$folder/$out"
done
"$folder/venv/bin/python" - "$folder" <<'END'
import re
import sys
from importlib.metadata import version
from pathlib import Path

folder = Path(sys.argv[1])
print(f"Python {sys.version.split()[0]}, Sphinx {version('sphinx')}")
seen = {}
for out in ("near", "far/away"):
	text = (folder / out / "index.pot").read_text(encoding="utf-8")
	seen[out] = [place.rpartition(":")[0] for place in re.findall(r"^#: (.*)$", text, re.MULTILINE)]
	print(f"built into {out}: {seen[out]}")
resolved = {
	out: [(folder / out / place).resolve().relative_to(folder.resolve()).as_posix() for place in places]
	for out, places in seen.items()
}
print(f"relative to the output folder these are {resolved['near']}")
same = ["x/docs/index.rst", "x/docs/index.rst", "x/shared/more.txt"]
changed = seen["near"] == seen["far/away"] or any(places != same for places in resolved.values())
sys.exit("This has changed." if changed else None)
END
