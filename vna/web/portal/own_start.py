"""/my/start: from the code of a desk to an account. And "keep these images" from a link.

GET changes nothing. The code on paper is a QR code, too: it stands after #, which a browser sends
nobody, and a script of ours puts it into the form. What is typed with it is the birth date.
"""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response
from starlette.routing import Route

from vna.errors import Conflict, NotAuthenticated, NotFound, TooMany, VNAError
from vna.sharing.values import Purpose
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import secret_of
from vna.web.portal.guard import Visit, Whose, guarded
from vna.web.portal.guest import Call, Door, door
from vna.web.portal.pages import Pages


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of beginning."""
    start = guarded(counter, pages, _start, None, whose=Whose.ALL)
    return [
        Route("/my/start", start, methods=["GET", "POST"]),
        Route("/s/account", door(counter, pages, _offered, Door.PROVEN), methods=["GET"]),
        Route("/s/account", door(counter, pages, _keep, Door.PROVEN), methods=["POST"]),
    ]


async def _start(visit: Visit) -> Response:
    if visit.request.method != "POST":
        return _shown(visit, None)
    form = await visit.form()
    engine, browser = visit.counter.engines.patient_accounts, visit.browser()
    try:
        cookie = await visit.hop(
            lambda: engine.beginnings.redeem(form.get("link", ""), form.get("born", ""), browser)
        )
    except (NotAuthenticated, TooMany) as exc:
        return _shown(visit, exc)
    return visit.go("/enrol/passphrase", cookie=cookie)


def _shown(visit: Visit, exc: VNAError | None) -> Response:
    return visit.show(
        "own_start.html",
        status=200 if exc is None else problems.status_of(exc),
        trouble=None if exc is None else visit.said(exc),
        site=visit.counter.engines.settings.site,
        language=visit.language(),
    )


def may_keep(call: Call) -> bool:
    """Whether who came by a link may make an account: it was made for the person themself."""
    return (
        is_theirs(call) and bool(call.inside.share.ways) and not call.counter.engines.settings.dev
    )


def is_theirs(call: Call) -> bool:
    """Whether a link was made for whom the images show, and not for somebody else."""
    share = call.inside.share
    if share.person is None or share.recipient is None or share.given_on:
        return False
    is_named = _plain(share.recipient.name) == _plain(share.person.name)
    return is_named and share.purpose is Purpose.PATIENT_REQUEST


def _plain(name: str) -> str:
    return " ".join(name.replace(",", " ").casefold().split())


async def _offered(call: Call) -> Response:
    if not may_keep(call):
        raise NotFound
    return call.show("own_keep.html", trouble=None, here="account")


async def _keep(call: Call) -> Response:
    form = await call.form()
    if not may_keep(call):
        raise NotFound
    if form.get("mine") != "on":
        _ = call.texts().gettext
        return call.show(
            "own_keep.html",
            status=400,
            trouble=_("Say that these are your images."),
            here="account",
        )
    guest, engine = call.inside, call.counter.engines.patient_accounts
    browser = replace(call.browser(), secret=secret_of(call.request.scope))
    try:
        cookie = await call.hop(
            lambda: engine.beginnings.keep(
                guest.principal, guest.grant_id, guest.share.studies, browser
            )
        )
    except (Conflict, TooMany) as exc:
        status = problems.status_of(exc)
        return call.show("own_keep.html", status=status, trouble=call.said(exc), here="account")
    answer = call.go("/enrol/passphrase")
    Visit.set_cookie(call, answer, cookie)
    return answer
