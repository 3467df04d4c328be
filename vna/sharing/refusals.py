"""What a person forbade after it was shared: it is not sent anew, prolonged, or let go on.

What rests on a consent of theirs stops with a "no" to any of it. What was given on another basis
goes on; this is of acts that give more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from vna.index.arrays import Texts
from vna.sharing.held import ShareRow
from vna.sharing.rooms import SQL, Runs
from vna.sharing.rules import Facts, Limits, check_refusals, forbids
from vna.sharing.values import Purpose


def require_not_refused(tx: Runs, share: ShareRow) -> None:
    """Make sure that nobody whom a share shows says no to it by now. Raises `Conflict`."""
    identities = _identities(tx, share)
    named = [*sorted(identities), *beside(tx, identities)]
    for identity in named:
        tx.execute(SQL.hear_person, identity)
    valid = [
        limits_of(row)
        for identity in named
        for row in tx.execute(SQL.consents_now, identity).fetchall()
    ]
    check_refusals(Purpose(share.purpose), valid, _facts(tx, share))


def shares_forbidden(tx: Runs, issuer: str, patient_id: str, said: Limits) -> list[int]:
    """Hold what rests on a consent of a person, under any of their identities, and is forbidden."""
    identities = [(issuer, patient_id), *beside(tx, [(issuer, patient_id)])]
    asked = {
        "issuers": Texts(one for one, _ in identities),
        "ids": Texts(one for _, one in identities),
    }
    held = [ShareRow._make(row) for row in tx.execute(SQL.shares_on_consents_of, asked).fetchall()]
    return [one.share_id for one in held if forbids(said, Purpose(one.purpose), _facts(tx, one))]


def limits_of(row: tuple[Any, ...]) -> Limits:
    """Read what a consent says."""
    return Limits(
        consent_id=row[0],
        purpose=row[3],
        allowed=row[4],
        modalities=None if row[5] is None else frozenset(row[5]),
        studied_from=row[6],
        studied_to=row[7],
        accession=row[8],
    )


def beside(tx: Runs, identities: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Name the other identities of the same persons: a "no" under one of them is theirs, too."""
    asked = {
        "issuers": Texts(issuer for issuer, _ in identities),
        "ids": Texts(patient_id for _, patient_id in identities),
    }
    rows = tx.execute(SQL.identities_beside, asked).fetchall()
    return [(issuer, patient_id) for issuer, patient_id in rows]


def _identities(tx: Runs, share: ShareRow) -> set[tuple[str, str]]:
    """Name whom it was made of, and whose its studies are now."""
    rows = tx.execute(SQL.persons_of, (Texts(share.studies),)).fetchall()
    return {(share.issuer, share.patient_id), *((row[0], row[1]) for row in rows)}


def _facts(tx: Runs, share: ShareRow) -> list[Facts]:
    asked = {"share_id": share.share_id, "studies": Texts(share.studies)}
    said: dict[str, tuple[dt.date | None, str | None]] = {}
    modalities: dict[str, set[str]] = {}
    for study, date, accession, modality in tx.execute(SQL.facts_of_share, asked).fetchall():
        said[study] = date, accession
        modalities.setdefault(study, set()).update({modality} if modality else ())
    return [
        Facts(study=study, date=date, accession=accession, modalities=frozenset(modalities[study]))
        for study, (date, accession) in said.items()
    ]
