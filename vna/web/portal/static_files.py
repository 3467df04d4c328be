"""Style sheets, scripts and the icon: anybody's, and the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
FILES = {
    "portal.css": "text/css",
    "staff.css": "text/css",
    "own.css": "text/css",
    "icon.svg": "image/svg+xml",
    "once.js": "text/javascript",
    "idle.js": "text/javascript",
    "staff.js": "text/javascript",
    "sign-in.js": "text/javascript",
    "imports.css": "text/css",
    "imports.js": "text/javascript",
    "guest.js": "text/javascript",
    "kiosk.js": "text/javascript",
    "light.css": "text/css",
    "light.js": "text/javascript",
    "light-geometry.js": "text/javascript",
}
_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def static_routes(names: Iterable[str] = tuple(FILES)) -> list[Route]:
    """Return the routes of these files."""
    return [_route(name) for name in names]


def _route(name: str) -> Route:
    async def file(_request: Request) -> Response:
        return FileResponse(_STATIC / name, headers=_HEADERS, media_type=FILES[name])

    return Route(f"/static/{name}", file)
