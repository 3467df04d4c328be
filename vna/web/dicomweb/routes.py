"""The resources of DICOMweb as one table, and the application that serves them (PS3.18 10.1, 10.3).

A plain ASGI application: a request for one frame takes no detour through middleware.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from vna import telemetry
from vna.dicom.refs import UID, uid
from vna.errors import InvalidUID, NotFound, UnsupportedMedia
from vna.web import problems
from vna.web.dicomweb import (
    caching,
    capabilities,
    changes,
    commitment,
    cors,
    deletion,
    qido,
    rendered,
    stow,
    uri,
    wado,
)
from vna.web.dicomweb.accept import WADL, Resource
from vna.web.exchange import ROOT, URI_ROOT, Ask, ClientGone, Counter, Reply, below
from vna.web.identity import is_by_cookie
from vna.web.sending import send_reply

log = logging.getLogger(__name__)

__all__ = ["ROOT", "ROUTES", "URI_ROOT", "DicomWeb", "Route", "find"]

_ASKER = "vna.asker"  # in the scope of a request: who makes it, once that is known

Endpoint = Callable[[Ask], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One resource: path below the service, name for metrics, and what can be done with it."""

    path: str
    name: str
    methods: Mapping[str, Endpoint]


_STUDY = "studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_LEVELS = (_STUDY, _SERIES, _INSTANCE)
_VISIBLE = (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")

ROUTES: tuple[Route, ...] = (
    Route("studies", "studies", {"GET": qido.studies, "POST": stow.store}),
    Route("series", "series", {"GET": qido.series}),
    Route("instances", "instances", {"GET": qido.instances}),
    Route(
        _STUDY,
        "study",
        {"GET": wado.instances, "POST": stow.store, "DELETE": deletion.delete},
    ),
    Route(f"{_STUDY}/metadata", "metadata", {"GET": wado.metadata}),
    Route(f"{_STUDY}/series", "series", {"GET": qido.series}),
    Route(f"{_STUDY}/instances", "instances", {"GET": qido.instances}),
    Route(_SERIES, "one-series", {"GET": wado.instances, "DELETE": deletion.delete}),
    Route(f"{_SERIES}/metadata", "metadata", {"GET": wado.metadata}),
    Route(f"{_SERIES}/instances", "instances", {"GET": qido.instances}),
    Route(_INSTANCE, "instance", {"GET": wado.instances, "DELETE": deletion.delete}),
    Route(f"{_INSTANCE}/metadata", "metadata", {"GET": wado.metadata}),
    Route(f"{_INSTANCE}/frames/{{frames}}", "frames", {"GET": wado.frames}),
    Route(f"{_INSTANCE}/bulkdata/{{path}}", "bulkdata", {"GET": wado.one_value}),
    *(Route(f"{level}/bulkdata", "all-bulkdata", {"GET": wado.bulkdata}) for level in _LEVELS),
    *(Route(f"{level}/pixeldata", "pixeldata", {"GET": wado.pixeldata}) for level in _LEVELS),
    *(Route(f"{of}/rendered", "rendered", {"GET": rendered.rendered}) for of in _VISIBLE),
    *(Route(f"{of}/thumbnail", "thumbnail", {"GET": rendered.thumbnail}) for of in _VISIBLE),
    Route(
        "commitment-requests/{transaction}",
        "commitment",
        {"POST": commitment.request, "GET": commitment.result},
    ),
    Route("changefeed", "changefeed", {"GET": changes.changes}),
)


URI_ROUTE = Route("", "uri", {"GET": uri.retrieve})
"""The URI service has one resource, its root (PS3.18 9.1)."""

_SERVICE = Route("", "service", {})
TOLD = tuple(capabilities.Told(route.path, tuple(route.methods)) for route in ROUTES)
URI_TOLD = (capabilities.Told("", ("GET",), uri.PARAMETERS),)


@dataclass(slots=True)
class _Node:
    """A step of the paths: literal steps by name, and what a variable one is called."""

    route: Route | None = None
    steps: dict[str, _Node] = field(default_factory=dict)
    variable: str = ""


def _tree(routes: tuple[Route, ...]) -> _Node:
    top = _Node()
    for route in routes:
        node = top
        for step in route.path.split("/"):
            if step.startswith("{"):
                node.variable = step[1:-1]
            node = node.steps.setdefault("" if step.startswith("{") else step, _Node())
        node.route = route
    return top


_TOP = _tree(ROUTES)


def find(path: str) -> tuple[Route, dict[str, str]]:
    """Find the resource of a path below the service, and what its variables are.

    Raises `NotFound`.
    """
    node, names, _ = _walk(path)
    if node.route is None:
        raise NotFound
    return node.route, names


def template(path: str) -> str:
    """Find what a path below the service is an example of; empty for the service itself.

    Raises `NotFound`.
    """
    return _walk(path)[2] if path.strip("/") else ""


def _walk(path: str) -> tuple[_Node, dict[str, str], str]:
    node = _TOP
    names: dict[str, str] = {}
    steps = []
    # clients put a slash behind a root that ends with one; elsewhere an empty step is a lost UID
    for step in path.lstrip("/").removesuffix("/").split("/"):
        below = node.steps.get(step)
        steps.append(step)
        if below is None or not step:
            below = node.steps.get("")
            if below is None or not step:
                raise NotFound
            names[node.variable] = unquote(step) if "%" in step else step
            steps[-1] = f"{{{node.variable}}}"
        node = below
    return node, names, "/".join(steps)


class DicomWeb:
    """The DICOMweb service as an ASGI application."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        begun = time.perf_counter()
        name = "unknown"
        names: dict[str, str] = {}
        try:
            if scope["method"] == "OPTIONS":
                name = "capabilities"
                reply = await self._options(scope, receive)
            else:
                route, names = self._find(scope)
                name = route.name
                reply = await self._reply(route, names, scope, receive)
        except ClientGone:
            return
        except Exception as exc:  # the table knows them all, and what is our fault is logged
            status, fields, content = problems.answer(exc, name)
            reply = Reply(status=status, media="application/json", headers=fields, body=(content,))
        settings = self._counter.engines.settings
        if more := [*cors.fields_of(scope, settings), *self._keeping(scope)]:
            reply = replace(reply, headers=[*reply.headers, *more])
        await self._send(reply, scope, receive, send, names=names, name=name)
        seconds = time.perf_counter() - begun
        telemetry.HTTP_SECONDS.labels(name, str(reply.status)).observe(seconds)
        level = logging.INFO if reply.status >= 400 or scope["method"] == "POST" else logging.DEBUG
        if log.isEnabledFor(level):
            about = {"resource": name, "method": scope["method"], "status": reply.status}
            log.log(level, "answered", extra={**about, "ms": round(seconds * 1000, 2)})

    def _keeping(self, scope: Scope) -> problems.Headers:
        """Say who may keep an answer: a program, but no browser somebody is signed in with."""
        return [problems.NOT_KEPT] if is_by_cookie(scope) else []

    async def _send(
        self,
        reply: Reply,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        names: dict[str, str],
        name: str,
    ) -> None:
        """Send the reply; one that takes its time as long as it may be had."""
        sending = partial(
            send_reply, reply, scope, receive, send, threads=self._counter.threads, resource=name
        )
        asker = scope.get(_ASKER)
        if reply.rest is None or asker is None:
            await sending()
            return
        await self._counter.standing.sent(scope, asker, _studies(names), sending)

    def _find(self, scope: Scope) -> tuple[Route, dict[str, str]]:
        if scope.get("root_path", "").endswith(URI_ROOT):
            return URI_ROUTE, {}
        return find(below(scope))

    async def _options(self, scope: Scope, receive: Receive) -> Reply:
        """Tell what can be done here: a browser in its preflight, all others as capabilities."""
        settings = self._counter.engines.settings
        is_uri = scope.get("root_path", "").endswith(URI_ROOT)
        told = "" if is_uri else template(below(scope))
        found = [URI_ROUTE] if is_uri else [route for route in ROUTES if route.path == told]
        methods = _allowed(found[0] if found else _SERVICE)
        if cors.is_preflight(scope):
            return cors.preflight(scope, settings, methods)
        principal = await self._counter.identity.principal(scope)
        ask = Ask(scope, receive, counter=self._counter, principal=principal, names={})
        form = wado.accepted(ask, Resource.CAPABILITIES).best
        routes = URI_TOLD if is_uri else TOLD
        described = capabilities.describe(ask.root(), routes, told)
        written = capabilities.wadl if form.media == WADL else capabilities.json
        content = written(described)
        state = caching.State([content.decode()], is_strong=True)
        if caching.is_fresh(ask, state):
            return caching.not_modified(state)
        fields = [*caching.headers(state), (b"allow", methods.encode("ascii"))]
        return Reply(media=form.media, headers=fields, body=(content,))

    async def _reply(
        self, route: Route, names: dict[str, str], scope: Scope, receive: Receive
    ) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = route.methods.get(method)
        if endpoint is None:
            return _not_allowed(route)
        principal = await self._counter.identity.principal(scope)
        scope[_ASKER] = principal
        ask = Ask(scope, receive, counter=self._counter, principal=principal, names=names)
        coding = ask.header(b"content-encoding")
        if coding is not None and coding.strip().lower() != "identity":
            raise UnsupportedMedia("A request must not have a Content-Encoding.")
        try:
            return await (self._taken(endpoint, ask) if method == "POST" else endpoint(ask))
        except NotFound as exc:
            found = await deletion.explained(ask, exc)
            if found is exc:
                raise
            raise found from exc

    async def _taken(self, endpoint: Endpoint, ask: Ask) -> Reply:
        """Answer a request with a body, which is taken as long as it may be sent."""
        standing = self._counter.standing
        stands = standing.of_request(ask.scope, ask.principal)
        way = ask.way_in()
        with standing.taking(stands, ask.principal, ask.receive, past=way) as receive:
            ask.receive = receive
            return await endpoint(ask)


def _studies(names: dict[str, str]) -> list[UID]:
    try:
        return [uid(names["study"])]
    except (KeyError, InvalidUID):
        return []


def _allowed(route: Route) -> str:
    methods = [*route.methods, *(("HEAD",) if "GET" in route.methods else ()), "OPTIONS"]
    return ", ".join(methods)


def _not_allowed(route: Route) -> Reply:
    allowed = _allowed(route)
    content = problems.body(405, "MethodNotAllowed", f"This resource knows {allowed}.")
    return Reply(
        status=405,
        media="application/json",
        headers=[(b"allow", allowed.encode("ascii"))],
        body=(content,),
    )
