"""Who someone is, what they may do, and that they did it."""
