"""/consents and /study/UID/consents: what a patient allowed, what they are asked, withdrawing it.

A person is looked up by a form, never by the address: a Patient ID stands in no URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.sharing.consents import Recorded
from vna.sharing.plans import Lane
from vna.texts import ENGLISH, Texts, languages, marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import study
from vna.web.portal.consent_form import (
    ALL_WAYS,
    CONFIRMED,
    LANES,
    PURPOSES,
    WAYS,
    Whom,
    asking_of,
    consent_of,
    plan_of,
    whom,
)
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.kiosk import hand_over
from vna.web.portal.numbers import number_of, one_of
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import Typed

_MOST_FIELDS = 40
_MOST_TEXT = 64 << 10
_REFUSED = (InvalidRequest, Conflict, NotFound)
_STATES = {
    "active": marked("Active"),
    "withdrawn": marked("Withdrawn"),
    "superseded": marked("Superseded"),
}
_SAID = {
    "recorded": marked("It is recorded."),
    "withdrawn": marked("It is withdrawn. What rested on it is stopped."),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of consents."""

    def post(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page), methods=["POST"])

    return [
        Route("/consents", guarded(counter, pages, _look), methods=["GET", "POST"]),
        Route("/study/{study}/consents", guarded(counter, pages, _of_study)),
        post("/consents/record", _record),
        post("/consents/withdraw", _withdraw),
        post("/consents/kiosk", _kiosk),
        Route("/consents/texts", guarded(counter, pages, _texts), methods=["GET", "POST"]),
    ]


async def _look(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    if visit.request.method != "POST":
        return _blank(visit, {})
    fields = await visit.form()
    try:
        of = whom(fields, visit.counter.engines.settings.site.issuer)
    except InvalidRequest as exc:
        return _blank(visit, fields, exc)
    return await _shown(visit, who, of)


async def _of_study(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    asked = uid(visit.request.path_params["study"])
    require(who, Action.SHARE, StudyRef(asked))

    def look() -> Whom:
        engines = visit.counter.engines
        found = study.find(engines, who, asked)
        patient = engines.trail.patients([asked]).get(asked)
        if patient is None or not patient.patient_id:
            raise NotFound(
                marked("This study has no Patient ID: nobody can be asked for a consent to it.")
            )
        return Whom(
            patient=patient.patient_id,
            issuer=patient.issuer,
            name=found.name,
            born=found.birth_date,
            accession=found.accession,
            about=found.title,
            study=str(asked),
        )

    return await _shown(visit, who, await visit.hop(look))


async def _record(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    fields = await visit.form(most_fields=_MOST_FIELDS)
    typed, engine = Typed(fields), visit.counter.engines.sharing

    def record(of: Whom) -> None:
        language = typed.text("language") or ENGLISH
        version = engine.texts.latest(typed.text("purpose"), language).version
        plan = plan_of(typed, of) if typed.text("said") == "yes" else None
        after = number_of(typed.text("after"))
        engine.consents.record(who, consent_of(typed, of, version), plan=plan, after=after)

    return await _done(visit, who, fields, record, "recorded")


async def _withdraw(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    fields = await visit.form(most_fields=_MOST_FIELDS)
    number = one_of(fields.get("consent", ""), InvalidRequest("That is not a number of ours."))
    consents = visit.counter.engines.sharing.consents

    def withdraw(of: Whom) -> None:
        known = consents.of_person(who, of.issuer, of.patient)
        if number not in {one.consent_id for one in known}:
            raise NotFound(marked("This person has no such consent."))
        consents.withdraw(who, number)

    return await _done(visit, who, fields, withdraw, "withdrawn")


async def _done(
    visit: Visit,
    who: Principal,
    fields: Mapping[str, str],
    act: Callable[[Whom], None],
    said: str,
) -> Response:
    of = whom(fields, visit.counter.engines.settings.site.issuer)
    try:
        await visit.hop(lambda: act(of))
    except _REFUSED as exc:
        return await _shown(visit, who, of, fields=fields, exc=exc)
    return await _shown(visit, who, of, said=_SAID[said])


async def _kiosk(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    fields = await visit.form(most_fields=_MOST_FIELDS)
    engines = visit.counter.engines
    of = whom(fields, engines.settings.site.issuer)
    try:
        secret = await visit.hop(
            lambda: engines.sharing.kiosks.begin(who, asking_of(Typed(fields), of))
        )
    except _REFUSED as exc:
        return await _shown(visit, who, of, fields=fields, exc=exc)
    return await hand_over(visit, secret)


async def _texts(visit: Visit) -> Response:
    who = await visit.counter.identity.principal(visit.request.scope)
    require(who, Action.MANAGE if visit.request.method == "POST" else Action.SHARE)
    texts = visit.counter.engines.sharing.texts
    purpose = visit.request.query_params.get("purpose", next(iter(PURPOSES)))
    fields: dict[str, str] = {}
    exc: VNAError | None = None
    if visit.request.method == "POST":
        fields = await visit.form(most_fields=_MOST_FIELDS, most_bytes=_MOST_TEXT)
        purpose = fields.get("purpose", "")
        said = {
            one: (fields.get(f"title.{one}", ""), fields.get(f"body.{one}", ""))
            for one in languages()
            if fields.get(f"title.{one}", "").strip() or fields.get(f"body.{one}", "").strip()
        }
        try:
            await visit.hop(lambda: texts.add(who, purpose, said))
            return visit.go(f"/consents/texts?purpose={purpose}")
        except InvalidRequest as found:
            exc = found
    if purpose not in PURPOSES:
        raise InvalidRequest(marked("A consent is for a purpose that is known."))
    versions = await visit.hop(lambda: texts.all(who, purpose))
    latest = {
        one: next((text for text in versions if text.language == one), None) for one in languages()
    }
    return visit.show(
        "consent_texts.html",
        status=200 if exc is None else problems.status_of(exc),
        purposes=PURPOSES,
        purpose=purpose,
        versions=versions,
        latest=latest,
        typed=Typed(fields),
        trouble=None if exc is None else visit.said(exc),
        may_edit=Action.MANAGE in who.actions,
        names={one: Texts(one).name for one in languages()},
        here="/consents",
    )


def _blank(visit: Visit, fields: Mapping[str, str], exc: VNAError | None = None) -> Response:
    return visit.show(
        "consents_find.html",
        status=200 if exc is None else problems.status_of(exc),
        typed=Typed(fields),
        issuer=visit.counter.engines.settings.site.issuer,
        trouble=None if exc is None else visit.said(exc),
        here="/consents",
    )


async def _shown(
    visit: Visit,
    who: Principal,
    of: Whom,
    *,
    fields: Mapping[str, str] | None = None,
    exc: VNAError | None = None,
    said: str | None = None,
) -> Response:
    consents = visit.counter.engines.sharing.consents

    def look() -> tuple[list[Recorded], dict[int, Lane]]:
        found = consents.of_person(who, of.issuer, of.patient)
        return found, consents.lanes(who, of.issuer, of.patient)

    found, lanes = await visit.hop(look)
    return visit.show(
        "consents.html",
        status=200 if exc is None else problems.status_of(exc),
        of=of,
        consents=found,
        sent_by={number: lane.value for number, lane in lanes.items()},
        typed=Typed(fields or {}),
        is_again=fields is not None,
        trouble=None if exc is None else visit.said(exc),
        said=said,
        purposes=PURPOSES,
        lanes=LANES,
        ways=WAYS,
        all_ways=ALL_WAYS,
        states=_STATES,
        confirmed=[(f"confirmed.{one.value}", text) for one, text in CONFIRMED.items()],
        languages={one: Texts(one).name for one in languages()},
        here="/consents",
    )
