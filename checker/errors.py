"""The errors of the grader; each one's text is a sentence that says what to do next."""


class InputError(Exception):
    """What was handed in, or the command line, is not usable: exit status 2."""


class LabError(InputError):
    """A lab's own files are wrong; the text names the file and the key."""
