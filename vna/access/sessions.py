"""Sessions: browsers that are signed in, kept on the server, ended by anyone who may.

A cookie carries 32 random bytes, the table their hash. Each step up (passphrase, second factor)
ends the session and begins another, so that a cookie somebody planted is never signed in.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, replace

from vna.access import carers
from vna.access.audit import Audit, Event
from vna.access.care import Care
from vna.access.carers import Carer
from vna.access.labels import Labels
from vna.access.principal import Kind, Principal, Scope
from vna.access.roles import Roles
from vna.config import Access
from vna.crypto.credentials import digest, new_secret
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID
from vna.errors import NotFound
from vna.texts import marked

_SQL = statements.load("access")
_RESTRICTION = statements.load("restriction")
_CARERS = statements.load("carers")

_TOUCH_S = 30.0  # how exactly the last request is remembered: a write for each would cost too much
_STEP_S = 900.0  # for the second factor, and for enrolling

FRESH_S = 300.0
"""For so long after a second factor its owner may change factors, or see more in an emergency."""

_MOST_LENT = 5000


class Level(enum.IntEnum):
    """How far a browser has come."""

    ENROLLING = 0
    PASSPHRASE = 1
    SIGNED_IN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """Where somebody comes from; `secret` is that of the cookie it showed, if any."""

    address: str | None
    agent: str = ""
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who a cookie stands for. Only one that is signed in has a principal that may do anything."""

    session_id: int
    account_id: int
    login: str
    level: Level
    principal: Principal
    is_fresh: bool = False  # showed a second factor within `FRESH_S`
    lent_until: dt.datetime | None = None  # while an emergency lends it more than its reach
    is_patient: bool = False  # sees what is about them, on pages of their own
    acting: Carer | None = None  # for whom they act now, whether they still may or not

    @property
    def is_signed_in(self) -> bool:
        """Whether both factors were shown."""
        return self.level is Level.SIGNED_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A session as its owner sees it."""

    session_id: int
    address: str
    agent: str
    created_at: dt.datetime
    seen_at: dt.datetime


def person(login: str, address: str | None) -> Principal:
    """Name a person in the trail before they may do anything."""
    return Principal(
        kind=Kind.PERSON, name=login, actions=frozenset(), scope=Scope(), address=address
    )


class Sessions:
    """Opens, recognises and ends sessions."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        roles: Roles,
        care: Care,
        labels: Labels,
        settings: Access,
    ) -> None:
        self._database = database
        self._audit = audit
        self._roles = roles
        self._care = care
        self._labels = labels
        self._settings = settings

    def open(self, tx: Connection, account_id: int, level: Level, browser: Browser) -> str:
        """Begin a session in place of the browser's own; return the secret of its cookie."""
        secret = new_secret()
        lasts_s = self._settings.session_s if level is Level.SIGNED_IN else _STEP_S
        if browser.secret is not None:
            row = tx.execute(
                _SQL.find_session,
                {
                    "secret_hash": digest(browser.secret),
                    "touch_s": _TOUCH_S,
                    "idle_s": self._settings.session_s,
                },
            ).fetchone()
            if row is not None:
                tx.execute(_SQL.end_session, (row[1], row[0]))
        agent = "".join(c for c in browser.agent[:200] if c.isprintable())
        tx.execute(
            _SQL.open_session,
            {
                "secret_hash": digest(secret),
                "account": account_id,
                "level": int(level),
                "address": browser.address,
                "agent": agent,
                "lasts_s": lasts_s,
            },
        )
        return secret

    def visitor(self, secret: str, address: str | None) -> Visitor | None:
        """Say who a cookie stands for; None when its session is over, or its account disabled."""
        asked = {
            "secret_hash": digest(secret),
            "touch_s": _TOUCH_S,
            "idle_s": self._settings.idle_s,
        }
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_session, asked).fetchone()
        if row is None:
            return None
        session_id, account_id, login, roles, number, is_old, proven_s, emergency, until = row[:9]
        if is_old:
            with self._database.transaction() as tx:
                tx.execute(_SQL.touch_session, (session_id,))
        level = Level(number)
        who = person(login, address)
        if level is Level.SIGNED_IN:
            who = self._principal(account_id, login, roles, address)
            if emergency is not None:
                who = replace(who, scope=replace(who.scope, lent=self._lent(session_id)))
        carer = None
        if row[9] is not None and level is Level.SIGNED_IN:
            carer, who = self._acting(who, account_id, row[9])
        return Visitor(
            session_id=session_id,
            account_id=account_id,
            login=login,
            level=level,
            principal=who,
            is_fresh=proven_s is not None and proven_s < FRESH_S,
            lent_until=until,
            is_patient=self._roles.is_own(roles),
            acting=carer,
        )

    def _principal(
        self, account_id: int, login: str, roles: list[str], address: str | None
    ) -> Principal:
        return self._labels.narrowed(
            Principal(
                kind=Kind.PERSON,
                name=login,
                actions=self._roles.actions(roles),
                scope=self._care.scope(account_id, roles),
                address=address,
                clearances=self._roles.clearances(roles),
            )
        )

    def _acting(
        self, who: Principal, account_id: int, carer_id: int
    ) -> tuple[Carer | None, Principal]:
        """Say who it is that acts for another person; it is never more than that, nor themself."""
        with self._database.reading() as conn:
            carer = carers.one(conn, carer_id)
            if carer is None or carer.account_id != account_id:
                return carer, replace(who, actions=frozenset(), scope=Scope())
            studies = carers.studies_of(conn, carer_id)
        return carer, self._labels.narrowed(carers.acting(who, carer, studies))

    def act_for(self, tx: Connection, visitor: Visitor, carer_id: int | None) -> str:
        """From here on let a session act for somebody, or for itself; give its cookie's secret.

        The secret is another one, so that a form of before is not sent for somebody else. Raises
        `NotFound` when the session is over.
        """
        secret = new_secret()
        asked = {
            "carer": carer_id,
            "secret_hash": digest(secret),
            "session": visitor.session_id,
            "account": visitor.account_id,
        }
        if tx.execute(_CARERS.act_for, asked).fetchone() is None:
            raise NotFound(marked("This session is over already."))
        return secret

    def _lent(self, session_id: int) -> frozenset[UID]:
        with self._database.reading() as conn:
            rows = conn.execute(_RESTRICTION.list_lent, (session_id, _MOST_LENT)).fetchall()
        return frozenset(UID(row[0]) for row in rows)

    def all(self, account_id: int) -> list[Seen]:
        """List the browsers an account is signed in with, the latest first."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_sessions, (account_id, self._settings.idle_s)).fetchall()
        return [
            Seen(session_id=r[0], address=r[1] or "", agent=r[2], created_at=r[3], seen_at=r[4])
            for r in rows
        ]

    def sign_out(self, visitor: Visitor) -> None:
        """End the session of a browser."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.end_session, (visitor.account_id, visitor.session_id))
            self._tell(tx, visitor, "logout")

    def end(self, visitor: Visitor, session_id: int) -> None:
        """End one of one's own sessions. Raises `NotFound`."""
        with self._database.transaction() as tx:
            if tx.execute(_SQL.end_session, (visitor.account_id, session_id)).fetchone() is None:
                raise NotFound(marked("This session is over already."))
            self._tell(tx, visitor, "session.ended")

    def end_others(self, visitor: Visitor) -> int:
        """End every session of one's own but this; return how many there were."""
        with self._database.transaction() as tx:
            ended = tx.execute(
                _SQL.end_sessions, (visitor.account_id, visitor.session_id)
            ).fetchall()
            self._tell(tx, visitor, "session.ended", count=len(ended))
        return len(ended)

    def sweep(self) -> None:
        """Remove what is over: sessions, links, challenges, counters."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.sweep_access)

    def _tell(self, tx: Connection, visitor: Visitor, kind: str, **more: int) -> None:
        who = visitor.principal
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=dict(more))])
