#!/bin/sh
# gradescope-utils: a test that is skipped, or fails in a subTest, has no row in results.json.
#
# Guess: each test of the suite has a row; one that is skipped or fails has 0 points there.
# Seen: a skipped test, one whose subTest() fails, an expected failure and an unexpected success
# have none. The score is the sum of the other rows, and so is the maximum that can be read from
# them: the student sees "5 of 5". A test that calls its set_score() and then fails keeps the points.
# JSONTestResult adds a row in addSuccess(), addError() and addFailure() alone.
# Why it matters: whoever splits a check by subTest() loses it, and the file looks like full marks.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gradescope-utils==0.5.0
cat >"$folder/try.py" <<'END'
import io
import json
import sys
import unittest
from importlib.metadata import version

from gradescope_utils.autograder_utils.decorators import partial_credit, weight
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner

print(f"Python {sys.version.split()[0]}, gradescope-utils {version('gradescope-utils')}")


class Checks(unittest.TestCase):
	@weight(5)
	def test_passes(self):
		pass

	@weight(5)
	@unittest.skip("there is no kernel")
	def test_is_skipped(self):
		pass

	@weight(5)
	def test_fails_in_a_subtest(self):
		for number in (0, 1):
			with self.subTest(number=number):
				self.assertEqual(number, 0)

	@weight(5)
	@unittest.expectedFailure
	def test_passes_unexpectedly(self):
		pass


class Partial(unittest.TestCase):
	@partial_credit(10)
	def test_fails_after_set_score(self, set_score=None):
		set_score(7)
		self.fail("too late")


def results(case):
	out = io.StringIO()
	JSONTestRunner(stream=out).run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
	found = json.loads(out.getvalue())
	rows = {row["name"].split()[0]: (row["score"], row["max_score"], row["status"]) for row in found["tests"]}
	print(f"{case.__name__}: rows {rows}, score {found['score']}")
	return rows, found["score"]


checks, partial = results(Checks), results(Partial)
expected = ({"test_passes": (5, 5, "passed")}, 5), ({"test_fails_after_set_score": (7, 10, "failed")}, 7)
sys.exit(None if (checks, partial) == expected else "This has changed.")
END
"$folder/venv/bin/python" "$folder/try.py"
