"""The forms of consents, read: what was typed becomes a value, or a sentence that says why not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from vna.errors import InvalidRequest
from vna.sharing.consents import Consent
from vna.sharing.kiosks import Asking
from vna.sharing.plans import Lane, Plan
from vna.sharing.values import Channel, Confirmed, Person, Recipient, channel
from vna.texts import ENGLISH, marked
from vna.web.portal.share_form import Typed

PURPOSES = {
    "patient-request": marked("Images to the patient"),
    "treatment": marked("Treatment elsewhere"),
    "third-party": marked("Insurance, legal matter, somebody else"),
    "research": marked("Research"),
}
LANES = {
    Lane.NOW.value: marked("When the images are complete"),
    Lane.TONIGHT.value: marked("Tonight"),
    Lane.URGENT.value: marked("Urgent"),
}
WAYS = {"paper": marked("On paper"), "staff": marked("To us, in person")}
ALL_WAYS = {**WAYS, "kiosk": marked("On a tablet"), "portal": marked("On their own pages")}
CONFIRMED = {
    Confirmed.NAME: marked("Name"),
    Confirmed.BIRTH_DATE: marked("Date of birth"),
    Confirmed.PATIENT_ID: marked("Patient ID"),
    Confirmed.ADDRESS: marked("Address"),
}
OF_PERSON = ("patient", "issuer", "name", "born", "accession", "about", "study")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whose consents a page is about, as its forms carry it along."""

    patient: str
    issuer: str
    name: str
    born: str
    accession: str = ""
    about: str = ""
    study: str = ""

    def fields(self) -> dict[str, str]:
        """Give what every form of the page holds."""
        return {name: getattr(self, name) for name in OF_PERSON}


def whom(fields: Mapping[str, str], issuer: str) -> Whom:
    """Read whom a page is about. Raises `InvalidRequest`."""
    typed = Typed(fields)
    found = Whom(
        patient=typed.text("patient"),
        issuer=typed.text("issuer") or issuer,
        name=typed.text("name"),
        born=typed.text("born"),
        accession=typed.text("accession"),
        about=typed.text("about"),
        study=typed.text("study"),
    )
    if not found.patient:
        raise InvalidRequest(marked("Type the Patient ID."))
    if any(len(value) > 200 or "\x00" in value for value in found.fields().values()):
        raise InvalidRequest(marked("That is longer than any name or number."))
    return found


def asking_of(typed: Typed, of: Whom) -> Asking:
    """Read what a tablet shall ask. Raises `InvalidRequest`."""
    recipient = _recipient(typed)
    return Asking(
        issuer=of.issuer,
        patient_id=of.patient,
        accession=of.accession or None,
        person=_person(typed, of),
        purpose=typed.text("purpose"),
        about=of.about,
        recipient=recipient,
        to=channel_of(typed.text("to")) if recipient else None,
        by=channel_of(typed.text("by")) if recipient else None,
        lane=_lane(typed),
    )


def consent_of(typed: Typed, of: Whom, version: str) -> Consent:
    """Read what somebody said on paper or in person. Raises `InvalidRequest`."""
    said = typed.text("said")
    if said not in ("yes", "no"):
        raise InvalidRequest(marked("Say whether it was a yes or a no."))
    modalities = frozenset(typed.text("modalities").upper().replace(",", " ").split())
    return Consent(
        issuer=of.issuer,
        patient_id=of.patient,
        purpose=typed.text("purpose"),
        allowed=said == "yes",
        text_version=version,
        signed_by=typed.text("signed_by"),
        way=typed.text("way"),
        modalities=modalities or None,
        accession=(of.accession or None) if typed.has("only_this") else None,
        valid_to=_until(typed.text("valid_to")),
    )


def plan_of(typed: Typed, of: Whom) -> Plan | None:
    """Read where images shall go by themselves; None when nothing is typed."""
    to, by = channel_of(typed.text("to")), channel_of(typed.text("by"))
    if to is None and by is None:
        return None
    if to is None or by is None:
        raise InvalidRequest(marked("Say where the link is to go, and where the code."))
    return Plan(
        person=_person(typed, of),
        recipient=_recipient(typed) or Recipient(name=of.name),
        to=to,
        by=by,
        language=typed.text("language") or ENGLISH,
        reports=typed.has("reports"),
        lane=_lane(typed),
    )


def channel_of(text: str) -> Channel | None:
    """Read an address or a number; None for nothing. Raises `InvalidRequest`."""
    return channel("email" if "@" in text else "sms", text) if text else None


def _person(typed: Typed, of: Whom) -> Person:
    confirmed = frozenset(one for one in CONFIRMED if typed.has(f"confirmed.{one.value}"))
    try:
        born = dt.date.fromisoformat(of.born) if of.born else None
    except ValueError as exc:
        raise InvalidRequest(marked("A birth date is written year-month-day.")) from exc
    return Person(name=of.name, birth_date=born, confirmed=confirmed)


def _recipient(typed: Typed) -> Recipient | None:
    name = typed.text("recipient")
    return Recipient(name=name, organisation=typed.text("organisation")) if name else None


def _lane(typed: Typed) -> Lane:
    try:
        return Lane(typed.text("lane") or Lane.NOW.value)
    except ValueError as exc:
        raise InvalidRequest(marked("Say when it shall go out.")) from exc


def _until(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(23, 59, 59), dt.UTC)
    except ValueError as exc:
        raise InvalidRequest(marked("A day is written year-month-day.")) from exc
