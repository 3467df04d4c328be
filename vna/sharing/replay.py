"""The journal's acts of sharing brought into the tables: at reindex, and after a crash.

Each act carries its own time, and is written so that order decides nothing: a grant's secrets give
way to later ones only, an end ends what was issued before it. What is there already stays.

What stands there in a guest's name came from the process that serves guests, which may have been
taken over: of an entry that cannot be brought in nothing else waits.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from vna.blobs.journal import Entry, Journal
from vna.db import statements
from vna.db.faults import is_of_values, translating
from vna.db.pool import Connection
from vna.errors import Corrupt, VNAError
from vna.index.deleted import known_to, mark_applied
from vna.sharing import records
from vna.sharing.offers import add_items
from vna.sharing.rooms import SQL, Rooms

log = logging.getLogger(__name__)

_CONSENTS = statements.load("consents")
_OWN = statements.load("own_shares")
_SECONDS = statements.load("seconds")
_ORDER = (  # what others stand on comes first
    (records.CHANNEL, SQL.add_channel),
    (records.CONSENT, SQL.add_consent),
    (records.SHARE, SQL.add_share),
    (records.GRANT, SQL.add_grant),
    # before what is suspended: what was agreed to goes on as sent
    (records.SECOND, _SECONDS.add_second),
    (records.SECOND_END, _SECONDS.decide_second),
    (records.SHARE_EXTEND, SQL.extend_share),
    (records.SHARE_HOLD, SQL.suspend_share),
    (records.GRANT_END, SQL.end_grants),
    (records.SHARE_END, SQL.end_share),
    (records.CONSENT_END, SQL.end_consent),
    (records.CONSENT_TEXT, _CONSENTS.add_text),
    # last: what it lets go out is looked for at once, and what went out must be known by then
    (records.CONSENT_PLAN, _CONSENTS.add_plan),
    (records.REQUEST, _OWN.add_request),
    (records.REQUEST_END, _OWN.end_request),
)
_CHANNELS = {"to_channel", "by_channel", "notify"}


class Replay:
    """Reads acts of sharing back. One a process."""

    def __init__(self, rooms: Rooms, journal: Journal) -> None:
        self._rooms = rooms
        self._journal = journal

    def lay(self, tx: Connection) -> None:
        """Bring in everything the journal knows. Raises `Corrupt`."""
        self._bring_in(tx, self._journal.replay)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring in what the tables do not show yet and no other process can be writing now."""
        known = known_to(self._rooms.database)
        unknown = [
            entry
            for entry in self._journal.unknown(known, older_s=older_s, since=since)
            if entry.op in records.OPS
        ]
        if not unknown:
            return 0
        self._rooms.database.changing(lambda tx: self._bring_in(tx, lambda: iter(unknown)))
        log.warning("acts of sharing brought in", extra={"entries": len(unknown)})
        return len(unknown)

    def _bring_in(self, tx: Connection, entries: Any) -> None:  # a function that gives Entry values
        """Walk the entries once for each sort; one entry is held at a time."""
        channels: dict[int, int] = {}
        for op, statement in _ORDER:
            for entry in _of(entries(), op):
                self._apply(tx, entry, statement, channels)
            if op == records.SHARE:
                self._items(tx, _of(entries(), records.ITEMS))

    def _apply(
        self, tx: Connection, entry: Entry, statement: Any, channels: dict[int, int]
    ) -> None:
        if not _is_of_a_guest(entry):
            self._lay_one(tx, entry, statement, channels)
            return
        try:
            with translating(), tx.transaction():
                self._lay_one(tx, entry, statement, channels)
        except (VNAError, ValueError) as exc:
            if not (is_of_values(exc) or _is_unreadable(exc)):
                raise
            log.error("an act of guests is no act", extra={"entry": entry.id.hex()})  # noqa: TRY400 -- what it holds may quote somebody
        mark_applied(tx, [entry.id], entry.op)  # whatever it was: it is not looked at each minute

    def _lay_one(
        self, tx: Connection, entry: Entry, statement: Any, channels: dict[int, int]
    ) -> None:
        row = records.decode(entry.args)
        try:
            if entry.op == records.GRANT and not _has_share(tx, row):
                log.error("a grant without its share", extra={"entry": entry.id.hex()})
                return
            for name in _CHANNELS & row.keys():
                row[name] = channels.get(row[name], row[name])
            if entry.op == records.SHARE_HOLD and "reason" not in row:
                statement = SQL.reinstate_share
            done = tx.execute(statement, row)
            if entry.op == records.GRANT and done.fetchone() is None and not _is_of_a_guest(entry):
                tx.execute(SQL.renew_grant, row)  # it has been there before; guests renew none
            if entry.op == records.CHANNEL:
                # the same address may have been taken in twice, when the first time came to nothing
                known = tx.execute(SQL.find_channel, row).fetchone()
                channels[row["channel_id"]] = known[0] if known else row["channel_id"]
        except (KeyError, TypeError) as exc:
            raise Corrupt("A journal entry of sharing lacks a value.") from exc
        mark_applied(tx, [entry.id], entry.op)

    def _items(self, tx: Connection, entries: Iterable[Entry]) -> None:
        for entry in entries:
            share_id = entry.target.get("share")
            row = tx.execute(SQL.number_of, (share_id,)).fetchone()
            if row is not None and isinstance(share_id, int):
                add_items(tx, share_id, list(records.decode_items(entry.args["items"])))
            mark_applied(tx, [entry.id], entry.op)


def _of(entries: Iterable[Entry], op: str) -> Iterator[Entry]:
    return (entry for entry in entries if entry.op == op)


def _is_of_a_guest(entry: Entry) -> bool:
    return entry.actor.startswith("share/")


def _is_unreadable(exc: Exception) -> bool:
    """Whether an entry lacks what an act has, or has it in another form."""
    if isinstance(exc, VNAError):
        return isinstance(exc.__cause__, (KeyError, TypeError, ValueError))
    return True


def _has_share(tx: Connection, row: dict[str, Any]) -> bool:
    found = tx.execute(SQL.number_of, (row["share_id"],)).fetchone()
    return found is not None
