"""/share/ID/sheet.pdf, passcode.pdf: what is handed over, printed from the page that shows it.

The archive holds no secret it could print later: the page that shows one sends it back for this.
"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action
from vna.delivery.printout import Sheet, link_sheet, passcode_sheet
from vna.errors import InvalidRequest, NotFound
from vna.sharing.values import GrantSummary, Protection
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import number_in
from vna.web.portal.pages import Pages

_SECRET = re.compile(r"[\w-]{16,64}", re.ASCII)
_CODE = re.compile(r"[0-9A-Z]{2,6}(-[0-9A-Z]{2,6}){0,5}", re.ASCII)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of what is printed."""
    return [
        Route(f"/share/{{share:int}}/{name}", guarded(counter, pages, page), methods=["POST"])
        for name, page in (("sheet.pdf", _sheet), ("passcode.pdf", _passcode))
    ]


async def _sheet(visit: Visit) -> Response:
    return await link_pdf(visit, *await _asked(visit))


async def _passcode(visit: Visit) -> Response:
    return await passcode_pdf(visit, *await _asked(visit))


async def link_pdf(
    visit: Visit, form: dict[str, str], number: str, grant: GrantSummary
) -> Response:
    """Print a link. Raises `InvalidRequest`."""
    secret, code = form.get("secret", ""), form.get("code", "")
    if not _SECRET.fullmatch(secret) or (code and not _CODE.fullmatch(code)):
        raise InvalidRequest(marked("This link is none of ours: make a new one."))
    sharing = visit.counter.engines.sharing
    site = visit.counter.engines.settings.site
    sheet = Sheet(
        link=sharing.link(secret),
        typed_at=sharing.link("").rstrip("#"),
        code=code or None,
        number=number,
        until=grant.until.astimezone(ZoneInfo(site.timezone)).date(),
        way=grant.by or "",
        has_passcode=Protection.PASSCODE in grant.proof,
        language=grant.language,
    )
    return _pdf(await visit.hop(lambda: link_sheet(sheet, site)), f"{number}-link")


async def passcode_pdf(
    visit: Visit, form: dict[str, str], number: str, grant: GrantSummary
) -> Response:
    """Print a passcode. Raises `InvalidRequest`."""
    code = form.get("passcode", "")
    if not _CODE.fullmatch(code):
        raise InvalidRequest(marked("This passcode is none of ours: make a new one."))
    site = visit.counter.engines.settings.site
    data = await visit.hop(
        lambda: passcode_sheet(code, number=number, language=grant.language, site=site)
    )
    return _pdf(data, f"{number}-passcode")


async def _asked(visit: Visit) -> tuple[dict[str, str], str, GrantSummary]:
    """Read the form; give it, the number of the share, and the grant it names."""
    who = await visit.who(Action.SHARE)
    form = await visit.form()
    share_id = number_in(visit.request, "share")
    detail = await visit.hop(lambda: visit.counter.engines.sharing.detail(who, share_id))
    for grant in detail.grants:
        if str(grant.grant_id) == form.get("grant", ""):
            return form, detail.summary.number, grant
    raise NotFound("There is no such grant of this share.")


def _pdf(data: bytes, name: str) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}.pdf"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, 200, headers, "application/pdf")
