#!/bin/sh
# pytest 9: a test whose subtests fail is one testcase of JUnit XML with several failures.
#
# Guess: each subtest is a testcase, or the test is one with one failure; the numbers of the
# testsuite are those of its elements.
# Seen: two of three subtests fail, and there is one testcase with three <failure> elements
# (each subtest's, and "contains 2 failed subtests"), where the common schemas allow one. The testsuite
# says tests="4" failures="3". A unittest.TestCase with subTest() has two <failure>, for there the test itself
# counts as passed: the summary says "2 failed, 1 passed".
# Why it matters: a reader that takes tests minus failures for what passed is wrong both ways, and one that
# validates the file refuses it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0
cd "$folder"
cat >test_fixture.py <<'END'
def test_three(subtests):
	for number in range(3):
		with subtests.test(number=number):
			assert number == 0
END
cat >test_unittest.py <<'END'
import unittest


class Three(unittest.TestCase):
	def test_three(self):
		for number in range(3):
			with self.subTest(number=number):
				self.assertEqual(number, 0)
END
cat >try.py <<'END'
import subprocess
import sys
from importlib.metadata import version
from xml.etree import ElementTree

print(f"Python {sys.version.split()[0]}, pytest {version('pytest')}")


def seen(name):
	argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=out.xml", name]
	summary = subprocess.run(argv, check=False, capture_output=True, text=True).stdout.splitlines()[-1]
	suite = ElementTree.parse("out.xml").getroot().find("testsuite")
	cases = suite.findall("testcase")
	failures = [len(case.findall("failure")) for case in cases]
	print(f"{name}: {summary.split(' in ')[0]}")
	print(f"  testsuite tests={suite.get('tests')} failures={suite.get('failures')}, "
		f"{len(cases)} testcase, failure elements {failures}")
	return suite.get("tests"), suite.get("failures"), failures


found = seen("test_fixture.py"), seen("test_unittest.py")
sys.exit(None if found == (("4", "3", [3]), ("4", "2", [2])) else "This has changed.")
END
./venv/bin/python try.py
