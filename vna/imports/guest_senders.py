"""Who sends to a guest: a proven mailbox, a few items, a passcode shown once, a look at it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any

from vna.access.rates import network
from vna.crypto import shares
from vna.crypto.credentials import new_secret
from vna.db.pool import Connection
from vna.delivery.channels import Channel, email
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, TooLarge, TooMany
from vna.imports.exchanges import (
    Exchange,
    Parcel,
    Party,
    Proved,
    Sent,
    Side,
    Standing,
    Summary,
    guest,
)
from vna.imports.guest_rooms import DRAFT_S, SQL, GuestRooms
from vna.imports.keeping import Terms
from vna.imports.taking import Taking
from vna.imports.values import Import, Origin
from vna.texts import filled, marked

CODE_MINUTES = 10
MOST_CODES, MOST_WRONG_CODES = 3, 5
AGAIN_S = 30
MOST_OBJECTS = 20_000

_OF_ADDRESS, _OF_SENDER, _OF_RECIPIENT = 10, 4, 8  # beginnings in a quarter of an hour
_LOOKS = 30  # at a status link, of one address
_MOST_NAME = 400


class GuestSenders:
    """The sender's side of exchanges."""

    def __init__(self, rooms: GuestRooms) -> None:
        self._rooms = rooms

    # ---- the mailbox ---------------------------------------------------------------------------

    def begin(self, parcel: Parcel, address: str | None) -> str:
        """Begin an exchange: a code goes to the sender's mailbox. Gives the secret of a session.

        Raises `InvalidRequest`, `TooMany`, and `NotFound` where guests may not send.
        """
        rooms = self._rooms
        rooms.require_enabled()
        sender, recipient = email(parcel.sender), email(parcel.recipient)
        self._check(sender, recipient)
        macs = {
            side: self._mac(to) for side, to in ((Side.SENDER, sender), (Side.RECIPIENT, recipient))
        }
        rooms.limit("guest address", _OF_ADDRESS, network(address))
        rooms.limit("guest sender", _OF_SENDER, macs[Side.SENDER].hex())
        rooms.limit("guest recipient", _OF_RECIPIENT, macs[Side.RECIPIENT].hex())

        def work(tx: Connection) -> str:
            asked = {"sender": macs[Side.SENDER], "recipient": macs[Side.RECIPIENT]}
            lately = tx.execute(SQL.sent_lately, asked).fetchone() or (0, 0)
            if max(lately) >= rooms.settings.guests.daily:
                raise TooMany(marked("This mailbox was used too often today; try again tomorrow."))
            row = tx.execute(
                SQL.add,
                {
                    "number": shares.new_number(),
                    "sender_mac": macs[Side.SENDER],
                    "sender_masked": sender.masked(),
                    "recipient_mac": macs[Side.RECIPIENT],
                    "recipient_masked": recipient.masked(),
                    "for_patient": parcel.for_patient,
                    "language": parcel.language,
                    "draft_s": DRAFT_S,
                },
            ).fetchone()
            exchange = int(row[0]) if row else 0
            code = shares.new_code()
            sealed = {
                "sender": rooms.seal(exchange, Side.SENDER, sender),
                "recipient": rooms.seal(exchange, Side.RECIPIENT, recipient),
                "code_mac": rooms.keys.code_mac(exchange, code),
            }
            tx.execute(SQL.seal, {"exchange_pk": exchange, **sealed})
            found = rooms.one(tx, exchange)
            self._mail_code(tx, found, sender, code)
            rooms.tell(tx, guest(found, Side.SENDER, address), "begun", found)
            return rooms.let_in(tx, exchange, Side.SENDER)

        return rooms.database.changing(work)

    def again(self, party: Party) -> bool:
        """Send another code; False when the last one is too young. Raises `Conflict`, `TooMany`."""
        rooms, exchange = self._rooms, party.exchange
        rooms.require(party, Standing.PROVING)

        def work(tx: Connection) -> bool:
            row = self._hold(tx, exchange)
            _, _, codes, age_s, proven, _, _, sender, _ = row
            if proven is not None:
                raise Conflict(marked("The code was right: go on."))
            if age_s < AGAIN_S:
                return False
            if codes >= MOST_CODES:
                raise TooMany(marked("No more codes are sent for this: begin anew."))
            code = shares.new_code()
            mac = rooms.keys.code_mac(exchange.exchange, code)
            tx.execute(SQL.another_code, (mac, exchange.exchange))
            mailbox = rooms.mailbox(exchange.exchange, Side.SENDER, bytes(sender))
            self._mail_code(tx, exchange, mailbox, code)
            rooms.tell(tx, party.principal, "code", exchange)
            return True

        return rooms.database.changing(work)

    def prove(self, party: Party, typed: str) -> Proved:
        """Show the code that was mailed: the import begins with the right one.

        Wrong ones are counted while the exchange is held, and the fifth makes the code void.
        """
        rooms, exchange = self._rooms, party.exchange

        def work(tx: Connection) -> Proved:
            mac, wrong, _, age_s, proven, _, stopped, _, _ = self._hold(tx, exchange)
            if proven is not None:
                return Proved(is_right=True, left=0)
            if stopped is not None:
                raise Conflict(marked("This was stopped."))
            left = MOST_WRONG_CODES - wrong
            if mac is None or left <= 0 or age_s > CODE_MINUTES * 60:
                return Proved(is_right=False, left=0)
            shown = rooms.keys.code_mac(exchange.exchange, typed)
            if not shares.is_same(shown, bytes(mac)):
                tx.execute(SQL.wrong_code, (exchange.exchange,))
                rooms.tell(tx, party.principal, "proven", exchange, outcome="refused")
                return Proved(is_right=False, left=left - 1)
            batch = rooms.desk.begin_in(
                tx,
                party.principal,
                note=f"Guest exchange {exchange.number}",
                origin=Origin.GUEST,
                keep_s=DRAFT_S,
            )
            tx.execute(SQL.proven, (batch, exchange.exchange))
            rooms.tell(tx, party.principal, "proven", rooms.one(tx, exchange.exchange))
            return Proved(is_right=True, left=0)

        return rooms.database.changing(work)

    # ---- the items -----------------------------------------------------------------------------

    def expect(self, party: Party, marks: Sequence[str], items: Sequence[str]) -> list[int] | None:
        """Take the list of what is to come, and of which items: what of it is missing, by position.

        None when there are more items than an exchange may have: nothing is noted then. Raises
        `Conflict`, `InvalidRequest`.
        """
        self._rooms.require(party, Standing.FILLING)
        if not self._claim(party, items):
            return None
        number = self._rooms.import_of(party.exchange)
        return self._rooms.desk.expect(party.principal, number, marks)

    def take(self, party: Party, *, name: str, mark: str | None, digest: bytes | None) -> Taking:
        """Begin to take a file: the first step of its name is the item it belongs to.

        Raises `TooLarge` past the items or bytes of an exchange, `Conflict`, `Unavailable`.
        """
        rooms = self._rooms
        rooms.require(party, Standing.FILLING)
        limits = rooms.settings.guests
        if not self._claim(party, [item_of(name)]):
            raise TooLarge(
                filled(
                    "At most %(most)s files, folders or ZIPs can be sent together.",
                    most=limits.items,
                )
            )
        return rooms.intake.take(
            party.principal,
            rooms.import_of(party.exchange),
            name=name,
            mark=mark,
            digest=digest,
            terms=Terms(bytes=limits.bytes, files=MOST_OBJECTS, documents=True),
        )

    def summary(self, party: Party) -> Summary:
        """Count what came: nothing of a patient stands in it."""
        rooms, exchange = self._rooms, party.exchange
        number = rooms.import_of(exchange)
        with rooms.database.reading() as conn:
            items = conn.execute(SQL.count_items, ([], exchange.exchange)).fetchone()
            kept = conn.execute(SQL.documents, (number,)).fetchall()
            persons = rooms.desk.persons_in(conn, number)
        about = rooms.desk.brought(party.principal, number)
        return Summary(
            studies=sum(len(person.studies) for person in persons),
            objects=about.images + about.reports + about.objects,
            documents=len(kept),
            left_out=about.bad + about.others + about.documents - len(kept),
            items=items[0] if items else 0,
            bytes=about.bytes,
        )

    # ---- sending -------------------------------------------------------------------------------

    def send(self, party: Party) -> Sent:
        """Send what came: a link goes to the recipient, the passcode to nobody but who is asked.

        Raises `Conflict` when there is no image in it, or it was sent, `TooLarge`, and `TooMany`.
        """
        rooms, exchange = self._rooms, party.exchange
        rooms.require(party, Standing.FILLING)
        passcode, link, status = shares.new_passcode(), new_secret(), new_secret()
        hashed = rooms.vault.hash_passphrase(shares.plain(passcode))
        keep = dt.timedelta(days=rooms.settings.guests.keep_days)
        until = dt.datetime.now(dt.UTC) + keep

        def work(tx: Connection) -> None:
            _, _, _, _, _, sent, stopped, sender, recipient = self._hold(tx, exchange)
            if sent is not None or stopped is not None:
                raise Conflict(marked("This was sent before, or stopped."))
            self._require_few(tx, exchange)
            number = rooms.import_of(exchange)
            found = rooms.desk.finish_in(tx, party.principal, number)
            self._check_size(found)
            rooms.desk.keep_until(tx, number, until)
            message = self._mail_link(
                tx,
                exchange,
                rooms.mailbox(exchange.exchange, Side.RECIPIENT, bytes(recipient)),
                "guest-images-own" if exchange.for_patient else "guest-images",
                link=f"{rooms.origin()}/g#{link}",
                until=until,
            )
            self._mail_link(
                tx,
                exchange,
                rooms.mailbox(exchange.exchange, Side.SENDER, bytes(sender)),
                "guest-sent",
                link=f"{rooms.origin()}/send/status#{status}",
                until=until,
            )
            kept = {
                "exchange_pk": exchange.exchange,
                "until": until,
                "locator": shares.locator(link),
                "status_locator": shares.locator(status),
                "passcode": hashed,
                "message": message,
            }
            tx.execute(SQL.send, kept)
            count = found.images + found.reports + found.objects
            rooms.tell(tx, party.principal, "sent", exchange, objects=count)

        rooms.database.changing(work)
        with rooms.database.reading() as conn:
            return Sent(exchange=rooms.one(conn, exchange.exchange), passcode=passcode)

    def look(self, secret: str, address: str | None) -> str:
        """Open the link of the sender's receipt; give the secret of a session.

        Raises `NotAuthenticated`, `TooMany`.
        """
        rooms = self._rooms
        rooms.require_enabled()
        rooms.limit("guest status", _LOOKS, network(address))

        def work(tx: Connection) -> str:
            row = tx.execute(SQL.by_status_locator, (shares.locator(secret),)).fetchone()
            if row is None:
                raise NotAuthenticated(marked("That does not open: the link must be whole."))
            return rooms.let_in(tx, int(row[0]), Side.SENDER)

        return rooms.database.changing(work)

    def stop(self, party: Party) -> None:
        """End it: the link opens nothing any more, and what was sent is destroyed.

        Raises `Conflict` when it is over.
        """
        rooms = self._rooms

        def work(tx: Connection) -> None:
            self._hold(tx, party.exchange)
            exchange = rooms.one(tx, party.exchange.exchange)
            rooms.end(tx, party.principal, exchange, Side.SENDER)
            tx.execute(SQL.end_sessions, (exchange.exchange, Side.RECIPIENT.value))

        rooms.database.changing(work)

    # ---- within --------------------------------------------------------------------------------

    def _check(self, sender: Channel, recipient: Channel) -> None:
        if sender.mailbox() == recipient.mailbox():
            raise InvalidRequest(
                marked("Two mailboxes are needed: yours, and that of who gets the images.")
            )
        allowed = [one.strip().lower() for one in self._rooms.settings.guests.domains.split(",")]
        named = [one for one in allowed if one]
        domains = [one.value.rpartition("@")[2] for one in (sender, recipient)]
        if named and not set(named) & set(domains):
            raise InvalidRequest(
                filled(
                    "One of the two mailboxes must be of one of these: %(domains)s.",
                    domains=", ".join(named),
                )
            )

    def _claim(self, party: Party, items: Sequence[str]) -> bool:
        """Note items, as long as there are not too many; who adds at once waits for another."""
        hashes = sorted({hashlib.sha256(one[:_MOST_NAME].encode()).digest() for one in items})
        exchange = party.exchange

        def work(tx: Connection) -> bool:
            self._hold(tx, exchange)
            row = tx.execute(SQL.count_items, (hashes, exchange.exchange)).fetchone()
            count, there = row or (0, 0)
            if count + len(hashes) - there > self._rooms.settings.guests.items:
                return False
            tx.execute(SQL.add_items, (exchange.exchange, hashes))
            return True

        return self._rooms.database.changing(work)

    def _require_few(self, tx: Connection, exchange: Exchange) -> None:
        """Count what a mailbox was sent when it is sent: much could be begun before. `TooMany`."""
        tx.execute(SQL.hold_mailbox, (exchange.exchange,))
        row = tx.execute(SQL.sent_to_whom, (exchange.exchange,)).fetchone()
        if row is not None and row[0] >= self._rooms.settings.guests.daily:
            raise TooMany(marked("This mailbox was sent too much today; try again tomorrow."))

    def _check_size(self, found: Import) -> None:
        most = self._rooms.settings.guests.bytes
        if found.bytes > most:
            raise TooLarge(
                marked("That is more than can be sent together: stop, and send it in parts.")
            )

    def _mail_code(self, tx: Connection, exchange: Exchange, to: Channel, code: str) -> None:
        self._rooms.messages.post(
            tx,
            to=to,
            template="prove",
            values={"code": code, "minutes": str(CODE_MINUTES)},
            language=exchange.language,
            until=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=CODE_MINUTES),
            requested_by=f"exchange/{exchange.number}",
        )

    def _mail_link(
        self,
        tx: Connection,
        exchange: Exchange,
        to: Channel,
        template: str,
        *,
        link: str,
        until: dt.datetime,
    ) -> int:
        return self._rooms.messages.post(
            tx,
            to=to,
            template=template,
            values={"link": link, "number": exchange.number, "until": until.date().isoformat()},
            language=exchange.language,
            until=until,
            requested_by=f"exchange/{exchange.number}",
        )

    def _mac(self, to: Channel) -> bytes:
        return self._rooms.keys.channel_mac(to.kind, to.mailbox())

    @staticmethod
    def _hold(tx: Connection, exchange: Exchange) -> tuple[Any, ...]:  # the columns of `hold`
        row = tx.execute(SQL.hold, (exchange.exchange,)).fetchone()
        if row is None:
            raise Conflict(marked("This is over."))
        return row


def item_of(name: str) -> str:
    """Say to which item a file belongs: the folder that was chosen, else the file itself."""
    plain = name.replace("\\", "/").lstrip("/")
    return plain.partition("/")[0] or plain
