"""Giving on what was given: a child grant is never more, longer or better than its parent."""

from __future__ import annotations

from vna.access.audit import Event
from vna.crypto import shares
from vna.crypto.credentials import digest
from vna.dicom.refs import Ref
from vna.errors import InvalidRequest, NotAuthenticated, NotFound, NotPermitted
from vna.sharing import granting
from vna.sharing.board import grant_summaries
from vna.sharing.ends import Ends
from vna.sharing.guests import KEY, Guests
from vna.sharing.held import hold_grant
from vna.sharing.ids import new_id
from vna.sharing.rooms import SQL, Act, Rooms, now
from vna.sharing.rules import check_ways
from vna.sharing.values import Forward, GrantSummary, Guest, Offered, Protection
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

MOST_DEPTH = 3
_TO_MANY = marked("This was given on to many already: take some back first.")
_MOST_CHILDREN = 50


class Forwarding:
    """Makes, lists and ends child grants. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, guests: Guests, ends: Ends) -> None:
        self._rooms = rooms
        self._guests = guests
        self._ends = ends

    def forward(self, session: str, offer: Forward) -> Offered:
        """Give on; see `SharingEngine.forward`."""
        rooms = self._rooms
        guest = self._proven(session)
        _check(guest, offer)
        check_ways(offer, rooms.settings.sharing, now())
        made = granting.make_secrets(
            rooms,
            self._share_key(session),
            passcode=Protection.PASSCODE in offer.proof,
            printed=False,
        )

        grant_id = new_id()

        def work(tx: Act) -> Offered:
            tx.execute(SQL.hold_share, (guest.share_id,))
            parent = hold_grant(tx, guest.grant_id)
            if parent.why is not None or not parent.holds_forward:
                raise NotPermitted(marked("This may not be given on."))
            if parent.depth >= MOST_DEPTH:
                raise NotPermitted(marked("This was given on often enough: ask who it came from."))
            if _children(tx, guest.grant_id) >= _MOST_CHILDREN:
                raise NotPermitted(_TO_MANY)
            terms = granting.terms_of(
                offer,
                share_id=guest.share_id,
                grant_id=grant_id,
                number=guest.share.number,
                parent_id=guest.grant_id,
                depth=parent.depth + 1,
                parts=granting.parts_of(offer),
                reports=offer.reports,
                download=offer.download,
                forward=offer.forward,
                until=min(offer.until, parent.until),
                actor=guest.principal.name,
            )
            granting.add(rooms, tx, terms, made)
            detail = {
                "share": guest.share_id,
                "grant": grant_id,
                "from": guest.grant_id,
                "proof": sorted(way.value for way in offer.proof),
                "until": terms.until.isoformat(),
            }
            told = Event(kind="grant.forwarded", outcome="done", detail=detail)
            rooms.tell(tx, guest.principal, told)
            return Offered(
                share_id=guest.share_id,
                grant_id=grant_id,
                number=guest.share.number,
                secret=made.secret if offer.to is None else None,
                passcode=made.passcode,
            )

        offered = rooms.act(work)
        SHARE_ACTS.labels("forwarded").inc()
        return offered

    def forwarded(self, session: str) -> list[GrantSummary]:
        """List; see `SharingEngine.forwarded`."""
        guest = self._proven(session)
        with self._rooms.database.reading() as conn:
            found = grant_summaries(self._rooms, conn, guest.share_id)
        return [one for one in found if one.parent_id == guest.grant_id]

    def take_back(self, session: str, grant_id: int) -> int:
        """End one; see `SharingEngine.take_back`."""
        guest = self._proven(session)

        def work(tx: Act) -> int:
            tx.execute(SQL.hold_share, (guest.share_id,))
            if hold_grant(tx, grant_id).parent_id != guest.grant_id:
                raise NotFound("There is no such grant.")
            reason = "taken back by who gave it on"
            return self._ends.end_grant(tx, guest.principal, grant_id, "revoked", reason)

        return self._rooms.act(work)

    def _proven(self, session: str) -> Guest:
        guest = self._guests.require(session)
        if not guest.is_proven:
            raise NotAuthenticated("Show first what is asked for.")
        return guest

    def _share_key(self, session: str) -> bytes:
        """Give the share's key, which who forwards holds: the archive's own copy is not needed."""
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.half_of, (digest(session),)).fetchone()
        if row is None:
            raise NotAuthenticated(marked("This session is over; open the link again."))
        return shares.open_half(session, bytes(row[0]), KEY)


def _check(guest: Guest, offer: Forward) -> None:
    """Refuse what is more than the guest has. Raises `NotPermitted`, `NotFound`."""
    share = guest.share
    if not share.forward:
        raise NotPermitted(marked("This may not be given on."))
    if (offer.reports and not share.reports) or (offer.download and not share.download):
        raise NotPermitted(marked("You cannot allow what you may not do yourself."))
    if offer.until > share.until:
        raise InvalidRequest(marked("This cannot be given on for longer than you have it."))
    if offer.to is None and Protection.PASSCODE not in offer.proof:
        raise InvalidRequest(marked("A link that is handed over needs a passcode."))
    refs: list[Ref] = [*offer.studies, *offer.series]
    if not all(guest.principal.scope.touches(ref) for ref in refs):
        raise NotFound


def _children(tx: Act, grant_id: int) -> int:
    row = tx.execute(SQL.count_children, (grant_id,)).fetchone()
    return 0 if row is None else int(row[0])
