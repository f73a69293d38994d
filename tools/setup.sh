#!/bin/sh
# Install what knetlab needs on this host: packages by apt, Python packages into .venv.
#
# Usage: tools/setup.sh [kernel|lint|docs|dev]
#   kernel: also what building the debug kernel needs
#   lint:   also what `make lint LAB=...` needs
#   docs:   also what building the book needs
#   dev:    all that, and what the tests and `make lint` need
#
# Does nothing when all is there. Packages are installed as root or with sudo, and it says
# which and why before it does; where there is no apt it only says what is missing. The
# compiler and its like are needed only where vm/toolchain.py takes the host's own. With a kit
# (KNETLAB_KIT) the Python packages come out of that, and nothing is asked of the network.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
want=${1:-}

apt=$(command -v apt-get || true)

system() { # "debian 12"; testing and sid have no VERSION_ID
	# shellcheck disable=SC1091 # each host has its own
	[ ! -r /etc/os-release ] || (unset ID VERSION_ID; . /etc/os-release; echo "${ID:-} ${VERSION_ID:-sid}")
}

# does the host's own compiler serve, or is one fetched into the cache?
kit=${KNETLAB_KIT:-}
if [ -n "$kit" ] && [ ! -f "$kit" ]; then
	echo "There is no kit $kit." >&2
	exit 2
fi
compiler=${KNETLAB_TOOLCHAIN:-${kit:+own}}
case $compiler in
own | host) ;;
'')
	compiler=own
	[ -z "$apt" ] || case $(system) in
	'debian 12' | 'debian 13' | 'debian sid') compiler=host ;;
	esac
	;;
*)
	echo "KNETLAB_TOOLCHAIN=$compiler is wrong: set it to own or host, or do not set it." >&2
	exit 2
	;;
esac

# one line each: the program, its package, what it is for
needs='
qemu-system-x86_64 qemu-system-x86 boots the guests
qemu-img qemu-utils makes the disks of the guests
bwrap bubblewrap runs the compiler and QEMU in a sandbox
setpriv util-linux takes the rights of root away from the compiler and QEMU
make make runs the commands of the README
'
[ "$compiler" = own ] || needs="$needs
gcc gcc compiles the modules
mke2fs e2fsprogs makes the root file system
"
case $want:$compiler in
kernel:host | dev:host) needs="$needs
flex flex builds the debug kernel
bison bison builds the debug kernel
bc bc builds the debug kernel
xz xz-utils unpacks the source of the debug kernel
" ;;
esac
case $want in
lint | dev) needs="$needs
perl perl runs checkpatch
" ;;
esac
case $want:$compiler in
lint:host | dev:*) needs="$needs
sparse sparse checks the C code
" ;;
esac
case $want in
docs | dev) needs="$needs
dot graphviz draws the figures of the book
" ;;
esac
[ "$want" != dev ] || needs="$needs
gcc gcc compiles programs for the tests
patch patch makes wrong solutions for the tests
shellcheck shellcheck checks the shell code
chromium chromium shows HTML pages in tests
chromedriver chromium-driver controls chromium in tests
gdb gdb debugs a guest in tests
git git tells the tests which files belong to the project
"

missing=
lack() { # PACKAGE PURPOSE
	case " $missing " in *" $1 "*) return 0 ;; esac
	echo "$1 is missing; it $2."
	missing="$missing $1"
}

while read -r program package purpose; do
	[ -n "$program" ] || continue
	PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || lack "$package" "$purpose"
done <<END
$needs
END
case $compiler:$(gcc -print-file-name=libc.a 2>/dev/null || true) in
own:* | host:/*) ;;
*) lack libc6-dev "has the libraries for programs in the guest" ;;
esac
case $want:$compiler in
kernel:host | dev:host)
	echo '#include <gelf.h>' | gcc -E - >/dev/null 2>&1 || lack libelf-dev "builds the debug kernel"
	;;
esac

# .venv has the paths of its folder and of its Python in it: one that was moved or copied, or
# whose Python was upgraded, does not work, or runs the code of the other folder
made_for=.venv/.made-for
folder=
python_then=
[ ! -e "$made_for" ] || { read -r folder && read -r python_then; } <"$made_for" || true
python_now=$(readlink -f .venv/bin/python || true)
again=
if [ ! -e .venv ]; then
	again=first
elif [ ! -x .venv/bin/python ]; then
	again="the Python that it was made with no longer exists"
elif [ -n "$folder" ] && [ "$folder" != "$here" ]; then
	again="it was made for $folder, but this folder is $here"
elif [ -n "$python_then" ] && [ "$python_then" != "$python_now" ]; then
	again="it was made with $python_then, but now Python is $python_now"
elif [ -z "$folder" ] && ! { # who made it did not come to the end, or was another program
	.venv/bin/python -c 'import pip' 2>/dev/null &&
		{ [ ! -e .venv/bin/knetlab ] || grep -qF "$here/.venv/" .venv/bin/knetlab; }
}; then
	again="it is not complete, or it belongs to another folder"
fi

# the system's own Python first, as another one comes and goes
python=
find_python() {
	others=
	[ -n "$apt" ] || others='python3 python3.14 python3.13 python3.12 python3.11'
	for python in /usr/bin/python3 /usr/bin/python3.1[1-9] $others; do
		"$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null && return
	done
	return 1
}
[ -z "$again" ] || find_python ||
	lack python3-venv "makes .venv, the folder for the Python packages (Python 3.11 or newer)"

if [ -n "$missing" ] && [ -z "$apt" ]; then
	cat >&2 <<END
This system has no apt. Install these packages with its own package manager, then run this again.
knetlab needs Python 3.11 or newer with venv, QEMU 7.2 or newer (qemu-system-x86_64 and
qemu-img), bubblewrap, util-linux and make. It downloads the compiler itself.
Fedora: sudo dnf install qemu-system-x86-core qemu-img bubblewrap util-linux make python3
Arch:   sudo pacman -S qemu-system-x86 qemu-img bubblewrap util-linux make python
END
	exit 2
fi

# apt is asked for the guest's packages, or for its mirror: it needs its lists
lists=$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)
[ -n "$apt" ] && { [ "$compiler" = host ] || [ -z "${KNETLAB_MIRROR:-}$kit" ]; } ||
	lists=unused
if [ -n "$missing" ] || [ -z "$lists" ]; then
	by_hand="apt-get update${missing:+; apt-get install$missing}"
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "There is no sudo here. Run this as root and then try again: $by_hand" >&2
			exit 2
		}
		as_root=sudo
	fi
	echo "Running apt-get update${missing:+ and apt-get install$missing}${as_root:+ with sudo}"
	$as_root true || {
		echo "sudo does not work for you. Ask somebody to run this as root, and then try again: $by_hand" >&2
		exit 2
	}
	# one source of many that fails is no reason to stop: what lacks shows at the install
	$as_root apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null ||
		echo "apt-get update failed. Continuing with the lists that apt has." >&2
	if [ -n "$missing" ]; then
		# shellcheck disable=SC2086 # a list of words
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
			install --yes --no-install-recommends $missing >/dev/null || {
			echo "apt-get could not install$missing. Its error message is above." >&2
			exit 2
		}
	fi
	[ -z "$again" ] || find_python || {
		echo "knetlab needs Python 3.11 or newer, but /usr/bin/python3 is older." >&2
		exit 2
	}
fi

if [ -n "$again" ]; then
	[ "$again" = first ] || echo "Making .venv again: $again."
	[ ! -L .venv ] || rm .venv # what it leads to belongs to somebody else
	"$python" -m venv --clear .venv
fi
[ -e "$made_for" ] || printf '%s\n' "$here" "$(readlink -f .venv/bin/python)" >"$made_for"

extra=
case $want in docs | dev) extra="[$want]" ;; esac
stamp=.venv/.installed${extra:+-$want}
if [ ! -e "$stamp" ] || [ -n "$(find pyproject.toml -newer "$stamp")" ]; then
	echo "Installing the Python packages into .venv"
	set -- --quiet --disable-pip-version-check
	if [ -n "$kit" ] && [ -z "$extra" ]; then
		wheels=$(mktemp -d)
		trap 'rm -rf "$wheels"' EXIT
		tar -xf "$kit" -C "$wheels" wheels || {
			echo "$kit is not a kit of knetlab, or it is damaged: it has no wheels." >&2
			exit 2
		}
		set -- "$@" --no-index --find-links "$wheels/wheels"
	fi
	.venv/bin/python -m pip install "$@" --editable ".$extra"
	touch "$stamp"
fi
