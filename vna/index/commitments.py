"""Requests for Storage Commitment as rows: taken down, worked off, answered, expired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from vna.db.pool import Connection
from vna.index.held import SQL


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A request, who made it, and the answers so far: 0 is committed, else the Failure Reason."""

    transaction: str
    principal: str
    actor_kind: str
    request: Any  # JSON, the form and the references; None once it expired
    claims: int
    reasons: list[int]
    is_done: bool
    is_expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A request one worker has taken, with what the asker could see."""

    transaction: str
    principal: str
    actor_kind: str
    scope: Any  # JSON
    request: Any  # JSON
    reasons: list[int]


def add(
    tx: Connection,
    transaction: str,
    *,
    principal: str,
    actor_kind: str,
    scope: object,
    request: object,
    claims: int,
    reasons: Sequence[int] | None,
) -> bool:
    """Take a request down, with its answers when they are there; False when its UID is in use."""
    values = {
        "transaction": transaction,
        "principal": principal,
        "kind": actor_kind,
        "scope": orjson.dumps(scope).decode(),
        "request": orjson.dumps(request).decode(),
        "claims": claims,
        "reasons": list(reasons or ()),
        "is_done": reasons is not None,
    }
    return tx.execute(SQL.add_commitment, values).rowcount > 0


def is_known(conn: Connection, transaction: str) -> bool:
    """Tell whether a transaction UID is in use."""
    row = conn.execute(SQL.has_commitment, [transaction]).fetchone()
    return row is not None and bool(row[0])


def find(conn: Connection, transaction: str) -> Requested | None:
    """Find a request by its transaction UID."""
    row = conn.execute(SQL.find_commitment, [transaction]).fetchone()
    if row is None:
        return None
    return Requested(
        transaction=transaction,
        principal=row[0],
        actor_kind=row[1],
        request=row[2],
        claims=row[3],
        reasons=row[4],
        is_done=row[5],
        is_expired=row[6],
    )


def claim(tx: Connection, worker: bytes, *, lease_s: float) -> Claimed | None:
    """Take the oldest request nobody is at work on; None when there is none."""
    row = tx.execute(SQL.claim_commitment, {"worker": worker, "lease_s": lease_s}).fetchone()
    if row is None:
        return None
    return Claimed(
        transaction=row[0],
        principal=row[1],
        actor_kind=row[2],
        scope=row[3],
        request=row[4],
        reasons=row[5],
    )


def go_on(
    tx: Connection,
    transaction: str,
    worker: bytes,
    *,
    at: int,
    reasons: Sequence[int],
    lease_s: float,
) -> bool | None:
    """Write the next answers down; True when all are there, None when it is another's work now."""
    values = {
        "transaction": transaction,
        "worker": worker,
        "at": at,
        "reasons": list(reasons),
        "lease_s": lease_s,
    }
    row = tx.execute(SQL.add_reasons, values).fetchone()
    return None if row is None else bool(row[0])


def release(tx: Connection, transaction: str, worker: bytes) -> None:
    """Give a request back."""
    tx.execute(SQL.release_commitment, {"transaction": transaction, "worker": worker})


def expire(tx: Connection, *, keep_s: float, remember_s: float) -> int:
    """Drop results older than `keep_s`, and after `remember_s` more their UIDs; count the first."""
    tx.execute(SQL.forget_commitments, [remember_s])
    return tx.execute(SQL.expire_commitments, [keep_s]).rowcount
