"""What keeps the promises made once an object is in: commitment, deletion, the change feed."""
