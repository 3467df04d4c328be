"""Reminders: who was sent a link is told, once, three days before it ends."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.db.pool import Connection
from vna.sharing import granting
from vna.sharing.rooms import SQL, Rooms

_TEMPLATE = "expiring"
_MOST = 200  # of one turn; the upkeep takes the rest at its next


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was sent, by whose channel, and until when it opens."""

    grant_id: int
    share_id: int
    channel: int
    language: str
    number: str
    ends_at: dt.datetime


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
            link = Link(grant_id, share_id, channel, language, number, ends_at)
            remind(self._rooms, tx, _TEMPLATE, link)
        return len(rows)


def remind(rooms: Rooms, tx: Connection, template: str, link: Link) -> None:
    """Leave a message to who was sent a link, of its number and when it ends."""
    day = link.ends_at.astimezone(rooms.zone()).date()
    rooms.outbox.post(
        tx,
        to=granting.open_channel(rooms, tx, link.channel),
        template=template,
        values={"number": link.number, "until": day.isoformat()},
        language=link.language,
        until=link.ends_at,
        channel_id=link.channel,
        share_id=link.share_id,
        grant_id=link.grant_id,
        requested_by="archive",
    )
