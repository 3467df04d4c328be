"""A download sealed by a passphrase: begun by a form, shown on a page once, taken by a plain link.

The form's answer holds the passphrase and nothing else ever does. The link names the package and
opens nothing by itself: whose session asks decides its octets, so that a browser can go on where a
download broke, and the same link elsewhere is of no use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require, require_copies
from vna.access.principal import Action, Principal
from vna.dicom.refs import SeriesRef, StudyRef, uid
from vna.engines import Engines
from vna.errors import NotFound
from vna.web.exchange import ROOT, Counter
from vna.web.portal import study
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.guest import Call
from vna.web.portal.guest_studies import Size, base_of
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A package that was begun: what opens it, where it is, how large."""

    passphrase: str = field(repr=False)
    href: str
    size: Size


def begin(
    engines: Engines, who: Principal, holder: str, base: str, ref: StudyRef | SeriesRef
) -> Begun:
    """Begin a package for the holder of a secret. Raises `NotPermitted`, `NotFound`."""
    require(who, Action.RETRIEVE, ref)
    require_copies(who, ref)
    size = sum(one.size for one in engines.render.visible(who, ref))
    seal, label = engines.retrieve.seals.begin(holder)
    path = f"/studies/{ref.study}"
    if isinstance(ref, SeriesRef):
        path += f"/series/{ref.series}"
    return Begun(
        passphrase=seal.passphrase,
        href=f"{base}{path}?accept=application/zip&dicomdir=true&sealed={label}",
        size=Size(bytes=size),
    )


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of staff."""
    return [Route("/study/{study}/sealed", guarded(counter, pages, _staff), methods=["POST"])]


def own_routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of patients."""
    return [mine(counter, pages, "/my/study/{study}/sealed", _own, "POST")]


async def for_guests(call: Call) -> Response:
    """Seal what was shared, a study or a series of it, for who was sent a link."""
    if not call.inside.share.download:
        raise NotFound
    form = await call.form()
    named = uid(form.get("study", ""))
    series = form.get("series", "")
    ref = SeriesRef(named, uid(series)) if series else StudyRef(named)
    base = await base_of(call)
    capability = base.split("/")[3]
    engines, who = call.counter.engines, call.inside.principal
    begun = await call.hop(lambda: begin(engines, who, capability, base, ref))
    return call.show("guest_sealed.html", begun=begun, back="/s/download", here="download")


async def _own(call: Mine) -> Response:
    ref = StudyRef(uid(call.request.path_params["study"]))
    await call.form()
    engines, who, holder = call.counter.engines, call.principal, call.secret
    begun = await call.hop(lambda: begin(engines, who, holder, ROOT, ref))
    return call.show("own_sealed.html", begun=begun, back=f"/my/study/{ref.study}", here="/my")


async def _staff(visit: Visit) -> Response:
    who = await visit.who(Action.RETRIEVE)
    ref = StudyRef(uid(visit.request.path_params["study"]))
    require(who, Action.RETRIEVE, ref)
    await visit.form()
    engines, holder = visit.counter.engines, visit.secret

    def work() -> tuple[Begun, study.Study]:
        return begin(engines, who, holder, ROOT, ref), study.find(engines, who, ref.study)

    begun, shown = await visit.hop(work)
    back = f"/study/{ref.study}"
    return visit.show("sealed.html", begun=begun, study=shown, back=back, here="/")
