"""Single keys under a shell's job control."""

from __future__ import annotations

import os
import sys

import pexpect
import pytest
from support import ROOT

READER = """
import os
from checker.desk.keys import cbreak
with cbreak() as fd:
    print("rea" + "dy", flush=True)
    while (key := os.read(fd, 1).decode()) != "q":
        print("got:" + key, flush=True)
"""


@pytest.mark.parametrize("between", [[], ["bg"]])
def test_keys_need_no_enter_after_fg(between: list[str]) -> None:
    """Stopped, and taken to the background too, it has single keys when it is in front again."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PS1": "PROMPT> ", "READER": READER}
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], encoding="utf-8", timeout=30, env=env
    )
    shell.expect("PROMPT> ")
    shell.sendline(f'{sys.executable} -c "$READER"')
    shell.expect("ready")
    shell.send("x")
    shell.expect("got:x")
    shell.send("\x1a")
    for command in between:
        shell.expect("PROMPT> ")
        shell.sendline(command)
        shell.sendline("until jobs | grep Stopped; do :; done")
        shell.expect(r"\+  Stopped")
    shell.expect("PROMPT> ")
    shell.sendline("fg")
    shell.expect("fg")
    shell.send("y")
    shell.expect("got:y")
    shell.send("q")
    shell.expect("PROMPT> ")
    shell.sendline("stty -a")
    shell.expect(" icanon")
    shell.close(force=True)
