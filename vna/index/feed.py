"""The change feed: the audit rows that tell of a change, in an order in which nothing is missed.

Ids of audit rows are given before their transactions commit, so a row may appear behind one that
was read already. The order is therefore made afterwards, by whoever reads: under one lock,
committed rows that have no place yet are put behind those that have. What takes objects in pays
nothing for it.

Rows up to `settled` need not be looked for again. A row of a change is written by a transaction
that has changed something before, and so has its number (xid) before the row has its id. Whoever
looks at the last id given and draws a number afterwards has a higher one than all those: when no
older transaction is open, everything up to that id is there.
"""

from __future__ import annotations

import datetime as dt
from typing import LiteralString, NamedTuple

from vna.db.pool import Connection
from vna.dicom.refs import Ref
from vna.index.deleted import ref_of
from vna.index.held import SQL

ACTIONS = {
    "instance.stored": "stored",
    "instance.recovered": "stored",
    "instance.version.content": "version",
    "instance.version.encoding": "version",
    "instance.risen": "updated",
    "study.corrected": "updated",
    "study.uncorrected": "updated",
    **{
        f"{level}.{done}": done
        for level in ("study", "series", "instance")
        for done in ("deleted", "undeleted")
    },
}
"""Kind of audit row -> what the feed calls it."""

_OUTCOMES = ["stored", "done"]
_WHICH = {"kinds": sorted(ACTIONS), "outcomes": _OUTCOMES}
_LOOK_ON = 1000  # rows of other kinds after which it is worth moving on


class Change(NamedTuple):
    """One change: what happened to what, and when."""

    sequence: int
    at: dt.datetime
    action: str
    ref: Ref


def begin_anew(tx: Connection) -> None:
    """Begin another feed with what comes from now on; nobody else may be writing."""
    tx.execute(SQL.begin_feed)
    tx.execute(SQL.clear_changes)


def is_behind(conn: Connection) -> bool:
    """Tell whether there is something for `order` to do."""
    row = conn.execute(SQL.feed_behind, {**_WHICH, "most": _LOOK_ON}).fetchone()
    return row is not None and bool(row[0])


def order(tx: Connection, *, most: int) -> int:
    """Put up to `most` committed changes in order; count them. The first act of its transaction."""
    (last_id,) = _row(tx, SQL.last_audit_id)  # first: whoever drew it is older than this one
    settled, pending, xid = _row(tx, SQL.lock_feed)
    oldest, mine = _row(tx, SQL.horizon)
    reached, begun = settled, 0 < xid <= mine  # a restored cluster counts anew
    if begun and oldest >= xid:
        reached = pending
    if not begun or oldest >= xid:
        pending, xid = last_id, mine
    asked = {**_WHICH, "settled": settled, "most": most}
    count, last = tx.execute(SQL.order_changes, asked).fetchone() or (0, None)
    if count == most and last is not None:
        reached = min(reached, last)
    tx.execute(
        SQL.settle_feed, {"settled": max(settled, reached), "pending": pending, "xid": str(xid)}
    )
    return int(count)


def state(conn: Connection) -> tuple[str, int]:
    """Say which feed this is, and the place of its last change."""
    feed_id, last = conn.execute(SQL.feed_state).fetchone() or ("", 0)
    return str(feed_id), int(last)


def after(conn: Connection, sequence: int, *, most: int) -> list[Change]:
    """List the changes behind a place."""
    return [
        Change(number, at, _action(kind, current), ref_of(study, series, instance))
        for number, at, kind, study, series, instance, current in conn.execute(
            SQL.changes_after, [sequence, most]
        )
    ]


def _action(kind: str, current: bool | None) -> str:
    """Name a change: another version is an update when it is the one that is shown now."""
    action = ACTIONS[kind]
    if action == "version":
        return "updated" if current else "version"
    if action == "stored" and current is False:  # its UID is at home elsewhere
        return "version"
    return action


def _row(tx: Connection, statement: LiteralString) -> tuple[int, ...]:
    row = tx.execute(statement).fetchone()
    return tuple(int(value) for value in row or ())
