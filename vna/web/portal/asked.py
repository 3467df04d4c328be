"""/requests: images asked for of others, how far each is, and a new one; staff only."""

from __future__ import annotations

import datetime as dt

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.delivery.channels import email, phone
from vna.errors import InvalidRequest
from vna.imports.requests import Standing, Wanted
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.numbers import number_in
from vna.web.portal.pages import Pages
from vna.web.portal.shares import CAUSES

_HERE = "/requests"
_DAYS = 14
_STATES = {
    Standing.SENT: (marked("Not opened yet"), ""),
    Standing.OPENED: (marked("Opened"), ""),
    Standing.DELIVERED: (marked("The images are here"), "is-good"),
    Standing.LOCKED: (marked("Locked: ten wrong passcodes"), "is-bad"),
    Standing.EXPIRED: (marked("Its time is over"), "is-warn"),
    Standing.STOPPED: (marked("Stopped"), ""),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of requests for images."""

    def at(path: str, page: Page, method: str = "GET") -> Route:
        return Route(path, guarded(counter, pages, page), methods=[method])

    return [
        at(_HERE, _all),
        at(_HERE, _ask, "POST"),
        at("/request/{number:int}/stop", _stop, "POST"),
    ]


async def _all(visit: Visit) -> Response:
    return await _shown(visit, await visit.who(Action.IMPORT))


async def _shown(
    visit: Visit, who: Principal, *, trouble: InvalidRequest | None = None, **said: str
) -> Response:
    found = await visit.hop(lambda: visit.counter.engines.imports.requests.listed(who))
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=_DAYS)
    return visit.show(
        "requests.html",
        status=200 if trouble is None else 400,
        requests=found,
        states=_STATES,
        causes=CAUSES,
        trouble=None if trouble is None else visit.said(trouble),
        said={"until": until.isoformat(), "language": visit.language(), **said},
        here=_HERE,
    )


async def _ask(visit: Visit) -> Response:
    who = await visit.who(Action.IMPORT)
    form = await visit.form()
    requests = visit.counter.engines.imports.requests
    try:
        wanted = _wanted(form)
        asked = await visit.hash(lambda: requests.ask(who, wanted))
    except InvalidRequest as exc:
        return await _shown(visit, who, trouble=exc, **{k: v for k, v in form.items() if v})
    return visit.show("request_made.html", asked=asked, wanted=wanted, here=_HERE)


def _wanted(form: dict[str, str]) -> Wanted:
    to = form.get("to", "").strip()
    try:
        until = dt.date.fromisoformat(form.get("until", ""))
    except ValueError as exc:
        raise InvalidRequest(marked("A date is written as year-month-day, as 2026-11-30.")) from exc
    return Wanted(
        organisation=form.get("organisation", ""),
        wanted=form.get("wanted", ""),
        to=email(to) if "@" in to else phone(to),
        until=until,
        language="de" if form.get("language") == "de" else "en",
    )


async def _stop(visit: Visit) -> Response:
    who = await visit.who(Action.IMPORT)
    await visit.form()
    number = number_in(visit.request, "number")
    await visit.hop(lambda: visit.counter.engines.imports.requests.stop(who, number))
    return visit.go(_HERE)
