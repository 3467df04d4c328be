"""What every page for who was sent a link has in common: the session, the cookies, who may come.

Two cookies: one of a browser that stands before the door, which a link in a message may bring along
(SameSite=Lax), and one of the session behind it, which no other site can make a browser send
(Strict). Neither is a staff cookie, and no staff page knows them.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vna.access import forms
from vna.access.sessions import Browser
from vna.errors import NotAuthenticated, VNAError
from vna.sharing.engine import SharingEngine
from vna.sharing.values import Guest
from vna.texts import Texts
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import cookie_in
from vna.web.portal.guard import Endpoint, Visit, cookie_called
from vna.web.portal.pages import Pages


class Door(enum.Enum):
    """How far somebody must have come to see a page."""

    OUTSIDE = enum.auto()
    OPENED = enum.auto()
    PROVEN = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Visit):
    """One request of a browser for a page of a share."""

    guest: Guest | None
    session: str  # secret of the session; empty outside

    @property
    def sharing(self) -> SharingEngine:
        """The engine of shares."""
        return self.counter.engines.sharing

    @property
    def inside(self) -> Guest:
        """Who comes, on a page behind the door. Raises `NotAuthenticated`."""
        if self.guest is None:
            raise NotAuthenticated
        return self.guest

    def before(self) -> Browser:
        """Describe where they come from, and which session of a share they have, if any."""
        name = cookie_called(self.request, "share")
        return replace(self.browser(), secret=cookie_in(self.request.scope, name))

    def texts(self) -> Texts:
        """Give the texts of the language the browser asks for."""
        return Texts(self.language())

    def show(self, page: str, *, status: int = 200, **shown: Any) -> Response:  # by the page
        """Render a page of a share."""
        settings = self.counter.engines.settings
        number = self.guest.share.number if self.guest else None
        always = {"site": settings.site, "guest": self.guest, "number": number, "here": ""}
        return Visit.show(
            self,
            page,
            status=status,
            language=self.language(),
            **{**always, "idle_s": int(settings.sharing.idle_s), **shown},
        )

    def enter(self, where: str, session: str) -> Response:
        """Lead on with the session that was opened."""
        answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
        self._set(answer, cookie_called(self.request, "share"), session, is_strict=True)
        return answer

    def set_cookie(self, answer: Response, secret: str) -> None:
        """Give a browser outside what its form is tied to."""
        self._set(answer, cookie_called(self.request, "door"), secret, is_strict=False)

    def drop_cookie(self, answer: Response) -> None:
        """Take the session's cookie back, and what the browser kept of its pages."""
        name, is_secure = (
            cookie_called(self.request, "share"),
            self.request.scope["scheme"] == "https",
        )
        answer.delete_cookie(name, path="/", secure=is_secure, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache"'

    def _set(self, answer: Response, name: str, secret: str, *, is_strict: bool) -> None:
        answer.set_cookie(
            name,
            secret,
            path="/",
            secure=self.request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict" if is_strict else "lax",
        )


GuestPage = Callable[[Call], Awaitable[Response]]


def door(counter: Counter, pages: Pages, page: GuestPage, how_far: Door) -> Endpoint:
    """Make an endpoint of a page for who has come so far."""

    async def endpoint(request: Request) -> Response:
        call = _call(counter, pages, request, how_far)
        try:
            if how_far is not Door.OUTSIDE:
                guest = await _guest(call)
                if guest is None:
                    return _left(call)
                call = replace(call, guest=guest)
                if how_far is Door.PROVEN and not guest.is_proven:
                    return call.go("/s/prove")
            return await page(call)
        except NotAuthenticated:  # it ended while it was asked
            return _left(call)
        except VNAError as exc:
            return troubled(call, exc)

    return endpoint


async def is_inside(counter: Counter, request: Request) -> bool:
    """Whether a request comes from somebody who has proven what was asked."""
    session = cookie_in(request.scope, cookie_called(request, "share"))
    if session is None:
        return False
    engine = counter.engines.sharing
    guest = await counter.threads.hops.call(lambda: engine.resume(session))
    return guest is not None and guest.is_proven


def troubled(call: Call, exc: VNAError) -> Response:
    """Say on a page what went wrong."""
    status, fields, _ = problems.answer(exc, "share")
    _ = call.texts().gettext
    answer = call.show(
        "guest_ended.html",
        status=status,
        title=_("That did not work"),
        what=told(call, exc),
        way_out=_("Go back and try again. If it happens again, ask for help."),
        is_good=False,
    )
    answer.headers.update({k.decode(): v.decode() for k, v in fields})
    return answer


def told(call: Call, exc: VNAError) -> str:
    """Say an error in the language of the page where we know how; else as it is."""
    _ = call.texts().gettext
    by_status = {
        404: _("This is not part of what was shared with you."),
        429: _("There were too many tries. Wait a quarter of an hour, then try again."),
        503: _("This cannot be done now. Try again in a moment."),
    }
    return by_status.get(problems.status_of(exc)) or call.texts().said(exc)


async def _guest(call: Call) -> Guest | None:
    if not call.session:
        return None
    return await call.hop(lambda: call.sharing.resume(call.session))


def _left(call: Call) -> Response:
    """Say that the session is over; why is told to who opens the link again."""
    _ = call.texts().gettext
    answer = call.show(
        "guest_ended.html",
        status=401,
        title=_("This page is closed"),
        what=_("It was idle for a while, it was closed, or the sharing was ended."),
        way_out=_("Open the link in your message again, or type the code from your letter."),
        is_good=False,
    )
    call.drop_cookie(answer)
    return answer


def _call(counter: Counter, pages: Pages, request: Request, how_far: Door) -> Call:
    return Call(
        request=request,
        counter=counter,
        pages=pages,
        visitor=None,
        guest=None,
        **brought(request, None if how_far is Door.OUTSIDE else "share"),
    )


class Brought(TypedDict):
    """What the cookies of somebody without an account say."""

    session: str  # "" for nobody who came in
    secret: str  # what forms are bound to
    is_new: bool  # it was made just now


def brought(request: Request, which: str | None) -> Brought:
    """Read the cookies of somebody without an account; `which` names that of their session."""
    kept = cookie_in(request.scope, cookie_called(request, which)) if which else None
    shown = kept or cookie_in(request.scope, cookie_called(request, "door"))
    return Brought(session=kept or "", secret=shown or forms.fresh_cookie(), is_new=shown is None)
