"""What a browser is shown at an address nobody has, or where only forms go: a page and a way on.

Programs are told the same in JSON (`vna.web.problems`).
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from vna.config import Settings
from vna.texts import chosen
from vna.web.portal.pages import Pages

Unknown = Callable[[Request, int], Response]


def is_for_people(request: Request) -> bool:
    """Whether somebody looks: a browser names HTML when it opens an address, programs do not."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def unknown(settings: Settings) -> Unknown:
    """Make what shows the page, with its status."""
    pages = Pages({"dev": settings.dev, "ae_title": settings.dicom.ae_title})

    def shown(request: Request, status: int) -> Response:
        language = chosen(request.headers.get("accept-language"))
        return pages.page("unknown.html", status=status, language=language)

    return shown
