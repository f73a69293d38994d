#!/bin/sh
# Build the book in docs/ with Sphinx, any warning an error.
#
# Usage: tools/docs.sh [html|linkcheck] [LANGUAGE]
#   html:      the pages, into build/docs; with LANGUAGE (zh_CN), into build/docs/LANGUAGE
#   linkcheck: no pages; ask every other site that they link to (needs the network)
set -eu
cd "$(dirname "$0")/.."
builder=${1:-html}
language=${2:-en}
if [ "$language" != en ] && [ ! -d "docs/locale/$language" ]; then
	echo "The book is there in: en $(ls docs/locale). For one of them: make docs LANGUAGE=NAME" >&2
	exit 2
fi
case $builder in
html) out=build/docs ;;
linkcheck) out=build/linkcheck ;;
*)
	echo "Usage: tools/docs.sh [html|linkcheck] [LANGUAGE]" >&2
	exit 2
	;;
esac
[ "$language" = en ] || out=$out/$language
.venv/bin/python -m sphinx -q -W --keep-going -b "$builder" -D language="$language" \
	-d "build/doctrees/$language" docs "$out"
[ "$builder" = linkcheck ] || echo "The book is built: $out/index.html"
