"""What a student sits at between two checks: hints, watching, resetting, captures, a console."""
