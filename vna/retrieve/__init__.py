"""In which form an object goes out. Speaks no protocol."""
