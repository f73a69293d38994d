#!/usr/bin/env bash
# Gradescope runs this once, as root, while it builds the container's image from a zip file
# that holds knetlab's repository with this script and run_autograder at its root.
set -euo pipefail
cd "${AUTOGRADER:-/autograder}/source"
tools/setup.sh
tools/setup.sh kernel
# The kernel is built now, in some minutes, not at each submission.
export XDG_CACHE_HOME="$PWD/.cache"
.venv/bin/knetlab kernel debug
# The image is no good if QEMU or the sandbox does not work in it: let the build fail here.
.venv/bin/knetlab doctor
