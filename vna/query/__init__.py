"""What a question means and what its answer contains. Speaks no protocol."""
