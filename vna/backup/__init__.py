"""Copies of an archive: taken while it serves, checked, and brought back."""
