"""/study/UID: one study for staff: whose, when, its series with thumbnails, its report, ways on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import permits, require
from vna.access.principal import Action, Principal
from vna.access.trail import DISCLOSING, Row, Wanted
from vna.dicom.refs import UID, Level, StudyRef, uid
from vna.engines import Engines
from vna.errors import NotFound
from vna.query.answers import Answer
from vna.query.keys import from_parameters
from vna.retrieve.disc import Disc
from vna.sharing.values import ShareSummary
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.attributes import Reading
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.modalities import NO_PICTURES, REPORTS
from vna.web.portal.pages import Pages
from vna.web.portal.viewing import MOST_SERIES, unlisted

_MOST_REPORTS = 20
_MOST_OPENED = 500
_MOST_OTHERS = 30
_WILD = frozenset("*?\\")

_STUDY = ("StudyDescription", "PatientSex", "NumberOfStudyRelatedInstances", "InstitutionName")
_SERIES = ("BodyPartExamined", "SeriesDescription", "NumberOfSeriesRelatedInstances")
_WHAT = (  # was opened, as the trail calls it: the page says it in its language
    *(marked("instances"), marked("metadata"), marked("thumbnail"), marked("rendered")),
    *(marked("frames"), marked("bulkdata"), marked("viewer"), marked("version")),
    *(marked("sealed"), marked("move"), marked("get"), marked("forward"), marked("disc")),
)
_REPORT = ("CompletionFlag", "VerificationFlag", "ContentDate", "DocumentTitle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series as pages show it."""

    uid: str
    number: str
    modality: str
    description: str
    body_part: str
    instances: int

    @property
    def has_images(self) -> bool:
        """Whether there can be a thumbnail."""
        return self.modality not in NO_PICTURES

    @property
    def title(self) -> str:
        """Say in a few words what it is, as far as it says so itself."""
        named = self.description or self.body_part.lower()
        return f"{self.modality} {named}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report in one line: how far it is, to be translated, and what it says of itself."""

    state: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another study of the same patient, in one line."""

    uid: str
    date: str
    title: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study as pages show it."""

    uid: str
    name: str
    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    date: str
    time: str
    modalities: str
    description: str
    accession: str
    institution: str
    instances: int
    series: tuple[Series, ...]
    reports: tuple[Report, ...]
    others: tuple[Other, ...] = ()  # of the same patient, where they were asked for

    @property
    def title(self) -> str:
        """Say in a few words what was examined, as far as it says so itself."""
        return self.description or self.modalities

    @property
    def unlisted(self) -> int:
        """Count its objects in series that are more than pages list."""
        return unlisted(self.instances, self.series, MOST_SERIES)


def routes(counter: Counter, pages: Pages, has_viewer: Callable[[], bool]) -> list[Route]:
    """Return the routes of the page and of who opened the study."""
    return [
        Route("/study/{study}", guarded(counter, pages, _page(counter, has_viewer))),
        Route("/study/{study}/opened", guarded(counter, pages, _opened(counter))),
    ]


def find(engines: Engines, who: Principal, study: UID, *, with_others: bool = False) -> Study:
    """Read what pages show of a study. Raises `NotFound`, `NotPermitted`."""
    require(who, Action.QUERY, StudyRef(study))
    asked = [("StudyInstanceUID", study), *(("includefield", name) for name in _STUDY)]
    query = from_parameters(Level.STUDY, asked, most=1).query
    found = next(engines.query.find(who, query).rows, None)
    if found is None:
        raise NotFound
    series = _series(engines, who, study)
    read = Reading(found.attributes)
    return Study(
        uid=study,
        name=read.text("00100010"),
        patient_id=read.text("00100020"),
        issuer=read.text("00100021"),
        birth_date=read.date("00100030"),
        sex=read.text("00100040"),
        date=read.date("00080020"),
        time=read.time("00080030"),
        modalities=read.text("00080061"),
        description=read.text("00081030"),
        accession=read.text("00080050"),
        institution=read.text("00080080"),
        instances=read.number("00201208"),
        series=series,
        reports=_reports(engines, who, study, series),
        others=_others(engines, who, study, read.text("00100020")) if with_others else (),
    )


def _others(engines: Engines, who: Principal, study: UID, patient_id: str) -> tuple[Other, ...]:
    """List other studies of the same identity: the same Patient ID of the same issuer."""
    if not patient_id or set(patient_id) & _WILD:
        return ()
    asked = [("PatientID", patient_id), *(("includefield", name) for name in _STUDY)]
    query = from_parameters(Level.STUDY, asked, most=_MOST_OTHERS).query
    found = {str(answer.study): answer for answer in engines.query.find(who, query).rows}
    patients = engines.trail.patients([study, *found])
    own = patients.get(study)
    return tuple(
        _other(answer)
        for other, answer in found.items()
        if other != study and own is not None and patients.get(other) == own
    )


def _other(answer: Answer) -> Other:
    read = Reading(answer.attributes)
    return Other(
        uid=str(answer.study),
        date=read.date("00080020"),
        title=read.text("00081030") or read.text("00080061"),
        instances=read.number("00201208"),
    )


def _series(engines: Engines, who: Principal, study: UID) -> tuple[Series, ...]:
    asked = [("includefield", name) for name in _SERIES]
    query = from_parameters(Level.SERIES, asked, most=MOST_SERIES, study=study).query
    return tuple(_one_series(answer) for answer in engines.query.find(who, query).rows)


def _one_series(answer: Answer) -> Series:
    read = Reading(answer.attributes)
    return Series(
        uid=read.text("0020000E"),
        number=read.text("00200011"),
        modality=read.text("00080060"),
        description=read.text("0008103E"),
        body_part=read.text("00180015"),
        instances=read.number("00201209"),
    )


def _reports(
    engines: Engines, who: Principal, study: UID, series: tuple[Series, ...]
) -> tuple[Report, ...]:
    """Say of each report how far it is (PS3.3 C.17.2)."""
    found: list[Report] = []
    for one in series:
        if one.modality not in REPORTS:
            continue
        asked = [("includefield", name) for name in _REPORT]
        query = from_parameters(
            Level.IMAGE, asked, most=_MOST_REPORTS, study=study, series=uid(one.uid)
        ).query
        found += [_report(answer) for answer in engines.query.find(who, query).rows]
    return tuple(found[:_MOST_REPORTS])


def _report(answer: Answer) -> Report:
    read = Reading(answer.attributes)
    completed, verified = read.text("0040A491"), read.text("0040A493")
    state = marked("Document")
    if verified == "VERIFIED":
        state = marked("Report, verified")
    elif completed == "COMPLETE":
        state = marked("Report, not verified")
    elif completed:
        state = marked("Report, not complete")
    about = ", ".join(part for part in (read.text("00420010"), read.date("00080023")) if part)
    return Report(state=state, about=about)


def _page(counter: Counter, has_viewer: Callable[[], bool]) -> Page:
    async def study(visit: Visit) -> Response:
        who = await counter.identity.principal(visit.request.scope)
        asked = uid(visit.request.path_params["study"])
        ref = StudyRef(asked)

        def may(action: Action) -> bool:
            return permits(who, action, ref)  # what an emergency lends may be looked at alone

        def look() -> tuple[Study, list[Disc], list[ShareSummary]]:
            engines = counter.engines
            found = find(engines, who, asked)
            shares = engines.sharing.shares(who, study=ref, most=10) if may(Action.SHARE) else []
            may_take = Action.RETRIEVE in who.actions
            discs = engines.discs.all(who, study=asked, most=5) if may_take else []
            return found, discs, shares

        found, discs, shares = await visit.hop(look)
        return visit.show(
            "study.html",
            study=found,
            discs=discs,
            here="",
            has_viewer=has_viewer(),
            may_see_trail=may(Action.AUDIT),
            may_share=may(Action.SHARE),
            may_correct=may(Action.CORRECT),
            may_bind=may(Action.CORRECT) and not counter.engines.settings.dev,
            shares=shares,
        )

    return study


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One access as the page lists it."""

    at: dt.datetime
    who: str
    what: str
    objects: int  # nought where they were not counted
    address: str


def _opened(counter: Counter) -> Page:
    async def opened(visit: Visit) -> Response:
        who = await counter.identity.principal(visit.request.scope)
        asked = uid(visit.request.path_params["study"])
        require(who, Action.AUDIT, StudyRef(asked))

        def look() -> tuple[Study, list[Opening]]:
            found = find(counter.engines, who, asked)
            wanted = Wanted(studies=[asked], kinds=DISCLOSING)
            rows = counter.engines.trail.search(who, wanted, act="opened")
            return found, [_opening(row) for row in islice(rows, _MOST_OPENED)]

        found, listed = await visit.hop(look)
        listed.reverse()
        return visit.show("opened.html", study=found, opened=listed, most=_MOST_OPENED)

    return opened


def _opening(row: Row) -> Opening:
    detail = row.detail if isinstance(row.detail, dict) else {}
    what = str(detail.get("what") or row.kind)  # one of _WHAT, or a word of the trail as it is
    count = detail.get("count")
    return Opening(
        at=row.at,
        who=f"{row.principal} ({row.actor_kind})",
        what=what,
        objects=count if isinstance(count, int) and count > 1 else 0,
        address=row.address or "",
    )
