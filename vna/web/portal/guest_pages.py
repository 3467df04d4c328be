"""/s: from a link to the images. Opening, proving, what was shared, and the ways out.

GET changes nothing: a scanner that follows the link fifty times leaves it as it was. The secret
stands in the fragment, which a browser sends nobody; a person presses a button, and POST opens.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vna.errors import InvalidRequest, TooMany, VNAError
from vna.sharing.values import Protection, Reason, Refused, Wrong
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import guest_archive, guest_studies, guest_viewer, sealed, viewing_pages
from vna.web.portal.guest import Call, Door, GuestPage, door, told
from vna.web.portal.guest_forward import forward
from vna.web.portal.pages import Pages
from vna.web.portal.viewing_pages import Way

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_CODED = (Protection.SMS, Protection.EMAIL)
_MOST_WAIT_S = 3600

# 404 for what was never there; what ended says so
_STATUS = {Reason.UNKNOWN: 404, Reason.EXPIRED: 410, Reason.REVOKED: 410, Reason.EXHAUSTED: 410}


def routes(counter: Counter, pages: Pages, has_viewer: Callable[[], bool]) -> list[Route]:
    """Return the routes of shares for those they were made for."""

    async def view(call: Call) -> Response:
        base = await guest_studies.base_of(call)
        is_advanced = has_viewer() and call.inside.share.download
        way = _way_in(call, base, guest_viewer.ROOT if is_advanced else "")
        return call.show("light.html", **await viewing_pages.shown(call, way))

    def at(path: str, page: GuestPage, how_far: Door, method: str = "GET") -> Route:
        return Route(f"/s{path}", door(counter, pages, page, how_far), methods=[method])

    return [
        at("", _landing, Door.OUTSIDE),
        at("/help", _help, Door.OUTSIDE),
        at("/open", _open, Door.OUTSIDE, "POST"),
        at("/prove", _proving, Door.OPENED),
        at("/prove", _prove, Door.OPENED, "POST"),
        at("/code", _code, Door.OPENED, "POST"),
        at("/not-me", _not_me, Door.OPENED, "POST"),
        at("/leave", _leave, Door.OPENED, "POST"),
        at("/stay", _stay, Door.OPENED),
        at("/home", guest_studies.home, Door.PROVEN),
        at("/download", guest_studies.download, Door.PROVEN),
        at("/sealed", sealed.for_guests, Door.PROVEN, "POST"),
        at("/archive", guest_archive.page, Door.PROVEN),
        at("/archive", guest_archive.send, Door.PROVEN, "POST"),
        at("/forward", forward, Door.PROVEN),
        at("/forward", forward, Door.PROVEN, "POST"),
        at("/view/{study}", view, Door.PROVEN),
        at("/view/{study}/{series}", _reel, Door.PROVEN),
        at("/view/{study}/{series}/geometry", _geometry, Door.PROVEN),
    ]


# -- opening ---------------------------------------------------------------------------------------


async def _landing(call: Call) -> Response:
    return call.show("guest_landing.html", trouble=None)


async def _help(call: Call) -> Response:
    return call.show("guest_help.html", here="help")


async def _open(call: Call) -> Response:
    form = await call.form()
    typed = form.get("link", "").strip()
    secret = typed.rpartition("#")[2]
    engine, browser = call.sharing, call.before()
    try:
        if _SECRET.fullmatch(secret):
            opened = await call.hop(lambda: engine.open(secret, browser))
        else:
            opened = await call.hash(lambda: engine.open_printed(typed, browser))
    except (InvalidRequest, TooMany) as exc:
        status, _, _ = problems.answer(exc, "share")
        return call.show("guest_landing.html", status=status, trouble=told(call, exc))
    if isinstance(opened, Refused):
        return _ended(call, opened.reason, opened.number)
    session, guest = opened
    if guest.is_proven:
        return call.enter("/s/home", session)
    wait = await _sent(call, session, guest.needs)
    return call.enter(f"/s/prove{wait}", session)


async def _sent(call: Call, session: str, needs: tuple[Protection, ...]) -> str:
    """Send the code where one is asked for next; say so in the page's query."""
    if not needs or needs[0] not in _CODED:
        return ""
    try:
        sent = await call.hop(lambda: call.sharing.send_code(session, needs[0]))
    except VNAError:  # the page offers to send it, and says then what is wrong
        return ""
    return f"?wait={sent.wait_s}"


# -- proving ---------------------------------------------------------------------------------------


async def _proving(call: Call) -> Response:
    return _asking(call) if not call.inside.is_proven else call.go("/s/home")


async def _prove(call: Call) -> Response:
    form = await call.form()
    way = _way(form.get("way", ""))
    engine, text = call.sharing, form.get("text", "")
    try:
        found = await call.hash(lambda: engine.prove(call.session, way, text))
    except (InvalidRequest, TooMany) as exc:
        return _asking(call, told(call, exc), problems.status_of(exc))
    if isinstance(found, Refused):
        return _over(call, found.reason, found.number)
    if isinstance(found, Wrong):
        if not found.left:
            return _over(call, Reason.LOCKED, call.inside.share.number)
        texts = call.texts()
        wrong = texts.ngettext(
            "That is not right. %(num)s try is left.",
            "That is not right. %(num)s tries are left.",
            found.left,
        ) % {"num": found.left}
        return _asking(call, wrong, 401)
    if found.is_proven:
        return call.go("/s/home")
    return call.go(f"/s/prove{await _sent(call, call.session, found.needs)}")


async def _code(call: Call) -> Response:
    form = await call.form()
    way = _way(form.get("way", ""))
    engine = call.sharing
    try:
        sent = await call.hop(lambda: engine.send_code(call.session, way))
    except (InvalidRequest, TooMany) as exc:
        return _asking(call, told(call, exc), problems.status_of(exc))
    return call.go(f"/s/prove?wait={sent.wait_s}")


def _asking(call: Call, trouble: str | None = None, status: int = 200) -> Response:
    """Show what is asked for next."""
    guest = call.inside
    way = guest.needs[0]
    steps = len(guest.share.ways)
    wait = call.request.query_params.get("wait", "")
    is_wait = wait.isascii() and wait.isdigit() and len(wait) <= 4
    return call.show(
        "guest_prove.html",
        status=status,
        trouble=trouble,
        way=way.value,
        masked=dict(guest.share.ways).get(way, ""),
        step=steps - len(guest.needs) + 1,
        steps=steps,
        sent=is_wait,
        again=status == 401,
        wait_s=min(int(wait), _MOST_WAIT_S) if is_wait else 0,
    )


def _way(text: str) -> Protection:
    try:
        return Protection(text)
    except ValueError as exc:
        raise InvalidRequest("That is not a way to prove anything here.") from exc


# -- ways out --------------------------------------------------------------------------------------


async def _not_me(call: Call) -> Response:
    await call.form()
    engine = call.sharing
    await call.hop(lambda: engine.not_me(call.session))
    _ = call.texts().gettext
    answer = call.show(
        "guest_ended.html",
        title=_("The link is stopped"),
        what=_("Nobody can open it any more, and the sender is told. Thank you."),
        way_out=_("You need do nothing. You can delete the message."),
        is_good=True,
    )
    call.drop_cookie(answer)
    return answer


async def _leave(call: Call) -> Response:
    await call.form()
    engine = call.sharing
    await call.hop(lambda: engine.leave(call.session))
    answer = RedirectResponse("/s", 303, {"Cache-Control": "no-store"})
    call.drop_cookie(answer)
    return answer


async def _stay(call: Call) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(status_code=204 if call.inside.is_proven else 403, headers=headers)


def _over(call: Call, reason: Reason, number: str | None) -> Response:
    answer = _ended(call, reason, number)
    call.drop_cookie(answer)
    return answer


def _ended(call: Call, reason: Reason, number: str | None) -> Response:
    """Say in plain words why it does not open, and what to do."""
    title, what, way_out = _words(call, reason)
    return call.show(
        "guest_ended.html",
        status=_STATUS.get(reason, 403),
        title=title,
        what=what,
        way_out=way_out,
        number=number,
        guest=None,
        is_good=False,
    )


def _words(call: Call, reason: Reason) -> tuple[str, str, str]:
    _ = call.texts().gettext
    anew = _("Ask the sender for a new link. The images are kept; nothing is lost.")
    return {
        Reason.UNKNOWN: (
            _("This does not open"),
            _("There is no share for this link or code."),
            _("Look at it again: the link must be whole, and a code has 16 characters."),
        ),
        Reason.EXPIRED: (_("The time is over"), _("This link was good for a limited time."), anew),
        Reason.REVOKED: (
            _("The sharing was ended"),
            _("Whoever shared the images has ended it."),
            _("If you still need the images, ask the sender."),
        ),
        Reason.LOCKED: (
            _("The link is locked"),
            _("There were too many wrong codes, so nothing opens any more."),
            anew,
        ),
        Reason.EXHAUSTED: (
            _("It was opened as often as it may"),
            _("This link could be opened a limited number of times."),
            anew,
        ),
        Reason.SUSPENDED: (
            _("The sharing is paused"),
            _("It is being checked, or the patient has withdrawn consent."),
            _("Ask the sender when it goes on."),
        ),
        Reason.REFUSED: (
            _("The link is stopped"),
            _("Somebody said that it reached the wrong person."),
            anew,
        ),
    }[reason]


# -- looking ---------------------------------------------------------------------------------------


async def _reel(call: Call) -> Response:
    return await viewing_pages.listed(call, _way_in(call, ""))


async def _geometry(call: Call) -> Response:
    return await viewing_pages.measured(call, _way_in(call, ""))


def _way_in(call: Call, base: str, advanced: str = "") -> Way:
    who = call.inside.principal
    return Way(who=who, base=base, back="/s/home", here="/s/view", advanced=advanced)
