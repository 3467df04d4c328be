"""/login: name and passphrase, then a code; or a passkey, which is both. And out again.

A wrong name and a wrong passphrase get the same answer after the same work (access/signing.py).
"""

from __future__ import annotations

import orjson
from starlette.responses import Response
from starlette.routing import Route

from vna.access.sessions import Level
from vna.errors import NotAuthenticated, TooMany, VNAError
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import ENDED, Visit, Whose, guarded, next_of
from vna.web.portal.pages import Pages


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of signing in and out."""
    nobody = guarded(counter, pages, _login, None)
    half = guarded(counter, pages, _factor, Level.PASSPHRASE)
    return [
        Route("/login", nobody, methods=["GET", "POST"]),
        Route("/login/factor", half, methods=["GET", "POST"]),
        Route(
            "/login/passkey/begin", guarded(counter, pages, begin_passkey, None), methods=["POST"]
        ),
        Route("/login/passkey", guarded(counter, pages, _passkey, None), methods=["POST"]),
        Route(
            "/logout", guarded(counter, pages, _logout, *Level, whose=Whose.ALL), methods=["POST"]
        ),
    ]


async def _login(visit: Visit) -> Response:
    if visit.request.method != "POST":
        query = visit.request.query_params
        return _shown(visit, "login.html", query.get("next", ""), has_ended=ENDED in query)
    form = await visit.form()
    goes_on = next_of(form.get("next", ""))
    try:
        cookie = await visit.hash(
            lambda: visit.people.signing.passphrase(
                form.get("login", ""), form.get("passphrase", ""), visit.browser()
            )
        )
    except (NotAuthenticated, TooMany) as exc:
        return _shown(visit, "login.html", goes_on, exc)
    more = f"?next={goes_on}" if goes_on != "/" else ""
    return visit.go(f"/login/factor{more}", cookie=cookie)


async def _factor(visit: Visit) -> Response:
    account = await visit.hop(lambda: visit.people.accounts.of(visit.known.account_id))
    if visit.request.method != "POST":
        goes_on = visit.request.query_params.get("next", "")
        return _shown(visit, "factor.html", goes_on, account=account)
    form = await visit.form()
    goes_on = next_of(form.get("next", ""))
    try:
        cookie = await visit.hop(
            lambda: visit.people.signing.code(visit.known, form.get("code", ""), visit.browser())
        )
    except (NotAuthenticated, TooMany) as exc:
        return _shown(visit, "factor.html", goes_on, exc, account=account)
    return visit.go(goes_on, cookie=cookie)


async def begin_passkey(visit: Visit) -> Response:
    """Give the challenge that a passkey signs."""
    await visit.json()
    options = await visit.hop(
        lambda: visit.people.signing.passkey_challenge(visit.browser(), visit.site())
    )
    return as_json(options.encode())


async def _passkey(visit: Visit) -> Response:
    answer = await visit.json()
    goes_on = next_of(visit.request.headers.get("x-vna-next", ""))
    cookie = await visit.hop(
        lambda: visit.people.signing.passkey(visit.browser(), visit.site(), answer)
    )
    answered = as_json(orjson.dumps({"next": goes_on}))
    visit.set_cookie(answered, cookie)
    return answered


async def _logout(visit: Visit) -> Response:
    await visit.form()
    await visit.hop(lambda: visit.people.sessions.sign_out(visit.known))
    answer = visit.go("/login")
    visit.drop_cookie(answer)
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'  # what the viewer kept
    return answer


def as_json(content: bytes) -> Response:
    """Answer a script of ours."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(content, 200, headers, media_type="application/json")


def _shown(
    visit: Visit, page: str, goes_on: str, exc: VNAError | None = None, **shown: object
) -> Response:
    status = 200
    if exc is not None:
        status, _, _ = problems.answer(exc, "login")
    trouble = visit.said(exc) if exc is not None else None
    sso = visit.people.federation.shown_as
    shown = {"has_ended": False, **shown}
    shown |= {"sso": sso, "next": next_of(goes_on), "language": visit.language()}
    shown["site"] = visit.counter.engines.settings.site
    return visit.show(page, status=status, trouble=trouble, **shown)
