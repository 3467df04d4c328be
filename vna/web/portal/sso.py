"""/login/sso: to the identity provider and back.

The way back comes from another site, so the browser leaves our cookie out (SameSite=Strict): the
page that answers it knows nobody, sets nothing, and sends its own form, with which the cookie
comes.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vna.access.sessions import Level
from vna.errors import NotFound
from vna.web.exchange import Counter
from vna.web.identity import origin_of
from vna.web.portal.guard import Visit, Whose, guarded
from vna.web.portal.pages import Pages

_RETURN = "/login/sso/return"


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of signing in elsewhere."""
    begin = guarded(counter, pages, _begin, None, Level.SIGNED_IN, whose=Whose.ALL)
    back = guarded(counter, pages, _back, None, Level.SIGNED_IN, whose=Whose.ALL)
    return [
        Route("/login/sso", begin),
        Route(_RETURN, back, methods=["GET", "POST"]),
    ]


async def _begin(visit: Visit) -> Response:
    federation = visit.people.federation
    if federation.shown_as is None:
        raise NotFound
    again = visit.visitor is not None and visit.visitor.is_signed_in
    where = await visit.counter.threads.streams.call(
        lambda: federation.begin(visit.browser(), _back_to(visit), again=again)
    )
    answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
    if visit.is_new:
        visit.set_cookie(answer, visit.secret)
    return answer


async def _back(visit: Visit) -> Response:
    if visit.people.federation.shown_as is None:
        raise NotFound
    if visit.request.method != "POST":
        asked = visit.request.query_params
        return visit.pages.page(
            "sso.html",
            language=visit.language(),
            visitor=None,
            state=asked.get("state", "")[:128],
            code=asked.get("code", "")[:2048],
        )
    form = await visit.foreign_form()
    cookie = await visit.counter.threads.streams.call(
        lambda: visit.people.federation.finish(
            visit.browser(),
            visit.visitor,
            _back_to(visit),
            state=form.get("state", ""),
            code=form.get("code", ""),
        )
    )
    if cookie is None:
        visit.counter.identity.forget(visit.request.scope)
        return visit.go("/account")
    return visit.go("/", cookie=cookie)


def _back_to(visit: Visit) -> str:
    return origin_of(visit.request.scope) + _RETURN
