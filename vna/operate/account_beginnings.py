"""How a patient's account is begun: by the code of a desk and the birth date, or from a link.

Who has proven what a link asks for may make an account that shows nothing yet: a link alone never
opens the whole record. Whoever begins chooses how they sign in next (`access/signing.py`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import NoReturn

from vna.access import bindings, rates
from vna.access.audit import Audit, Event
from vna.access.bindings import Proof
from vna.access.people import People
from vna.access.principal import Principal
from vna.access.rates import Rates
from vna.access.sessions import Browser, person
from vna.config import Settings
from vna.crypto.credentials import Vault, latin
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID
from vna.errors import Conflict, NotAuthenticated, TooMany
from vna.operate.identities import IdentityEngine
from vna.patients import store
from vna.texts import marked

_AT_ONCE = 1000  # studies whose patients are looked at before a person is looked for
_TRIES = 20  # of an address in a quarter of an hour
_WRONG = marked("The code or the birth date is not right, or the code is no longer good.")
_MADE = marked("An account was made by this link before: sign in with it.")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})[. /-] ?(\d{1,2})[. /-] ?(\d{4})", re.ASCII
)


class AccountBeginnings:
    """Lets patients begin an account. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        settings: Settings,
        people: People,
        vault: Vault,
        identities: IdentityEngine,
    ) -> None:
        self._database = database
        self._audit = audit
        self._settings = settings
        self._people = people
        self._vault = vault
        self._identities = identities
        self._rates = Rates(database)

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
                detail = {"account": login, "grant": grant_id}
                event = Event(kind="account.asked", outcome="done", detail=detail)
                self._audit.write(tx, guest, [event])
            else:
                account_id = known.account_id
            return bindings.let_in(tx, account_id, lasts_s=self._settings.access.link_s)

        return self._people.signing.follow_link(self._database.changing(work), browser)

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


def read_day(typed: str) -> dt.date | None:
    """Read a birth date as people type it: year-month-day, or day.month.year."""
    found = _DATE.fullmatch(latin(typed[:40]).strip())
    if found is None:
        return None
    year, month, day, first, second, last = found.groups()
    numbers = (year, month, day) if year else (last, second, first)
    try:
        return dt.date(*(int(number) for number in numbers))
    except ValueError:
        return None
