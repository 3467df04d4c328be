"""An index as an older release left it: brought up to date it holds what it held, and is searched.

`index_at_0009.sql` was written by that release: what today's programs would have written there
says nothing of how its rows are borne.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import TestPostgres
from vna.db import migrate, statements
from vna.db.pool import Connection, Database, conninfo
from vna.dicom.matching import MatchingKey, Query, Single
from vna.dicom.refs import Level
from vna.index.search import search

_OLDER = "0009"
_ROWS = Path(__file__).with_name(f"index_at_{_OLDER}.sql")
_COLUMNS = """
SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position)
  FROM information_schema.columns
  JOIN information_schema.tables USING (table_schema, table_name)
 WHERE table_schema = 'vna' AND table_type = 'BASE TABLE' AND table_name <> 'migration'
 GROUP BY table_name
"""

Columns = dict[str, list[str]]


@pytest.fixture
def dsn(postgres: TestPostgres, tmp_path: Path) -> Iterator[str]:
    """The index of the older release."""
    for path in (statements.folder() / "migrations").iterdir():
        if path.name[:4] <= _OLDER:
            shutil.copy(path, tmp_path)
    dsn = postgres.create()
    migrate.migrate(dsn, "vna", folder=tmp_path)
    with psycopg.connect(dsn, options="-c search_path=vna,public") as conn:
        conn.execute(_ROWS.read_text(encoding="utf-8"))  # type: ignore[call-overload]  # our own
    yield dsn
    postgres.drop(dsn)


def test_every_value_an_older_release_wrote_stands_after_the_upgrade(dsn: str) -> None:
    with psycopg.connect(conninfo(dsn), autocommit=True) as conn:
        columns: Columns = dict(conn.execute(_COLUMNS).fetchall())
        before = rows(conn, columns)
        assert sum(map(len, before.values())) > 40
        assert migrate.migrate(dsn, "vna")[0] == int(_OLDER) + 1
        assert rows(conn, columns) == before
        conn.execute("SET search_path = vna")
        migrate.check(conn)


def test_patients_of_an_older_release_are_looked_at(dsn: str) -> None:
    """Identities came later: of each study that was there it is to be found whose it is."""
    migrate.migrate(dsn, "vna")
    with psycopg.connect(dsn) as conn:
        due = conn.execute("SELECT study_uid FROM vna.identity_due ORDER BY 1").fetchall()
    assert due == [("2.25.4711.1",), ("2.25.4711.2",)]


def test_studies_of_an_older_release_are_found(dsn: str) -> None:
    migrate.migrate(dsn, "vna")
    database = Database(dsn, schema="vna")
    query = Query(level=Level.STUDY, keys=(MatchingKey("00100020", Single("4712")),))
    try:
        with database.reading() as conn:
            found = search(conn, query, within=None, limit=10)
    finally:
        database.close()
    assert [row.study for row in found] == ["2.25.4711.2"]


def rows(conn: Connection, columns: Columns) -> dict[str, list[tuple[object, ...]]]:
    """Every row, as text, in the columns named."""
    found = {}
    for table, names in columns.items():
        values = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(n)) for n in names)
        asked = sql.SQL("SELECT {} FROM {}").format(values, sql.Identifier("vna", table))
        found[table] = sorted(conn.execute(asked).fetchall(), key=repr)
    return found
