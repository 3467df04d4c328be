"""/patients: identities that may be one person, side by side, and what staff decide of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.dicom.refs import UID
from vna.errors import Conflict, InvalidRequest, NotFound, NotProven, VNAError
from vna.operate.identity_views import Identity, Proposal, Proposed, Work
from vna.operate.patient_accounts import Waiting
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import one_of
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

# what each verdict is answered with
_DONE = {
    "link": marked("They are one person now."),
    "agree": marked("They are one person now."),
    "part": marked("They are two people."),
    "proposed": marked(
        "Images of one of them are shared, or one has an account: a colleague has to agree. "
        "Nothing is linked before."
    ),
}
_HOW = {
    marked("equal"): "is-good",
    marked("alike"): "is-warn",
    marked("differs"): "is-bad",
    marked("unknown"): "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the page shows."""

    work: list[Work]
    proposed: list[Proposed]
    linked: list[Work]
    late: list[tuple[UID, Identity]]
    waiting: list[Waiting]


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
    except NotProven:
        return visit.go("/confirm?next=/patients")
    except (Conflict, InvalidRequest, NotFound) as exc:
        return await _shown(visit, who, exc)
    if studies is None:
        return visit.go("/patients")
    if isinstance(studies, Proposal):
        return await _shown(visit, who, done="proposed")
    return await _shown(visit, who, done=form["verdict"], studies=studies)


def _decide(visit: Visit, who: Principal, form: dict[str, str]) -> list[UID] | Proposal | None:
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
        case "refuse":
            engine.proposals.refuse(who, one, other, reason=reason)
            return None
        case "link":
            linked = engine.link(who, one, other, reason=reason)
            return linked if isinstance(linked, Proposal) else [study for study, _ in linked]
        case "agree":
            is_fresh = (
                visit.visitor is None or visit.visitor.is_fresh
            )  # under --dev nobody signs in
            number = _number(form.get("proposal", ""))
            linked = engine.agree(who, one, other, is_fresh=is_fresh, number=number)
            return [study for study, _ in linked]
        case "part":
            return [study for study, _ in engine.part(who, one, other, reason=reason)]
    raise InvalidRequest(marked("Say whether they are one person, two, or to be looked at later."))


def _number(text: str) -> int:
    return one_of(text, InvalidRequest("That is no proposal."))


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

    def look() -> _Seen:
        engine.keep_up(_AT_ONCE)
        return _Seen(
            work=engine.views.worklist(who),
            proposed=engine.views.proposed(who),
            linked=engine.views.linked(who),
            late=engine.views.alerts(who),
            waiting=accounts.waiting(who) if has_accounts else [],
        )

    seen = await visit.hop(look)
    return visit.show(
        "patients.html",
        status=status,
        work=seen.work,
        proposed=seen.proposed,
        linked=seen.linked,
        late=seen.late,
        waiting=seen.waiting,
        me=who.name,
        is_alone=not has_accounts,
        grounds=_GROUNDS,
        how=_HOW,
        trouble=None if exc is None else visit.said(exc),
        done=None if done is None else _DONE[done],
        studies=studies or [],
        here="/patients",
    )
