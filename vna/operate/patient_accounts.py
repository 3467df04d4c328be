"""Patients' own accounts at the desk: whose they are, their codes, confirmed, ended.

A desk compares two things with somebody and hands over a code; who types it together with the birth
date chooses how they sign in (`account_beginnings`). An account that was made from a link shows
nothing before a desk has compared. What an account sees is asked of the database at each request
(`own_reach`), so that a link taken back is out of sight at once; what its pages say is
`own_accounts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from vna.access import bindings, held_changes
from vna.access.audit import Audit, Event
from vna.access.bindings import Binding, Code, Proof
from vna.access.people import People
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.roles import PATIENT
from vna.access.signing import Change, Changed
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.operate.account_beginnings import AccountBeginnings
from vna.operate.identities import IdentityEngine
from vna.operate.own_accounts import OwnAccounts
from vna.patients import store
from vna.patients.store import Identity
from vna.texts import filled, marked

__all__ = ["Binding", "Code", "Holder", "Issued", "PatientAccounts", "Waiting"]

PAPERS = "papers"
Suspend = Callable[[Principal, str], int]
"""Suspends what an account of this name has shared; counts the shares."""

COMPARED = ("name", "birth-date", "patient-id", "last-exam", "address", PAPERS)
LEAST_COMPARED = 2
CODE_S = 14 * 86400.0

_SQL = statements.load("own")
_AT_ONCE = 1000  # studies whose patients are looked at before a person is shown
_REASON_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A person at the desk: their identities, and the accounts that are bound to one of them."""

    study: UID
    identities: tuple[Identity, ...]
    bindings: tuple[Binding, ...]
    codes: dict[int, Code]
    changes: dict[
        int, list[held_changes.Change]
    ]  # about where accounts are written to; none counts yet
    obstacle: str | None  # why nobody can have an account for this person now

    @property
    def one(self) -> Identity:
        """The identity the study is about."""
        return self.identities[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A code as it is handed over; it is shown once."""

    login: str
    code: str = field(repr=False)
    until: dt.datetime
    opens_at: dt.datetime | None = None  # None: it opens now


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An account that waits for staff; `study` is one of the person's."""

    binding: Binding
    identity: Identity
    study: UID


class PatientAccounts:
    """Keeps patients' accounts. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        settings: Settings,
        people: People,
        vault: Vault,
        identities: IdentityEngine,
        changed: Changed,
        suspend: Suspend,
    ) -> None:
        """`changed` tells an account that a desk made a code for its person.

        `suspend` lets nobody in any more whom an account that is ended has shared with.
        """
        self._suspend = suspend
        self._database = database
        self._audit = audit
        self._settings = settings
        self._people = people
        self._vault = vault
        self._identities = identities
        self._changed = changed
        self.own = OwnAccounts(database=database, audit=audit)
        self.beginnings = AccountBeginnings(
            database=database,
            audit=audit,
            settings=settings,
            people=people,
            vault=vault,
            identities=identities,
        )

    def holder(self, who: Principal, study: UID) -> Holder:
        """Show whom a study is about, and their accounts. Raises `NotPermitted`, `NotFound`."""
        self._require(who, study)
        self._identities.keep_up(_AT_ONCE)
        standing = self._identities.standing(study)
        if standing is None:
            with self._database.reading() as conn:
                is_held = conn.execute(_SQL.is_study, (study,)).fetchone() == (True,)
            if not is_held:
                raise NotFound  # as for a study out of reach
            raise NotFound(
                marked("Nobody knows yet whom this study is about: look again in a minute.")
            )
        found = self._identities.views.person(who, standing.identity)
        first = sorted(found.identities, key=lambda one: one.id != standing.identity)
        with self._database.reading() as conn:
            bound = bindings.of_identities(conn, [one.id for one in first])
            accounts = [one.account_id for one in bound]
            codes = bindings.codes(conn, accounts)
            changes: dict[int, list[held_changes.Change]] = {}
            for change in held_changes.changes_of(conn, accounts):
                changes.setdefault(change.account_id, []).append(change)
        return Holder(
            study=study,
            identities=tuple(first),
            bindings=tuple(bound),
            codes=codes,
            changes=changes,
            obstacle=self._obstacle(
                first, is_doubtful=standing.disputed or standing.alert is not None
            ),
        )

    def issue(
        self, who: Principal, study: UID, *, compared: Collection[str], binding_id: int | None
    ) -> Issued:
        """Make the code of an account: of a new one, or of one whose owner cannot sign in.

        Who has an account already may be somebody else than who asks: where no papers were seen
        the code opens nothing for `access.hold_hours`. The account in use is told either way.
        Raises `NotPermitted`, `NotFound`, `InvalidRequest`, `Conflict`, `Unavailable`.
        """
        holder = self.holder(who, study)
        told = _require_compared(compared)
        if holder.obstacle is not None:
            raise Conflict(holder.obstacle)
        in_use = [one for one in holder.bindings if one.state == "open"]

        def work(tx: Connection) -> Issued:
            if binding_id is None:
                account_id, login = bindings.add(tx, holder.one.id, Proof.DESK, by=who.name)
            else:
                held = self._held(tx, holder, binding_id)
                if held.confirmed_at is None:
                    raise Conflict(marked("This account waits to be confirmed; that comes first."))
                account_id, login = held.account_id, held.login
            hold_s = 0.0
            if in_use and PAPERS not in told:
                hold_s = self._settings.access.hold_hours * 3600.0
            code, out = bindings.issue(
                tx, self._vault, account_id, by=who.name, lasts_s=CODE_S, hold_s=hold_s
            )
            for one in in_use:
                self._changed(tx, one.account_id, Change.CODE)
            detail = {"account": login, "compared": told, "new": binding_id is None}
            self._tell(tx, who, "account.code", detail)
            if binding_id is None:
                self._identities.bound(tx, who, holder.one.id, account=login)
            return Issued(login=login, code=code, until=out.ends_at, opens_at=out.opens_at)

        return self._database.changing(work)

    def confirm(
        self, who: Principal, study: UID, binding_id: int, *, compared: Collection[str]
    ) -> None:
        """Let an account that waits see what is about its person: staff have compared."""
        holder = self.holder(who, study)
        told = _require_compared(compared)
        if holder.obstacle is not None:
            raise Conflict(holder.obstacle)

        def work(tx: Connection) -> None:
            held = self._held(tx, holder, binding_id)
            if held.confirmed_at is not None:
                raise Conflict(marked("This account was confirmed before."))
            bindings.confirm(tx, held, who.name)
            self._tell(tx, who, "account.confirmed", {"account": held.login, "compared": told})
            self._identities.bound(tx, who, held.identity, account=held.login)

        self._database.changing(work)

    def end(self, who: Principal, study: UID, binding_id: int, *, reason: str) -> None:
        """Let nobody in by an account any more; who is in is out within a second.

        It may have been somebody else's: what it shared is suspended until somebody has looked.
        """
        holder = self.holder(who, study)
        if not reason.strip() or len(reason) > _REASON_MOST or not reason.isprintable():
            raise InvalidRequest(
                filled("Say why, in a line of at most %(most)s characters.", most=_REASON_MOST)
            )

        def work(tx: Connection) -> None:
            held = self._held(tx, holder, binding_id)
            bindings.end(tx, held, by=who.name, reason=reason.strip())
            self._tell(tx, who, "account.unbound", {"account": held.login})

        logins = [
            one.login
            for one in holder.bindings
            if one.binding_id == binding_id and one.ended_at is None
        ]
        for login in logins:
            self._suspend(who, login)
        self._database.changing(work)
        for login in logins:  # once more: a share may have been under way
            self._suspend(who, login)

    def keep_ways(self, who: Principal, study: UID, binding_id: int) -> None:
        """Leave an account as it was: who called asked for no code, and no other address.

        Nothing need be compared: whoever stops what is not theirs makes its owner wait again.
        Raises `NotPermitted`, `NotFound`, `Conflict` when nothing waits.
        """
        holder = self.holder(who, study)

        def work(tx: Connection) -> None:
            held = self._held(tx, holder, binding_id)
            held_changes.settle(tx, held.account_id)
            kept = held_changes.stop(tx, held.account_id, None)
            codes = bindings.void_held(tx, [held.account_id])
            if not kept and not codes:
                raise Conflict(marked("Nothing is to change there any more."))
            if kept:
                self._tell(tx, who, "contact.kept", {"account": held.login, "ways": kept})
            if codes:
                self._tell(tx, who, "account.code.stopped", {"account": held.login})

        self._database.changing(work)

    def waiting(self, who: Principal) -> list[Waiting]:
        """List the accounts that wait for somebody to compare, the oldest first."""
        require(who, Action.CORRECT)
        with self._database.reading() as conn:
            waits = bindings.waiting(conn)
            known = store.find(conn, [one.identity for one in waits])
            studies: dict[bytes, UID] = {}  # of each the first one that is seen
            for study, identity in store.studies_of(conn, {one.person for one in known.values()}):
                if who.scope.covers(StudyRef(UID(study))):
                    studies.setdefault(identity, UID(study))
        found = [
            Waiting(binding=one, identity=known[one.identity], study=studies[one.identity])
            for one in waits
            if one.identity in studies
        ]
        if found:
            detail = {"list": "accounts", "count": len(found)}
            self._audit.note(who, Event(kind="identity.seen", outcome="done", detail=detail))
        return found

    def _require(self, who: Principal, study: UID) -> None:
        """Accounts cross studies: who sees only some of the archive gives none."""
        require(who, Action.CORRECT, StudyRef(study))
        if not who.scope.everything:
            raise NotFound

    def _obstacle(self, identities: Sequence[Identity], *, is_doubtful: bool) -> str | None:
        if not self._people.roles.is_own([PATIENT]):
            return marked(
                'There is no role "patient" of the reach "own" in the roles of this archive.'
            )
        if is_doubtful or any(one.quarantined for one in identities):
            return marked(
                "It is in doubt whom this study is about: decide that first, among the patients."
            )
        if not any(one.said.born for one in identities):
            return marked(
                "No birth date is known of this person, and the code is typed together with it."
            )
        return None

    def _held(self, tx: Connection, holder: Holder, binding_id: int) -> Binding:
        held = bindings.hold(tx, binding_id)
        if held is None or held.identity not in {one.id for one in holder.identities}:
            raise NotFound(marked("This person has no such account, or it ended."))
        return held

    def _tell(self, tx: Connection, who: Principal, kind: str, detail: dict[str, object]) -> None:
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])


def _require_compared(compared: Collection[str]) -> list[str]:
    told = [one for one in COMPARED if one in compared]
    if len(told) < LEAST_COMPARED:
        raise InvalidRequest(marked("Compare at least two things with the person before you."))
    return told
