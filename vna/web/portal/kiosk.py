"""/kiosk: a tablet in the waiting room asks one person whether images may be given on.

Who hands it over is signed out by that, so that there is nothing behind the page; the way out is
signing in. The tablet holds a secret that opens these pages alone, for half an hour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vna.access import forms
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, VNAError
from vna.sharing.consent_texts import ConsentText
from vna.sharing.kiosks import Answer, Kiosk
from vna.sharing.rules import MOST_NAME, are_one
from vna.sharing.values import Channel
from vna.texts import Texts, languages
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import cookie_in
from vna.web.portal.consent_form import channel_of
from vna.web.portal.guard import Endpoint, Visit, kiosk_name
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import Typed

RESET_S = 60
"""A page nobody touches for so long begins anew, and holds nothing of what was typed."""

KioskPage = Callable[[Visit, Kiosk], Awaitable[Response]]


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the tablet."""

    def at(path: str, page: KioskPage, *methods: str) -> Route:
        endpoint = _tablet(counter, pages, page)
        return Route(f"/kiosk{path}", endpoint, methods=list(methods) or None)

    return [
        at("", _begin),
        at("/form", _form),
        at("/answer", _answer, "POST"),
        at("/leave", _leave, "POST"),
    ]


async def hand_over(visit: Visit, secret: str) -> Response:
    """Make the browser a tablet: whoever was signed in with it is signed out."""
    answer = visit.go("/kiosk")
    if visit.visitor is not None:
        visitor = visit.visitor
        await visit.hop(lambda: visit.people.sessions.sign_out(visitor))
        visit.drop_cookie(answer)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    answer.set_cookie(
        kiosk_name(visit.request),
        secret,
        path="/",
        secure=visit.request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


def _tablet(counter: Counter, pages: Pages, page: KioskPage) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        shown = cookie_in(request.scope, kiosk_name(request))
        visit = Visit(
            request=request,
            counter=counter,
            pages=pages,
            secret=shown or forms.fresh_cookie(),
            is_new=False,  # this cookie is given by the desk, never by a page
            visitor=None,
        )
        try:
            kiosk = await visit.hop(lambda: counter.engines.sharing.kiosks.find(visit.secret))
            if kiosk is None:
                return _over(visit, 401)
            return await page(visit, kiosk)
        except NotAuthenticated:
            return _over(visit, 401)
        except VNAError as exc:
            return _over(visit, problems.status_of(exc))

    return endpoint


async def _begin(visit: Visit, kiosk: Kiosk) -> Response:
    """Greet: nothing of the person is shown before somebody begins."""
    if kiosk.is_answered:
        return _shown(visit, "kiosk_thanks.html")
    names = {one: (Texts(one).name, Texts(one).gettext("Begin")) for one in languages()}
    return _shown(visit, "kiosk.html", names=names)


async def _form(visit: Visit, kiosk: Kiosk) -> Response:
    if kiosk.is_answered:
        return visit.go("/kiosk")
    return await _asked(visit, kiosk, Typed({}))


async def _asked(
    visit: Visit, kiosk: Kiosk, typed: Typed, trouble: str | None = None, status: int = 200
) -> Response:
    language = _language(visit, typed)
    text: ConsentText = await visit.hop(
        lambda: visit.counter.engines.sharing.texts.latest(kiosk.asking.purpose, language)
    )
    return _shown(
        visit,
        "kiosk_form.html",
        status=status,
        language=language,
        asking=kiosk.asking,
        text=text,
        typed=typed,
        trouble=trouble,
    )


async def _answer(visit: Visit, kiosk: Kiosk) -> Response:
    typed = Typed(await visit.form())
    texts = Texts(_language(visit, typed))
    try:
        answer = _said(typed, kiosk, texts)
        kiosks = visit.counter.engines.sharing.kiosks
        await visit.hop(lambda: kiosks.answer(visit.secret, answer))
    except Conflict:
        return visit.go("/kiosk")  # a second press: it was taken
    except InvalidRequest as exc:
        return await _asked(visit, kiosk, typed, texts.said(exc), 400)
    return _shown(visit, "kiosk_thanks.html", language=texts.language)


def _said(typed: Typed, kiosk: Kiosk, texts: Texts) -> Answer:
    """Read the answer, in words the person understands. Raises `InvalidRequest`."""
    _ = texts.gettext
    said, signed_by = typed.text("said"), typed.text("signed_by")
    if said not in ("yes", "no"):
        raise InvalidRequest(_("Choose yes or no."))
    if not 0 < len(signed_by) <= MOST_NAME:
        raise InvalidRequest(_("Type your name at the end. It is your signature."))
    to = by = None
    if said == "yes":
        is_own = kiosk.asking.recipient is None
        to = _channel(typed.text("to"), _("Your e-mail address is written name@example.org."))
        if is_own:
            by = _channel(
                typed.text("by"), _("Type your mobile number with its country: +49 170 1234567.")
            )
            if to is None or by is None:
                raise InvalidRequest(_("We need your e-mail address and your mobile number."))
            if are_one(to, by):
                raise InvalidRequest(_("Type two different ways: link and code go apart."))
    return Answer(
        allowed=said == "yes",
        signed_by=signed_by,
        language=texts.language,
        text=typed.text("text") or None,
        is_wide=typed.text("which") == "all",
        reports=typed.has("reports"),
        to=to,
        by=by,
    )


def _channel(text: str, wrong: str) -> Channel | None:
    try:
        return channel_of(text)
    except InvalidRequest as exc:
        raise InvalidRequest(wrong) from exc


async def _leave(visit: Visit, _kiosk: Kiosk) -> Response:
    """Take the tablet back; with sign-in there is nothing behind it but the page for that."""
    await visit.form()
    await visit.hop(lambda: visit.counter.engines.sharing.kiosks.end(visit.secret))
    return _left(visit, visit.go("/"))


def _over(visit: Visit, status: int) -> Response:
    answer = _shown(visit, "kiosk_over.html", status=status)
    return _left(visit, answer) if status == 401 else answer


def _left(visit: Visit, answer: Response) -> Response:
    is_secure = visit.request.scope["scheme"] == "https"
    name = kiosk_name(visit.request)
    answer.delete_cookie(name, path="/", secure=is_secure, httponly=True, samesite="strict")
    return answer


def _shown(visit: Visit, page: str, *, status: int = 200, **shown: Any) -> Response:  # by page
    always = {
        "site": visit.counter.engines.settings.site,
        "reset_s": RESET_S,
        "is_dev": visit.counter.engines.settings.dev,
        "language": visit.language(),
    }
    return visit.show(page, status=status, **{**always, **shown})


def _language(visit: Visit, typed: Typed) -> str:
    asked = typed.text("language") or visit.request.query_params.get("language", "")
    return asked if asked in languages() else visit.language()
