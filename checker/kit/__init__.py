"""What a lab's checks import."""
