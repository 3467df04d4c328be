"""Who was sent something by a guest: a link and a passcode open a list, and files as they came."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from vna.access.audit import Event
from vna.access.rates import network
from vna.crypto import shares
from vna.db.pool import Connection
from vna.dicom.refs import InstanceRef, SeriesRef
from vna.errors import Conflict, NotFound
from vna.imports.doors import opened
from vna.imports.exchanges import (
    MOST_WRONG,
    Contents,
    Document,
    Exchange,
    Party,
    Side,
    Standing,
    guest,
)
from vna.imports.guest_rooms import SQL, GuestRooms
from vna.imports.handing import Handed, watched
from vna.index.locate import Located
from vna.retrieve.render import Apart
from vna.texts import marked

_OPENINGS, _REFUSALS = 30, 10  # of one address in a quarter of an hour
_OPEN = (Standing.SENT, Standing.OPENED)


class GuestRecipients:
    """The recipient's side of exchanges."""

    def __init__(self, rooms: GuestRooms) -> None:
        self._rooms = rooms

    def open(self, secret: str, passcode: str, address: str | None) -> str:
        """Open a link with its passcode; give the secret of a session.

        An unknown link, a wrong passcode, and a link that ended are refused in the same words, at
        the same cost. Raises `NotAuthenticated`, `TooMany`.
        """
        rooms = self._rooms
        rooms.require_enabled()
        rooms.limit("guest link", _OPENINGS, network(address))
        with rooms.database.reading() as conn:
            row = conn.execute(SQL.by_locator, (shares.locator(secret),)).fetchone()
        number = opened(
            row,
            passcode,
            vault=rooms.vault,
            charge=self._charged,
            refused=lambda number: self._refused(number, address),
        )
        return self._let_in(number, address)

    def refuse(self, secret: str, address: str | None) -> None:
        """Say that a link reached somebody else: it ends, and its sender is told.

        What is no link of ours is answered alike. Raises `TooMany`.
        """
        rooms = self._rooms
        rooms.require_enabled()
        rooms.limit("guest refusal", _REFUSALS, network(address))

        def work(tx: Connection) -> None:
            row = tx.execute(SQL.by_locator, (shares.locator(secret),)).fetchone()
            if row is None:
                return
            tx.execute(SQL.hold, (row[0],))
            exchange = rooms.one(tx, int(row[0]))
            if exchange.may_stop:
                rooms.notify(tx, exchange, "not-me")
                who = guest(exchange, Side.RECIPIENT, address)
                rooms.end(tx, who, exchange, Side.RECIPIENT)

        rooms.database.changing(work)

    def contents(self, party: Party) -> Contents:
        """List what was sent. Raises `Conflict` when it ended meanwhile."""
        rooms, number = self._rooms, self._number(party)
        with rooms.database.reading() as conn:
            persons = rooms.desk.persons_in(conn, number)
            documents = self._documents(conn, number)
            row = conn.execute(SQL.sender, (party.exchange.exchange,)).fetchone()
        if row is None or row[0] is None:
            raise Conflict(marked("This is over."))
        sender = rooms.mailbox(party.exchange.exchange, Side.SENDER, bytes(row[0]))
        sizes = [
            series.size for person in persons for study in person.studies for series in study.series
        ]
        return Contents(
            sender=sender.value,
            persons=persons,
            documents=documents,
            size=sum(sizes) + sum(one.size for one in documents),
        )

    def everything(self, party: Party) -> Handed:
        """Give all that was sent as one ZIP, with a DICOMDIR. Raises `Conflict`, `NotFound`."""
        rooms, number = self._rooms, self._number(party)
        with rooms.database.reading() as conn:
            held = _ids(conn.execute(SQL.held, (number,)).fetchall())
            documents = self._documents(conn, number)
        found = rooms.handing.zipped(held, documents, self._since(party))
        self._fetched(party, "everything")
        return self._watched(party, found)

    def series(self, party: Party, ref: SeriesRef) -> list[Located]:
        """List the objects of a series in its order, to be looked at. Raises `NotFound`."""
        asked = (self._number(party), ref.study, ref.series)
        with self._rooms.database.reading() as conn:
            held = _ids(conn.execute(SQL.held_series, asked).fetchall())
        if not held:
            raise NotFound("There is no such series.")
        found = [one.located for one in self._rooms.handing.listed(held)]
        return sorted(found, key=lambda one: (one.number is None, one.number or 0))

    def one(self, party: Party, ref: InstanceRef) -> Apart:
        """Give one object to be looked at. Raises `Conflict`, `NotFound`."""
        asked = (self._number(party), ref.instance, ref.study, ref.series)
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.held_one, asked).fetchone()
        if row is None:
            raise NotFound
        return self._rooms.handing.apart(bytes(row[0]))

    def seen(self, party: Party, study: str) -> None:
        """Write down that somebody looks at a study."""
        about = {"exchange": party.exchange.number}
        event = Event(kind="exchange.seen", outcome="done", study=study, detail=about)
        self._rooms.audit.note(party.principal, event)

    def document(self, party: Party, number: int) -> tuple[Document, Handed]:
        """Give one document as it came. Raises `Conflict`, `NotFound`."""
        rooms = self._rooms
        with rooms.database.reading() as conn:
            kept = self._documents(conn, self._number(party))
        if not 1 <= number <= len(kept):
            raise NotFound("There is no such document.")
        document = kept[number - 1]
        found = rooms.handing.document(document, self._since(party))
        self._fetched(party, "document")
        return document, self._watched(party, found)

    # ---- within --------------------------------------------------------------------------------

    def _number(self, party: Party) -> int:
        self._rooms.require(party, *_OPEN)
        return self._rooms.import_of(party.exchange)

    @staticmethod
    def _since(party: Party) -> dt.datetime:
        return party.exchange.sent_at or party.exchange.made_at

    @staticmethod
    def _documents(conn: Connection, number: int) -> list[Document]:
        return [
            Document(number=at, name=row[1], media=row[2], size=row[3], blob_id=bytes(row[4]))
            for at, row in enumerate(conn.execute(SQL.documents, (number,)).fetchall(), 1)
        ]

    def _watched(self, party: Party, found: Handed) -> Handed:
        """Let bytes go out as long as the exchange stands."""

        def stands() -> bool:
            with self._rooms.database.reading() as conn:
                return self._rooms.one(conn, party.exchange.exchange).is_open

        return Handed(
            content=watched(found.content, stands),
            revision=found.revision,
            changed_at=found.changed_at,
        )

    def _fetched(self, party: Party, what: str) -> None:
        def note(tx: Connection) -> None:
            is_first = tx.execute(SQL.fetched, (party.exchange.exchange,)).fetchone() is not None
            self._rooms.tell(
                tx, party.principal, "fetched", party.exchange, what=what, first=is_first
            )

        self._rooms.database.changing(note)

    def _charged(self, exchange: int) -> bool:
        def charge(tx: Connection) -> bool:
            return tx.execute(SQL.charge, (exchange, MOST_WRONG)).fetchone() is not None

        return self._rooms.database.changing(charge)

    def _let_in(self, exchange: int, address: str | None) -> str:
        rooms = self._rooms

        def work(tx: Connection) -> str:
            row = tx.execute(SQL.forgive, (exchange,)).fetchone()
            found = rooms.one(tx, exchange)
            if row is not None and not row[0]:
                at = dt.datetime.now(dt.UTC).isoformat()
                rooms.notify(tx, found, "opened", when=at)
            rooms.tell(tx, guest(found, Side.RECIPIENT, address), "opened", found)
            return rooms.let_in(tx, exchange, Side.RECIPIENT)

        return rooms.database.changing(work)

    def _refused(self, exchange: int, address: str | None) -> None:
        """Write a wrong try down; the sender is told of the one that locks, once."""
        rooms = self._rooms

        def work(tx: Connection) -> None:
            found: Exchange = rooms.one(tx, exchange)
            who = guest(found, Side.RECIPIENT, address)
            standing = found.standing
            rooms.tell(tx, who, "opened", found, outcome="refused", standing=standing.value)
            if standing is Standing.LOCKED and tx.execute(SQL.locked, (exchange,)).fetchone():
                rooms.notify(tx, found, "locked")

        rooms.database.changing(work)


def _ids(rows: Iterable[tuple[Any, ...]]) -> list[bytes]:  # rows of ids
    return [bytes(row[0]) for row in rows]
