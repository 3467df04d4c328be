"""The inbox of `--dev`: what would have gone out, kept to be looked at: nobody needs a relay.

Outside `--dev` no message is kept, and there is nothing here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vna.config import Settings
from vna.crypto.keyring import Keyring
from vna.db import statements
from vna.db.pool import Database
from vna.delivery.letters import Letter, compose
from vna.delivery.sealing import unseal
from vna.errors import NotFound

_SQL = statements.load("delivery")

_MOST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A message as its recipient would have read it."""

    message_id: int
    channel: str
    address: str = field(repr=False)
    letter: Letter
    language: str
    link: str | None = field(repr=False)
    kept_at: dt.datetime


class DevInbox:
    """Reads what the way out "inbox" took."""

    def __init__(self, *, database: Database, keyring: Keyring, settings: Settings) -> None:
        self._database = database
        self._keyring = keyring
        self._settings = settings

    def all(self) -> list[Kept]:
        """List the newest messages, the newest first. Raises `NotFound` outside `--dev`."""
        return list(self._read(None, _MOST))

    def one(self, message_id: int) -> Kept:
        """Show one message. Raises `NotFound`."""
        for kept in self._read(message_id, 1):
            return kept
        raise NotFound("There is no such message.")

    def _read(self, message_id: int | None, most: int) -> Iterable[Kept]:
        if not self._settings.dev:
            raise NotFound
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.inbox, {"message_id": message_id, "most": most}).fetchall()
        return map(self._kept, rows)

    def _kept(self, row: tuple[Any, ...]) -> Kept:  # the columns of inbox
        message_id, token, channel, template, language, sealed, kept_at = row
        contents = unseal(self._keyring, token, sealed)
        return Kept(
            message_id=message_id,
            channel=channel,
            address=contents.address,
            letter=compose(template, contents.values, language=language, site=self._settings.site),
            language=language,
            link=contents.values.get("link"),
            kept_at=kept_at,
        )
