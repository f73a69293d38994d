"""One submission: from the student's text to a grade."""
