"""The web application put together, and served: health, DICOMweb, errors, threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vna.config import Settings
from vna.errors import NotFound, VNAError
from vna.web import health, problems, receipts, server
from vna.web.dicomweb.routes import DicomWeb
from vna.web.dicomweb.shared import PREFIX, SharedDicomWeb, below_share
from vna.web.exchange import ROOT, URI_ROOT, Counter
from vna.web.identity import Identity
from vna.web.misdirected import only_here
from vna.web.portal import guest_site
from vna.web.portal.routes import routes as portal
from vna.web.portal.unknown import (
    Failure,
    Unknown,
    failed,
    is_for_people,
    unknown,
    wants_a_page,
)
from vna.web.proxies import Proxies
from vna.web.standing import Standing
from vna.web.threads import Threads

if TYPE_CHECKING:
    from vna.engines import Engines


def create(engines: Engines) -> ASGIApp:
    """Build the application. Its threads end with its lifespan."""
    counter = _counter(engines)
    dicomweb, shared = DicomWeb(counter), SharedDicomWeb(counter)
    is_here = not engines.settings.sharing.listen  # else guests have a process of their own
    house = _house(counter)
    proxies = Proxies(engines.settings.http)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # DICOMweb goes its own way: a frame is too short a thing for layers of middleware.
        path = ""
        if scope["type"] == "http":
            path, scope = scope["path"], proxies.seen(scope)
        if path.startswith(f"{ROOT}/") or path == ROOT:
            await dicomweb({**scope, "root_path": scope["root_path"] + ROOT}, receive, send)
        elif path in (URI_ROOT, f"{URI_ROOT}/"):
            await dicomweb({**scope, "root_path": scope["root_path"] + URI_ROOT}, receive, send)
        elif is_here and path.startswith(PREFIX) and (below := below_share(scope)) is not None:
            await shared(below, receive, send)
        else:
            await _contained(house, scope, receive, _protected(send))

    return only_here(app, engines.settings) if engines.settings.dev else app


def _protected(send: Send) -> Send:
    """Give every answer of the house what an answer of ours carries, unless it says so itself."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            said = {name.lower() for name, _ in message["headers"]}
            ours = (*problems.PROTECTED, problems.NOT_KEPT)
            message["headers"] = [*message["headers"], *(f for f in ours if f[0] not in said)]
        await send(message)

    return send_on


def create_for_guests(engines: Engines) -> ASGIApp:
    """Build the application of a process that serves guests, and nobody else."""
    counter = _counter(engines)
    shared = SharedDicomWeb(counter)
    house = _site(
        counter, [*health.probes(counter.engines.check, counter), *guest_site.routes(counter)]
    )

    proxies = Proxies(engines.settings.http)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = ""
        if scope["type"] == "http":
            path, scope = scope["path"], proxies.seen(scope)
        if path.startswith(PREFIX) and (below := below_share(scope)) is not None:
            await shared(below, receive, send)
        else:
            await _contained(house, scope, receive, _protected(send))

    return app


def _counter(engines: Engines) -> Counter:
    threads = Threads(engines.settings.http.threads)
    identity = Identity(engines, threads)
    return Counter(engines=engines, threads=threads, identity=identity, standing=Standing(identity))


def _house(counter: Counter) -> Starlette:
    routes = [
        *health.routes(counter.engines.check, counter),
        *receipts.routes(counter),
        *portal(counter),
    ]
    return _site(counter, routes)


def _site(counter: Counter, routes: Sequence[Route]) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        counter.threads.close()

    return Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error(unknown(counter.engines.settings)),
            VNAError: _error,
            Exception: _unforeseen(failed(counter.engines.settings)),
        },
        lifespan=lifespan,
    )


def serve(
    engines: Engines,
    settings: Settings,
    sock: socket.socket,
    *,
    stop: threading.Event | None = None,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve HTTP on a socket (`server.run`) until SIGTERM or `stop`; end in 20 seconds then."""
    server.run(create(engines), settings.http, sock, stop=stop, tls=tls)


def _http_error(show: Unknown) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer what Starlette's own routing refuses: no such path, or no such method."""

    async def answer(request: Request, exc: Exception) -> Response:
        status = exc.status_code if isinstance(exc, HTTPException) else 500
        fields = (getattr(exc, "headers", None) or {}).items()
        if status in (404, 405) and is_for_people(request):
            found = show(request, status)
            found.headers.update({name.lower(): value for name, value in fields})
            return found
        if status == 404:
            return _response(*problems.answer(NotFound(), "unknown"))
        content = problems.body(
            status, "MethodNotAllowed", "This resource does not know that method."
        )
        return _response(status, [(k.lower().encode(), v.encode()) for k, v in fields], content)

    return answer


async def _error(_request: Request, exc: Exception) -> Response:
    return _response(*problems.answer(exc, "unknown"))


def _unforeseen(show: Failure) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer a fault of ours without a word of what it was; it is recorded where it ends."""

    async def answer(request: Request, _exc: Exception) -> Response:
        if wants_a_page(request):
            return show(request)
        return _response(500, [], problems.failure())

    return answer


async def _contained(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let no fault of ours out: Starlette raises it again when it is answered.

    The server would log its text, and would cut the connection, with what stands in it already.
    """
    if scope["type"] != "http":  # what fails at the start is to be seen
        await app(scope, receive, send)
        return
    try:
        await app(scope, receive, send)
    except Exception as exc:  # whatever it is, it ends here
        problems.record(exc, "unknown", 500)


def _response(status: int, fields: problems.Headers, content: bytes) -> Response:
    headers = {k.decode(): v.decode() for k, v in fields}
    return Response(content, status, headers, media_type="application/json")
