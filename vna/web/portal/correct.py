"""/study/UID/correct: what a study shows instead of what was received, and whose it is.

Moving takes two steps: first it is shown whose the other Patient ID is, then somebody says yes.
Stored bytes stay as they came, and every correction can be undone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import UID, Level, StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.operate.corrections import REASON_MOST, Correction
from vna.query.keys import from_parameters
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.attributes import as_date, day_of, person
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages
from vna.web.portal.study import find

NAMES = {
    "PatientID": marked("Patient ID"),
    "IssuerOfPatientID": marked("Given by"),
    "PatientName": marked("Name"),
    "PatientBirthDate": marked("Date of birth"),
    "PatientSex": marked("Sex"),
    "AccessionNumber": marked("Accession number"),
    "StudyDescription": marked("Description"),
}
SEXES = {"": marked("not known"), "F": marked("female"), "M": marked("male"), "O": marked("other")}
_TYPED = {
    "PatientName": "00100010",
    "PatientBirthDate": "00100030",
    "PatientSex": "00100040",
    "AccessionNumber": "00080050",
    "StudyDescription": "00081030",
}
_OF_PATIENT = ("PatientName", "PatientBirthDate", "PatientSex")
_ID = re.compile(r"[0-9a-f]{32}")
_REFUSED = (Conflict, InvalidRequest, NotFound)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of corrections."""
    page = guarded(counter, pages, _page)
    return [Route("/study/{study}/correct", page, methods=["GET", "POST"])]


async def _page(visit: Visit) -> Response:
    who = await visit.who(Action.CORRECT)
    study = uid(visit.request.path_params["study"])
    if visit.request.method != "POST":
        return await _shown(visit, who, study)
    form = await visit.form()
    require(who, Action.CORRECT, StudyRef(study))
    try:
        if form.get("act") == "look":
            return await _other(visit, who, study, form)
        await visit.hop(lambda: _do(visit, who, study, form))
    except _REFUSED as exc:
        if form.get("act") == "move":
            return await _other(visit, who, study, form, exc)
        return await _shown(visit, who, study, exc, form)
    return visit.go(f"/study/{study}/correct")


def _do(visit: Visit, who: Principal, study: UID, form: Mapping[str, str]) -> None:
    engine, reason = visit.counter.engines.corrections, form.get("reason", "")
    match form.get("act"):
        case "correct":
            changes = _changes(form, _now(visit, who, study))
            engine.correct(who, study, changes, reason=reason)
        case "move":
            more = {keyword: _value(keyword, form) for keyword in _OF_PATIENT if keyword in form}
            patient_id, issuer = _whose(form)
            engine.move(who, study, patient_id=patient_id, issuer=issuer, more=more, reason=reason)
        case "undo":
            correction = form.get("correction", "")
            if not _ID.fullmatch(correction):
                raise InvalidRequest("That is no correction.")
            if not any(one.id.hex() == correction for one in engine.history(who, study)):
                raise NotFound(marked("There is no such correction."))
            engine.undo(who, bytes.fromhex(correction), reason=reason)
        case _:
            raise InvalidRequest(marked("Say what is to be done."))


def _changes(form: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Find what was typed over. Raises `Conflict` where a colleague was faster, `InvalidRequest`.

    A form sends every field: what nobody touched is no correction, whatever the study shows by
    now, or the field could not show of it (a birth date that is none).
    """
    found = {}
    for keyword, text in _typed_over(form, now).items():
        was = form.get(f"was-{keyword}")
        if was is not None and was != _field(keyword, now[keyword]):
            raise Conflict(
                marked("A colleague corrected this meanwhile. Look at what it shows now.")
            )
        found[keyword] = text
    if not found:
        raise InvalidRequest(marked("This is what the study shows already."))
    return found


def _typed_over(form: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    typed = {keyword: _value(keyword, form) for keyword in _TYPED if keyword in form}
    shown = {
        keyword: form.get(f"was-{keyword}", _field(keyword, now[keyword])) for keyword in typed
    }
    return {
        keyword: text
        for keyword, text in typed.items()
        if text != _value(keyword, {keyword: shown[keyword]})
    }


def _field(keyword: str, text: str) -> str:
    """Write a value as its field sends it back when nobody touches it (HTML 4.10.5.1)."""
    if keyword == "PatientBirthDate":
        return as_date(text) if day_of(as_date(text)) else ""
    return text.replace("\r", "").replace("\n", "").strip()


def _value(keyword: str, form: Mapping[str, str]) -> str:
    """Read one field: a date as browsers write it becomes one of DICOM."""
    text = form.get(keyword, "").strip()
    return text.replace("-", "") if keyword == "PatientBirthDate" else text


def _whose(form: Mapping[str, str]) -> tuple[str, str | None]:
    patient_id = form.get("PatientID", "").strip()
    if not patient_id:
        raise InvalidRequest(marked("Say the Patient ID it belongs to."))
    return patient_id, form.get("IssuerOfPatientID", "").strip() or None


def _now(visit: Visit, who: Principal, study: UID) -> dict[str, str]:
    """Read what the study shows, as DICOM writes it. Raises `NotFound`."""
    asked = [("StudyInstanceUID", study), *(("includefield", name) for name in _TYPED)]
    query = from_parameters(Level.STUDY, asked, most=1).query
    found = next(visit.counter.engines.query.find(who, query).rows, None)
    if found is None:
        raise NotFound
    return {keyword: _raw(found.attributes.get(tag)) for keyword, tag in _TYPED.items()}


def _raw(element: Any) -> str:  # an element of DICOM JSON, or None
    value = ((element or {}).get("Value") or [""])[0]
    if isinstance(value, dict):
        groups = (value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value or "")


async def _shown(
    visit: Visit,
    who: Principal,
    study: UID,
    exc: VNAError | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    def look() -> dict[str, Any]:
        engines = visit.counter.engines
        return {
            "study": find(engines, who, study),
            "now": _now(visit, who, study),
            "history": [_told(one) for one in reversed(engines.corrections.history(who, study))],
        }

    found = await visit.hop(look)
    now, sent = found["now"], form or {}
    fields = {keyword: _field(keyword, text) for keyword, text in now.items()}
    over = {
        keyword: sent[keyword]
        for keyword in _typed_over(sent, now)
        if sent.get(f"was-{keyword}", fields[keyword]) == fields[keyword]
    }
    others = {name: text for name, text in sent.items() if name not in _TYPED}
    typed = {**others, **fields, **over}
    return visit.show(
        "correct.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        trouble=None if exc is None else visit.said(exc),
        typed=typed,
        was=fields,
        no_date="" if fields["PatientBirthDate"] else as_date(now["PatientBirthDate"]),
        sexes=SEXES,
        issuer=visit.counter.engines.settings.site.issuer,
        most=REASON_MOST,
        here="/",
        **found,
    )


async def _other(
    visit: Visit,
    who: Principal,
    study: UID,
    form: Mapping[str, str],
    exc: VNAError | None = None,
) -> Response:
    """Show whose the other Patient ID is, beside whose the study is now."""
    patient_id, issuer = _whose(form)
    issuer = issuer or visit.counter.engines.settings.site.issuer

    def look() -> dict[str, Any]:
        engines = visit.counter.engines
        return {
            "study": find(engines, who, study),
            "now": _now(visit, who, study),
            "other": engines.corrections.patient(who, patient_id, issuer=issuer),
            "shares": len(engines.sharing.shares(who, study=StudyRef(study), most=50))
            if Action.SHARE in who.actions
            else 0,
        }

    found = await visit.hop(look)
    found["now"]["PatientBirthDate"] = as_date(found["now"]["PatientBirthDate"])
    if found["other"] is not None:
        found["other"]["PatientBirthDate"] = as_date(found["other"]["PatientBirthDate"])
    return visit.show(
        "correct_move.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        trouble=None if exc is None else visit.said(exc),
        patient_id=patient_id,
        issuer=issuer,
        typed=form,
        names=NAMES,
        sexes=SEXES,
        most=REASON_MOST,
        here="/",
        **found,
    )


def _told(one: Correction) -> dict[str, Any]:
    """Say a correction as the page lists it."""
    changes = [(NAMES[keyword], _read(keyword, text)) for keyword, text in one.changes.items()]
    return {"id": one.id.hex(), "one": one, "changes": sorted(changes)}


def _read(keyword: str, text: str) -> str:
    if keyword == "PatientBirthDate":
        return as_date(text)
    if keyword == "PatientName":
        return person(text)
    return SEXES.get(text, text) if keyword == "PatientSex" else text
