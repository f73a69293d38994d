"""Pure: what a module logs of connections, and in which way it writes their two ends.

A line holds the exercise's words and then, as a field of its own, ADDRESS:PORT; what stands
before or after that is the student's affair. A module that writes an end in a wrong way, and
always in the same one, is known by its Style: a check that is about something else then
compares with what such a module would log.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from diagnose import End, swapped, turned

SYN_LINE = "TCP connection initiated from"


def fields(texts: Iterable[str], words: str = SYN_LINE) -> list[str]:
    """Return the field behind each *words* in *texts*: A.B.C.D:PORT where the line is right.

    Where no field stands there it is "".
    """
    pattern = re.compile(re.escape(words) + r"(?:[ \t]+(\S+))?")
    return [match[1] or "" for text in texts for match in pattern.finditer(text)]


def _number(address: str) -> int:
    return int.from_bytes(bytes(map(int, address.split("."))), "big")


def _signed(number: int) -> int:
    return number - (number >> 31 << 32)


_ADDRESS: Mapping[str, Callable[[str], str]] = {
    "": lambda address: address,
    "turned": turned,
    "number": lambda address: str(_number(address)),
    "number, turned": lambda address: str(_number(turned(address))),
    "number, signed": lambda address: str(_signed(_number(address))),
    "number, turned, signed": lambda address: str(_signed(_number(turned(address)))),
    "hex": lambda address: f"{_number(address):x}",
    "hex, turned": lambda address: f"{_number(turned(address)):x}",
    "0x": lambda address: f"{_number(address):#x}",
    "0x, turned": lambda address: f"{_number(turned(address)):#x}",
}
"""Ways to write an address; "" is the right one."""

_PORT: Mapping[str, Callable[[int], str]] = {
    "": str,
    "swapped": lambda port: str(swapped(port)),
    "long": lambda port: str(port << 16),
    "long, signed": lambda port: str(_signed(port << 16)),
}
"""Ways to write a port: as it is, without ntohs(), with ntohl()."""


@dataclass(frozen=True)
class Style:
    """How a module writes the end that opens a connection; the default is the right way.

    *words* stand before it. *address* and *port* are ways to write them; *of_peer* says which
    of the two are taken from the other end.
    """

    words: str = SYN_LINE
    address: str = ""
    port: str = ""
    of_peer: frozenset[str] = frozenset()

    def field(self, sender: End, receiver: End) -> str:
        """Return what such a module logs of a packet from *sender* to *receiver*."""
        host = (receiver if "address" in self.of_peer else sender).address
        port = (receiver if "port" in self.of_peer else sender).port
        return f"{_ADDRESS[self.address](host)}:{_PORT[self.port](port)}"


RIGHT = Style()

_STYLES = [
    # both of the other end would be what a packet that goes the other way has
    Style(address=address, port=port, of_peer=frozenset(peer))
    for peer in ((), ("address",), ("port",))
    for address, port in itertools.product(_ADDRESS, _PORT)
]


def known(texts: Iterable[str], client: End, server: End) -> bool:
    """Tell whether one of *texts* is of the connection from *client* to *server*, in any words."""
    texts = list(texts)
    return bool(fields(texts)) or style(texts, client, server) != RIGHT


def style(texts: Iterable[str], client: End, server: End) -> Style:
    """Return in which way a module writes, by the *texts* that it logged of one connection.

    *client* opened it, to *server*; the two have nothing in common. RIGHT where the lines
    do not tell.
    """
    texts = list(texts)
    found = set(fields(texts))
    for one in _STYLES:
        if one.field(client, server) in found:
            return one
    if found:
        return RIGHT
    for one in _STYLES:
        end = re.escape(one.field(client, server))
        for text in texts:
            # words of the student's own: some letters, and then the end as a field of its own
            if match := re.search(rf"^(.*[A-Za-z].*?)[ \t]+{end}(?!\S)", text):
                return Style(match[1], one.address, one.port, one.of_peer)
    return RIGHT
