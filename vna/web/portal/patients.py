"""/patients: identities that may be one person, side by side, and what staff decide of them."""

from __future__ import annotations

import re

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.dicom.refs import UID
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.operate.identities import Identity, Work
from vna.operate.patient_accounts import Waiting
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages

_ID = re.compile(r"[0-9a-f]{32}")
_GROUNDS = {
    "R2": marked("One Patient ID was given to what seem to be two people."),
    "R4": marked("Both have the same number, but birth date or sex do not agree."),
    "R5": marked("Name, birth date and sex are the same; the Patient IDs are not."),
    "R6": marked("Name and birth date are the same; the Patient IDs are not."),
    "staff": marked("Somebody looked at these two before."),
}
_AT_ONCE = 1000  # studies whose patients are looked at before the page is shown
_HOW = {
    marked("equal"): "is-good",
    marked("alike"): "is-warn",
    marked("differs"): "is-bad",
    marked("unknown"): "",
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of patients."""
    return [Route("/patients", guarded(counter, pages, _page), methods=["GET", "POST"])]


async def _page(visit: Visit) -> Response:
    who = await visit.who(Action.CORRECT)
    if visit.request.method != "POST":
        return await _shown(visit, who)
    form = await visit.form()
    try:
        studies = await visit.hop(lambda: _decide(visit, who, form))
    except (Conflict, InvalidRequest, NotFound) as exc:
        return await _shown(visit, who, exc)
    if studies is None:
        return visit.go("/patients")
    return await _shown(visit, who, done=form["verdict"], studies=studies)


def _decide(visit: Visit, who: Principal, form: dict[str, str]) -> list[UID] | None:
    """Do what was decided; give the studies to look at, None where there are none."""
    engine = visit.counter.engines.identities
    first, second = form.get("first", ""), form.get("second", "")
    if not _ID.fullmatch(first) or not _ID.fullmatch(second):
        raise InvalidRequest("That is no pair of patients.")
    one, other, reason = bytes.fromhex(first), bytes.fromhex(second), form.get("reason", "")
    match form.get("verdict"):
        case "defer":
            engine.defer(who, one, other)
            return None
        case "link":
            return [study for study, _ in engine.link(who, one, other, reason=reason)]
        case "part":
            return [study for study, _ in engine.part(who, one, other, reason=reason)]
    raise InvalidRequest(marked("Say whether they are one person, two, or to be looked at later."))


async def _shown(
    visit: Visit,
    who: Principal,
    exc: VNAError | None = None,
    *,
    done: str | None = None,
    studies: list[UID] | None = None,
) -> Response:
    status = 200 if exc is None else problems.answer(exc, "patients")[0]
    engine = visit.counter.engines.identities

    accounts = visit.counter.engines.patient_accounts
    has_accounts = not visit.counter.engines.settings.dev

    def look() -> tuple[list[Work], list[Work], list[tuple[UID, Identity]], list[Waiting]]:
        engine.keep_up(_AT_ONCE)
        waiting = accounts.waiting(who) if has_accounts else []
        return engine.worklist(who), engine.linked(who), engine.alerts(who), waiting

    work, linked, late, waiting = await visit.hop(look)
    return visit.show(
        "patients.html",
        status=status,
        work=work,
        linked=linked,
        late=late,
        waiting=waiting,
        grounds=_GROUNDS,
        how=_HOW,
        trouble=None if exc is None else visit.said(exc),
        done=done,
        studies=studies or [],
        here="/patients",
    )
