"""Pages from templates, with the header fields every page of ours carries."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from starlette.responses import Response

from vna.texts import ENGLISH, Texts, marked
from vna.web.portal.attributes import person, straight

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self' 'nonce-{nonce}'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    # no text becomes markup or script, not even by a mistake in a script of ours (Trusted Types)
    "require-trusted-types-for 'script'; trusted-types 'none'{also}"
)
_FRAMED = "; frame-src 'self'; media-src 'self'"
_FRAMING = frozenset({"light.html"})  # pages that show documents and video

WAYS = (  # what staff.html calls them, where it names no more than a word
    marked("Studies"),
    marked("Shares"),
    marked("Consents"),
    marked("Discs"),
    marked("Imports"),
    marked("Requests"),
    marked("Patients"),
    marked("Rules"),
    marked("Emergency"),
    marked("Reviews"),
)

REFUSALS = (  # what `vna.errors` says where nothing more is known
    marked("The archive could not do this."),
    marked("The request is not well formed."),
    marked("A UID must be 1 to 64 characters of digits and dots."),
    marked("Sign in to go on."),
    marked("Show a second factor again to go on."),
    marked("This is not permitted."),
    marked("There were too many tries; wait a quarter of an hour."),
    marked("There is nothing here under that name."),
    marked("What was here has been deleted."),
    marked("The request contradicts what the archive holds."),
    marked("A limit of the archive was passed."),
    marked("The archive cannot do this now; try again later."),
    marked("The index database is busy with the same records; try again."),
    marked("Whether the change was made is not known; ask before trying again."),
    marked("Stored bytes do not verify; they are not served."),
)

# the first sign found counts: Edge calls itself Chrome, and Chrome Safari
_BROWSERS = (
    ("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari")
)  # fmt: skip
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_ANY_BROWSER = marked("a browser")
_BROWSER_ON = marked("%(browser)s on %(system)s")


class Pages:
    """Renders templates. One a process; `always` is known to every template."""

    def __init__(self, always: Mapping[str, Any]) -> None:  # what templates show
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        # values put into a text are escaped like any other (new style); the text itself is ours
        self._templates.install_gettext_callables(  # type: ignore[attr-defined]  # the extension's
            _gettext, _ngettext, newstyle=True
        )
        self._templates.globals.update(always)
        self._templates.filters["browser"] = browser
        self._templates.filters["here"] = here
        self._templates.filters["person"] = person
        self._templates.filters["straight"] = straight

    def page(
        self, name: str, *, status: int = 200, language: str = ENGLISH, **shown: Any
    ) -> Response:
        """Render one page; what it shows may be a patient's, so nobody keeps a copy.

        Its template translates by `{% trans %}` and `_`, and writes dates by `texts`.
        """
        nonce = secrets.token_urlsafe(16)
        template = self._templates.get_template(name)
        text = template.render(nonce=nonce, texts=Texts(language), **shown)
        also = _FRAMED if name in _FRAMING else ""
        return Response(text, status, headers(nonce, also=also), "text/html")


@pass_context
def _gettext(context: Context, text: str) -> str:
    return str(context["texts"].gettext(text))


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    return str(context["texts"].ngettext(one, many, count))


@pass_context
def here(context: Context, when: dt.datetime) -> dt.datetime:
    """Take a moment as it is where the archive is, so that its day is the one that was meant."""
    return when.astimezone(ZoneInfo(context["timezone"]))


@pass_context
def browser(context: Context, agent: str) -> str:
    """Name a browser and its system so that its owner knows it; what it says proves nothing."""
    say = context["texts"].gettext
    name = next((shown for sign, shown in _BROWSERS if sign in agent), say(_ANY_BROWSER))
    system = next((shown for sign, shown in _SYSTEMS if sign in agent), "")
    return say(_BROWSER_ON) % {"browser": name, "system": system} if system else name


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
