"""What exchanges between guests stand on, and what both sides of one need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.principal import Principal
from vna.access.rates import Limit, Rates
from vna.config import Settings
from vna.crypto.credentials import Vault, bucket, digest, new_secret
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery.channels import Channel, email
from vna.delivery.messages import Messages
from vna.errors import Conflict, NotFound, TooMany
from vna.imports.desk import Desk
from vna.imports.exchanges import Exchange, Party, Side, Standing, exchange_of, guest, narrowed
from vna.imports.handing import Handing
from vna.imports.intake import Intake
from vna.sharing.keys import ShareKeys
from vna.telemetry import EXCHANGE_ACTS
from vna.texts import marked

SQL = statements.load("guests")

DRAFT_S = 86400.0
"""What was not sent by then is destroyed."""

_SEALED = {Side.SENDER: b"exchange sender", Side.RECIPIENT: b"exchange recipient"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRooms:
    """The stores and rooms of exchanges. Shared by threads."""

    desk: Desk
    intake: Intake
    handing: Handing
    database: Database
    audit: Audit
    settings: Settings
    messages: Messages
    vault: Vault
    keys: ShareKeys
    rates: Rates

    def require_enabled(self) -> None:
        """Make sure that guests may send at all. Raises `NotFound`."""
        if not (self.settings.guests.enabled or self.settings.dev):
            raise NotFound

    def limit(self, what: str, most: int, *parts: str) -> None:
        """Count a try of an address or a mailbox. Raises `TooMany`."""
        if self.rates.take((Limit(bucket(what, *parts), most),)):
            raise TooMany

    # ---- exchanges -----------------------------------------------------------------------------

    def one(self, conn: Connection, exchange: int) -> Exchange:
        """Read an exchange. Raises `NotFound`."""
        asked = {"exchange_pk": exchange, "import_pk": None}
        row = conn.execute(SQL.exchanges, asked).fetchone()
        if row is None:
            raise NotFound("There is no such exchange.")
        return exchange_of(row)

    def of_import(self, conn: Connection, number: int) -> Exchange | None:
        """Find the exchange that fills an import, if one does."""
        row = conn.execute(SQL.exchanges, {"exchange_pk": None, "import_pk": number}).fetchone()
        return None if row is None else exchange_of(row)

    def import_of(self, exchange: Exchange) -> int:
        """Give the import an exchange fills. Raises `Conflict` before the mailbox is proven."""
        if exchange.import_number is None:
            raise Conflict(marked("The code that was mailed to you comes first."))
        return exchange.import_number

    # ---- sessions ------------------------------------------------------------------------------

    def let_in(self, tx: Connection, exchange: int, side: Side) -> str:
        """Open a session; give its secret."""
        secret = new_secret()
        lasts_s = self.settings.sharing.session_s
        tx.execute(SQL.add_session, (digest(secret), exchange, side.value, lasts_s))
        return secret

    def party(self, session: str, side: Side, address: str | None) -> Party | None:
        """Recognise who came by a session of this side."""
        with self.database.reading() as conn:
            row = conn.execute(SQL.session, (digest(session), side.value)).fetchone()
            if row is None:
                return None
            exchange = self.one(conn, row[0])
        who = narrowed(guest(exchange, side, address), self.settings)
        return Party(exchange=exchange, side=side, principal=who)

    # ---- what is done --------------------------------------------------------------------------

    def tell(
        self,
        tx: Connection,
        who: Principal,
        done: str,
        exchange: Exchange,
        *,
        outcome: str = "done",
        **more: Any,  # any JSON, by the kind of act
    ) -> None:
        """Write an act into the trail."""
        about = {"exchange": exchange.number, "import": exchange.import_number, **more}
        event = Event(kind=f"exchange.{done}", outcome=outcome, detail=about)
        self.audit.write(tx, who, [event])
        EXCHANGE_ACTS.labels(done, outcome).inc()

    def seal(self, exchange: int, side: Side, to: Channel) -> bytes:
        """Seal a mailbox to its exchange and side."""
        return self.keys.seal(_SEALED[side], exchange, to.value.encode())

    def mailbox(self, exchange: int, side: Side, sealed: bytes) -> Channel:
        """Open it again."""
        return email(self.keys.unseal(_SEALED[side], exchange, sealed).decode())

    def notify(self, tx: Connection, exchange: Exchange, template: str, **values: str) -> None:
        """Send the sender a notice, as long as their mailbox is known."""
        row = tx.execute(SQL.hold, (exchange.exchange,)).fetchone()
        if row is None or row[7] is None:
            return
        self.messages.post(
            tx,
            to=self.mailbox(exchange.exchange, Side.SENDER, bytes(row[7])),
            template=template,
            values={"number": exchange.number, **values},
            language=exchange.language,
            requested_by=f"exchange/{exchange.number}",
        )

    def end(self, tx: Connection, who: Principal, exchange: Exchange, side: Side) -> None:
        """End an exchange for one of its sides, and have what was sent destroyed.

        Raises `Conflict` when it is over.
        """
        if not exchange.may_stop:
            raise Conflict(marked("This is over: there is nothing left to stop."))
        if tx.execute(SQL.stop, (side.value, exchange.exchange)).fetchone() is None:
            raise Conflict(marked("This was stopped before."))
        if exchange.import_number is not None:
            why = "The sender stopped it." if side is Side.SENDER else "The recipient refused it."
            self.desk.reject_in(tx, who, exchange.import_number, why)
        self.tell(tx, who, "stopped", exchange, side=side.value)

    def origin(self) -> str:
        """Say where guests find us."""
        settings = self.settings
        if settings.sharing.url:
            return settings.sharing.url.rstrip("/")
        scheme = "http" if settings.dev else "https"
        return f"{scheme}://{settings.http.listen.partition(',')[0].strip()}"

    @staticmethod
    def require(party: Party, *standings: Standing) -> None:
        """Make sure that an exchange is that far. Raises `Conflict`."""
        if party.exchange.standing not in standings:
            raise Conflict(marked("This has moved on meanwhile; look at it again."))
