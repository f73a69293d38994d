#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Exercise 2: does the module log connections to the one address it was given?
#
# Usage: test-2.sh [ADDRESS [OTHER [PORT]]]
#                                (default: 127.0.0.1 127.0.0.2 60000)
#
# Loads filter.ko, asks it (with ./test) for connections to ADDRESS, then opens
# one connection to ADDRESS and one to OTHER. Both must be addresses of this
# host. Only the first may be in the kernel log. The exit status is 0 if it is
# so. NC names the netcat to use.

set -u
cd "$(dirname "$0")" || exit 1

NC=${NC:-/bin/nc}
address=${1:-127.0.0.1}
other=${2:-127.0.0.2}
port=${3:-60000}

module=../kernel/filter.ko
device=/dev/filter
log_text='TCP connection initiated from'
mark="test-2.sh starts at $(cut -d ' ' -f 1 /proc/uptime)"
tmp=$(mktemp -d) || exit 1
server=

cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	! grep -q '^filter ' /proc/modules || rmmod filter
	rm -rf "$tmp"
}

fail() {
	echo "test-2: FAILED: $*" >&2
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
	netstat -ltn 2>/dev/null | grep -qF " $1:$port "
}

# connect TO: open a connection to TO and leave its own address in $client.
connect() {
	echo "# a netcat listens on $1, port $port; another connects to it"
	"$NC" -n -v -d -l "$1" "$port" >"$tmp/server" 2>&1 &
	server=$!
	wait_for listening "$1" || fail "cannot listen there: $(cat "$tmp/server")"
	echo hello | "$NC" -n -N -w 5 "$1" "$port" ||
		fail "cannot connect: does the hook return NF_ACCEPT?"
	wait_for grep -q '^hello' "$tmp/server" ||
		fail "what the client sent does not arrive: does the hook return NF_ACCEPT?"
	client=$(sed -n 's/^Connection received on \([^ ]*\) \([0-9]*\).*/\1:\2/p' \
		"$tmp/server")
}

log_lines() {
	dmesg | sed "1,/$mark/d" | grep -F "$log_text"
}

! grep -q '^filter ' /proc/modules ||
	fail "the module is loaded already: rmmod filter"
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

[ -c "$device" ] || mknod "$device" c 42 0 || fail "cannot make $device"

echo "# insmod $module"
echo "$mark" >/dev/kmsg
insmod "$module" || fail "the module does not load"
echo "# ./test $address $device"
./test "$address" "$device" || fail "the module does not take the address"

connect "$address"
wanted=$client
echo "# this should be in the kernel log (dmesg):"
echo "$log_text $wanted"

connect "$other"
echo "# this should NOT be there, because it goes to $other:"
echo "$log_text $client"

echo "# and the log has this:"
log_lines
log_lines | grep -q "$log_text $wanted\$" ||
	fail "the connection to $address is not in the log"
! log_lines | grep -q "$log_text $client\$" ||
	fail "the connection to $other is in the log"
echo "test-2: ok"
