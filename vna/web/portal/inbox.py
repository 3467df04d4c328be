"""/dev/inbox: the mails and short messages that `--dev` keeps instead of sending them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.errors import NotFound
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages

_ROOT = "/dev/inbox"
_MOST_DIGITS = 18


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the inbox; the caller leaves them out where it is not `--dev`."""
    return [
        Route(_ROOT, guarded(counter, pages, _all)),
        Route(f"{_ROOT}/{{number}}", guarded(counter, pages, _one)),
    ]


async def _all(visit: Visit) -> Response:
    kept = await visit.hop(visit.counter.engines.messages.inbox.all)
    return visit.show("inbox.html", kept=kept)


async def _one(visit: Visit) -> Response:
    number = visit.request.path_params["number"]
    if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        raise NotFound("There is no such message.")
    kept = await visit.hop(lambda: visit.counter.engines.messages.inbox.one(int(number)))
    return visit.show("inbox_one.html", kept=kept)
