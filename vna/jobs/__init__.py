"""Work the house gives itself: a queue in PostgreSQL, a worker, and what each kind of job does."""
