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
from typing import Any, LiteralString, NamedTuple

from vna.db.pool import Connection
from vna.dicom.refs import UID, Ref
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

SHARE_ACTS = frozenset(
    (
        *(
            f"share.{done}"
            for done in ("offered", "extended", "suspended", "reinstated", "revoked")
        ),
        *(f"grant.{done}" for done in ("opened", "forwarded", "renewed")),
        *(f"grant.{done}" for done in ("revoked", "locked", "refused")),
    )
)
"""Acts on shares and grants that the feed carries under their own names, as webhooks do."""

_OUTCOMES = ["stored", "done"]
_WHICH = {"kinds": sorted({*ACTIONS, *SHARE_ACTS}), "outcomes": _OUTCOMES}
_LOOK_ON = 1000  # rows of other kinds after which it is worth moving on


class OfShare(NamedTuple):
    """Which share and grant an act is about, and all studies of the share."""

    share: int
    grant: int | None
    studies: tuple[UID, ...]


class Change(NamedTuple):
    """One change: what happened to what, and when. An act on a share may name no study."""

    sequence: int
    at: dt.datetime
    action: str
    ref: Ref | None
    shared: OfShare | None = None


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
    return [_change(row) for row in conn.execute(SQL.changes_after, [sequence, most])]


def _change(row: tuple[Any, ...]) -> Change:  # the columns of changes_after
    sequence, at, kind, study, series, instance, current, share, grant, studies = row
    ref = None if study is None else ref_of(study, series, instance)
    if kind not in SHARE_ACTS:
        return Change(sequence, at, _action(kind, current), ref)
    # of a share that is not there nobody can be told
    shown = tuple(UID(one) for one in studies or ())
    return Change(sequence, at, kind, ref, OfShare(share or 0, grant, shown))


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
