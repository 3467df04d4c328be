"""What every part of sharing works with, and how an act is written down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString, Protocol, TypeVar
from zoneinfo import ZoneInfo

from vna.access.audit import Audit, Event
from vna.access.labels import Labels
from vna.access.principal import Action, Kind, Label, Principal, Scope
from vna.access.rates import Rates
from vna.access.roles import known
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery.channels import Channel
from vna.index.deleted import mark_applied
from vna.sharing import records
from vna.sharing.keys import ShareKeys
from vna.sharing.open_shares import OpenShares, Writes

SQL = statements.load("sharing")

T = TypeVar("T")

_KIOSK = "kiosk:"


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


class Rows(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int:
        """How many rows it touched."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Take one row."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Take them all."""


class Runs(Protocol):
    """What runs a statement: a connection, or an act."""

    def execute(self, statement: LiteralString, values: Any = ..., /) -> Rows:
        """Run one statement; values are what it takes."""


@dataclass(frozen=True, slots=True)
class Written:
    """An entry of the journal to be."""

    op: str
    target: dict[str, int]
    args: dict[str, Any]  # JSON
    actor: str


@dataclass(frozen=True, slots=True)
class Act:
    """An act under way: its transaction, and what the journal will say of it."""

    tx: Connection
    entries: list[Written] = field(default_factory=list)

    def execute(self, statement: LiteralString, values: Any = (), /) -> Rows:
        """Run one statement in the act's transaction."""
        return self.tx.execute(statement, values)

    def write_down(
        self, op: str, target: Mapping[str, int], row: Mapping[str, Any], actor: str
    ) -> None:
        """Say what the journal shall hold: `row` is any JSON with bytes and times."""
        self.entries.append(Written(op, dict(target), records.encode(row), actor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The stores sharing stands on. Shared by threads."""

    store: BlobStore
    database: Database
    audit: Audit
    settings: Settings
    keys: ShareKeys
    journal: Writes
    rates: Rates
    labels: Labels
    outbox: Outbox
    open_shares: OpenShares | None = None  # in a process that opens blobs by nothing else

    def act(self, work: Callable[[Act], T]) -> T:
        """Do an act in a transaction; what it writes down is durable before the transaction is.

        The journal comes last: what is refused on the way leaves no trace there, and once it is
        written only a lost database keeps the act from the tables. Raises `Unavailable`.
        """

        def whole(tx: Connection) -> T:
            act = Act(tx)
            done = work(act)
            for entry in act.entries:
                entry_id = self.journal.append(entry.op, entry.target, entry.args, entry.actor)
                mark_applied(tx, [entry_id], entry.op)
            return done

        return self.database.changing(whole)

    def tell(self, act: Act, who: Principal, *events: Event) -> None:
        """Write acts into the trail."""
        self.audit.write(act.tx, who, events)

    def guests_clearances(self) -> frozenset[Label]:
        """Say which labels withhold nothing from who was sent a link.

        Who shares a sensitive study has chosen to; an embargo or a dispute holds for all, as
        `conf/roles.toml` has it.
        """
        return known(self.settings.access.roles).guest.clearances

    def let_in(self, guest: Principal, scope: Scope) -> Principal:
        """Give who was sent a link, and has proven what it asks, what their role may in its scope.

        To bring something is another sort of link's.
        """
        role = known(self.settings.access.roles).guest
        actions = role.actions & {Action.QUERY, Action.RETRIEVE}
        return replace(guest, actions=actions, scope=scope, clearances=role.clearances)

    def link(self, secret: str) -> str:
        """Write the link of a secret, which stands in the fragment and so in no log."""
        return f"{self.origin()}/s#{secret}"

    def zone(self) -> ZoneInfo:
        """Say whose days are meant."""
        return ZoneInfo(self.settings.site.timezone)

    def origin(self) -> str:
        """Say where guests find us."""
        settings = self.settings
        if settings.sharing.url:
            return settings.sharing.url.rstrip("/")
        scheme = "http" if settings.dev else "https"
        listen = settings.sharing.listen or settings.http.listen
        return f"{scheme}://{listen.partition(',')[0].strip()}"


def guest_named(number: str, grant_id: int, address: str | None) -> Principal:
    """Name a guest in the trail before they may do anything."""
    return Principal(
        kind=Kind.SHARE,
        name=f"share/{number}/{grant_id}",
        actions=frozenset(),
        scope=Scope(),
        address=address,
    )


def kiosk_named(begun_by: str) -> str:
    """Name in the trail who a tablet acts for: who began it vouches for the person."""
    return f"{_KIOSK}{begun_by}"


def behind(name: str) -> str:
    """Say whose account stands behind a name of the trail: a tablet is nobody else's word."""
    return name.removeprefix(_KIOSK)


def now() -> dt.datetime:
    """Tell the time as the journal keeps it."""
    return dt.datetime.now(dt.UTC)
