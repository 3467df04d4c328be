"""Applying the rules to a study: whose it is, and who else that may be."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from vna.db.pool import Connection
from vna.patients import store
from vna.patients.demographics import Demographics, of_elements
from vna.patients.rules import (
    Rule,
    collision,
    evidence,
    is_after_death,
    of_one_id,
    of_two_ids,
)
from vna.patients.store import Due, Identity, pair_of

BY_PATIENT = "patient"
AFTER_DEATH = "R9"


def look_at(tx: Connection, due: Due, issuers: Mapping[str, str]) -> None:
    """Say whose a study is now. The caller holds the lock on identities."""
    said = None
    if due.answer is not None and due.patient_id and due.issuer:
        said = of_elements(orjson.loads(due.answer), issuers)
    touched: list[bytes] = []
    if due.held is not None and not _stays(tx, due, said):
        touched = store.release(tx, due.study, due.held)
        store.clear(tx, [due.held])
    if said is not None and due.issuer and due.patient_id:
        identity = resolve(tx, due.issuer, due.patient_id, said)
        alert = AFTER_DEATH if is_after_death(identity.died, due.date) else None
        store.assign(tx, due.study, identity.id, alert)
        touched += compare(tx, identity)
    if touched:
        store.find_persons(tx, touched)


def resolve(
    tx: Connection,
    issuer: str,
    patient_id: str,
    said: Demographics,
    *,
    source: str = "dicom",
    known_as: bytes | None = None,
) -> Identity:
    """Find the identity this is said of, or make it: the first of its id, or a shadow (R1, R2).

    `known_as` is what it was called when somebody decided something of it.
    """
    known = store.named(tx, issuer, patient_id)
    for one in sorted(known, key=lambda held: held.id != known_as):
        if one.id == known_as:
            return one
        if of_one_id(one.said, said) is Rule.R1:
            return store.enrich(tx, one.id, said)
    made = store.add(tx, issuer, patient_id, said, source=source, known_as=known_as)
    for one in known:
        store.propose(tx, pair_of(made.id, one.id), collision(), evidence(made.said, one.said))
    return made


def compare(tx: Connection, identity: Identity) -> list[bytes]:
    """Compare an identity with those that may be the same person; give those that were linked."""
    linked: list[bytes] = []
    for other in store.alike(tx, identity):
        if (other.issuer, other.patient_id) == (identity.issuer, identity.patient_id):
            continue  # a shadow: R2 has spoken
        by_patient = BY_PATIENT in (identity.source, other.source)
        finding = of_two_ids(identity.said, other.said, by_patient=by_patient)
        if finding is None:
            continue
        told = evidence(identity.said, other.said)
        is_new = store.propose(tx, pair_of(identity.id, other.id), finding, told)
        if is_new and finding.state == "linked":
            linked += [identity.id, other.id]
    return linked


def _stays(tx: Connection, due: Due, said: Demographics | None) -> bool:
    """Whether a study says what its identity says, so that nothing is to be made anew."""
    found = store.find(tx, [due.held] if due.held else []).get(due.held or b"")
    if found is None or said is None:
        return False
    if (found.issuer, found.patient_id) != (due.issuer, due.patient_id):
        return False
    same = (found.said.folded, found.said.born, found.said.sex)
    return same == (said.folded, said.born, said.sex) and said.numbers <= found.said.numbers
