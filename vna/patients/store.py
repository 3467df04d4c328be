"""Identities and their pairs in the database, in the caller's transaction; nothing is decided."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from vna.db import statements
from vna.db.pool import Connection
from vna.patients.demographics import Demographics, identity_id
from vna.patients.rules import Finding

_SQL = statements.load("patients")

_ALIKE_MOST = 100

Pair = tuple[bytes, bytes]
"""Two identities, the smaller id first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What one issuer calls a patient. `variant` above 0 is a shadow: same id, another person."""

    id: bytes
    issuer: str
    patient_id: str = field(repr=False)
    variant: int
    person: bytes
    said: Demographics
    died: dt.date | None = None
    source: str = "dicom"
    quarantined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody decided of a pair, or when somebody died (`second` is None then)."""

    act: bytes
    at: dt.datetime
    actor: str
    op: str
    first: bytes
    second: bytes | None
    reason: str = field(repr=False)
    proposed_by: str | None = None  # where it took two: the actor agreed


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a pair stands: open, deferred, linked or apart; by which rule, and who decided."""

    pair: Pair
    state: str
    rule: str
    priority: int
    evidence: Mapping[str, str]
    found_at: dt.datetime
    decided_at: dt.datetime | None = None
    decided_by: str | None = None
    reason: str | None = field(default=None, repr=False)
    proposed_by: str | None = None  # where it took two: `decided_by` agreed


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A study whose patient is to be looked at; `answer` is None when it is gone."""

    study: str
    issuer: str | None
    patient_id: str | None
    answer: str | None = field(repr=False)
    date: dt.date | None
    held: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whom a study is about, and what stands in the way of sharing it."""

    identity: bytes
    person: bytes
    quarantined: bool
    alert: str | None
    disputed: bool


def pair_of(one: bytes, other: bytes) -> Pair:
    """Name a pair."""
    return (one, other) if one < other else (other, one)


def lock(tx: Connection) -> None:
    """Let nobody else make or join identities until the transaction ends."""
    tx.execute(_SQL.lock_identities)


def is_due(conn: Connection) -> bool:
    """Tell whether there is a study to look at."""
    row = conn.execute(_SQL.is_due).fetchone()
    return bool(row and row[0])


def take_due(tx: Connection, most: int) -> list[Due]:
    """Take studies to be looked at, the longest stored first."""
    cursor = tx.cursor(binary=True)
    names = Due.__dataclass_fields__
    rows = cursor.execute(_SQL.take_due, [most]).fetchall()
    return [Due(**dict(zip(names, row, strict=True))) for row in rows]


def named(conn: Connection, issuer: str, patient_id: str) -> list[Identity]:
    """List what an issuer has given an id to: the identity, then its shadows."""
    return _identities(conn, _SQL.named, [issuer, patient_id])


def find(conn: Connection, ids: Iterable[bytes]) -> dict[bytes, Identity]:
    """Find identities by their ids."""
    found = _identities(conn, _SQL.find_identities, [sorted(set(ids))])
    return {one.id: one for one in found}


def of_person(conn: Connection, person: bytes) -> list[Identity]:
    """List the identities of a person."""
    return _identities(conn, _SQL.of_person, [person])


def alike(conn: Connection, identity: Identity) -> list[Identity]:
    """List those that rules may say something about beside an identity."""
    said = identity.said
    asked = {
        "identity": identity.id,
        "birth_date": said.born,
        "family": said.family,
        "numbers": sorted(said.numbers),
        "most": _ALIKE_MOST,
    }
    return _identities(conn, _SQL.alike, asked)


def add(
    tx: Connection,
    issuer: str,
    patient_id: str,
    said: Demographics,
    *,
    source: str = "dicom",
    known_as: bytes | None = None,
) -> Identity:
    """Make an identity: the first of its id, or a shadow, which is quarantined."""
    made = known_as or identity_id(issuer, patient_id, said)
    row = {"identity": made, "issuer": issuer, "patient_id": patient_id, "source": source}
    tx.execute(_SQL.add_identity, row | _columns(said))
    return find(tx, [made])[made]


def enrich(tx: Connection, identity: bytes, said: Demographics) -> Identity:
    """Fill in what was not known; what is known stays."""
    tx.execute(_SQL.enrich_identity, {"identity": identity, **_columns(said)})
    return find(tx, [identity])[identity]


def assign(tx: Connection, study: str, identity: bytes, alert: str | None) -> None:
    """Say which identity a study is about."""
    tx.execute(_SQL.assign_study, [study, identity, alert])


def release(tx: Connection, study: str, identity: bytes) -> list[bytes]:
    """Take a study from an identity, which is made anew of the studies that are left to it.

    Gives the identities whose persons are to be found anew.
    """
    tx.execute(_SQL.release_one, [study])
    tx.execute(_SQL.release_all, [identity])
    tx.execute(_SQL.reset_identity, [identity])
    cursor = tx.cursor(binary=True)
    pairs = cursor.execute(_SQL.withdraw_pairs, [identity]).fetchall()
    touched = {one for pair in pairs for one in pair} | {identity}
    return sorted(touched)


def clear(tx: Connection, ids: Sequence[bytes]) -> None:
    """Forget those nobody needs."""
    tx.execute(_SQL.clear_identities, [list(ids)])


def standing(conn: Connection, study: str) -> Standing | None:
    """Say whom a study is about; None when it has no Patient ID, or was not looked at yet."""
    cursor = conn.cursor(binary=True)
    row = cursor.execute(_SQL.assigned, [study]).fetchone()
    if row is None:
        return None
    identity, person, quarantined, alert, disputed = row
    return Standing(
        identity=identity, person=person, quarantined=quarantined, alert=alert, disputed=disputed
    )


def studies_of(conn: Connection, persons: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """List the studies of persons, each with its identity."""
    cursor = conn.cursor(binary=True)
    rows = cursor.execute(_SQL.studies_of, [sorted(set(persons))]).fetchall()
    return [(study, identity) for study, identity, _ in rows]


def all_among(conn: Connection, ids: Iterable[bytes], studies: Iterable[str]) -> set[bytes]:
    """Say which identities have no other studies than these; one without any is not among them."""
    cursor = conn.cursor(binary=True)
    asked = {"ids": sorted(set(ids)), "studies": sorted(studies)}
    return {one for (one,) in cursor.execute(_SQL.all_among, asked)}


def propose(tx: Connection, pair: Pair, finding: Finding, evidence: Mapping[str, str]) -> bool:
    """Note what a rule says of a pair; False where more is known already."""
    told = orjson.dumps(dict(evidence)).decode()
    values = [*pair, finding.state, finding.rule.value, finding.priority, told]
    return tx.execute(_SQL.propose_pair, values).fetchone() is not None


def decide(tx: Connection, what: Decision, state: str) -> None:
    """Note what somebody decided of a pair; a later decision that is known holds."""
    tx.execute(
        _SQL.decide_pair,
        {
            "first": what.first,
            "second": what.second,
            "state": state,
            "act": what.act,
            "at": what.at,
            "actor": what.actor,
            "reason": what.reason,
            "proposed_by": what.proposed_by,
        },
    )


def note(tx: Connection, what: Decision) -> None:
    """Write a decision into the history."""
    values = [what.act, what.at, what.actor, what.op, what.first, what.second]
    values += [what.reason, what.proposed_by]
    tx.execute(_SQL.add_act, values)


def history(conn: Connection, ids: Sequence[bytes]) -> list[Decision]:
    """List what was decided of identities, in order of time."""
    cursor = conn.cursor(binary=True)
    names = Decision.__dataclass_fields__
    rows = cursor.execute(_SQL.list_acts, {"ids": list(ids)}).fetchall()
    return [Decision(**dict(zip(names, row, strict=True))) for row in rows]


def defer(tx: Connection, pair: Pair) -> bool:
    """Put a pair off; False when it does not wait."""
    return tx.execute(_SQL.defer_pair, list(pair)).fetchone() is not None


def case(conn: Connection, pair: Pair) -> Case | None:
    """Say how a pair stands; None when nobody has compared the two."""
    found = _cases(conn, _SQL.find_pair, list(pair))
    return found[0] if found else None


def work(conn: Connection, most: int) -> list[Case]:
    """List what waits for somebody to decide, the most urgent first."""
    return _cases(conn, _SQL.list_work, [most])


def linked(conn: Connection, most: int) -> list[Case]:
    """List which two were last said to be one person."""
    return _cases(conn, _SQL.list_linked, [most])


def cases_of(conn: Connection, ids: Sequence[bytes]) -> list[Case]:
    """List the pairs of identities."""
    return _cases(conn, _SQL.list_pairs, {"ids": list(ids)})


def alerts(conn: Connection, most: int) -> list[tuple[str, bytes, str]]:
    """List studies that were made after their patient had died."""
    cursor = conn.cursor(binary=True)
    return cursor.execute(_SQL.list_alerts, [most]).fetchall()


def set_death(tx: Connection, what: Decision, died: dt.date | None) -> None:
    """Note when somebody died, and have their studies looked at again; a later decision holds."""
    asked = {"died": died, "identity": what.first, "op": what.op, "act": what.act}
    tx.execute(_SQL.set_death, asked)
    tx.execute(_SQL.release_all, [what.first])


def find_persons(tx: Connection, ids: Iterable[bytes]) -> None:
    """Find anew whose identities these are, and all that are or were linked to them.

    A person is what links hold together, and is named by the smallest id.
    """
    cursor = tx.cursor(binary=True)
    left = {one for (one,) in cursor.execute(_SQL.persons_of, [sorted(set(ids))])} | set(ids)
    left &= find(tx, left).keys()
    persons: dict[bytes, bytes] = {}
    while left:
        whole = _joined(tx, {min(left)})
        persons |= dict.fromkeys(whole, min(whole))
        left -= whole
    columns = [list(persons), list(persons.values())]
    tx.execute(_SQL.set_persons, columns)
    tx.execute(_SQL.release_quarantine, [list(persons)])


def _joined(tx: Connection, ids: set[bytes]) -> set[bytes]:
    """All identities that links lead to."""
    whole, edge = set(ids), set(ids)
    cursor = tx.cursor(binary=True)
    while edge:
        rows = cursor.execute(_SQL.linked_to, {"ids": sorted(edge)}).fetchall()
        edge = {one for pair in rows for one in pair} - whole
        whole |= edge
    return whole


def _columns(said: Demographics) -> dict[str, Any]:
    return {
        "name": said.name.replace("\0", ""),
        "folded": said.folded.replace("\0", ""),
        "family": said.family,
        "birth_date": said.born,
        "sex": said.sex,
        "numbers": sorted(said.numbers),
        "address": said.address,
    }


def _identities(conn: Connection, statement: Any, values: Any) -> list[Identity]:
    # Any: a LiteralString and its parameters, both by the statement
    cursor = conn.cursor(binary=True)
    return [_identity(row) for row in cursor.execute(statement, values).fetchall()]


def _identity(row: tuple[Any, ...]) -> Identity:
    key, issuer, patient_id, variant, person, name, birth_date, sex, numbers = row[:9]
    address, died, source, quarantined = row[9:]
    said = Demographics(
        name=name,
        birth_date=birth_date,
        sex=sex,
        numbers=frozenset(numbers),
        address=address,
    )
    return Identity(
        id=key,
        issuer=issuer,
        patient_id=patient_id,
        variant=variant,
        person=person,
        said=said,
        died=died,
        source=source,
        quarantined=quarantined,
    )


def _cases(conn: Connection, statement: Any, values: Any) -> list[Case]:
    # Any: a LiteralString and its parameters, both by the statement
    cursor = conn.cursor(binary=True)
    return [
        Case(
            pair=(row[0], row[1]),
            state=row[2],
            rule=row[3],
            priority=row[4],
            evidence=row[5],
            decided_at=row[6],
            decided_by=row[7],
            reason=row[8],
            found_at=row[9],
            proposed_by=row[10],
        )
        for row in cursor.execute(statement, values).fetchall()
    ]
