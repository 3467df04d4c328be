"""/study/UID/share: a new share, prefilled; then its number, and its secrets once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, TooLarge, VNAError
from vna.sharing.consents import Recorded
from vna.sharing.values import Channel, Offered, Purpose
from vna.texts import Texts, languages
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import consent_form, study
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import number_of
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import BASES, DOUBTS, PURPOSES, Typed, compared, offer_of
from vna.web.portal.study import Study

_MOST_FIELDS = 1100  # a box for each series, and what else is asked
_MOST_BYTES = 128 << 10
_REFUSED = (InvalidRequest, Conflict, NotFound, TooLarge)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a new share."""
    path = "/study/{study}/share"
    return [Route(path, guarded(counter, pages, _share), methods=["GET", "POST"])]


async def _share(visit: Visit) -> Response:
    who = await visit.counter.identity.principal(visit.request.scope)
    asked = uid(visit.request.path_params["study"])
    require(who, Action.SHARE, StudyRef(asked))
    found, consents = await visit.hop(lambda: _look(visit, who, asked))
    if visit.request.method != "POST":
        return _form(visit, found, consents, _prefilled(visit, found, consents))
    fields = await visit.form(most_fields=_MOST_FIELDS, most_bytes=_MOST_BYTES)
    engines = visit.counter.engines

    form = number_of(fields.get("once", ""))

    def make() -> tuple[Offered, Channel | None, Channel | None]:
        offer = offer_of(Typed(fields), found, zone=engines.settings.site.timezone)
        return engines.sharing.offer(who, offer, form=form), offer.to, offer.by

    try:
        costs = fields.get("passcode") or fields.get("printed")
        offered, to, by = await (visit.hash(make) if costs else visit.hop(make))
    except _REFUSED as exc:
        if form is not None and await visit.hop(lambda: engines.sharing.was_sent(who, form)):
            # loaded again, or gone back to and changed: only who reads that decides to send anew
            fields = {**fields, "once": str(engines.sharing.new_form())}
        return _form(visit, found, consents, fields, exc)
    return made(
        visit,
        offered,
        to=None if to is None else to.masked(),
        by=None if by is None else by.masked(),
        study=found,
    )


def made(
    visit: Visit,
    offered: Offered,
    *,
    to: str | None,
    by: str | None,
    study: Study | None,
) -> Response:
    """Show what came of an offer; secrets are on this page and on no other."""
    secret = offered.secret
    link = visit.counter.engines.sharing.link(secret) if secret is not None else None
    return visit.show(
        "share_made.html",
        offered=offered,
        link=link,
        to=to,
        by=by,
        study=study,
        doubts=DOUBTS,
        here="/shares",
    )


def _look(visit: Visit, who: Principal, asked: str) -> tuple[Study, list[Recorded]]:
    engines = visit.counter.engines
    found = study.find(engines, who, uid(asked), with_others=True)
    patient = engines.trail.patients([asked]).get(asked)
    if patient is None:
        return found, []
    return found, engines.sharing.consents.of_person(who, patient.issuer, patient.patient_id)


def _prefilled(visit: Visit, found: Study, consents: list[Recorded]) -> dict[str, str]:
    """Fill in what most shares are: all of it, asked for by the patient, to look at and keep."""
    until = visit.counter.engines.sharing.default_until(Purpose.PATIENT_REQUEST)
    allowed = next((one for one in consents if _fits(one)), None)
    return {
        **{f"series.{one.uid}": "on" for one in found.series},
        "purpose": Purpose.PATIENT_REQUEST.value,
        "basis": f"consent:{allowed.consent_id}" if allowed else "legal:patient-request",
        "recipient": found.name,
        "until": until.date().isoformat(),
        "language": visit.language(),
        "reports": "on",
        "download": "on",
        "once": str(visit.counter.engines.sharing.new_form()),
    }


def _fits(one: Recorded) -> bool:
    is_whole = one.limits.modalities is None and one.limits.accession is None
    return (
        one.allowed
        and one.state == "active"
        and is_whole
        and one.purpose == Purpose.PATIENT_REQUEST.value
    )


def _form(
    visit: Visit,
    found: Study,
    consents: list[Recorded],
    fields: Mapping[str, str],
    exc: VNAError | None = None,
) -> Response:
    status = 200 if exc is None else problems.answer(exc, "page")[0]
    shown: dict[str, Any] = {
        "study": found,
        "typed": Typed(fields),
        "once": fields.get("once", ""),
        "consents": [one for one in consents if one.state == "active"],
        "purposes": {purpose.value: text for purpose, text in PURPOSES.items()},
        "bases": BASES,
        "consent_purposes": consent_form.PURPOSES,
        "consent_ways": consent_form.ALL_WAYS,
        "confirmed": compared(found),
        "languages": {one: Texts(one).name for one in languages()},
        "trouble": None if exc is None else visit.said(exc),
        "here": "/",
    }
    return visit.show("share_new.html", status=status, **shown)
