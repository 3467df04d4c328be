"""A vendor neutral archive: every object sealed, indexed, findable, and shared only as its patient wishes."""

__version__ = "0.1.0"
