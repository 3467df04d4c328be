"""What every part of sharing works with, and how an act is written down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vna.access.audit import Audit, Event
from vna.access.principal import Kind, Principal, Scope
from vna.access.rates import Rates
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.index.deleted import mark_applied
from vna.sharing import records
from vna.sharing.channels import Channel
from vna.sharing.keys import ShareKeys

SQL = statements.load("sharing")


class Outbox(Protocol):
    """Where messages to people are left, in the transaction of the act they tell of."""

    def post(
        self,
        tx: Connection,
        *,
        to: Channel,
        template: str,
        values: Mapping[str, str],
        language: str,
        until: dt.datetime | None,
        channel_id: int | None,
        share_id: int | None,
        grant_id: int | None,
        requested_by: str,
    ) -> int:
        """Ask for a message."""

    def cancel_grant(self, tx: Connection, grant_id: int) -> int:
        """Do not send what was not sent yet of a grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The stores sharing stands on. Shared by threads."""

    store: BlobStore
    database: Database
    audit: Audit
    settings: Settings
    keys: ShareKeys
    journal: Journal
    rates: Rates
    outbox: Outbox

    def write_down(
        self, tx: Connection, op: str, target: Mapping[str, int], row: Mapping[str, Any], actor: str
    ) -> None:
        """Write an act into the journal, durable before the transaction is: its answer comes after.

        `row` is any JSON with bytes and times. Raises `Unavailable`.
        """
        entry = self.journal.append(op, dict(target), records.encode(row), actor)
        mark_applied(tx, [entry], op)

    def tell(self, tx: Connection, who: Principal, *events: Event) -> None:
        """Write acts into the trail."""
        self.audit.write(tx, who, events)

    def link(self, secret: str) -> str:
        """Write the link of a secret, which stands in the fragment and so in no log."""
        return f"{self.origin()}/s#{secret}"

    def origin(self) -> str:
        """Say where guests find us."""
        settings = self.settings
        if settings.sharing.url:
            return settings.sharing.url.rstrip("/")
        scheme = "http" if settings.dev else "https"
        return f"{scheme}://{settings.http.listen.partition(',')[0].strip()}"


def guest_named(number: str, grant_id: int, address: str | None) -> Principal:
    """Name a guest in the trail before they may do anything."""
    return Principal(
        kind=Kind.SHARE,
        name=f"share/{number}/{grant_id}",
        actions=frozenset(),
        scope=Scope(),
        address=address,
    )


def now() -> dt.datetime:
    """Tell the time as the journal keeps it."""
    return dt.datetime.now(dt.UTC)
