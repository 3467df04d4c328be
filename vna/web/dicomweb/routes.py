"""The resources of DICOMweb as one table, and the application that serves them (PS3.18 10.1, 10.3).

A plain ASGI application: a request for one frame takes no detour through middleware.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from vna import telemetry
from vna.errors import NotFound, UnsupportedMedia
from vna.web import problems
from vna.web.dicomweb import changes, commitment, deletion, qido, stow, wado
from vna.web.exchange import Ask, ClientGone, Counter, Reply, below
from vna.web.sending import send_reply

log = logging.getLogger(__name__)

ROOT = "/dicom-web"

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
    Route(f"{_INSTANCE}/bulkdata/{{path}}", "bulkdata", {"GET": wado.bulkdata}),
    Route(
        "commitment-requests/{transaction}",
        "commitment",
        {"POST": commitment.request, "GET": commitment.result},
    ),
    Route("changefeed", "changefeed", {"GET": changes.changes}),
)


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
    node = _TOP
    names: dict[str, str] = {}
    for step in path.removeprefix("/").removesuffix("/").split("/"):
        below = node.steps.get(step)
        if below is None or not step:
            below = node.steps.get("")
            if below is None or not step:
                raise NotFound
            names[node.variable] = unquote(step) if "%" in step else step
        node = below
    if node.route is None:
        raise NotFound
    return node.route, names


class DicomWeb:
    """The DICOMweb service as an ASGI application."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        begun = time.perf_counter()
        name = "unknown"
        try:
            route, names = find(below(scope))
            name = route.name
            reply = await self._reply(route, names, scope, receive)
        except ClientGone:
            return
        except Exception as exc:  # the table knows them all, and what is our fault is logged
            status, fields, content = problems.answer(exc, name)
            reply = Reply(status=status, media="application/json", headers=fields, body=(content,))
        await send_reply(reply, scope, receive, send, threads=self._counter.threads, resource=name)
        seconds = time.perf_counter() - begun
        telemetry.HTTP_SECONDS.labels(name, str(reply.status)).observe(seconds)
        level = logging.INFO if reply.status >= 400 or scope["method"] == "POST" else logging.DEBUG
        if log.isEnabledFor(level):
            about = {"resource": name, "method": scope["method"], "status": reply.status}
            log.log(level, "answered", extra={**about, "ms": round(seconds * 1000, 2)})

    async def _reply(
        self, route: Route, names: dict[str, str], scope: Scope, receive: Receive
    ) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = route.methods.get(method)
        if endpoint is None:
            return _not_allowed(route)
        principal = await self._counter.identity.principal(scope)
        ask = Ask(scope, receive, counter=self._counter, principal=principal, names=names)
        coding = ask.header(b"content-encoding")
        if coding is not None and coding.strip().lower() != "identity":
            raise UnsupportedMedia("A request must not have a Content-Encoding.")
        try:
            return await endpoint(ask)
        except NotFound as exc:
            found = await deletion.explained(ask, exc)
            if found is exc:
                raise
            raise found from exc


def _not_allowed(route: Route) -> Reply:
    allowed = ", ".join([*route.methods, *(("HEAD",) if "GET" in route.methods else ())])
    content = problems.body(405, "MethodNotAllowed", f"This resource knows {allowed}.")
    return Reply(
        status=405,
        media="application/json",
        headers=[(b"allow", allowed.encode("ascii"))],
        body=(content,),
    )
