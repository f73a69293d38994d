#!/bin/sh
# pexpect's SocketSpawn takes an encoding, and with one it cannot expect anything.
#
# Guess: SocketSpawn(socket, encoding="utf-8") works as fdspawn and spawn do with it: text is
# expected and text is found, and what is read is written to the log file.
# Seen: the first expect() that has to read raises TypeError: string argument expected, got 'bytes'.
# The log has what was sent and never what was read, with and without an encoding.
# Why it matters: a console of QEMU is a socket. fdspawn on the socket's descriptor works.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pexpect==4.9.0
cat >"$folder/try.py" <<'END'
import io
import socket
import sys
from importlib.metadata import version

from pexpect.fdpexpect import fdspawn
from pexpect.socket_pexpect import SocketSpawn

print(f"Python {sys.version.split()[0]}, pexpect {version('pexpect')}")


def outcome(spawn, encoding):
	ours, theirs = socket.socketpair()
	theirs.sendall(b"hello\n")
	text = "hello" if encoding else b"hello"
	log = io.StringIO() if encoding else io.BytesIO()
	line = spawn(ours, timeout=10, encoding=encoding, logfile=log)
	line.send(text[:1])
	try:
		line.expect(text)
	except TypeError as error:
		return str(error), log.getvalue()
	return "found", log.getvalue()


due = {
	(fdspawn, None): ("found", b"hhello\n"),
	(fdspawn, "utf-8"): ("found", "hhello\n"),
	(SocketSpawn, None): ("found", b"h"),
	(SocketSpawn, "utf-8"): ("string argument expected, got 'bytes'", "h"),
}
found = {case: outcome(*case) for case in due}
for (spawn, encoding), (what, log) in found.items():
	print(f"{spawn.__name__}, encoding {encoding}: {what}; the log has {log!r}")
sys.exit(None if found == due else "This has changed.")
END
"$folder/venv/bin/python" "$folder/try.py"
