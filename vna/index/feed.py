"""The change feed: the audit rows that tell of a change, in an order in which nothing is missed."""

from __future__ import annotations

from vna.db.pool import Connection
from vna.index.held import SQL


def begin_anew(tx: Connection) -> None:
    """Begin another feed with what comes from now on; nobody else may be writing."""
    tx.execute(SQL.begin_feed)
    tx.execute(SQL.clear_changes)
