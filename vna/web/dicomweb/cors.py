"""Whether a page from elsewhere may call this service from a browser (the Fetch standard, CORS).

Nobody may unless `http.cors_origins` names its origin. A preflight is an OPTIONS request with
Origin and Access-Control-Request-Method; any other OPTIONS asks for capabilities (PS3.18 8.9).
"""

from __future__ import annotations

from starlette.types import Scope

from vna.config import Settings
from vna.web import problems
from vna.web.exchange import Reply
from vna.web.problems import Headers

_EXPOSED = (
    *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Location"),
    *("Content-Range", "ETag", "Last-Modified", "Location", "Retry-After", "Warning"),
)
_ASKED_MOST = 1024  # characters of header names a page may want to send
_AGE_S = 7200


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks beforehand, for a page from elsewhere."""
    return (
        scope["method"] == "OPTIONS"
        and _header(scope, b"origin") is not None
        and _header(scope, b"access-control-request-method") is not None
    )


def preflight(scope: Scope, settings: Settings, methods: str) -> Reply:
    """Answer a preflight. Nothing of the archive is told, so nobody needs to be known."""
    if not _is_allowed(scope, settings):
        message = "Pages of this origin may not call this service; http.cors_origins names those."
        content = problems.body(403, "OriginNotAllowed", message)
        return Reply(status=403, media="application/json", body=(content,))
    fields: Headers = [(b"access-control-allow-methods", methods.encode("ascii"))]
    wanted = _header(scope, b"access-control-request-headers")
    if wanted and len(wanted) <= _ASKED_MOST:
        fields.append((b"access-control-allow-headers", wanted))
    fields.append((b"access-control-max-age", b"%d" % _AGE_S))
    return Reply(status=204, headers=fields)


def fields_of(scope: Scope, settings: Settings) -> Headers:
    """Return the header fields that let a page from elsewhere read an answer, if it may."""
    if not settings.http.cors_origins:
        return []
    if not _is_allowed(scope, settings):
        return [(b"vary", b"Origin")]
    origin = _header(scope, b"origin") or b""
    return [
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", ", ".join(_EXPOSED).encode("ascii")),
    ]


def _is_allowed(scope: Scope, settings: Settings) -> bool:
    origin = _header(scope, b"origin")
    if origin is None:
        return False
    allowed = [one.strip() for one in settings.http.cors_origins.split(",") if one.strip()]
    return "*" in allowed or origin.decode("latin-1") in allowed


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
