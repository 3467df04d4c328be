"""Who treats whom: the relations that give accounts of granted reach something to see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from vna.access.accounts import Accounts, fold
from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal, Scope
from vna.access.roles import Roles
from vna.db import statements
from vna.db.pool import Database
from vna.dicom.refs import UID
from vna.errors import InvalidRequest, NotFound

_SQL = statements.load("restriction")

GROUNDS = ("treating", "referring", "consulted", "own")
MOST_DAYS = 1100.0
MOST_STUDIES = 20_000  # of one account: a reach is a set in memory, not a query
_MOST_LISTED = 10_000
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One relation that stands: to a study, or to a patient with all their studies."""

    relation_id: int
    login: str
    study: UID | None
    issuer: str | None
    patient_id: str | None
    ground: str
    by: str
    begins_at: dt.datetime
    ends_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom or what a relation is about: one study, or a patient by identifier and its issuer."""

    study: UID | None = None
    patient_id: str = ""
    issuer: str = ""


class Care:
    """Keeps the relations, and says what they let an account see."""

    def __init__(
        self, *, database: Database, audit: Audit, roles: Roles, accounts: Accounts
    ) -> None:
        self._database = database
        self._audit = audit
        self._roles = roles
        self._accounts = accounts

    def give(self, who: Principal, login: str, whom: Whom, *, ground: str, days: float) -> int:
        """Begin a relation; return its number.

        Raises `NotPermitted`, `InvalidRequest`, `NotFound`.
        """
        require(who, Action.CARE)
        if (whom.study is None) == (not whom.patient_id) or bool(whom.patient_id) != bool(
            whom.issuer
        ):
            raise InvalidRequest("A relation is to one study, or to a patient of one issuer.")
        if ground not in GROUNDS:
            raise InvalidRequest("The ground of a relation is one of " + ", ".join(GROUNDS) + ".")
        if not 0 < days <= MOST_DAYS:
            raise InvalidRequest(f"A relation stands for up to {MOST_DAYS:g} days.")
        account = self._accounts.find(login)
        asked = {
            "account": account.account_id,
            "study": whom.study,
            "issuer": whom.issuer or None,
            "patient": whom.patient_id or None,
            "ground": ground,
            "by": who.name,
            "lasts_s": days * _DAY_S,
        }
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.add_care, asked).fetchone()
            number = int(row[0]) if row else 0
            detail = {"account": account.login, "relation": number, "ground": ground}
            told = Event(kind="care.given", outcome="done", study=whom.study, detail=detail)
            self._audit.write(tx, who, [told])
        return number

    def end(self, who: Principal, relation_id: int) -> None:
        """End a relation: what it let see is out of sight within a second. Raises `NotFound`."""
        require(who, Action.CARE)
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.end_care, (relation_id,)).fetchone()
            if row is None:
                raise NotFound("There is no such relation, or it ended before.")
            detail = {"account": row[0], "relation": relation_id}
            told = Event(kind="care.ended", outcome="done", study=row[1], detail=detail)
            self._audit.write(tx, who, [told])

    def all(self, who: Principal, login: str | None = None) -> list[Relation]:
        """List the relations that stand. Raises `NotPermitted`."""
        require(who, Action.CARE)
        asked = {"login": None if login is None else fold(login), "most": _MOST_LISTED}
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_care, asked).fetchall()
        return [
            Relation(
                relation_id=r[0], login=r[1], study=r[2], issuer=r[3], patient_id=r[4], ground=r[5],
                by=r[6], begins_at=r[7], ends_at=r[8],
            )
            for r in rows
        ]  # fmt: skip

    def scope(self, account_id: int, roles: Sequence[str]) -> Scope:
        """Say what an account may see: all of it by its roles, what was granted, what is its own.

        A patient's is asked for anew each time: a link taken back is out of sight at once.
        """
        scope = self._roles.scope(roles)
        if scope.everything:
            return scope
        statement = _SQL.list_own if self._roles.is_own(roles) else _SQL.list_reach
        with self._database.reading() as conn:
            rows = conn.execute(statement, (account_id, MOST_STUDIES), prepare=True)
            return Scope(studies=frozenset(UID(row[0]) for row in rows))
