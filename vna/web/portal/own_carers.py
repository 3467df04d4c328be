"""/my/carers: who acts for a patient, for whom they act themself, and the change between the two.

Whoever acts for somebody is told so on every page, and by name. A change of whom one acts for
changes the cookie, too: a form that stands open in another tab is not sent for somebody else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from starlette.responses import Response
from starlette.routing import Route

from vna.access.carers import Relation
from vna.dicom.refs import uid
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    NotProven,
    TooMany,
    VNAError,
)
from vna.operate.carers import Given
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.numbers import one_of
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages

RELATIONS = {
    Relation.PARENT: marked("Parent"),
    Relation.GUARDIAN: marked("Guardian"),
    Relation.TRUSTED: marked("Trusted person"),
}
_HERE = "/my/carers"
_REFUSED = (Conflict, InvalidRequest, NotFound, TooMany)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of carers."""
    return [
        mine(counter, pages, _HERE, _all, always=True),
        mine(counter, pages, _HERE, _change, "POST"),
        mine(counter, pages, "/my/acting", _act, "POST", always=True),
        mine(counter, pages, "/my/study/{study}/carers", _keep, "POST"),
    ]


async def _all(call: Mine) -> Response:
    return await _shown(call, {})


async def _change(call: Mine) -> Response:
    """Let somebody act, or end it: `act` says which."""
    form = await call.form()
    engine, visitor = call.counter.engines.carers, call.known
    try:
        match form.get("act"):
            case "give":
                if not visitor.is_fresh:
                    raise NotProven
                given = given_of(form)
                await call.hop(lambda: engine.give(visitor, form.get("login", ""), given))
            case "end":
                number = relation_of(form.get("carer", ""))
                await call.hop(lambda: engine.take_back(visitor, number))
            case _:
                raise InvalidRequest("Say what is to be done.")
    except NotProven:
        raise
    except _REFUSED as exc:
        return await _shown(call, form, exc)
    return call.go(_HERE)


async def _act(call: Mine) -> Response:
    """Show somebody else's pages from here on, or one's own."""
    form = await call.form()
    typed = form.get("carer", "")
    number = relation_of(typed) if typed else None
    engine = call.counter.engines.carers
    cookie = await call.hop(lambda: engine.switch(call.known, number))
    return call.go("/my", cookie=cookie)


async def _keep(call: Mine) -> Response:
    """Keep a study from whoever acts for its person, or show it to them again."""
    form = await call.form()
    study = uid(call.request.path_params["study"])
    is_kept = form.get("kept") == "yes"
    engine = call.counter.engines.carers
    await call.hop(lambda: engine.keep_from_carers(call.known, study, is_kept=is_kept))
    return call.go(f"/my/study/{study}#carers")


async def _shown(call: Mine, typed: Mapping[str, str], exc: VNAError | None = None) -> Response:
    engine, visitor = call.counter.engines.carers, call.known
    is_self = visitor.acting is None and call.own is not None and call.own.is_open
    carers = await call.hop(lambda: engine.mine(visitor)) if is_self else []
    wards = await call.hop(lambda: engine.wards(visitor.account_id))
    settings = call.counter.engines.settings
    zone = ZoneInfo(settings.site.timezone)
    today = dt.datetime.now(zone).date()
    return call.show(
        "own_carers.html",
        status=200 if exc is None else problems.status_of(exc),
        trouble=None if exc is None else call.said(exc),
        is_self=is_self,
        carers=carers,
        wards=wards,
        relations=RELATIONS,
        typed=typed,
        today=today,
        last=today + dt.timedelta(days=settings.access.carer_days),
        last_day=lambda until: (until.astimezone(zone) - dt.timedelta(seconds=1)).date(),
        here=_HERE,
    )


def given_of(form: Mapping[str, str]) -> Given:
    """Read how far somebody may act, and until when. Raises `InvalidRequest`."""
    try:
        until = dt.date.fromisoformat(form["until"]) if form.get("until") else None
    except ValueError as exc:
        raise InvalidRequest(marked("Name the day as the calendar does.")) from exc
    return Given(
        called=form.get("called", ""),
        may_view=form.get("may_view") == "on",
        may_share=form.get("may_share") == "on",
        until=until,
    )


def relation_of(typed: str) -> int:
    """Read the number of a relation. Raises `NotFound`."""
    return one_of(typed, NotFound(marked("Nobody acts for you by this number.")))
