#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Exercise 4: does the module accept one connection and say whose it is?
#
# Usage: test-4.sh [ADDRESS [PORT]]      (default: 127.0.0.1 60000)
#
# Loads tcp_sock.ko, connects a netcat to ADDRESS and PORT, and compares the
# peer in the kernel log with the netcat's own address. insmod must wait for
# the netcat, and return when it is there. The exit status is 0 if all this is
# so. NC names the netcat to use.

set -u
cd "$(dirname "$0")" || exit 1

NC=${NC:-/bin/nc}
address=${1:-127.0.0.1}
port=${2:-60000}

log_text='connection established to'
mark="test-4.sh starts at $(cut -d ' ' -f 1 /proc/uptime)"
insmod=
client=

cleanup() {
	[ -z "$client" ] || kill "$client" 2>/dev/null
	[ -z "$insmod" ] || kill "$insmod" 2>/dev/null
	! wait_for not_loading || ! loaded || rmmod tcp_sock
}

fail() {
	echo "test-4: FAILED: $*" >&2
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

loaded() {
	grep -q '^tcp_sock .* Live ' /proc/modules
}

# While init has not returned, the module is there, but not yet live.
not_loading() {
	! grep -q '^tcp_sock .* Loading ' /proc/modules
}

# The address of the netcat: the connection as seen from its end.
find_peer() {
	peer=$(netstat -tn 2>/dev/null | awk -v to="$address:$port" \
		'$5 == to && $6 == "ESTABLISHED" { print $4; exit }')
	[ -n "$peer" ]
}

log_lines() {
	dmesg | sed "1,/$mark/d" | grep -F "$log_text"
}

! grep -q '^tcp_sock ' /proc/modules ||
	fail "the module is loaded already: rmmod tcp_sock"
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

echo "# insmod tcp_sock.ko &"
echo "$mark" >/dev/kmsg
insmod ./tcp_sock.ko &
insmod=$!
wait_for listening || fail "nothing listens on $address:$port"

echo "# a netcat connects to $address, port $port"
"$NC" -n -d "$address" "$port" &
client=$!
wait_for find_peer || fail "there is no connection"
wait_for not_loading || fail "the netcat is connected, but insmod does not return"
wait "$insmod" || fail "the module does not load"
insmod=

echo "# look for this in the kernel log (dmesg):"
echo "$log_text $peer"
echo "# and the log has this:"
log_lines
log_lines | grep -q "$log_text $peer\$" || fail "the peer is not in the log"

# The side that closes first keeps the port busy for a minute: let it be the
# netcat, or the next insmod would get EADDRINUSE.
kill "$client"
wait "$client" 2>/dev/null
client=
echo "# rmmod tcp_sock"
rmmod tcp_sock || fail "the module does not unload"
! listening || fail "after rmmod something still listens on $address:$port"
echo "test-4: ok"
