"""Bring a schema up to date: sql/migrations/NNNN_slug.sql in order, each once, forward only.

Run in the supervisor or by `vna init`, before a worker is there; workers only check.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from vna.db import statements
from vna.db.faults import translating
from vna.db.pool import Connection, conninfo, require_direct
from vna.errors import ConfigError

OLDEST_SERVER = 150000  # PostgreSQL 15

logger = logging.getLogger(__name__)

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
# What bounds a request, set for the role or the server, would end an index of a large table at each
# start anew; `pg_dump` does without them, too. One of them is only known to PostgreSQL 17.
_UNLIMITED = """
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout',
                'idle_session_timeout', 'idle_in_transaction_session_timeout')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str
    checksum: str  # SHA-256, line ends made equal: a checkout may differ in nothing else


def migrate(
    dsn: str, schema: str, *, folder: Path | None = None, is_served: bool = False
) -> list[int]:
    """Apply what is missing and return its numbers. One process at a time; the others wait.

    Raises `ConfigError` when the database is too old, holds a migration this release does not
    know, or one that was changed after it was applied; when one is missing of an index that
    `vna serve` is at work on, who is to bring it up to date, or to be stopped; and when a pooler
    lies before it.
    """
    wanted = read(folder)
    with translating(), psycopg.connect(conninfo(dsn), autocommit=True) as conn:
        require_direct(conn)
        require_recent(conn)
        # held until the connection closes: a process that dies here lets the next one go on
        conn.execute(_UNLIMITED)
        conn.execute("SELECT pg_advisory_lock(hashtext('vna migrate'), hashtext(%s))", (schema,))
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        conn.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
        conn.execute(_TABLE)
        missing = _missing(wanted, _applied(conn))
        if missing and is_served:
            raise ConfigError(
                f"The index lacks migration {missing[0].name}, and `vna serve` is at work on it: "
                "stop it if it is an older release; this one brings it up to date as it starts."
            )
        for migration in missing:
            if len(missing) < len(wanted):  # of a new index it says nothing
                logger.info("migration begins", extra={"migration": migration.name})
            _apply(conn, migration)
    return [migration.number for migration in missing]


def require_recent(conn: Connection) -> None:
    """Make sure that the server is one the migrations are written for. Raises `ConfigError`."""
    if conn.info.server_version < OLDEST_SERVER:
        raise ConfigError("The index needs PostgreSQL 15 or newer.")


def check(conn: Connection, *, folder: Path | None = None) -> None:
    """Make sure that the schema is the one this release was written for. Raises `ConfigError`."""
    missing = pending(conn, folder=folder)
    if missing:
        raise ConfigError(
            f"The index lacks migration {missing[0].name}; run `vna init` with this release."
        )


def pending(conn: Connection, *, folder: Path | None = None) -> list[Migration]:
    """Say what is to be applied yet. Raises `ConfigError` when the schema is none of this release.

    Also when a pooler lies before the server.
    """
    require_direct(conn)
    return _missing(read(folder), _applied(conn))


def read(folder: Path | None = None) -> list[Migration]:
    """Read the files, ordered. Raises `ConfigError` on a name that does not fit."""
    found: list[Migration] = []
    for path in sorted((folder or statements.folder() / "migrations").glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None or (found and int(match[1]) == found[-1].number):
            raise ConfigError(f"The migration {path.name} is badly named or has a number twice.")
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()
        found.append(Migration(number=int(match[1]), name=path.stem, text=text, checksum=digest))
    return found


def _applied(conn: Connection) -> dict[int, str]:
    return dict(conn.execute("SELECT number, checksum FROM migration ORDER BY number").fetchall())


def _missing(wanted: list[Migration], applied: dict[int, str]) -> list[Migration]:
    known = {migration.number: migration for migration in wanted}
    for number, checksum in applied.items():
        if number not in known:
            raise ConfigError(
                f"The index was brought up to migration {number:04} by a newer release."
            )
        if known[number].checksum != checksum:
            raise ConfigError(
                f"The migration {known[number].name} was changed after it was applied."
            )
    return [migration for migration in wanted if migration.number not in applied]


def _apply(conn: Connection, migration: Migration) -> None:
    with conn.transaction():
        # vouched for here: it is a file of ours (to mypy a LiteralString is a str)
        conn.execute(cast(LiteralString, migration.text))  # type: ignore[redundant-cast]
        conn.execute(
            "INSERT INTO migration (number, name, checksum) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.checksum),
        )
