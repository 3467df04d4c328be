"""/s/home and /s/download: what was shared, in plain words, to be looked at and taken."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from starlette.responses import Response

from vna.access.principal import Principal
from vna.dicom.refs import UID, SeriesRef, StudyRef, uid
from vna.engines import Engines
from vna.errors import NotAuthenticated, NotFound
from vna.sharing.values import Person, Purpose
from vna.web.exchange import ROOT
from vna.web.portal import viewing
from vna.web.portal.attributes import day_of
from vna.web.portal.guest import Call
from vna.web.portal.own_start import is_theirs, may_keep
from vna.web.portal.viewing import Series

_REPORTS = ("SR", "DOC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a download is, for scripts and for people."""

    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One study as the pages of a share show it."""

    uid: str
    title: str
    date: str
    instances: int
    series: tuple[Series, ...]
    whole: bool
    unlisted: int  # objects of series that are more than pages list
    size: Size | None = None

    @property
    def day(self) -> dt.date | None:
        """Say when it was made; None when that is not known."""
        return day_of(self.date)

    @property
    def face(self) -> str:
        """Name the series whose thumbnail stands for the study; empty without any."""
        return next((one.uid for one in self.series if one.has_picture), "")

    @property
    def pictures(self) -> int:
        """Count what is no document, as far as it is listed."""
        return self.unlisted + sum(one.instances for one in self.series if one.has_picture)

    @property
    def report(self) -> str:
        """Name the series with the report; empty when there is none."""
        return next((one.uid for one in self.series if one.modality in _REPORTS), "")

    @property
    def reports(self) -> int:
        """Count reports."""
        return sum(one.instances for one in self.series if one.modality in _REPORTS)

    @property
    def parts(self) -> list[str]:
        """Say in a few words what it consists of."""
        return list(dict.fromkeys(one.title for one in self.series))[:8]


async def home(call: Call) -> Response:
    """Show what was shared."""
    cards = await call.hop(lambda: _cards(call.counter.engines, call.inside.principal, call))
    engine, session = call.sharing.sendings, call.session
    offered = await call.hop(lambda: engine.offered(session))
    return call.show(
        "guest_home.html",
        may_send=bool(offered),
        studies=cards,
        person=person_of(call),
        purpose=_purpose(call),
        may_keep=may_keep(call),
        base=await base_of(call),
        here="home",
    )


async def download(call: Call) -> Response:
    """Show what can be taken, how much it is, and how.

    Whoever is not whom the images show is offered the sealed package first: files on somebody
    else's disk or stick are lost more easily than on one's own. Open ones are theirs to choose.
    """
    if not call.inside.share.download:
        raise NotFound
    engines, who = call.counter.engines, call.inside.principal
    cards = await call.hop(lambda: _cards(engines, who, call, sized=True))
    return call.show(
        "guest_download.html",
        studies=cards,
        sealed_first=not is_theirs(call),
        base=await base_of(call),
        here="download",
    )


async def base_of(call: Call) -> str:
    """Return the DICOMweb base of this session: nothing but what was shared is below it."""
    session, engine = call.session, call.sharing
    capability = await call.hop(lambda: engine.capability(session))
    return f"/s/c/{capability}{ROOT}"


def person_of(call: Call) -> Person:
    """Say whose images these are. Raises `NotAuthenticated` before everything is proven."""
    person = call.inside.share.person
    if person is None:
        raise NotAuthenticated
    return person


def cards(engines: Engines, who: Principal, studies: tuple[str, ...]) -> list[Card]:
    """List the studies of a share that are there."""
    found = []
    for study in studies:
        try:
            found.append(_card(viewing.study(engines, who, uid(study)), who))
        except NotFound:
            continue  # deleted since, or its reports are yet to come
    return sorted(found, key=lambda card: card.date, reverse=True)


def sized_cards(engines: Engines, who: Principal, studies: tuple[str, ...]) -> list[Card]:
    """List them with how much there is to download."""
    return [_sized(engines, who, card) for card in cards(engines, who, studies)]


def _cards(engines: Engines, who: Principal, call: Call, *, sized: bool = False) -> list[Card]:
    studies = call.inside.share.studies
    return sized_cards(engines, who, studies) if sized else cards(engines, who, studies)


def _card(study: viewing.Study, who: Principal) -> Card:
    return Card(
        uid=study.uid,
        title=study.title,
        date=study.date,
        instances=study.instances,
        series=study.series,
        whole=who.scope.covers(StudyRef(UID(study.uid))),
        unlisted=study.unlisted,
    )


def _sized(engines: Engines, who: Principal, card: Card) -> Card:
    located = engines.render.visible(who, StudyRef(UID(card.uid)))
    whole = tuple(
        one for one in card.series if who.scope.covers(SeriesRef(UID(card.uid), UID(one.uid)))
    )
    return Card(
        uid=card.uid,
        title=card.title,
        date=card.date,
        instances=card.instances,
        series=whole,
        whole=card.whole,
        unlisted=card.unlisted,
        size=Size(bytes=sum(one.size for one in located)),
    )


def _purpose(call: Call) -> str:
    _ = call.texts().gettext
    return {
        Purpose.TREATMENT: _("Treatment"),
        Purpose.PATIENT_REQUEST: _("At the patient's own request"),
        Purpose.INSURANCE: _("Insurance"),
        Purpose.LEGAL: _("Legal matter"),
        Purpose.RESEARCH: _("Research"),
        Purpose.EMERGENCY: _("Emergency"),
    }[call.inside.share.purpose]
