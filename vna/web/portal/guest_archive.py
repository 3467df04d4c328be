"""/s/archive: what was shared, sent on to a hospital's archive its recipient chooses.

Only archives the administrator offers are shown, and no other can be named. Choosing shows whose
images go where; a second press sends them. What was asked for stands there with how far it is.
"""

from __future__ import annotations

from starlette.responses import Response

from vna.errors import Conflict, NotFound, TooLarge
from vna.sharing import sendings
from vna.sharing.sendings import Destination, Sending
from vna.texts import Texts, marked
from vna.web import problems
from vna.web.portal.guest import Call
from vna.web.portal.guest_studies import Card, cards, person_of

STATES = {  # of a job: what it is called, and how it is shown
    "waiting": (marked("Waiting"), ""),
    "running": (marked("On its way"), ""),
    "done": (marked("Arrived"), "is-good"),
    "failed": (marked("Did not arrive"), "is-bad"),
    "cancelled": (marked("Cancelled"), ""),
}
_LATER = marked("The archive cannot be reached at the moment. It is tried again by itself.")
_NOT_TAKEN = marked("The archive did not take all of it. Ask for help, and say the number below.")
_KNOWN = (
    sendings.ENDED,
    sendings.EXPIRED,
    sendings.HELD,
    sendings.NOT_OFFERED,
    sendings.NOT_SHARED,
)


async def page(call: Call) -> Response:
    """Show what can be chosen, and what was sent."""
    return await _shown(call)


async def send(call: Call) -> Response:
    """Take what was chosen: first to look at it once more, then to send it."""
    form = await call.form()
    key = form.get("to", "")
    offered, _sent = await _look(call)
    chosen = next((one for one in offered if one.key == key), None)
    if chosen is None:
        _ = call.texts().gettext
        return await _shown(call, _("Choose an archive."), 400)
    if form.get("sure") != "yes":
        return call.show(
            "guest_archive_check.html",
            to=chosen,
            person=person_of(call),
            studies=await _studies(call),
            here="archive",
        )
    engine, session = call.sharing.sendings, call.session
    try:
        await call.hop(lambda: engine.ask(session, chosen.key))
    except (Conflict, TooLarge) as exc:
        return await _shown(call, call.texts().said(exc), problems.status_of(exc))
    return call.go("/s/archive")


async def _shown(call: Call, trouble: str | None = None, status: int = 200) -> Response:
    offered, sent = await _look(call)
    if not offered and not sent:
        raise NotFound
    return call.show(
        "guest_archive.html",
        status=status,
        trouble=trouble,
        offered=offered,
        sent=sent,
        states=STATES,
        why={one.sending_id: _cause(one, call.texts()) for one in sent},
        here="archive",
    )


def _cause(one: Sending, texts: Texts) -> str:
    """Say why it is not there, to somebody who knows nothing of queues."""
    state, cause = one.state.value, one.cause or ""
    if state not in ("waiting", "failed") or not cause:
        return ""
    known = next((text for text in _KNOWN if cause.endswith(text)), None)
    return texts.gettext(known or (_LATER if state == "waiting" else _NOT_TAKEN))


async def _look(call: Call) -> tuple[list[Destination], list[Sending]]:
    engine, session = call.sharing.sendings, call.session
    return await call.hop(lambda: (engine.offered(session), engine.listed(session)))


async def _studies(call: Call) -> list[Card]:
    engines, who = call.counter.engines, call.inside.principal
    return await call.hop(lambda: cards(engines, who, call.inside.share.studies))
