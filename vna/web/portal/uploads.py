"""/u: images that were asked for. A link and a passcode lead to a page that takes files.

Like the pages of shares: GET changes nothing, the secret stands in the fragment, and the cookie of
this session opens nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vna.errors import Conflict, NotAuthenticated, VNAError
from vna.imports.requests import Bringer
from vna.imports.values import Import, State
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.identity import address_of
from vna.web.portal import files
from vna.web.portal.guard import Endpoint, cookie_called
from vna.web.portal.guest import Call, brought, told, troubled
from vna.web.portal.pages import Pages
from vna.web.portal.passcodes import entered


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Call):
    """One request of a browser of who was asked for images."""

    bringer: Bringer | None = None

    @property
    def known(self) -> Any:  # of staff pages: nobody is known here
        """Nobody. Raises `NotAuthenticated`."""
        raise NotAuthenticated

    @property
    def brings(self) -> Bringer:
        """Who brings files, on a page behind the passcode. Raises `NotAuthenticated`."""
        if self.bringer is None:
            raise NotAuthenticated
        return self.bringer

    def show(self, page: str, *, status: int = 200, **shown: Any) -> Response:  # by the page
        """Render a page; the number of the request stands at its foot."""
        number = self.bringer.request.number if self.bringer else None
        return Call.show(self, page, status=status, **{"number": number, **shown})

    def enter(self, where: str, session: str) -> Response:
        """Lead on with the session that was opened."""
        answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
        self._set(answer, cookie_called(self.request, "upload"), session, is_strict=True)
        return answer

    def drop_cookie(self, answer: Response) -> None:
        """Take the session's cookie back."""
        name, is_secure = (
            cookie_called(self.request, "upload"),
            self.request.scope["scheme"] == "https",
        )
        answer.delete_cookie(name, path="/", secure=is_secure, httponly=True, samesite="strict")


UploadPage = Callable[[Upload], Awaitable[Response]]


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of who was asked for images."""

    def at(path: str, page: UploadPage, method: str = "GET", *, inside: bool = True) -> Route:
        return Route(f"/u{path}", _door(counter, pages, page, inside=inside), methods=[method])

    return [
        at("", _landing, inside=False),
        at("/open", _open, "POST", inside=False),
        at("/files", _files),
        at("/expect", _expect, "POST"),
        at("/file/{mark}", _file, "PUT"),
        at("/form", _form, "POST"),
        at("/done", _done, "POST"),
        at("/leave", _leave, "POST"),
    ]


async def _landing(call: Upload) -> Response:
    return call.show("upload_landing.html", trouble=None)


async def _open(call: Upload) -> Response:
    requests, where = call.counter.engines.imports.requests, address_of(call.request.scope)
    return await entered(
        call,
        lambda secret, passcode: requests.open(secret, passcode, where),
        landing="upload_landing.html",
        told=partial(told, call),
        to="/u/files",
    )


async def _files(call: Upload) -> Response:
    return await _shown(call)


async def _shown(call: Upload, trouble: VNAError | None = None) -> Response:
    imports, number = call.counter.engines.imports, call.brings.request.import_number
    about: Import = await call.hop(lambda: imports.brought(call.brings.principal, number))
    return call.show(
        "upload.html",
        status=200 if trouble is None else problems.status_of(trouble),
        request=call.brings.request,
        about=about,
        is_open=about.state is State.RECEIVING,
        trouble=None if trouble is None else told(call, trouble),
    )


async def _expect(call: Upload) -> Response:
    marks = await files.marks(call)
    imports, bringer = call.counter.engines.imports, call.brings
    number = bringer.request.import_number
    missing = await call.hop(lambda: imports.expect(bringer.principal, number, marks))
    return files.json({"missing": missing})


async def _file(call: Upload) -> Response:
    call.require_own(call.request.headers.get("x-vna-form", ""))
    return await files.take_one(call.request, _into(call))


async def _form(call: Upload) -> Response:
    limits = call.counter.engines.settings.limits
    await files.take_form(call.request, _into(call), limits, call.require_own)
    return call.go("/u/files")


async def _done(call: Upload) -> Response:
    await call.form()
    requests, bringer = call.counter.engines.imports.requests, call.brings
    try:
        await call.hop(lambda: requests.deliver(bringer))
    except Conflict as exc:
        return await _shown(call, exc)
    return call.go("/u/files")


async def _leave(call: Upload) -> Response:
    await call.form()
    requests = call.counter.engines.imports.requests
    await call.hop(lambda: requests.leave(call.session))
    answer = call.go("/u")
    call.drop_cookie(answer)
    return answer


def _into(call: Upload) -> files.Import:
    bringer = call.brings

    async def stands() -> bool:
        requests, where = call.counter.engines.imports.requests, address_of(call.request.scope)
        return await call.hop(lambda: requests.resume(call.session, where)) is not None

    return files.Import(
        counter=call.counter,
        who=bringer.principal,
        number=bringer.request.import_number,
        stands=stands,
    )


def _door(counter: Counter, pages: Pages, page: UploadPage, *, inside: bool) -> Endpoint:
    """Make an endpoint of a page, for everybody or for who came by a link with its passcode."""

    async def endpoint(request: Request) -> Response:
        call = _call(counter, pages, request, inside=inside)
        try:
            if inside:
                call = replace(call, bringer=await _bringer(call))
            return await page(call)
        except NotAuthenticated:
            _ = call.texts().gettext
            text = _("This page is closed. Open the link in your message again.")
            answer = call.show("upload_landing.html", status=401, trouble=text)
            call.drop_cookie(answer)
            return answer
        except VNAError as exc:
            return troubled(call, exc)

    return endpoint


async def _bringer(call: Upload) -> Bringer:
    requests, where = call.counter.engines.imports.requests, address_of(call.request.scope)
    found = await call.hop(lambda: requests.resume(call.session, where)) if call.session else None
    if found is None:
        raise NotAuthenticated
    return found


def _call(counter: Counter, pages: Pages, request: Request, *, inside: bool) -> Upload:
    return Upload(
        request=request,
        counter=counter,
        pages=pages,
        visitor=None,
        guest=None,
        **brought(request, "upload" if inside else None),
    )
