"""Many submissions: taking them in, grading a class, comparing, gradebooks."""

RULES = "course.toml"
"""The file with the rules of a course, in the folder of its grades."""
