"""Where a patient may be written to: one mailbox and one telephone an account, proven by a code.

What is not proven is written to once: with the code. Addresses are sealed as all channels are; a
page shows them masked.

Who has a proven way already, and whoever sits at their open account, changes nothing at once: what
is new counts after `access.hold_hours`, and until then messages go where they went, with a word
how to stop it. That is time for somebody whose account or number was taken over.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.access import held_changes, rates
from vna.access.audit import Event
from vna.access.principal import Principal
from vna.crypto import shares
from vna.db import statements
from vna.delivery.channels import Channel
from vna.errors import ConfigError, InvalidRequest, NotAuthenticated, NotFound, TooMany
from vna.sharing import granting
from vna.sharing.account_notices import AccountNotices
from vna.sharing.rooms import SQL as SHARING
from vna.sharing.rooms import Act, Rooms, Rows
from vna.texts import marked

SQL = statements.load("own")

CODE_MINUTES = 10
MOST_TRIES = 5
_CODES = 5  # of an account in a quarter of an hour
_REMOVALS = 10  # each of them may be a message
_KINDS = ("email", "sms")
_MOST_HOURS = 720.0
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
        hours = rooms.settings.access.hold_hours
        if not 0 <= hours <= _MOST_HOURS:
            raise ConfigError(f"access.hold_hours is 0 to {_MOST_HOURS:.0f} hours.")
        self._hold_s = hours * 3600.0

    def of(self, account_id: int) -> list[Contact]:
        """List the ways of an account: the mailbox, then the telephone."""
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.contacts_of, {"account": account_id}).fetchall()
        return [
            Contact(kind=kind, masked=masked, channel_id=number, until=until)
            for kind, masked, number, until in rows
        ]

    def changes(self, account_id: int) -> list[held_changes.Change]:
        """List what is to change about them."""
        with self._rooms.database.reading() as conn:
            return held_changes.changes_of(conn, [account_id])

    def mailbox(self, account_id: int) -> Channel | None:
        """Give the proven mailbox of an account, to be written to; None when there is none."""
        proven = (one for one in self.of(account_id) if one.kind == "email" and one.is_proven)
        found = next(proven, None)
        if found is None:
            return None
        with self._rooms.database.reading() as conn:
            return granting.open_channel(self._rooms, conn, found.channel_id)

    def begin(self, who: Principal, account_id: int, to: Channel, *, language: str) -> None:
        """Send a code to where somebody wants to be written to, in the place of what was there.

        What was there stays until the code came back and its time to wait is over; where there is
        no waiting it is told, for the last time. Raises `TooMany`, and `Conflict` for an address
        that was given up by its owner.
        """
        limits = rates.address(str(account_id), "own-contact", _CODES)
        if self._rooms.rates.take(limits):
            raise TooMany
        code = shares.new_code()

        def work(tx: Act) -> None:
            is_held = self._settle(tx, account_id)
            channel = granting.channel_id(self._rooms, tx, to, who.name)
            asked = {
                "account": account_id,
                "kind": to.kind,
                "channel": channel,
                "mac": self._mac(account_id, code),
                "lasts_s": CODE_MINUTES * 60.0,
            }
            if is_held:
                tx.execute(SQL.drop_unproven, asked)
                row = tx.execute(SQL.begin_change, asked).fetchone()
            else:
                self._notices.replaced(tx.tx, account_id, to.kind)
                row = tx.execute(SQL.begin_contact, asked).fetchone()
            self._rooms.outbox.post(
                tx.tx,
                to=to,
                template="prove",
                values={"code": code, "minutes": str(CODE_MINUTES)},
                language=language,
                until=row[0] if row else None,
                channel_id=channel,
                share_id=None,
                grant_id=None,
                requested_by=who.name,
            )
            self._tell(tx, who, "contact.begun", to.kind)

        self._rooms.act(work)

    def prove(self, who: Principal, account_id: int, kind: str, typed: str) -> None:
        """Take a way by the code that was sent there: five tries, ten minutes.

        Raises `NotAuthenticated`.
        """
        _require_kind(kind)

        def work(tx: Act) -> bool:
            self._settle(tx, account_id)
            asked = {"account": account_id, "kind": kind, "hold_s": self._hold_s}
            changing = tx.execute(SQL.try_change, asked).fetchone()
            row = changing or tx.execute(SQL.try_contact, asked).fetchone()
            mac = self._mac(account_id, typed)
            if row is None or not shares.is_same(mac, bytes(row[1])):
                return False
            if changing is None:
                tx.execute(SQL.prove_contact, asked)
            else:
                self._hold(tx, who, account_id, kind, tx.execute(SQL.prove_change, asked))
            tx.execute(SHARING.prove_channel, (row[0],))
            self._tell(tx, who, "contact.proven", kind)
            return True

        if not self._rooms.act(work):
            raise NotAuthenticated(_WRONG)

    def drop(self, who: Principal, account_id: int, kind: str) -> None:
        """Write there no more, once the time to wait is over; all proven ways hear of it.

        What was not proven is gone at once. Raises `NotFound`, `TooMany`.
        """
        _require_kind(kind)
        if self._rooms.rates.take(rates.address(str(account_id), "own-removal", _REMOVALS)):
            raise TooMany

        def work(tx: Act) -> None:
            is_held = self._settle(tx, account_id)
            asked = {"account": account_id, "kind": kind, "hold_s": self._hold_s}
            if is_held and self._hold(
                tx, who, account_id, kind, tx.execute(SQL.begin_removal, asked)
            ):
                return
            self._notices.replaced(tx.tx, account_id, kind)
            stopped = held_changes.stop(tx.tx, account_id, kind)
            dropped = tx.execute(SQL.drop_contact, asked).fetchone()
            if not stopped and dropped is None:
                raise NotFound("There is no such address of yours.")
            self._tell(tx, who, "contact.dropped", kind)

        self._rooms.act(work)

    def stop(self, who: Principal, account_id: int, kind: str) -> None:
        """Leave a way as it was: what was to change about it does not. Raises `NotFound`."""
        _require_kind(kind)

        def work(tx: Act) -> None:
            self._settle(tx, account_id)
            if not held_changes.stop(tx.tx, account_id, kind):
                raise NotFound(marked("Nothing is to change there any more."))
            self._tell(tx, who, "contact.kept", kind)

        self._rooms.act(work)

    def _settle(self, tx: Act, account_id: int) -> bool:
        """Let what is due count; say whether a change must wait: somebody can be told of it."""
        held_changes.settle(tx.tx, account_id)
        is_known = tx.execute(SQL.proven_of, (account_id, None)).fetchone() is not None
        return is_known and self._hold_s > 0

    def _hold(self, tx: Act, who: Principal, account_id: int, kind: str, rows: Rows) -> bool:
        """Tell that a change waits; False when there is none."""
        row = rows.fetchone()
        if row is None:
            return False
        self._notices.held(tx.tx, account_id, row[0])
        self._tell(tx, who, "contact.held", kind)
        return True

    def _mac(self, account_id: int, code: str) -> bytes:
        return self._rooms.keys.code_mac(-account_id, code)  # no grant has a number below 0

    def _tell(self, tx: Act, who: Principal, kind: str, way: str) -> None:
        self._rooms.tell(tx, who, Event(kind=kind, outcome="done", detail={"way": way}))


def _require_kind(kind: str) -> None:
    if kind not in _KINDS:
        raise InvalidRequest("A message goes by e-mail or by SMS.")
