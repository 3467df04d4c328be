"""A database of a test's own, filled by SQL: for tests of how statements are planned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import TestPostgres
from vna.db.pool import Database


@contextmanager
def filled(postgres: TestPostgres, statements: str) -> Iterator[Database]:
    """Run statements, one behind the other, each outside a transaction; then open the index."""
    dsn = postgres.clone()
    with psycopg.connect(dsn, autocommit=True) as conn:
        for part in statements.split(";\n"):
            conn.execute(part)  # type: ignore[call-overload]  # text of our own
    database = Database(dsn, schema="vna")
    yield database
    database.close()
    postgres.drop(dsn)
