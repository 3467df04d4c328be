"""What the journal says of identities: enough to know them again when all is taken in anew."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from vna.blobs.journal import Entry
from vna.dicom.moments import read_date
from vna.errors import Corrupt
from vna.patients.demographics import Demographics
from vna.patients.store import Identity

LINK, APART, DECEASED = "identity-link", "identity-apart", "identity-deceased"
BOUND = "identity-bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An identity as a journal entry describes it."""

    id: bytes
    issuer: str
    patient_id: str
    said: Demographics


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an entry says: whose identities, why, since when somebody is dead, and who proposed."""

    parties: tuple[Party, ...]
    reason: str
    died: dt.date | None
    proposed_by: str | None


def described(one: Identity) -> dict[str, Any]:
    """Describe an identity so that it is known again when all studies are taken in anew."""
    born = one.said.born
    return {
        "id": one.id.hex(),
        "issuer": one.issuer,
        "patient_id": one.patient_id,
        "name": one.said.name,
        "birth_date": born and born.strftime("%Y%m%d"),
        "sex": one.said.sex,
    }


def reading_of(entry: Entry) -> Reading:
    """Read an entry of the journal. Raises `Corrupt`."""
    names = ("first",) if entry.op in (DECEASED, BOUND) else ("first", "second")
    try:
        return Reading(
            parties=tuple(party_of(entry.target[name]) for name in names),
            reason=str(entry.args["reason"]),
            died=read_date(entry.args.get("died") or ""),
            proposed_by=entry.args.get("proposed_by"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Corrupt("A journal entry does not say whose identities it is about.") from exc


def party_of(said: Any) -> Party:  # JSON of a journal entry
    """Read an identity as an entry describes it."""
    return Party(
        id=bytes.fromhex(said["id"]),
        issuer=said["issuer"],
        patient_id=said["patient_id"],
        said=Demographics(
            name=said["name"], birth_date=read_date(said["birth_date"] or ""), sex=said["sex"]
        ),
    )
