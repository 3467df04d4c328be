"""How well a server is for an index, as far as that is cheap to see and the role may see it."""

from __future__ import annotations

from dataclasses import dataclass

from vna.db import statements
from vna.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself, of one database and of our role there."""

    version: int  # 150004 is 15.4
    is_read_only: bool
    encoding: str
    is_synced: bool  # fsync
    has_full_pages: bool  # full_page_writes
    is_commit_durable: bool  # synchronous_commit, as it is for this role and database
    is_collation_changed: bool
    places: int  # connections for roles without privileges
    taken: int
    has_schema: bool
    may_change: bool  # make the schema, or make and use what is in it
    of_others: int  # tables in the schema that belong to a role we are not
    has_trigrams: bool  # pg_trgm is there to be made an extension


def read(conn: Connection, schema: str) -> Health:
    """Ask a server. Raises the driver's errors, as the pool that lent `conn` expects."""
    row = conn.execute(statements.load("health").read_health, {"schema": schema}).fetchone()
    return Health(*row or ())
