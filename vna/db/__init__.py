"""What is true of any program on PostgreSQL: cluster, pool, statements, migrations, faults."""
