"""Notices to patients that something about their account changed: sent where they are written to.

Whoever took an account over would change how one signs in, and where messages go: so the old way
hears of it too. A notice names nobody, and no examination; it says whom to call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from vna.access.signing import Change
from vna.db import statements
from vna.db.pool import Connection
from vna.sharing import granting
from vna.sharing.rooms import Rooms
from vna.texts import ENGLISH

SQL = statements.load("own")

REPLACED, HELD = "contact-replaced", "contact-held"
_TEMPLATES = {
    Change.WAYS: "sign-in-changed",
    Change.RECOVERY_CODE: "recovery-code-used",
    Change.CARER: "carer-given",
    Change.CODE: "desk-code-made",
    Change.GUESSED: "codes-guessed",
}
TEMPLATES = frozenset({REPLACED, HELD, *_TEMPLATES.values()})
"""Every notice there is about an account."""


class AccountNotices:
    """Asks for notices in the transaction of what they tell of. One a process."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def changed(self, tx: Connection, account_id: int, change: Change) -> None:
        """Tell every proven way of an account that how one signs in to it has changed."""
        rows = tx.execute(SQL.proven_of, (account_id, None)).fetchall()
        self._send(tx, [int(row[0]) for row in rows], _TEMPLATES[change], account_id)

    def replaced(self, tx: Connection, account_id: int, kind: str) -> None:
        """Tell the proven way of this kind, before another takes its place, that it does."""
        rows = tx.execute(SQL.proven_of, (account_id, kind)).fetchall()
        self._send(tx, [int(row[0]) for row in rows], REPLACED, account_id)

    def held(self, tx: Connection, account_id: int, takes_at: dt.datetime) -> None:
        """Tell every proven way that they are to change, from when on, and how that is stopped."""
        rows = tx.execute(SQL.proven_of, (account_id, None)).fetchall()
        when = takes_at.astimezone(dt.UTC).isoformat(timespec="seconds")
        self._send(tx, [int(row[0]) for row in rows], HELD, account_id, {"when": when})

    def _send(
        self,
        tx: Connection,
        channels: Sequence[int],
        template: str,
        account_id: int,
        values: Mapping[str, str] = {},
    ) -> None:
        row = tx.execute(SQL.language_of, (account_id,)).fetchone()
        for number in channels:
            self._rooms.outbox.post(
                tx,
                to=granting.open_channel(self._rooms, tx, number),
                template=template,
                values=values,
                language=(row and row[0]) or ENGLISH,
                until=None,
                channel_id=number,
                share_id=None,
                grant_id=None,
                requested_by="archive",
            )
