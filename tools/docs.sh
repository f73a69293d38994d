#!/bin/sh
# Build the book in docs/ with Sphinx, any warning an error.
#
# Usage: tools/docs.sh [html|linkcheck]
#   html:      the pages, into build/docs
#   linkcheck: no pages; ask every other site that they link to (needs the network)
set -eu
cd "$(dirname "$0")/.."
builder=${1:-html}
case $builder in
html) out=build/docs ;;
linkcheck) out=build/linkcheck ;;
*)
	echo "Usage: tools/docs.sh [html|linkcheck]" >&2
	exit 2
	;;
esac
.venv/bin/python -m sphinx -q -W --keep-going -b "$builder" -d build/doctrees docs "$out"
[ "$builder" = linkcheck ] || echo "The book is built: $out/index.html"
