"""What those who share see of it: lists by tab, and all there is to know about one share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vna.access.audit import Event
from vna.access.policy import reach, require
from vna.access.principal import Action, Principal
from vna.db.pool import Connection
from vna.dicom.refs import Ref, StudyRef
from vna.errors import NotFound
from vna.index.arrays import Longs, Texts
from vna.sharing import granting
from vna.sharing.held import may_see
from vna.sharing.rooms import SQL, Rooms
from vna.sharing.values import (
    GrantState,
    GrantSummary,
    Happened,
    Protection,
    Purpose,
    ShareDetail,
    ShareState,
    ShareSummary,
    Tab,
)
from vna.sharing.visible import scope_of, series_of

MOST = 200
UNOPENED_DAYS, EXPIRING_DAYS = 3, 3


class Board:
    """Reads what was shared. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def shares(
        self,
        who: Principal,
        *,
        tab: Tab,
        study: StudyRef | None,
        before: int | None,
        most: int,
    ) -> list[ShareSummary]:
        """List; see `SharingEngine.shares`."""
        require(who, Action.SHARE, study)
        asked = {
            "tab": tab.value,
            "study": None if study is None else str(study.study),
            "before": before,
            "most": min(max(most, 1), MOST),
            "unopened": UNOPENED_DAYS,
            "expiring": EXPIRING_DAYS,
            "share_id": None,
            **_in_sight(who),
        }
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.list_shares, asked).fetchall()
        found = [summary_of(self._rooms, row) for row in rows if may_see(who, row[6])]
        note_seen(self._rooms, who, tab.value, len(found))
        return found

    def detail(self, who: Principal, share_id: int) -> ShareDetail:
        """Tell all about one; see `SharingEngine.detail`."""
        require(who, Action.SHARE)
        asked = {
            "tab": Tab.ALL.value,
            "study": None,
            "before": None,
            "most": 1,
            "unopened": UNOPENED_DAYS,
            "expiring": EXPIRING_DAYS,
            "share_id": share_id,
            **_in_sight(who),
        }
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.list_shares, asked).fetchone()
            if row is None or not may_see(who, row[6]):
                raise NotFound("There is no such share.")
            grants = grant_summaries(self._rooms, conn, share_id)
            happened = conn.execute(SQL.share_events, (str(share_id), MOST)).fetchall()
        note_seen(self._rooms, who, "one", 1, number=row[1])
        return ShareDetail(
            summary=summary_of(self._rooms, row),
            grants=tuple(grants),
            happened=tuple(_happened(one) for one in happened),
            consent_id=row[13],
            legal_basis=row[14],
            reports=row[15],
            download=row[16],
            forward=row[17],
            max_opens=row[18],
            tested_at=row[19],
            reason=row[20],
        )

    def numbers(self, who: Principal, share_ids: Iterable[int]) -> dict[int, str]:
        """Say what some shares are called; see `SharingEngine.numbers`."""
        require(who, Action.SHARE)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.numbers_of, (Longs(list(share_ids)),)).fetchall()
        return {row[0]: row[1] for row in rows if may_see(who, row[2])}

    def shown(self, who: Principal, share_id: int) -> list[Ref]:
        """List what of a share is shown now; see `SharingEngine.shown`."""
        detail = self.detail(who, share_id)
        with self._rooms.database.reading() as conn:
            seen = series_of(conn, share_id, detail.summary.studies, reports=detail.reports)
        scope = scope_of(seen, ())
        return [*map(StudyRef, scope.studies), *scope.series, *scope.instances]


def _in_sight(who: Principal) -> dict[str, Texts | None]:
    """Say to a statement which shares `may_see` lets somebody see."""
    within = reach(who, Action.SHARE)
    return {
        "withheld": Texts(within.withheld),
        "seen": None if within.everything else Texts(within.studies),
    }


def note_seen(rooms: Rooms, who: Principal, what: str, count: int, **more: str) -> None:
    """Leave a row of who was shown whose images were shared, and with whom.

    It names no share as acts of one do: it is none.
    """
    if count:
        detail = {"list": what, "count": count, **more}
        rooms.audit.note(who, Event(kind="share.seen", outcome="done", detail=detail))


def summary_of(rooms: Rooms, row: tuple[Any, ...]) -> ShareSummary:
    """Read a share of a list."""
    return ShareSummary(
        share_id=row[0],
        number=row[1],
        state=ShareState(row[2]),
        owner=row[3],
        purpose=Purpose(row[4]),
        person=granting.open_person(rooms, row[0], row[5]),
        studies=tuple(row[6]),
        items=row[7],
        grants=row[8],
        opens=row[9],
        created_at=row[10],
        until=row[11],
        last_open_at=row[12],
    )


def grant_summaries(rooms: Rooms, conn: Connection, share_id: int) -> list[GrantSummary]:
    """List the grants of a share, parents before children."""
    return grants_of_each(rooms, conn, [share_id])[share_id]


def grants_of_each(
    rooms: Rooms, conn: Connection, share_ids: Sequence[int]
) -> dict[int, list[GrantSummary]]:
    """List the grants of some shares, each its own, by one question."""
    found: dict[int, list[GrantSummary]] = {share_id: [] for share_id in share_ids}
    for row in conn.execute(SQL.list_grants, (Longs(share_ids),)):
        found[row[20]].append(_grant(rooms, row))
    return found


def _grant(rooms: Rooms, row: tuple[Any, ...]) -> GrantSummary:
    return GrantSummary(
        grant_id=row[0],
        parent_id=row[1],
        state=GrantState(row[2]),
        recipient=granting.open_recipient(rooms, row[0], row[3]),
        to=row[4],
        by=row[5],
        proof=frozenset(Protection(way) for way in row[6]),
        printed=row[7],
        until=row[8],
        opens=row[9],
        wrong=row[10],
        reports=row[11],
        download=row[12],
        forward=row[13],
        language=row[14],
        issued_at=row[15],
        first_open_at=row[16],
        last_open_at=row[17],
        ended_at=row[18],
        reason=row[19],
    )


def _happened(row: tuple[Any, ...]) -> Happened:
    return Happened(
        at=row[0],
        kind=row[1],
        outcome=row[2],
        who=row[3],
        grant_id=row[5].get("grant"),
        detail=row[5],
    )
