"""/g/view: the light viewer over what a guest was sent, which stands in no catalogue.

The page and its script are those of shares; what they ask for below `/g/held` is rendered from the
objects as they lie in quarantine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from vna.dicom.refs import UID, InstanceRef, SeriesRef, uid
from vna.errors import InvalidRequest, NotFound
from vna.imports.exchanges import Contents
from vna.retrieve.kinds import Kind, kind_of
from vna.retrieve.payload import Payload
from vna.web.dicomweb.rendered import single
from vna.web.dicomweb.rendering import Rendered, rendering
from vna.web.dicomweb.wado import frame_numbers
from vna.web.exchange import Ask, Reply
from vna.web.portal import viewing, viewing_geometry, viewing_pages
from vna.web.portal.exchange import Handover
from vna.web.portal.imports import day, label
from vna.web.portal.viewing_geometry import geometry_of
from vna.web.portal.viewing_pages import Way, place_of, series_of, side_of
from vna.web.portal.walked import Walked

HELD = "/g/held"
_SHOWN = ("image/", "video/", "text/")  # by a browser, in a page of ours or a sandbox


async def page(call: Handover) -> Response:
    """Show one study."""
    party, asked = call.whose, uid(call.request.path_params["study"])
    query = call.request.query_params
    place = place_of(query.get("at", "1"))
    recipients = call.guests.recipients

    def look() -> dict[str, Any]:
        study = study_of(recipients.contents(party), asked)
        series = study.one(query.get("series", ""))
        recipients.seen(party, asked)
        ref = SeriesRef(asked, uid(series.uid))
        reel = _reel(call, ref)
        item, frame = reel.at(place)
        one = recipients.one(party, InstanceRef(ref.study, ref.series, uid(item.uid)))
        return {
            "study": study,
            "series": series,
            "reel": reel,
            "item": item,
            "frame": frame,
            "side": side_of(reel),
            "geometry": geometry_of(one.members, frame),
        }

    return call.show(
        "light.html",
        **await call.hop(look),
        place=place,
        way=Way(who=party.principal, base=HELD, back="/g/images", here="/g/view"),
    )


async def listed(call: Handover) -> Response:
    """Answer the script with one series."""
    ref = series_of(call.request)
    reel = await call.hop(lambda: _reel(call, ref))
    return viewing_pages.told(reel.told())


async def measured(call: Handover) -> Response:
    """Answer the script with what lies where in the frames of one series."""
    ref, party, recipients = series_of(call.request), call.whose, call.guests.recipients

    def look() -> dict[str, Any]:
        found = recipients.series(party, ref)
        return viewing_geometry.told(recipients.one(party, one.ref).members for one in found)

    return viewing_pages.told(await call.hop(look))


async def thumbnail(call: Handover) -> Response:
    """Give a small picture that stands for a series: of the image in its middle."""
    ask, party = _ask(call), call.whose
    ref = SeriesRef(ask.uid("study"), ask.uid("series"))
    asked = _asked(ask, is_thumbnail=True)
    engines, recipients = call.counter.engines, call.guests.recipients

    def render() -> Payload:
        images = [one for one in recipients.series(party, ref) if kind_of(one) is Kind.IMAGE]
        if not images:
            raise NotFound("There is no image here to make a thumbnail of.")
        middle = images[len(images) // 2]
        number = ((middle.frame_count or 1) + 1) // 2
        return engines.render.apart(recipients.one(party, middle.ref), asked.wish, number=number)

    return await _given(call, ask, render)


async def rendered(call: Handover) -> Response:
    """Give an object, or a frame of it, to be looked at."""
    ask, party = _ask(call), call.whose
    ref: InstanceRef = ask.instance()
    numbers = frame_numbers(ask.names["frames"]) if "frames" in ask.names else [1]
    if len(numbers) != 1:
        raise InvalidRequest("One frame is looked at at a time.")
    asked = _asked(ask)
    engines, recipients = call.counter.engines, call.guests.recipients

    def render() -> Payload:
        one = recipients.one(party, ref)
        return engines.render.apart(one, asked.wish, number=numbers[0])

    return await _given(call, ask, render)


def study_of(contents: Contents, asked: UID) -> viewing.Study:
    """Say of a study what the viewer shows. Raises `NotFound`."""
    for person in contents.persons:
        for study in person.studies:
            if study.uid != asked:
                continue
            series = tuple(
                viewing.Series(
                    uid=one.uid,
                    number="",
                    modality=one.modality,
                    description=one.description,
                    instances=one.images + one.reports + one.objects,
                )
                for one in study.series
            )
            return viewing.Study(
                uid=study.uid,
                name=label(person),
                patient_id=person.patient_id,
                birth_date=day(person.birth_date),
                date=day(study.date),
                description=study.description,
                modalities=tuple(dict.fromkeys(one.modality for one in study.series)),
                instances=sum(one.instances for one in series),
                series=series,
            )
    raise NotFound("There is no such study.")


def _reel(call: Handover, ref: SeriesRef) -> viewing.Reel:
    party, recipients = call.whose, call.guests.recipients
    found = recipients.series(party, ref)
    return viewing.reel_of(found, lambda one: recipients.one(party, one).members)


def _ask(call: Handover) -> Ask:
    request = call.request
    names = {name: str(value) for name, value in request.path_params.items()}
    who = call.whose.principal
    return Ask(request.scope, request.receive, counter=call.counter, principal=who, names=names)


def _asked(ask: Ask, *, is_thumbnail: bool = False) -> Rendered:
    return rendering(ask.query(), ask.header(b"accept"), is_thumbnail=is_thumbnail)


async def _given(call: Handover, ask: Ask, render: Callable[[], Payload]) -> Response:
    def reply() -> Reply:
        made = render()
        fields = []
        if not made.media_type.startswith(_SHOWN):  # nothing of a stranger's opens by itself
            fields.append((b"content-disposition", b"attachment"))
        return single(ask, made, ask.url(), fields=fields)

    # it waits for a child
    answer = await call.counter.threads.streams.start(reply)
    return Walked(answer, call.counter, "exchange")
