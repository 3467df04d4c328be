"""/discs and /disc/ID: discs asked for, how far they are, what could not be read, the image."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import StudyRef, uid
from vna.errors import NotFound
from vna.retrieve.disc import Disc, Item
from vna.retrieve.papers import Printed, papers
from vna.texts import Texts, marked
from vna.web.exchange import Counter
from vna.web.portal import study
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.numbers import number_in
from vna.web.portal.pages import Pages
from vna.web.portal.study import Study
from vna.web.portal.walked import Octets, walked


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of discs."""

    def get(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page))

    def post(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page), methods=["POST"])

    return [
        get("/discs", _all),
        post("/study/{study}/disc", _ask),
        get("/disc/{disc:int}", _one),
        get("/disc/{disc:int}/image.iso", _image),
        get("/disc/{disc:int}/label.pdf", _papers),
        post("/disc/{disc:int}/retry", _retry),
        post("/disc/{disc:int}/without", _without),
        post("/disc/{disc:int}/cancel", _cancel),
    ]


async def _all(visit: Visit) -> Response:
    who = await visit.who(Action.RETRIEVE)
    found = await visit.hop(lambda: visit.counter.engines.discs.all(who))
    return visit.show("discs.html", discs=found, here="/discs")


async def _ask(visit: Visit) -> Response:
    who = await visit.who(Action.RETRIEVE)
    asked = StudyRef(uid(visit.request.path_params["study"]))
    require(who, Action.RETRIEVE, asked)
    await visit.form()
    number = await visit.hop(lambda: visit.counter.engines.discs.ask(who, [asked]))
    return visit.go(f"/disc/{number}")


async def _one(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)

    def look() -> tuple[Disc, list[Item], Study | None]:
        disc, items = visit.counter.engines.discs.one(who, number)
        return disc, [item for item in items if item.state == "failed"], _study(visit, who, disc)

    disc, bad, shown = await visit.hop(look)
    return visit.show("disc.html", disc=disc, bad=bad, study=shown, here="/discs")


async def _image(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)
    image = await visit.hop(lambda: visit.counter.engines.discs.fetch(who, number))
    octets = Octets(
        content=image.content,
        media="application/x-iso9660-image",
        file_name=f"disc-{number}.iso",
        revision=image.revision,
        changed_at=image.changed_at,
    )
    studies = [uid(study) for study in image.studies]
    return await walked(visit.request, visit.counter, who, octets, resource="disc", studies=studies)


async def _papers(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)

    def write() -> bytes:
        disc, _ = visit.counter.engines.discs.one(who, number)
        return papers(_printed(disc, _study(visit, who, disc), Texts(visit.language())))

    data = await visit.hop(write)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="disc-{number}-label.pdf"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, 200, headers, "application/pdf")


def _printed(disc: Disc, shown: Study | None, texts: Texts) -> Printed:
    if shown is None:
        raise NotFound(marked("What is on this disc is no longer held."))
    count = len(disc.studies)
    several = texts.ngettext("%(num)s examination", "%(num)s examinations", count) % {"num": count}
    return Printed(
        number=disc.job_id,
        patient=shown.name or texts.gettext("No name"),
        birth_date=shown.birth_date,
        patient_id=f"ID {shown.patient_id}" if shown.patient_id else "",
        study=(shown.title or texts.gettext("Study")) if count == 1 else several,
        study_date=shown.date if count == 1 else "",
        institution=shown.institution,
        modalities=shown.modalities,
        objects=disc.objects,
        made_on=(disc.finished_at or disc.created_at).strftime("%Y-%m-%d"),
        language=texts.language,
    )


async def _retry(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)
    await visit.form()
    await visit.hop(lambda: visit.counter.engines.discs.retry(who, number))
    return visit.go(f"/disc/{number}")


async def _without(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)
    await visit.form()
    smaller = await visit.hop(lambda: visit.counter.engines.discs.without(who, number))
    return visit.go(f"/disc/{smaller}")


async def _cancel(visit: Visit) -> Response:
    who, number = await visit.who(Action.RETRIEVE), _number(visit)
    await visit.form()
    await visit.hop(lambda: visit.counter.engines.discs.cancel(who, number))
    return visit.go(f"/disc/{number}")


def _study(visit: Visit, who: Principal, disc: Disc) -> Study | None:
    """Say whose a disc is: by its first study, as long as that is held."""
    try:
        return study.find(visit.counter.engines, who, uid(disc.studies[0]))
    except NotFound:
        return None


def _number(visit: Visit) -> int:
    return number_in(visit.request, "disc")
