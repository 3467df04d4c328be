"""/study/UID/carers: who acts for whom a study is about, as the desk sees it and writes it down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from starlette.responses import Response
from starlette.routing import Route

from vna.access.carers import Relation
from vna.access.principal import Action, Principal
from vna.dicom.refs import UID, uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.operate.patient_accounts import Issued
from vna.texts import ENGLISH, Texts, languages, marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.own_carers import RELATIONS, given_of, relation_of
from vna.web.portal.pages import Pages

EVIDENCE = {
    "identity": marked("A document that shows who they are"),
    "birth-certificate": marked("A birth certificate"),
    "custody": marked("A paper about custody"),
    "court-order": marked("An order of a court"),
    "power-of-attorney": marked("A power of attorney"),
    "person-present": marked("The person is here and says so"),
}
_REFUSED = (Conflict, InvalidRequest, NotFound)
_GIVEN, _ENDED = marked("They may act from now on."), marked("They act no more.")


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of carers at the desk."""
    page = guarded(counter, pages, _page)
    return [Route("/study/{study}/carers", page, methods=["GET", "POST"])]


async def _page(visit: Visit) -> Response:
    who = await visit.who(Action.CORRECT)
    study = uid(visit.request.path_params["study"])
    if visit.request.method != "POST":
        return await _shown(visit, who, study, {})
    form = await visit.form()
    try:
        issued = await visit.hop(lambda: _do(visit, who, study, form))
    except _REFUSED as exc:
        return await _shown(visit, who, study, form, exc=exc)
    if issued is not None:
        return _made(visit, study, issued, form)
    done = _ENDED if form.get("act") == "end" else _GIVEN
    return await _shown(visit, who, study, {}, done=done)


def _do(visit: Visit, who: Principal, study: UID, form: Mapping[str, str]) -> Issued | None:
    desk = visit.counter.engines.carers.desk
    match form.get("act"):
        case "give":
            return desk.add(
                who,
                study,
                given_of(form),
                relation=_relation(form),
                evidence={name for name in EVIDENCE if form.get(f"shown.{name}") == "on"},
                login=form.get("login", ""),
            )
        case "code":
            compared = form.get("compared") == "on"
            return desk.code(who, study, relation_of(form.get("carer", "")), compared=compared)
        case "end":
            number = relation_of(form.get("carer", ""))
            desk.end(who, study, number, reason=form.get("reason", ""))
            return None
        case _:
            raise InvalidRequest("Say what is to be done.")


def _relation(form: Mapping[str, str]) -> Relation:
    try:
        return Relation(form.get("relation", ""))
    except ValueError as exc:
        raise InvalidRequest(marked("Say what they are to the person.")) from exc


async def _shown(
    visit: Visit,
    who: Principal,
    study: UID,
    typed: Mapping[str, str],
    *,
    exc: VNAError | None = None,
    done: str | None = None,
) -> Response:
    found = await visit.hop(lambda: visit.counter.engines.carers.desk.at(who, study))
    settings = visit.counter.engines.settings
    zone = ZoneInfo(settings.site.timezone)
    today = dt.datetime.now(zone).date()
    return visit.show(
        "desk_carers.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        found=found,
        relations=RELATIONS,
        evidence=EVIDENCE,
        typed=typed,
        trouble=None if exc is None else visit.said(exc),
        done=done,
        today=today,
        last=today + dt.timedelta(days=settings.access.carer_days),
        of_age=settings.access.of_age,
        last_day=lambda until: (until.astimezone(zone) - dt.timedelta(seconds=1)).date(),
        languages={one: Texts(one).name for one in languages()},
        here="/patients",
    )


def _made(visit: Visit, study: UID, issued: Issued, form: Mapping[str, str]) -> Response:
    asked = form.get("language", ENGLISH)
    return visit.show(
        "desk_account_made.html",
        is_carer=True,
        study=study,
        issued=issued,
        timezone=visit.counter.engines.settings.site.timezone,
        where=f"{visit.counter.engines.sharing.origin()}/my/start",
        language_chosen=asked if asked in languages() else ENGLISH,
        here="/patients",
    )
