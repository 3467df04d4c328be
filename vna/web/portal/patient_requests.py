"""/requests/patients: what patients ask, what is due next first; read and answered by staff."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.errors import Conflict, InvalidRequest
from vna.sharing.wishes import MOST_WORDS, Answer, Kind, PatientRequest, Refusal, State
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.numbers import number_in, number_of
from vna.web.portal.pages import Pages

_HERE = "/requests/patients"
_PAGE = 100
KINDS = {
    Kind.SEND: marked("Send to a doctor"),
    Kind.DISC: marked("Disc or print-out"),
    Kind.CORRECT: marked("Correct an error"),
    Kind.STOP: marked("Stop a share"),
    Kind.OTHER: marked("Other"),
}
REFUSALS = {
    Refusal.IDENTITY: marked("It is not certain who asks"),
    Refusal.NOT_HELD: marked("It is not here"),
    Refusal.ACCURATE: marked("What is kept is right"),
    Refusal.HARM: marked("It would harm the patient or somebody else"),
    Refusal.OTHERS: marked("It would show what is somebody else's"),
    Refusal.DONE_BEFORE: marked("It was done before"),
    Refusal.INFEASIBLE: marked("It cannot be done"),
    Refusal.OTHER: marked("Another reason"),
}
STATES = {
    State.OPEN: (marked("Waiting"), ""),
    State.DONE: (marked("Done"), "is-good"),
    State.REFUSED: (marked("Refused"), "is-bad"),
    State.WITHDRAWN: (marked("Taken back"), ""),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the inbox."""

    def at(path: str, page: Page, method: str = "GET") -> Route:
        return Route(f"{_HERE}{path}", guarded(counter, pages, page), methods=[method])

    return [
        at("", _all),
        at("/report.csv", _report),
        at("/{number:int}", _one),
        at("/{number:int}/answer", _answer, "POST"),
    ]


async def _all(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    params = visit.request.query_params
    is_open = params.get("tab") != "over"
    before = number_of(params.get("before", ""))
    requests = visit.counter.engines.sharing.requests

    def look() -> tuple[list[PatientRequest], tuple[int, int]]:
        most = 500 if is_open else _PAGE
        return (
            requests.inbox(who, is_open=is_open, before=before, most=most),
            requests.counts(who),
        )

    found, (waiting, overdue) = await visit.hop(look)
    is_full = not is_open and len(found) == _PAGE
    return visit.show(
        "patient_requests.html",
        requests=found,
        is_open=is_open,
        waiting=waiting,
        overdue=overdue,
        kinds=KINDS,
        refusals=REFUSALS,
        states=STATES,
        next=found[-1].request_id if is_full else None,
        here="/requests",
    )


async def _one(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    return await _shown(visit, who)


async def _answer(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    form = await visit.form()
    number = _number(visit)
    requests = visit.counter.engines.sharing.requests
    try:
        answer = _read(form)
        await visit.hop(lambda: requests.answer(who, number, answer))
    except (InvalidRequest, Conflict) as exc:
        return await _shown(visit, who, form, exc)
    return visit.go(_HERE)


async def _report(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    text = await visit.hop(lambda: visit.counter.engines.sharing.requests.report(who))
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="requests.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text, 200, headers, "text/csv")


async def _shown(
    visit: Visit,
    who: Principal,
    typed: dict[str, str] | None = None,
    exc: InvalidRequest | Conflict | None = None,
) -> Response:
    number = _number(visit)
    found = await visit.hop(lambda: visit.counter.engines.sharing.requests.one(who, number))
    return visit.show(
        "patient_request.html",
        status=200 if exc is None else problems.status_of(exc),
        trouble=None if exc is None else visit.said(exc),
        one=found,
        typed=typed or {},
        kinds=KINDS,
        refusals=REFUSALS,
        states=STATES,
        most=MOST_WORDS,
        here="/requests",
    )


def _read(form: dict[str, str]) -> Answer:
    words = form.get("words", "").replace("\r\n", "\n")
    outcome = form.get("outcome", "")
    if outcome == "done":
        return Answer(words=words)
    try:
        return Answer(refusal=Refusal(form.get("refusal", "")), words=words)
    except ValueError as exc:
        raise InvalidRequest(marked("Say whether it is done, or why it is refused.")) from exc


def _number(visit: Visit) -> int:
    return number_in(visit.request, "number")
