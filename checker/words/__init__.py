"""What is told: the kernel's and the compiler's words, as sentences with a place."""
