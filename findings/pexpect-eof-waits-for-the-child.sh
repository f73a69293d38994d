#!/bin/sh
# pexpect's expect(EOF, timeout=1) waits for the child's end, however long that takes.
#
# Guess: it returns when the child has closed its terminal, and after a second at the latest.
# Seen: where the terminal's end is there before expect() looks, it waits for the child's exit
# in a blocking waitpid(): 5 seconds here. Where the end comes while expect() waits,
# it returns at once. So it depends on how fast the two are.
# Why it matters: a test's timeout does not end it when a program hangs after its last word.
# ptyprocess's isalive() waits without WNOHANG once it has seen the end (flag_eof).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pexpect==4.9.0 ptyprocess==0.7.0
cat >"$folder/try.py" <<'END'
import os
import sys
import time
from importlib.metadata import version

import pexpect

print(f"Python {sys.version.split()[0]}, pexpect {version('pexpect')}, ptyprocess {version('ptyprocess')}")
CHILD = "import os, sys, time; time.sleep(2); os.closerange(0, 3); open(sys.argv[1], 'w'); time.sleep(5); os._exit(7)"


def seconds(flag, closed):
	child = pexpect.spawn(sys.executable, ["-c", CHILD, flag])
	while closed and not os.path.exists(flag):
		time.sleep(0.1)
	began = time.monotonic()
	child.expect(pexpect.EOF, timeout=1 if closed else 30)
	took = time.monotonic() - began
	child.close()
	return took


before, meanwhile = seconds("one", True), seconds("two", False)
print(f"expect(EOF, timeout=1) on a terminal that is closed: {before:.1f} s")
print(f"expect(EOF, timeout=30) on one that is closed after 2 s, 5 s before the end: {meanwhile:.1f} s")
sys.exit(None if before > 4 > meanwhile else "This has changed.")
END
cd "$folder"
./venv/bin/python try.py
