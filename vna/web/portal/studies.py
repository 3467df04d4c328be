"""The start page: for staff the list of studies, for patients theirs, for others the ways in.

The list is a search, newest first, page by page, with a way into the viewer. Whom somebody looks
for stands in no address that can be read: it is sealed for the browser that asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response

from vna.access import forms
from vna.access.principal import Action
from vna.dicom.refs import Level
from vna.errors import InvalidRequest
from vna.query.answers import Answer
from vna.query.keys import from_parameters
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.attributes import Reading
from vna.web.portal.guard import Page, Visit, way_on
from vna.web.portal.numbers import is_number

PAGE = 25

# form field -> Matching Key
_FIELDS = {
    "name": "PatientName",
    "id": "PatientID",
    "accession": "AccessionNumber",
    "modality": "ModalitiesInStudy",
}
_TYPED = (*_FIELDS, "from", "to")
_FORM = (*_TYPED, "offset")
_SEALED, _MOST_TYPED = "q", 256
_RETURNED = ("StudyDescription", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One study as the list shows it."""

    uid: str
    date: str
    time: str
    name: str
    patient_id: str
    birth_date: str
    modalities: str
    description: str
    accession: str
    series: str
    instances: str


def page(counter: Counter, has_viewer: Callable[[], bool]) -> Page:
    """Make the endpoint of the start page."""

    async def studies(visit: Visit) -> Response:
        if visit.is_patient:
            return visit.go("/my")
        if visit.visitor is not None and not visit.visitor.is_signed_in:
            return visit.go(way_on(visit.visitor))
        settings = counter.engines.settings
        if visit.visitor is None and not settings.dev:
            return visit.show(
                "start.html",
                site=settings.site,
                may_send=settings.guests.enabled,
                language=visit.language(),
            )
        request = visit.request
        if request.method == "POST":
            return await _searched(visit)
        kept = request.query_params.get(_SEALED)
        typed = request.query_params if kept is None else _opened(visit, kept)
        asked = {name: typed.get(name, "").strip() for name in _FORM}

        def address(offset: int) -> str:
            wanted = {name: value for name, value in {**asked, "offset": offset}.items() if value}
            return urlencode(wanted) if kept is None else _address(visit, wanted)

        who = await counter.identity.principal(request.scope)

        def look() -> tuple[list[Line], bool]:
            query = from_parameters(Level.STUDY, _parameters(asked), most=PAGE).query
            answers = counter.engines.query.find(who, query)
            lines = [_line(answer) for answer in answers.rows]
            return lines, bool(answers.remaining().count)

        shown: dict[str, Any] = {"lines": [], "more": False, "trouble": None}
        status = 200
        try:
            shown["lines"], shown["more"] = await counter.threads.hops.call(look)
        except InvalidRequest as exc:
            shown["trouble"], status = visit.said(exc), 400
        return visit.show(
            "studies.html",
            status=status,
            asked=asked,
            is_search=any(asked[name] for name in _TYPED),
            offset=_offset(asked),
            older=address(_offset(asked) + PAGE),
            newer=address(max(0, _offset(asked) - PAGE)),
            # what was typed into an address by hand stays there, and in no other
            origin=address(_offset(asked)) if kept or not any(asked[one] for one in _TYPED) else "",
            has_viewer=has_viewer(),
            here="/",
            may_share=Action.SHARE in who.actions,
            may_manage=Action.MANAGE in who.actions,
            **shown,
        )

    return studies


def _parameters(asked: Mapping[str, str]) -> list[tuple[str, str]]:
    found = [("includefield", name) for name in _RETURNED]
    for field, key in _FIELDS.items():
        if value := asked.get(field):
            found.append((key, _AS_TYPED.get(field, str)(value)))
    if asked.get("from") or asked.get("to"):
        found.append(("StudyDate", f"{_day(asked, 'from')}-{_day(asked, 'to')}"))
    return [*found, ("limit", str(PAGE)), ("offset", str(_offset(asked)))]


def _names(typed: str) -> str:
    """Write what people type of a name as the Person Names it may be (PS3.5 6.2.1).

    `Doe, Jane` is how the list writes it; `Doe Jane` may be a name and a given name in either
    order, or a name of two words. Who writes as DICOM does is taken at their word.
    """
    if set(typed) & set("*?^=\\"):
        return typed
    family, comma, others = (" ".join(part.split()) for part in typed.partition(","))
    if comma:
        of_comma = [f"{family}^{others.replace(' ', '*')}*"] if family else []
        return "\\".join((f"{typed}*", *of_comma))
    words = family.split(" ")
    begun = "?".join(words) + "*"
    return begun if len(words) == 1 else f"{begun}\\{words[-1]}^{'?'.join(words[:-1])}*"


def _modalities(typed: str) -> str:
    """Write modalities as the standard does: in capitals (PS3.3 C.7.3.1.1.1), any of several."""
    return "\\".join(typed.upper().replace(",", " ").split())


_AS_TYPED = {"name": _names, "modality": _modalities}


async def _searched(visit: Visit) -> Response:
    """Lead on to the list of what was typed."""
    await visit.who(Action.QUERY)
    form = await visit.form()
    typed = {name: text for name in _FORM if (text := form.get(name, "").strip()[:_MOST_TYPED])}
    return visit.go(f"/?{_address(visit, typed)}" if typed else "/")


def _address(visit: Visit, asked: Mapping[str, object]) -> str:
    return urlencode({_SEALED: forms.sealed(visit.secret, urlencode(asked))})


def _opened(visit: Visit, kept: str) -> Mapping[str, str]:
    """Read what was asked for; what was asked in another session asks for nothing."""
    return dict(parse_qsl(forms.opened(visit.secret, kept) or ""))


def _day(asked: Mapping[str, str], field: str) -> str:
    text = asked.get(field, "")
    try:
        return dt.date.fromisoformat(text).strftime("%Y%m%d") if text else ""
    except ValueError as exc:
        raise InvalidRequest(marked("A date is written as year-month-day, as 2026-11-30.")) from exc


def _offset(asked: Mapping[str, str]) -> int:
    text = asked.get("offset", "0")
    return min(int(text), 1_000_000) if is_number(text) else 0


def _line(answer: Answer) -> Line:
    read = Reading(answer.attributes)
    return Line(
        uid=str(answer.study),
        date=read.date("00080020"),
        time=read.time("00080030"),
        name=read.text("00100010"),
        patient_id=read.text("00100020"),
        birth_date=read.date("00100030"),
        modalities=read.text("00080061"),
        description=read.text("00081030"),
        accession=read.text("00080050"),
        series=read.text("00201206"),
        instances=read.text("00201208"),
    )
