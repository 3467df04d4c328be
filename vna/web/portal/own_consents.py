"""/my/consents: what a patient allowed and forbade, in the words of then; taken back here."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.carers import Relation
from vna.errors import NotFound, NotPermitted
from vna.sharing.consent_texts import ConsentText
from vna.sharing.consents import Recorded
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.numbers import number_of
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages

PURPOSES = {
    "treatment": marked("Giving images to others who treat you"),
    "patient-request": marked("Sending images to you, or to whom you name"),
    "third-party": marked("Giving images to others, an insurance for example"),
    "research": marked("Giving images to research"),
}
WAYS = {
    "kiosk": marked("on a tablet"),
    "paper": marked("on paper"),
    "portal": marked("on these pages"),
    "staff": marked("told to staff"),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a patient's consents."""

    return [
        mine(counter, pages, "/my/consents", _all),
        mine(counter, pages, "/my/consents/withdraw", _withdraw, "POST"),
    ]


async def _all(call: Mine) -> Response:
    _require_of_person(call)
    return await _shown(call, ())


async def _withdraw(call: Mine) -> Response:
    _require_of_person(call)
    who = call.principal
    form = await call.form()
    consent_id = number_of(form.get("consent", ""))
    if consent_id is None:
        raise NotFound("There is no such consent.")
    own = call.counter.engines.sharing.own
    withdrawn = await call.hop(lambda: own.withdraw(who, consent_id))
    return await _shown(call, withdrawn.shares, is_done=True)


async def _shown(call: Mine, suspended: tuple[str, ...], *, is_done: bool = False) -> Response:
    who = call.principal
    sharing = call.counter.engines.sharing

    def look() -> list[tuple[Recorded, ConsentText | None]]:
        return [(one, _text(call, one.text_version)) for one in sharing.own.consents(who)]

    found = await call.hop(look)
    return call.show(
        "own_consents.html",
        consents=found,
        purposes=PURPOSES,
        ways=WAYS,
        suspended=suspended,
        is_done=is_done,
        here="/my/shares",
    )


def _require_of_person(call: Mine) -> None:
    """What somebody allows is theirs to say, or their parents' or guardian's."""
    acting = call.known.acting
    if acting is not None and acting.relation is Relation.TRUSTED:
        raise NotPermitted(marked("Only the person themself decides this. Change back first."))


def _text(call: Mine, version: str) -> ConsentText | None:
    """Find the words somebody was asked in; what stands on a sheet of paper alone is not here."""
    try:
        texts = call.counter.engines.sharing.texts.of(version)
    except NotFound:
        return None
    spoken = {one.language: one for one in texts}
    return spoken.get(call.language(), texts[0])
