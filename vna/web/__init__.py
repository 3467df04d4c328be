"""The HTTP edge. The only room with async code."""
