"""/s/forward: who was given images gives them on, no more than they see and no longer."""

from __future__ import annotations

import datetime as dt
import math

from starlette.responses import Response

from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, TooMany
from vna.sharing.values import Channel, Forward, Protection, Recipient, channel
from vna.web import problems
from vna.web.identity import origin_of
from vna.web.portal.enrol import picture
from vna.web.portal.guest import Call, told
from vna.web.portal.guest_studies import cards

_PROOFS = {"sms": Protection.SMS, "passcode": Protection.PASSCODE}


async def forward(call: Call) -> Response:
    """Show the form, and do what it asks for."""
    if not call.inside.share.forward:
        raise NotFound
    if call.request.method != "POST":
        return await _form(call, {})
    asked = await call.form()
    engine, session = call.sharing, call.session
    try:
        wanted = _wanted(call, asked)
        offered = await call.hash(lambda: engine.forward(session, wanted))
    except (InvalidRequest, Conflict, TooMany) as exc:
        return await _form(call, asked, told(call, exc), problems.status_of(exc))
    link = f"{origin_of(call.request.scope)}/s#{offered.secret}" if offered.secret else ""
    return call.show(
        "guest_forward.html",
        offered=offered,
        link=link,
        picture=picture(link, _title(call)) if link else "",
        masked=wanted.to.masked() if wanted.to else "",
        here="forward",
    )


async def _form(
    call: Call, asked: dict[str, str], trouble: str | None = None, status: int = 200
) -> Response:
    engines, guest = call.counter.engines, call.inside
    studies = await call.hop(lambda: cards(engines, guest.principal, guest.share.studies))
    left = guest.share.until - dt.datetime.now(dt.UTC)
    return call.show(
        "guest_forward.html",
        status=status,
        offered=None,
        asked=asked,
        trouble=trouble,
        studies=studies,
        most_days=max(1, math.floor(left / dt.timedelta(days=1))),
        here="forward",
    )


def _wanted(call: Call, asked: dict[str, str]) -> Forward:
    """Read the form. Raises `InvalidRequest`."""
    share = call.inside.share
    proof = _PROOFS.get(asked.get("proof", ""))
    if proof is None:
        raise InvalidRequest(call.texts().gettext("Choose how it is protected."))
    chosen = [value for name, value in asked.items() if name.startswith("study")]
    if len(share.studies) > 1 and not chosen:
        raise InvalidRequest(call.texts().gettext("Choose at least one examination."))
    email = asked.get("email", "").strip()
    return Forward(
        studies=frozenset(StudyRef(uid(one)) for one in chosen),
        recipient=Recipient(
            name=asked.get("name", "").strip(), organisation=asked.get("organisation", "").strip()
        ),
        to=channel("email", email) if email else None,
        proof=frozenset({proof}),
        by=_phone(asked) if proof is Protection.SMS else None,
        until=_until(call, asked.get("days", "")),
        reports=share.reports,
        download=share.download and bool(asked.get("download")),
        forward=False,
        language=call.language(),
    )


def _phone(asked: dict[str, str]) -> Channel:
    return channel("sms", asked.get("phone", ""))


def _until(call: Call, days: str) -> dt.datetime:
    if not days.isascii() or not days.isdigit() or not 1 <= len(days) <= 4:
        raise InvalidRequest(call.texts().gettext("Say for how many days, as a number."))
    return min(call.inside.share.until, dt.datetime.now(dt.UTC) + dt.timedelta(days=int(days)))


def _title(call: Call) -> str:
    return call.texts().gettext("QR code of the link")
