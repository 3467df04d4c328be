"""/g: what a guest was sent by a guest. GET changes nothing; link and passcode open, by POST."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from vna.errors import InvalidRequest, TooMany
from vna.imports.exchanges import Side
from vna.imports.values import Person
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import exchange_viewing
from vna.web.portal.exchange import Handover, HandoverPage, door, told
from vna.web.portal.guest_studies import Size
from vna.web.portal.imports import label
from vna.web.portal.modalities import called
from vna.web.portal.numbers import number_in
from vna.web.portal.pages import Pages
from vna.web.portal.passcodes import entered, secret_of
from vna.web.portal.walked import Octets, walked

_SERIES = "/studies/{study}/series/{series}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One study as the recipient's page shows it."""

    uid: str
    title: str
    day: dt.date | None
    images: int
    reports: int
    parts: list[str]


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of who was sent something."""

    def at(path: str, page: HandoverPage, method: str = "GET", *, inside: bool = True) -> Route:
        endpoint = door(counter, pages, page, Side.RECIPIENT, inside=inside)
        return Route(f"/g{path}", endpoint, methods=[method])

    return [
        at("", _landing, inside=False),
        at("/open", _open, "POST", inside=False),
        at("/not-me", _not_me, "POST", inside=False),
        at("/images", _standing(_images)),
        at("/images.zip", _standing(_everything)),
        at("/document/{number:int}", _standing(_document)),
        at("/view/{study}", _standing(exchange_viewing.page)),
        at("/view/{study}/{series}", _standing(exchange_viewing.listed)),
        at("/view/{study}/{series}/geometry", _standing(exchange_viewing.measured)),
        at(f"/held{_SERIES}/thumbnail", _standing(exchange_viewing.thumbnail)),
        at(f"/held{_INSTANCE}/rendered", _standing(exchange_viewing.rendered)),
        at(f"/held{_INSTANCE}/frames/{{frames}}/rendered", _standing(exchange_viewing.rendered)),
        at("/leave", _leave, "POST"),
    ]


def _standing(page: HandoverPage) -> HandoverPage:
    """Make a page of one that is shown only as long as the exchange stands."""

    async def shown(call: Handover) -> Response:
        over = _over(call)
        return over if over is not None else await page(call)

    return shown


async def _landing(call: Handover) -> Response:
    return call.show("exchange_landing.html", trouble=None)


async def _open(call: Handover) -> Response:
    recipients = call.guests.recipients
    return await entered(
        call,
        lambda secret, passcode: recipients.open(secret, passcode, call.address),
        landing="exchange_landing.html",
        told=partial(told, call),
        to="/g/images",
    )


async def _not_me(call: Handover) -> Response:
    form = await call.form()
    _ = call.texts().gettext
    try:
        secret = secret_of(call, form)
        await call.hop(lambda: call.guests.recipients.refuse(secret, call.address))
    except (InvalidRequest, TooMany) as exc:
        status = problems.status_of(exc)
        return call.show("exchange_landing.html", status=status, trouble=told(call, exc))
    answer = call.ended(
        _("The link is stopped"),
        _("Nobody can open it any more, and the sender is told. Thank you."),
        _("You need do nothing. You can delete the message."),
    )
    call.drop_cookie(answer)
    return answer


async def _images(call: Handover) -> Response:
    party = call.whose
    contents = await call.hop(lambda: call.guests.recipients.contents(party))
    return call.show(
        "exchange_images.html",
        exchange=call.exchange,
        contents=contents,
        size=Size(bytes=contents.size),
        sizes=[Size(bytes=one.size) for one in contents.documents],
        label=label,
        born=lambda person: _day(person.birth_date),
        cards=cards,
    )


async def _everything(call: Handover) -> Response:
    party = call.whose
    found = await call.hop(lambda: call.guests.recipients.everything(party))
    octets = Octets(
        content=found.content,
        media="application/zip",
        file_name=f"images-{party.exchange.number}.zip",
        revision=found.revision,
        changed_at=found.changed_at,
    )
    return await walked(call.request, call.counter, party.principal, octets, resource="exchange")


async def _document(call: Handover) -> Response:
    party, number = call.whose, number_in(call.request, "number")
    document, found = await call.hop(lambda: call.guests.recipients.document(party, number))
    octets = Octets(
        content=found.content,
        media=document.media,
        file_name=f"document-{number}.{document.ending}",
        revision=found.revision,
        changed_at=found.changed_at,
    )
    return await walked(call.request, call.counter, party.principal, octets, resource="exchange")


async def _leave(call: Handover) -> Response:
    await call.form()
    session = call.session
    await call.hop(lambda: call.guests.leave(session))
    answer = call.go("/g")
    call.drop_cookie(answer)
    return answer


def cards(person: Person) -> list[Card]:
    """List the studies of a person, the newest first."""
    found = [
        Card(
            uid=study.uid,
            title=study.description
            or ", ".join(dict.fromkeys(called(s.modality) for s in study.series)),
            day=_day(study.date),
            images=study.images,
            reports=sum(series.reports for series in study.series),
            parts=list(dict.fromkeys(s.description or called(s.modality) for s in study.series))[
                :8
            ],
        )
        for study in person.studies
    ]
    return sorted(found, key=lambda card: card.day or dt.date.min, reverse=True)


def _over(call: Handover) -> Response | None:
    """Say that what was sent is not to be had any more."""
    if call.exchange.is_open:
        return None
    _ = call.texts().gettext
    answer = call.ended(
        _("This is over"),
        _("Its time is over, its sender stopped it, or it went into the archive."),
        _("Ask who sent it to you if you still need it."),
        status=410,
    )
    call.drop_cookie(answer)
    return answer


def _day(text: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 -- a day has no zone
    except ValueError:
        return None
