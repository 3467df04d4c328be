"""How sharing goes: month by month, and last night. Counts and times, and nothing of anybody."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.errors import NotPermitted
from vna.sharing.rooms import SQL, Rooms, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What was given on in a month. Waits are from the making of a share to its first opening."""

    begins: dt.date
    shares: int
    opened: int
    median: dt.timedelta | None
    late: dt.timedelta | None  # 19 of 20 were opened by then
    discs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What became, since the last night began, of what goes out by itself."""

    since: dt.datetime
    shared: int
    waiting: int
    blocked: int
    left: int


class Figures:
    """Counts. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def months(self, who: Principal) -> list[Month]:
        """Tell of this month and the eleven before it, the latest first. Raises `NotPermitted`."""
        _require(who)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.share_months).fetchall()
        return [
            Month(
                begins=row[0].date(),
                shares=row[1],
                opened=row[2],
                median=_span(row[3]),
                late=_span(row[4]),
                discs=row[5],
            )
            for row in rows
        ]

    def night(self, who: Principal) -> Night:
        """Tell of the last night, or of this one. Raises `NotPermitted`."""
        _require(who)
        settings = self._rooms.settings
        since = begun(now(), ZoneInfo(settings.site.timezone), settings.sharing.night_from)
        with self._rooms.database.reading() as conn:
            found: dict[str, int] = dict(conn.execute(SQL.count_auto_since, (since,)).fetchall())
        return Night(
            since=since,
            shared=found.get("shared", 0),
            waiting=found.get("waiting", 0),
            blocked=found.get("blocked", 0),
            left=found.get("left", 0),
        )


def begun(at: dt.datetime, zone: ZoneInfo, begins: int) -> dt.datetime:
    """Say when the night that is, or the last one, began."""
    here = at.astimezone(zone)
    tonight = here.replace(hour=begins % 24, minute=0, second=0, microsecond=0)
    return tonight if tonight <= here else tonight - dt.timedelta(days=1)


def _require(who: Principal) -> None:
    """Counts are of the whole archive: who sees a part of it is not told them."""
    require(who, Action.SHARE)
    if not who.scope.everything:
        raise NotPermitted


def _span(seconds: float | None) -> dt.timedelta | None:
    return None if seconds is None else dt.timedelta(seconds=round(seconds))
