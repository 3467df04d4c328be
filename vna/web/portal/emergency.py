"""/emergency: one person's studies for half an hour, for a reason. /emergencies: their review."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.emergencies import REASONS, VERDICTS, Asking, Reason
from vna.access.policy import require
from vna.access.principal import Action
from vna.errors import InvalidRequest, NotFound, VNAError
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import one_of
from vna.web.portal.pages import Pages


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of emergency access."""
    return [
        Route("/emergency", guarded(counter, pages, _emergency), methods=["GET", "POST"]),
        Route("/emergency/end", guarded(counter, pages, _end), methods=["POST"]),
        Route("/emergency/second", guarded(counter, pages, _second), methods=["GET", "POST"]),
        Route("/emergencies", guarded(counter, pages, _review), methods=["GET", "POST"]),
    ]


async def _emergency(visit: Visit) -> Response:
    require(visit.known.principal, Action.EMERGENCY)
    if visit.request.method != "POST":
        if not visit.known.is_fresh and visit.known.lent_until is None:
            return visit.go("/confirm?next=/emergency")
        return await _shown(visit, {}, None)
    form = await visit.form()
    reason = Reason(code=form.get("reason", ""), note=form.get("note", ""))
    try:
        await visit.hop(
            lambda: visit.people.emergencies.begin(
                visit.known, form.get("patient", ""), form.get("issuer", ""), reason
            )
        )
    except (InvalidRequest, NotFound) as exc:
        return await _shown(visit, form, exc)
    visit.counter.identity.forget(visit.request.scope)
    is_locked = await visit.hop(lambda: visit.people.emergencies.locked(visit.known))
    return visit.go("/emergency" if is_locked else "/")


async def _shown(visit: Visit, form: dict[str, str], exc: VNAError | None) -> Response:
    status = 200 if exc is None else problems.answer(exc, "emergency")[0]
    emergencies, known = visit.people.emergencies, visit.known
    locked = await visit.hop(lambda: emergencies.locked(known)) if known.lent_until else 0
    asking = await _asking(visit)
    asked = {name: form.get(name, "") for name in ("patient", "issuer", "reason", "note")}
    trouble = None if exc is None else visit.said(exc)
    return visit.show(
        "emergency.html",
        status=status,
        reasons=REASONS,
        here="/emergency",
        asked=asked,
        trouble=trouble,
        locked=locked,
        asking=asking,
    )


async def _asking(visit: Visit) -> list[Asking]:
    """List what asks this visitor for a second person."""
    emergencies, who = visit.people.emergencies, visit.known.principal
    if Action.AGREE not in who.actions:
        return []
    return await visit.hop(lambda: emergencies.asking(who))


async def _second(visit: Visit) -> Response:
    """Show what asks for a second person, who agrees or does nothing."""
    emergencies, known = visit.people.emergencies, visit.known
    asking = await visit.hop(lambda: emergencies.asking(known.principal))
    if visit.request.method == "POST":
        form = await visit.form()
        number = _number(form.get("emergency", ""))
        await visit.hop(lambda: emergencies.agree(known, number))
        return visit.go("/emergency/second")
    if not known.is_fresh:
        return visit.go("/confirm?next=/emergency/second")
    return visit.show("emergency_second.html", asking=asking, here="/emergency", reasons=REASONS)


async def _end(visit: Visit) -> Response:
    await visit.form()
    await visit.hop(lambda: visit.people.emergencies.end(visit.known))
    visit.counter.identity.forget(visit.request.scope)
    return visit.go("/")


def _number(text: str) -> int:
    return one_of(text, InvalidRequest("That is no emergency."))


async def _review(visit: Visit) -> Response:
    who, emergencies = visit.known.principal, visit.people.emergencies
    require(who, Action.AUDIT)
    if visit.request.method == "POST":
        form = await visit.form()
        number = _number(form.get("emergency", ""))
        verdict, remark = form.get("verdict", ""), form.get("remark", "")
        await visit.hop(lambda: emergencies.review(who, number, verdict, remark))
        return visit.go("/emergencies")
    found = await visit.hop(lambda: emergencies.all(who, unreviewed=False))
    return visit.show(
        "emergencies.html",
        found=found,
        asking=await _asking(visit),
        here="/emergencies",
        reasons=REASONS,
        verdicts=VERDICTS,
    )
