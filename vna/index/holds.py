"""Holds as rows: studies of which nothing may be deleted or destroyed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from vna.db.pool import Connection
from vna.db.statements import load
from vna.dicom.refs import UID

_SQL = load("holds")

MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What keeps a study, until a moment or for good."""

    study: UID
    until: dt.datetime | None
    reason: str
    by: str
    at: dt.datetime


def put(tx: Connection, hold: Hold) -> None:
    """Hold a study, in the place of an earlier hold of it."""
    row = {"study": hold.study, "until": hold.until, "reason": hold.reason}
    tx.execute(_SQL.put_hold, {**row, "by": hold.by, "at": hold.at})


def drop(tx: Connection, study: UID) -> bool:
    """Let a study go; False when it was not held."""
    return tx.execute(_SQL.drop_hold, (study,)).fetchone() is not None


def replace_all(tx: Connection, holds: Sequence[Hold]) -> None:
    """Forget all and set these."""
    tx.execute(_SQL.clear_holds)
    for hold in holds:
        put(tx, hold)


def of(conn: Connection, study: UID | None = None) -> list[Hold]:
    """Give the hold of a study, or the newest thousand of all; also those that are over."""
    rows = conn.execute(_SQL.list_holds, {"study": study, "most": MOST}).fetchall()
    return [Hold(study=UID(r[0]), until=r[1], reason=r[2], by=r[3], at=r[4]) for r in rows]


def is_held(conn: Connection, study: UID) -> bool:
    """Tell whether nothing of a study may be deleted now."""
    row = conn.execute(_SQL.is_held, (study,)).fetchone()
    return row is not None and bool(row[0])


def change(tx: Connection) -> None:
    """Keep everybody from changing holds, and from deleting, until the transaction is over."""
    tx.execute(_SQL.change_holds)


def rely(tx: Connection) -> None:
    """Keep everybody from changing holds until the transaction is over."""
    tx.execute(_SQL.rely_on_holds)


def deleted_of(conn: Connection, study: UID) -> int:
    """Count the objects of a study that were deleted and can still come back."""
    row = conn.execute(_SQL.deleted_of, (study,)).fetchone()
    return 0 if row is None else int(row[0])
