"""Carers: accounts that act for another person. Their rows, and who an account is while it acts.

A carer acts under a name of its own, `p-abcd-efgh#for-42`: the account, and the number of the
relation. The trail says by it who acted for whom, and what a carer shares or asks is kept apart
from what the account shares for itself. Who may do what is said a floor above (operate/carers.py).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vna.access.care import MOST_STUDIES
from vna.access.principal import Action, Principal, Scope
from vna.access.roles import PATIENT
from vna.db import statements
from vna.db.pool import Connection
from vna.dicom.refs import UID

_SQL = statements.load("carers")

_MOST_LISTED = 200
_MARK = "#for-"


class Relation(enum.Enum):
    """What a carer is to whom they act for."""

    PARENT = "parent"  # until their child is of age
    GUARDIAN = "guardian"
    TRUSTED = "trusted"  # chosen by the person


class GivenAs(enum.Enum):
    """By whose word a carer acts."""

    DESK = "desk"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carer:
    """One account that acts, or acted, for a person."""

    carer_id: int
    account_id: int | None  # None: lost with a database
    login: str
    identity: bytes
    relation: Relation
    given_as: GivenAs
    evidence: tuple[str, ...]
    may_view: bool
    may_share: bool
    called: bytes = field(repr=False)
    given_at: dt.datetime
    given_by: str
    until: dt.datetime | None
    holds: bool
    ended_at: dt.datetime | None
    ended_by: str | None
    reason: str | None
    acts_as: str
    acted_as: tuple[str, ...]  # with the names of accounts that were lost


def acting(who: Principal, carer: Carer, studies: frozenset[UID]) -> Principal:
    """Say who an account is while it acts for somebody; one that may no longer sees nothing."""
    actions = {Action.QUERY}
    if carer.holds and carer.may_view:
        actions.add(Action.RETRIEVE)
    if carer.holds and carer.may_share:
        actions.add(Action.SHARE_OWN)
    return replace(
        who,
        name=carer.acts_as,
        actions=who.actions & actions,
        scope=Scope(studies=studies if carer.holds else frozenset()),
    )


def is_acting(name: str) -> bool:
    """Whether a name of the trail is that of somebody who acted for another person."""
    return _MARK in name


def studies_of(conn: Connection, carer_id: int) -> frozenset[UID]:
    """Say what a carer may act on now."""
    rows = conn.execute(_SQL.list_carer_reach, (carer_id, MOST_STUDIES), prepare=True)
    return frozenset(UID(row[0]) for row in rows)


def one(conn: Connection, carer_id: int) -> Carer | None:
    """Find a carer, whether they may act or not."""
    return next(iter(_carers(conn, _SQL.one_carer, (carer_id,))), None)


def held(tx: Connection, carer_id: int) -> Carer | None:
    """Find a carer and keep the relation as it is until the transaction ends."""
    tx.execute(_SQL.hold_carer, (carer_id,))
    return one(tx, carer_id)


def of_identities(conn: Connection, identities: Sequence[bytes]) -> list[Carer]:
    """List who acts or acted for a person, by their identities, the latest first."""
    return _carers(conn, _SQL.carers_of, (list(identities), _MOST_LISTED))


def of_account(conn: Connection, account_id: int) -> list[Carer]:
    """List for whom an account acts now."""
    return _carers(conn, _SQL.acts_of, (account_id, _MOST_LISTED))


def account_called(conn: Connection, login: str) -> tuple[int, str] | None:
    """Find the account of a person that may act for another one: of a patient, and in use."""
    row = conn.execute(_SQL.find_carer_account, (login, [PATIENT])).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def made_for(conn: Connection, accounts: Sequence[int]) -> dict[int, bytes]:
    """Say for whom desks made some accounts: whom they acted for first, by a desk's word."""
    rows = conn.execute(_SQL.made_for, (list(accounts),)).fetchall()
    return {row[0]: row[1] for row in rows if GivenAs(row[2]) is GivenAs.DESK}


def accounts_of_person(conn: Connection, identity: bytes) -> list[int]:
    """List the accounts that are bound to the person of an identity."""
    return [int(row[0]) for row in conn.execute(_SQL.accounts_of_person, (identity,)).fetchall()]


def hidden(conn: Connection, studies: Sequence[str]) -> frozenset[str]:
    """Say which of some studies a person keeps from their carers."""
    rows = conn.execute(_SQL.hidden_of, (list(studies),)).fetchall()
    return frozenset(row[0] for row in rows)


def _carers(conn: Connection, statement: Any, values: tuple[Any, ...]) -> list[Carer]:
    # Any: a LiteralString and its parameters
    cursor = conn.cursor(binary=True)
    return [
        Carer(
            carer_id=row[0],
            account_id=row[1],
            login=row[2],
            identity=row[3],
            relation=Relation(row[4]),
            given_as=GivenAs(row[5]),
            evidence=tuple(row[6]),
            may_view=row[7],
            may_share=row[8],
            called=row[9],
            given_at=row[10],
            given_by=row[11],
            until=row[12],
            holds=row[13],
            ended_at=row[14],
            ended_by=row[15],
            reason=row[16],
            acts_as=row[17],
            acted_as=tuple(row[18]),
        )
        for row in cursor.execute(statement, values).fetchall()
    ]
