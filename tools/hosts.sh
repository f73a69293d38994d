#!/bin/sh
# Run the README's commands on other releases of Debian and print a table: does it work there?
#
# Usage: tools/hosts.sh [--hosts '12 13 sid'] [--users 'student root']
#                       [--commands 'check solution kernel solution test'] [--fresh] [--keep]
#        tools/hosts.sh --shell --hosts 13 [--users root]
#   --hosts:    releases of Debian; the default is '13 sid'
#   --users:    student, who has sudo, or root; the default is both
#   --commands: in this order; check is of the skeletons, solution of the lab's solution
#   --fresh:    make the roots anew from the mirror's packages
#   --keep:     keep the root when all went well, too
#   --shell:    a shell in a root that was kept
#
# Each host and user has a root of its own, unpacked anew: what a small container has, with git,
# make and sudo; in it a clone of HEAD and an empty cache. The roots and the logs are in
# $XDG_CACHE_HOME/knetlab/hosts. Needs mmdebstrap and util-linux 2.38, and runs as root, or as
# a user who has subordinate ids (uidmap, /etc/subuid) and a cache on a disk that is not
# mounted nosuid. The mirror is that of this host's apt, or KNETLAB_MIRROR.
set -eu
self=$(cd "$(dirname "$0")" && pwd)/hosts.sh
taken='http_proxy https_proxy no_proxy KNETLAB_MIRROR KNETLAB_TOOLCHAIN'

# in namespaces of its own: make ROOT the root, as a container has it, and run COMMAND there.
# A chroot would not do: in one bubblewrap can have no user namespace.
inside() { # ROOT DEBS HOST USER [COMMAND]
	root=$1 debs=$2 user=$4
	hostname "knetlab-$3" || true
	mount --bind "$root" "$root"
	cd "$root"
	echo "127.0.0.1 localhost $(uname -n)" >etc/hosts # sudo looks it up
	cat /etc/resolv.conf >etc/resolv.conf
	mount -t proc proc proc
	mount -t tmpfs -o mode=755 tmpfs dev
	for node in null zero full random urandom tty; do
		: >"dev/$node"
		mount --bind "/dev/$node" "dev/$node"
	done
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
	mount -t tmpfs -o mode=1777 tmpfs dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	for number in 0:stdin 1:stdout 2:stderr; do
		ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"
	done
	mount -t tmpfs -o mode=755 tmpfs run
	mount --bind "$debs" var/cache/apt/archives
	mkdir -p .outside
	pivot_root . .outside
	umount -l /.outside
	rmdir /.outside
	shift 4
	# a shell's background job ignores Ctrl-C, and so would all that is tried here
	exec env --default-signal=INT runuser --login "$user" --whitelist-environment "$(echo "$taken" | tr ' ' ,)" \
		${1:+--command "$1"}
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
fi

usage() {
	sed -n '/^# Usage/,/^# mounted/s/^# \{0,1\}//p' "$self" >&2
	exit 2
}

hosts='13 sid'
users='student root'
commands='check solution kernel solution test'
fresh=
keep=
shell=
while [ $# -gt 0 ]; do
	case $1 in
	--hosts | --users | --commands)
		[ $# -ge 2 ] || usage
		case $1 in
		--hosts) hosts=$2 ;;
		--users) users=$2 ;;
		--commands) commands=$2 ;;
		esac
		shift
		;;
	--fresh) fresh=1 ;;
	--keep) keep=1 ;;
	--shell) shell=1 ;;
	*) usage ;;
	esac
	shift
done
for word in $users $commands; do
	case $word in
	student | root | check | solution | kernel | test) ;;
	*)
		echo "hosts: $word is no user (student, root) and no command (check, solution, kernel, test)." >&2
		exit 2
		;;
	esac
done
for program in mmdebstrap unshare git tar; do
	command -v "$program" >/dev/null || {
		echo "hosts: $program is not here; Debian has it in the package of that name (unshare: util-linux)." >&2
		exit 2
	}
done

cd "$(dirname "$self")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/knetlab/hosts
mkdir -p "$cache/logs"
as_root=
namespaces='--mount --pid --fork --kill-child --uts --ipc'
if [ "$(id -u)" -ne 0 ]; then
	as_root='unshare --user --map-root-user --map-auto --'
	namespaces="--user --map-root-user --map-auto $namespaces"
	$as_root true || {
		echo "hosts: this user has no user namespace with subordinate ids: install uidmap, see subuid(5)." >&2
		exit 2
	}
fi

suite() { # RELEASE
	case $1 in
	12) echo bookworm ;;
	13) echo trixie ;;
	*) echo "$1" ;;
	esac
}

mirror() { # Debian or Debian-Security
	# shellcheck disable=SC2086 # the setting is one address, or two
	set -- "$1" ${KNETLAB_MIRROR:-}
	case $1:$# in
	Debian:1 | Debian-Security:1)
		# shellcheck disable=SC2016 # apt's own
		apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
			sed -n "s/^Debian $1 //p" | head -n 1
		;;
	Debian:*) echo "$2" ;;
	*) echo "${3:-$2-security}" ;;
	esac
}

make_base() { # RELEASE
	name=$(suite "$1")
	main=$(mirror Debian)
	[ -n "$main" ] || {
		echo "hosts: this host's apt names no mirror of Debian: set KNETLAB_MIRROR to the address of one." >&2
		exit 2
	}
	echo "making the root of $1 ($name)"
	set -- "$1" "deb $main $name main"
	security=$(mirror Debian-Security)
	case $1 in
	sid | unstable) ;;
	*) set -- "$@" "deb $main $name-updates main" ${security:+"deb $security $name-security main"} ;;
	esac
	release=$1
	shift
	# what this host's apt is told of its mirror holds for the root's, too
	set -- "$cache/$release/base.tar.new" "$@"
	for option in Acquire::Check-Valid-Until Acquire::http::Proxy Acquire::https::Proxy; do
		eval "$(apt-config shell value "$option")"
		# shellcheck disable=SC2154 # apt-config set it, if it knows the option
		[ -z "${value:-}" ] || set -- --aptopt="$option \"$value\"" "$@"
		value=
	done
	certificates=/etc/ssl/certs/ca-certificates.crt
	[ ! -e $certificates ] || set -- --customize-hook="upload $certificates $certificates" "$@"
	mkdir -p "$cache/$release"
	# shellcheck disable=SC2016 # $1 is the hook's
	mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make,sudo --format=tar \
		--customize-hook='chroot "$1" useradd --create-home --shell /bin/bash student' \
		--customize-hook='echo "student ALL=(ALL) NOPASSWD:ALL" >"$1/etc/sudoers.d/student"' \
		"$name" "$@"
	mv "$cache/$release/base.tar.new" "$cache/$release/base.tar"
}

enter() { # RELEASE USER [COMMAND]
	$as_root mkdir -p "$cache/$1/debs"
	# shellcheck disable=SC2086 # a list of words
	unshare $namespaces sh "$self" --inside "$cache/$1/$2" "$cache/$1/debs" "$1" "$2" ${3:+"$3"}
}

new_root() { # RELEASE USER
	root=$cache/$1/$2
	$as_root rm -rf "$root"
	mkdir -p "$root"
	$as_root tar -xpf "$cache/$1/base.tar" -C "$root" --numeric-owner --exclude='./dev/*'
	git bundle create --quiet "$cache/clone.bundle" HEAD
	$as_root cp "$cache/clone.bundle" "$root/clone.bundle"
	enter "$1" "$2" \
		'git -c advice.detachedHead=false -c init.defaultBranch=main clone --quiet /clone.bundle knetlab'
}

told() { # COMMAND LOG: what it came to; fails if that is not what is wanted
	total=$(sed -n 's/^ *Total *\([0-9.]* of [0-9.]*\).*/\1/p' "$2")
	case $1 in
	check | solution)
		sed -n "s/^kernel \([a-z]* [^ ,]*\),.*/$total, \1/p" "$2"
		[ -n "$total" ] && case $1:$total in
		check:"0 of "*) ;;
		solution:"${total##* } of "*) ;;
		*) return 1 ;;
		esac
		;;
	kernel) sed -n 's/^debug: \(Linux [^ ,]*\),.*/\1/p' "$2" ;;
	test) sed -n 's/^[= ]*\([0-9].* in [0-9.]*s\).*/\1/p' "$2" | tail -n 1 ;;
	esac
}

failed=
run() { # RELEASE USER COMMAND
	log=$cache/logs/$1-$2-$3.log
	case $3 in
	check) command='make check' ;;
	solution) command='make check SUBMISSION=labs/networking/solution' ;;
	kernel) command='make kernel NAME=debug' ;;
	test) command='make test' ;;
	esac
	begun=$(date +%s)
	if enter "$1" "$2" "cd knetlab && $command" >"$log" 2>&1 </dev/null; then
		state=ok
	else
		state="status $?"
	fi
	result=$(told "$3" "$log") || [ "$state" != ok ] || state=wrong
	[ "$state" = ok ] || {
		failed="$failed $1-$2"
		result="$state: ${result:-$(tail -n 1 "$log" | cut -c -60)} ($log)"
	}
	printf '%-5s %-8s %-9s %6d s  %s\n' "$1" "$2" "$3" $(($(date +%s) - begun)) "$result"
}

if [ -n "$shell" ]; then
	enter "${hosts%% *}" "${users%% *}"
	exit
fi
[ -z "$(git status --porcelain)" ] || echo "hosts: what is not committed is not tried" >&2
for release in $hosts; do
	[ -z "$fresh" ] || $as_root rm -rf "${cache:?}/$release"
	[ -e "$cache/$release/base.tar" ] || make_base "$release"
done
printf '%-5s %-8s %-9s %8s  %s\n' host user command seconds result
for release in $hosts; do
	for user in $users; do
		new_root "$release" "$user"
		for command in $commands; do
			run "$release" "$user" "$command"
		done
		# shellcheck disable=SC2016 # dpkg's own
		enter "$release" "$user" "dpkg-query -W -f '\${Package} \${Version}, ' \
			qemu-system-x86 gcc python3 2>/dev/null" | sed 's/, $/\n/;s/^/with /' || true
		case "$failed $keep " in
		*" $release-$user "* | *"1 ") ;;
		*) $as_root rm -rf "$cache/$release/$user" ;;
		esac
	done
done
[ -z "$failed" ]
