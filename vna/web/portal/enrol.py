"""/enrol: by a one-time link to a passphrase, a second factor, and recovery codes.

The link's secret stands in the fragment, which a browser sends nobody: a script of ours puts it
into the form, and only the POST opens. The link is good until the second factor stands.
"""

from __future__ import annotations

import io

import orjson
from starlette.responses import Response
from starlette.routing import Route

from vna.access.sessions import Level
from vna.errors import InvalidRequest, NotAuthenticated, TooMany, VNAError
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.login import as_json
from vna.web.portal.pages import Pages


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of enrolling."""

    def step(path: str, page: Page, *methods: str) -> Route:
        endpoint = guarded(counter, pages, page, Level.ENROLLING)
        return Route(f"/enrol/{path}", endpoint, methods=list(methods))

    link = guarded(counter, pages, _link, None)
    return [
        Route("/enrol", link, methods=["GET", "POST"]),
        step("passphrase", _passphrase, "GET", "POST"),
        step("factor", _factor, "GET", "POST"),
        step("passkey/begin", _begin, "POST"),
        step("passkey", _passkey, "POST"),
        step("done", _done, "POST"),
    ]


async def _link(visit: Visit) -> Response:
    if visit.request.method != "POST":
        return visit.show("enrol.html", trouble=None)
    form = await visit.form()
    try:
        cookie = await visit.hop(
            lambda: visit.people.signing.follow_link(form.get("link", ""), visit.browser())
        )
    except (NotAuthenticated, TooMany) as exc:
        return visit.show("enrol.html", status=_status(exc), trouble=visit.said(exc))
    return visit.go("/enrol/passphrase", cookie=cookie)


async def _passphrase(visit: Visit) -> Response:
    if visit.request.method != "POST":
        return visit.show("passphrase.html", trouble=None, language=visit.language())
    form = await visit.form()
    try:
        if form.get("passphrase", "") != form.get("again", ""):
            raise InvalidRequest(marked("The two are not the same; type it twice."))
        await visit.hash(
            lambda: visit.people.signing.choose_passphrase(visit.known, form["passphrase"])
        )
    except InvalidRequest as exc:
        return visit.show(
            "passphrase.html",
            status=_status(exc),
            trouble=visit.said(exc),
            language=visit.language(),
        )
    return visit.go("/enrol/factor")


async def _factor(visit: Visit) -> Response:
    if visit.request.method != "POST":
        return await _offered(visit)
    form = await visit.form()
    try:
        await visit.hop(lambda: visit.people.signing.confirm_app(visit.known, form.get("code", "")))
    except (NotAuthenticated, TooMany) as exc:
        return await _offered(visit, exc)
    return await _finished(visit)


async def _begin(visit: Visit) -> Response:
    await visit.json()
    options = await visit.hop(
        lambda: visit.people.signing.offer_passkey(visit.known, visit.browser(), visit.site())
    )
    return as_json(options.encode())


async def _passkey(visit: Visit) -> Response:
    answer = await visit.json()
    await visit.hop(
        lambda: visit.people.signing.add_passkey(visit.known, visit.browser(), visit.site(), answer)
    )
    return as_json(orjson.dumps({"submit": "done"}))


async def _done(visit: Visit) -> Response:
    await visit.form()
    return await _finished(visit)


async def _finished(visit: Visit) -> Response:
    cookie, codes = await visit.hop(
        lambda: visit.people.signing.finish(visit.known, visit.browser())
    )
    answer = visit.show("codes.html", codes=codes, is_first=True, language=visit.language())
    visit.set_cookie(answer, cookie)
    return answer


async def _offered(visit: Visit, exc: VNAError | None = None) -> Response:
    offer = await visit.hop(lambda: visit.people.signing.offer_app(visit.known))
    grouped = " ".join(offer.secret[at : at + 4] for at in range(0, len(offer.secret), 4))
    return visit.show(
        "second.html",
        status=_status(exc) if exc else 200,
        trouble=visit.said(exc) if exc else None,
        secret=grouped,
        picture=picture(offer.uri),
        language=visit.language(),
    )


def picture(uri: str, title: str = "QR code for the authenticator app") -> str:
    """Draw a QR code as SVG that stands in the page itself."""
    import segno  # only where somebody enrols

    drawn = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(
        drawn, kind="svg", xmldecl=False, svgns=False, scale=5, border=3, svgclass="qr",
        lineclass=None, title=title, omitsize=False,
    )  # fmt: skip
    return drawn.getvalue().decode("utf-8")


def _status(exc: Exception) -> int:
    return problems.answer(exc, "enrol")[0]
