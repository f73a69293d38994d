#!/bin/sh
# Wait for a run of knetlab to end, however it ends, and clear up after it.
#
# Usage: reaper.sh FOLDER <PIPE
#
# Standard input ends with the run: a line if it went as it should, else none. The
# run's processes are those that have FOLDER as their TMPDIR; most die with their
# parent, but bubblewrap's child, killed before it could ask for that, waits for ever.
trap '' HUP INT TERM
rounds=20
read -r _ && rounds=1
while [ $rounds -gt 0 ]; do
	grep -lsxzF "TMPDIR=$1" /proc/[0-9]*/environ | tr -cd '0-9\n' | xargs -r kill -KILL 2>/dev/null
	rm -rf "$1"
	rounds=$((rounds - 1))
	[ $rounds -eq 0 ] || sleep 0.05 # one that was being started is found next time
done
