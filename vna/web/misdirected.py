"""Under --dev nobody is asked who they are: only who means this machine by its name is answered.

Whoever owns the name a page came from can let it lead to this machine meanwhile (DNS rebinding):
to a browser the archive is that page's own site then. It still says as the host what the name was.
"""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from vna.config import Settings
from vna.reachable import is_address
from vna.web import problems

_STATUS = 421  # RFC 9110 15.5.20
_HOST_MOST = 300  # more than a name and a port have; what is longer is nobody's


def only_here(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Refuse what is meant for a name that is not ours; an address leads nowhere else."""
    shared = urlsplit(settings.sharing.url).hostname or "localhost"
    known = functools.lru_cache(maxsize=64)(
        lambda written: _is_ours(_host(written), frozenset({"localhost", shared}))
    )
    message = "Under --dev this archive is called localhost, or by its address."
    content = problems.body(_STATUS, "MisdirectedRequest", message)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or known(_written(scope)):
            await app(scope, receive, send)
            return
        headers = problems.headers(_STATUS, content)
        await send({"type": "http.response.start", "status": _STATUS, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer


def _is_ours(host: str, ours: frozenset[str]) -> bool:
    # no browser leaves its host out (RFC 9112 3.2); .localhost is every machine's own (RFC 6761)
    return not host or host in ours or host.endswith(".localhost") or is_address(host)


def _written(scope: Scope) -> bytes:
    """Return the Host field; empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"host":
            return bytes(value[:_HOST_MOST])
    return b""


def _host(written: bytes) -> str:
    """Return the host a request was sent to, without its port."""
    text = written.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")
