"""What patients do with shares of their own images: give on, look after, stop; and their consents.

They act as an account whose scope is what shows them, by `Action.SHARE_OWN`, which opens no door of
staff. For the act itself they are given `Action.SHARE` over that scope, never beyond it. The basis
of such a share is the patient's own wish: what they forbade stands in their way until they say
otherwise, and nothing else is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vna.access import rates
from vna.access.carers import is_acting
from vna.access.policy import require
from vna.access.principal import EVERYTHING, Action, Kind, Principal
from vna.db import statements
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, NotFound, NotPermitted, TooMany
from vna.index.arrays import Texts
from vna.sharing.board import grants_of_each, summary_of
from vna.sharing.consents import Consents, Recorded, Withdrawn, recorded
from vna.sharing.drafts import Drafts, use
from vna.sharing.ends import Ends, suspend
from vna.sharing.offers import Offers
from vna.sharing.previews import Previews
from vna.sharing.rehearsing import Rehearsals
from vna.sharing.renewals import Renewals
from vna.sharing.rooms import SQL, Act, Rooms, Runs
from vna.sharing.values import (
    Confirmed,
    GrantSummary,
    Happened,
    Offer,
    Offered,
    Preview,
    Purpose,
    ShareSummary,
)
from vna.texts import marked

_OWN = statements.load("own_shares")

BASIS = "patient-request"
STOPPED = "Stopped by the patient"
NO_LONGER = "Whoever shared this acts for the patient no more"
ACCOUNT_ENDED = "The account that shared this was ended: look whose it was."
MOST = 100
_MOST_HAPPENED = 200
_RENEWALS = 20  # of an account in a quarter of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnShare:
    """A share as its patient sees it; of the studies, those that they see.

    `is_own` when their account made it; others were made by staff and are looked at only.
    """

    summary: ShareSummary
    grants: tuple[GrantSummary, ...]
    is_own: bool
    consent_id: int | None
    reports: bool
    download: bool
    forward: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDetail:
    """All that a patient is told about a share, with what became of it, the latest first.

    Who did it is "you", "guest" or "staff": no name of staff, no address. A carer is named as the
    trail does it; to one who acts for the patient everybody else is "other".
    """

    share: OwnShare
    happened: tuple[Happened, ...]


class Own:
    """Patients' own shares and consents. One a process, shared by its threads."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        offers: Offers,
        ends: Ends,
        renewals: Renewals,
        previews: Previews,
        consents: Consents,
    ) -> None:
        self.drafts = Drafts(rooms)
        self._rooms = rooms
        self._offers = offers
        self._rehearsals = Rehearsals(rooms, offers)
        self._ends = ends
        self._renewals = renewals
        self._previews = previews
        self._consents = consents

    # ---- giving on -----------------------------------------------------------------------------

    def rehearse(self, who: Principal, offer: Offer) -> Preview:
        """Try an offer without making it: say what a stranger with link and proof would see.

        Raises as `offer` does. May cost two hashes.
        """
        _require(who)
        return self._rehearsals.rehearse(_sharer(who), _own(offer))

    def offer(self, who: Principal, offer: Offer, *, draft: int | None = None) -> Offered:
        """Share what one sees, for the one reason there is here; a draft is sent once.

        Raises `NotPermitted`, `NotFound`, `InvalidRequest`, `TooLarge`, `Conflict` as the offers
        of staff do, the last also past what an account shares in a day. May cost a hash.
        """
        _require(who)
        with self._rooms.database.reading() as conn:
            self._require_few(conn, who)

        def also(tx: Act, share_id: int) -> None:
            tx.execute(_OWN.hold_sharer, (who.name,))
            _require_still(tx, who)
            self._require_few(tx, who, made=1)  # many at once were few when each was begun
            if draft is not None:
                use(tx, who, draft, share_id)

        return self._offers.offer(_sharer(who), _own(offer), also=also)

    def test(self, who: Principal, share_id: int) -> Preview:
        """Open every item's key of a share of one's own. Raises `NotFound`, `Conflict`."""
        self._require_own(who, share_id)
        return self._previews.test(_sharer(who), share_id)

    # ---- looking after -------------------------------------------------------------------------

    def shares(
        self, who: Principal, *, before: int | None = None, most: int = 50
    ) -> list[OwnShare]:
        """List the shares one made, and those staff made of what one sees, the newest first."""
        _require(who)
        return self._listed(who, before=before, most=min(max(most, 1), MOST))

    def detail(self, who: Principal, share_id: int) -> OwnDetail:
        """Tell about one of them. Raises `NotFound`."""
        _require(who)
        found = self._listed(who, share_id=share_id, most=1)
        if not found:
            raise NotFound("There is no such share.")
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.share_events, (str(share_id), _MOST_HAPPENED)).fetchall()
        return OwnDetail(
            share=found[0],
            happened=tuple(_happened(row, who) for row in rows),
        )

    def stop(self, who: Principal, share_id: int, *, grant_id: int | None = None) -> int:
        """End a share of one's own, or one grant of it; guests are out within a second.

        Also one whose studies are not seen any more. Raises `NotFound`, `Conflict`.
        """
        self._require_own(who, share_id)
        # to end what one gave needs no sight of it: a label must not keep a share open
        ending = replace(_sharer(who), scope=EVERYTHING)
        return self._ends.revoke(ending, share_id, grant_id=grant_id, reason=STOPPED)

    def stop_all(self, who: Principal, owner: str) -> int:
        """End everything that a carer shared, who acts for nobody any more; count the shares.

        `owner` is the name they acted under. That they act no more was decided where that is known.
        Raises `NotPermitted` for anybody else's name.
        """
        if not is_acting(owner):
            raise NotPermitted

        def theirs(tx: Act) -> list[int]:
            tx.execute(_OWN.hold_sharer, (owner,))  # a share of theirs may be under way
            return [row[0] for row in tx.execute(_OWN.shares_to_end, (owner,)).fetchall()]

        found = self._rooms.act(theirs)
        ending = replace(_sharer(who), scope=EVERYTHING)
        for share_id in found:
            with contextlib.suppress(Conflict):  # somebody was faster
                self._ends.revoke(ending, share_id, grant_id=None, reason=NO_LONGER)
        return len(found)

    def suspend_all(self, who: Principal, owner: str) -> int:
        """Suspend everything that an account shared, which is ended now; count the shares.

        Somebody else may have been in it. Raises `NotPermitted`.
        """
        require(who, Action.CORRECT)

        def work(tx: Act) -> int:
            tx.execute(_OWN.hold_sharer, (owner,))  # a share of theirs may be under way
            found = [row[0] for row in tx.execute(_OWN.shares_to_suspend, (owner,)).fetchall()]
            suspend(self._rooms, tx, who, found, ACCOUNT_ENDED)
            return len(found)

        return self._rooms.act(work)

    def renew(self, who: Principal, share_id: int, grant_id: int) -> Offered:
        """Issue new secrets for a grant of one's own share; one that expired lasts again.

        Raises `NotFound`, `Conflict`, and `TooMany`: each of them may be a message to somebody.
        """
        self._require_grant(who, share_id, grant_id)
        if self._rooms.rates.take(rates.address(who.name, "own-renewal", _RENEWALS)):
            raise TooMany
        return self._renewals.renew(_sharer(who), grant_id)

    # ---- consents ------------------------------------------------------------------------------

    def consents(self, who: Principal) -> list[Recorded]:
        """List what one allowed and forbade, under all one's identities, the latest first."""
        _require(who)
        with self._rooms.database.reading() as conn:
            asked = {"studies": Texts(_seen(who)), "owner": who.name}
            known = conn.execute(_OWN.identities_in, asked).fetchall()
            issuers, ids = Texts(row[0] for row in known), Texts(row[1] for row in known)
            rows = conn.execute(_OWN.consents_of_some, (issuers, ids)).fetchall()
        return [recorded(row) for row in rows]

    def withdraw(self, who: Principal, consent_id: int) -> Withdrawn:
        """Take back what one said; what rests on it is suspended in the same transaction.

        Raises `NotFound`, for one that is over, too.
        """
        if consent_id not in {one.consent_id for one in self.consents(who)}:
            raise NotFound("There is no such consent, or it is over already.")
        # it was found among their own: of an identity that may have no study yet
        return self._consents.withdraw(replace(_sharer(who), scope=EVERYTHING), consent_id)

    # ---- rows ----------------------------------------------------------------------------------

    def _listed(
        self,
        who: Principal,
        *,
        share_id: int | None = None,
        before: int | None = None,
        most: int,
    ) -> list[OwnShare]:
        asked = {
            "owner": who.name,
            "studies": Texts(_seen(who)),
            "share_id": share_id,
            "before": before,
            "most": most,
        }
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_OWN.list_own, asked).fetchall()
            grants = grants_of_each(self._rooms, conn, [row[0] for row in rows])
        return [self._share(who, row, grants[row[0]]) for row in rows]

    def _share(
        self, who: Principal, row: tuple[Any, ...], grants: Sequence[GrantSummary]
    ) -> OwnShare:
        summary = summary_of(self._rooms, row)
        seen = tuple(one for one in summary.studies if who.scope.covers(StudyRef(UID(one))))
        return OwnShare(
            summary=replace(summary, studies=seen),
            grants=tuple(grants),
            is_own=row[21],
            consent_id=row[13],
            reports=row[15],
            download=row[16],
            forward=row[17],
        )

    def _require_own(self, who: Principal, share_id: int) -> None:
        _require(who)
        with self._rooms.database.reading() as conn:
            row = conn.execute(_OWN.is_own, (who.name, share_id)).fetchone()
        if row is None or not row[0]:
            raise NotFound("There is no such share of yours.")

    def _require_grant(self, who: Principal, share_id: int, grant_id: int) -> None:
        self._require_own(who, share_id)
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.share_of_grant, (grant_id,)).fetchone()
        if row is None or row[0] != share_id:
            raise NotFound("There is no such grant of this share.")

    def _require_few(self, runs: Runs, who: Principal, *, made: int = 0) -> None:
        """Refuse what is past a day's shares; `made` of those that are counted is this one."""
        most = self._rooms.settings.sharing.own_per_day
        row = runs.execute(_OWN.count_lately, (who.name,)).fetchone()
        if row is not None and row[0] - made >= most:
            raise Conflict(
                marked("You have shared so often today that more must wait: go on tomorrow.")
            )


def _require(who: Principal) -> None:
    """Let patients in, and nobody who sees more than what shows them."""
    require(who, Action.SHARE_OWN)
    if who.scope.everything:
        raise NotPermitted("Only whoever is shown in images shares them as their own.")


def _require_still(tx: Act, who: Principal) -> None:
    """Refuse whoever was let begin, and was ended since: what they had shared is out already."""
    row = tx.execute(_OWN.shares_no_more, {"owner": who.name}).fetchone()
    if row is not None and row[0]:
        raise NotPermitted


def _sharer(who: Principal) -> Principal:
    """Let a patient share, within their own scope."""
    return replace(who, actions=who.actions | {Action.SHARE})


def _own(offer: Offer) -> Offer:
    """Say of an offer what is true of every one of a patient's own."""
    return replace(
        offer,
        person=replace(offer.person, confirmed=frozenset({Confirmed.ACCOUNT})),
        purpose=Purpose.PATIENT_REQUEST,
        legal_basis=BASIS,
        consent_id=None,
    )


def _seen(who: Principal) -> Sequence[str]:
    scope = who.scope
    return sorted((scope.studies - scope.withheld) | scope.lent)


def _happened(row: tuple[Any, ...], who: Principal) -> Happened:
    detail = row[5]
    actor = "guest" if row[4] == Kind.SHARE.value else "staff"
    if is_acting(row[3]):
        actor = row[3]
    elif actor == "staff" and is_acting(who.name):
        actor = "other"  # the patient, or staff
    return Happened(
        at=row[0],
        kind=row[1],
        outcome=row[2],
        who="you" if row[3] == who.name else actor,
        grant_id=detail.get("grant"),
        detail={name: detail[name] for name in ("way", "until") if name in detail},
    )
