"""What an offer must be like, and what a consent covers. Pure."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vna.config import Sharing
from vna.delivery.channels import Channel
from vna.errors import Conflict, InvalidRequest
from vna.sharing.values import Confirmed, Forward, Offer, Protection, Purpose
from vna.texts import filled, marked

LEGAL_BASES = frozenset(
    {"patient-request", "treatment", "vital-interest", "legal-obligation", "contract"}
)
LEAST_CONFIRMED = 2
MOST_OPENS = 1000
MOST_NAME = 200

REPORTS = (
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.88.35",
    "1.2.840.10008.5.1.4.1.1.104.1",
    "1.2.840.10008.5.1.4.1.1.104.2",
)
"""SOP Classes of reports: structured reports people read, encapsulated PDF and CDA (PS3.4 B.5)."""

_CODED = {Protection.SMS: "sms", Protection.EMAIL: "email"}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
_PURPOSES = {  # what consents are asked by
    Purpose.TREATMENT: "treatment",
    Purpose.PATIENT_REQUEST: "patient-request",
    Purpose.INSURANCE: "third-party",
    Purpose.LEGAL: "third-party",
    Purpose.RESEARCH: "research",
    Purpose.EMERGENCY: "treatment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a consent may limit, of one study: `modalities` are those of what was chosen of it."""

    study: str
    date: dt.date | None
    accession: str | None
    modalities: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a consent says: allowed or not, for what, and of which studies."""

    consent_id: int
    purpose: str
    allowed: bool
    modalities: frozenset[str] | None
    studied_from: dt.date | None
    studied_to: dt.date | None
    accession: str | None


def check_offer(offer: Offer, settings: Sharing, now: dt.datetime) -> None:
    """Refuse an offer that must not be made. Raises `InvalidRequest`."""
    if not (offer.studies or offer.series or offer.instances):
        raise InvalidRequest(marked("Choose at least one study, series or image."))
    if Confirmed.ACCOUNT not in offer.person.confirmed:
        check_compared(offer.person.confirmed)
    if offer.consent_id is None and offer.legal_basis is None:
        raise InvalidRequest("A share rests on a consent or on a legal basis.")
    if offer.legal_basis is not None and offer.legal_basis not in LEGAL_BASES:
        raise InvalidRequest("Legal bases are: " + ", ".join(sorted(LEGAL_BASES)) + ".")
    if offer.max_opens is not None and not 1 <= offer.max_opens <= MOST_OPENS:
        raise InvalidRequest(filled("A share can be opened 1 to %(most)s times.", most=MOST_OPENS))
    if not 0 < len(offer.person.name.strip()) <= MOST_NAME:
        raise InvalidRequest("Say whose images these are.")
    if offer.to is None and not offer.printed and Protection.PASSCODE not in offer.proof:
        # what is handed over by hand is handed over with something that is told
        raise InvalidRequest(marked("A link that is handed over needs a passcode, or is printed."))
    check_ways(offer, settings, now)


def check_compared(confirmed: frozenset[Confirmed]) -> None:
    """Refuse to act for somebody of whom less than two things were compared."""
    if len(confirmed - {Confirmed.ACCOUNT}) < LEAST_CONFIRMED:
        raise InvalidRequest(
            "Compare two things with the person at least: name and birth date, say."
        )


def check_ways(offer: Offer | Forward, settings: Sharing, now: dt.datetime) -> None:
    """Refuse a protection that is none, two ways that are one. Raises `InvalidRequest`."""
    if not offer.proof:
        raise InvalidRequest(marked("A link alone is no protection: ask for a code or a passcode."))
    coded = [kind for way, kind in _CODED.items() if way in offer.proof]
    if len(coded) > 1:
        raise InvalidRequest(marked("A code goes by SMS or by e-mail, not by both."))
    if coded and (offer.by is None or offer.by.kind != coded[0]):
        raise InvalidRequest(marked("Say where the code is to go, by the way it is to go."))
    if not coded and offer.by is not None:
        raise InvalidRequest(marked("There is no code to be sent there."))
    if offer.to is not None and offer.by is not None and are_one(offer.to, offer.by):
        raise InvalidRequest(
            marked("Link and code must not end up in the same mailbox or telephone.")
        )
    if offer.until.tzinfo is None:
        raise InvalidRequest("The end of a share is a time with its zone.")
    if offer.until <= now:
        raise InvalidRequest(
            marked("The day until which it can be opened is over: choose another.")
        )
    if offer.until > now + dt.timedelta(days=settings.most_days):
        raise InvalidRequest(
            filled("A share ends within %(days)s days.", days=f"{settings.most_days:g}")
        )
    if not 0 < len(offer.recipient.name.strip()) <= MOST_NAME:
        raise InvalidRequest(marked("Say to whom the images are given."))
    if len(offer.recipient.organisation) > MOST_NAME:
        raise InvalidRequest("The name of an organisation is shorter than that.")
    if not _LANGUAGE.fullmatch(offer.language):
        raise InvalidRequest("A language is written en, or pt-BR.")


def are_one(one: Channel, other: Channel) -> bool:
    """Whether messages to the two end up in one place."""
    return one.kind == other.kind and one.mailbox() == other.mailbox()


def check_consents(offer: Offer, consents: Iterable[Limits], studies: Sequence[Facts]) -> None:
    """Refuse what a person forbade, or what the named consent does not cover. Raises `Conflict`."""
    valid = list(consents)
    check_refusals(offer.purpose, valid, studies)
    if offer.consent_id is None:
        return
    named = next((one for one in valid if one.consent_id == offer.consent_id), None)
    if named is None or not named.allowed:
        raise Conflict(marked("This consent is not one of this person's that is valid now."))
    if named.purpose != _PURPOSES[offer.purpose]:
        raise Conflict(marked("This consent was given for another purpose."))
    if not all(covers(named, study) for study in studies):
        raise Conflict(marked("This consent does not cover all that was chosen."))


def check_refusals(purpose: Purpose, consents: Iterable[Limits], studies: Sequence[Facts]) -> None:
    """Refuse what a person forbade. Raises `Conflict`."""
    if any(forbids(consent, purpose, studies) for consent in consents):
        raise Conflict(
            marked("The person does not want this to be shared: there is a consent that says no.")
        )


def forbids(consent: Limits, purpose: Purpose, studies: Iterable[Facts]) -> bool:
    """Whether a consent is a "no" to something of this: it stands above all but an emergency."""
    if consent.allowed or purpose is Purpose.EMERGENCY or consent.purpose != _PURPOSES[purpose]:
        return False
    return any(covers(consent, study) for study in studies)


def default_until(settings: Sharing, purpose: Purpose, now: dt.datetime) -> dt.datetime:
    """Say until when a share is good when nobody says otherwise."""
    own = purpose is Purpose.PATIENT_REQUEST
    return now + dt.timedelta(days=settings.patient_days if own else settings.other_days)


def covers(consent: Limits, study: Facts) -> bool:
    """Whether a consent speaks of a study: an allowance of all of it, a refusal of any of it.

    What is not known of a study is outside an allowance and inside a refusal.
    """
    if consent.accession is not None and consent.accession != study.accession:
        return not consent.allowed and not study.accession
    if study.date is None and (consent.studied_from or consent.studied_to):
        return not consent.allowed
    if consent.studied_from is not None and study.date and study.date < consent.studied_from:
        return False
    if consent.studied_to is not None and study.date and study.date > consent.studied_to:
        return False
    if consent.modalities is None:
        return True
    if consent.allowed:
        return study.modalities <= consent.modalities
    return not study.modalities or bool(consent.modalities & study.modalities)


def words(name: str) -> frozenset[str]:
    """Cut a name into words that compare: without case, marks and accents."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return frozenset(kept.split())
