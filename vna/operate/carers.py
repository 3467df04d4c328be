"""Carers: who may act for another person, given and taken back by a desk or by the person.

A desk writes down what it was shown; a person gives trust to an account by its name. A parent acts
until their child is of age, everybody else until a day that is named. Whoever acts sees what the
person sees, less what the person keeps from carers, and does no more than was allowed; whatever was
shared so ends with the right to act. All of it is in the journal before it is answered.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, field, replace

from vna.access import bindings, carers, rates
from vna.access.audit import Audit, Event
from vna.access.carers import Carer, GivenAs, Relation
from vna.access.people import People
from vna.access.policy import require
from vna.access.principal import Action, Principal, system
from vna.access.rates import Rates
from vna.access.sessions import Visitor
from vna.access.signing import Changed
from vna.blobs.journal import Entry, Journal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import (
    ConfigError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooMany,
)
from vna.index.deleted import known_to, mark_applied
from vna.operate import carer_entries as entries
from vna.operate.carer_book import SQL, CarerBook, Given, Named, Stop
from vna.operate.carer_desk import CarerDesk
from vna.operate.own_accounts import Own
from vna.operate.patient_accounts import PatientAccounts
from vna.patients import store
from vna.patients.matching import resolve
from vna.patients.store import Identity
from vna.texts import marked

__all__ = ["Carer", "CarerEngine", "Given", "GivenAs", "Named", "Relation", "Ward"]

TAKEN_BACK = "Taken back by the person"

_TRIES = 10  # of an account in a quarter of an hour
_LAPSED = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A person somebody acts for, as the carer sees them."""

    carer: Carer
    name: str = field(repr=False)
    birth_date: dt.date | None = field(repr=False)


class CarerEngine:
    """Keeps who acts for whom; `desk` is what a desk does. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        people: People,
        vault: Vault,
        accounts: PatientAccounts,
        stop: Stop,
        changed: Changed | None = None,
    ) -> None:
        """`stop` ends what a carer shared, `changed` tells a person that somebody acts for them.

        Raises `ConfigError` when nobody could come of age.
        """
        if not 1 <= settings.access.of_age <= 30 or settings.access.carer_days < 1:
            raise ConfigError("access.of_age is 1 to 30 years, access.carer_days a day at least.")
        self._book = CarerBook(
            journal=Journal(store),
            database=database,
            audit=audit,
            settings=settings,
            vault=vault,
            stop=stop,
            changed=changed,
        )
        self.desk = CarerDesk(self._book, accounts)
        self._people = people
        self._rates = Rates(database)

    # ---- the person ----------------------------------------------------------------------------

    def mine(self, visitor: Visitor) -> list[Named]:
        """List who acts or acted for a patient. Raises `NotPermitted`."""
        _require_self(visitor)
        with self._book.database.reading() as conn:
            found = carers.of_identities(conn, self._identities(conn, visitor))
        return [self._book.named(one) for one in found]

    def called(self, visitor: Visitor) -> dict[str, str]:
        """Say what those are called who act or acted for a patient, or for whom a carer acts.

        By the names the trail has for them.
        """
        acting = visitor.acting
        with self._book.database.reading() as conn:
            ids = (
                self._identities(conn, visitor)
                if acting is None
                else _with_linked(conn, acting.identity)
            )
            found = carers.of_identities(conn, ids)
        named = [(one, self._book.named(one).called) for one in found]
        return {name: called for one, called in named for name in one.acted_as}

    def give(self, visitor: Visitor, login: str, given: Given) -> None:
        """Let an account act for a patient, who trusts it. Raises `InvalidRequest`, `TooMany`."""
        who = _require_self(visitor)
        if self._rates.take(rates.address(str(visitor.account_id), "carers", _TRIES)):
            raise TooMany
        row = self._book.row(
            given, relation=Relation.TRUSTED, given_as=GivenAs.PATIENT, evidence=[]
        )

        def work(tx: Connection) -> None:
            binding = bindings.of_account(tx, visitor.account_id)
            whom = None if binding is None else store.find(tx, [binding.identity])
            if binding is None or not whom or binding.confirmed_at is None:
                raise NotPermitted
            account_id, row["login"] = self._book.found(tx, login)
            if account_id == visitor.account_id:
                raise InvalidRequest(marked("That is your own account."))
            self._book.give(tx, who, whom[binding.identity], row)

        self._book.database.changing(work)

    def take_back(self, visitor: Visitor, carer_id: int) -> None:
        """Let somebody act no more, at once; what they shared ends. Raises `NotFound`."""
        who = _require_self(visitor)

        def held(tx: Connection) -> Carer:
            carer = carers.held(tx, carer_id)
            if carer is None or carer.identity not in self._identities(tx, visitor):
                raise NotFound(marked("Nobody acts for you by this number."))
            return carer

        self._book.end(who, held, TAKEN_BACK)

    def keep_from_carers(self, visitor: Visitor, study: UID, *, is_kept: bool) -> None:
        """Keep a study from everybody who acts for its person, or let them see it again."""
        who = _require_self(visitor)
        require(who, Action.QUERY, StudyRef(study))
        row = {"study": str(study), "at": dt.datetime.now(dt.UTC), "by": who.name}

        def work(tx: Connection) -> None:
            statement = SQL.hide_study if is_kept else SQL.show_study
            if tx.execute(statement, row).fetchone() is None:
                return
            kind = "carer.hidden" if is_kept else "carer.shown"
            self._book.audit.write(tx, who, [Event(kind=kind, outcome="done", study=study)])
            args = {**row, "is_kept": is_kept}
            self._book.write_down(tx, entries.HIDDEN, {"study": str(study)}, args, who)

        self._book.database.changing(work)

    def is_kept(self, study: UID) -> bool:
        """Whether a study is kept from carers."""
        with self._book.database.reading() as conn:
            return bool(carers.hidden(conn, [str(study)]))

    # ---- the carer -----------------------------------------------------------------------------

    def wards(self, account_id: int) -> list[Ward]:
        """List for whom an account may act now."""
        with self._book.database.reading() as conn:
            found = carers.of_account(conn, account_id)
            known = store.find(conn, [one.identity for one in found])
        return [
            Ward(carer=one, name=known[one.identity].said.name, birth_date=_born(known, one))
            for one in found
            if one.identity in known
        ]

    def switch(self, visitor: Visitor, carer_id: int | None) -> str:
        """Act for somebody from here on, or for oneself; give the secret of the session's cookie.

        Raises `NotFound`.
        """

        def work(tx: Connection) -> str:
            carer = None if carer_id is None else carers.held(tx, carer_id)
            if carer_id is not None and (
                carer is None or not carer.holds or carer.account_id != visitor.account_id
            ):
                raise NotFound(marked("You act for nobody by this number, or no longer."))
            detail = {"carer": carer_id or (visitor.acting and visitor.acting.carer_id)}
            kind = "carer.left" if carer is None else "carer.acting"
            who = replace(visitor.principal, name=visitor.login)
            self._book.tell(tx, who, kind, detail)
            return self._people.sessions.act_for(tx, visitor, carer_id)

        return self._book.database.changing(work)

    def own(self, carer: Carer) -> Own | None:
        """Say what pages show of whom somebody acts for; None when they may no longer."""
        with self._book.database.reading() as conn:
            known = store.find(conn, [carer.identity])
            row = conn.execute(SQL.not_released_to, (carer.carer_id,)).fetchone()
        if carer.identity not in known or not carer.holds:
            return None
        count, until = row or (0, None)
        return Own(
            name=known[carer.identity].said.name,
            birth_date=_born(known, carer),
            is_open=True,
            not_released=count,
            released_by=until,
        )

    # ---- in time -------------------------------------------------------------------------------

    def lapse(self) -> int:
        """End what was shared by who may act no longer, whatever ended that; count the shares."""
        with self._book.database.reading() as conn:
            rows = conn.execute(SQL.lapsed, (_LAPSED,)).fetchall()
        return sum(self._book.stop(system("upkeep"), row[0]) for row in rows)

    def lay(self, tx: Connection) -> None:
        """Write what the journal knows into the tables, before blobs are indexed."""
        tx.execute(SQL.forget_hidden)
        for entry in self._book.journal.replay():
            if entry.op in entries.OPS:
                self._take(tx, entry)
                mark_applied(tx, [entry.id], entry.op)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring in what the journal says and a crash kept from the tables; count the acts."""
        known = known_to(self._book.database)
        waits = self._book.journal.unknown(known, older_s=older_s, since=since)
        unknown = [entry for entry in waits if entry.op in entries.OPS]

        def work(tx: Connection) -> None:
            for entry in unknown:
                if mark_applied(tx, [entry.id], entry.op):
                    self._take(tx, entry)

        if unknown:
            self._book.database.changing(work)
            log.warning("acts about carers brought in", extra={"acts": len(unknown)})
        return len(unknown)

    # ---- within --------------------------------------------------------------------------------

    def _take(self, tx: Connection, entry: Entry) -> None:
        row = entries.decoded(entry)
        if entry.op == entries.GIVEN:
            whom = entries.whom(entry)
            store.lock(tx)
            found = resolve(
                tx, whom.issuer, whom.patient_id, whom.said, source="journal", known_as=whom.id
            )
            tx.execute(SQL.add_carer, {**row, "identity_id": found.id})
        elif entry.op == entries.ENDED:
            tx.execute(SQL.end_carer, row)
        elif entry.op == entries.MOVED:
            tx.execute(SQL.move_carer, row)
        elif row.pop("is_kept", False):
            tx.execute(SQL.hide_study, row)
        else:
            tx.execute(SQL.show_study, row)

    def _identities(self, conn: Connection, visitor: Visitor) -> list[bytes]:
        binding = bindings.of_account(conn, visitor.account_id)
        if binding is None or binding.confirmed_at is None:
            return []
        known = store.find(conn, [binding.identity])
        return [other.id for one in known.values() for other in store.of_person(conn, one.person)]


def _require_self(visitor: Visitor) -> Principal:
    """Let a patient decide about themself: nobody decides that who acts for them."""
    if not visitor.is_signed_in:
        raise NotAuthenticated
    if visitor.acting is not None:
        raise NotPermitted(marked("Only the person themself decides this. Change back first."))
    require(visitor.principal, Action.SHARE_OWN)
    return visitor.principal


def _with_linked(conn: Connection, identity: bytes) -> list[bytes]:
    """Give an identity with all that are linked to it."""
    known = store.find(conn, [identity])
    return [other.id for one in known.values() for other in store.of_person(conn, one.person)]


def _born(known: dict[bytes, Identity], carer: Carer) -> dt.date | None:
    return known[carer.identity].said.born
