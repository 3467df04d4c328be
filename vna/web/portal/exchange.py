"""What the pages of guests who send to guests have in common: two cookies, who may come how far.

One cookie is that of a browser outside, which its forms are tied to; the others are those of a
sender's and of a recipient's session. None of them opens a share, an upload or a staff page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vna.errors import NotAuthenticated, NotFound, TooLarge, VNAError
from vna.imports.exchanges import Exchange, Party, Side
from vna.imports.guests import Guests
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import address_of
from vna.web.portal.files import json
from vna.web.portal.guard import Endpoint, cookie_called
from vna.web.portal.guest import Call, brought
from vna.web.portal.guest import told as said
from vna.web.portal.pages import Pages

_COOKIES = {Side.SENDER: "send", Side.RECIPIENT: "parcel"}
_STARTS = {Side.SENDER: "/send", Side.RECIPIENT: "/g"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover(Call):
    """One request of a browser of who sends, or was sent, images as a guest."""

    side: Side
    party: Party | None = None

    @property
    def guests(self) -> Guests:
        """The engine of exchanges."""
        return self.counter.engines.imports.guests

    @property
    def inside(self) -> Any:  # of shares: nobody is a share's guest here
        """Nobody. Raises `NotAuthenticated`."""
        raise NotAuthenticated

    @property
    def whose(self) -> Party:
        """Who comes, on a page behind a door. Raises `NotAuthenticated`."""
        if self.party is None:
            raise NotAuthenticated
        return self.party

    @property
    def exchange(self) -> Exchange:
        """Which exchange they are in. Raises `NotAuthenticated`."""
        return self.whose.exchange

    @property
    def address(self) -> str | None:
        """Where they come from."""
        return address_of(self.request.scope)

    def show(self, page: str, *, status: int = 200, **shown: Any) -> Response:  # by the page
        """Render a page; the number of the exchange stands at its foot."""
        number = self.party.exchange.number if self.party else None
        always = {"number": number, "here": _COOKIES[self.side]}
        return Call.show(self, page, status=status, **{**always, **shown})

    def enter(self, where: str, session: str) -> Response:
        """Lead on with the session that was opened."""
        answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
        self._set(answer, cookie_called(self.request, _COOKIES[self.side]), session, is_strict=True)
        return answer

    def drop_cookie(self, answer: Response) -> None:
        """Take the session's cookie back."""
        name, is_secure = cookie_called(self.request, _COOKIES[self.side]), self._is_secure()
        answer.delete_cookie(name, path="/", secure=is_secure, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache"'

    def ended(self, title: str, what: str, way_out: str, *, status: int = 200) -> Response:
        """Say that something is over, and what to do."""
        return self.show(
            "exchange_ended.html",
            status=status,
            title=title,
            what=what,
            way_out=way_out,
            start=_STARTS[self.side],
            is_good=status == 200,
        )

    def _is_secure(self) -> bool:
        return bool(self.request.scope["scheme"] == "https")


HandoverPage = Callable[[Handover], Awaitable[Response]]


def door(
    counter: Counter, pages: Pages, page: HandoverPage, side: Side, *, inside: bool
) -> Endpoint:
    """Make an endpoint of a page, for everybody or for who has a session of this side."""

    async def endpoint(request: Request) -> Response:
        call = _call(counter, pages, request, side)
        try:
            require_enabled(call)
            party = await resumed(call)
            if party is None and inside:
                raise NotAuthenticated
            return await page(replace(call, party=party))
        except NotAuthenticated:
            return _closed(call)
        except VNAError as exc:
            return troubled(call, exc)

    return endpoint


def require_enabled(call: Handover) -> None:
    """Make sure that guests may send at all. Raises `NotFound`."""
    settings = call.counter.engines.settings
    if not (settings.guests.enabled or settings.dev):
        raise NotFound


def troubled(call: Handover, exc: VNAError) -> Response:
    """Say on a page what went wrong; a script of ours is told in JSON."""
    if call.request.headers.get("x-vna-form") is not None:
        status, fields, _ = problems.answer(exc, "exchange")
        answer = json({"status": status, "message": told(call, exc)})
        answer.status_code = status
        answer.headers.update({k.decode(): v.decode() for k, v in fields})
        return answer
    _ = call.texts().gettext
    status, _fields, _body = problems.answer(exc, "exchange")
    return call.ended(
        _("That did not work"),
        told(call, exc),
        _("Go back and try again. If it happens again, ask for help."),
        status=status,
    )


def told(call: Handover, exc: VNAError) -> str:
    """Say an error in the language of the page where we know how; else as it is."""
    texts, limits = call.texts(), call.counter.engines.settings.guests
    if isinstance(exc, TooLarge):
        text = texts.gettext(
            "That is too much: at most %(items)s files, folders or ZIPs and %(size)s GB together."
        )
        return text % {"items": limits.items, "size": f"{limits.bytes / (1 << 30):.3g}"}
    if isinstance(exc, NotFound):
        return texts.gettext("There is nothing here under that name.")
    return said(call, exc)


async def resumed(call: Handover) -> Party | None:
    """Say who comes, as things are now."""
    if not call.session:
        return None
    session, where = call.session, call.address
    return await call.hop(lambda: call.guests.resume(session, call.side, where))


def _closed(call: Handover) -> Response:
    _ = call.texts().gettext
    answer = call.ended(
        _("This page is closed"),
        _("It was open for a long time, it was closed, or what was sent is over."),
        _("Open the link in your message again, or begin anew."),
        status=401,
    )
    call.drop_cookie(answer)
    return answer


def _call(counter: Counter, pages: Pages, request: Request, side: Side) -> Handover:
    return Handover(
        request=request,
        counter=counter,
        pages=pages,
        visitor=None,
        guest=None,
        side=side,
        **brought(request, _COOKIES[side]),
    )
