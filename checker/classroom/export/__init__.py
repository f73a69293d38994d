"""Grades written for other programs: one module a format, each a pure function of entries.

formats.py has them all. Here is what a command line needs to know of them.
"""

from __future__ import annotations

ABOUT = {
    "json": "all that is stored, knetlab/class/v1",
    "csv": "a row a student, a column an exercise",
    "junit": "a test suite a submission, for CI systems",
    "markdown": "the summary of a CI job",
    "github": "annotations at file and line, to be printed in a step of GitHub Actions",
    "canvas": "fills the gradebook that Canvas exported",
    "moodle": "fills the offline grading worksheet of Moodle",
    "moodle-feedback": "a zip of the students' pages, for Moodle's upload of feedback files",
    "canvas-feedback": "the same for Canvas's upload of submissions; --into is its download",
    "gradescope": "results.json of a Gradescope autograder",
    "prairielearn": "results.json of a PrairieLearn external grader",
    "autolab": "the last line of an Autolab autograder",
    "classroom50": "result.json of a Classroom 50 autograder",
}
"""Name on the command line -> what it is."""
