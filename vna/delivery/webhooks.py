"""Other programs that are told of what happens to shares, each call signed and seen as a message.

An act is told of if and only if it was done: the call is left in its transaction. What is told is
the sort of act and the numbers of share and grant; who wants more asks the archive, with a token.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.config import Outbound
from vna.crypto.keyring import Keyring
from vna.db import outbox, statements
from vna.db.pool import Connection, Database
from vna.delivery.notifier import Cause, Failed, Taken, code
from vna.delivery.outbox import Leaving, Outbox, new_token
from vna.delivery.sealing import Contents, seal, unseal
from vna.delivery.signing import SIGNATURE, sign
from vna.errors import Corrupt, InvalidRequest, NotFound, NotPermitted, TooLarge, Unavailable
from vna.outbound import Gate, require_url
from vna.texts import ENGLISH

_SQL = statements.load("delivery")

WEBHOOK: Final = "webhook"
PASSED_ON: Final = "tell"
"""The kind of job that tells programs of what another process saw happen."""

_TOLD = frozenset({"share", "grant", "consent", "export"})  # first words of acts
_NUMBERS = ("share", "grant", "consent")
_EVENT = re.compile(r"(share|grant|consent|export)(\.[a-z-]{1,32})?", re.ASCII)
_OUTCOMES = frozenset({"done", "refused", "sent", "failed"})
_FRESH_S = 2.0
_TIMEOUT_S = 15.0
_MOST_ANSWER = 65536
_MOST_WEBHOOKS = 50
_USEFUL = dt.timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One program. `events` are sorts of acts: grant.opened, or grant for all; none is any."""

    webhook_id: int
    host: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: tuple[str, ...]
    created_by: str
    created_at: dt.datetime

    def wants(self, kind: str) -> bool:
        """Whether it is told of an act of this sort."""
        return not self.events or kind in self.events or kind.partition(".")[0] in self.events


class Webhooks:
    """The programs of one archive. Safe to use from many threads."""

    def __init__(
        self, *, database: Database, audit: Audit, keyring: Keyring, outbound: Outbound
    ) -> None:
        self._database = database
        self._audit = audit
        self._keyring = keyring
        self._outbox = Outbox(keyring)
        self._outbound = outbound
        self._lock = threading.Lock()
        self._known: list[Webhook] = []
        self._read_at: float | None = None

    def add(self, who: Principal, url: str, events: Sequence[str]) -> tuple[int, str]:
        """Tell one more program; return its number and the key of its calls, shown only here.

        Raises `InvalidRequest`, `NotPermitted` for an address inside a house that
        `outbound.allow` does not name, `Unavailable` when its name cannot be resolved.
        """
        require(who, Action.MANAGE)
        require_url(url)
        if wrong := [event for event in events if not _EVENT.fullmatch(event)]:
            raise InvalidRequest(f"There are no events {wrong[0][:40]!r}; share.revoked is some.")
        parts = urlsplit(url)
        host = str(parts.hostname)
        Gate(self._outbound).addresses(host, parts.port or 443)
        if len(self.all(who)) >= _MOST_WEBHOOKS:
            raise TooLarge(f"There are {_MOST_WEBHOOKS} webhooks already.")
        token, secret = new_token(), secrets.token_urlsafe(32)
        sealed = seal(self._keyring, token, Contents(url, {"secret": secret}))

        def put(tx: Connection) -> int:
            new = (token, host, sealed, sorted(set(events)), who.name)
            row = tx.execute(_SQL.add_webhook, new).fetchone()
            assert row is not None  # noqa: S101 -- an insert without a conflict returns its row
            self._note(tx, who, "webhook.added", int(row[0]), host)
            return int(row[0])

        number = self._database.changing(put)
        self._forget()
        return number, secret

    def all(self, who: Principal) -> list[Webhook]:
        """List them."""
        require(who, Action.MANAGE)
        with self._database.reading() as conn:
            return self._read(conn)

    def remove(self, who: Principal, webhook_id: int) -> None:
        """Tell a program nothing more, nor what it was not told yet. Raises `NotFound`."""
        require(who, Action.MANAGE)

        def end(tx: Connection) -> None:
            tx.execute(_SQL.cancel_calls, (webhook_id,))
            if tx.execute(_SQL.remove_webhook, (webhook_id,)).fetchone() is None:
                raise NotFound("There is no such webhook.")
            self._note(tx, who, "webhook.removed", webhook_id, None)

        self._database.changing(end)
        self._forget()

    def heard(self, tx: Connection, events: Sequence[Event]) -> None:
        """Leave a call for each program that wants to know, in the transaction of the acts."""
        calls = [(one, event) for event in _told(events) for one in self._current(tx)]
        wanted = [(webhook, event) for webhook, event in calls if webhook.wants(event.kind)]
        if not wanted:
            return
        asked = sorted({webhook.webhook_id for webhook, _ in wanted})
        kept = {row[0] for row in tx.execute(_SQL.keep_webhooks, (asked,))}
        for webhook, event in wanted:
            if webhook.webhook_id in kept:  # it was believed for a moment that it is
                self._leave(tx, webhook, event)

    def _leave(self, tx: Connection, webhook: Webhook, event: Event) -> None:
        now = dt.datetime.now(dt.UTC)
        numbers = {name: event.detail.get(name) for name in _NUMBERS}
        body = {
            "event": event.kind,
            "outcome": event.outcome,
            "at": now.isoformat(),
            # as text: they are longer than what JavaScript takes for a number
            **{name: str(value) for name, value in numbers.items() if isinstance(value, int)},
        }
        values = {"body": orjson.dumps(body).decode(), "secret": webhook.secret}
        share = numbers["share"]
        leaving = Leaving(
            channel=WEBHOOK,
            masked=webhook.host,
            template=event.kind.replace(".", "-"),
            language=ENGLISH,
            contents=Contents(webhook.url, values),
            until=now + _USEFUL,
            requested_by="archive",
            share_id=share if isinstance(share, int) else None,
            # not the grant's number: a call about its end must go out though it is over
            webhook_id=webhook.webhook_id,
        )
        self._outbox.leave(tx, leaving)

    def _current(self, tx: Connection) -> list[Webhook]:
        with self._lock:
            now = time.monotonic()
            if self._read_at is None or now - self._read_at >= _FRESH_S:
                self._known, self._read_at = self._read(tx), now
            return self._known

    def _forget(self) -> None:
        with self._lock:
            self._read_at = None

    def _read(self, conn: Connection) -> list[Webhook]:
        return [self._webhook(row) for row in conn.execute(_SQL.list_webhooks).fetchall()]

    def _webhook(self, row: tuple[Any, ...]) -> Webhook:  # the columns of list_webhooks
        webhook_id, token, host, sealed, events, created_by, created_at = row
        contents = unseal(self._keyring, token, sealed)
        return Webhook(
            webhook_id=webhook_id,
            host=host,
            url=contents.address,
            secret=contents.values["secret"],
            events=tuple(events),
            created_by=created_by,
            created_at=created_at,
        )

    def _note(
        self, tx: Connection, who: Principal, kind: str, webhook_id: int, host: str | None
    ) -> None:
        detail = {"webhook": webhook_id} | ({} if host is None else {"host": host})
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])


def pass_on(tx: Connection, events: Sequence[Event]) -> None:
    """Leave it to another process to tell programs of acts, in the transaction of the acts."""
    told = [
        [one.kind, one.outcome, {name: one.detail.get(name) for name in _NUMBERS}]
        for one in _told(events)
    ]
    if told:
        outbox.enqueue(tx, PASSED_ON, {"acts": told}, requested_by="archive")


def passed_on(payload: Mapping[str, Any]) -> list[Event]:
    """Read what `pass_on` left; what is no act of ours is left out. Raises `Corrupt`."""
    try:
        return [
            Event(kind=kind, outcome=outcome, detail=dict(numbers))
            for kind, outcome, numbers in payload["acts"]
            if _EVENT.fullmatch(kind) and outcome in _OUTCOMES
        ]
    except (KeyError, ValueError, TypeError) as exc:
        raise Corrupt("What was passed on is not readable.") from exc


def _told(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind.partition(".")[0] in _TOLD]


def call(gate: Gate, token: bytes, contents: Contents) -> Taken | Failed:
    """Tell a program, signed; the `id` stays the same, so that a second call is seen as one."""
    body = {"id": token.hex(), **orjson.loads(contents.values["body"])}
    content = orjson.dumps(body)
    signature = sign(contents.values["secret"], content)
    headers = {"Content-Type": "application/json", SIGNATURE: signature}
    try:
        answer = gate.call(
            "POST",
            contents.address,
            content=content,
            headers=headers,
            timeout_s=_TIMEOUT_S,
            most=_MOST_ANSWER,
        )
    except (NotPermitted, InvalidRequest):
        return Failed(cause=Cause.NOT_SET_UP)
    except (Unavailable, TooLarge):
        return Failed(cause=Cause.NETWORK)
    told = code(answer.status)
    if 200 <= answer.status < 300:
        return Taken(told=told)
    if answer.status == 410:  # it says that it wants to hear nothing more
        return Failed(cause=Cause.ADDRESS, told=told, is_final=True)
    return Failed(cause=Cause.NOT_NOW, told=told)
