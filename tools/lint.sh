#!/bin/sh
# Check the project's own code: ruff, mypy, shellcheck, gcc, sparse and checkpatch.
# Pre-commit and CI run just this.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
say() { printf '%s\n' "lint: $*"; }

say ruff
$bin/ruff check .
$bin/ruff format --check .
say mypy
$bin/mypy
say shellcheck
git ls-files -z '*.sh' .ci/run vm/init/rc checker/classroom/export/gradescope/run_autograder | xargs -0 shellcheck
say 'the labs: W=1, sparse, checkpatch'
$bin/python -m tools.lint_labs
