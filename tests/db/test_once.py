"""A statement that is a transaction of its own: what runs beside it, and what happens to it."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

from vna.db.once import run_once
from vna.db.pool import Database
from vna.errors import CommitUnknown, Conflict, Unavailable

INSERT = "INSERT INTO note VALUES (%s::text::integer) RETURNING n"
WRITING = "SELECT pid FROM pg_locks WHERE relation = 'note'::regclass AND mode = 'RowExclusiveLock'"


@pytest.fixture
def notes(database: Database) -> Database:
    with database.transaction() as tx:
        tx.execute("CREATE TABLE note (n integer PRIMARY KEY)")
        tx.execute("CREATE TABLE late (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        tx.execute("INSERT INTO late VALUES (1)")
    return database


def put(
    database: Database, n: int, meanwhile: Callable[[], None] = lambda: None
) -> list[bytes | None] | None:
    with database.at_once() as conn:
        return run_once(conn, b"put", INSERT, [str(n).encode()], meanwhile=meanwhile)


def there(database: Database) -> list[int]:
    with database.reading() as conn:
        return [n for (n,) in conn.execute("SELECT n FROM note ORDER BY n")]


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


def wait_for_the_server(database: Database) -> None:
    """Return when the server has the row in hand."""
    latest = time.monotonic() + 20
    with database.reading() as conn:
        while conn.execute(WRITING).fetchone() is None:
            assert time.monotonic() < latest, "the server has nothing in hand"


def test_nothing_is_committed_before_what_runs_meanwhile_returns(notes: Database) -> None:
    seen = []

    def look() -> None:
        wait_for_the_server(notes)
        seen.append(there(notes))

    assert put(notes, 7, look) == [(7).to_bytes(4, "big")]
    assert seen == [[]]
    assert there(notes) == [7]


def test_what_fails_meanwhile_undoes_the_statement(notes: Database) -> None:
    def fail() -> None:
        raise Unavailable("The disk is full.")

    with pytest.raises(Unavailable, match="disk"):
        put(notes, 7, fail)
    put(notes, 7)  # on another connection: nothing of the first is in the way
    assert there(notes) == [7]


def test_an_error_of_the_statement_is_told_and_the_connection_is_good(notes: Database) -> None:
    ran = []
    put(notes, 7)
    with pytest.raises(Conflict):
        put(notes, 7, lambda: ran.append(1))
    assert ran == [1]
    put(notes, 8)
    assert there(notes) == [7, 8]


def test_an_error_of_the_commit_is_told(notes: Database) -> None:
    with pytest.raises(Conflict), notes.at_once() as conn:
        run_once(conn, b"late", "INSERT INTO late VALUES (1)", [])
    with notes.reading() as conn:
        assert conn.execute("SELECT count(*) FROM late").fetchone() == (1,)


def test_a_connection_lost_meanwhile_commits_nothing(
    notes: Database, postgres_admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    def lose() -> None:
        wait_for_the_server(notes)
        with notes.reading() as conn:
            (pid,) = conn.execute(WRITING).fetchone() or (0,)
        postgres_admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with pytest.raises(CommitUnknown):
        put(notes, 7, lose)
    assert there(notes) == []


def test_it_is_refused_inside_a_transaction(notes: Database) -> None:
    with notes.transaction() as tx:
        tx.execute("SELECT 1")
        with pytest.raises(Unavailable):
            run_once(tx, b"put", INSERT, [b"1"])
