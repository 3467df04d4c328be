"""Images asked for of somebody elsewhere: a link and a passcode, an import they fill, no account.

The link goes by a message, the passcode is shown once to who asks, and told by another way. What
comes lies in quarantine like any disc; the link shows nothing but what was asked for.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any

from vna.access import rates
from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal, Scope
from vna.access.rates import Rates
from vna.config import Settings
from vna.crypto import shares
from vna.crypto.credentials import Vault, digest, new_secret
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery.channels import Channel
from vna.delivery.messages import Messages
from vna.errors import Conflict, InvalidRequest, NotFound, TooMany
from vna.imports.desk import Desk
from vna.imports.doors import opened
from vna.imports.exchanges import narrowed
from vna.imports.values import Import, Origin
from vna.texts import ENGLISH, filled, marked

_SQL = statements.load("imports")

MOST_WRONG = 10
_OPENINGS = 30  # of one address in a quarter of an hour
_MOST_DAYS = 90
_MOST_SHOWN = 200


class Standing(enum.Enum):
    """How far a request is."""

    SENT = "sent"
    OPENED = "opened"
    DELIVERED = "delivered"
    LOCKED = "locked"
    EXPIRED = "expired"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for, of whom, until when. `wanted` is shown behind the passcode only."""

    organisation: str
    wanted: str = field(repr=False)
    to: Channel
    until: dt.date
    language: str = ENGLISH


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking; secrets exist here only, once."""

    request: int
    number: str
    secret: str = field(repr=False)
    passcode: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """A request as the desk shows it, and who answers it."""

    request: int
    number: str
    import_number: int
    organisation: str
    wanted: str = field(repr=False)
    masked: str
    made_by: str
    made_at: dt.datetime
    until: dt.datetime
    opened_at: dt.datetime | None
    delivered_at: dt.datetime | None
    standing: Standing
    files: int
    message: str | None  # what became of the link's message
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringer:
    """Who came by a link with its passcode."""

    request: ImageRequest
    principal: Principal


class ImageRequests:
    """Requests from asking to delivery. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        desk: Desk,
        database: Database,
        audit: Audit,
        settings: Settings,
        messages: Messages,
        vault: Vault,
    ) -> None:
        self._desk = desk
        self._database = database
        self._audit = audit
        self._settings = settings
        self._messages = messages
        self._vault = vault
        self._rates = Rates(database)

    # ---- staff ---------------------------------------------------------------------------------

    def ask(self, who: Principal, wanted: Wanted) -> Asked:
        """Ask for images: the link goes out in the same transaction. Raises `InvalidRequest`."""
        require(who, Action.IMPORT)
        until = self._checked(wanted)
        secret, passcode, number = new_secret(), shares.new_passcode(), shares.new_number()
        hashed = self._vault.hash_passphrase(shares.plain(passcode))

        def work(tx: Connection) -> int:
            keep_s = (until - _now()).total_seconds() + self._settings.imports.keep_days * 86400
            batch = self._desk.begin_in(
                tx, who, note=wanted.organisation.strip(), origin=Origin.REQUEST, keep_s=keep_s
            )
            asked = {
                "number": number,
                "import_pk": batch,
                "locator": shares.locator(secret),
                "passcode": hashed,
                "organisation": wanted.organisation.strip(),
                "wanted": wanted.wanted.strip(),
                "masked": wanted.to.masked(),
                "made_by": who.name,
                "until": until,
            }
            row = tx.execute(_SQL.add_request, asked).fetchone()
            request = int(row[0]) if row else 0
            values = {"link": self.link(secret), "until": wanted.until.isoformat()}
            message = self._messages.post(
                tx,
                to=wanted.to,
                template="images-wanted",
                values={**values, "number": number},
                language=wanted.language,
                until=until,
                requested_by=who.name,
            )
            tx.execute(_SQL.set_request_message, (message, request))
            self._tell(tx, who, "made", number, batch)
            return request

        request = self._database.changing(work)
        return Asked(request=request, number=number, secret=secret, passcode=passcode)

    def listed(self, who: Principal) -> list[ImageRequest]:
        """List requests, the newest first."""
        require(who, Action.IMPORT)
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.requests, {"request_pk": None, "most": _MOST_SHOWN})
            return [_request(row) for row in rows]

    def stop(self, who: Principal, request: int) -> None:
        """End a request: nobody can send anything by it any more. Raises `NotFound`, `Conflict`."""
        require(who, Action.IMPORT)

        def work(tx: Connection) -> None:
            found = self._one(tx, request)
            if tx.execute(_SQL.stop_request, (request,)).fetchone() is None:
                raise Conflict(marked("This request was stopped before."))
            self._tell(tx, who, "stopped", found.number, found.import_number)

        self._database.changing(work)

    def link(self, secret: str) -> str:
        """Write the link of a secret, which stands in the fragment and so in no log."""
        settings = self._settings
        origin = settings.sharing.url.rstrip("/")
        if not origin:
            scheme = "http" if settings.dev else "https"
            origin = f"{scheme}://{settings.http.listen.partition(',')[0].strip()}"
        return f"{origin}/u#{secret}"

    # ---- who answers ---------------------------------------------------------------------------

    def open(self, secret: str, passcode: str, address: str | None) -> str:
        """Open a link with its passcode; give the secret of a session.

        An unknown link, a wrong passcode, and a link that ended are refused in the same words, at
        the same cost. Raises `NotAuthenticated`, `TooMany`.
        """
        if self._rates.take(rates.address(address, "upload-link", _OPENINGS)):
            raise TooMany
        with self._database.reading() as conn:
            row = conn.execute(_SQL.request_by_locator, (shares.locator(secret),)).fetchone()
        number = opened(
            row,
            passcode,
            vault=self._vault,
            charge=self._charged,
            refused=lambda number: self._refused(number, address),
        )
        return self._let_in(number, address)

    def resume(self, session: str, address: str | None) -> Bringer | None:
        """Recognise who came by a link, as long as the request stands."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.upload_session, (digest(session), MOST_WRONG)).fetchone()
            if row is None:
                return None
            request = self._one(conn, row[0])
        who = narrowed(_bringer(request, address), self._settings)
        return Bringer(request=request, principal=who)

    def deliver(self, bringer: Bringer) -> Import:
        """Say that everything has come: the desk takes over. Raises `Conflict`."""
        request = bringer.request
        found = self._desk.finish(bringer.principal, request.import_number)

        def work(tx: Connection) -> None:
            tx.execute(_SQL.deliver_request, (request.request,))
            self._tell(tx, bringer.principal, "delivered", request.number, request.import_number)

        self._database.changing(work)
        return found

    def leave(self, session: str) -> None:
        """End a session."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.leave_upload, (digest(session),))

    def sweep(self) -> None:
        """Forget sessions that are over."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.sweep_uploads)

    # ---- rows ----------------------------------------------------------------------------------

    def _checked(self, wanted: Wanted) -> dt.datetime:
        texts = ((wanted.organisation, 200), (wanted.wanted, 500))
        for text, most in texts:
            if not text.strip() or len(text) > most or not text.isprintable():
                raise InvalidRequest(marked("Say whom you ask, and for what, in one line each."))
        today = _now().date()
        if not today <= wanted.until <= today + dt.timedelta(days=_MOST_DAYS):
            raise InvalidRequest(
                filled(
                    "A request ends today at the earliest, in %(days)s days at last.",
                    days=_MOST_DAYS,
                )
            )
        return dt.datetime.combine(wanted.until, dt.time(23, 59, 59), dt.UTC)

    def _charged(self, request: int) -> bool:
        def charge(tx: Connection) -> bool:
            return tx.execute(_SQL.charge_request, (request, MOST_WRONG)).fetchone() is not None

        return self._database.changing(charge)

    def _let_in(self, request: int, address: str | None) -> str:
        session = new_secret()

        def work(tx: Connection) -> None:
            found = self._one(tx, request)
            tx.execute(_SQL.forgive_request, (request,))
            lasts = self._settings.sharing.session_s
            tx.execute(_SQL.add_upload_session, (digest(session), request, lasts))
            self._tell(tx, _bringer(found, address), "opened", found.number, found.import_number)

        self._database.changing(work)
        return session

    def _refused(self, request: int, address: str | None) -> None:
        def work(tx: Connection) -> None:
            found = self._one(tx, request)
            about = {"request": found.number, "standing": found.standing.value}
            event = Event(kind="request.opened", outcome="refused", detail=about)
            self._audit.write(tx, _bringer(found, address), [event])

        self._database.changing(work)

    def _tell(
        self, tx: Connection, who: Principal, done: str, number: str, import_number: int
    ) -> None:
        about = {"request": number, "import": import_number}
        self._audit.write(tx, who, [Event(kind=f"request.{done}", outcome="done", detail=about)])

    @staticmethod
    def _one(conn: Connection, request: int) -> ImageRequest:
        row = conn.execute(_SQL.requests, {"request_pk": request, "most": 1}).fetchone()
        if row is None:
            raise NotFound(marked("There is no such request."))
        return _request(row)


def _bringer(request: ImageRequest, address: str | None) -> Principal:
    """Make the principal of who answers a request: it may bring, and look at nothing."""
    return Principal(
        kind=Kind.SHARE,
        name=f"request/{request.number}",
        actions=frozenset({Action.UPLOAD}),
        scope=Scope(),
        address=address,
    )


def _request(row: tuple[Any, ...]) -> ImageRequest:
    return ImageRequest(
        request=row[0],
        number=row[1],
        import_number=row[2],
        organisation=row[3],
        wanted=row[4],
        masked=row[5],
        made_by=row[6],
        made_at=row[7],
        until=row[8],
        opened_at=row[9],
        delivered_at=row[10],
        standing=_standing(row),
        files=row[14],
        message=row[15],
        cause=row[16],
    )


def _standing(row: tuple[Any, ...]) -> Standing:
    until, opened, delivered, stopped, wrong, state = row[8:14]
    if delivered is not None or state != "receiving":
        return Standing.DELIVERED
    if stopped is not None:
        return Standing.STOPPED
    if wrong >= MOST_WRONG:
        return Standing.LOCKED
    if until <= _now():
        return Standing.EXPIRED
    return Standing.SENT if opened is None else Standing.OPENED


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
