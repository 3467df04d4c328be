"""/view/UID: the light viewer. A page that works without scripts, and a list for the script.

The same pages stand below a share for who was sent a link: what differs is who asks, and under
which DICOMweb base the pictures are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Principal
from vna.dicom.refs import InstanceRef, SeriesRef, uid
from vna.errors import InvalidRequest
from vna.web.exchange import ROOT, Counter
from vna.web.portal import viewing, viewing_geometry
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages
from vna.web.portal.viewer import ROOT as ADVANCED
from vna.web.portal.viewing_geometry import Geometry

_STUDY, _MOST_ORIGIN = "study", 8192  # the page of a study, as `from` says it
_FIRST = 512  # pixels of a side of the picture that comes with the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Who looks, and where: under which base DICOMweb is, and which page leads back."""

    who: Principal
    base: str
    back: str
    here: str  # the page's own address, without study
    origin: str = ""  # where the way back leads, as links within the viewer carry it
    advanced: str = ""  # where the advanced viewer is, if there is one
    tells_patient_id: bool = False  # to staff, who tell namesakes apart by it


def routes(counter: Counter, pages: Pages, has_viewer: Callable[[], bool]) -> list[Route]:
    """Return the routes of the light viewer for staff."""

    async def way(visit: Visit) -> Way:
        who = await visit.counter.identity.principal(visit.request.scope)
        origin, back = _back(visit.request)
        return Way(
            who=who,
            base=ROOT,
            back=back,
            here="/view",
            origin=origin,
            advanced=ADVANCED if has_viewer() else "",
            tells_patient_id=True,
        )

    async def page(visit: Visit) -> Response:
        return visit.show("light.html", **await shown(visit, await way(visit)))

    async def reel(visit: Visit) -> Response:
        return await listed(visit, await way(visit))

    async def geometry(visit: Visit) -> Response:
        return await measured(visit, await way(visit))

    return [
        Route("/view/{study}", guarded(counter, pages, page)),
        Route("/view/{study}/{series}", guarded(counter, pages, reel)),
        Route("/view/{study}/{series}/geometry", guarded(counter, pages, geometry)),
    ]


def _back(request: Request) -> tuple[str, str]:
    """Read where somebody came from, to say it on, and the page that is: that search, that study.

    What was searched for is sealed; of a list that was not searched its page is kept.
    """
    origin = request.query_params.get("from", "")[:_MOST_ORIGIN]
    if origin == _STUDY:
        return origin, f"/study/{uid(request.path_params['study'])}"
    asked = {name: value for name, value in parse_qsl(origin) if name in ("q", "offset")}
    listed = urlencode(asked)
    return listed, f"/?{listed}" if listed else "/"


async def shown(visit: Visit, way: Way) -> dict[str, Any]:  # what a template shows
    """Give what the template shows. Raises `NotFound`, `InvalidRequest`."""
    query = visit.request.query_params
    study_uid = uid(visit.request.path_params["study"])
    place = place_of(query.get("at", "1"))

    def look() -> dict[str, Any]:
        engines = visit.counter.engines
        study = viewing.study(engines, way.who, study_uid)
        series = study.one(query.get("series", ""))
        ref = SeriesRef(study_uid, uid(series.uid))
        reel = viewing.reel(engines, way.who, ref)
        item, frame = reel.at(place)
        geometry = Geometry()
        if item.kind == "image":
            one = InstanceRef(ref.study, ref.series, uid(item.uid))
            geometry = viewing_geometry.shown(engines, way.who, one, frame)
        return {
            "study": study,
            "series": series,
            "reel": reel,
            "geometry": geometry,
            "item": item,
            "frame": frame,
            "side": side_of(reel),
        }

    return {**await visit.hop(look), "place": place, "way": way}


async def listed(visit: Visit, way: Way) -> Response:
    """Answer the script with one series."""
    ref = series_of(visit.request)
    reel = await visit.hop(lambda: viewing.reel(visit.counter.engines, way.who, ref))
    return told(reel.told())


async def measured(visit: Visit, way: Way) -> Response:
    """Answer the script with what lies where in the frames of one series."""
    ref = series_of(visit.request)
    engines = visit.counter.engines
    return told(await visit.hop(lambda: viewing_geometry.listed(engines, way.who, ref)))


def series_of(request: Request) -> SeriesRef:
    """Read which series an address names. Raises `InvalidUID`."""
    names = request.path_params
    return SeriesRef(uid(names["study"]), uid(names["series"]))


def told(found: dict[str, Any]) -> Response:
    """Answer the script."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(found), 200, headers, "application/json")


def side_of(reel: viewing.Reel) -> int:
    """Say how large the picture is that comes with the page."""
    return min(_FIRST, max(reel.rows, reel.columns) or _FIRST)


def place_of(text: str) -> int:
    """Read a place in a series. Raises `InvalidRequest`."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 7 or not int(text):
        raise InvalidRequest("A place in a series is a whole number from 1 on.")
    return int(text)
