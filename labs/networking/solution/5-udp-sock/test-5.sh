#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Exercise 5: does the module send its message?
#
# Usage: test-5.sh [ADDRESS [PORT]]      (default: 127.0.0.1 60001)
#
# Lets a netcat wait for UDP datagrams on ADDRESS and PORT, loads udp_sock.ko,
# and shows what the netcat received. The exit status is 0 if it is the line
# "kernelsocket". NC names the netcat to use.

set -u
cd "$(dirname "$0")" || exit 1

NC=${NC:-/bin/nc}
address=${1:-127.0.0.1}
port=${2:-60001}

message=kernelsocket
tmp=$(mktemp -d) || exit 1
server=

cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	! grep -q '^udp_sock ' /proc/modules || rmmod udp_sock
	rm -rf "$tmp"
}

fail() {
	echo "test-5: FAILED: $*" >&2
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
receiving() {
	netstat -lun 2>/dev/null | grep -qF " $address:$port "
}

! grep -q '^udp_sock ' /proc/modules ||
	fail "the module is loaded already: rmmod udp_sock"
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

echo "# a netcat waits for datagrams on $address, port $port"
"$NC" -n -u -d -l "$address" "$port" >"$tmp/received" 2>"$tmp/errors" &
server=$!
wait_for receiving || fail "cannot wait there: $(cat "$tmp/errors")"

echo "# insmod udp_sock.ko"
insmod ./udp_sock.ko || fail "the module does not load"

echo "# the netcat must receive the line $message, and it receives:"
wait_for test -s "$tmp/received" || fail "no datagram came"
# The NUL that ends a string in C may be part of the message.
received=$(tr -d '\000' <"$tmp/received")
echo "$received"
[ "$received" = "$message" ] || fail "this is not the message"

echo "# rmmod udp_sock"
rmmod udp_sock || fail "the module does not unload"
echo "test-5: ok"
