"""`vna doctor` on a PostgreSQL that is somebody else's: what is wrong there, and what to do."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.cli.conftest import Vna
from tests.conftest import TestPostgres
from vna.cli.finding import FAIL, OK, WARN
from vna.cli.index_doctor import judged
from vna.config import Settings
from vna.db import migrate
from vna.db.health import Health

WELL = Health(
    version=170002,
    is_read_only=False,
    encoding="UTF8",
    is_synced=True,
    has_full_pages=True,
    is_commit_durable=True,
    is_collation_changed=False,
    places=97,
    taken=7,
    has_schema=True,
    may_change=True,
    of_others=0,
    has_trigrams=True,
)


@pytest.fixture
def dsn(postgres: TestPostgres) -> Iterator[str]:
    dsn = postgres.clone()
    yield dsn
    postgres.drop(dsn)


def told(vna: Vna, data: Path, dsn: str) -> list[str]:
    """What is said of the database, advice included."""
    lines = vna("doctor", "--data", data, VNA_DATABASE_URL=dsn).stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line[6:].startswith("postgres"))
    last = next(i for i, line in enumerate(lines) if line[6:].startswith("folder"))
    return lines[first:last]


def test_a_server_that_is_well_is_one_line() -> None:
    (found,) = judged(WELL, Settings())
    assert (found.state, found.seen) == (
        OK,
        "server 17 at postgres.url, durable, 90 connections free",
    )


@pytest.mark.parametrize(
    ("changed", "state", "word"),
    [
        ({"is_read_only": True}, FAIL, "takes no changes"),
        ({"encoding": "LATIN1"}, FAIL, "LATIN1"),
        ({"is_synced": False}, FAIL, "fsync"),
        ({"has_full_pages": False}, WARN, "full_page_writes"),
        ({"is_commit_durable": False}, FAIL, "synchronous_commit"),
        ({"is_collation_changed": True}, WARN, "sorting"),
        ({"taken": 88}, WARN, "9 of 97 connections"),
        ({"taken": 120}, WARN, "0 of 97 connections"),
        ({"may_change": False}, FAIL, "in the schema"),
        ({"may_change": False, "has_schema": False}, FAIL, "in the database"),
        ({"of_others": 3}, FAIL, "3 tables"),
        ({"has_trigrams": False}, FAIL, "pg_trgm"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_what_to_do(
    changed: dict[str, Any], state: str, word: str
) -> None:
    (found,) = judged(dataclasses.replace(WELL, **changed), Settings())
    assert (found.state, found.advice != "") == (state, True)
    assert word in found.seen


def test_for_trying_out_nothing_has_to_be_durable() -> None:
    loose = dataclasses.replace(WELL, is_synced=False, is_commit_durable=False)
    assert [one.state for one in judged(loose, Settings(dev=True))] == [WARN, WARN]


def test_a_database_that_is_away_is_told_among_the_findings(vna: Vna, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed at once: nobody listens there
    lines = told(vna, data, f"postgresql://vna:secret@127.0.0.1:{port}/vna")
    assert lines[0] == "fail  postgres     The index database cannot be reached; try again later."
    assert "postgres.url" in lines[1]
    assert "secret" not in "".join(lines)


def test_a_server_that_is_too_old_is_told_so(
    vna: Vna, data: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "OLDEST_SERVER", 990000)
    assert told(vna, data, dsn) == ["fail  postgres     The index needs PostgreSQL 15 or newer."]


def test_what_the_server_is_set_to_is_looked_at(
    vna: Vna, postgres: TestPostgres, data: Path, dsn: str
) -> None:
    """`synchronous_commit` may be off for one database alone."""
    name = conninfo_to_dict(dsn)["dbname"]
    assert [line for line in told(vna, data, dsn) if "fsync is off" in line]  # of tests it is
    postgres.admin(f"ALTER DATABASE {name} SET synchronous_commit = on")
    assert not [line for line in told(vna, data, dsn) if "synchronous_commit" in line]
    postgres.admin(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert [line for line in told(vna, data, dsn) if "synchronous_commit" in line]


def test_a_schema_is_told_as_missing_behind_or_of_a_newer_release(
    vna: Vna, data: Path, dsn: str
) -> None:
    def last() -> str:
        return next(line for line in told(vna, data, dsn) if line[6:].startswith("schema"))

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "UPDATE vna.migration SET number = 9999"
            " WHERE number = (SELECT max(number) FROM vna.migration)"
        )
        assert last().startswith("fail  schema       The index was brought up to migration 9999")
        conn.execute("DELETE FROM vna.migration WHERE number = 9999")
        assert last().startswith("warn  schema       1 behind: 00")
        conn.execute("ALTER SCHEMA vna RENAME TO elsewhere")
        assert last().startswith("warn  schema       there is none of this archive yet")


def test_a_role_that_owns_nothing_is_told_so(
    vna: Vna, postgres: TestPostgres, data: Path, dsn: str
) -> None:
    """Say, where the index was put back from a dump by somebody else."""
    with psycopg.connect(of_server(postgres, dsn), autocommit=True) as conn:
        conn.execute("ALTER TABLE vna.patient OWNER TO postgres")
        assert [line for line in told(vna, data, dsn) if "1 tables of the schema" in line]
        conn.execute("ALTER SCHEMA vna OWNER TO postgres")
    lines = told(vna, data, dsn)
    assert [line for line in lines if "may not make anything in the schema" in line]
    assert [line for line in lines if line.startswith("fail  schema ")]


def of_server(postgres: TestPostgres, dsn: str) -> str:
    """Name the database of `dsn` as the superuser connects to it."""
    name = conninfo_to_dict(dsn)["dbname"]
    return make_conninfo(postgres.cluster.admin_dsn(), dbname=name)
