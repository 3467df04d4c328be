"""The sharing engine: giving on, opening, looking after what was given; the one way for edges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from vna.access.audit import Audit
from vna.access.labels import Labels
from vna.access.principal import Principal
from vna.access.rates import Rates
from vna.access.sessions import Browser
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Cost
from vna.db.pool import Connection, Database
from vna.delivery.channels import Channel
from vna.dicom.refs import Ref, StudyRef
from vna.errors import InvalidRequest
from vna.sharing.account_notices import AccountNotices
from vna.sharing.automatic import Automation
from vna.sharing.board import Board
from vna.sharing.consent_texts import ConsentTexts
from vna.sharing.consents import Consents
from vna.sharing.contacts import Contacts
from vna.sharing.drafts import use_form, was_sent
from vna.sharing.ends import Ends
from vna.sharing.figures import Figures
from vna.sharing.forwarding import Forwarding
from vna.sharing.guests import Guests
from vna.sharing.ids import new_id
from vna.sharing.keys import ShareKeys
from vna.sharing.kiosks import Kiosks
from vna.sharing.later_keys import LaterKeys
from vna.sharing.mornings import Mornings
from vna.sharing.notices import Notices
from vna.sharing.offers import Offers
from vna.sharing.open_shares import Apart
from vna.sharing.own import Own
from vna.sharing.previews import Previews
from vna.sharing.proving import Proving
from vna.sharing.reminders import Reminders
from vna.sharing.renewals import Renewals
from vna.sharing.replay import Replay
from vna.sharing.requests import PatientRequests
from vna.sharing.rooms import SQL, Act, Outbox, Rooms, now
from vna.sharing.rules import default_until
from vna.sharing.seconds import Seconds
from vna.sharing.sendings import Sendings
from vna.sharing.values import (
    Confirmed,
    Forward,
    GrantSummary,
    Guest,
    Offer,
    Offered,
    Preview,
    Protection,
    Purpose,
    Refused,
    Sent,
    ShareDetail,
    ShareSummary,
    Tab,
    Wrong,
)


class SharingEngine:
    """Shares what the archive holds with people outside it. One a process, shared by its threads.

    Staff act as principals with `Action.SHARE`. Guests act by the secret of their session, which
    their browser holds; the secret of a link opens a session and is of no other use.
    """

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        outbox: Outbox,
        cost: Cost | None = None,
        apart: Apart | None = None,
    ) -> None:
        """`apart` is of a process that holds no key of the archive."""
        own = Journal(store)
        rooms = Rooms(
            store=store,
            database=database,
            audit=audit,
            settings=settings,
            keys=ShareKeys(store.keyring, cost),
            journal=own if apart is None else apart.journal,
            rates=Rates(database),
            labels=Labels(database),
            outbox=outbox,
            open_shares=None if apart is None else apart.shares,
        )
        self.consents = Consents(rooms)
        self.account_notices = AccountNotices(rooms)
        self.contacts = Contacts(rooms, self.account_notices)
        self.texts = ConsentTexts(rooms)
        self.kiosks = Kiosks(rooms, self.consents, self.texts)
        self._rooms = rooms
        self._offers = Offers(rooms)
        self._renewals = Renewals(rooms)
        self._previews = Previews(rooms)
        self._ends = Ends(rooms)
        self.seconds = Seconds(rooms, self._ends)
        self.automatic = Automation(rooms, self._offers, self._ends)
        self.figures = Figures(rooms)
        self.notices = Notices(rooms)
        self.mornings = Mornings(rooms)
        self._guests = Guests(rooms, self._ends)
        self._proving = Proving(rooms, self._guests)
        self._forwarding = Forwarding(rooms, self._guests, self._ends)
        self.sendings = Sendings(rooms, self._guests)
        self._board = Board(rooms)
        self._later_keys = LaterKeys(rooms)
        self._replay = Replay(rooms, own)
        self._reminders = Reminders(rooms)
        self.own = Own(
            rooms,
            offers=self._offers,
            ends=self._ends,
            renewals=self._renewals,
            previews=self._previews,
            consents=self.consents,
        )
        self.requests = PatientRequests(rooms, self.own)

    # ---- staff -----------------------------------------------------------------------------

    def offer(self, who: Principal, offer: Offer, *, form: int | None = None) -> Offered:
        """Share: freeze the list, wrap its keys, make a grant, send its link; all or nothing.

        `form` is a number of who offers, from `new_form`, that becomes one share and no second.
        Raises `NotPermitted`, `NotFound`, `InvalidRequest`, `TooLarge`, and `Conflict` when the
        studies are not one person's or a consent stands in the way. May cost a hash.
        """
        if Confirmed.ACCOUNT in offer.person.confirmed:
            raise InvalidRequest("Only a patient's own account stands for what was compared.")

        def also(tx: Act, share_id: int) -> None:
            if form is not None:
                use_form(tx, who, form, share_id)

        return self._offers.offer(who, offer, also=also)

    def new_form(self) -> int:
        """Draw the number of a form that is to become one share."""
        return new_id()

    def was_sent(self, who: Principal, form: int) -> bool:
        """Whether a form became a share before, within a day."""
        return was_sent(self._rooms.database, who, form)

    def link(self, secret: str) -> str:
        """Write the link of a secret that is handed over."""
        return self._rooms.link(secret)

    def origin(self) -> str:
        """Say where people outside find our pages."""
        return self._rooms.origin()

    def default_until(self, purpose: Purpose) -> dt.datetime:
        """Say until when a share is good when nobody says otherwise."""
        until = default_until(self._rooms.settings.sharing, purpose, now())
        return until.astimezone(self._rooms.zone())

    def shares(
        self,
        who: Principal,
        *,
        tab: Tab = Tab.ALL,
        study: StudyRef | None = None,
        before: int | None = None,
        most: int = 50,
    ) -> list[ShareSummary]:
        """List shares, the newest first: of a tab, of a study, made before another one."""
        return self._board.shares(who, tab=tab, study=study, before=before, most=most)

    def detail(self, who: Principal, share_id: int) -> ShareDetail:
        """Tell all about a share. Raises `NotFound`."""
        return self._board.detail(who, share_id)

    def numbers(self, who: Principal, share_ids: Iterable[int]) -> dict[int, str]:
        """Say what some shares are called, of those that may be seen."""
        return self._board.numbers(who, share_ids)

    def shown(self, who: Principal, share_id: int) -> list[Ref]:
        """List what of a share is shown now: for a disc of the same. Raises `NotFound`."""
        return self._board.shown(who, share_id)

    def revoke(
        self, who: Principal, share_id: int, *, grant_id: int | None = None, reason: str
    ) -> int:
        """End a share, or one grant with all forwarded from it; guests are out within a second.

        Returns how many grants ended. Raises `NotFound`, `Conflict` when it was revoked before.
        """
        return self._ends.revoke(who, share_id, grant_id=grant_id, reason=reason)

    def renew(
        self,
        who: Principal,
        grant_id: int,
        *,
        by: Channel | None = None,
        compared: frozenset[Confirmed] = frozenset(),
    ) -> Offered:
        """Issue new secrets; the old ones open nothing any more, and who came in by them is out.

        The link goes where it went before; codes go to `by` when a lost telephone is replaced,
        which takes two things `compared` with the person. An expired share lasts again for as long
        as one of its purpose does. Raises `Conflict` for what was revoked or is suspended,
        `InvalidRequest`. May cost a hash.
        """
        return self._renewals.renew(who, grant_id, by=by, compared=compared)

    def unlock(self, who: Principal, grant_id: int) -> Offered:
        """Do the same for a grant that wrong secrets have locked, and for no other."""
        return self._renewals.renew(who, grant_id, only_locked=True)

    def extend(self, who: Principal, share_id: int, until: dt.datetime) -> None:
        """Let a share, and the grants its owner made, end later. Raises `Conflict`."""
        self._renewals.extend(who, share_id, until)

    def test(self, who: Principal, share_id: int) -> Preview:
        """Open every item's key and say what a stranger with link and proof will see.

        Raises `Conflict` when nobody could open it.
        """
        return self._previews.test(who, share_id)

    def suspend_study(self, who: Principal, ref: StudyRef, reason: str) -> list[str]:
        """Suspend whatever shows a study, which may be another person's; return the numbers."""
        return self._ends.suspend_study(who, ref, reason)

    def reinstate(self, who: Principal, share_id: int) -> None:
        """Let a suspended share go on where it was; its guests open their links again.

        Raises `Conflict` when it is not suspended, or the consent it rests on does not hold.
        """
        self._ends.reinstate(who, share_id)

    # ---- guests ----------------------------------------------------------------------------

    def open(self, secret: str, browser: Browser) -> tuple[str, Guest] | Refused:
        """Open a link by the secret a person's browser posted; return its session's own secret.

        An unknown link costs the same work. Raises `TooMany` past 60 of an address that fail.
        """
        return self._guests.open(secret, browser)

    def open_printed(self, code: str, browser: Browser) -> tuple[str, Guest] | Refused:
        """Do the same by a code typed off paper; always costs a hash. Raises `TooMany`."""
        return self._guests.open_printed(code, browser)

    def send_code(self, session: str, way: Protection) -> Sent:
        """Send a one-time code to the second channel, unless one is out for half a minute.

        Raises `NotAuthenticated` when the session is over, `TooMany`.
        """
        return self._proving.send_code(session, way)

    def prove(self, session: str, way: Protection, typed: str) -> Guest | Wrong | Refused:
        """Show a code or the passcode, which costs a hash. Refused: opened often enough.

        Raises `NotAuthenticated` when the session is over, by the last wrong try, too.
        """
        return self._proving.prove(session, way, typed)

    def resume(self, session: str) -> Guest | None:
        """Say who a session stands for; asked at every request, believed for half a second."""
        return self._guests.resume(session)

    def not_me(self, session: str) -> str:
        """Stop a grant that reached somebody else; return the number to name. It asks no proof."""
        return self._guests.not_me(session)

    def leave(self, session: str) -> None:
        """End a session."""
        self._guests.leave(session)

    def capability(self, session: str) -> str:
        """Make the secret of a path for viewers; it lasts as long as the session.

        Raises `NotAuthenticated` before everything is proven.
        """
        return self._guests.capability(session)

    def by_capability(self, capability: str) -> Principal | None:
        """Say who a path stands for, believed for half a second."""
        guest = self._guests.by_capability(capability)
        return None if guest is None else guest.principal

    def guest_by_capability(self, capability: str) -> Guest | None:
        """Say the same with what the guest may."""
        return self._guests.by_capability(capability)

    def forward(self, session: str, offer: Forward) -> Offered:
        """Give on what a guest sees, or a part, to one more: never more, nor longer, nor better.

        Raises `NotAuthenticated`, `NotPermitted` where forwarding is not allowed, `InvalidRequest`.
        """
        return self._forwarding.forward(session, offer)

    def forwarded(self, session: str) -> list[GrantSummary]:
        """List what a guest has given on. Raises `NotAuthenticated`."""
        return self._forwarding.forwarded(session)

    def take_back(self, session: str, grant_id: int) -> int:
        """End what a guest gave on, with all forwarded from it; count it. Raises `NotFound`."""
        return self._forwarding.take_back(session, grant_id)

    def later_key(self, share_id: int, blob_id: bytes) -> bytes | None:
        """Wrap the data key of what a share shows although it came later; None when it does not.

        Asked by the process that serves guests, of one that holds the archive's keys.
        """
        return self._later_keys.wrapped(share_id, blob_id)

    # ---- upkeep ----------------------------------------------------------------------------

    def lay(self, tx: Connection) -> None:
        """Write what the journal knows into the tables, for reindex; what is there stays."""
        self._replay.lay(tx)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring in what the journal knows and the tables do not, after a crash; count entries."""
        return self._replay.catch_up(older_s=older_s, since=since)

    def channel_bounced(self, tx: Connection, channel_id: int) -> None:
        """Note that a message to a channel came back, in the transaction that takes it in."""
        tx.execute(SQL.bounce_channel, (channel_id,))

    def remind(self) -> int:
        """Tell who was sent a link that it ends within three days, once; count the messages."""
        return self._reminders.send()

    def sweep(self) -> None:
        """Remove sessions, codes and tablets that are over; remind who must be reminded."""
        with self._rooms.database.transaction() as tx:
            tx.execute(SQL.sweep_sharing, (self._rooms.settings.sharing.idle_s,))
        self.kiosks.sweep()
        self.own.drafts.sweep()
        self.notices.turn()
