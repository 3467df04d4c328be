"""Links that wait for a second person, in the database and in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from vna.db import statements
from vna.db.pool import Connection
from vna.patients.store import Pair

_SQL = statements.load("proposals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody says of two identities, and a second person has to agree to."""

    number: int
    first: bytes
    second: bytes
    reason: str = field(repr=False)
    proposed_by: str
    proposed_at: dt.datetime
    ends_at: dt.datetime
    by_developer: bool

    @property
    def pair(self) -> Pair:
        """The two it is about."""
        return self.first, self.second


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A proposal that is over: of whom, how it ended, and who had proposed it."""

    number: int
    first: bytes
    second: bytes
    outcome: str
    proposed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a colleague refused what somebody had proposed of two."""

    first: bytes
    second: bytes
    proposed_by: str
    refused_by: str
    refused_at: dt.datetime
    reason: str = field(repr=False)


def is_shown(conn: Connection, pair: Pair) -> bool:
    """Tell whether others are shown something of the persons of these two, or may be again."""
    row = conn.execute(_SQL.is_shown, {"ids": list(pair)}).fetchone()
    return bool(row and row[0])


def add(
    tx: Connection,
    pair: Pair,
    evidence: Mapping[str, str],
    *,
    by: str,
    is_developer: bool,
    reason: str,
    lasts_s: float,
) -> Proposal | None:
    """Write a proposal down; None when there is one. The caller ended those that are stale."""
    first, second = pair
    told = orjson.dumps(dict(evidence)).decode()
    tx.execute(_SQL.show_pair, {"first": first, "second": second, "evidence": told})
    asked = {
        "first": first,
        "second": second,
        "reason": reason,
        "by": by,
        "by_developer": is_developer,
        "lasts_s": lasts_s,
    }
    if tx.execute(_SQL.add_proposal, asked).fetchone() is None:
        return None
    return hold(tx, pair)


def hold(tx: Connection, pair: Pair) -> Proposal | None:
    """Give the proposal for two that waits, held until the transaction ends."""
    row = tx.cursor(binary=True).execute(_SQL.hold_proposal, list(pair)).fetchone()
    return None if row is None else Proposal(**dict(zip(_NAMES, row, strict=True)))


def waiting(conn: Connection, most: int) -> list[Proposal]:
    """List what waits for a second person, the longest waiting first."""
    rows = conn.cursor(binary=True).execute(_SQL.list_proposals, [most]).fetchall()
    return [Proposal(**dict(zip(_NAMES, row, strict=True))) for row in rows]


def refusals(conn: Connection, pairs: Sequence[Pair]) -> dict[Pair, Refusal]:
    """Say why colleagues refused, of each of these pairs the last time."""
    columns = [[first for first, _ in pairs], [second for _, second in pairs]]
    rows = conn.cursor(binary=True).execute(_SQL.list_refusals, columns).fetchall()
    names = Refusal.__dataclass_fields__
    found = [Refusal(**dict(zip(names, row, strict=True))) for row in rows]
    return {(one.first, one.second): one for one in found}


def end(
    tx: Connection, pair: Pair, outcome: str, *, by: str, remark: str | None = None
) -> Ended | None:
    """End the proposal for two; None when there is none."""
    first, second = pair
    asked = {"first": first, "second": second, "outcome": outcome, "by": by, "remark": remark}
    row = tx.execute(_SQL.end_proposal, asked).fetchone()
    if row is None:
        return None
    return Ended(number=row[0], first=first, second=second, outcome=outcome, proposed_by=row[1])


def end_stale(tx: Connection, *, by: str) -> list[Ended]:
    """End those whose time is over, and those of whom something else is known now."""
    rows = tx.cursor(binary=True).execute(_SQL.end_stale_proposals, [by]).fetchall()
    names = Ended.__dataclass_fields__
    return [Ended(**dict(zip(names, row, strict=True))) for row in rows]


_NAMES = tuple(Proposal.__dataclass_fields__)
