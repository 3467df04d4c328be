"""What a browser is shown at an address nobody has, where only forms go, or when we fail.

It is a page, and a way on.

Programs are told the same in JSON (`vna.web.problems`).
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from vna.config import Settings
from vna.texts import Texts, chosen
from vna.web.portal.pages import Pages

Unknown = Callable[[Request, int], Response]
Failure = Callable[[Request], Response]


def is_for_people(request: Request) -> bool:
    """Whether somebody looks: a browser names HTML when it opens an address, programs do not."""
    return request.method == "GET" and wants_a_page(request)


def wants_a_page(request: Request) -> bool:
    """Whether the answer is shown to somebody, a form's too."""
    return "text/html" in request.headers.get("accept", "")


def unknown(settings: Settings) -> Unknown:
    """Make what shows the page, with its status."""
    pages = Pages({"dev": settings.dev, "ae_title": settings.dicom.ae_title})

    def shown(request: Request, status: int) -> Response:
        language = chosen(request.headers.get("accept-language"))
        return pages.page("unknown.html", status=status, language=language)

    return shown


def failed(settings: Settings) -> Failure:
    """Make what says that the fault is ours."""
    pages = Pages({"dev": settings.dev, "ae_title": settings.dicom.ae_title})

    def shown(request: Request) -> Response:
        language = chosen(request.headers.get("accept-language"))
        trouble = Texts(language).gettext("The archive could not do this.")
        return pages.page("trouble.html", status=500, language=language, trouble=trouble)

    return shown
