"""A statement that is a transaction of its own survives what the driver does to its connection."""

from __future__ import annotations

from vna.db.once import run_once
from vna.db.pool import Database


def test_it_is_prepared_again_after_the_driver_let_go_of_all(database: Database) -> None:
    def ask() -> list[bytes | None] | None:
        with database.at_once() as conn:
            return run_once(conn, b"seven", "SELECT 7::integer", [])

    assert ask() == [(7).to_bytes(4, "big")]
    try:
        with database.transaction() as tx:
            tx.execute("SELECT 1", prepare=True)
            raise LookupError
    except LookupError:
        pass
    with database.transaction() as tx:  # here the driver deallocates what it had prepared
        tx.execute("SELECT 1")
    assert ask() == [(7).to_bytes(4, "big")]
