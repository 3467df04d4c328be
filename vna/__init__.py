"""A vendor neutral archive: every object sealed, indexed and found again."""

__version__ = "0.1.0"
