"""A patient with an account of their own, in the archive of a test of sharing."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.sharing.conftest import MAIL, PHONE, Desk, in_days, study
from vna.access.principal import Action, Kind, Principal, Scope
from vna.dicom.refs import UID, StudyRef
from vna.sharing import wishes
from vna.sharing.values import Offer, Person, Protection, Purpose, Recipient

PERSON = Person(name="Canary Patient", birth_date=dt.date(1970, 1, 2))
BYSTANDER = UID("9.9.9")


def patient(
    *studies: UID, name: str = "p-7K2M", withheld: frozenset[UID] = frozenset()
) -> Principal:
    """Whoever sees what shows them, on pages of their own."""
    return Principal(
        kind=Kind.PERSON,
        name=name,
        actions=frozenset({Action.QUERY, Action.RETRIEVE, Action.SHARE_OWN}),
        scope=Scope(studies=frozenset(studies), withheld=withheld),
    )


def of_first(desk: Desk, **changed: Any) -> Principal:
    """The patient of the first study."""
    return patient(study(desk.made[0]).study, **changed)


def wanted(desk: Desk, **changed: Any) -> Offer:
    """What somebody types into the four steps: the first study, by mail, a code by phone."""
    said: dict[str, Any] = {
        "studies": frozenset({study(desk.made[0])}),
        "person": PERSON,
        "recipient": Recipient(name="Dr Kim"),
        "purpose": Purpose.PATIENT_REQUEST,
        "to": MAIL,
        "by": PHONE,
        "proof": frozenset({Protection.SMS}),
        "until": in_days(30),
        **changed,
    }
    return Offer(**said)


def wish(**changed: Any) -> wishes.Wish:
    said: dict[str, Any] = {
        "kind": wishes.Kind.CORRECT,
        "person": PERSON,
        "words": "It was the LEFT knee.",
        **changed,
    }
    return wishes.Wish(**said)


def ref(uid: str) -> StudyRef:
    return StudyRef(UID(uid))
