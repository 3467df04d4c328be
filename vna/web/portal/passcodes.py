"""A link and the passcode told beside it: read out of a form, and tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from starlette.responses import Response

from vna.errors import InvalidRequest, NotAuthenticated, TooMany, VNAError
from vna.web import problems
from vna.web.portal.guest import Call

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_PASSCODE = 64


def secret_of(call: Call, form: Mapping[str, str]) -> str:
    """Take the link's secret out of a form. Raises `InvalidRequest`."""
    secret = form.get("link", "").strip().rpartition("#")[2]
    if not _SECRET.fullmatch(secret):
        _ = call.texts().gettext
        text = _("That does not open. Copy the whole link from your message, and paste it here.")
        raise InvalidRequest(text)
    return secret


async def entered(
    call: Call,
    opened: Callable[[str, str], str],
    *,
    landing: str,
    told: Callable[[VNAError], str],
    to: str,
) -> Response:
    """Lead who has both to a page, with the session `opened` gives; back to the landing if not."""
    form = await call.form()
    passcode = form.get("passcode", "")[:_MOST_PASSCODE]
    try:
        secret = secret_of(call, form)
        session = await call.hash(lambda: opened(secret, passcode))
    except NotAuthenticated:
        _ = call.texts().gettext
        text = _(
            "That does not open. Compare the passcode. After ten wrong ones, and when its time is "
            "over, a link is closed: ask who sent it for a new one."
        )
        return call.show(landing, status=401, trouble=text)
    except (InvalidRequest, TooMany) as exc:
        return call.show(landing, status=problems.status_of(exc), trouble=told(exc))
    return call.enter(to, session)
