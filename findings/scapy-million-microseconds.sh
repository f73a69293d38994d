#!/bin/sh
# scapy writes a packet that came just before a full second with 1,000,000 microseconds.
#
# Guess: in a pcap file with microseconds, a time of ...0.9999996 becomes either ...0.999999 or
# the next full second, so that the field is below 1,000,000, as the format has it.
# Seen: wrpcap() rounds the fraction alone: the record has the old second and 1000000. PcapNgWriter
# cuts the same time off, so the two formats of one library differ by a microsecond for half of all packets.
# Why it matters: a reader that checks the field refuses the file, and one capture written both
# ways does not compare equal. Times under virtual clocks often lie right below a full second.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scapy==2.8.0
cat >"$folder/try.py" <<'END'
import struct
import sys
from decimal import Decimal
from importlib.metadata import version

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, rdpcap, wrpcap

print(f"Python {sys.version.split()[0]}, scapy {version('scapy')}")
packet = Ether(dst="02:00:00:00:00:01") / IP(dst="192.0.2.1") / UDP() / b"x"
packet.time = Decimal("1700000000.9999996")
wrpcap("one.pcap", [packet])
with open("one.pcap", "rb") as file:
	second, fraction = struct.unpack("<II", file.read()[24:32])
print(f"pcap: seconds {second}, microseconds {fraction}")
writer = PcapNgWriter("one.pcapng")
writer.write(packet)
writer.close()
cut = rdpcap("one.pcapng")[0].time
print(f"pcapng: {cut}")
same = (second, fraction, str(cut)) == (1700000000, 1000000, "1700000000.999999")
sys.exit(None if same else "This has changed.")
END
cd "$folder"
./venv/bin/python try.py
