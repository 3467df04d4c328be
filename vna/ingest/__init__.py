"""Whether and how an object enters the archive. Speaks no protocol."""
