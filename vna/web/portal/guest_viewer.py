"""/s/viewer: the advanced viewer over a share's own DICOMweb, which holds nothing else.

Its files are those of staff (viewer.py): they are anybody's, and named by absolute addresses. What
is its own here is the page and its configuration, made for one session.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vna.errors import NotFound
from vna.web.exchange import Counter
from vna.web.portal.guard import Endpoint
from vna.web.portal.guest import Call, Door, GuestPage, door, is_inside
from vna.web.portal.guest_studies import base_of
from vna.web.portal.pages import Pages
from vna.web.portal.viewer import ROOT as STAFF
from vna.web.portal.viewer import Viewer, answer, configuration, page_headers

ROOT = "/s/viewer"
_INDEX, _CONFIG = "index.html", "app-config.js"


def routes(viewer: Viewer, counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the viewer below a share."""

    async def config(call: Call) -> Response:
        _require_download(call)
        return configuration(await base_of(call), ROOT, lists_studies=False)

    async def index(call: Call) -> Response:
        _require_download(call)
        found = viewer.files().get(_INDEX)
        name = call.request.path_params["path"].rsplit("/", 1)[-1]
        if found is None or "." in name:
            raise NotFound
        text = await call.hop(lambda: Path(found.path).read_text(encoding="utf-8"))
        page = text.replace(f"{STAFF}/{_CONFIG}", f"{ROOT}/{_CONFIG}")
        return Response(page, 200, page_headers(found), "text/html")

    def at(path: str, page: GuestPage) -> Route:
        return Route(f"{ROOT}/{path}", door(counter, pages, page, Door.PROVEN))

    return [at(_CONFIG, config), at("{path:path}", index)]


def for_guests(viewer: Viewer, counter: Counter) -> Callable[[Endpoint], Endpoint]:
    """Let who came in by a link have the viewer's files, and nobody anything else of staff."""

    def shared(staff: Endpoint) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            name = request.path_params.get("path", "")
            found = viewer.files().get(name)
            if found is None or name == _INDEX or not await is_inside(counter, request):
                return await staff(request)
            return answer(request, found)

        return endpoint

    return shared


def _require_download(call: Call) -> None:
    """The viewer draws from the original frames: who may only look has the light one."""
    if not call.inside.share.download:
        raise NotFound
