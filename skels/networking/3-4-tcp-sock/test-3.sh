#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Exercise 3: does the module listen, and stop when it is unloaded?
#
# Usage: test-3.sh [ADDRESS [PORT]]      (default: 127.0.0.1 60000)
#
# Loads tcp_sock.ko and looks for a socket that listens on ADDRESS and PORT. If
# insmod is then waiting for a client, which is exercise 4, it gets one. After
# rmmod nobody may listen there any more. The exit status is 0 if all this is
# so. NC names the netcat to use.

set -u
cd "$(dirname "$0")" || exit 1

NC=${NC:-/bin/nc}
address=${1:-127.0.0.1}
port=${2:-60000}

insmod=

cleanup() {
	[ -z "$insmod" ] || kill "$insmod" 2>/dev/null
	! wait_for not_loading || ! loaded || rmmod tcp_sock
}

fail() {
	echo "test-3: FAILED: $*" >&2
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
	netstat -ltn 2>/dev/null | grep -F " $address:$port "
}

loaded() {
	grep -q '^tcp_sock .* Live ' /proc/modules
}

# While init has not returned, the module is there, but not yet live.
not_loading() {
	! grep -q '^tcp_sock .* Loading ' /proc/modules
}

! grep -q '^tcp_sock ' /proc/modules ||
	fail "the module is loaded already: rmmod tcp_sock"
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

echo "# insmod tcp_sock.ko &"
insmod ./tcp_sock.ko &
insmod=$!

echo "# netstat -ltn must show a socket on $address:$port, and it shows:"
wait_for listening || fail "nothing listens on $address:$port"

if ! not_loading; then
	echo "# insmod has not returned: it may wait for a client, here is one"
	"$NC" -n -z -w 5 "$address" "$port" || fail "cannot connect"
fi
wait "$insmod" || fail "the module does not load"
insmod=

echo "# rmmod tcp_sock"
rmmod tcp_sock || fail "the module does not unload"
! listening || fail "after rmmod something still listens on $address:$port"
echo "test-3: ok"
