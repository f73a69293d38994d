#!/bin/sh
# Babel: a per cent sign with a blank behind it makes a sentence a Python format.
#
# Guess: "50 % of the points" is prose: the blank says so, and nobody formats it.
# Seen: "% o" is taken for a conversion (an octal number with the flag blank). The message gets the flag
# python-format, `pybabel compile` says "placeholders are incompatible" of a right translation and ends
# with status 1, though it writes the .mo file. "50% of" is taken so, too; "50 % more" is not, as "% m" is
# no conversion: it depends on the next word's first letter.
# Why it matters: a build that looks at the status fails with some percentages and not with others.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0
cat >"$folder/try.py" <<'END'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from babel.messages.catalog import Message

print(f"Python {sys.version.split()[0]}, Babel {version('babel')}")
folder = Path(sys.argv[1])


def compiled(english, german):
	po, mo = folder / "de.po", folder / "de.mo"
	mo.unlink(missing_ok=True)
	head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
	po.write_text(f'{head}msgid "{english}"\nmsgstr "{german}"\n', encoding="utf-8")
	argv = [Path(sys.executable).with_name("pybabel"), "compile", "-l", "de", "-i", po, "-o", mo]
	done = subprocess.run(argv, capture_output=True, text=True)
	refused = "placeholders are incompatible" in done.stderr
	print(f"{english!r}: flags {sorted(Message(english).flags)}, status {done.returncode}, "
		f"{'refused' if refused else 'taken'}, .mo {'written' if mo.exists() else 'not written'}")
	return done.returncode, refused, mo.exists()


seen = [
	compiled("This is 50 % of the points.", "Das sind 50 % aller Punkte."),
	compiled("This is 50% of the points.", "Das sind 50% aller Punkte."),
	compiled("This is 50 % more.", "Das sind 50 % mehr."),
]
sys.exit(None if seen == [(1, True, True), (1, True, True), (0, False, True)] else "This has changed.")
END
"$folder/venv/bin/python" "$folder/try.py" "$folder"
