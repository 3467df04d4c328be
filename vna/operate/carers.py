"""Carers: who may act for another person, given and taken back by a desk or by the person.

A desk writes down what it was shown; a person gives trust to an account by its name. A parent acts
until their child is of age, everybody else until a day that is named. Whoever acts sees what the
person sees, less what the person keeps from carers, and does no more than was allowed; whatever was
shared so ends with the right to act. All of it is in the journal before it is answered.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from vna.access import bindings, carers, rates
from vna.access.audit import Audit, Event
from vna.access.carers import Carer, GivenAs, Relation
from vna.access.people import People
from vna.access.policy import require
from vna.access.principal import EVERYTHING, Action, Principal, system
from vna.access.rates import Rates
from vna.access.sessions import Visitor
from vna.access.signing import Change, Changed
from vna.blobs.journal import Entry, Journal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooMany,
)
from vna.index.deleted import known_to, mark_applied
from vna.operate import carer_entries as entries
from vna.operate.patient_accounts import CODE_S, Holder, Issued, Own, PatientAccounts
from vna.patients import store
from vna.patients.matching import resolve
from vna.patients.store import Identity
from vna.texts import marked

__all__ = ["AtDesk", "Carer", "CarerEngine", "GivenAs", "Given", "Relation", "Ward"]

EVIDENCE = (
    *("identity", "birth-certificate", "custody", "court-order", "power-of-attorney"),
    "person-present",
)
"""What a desk can be shown. Sorts of papers only: what stands in them is the desk's to file."""

MOST_CALLED = 80
TAKEN_BACK = "Taken back by the person"
OVER = "The right to act is over"

_SQL = statements.load("carers")
_TRIES = 10  # of an account in a quarter of an hour
_REASON_MOST = 500
_LAPSED = 100
_FORWARD = marked("Name a day that lies ahead, and not too far: ask for it again when it is over.")
_NOBODY = marked(
    "No account has this name. It stands on the page “My account” of whom you trust; who has none "
    "gets one at the desk."
)

log = logging.getLogger(__name__)

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
class AtDesk:
    """Who acts for the person a study is about, as the desk sees it."""

    holder: Holder
    carers: tuple[Named, ...]
    codes: dict[int, bindings.Code]
    own_accounts: frozenset[int]  # of carers who are patients here, too: their code is their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A person somebody acts for, as the carer sees them."""

    carer: Carer
    name: str = field(repr=False)
    birth_date: dt.date | None = field(repr=False)


class CarerEngine:
    """Keeps who acts for whom. One a process, shared by its threads."""

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
        self._journal = Journal(store)
        self._database = database
        self._audit = audit
        self._settings = settings
        self._people = people
        self._vault = vault
        self._accounts = accounts
        self._stop = stop
        self._changed = changed
        self._rates = Rates(database)

    # ---- the desk ------------------------------------------------------------------------------

    def at_desk(self, who: Principal, study: UID) -> AtDesk:
        """Show who acts for whom a study is about. Raises `NotPermitted`, `NotFound`."""
        holder = self._accounts.holder(who, study)
        with self._database.reading() as conn:
            found = carers.of_identities(conn, [one.id for one in holder.identities])
            numbers = [one.account_id for one in found if one.account_id is not None]
            codes = bindings.codes(conn, numbers)
            own = {n for n in numbers if bindings.of_account(conn, n) is not None}
        named = tuple(self._named(one) for one in found)
        return AtDesk(holder=holder, carers=named, codes=codes, own_accounts=frozenset(own))

    def add(
        self,
        who: Principal,
        study: UID,
        given: Given,
        *,
        relation: Relation,
        evidence: Collection[str],
        login: str,
    ) -> Issued | None:
        """Let somebody act for whom a study is about, by what a desk was shown.

        `login` is an account they have; with none a new one is made, and its code given back, which
        is typed with the birth date of whom they act for. Raises `NotPermitted`, `NotFound`,
        `InvalidRequest`, `Conflict`, `Unavailable`.
        """
        holder = self._accounts.holder(who, study)
        if holder.obstacle is not None:
            raise Conflict(holder.obstacle)
        shown = [one for one in EVIDENCE if one in evidence]
        if not shown or (shown == ["identity"] and relation is not Relation.TRUSTED):
            raise InvalidRequest("Say what you were shown that gives them the right to act.")
        row = self._row(given, relation=relation, given_as=GivenAs.DESK, evidence=shown)
        if relation is Relation.PARENT and not self._is_minor(holder):
            raise Conflict("This person is of age: a parent acts for a child only.")

        def work(tx: Connection) -> Issued | None:
            issued = None
            if login.strip():
                row["login"] = self._found(tx, login)[1]
            else:
                account_id, row["login"] = bindings.add_account(tx)
                issued = self._issue(tx, account_id, row["login"], who)
            self._give(tx, who, holder.one, row)
            return issued

        return self._database.changing(work)

    def code(self, who: Principal, study: UID, carer_id: int, *, compared: bool) -> Issued:
        """Make a new code for a carer who cannot sign in; a lost account is followed by another.

        Raises `NotFound`, `Conflict`, `InvalidRequest`.
        """
        holder = self._accounts.holder(who, study)
        if not compared:
            raise InvalidRequest("Look at a document that shows who they are.")

        def work(tx: Connection) -> Issued:
            carer = self._held(tx, holder, carer_id)
            if not carer.holds:
                raise Conflict("They may not act any more: give it to them anew.")
            account_id, login = carer.account_id, carer.login
            if account_id is None:
                account_id, login = bindings.add_account(tx)
                tx.execute(_SQL.move_carer, (account_id, login, carer_id))
            elif bindings.of_account(tx, account_id) is not None:
                raise Conflict("Their account is that of a patient: its code is made there.")
            issued = self._issue(tx, account_id, login, who)
            self._tell(tx, who, "carer.code", {"carer": carer_id, "account": login})
            if carer.account_id is None:
                moved = {"carer_id": carer_id, "login": login}
                self._write_down(tx, entries.MOVED, {"carer": carer_id}, moved, who)
            return issued

        return self._database.changing(work)

    def end(self, who: Principal, study: UID, carer_id: int, *, reason: str) -> None:
        """Let somebody act no more; what they shared ends. Raises `NotFound`, `InvalidRequest`."""
        holder = self._accounts.holder(who, study)
        if not reason.strip() or len(reason) > _REASON_MOST or not reason.isprintable():
            raise InvalidRequest(f"Say why, in a line of at most {_REASON_MOST} characters.")
        self._end(who, lambda tx: self._held(tx, holder, carer_id), reason.strip())

    # ---- the person ----------------------------------------------------------------------------

    def mine(self, visitor: Visitor) -> list[Named]:
        """List who acts or acted for a patient. Raises `NotPermitted`."""
        _require_self(visitor)
        with self._database.reading() as conn:
            found = carers.of_identities(conn, self._identities(conn, visitor))
        return [self._named(one) for one in found]

    def called(self, person: bytes) -> dict[str, str]:
        """Say what everybody is called who acts or acted for the person of an identity."""
        with self._database.reading() as conn:
            known = store.find(conn, [person]).get(person)
            ids = [] if known is None else [i.id for i in store.of_person(conn, known.person)]
            found = carers.of_identities(conn, ids)
        return {one.acts_as: self._named(one).called for one in found}

    def give(self, visitor: Visitor, login: str, given: Given) -> None:
        """Let an account act for a patient, who trusts it. Raises `InvalidRequest`, `TooMany`."""
        who = _require_self(visitor)
        if self._rates.take(rates.address(str(visitor.account_id), "carers", _TRIES)):
            raise TooMany
        row = self._row(given, relation=Relation.TRUSTED, given_as=GivenAs.PATIENT, evidence=[])

        def work(tx: Connection) -> None:
            binding = bindings.of_account(tx, visitor.account_id)
            whom = None if binding is None else store.find(tx, [binding.identity])
            if binding is None or not whom or binding.confirmed_at is None:
                raise NotPermitted
            account_id, row["login"] = self._found(tx, login)
            if account_id == visitor.account_id:
                raise InvalidRequest(marked("That is your own account."))
            self._give(tx, who, whom[binding.identity], row)

        self._database.changing(work)

    def take_back(self, visitor: Visitor, carer_id: int) -> None:
        """Let somebody act no more, at once; what they shared ends. Raises `NotFound`."""
        who = _require_self(visitor)

        def held(tx: Connection) -> Carer:
            carer = carers.held(tx, carer_id)
            if carer is None or carer.identity not in self._identities(tx, visitor):
                raise NotFound(marked("Nobody acts for you by this number."))
            return carer

        self._end(who, held, TAKEN_BACK)

    def keep_from_carers(self, visitor: Visitor, study: UID, *, is_kept: bool) -> None:
        """Keep a study from everybody who acts for its person, or let them see it again."""
        who = _require_self(visitor)
        require(who, Action.QUERY, StudyRef(study))
        row = {"study": str(study), "at": dt.datetime.now(dt.UTC), "by": who.name}

        def work(tx: Connection) -> None:
            statement = _SQL.hide_study if is_kept else _SQL.show_study
            if tx.execute(statement, row).fetchone() is None:
                return
            kind = "carer.hidden" if is_kept else "carer.shown"
            self._audit.write(tx, who, [Event(kind=kind, outcome="done", study=study)])
            args = {**row, "is_kept": is_kept}
            self._write_down(tx, entries.HIDDEN, {"study": str(study)}, args, who)

        self._database.changing(work)

    def is_kept(self, study: UID) -> bool:
        """Whether a study is kept from carers."""
        with self._database.reading() as conn:
            return bool(carers.hidden(conn, [str(study)]))

    # ---- the carer -----------------------------------------------------------------------------

    def wards(self, account_id: int) -> list[Ward]:
        """List for whom an account may act now."""
        with self._database.reading() as conn:
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
            self._tell(tx, who, kind, detail)
            return self._people.sessions.act_for(tx, visitor, carer_id)

        return self._database.changing(work)

    def own(self, carer: Carer) -> Own | None:
        """Say what pages show of whom somebody acts for; None when they may no longer."""
        with self._database.reading() as conn:
            known = store.find(conn, [carer.identity])
            row = conn.execute(_SQL.not_released_to, (carer.carer_id,)).fetchone()
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
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.lapsed, (_LAPSED,)).fetchall()
        return sum(self._stop(system("upkeep"), row[1]) for row in rows)

    def lay(self, tx: Connection) -> None:
        """Write what the journal knows into the tables, before blobs are indexed."""
        tx.execute(_SQL.forget_hidden)
        for entry in self._journal.replay():
            if entry.op in entries.OPS:
                self._take(tx, entry)
                mark_applied(tx, [entry.id], entry.op)

    def catch_up(self, *, older_s: float) -> int:
        """Bring in what the journal says and a crash kept from the tables; count the acts."""
        known = known_to(self._database)
        waits = self._journal.unknown(known, older_s=older_s)
        unknown = [entry for entry in waits if entry.op in entries.OPS]

        def work(tx: Connection) -> None:
            for entry in unknown:
                if mark_applied(tx, [entry.id], entry.op):
                    self._take(tx, entry)

        if unknown:
            self._database.changing(work)
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
            tx.execute(_SQL.add_carer, {**row, "identity_id": found.id})
        elif entry.op == entries.ENDED:
            tx.execute(_SQL.end_carer, row)
        elif entry.op == entries.MOVED:
            found_account = carers.account_called(tx, row["login"])
            if found_account is not None:
                tx.execute(_SQL.move_carer, (*found_account, row["carer_id"]))
        elif row.pop("is_kept", False):
            tx.execute(_SQL.hide_study, row)
        else:
            tx.execute(_SQL.show_study, row)

    def _give(self, tx: Connection, who: Principal, whom: Identity, row: dict[str, Any]) -> None:
        row["identity_id"], row["given_by"] = whom.id, who.name
        for one in carers.of_identities(tx, [i.id for i in store.of_person(tx, whom.person)]):
            if one.login == row["login"] and one.holds:
                raise Conflict(marked("This account acts for them already: end that first."))
        tx.execute(_SQL.add_carer, row)
        told = ("carer_id", "login", "relation", "given_as", "evidence", "may_view", "may_share")
        self._tell(tx, who, "carer.given", {name: row[name] for name in told})
        for account_id in carers.accounts_of_person(tx, whom.id):
            if self._changed is not None:
                self._changed(tx, account_id, Change.CARER)
        self._write_down(tx, entries.GIVEN, entries.target_of(whom), row, who)

    def _end(self, who: Principal, held: Callable[[Connection], Carer], reason: str) -> None:
        row = {"ended_at": dt.datetime.now(dt.UTC), "ended_by": who.name, "reason": reason}

        def work(tx: Connection) -> Carer:
            carer = held(tx)
            args = {**row, "carer_id": carer.carer_id}
            if tx.execute(_SQL.end_carer, args).fetchone() is None:
                raise NotFound(marked("That was ended before."))
            self._tell(tx, who, "carer.ended", {"carer": carer.carer_id, "account": carer.login})
            self._write_down(tx, entries.ENDED, {"carer": carer.carer_id}, args, who)
            return carer

        carer = self._database.changing(work)
        self._stop(replace(who, scope=EVERYTHING), carer.acts_as)

    def _row(
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
            "called": self._vault.seal(carer_id, called.encode()),
            "until_age": self._settings.access.of_age if is_parent else None,
            "zone": self._settings.site.timezone,
            "given_at": dt.datetime.now(dt.UTC),
            "ends_at": self._end_of(given.until, is_parent=is_parent),
        }

    def _end_of(self, day: dt.date | None, *, is_parent: bool) -> dt.datetime | None:
        """Midnight after the last day, where the archive is."""
        zone = ZoneInfo(self._settings.site.timezone)
        today = dt.datetime.now(zone).date()
        last = today + dt.timedelta(days=self._settings.access.carer_days)
        if is_parent and day is None:
            return None
        if day is None or not today <= day or (day > last and not is_parent):
            raise InvalidRequest(_FORWARD)
        try:
            return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
        except OverflowError as exc:
            raise InvalidRequest(_FORWARD) from exc

    def _is_minor(self, holder: Holder) -> bool:
        zone = self._settings.site.timezone
        born = min(one.said.born for one in holder.identities if one.said.born)
        asked = (born, self._settings.access.of_age, zone)
        with self._database.reading() as conn:
            row = conn.execute(_SQL.is_minor, asked).fetchone()
        return bool(row and row[0])

    def _found(self, tx: Connection, login: str) -> tuple[int, str]:
        found = carers.account_called(tx, login.strip().lower()[:64])
        if found is None:
            raise InvalidRequest(_NOBODY)
        return found

    def _issue(self, tx: Connection, account_id: int, login: str, who: Principal) -> Issued:
        code, until = bindings.issue(tx, self._vault, account_id, by=who.name, lasts_s=CODE_S)
        return Issued(login=login, code=code, until=until)

    def _identities(self, conn: Connection, visitor: Visitor) -> list[bytes]:
        binding = bindings.of_account(conn, visitor.account_id)
        if binding is None or binding.confirmed_at is None:
            return []
        known = store.find(conn, [binding.identity])
        return [other.id for one in known.values() for other in store.of_person(conn, one.person)]

    def _held(self, tx: Connection, holder: Holder, carer_id: int) -> Carer:
        carer = carers.held(tx, carer_id)
        if carer is None or carer.identity not in {one.id for one in holder.identities}:
            raise NotFound("Nobody acts for this person by this number.")
        return carer

    def _named(self, carer: Carer) -> Named:
        called = self._vault.open(carer.carer_id, carer.called).decode()
        return Named(carer=carer, called=called)

    def _write_down(
        self, tx: Connection, op: str, target: dict[str, Any], row: dict[str, Any], who: Principal
    ) -> None:
        """Put an act into the journal, last in its transaction."""
        entry = self._journal.append(op, target, entries.encoded(row), who.name)
        mark_applied(tx, [entry], op)

    def _tell(self, tx: Connection, who: Principal, kind: str, detail: dict[str, Any]) -> None:
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])


def _require_self(visitor: Visitor) -> Principal:
    """Let a patient decide about themself: nobody decides that who acts for them."""
    if not visitor.is_signed_in:
        raise NotAuthenticated
    if visitor.acting is not None:
        raise NotPermitted(marked("Only the person themself decides this. Change back first."))
    require(visitor.principal, Action.SHARE_OWN)
    return visitor.principal


def _born(known: dict[bytes, Identity], carer: Carer) -> dt.date | None:
    return known[carer.identity].said.born
