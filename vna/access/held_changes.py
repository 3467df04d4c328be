"""What is to change about where patients are written to, and does not count yet.

A patient asks for it (vna/sharing/contacts.py); the patient or a desk may stop it. All of it in the
caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from vna.db import statements
from vna.db.pool import Connection

_SQL = statements.load("own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to change about a way; `masked` is what comes in its place, None for nothing.

    Its code is good `until`; once it came back the change counts from `takes_at` on.
    """

    account_id: int
    kind: str
    masked: str | None
    until: dt.datetime | None
    takes_at: dt.datetime | None


def changes_of(conn: Connection, accounts: Sequence[int]) -> list[Change]:
    """List what is to change about the ways of some accounts."""
    rows = conn.execute(_SQL.contact_changes_of, (list(accounts),)).fetchall()
    return [
        Change(account_id=account, kind=kind, masked=masked, until=until, takes_at=takes_at)
        for account, kind, masked, until, takes_at in rows
    ]


def settle(tx: Connection, account_id: int) -> None:
    """Let what has waited long enough count; no other change of this account runs meanwhile."""
    asked = {"account": account_id}
    tx.execute(_SQL.hold_account, asked)
    tx.execute(_SQL.settle_contacts, asked)


def stop(tx: Connection, account_id: int, kind: str | None) -> list[str]:
    """Leave the ways of an account as they were, or the one of a kind; say which these are."""
    rows = tx.execute(_SQL.stop_changes, {"account": account_id, "kind": kind}).fetchall()
    return sorted(row[0] for row in rows)
