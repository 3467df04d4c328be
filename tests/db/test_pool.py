"""Database: what a transaction and a reading connection promise."""

from __future__ import annotations

import psycopg
import pytest

from vna.db.pool import Database
from vna.errors import Unavailable


def test_a_transaction_commits_when_its_block_ends(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute("CREATE TABLE note (text text)")
        tx.execute("INSERT INTO note VALUES ('kept')")
    with database.reading() as conn:
        assert conn.execute("SELECT text FROM note").fetchall() == [("kept",)]


def test_a_transaction_is_undone_when_its_block_raises(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            tx.execute("CREATE TABLE note (text text)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.reading() as conn:
        assert conn.execute("SELECT to_regclass('note')").fetchone() == (None,)


def test_readings_plan_for_their_values_and_see_the_schema(database: Database) -> None:
    with database.reading() as conn:
        row = conn.execute("SELECT current_schema(), current_setting('plan_cache_mode')").fetchone()
    assert row == (database.schema, "force_custom_plan")


def test_a_reading_past_its_time_is_given_up(database: Database) -> None:
    with pytest.raises(Unavailable, match="limit"), database.reading(statement_s=0.05) as conn:
        conn.execute("SELECT pg_sleep(30)")


def test_a_time_limit_holds_for_its_own_block_only(database: Database) -> None:
    with database.reading(statement_s=3) as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("3s",)
    with database.reading() as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("1min",)


def test_a_connection_the_server_has_ended_is_replaced(
    database: Database, postgres_admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    with database.reading() as conn:
        pid = conn.info.backend_pid
    postgres_admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with database.reading() as conn:
        assert conn.info.backend_pid != pid
