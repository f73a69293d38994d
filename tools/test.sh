#!/bin/sh
# Run the project's tests, two at a time; fail if none ran. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
# pytest ends with 5 when it found no test, and so does this
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
