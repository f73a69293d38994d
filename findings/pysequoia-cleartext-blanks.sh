#!/bin/sh
# A text that is signed in the clear comes back from pysequoia without the blanks at the ends of lines.
#
# Guess: the bytes that were signed are the bytes that verify() returns.
# Seen: blanks and tabs at the end of a line are gone; \r\n and the last newline are kept; of
# two signed texts one after the other only the first is looked at and returned, without a word.
# Why it matters: an index of packages is such a text, and a hash of what comes back is not the
# hash of what was signed. The format leaves these blanks out of what is signed (RFC 4880, 7.1).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pysequoia==0.1.35
cat >"$folder/try.py" <<'END'
import sys
from importlib.metadata import version

import pysequoia as ps

print(f"Python {sys.version.split()[0]}, pysequoia {version('pysequoia')}")
key = ps.Tsk.generate("Somebody <somebody@example.org>")
certificates = [key.extract_certificate()]
signed = lambda text: ps.sign(key.signer(), text, mode=ps.SignatureMode.CLEAR)
back = lambda texts: bytes(ps.verify(b"".join(map(signed, texts)), store=lambda _: certificates).bytes)
due = {(b"a \t\nb\n",): b"a\nb\n", (b"a\r\nb",): b"a\r\nb", (b"- a\n\n",): b"- a\n\n"}
due[b"one\n", b"two\n"] = b"one\n"
found = {texts: back(texts) for texts in due}
print(*(f"signed {' and '.join(map(repr, t))}: verify() returns {f!r}" for t, f in found.items()), sep="\n")
sys.exit(None if found == due else "This has changed.")
END
"$folder/venv/bin/python" "$folder/try.py"
