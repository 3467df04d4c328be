"""What others tell of messages they accepted: a provider's status call, or a mail that came back.

Nobody signs in here: a call is believed for its signature, a bounce for the token it knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import orjson

from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.config import Sms
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery import bounces
from vna.delivery.bounces import Report
from vna.delivery.signing import is_signed, is_twilios
from vna.delivery.sms import status_url
from vna.errors import InvalidRequest, NotFound, NotPermitted
from vna.telemetry import MESSAGES

_SQL = statements.load("delivery")

MOST_BYTES: Final = 16384
"""Longest status call."""

_TOKEN = re.compile(r"[0-9a-f]{32}", re.ASCII)
_WHO = system("delivery")
_ARRIVED = frozenset({"delivered", "read"})
_LOST = frozenset({"undelivered", "failed"})
_MOST_FIELDS = 64

OnBounce = Callable[[Connection, int], None]
"""Told in the transaction that a message to this contact channel came back."""


class Receipts:
    """Takes in what became of messages."""

    def __init__(self, *, database: Database, audit: Audit, sms: Sms) -> None:
        self._database = database
        self._audit = audit
        self._sms = sms
        self.on_bounce: OnBounce | None = None

    def called(self, token: str, body: bytes, signature: str) -> None:
        """Take a provider's status call about one message.

        Raises `NotFound` where none is asked for, `NotPermitted` for a wrong signature,
        `InvalidRequest`.
        """
        if not self._sms.callback or not self._sms.secret or not _TOKEN.fullmatch(token):
            raise NotFound
        named = bytes.fromhex(token)
        said = self._form(named, body, signature)
        if said in _ARRIVED or said in _LOST:
            self._note(Report(token=named, has_arrived=said in _ARRIVED, is_lost=said in _LOST))

    def came_back(self, mail: bytes, *, sent_to: str = "") -> Report | None:
        """Take a mail that came to the address for bounces; None when it tells nothing.

        Raises `TooLarge`, `InvalidRequest`.
        """
        report = bounces.read(mail, sent_to=sent_to)
        if report is not None and (report.is_lost or report.has_arrived):
            self._note(report)
        return report

    def _form(self, token: bytes, body: bytes, signature: str) -> str:
        if self._sms.provider == "webhook":
            if not is_signed(self._sms.secret, body, signature):
                raise NotPermitted
            return _status_of(body)
        try:
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError as exc:
            raise InvalidRequest("A status call is a form.") from exc
        if not is_twilios(
            self._sms.secret, status_url(self._sms.callback, token), fields, signature
        ):
            raise NotPermitted
        return dict(fields).get("MessageStatus", "").lower()

    def _note(self, report: Report) -> None:
        self._database.changing(lambda tx: self._noted(tx, report))

    def _noted(self, tx: Connection, report: Report) -> None:
        if report.has_arrived:
            row = tx.execute(_SQL.deliver_message, (report.token,)).fetchone()
            if row is not None:
                MESSAGES.labels(row[1], "delivered").inc()
            return
        values = {"token": report.token, "told": report.told}
        row = tx.execute(_SQL.bounce_message, values).fetchone()
        if row is None:  # not one of ours, or told before
            return
        message_id, channel, channel_id, share_id = row
        detail = {"message": message_id, "share": share_id}
        self._audit.write(tx, _WHO, [Event(kind="message.bounced", outcome="done", detail=detail)])
        if channel_id is not None and self.on_bounce is not None:
            self.on_bounce(tx, int(channel_id))
        MESSAGES.labels(channel, "bounced").inc()


def _status_of(body: bytes) -> str:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("A status call is JSON.") from exc
    status = said.get("status") if isinstance(said, dict) else None
    return status.lower() if isinstance(status, str) else ""
