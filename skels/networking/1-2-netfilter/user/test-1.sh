#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Exercise 1: does the module log a TCP connection that this host opens?
#
# Usage: test-1.sh [ADDRESS [PORT]]      (default: 127.0.0.1 60000)
#
# Loads filter.ko, opens a connection from this host to ADDRESS, which must be
# one of its own, and compares what the kernel log says with what the listening
# netcat saw. The exit status is 0 if they agree. NC names the netcat to use.

set -u
cd "$(dirname "$0")" || exit 1

NC=${NC:-/bin/nc}
address=${1:-127.0.0.1}
port=${2:-60000}

module=../kernel/filter.ko
log_text='TCP connection initiated from'
mark="test-1.sh starts at $(cut -d ' ' -f 1 /proc/uptime)"
tmp=$(mktemp -d) || exit 1
server=

cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	! grep -q '^filter ' /proc/modules || rmmod filter
	rm -rf "$tmp"
}

fail() {
	echo "test-1: FAILED: $*" >&2
	exit 1
}

# Try a command again and again until it works, for at most 5 seconds.
wait_for() {
	tries=50
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# netstat complains where the kernel has no IPv6.
listening() {
	netstat -ltn 2>/dev/null | grep -qF " $address:$port "
}

log_lines() {
	dmesg | sed "1,/$mark/d" | grep -F "$log_text"
}

! grep -q '^filter ' /proc/modules ||
	fail "the module is loaded already: rmmod filter"
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

echo "# insmod $module"
echo "$mark" >/dev/kmsg
insmod "$module" || fail "the module does not load"

echo "# a netcat listens on $address, port $port; another connects to it"
"$NC" -n -v -d -l "$address" "$port" >"$tmp/server" 2>&1 &
server=$!
wait_for listening || fail "cannot listen there: $(cat "$tmp/server")"
echo hello | "$NC" -n -N -w 5 "$address" "$port" ||
	fail "cannot connect: does the hook return NF_ACCEPT?"
wait_for grep -q '^hello' "$tmp/server" ||
	fail "what the client sent does not arrive: does the hook return NF_ACCEPT?"
client=$(sed -n 's/^Connection received on \([^ ]*\) \([0-9]*\).*/\1:\2/p' \
	"$tmp/server")

echo "# look for this in the kernel log (dmesg), once:"
echo "$log_text $client"
echo "# and the log has this:"
log_lines
log_lines | grep -q "$log_text $client\$" ||
	fail "the connection is not in the log"
[ "$(log_lines | wc -l)" -eq 1 ] ||
	fail "one connection was opened, so one line is right"
echo "test-1: ok"
