"""Guests who send images to guests, without accounts: the one way in for both sides.

    proving -> filling -> sent -> opened -> over
                            |-> locked, stopped, refused, taken by staff

Whoever sends proves their mailbox by a code and fills an import, which stays in quarantine. Sending
makes a link, which is mailed, and a passcode, which its sender is shown once and tells by another
way. When the time is over, keys and blobs of the import are destroyed.
"""

from __future__ import annotations

import functools

from vna.access.policy import require
from vna.access.principal import Action, Principal, system
from vna.crypto.credentials import digest
from vna.db.pool import Connection
from vna.imports.exchanges import Exchange, Party, Side
from vna.imports.guest_recipients import GuestRecipients
from vna.imports.guest_rooms import SQL, GuestRooms
from vna.imports.guest_senders import GuestSenders

_BATCH = 100
_FORGET_DAYS = 90


class Guests:
    """Exchanges from the first code to the last key. One a process, shared by its threads."""

    def __init__(self, rooms: GuestRooms) -> None:
        self._rooms = rooms
        self.senders = GuestSenders(rooms)
        self.recipients = GuestRecipients(rooms)

    def resume(self, session: str, side: Side, address: str | None) -> Party | None:
        """Recognise who came by a session. Raises `NotFound` where guests may not send."""
        self._rooms.require_enabled()
        return self._rooms.party(session, side, address)

    def leave(self, session: str) -> None:
        """End a session."""
        with self._rooms.database.transaction() as tx:
            tx.execute(SQL.leave, (digest(session),))

    def of_import(self, who: Principal, number: int) -> Exchange | None:
        """Say for the desk which exchange fills an import, if one does."""
        require(who, Action.IMPORT)
        with self._rooms.database.reading() as conn:
            return self._rooms.of_import(conn, number)

    def sweep(self) -> int:
        """Forget what is over: sessions, drafts, addresses; count the exchanges that ended."""
        with self._rooms.database.transaction() as tx:
            tx.execute(SQL.sweep_sessions)
            tx.execute(SQL.sweep_drafts)
            tx.execute(SQL.forget_for_good, (_FORGET_DAYS,))
        with self._rooms.database.reading() as conn:
            over = [int(row[0]) for row in conn.execute(SQL.over, (_BATCH,))]
        for exchange in over:
            self._rooms.database.changing(functools.partial(self._forget, exchange))
        return len(over)

    def _forget(self, exchange: int, tx: Connection) -> None:
        found = self._rooms.one(tx, exchange)
        if tx.execute(SQL.forget, (exchange,)).fetchone() is not None:
            who = system("exchanges")
            self._rooms.tell(tx, who, "over", found, standing=found.standing.value)
