"""What the catalogue still speaks of: tells a loss in the blob store from a deletion."""

from __future__ import annotations

from collections.abc import Sequence

from vna.db import statements
from vna.db.pool import Connection
from vna.index.arrays import Blobs

_SQL = statements.load("backup")


def needed_blobs(conn: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Tell which blobs can be found, or brought back, or wait in quarantine."""
    cursor = conn.cursor(binary=True)
    return {blob for (blob,) in cursor.execute(_SQL.find_needed_blobs, {"ids": Blobs(ids)})}


def walk_needed(conn: Connection, after: bytes, *, most: int) -> list[tuple[bytes, bytes]]:
    """List what `needed_blobs` would tell of, behind one blob and in order, each with its key."""
    cursor = conn.cursor(binary=True)
    return cursor.execute(_SQL.walk_needed_blobs, {"after": after, "most": most}).fetchall()


def walk_journal(conn: Connection, after: bytes, *, most: int) -> list[bytes]:
    """List the journal entries that took effect here, behind one and in order."""
    cursor = conn.cursor(binary=True)
    cursor.execute(_SQL.walk_journal_entries, {"after": after, "most": most})
    return [entry for (entry,) in cursor]


def needed_keys(conn: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Tell which study keys seal something that can be found, brought back, or is in quarantine.

    Reads the whole catalogue once: nothing but the loss of key objects asks for it.
    """
    cursor = conn.cursor(binary=True)
    return {key for (key,) in cursor.execute(_SQL.find_needed_keys, {"ids": Blobs(ids)})}
