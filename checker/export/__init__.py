"""A grade written for other programs: one module a format, each a pure function of Grade."""
