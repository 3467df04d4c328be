"""Reminders to who holds a link: nobody opened it for days, it ends soon. Once for each link."""

from __future__ import annotations

from typing import Any, LiteralString

from vna.sharing import granting
from vna.sharing.consent_texts import SQL
from vna.sharing.rooms import Act, Rooms
from vna.telemetry import SHARE_ACTS

_TURN = 100
_DAY_S = 86400.0
_BY = "archive"


class Notices:
    """Reminds. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def turn(self) -> int:
        """Send the reminders that are due; count them. Zero days of a setting are never."""
        settings = self._rooms.settings.sharing
        sent = 0
        if settings.remind_days:
            asked = {"after_s": settings.remind_days * _DAY_S, "most": _TURN}
            sent += self._send("unopened", SQL.unopened, asked)
        if settings.expiring_days:
            asked = {"before_s": settings.expiring_days * _DAY_S, "most": _TURN}
            sent += self._send("expiring", SQL.expiring, asked)
        return sent

    def _send(self, kind: str, statement: LiteralString, asked: dict[str, float]) -> int:
        with self._rooms.database.reading() as conn:
            rows = conn.execute(statement, asked).fetchall()
        return sum(self._remind(kind, row) for row in rows)

    def _remind(self, kind: str, row: tuple[Any, ...]) -> bool:
        grant_id, issued_at, channel, language, ends_at, number, share_id = row

        def work(tx: Act) -> bool:
            if tx.execute(SQL.add_notice, (grant_id, kind, issued_at)).fetchone() is None:
                return False
            self._rooms.outbox.post(
                tx.tx,
                to=granting.open_channel(self._rooms, tx, channel),
                template=kind,
                values={"number": number, "until": ends_at.date().isoformat()},
                language=language,
                until=ends_at,
                channel_id=channel,
                share_id=share_id,
                grant_id=grant_id,
                requested_by=_BY,
            )
            return True

        is_sent = self._rooms.act(work)
        if is_sent:
            SHARE_ACTS.labels("reminded").inc()
        return is_sent
