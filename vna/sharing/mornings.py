"""The morning's message: how many went out in the night, and how many somebody must see to.

One mail for each night in which something was to go out, once the night is over: counts and a link,
and nothing of anybody. The message itself is what says that a night was told of.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from vna.config import Settings
from vna.db.pool import Connection
from vna.delivery.channels import Channel, configured
from vna.sharing.automatic import night
from vna.sharing.consent_texts import SQL
from vna.sharing.figures import begun
from vna.sharing.rooms import Rooms, now
from vna.telemetry import SHARE_ACTS
from vna.texts import ENGLISH

TEMPLATE = "morning"
_LOOK_S = 30.0
_LATEST = dt.timedelta(hours=4)  # after the night: later it would tell of the day, too


class Counts(NamedTuple):
    """What became of what was to go out in a night; `failed` of `shared` reached nobody yet."""

    shared: int
    waiting: int
    blocked: int
    left: int
    failed: int


class Mornings:
    """Tells of nights that are over. One a process.

    Raises `ConfigError` when `sharing.morning_mail` is no address.
    """

    def __init__(self, rooms: Rooms) -> None:
        to = rooms.settings.sharing.morning_mail
        self._rooms = rooms
        self._to: Channel | None = configured(to, "sharing.morning_mail") if to else None
        self._look_at = 0.0

    def turn(self) -> bool:
        """Tell of the last night unless it lasts, was told of, or nothing happened in it."""
        if self._to is None or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_S
        return self.tell(now())

    def tell(self, at: dt.datetime) -> bool:
        """Do so as if it were that time; whether a message was left."""
        settings, to = self._rooms.settings, self._to
        zone, hours = ZoneInfo(settings.site.timezone), settings.sharing
        next_one = night(at, zone, hours.night_from, hours.night_to)
        since = begun(at, zone, hours.night_from)
        if to is None or next_one is None or at > _over(since, hours.night_to) + _LATEST:
            return False

        def work(tx: Connection) -> bool:
            tx.execute(SQL.hold_morning)
            told = tx.execute(SQL.told_of_night, (since,)).fetchone()
            row = tx.execute(SQL.count_night, {"since": since, "until": next_one}).fetchone()
            counts = Counts(*(row or (0, 0, 0, 0, 0)))
            if (told and told[0]) or not any(counts):
                return False
            self._rooms.outbox.post(
                tx,
                to=to,
                template=TEMPLATE,
                values={
                    **{name: str(count) for name, count in counts._asdict().items()},
                    "link": f"{_desk(settings)}/shares",
                },
                language=ENGLISH,
                channel_id=None,
                share_id=None,
                grant_id=None,
                requested_by="archive",
                until=at + _LATEST * 2,
            )
            return True

        is_told = self._rooms.database.changing(work)
        if is_told:
            SHARE_ACTS.labels("morning").inc()
        return is_told


def _over(since: dt.datetime, ends: int) -> dt.datetime:
    """Say when a night that began then is over."""
    end = since.replace(hour=ends % 24, minute=0, second=0, microsecond=0)
    return end if end > since else end + dt.timedelta(days=1)


def _desk(settings: Settings) -> str:
    """Say where staff find us: where guests do, unless those have an address of their own."""
    if settings.sharing.url and not settings.sharing.listen:
        return settings.sharing.url.rstrip("/")
    scheme = "http" if settings.dev else "https"
    return f"{scheme}://{settings.http.listen.partition(',')[0].strip()}"
