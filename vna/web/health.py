"""/livez, /readyz and /metrics: is the process alive, may traffic come, and what has it done."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action
from vna.web.exchange import Counter

Check = Callable[[], None]
"""Returns when the archive can work; raises `Unavailable`, saying why, when not. May block."""


def routes(check: Check, counter: Counter) -> list[Route]:
    """Return the routes of health. Probes tell nothing and ask nobody; metrics tell who may see."""
    threads = counter.threads

    async def metrics(request: Request) -> Response:
        require(await counter.identity.principal(request.scope), Action.MONITOR)
        return Response(await threads.hops.call(_metrics), media_type=CONTENT_TYPE_LATEST)

    return [*probes(check, counter), Route("/metrics", metrics)]


def probes(check: Check, counter: Counter) -> list[Route]:
    """Return the routes of probes alone."""
    threads = counter.threads

    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        await threads.hops.call(check)
        return JSONResponse({"status": "ok"})

    return [Route("/livez", livez), Route("/readyz", readyz)]


def _metrics() -> bytes:
    """Write the metrics: of all processes of the archive where they share them."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client's own
    return generate_latest(registry)
