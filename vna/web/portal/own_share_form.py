"""The four steps of a patient's own share, read: what was typed becomes an offer, or says why not.

Pure. What is asked of every offer (two ways that are one, dates, consents) the engine checks again.
A sentence raised here is marked, so that the page can say it in the patient's language.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from vna.dicom.refs import UID, SeriesRef, StudyRef, uid
from vna.errors import InvalidRequest
from vna.sharing.values import (
    Channel,
    Offer,
    Person,
    Protection,
    Purpose,
    Recipient,
    channel,
)
from vna.texts import ENGLISH, languages, marked
from vna.web.portal.share_form import CODED, Typed

WHAT, WHOM, HOW, CHECK = STEPS = ("what", "whom", "how", "check")
TITLES = {
    WHAT: marked("What?"),
    WHOM: marked("To whom?"),
    HOW: marked("How protected?"),
    CHECK: marked("Check and send"),
}
HAND = "hand"
MOST_STUDIES = 50

_OF_STEP = {
    WHAT: ("study.", "parts.", "series.", "reports", "without_images"),
    WHOM: ("recipient", "organisation", "way", "email", "phone", "language"),
    HOW: (
        *("code", "code_phone", "code_email", "passcode", "printed", "until", "download"),
        *("forward", "notify"),
    ),
}


@dataclass(frozen=True, slots=True)
class Steps(Typed):
    """The fields of all steps, as they were typed."""

    def typed(self, step: str, fields: Mapping[str, str]) -> Steps:
        """Take over a form of one step; what the others say stays."""
        own = _OF_STEP[step]
        kept = {name: text for name, text in self.fields.items() if not name.startswith(own)}
        found = Steps(kept | {name: text for name, text in fields.items() if name.startswith(own)})
        return found.suited() if step == WHOM else found

    def suited(self) -> Steps:
        """Fill in what fits when the link is handed over: a passcode, told together with it."""
        is_said = self.text("code_phone") or self.text("code_email") or self.has("printed")
        if self.text("way") != HAND or is_said:
            return self
        return Steps({**self.fields, "code": "none", "passcode": "on"})

    @property
    def studies(self) -> list[UID]:
        """Name the studies that are ticked. Raises `InvalidUID`."""
        ticked = (name for name in self.fields if name.startswith("study.") and self.has(name))
        return [uid(name.removeprefix("study.")) for name in ticked]

    def series(self, study: UID) -> set[str]:
        """Name the series of a study that are ticked."""
        return {
            name[7:]
            for name, of in self.fields.items()
            if name.startswith("series.") and of == study
        }

    def is_in_parts(self, study: UID) -> bool:
        """Whether the series of a study were shown to be chosen from."""
        return self.has(f"parts.{study}")


def begun(studies: Iterable[str], *, until: dt.datetime, language: str) -> Steps:
    """Fill in what most shares are: all of it, with reports, to look at and to keep."""
    return Steps(
        {
            **{f"study.{one}": "on" for one in studies},
            "reports": "on",
            "way": "email",
            "language": language,
            "code": "sms",
            "until": until.date().isoformat(),
            "download": "on",
            "notify": "on",
        }
    )


def check(step: str, steps: Steps, zone: str) -> None:
    """Refuse what one step says, as far as it alone can tell. Raises `InvalidRequest`."""
    if step == WHAT:
        refs(steps, {})
    elif step == WHOM:
        _recipient(steps)
        _to(steps)
    else:
        _proof(steps)
        _until(steps, zone)


def offer_of(
    steps: Steps,
    *,
    person: Person,
    series: Mapping[str, int],
    zone: str,
    mailbox: Channel | None = None,
) -> Offer:
    """Make the offer. Raises `InvalidRequest`.

    `series` counts those of each study; `mailbox` is where the patient hears of it, if they want.
    """
    studies, parts = refs(steps, series)
    proof, by = _proof(steps)
    to = _to(steps)
    offer = Offer(
        studies=studies,
        series=parts,
        person=person,
        recipient=_recipient(steps),
        purpose=Purpose.PATIENT_REQUEST,
        to=to,
        by=by,
        proof=proof,
        until=_until(steps, zone),
        reports=steps.has("reports"),
        download=steps.has("download"),
        forward=steps.has("forward"),
        printed=to is None and steps.has("printed"),
        without_images=steps.has("without_images"),
        notify=mailbox if steps.has("notify") else None,
    )
    spoken = steps.text("language")
    return replace(offer, language=spoken if spoken in languages() else ENGLISH)


def refs(
    steps: Steps, series: Mapping[str, int]
) -> tuple[frozenset[StudyRef], frozenset[SeriesRef]]:
    """Say what was chosen: whole studies, and series of those that were taken in parts.

    Raises `InvalidRequest`.
    """
    whole: set[StudyRef] = set()
    parts: set[SeriesRef] = set()
    if not steps.studies:
        raise InvalidRequest(marked("Choose at least one examination."))
    if len(steps.studies) > MOST_STUDIES:
        raise InvalidRequest(marked("Choose at most 50 examinations for one share."))
    for study in steps.studies:
        ticked = steps.series(study)
        if not steps.is_in_parts(study) or len(ticked) == series.get(study):
            whole.add(StudyRef(study))
        elif ticked:
            parts |= {SeriesRef(study, uid(one)) for one in ticked}
        else:
            raise InvalidRequest(
                marked("Choose a part of each examination, or leave the examination out.")
            )
    return frozenset(whole), frozenset(parts)


def _recipient(steps: Steps) -> Recipient:
    name = steps.text("recipient")
    if not 0 < len(name) <= 200 or len(steps.text("organisation")) > 200:
        raise InvalidRequest(marked("Say who gets the images: a name, of 200 letters at most."))
    return Recipient(name=name, organisation=steps.text("organisation"))


def _to(steps: Steps) -> Channel | None:
    way = steps.text("way")
    if way == HAND:
        return None
    if way == "email":
        return _channel("email", steps.text("email"))
    if way == "sms":
        return _channel("sms", steps.text("phone"))
    raise InvalidRequest(marked("Say how the link gets to them."))


def _proof(steps: Steps) -> tuple[frozenset[Protection], Channel | None]:
    proof: set[Protection] = set()
    by = None
    code = steps.text("code")
    if code in CODED:
        proof.add(CODED[code])
        by = _channel(code, steps.text("code_phone" if code == "sms" else "code_email"))
    if steps.has("passcode"):
        proof.add(Protection.PASSCODE)
    if not proof:
        raise InvalidRequest(
            marked("A link alone protects nothing: choose a code, a passcode, or both.")
        )
    return frozenset(proof), by


def _channel(kind: str, text: str) -> Channel:
    if not text:
        wanted = {
            "email": marked("The e-mail address is missing."),
            "sms": marked("The telephone number is missing."),
        }
        raise InvalidRequest(wanted[kind])
    return channel(kind, text)


def _until(steps: Steps, zone: str) -> dt.datetime:
    """Take a day as its end, where the archive is."""
    try:
        day = dt.date.fromisoformat(steps.text("until"))
        return dt.datetime.combine(day, dt.time(23, 59, 59), ZoneInfo(zone))
    except (ValueError, OverflowError) as exc:
        raise InvalidRequest(marked("Say until which day it can be opened.")) from exc
