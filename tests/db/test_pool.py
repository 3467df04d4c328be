"""Database: what a transaction and a reading connection promise."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import TestPostgres
from vna.db import migrate, pool
from vna.db.pool import Connection, Database, conninfo
from vna.errors import CommitUnknown, Conflict, Unavailable


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


def test_what_points_at_one_thing_is_planned_once(database: Database) -> None:
    with database.pointing() as conn:
        row = conn.execute("SELECT current_schema(), current_setting('plan_cache_mode')").fetchone()
        for _ in range(8):  # five for their values, then the one that is as good
            conn.execute("SELECT relname FROM pg_class WHERE oid = %s", [1259], prepare=True)
        plans = conn.execute("SELECT sum(generic_plans) FROM pg_prepared_statements").fetchone()
    assert row == (database.schema, "auto")
    assert plans is not None
    assert plans[0] >= 1


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


def test_a_connection_lost_in_the_commit_is_neither_yes_nor_no(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute("""
            CREATE TABLE note (text text);
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER die AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION die()""")

    def commit() -> None:
        with database.transaction() as tx:
            tx.execute("INSERT INTO note VALUES ('lost')")

    with pytest.raises(CommitUnknown):
        commit()


def test_a_connection_lost_before_the_commit_is_a_clear_no(
    database: Database, postgres_admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    def lose() -> None:
        with database.transaction() as tx:
            postgres_admin.execute("SELECT pg_terminate_backend(%s, 5000)", (tx.info.backend_pid,))
            tx.execute("SELECT 1")

    with pytest.raises(Unavailable) as raised:
        lose()
    assert not isinstance(raised.value, CommitUnknown)


def test_a_commit_the_server_refuses_is_a_clear_no(database: Database) -> None:
    def commit() -> None:
        with database.transaction() as tx:
            tx.execute("CREATE TABLE note (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            tx.execute("INSERT INTO note VALUES (1), (1)")

    with pytest.raises(Conflict):
        commit()
    with database.reading() as conn:
        assert conn.execute("SELECT to_regclass('note')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("url", "silence_ms"),
    [
        ("postgresql://vna@db.example/vna", "30000"),
        ("postgresql://vna@db.example/vna?tcp_user_timeout=1000", "1000"),
        ("host=db.example tcp_user_timeout=0", "0"),
    ],
)
def test_a_server_that_falls_silent_is_given_up(url: str, silence_ms: str) -> None:
    """Its host is gone, and says so to nobody: the system would wait for a quarter of an hour."""
    asked = psycopg.conninfo.conninfo_to_dict(conninfo(url))
    assert asked["tcp_user_timeout"] == silence_ms
    assert asked["connect_timeout"] == "10"
    probes = int(asked["keepalives_interval"]) * int(asked["keepalives_count"])
    assert int(asked["keepalives_idle"]) + probes == 30


def test_a_server_that_answers_nobody_does_not_keep_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(pool._SILENCE, "connect_timeout", 2)  # the least there is
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"host=127.0.0.1 port={mute.getsockname()[1]} dbname=vna"
        database = Database(url, schema="vna")
        with pytest.raises(Unavailable), database.reading():
            pytest.fail("nobody answered")


def test_a_server_that_comes_back_is_found_at_once(
    database: Database, postgres: TestPostgres
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"])
    with database.reading() as conn:
        conn.execute("SELECT 1")
    postgres.admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres.terminate(name)
    with pytest.raises(Unavailable), database.reading():
        pass
    postgres.admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    with database.reading() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_takes_no_changes_is_left_for_the_one_that_does(
    database: Database, postgres: TestPostgres
) -> None:
    """After a failover behind the same URL what was opened to the old server still answers."""

    def change() -> None:
        with database.transaction() as tx:
            tx.execute("CREATE TABLE note (text text)")

    name = str(psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"])
    postgres.admin(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(Unavailable, match="takes no changes"):
        change()
    with (
        pytest.raises(Unavailable, match="takes no changes"),
        database.reading() as conn,
    ):
        pool.require_writable(conn)
    postgres.admin(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    change()
    with database.reading() as conn:
        pool.require_writable(conn)


def test_no_more_connections_than_allowed_are_opened(
    postgres: TestPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_WAIT_S", 0.01)
    dsn = postgres.create()
    database = Database(dsn, schema="public", connections=2)
    with database.reading():
        with pytest.raises(Unavailable, match="in use"), database.reading():
            pass
        with database.transaction() as tx:
            assert tx.execute("SELECT 1").fetchone() == (1,)
    database.close()
    postgres.drop(dsn)


def test_the_connection_used_last_is_lent_first(database: Database) -> None:
    with database.reading() as first, database.reading() as second:
        pids = {first.info.backend_pid, second.info.backend_pid}
        last = first.info.backend_pid  # the outer block ends last
    with database.reading() as conn:
        assert (len(pids), conn.info.backend_pid) == (2, last)


def test_idle_connections_are_closed_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.reading() as first, database.reading() as second:
        pass
    assert not first.closed
    assert not second.closed
    monkeypatch.setattr(pool, "_IDLE_S", 0.0)
    with database.reading() as conn:
        assert conn is first  # lent when it was idle for a moment only
    assert second.closed


def test_a_word_from_the_server_does_not_cost_the_connection(database: Database) -> None:
    with database.reading() as conn:
        pid = conn.info.backend_pid
        conn.execute("LISTEN something")
    with psycopg.connect(database.dsn, autocommit=True) as other:
        other.execute("NOTIFY something")
    with database.reading() as conn:
        assert conn.info.backend_pid == pid


@pytest.mark.parametrize("schema", ["vna", "with space", 'quo"te', "back\\slash", "Größe"])
def test_a_schema_may_have_any_name(postgres: TestPostgres, schema: str) -> None:
    dsn = postgres.create()
    migrate.migrate(dsn, schema)
    database = Database(dsn, schema=schema)
    with database.reading() as conn:
        assert conn.execute("SELECT current_schema()").fetchone() == (schema,)
    database.close()
    postgres.drop(dsn)


def test_many_threads_share_the_connections(database: Database) -> None:
    def ask(n: int) -> int:
        with database.reading() as conn:
            row = conn.execute("SELECT %s::int", (n,)).fetchone()
            return int(row[0]) if row else -1

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, range(200))) == list(range(200))


def test_a_transaction_that_lost_to_another_is_done_anew(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute("CREATE TABLE two (name text PRIMARY KEY, n int NOT NULL DEFAULT 0)")
        tx.execute("INSERT INTO two VALUES ('a'), ('b')")
    both = threading.Barrier(2, timeout=30)
    tries = []

    def add(first: str, second: str) -> None:
        def work(tx: Connection) -> None:
            tries.append(first)
            tx.execute("UPDATE two SET n = n + 1 WHERE name = %s", [first])
            if tries.count(first) == 1:
                both.wait()  # each holds what the other asks for next
            tx.execute("UPDATE two SET n = n + 1 WHERE name = %s", [second])

        database.changing(work)

    other = threading.Thread(target=add, args=("b", "a"))
    other.start()
    add("a", "b")
    other.join(30)

    with database.reading() as conn:
        assert conn.execute("SELECT name, n FROM two ORDER BY name").fetchall() == [
            ("a", 2),
            ("b", 2),
        ]
    assert len(tries) > 2
