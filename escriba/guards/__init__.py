"""What is refused before it can do harm."""
