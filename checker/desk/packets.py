"""The captures of the last run: copied to where a student finds them, and shown as tables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.desk import last_run, work
from checker.errors import InputError
from checker.model import Lab
from checker.report.text import count
from vm import pcap
from vm.pcap import Packet

FOLDER = Path("captures")
ROWS = 60
"""Rows of a table; what is beyond stands in the file."""

_NAME = re.compile(r"exercise-(\d+)-guest-(\d+)\.pcap")


def show(lab: Lab, folder: Path, number: int | None, console: Console) -> None:
    """Copy the captures of the last run of *folder* to captures/LAB/ and print their packets.

    Without *number* it is those of all exercises that the run tried. Raises InputError when
    there is none.
    """
    last = last_run.grade(folder)
    wanted = [number] if number else [e.number for e in last.exercises] if last else []
    found = [
        (int(name[1]), path)
        for path in last_run.captures(folder)
        if (name := _NAME.fullmatch(path.name)) and int(name[1]) in wanted
    ]
    if not found:
        tried = f"exercise {number}" if number else "this lab"
        again = f" EX={number}" if number else ""
        raise InputError(
            f"The last run of {folder} has no capture of {tried}. `make check{again}` makes one "
            "if the module compiles."
        )
    target = FOLDER / lab.name
    target.mkdir(parents=True, exist_ok=True)
    empty = False
    for exercise in sorted({at for at, _ in found}):
        captures = [path for at, path in found if at == exercise]
        empty |= _exercise(lab, exercise, captures, target, console)
    if empty:
        console.print(Text(_EMPTY))


def _exercise(lab: Lab, number: int, captures: list[Path], target: Path, console: Console) -> bool:
    """Print one exercise's packets; return whether there is a capture without any."""
    empty = False
    title = work.exercise(lab, number).title
    console.print(Text.assemble((f"Exercise {number}", "bold"), f", {title}"))
    for path in captures:
        copy = target / path.name
        shutil.copyfile(path, copy)
        seen = pcap.packets(copy.read_bytes())
        wanted = [packet for packet in seen if not packet.announcement]
        if wanted:
            console.print(_table(wanted, seen[0].seconds))
        if len(wanted) > ROWS:
            console.print(Text(f"and {count(len(wanted) - ROWS, 'packet')} more in the file"))
        left_out = len(seen) - len(wanted)
        said = f"{work.shown(copy)}: {count(len(wanted), 'packet')}"
        if left_out:
            said += f" (and {left_out} in which the network card announces its address)"
        console.print(Text(said, "dim"))
        empty |= not wanted
    console.print()
    return empty


_EMPTY = (
    "0 packets means that no packet went through the guest's network card, where QEMU records "
    "packets. This is often correct: most checks make connections inside the guest, over its "
    "loopback device (127.0.0.0/8), and these packets never reach the card. To see them, run "
    "tcpdump on lo in `make console`."
)


def _table(packets: list[Packet], start: float) -> Table:
    """Return the first packets with their times in guest seconds after *start*."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("Seconds", justify="right", no_wrap=True)
    table.add_column("From", no_wrap=True)
    table.add_column("To", no_wrap=True)
    table.add_column("Protocol")
    table.add_column("Flags", overflow="fold")
    table.add_column("Bytes", justify="right", no_wrap=True)
    for packet in packets[:ROWS]:
        table.add_row(
            f"{packet.seconds - start:.6f}",
            packet.source,
            packet.destination,
            packet.protocol,
            packet.info,
            str(packet.length),
        )
    return table
