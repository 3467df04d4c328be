"""What is fast and what is not; never a test."""
