"""/study/UID/consents: what a patient allowed and forbade; recorded from paper, and withdrawn."""

from __future__ import annotations

import datetime as dt

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.trail import Patient
from vna.dicom.refs import UID, StudyRef, uid
from vna.errors import InvalidRequest, NotFound
from vna.sharing.consents import PURPOSES, Consent, Recorded
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import study
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages
from vna.web.portal.study import Study

TEXT_VERSION = "2026-11"
TEXT = (
    "My images and reports may be given on for the purpose named. I can take this back at any "
    "time; what was given on until then stays given on, and no link opens any more."
)
"""What is agreed to, under the version that stands with each consent."""

PURPOSE_NAMES = {
    "treatment": "Treatment elsewhere",
    "patient-request": "To myself, and to whom I choose",
    "third-party": "Insurance or legal matters",
    "research": "Research",
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of consents."""
    path = "/study/{study}/consents"
    return [
        Route(path, guarded(counter, pages, _consents), methods=["GET", "POST"]),
        Route(f"{path}/withdraw", guarded(counter, pages, _withdraw), methods=["POST"]),
    ]


async def _consents(visit: Visit) -> Response:
    who, asked = await _who(visit)
    if visit.request.method != "POST":
        return await _shown(visit, who, asked)
    form = await visit.form()

    def record() -> None:
        engines = visit.counter.engines
        patient = _patient(visit, asked)
        engines.sharing.consents.record(who, _consent(patient, form))

    try:
        await visit.hop(record)
    except InvalidRequest as exc:
        return await _shown(visit, who, asked, exc, form)
    return visit.go(f"/study/{asked}/consents")


async def _withdraw(visit: Visit) -> Response:
    who, asked = await _who(visit)
    form = await visit.form()
    number = form.get("consent", "")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise InvalidRequest("That is not a consent of ours.")

    def withdraw() -> tuple[str, ...]:
        consents = visit.counter.engines.sharing.consents
        patient = _patient(visit, asked)
        own = consents.of_person(who, patient.issuer, patient.patient_id)
        if int(number) not in {one.consent_id for one in own}:
            raise NotFound("There is no such consent of this patient.")
        return consents.withdraw(who, int(number)).shares

    suspended = await visit.hop(withdraw)
    return await _shown(visit, who, asked, suspended=suspended)


def _consent(patient: Patient, form: dict[str, str]) -> Consent:
    accession = form.get("accession", "").strip()
    return Consent(
        issuer=patient.issuer,
        patient_id=patient.patient_id,
        purpose=form.get("purpose", ""),
        allowed=_answer(form.get("answer", "")),
        text_version=TEXT_VERSION,
        signed_by=form.get("signed_by", ""),
        way="paper",
        accession=accession or None,
        valid_to=_end(form.get("valid_to", "")),
    )


def _answer(text: str) -> bool:
    if text not in ("yes", "no"):
        raise InvalidRequest("Say whether it is allowed: yes or no.")
    return text == "yes"


def _end(text: str) -> dt.datetime | None:
    try:
        day = dt.date.fromisoformat(text) if text else None
    except ValueError as exc:
        raise InvalidRequest("A date is written year-month-day.") from exc
    return None if day is None else dt.datetime.combine(day, dt.time(23, 59, 59), dt.UTC)


def _patient(visit: Visit, asked: UID) -> Patient:
    found = visit.counter.engines.trail.patients([asked]).get(asked)
    if found is None:
        raise NotFound("This study has no Patient ID: nobody can be asked for a consent to it.")
    return found


async def _shown(
    visit: Visit,
    who: Principal,
    asked: UID,
    exc: Exception | None = None,
    typed: dict[str, str] | None = None,
    *,
    suspended: tuple[str, ...] = (),
) -> Response:
    def look() -> tuple[Study, list[Recorded]]:
        engines = visit.counter.engines
        found = study.find(engines, who, asked)
        patient = _patient(visit, asked)
        return found, engines.sharing.consents.of_person(who, patient.issuer, patient.patient_id)

    found, consents = await visit.hop(look)
    return visit.show(
        "consents.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        study=found,
        consents=consents,
        purposes={purpose: PURPOSE_NAMES[purpose] for purpose in PURPOSES},
        text=TEXT,
        version=TEXT_VERSION,
        typed=typed or {},
        suspended=suspended,
        trouble=None if exc is None else str(exc),
        here="/",
    )


async def _who(visit: Visit) -> tuple[Principal, UID]:
    who = await visit.counter.identity.principal(visit.request.scope)
    asked = uid(visit.request.path_params["study"])
    require(who, Action.SHARE, StudyRef(asked))
    return who, asked
