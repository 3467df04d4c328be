"""Patients' own accounts: bound to a person by a desk or by a link, confirmed, ended.

A desk compares two things with somebody and hands over a code; who types it together with the birth
date chooses how they sign in. Who has come by a link may make an account, too, but it shows nothing
before a desk has compared: a link alone never opens the whole record. What an account sees is asked
of the database at each request (`own_reach`), so that a link taken back is out of sight at once.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from vna.access import bindings, held_changes, rates
from vna.access.audit import Audit, Event
from vna.access.bindings import Binding, Code, Proof
from vna.access.people import People
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.rates import Rates
from vna.access.roles import PATIENT
from vna.access.sessions import Browser, person
from vna.access.signing import Change, Changed
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, TooMany
from vna.operate.identities import IdentityEngine
from vna.patients import store
from vna.patients.store import Identity
from vna.texts import marked

__all__ = ["Binding", "Code", "Holder", "Issued", "Own", "PatientAccounts", "Waiting"]

PAPERS = "papers"
COMPARED = ("name", "birth-date", "patient-id", "last-exam", "address", PAPERS)
LEAST_COMPARED = 2
CODE_S = 14 * 86400.0

_SQL = statements.load("own")
_AT_ONCE = 1000  # studies whose patients are looked at before a person is shown
_TRIES = 20  # of an address in a quarter of an hour
_REASON_MOST = 500
_WRONG = marked("The code or the birth date is not right, or the code is no longer good.")
_MADE = marked("An account was made by this link before: sign in with it.")
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})[. /](\d{1,2})[. /](\d{4})", re.ASCII)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a patient's pages say of their account."""

    name: str = field(repr=False)
    birth_date: dt.date | None = field(repr=False)
    is_open: bool  # not open: it waits for staff
    not_released: int  # studies under an embargo
    released_by: dt.datetime | None


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
    ) -> None:
        """`changed` tells an account that a desk made a code for its person."""
        self._database = database
        self._audit = audit
        self._settings = settings
        self._people = people
        self._vault = vault
        self._identities = identities
        self._changed = changed
        self._rates = Rates(database)

    # ---- the desk --------------------------------------------------------------------------

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
        """Let nobody in by an account any more; who is in is out within a second."""
        holder = self.holder(who, study)
        if not reason.strip() or len(reason) > _REASON_MOST or not reason.isprintable():
            raise InvalidRequest(f"Say why, in a line of at most {_REASON_MOST} characters.")

        def work(tx: Connection) -> None:
            held = self._held(tx, holder, binding_id)
            bindings.end(tx, held, by=who.name, reason=reason.strip())
            self._tell(tx, who, "account.unbound", {"account": held.login})

        self._database.changing(work)

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
            studies: dict[bytes, UID] = {}
            for study, identity in store.studies_of(conn, {one.person for one in known.values()}):
                studies.setdefault(identity, UID(study))
        return [
            Waiting(binding=one, identity=known[one.identity], study=studies[one.identity])
            for one in waits
            if one.identity in studies and who.scope.covers(StudyRef(studies[one.identity]))
        ]

    # ---- coming in -------------------------------------------------------------------------

    def redeem(self, code: str, born: str, browser: Browser) -> str:
        """Begin to enrol by a code of the desk; return the secret of the cookie.

        A wrong code and a wrong birth date look alike; five wrong birth dates lock a code. Raises
        `NotAuthenticated`, `TooMany`.
        """
        limits = rates.address(browser.address, "desk-code", _TRIES)
        if self._rates.take(limits):
            raise TooMany
        tried = self._database.changing(lambda tx: bindings.charge(tx, self._vault, code))
        if tried is None or not self._is_born(tried.identity, born):
            self._refuse(tried.login if tried else "unknown", browser)
        self._rates.give_back(limits)

        def work(tx: Connection) -> str:
            bindings.give_back(tx, tried.account_id)
            return bindings.let_in(tx, tried.account_id, lasts_s=self._settings.access.link_s)

        return self._people.signing.follow_link(self._database.changing(work), browser)

    def keep(
        self, guest: Principal, grant_id: int, studies: Sequence[str], browser: Browser
    ) -> str:
        """Begin an account of somebody who came by a link and has proven what it asked.

        It waits until a desk has compared. Returns the secret of the cookie. Raises `Conflict` when
        an account was made by this link before, or the studies are not certainly one person's.
        """
        limits = rates.address(browser.address, "own-account", _TRIES)
        if self._rates.take(limits):
            raise TooMany
        self._identities.keep_up(_AT_ONCE)  # a link may be opened moments after its study came
        standings = [self._identities.standing(UID(study)) for study in studies]
        of_one = {one.identity for one in standings if one is not None and not one.quarantined}
        if len(of_one) != 1 or None in standings:
            raise Conflict(marked("Ask at the desk for an account: this link does not say enough."))
        (identity,) = of_one

        def work(tx: Connection) -> str:
            known = bindings.of_grant(tx, grant_id)
            if known is not None and known.enrolled_at is not None:
                raise Conflict(_MADE)
            if known is None:
                account_id, login = bindings.add(
                    tx, identity, Proof.SHARE, by=guest.name, grant_id=grant_id
                )
                self._tell(tx, guest, "account.asked", {"account": login, "grant": grant_id})
            else:
                account_id = known.account_id
            return bindings.let_in(tx, account_id, lasts_s=self._settings.access.link_s)

        return self._people.signing.follow_link(self._database.changing(work), browser)

    # ---- being in --------------------------------------------------------------------------

    def own(self, account_id: int) -> Own | None:
        """Say whose account it is, and what of theirs is yet to come; None when it is nobody's."""
        with self._database.reading() as conn:
            binding = bindings.of_account(conn, account_id)
            known = {} if binding is None else store.find(conn, [binding.identity])
            if binding is None or binding.identity not in known:
                return None
            count, until = conn.execute(_SQL.not_released, (account_id,)).fetchone() or (0, None)
        said = known[binding.identity].said
        is_open = binding.confirmed_at is not None
        return Own(
            name=said.name if is_open else "",
            birth_date=said.born if is_open else None,
            is_open=is_open,
            not_released=count,
            released_by=until,
        )

    def held_code(self, account_id: int) -> dt.datetime | None:
        """Say from when on a code opens that a desk gave out for this person; None: none waits."""
        with self._database.reading() as conn:
            codes = bindings.codes(conn, bindings.beside(conn, account_id))
        return min((one.opens_at for one in codes.values() if one.opens_at), default=None)

    def stop_code(self, who: Principal, account_id: int) -> None:
        """Make void what a desk gave out for one's own person and does not open yet.

        Raises `NotFound`.
        """

        def work(tx: Connection) -> None:
            if not bindings.void_held(tx, bindings.beside(tx, account_id)):
                raise NotFound(marked("No code waits any more."))
            self._tell(tx, who, "account.code.stopped", {"account": who.name})

        self._database.changing(work)

    def seen(self, account_id: int, studies: Sequence[str]) -> set[str]:
        """Say which of some studies a patient has opened."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.seen_of, (account_id, list(studies))).fetchall()
        return {row[0] for row in rows}

    def mark_seen(self, who: Principal, account_id: int, study: UID) -> None:
        """Note that a patient has opened a study; it is new to them no more."""
        require(who, Action.QUERY, StudyRef(study))
        with self._database.transaction() as tx:
            tx.execute(_SQL.mark_seen, (account_id, study))

    def language(self, account_id: int) -> str | None:
        """Say which language a patient chose."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.language_of, (account_id,)).fetchone()
        return None if row is None else row[0]

    def choose_language(self, account_id: int, language: str | None) -> None:
        """Keep the language a patient chose; None: as their browser says."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.choose_language, (account_id, language))

    # ---- shared ----------------------------------------------------------------------------

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

    def _is_born(self, identity: bytes, typed: str) -> bool:
        with self._database.reading() as conn:
            found = store.find(conn, [identity]).get(identity)
            persons = [] if found is None else store.of_person(conn, found.person)
        day = read_day(typed)
        return day is not None and day in {one.said.born for one in persons}

    def _refuse(self, login: str, browser: Browser) -> NoReturn:
        event = Event(kind="account.code", outcome="refused", detail={"account": login})
        with self._database.transaction() as tx:
            self._audit.write(tx, person(login, browser.address), [event])
        raise NotAuthenticated(_WRONG)

    def _tell(self, tx: Connection, who: Principal, kind: str, detail: dict[str, object]) -> None:
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])


def read_day(typed: str) -> dt.date | None:
    """Read a birth date as people type it: year-month-day, or day.month.year."""
    found = _DATE.fullmatch(typed.strip()[:40])
    if found is None:
        return None
    year, month, day, first, second, last = found.groups()
    numbers = (year, month, day) if year else (last, second, first)
    try:
        return dt.date(*(int(number) for number in numbers))
    except ValueError:
        return None


def _require_compared(compared: Collection[str]) -> list[str]:
    told = [one for one in COMPARED if one in compared]
    if len(told) < LEAST_COMPARED:
        raise InvalidRequest(marked("Compare at least two things with the person before you."))
    return told
