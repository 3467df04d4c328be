"""Notices to who was sent a link and did not open it for days: once for each link."""

from __future__ import annotations

from typing import Any

from vna.sharing.consent_texts import SQL
from vna.sharing.reminders import Link, remind
from vna.sharing.rooms import Act, Rooms
from vna.telemetry import SHARE_ACTS

_TURN = 100
_DAY_S = 86400.0
_KIND = "unopened"


class Notices:
    """Finds links nobody opened and asks for a message to each. One a process."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def turn(self) -> int:
        """Send what is due; count it. Zero days in the setting are never."""
        settings = self._rooms.settings.sharing
        if not settings.remind_days:
            return 0
        asked = {"after_s": settings.remind_days * _DAY_S, "most": _TURN}
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.unopened, asked).fetchall()
        return sum(self._remind(row) for row in rows)

    def _remind(self, row: tuple[Any, ...]) -> bool:
        grant_id, issued_at, channel, language, ends_at, number, share_id = row

        def work(tx: Act) -> bool:
            if tx.execute(SQL.add_notice, (grant_id, _KIND, issued_at)).fetchone() is None:
                return False
            link = Link(grant_id, share_id, channel, language, number, ends_at)
            remind(self._rooms, tx.tx, _KIND, link)
            return True

        is_sent = self._rooms.act(work)
        if is_sent:
            SHARE_ACTS.labels("reminded").inc()
        return is_sent
