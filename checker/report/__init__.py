"""A grade told to people: on the terminal and as a page."""
