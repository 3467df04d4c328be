"""What patients can choose from their own studies, and what they chose."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.access.principal import Principal
from vna.dicom.refs import Level
from vna.engines import Engines
from vna.query.keys import from_parameters
from vna.web.portal import viewing
from vna.web.portal.attributes import Reading, day_of
from vna.web.portal.modalities import plain_of
from vna.web.portal.own_share_form import Steps

_MOST_LISTED = 200
_RETURNED = ("StudyDescription", "NumberOfStudyRelatedInstances")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A study that can be chosen."""

    uid: str
    plain: tuple[str, ...]  # words for what was done, to be translated
    description: str
    date: str
    instances: int

    @property
    def day(self) -> dt.date | None:
        """Say when it was made; None when that is not known."""
        return day_of(self.date)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A study that was chosen, with the parts of it that were; None is all of it."""

    study: viewing.Study
    parts: tuple[str, ...] | None

    @property
    def plain(self) -> tuple[str, ...]:
        """Give words for what was done, to be translated."""
        return plain_of(self.study.modalities)

    @property
    def description(self) -> str:
        """Say what was examined, as the hospital does."""
        return self.study.description

    @property
    def day(self) -> dt.date | None:
        """Say when it was made; None when that is not known."""
        return day_of(self.study.date)


def choices(engines: Engines, who: Principal) -> list[Choice]:
    """List what a patient can choose from, the newest first."""
    asked = [("includefield", name) for name in _RETURNED]
    query = from_parameters(Level.STUDY, asked, most=_MOST_LISTED).query
    return [
        Choice(
            uid=str(answer.study),
            plain=plain_of(tuple(answer.attributes.get("00080061", {}).get("Value") or ())),
            description=Reading(answer.attributes).text("00081030"),
            date=Reading(answer.attributes).date("00080020"),
            instances=Reading(answer.attributes).number("00201208"),
        )
        for answer in engines.query.find(who, query).rows
    ]


def picked(engines: Engines, who: Principal, steps: Steps) -> list[Picked]:
    """List the studies that were chosen, the newest first."""
    found = []
    for one in steps.studies:
        study = viewing.study(engines, who, one)
        ticked = steps.series(one)
        is_whole = not steps.is_in_parts(one) or len(ticked) == len(study.series)
        parts = tuple(part.title for part in study.series if part.uid in ticked)
        found.append(Picked(study=study, parts=None if is_whole else parts))
    return sorted(found, key=lambda one: one.study.date, reverse=True)
