"""The hash chain over the audit trail: how a link is made, and how rows are read to be linked.

hash = SHA-256(hash of the link before || canonical JSON of the row); the first link stands on 32
zero bytes. The JSON is made by the database (`audit_as_json`), for sealing and for checking alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from vna.db import statements
from vna.db.pool import Connection

SQL = statements.load("seal")
START = bytes(32)


class Tail(NamedTuple):
    """The end of the chain."""

    seal_seq: int
    audit_id: int
    hash: bytes


class Link(NamedTuple):
    """One link, and the row it seals as that reads now; None when the row is gone."""

    seal_seq: int
    audit_id: int
    prev_hash: bytes
    hash: bytes
    event: str | None


def link_hash(prev: bytes, event: str) -> bytes:
    """Make the hash of a link."""
    return hashlib.sha256(prev + event.encode()).digest()


def tail(conn: Connection) -> Tail:
    """Read the end of the chain."""
    row = conn.execute(SQL.last_seal).fetchone()
    return Tail(0, 0, START) if row is None else Tail(row[0], row[1], bytes(row[2]))


def extend(tx: Connection, last: Tail, rows: Sequence[tuple[int, str]]) -> Tail:
    """Put links for rows, in order of their ids, behind the last one."""
    if not rows:
        return last
    digest, hashes = last.hash, []
    for _, event in rows:
        digest = link_hash(digest, event)
        hashes.append(digest)
    ids = [audit_id for audit_id, _ in rows]
    tx.execute(
        SQL.add_seals, {"seq": last.seal_seq, "hash": last.hash, "ids": ids, "hashes": hashes}
    )
    return Tail(last.seal_seq + len(rows), ids[-1], digest)


def links(conn: Connection, after: int, most: int) -> list[Link]:
    """Read links behind a place."""
    return [
        Link(seq, audit_id, bytes(prev), bytes(digest), event)
        for seq, audit_id, prev, digest, event in conn.execute(SQL.links, (after, most)).fetchall()
    ]


def trail_id(conn: Connection) -> str:
    """Say which trail the database holds."""
    return str(one(conn, SQL.trail)[0])


def one(conn: Connection, statement: Any, values: Any = None) -> tuple[Any, ...]:
    """Fetch the one row a statement always has."""
    row = conn.execute(statement, values).fetchone()
    if row is None:
        raise AssertionError("a statement that always has a row has none")
    return tuple(row)
