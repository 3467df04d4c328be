"""Reminders: who was sent a link is told, once, three days before it ends."""

from __future__ import annotations

from vna.db.pool import Connection
from vna.sharing import granting
from vna.sharing.rooms import SQL, Rooms

_TEMPLATE = "expiring"
_MOST = 200  # of one turn; the upkeep takes the rest at its next


class Reminders:
    """Finds links that end soon and asks for a message to each."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def send(self) -> int:
        """Remind who is to be reminded now; count them. Who was is not again, until it is extended.

        A link that was good for less than a week from the start needs none.
        """
        return self._rooms.database.changing(self._sent)

    def _sent(self, tx: Connection) -> int:
        rows = tx.execute(SQL.ending_soon, (_TEMPLATE, _MOST)).fetchall()
        for grant_id, share_id, channel, language, number, ends_at in rows:
            self._rooms.outbox.post(
                tx,
                to=granting.open_channel(self._rooms, tx, channel),
                template=_TEMPLATE,
                values={"number": number, "until": ends_at.date().isoformat()},
                language=language,
                until=ends_at,
                channel_id=channel,
                share_id=share_id,
                grant_id=grant_id,
                requested_by="archive",
            )
        return len(rows)
