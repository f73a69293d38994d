#!/bin/sh
# Install what knetlab needs on this host: Debian packages by apt, Python packages into .venv.
#
# Usage: tools/setup.sh [kernel|lint|docs|dev]
#   kernel: also what building the debug kernel needs
#   lint:   also what `make lint LAB=...` needs
#   docs:   also what building the book needs
#   dev:    all that, and what the tests and `make lint` need
#
# Does nothing when all is there. Packages are installed as root or with sudo,
# and it says which and why before it does.
set -eu
cd "$(dirname "$0")/.."

# one line each: the program, its package, what it is for
needs='
qemu-system-x86_64 qemu-system-x86 boots the guests
qemu-img qemu-utils makes their disks
bwrap bubblewrap shuts the compiler and QEMU in
setpriv util-linux lets root drop its rights
gcc gcc compiles the modules
make make compiles the modules
mke2fs e2fsprogs makes the root file system
'
want=${1:-}
case $want in
kernel | dev) needs="$needs
flex flex builds the debug kernel
bison bison builds the debug kernel
bc bc builds the debug kernel
xz xz-utils unpacks its source
" ;;
esac
case $want in
lint | dev) needs="$needs
sparse sparse checks the C code
perl perl runs checkpatch
xz xz-utils unpacks it
" ;;
esac
case $want in
docs | dev) needs="$needs
dot graphviz draws the figures of the book
" ;;
esac
[ "$want" != dev ] || needs="$needs
patch patch makes wrong solutions for the tests
shellcheck shellcheck checks the shell code
chromium chromium shows the tests the pages of a class
chromedriver chromium-driver lets the tests use it
gdb gdb is let at a guest by the tests
git git is asked by the tests which files are the project's
"

missing=
while read -r program package purpose; do
	[ -n "$program" ] || continue
	PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null && continue
	echo "$package is missing; it $purpose."
	missing="$missing $package"
done <<EOF
$needs
EOF
libc=$(gcc -print-file-name=libc.a 2>/dev/null || true)
case $libc in
/*) ;;
*)
	echo "libc6-dev is missing; programs for the guest are built with it."
	missing="$missing libc6-dev"
	;;
esac
case $want in
kernel | dev)
	if ! echo '#include <gelf.h>' | gcc -E - >/dev/null 2>&1; then
		echo "libelf-dev is missing; it builds the debug kernel."
		missing="$missing libelf-dev"
	fi
	;;
esac
if ! /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null; then
	echo "python3-venv is missing; the Python packages go into .venv."
	missing="$missing python3 python3-venv"
fi

# the packages of the guest are looked up by apt, too: it needs its lists
lists=$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)
if [ -n "$missing" ] || [ -z "$lists" ]; then
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "Install them as root: apt-get update; apt-get install$missing" >&2
			exit 2
		}
		as_root=sudo
	fi
	echo "Running apt-get update${missing:+ and apt-get install$missing} ${as_root:+with sudo}"
	$as_root apt-get -q update >/dev/null
	if [ -n "$missing" ]; then
		# shellcheck disable=SC2086 # a list of words
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes \
			--no-install-recommends $missing >/dev/null
	fi
fi

extra=
case $want in docs | dev) extra="[$want]" ;; esac
stamp=.venv/.installed${extra:+-$want}
if [ ! -e "$stamp" ] || [ -n "$(find pyproject.toml -newer "$stamp")" ]; then
	echo "Installing the Python packages into .venv"
	[ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extra"
	touch "$stamp"
fi
