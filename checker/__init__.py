"""Grading: from a submission's bytes to a grade. Guests are reached through ``vm`` only."""
