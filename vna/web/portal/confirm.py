"""/confirm: the second factor again, before something that somebody at an open screen could do."""

from __future__ import annotations

import orjson
from starlette.responses import Response
from starlette.routing import Route

from vna.access.accounts import Account
from vna.errors import NotAuthenticated, NotProven, TooMany, VNAError
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import CONFIRMED_FOR, Endpoint, Page, Visit, Whose, guarded
from vna.web.portal.login import as_json, begin_passkey
from vna.web.portal.pages import Pages


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of confirming."""

    def endpoint(page: Page) -> Endpoint:
        return guarded(counter, pages, page, whose=Whose.ALL)

    return [
        Route("/confirm", endpoint(_confirm), methods=["GET", "POST"]),
        Route("/confirm/passkey/begin", endpoint(begin_passkey), methods=["POST"]),
        Route("/confirm/passkey", endpoint(_passkey), methods=["POST"]),
    ]


async def _confirm(visit: Visit) -> Response:
    account = await visit.hop(lambda: visit.people.accounts.of(visit.known.account_id))
    if visit.request.method != "POST":
        goes_on = _next(visit.request.query_params.get("next", ""))
        return _shown(visit, account, goes_on, None)
    form = await visit.form()
    goes_on = _next(form.get("next", ""))
    try:
        await visit.hop(lambda: visit.people.signing.prove(visit.known, form.get("code", "")))
    except NotProven:
        raise
    except (NotAuthenticated, TooMany) as exc:
        return _shown(visit, account, goes_on, exc)
    visit.counter.identity.forget(visit.request.scope)
    return visit.go(goes_on)


def _shown(visit: Visit, account: Account, goes_on: str, exc: VNAError | None) -> Response:
    status = 200 if exc is None else problems.answer(exc, "confirm")[0]
    return visit.show(
        "confirm.html",
        status=status,
        account=account,
        next=goes_on,
        trouble=None if exc is None else visit.said(exc),
        sso=visit.people.federation.shown_as,
    )


async def _passkey(visit: Visit) -> Response:
    answer = await visit.json()
    goes_on = _next(visit.request.headers.get("x-vna-next", ""))
    await visit.hop(
        lambda: visit.people.signing.prove_passkey(
            visit.known, visit.browser(), visit.site(), answer
        )
    )
    visit.counter.identity.forget(visit.request.scope)
    return as_json(orjson.dumps({"next": goes_on}))


def _next(asked: str) -> str:
    return asked if asked in CONFIRMED_FOR else "/account"
