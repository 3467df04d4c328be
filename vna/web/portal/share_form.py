"""The form of a new share, read: what was typed becomes an offer, or a sentence that says why not.

Pure: what is asked of an offer itself (two ways that are one, dates, consents) the engine checks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from vna.dicom.refs import SeriesRef, StudyRef, uid
from vna.errors import InvalidRequest
from vna.sharing.values import (
    Channel,
    Confirmed,
    Doubt,
    Offer,
    Person,
    Protection,
    Purpose,
    Recipient,
    channel,
)
from vna.texts import marked
from vna.web.portal.attributes import day_of
from vna.web.portal.numbers import is_number
from vna.web.portal.study import Study

PURPOSES = {
    Purpose.PATIENT_REQUEST: marked("The patient asked for it"),
    Purpose.TREATMENT: marked("Treatment elsewhere"),
    Purpose.INSURANCE: marked("Insurance"),
    Purpose.LEGAL: marked("Legal matter"),
    Purpose.RESEARCH: marked("Research"),
    Purpose.EMERGENCY: marked("Emergency"),
}
BASES = {
    "patient-request": marked("The patient's own request"),
    "treatment": marked("Treatment"),
    "vital-interest": marked("Vital interest"),
    "legal-obligation": marked("Legal obligation"),
    "contract": marked("Contract"),
}
CONFIRMED = {
    Confirmed.NAME: marked("Name"),
    Confirmed.BIRTH_DATE: marked("Date of birth"),
    Confirmed.PATIENT_ID: marked("Patient ID"),
    Confirmed.LAST_EXAM: marked("Date of the examination"),
}

DOUBTS = {
    Doubt.UNKNOWN: marked("No such address of this person is known yet."),
    Doubt.CHANGED: marked(
        "This person is known by another address, or by this one for less than a day."
    ),
}

CODED = {"sms": Protection.SMS, "email": Protection.EMAIL}


@dataclass(frozen=True, slots=True)
class Typed:
    """The fields of the form, as they were typed."""

    fields: Mapping[str, str]

    def text(self, name: str) -> str:
        """Give what stands in a field."""
        return self.fields.get(name, "").strip()

    def has(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.fields.get(name))


def offer_of(typed: Typed, study: Study, *, zone: str) -> Offer:
    """Make the offer. Raises `InvalidRequest`."""
    by = way(typed.text("by"))
    proof = {CODED[by.kind]} if by is not None else set()
    if typed.has("passcode"):
        proof.add(Protection.PASSCODE)
    studies, series = _chosen(typed, study)
    consent_id, legal_basis = _basis(typed.text("basis"))
    return Offer(
        studies=studies,
        series=series,
        person=_person(typed, study),
        recipient=Recipient(name=typed.text("recipient"), organisation=typed.text("organisation")),
        purpose=_purpose(typed.text("purpose")),
        to=way(typed.text("to")),
        proof=frozenset(proof),
        by=by,
        until=until_of(typed.text("until"), zone),
        reports=typed.has("reports"),
        download=typed.has("download"),
        forward=typed.has("forward"),
        max_opens=_count(typed.text("max_opens")),
        consent_id=consent_id,
        legal_basis=legal_basis,
        printed=typed.has("printed"),
        without_images=typed.has("without_images"),
        notify=way(typed.text("notify")),
        language=typed.text("language") or "en",
    )


def _chosen(typed: Typed, study: Study) -> tuple[frozenset[StudyRef], frozenset[SeriesRef]]:
    """Take the whole study where every series is ticked, else those that are."""
    ticked = {one.uid for one in study.series if typed.has(f"series.{one.uid}")}
    others = {one.uid for one in study.others if typed.has(f"study.{one.uid}")}
    whole = {study.uid} if ticked and len(ticked) == len(study.series) else set()
    series = frozenset() if whole else frozenset(SeriesRef(uid(study.uid), uid(u)) for u in ticked)
    return frozenset(StudyRef(uid(u)) for u in whole | others), series


def _person(typed: Typed, study: Study) -> Person:
    birth_date = day_of(study.birth_date)  # a date that was never one is shown to nobody as one
    return Person(
        name=study.name or study.patient_id, birth_date=birth_date, confirmed=ticked(typed)
    )


def ticked(typed: Typed) -> frozenset[Confirmed]:
    """Say what was compared with the person."""
    return frozenset(one for one in CONFIRMED if typed.has(f"confirmed.{one.value}"))


def way(text: str) -> Channel | None:
    """Read an e-mail address or a telephone number; None for nothing. Raises `InvalidRequest`."""
    if not text:
        return None
    return channel("email" if "@" in text else "sms", text)


def _purpose(text: str) -> Purpose:
    try:
        return Purpose(text)
    except ValueError as exc:
        raise InvalidRequest(marked("Say what the images are given on for.")) from exc


def _basis(text: str) -> tuple[int | None, str | None]:
    sort, _, value = text.partition(":")
    if sort == "consent" and is_number(value):
        return int(value), None
    return None, value if sort == "legal" else None


def until_of(text: str, zone: str) -> dt.datetime:
    """Take a day as its end, where the archive is. Raises `InvalidRequest`."""
    try:
        day = dt.date.fromisoformat(text)
        return dt.datetime.combine(day, dt.time(23, 59, 59), ZoneInfo(zone))
    except (ValueError, OverflowError) as exc:
        raise InvalidRequest(
            marked("Say until which day it can be opened: year-month-day.")
        ) from exc


def _count(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidRequest(marked("How often it can be opened is a number."))
    return int(text)


def compared(found: Study) -> list[tuple[str, str, str]]:
    """Say what can be compared with the person: field, what it is called, what the archive has."""
    held = {
        Confirmed.NAME: found.name,
        Confirmed.BIRTH_DATE: found.birth_date,
        Confirmed.PATIENT_ID: found.patient_id,
        Confirmed.LAST_EXAM: found.date,
    }
    return [(f"confirmed.{one.value}", CONFIRMED[one], text) for one, text in held.items() if text]
