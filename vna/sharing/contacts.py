"""Where a patient may be written to: one mailbox and one telephone an account, proven by a code.

What is not proven is written to once: with the code. Addresses are sealed as all channels are; a
page shows them masked.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.access import rates
from vna.access.audit import Event
from vna.access.principal import Principal
from vna.crypto import shares
from vna.db import statements
from vna.delivery.channels import Channel
from vna.errors import InvalidRequest, NotAuthenticated, NotFound, TooMany
from vna.sharing import granting
from vna.sharing.account_notices import AccountNotices
from vna.sharing.rooms import SQL as SHARING
from vna.sharing.rooms import Act, Rooms
from vna.texts import marked

SQL = statements.load("own")

CODE_MINUTES = 10
MOST_TRIES = 5
_CODES = 5  # of an account in a quarter of an hour
_KINDS = ("email", "sms")
_WRONG = marked("The code is not right, or its time is over.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One way to write to a patient; `until` is how long its code is good, None once proven."""

    kind: str
    masked: str
    channel_id: int
    until: dt.datetime | None

    @property
    def is_proven(self) -> bool:
        """Whether a code that was sent there came back."""
        return self.until is None


class Contacts:
    """Keeps the ways to write to patients. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, notices: AccountNotices) -> None:
        self._rooms = rooms
        self._notices = notices

    def of(self, account_id: int) -> list[Contact]:
        """List the ways of an account: the mailbox, then the telephone."""
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.contacts_of, (account_id,)).fetchall()
        return [
            Contact(kind=kind, masked=masked, channel_id=number, until=until)
            for kind, masked, number, until in rows
        ]

    def mailbox(self, account_id: int) -> Channel | None:
        """Give the proven mailbox of an account, to be written to; None when there is none."""
        proven = (one for one in self.of(account_id) if one.kind == "email" and one.is_proven)
        found = next(proven, None)
        if found is None:
            return None
        with self._rooms.database.reading() as conn:
            return granting.open_channel(self._rooms, conn, found.channel_id)

    def begin(self, who: Principal, account_id: int, to: Channel, *, language: str) -> Contact:
        """Send a code to where somebody wants to be written to, in the place of what was there.

        What was there and proven is told, for the last time. Raises `TooMany`, and `Conflict` for
        an address that was given up by its owner.
        """
        limits = rates.address(str(account_id), "own-contact", _CODES)
        if self._rooms.rates.take(limits):
            raise TooMany
        code = shares.new_code()

        def work(tx: Act) -> Contact:
            channel = granting.channel_id(self._rooms, tx, to, who.name)
            self._notices.replaced(tx.tx, account_id, to.kind)
            asked = {
                "account": account_id,
                "kind": to.kind,
                "channel": channel,
                "mac": self._mac(account_id, code),
                "lasts_s": CODE_MINUTES * 60.0,
            }
            row = tx.execute(SQL.begin_contact, asked).fetchone()
            until: dt.datetime | None = row[0] if row else None
            self._rooms.outbox.post(
                tx.tx,
                to=to,
                template="prove",
                values={"code": code, "minutes": str(CODE_MINUTES)},
                language=language,
                until=until,
                channel_id=channel,
                share_id=None,
                grant_id=None,
                requested_by=who.name,
            )
            self._tell(tx, who, "contact.begun", to.kind)
            return Contact(kind=to.kind, masked=to.masked(), channel_id=channel, until=until)

        return self._rooms.act(work)

    def prove(self, who: Principal, account_id: int, kind: str, typed: str) -> None:
        """Take a way by the code that was sent there: five tries, ten minutes.

        Raises `NotAuthenticated`.
        """
        _require_kind(kind)

        def work(tx: Act) -> bool:
            asked = {"account": account_id, "kind": kind}
            row = tx.execute(SQL.try_contact, asked).fetchone()
            mac = self._mac(account_id, typed)
            if row is None or not shares.is_same(mac, bytes(row[1])):
                return False
            tx.execute(SQL.prove_contact, asked)
            tx.execute(SHARING.prove_channel, (row[0],))
            self._tell(tx, who, "contact.proven", kind)
            return True

        if not self._rooms.act(work):
            raise NotAuthenticated(_WRONG)

    def drop(self, who: Principal, account_id: int, kind: str) -> None:
        """Write there no more, but that this is so. Raises `NotFound`."""
        _require_kind(kind)

        def work(tx: Act) -> None:
            self._notices.replaced(tx.tx, account_id, kind)
            asked = {"account": account_id, "kind": kind}
            if tx.execute(SQL.drop_contact, asked).fetchone() is None:
                raise NotFound("There is no such address of yours.")
            self._tell(tx, who, "contact.dropped", kind)

        self._rooms.act(work)

    def _mac(self, account_id: int, code: str) -> bytes:
        return self._rooms.keys.code_mac(-account_id, code)  # no grant has a number below 0

    def _tell(self, tx: Act, who: Principal, kind: str, way: str) -> None:
        self._rooms.tell(tx, who, Event(kind=kind, outcome="done", detail={"way": way}))


def _require_kind(kind: str) -> None:
    if kind not in _KINDS:
        raise InvalidRequest("A message goes by e-mail or by SMS.")
