"""Migrations: in order, once, forward only, one process at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import TestPostgres
from vna.db import migrate
from vna.db.pool import conninfo, require_direct
from vna.errors import ConfigError, Conflict, InvalidRequest


@pytest.fixture
def dsn(postgres: TestPostgres) -> Iterator[str]:
    dsn = postgres.create()
    yield dsn
    postgres.drop(dsn)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int);\n")
    (tmp_path / "0002_second.sql").write_text(
        "CREATE TABLE second (n int);\nINSERT INTO second VALUES (17);\n"
    )
    return tmp_path


def test_missing_migrations_are_applied_in_order_and_once(dsn: str, folder: Path) -> None:
    assert migrate.migrate(dsn, "vna", folder=folder) == [1, 2]
    assert migrate.migrate(dsn, "vna", folder=folder) == []
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN m int;")
    assert migrate.migrate(dsn, "vna", folder=folder) == [3]


def test_a_pooler_before_the_server_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, dsn: str, folder: Path
) -> None:
    """One told to ignore `options` drops the schema and the limits every connection asks for."""
    with psycopg.connect(conninfo(dsn)) as conn:
        require_direct(conn)
    monkeypatch.setattr(migrate, "conninfo", lambda dsn: dsn)  # as the server behind it is asked
    with pytest.raises(ConfigError, match="pooler"):
        migrate.migrate(dsn, "vna", folder=folder)
    with psycopg.connect(dsn) as conn:
        with pytest.raises(ConfigError, match="pooler"):
            migrate.check(conn, folder=folder)
        assert conn.execute("SELECT to_regclass('vna.migration')").fetchone() == (None,)


def test_two_archives_live_in_two_schemas_of_one_database(dsn: str, folder: Path) -> None:
    assert migrate.migrate(dsn, "north", folder=folder) == [1, 2]
    assert migrate.migrate(dsn, "south", folder=folder) == [1, 2]


def test_many_starting_at_once_apply_each_migration_once(dsn: str, folder: Path) -> None:
    with ThreadPoolExecutor(6) as threads:
        applied = list(threads.map(lambda _: migrate.migrate(dsn, "vna", folder=folder), range(6)))
    assert sorted(applied) == [[], [], [], [], [], [1, 2]]


def test_a_migration_that_fails_leaves_nothing_of_itself(dsn: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text(
        "CREATE TABLE third (n int UNIQUE);\nINSERT INTO third VALUES (1), (1);"
    )
    with pytest.raises(Conflict):
        migrate.migrate(dsn, "vna", folder=folder)
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT number, to_regclass('vna.third') FROM vna.migration")
        assert rows.fetchall() == [(1, None), (2, None)]


def test_a_migration_changed_after_it_was_applied_is_refused(dsn: str, folder: Path) -> None:
    migrate.migrate(dsn, "vna", folder=folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (n bigint);\n")
    with pytest.raises(ConfigError, match="0001_first was changed"):
        migrate.migrate(dsn, "vna", folder=folder)


def test_other_line_ends_are_no_change(dsn: str, folder: Path) -> None:
    migrate.migrate(dsn, "vna", folder=folder)
    path = folder / "0002_second.sql"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate.migrate(dsn, "vna", folder=folder) == []


def test_a_database_of_a_newer_release_is_refused(dsn: str, folder: Path) -> None:
    migrate.migrate(dsn, "vna", folder=folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(ConfigError, match="newer release"):
        migrate.migrate(dsn, "vna", folder=folder)


def test_a_worker_refuses_a_schema_that_is_behind(dsn: str, folder: Path) -> None:
    migrate.migrate(dsn, "vna", folder=folder)
    with psycopg.connect(conninfo(dsn, "-c search_path=vna")) as conn:
        migrate.check(conn, folder=folder)
        (folder / "0003_third.sql").write_text("SELECT 1;")
        with pytest.raises(ConfigError, match="0003_third"):
            migrate.check(conn, folder=folder)


def test_an_index_that_is_served_is_not_changed_under_who_serves(dsn: str, folder: Path) -> None:
    migrate.migrate(dsn, "vna", folder=folder)
    assert migrate.migrate(dsn, "vna", folder=folder, is_served=True) == []
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN m int;")
    with pytest.raises(ConfigError, match="lacks migration 0003_third, and `vna serve` is at work"):
        migrate.migrate(dsn, "vna", folder=folder, is_served=True)
    assert migrate.migrate(dsn, "vna", folder=folder) == [3]


def test_no_limit_of_a_request_ends_a_migration(dsn: str, folder: Path) -> None:
    """An administrator bounds what a role or a database may ask: an index takes its time."""
    database = conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as conn:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            set_ = sql.SQL("ALTER DATABASE {} SET {} = '50ms'")
            conn.execute(set_.format(sql.Identifier(str(database)), sql.Identifier(name)))
    (folder / "0003_third.sql").write_text("SELECT pg_sleep(0.2);")
    assert migrate.migrate(dsn, "vna", folder=folder) == [1, 2, 3]


def test_which_migration_is_under_way_is_told_before_it_begins(
    dsn: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "vna.db.migrate"):
        migrate.migrate(dsn, "vna", folder=folder)
        assert caplog.records == []  # of a new index it says nothing
        (folder / "0003_third.sql").write_text("SELECT 1 / 0;")
        with pytest.raises(InvalidRequest):
            migrate.migrate(dsn, "vna", folder=folder)
    assert [getattr(record, "migration", None) for record in caplog.records] == ["0003_third"]


@pytest.mark.parametrize("name", ["3_third.sql", "0003-third.sql", "0002_again.sql", "0003_.sql"])
def test_a_badly_numbered_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(ConfigError, match="migration"):
        migrate.read(folder)


def test_every_migration_says_first_what_it_keeps_waiting() -> None:
    heads = [migration.text.partition("\n\n")[0] for migration in migrate.read()]
    assert heads
    assert all(re.fullmatch(r"(--( .*)?\n?)+", head) for head in heads)
    assert all(re.search(r"lock|wait", head) for head in heads)
