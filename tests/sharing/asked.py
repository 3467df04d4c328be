"""What is asked and answered in the waiting room of a test."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.factories import Instance, ct
from tests.sharing.conftest import MAIL, PHONE
from vna.sharing.consents import Consent
from vna.sharing.kiosks import Answer, Asking
from vna.sharing.plans import Plan
from vna.sharing.values import Confirmed, Person, Recipient

BORN = dt.date(1970, 1, 2)
ADA = Person(
    name="Adams, Ada", birth_date=BORN, confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE})
)
HERS = {
    "00100010": "Adams^Ada",
    "00100020": "P-9",
    "00100030": "19700102",
    "00080050": "A-77",
}


def hers(study: int = 91, instance: int = 1, **differs: str) -> Instance:
    """One image of an examination of hers."""
    values = {**HERS, **{f"0{tag[1:]}": value for tag, value in differs.items()}}
    return ct(study, 1, instance, values=values)


def asking(**changed: Any) -> Asking:
    said: dict[str, Any] = {
        "issuer": "LOCAL",
        "patient_id": "P-9",
        "accession": "A-77",
        "person": ADA,
        "purpose": "patient-request",
        "about": "CT of the chest",
        **changed,
    }
    return Asking(**said)


def yes(**changed: Any) -> Answer:
    said: dict[str, Any] = {
        "allowed": True,
        "signed_by": "Ada Adams",
        "language": "en",
        "to": MAIL,
        "by": PHONE,
        **changed,
    }
    return Answer(**said)


def no(**changed: Any) -> Answer:
    return yes(allowed=False, to=None, by=None, **changed)


def consent(**changed: Any) -> Consent:
    said: dict[str, Any] = {
        "issuer": "LOCAL",
        "patient_id": "P-9",
        "purpose": "patient-request",
        "allowed": True,
        "text_version": "patient-request.own-1",
        "signed_by": "Ada Adams",
        "way": "paper",
        "accession": "A-77",
        **changed,
    }
    return Consent(**said)


def plan(**changed: Any) -> Plan:
    said: dict[str, Any] = {
        "person": ADA,
        "recipient": Recipient(name=ADA.name),
        "to": MAIL,
        "by": PHONE,
        **changed,
    }
    return Plan(**said)
