"""What giving and ending the right to act for somebody consists of, whoever does it."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from vna.access import carers
from vna.access.audit import Audit, Event
from vna.access.carers import Carer, GivenAs, Relation
from vna.access.principal import EVERYTHING, Principal
from vna.access.signing import Change, Changed
from vna.blobs.journal import Journal
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.index.deleted import mark_applied
from vna.operate import carer_entries as entries
from vna.patients import store
from vna.patients.store import Identity
from vna.texts import marked

SQL = statements.load("carers")

MOST_CALLED = 80

_FORWARD = marked("Name a day that lies ahead, and not too far: ask for it again when it is over.")
_NOBODY = marked(
    "No account has this name. It stands on the page “My account” of whom you trust; who has none "
    "gets one at the desk."
)

Stop = Callable[[Principal, str], int]
"""Ends what was shared under a name; counts the shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """How far somebody may act, and until when; `until` is the last day, None of a parent."""

    called: str = field(repr=False)
    may_view: bool
    may_share: bool
    until: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A carer as people are told of them."""

    carer: Carer
    called: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarerBook:
    """The book of who acts for whom. One a process, shared by its threads.

    `stop` ends what a carer shared, `changed` tells a person that somebody acts for them.
    """

    journal: Journal
    database: Database
    audit: Audit
    settings: Settings
    vault: Vault
    stop: Stop
    changed: Changed | None

    def row(
        self, given: Given, *, relation: Relation, given_as: GivenAs, evidence: Sequence[str]
    ) -> dict[str, Any]:
        """Look at what was asked for, and write it as the table keeps it. `InvalidRequest`."""
        called = " ".join(given.called.split())
        if not called or len(called) > MOST_CALLED or not called.isprintable():
            raise InvalidRequest(marked("Say what the one who acts is called."))
        if not (given.may_view or given.may_share):
            raise InvalidRequest(marked("Say what they may do: look, share, or both."))
        is_parent = relation is Relation.PARENT
        carer_id = secrets.randbits(61) + 1
        return {
            "carer_id": carer_id,
            "relation": relation.value,
            "given_as": given_as.value,
            "evidence": list(evidence),
            "may_view": given.may_view,
            "may_share": given.may_share,
            "called": self.vault.seal(carer_id, called.encode()),
            "until_age": self.settings.access.of_age if is_parent else None,
            "zone": self.settings.site.timezone,
            "given_at": dt.datetime.now(dt.UTC),
            "ends_at": self._end_of(given.until, is_parent=is_parent),
        }

    def _end_of(self, day: dt.date | None, *, is_parent: bool) -> dt.datetime | None:
        """Midnight after the last day, where the archive is."""
        zone = ZoneInfo(self.settings.site.timezone)
        today = dt.datetime.now(zone).date()
        last = today + dt.timedelta(days=self.settings.access.carer_days)
        if is_parent and day is None:
            return None
        if day is None or not today <= day or (day > last and not is_parent):
            raise InvalidRequest(_FORWARD)
        try:
            return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
        except OverflowError as exc:
            raise InvalidRequest(_FORWARD) from exc

    def found(self, tx: Connection, login: str) -> tuple[int, str]:
        """Find the account that is to act. Raises `InvalidRequest`."""
        found = carers.account_called(tx, login.strip().lower()[:64])
        if found is None:
            raise InvalidRequest(_NOBODY)
        return found

    def give(self, tx: Connection, who: Principal, whom: Identity, row: dict[str, Any]) -> None:
        """Let an account act for a person, in a transaction. Raises `Conflict`, `Unavailable`."""
        store.lock(tx)  # who gives it at the same moment, to the same account, comes after
        row["identity_id"], row["given_by"] = whom.id, who.name
        for one in carers.of_identities(tx, [i.id for i in store.of_person(tx, whom.person)]):
            if one.login == row["login"] and one.holds:
                raise Conflict(marked("This account acts for them already: end that first."))
        tx.execute(SQL.add_carer, row)
        told = ("carer_id", "login", "relation", "given_as", "evidence", "may_view", "may_share")
        detail = {name: row[name] for name in told} | {"identity": whom.id.hex()}
        self.tell(tx, who, "carer.given", detail)
        for account_id in carers.accounts_of_person(tx, whom.id):
            if self.changed is not None:
                self.changed(tx, account_id, Change.CARER)
        self.write_down(tx, entries.GIVEN, entries.target_of(whom), row, who)

    def end(self, who: Principal, held: Callable[[Connection], Carer], reason: str) -> None:
        """Let somebody act no more; what they shared ends. Raises `NotFound`, `Unavailable`."""
        row = {"ended_at": dt.datetime.now(dt.UTC), "ended_by": who.name, "reason": reason}

        def work(tx: Connection) -> Carer:
            carer = held(tx)
            args = {**row, "carer_id": carer.carer_id}
            if tx.execute(SQL.end_carer, args).fetchone() is None:
                raise NotFound(marked("That was ended before."))
            self.tell(tx, who, "carer.ended", {"carer": carer.carer_id, "account": carer.login})
            self.write_down(tx, entries.ENDED, {"carer": carer.carer_id}, args, who)
            return carer

        carer = self.database.changing(work)
        for name in carer.acted_as:
            self.stop(replace(who, scope=EVERYTHING), name)

    def named(self, carer: Carer) -> Named:
        """Say what a carer is called."""
        called = self.vault.open(carer.carer_id, carer.called).decode()
        return Named(carer=carer, called=called)

    def write_down(
        self, tx: Connection, op: str, target: dict[str, Any], row: dict[str, Any], who: Principal
    ) -> None:
        """Put an act into the journal, last in its transaction."""
        entry = self.journal.append(op, target, entries.encoded(row), who.name)
        mark_applied(tx, [entry], op)

    def tell(self, tx: Connection, who: Principal, kind: str, detail: dict[str, Any]) -> None:
        """Write an act into the trail."""
        self.audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])
