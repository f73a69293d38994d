"""What works on the project itself: set-up, lint, tests, benchmark."""
