"""Pages from templates, with the header fields every page of ours carries."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import Response

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self' 'nonce-{nonce}'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'{also}"
)
_FRAMED = "; frame-src 'self'; media-src 'self'"
_FRAMING = frozenset({"light.html"})  # pages that show documents and video

# the first sign found counts: Edge calls itself Chrome, and Chrome Safari
_BROWSERS = (
    ("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari")
)  # fmt: skip
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


class Pages:
    """Renders templates. One a process; `always` is known to every template."""

    def __init__(self, always: Mapping[str, Any]) -> None:  # what templates show
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update({"lang": "en", "_": str, **always})
        self._templates.filters["browser"] = browser

    def page(self, name: str, *, status: int = 200, **shown: Any) -> Response:
        """Render one page; what it shows may be a patient's, so nobody keeps a copy."""
        nonce = secrets.token_urlsafe(16)
        text = self._templates.get_template(name).render(nonce=nonce, **shown)
        return Response(
            text, status, headers(nonce, also=_FRAMED if name in _FRAMING else ""), "text/html"
        )


def browser(agent: str) -> str:
    """Name a browser and its system so that its owner knows it; what it says proves nothing."""
    name = next((shown for sign, shown in _BROWSERS if sign in agent), "a browser")
    system = next((shown for sign, shown in _SYSTEMS if sign in agent), "")
    return f"{name} on {system}" if system else name


def headers(nonce: str, *, also: str = "") -> dict[str, str]:
    """Give the header fields of a page; `also` is what its policy allows beyond the usual."""
    return {
        "Content-Security-Policy": _POLICY.format(nonce=nonce, also=also),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "X-Robots-Tag": "noindex",
    }
