#!/bin/sh
# kconfiglib refuses a Kconfig file that has the keyword transitional, which Linux has since 6.18.
#
# Guess: it reads Linux's Kconfig files as the kernel's own tools do; an attribute that it
# does not know would be a warning.
# Seen: KconfigError: couldn't parse 'transitional': syntax error, and nothing is read. The last
# release is of 2020. (7.2's own scripts/kconfig/tests/transitional shows what the keyword does.)
# Why it matters: whoever reads a kernel's options with it stops where a file uses the keyword.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kconfiglib==14.1.0
cd "$folder"
cat >Kconfig <<'END'
mainmenu "One renamed option"

config OLD_NAME
	bool
	transitional
	help
	  Kept so that a .config with the old name still sets the new one.

config NEW_NAME
	bool "New name"
	default OLD_NAME
END
sed '/transitional/d' Kconfig >Kconfig.before
cat >try.py <<'END'
import sys
from importlib.metadata import version

import kconfiglib

print(f"Python {sys.version.split()[0]}, kconfiglib {version('kconfiglib')}")


def outcome(name):
	try:
		found = kconfiglib.Kconfig(name, warn_to_stderr=False)
	except kconfiglib.KconfigError as error:
		said = str(error).splitlines()[0]
	else:
		said = f"read, with the options {sorted(found.syms.keys() & {'OLD_NAME', 'NEW_NAME'})}"
	print(f"{name}: {said}")
	return said


before, now = outcome("Kconfig.before"), outcome("Kconfig")
sys.exit(None if before.startswith("read") and "couldn't parse 'transitional'" in now else "This has changed.")
END
./venv/bin/python try.py
