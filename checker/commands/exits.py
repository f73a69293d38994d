"""The exit statuses of the commands, in one place."""

FULL = 0
"""Full marks, or all went as it should."""

PARTIAL = 1
"""Not full marks; not all as it should be; not everything could be graded."""

BAD_INPUT = 2
"""What was given cannot be used, as with a wrong argument."""

GRADER_FAILED = 3
"""knetlab or its host failed: no verdict about anybody's work."""

STOPPED = 130
"""Stopped by Ctrl-C, as shells have it."""
