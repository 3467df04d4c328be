"""Sending on to an archive what was shared: to one that is offered, by who was sent the link.

A recipient who belongs to a provider chooses; a job sends what the grant shows, while it holds.
What holds is asked of the database again between two instances, never of what was copied.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal, Scope
from vna.db import statements
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection
from vna.db.work import State
from vna.dicom.refs import UID, InstanceRef
from vna.errors import Conflict, NotFound, NotPermitted, TooLarge
from vna.sharing.guests import Guests
from vna.sharing.held import hold_grant, hold_share
from vna.sharing.ids import new_id
from vna.sharing.rooms import SQL, Act, Rooms, guest_named
from vna.sharing.values import Guest, Purpose, Reason
from vna.sharing.visible import scope_of, series_of
from vna.telemetry import SHARE_ACTS
from vna.texts import filled, marked

KIND = "hand-over"
"""The kind of its jobs."""

PURPOSES = frozenset({Purpose.TREATMENT, Purpose.PATIENT_REQUEST, Purpose.EMERGENCY})
"""What images are shared for that may be kept by somebody else's archive."""

ENDED = marked("The sharing was ended.")
EXPIRED = marked("The time of the sharing is over.")
HELD = marked("The sharing is paused, or the patient has withdrawn consent.")
NOT_OFFERED = marked("This archive is not offered any more.")
NOT_SHARED = marked("It is not part of what is shared any more.")
_CAUSES = {Reason.EXPIRED.value: EXPIRED, Reason.SUSPENDED.value: HELD}

_SQL = statements.load("sendings")
_MOST = 20  # of one grant
_UNDER_WAY = frozenset({State.WAITING, State.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An archive that may be chosen: `key` is what a form says, `name` what people read."""

    sort: str  # remote or peer
    called: str  # its AE title, or the name of a DICOMweb archive
    name: str

    @property
    def key(self) -> str:
        """Name it among all."""
        return f"{self.sort}:{self.called}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One sending and how far it is."""

    sending_id: int
    grant_id: int
    name: str
    asked_at: dt.datetime
    state: State
    cause: str | None
    items: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a job may send now: as whom, to which archive; or why nothing may go."""

    principal: Principal
    remote: str | None
    peer: str | None
    cause: str | None


class Sendings:
    """Asks for sendings, shows them, and says what they may send. One a process."""

    def __init__(self, rooms: Rooms, guests: Guests) -> None:
        self._rooms = rooms
        self._guests = guests

    def offered(self, session: str) -> list[Destination]:
        """List the archives a guest may choose; none where they may send nothing on."""
        guest = self._guests.require(session)
        if not may_send(guest):
            return []
        with self._rooms.database.reading() as conn:
            return _offered(conn)

    def listed(self, session: str) -> list[Sending]:
        """List what a guest has sent on. Raises `NotAuthenticated`."""
        guest = self._guests.require(session)
        with self._rooms.database.reading() as conn:
            return _listed(conn, guest.share_id, guest.grant_id)

    def of_share(self, who: Principal, share_id: int) -> list[Sending]:
        """List what was sent on of a share, for those who may share it. Raises `NotFound`."""
        require(who, Action.SHARE)

        def work(tx: Act) -> list[Sending]:
            hold_share(tx, who, share_id)
            return _listed(tx.tx, share_id, None)

        return self._rooms.act(work)

    def ask(self, session: str, key: str) -> int:
        """Ask for what a guest sees to be sent; return the number of the sending.

        Raises `NotAuthenticated`, `NotPermitted` where it may not be sent on, `NotFound` for an
        archive that is not offered, `Conflict` while the same is under way, `TooLarge`.
        """
        guest = self._guests.require(session)
        if not may_send(guest):
            raise NotPermitted(marked("This may not be sent on to an archive."))
        sending_id = new_id()

        def work(tx: Act) -> int:
            tx.execute(SQL.hold_share, (guest.share_id,))
            standing = hold_grant(tx, guest.grant_id)
            if standing.why is not None or not standing.holds_download:
                raise NotPermitted(marked("This may not be sent on to an archive."))
            to = next((one for one in _offered(tx.tx) if one.key == key), None)
            if to is None:
                raise NotFound(marked("This archive is not among those offered."))
            _require_room(_listed(tx.tx, guest.share_id, guest.grant_id), to)
            subjects = self._subjects(tx.tx, guest)
            self._queue(tx.tx, guest, to, sending_id, subjects)
            detail = {
                "share": guest.share_id,
                "grant": guest.grant_id,
                "to": to.called,
                "sort": to.sort,
                "instances": len(subjects),
            }
            told = Event(kind="grant.sending", outcome="done", detail=detail)
            self._rooms.tell(tx, guest.principal, told)
            return sending_id

        asked = self._rooms.act(work)
        SHARE_ACTS.labels("sent on").inc()
        return asked

    def standing(self, sending_id: int) -> Standing:
        """Say what a job may send at this moment. Raises `NotFound`, `Unavailable`."""
        with self._rooms.database.reading() as conn:
            row = conn.execute(_SQL.find_sending, (sending_id,)).fetchone()
            if row is None:
                raise NotFound("There is no such sending of a share.")
            share_id, grant_id, number, purpose, studies, remote, peer, why, *holds = row
            reports, download, parts, is_offered = holds
            cause = _hindrance(why, Purpose(purpose), may=download, is_offered=is_offered)
            who = guest_named(number, grant_id, None)
            if cause is None:
                seen = series_of(conn, share_id, studies, reports=reports)
                who = self._rooms.let_in(who, scope_of(seen, parts or ()))
        if cause is None:  # labels may have to ask, too: not while a connection is held
            who = self._rooms.labels.narrowed(who)
        return Standing(principal=who, remote=remote, peer=peer, cause=cause)

    def _subjects(self, conn: Connection, guest: Guest) -> list[Subject]:
        """List the instances a guest sees. Raises `TooLarge`, `NotFound` when there is none."""
        scope: Scope = guest.principal.scope
        rows = conn.execute(_SQL.list_items, (list(guest.share.studies),)).fetchall()
        found = [
            Subject(sop_class=row[3], instance=row[2], study=row[0])
            for row in rows
            if scope.covers(InstanceRef(UID(row[0]), UID(row[1]), UID(row[2])))
        ]
        most = self._rooms.settings.limits.retrieve_instances
        if len(found) > most:
            raise TooLarge(filled("More than %(most)s images are too many at a time.", most=most))
        if not found:
            raise NotFound(marked("There is nothing here that can be sent."))
        return found

    def _queue(
        self,
        conn: Connection,
        guest: Guest,
        to: Destination,
        sending_id: int,
        subjects: Sequence[Subject],
    ) -> None:
        job_id = enqueue(
            conn,
            KIND,
            {"sending": sending_id},
            requested_by=guest.principal.name,
            remote=to.called,
            subjects=subjects,
        )
        pair = (to.called, None) if to.sort == "remote" else (None, to.called)
        row = (sending_id, guest.share_id, guest.grant_id, job_id, *pair, to.name)
        conn.execute(_SQL.add_sending, row)


def may_send(guest: Guest) -> bool:
    """Whether a guest may have it sent on: from a provider, to keep, for something to keep it for.

    Who it was shared with stands in the share as belonging to an organisation, or does not.
    """
    share, may = guest.share, Action.RETRIEVE in guest.principal.actions
    belongs = share.recipient is not None and bool(share.recipient.organisation.strip())
    return may and share.download and share.purpose in PURPOSES and belongs


def _hindrance(why: str | None, purpose: Purpose, *, may: bool, is_offered: bool) -> str | None:
    if why is not None:
        return _CAUSES.get(why, ENDED)
    if not may or purpose not in PURPOSES:
        return ENDED
    return None if is_offered else NOT_OFFERED


def _require_room(sendings: Sequence[Sending], to: Destination) -> None:
    if any(one.name == to.name and one.state in _UNDER_WAY for one in sendings):
        raise Conflict(marked("This is on its way to that archive already."))
    if len(sendings) >= _MOST:
        raise Conflict(marked("This was sent on often enough: ask who shared it with you."))


def _offered(conn: Connection) -> list[Destination]:
    rows = conn.execute(_SQL.list_offered).fetchall()
    return [Destination(sort=row[0], called=row[1], name=row[2]) for row in rows]


def _listed(conn: Connection, share_id: int, grant_id: int | None) -> list[Sending]:
    asked = {"share_id": share_id, "grant_id": grant_id}
    return [_sending(row) for row in conn.execute(_SQL.list_sendings, asked)]


def _sending(row: tuple[Any, ...]) -> Sending:
    number, grant_id, name, asked_at, state, cause, items, done, failed = row
    return Sending(
        sending_id=number,
        grant_id=grant_id,
        name=name,
        asked_at=asked_at,
        state=State(state),
        cause=cause,
        items=items,
        done=done,
        failed=failed,
    )
