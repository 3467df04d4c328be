"""/my: everything that is about a patient, newest first, year by year."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import groupby

from starlette.responses import Response
from starlette.routing import Route

from vna.dicom.refs import UID, Level
from vna.query.answers import Answer
from vna.query.keys import from_parameters
from vna.web.exchange import Counter
from vna.web.portal.attributes import Reading, day_of
from vna.web.portal.modalities import REPORTS, plain_of
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages

_PAGE = 20
_MOST_OFFSET = 100_000
_RETURNED = (
    *("StudyDescription", "NumberOfStudyRelatedSeries"),
    "NumberOfStudyRelatedInstances",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStudy:
    """One study in the list; `plain` are words for what was done, to be translated."""

    uid: str
    plain: tuple[str, ...]
    description: str
    date: str
    site: str
    series: int
    instances: int
    has_report: bool
    is_new: bool

    @property
    def is_told(self) -> bool:
        """Whether what staff wrote says what was done, so that it is not said twice."""
        written = self.description.casefold()
        return any(one.casefold() in written for one in self.plain)

    @property
    def day(self) -> dt.date | None:
        """Say when it was made; None when that is not known."""
        return day_of(self.date)

    @property
    def year(self) -> int | None:
        """Say in which year."""
        return None if self.day is None else self.day.year


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of the list."""
    return [mine(counter, pages, "/my", _timeline)]


async def _timeline(call: Mine) -> Response:
    if call.own is None:
        wards = await call.hop(lambda: call.counter.engines.carers.wards(call.account_id))
        if wards:  # who has no images here, and acts for somebody
            return call.go("/my/carers")
    if call.own is None or not call.own.is_open:
        return call.show("own_waits.html", here="/my")
    offset = _offset(call.request.query_params.get("offset", "0"))
    studies, has_more = await call.hop(lambda: _studies(call, offset))
    years = [(year, list(of)) for year, of in groupby(studies, key=lambda study: study.year)]
    return call.show(
        "own_timeline.html",
        years=years,
        offset=offset,
        newer=max(0, offset - _PAGE),
        older=offset + _PAGE if has_more else None,
        here="/my",
    )


def _studies(call: Mine, offset: int) -> tuple[list[ListedStudy], bool]:
    engines = call.counter.engines
    asked = [("includefield", name) for name in _RETURNED]
    asked += [("limit", str(_PAGE)), ("offset", str(offset))]
    query = from_parameters(Level.STUDY, asked, most=_PAGE).query
    answers = engines.query.find(call.principal, query)
    found = list(answers.rows)
    seen = engines.patient_accounts.own.seen(call.account_id, [str(one.study) for one in found])
    studies = [_listed(call, one, seen) for one in found]
    return studies, bool(answers.remaining().count)


def made_at(call: Mine, study: UID) -> str:
    """Say where a study was made, by its first series; empty when that is not told."""
    asked = [("includefield", "InstitutionName"), ("limit", "1")]
    query = from_parameters(Level.SERIES, asked, most=1, study=study).query
    found = next(call.counter.engines.query.find(call.principal, query).rows, None)
    return "" if found is None else Reading(found.attributes).text("00080080")


def _listed(call: Mine, answer: Answer, seen: set[str]) -> ListedStudy:
    read = Reading(answer.attributes)
    modalities = tuple(answer.attributes.get("00080061", {}).get("Value") or ())
    return ListedStudy(
        uid=str(answer.study),
        plain=plain_of(modalities),
        description=read.text("00081030"),
        date=read.date("00080020"),
        site=made_at(call, UID(str(answer.study))),
        series=read.number("00201206"),
        instances=read.number("00201208"),
        has_report=not REPORTS.isdisjoint(modalities),
        is_new=str(answer.study) not in seen,
    )


def _offset(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= 6
    return min(int(text), _MOST_OFFSET) if is_number else 0
