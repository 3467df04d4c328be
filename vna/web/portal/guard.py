"""What every page behind a sign-in has in common: who comes, what a form must carry, the cookie.

A page is a coroutine of a `Visit`. Who is not as far as the page asks is led to where they can be;
an error is a page, too. Forms are small, come from our own pages, and say so by a token.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from vna.access import forms
from vna.access.passkeys import Site
from vna.access.people import People
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.sessions import Browser, Level, Visitor
from vna.errors import InvalidRequest, NotPermitted, NotProven, TooLarge, Unavailable, VNAError
from vna.texts import Texts, chosen, marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import (
    address_of,
    cookie_in,
    cookie_name,
    origin_of,
    require_own_origin,
    secret_of,
)
from vna.web.portal.pages import Pages

T = TypeVar("T")

_MOST_BYTES = 16384
_MOST_FIELDS = 20
_MOST_WAITING = 32  # for a hash of a passphrase
_TOO_OLD = marked("This form is too old; go back, load the page again, and repeat.")
# pages that ask for the second factor again, which leads back to them
CONFIRMED_FOR = frozenset(
    {"/account", "/emergency", "/emergency/second", "/my/carers", "/patients"}
)
ENDED = "ended"  # in the query of the page to sign in: the session was over when a form came
_NEXT = re.compile(
    r"/viewer/viewer\?StudyInstanceUIDs=[0-9.]{1,64}"
    r"|/my(?:/(?:access|account|carers|consents|requests|shares"
    r"|share(?:/[0-9]{1,19}/(?:what|whom|how|check))?))?",
    re.ASCII,
)
_LAST_STEP = re.compile(r"(/my/share/[0-9]+)/(?:send|test)", re.ASCII)

# where somebody goes on who came so far
_WAYS = {
    None: "/login",
    Level.ENROLLING: "/enrol/passphrase",
    Level.PASSPHRASE: "/login/factor",
    Level.SIGNED_IN: "/",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of a browser for a page."""

    request: Request
    counter: Counter
    pages: Pages
    secret: str  # of its cookie; a fresh one when it showed none
    is_new: bool
    visitor: Visitor | None

    @property
    def people(self) -> People:
        """Everything about people who come in."""
        return self.counter.engines.people

    @property
    def known(self) -> Visitor:
        """Who comes, on a page for those who are known. Raises `NotPermitted`."""
        if self.visitor is None:
            raise NotPermitted
        return self.visitor

    async def who(self, action: Action) -> Principal:
        """Say who asks, who may do this: nobody else's form is even read.

        Raises `NotAuthenticated`, `NotPermitted`.
        """
        found = await self.counter.identity.principal(self.request.scope)
        require(found, action)
        return found

    def browser(self) -> Browser:
        """Describe where they come from."""
        return Browser(
            address=address_of(self.request.scope),
            agent=self.request.headers.get("user-agent", ""),
            secret=self.secret,
        )

    def site(self) -> Site:
        """Say under which name the browser knows us."""
        host = self.request.headers.get("host", "").rsplit("]")[0]
        name = host if host.startswith("[") else host.partition(":")[0]
        return Site(name=name, origin=origin_of(self.request.scope))

    def language(self) -> str:
        """Say which of our languages the browser asks for."""
        return chosen(self.request.headers.get("accept-language"))

    @property
    def is_patient(self) -> bool:
        """Whether a patient comes, to what is about them."""
        return self.visitor is not None and self.visitor.is_patient

    def told(self, exc: VNAError) -> str:
        """Say an error in the language of the browser; to a patient in plain words."""
        if not self.is_patient or str(exc) == _TOO_OLD:  # the page is theirs, and to be repeated
            return self.said(exc)
        _ = Texts(self.language()).gettext
        by_status = {
            403: _("This page is not for you."),
            404: _("There is nothing here, or it is not about you."),
            429: _("There were too many tries. Wait a quarter of an hour, then try again."),
            503: _("This cannot be done now. Try again in a moment."),
        }
        return by_status.get(problems.status_of(exc)) or self.said(exc)

    def said(self, exc: VNAError) -> str:
        """Say an error in the language of the browser, where it is among our texts."""
        return Texts(self.language()).said(exc)

    def show(self, page: str, *, status: int = 200, **shown: Any) -> Response:  # by the page
        """Render a page with what every page of this sort needs; `language` may be among it."""
        shown.setdefault("language", self.language())
        shown.setdefault("timezone", self.counter.engines.settings.site.timezone)
        answer = self.pages.page(
            page, status=status, form=forms.token(self.secret), visitor=self.visitor, **shown
        )
        if self.is_new:
            self.set_cookie(answer, self.secret)
        return answer

    def go(self, where: str, *, cookie: str | None = None) -> Response:
        """Lead on after a POST, with a new cookie after a step up."""
        answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
        if cookie is not None:
            self.set_cookie(answer, cookie)
        return answer

    def set_cookie(self, answer: Response, secret: str) -> None:
        """Give the browser a cookie no script can read and no other site can send."""
        self.counter.identity.forget(self.request.scope)
        answer.set_cookie(
            cookie_name(self.request.scope),
            secret,
            path="/",
            secure=self.request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )

    def drop_cookie(self, answer: Response) -> None:
        """Take the cookie back."""
        self.counter.identity.forget(self.request.scope)
        is_secure = self.request.scope["scheme"] == "https"
        answer.delete_cookie(
            cookie_name(self.request.scope),
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )

    async def form(
        self, *, most_fields: int = _MOST_FIELDS, most_bytes: int = _MOST_BYTES
    ) -> dict[str, str]:
        """Read a form of ours. Raises `InvalidRequest`, `TooLarge`, `NotPermitted`."""
        found = await self._fields(most_fields, most_bytes)
        self.require_own(found.get("form", ""))
        return found

    async def foreign_form(self) -> dict[str, str]:
        """Read a form of a page that could not know the browser, so it has no token of ours.

        What it says must be bound to the browser in another way. Raises as `form` does.
        """
        found = await self._fields()
        require_own_origin(self.request.scope)
        return found

    async def _fields(
        self, most_fields: int = _MOST_FIELDS, most_bytes: int = _MOST_BYTES
    ) -> dict[str, str]:
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise InvalidRequest("A form is application/x-www-form-urlencoded.")
        body = await self._body(most_bytes)
        try:
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=most_fields
            )
        except ValueError as exc:
            raise InvalidRequest("The form is not well formed.") from exc
        return dict(fields)

    async def json(self, *, most_bytes: int = _MOST_BYTES) -> bytes:
        """Read JSON that a script of ours sends. Raises as `form` does."""
        body = await self._body(most_bytes)
        self.require_own(self.request.headers.get("x-vna-form", ""))
        return body

    async def hop(self, work: Callable[[], T]) -> T:
        """Run what asks the database in a thread."""
        return await self.counter.threads.hops.call(work)

    async def hash(self, work: Callable[[], T]) -> T:
        """Run what costs a hash, one after the other. Raises `Unavailable` when too many wait."""
        hashes = self.counter.threads.hashes
        if hashes.under_way >= _MOST_WAITING:
            raise Unavailable(marked("Too many people sign in at once; try again in a moment."))
        return await hashes.call(work)

    def require_own(self, token: str) -> None:
        """Make sure that a page of ours sent this. Raises `NotPermitted`."""
        require_own_origin(self.request.scope)
        if self.is_new or not forms.is_token(self.secret, token):
            raise NotPermitted(_TOO_OLD)

    async def _body(self, most: int = _MOST_BYTES) -> bytes:
        body = bytearray()
        try:
            async for piece in self.request.stream():
                body += piece
                if len(body) > most:
                    raise TooLarge("A form is smaller than that.")
        except ClientDisconnect as exc:
            raise InvalidRequest("The request ended before its time.") from exc
        return bytes(body)


Page = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Whose(enum.Enum):
    """Whose a page is, of those who are signed in."""

    STAFF = enum.auto()
    PATIENTS = enum.auto()
    ALL = enum.auto()

    def require(self, visitor: Visitor | None) -> None:
        """Keep patients from pages of staff, and staff from those of patients: `NotPermitted`."""
        if self is Whose.ALL or visitor is None or not visitor.is_signed_in:
            return
        if visitor.is_patient != (self is Whose.PATIENTS):
            raise NotPermitted


def guarded(
    counter: Counter, pages: Pages, page: Page, *levels: Level | None, whose: Whose = Whose.STAFF
) -> Endpoint:
    """Make an endpoint of a page for visitors of these levels; None is who is not known."""
    allowed = levels or (Level.SIGNED_IN,)
    is_dev = counter.engines.settings.dev

    async def endpoint(request: Request) -> Response:
        secret = secret_of(request.scope)
        visit = Visit(
            request=request,
            counter=counter,
            pages=pages,
            secret=secret or forms.fresh_cookie(),
            is_new=secret is None,
            visitor=None,
        )
        is_kiosk = cookie_in(request.scope, kiosk_name(request)) is not None
        if is_kiosk and is_dev:
            return visit.go("/kiosk")
        try:
            if not is_dev:
                found = await counter.identity.visitor(request.scope)
                if is_kiosk and not _may_pass(request, found):
                    return visit.go("/kiosk")
                level = None if found is None else found.level
                if level not in allowed and not (None in allowed and level != Level.SIGNED_IN):
                    return visit.go(_way(request, level))
                visit = _with(visit, found)
                whose.require(found)
            answer = await page(visit)
            if is_kiosk and visit.visitor is not None and visit.visitor.is_signed_in:
                answer.delete_cookie(kiosk_name(request), path="/", secure=True, httponly=True)
            return answer
        except NotProven:
            here = request.url.path
            return visit.go(f"/confirm?next={here}" if here in CONFIRMED_FOR else "/confirm")
        except VNAError as exc:
            status, fields, _ = problems.answer(exc, "page")
            told = visit.told(exc)
            lacks = isinstance(exc, NotPermitted) and str(exc) == str(NotPermitted())
            answer = visit.show("trouble.html", status=status, trouble=told, lacks_right=lacks)
            answer.headers.update({k.decode(): v.decode() for k, v in fields})
            return answer

    return endpoint


def cookie_called(request: Request, which: str) -> str:
    """Name a cookie. With TLS no other host or plain page can set it (RFC 6265bis 4.1.3.2)."""
    return f"__Host-vna-{which}" if request.scope["scheme"] == "https" else f"vna-{which}"


def kiosk_name(request: Request) -> str:
    """Name the cookie of a tablet that asks: while a browser holds it, it shows nothing else."""
    return cookie_called(request, "kiosk")


def _may_pass(request: Request, found: Visitor | None) -> bool:
    """Let staff take a tablet back: by signing in, and in no other way."""
    is_in = found is not None and found.is_signed_in
    return is_in or request.url.path.partition("/")[2].partition("/")[0] == "login"


def next_of(asked: str) -> str:
    """Take where to go on only when it is a page of ours that holds nothing of a patient."""
    return asked if _NEXT.fullmatch(asked) else "/"


def way_on(visitor: Visitor | None) -> str:
    """Say where somebody goes on who came so far."""
    return _WAYS[None if visitor is None else visitor.level]


def _way(request: Request, level: Level | None) -> str:
    way = _WAYS[level]
    if level is None and request.method == "POST" and request.url.path != "/logout":
        back = _page_of(request.url.path)
        more = f"&next={quote(back)}" if back != "/" else ""
        return f"{way}?{ENDED}=yes{more}"  # who sent something must not believe that it was done
    wanted = request.url.path + ("?" + request.url.query if request.url.query else "")
    if level in (None, Level.PASSPHRASE) and next_of(wanted) != "/":
        return f"{way}?next={quote(wanted)}"
    return way


def _page_of(path: str) -> str:
    """Say on which page a form stood that was sent to a path, as far as it may be gone on with."""
    path = _LAST_STEP.sub(r"\1/check", path)
    while path and next_of(path) == "/":
        path = path.rpartition("/")[0]
    return path or "/"


def _with(visit: Visit, visitor: Visitor | None) -> Visit:
    return Visit(
        request=visit.request,
        counter=visit.counter,
        pages=visit.pages,
        secret=visit.secret,
        is_new=visit.is_new,
        visitor=visitor,
    )
