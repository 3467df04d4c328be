"""Messages to people: asked for in the transaction of an act, looked at, tried again, cancelled.

    queued → sending → accepted → delivered | bounced       failed → queued (back-off), at last dead

What stands in a message is sealed, and forgotten once it went out. Who looks sees the sort of
message, the mask of its address, its state, and what went wrong.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.config import Settings
from vna.crypto.keyring import Keyring
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery import forms
from vna.delivery.channels import Address, checked
from vna.delivery.inbox import DevInbox
from vna.delivery.outbox import Leaving, Outbox
from vna.delivery.receipts import Receipts
from vna.delivery.sealing import Contents
from vna.delivery.sending import Attempt, Sender
from vna.delivery.webhooks import Webhooks, pass_on
from vna.errors import Conflict, NotFound
from vna.texts import ENGLISH, marked

_SQL = statements.load("delivery")

_MOST = 500  # of one listing, and of one "retry all"


class State(enum.Enum):
    """Where a message stands."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"  # by the relay or the provider, or kept in the inbox of --dev
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"  # tried again at `next_at`
    DEAD = "dead"  # given up; a person may try again
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as boards show it. `cause` is the sort of trouble, `told` the code of a reply."""

    message_id: int
    channel: str
    masked: str
    template: str
    language: str
    state: State
    via: str | None
    attempts: int
    cause: str | None
    told: str | None
    share_id: int | None
    grant_id: int | None
    account_id: int | None
    requested_by: str
    created_at: dt.datetime
    changed_at: dt.datetime
    next_at: dt.datetime | None


class Messages:
    """The messages of one archive. Safe to use from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        keyring: Keyring,
        settings: Settings,
        is_apart: bool = False,
    ) -> None:
        """`is_apart`: another process knows which programs are told of acts, and their secrets."""
        self._database = database
        self._audit = audit
        self._outbox = Outbox(keyring)
        self._sender = Sender(database=database, keyring=keyring, settings=settings)
        self.receipts = Receipts(database=database, audit=audit, sms=settings.sms)
        self.webhooks = Webhooks(
            database=database, audit=audit, keyring=keyring, outbound=settings.outbound
        )
        audit.watch(pass_on if is_apart else self.webhooks.heard)
        self.inbox = DevInbox(database=database, keyring=keyring, settings=settings)

    def post(
        self,
        tx: Connection,
        *,
        to: Address,
        template: str,
        values: Mapping[str, str],
        language: str = ENGLISH,
        until: dt.datetime | None = None,
        channel_id: int | None = None,
        share_id: int | None = None,
        grant_id: int | None = None,
        account_id: int | None = None,
        requested_by: str = "archive",
    ) -> int:
        """Ask for a message in the transaction of the act it tells of; return its number.

        `template` and `values` are of `vna.delivery.forms`; past `until` it is not sent any more.
        Raises `InvalidRequest` when the address is none, `ValueError` when a value does not fit.
        """
        forms.check(template, values)
        channel = checked(to)
        return self._outbox.leave(
            tx,
            Leaving(
                channel=channel.kind,
                masked=channel.masked(),
                template=template,
                language=language,
                contents=Contents(channel.value, values),
                until=until,
                requested_by=requested_by,
                channel_id=channel_id,
                share_id=share_id,
                grant_id=grant_id,
                account_id=account_id,
            ),
        )

    def attempt(self, message_id: int, *, most_s: float, job_id: int | None = None) -> Attempt:
        """Try to send a message now; what a job does. Raises `ConfigError`, `Unavailable`."""
        return self._sender.attempt(message_id, most_s=most_s, job_id=job_id)

    def listed(
        self,
        who: Principal,
        *,
        states: Sequence[State] = (),
        share_id: int | None = None,
        before: int | None = None,
        most: int = 100,
    ) -> list[Message]:
        """List messages, the newest first: of these states, of one share, before one.

        Whoever asks for those of a share has been shown the share. Raises `NotPermitted`,
        `NotFound`.
        """
        if share_id is None:
            _require_whole(who)
        else:
            _require(who)
        return self._found(states=states, share_id=share_id, before=before, most=most)

    def one(self, who: Principal, message_id: int) -> Message:
        """Show one message. Raises `NotFound`."""
        _require(who)
        found = self._found(message_id=message_id)
        if not found:
            raise NotFound("There is no such message.")
        return found[0]

    def counts(self, who: Principal) -> dict[State, int]:
        """Count messages by state. Raises `NotPermitted`, `NotFound`."""
        _require_whole(who)
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.count_messages).fetchall()
        return dict.fromkeys(State, 0) | {State(state): count for state, count in rows}

    def retry(self, who: Principal, message_id: int) -> None:
        """Send a message now that failed, waits or was given up.

        Raises `NotFound`, and `Conflict` when there is nothing left to send.
        """
        _require(who)

        def again(tx: Connection) -> None:
            if not self._again(tx, who, message_id):
                raise _not_so(tx, message_id)

        self._database.changing(again)

    def retry_all(self, who: Principal) -> int:
        """Send everything now that failed or was given up; count it.

        Raises `NotPermitted`, `NotFound`.
        """
        _require_whole(who)

        def again(tx: Connection) -> int:
            rows = tx.execute(_SQL.dead_messages, (_MOST,)).fetchall()
            return sum(self._again(tx, who, int(row[0])) for row in rows)

        return self._database.changing(again)

    def cancel_grant(self, tx: Connection, grant_id: int) -> int:
        """Do not send what was not sent yet of a grant, in the transaction that ends it; count."""
        return len(tx.execute(_SQL.cancel_messages, (grant_id,)).fetchall())

    def sweep(self) -> int:
        """Forget what stands in messages nobody needs any more; count them."""
        with self._database.transaction() as tx:
            return len(tx.execute(_SQL.sweep_messages).fetchall())

    def _again(self, tx: Connection, who: Principal, message_id: int) -> bool:
        row = tx.execute(_SQL.retry_message, (message_id,)).fetchone()
        if row is None:
            return False
        self._outbox.enqueue(tx, message_id, who.name)
        event = Event(kind="message.retried", outcome="done", detail={"message": message_id})
        self._audit.write(tx, who, [event])
        return True

    def _found(
        self,
        *,
        message_id: int | None = None,
        states: Sequence[State] = (),
        share_id: int | None = None,
        before: int | None = None,
        most: int = 1,
    ) -> list[Message]:
        asked = {
            "message_id": message_id,
            "states": [state.value for state in states] or None,
            "share_id": share_id,
            "before": before,
            "most": max(1, min(most, _MOST)),
        }
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_messages, asked).fetchall()
        names = Message.__dataclass_fields__
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [Message(**{**one, "state": State(one["state"])}) for one in found]


def _require(who: Principal) -> None:
    """Let those look after messages who run the archive, or who share: they sent them."""
    require(who, Action.SHARE if Action.SHARE in who.actions else Action.MANAGE)


def _require_whole(who: Principal) -> None:
    """Messages cross studies: who sees only some of the archive sees those of a share at most."""
    _require(who)
    if not who.scope.everything:
        raise NotFound


def _not_so(tx: Connection, message_id: int) -> Conflict | NotFound:
    row = tx.execute(_SQL.find_message, (message_id,)).fetchone()
    if row is None:
        return NotFound("There is no such message.")
    state, is_there = row
    if not is_there and state in ("failed", "dead"):
        return Conflict(marked("What stood in this message is gone; it was of no use any more."))
    return Conflict(marked("This message has moved on meanwhile; look at it again."))
