"""The second person of a share: a colleague agrees to where its link goes, or refuses.

While it waits the share is there and frozen, but no link of it opens and nothing is sent. What a
lost database brings back from the journal waits still, or was decided.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal
from vna.db import statements
from vna.errors import Conflict, NotFound, NotPermitted
from vna.index.locate import Located
from vna.sharing import granting, records, telling
from vna.sharing.board import note_seen
from vna.sharing.ends import Ends, check_reason
from vna.sharing.held import GrantRow, ShareRow, hold_grant, hold_share, may_see
from vna.sharing.refusals import require_not_refused
from vna.sharing.rooms import SQL, Act, Rooms, behind, now
from vna.sharing.values import Doubt, Offer, Person
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

_SQL = statements.load("seconds")

_MOST = 200
_OVER = marked("This does not wait for a second person any more.")
_ONESELF = marked("Somebody else must agree: nobody is their own second person.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A share that waits for a colleague, as the board shows it."""

    share_id: int
    number: str
    person: Person = field(repr=False)
    asked_by: str
    asked_at: dt.datetime
    why: Doubt
    until: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What was asked of a colleague about a share, and what they said.

    `to` and `by` are where link and codes are to go, in full while it waits: a mask could be the
    patient's and somebody else's, so that nobody could agree to one.
    """

    asked_by: str
    asked_at: dt.datetime
    why: Doubt
    decided_at: dt.datetime | None
    decided_by: str | None
    agreed: bool | None
    reason: str | None
    to: str = field(default="", repr=False)
    by: str = field(default="", repr=False)


class Seconds:
    """Lists what waits for a second person, and decides it. One a process."""

    def __init__(self, rooms: Rooms, ends: Ends) -> None:
        self._rooms = rooms
        self._ends = ends

    def waiting(self, who: Principal) -> list[Waiting]:
        """List what waits, the oldest first: of what this principal sees."""
        require(who, Action.SHARE)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_SQL.seconds_waiting, (_MOST,)).fetchall()
        found = [
            Waiting(
                share_id=share_id,
                number=number,
                person=granting.open_person(self._rooms, share_id, bytes(person)),
                asked_by=asked_by,
                asked_at=asked_at,
                why=Doubt(why),
                until=until,
            )
            for share_id, number, person, studies, asked_by, asked_at, why, until in rows
            if may_see(who, studies)
        ]
        note_seen(self._rooms, who, "second", len(found))
        return found

    def count(self, who: Principal) -> int:
        """Count what waits of what this principal sees."""
        require(who, Action.SHARE)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_SQL.seconds_waiting, (_MOST,)).fetchall()
        return sum(may_see(who, row[3]) for row in rows)

    def of_share(self, who: Principal, share_id: int) -> Second | None:
        """Say what was asked about a share; None when nobody had to be. Raises `NotFound`."""

        def work(tx: Act) -> Second | None:
            share = hold_share(tx, who, share_id)
            row = tx.execute(_SQL.second_of, (share_id,)).fetchone()
            if row is None:
                return None
            waits = row[3] is None and share.state == "ready"
            to, by = self._addresses(tx, share_id) if waits else ("", "")
            asked_by, asked_at, why, decided_at, decided_by, agreed, reason = row
            return Second(
                asked_by=asked_by,
                asked_at=asked_at,
                why=Doubt(why),
                decided_at=decided_at,
                decided_by=decided_by,
                agreed=agreed,
                reason=reason,
                to=to,
                by=by,
            )

        return self._rooms.act(work)

    def agree(self, who: Principal, share_id: int) -> None:
        """Let a share go out that somebody else made.

        Raises `NotFound`, `NotPermitted` for who asked, and `Conflict` when it does not wait, or
        what it rests on ended meanwhile, or the person said no to it.
        """

        def work(tx: Act) -> None:
            share, sealed = self._hold(tx, who, share_id)
            grant = _root(tx, share_id)
            self._decide(tx, who, share_id, reason=None)
            if hold_grant(tx, grant.grant_id).why is not None:
                raise Conflict(marked("What this rests on has ended meanwhile: share anew."))
            require_not_refused(tx, share)
            self._send(tx, who, share, grant, sealed)

        self._rooms.act(work)
        SHARE_ACTS.labels("agreed").inc()

    def refuse(self, who: Principal, share_id: int, reason: str) -> None:
        """End a share that somebody else made before anything of it went out. Raises as above."""
        check_reason(reason)

        def work(tx: Act) -> None:
            self._hold(tx, who, share_id)
            self._decide(tx, who, share_id, reason=reason)
            self._ends.end_share(tx, who, share_id, reason)

        self._rooms.act(work)
        SHARE_ACTS.labels("not agreed").inc()

    def _addresses(self, tx: Act, share_id: int) -> tuple[str, str]:
        grant = _root(tx, share_id)
        to, by = (
            "" if number is None else granting.open_channel(self._rooms, tx, number).value
            for number in (grant.to_channel, grant.by_channel)
        )
        return to, by

    def _hold(self, tx: Act, who: Principal, share_id: int) -> tuple[ShareRow, bytes]:
        share = hold_share(tx, who, share_id)
        row = tx.execute(_SQL.hold_second, (share_id,)).fetchone()
        if row is None or share.state != "ready":
            raise Conflict(_OVER)
        # programs and the archive itself are nobody; who has an account has one name
        is_somebody = who.kind in (Kind.PERSON, Kind.DEVELOPER)
        if not is_somebody or who.name in (behind(row[0]), share.owner):
            raise NotPermitted(_ONESELF)
        return share, bytes(row[2])

    def _decide(self, tx: Act, who: Principal, share_id: int, *, reason: str | None) -> None:
        said = {
            "share_id": share_id,
            "decided_at": now(),
            "decided_by": who.name,
            "agreed": reason is None,
            "reason": reason,
        }
        tx.execute(_SQL.decide_second, said)
        tx.write_down(records.SECOND_END, {"share": share_id}, said, who.name)
        kind = "share.agreed" if reason is None else "share.not-agreed"
        detail = {"share": share_id} if reason is None else {"share": share_id, "reason": reason}
        self._rooms.tell(tx, who, Event(kind=kind, outcome="done", detail=detail))

    def _send(
        self, tx: Act, who: Principal, share: ShareRow, grant: GrantRow, sealed: bytes
    ) -> None:
        """Send the link as it was drawn, and tell whom the share names and whom it shows."""
        rooms = self._rooms
        to, by, notify = (
            None if number is None else granting.open_channel(rooms, tx, number)
            for number in (grant.to_channel, grant.by_channel, _notify(tx, share.share_id))
        )
        if to is not None:
            granting.send_link(
                rooms,
                tx,
                "invitation",
                secret=granting.open_link(rooms, share.share_id, sealed),
                to=to,
                by=by,
                grant_id=grant.grant_id,
                share_id=share.share_id,
                number=share.number,
                until=grant.until,
                language=grant.language,
                channel=grant.to_channel,
                actor=who.name,
            )
        telling.tell_all(
            rooms,
            tx,
            (share.issuer, share.patient_id),
            granting.open_recipient(rooms, grant.grant_id, bytes(grant.recipient)),
            share_id=share.share_id,
            grant_id=grant.grant_id,
            to=to,
            by=by,
            notify=notify,
            actor=who.name,
        )


def ask(
    rooms: Rooms,
    tx: Act,
    who: Principal,
    offer: Offer,
    *,
    why: Doubt,
    share_id: int,
    secret: str,
    located: Iterable[Located],
) -> None:
    """Let a share that was just made wait for a colleague, in its transaction."""
    row = None
    if who.kind is Kind.SYSTEM and offer.consent_id is not None:
        row = tx.execute(_SQL.who_recorded, (offer.consent_id,)).fetchone()
    asked = {
        "share_id": share_id,
        "asked_by": who.name if row is None else behind(row[0]),
        "asked_at": now(),
        "why": why.value,
        "link": granting.seal_link(rooms, share_id, secret, located),
    }
    tx.execute(_SQL.add_second, asked)
    tx.write_down(records.SECOND, {"share": share_id}, asked, who.name)


def _root(tx: Act, share_id: int) -> GrantRow:
    """Hold the grant a share was made with."""
    row = tx.execute(_SQL.root_of, (share_id,)).fetchone()
    return hold_grant(tx, int(row[0]) if row else 0)


def _notify(tx: Act, share_id: int) -> int | None:
    row = tx.execute(SQL.notify_of, (share_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such share.")
    return None if row[0] is None else int(row[0])
