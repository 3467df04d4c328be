"""/my/access: who opened what is about a patient, who was given it and when, in plain words.

Staff are told by what they are and where, never by their names: the trail has those for whoever
asks the hospital. What the patient looked at themself is folded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.responses import Response
from starlette.routing import Route

from vna.access.carers import is_acting
from vna.access.coding import has_arrived
from vna.access.principal import Kind
from vna.access.roles import PATIENT
from vna.access.trail import Opening
from vna.dicom.refs import Level
from vna.query.keys import from_parameters
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.attributes import Reading
from vna.web.portal.modalities import plain_of
from vna.web.portal.numbers import is_number
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages

MOST = 300  # acts on one page
_ROLES = {
    "radiologist": marked("A radiologist"),
    "technologist": marked("A technologist"),
    "referring": marked("A doctor who treats you"),
    "records-clerk": marked("The records office"),
    "archive-administrator": marked("The archive's administration"),
    "system-administrator": marked("The archive's administration"),
    "privacy-officer": marked("The privacy officer"),
    "auditor": marked("Internal audit"),
}
_KINDS = {
    Kind.SERVICE.value: marked("A program of the hospital"),
    Kind.SYSTEM.value: marked("The archive itself"),
    Kind.DEVELOPER.value: marked("Somebody at the archive"),
    Kind.PERSON.value: marked("A member of staff"),
}
# what was read, by how the trail calls it
_LOOKED, _TOOK = marked("looked at it"), marked("took a copy of the original files")
_SENT, _TRIED = marked("sent it to %(name)s"), marked("tried to send it to %(name)s")
_FOR_YOU, _FOR_THEM = marked("%(name)s, for you"), marked("%(name)s, acting for them")
_COPIES = frozenset(
    {"instances", "sealed", "bulkdata", "move", "get", "C-MOVE", "C-GET", "STOW-RS", "hand-over"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one of them did with a study on one day. Texts are translated already."""

    who: str
    what: tuple[str, ...]
    study: str
    begun: dt.datetime
    ended: dt.datetime
    is_own: bool


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of the history."""
    return [mine(counter, pages, "/my/access", _access)]


async def _access(call: Mine) -> Response:
    before = _before(call.request.query_params.get("before", ""))
    studies = sorted(call.principal.scope.studies - call.principal.scope.withheld)

    def look() -> tuple[list[Told], int | None, dict[str, str]]:
        told, goes_on = listed(call, studies, before=before)
        return told, goes_on, _titles(call, sorted({one.study for one in told}))

    told, goes_on, titles = await call.hop(look)
    return call.show(
        "own_access.html", told=told, goes_on=goes_on, titles=titles, here="/my/access"
    )


def listed(
    call: Mine, studies: Sequence[str], *, before: int | None = None
) -> tuple[list[Told], int | None]:
    """Tell who opened some studies, the latest first; and from where the list goes on, if it does.

    What one of them did with one study on one day is one line.
    """
    if not studies:
        return [], None
    engines = call.counter.engines
    rows = engines.trail.openings(call.principal, studies, before=before, most=MOST)
    zone = ZoneInfo(engines.settings.site.timezone)
    words = _Words(call, rows)
    groups: dict[tuple[dt.date, str, str], list[Opening]] = {}
    for row in rows:
        day = row.at.astimezone(zone).date()
        for study in _studies(row, studies):
            groups.setdefault((day, study, words.who(row)), []).append(row)
    told = [
        Told(
            who=who,
            what=tuple(dict.fromkeys(words.what(row) for row in reversed(of))),
            study=study,
            begun=of[-1].at.astimezone(zone),
            ended=of[0].at.astimezone(zone),
            is_own=words.is_own(of[0]),
        )
        for (_, study, who), of in groups.items()
    ]
    return told, rows[-1].audit_id if len(rows) == MOST else None


class _Words:
    """Says who and what, in one language."""

    def __init__(self, call: Mine, rows: Sequence[Opening]) -> None:
        engines = call.counter.engines
        self._say = call.texts().gettext
        self._me = call.principal.name
        self._called = _carers_called(call, rows)
        self._for_whom = _FOR_YOU if call.known.acting is None else _FOR_THEM
        self._site = engines.settings.site.name
        names = {row.principal.partition("#")[0] for row in rows}
        self._roles: Mapping[str, tuple[str, ...]] = engines.people.accounts.roles_of(sorted(names))

    def is_own(self, row: Opening) -> bool:
        return row.actor_kind == Kind.PERSON.value and row.principal == self._me

    def who(self, row: Opening) -> str:
        if self.is_own(row):
            return self._say(marked("You"))
        if row.actor_kind == Kind.SHARE.value:
            number = row.principal.split("/")[1:2]
            return self._say(marked("Who was sent the link %(number)s")) % {
                "number": number[0] if number else ""
            }
        if is_acting(row.principal):
            called = self._called.get(row.principal)
            if called is None:
                return self._say(marked("Somebody who acted for the person"))
            return self._say(self._for_whom) % {"name": called}
        if PATIENT in self._roles.get(row.principal, ()):
            return self._say(marked("The person themself"))
        if row.actor_kind == Kind.AE.value:
            return self._say(marked("The imaging system %(name)s")) % {"name": row.principal}
        return f"{self._say(self._role(row))}, {self._site}"

    def what(self, row: Opening) -> str:
        detail = row.detail if isinstance(row.detail, dict) else {}
        if row.kind == "sent":
            return self._say(_SENT if has_arrived(detail) else _TRIED) % {
                "name": str(detail.get("to", ""))
            }
        if row.kind == "export":
            return self._say(marked("took a disc of it"))
        if row.kind == "share.offered":
            return self._say(marked("shared it by a link"))
        return self._say(_TOOK if detail.get("what") in _COPIES else _LOOKED)

    def _role(self, row: Opening) -> str:
        roles = self._roles.get(row.principal.partition("#")[0], ())
        known = next((_ROLES[role] for role in roles if role in _ROLES), None)
        return known or _KINDS.get(row.actor_kind, _KINDS[Kind.PERSON.value])


def _carers_called(call: Mine, rows: Sequence[Opening]) -> dict[str, str]:
    """Say what those are called who acted for the person, where somebody did."""
    if not any(is_acting(row.principal) for row in rows):
        return {}
    return call.counter.engines.carers.called(call.known)


def _studies(row: Opening, wanted: Sequence[str]) -> list[str]:
    if row.study is not None:
        return [row.study]
    named = row.detail.get("studies", []) if isinstance(row.detail, dict) else []
    return [study for study in wanted if study in named]


def _titles(call: Mine, studies: list[str]) -> dict[str, str]:
    """Name studies in the patient's language."""
    if not studies:
        return {}
    asked = [("StudyInstanceUID", "\\".join(studies)), ("includefield", "StudyDescription")]
    query = from_parameters(Level.STUDY, asked, most=len(studies)).query
    say = call.texts().gettext
    found = {}
    for answer in call.counter.engines.query.find(call.principal, query).rows:
        read = Reading(answer.attributes)
        plain = plain_of(tuple(answer.attributes.get("00080061", {}).get("Value") or ()))
        found[str(answer.study)] = read.text("00081030") or ", ".join(map(say, plain))
    return found


def _before(text: str) -> int | None:
    return int(text) if is_number(text) else None
