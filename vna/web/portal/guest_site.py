"""The pages of the process that serves guests, and what staff's process says in their place.

No page of staff or patients is there: who asks for one is told that there is nothing.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vna.web.exchange import Counter
from vna.web.portal import guest_pages, guest_viewer
from vna.web.portal.pages import Pages
from vna.web.portal.static_files import static_routes
from vna.web.portal.viewer import ROOT as VIEWER
from vna.web.portal.viewer import Viewer

_FILES = (
    *("portal.css", "icon.svg", "once.js", "idle.js", "guest.js"),
    *("light.css", "light.js", "light-geometry.js"),
)
_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def routes(counter: Counter) -> list[Route]:
    """Return the routes of a site for guests alone."""
    settings = counter.engines.settings
    pages = Pages({"dev": settings.dev, "ae_title": settings.dicom.ae_title})
    viewer = Viewer(settings.data / "viewer")

    async def start(_request: Request) -> Response:
        return RedirectResponse("/s", 303, _KEPT)

    async def nothing(_request: Request) -> Response:
        return Response(status_code=404, headers=_KEPT)

    return [
        Route("/", start),
        *static_routes(_FILES),
        *guest_pages.routes(counter, pages, lambda: bool(viewer.files())),
        *guest_viewer.routes(viewer, counter, pages),
        Route(VIEWER + "/{path:path}", guest_viewer.for_guests(viewer, counter)(nothing)),
    ]


def elsewhere(counter: Counter) -> list[Route]:
    """Return the routes that lead guests to their own site; the fragment comes along by itself."""
    origin = counter.engines.sharing.origin()

    async def there(request: Request) -> Response:
        path = request.url.path
        if path.startswith("/s/c/"):  # what stands there is a credential of the other site
            return Response(status_code=404, headers=_KEPT)
        return RedirectResponse(f"{origin}{path}", 307, _KEPT)

    return [Route("/s", there), Route("/s/{path:path}", there)]
