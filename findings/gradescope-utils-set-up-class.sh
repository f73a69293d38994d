#!/bin/sh
# gradescope-utils: an error in one class's setUpClass() ends the run, and no results are written.
#
# Guess: as with unittest's own runner, the class's tests count as an error and the other
# classes' tests go on; results.json has their points.
# Seen: the JSON runner raises AttributeError: '_ErrorHolder' object has no attribute
# '_testMethodName', for what unittest reports is no test. Nothing is written, not even the results of
# the classes that had passed before.
# Why it matters: a fixture of one exercise that fails costs the student all exercises.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gradescope-utils==0.5.0
cat >"$folder/try.py" <<'END'
import io
import sys
import unittest
from importlib.metadata import version

from gradescope_utils.autograder_utils.decorators import weight
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner

print(f"Python {sys.version.split()[0]}, gradescope-utils {version('gradescope-utils')}")


class First(unittest.TestCase):
	@weight(5)
	def test_passes(self):
		pass


class Second(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		raise OSError("the fixture is not there")

	@weight(5)
	def test_never_runs(self):
		pass


def suite():
	load = unittest.defaultTestLoader.loadTestsFromTestCase
	return unittest.TestSuite([load(First), load(Second)])


plain = unittest.TextTestRunner(stream=io.StringIO()).run(suite())
print(f"unittest's own runner: {plain.testsRun} test run, {len(plain.errors)} error")
out, said = io.StringIO(), ""
try:
	JSONTestRunner(stream=out).run(suite())
except AttributeError as error:
	said = str(error)
print(f"gradescope-utils: AttributeError: {said}; written: {out.getvalue()!r}")
same = (plain.testsRun, len(plain.errors), out.getvalue()) == (1, 1, "") and "_testMethodName" in said
sys.exit(None if same else "This has changed.")
END
"$folder/venv/bin/python" "$folder/try.py"
