"""What a lab's checks, and the tests of its texts, import."""
