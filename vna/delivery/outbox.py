"""Leaving a message: its row and its job, in the transaction of the act it tells of."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field
from typing import Final

from vna.crypto.keyring import Keyring
from vna.db import outbox, statements
from vna.db.pool import Connection
from vna.delivery.sealing import Contents, seal

_SQL = statements.load("delivery")

KIND: Final = "notify"
"""The kind of job that sends a message."""

_TOKEN = 16
_USEFUL_S = 30 * 86400.0  # a message without an end of its own is of no use after this


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A message that is to go out, checked, and whom or what it is about."""

    channel: str
    masked: str
    template: str
    language: str
    contents: Contents = field(repr=False)
    until: dt.datetime | None
    requested_by: str
    channel_id: int | None = None
    share_id: int | None = None
    grant_id: int | None = None
    account_id: int | None = None
    webhook_id: int | None = None


class Outbox:
    """Writes messages down, sealed."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def leave(self, tx: Connection, leaving: Leaving) -> int:
        """Leave a message; return its number."""
        token = new_token()
        names = Leaving.__dataclass_fields__
        values = {name: getattr(leaving, name) for name in names if name != "contents"}
        sealed = seal(self._keyring, token, leaving.contents)
        asked = {**values, "token": token, "sealed": sealed, "useful_s": _USEFUL_S}
        row = tx.execute(_SQL.add_message, asked).fetchone()
        assert row is not None  # noqa: S101 -- an insert without a conflict returns its row
        message_id = int(row[0])
        self.enqueue(tx, message_id, leaving.requested_by)
        return message_id

    def enqueue(self, tx: Connection, message_id: int, requested_by: str) -> None:
        """Ask for a message to be sent now."""
        payload = {"message": message_id}
        job_id = outbox.enqueue(tx, KIND, payload, requested_by=requested_by)
        tx.execute(_SQL.set_message_job, (job_id, message_id))


def new_token() -> bytes:
    """Draw what a message or a webhook is called to the outside."""
    return secrets.token_bytes(_TOKEN)
