"""/my/study/UID: one study for whom it is about: images, report, the original files, who saw it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action
from vna.dicom.refs import UID, uid
from vna.errors import NotFound
from vna.web.exchange import ROOT, Counter
from vna.web.portal import guest_studies, own_access, viewing_pages
from vna.web.portal.guest_studies import Card
from vna.web.portal.own import Mine, mine
from vna.web.portal.own_access import Told
from vna.web.portal.own_timeline import made_at
from vna.web.portal.pages import Pages
from vna.web.portal.viewing_pages import Way

_HERE = "/my/view"


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a study and of its images."""
    return [
        mine(counter, pages, "/my/study/{study}", _study),
        mine(counter, pages, f"{_HERE}/{{study}}", _view),
        mine(counter, pages, f"{_HERE}/{{study}}/{{series}}", _reel),
        mine(counter, pages, f"{_HERE}/{{study}}/{{series}}/geometry", _geometry),
    ]


async def _study(call: Mine) -> Response:
    asked = uid(call.request.path_params["study"])

    def look() -> tuple[Card, str, tuple[Told, ...], bool | None]:
        engines, who = call.counter.engines, call.principal
        # who may share and not look is told what there is, not how much of it to take
        may_view = Action.RETRIEVE in who.actions
        listed = guest_studies.sized_cards if may_view else guest_studies.cards
        found = listed(engines, who, (asked,))
        if not found:
            raise NotFound
        engines.patient_accounts.own.mark_seen(who, call.account_id, asked)
        told, _ = own_access.listed(call, [asked])
        return found[0], made_at(call, asked), tuple(told), _kept(call, asked)

    card, where, told, kept = await call.hop(look)
    return call.show(
        "own_study.html", study=card, made_at=where, told=told, kept=kept, base=ROOT, here="/my"
    )


def _kept(call: Mine, study: UID) -> bool | None:
    """Whether a patient keeps a study from their carers; None where nobody acts for them."""
    engine = call.counter.engines.carers
    if call.known.acting is not None or not any(one.carer.holds for one in engine.mine(call.known)):
        return None
    return engine.is_kept(study)


async def _view(call: Mine) -> Response:
    asked = uid(call.request.path_params["study"])
    shown = await viewing_pages.shown(call, _way(call))
    engine, who = call.counter.engines.patient_accounts, call.principal
    await call.hop(lambda: engine.own.mark_seen(who, call.account_id, asked))
    return call.show("light.html", **{**shown, "here": "/my"})


async def _reel(call: Mine) -> Response:
    return await viewing_pages.listed(call, _way(call))


async def _geometry(call: Mine) -> Response:
    return await viewing_pages.measured(call, _way(call))


def _way(call: Mine) -> Way:
    back = f"/my/study/{uid(call.request.path_params['study'])}"
    return Way(who=call.principal, base=ROOT, back=back, here=_HERE)
